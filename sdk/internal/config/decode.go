package config

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Report says how a document and a struct differ. Paths are dotted, such as "retry.limit", and sorted.
type Report struct {
	// Missing are keys that the struct has and the document lacks: their defaults stay. A mapping
	// that is missing as a whole is named once.
	Missing []string
	// Unknown are keys that the document has and the struct lacks.
	Unknown []string
}

// maxErrors bounds how many errors one decoding reports.
const maxErrors = 10

// Decode fills the struct that target points to from a tree that [Parse] made. What the tree
// lacks keeps its value. Maps and lists replace the default as a whole. The error names each
// offending key; the struct is then partly filled and of no use.
//
// A key belongs to the field whose tag `gantry:"key"`, or else `json:"key"`, is equal to it; a
// field without either takes the key that equals its name but for case, "-" and "_". The tag "-"
// leaves a field out; `gantry:"key,optional"` keeps it from being reported as missing.
//
// With hidden, errors say what is wrong without any part of the content: for secrets.
func Decode(tree map[string]any, target any, hidden bool) (Report, error) {
	value := reflect.ValueOf(target)
	if value.Kind() != reflect.Pointer || value.IsNil() || value.Elem().Kind() != reflect.Struct {
		return Report{}, fmt.Errorf("cannot bind to %T; a pointer to a struct is needed", target)
	}
	d := &decoder{hidden: hidden}
	d.structure("", tree, value.Elem())
	sort.Strings(d.report.Missing)
	sort.Strings(d.report.Unknown)
	return d.report, errors.Join(d.errs...)
}

// Check reports whether a struct type can be decoded into at all: an error names the first field
// whose type cannot.
func Check(t reflect.Type) error {
	if t.Kind() != reflect.Struct {
		return fmt.Errorf("cannot bind to %s; a struct is needed", t)
	}
	return checkType(t.String(), t, nil)
}

type decoder struct {
	report Report
	errs   []error
	hidden bool
}

// describe names a value for errors.
func (d *decoder) describe(value any) string {
	if d.hidden {
		return "the value does not fit (not shown: the document is sensitive)"
	}
	return describe(value)
}

func (d *decoder) fail(path, format string, args ...any) {
	if len(d.errs) < maxErrors {
		d.errs = append(d.errs, fmt.Errorf("%s: %s", path, fmt.Sprintf(format, args...)))
	}
}

// field is one field of a struct that takes a key.
type field struct {
	index    []int
	name     string
	tagged   bool
	optional bool
}

// fields lists a struct's fields; those of embedded structs without a tag count as its own.
func fields(t reflect.Type) []field {
	var all []field
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, tagged := tagOf(f)
		if name == "-" || (!f.IsExported() && !f.Anonymous) {
			continue
		}
		if f.Anonymous && !tagged && f.Type.Kind() == reflect.Struct {
			for _, inner := range fields(f.Type) {
				inner.index = append([]int{i}, inner.index...)
				all = append(all, inner)
			}
			continue
		}
		if !f.IsExported() {
			continue
		}
		if name == "" {
			name, tagged = lowerFirst(f.Name), false
		}
		all = append(all, field{index: []int{i}, name: name, tagged: tagged, optional: slices.Contains(options, "optional")})
	}
	return all
}

func tagOf(f reflect.StructField) (name string, options []string, tagged bool) {
	for _, key := range []string{"gantry", "json"} {
		if tag, ok := f.Tag.Lookup(key); ok {
			parts := strings.Split(tag, ",")
			return parts[0], parts[1:], true
		}
	}
	return "", nil, false
}

// lowerFirst is how an untagged field is shown: MaxAmount as maxAmount.
func lowerFirst(name string) string {
	if strings.ToUpper(name) == name {
		return strings.ToLower(name)
	}
	return strings.ToLower(name[:1]) + name[1:]
}

var folding = strings.NewReplacer("-", "", "_", "")

// fold is how untagged names are compared.
func fold(name string) string { return strings.ToLower(folding.Replace(name)) }

