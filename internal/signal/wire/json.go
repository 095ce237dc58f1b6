package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"

	"github.com/gantry-platform/gantry/internal/signal"
)

// AppendAttributes writes attributes as one JSON object, in their order; of keys that come twice the last counts for readers.
func AppendAttributes(to []byte, attributes []signal.Attribute) []byte {
	to = append(to, '{')
	for i := range attributes {
		if i > 0 {
			to = append(to, ',')
		}
		to = AppendAttribute(to, attributes[i].Key, attributes[i].Value)
	}
	return append(to, '}')
}

// AppendAttribute writes one member of such an object.
func AppendAttribute(to []byte, key string, value signal.Value) []byte {
	return AppendValue(append(appendString(to, key), ':'), value)
}

var errNoObject = errors.New("wire: attributes are no JSON object")

// ParseAttributes reads what [AppendAttributes] wrote.
func ParseAttributes(text string) ([]signal.Attribute, error) {
	if text == "" || text == "{}" {
		return nil, nil
	}
	in := json.NewDecoder(strings.NewReader(text))
	if token, err := in.Token(); err != nil || token != json.Delim('{') {
		return nil, errNoObject
	}
	var out []signal.Attribute
	for in.More() {
		token, err := in.Token()
		if err != nil {
			return nil, err
		}
		key, ok := token.(string)
		if !ok {
			return nil, errNoObject
		}
		var raw json.RawMessage
		if err := in.Decode(&raw); err != nil {
			return nil, err
		}
		value, err := parseValue(raw)
		if err != nil {
			return nil, err
		}
		out = append(out, signal.Attribute{Key: key, Value: value})
	}
	return out, nil
}

func parseValue(raw []byte) (signal.Value, error) {
	switch raw[0] {
	case 'n':
		return signal.Value{}, nil
	case 't':
		return signal.Value{Type: signal.TypeBool, Number: 1}, nil
	case 'f':
		return signal.Value{Type: signal.TypeBool}, nil
	case '"':
		var text string
		err := json.Unmarshal(raw, &text)
		return signal.Value{Type: signal.TypeString, Text: text}, err
	case '[', '{':
		return parseNested(raw)
	}
	if bytes.ContainsAny(raw, ".eE") {
		f, err := strconv.ParseFloat(string(raw), 64)
		return signal.Value{Type: signal.TypeDouble, Number: math.Float64bits(f)}, err
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	return signal.Value{Type: signal.TypeInt, Number: uint64(n)}, err
}

func parseNested(raw []byte) (signal.Value, error) {
	var marked struct {
		Bytes  *string `json:"$bytes"`
		Double *string `json:"$double"`
	}
	if bytes.HasPrefix(raw, []byte(`{"$`)) && json.Unmarshal(raw, &marked) == nil {
		switch {
		case marked.Bytes != nil:
			b, err := base64.StdEncoding.DecodeString(*marked.Bytes)
			return signal.Value{Type: signal.TypeBytes, Text: string(b)}, err
		case marked.Double != nil:
			f, err := strconv.ParseFloat(*marked.Double, 64)
			return signal.Value{Type: signal.TypeDouble, Number: math.Float64bits(f)}, err
		}
	}
	return signal.Value{Type: signal.TypeJSON, Text: string(raw)}, nil
}

// Text is a value as people write it in a search: strings as they are, numbers in decimal, booleans as true and false, bytes in base64.
func Text(v signal.Value) string {
	switch v.Type {
	case signal.TypeString, signal.TypeJSON:
		return v.Text
	case signal.TypeBytes:
		return base64.StdEncoding.EncodeToString([]byte(v.Text))
	case signal.TypeDouble:
		return strconv.FormatFloat(math.Float64frombits(v.Number), 'g', -1, 64)
	case signal.TypeEmpty:
		return ""
	default:
		return string(AppendValue(nil, v))
	}
}
