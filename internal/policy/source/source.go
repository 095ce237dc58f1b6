// Package source reads authored text into trees whose every value knows its line and column,
// so that whatever is found wrong later can be shown where it stands.
//
// It knows the formats YAML, JSON, TOML and Java properties, and checks the syntax of XML. It
// also decodes a tree into a struct strictly: an unknown field or a wrong type is refused with
// its place. Text comes from outside: size, depth, count and alias expansion are bounded.
//
// It imports internal/fault and the parsers, and knows nothing of document kinds. Everything in
// it is safe for concurrent use; trees are not changed once returned.
package source

import (
	"encoding/json"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gantry-platform/gantry/internal/fault"
)

// The formats that [Parse] knows.
const (
	YAML       = "yaml"       // YAML 1.2 as go.yaml.in/yaml/v3 reads it; several documents are allowed
	JSON       = "json"       // RFC 8259, with duplicate keys refused
	TOML       = "toml"       // TOML 1.0
	Properties = "properties" // java.util.Properties, in UTF-8
	XML        = "xml"        // XML 1.0 in UTF-8: syntax alone, no tree
	Text       = "text"       // anything: no syntax, no tree
)

// Limits on what [Parse] accepts. A real configuration is far below each of them.
const (
	// MaxDepth is how deep values may be nested.
	MaxDepth = 100
	// MaxValues is how many values a text may hold, aliases expanded.
	MaxValues = 200_000
	// maxNumber bounds the digits of a number, and the magnitude of its exponent.
	maxNumber = 400
)

// Kind is what a value is, in JSON's terms.
type Kind uint8

// The kinds. Dates are strings, and so are infinities and NaN, which JSON does not have.
const (
	Null Kind = iota
	Bool
	Number
	String
	Array
	Object
)

// String returns the kind as it is called in messages.
func (k Kind) String() string {
	return [...]string{"null", "a boolean", "a number", "a string", "a list", "an object"}[k]
}

// Node is one value of a text.
type Node struct {
	Kind Kind
	// Text is a scalar's value: the string itself, "true" or "false", or a number as JSON writes it.
	Text string
	// Line and Column, in characters, count from 1 and say where the value starts. A YAML
	// alias stands where its anchor is.
	Line, Column int
	// Fields are an object's, in the order of the text. Keys are unique.
	Fields []Field
	// Items are a list's.
	Items []*Node
}

// Field is a key of an object with its value.
type Field struct {
	Key string
	// Line and Column say where the key starts.
	Line, Column int
	Value        *Node
}

// Field returns the value under a key, or nil.
func (n *Node) Field(key string) *Node {
	if f := n.field(key); f != nil {
		return f.Value
	}
	return nil
}

func (n *Node) field(key string) *Field {
	for i := range n.Fields {
		if n.Fields[i].Key == key {
			return &n.Fields[i]
		}
	}
	return nil
}

// Plain returns the value as encoding/json would with UseNumber: nil, bool, json.Number,
// string, []any or map[string]any.
func (n *Node) Plain() any {
	switch n.Kind {
	case Bool:
		return n.Text == "true"
	case Number:
		return json.Number(n.Text)
	case String:
		return n.Text
	case Array:
		list := make([]any, len(n.Items))
		for i, item := range n.Items {
			list[i] = item.Plain()
		}
		return list
	case Object:
		object := make(map[string]any, len(n.Fields))
		for _, f := range n.Fields {
			object[f.Key] = f.Value.Plain()
		}
		return object
	default:
		return nil
	}
}

// Parsed is what a text holds.
type Parsed struct {
	// Documents are one, except for YAML with several. XML and free text have none. YAML
	// without any content has one: an empty object.
	Documents []*Node
	// Warnings are about what is allowed and yet seldom meant, such as a key of a properties
	// file that stands there twice.
	Warnings []*fault.Error
}

// Parse reads a text. Errors are faults of class Invalid with line and column: "document.syntax",
// "document.not_utf8", "document.duplicate_key", "document.too_deep", "document.too_many_values",
// "document.number_range", or "document.unknown_format".
func Parse(format string, text []byte) (Parsed, error) {
	if format == Text {
		return Parsed{}, nil
	}
	if offset := invalidUTF8(text); offset >= 0 {
		line, column := newCursor(text).at(offset)
		return Parsed{}, fault.New(fault.Invalid, "document.not_utf8", "the byte 0x%02x is not valid UTF-8", text[offset]).
			On(line, column).Hinted("save it as UTF-8, or give the format as %q", Text)
	}
	if format != YAML && format != XML && strings.HasPrefix(string(text[:min(len(text), 3)]), "\ufeff") {
		return Parsed{}, fault.New(fault.Invalid, "document.syntax", "the text starts with a byte order mark").
			On(1, 1).Hinted("save it as UTF-8 without a byte order mark")
	}
	switch format {
	case YAML:
		documents, err := parseYAML(text)
		return Parsed{Documents: documents}, err
	case JSON:
		root, err := parseJSON(text)
		return one(root, err)
	case TOML:
		root, err := parseTOML(text)
		return one(root, err)
	case Properties:
		return parseProperties(text)
	case XML:
		return Parsed{}, checkXML(text)
	default:
		return Parsed{}, fault.New(fault.Invalid, "document.unknown_format", "%q is no known format", format)
	}
}

