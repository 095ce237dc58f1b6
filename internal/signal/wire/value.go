package wire

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"strconv"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gantry-platform/gantry/internal/signal"
)

// attribute reads a KeyValue in the way that exporters write nearly all: the key, then the value, both shorter than 128 bytes and nothing else. It
// tells false, and leaves a alone, when the bytes are not so; then [Decoder.keyValue] reads them.
func (d *Decoder) attribute(b []byte, a *signal.Attribute) bool {
	if len(b) < 4 || b[0] != 1<<3|byte(protowire.BytesType) || b[1] >= 0x80 {
		return false
	}
	at := 2 + int(b[1])
	if at+2 > len(b) || b[at] != 2<<3|byte(protowire.BytesType) || b[at+1] >= 0x80 || at+2+int(b[at+1]) != len(b) {
		return false
	}
	key, value := b[2:at:at], b[at+2:]
	if len(value) < 2 {
		return false
	}
	switch value[0] {
	case 1<<3 | byte(protowire.BytesType):
		if int(value[1]) != len(value)-2 {
			return false
		}
		text := value[2:]
		// The bytes between the texts are all below 0x80: one look is enough for both.
		if d.Trusted || isASCII(b) {
			a.Key, a.Value.Text, a.Value.Number = asText(key), asText(text), 0
		} else {
			a.Key, a.Value.Text, a.Value.Number = d.text(key), d.text(text), 0
		}
		a.Value.Type = signal.TypeString
		return true
	case 2<<3 | byte(protowire.VarintType):
		number, n := nextVarint(value[1:])
		if n != len(value)-1 {
			return false
		}
		a.Key, a.Value = d.text(key), signal.Value{Type: signal.TypeBool, Number: min(number, 1)}
		return true
	case 3<<3 | byte(protowire.VarintType):
		number, n := nextVarint(value[1:])
		if n != len(value)-1 {
			return false
		}
		a.Key, a.Value = d.text(key), signal.Value{Type: signal.TypeInt, Number: number}
		return true
	case 4<<3 | byte(protowire.Fixed64Type):
		if len(value) != 9 {
			return false
		}
		a.Key, a.Value = d.text(key), signal.Value{Type: signal.TypeDouble, Number: binary.LittleEndian.Uint64(value[1:])}
		return true
	}
	return false
}

