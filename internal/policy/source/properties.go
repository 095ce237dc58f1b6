package source

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/gantry-platform/gantry/internal/fault"
)

// parseProperties reads the format of java.util.Properties.load, in UTF-8. Dotted keys become
// nested objects and indexes such as servers[0].host lists, as Spring binds them; all scalars
// are strings. Where a key is both a value and a prefix of others, the value is left out of the
// tree, with a warning.
func parseProperties(text []byte) (Parsed, error) {
	s := &propertyScanner{text: text, cursor: newCursor(text)}
	t := &propertyTree{root: &Node{Kind: Object, Line: 1, Column: 1}}
	for {
		entry, ok, err := s.entry()
		if err != nil {
			return Parsed{}, err
		}
		if !ok {
			break
		}
		if err := t.insert(entry); err != nil {
			return Parsed{}, err
		}
	}
	for i := range t.root.Fields {
		listIndexed(t.root.Fields[i].Value)
	}
	return Parsed{Documents: []*Node{t.root}, Warnings: t.warnings}, nil
}

type property struct {
	key          string
	line, column int
	value        *Node
}

// propertyScanner walks over the characters of logical lines.
type propertyScanner struct {
	text   []byte
	offset int
	cursor *cursor
}

// character is one of a logical line, with escapes resolved.
type character struct {
	r       rune
	escaped bool
	offset  int
	end     bool // no character: the logical line is over
}

func blank(b byte) bool { return b == ' ' || b == '\t' || b == '\f' }

func (s *propertyScanner) skipBlank() {
	for s.offset < len(s.text) && blank(s.text[s.offset]) {
		s.offset++
	}
}

// newline skips a line end and reports whether there was one.
func (s *propertyScanner) newline() bool {
	switch {
	case s.offset >= len(s.text):
		return false
	case s.text[s.offset] == '\n':
		s.offset++
		return true
	case s.text[s.offset] == '\r':
		s.offset++
		if s.offset < len(s.text) && s.text[s.offset] == '\n' {
			s.offset++
		}
		return true
	}
	return false
}

// next reads a character; a backslash at the end of a line joins the next one, its indentation
// left out.
func (s *propertyScanner) next() (character, *fault.Error) {
	for s.offset+1 < len(s.text) && s.text[s.offset] == '\\' && (s.text[s.offset+1] == '\n' || s.text[s.offset+1] == '\r') {
		s.offset++
		s.newline()
		s.skipBlank()
	}
	c := character{offset: s.offset}
	if s.offset >= len(s.text) || s.text[s.offset] == '\n' || s.text[s.offset] == '\r' {
		c.end = true
		return c, nil
	}
	var size int
	c.r, size = utf8.DecodeRune(s.text[s.offset:])
	s.offset += size
	if c.r != '\\' {
		return c, nil
	}
	if s.offset >= len(s.text) {
		c.end = true // a lone backslash at the very end joins nothing
		return c, nil
	}
	c.escaped = true
	c.r, size = utf8.DecodeRune(s.text[s.offset:])
	s.offset += size
	switch c.r {
	case 't':
		c.r = '\t'
	case 'n':
		c.r = '\n'
	case 'r':
		c.r = '\r'
	case 'f':
		c.r = '\f'
	case 'u':
		unit, err := s.unit(c.offset)
		if err != nil {
			return c, err
		}
		c.r = unit
		if rest := s.text[s.offset:]; utf16.IsSurrogate(unit) && len(rest) > 2 && rest[0] == '\\' && rest[1] == 'u' {
			second := s.offset
			s.offset += 2
			low, err := s.unit(second)
			if err != nil {
				return c, err
			}
			c.r = utf16.DecodeRune(unit, low)
		}
	}
	return c, nil
}

// unit reads the four digits of \uXXXX, which started at an offset.
func (s *propertyScanner) unit(start int) (rune, *fault.Error) {
	if s.offset+4 <= len(s.text) {
		if n, err := strconv.ParseUint(string(s.text[s.offset:s.offset+4]), 16, 16); err == nil {
			s.offset += 4
			return rune(n), nil
		}
	}
	line, column := s.cursor.at(start)
	return 0, syntax("not valid properties", line, column, `\u needs four hexadecimal digits`).
		Hinted(`write \\ for a backslash`)
}

