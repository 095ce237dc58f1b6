package source

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"

	"github.com/gantry-platform/gantry/internal/fault"
)

func syntax(format string, line, column int, text string, args ...any) *fault.Error {
	return fault.New(fault.Invalid, "document.syntax", format+": "+text, args...).On(line, column)
}

// parseJSON checks the whole text first, so that the walk over its tokens cannot fail.
func parseJSON(text []byte) (*Node, error) {
	var raw json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		offset := len(text)
		if wrong := (*json.SyntaxError)(nil); errors.As(err, &wrong) {
			offset = int(wrong.Offset) - 1
			if strings.HasPrefix(wrong.Error(), "unexpected end") {
				offset = len(text)
			}
		}
		line, column := newCursor(text).at(offset)
		return nil, syntax("not valid JSON", line, column, "%s", err)
	}
	p := &jsonParser{text: text, cursor: newCursor(text), tokens: json.NewDecoder(bytes.NewReader(text))}
	p.tokens.UseNumber()
	token, line, column, err := p.next()
	if err != nil {
		return nil, err
	}
	root, wrong := p.value(token, line, column, 1)
	if wrong != nil {
		return nil, wrong
	}
	return root, nil
}

type jsonParser struct {
	builder
	text   []byte
	cursor *cursor
	tokens *json.Decoder
}

// next returns a token and where it starts: behind the one before, separators skipped.
func (p *jsonParser) next() (json.Token, int, int, *fault.Error) {
	start := int(p.tokens.InputOffset())
	for start < len(p.text) && strings.IndexByte(" \t\r\n,:", p.text[start]) >= 0 {
		start++
	}
	line, column := p.cursor.at(start)
	token, err := p.tokens.Token()
	if err != nil {
		return nil, 0, 0, syntax("not valid JSON", line, column, "%s", err)
	}
	return token, line, column, nil
}

func (p *jsonParser) value(token json.Token, line, column, depth int) (*Node, *fault.Error) {
	if err := p.spend(1, line, column); err != nil {
		return nil, err
	}
	if depth > MaxDepth {
		return nil, tooDeep(line, column)
	}
	switch token := token.(type) {
	case json.Delim:
		node := &Node{Kind: Array, Line: line, Column: column}
		if token == '{' {
			node.Kind = Object
			return node, p.object(node, depth)
		}
		return node, p.array(node, depth)
	case string:
		return &Node{Kind: String, Text: token, Line: line, Column: column}, nil
	case json.Number:
		return number(token.String(), line, column)
	case bool:
		node := &Node{Kind: Bool, Text: "false", Line: line, Column: column}
		if token {
			node.Text = "true"
		}
		return node, nil
	default:
		return &Node{Kind: Null, Line: line, Column: column}, nil
	}
}

func (p *jsonParser) object(node *Node, depth int) *fault.Error {
	for {
		token, line, column, err := p.next()
		if err != nil {
			return err
		}
		key, ok := token.(string)
		if !ok {
			return nil // the closing brace
		}
		if first := p.lookup(node, key); first != nil {
			return duplicate(key, first, line, column)
		}
		field := Field{Key: key, Line: line, Column: column}
		if token, line, column, err = p.next(); err != nil {
			return err
		}
		var wrong *fault.Error
		if field.Value, wrong = p.value(token, line, column, depth+1); wrong != nil {
			return wrong
		}
		p.add(node, field)
	}
}

func (p *jsonParser) array(node *Node, depth int) *fault.Error {
	for {
		token, line, column, err := p.next()
		if err != nil {
			return err
		}
		if token == json.Delim(']') {
			return nil
		}
		item, wrong := p.value(token, line, column, depth+1)
		if wrong != nil {
			return wrong
		}
		node.Items = append(node.Items, item)
	}
}
