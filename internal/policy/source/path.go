package source

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/gantry-platform/gantry/internal/fault"
)

// Tree is a document together with how it is spoken of.
type Tree struct {
	Root *Node
	// Field is put before every path: "spec" makes "spec.limit" of "limit".
	Field string
	// Secret keeps values out of messages.
	Secret bool
}

// Place is a spot in a tree.
type Place struct {
	Field        string
	Line, Column int
}

// At finds a place by keys (strings) and indexes (ints, or strings of digits). What is not
// there is placed at the innermost value around it, under its full path.
func (t Tree) At(path ...any) Place {
	place := Place{Field: t.Field, Line: t.Root.Line, Column: t.Root.Column}
	node := t.Root
	for _, step := range path {
		key := fmt.Sprint(step)
		_, indexed := step.(int)
		if node != nil {
			indexed = node.Kind == Array
			node = node.child(key)
		}
		place.Field = join(place.Field, key, !indexed)
		if node != nil {
			place.Line, place.Column = node.Line, node.Column
		}
	}
	return place
}

// child is a list's item or an object's value, or nil.
func (n *Node) child(key string) *Node {
	if n.Kind != Array {
		return n.Field(key)
	}
	if i, err := strconv.Atoi(key); err == nil && i >= 0 && i < len(n.Items) {
		return n.Items[i]
	}
	return nil
}

// Key is like [Tree.At], and places a field by its key rather than its value.
func (t Tree) Key(path ...any) Place {
	place := t.At(path...)
	if len(path) == 0 {
		return place
	}
	last := len(path) - 1
	node := t.Root
	for _, step := range path[:last] {
		if node = node.child(fmt.Sprint(step)); node == nil {
			return place
		}
	}
	if f := node.field(fmt.Sprint(path[last])); f != nil {
		place.Line, place.Column = f.Line, f.Column
	}
	return place
}

// Fault returns an error of class Invalid at this place.
func (p Place) Fault(reason, format string, args ...any) *fault.Error {
	return fault.New(fault.Invalid, reason, format, args...).At(p.Field).On(p.Line, p.Column)
}

var plainKey = regexp.MustCompile(`^[^\s.\[\]"'\\]{1,64}$`)

// join lengthens a path: by a key, quoted where it could be misread, or by an index.
func join(path, key string, named bool) string {
	switch {
	case !named:
		return path + "[" + key + "]"
	case !plainKey.MatchString(key):
		return path + "[" + Quote(key) + "]"
	case path == "":
		return key
	default:
		return path + "." + key
	}
}

// Suggest returns the candidate that is most like a word, or "" when none is near: what was
// meant by a misspelt name.
func Suggest(word string, candidates []string) string {
	best, distance := "", max(1, min(len(word)/3, 3))+1
	for _, candidate := range candidates {
		if len(word) > 64 || len(candidate) > 64 {
			continue
		}
		if strings.EqualFold(word, candidate) {
			return candidate
		}
		if d := editDistance(strings.ToLower(word), strings.ToLower(candidate)); d < distance {
			best, distance = candidate, d
		}
	}
	return best
}

// editDistance is Levenshtein's, with two neighbours swapped counted as one.
func editDistance(a, b string) int {
	before, previous, current := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := 1; i <= len(a); i++ {
		current[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			current[j] = min(previous[j]+1, current[j-1]+1, previous[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				current[j] = min(current[j], before[j-2]+1)
			}
		}
		before, previous, current = previous, current, before
	}
	return previous[len(b)]
}
