package source

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
)

// MaxFaults is how many errors one answer lists.
const MaxFaults = 20

// Decode fills a struct (into points to it) from an object, strictly. Fields are named by their
// json tag; those also tagged spec:"required" must be there. It knows strings, booleans,
// integers, floating-point numbers, slices, maps with string keys, pointers (nil when absent or
// null), nested structs, [time.Duration] written as "1.5s", types that implement
// [encoding.TextUnmarshaler] (from a string), and *[Node] for anything. Other types are a
// programmer's error and panic.
//
// It returns every error up to [MaxFaults] as one fault of class Invalid: "document.unknown_field",
// "document.missing_field", "document.wrong_type" or "document.invalid_value".
func (t Tree) Decode(into any) error {
	target := reflect.ValueOf(into)
	if target.Kind() != reflect.Pointer || target.IsNil() || target.Elem().Kind() != reflect.Struct {
		panic(fmt.Sprintf("source: Decode into %T, want a pointer to a struct", into))
	}
	d := &decoder{tree: t}
	d.value(t.Root, target.Elem(), t.Field)
	return fault.Join(d.faults...)
}

type decoder struct {
	tree   Tree
	faults []*fault.Error
}

func (d *decoder) fail(line, column int, path, reason, format string, args ...any) *fault.Error {
	f := fault.New(fault.Invalid, reason, format, args...).At(path).On(line, column)
	if len(d.faults) < MaxFaults {
		d.faults = append(d.faults, f)
	}
	return f
}

// Got describes a value for "want a number, got the string "x"".
func (t Tree) Got(n *Node) string {
	if t.Secret {
		return n.Kind.String()
	}
	switch n.Kind {
	case Bool:
		return "the boolean " + n.Text
	case Number:
		return "the number " + cut(n.Text)
	case String:
		return "the string " + Quote(n.Text)
	default:
		return n.Kind.String()
	}
}

func cut(text string) string {
	if len(text) > 64 {
		return text[:64] + "..."
	}
	return text
}

func (d *decoder) mismatch(n *Node, path, want string) {
	f := d.fail(n.Line, n.Column, path, "document.wrong_type", "want %s, got %s", want, d.tree.Got(n))
	if want == "a string" && (n.Kind == Number || n.Kind == Bool) {
		f.Hint = "put it in quotes"
	}
}

func (d *decoder) value(n *Node, into reflect.Value, path string) {
	if into.Type() == reflect.TypeFor[*Node]() {
		into.Set(reflect.ValueOf(n))
		return
	}
	if into.Kind() == reflect.Pointer {
		if n.Kind == Null {
			return
		}
		into.Set(reflect.New(into.Type().Elem()))
		into = into.Elem()
	}
	if text, ok := into.Addr().Interface().(encoding.TextUnmarshaler); ok {
		d.text(n, text, path)
		return
	}
	if into.Type() == reflect.TypeFor[time.Duration]() {
		d.duration(n, into, path)
		return
	}
	switch into.Kind() {
	case reflect.Struct:
		d.object(n, into, path)
	case reflect.Map:
		d.mapping(n, into, path)
	case reflect.Slice:
		d.list(n, into, path)
	case reflect.String:
		if n.Kind != String {
			d.mismatch(n, path, "a string")
			return
		}
		into.SetString(n.Text)
	case reflect.Bool:
		if n.Kind != Bool {
			d.mismatch(n, path, "a boolean")
			return
		}
		into.SetBool(n.Text == "true")
	default:
		d.number(n, into, path)
	}
}

func (d *decoder) text(n *Node, into encoding.TextUnmarshaler, path string) {
	if n.Kind != String {
		d.mismatch(n, path, "a string")
		return
	}
	if err := into.UnmarshalText([]byte(n.Text)); err != nil {
		message := err.Error()
		if d.tree.Secret {
			message = "the value is not valid"
		}
		d.fail(n.Line, n.Column, path, "document.invalid_value", "%s", message)
	}
}