func (d *decoder) structure(path string, tree map[string]any, target reflect.Value) {
	taken := make(map[string]bool, len(tree))
	var folded map[string]string
	for _, f := range fields(target.Type()) {
		key := f.name
		value, found := tree[key]
		if !found && !f.tagged {
			if folded == nil {
				folded = make(map[string]string, len(tree))
				for name := range tree {
					// The smaller name wins, so that two that fold alike decode alike each time.
					if was, ok := folded[fold(name)]; !ok || name < was {
						folded[fold(name)] = name
					}
				}
			}
			if name, ok := folded[fold(f.name)]; ok && !taken[name] {
				key, found = name, true
				value = tree[name]
			}
		}
		if !found {
			if !f.optional {
				d.report.Missing = append(d.report.Missing, join(path, f.name))
			}
			continue
		}
		taken[key] = true
		d.value(join(path, key), value, target.FieldByIndex(f.index))
	}
	for key := range tree {
		if !taken[key] {
			d.report.Unknown = append(d.report.Unknown, join(path, key))
		}
	}
}

var (
	durationType        = reflect.TypeFor[time.Duration]()
	timeType            = reflect.TypeFor[time.Time]()
	textUnmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func (d *decoder) value(path string, value any, target reflect.Value) {
	// null is the same as leaving the key out, as in Go's own decoders.
	if value == nil {
		return
	}
	switch {
	case target.Type() == durationType:
		d.duration(path, value, target)
		return
	case target.Type() == timeType:
		d.time(path, value, target)
		return
	case target.Kind() == reflect.Pointer:
		// A fresh copy, so that the default that the pointer leads to stays as it is.
		fresh := reflect.New(target.Type().Elem())
		if !target.IsNil() {
			fresh.Elem().Set(target.Elem())
		}
		d.value(path, value, fresh.Elem())
		target.Set(fresh)
		return
	case reflect.PointerTo(target.Type()).Implements(textUnmarshalerType):
		text, ok := asText(value)
		if !ok {
			d.fail(path, "%s; a text is needed", d.describe(value))
			return
		}
		if err := target.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text)); err != nil {
			if d.hidden {
				err = errors.New("not a valid " + target.Type().String())
			}
			d.fail(path, "%s: %v", d.describe(value), err)
		}
		return
	}
	switch target.Kind() {
	case reflect.Struct:
		tree, ok := value.(map[string]any)
		if !ok {
			d.fail(path, "%s; a mapping is needed", d.describe(value))
			return
		}
		d.structure(path, tree, target)
	case reflect.Map:
		d.mapping(path, value, target)
	case reflect.Slice:
		d.list(path, value, target)
	case reflect.Interface:
		if target.NumMethod() == 0 {
			target.Set(reflect.ValueOf(plain(value)))
			return
		}
		d.fail(path, "the field's type %s cannot be bound", target.Type())
	default:
		d.scalar(path, value, target)
	}
}

func (d *decoder) mapping(path string, value any, target reflect.Value) {
	tree, ok := value.(map[string]any)
	if !ok {
		d.fail(path, "%s; a mapping is needed", d.describe(value))
		return
	}
	result := reflect.MakeMapWithSize(target.Type(), len(tree))
	for _, key := range sortedKeys(tree) {
		item := reflect.New(target.Type().Elem()).Elem()
		d.value(join(path, key), tree[key], item)
		result.SetMapIndex(reflect.ValueOf(key).Convert(target.Type().Key()), item)
	}
	target.Set(result)
}

func (d *decoder) list(path string, value any, target reflect.Value) {
	var items []any
	switch v := value.(type) {
	case []any:
		items = v
	case Text:
		// Formats without lists write them with commas.
		if strings.TrimSpace(string(v)) != "" {
			for _, part := range strings.Split(string(v), ",") {
				items = append(items, Text(strings.TrimSpace(part)))
			}
		}
	default:
		d.fail(path, "%s; a list is needed", d.describe(value))
		return
	}
	result := reflect.MakeSlice(target.Type(), len(items), len(items))
	for i, item := range items {
		d.value(path+"["+strconv.Itoa(i)+"]", item, result.Index(i))
	}
	target.Set(result)
}

func (d *decoder) duration(path string, value any, target reflect.Value) {
	text, ok := asText(value)
	if !ok {
		d.fail(path, `%s; a duration with its unit is needed, such as "1.5s"`, d.describe(value))
		return
	}
	duration, err := time.ParseDuration(strings.TrimSpace(text))
	if err != nil {
		d.fail(path, `%s; a duration with its unit is needed, such as "1.5s"`, d.describe(value))
		return
	}
	target.SetInt(int64(duration))
}

func (d *decoder) time(path string, value any, target reflect.Value) {
	if at, ok := value.(time.Time); ok {
		target.Set(reflect.ValueOf(at))
		return
	}
	text, _ := asText(value)
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		d.fail(path, `%s; a time is needed, such as "2006-01-02T15:04:05Z"`, d.describe(value))
		return
	}
	target.Set(reflect.ValueOf(at))
}

