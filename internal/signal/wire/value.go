package wire

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gantry-platform/gantry/internal/signal"
)

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
