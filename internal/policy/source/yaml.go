package source

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/gantry-platform/gantry/internal/fault"
)

// parseYAML reads every document of a stream.
func parseYAML(text []byte) ([]*Node, error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	roots, err := composeYAML(text)
	if err != nil {
		return nil, err
	}
	c := &yamlConverter{done: map[*yaml.Node]*converted{}, lines: yamlLines(text)}
	documents := make([]*Node, 0, len(roots))
	for _, root := range roots {
		document, err := c.convert(root, 1)
		if err != nil {
			return nil, err
		}
		node := document.node
		if node.Kind == Null {
			// A text of comments alone is a configuration without settings.
			node = &Node{Kind: Object, Line: max(node.Line, 1), Column: max(node.Column, 1)}
		}
		documents = append(documents, node)
	}
	if len(documents) == 0 {
		documents = []*Node{{Kind: Object, Line: 1, Column: 1}}
	}
	return documents, nil
}

// composeYAML returns the nodes of every document as the library composes them: aliases are not
// expanded.
//
// The library's errors name the line where the enclosing construct starts, or none when that is
// the first. An empty line put in front and text handed over line by line tell more.
func composeYAML(text []byte) ([]*yaml.Node, error) {
	lines := &lineReader{rest: text}
	decoder := yaml.NewDecoder(lines)
	var roots []*yaml.Node
	for {
		var document yaml.Node
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			return roots, nil
		}
		if err != nil {
			return nil, yamlFault(text, err, lines.read)
		}
		if len(document.Content) == 1 {
			roots = append(roots, document.Content[0])
		}
		if len(roots) > MaxValues {
			return nil, fault.New(fault.Invalid, "document.too_many_values", "the text holds more than %d documents", MaxValues)
		}
	}
}

// lineReader hands over one line a call, so that its count tells how far the parser has come.
// The first one is empty.
type lineReader struct {
	rest  []byte
	read  int // lines handed over, without the empty one
	begun bool
}

func (r *lineReader) Read(p []byte) (int, error) {
	if !r.begun && len(p) > 0 {
		r.begun = true
		p[0] = '\n'
		return 1, nil
	}
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	end := bytes.IndexByte(r.rest, '\n') + 1
	if end == 0 {
		end = len(r.rest)
	}
	n := copy(p, r.rest[:end])
	r.rest = r.rest[n:]
	if n == end {
		r.read++
	}
	return n, nil
}

var (
	yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)
	// grammar matches what the parser says, as opposed to the scanner below it: its lines
	// count from 0, and are those of the enclosing construct.
	grammar = regexp.MustCompile(`^did not find expected (<|node content|'-'|key|',')`)
)

func yamlFault(text []byte, err error, read int) *fault.Error {
	message := err.Error()
	line := 0
	if found := yamlLine.FindStringSubmatch(message); found != nil {
		message = message[len(found[0]):]
		line, _ = strconv.Atoi(found[1])
	}
	lines := bytes.Split(text, []byte("\n"))
	if grammar.MatchString(message) || line == 0 {
		line = read
	} else {
		line, _ = yamlLines(text).place(line, 1)
	}
	line = max(1, min(line, len(lines)))
	for line > 1 && len(bytes.TrimSpace(lines[line-1])) == 0 {
		line--
	}
	indent := len(lines[line-1]) - len(bytes.TrimLeft(lines[line-1], " \t"))
	f := syntax("not valid YAML", line, indent+1, "%s", message)
	switch {
	case strings.Contains(message, "cannot start any token") && bytes.Contains(lines[line-1], []byte("\t")):
		f = f.Hinted("indent by spaces, not by tabs")
	case strings.Contains(message, "mapping values are not allowed"):
		f = f.Hinted("quote a value that holds a colon, and check the indentation")
	case strings.Contains(message, "could not find expected ':'"):
		f = f.Hinted("write \"key: value\", and check the indentation")
	}
	return f
}

// converted is a node with what it costs wherever an alias repeats it.
type converted struct {
	node *Node
	size int // values in it, aliases expanded
	deep int // levels in it
}

// yamlConverter turns composed nodes into ours. Aliases share their anchor's node.
type yamlConverter struct {
	builder
	// done holds what is converted; nil while it is being converted, so that an alias inside
	// its own anchor shows.
	done  map[*yaml.Node]*converted
	lines *lineStarts
}

func (c *yamlConverter) convert(n *yaml.Node, depth int) (*converted, *fault.Error) {
	line, column := c.place(n)
	if n.Kind == yaml.AliasNode {
		return c.alias(n, depth)
	}
	if depth > MaxDepth {
		return nil, tooDeep(line, column)
	}
	if err := c.spend(1, line, column); err != nil {
		return nil, err
	}
	if n.Anchor != "" {
		c.done[n] = nil
	}
	result := &converted{node: &Node{Line: line, Column: column}, size: 1, deep: 1}
	var err *fault.Error
	switch n.Kind {
	case yaml.MappingNode:
		err = c.mapping(n, result, depth)
	case yaml.SequenceNode:
		err = c.sequence(n, result, depth)
	default:
		result.node, err = yamlScalar(n, line, column)
	}
	if err != nil {
		return nil, err
	}
	if n.Anchor != "" {
		c.done[n] = result
	}
	return result, nil
}