func (d *decoder) scalar(path string, value any, target reflect.Value) {
	switch target.Kind() {
	case reflect.String:
		text, ok := asText(value)
		if !ok {
			d.fail(path, "%s; a text is needed: put it in quotes", d.describe(value))
			return
		}
		target.SetString(text)
	case reflect.Bool:
		flag, ok := value.(bool)
		if text, isText := value.(Text); isText {
			parsed, err := strconv.ParseBool(strings.TrimSpace(string(text)))
			flag, ok = parsed, err == nil
		}
		if !ok {
			d.fail(path, "%s; true or false is needed", d.describe(value))
			return
		}
		target.SetBool(flag)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		number, err := strconv.ParseInt(digits(value), 10, target.Type().Bits())
		if err != nil {
			d.fail(path, "%s; a whole number%s is needed", d.describe(value), rangeOf(target.Type()))
			return
		}
		target.SetInt(number)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		number, err := strconv.ParseUint(digits(value), 10, target.Type().Bits())
		if err != nil {
			d.fail(path, "%s; a whole number%s is needed", d.describe(value), rangeOf(target.Type()))
			return
		}
		target.SetUint(number)
	case reflect.Float32, reflect.Float64:
		number, err := strconv.ParseFloat(digits(value), target.Type().Bits())
		if err != nil || math.IsNaN(number) || math.IsInf(number, 0) {
			d.fail(path, "%s; a finite number is needed", d.describe(value))
			return
		}
		target.SetFloat(number)
	default:
		d.fail(path, "the field's type %s cannot be bound", target.Type())
	}
}

// asText returns the text of a value that is one.
func asText(value any) (string, bool) {
	switch v := value.(type) {
	case string:
		return v, true
	case Text:
		return string(v), true
	}
	return "", false
}

// digits writes a number the way strconv reads it; "" when the value is none. Floats without a
// fraction count as whole numbers.
func digits(value any) string {
	switch v := value.(type) {
	case int:
		return strconv.Itoa(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case uint64:
		return strconv.FormatUint(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case json.Number:
		return v.String()
	case Text:
		return strings.TrimSpace(string(v))
	}
	return ""
}

func rangeOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Int, reflect.Int64:
		return ""
	case reflect.Uint, reflect.Uint64:
		return " of at least 0"
	case reflect.Int8, reflect.Int16, reflect.Int32:
		return fmt.Sprintf(" from %d to %d", -(int64(1) << (t.Bits() - 1)), int64(1)<<(t.Bits()-1)-1)
	default:
		return fmt.Sprintf(" from 0 to %d", uint64(1)<<t.Bits()-1)
	}
}

// plain turns this package's own scalars into ones that a caller knows.
func plain(value any) any {
	switch v := value.(type) {
	case Text:
		return string(v)
	case map[string]any:
		mapping := make(map[string]any, len(v))
		for key, item := range v {
			mapping[key] = plain(item)
		}
		return mapping
	case []any:
		items := make([]any, len(v))
		for i, item := range v {
			items[i] = plain(item)
		}
		return items
	}
	return value
}

func sortedKeys(tree map[string]any) []string {
	keys := make([]string, 0, len(tree))
	for key := range tree {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}

func checkType(path string, t reflect.Type, seen []reflect.Type) error {
	if t == durationType || t == timeType || reflect.PointerTo(t).Implements(textUnmarshalerType) || slices.Contains(seen, t) {
		return nil
	}
	switch t.Kind() {
	case reflect.Struct:
		for _, f := range fields(t) {
			inner := t.FieldByIndex(f.index)
			if err := checkType(path+"."+inner.Name, inner.Type, append(seen, t)); err != nil {
				return err
			}
		}
		return nil
	case reflect.Pointer, reflect.Slice:
		return checkType(path, t.Elem(), append(seen, t))
	case reflect.Map:
		if t.Key().Kind() != reflect.String {
			return fmt.Errorf("%s has the type %s; only maps with string keys can be bound", path, t)
		}
		return checkType(path, t.Elem(), append(seen, t))
	case reflect.Interface:
		if t.NumMethod() == 0 {
			return nil
		}
	case reflect.String, reflect.Bool, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return nil
	}
	return fmt.Errorf("%s has the type %s, which cannot be bound", path, t)
}
