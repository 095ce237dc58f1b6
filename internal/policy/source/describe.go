package source

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Describe is a JSON Schema (draft 2020-12) of what [Tree.Decode] takes for a type: its fields, which of them must be there, and of which kind they are. What a kind
// checks beyond that is not in it. A string type with a method Words() []string is one of these. Types that Decode does not know are a programmer's error and panic.
func Describe(t reflect.Type) map[string]any {
	return describe(t, nil)
}

func describe(t reflect.Type, within []reflect.Type) map[string]any {
	if t == reflect.TypeFor[*Node]() {
		return map[string]any{}
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return map[string]any{"type": "string"}
	}
	if t == reflect.TypeFor[time.Duration]() {
		return map[string]any{"type": "string", "description": `a duration such as "1.5s"`}
	}
	switch t.Kind() {
	case reflect.Struct:
		for _, outer := range within {
			if outer == t {
				return map[string]any{"type": "object"}
			}
		}
		return describeObject(t, append(within[:len(within):len(within)], t))
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": describe(t.Elem(), within)}
	case reflect.Slice:
		return map[string]any{"type": "array", "items": describe(t.Elem(), within)}
	case reflect.String:
		if words, closed := reflect.Zero(t).Interface().(interface{ Words() []string }); closed {
			return map[string]any{"type": "string", "enum": words.Words()}
		}
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return map[string]any{"type": "integer"}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return map[string]any{"type": "integer", "minimum": 0}
	case reflect.Float32, reflect.Float64:
		return map[string]any{"type": "number"}
	default:
		panic(fmt.Sprintf("source: Describe cannot describe a %s", t))
	}
}

func describeObject(t reflect.Type, within []reflect.Type) map[string]any {
	properties, required := map[string]any{}, []string{}
	for i := range t.NumField() {
		field := t.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		properties[name] = describe(field.Type, within)
		if field.Tag.Get("spec") == "required" {
			required = append(required, name)
		}
	}
	object := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		object["required"] = required
	}
	return object
}
