package source

import (
	"strconv"
	"strings"

	"github.com/gantry-platform/gantry/internal/fault"
)

// Pair is one setting of a text as Java's property sources have it: a dotted key, with indexes in brackets, and a scalar.
type Pair struct {
	Key string
	// Value is a scalar's node: its kind is Null, Bool, Number or String.
	Value *Node
}

// Pairs returns the settings of each document of a text, in the order of the text. Of properties the keys are those that stand there, the last
// one of a key holds. Of the other formats that have a tree, it is flattened as [Flatten] says. XML and free text have no
// settings: they are refused with "document.no_settings". Other errors are those of [Parse].
func Pairs(format string, text []byte) ([][]Pair, error) {
	switch format {
	case Properties:
		pairs, err := propertyPairs(text)
		if err != nil {
			return nil, err
		}
		return [][]Pair{pairs}, nil
	case YAML, JSON, TOML:
	default:
		return nil, fault.New(fault.Invalid, "document.no_settings", "a text in the format %q has no settings", format).
			At("format").Hinted("publish it as %s, %s, %s or %s", Properties, YAML, JSON, TOML)
	}
	parsed, err := Parse(format, text)
	if err != nil {
		return nil, err
	}
	documents := make([][]Pair, len(parsed.Documents))
	size := 0
	for i, root := range parsed.Documents {
		f := flattener{size: size}
		if err := f.document(root); err != nil {
			return nil, err
		}
		documents[i], size = f.pairs, f.size
	}
	return documents, nil
}

func propertyPairs(text []byte) ([]Pair, error) {
	if _, err := Parse(Properties, text); err != nil { // its checks of the text as a whole
		return nil, err
	}
	s := &propertyScanner{text: text, cursor: newCursor(text)}
	var pairs []Pair
	at := map[string]int{}
	for {
		entry, ok, err := s.entry()
		if err != nil {
			return nil, err
		}
		if !ok {
			return pairs, nil
		}
		if i, twice := at[entry.key]; twice {
			pairs[i].Value = entry.value
			continue
		}
		at[entry.key] = len(pairs)
		pairs = append(pairs, Pair{Key: entry.key, Value: entry.value})
	}
}

// maxFlattened bounds the bytes of keys and values of a flattened text: deep trees repeat their keys in every line, and aliases
// repeat all of what they stand for.
const maxFlattened = 16 << 20

// Flatten returns the scalars of a tree under their paths, as Spring flattens YAML: keys joined by dots, items as [0], keys that
// are whole numbers in brackets too; an empty list is an empty string, and an empty object is nothing. A tree that holds
// more than 16 MiB that way is refused with "document.too_large".
func Flatten(root *Node) ([]Pair, error) {
	var f flattener
	if err := f.document(root); err != nil {
		return nil, err
	}
	return f.pairs, nil
}

type flattener struct {
	pairs []Pair
	size  int
}

// document flattens a root. What is no object is called "document", as Spring does.
func (f *flattener) document(root *Node) error {
	if root.Kind == Object {
		return f.value("", root)
	}
	return f.value("document", root)
}

func (f *flattener) value(path string, n *Node) error {
	switch {
	case n.Kind == Object:
		for _, field := range n.Fields {
			if err := f.value(step(path, field.Key), field.Value); err != nil {
				return err
			}
		}
		return nil
	case n.Kind == Array && len(n.Items) > 0:
		for i, item := range n.Items {
			if err := f.value(path+"["+strconv.Itoa(i)+"]", item); err != nil {
				return err
			}
		}
		return nil
	case n.Kind == Array:
		n = &Node{Kind: String, Line: n.Line, Column: n.Column}
	}
	if f.size += len(path) + len(n.Text); f.size > maxFlattened {
		return fault.New(fault.TooLarge, "document.too_large", "as keys and values it has more than %d MiB", maxFlattened>>20).
			On(n.Line, n.Column).Hinted("nest less deeply, use fewer aliases, or split it")
	}
	f.pairs = append(f.pairs, Pair{Key: path, Value: n})
	return nil
}

// step lengthens a path by a key.
func step(path, key string) string {
	if key != "" && strings.Trim(key, "0123456789") == "" || strings.HasPrefix(key, "[") && path != "" {
		if key[0] != '[' {
			key = "[" + key + "]"
		}
		return path + key
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// AppendProperty appends one line of a properties file, key and value escaped so that java.util.Properties reads them back. The
// separator stands between them, such as "=".
func AppendProperty(to []byte, key, separator, value string) []byte {
	to = appendEscaped(to, key, true)
	to = append(to, separator...)
	to = appendEscaped(to, value, false)
	return append(to, '\n')
}

func appendEscaped(to []byte, text string, key bool) []byte {
	if rest, marked := strings.CutPrefix(text, "\ufeff"); key && marked {
		// On a file's first line it would be its byte order mark.
		to, text = append(to, `\ufeff`...), rest
	}
	for i := 0; i < len(text); i++ {
		switch b := text[i]; b {
		case '\\':
			to = append(to, `\\`...)
		case '\n':
			to = append(to, `\n`...)
		case '\r':
			to = append(to, `\r`...)
		case '\t':
			to = append(to, `\t`...)
		case '\f':
			to = append(to, `\f`...)
		case '=', ':', '#', '!':
			if key {
				to = append(to, '\\')
			}
			to = append(to, b)
		case ' ':
			if key || i == 0 {
				to = append(to, '\\')
			}
			to = append(to, b)
		default:
			to = append(to, b)
		}
	}
	return to
}

// Nest undoes [Flatten]: dotted keys become nested objects, and indexes from 0 on without a gap lists, as in a properties file. Where a
// key is both a value and a prefix of others, the value is left out.
func Nest(pairs []Pair) (*Node, error) {
	t := &propertyTree{root: &Node{Kind: Object}}
	for _, p := range pairs {
		if err := t.insert(property{key: p.Key, value: p.Value}); err != nil {
			return nil, err
		}
	}
	for i := range t.root.Fields {
		listIndexed(t.root.Fields[i].Value)
	}
	return t.root, nil
}