func (c *yamlConverter) alias(n *yaml.Node, depth int) (*converted, *fault.Error) {
	line, column := c.place(n)
	result := c.done[n.Alias]
	if result == nil {
		return nil, fault.New(fault.Invalid, "document.syntax", "not valid YAML: the alias *%s stands inside its own anchor", n.Value).
			On(line, column)
	}
	if depth+result.deep-1 > MaxDepth {
		return nil, tooDeep(line, column)
	}
	if err := c.spend(result.size, line, column); err != nil {
		return nil, err.Hinted("aliases count as what they stand for; use fewer of them")
	}
	return result, nil
}

func (r *converted) contain(child *converted) {
	r.size += child.size
	r.deep = max(r.deep, child.deep+1)
}

func (c *yamlConverter) sequence(n *yaml.Node, result *converted, depth int) *fault.Error {
	result.node.Kind = Array
	for _, item := range n.Content {
		child, err := c.convert(item, depth+1)
		if err != nil {
			return err
		}
		result.node.Items = append(result.node.Items, child.node)
		result.contain(child)
	}
	return nil
}

func (c *yamlConverter) mapping(n *yaml.Node, result *converted, depth int) *fault.Error {
	result.node.Kind = Object
	var merges []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		line, column := c.place(name)
		if name.Kind == yaml.AliasNode {
			name = name.Alias
		}
		if name.Kind != yaml.ScalarNode {
			return syntax("not supported YAML", line, column, "a key must be a scalar").
				Hinted("give the format as %q to store it unchecked", Text)
		}
		if name.Value == "<<" && name.ShortTag() == "!!merge" {
			merges = append(merges, value)
			continue
		}
		if first := c.lookup(result.node, name.Value); first != nil {
			return duplicate(name.Value, first, line, column)
		}
		child, err := c.convert(value, depth+1)
		if err != nil {
			return err
		}
		c.add(result.node, Field{Key: name.Value, Line: line, Column: column, Value: child.node})
		result.contain(child)
	}
	for _, value := range merges {
		if err := c.merge(value, result, depth); err != nil {
			return err
		}
	}
	return nil
}

// merge adds what "<<" names, keys that are there already excepted (yaml.org/type/merge).
func (c *yamlConverter) merge(value *yaml.Node, result *converted, depth int) *fault.Error {
	child, err := c.convert(value, depth+1)
	if err != nil {
		return err
	}
	from := []*Node{child.node}
	if child.node.Kind == Array {
		from = child.node.Items
	}
	for _, node := range from {
		if node.Kind != Object {
			line, column := c.place(value)
			return syntax("not valid YAML", line, column, "only an object or a list of objects can be merged by <<, this is %s", node.Kind)
		}
		for _, field := range node.Fields {
			if c.lookup(result.node, field.Key) == nil {
				c.add(result.node, field)
			}
		}
	}
	result.contain(child)
	return nil
}

// lineStarts translates places as the parser counts them into places as editors do. It takes the
// empty line in front off again. The parser follows YAML 1.1, where a lone '\r', U+0085, U+2028 and
// U+2029 end a line too, and it takes a text to end in a line break.
type lineStarts struct {
	offsets []int // where the parser's lines start; nil when they are those of editors
	cursor  *cursor
	last    int // the last line, as editors count
	// The place found before, where the search for one further right in its line goes on.
	line, column, offset int
}

func yamlLines(text []byte) *lineStarts {
	breaks := bytes.Count(text, []byte("\r")) - bytes.Count(text, []byte("\r\n"))
	for _, r := range []string{"\u0085", "\u2028", "\u2029"} {
		breaks += bytes.Count(text, []byte(r))
	}
	l := &lineStarts{cursor: newCursor(text), last: bytes.Count(text, []byte("\n")) + 1}
	if breaks == 0 {
		return l
	}
	l.offsets = []int{0}
	for i, r := range string(text) {
		switch r {
		case '\r':
			if !bytes.HasPrefix(text[i:], []byte("\r\n")) {
				l.offsets = append(l.offsets, i+1)
			}
		case '\n', 0x85, 0x2028, 0x2029:
			l.offsets = append(l.offsets, i+utf8.RuneLen(r))
		}
	}
	return l
}

func (l *lineStarts) place(line, column int) (int, int) {
	line, column = max(line-1, 1), max(column, 1)
	switch {
	case l.offsets == nil && line <= l.last:
		return line, column
	case l.offsets == nil || line > len(l.offsets):
		return l.cursor.at(len(l.cursor.text))
	}
	if line != l.line || column < l.column {
		l.line, l.column, l.offset = line, 1, l.offsets[line-1]
	}
	for ; l.column < column && l.offset < len(l.cursor.text); l.column++ {
		_, size := utf8.DecodeRune(l.cursor.text[l.offset:])
		l.offset += size
	}
	return l.cursor.at(l.offset)
}

func (c *yamlConverter) place(n *yaml.Node) (line, column int) {
	return c.lines.place(n.Line, n.Column)
}

func yamlScalar(n *yaml.Node, line, column int) (*Node, *fault.Error) {
	node := &Node{Kind: String, Text: n.Value, Line: line, Column: column}
	switch n.ShortTag() {
	case "!!null":
		node.Kind, node.Text = Null, ""
	case "!!bool":
		node.Kind, node.Text = Bool, strings.ToLower(n.Value)
		if node.Text != "true" && node.Text != "false" {
			node.Kind, node.Text = String, n.Value
		}
	case "!!int":
		if text, ok := integer(n.Value); ok {
			return number(text, line, column)
		}
	case "!!float":
		if text, ok := float(n.Value); ok {
			return number(text, line, column)
		}
	}
	return node, nil
}
