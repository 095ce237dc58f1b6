package migrate

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/gantry-platform/gantry/internal/fault"
)

const (
	// maxAnswer bounds one answer of a foreign system: the whole registry of a large Eureka server is some 20 MB.
	maxAnswer = 64 << 20
	// maxDepth bounds how deep an answer nests. The deepest of the four systems nests ten deep.
	maxDepth = 64
)

// decodeJSON reads an answer of a foreign system. Unknown fields are theirs to add.
func decodeJSON(data []byte, into any) error {
	if err := checkDepth(data); err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fault.New(fault.Invalid, "source.unreadable", "the answer cannot be read: %v", short(err.Error())).
			Hinted("see that the address and the kind of source are right").Because(err)
	}
	return nil
}

// checkDepth refuses what nests too deep, before a decoder's stack meets it.
func checkDepth(data []byte) error {
	depth, inString, escaped := 0, false, false
	for _, c := range data {
		switch {
		case escaped:
			escaped = false
		case inString && c == '\\':
			escaped = true
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return fault.New(fault.Invalid, "source.unreadable", "the answer nests more than %d deep", maxDepth)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

// oneOrMany is a list that some servers write as its only element.
type oneOrMany[T any] []T

// UnmarshalJSON implements json.Unmarshaler.
func (l *oneOrMany[T]) UnmarshalJSON(data []byte) error {
	data = bytes.TrimSpace(data)
	switch {
	case bytes.Equal(data, []byte("null")):
		*l = nil
		return nil
	case len(data) > 0 && data[0] == '[':
		var list []T
		if err := json.Unmarshal(data, &list); err != nil {
			return err
		}
		*l = list
		return nil
	default:
		var one T
		if err := json.Unmarshal(data, &one); err != nil {
			return err
		}
		*l = oneOrMany[T]{one}
		return nil
	}
}

// looseText is a string that some servers write as a number or a boolean; null is empty.
type looseText string

// UnmarshalJSON implements json.Unmarshaler.
func (t *looseText) UnmarshalJSON(data []byte) error {
	data = bytes.TrimSpace(data)
	switch {
	case bytes.Equal(data, []byte("null")):
		*t = ""
	case len(data) > 0 && data[0] == '"':
		var text string
		if err := json.Unmarshal(data, &text); err != nil {
			return err
		}
		*t = looseText(text)
	case len(data) > 0 && (data[0] == '{' || data[0] == '['):
		return fmt.Errorf("want a scalar, got %.1s", data)
	default:
		*t = looseText(data)
	}
	return nil
}

// looseMap is a map of strings whose values some servers write as numbers or booleans. Entries that are no scalars are left out:
// Eureka's servers write a class name beside the metadata, and nested values have no meaning as metadata.
type looseMap map[string]string

// UnmarshalJSON implements json.Unmarshaler.
func (m *looseMap) UnmarshalJSON(data []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	if raw == nil {
		*m = nil
		return nil
	}
	out := make(looseMap, len(raw))
	for key, value := range raw {
		var text looseText
		if text.UnmarshalJSON(value) == nil {
			out[key] = string(text)
		}
	}
	*m = out
	return nil
}

// short cuts what others wrote, so that an error stays readable.
func short(text string) string {
	const most = 200
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}
