package config

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxIndex bounds list indexes in keys such as "hosts[3]", so that a key cannot ask for memory
// out of proportion to its length.
const maxIndex = 10_000

// parseProperties reads the line format of java.util.Properties (JDK API documentation,
// Properties.load) as UTF-8: comments with # and !, separators = : and blanks, line
// continuations, \uXXXX escapes. Dots in keys nest, [n] indexes lists, and the last of equal keys wins.
func parseProperties(content []byte) (map[string]any, error) {
	if !utf8.Valid(content) {
		return nil, fmt.Errorf("properties: not valid UTF-8")
	}
	root := &branch{}
	text := strings.ReplaceAll(strings.ReplaceAll(string(content), "\r\n", "\n"), "\r", "\n")
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		start := i + 1
		line := strings.TrimLeft(lines[i], " \t\f")
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		var joined strings.Builder
		for continues(line) && i+1 < len(lines) {
			joined.WriteString(line[:len(line)-1])
			i++
			line = strings.TrimLeft(lines[i], " \t\f")
		}
		joined.WriteString(line)
		key, value, err := splitProperty(joined.String())
		if err != nil {
			return nil, fmt.Errorf("properties: line %d: %w", start, err)
		}
		if err := root.put(key, value); err != nil {
			return nil, fmt.Errorf("properties: line %d: %w", start, err)
		}
	}
	tree, err := root.tree("")
	if err != nil {
		return nil, fmt.Errorf("properties: %w", err)
	}
	mapping, ok := tree.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("properties: a list at the root; give it a name")
	}
	return mapping, nil
}

// continues reports whether a line ends with an odd number of backslashes.
func continues(line string) bool {
	count := len(line) - len(strings.TrimRight(line, `\`))
	return count%2 == 1
}

// splitProperty splits a logical line at the first separator that is not escaped.
func splitProperty(line string) (key, value string, err error) {
	end := len(line)
	for i := 0; i < len(line); i++ {
		if line[i] == '\\' {
			i++
			continue
		}
		if strings.IndexByte("=: \t\f", line[i]) >= 0 {
			end = i
			break
		}
	}
	rest := strings.TrimLeft(line[end:], " \t\f")
	if rest != "" && (rest[0] == '=' || rest[0] == ':') {
		rest = strings.TrimLeft(rest[1:], " \t\f")
	}
	if key, err = unescapeProperty(line[:end]); err != nil {
		return "", "", err
	}
	value, err = unescapeProperty(rest)
	return key, value, err
}

func unescapeProperty(text string) (string, error) {
	if strings.IndexByte(text, '\\') < 0 {
		return text, nil
	}
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' || i+1 == len(text) {
			if text[i] != '\\' {
				out.WriteByte(text[i])
			}
			continue
		}
		i++
		switch text[i] {
		case 't':
			out.WriteByte('\t')
		case 'n':
			out.WriteByte('\n')
		case 'r':
			out.WriteByte('\r')
		case 'f':
			out.WriteByte('\f')
		case 'u':
			char, width, err := unicodeEscape(text[i+1:])
			if err != nil {
				return "", err
			}
			out.WriteRune(char)
			i += width
		default:
			out.WriteByte(text[i])
		}
	}
	return out.String(), nil
}

// unicodeEscape reads the digits after \u, and a second escape when they are the first half of a
// UTF-16 surrogate pair.
func unicodeEscape(text string) (rune, int, error) {
	if len(text) < 4 {
		return 0, 0, fmt.Errorf(`\u needs four hexadecimal digits`)
	}
	first, err := strconv.ParseUint(text[:4], 16, 32)
	if err != nil {
		return 0, 0, fmt.Errorf(`\u needs four hexadecimal digits, not %q`, text[:4])
	}
	if utf16.IsSurrogate(rune(first)) && len(text) >= 10 && text[4:6] == `\u` {
		if second, err := strconv.ParseUint(text[6:10], 16, 32); err == nil {
			if char := utf16.DecodeRune(rune(first), rune(second)); char != utf8.RuneError {
				return char, 10, nil
			}
		}
	}
	return rune(first), 4, nil
}

// branch is a place in the tree while it is built: a value, or names, or indexes.
type branch struct {
	value *string
	names map[string]*branch
	items map[int]*branch
}

// put sets the value at a key such as "a.b[0].c".
func (b *branch) put(key, value string) error {
	if key == "" {
		return fmt.Errorf("a value without a key")
	}
	at := b
	segments := strings.Split(key, ".")
	if len(segments) > maxDepth {
		return fmt.Errorf("key nested deeper than %d levels", maxDepth)
	}
	for _, segment := range segments {
		name, indexes, err := splitIndexes(segment)
		if err != nil {
			return fmt.Errorf("key %q: %w", shorten(key), err)
		}
		if at.names == nil {
			at.names = map[string]*branch{}
		}
		if at.names[name] == nil {
			at.names[name] = &branch{}
		}
		at = at.names[name]
		for _, index := range indexes {
			if at.items == nil {
				at.items = map[int]*branch{}
			}
			if at.items[index] == nil {
				at.items[index] = &branch{}
			}
			at = at.items[index]
		}
	}
	at.value = &value
	return nil
}

// splitIndexes splits "hosts[0][1]" into its name and indexes. Brackets that hold no number are
// part of the name.
func splitIndexes(segment string) (string, []int, error) {
	open := strings.IndexByte(segment, '[')
	if open < 0 || !strings.HasSuffix(segment, "]") {
		return segment, nil, nil
	}
	parts := strings.Split(segment[open+1:len(segment)-1], "][")
	if len(parts) > 8 {
		return "", nil, fmt.Errorf("more than 8 indexes")
	}
	indexes := make([]int, 0, len(parts))
	for _, digits := range parts {
		index, err := strconv.Atoi(digits)
		if err != nil {
			return segment, nil, nil
		}
		if index < 0 || index >= maxIndex {
			return "", nil, fmt.Errorf("index %d is not from 0 to %d", index, maxIndex-1)
		}
		indexes = append(indexes, index)
	}
	return segment[:open], indexes, nil
}

// tree turns branches into maps, lists and [Text].
func (b *branch) tree(path string) (any, error) {
	kinds := 0
	for _, has := range []bool{b.value != nil, b.names != nil, b.items != nil} {
		if has {
			kinds++
		}
	}
	if kinds > 1 {
		return nil, fmt.Errorf("%q has a value and parts below it; keep one of the two", shorten(path))
	}
	switch {
	case b.value != nil:
		return Text(*b.value), nil
	case b.items != nil:
		list := make([]any, len(b.items))
		for index, item := range b.items {
			if index >= len(list) {
				return nil, fmt.Errorf("%q has index %d but only %d items; number them from 0 without gaps", shorten(path), index, len(list))
			}
			value, err := item.tree(path + "[" + strconv.Itoa(index) + "]")
			if err != nil {
				return nil, err
			}
			list[index] = value
		}
		return list, nil
	}
	mapping := make(map[string]any, len(b.names))
	for name, item := range b.names {
		value, err := item.tree(join(path, name))
		if err != nil {
			return nil, err
		}
		mapping[name] = value
	}
	return mapping, nil
}

// join appends a name to a dotted path.
func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
