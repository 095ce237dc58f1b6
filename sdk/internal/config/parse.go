// Package config turns the text of a configuration document into a Go value: [Parse] reads the
// formats, [Decode] fills a struct and says which keys it missed and which it did not know.
//
// It imports nothing of the project. Content comes from outside and is hostile: parsers return
// errors, never panic, and use memory in proportion to the content.
package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"go.yaml.in/yaml/v3"
)

// MaxSize is the largest content that is parsed, in bytes: the server's limit for a document.
const MaxSize = 1 << 20

// maxDepth bounds nesting, so that walking a tree cannot exhaust the stack. No configuration
// written by people comes near it.
const maxDepth = 200

// Text is a scalar whose format has no types: it becomes whatever the target wants.
type Text string

// Parse reads content in one of the formats yaml, json, toml and properties into a tree of
// map[string]any, []any and scalars. Empty content is an empty tree. The root must be a mapping.
func Parse(format string, content []byte) (map[string]any, error) {
	if len(content) > MaxSize {
		return nil, fmt.Errorf("the content has %d bytes; at most %d are allowed", len(content), MaxSize)
	}
	var root any
	var err error
	switch format {
	case "yaml":
		root, err = parseYAML(content)
	case "json":
		root, err = parseJSON(content)
	case "toml":
		root, err = parseTOML(content)
	case "properties":
		return parseProperties(content)
	default:
		return nil, fmt.Errorf("format %q cannot be bound to a struct; use yaml, json, toml or properties", format)
	}
	if err != nil {
		return nil, err
	}
	if root == nil {
		return map[string]any{}, nil
	}
	root, err = normalise(root, 0)
	if err != nil {
		return nil, err
	}
	mapping, ok := root.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("the content is %s; a mapping of keys to values is needed", describe(root))
	}
	return mapping, nil
}

func parseYAML(content []byte) (any, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var root any
	if err := decoder.Decode(&root); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var more any
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		if err != nil {
			return nil, err
		}
		return nil, errors.New("yaml: more than one document; put one in each")
	}
	return root, nil
}

func parseJSON(content []byte) (any, error) {
	if len(bytes.TrimSpace(content)) == 0 {
		return nil, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(content))
	// Large integers must not pass through float64.
	decoder.UseNumber()
	var root any
	if err := decoder.Decode(&root); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			line := 1 + bytes.Count(content[:min(int(syntax.Offset), len(content))], []byte("\n"))
			return nil, fmt.Errorf("json: line %d: %w", line, err)
		}
		return nil, fmt.Errorf("json: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("json: text after the end of the value")
	}
	return root, nil
}

func parseTOML(content []byte) (any, error) {
	root := map[string]any{}
	if err := toml.Unmarshal(content, &root); err != nil {
		var where *toml.DecodeError
		if errors.As(err, &where) {
			line, column := where.Position()
			return nil, fmt.Errorf("toml: line %d:%d: %w", line, column, err)
		}
		return nil, err
	}
	return root, nil
}

// normalise makes the parsers' trees alike: maps have string keys, sequences are []any.
func normalise(value any, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d levels", maxDepth)
	}
	var err error
	switch v := value.(type) {
	case map[string]any:
		for key, item := range v {
			if v[key], err = normalise(item, depth+1); err != nil {
				return nil, err
			}
		}
		return v, nil
	case map[any]any:
		mapping := make(map[string]any, len(v))
		for key, item := range v {
			if mapping[fmt.Sprint(key)], err = normalise(item, depth+1); err != nil {
				return nil, err
			}
		}
		return mapping, nil
	case []any:
		for i, item := range v {
			if v[i], err = normalise(item, depth+1); err != nil {
				return nil, err
			}
		}
		return v, nil
	case []map[string]any:
		items := make([]any, len(v))
		for i, item := range v {
			if items[i], err = normalise(item, depth+1); err != nil {
				return nil, err
			}
		}
		return items, nil
	}
	return value, nil
}

// describe names a value's shape for errors.
func describe(value any) string {
	switch v := value.(type) {
	case nil:
		return "null"
	case map[string]any:
		return "a mapping"
	case []any:
		return "a list"
	case bool:
		return fmt.Sprintf("the boolean %t", v)
	case string, Text:
		return fmt.Sprintf("the text %q", shorten(fmt.Sprint(v)))
	default:
		return fmt.Sprintf("the value %s", shorten(fmt.Sprint(v)))
	}
}

// shorten keeps error messages readable.
func shorten(text string) string {
	const limit = 64
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "..."
}