func (d *decoder) duration(n *Node, into reflect.Value, path string) {
	if n.Kind != String {
		d.mismatch(n, path, `a duration such as "1.5s"`)
		return
	}
	duration, err := time.ParseDuration(n.Text)
	if err != nil {
		d.mismatch(n, path, `a duration such as "1.5s"`)
		return
	}
	into.SetInt(int64(duration))
}

func (d *decoder) number(n *Node, into reflect.Value, path string) {
	want := "a number"
	var err error
	switch {
	case into.CanInt():
		var i int64
		if want = fmt.Sprintf("an integer of %d bits", into.Type().Bits()); n.Kind == Number {
			i, err = strconv.ParseInt(n.Text, 10, into.Type().Bits())
		}
		into.SetInt(i)
	case into.CanUint():
		var u uint64
		if want = fmt.Sprintf("an integer of %d bits from 0", into.Type().Bits()); n.Kind == Number {
			u, err = strconv.ParseUint(n.Text, 10, into.Type().Bits())
		}
		into.SetUint(u)
	case into.CanFloat():
		var f float64
		if n.Kind == Number {
			f, err = strconv.ParseFloat(n.Text, into.Type().Bits())
		}
		into.SetFloat(f)
	default:
		panic(fmt.Sprintf("source: Decode cannot fill a %s", into.Type()))
	}
	if n.Kind != Number || err != nil {
		d.mismatch(n, path, want)
	}
}

func (d *decoder) list(n *Node, into reflect.Value, path string) {
	if n.Kind != Array {
		d.mismatch(n, path, "a list")
		return
	}
	into.Set(reflect.MakeSlice(into.Type(), len(n.Items), len(n.Items)))
	for i, item := range n.Items {
		d.value(item, into.Index(i), join(path, strconv.Itoa(i), false))
	}
}

func (d *decoder) mapping(n *Node, into reflect.Value, path string) {
	if n.Kind != Object {
		d.mismatch(n, path, "an object")
		return
	}
	into.Set(reflect.MakeMapWithSize(into.Type(), len(n.Fields)))
	for _, f := range n.Fields {
		value := reflect.New(into.Type().Elem()).Elem()
		d.value(f.Value, value, join(path, f.Key, true))
		into.SetMapIndex(reflect.ValueOf(f.Key).Convert(into.Type().Key()), value)
	}
}

func (d *decoder) object(n *Node, into reflect.Value, path string) {
	if n.Kind != Object {
		d.mismatch(n, path, "an object")
		return
	}
	index := map[string]int{}
	for i := range into.NumField() {
		if name, _, _ := strings.Cut(into.Type().Field(i).Tag.Get("json"), ","); name != "" && name != "-" {
			index[name] = i
		}
	}
	for _, f := range n.Fields {
		at := join(path, f.Key, true)
		i, known := index[f.Key]
		if !known {
			d.unknown(f, at, index)
			continue
		}
		if f.Value.Kind == Null && into.Field(i).Type() != reflect.TypeFor[*Node]() {
			continue // "key:" with nothing behind it is the same as no key
		}
		d.value(f.Value, into.Field(i), at)
	}
	for i := range into.NumField() {
		field := into.Type().Field(i)
		if field.Tag.Get("spec") != "required" {
			continue
		}
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if given := n.Field(name); given == nil || given.Kind == Null {
			d.fail(n.Line, n.Column, join(path, name, true), "document.missing_field", "%s is missing", Quote(name)).
				Hint = "add it"
		}
	}
}

func (d *decoder) unknown(f Field, path string, index map[string]int) {
	if len(d.faults) >= MaxFaults {
		return
	}
	names := make([]string, 0, len(index))
	for name := range index {
		names = append(names, name)
	}
	slices.Sort(names)
	wrong := d.fail(f.Line, f.Column, path, "document.unknown_field", "unknown field %s", Quote(f.Key))
	if near := Suggest(f.Key, names); near != "" {
		wrong.Hint = fmt.Sprintf("did you mean %s?", Quote(near))
	} else {
		wrong.Hint = "known are " + strings.Join(names, ", ")
	}
}