// isASCII tells whether all bytes are below 0x80.
func isASCII(b []byte) bool {
	const high = 0x8080808080808080
	for len(b) >= 8 {
		if binary.LittleEndian.Uint64(b)&high != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

func asText(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// appendAttribute appends a KeyValue to a list.
func (d *Decoder) appendAttribute(to []signal.Attribute, b []byte) ([]signal.Attribute, error) {
	to = append(to, signal.Attribute{})
	a := &to[len(to)-1]
	if d.attribute(b, a) {
		return to, nil
	}
	var err error
	*a, err = d.keyValue(b, 0)
	return to, err
}

func (d *Decoder) keyValue(b []byte, depth int) (signal.Attribute, error) {
	var a signal.Attribute
	for len(b) > 0 {
		number, kind, n := nextTag(b)
		if n < 0 {
			return a, errTorn
		}
		b = b[n:]
		if kind != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
				return a, errTorn
			}
			b = b[n:]
			continue
		}
		value, n := nextBytes(b)
		if n < 0 {
			return a, errTorn
		}
		b = b[n:]
		switch number {
		case 1:
			a.Key = d.text(value)
		case 2:
			v, err := d.value(value, depth)
			if err != nil {
				return a, err
			}
			a.Value = v
		}
	}
	return a, nil
}

func (d *Decoder) value(b []byte, depth int) (signal.Value, error) {
	var v signal.Value
	for len(b) > 0 {
		number, kind, n := nextTag(b)
		if n < 0 {
			return v, errTorn
		}
		b = b[n:]
		switch kind {
		case protowire.BytesType:
			value, n := nextBytes(b)
			if n < 0 {
				return v, errTorn
			}
			b = b[n:]
			var err error
			if v, err = d.longValue(v, number, value, depth); err != nil {
				return v, err
			}
		case protowire.VarintType:
			value, n := nextVarint(b)
			if n < 0 {
				return v, errTorn
			}
			b = b[n:]
			switch number {
			case 2:
				v = signal.Value{Type: signal.TypeBool, Number: min(value, 1)}
			case 3:
				v = signal.Value{Type: signal.TypeInt, Number: value}
			}
		case protowire.Fixed64Type:
			value, n := protowire.ConsumeFixed64(b)
			if n < 0 {
				return v, errTorn
			}
			b = b[n:]
			if number == 4 {
				v = signal.Value{Type: signal.TypeDouble, Number: value}
			}
		default:
			n := protowire.ConsumeFieldValue(number, kind, b)
			if n < 0 {
				return v, errTorn
			}
			b = b[n:]
		}
	}
	return v, nil
}

// longValue reads the alternatives that are bytes on the wire; others leave v as it is.
func (d *Decoder) longValue(v signal.Value, number protowire.Number, value []byte, depth int) (signal.Value, error) {
	switch number {
	case 1:
		return signal.Value{Type: signal.TypeString, Text: d.text(value)}, nil
	case 5, 6:
		out, err := d.appendJSON(nil, number, value, depth)
		if len(out) > MaxText {
			d.Cut++
			out = []byte(`"(too large)"`)
		}
		return signal.Value{Type: signal.TypeJSON, Text: string(out)}, err
	case 7:
		if len(value) > MaxText {
			d.Cut++
			value = value[:MaxText]
		}
		return signal.Value{Type: signal.TypeBytes, Text: unsafe.String(unsafe.SliceData(value), len(value))}, nil
	}
	return v, nil
}

// appendJSON writes an ArrayValue (5) or a KeyValueList (6) as JSON. What is nested too deep is null.
func (d *Decoder) appendJSON(to []byte, number protowire.Number, message []byte, depth int) ([]byte, error) {
	if depth == maxDepth {
		d.Cut++
		return append(to, "null"...), nil
	}
	opening, closing := byte('['), byte(']')
	if number == 6 {
		opening, closing = '{', '}'
	}
	to = append(to, opening)
	empty := true
	err := fields(message, func(field protowire.Number, item []byte, _ uint64) error {
		if field != 1 || item == nil || len(to) > MaxText {
			return nil
		}
		if !empty {
			to = append(to, ',')
		}
		empty = false
		if number == 6 {
			a, err := d.keyValue(item, depth+1)
			if err != nil {
				return err
			}
			to = append(appendString(to, a.Key), ':')
			to = AppendValue(to, a.Value)
			return nil
		}
		v, err := d.value(item, depth+1)
		if err != nil {
			return err
		}
		to = AppendValue(to, v)
		return nil
	})
	return append(to, closing), err
}

func appendString(to []byte, text string) []byte {
	plain := true
	for i := 0; i < len(text) && plain; i++ {
		c := text[i]
		plain = c >= 0x20 && c != '"' && c != '\\' && c < 0x7f
	}
	if plain {
		return append(append(append(to, '"'), text...), '"')
	}
	quoted, err := json.Marshal(text)
	if err != nil {
		return append(to, `""`...) // cannot be: every string has a form
	}
	return append(to, quoted...)
}

// AppendValue writes a value as JSON from which [ParseAttributes] gives back the type: doubles have a point or an exponent; bytes are an object
// with one field "$bytes" in base64, and doubles that JSON lacks one with the field "$double".
func AppendValue(to []byte, v signal.Value) []byte {
	switch v.Type {
	case signal.TypeString:
		return appendString(to, v.Text)
	case signal.TypeBool:
		return strconv.AppendBool(to, v.Number != 0)
	case signal.TypeInt:
		return strconv.AppendInt(to, int64(v.Number), 10)
	case signal.TypeDouble:
		return appendDouble(to, math.Float64frombits(v.Number))
	case signal.TypeBytes:
		to = append(to, `{"$bytes":"`...)
		to = base64.StdEncoding.AppendEncode(to, []byte(v.Text))
		return append(to, `"}`...)
	case signal.TypeJSON:
		return append(to, v.Text...)
	default:
		return append(to, "null"...)
	}
}

func appendDouble(to []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(to, `{"$double":"NaN"}`...)
	case math.IsInf(f, 1):
		return append(to, `{"$double":"Infinity"}`...)
	case math.IsInf(f, -1):
		return append(to, `{"$double":"-Infinity"}`...)
	}
	start := len(to)
	to = strconv.AppendFloat(to, f, 'g', -1, 64)
	for _, c := range to[start:] {
		if c == '.' || c == 'e' {
			return to
		}
	}
	return append(to, '.', '0')
}