func one(root *Node, err error) (Parsed, error) {
	if err != nil {
		return Parsed{}, err
	}
	return Parsed{Documents: []*Node{root}}, nil
}

func invalidUTF8(text []byte) int {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

// cursor turns byte offsets into lines and columns. Offsets that come in ascending order cost
// one pass over the text in all.
type cursor struct {
	text                 []byte
	offset, line, column int
}

func newCursor(text []byte) *cursor { return &cursor{text: text, line: 1, column: 1} }

func (c *cursor) at(offset int) (line, column int) {
	offset = max(0, min(offset, len(c.text)))
	if offset < c.offset {
		*c = *newCursor(c.text)
	}
	for c.offset < offset {
		r, size := utf8.DecodeRune(c.text[c.offset:])
		c.offset += size
		c.column++
		if r == '\n' {
			c.line, c.column = c.line+1, 1
		}
	}
	return c.line, c.column
}

// builder makes nodes, and keeps count of them and of an object's keys.
type builder struct {
	values int
	keys   map[*Node]map[string]int
}

// spend counts values.
func (b *builder) spend(values, line, column int) *fault.Error {
	b.values += values
	if b.values > MaxValues {
		return fault.New(fault.Invalid, "document.too_many_values", "the text holds more than %d values", MaxValues).
			On(line, column).Hinted("split it into several documents")
	}
	return nil
}

// indexed is the number of fields from which on keys are found through a map.
const indexed = 16

// lookup finds a key's field, or nil.
func (b *builder) lookup(object *Node, key string) *Field {
	if len(object.Fields) < indexed {
		return object.field(key)
	}
	index := b.keys[object]
	if index == nil {
		if b.keys == nil {
			b.keys = map[*Node]map[string]int{}
		}
		index = make(map[string]int, 2*len(object.Fields))
		b.keys[object] = index
		for i := range object.Fields {
			index[object.Fields[i].Key] = i
		}
	}
	if i, ok := index[key]; ok {
		return &object.Fields[i]
	}
	return nil
}

// add appends a field whose key is not there yet.
func (b *builder) add(object *Node, field Field) {
	object.Fields = append(object.Fields, field)
	if index := b.keys[object]; index != nil {
		index[field.Key] = len(object.Fields) - 1
	}
}

func duplicate(key string, first *Field, line, column int) *fault.Error {
	return fault.New(fault.Invalid, "document.duplicate_key", "the key %s stands here again, first in line %d", Quote(key), first.Line).
		At(join("", key, true)).On(line, column).Hinted("keep one of them")
}

func tooDeep(line, column int) *fault.Error {
	return fault.New(fault.Invalid, "document.too_deep", "values are nested more than %d deep", MaxDepth).
		On(line, column).Hinted("flatten it")
}

// number makes a node from a number in JSON's grammar. Numbers that no common reader could
// hold are refused, since exact arithmetic on them costs without bound.
func number(text string, line, column int) (*Node, *fault.Error) {
	exponent := 0
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		n, err := strconv.Atoi(text[i+1:])
		if err != nil {
			n = maxNumber + 1
		}
		exponent = max(n, -n)
	}
	if len(text) > maxNumber || exponent > maxNumber {
		return nil, fault.New(fault.Invalid, "document.number_range", "the number %s is out of range", Quote(text)).
			On(line, column).Hinted("write a number of at most %d digits, or quote it", maxNumber)
	}
	return &Node{Kind: Number, Text: text, Line: line, Column: column}, nil
}

// integer rewrites an integer in Go's notation (underscores, 0x, 0o, 0b, a plus sign) as JSON does.
func integer(text string) (string, bool) {
	text = strings.ReplaceAll(strings.TrimPrefix(text, "+"), "_", "")
	if len(text) > maxNumber {
		return text, json.Valid([]byte(text))
	}
	n, ok := new(big.Int).SetString(text, 0)
	if !ok {
		return "", false
	}
	return n.String(), true
}

// float rewrites a floating-point number as JSON does; infinities and NaN have no such form.
func float(text string) (string, bool) {
	text = strings.ReplaceAll(strings.TrimPrefix(text, "+"), "_", "")
	if json.Valid([]byte(text)) {
		return text, true
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		return "", false
	}
	encoded, err := json.Marshal(f)
	return string(encoded), err == nil
}

// Quote returns a value for a message, quoted and cut to a bearable length.
func Quote(value string) string {
	const most = 64
	if utf8.RuneCountInString(value) > most {
		runes := []rune(value)
		value = string(runes[:most]) + "..."
	}
	return strconv.Quote(value)
}

// ParseNumber reports whether a text is a number, within the limits of one, and returns it as
// JSON writes it.
func ParseNumber(text string) (string, bool) {
	text = strings.TrimSpace(text)
	rewritten, ok := float(text)
	if !ok || strings.Contains(text, "_") || rewritten[0] != '-' && (rewritten[0] < '0' || rewritten[0] > '9') {
		return "", false
	}
	if _, err := number(rewritten, 0, 0); err != nil {
		return "", false
	}
	return rewritten, true
}
