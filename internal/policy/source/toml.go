package source

import (
	"errors"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/gantry-platform/gantry/internal/fault"
)

// parseTOML builds the tree from the parser's expressions, which carry places, and leaves the
// rules of what may be defined twice to the decoder.
func parseTOML(text []byte) (*Node, error) {
	p := &tomlParser{cursor: newCursor(text)}
	p.Reset(text)
	root, wrong := p.document()
	if wrong != nil {
		return nil, wrong
	}
	var ignored map[string]any
	if err := toml.Unmarshal(text, &ignored); err != nil {
		line, column := 1, 1
		if at := (*toml.DecodeError)(nil); errors.As(err, &at) {
			line, column = at.Position()
			line, column = newCursor(text).at(offsetOf(text, line, column))
		}
		return nil, syntax("not valid TOML", line, column, "%s", tomlMessage(err))
	}
	return root, nil
}

// offsetOf turns a line and a column in bytes into an offset.
func offsetOf(text []byte, line, column int) int {
	for i, b := range text {
		if line <= 1 {
			return min(i+column-1, len(text))
		}
		if b == '\n' {
			line--
		}
	}
	return len(text)
}

func tomlMessage(err error) string {
	const prefix = "toml: "
	message := err.Error()
	if len(message) > len(prefix) && message[:len(prefix)] == prefix {
		message = message[len(prefix):]
	}
	return message
}

type tomlParser struct {
	unstable.Parser
	builder
	cursor *cursor
	end    int // behind the last key or value
}

func (p *tomlParser) document() (*Node, *fault.Error) {
	root := &Node{Kind: Object, Line: 1, Column: 1}
	table, depth := root, 1
	for p.NextExpression() {
		e := p.Expression()
		var err *fault.Error
		switch e.Kind {
		case unstable.KeyValue:
			err = p.assign(table, e, depth)
		case unstable.Table, unstable.ArrayTable:
			table, depth, err = p.header(root, e)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := p.Error(); err != nil {
		return nil, p.fault(err)
	}
	return root, nil
}

func (p *tomlParser) fault(err error) *fault.Error {
	line, column := 1, 1
	message := err.Error()
	if at := (*unstable.ParserError)(nil); errors.As(err, &at) {
		message = at.Message
		line, column = p.cursor.at(len(p.Data()))
		if len(at.Highlight) > 0 {
			line, column = p.cursor.at(int(p.Range(at.Highlight).Offset))
		}
	}
	return syntax("not valid TOML", line, column, "%s", message)
}

// tomlKey is one part of a dotted key.
type tomlKey struct {
	text         string
	line, column int
	end          int // the offset behind it
}

func (p *tomlParser) key(e *unstable.Node) []tomlKey {
	var keys []tomlKey
	for parts := e.Key(); parts.Next(); {
		part := parts.Node()
		line, column := p.cursor.at(int(part.Raw.Offset))
		keys = append(keys, tomlKey{string(part.Data), line, column, int(part.Raw.Offset + part.Raw.Length)})
	}
	return keys
}

// header opens the table that [a.b] or [[a.b]] names.
func (p *tomlParser) header(root *Node, e *unstable.Node) (*Node, int, *fault.Error) {
	keys := p.key(e)
	last := keys[len(keys)-1]
	if len(keys)+2 > MaxDepth {
		return nil, 0, tooDeep(last.line, last.column)
	}
	if e.Kind == unstable.Table {
		table, err := p.descend(root, keys)
		return table, len(keys) + 1, err
	}
	parent, err := p.descend(root, keys[:len(keys)-1])
	if err != nil {
		return nil, 0, err
	}
	if err := p.spend(1, last.line, last.column); err != nil {
		return nil, 0, err
	}
	table := &Node{Kind: Object, Line: last.line, Column: last.column}
	field := p.lookup(parent, last.text)
	if field == nil {
		list := &Node{Kind: Array, Line: last.line, Column: last.column}
		p.add(parent, Field{Key: last.text, Line: last.line, Column: last.column, Value: list})
		field = p.lookup(parent, last.text)
	}
	if field.Value.Kind != Array {
		return nil, 0, duplicate(last.text, field, last.line, last.column)
	}
	field.Value.Items = append(field.Value.Items, table)
	return table, len(keys) + 2, nil
}

// descend finds or makes the table under keys: the last one, where it is a list of tables.
func (p *tomlParser) descend(table *Node, keys []tomlKey) (*Node, *fault.Error) {
	for _, key := range keys {
		field := p.lookup(table, key.text)
		if field == nil {
			if err := p.spend(1, key.line, key.column); err != nil {
				return nil, err
			}
			child := &Node{Kind: Object, Line: key.line, Column: key.column}
			p.add(table, Field{Key: key.text, Line: key.line, Column: key.column, Value: child})
			table = child
			continue
		}
		child := field.Value
		if child.Kind == Array && len(child.Items) > 0 {
			child = child.Items[len(child.Items)-1]
		}
		if child.Kind != Object {
			return nil, duplicate(key.text, field, key.line, key.column)
		}
		table = child
	}
	return table, nil
}

func (p *tomlParser) assign(table *Node, e *unstable.Node, depth int) *fault.Error {
	keys := p.key(e)
	last := keys[len(keys)-1]
	if depth+len(keys) > MaxDepth {
		return tooDeep(last.line, last.column)
	}
	table, err := p.descend(table, keys[:len(keys)-1])
	if err != nil {
		return err
	}
	if first := p.lookup(table, last.text); first != nil {
		return duplicate(last.text, first, last.line, last.column)
	}
	p.end = last.end
	value, err := p.value(e.Value(), depth+len(keys))
	if err != nil {
		return err
	}
	p.add(table, Field{Key: last.text, Line: last.line, Column: last.column, Value: value})
	return nil
}

// value converts one value. The parser gives no place to lists: theirs is the next bracket.
func (p *tomlParser) value(v *unstable.Node, depth int) (*Node, *fault.Error) {
	at := int(v.Raw.Offset)
	if v.Kind == unstable.Array {
		at = p.bracket()
		p.end = at + 1
	} else {
		p.end = at + int(v.Raw.Length)
	}
	line, column := p.cursor.at(at)
	if depth > MaxDepth {
		return nil, tooDeep(line, column)
	}
	if err := p.spend(1, line, column); err != nil {
		return nil, err
	}
	node := &Node{Kind: String, Text: string(v.Data), Line: line, Column: column}
	switch v.Kind {
	case unstable.Bool:
		node.Kind = Bool
	case unstable.Integer:
		if text, ok := integer(node.Text); ok {
			return number(text, line, column)
		}
	case unstable.Float:
		if text, ok := float(node.Text); ok {
			return number(text, line, column)
		}
	case unstable.Array:
		node.Kind, node.Text = Array, ""
		for items := v.Children(); items.Next(); {
			item, err := p.value(items.Node(), depth+1)
			if err != nil {
				return nil, err
			}
			node.Items = append(node.Items, item)
		}
	case unstable.InlineTable:
		node.Kind, node.Text = Object, ""
		for fields := v.Children(); fields.Next(); {
			if err := p.assign(node, fields.Node(), depth); err != nil {
				return nil, err
			}
		}
	}
	return node, nil
}

// bracket finds the opening bracket of a list behind the last key or value: only punctuation,
// white space and comments stand between.
func (p *tomlParser) bracket() int {
	data := p.Data()
	for at := p.end; at < len(data); at++ {
		switch data[at] {
		case '[':
			return at
		case '#':
			for at < len(data) && data[at] != '\n' {
				at++
			}
		}
	}
	return p.end
}