// entry reads the next key and value; false at the end of the text.
func (s *propertyScanner) entry() (property, bool, *fault.Error) {
	for {
		s.skipBlank()
		if s.newline() {
			continue
		}
		if s.offset >= len(s.text) {
			return property{}, false, nil
		}
		if b := s.text[s.offset]; b != '#' && b != '!' {
			break
		}
		for s.offset < len(s.text) && s.text[s.offset] != '\n' && s.text[s.offset] != '\r' {
			s.offset++
		}
	}
	var entry property
	entry.line, entry.column = s.cursor.at(s.offset)
	var key strings.Builder
	var c character
	var err *fault.Error
	for {
		if c, err = s.next(); err != nil {
			return property{}, false, err
		}
		if c.end || !c.escaped && (c.r == '=' || c.r == ':' || c.r < 0x80 && blank(byte(c.r))) {
			break
		}
		key.WriteRune(c.r)
	}
	entry.key = key.String()
	for separated := false; !c.end && !c.escaped; {
		if c.r == '=' || c.r == ':' {
			if separated {
				break
			}
			separated = true
		} else if c.r >= 0x80 || !blank(byte(c.r)) {
			break
		}
		if c, err = s.next(); err != nil {
			return property{}, false, err
		}
	}
	line, column := s.cursor.at(c.offset)
	var value strings.Builder
	for !c.end {
		value.WriteRune(c.r)
		if c, err = s.next(); err != nil {
			return property{}, false, err
		}
	}
	entry.value = &Node{Kind: String, Text: value.String(), Line: line, Column: column}
	return entry, true, nil
}

type propertyTree struct {
	builder
	root     *Node
	warnings []*fault.Error
}

// maxWarnings bounds how many warnings one text gives.
const maxWarnings = 20

func (t *propertyTree) warn(w *fault.Error) {
	if len(t.warnings) < maxWarnings {
		t.warnings = append(t.warnings, w)
	}
}

func (t *propertyTree) insert(entry property) *fault.Error {
	parts := splitKey(entry.key)
	if err := t.spend(len(parts), entry.line, entry.column); err != nil {
		return err
	}
	object := t.root
	for _, part := range parts[:len(parts)-1] {
		field := t.lookup(object, part)
		if field == nil {
			t.add(object, Field{Key: part, Line: entry.line, Column: entry.column,
				Value: &Node{Kind: Object, Line: entry.line, Column: entry.column}})
			field = t.lookup(object, part)
		}
		if field.Value.Kind != Object {
			t.warn(conflict(entry, field.Line))
			field.Value = &Node{Kind: Object, Line: entry.line, Column: entry.column}
		}
		object = field.Value
	}
	last := parts[len(parts)-1]
	field := t.lookup(object, last)
	switch {
	case field == nil:
		t.add(object, Field{Key: last, Line: entry.line, Column: entry.column, Value: entry.value})
	case field.Value.Kind == Object:
		t.warn(conflict(entry, field.Line))
	default:
		t.warn(fault.New(fault.Invalid, "document.duplicate_key", "the key %s stands here again, first in line %d; the last one holds",
			Quote(entry.key), field.Line).At(entry.key).On(entry.line, entry.column).Hinted("keep one of them"))
		*field = Field{Key: last, Line: entry.line, Column: entry.column, Value: entry.value}
	}
	return nil
}

func conflict(entry property, line int) *fault.Error {
	return fault.New(fault.Invalid, "document.key_conflict", "in the key %s one part is both a value and a prefix of other keys, see line %d",
		Quote(entry.key), line).At(entry.key).On(entry.line, entry.column).Hinted("rename one of them")
}

// splitKey cuts a key at its dots and indexes: servers[0].host is servers, [0], host. A key that
// is not made so is one part.
func splitKey(key string) []string {
	var parts []string
	for name := range strings.SplitSeq(key, ".") {
		name, indexes, found := strings.Cut(name, "[")
		if name == "" {
			return []string{key}
		}
		parts = append(parts, name)
		for found {
			var index string
			index, indexes, found = strings.Cut(indexes, "]")
			if n, err := strconv.Atoi(index); !found || err != nil || n < 0 || strconv.Itoa(n) != index {
				return []string{key}
			}
			parts = append(parts, "["+index+"]")
			if indexes == "" {
				break
			}
			if indexes[0] != '[' {
				return []string{key}
			}
			indexes = indexes[1:]
		}
		if len(parts) >= MaxDepth {
			return []string{key}
		}
	}
	return parts
}

// listIndexed turns objects whose keys are [0], [1] and so on into lists.
func listIndexed(n *Node) {
	for i := range n.Fields {
		listIndexed(n.Fields[i].Value)
	}
	if len(n.Fields) == 0 {
		return
	}
	items := make([]*Node, len(n.Fields))
	for i := range n.Fields {
		key := n.Fields[i].Key
		if key[0] != '[' {
			return
		}
		at, err := strconv.Atoi(key[1 : len(key)-1])
		if err != nil || at >= len(items) {
			return
		}
		items[at] = n.Fields[i].Value
	}
	if !slices.Contains(items, nil) {
		n.Kind, n.Items, n.Fields = Array, items, nil
	}
}
