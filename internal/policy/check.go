package policy

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy/source"
)

// check returns what a configuration violates, at most [source.MaxFaults], each where it stands.
// It draws on a budget that several checks may share.
func (s *compiledSchema) check(doc Document, parsed source.Parsed, budget *budget) (violations []*fault.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.meter.budget = budget
	defer func() {
		switch reason := recover(); reason.(type) {
		case nil:
		case overspent:
			budget.left = 0
			violations = []*fault.Error{fault.New(fault.Invalid, "document.schema_too_costly",
				"to check the configuration by the Schema %s takes too long", source.Quote(s.name)).
				Hinted("simplify the Schema: nested anyOf, allOf and recursive references multiply")}
		default:
			panic(reason)
		}
	}()
	for _, root := range parsed.Documents {
		tree := source.Tree{Root: root, Secret: doc.Sensitive}
		value := root.Plain()
		if doc.Format == source.Properties {
			value = s.coerce(root, closure(s.root))
		}
		err := s.root.Validate(value)
		if invalid := (*jsonschema.ValidationError)(nil); errors.As(err, &invalid) {
			v := &violationList{schema: s.name, tree: tree}
			v.collect(invalid)
			violations = append(violations, v.sorted()...)
		}
	}
	return violations[:min(len(violations), source.MaxFaults)]
}

// maxCollected bounds the violations of one document that are put in order.
const maxCollected = 1000

// violationList flattens a tree of errors into what an author can act on.
type violationList struct {
	schema string
	tree   source.Tree
	found  []*fault.Error
}

func (v *violationList) collect(e *jsonschema.ValidationError) {
	if len(v.found) >= maxCollected {
		return
	}
	switch wrong := e.ErrorKind.(type) {
	case *kind.AnyOf, *kind.OneOf:
		v.add(v.tree.At(steps(e.InstanceLocation)...), explain(e, v.tree.Secret))
	case *kind.Required:
		for _, name := range wrong.Missing {
			place := v.tree.At(steps(e.InstanceLocation)...)
			place.Field = v.tree.At(append(steps(e.InstanceLocation), name)...).Field
			v.add(place, "it is missing")
		}
	case *kind.AdditionalProperties:
		for _, name := range wrong.Properties {
			v.add(v.tree.Key(append(steps(e.InstanceLocation), name)...), "this key is not allowed")
		}
	default:
		if len(e.Causes) == 0 {
			v.add(v.tree.At(steps(e.InstanceLocation)...), explain(e, v.tree.Secret))
		}
		for _, cause := range e.Causes {
			v.collect(cause)
		}
	}
}

func (v *violationList) add(place source.Place, message string) {
	if len(v.found) < maxCollected {
		v.found = append(v.found, place.Fault("document.schema_violation", "%s", message).
			Hinted("the Schema %s asks for it", source.Quote(v.schema)))
	}
}

// sorted returns the violations in the order of the text: the validator's own is that of maps.
func (v *violationList) sorted() []*fault.Error {
	slices.SortFunc(v.found, func(a, b *fault.Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Field, b.Field), cmp.Compare(a.Message, b.Message))
	})
	return v.found
}

// explain says in a sentence what one error is about. Secret keeps values out of it.
func explain(e *jsonschema.ValidationError, secret bool) string {
	got := func(v any) string {
		if secret {
			return ""
		}
		return ", got " + show(v)
	}
	switch w := e.ErrorKind.(type) {
	case *kind.Type:
		return fmt.Sprintf("want %s, got %s", strings.Join(w.Want, " or "), w.Got)
	case *kind.Enum:
		return "want one of " + showAll(w.Want) + got(w.Got)
	case *kind.Const:
		return "want " + show(w.Want) + got(w.Got)
	case *kind.Format:
		return "want the format " + w.Want + got(w.Got)
	case *kind.Pattern:
		return "want what matches " + source.Quote(w.Want) + got(w.Got)
	case *kind.Minimum:
		return "want at least " + showRat(w.Want) + got(w.Got)
	case *kind.Maximum:
		return "want at most " + showRat(w.Want) + got(w.Got)
	case *kind.ExclusiveMinimum:
		return "want more than " + showRat(w.Want) + got(w.Got)
	case *kind.ExclusiveMaximum:
		return "want less than " + showRat(w.Want) + got(w.Got)
	case *kind.MultipleOf:
		return "want a multiple of " + showRat(w.Want) + got(w.Got)
	case *kind.AnyOf:
		return "fits none of the alternatives" + nearest(e, secret)
	case *kind.OneOf:
		if len(w.Subschemas) > 0 {
			return "fits more than one of the alternatives, where exactly one is wanted"
		}
		return "fits none of the alternatives" + nearest(e, secret)
	default:
		return explainSize(e)
	}
}

// explainSize is explain for what holds no values.
func explainSize(e *jsonschema.ValidationError) string {
	switch w := e.ErrorKind.(type) {
	case *kind.MinLength:
		return fmt.Sprintf("want at least %d characters, got %d", w.Want, w.Got)
	case *kind.MaxLength:
		return fmt.Sprintf("want at most %d characters, got %d", w.Want, w.Got)
	case *kind.MinItems:
		return fmt.Sprintf("want at least %d items, got %d", w.Want, w.Got)
	case *kind.MaxItems:
		return fmt.Sprintf("want at most %d items, got %d", w.Want, w.Got)
	case *kind.MinProperties:
		return fmt.Sprintf("want at least %d keys, got %d", w.Want, w.Got)
	case *kind.MaxProperties:
		return fmt.Sprintf("want at most %d keys, got %d", w.Want, w.Got)
	case *kind.UniqueItems:
		return fmt.Sprintf("the items %d and %d are the same", w.Duplicates[0], w.Duplicates[1])
	case *kind.AdditionalItems:
		return fmt.Sprintf("the last %d items are not allowed", w.Count)
	case *kind.Required:
		return "misses " + strings.Join(w.Missing, ", ")
	case *kind.AdditionalProperties:
		return "has keys that are not allowed: " + strings.Join(w.Properties[:min(len(w.Properties), 5)], ", ")
	case *kind.DependentRequired:
		return fmt.Sprintf("with %s it also needs %s", source.Quote(w.Prop), strings.Join(w.Missing, ", "))
	case *kind.Dependency:
		return fmt.Sprintf("with %s it also needs %s", source.Quote(w.Prop), strings.Join(w.Missing, ", "))
	case *kind.PropertyNames:
		return fmt.Sprintf("the key %s is not allowed", source.Quote(w.Property))
	case *kind.Contains, *kind.MinContains:
		return "too few items are of the wanted kind"
	case *kind.MaxContains:
		return "too many items are of one kind"
	case *kind.Not:
		return "fits what is ruled out"
	case *kind.FalseSchema:
		return "nothing is allowed here"
	case *kind.RefCycle:
		return "the Schema refers to itself without end"
	default:
		return "does not fit the Schema at " + strings.Join(w.KeywordPath(), "/")
	}
}

// nearest tells the first finding of the alternative that comes closest: the one whose errors lie
// deepest.
func nearest(e *jsonschema.ValidationError, secret bool) string {
	var best *jsonschema.ValidationError
	for _, cause := range e.Causes {
		for len(cause.Causes) > 0 {
			cause = cause.Causes[0]
		}
		if best == nil || len(cause.InstanceLocation) > len(best.InstanceLocation) {
			best = cause
		}
	}
	if best == nil {
		return ""
	}
	where := ""
	if deeper := best.InstanceLocation[min(len(e.InstanceLocation), len(best.InstanceLocation)):]; len(deeper) > 0 {
		where = strings.Join(deeper, ".") + ": "
	}
	return "; the nearest says: " + where + explain(best, secret)
}

func show(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return source.Quote(v)
	case *big.Rat:
		return showRat(v)
	case []any:
		return "a list"
	case map[string]any:
		return "an object"
	default:
		return fmt.Sprint(v)
	}
}

func showAll(values []any) string {
	const most = 10
	var texts []string
	for _, v := range values[:min(len(values), most)] {
		texts = append(texts, show(v))
	}
	if len(values) > most {
		texts = append(texts, fmt.Sprintf("%d more", len(values)-most))
	}
	return strings.Join(texts, ", ")
}

func showRat(r *big.Rat) string {
	if r.IsInt() && r.Num().BitLen() < 200 {
		return r.Num().String()
	}
	f, _ := r.Float64()
	return fmt.Sprint(f)
}

// inPlace returns the schemas that a schema evaluates on its own value.
func inPlace(s *jsonschema.Schema) []*jsonschema.Schema {
	parts := slices.Concat([]*jsonschema.Schema{s.Ref, s.RecursiveRef, s.Not, s.If, s.Then, s.Else}, s.AllOf, s.AnyOf, s.OneOf)
	if s.DynamicRef != nil {
		parts = append(parts, s.DynamicRef.Ref)
	}
	for _, dependent := range s.DependentSchemas {
		parts = append(parts, dependent)
	}
	for _, dependency := range s.Dependencies {
		if dependent, ok := dependency.(*jsonschema.Schema); ok {
			parts = append(parts, dependent)
		}
	}
	return slices.DeleteFunc(parts, func(part *jsonschema.Schema) bool { return part == nil })
}

// closure returns schemas with all that they evaluate on the same value, conditions and negations
// aside, each once.
func closure(roots ...*jsonschema.Schema) []*jsonschema.Schema {
	var all []*jsonschema.Schema
	seen := map[*jsonschema.Schema]bool{}
	for queue := roots; len(queue) > 0; {
		s := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		if s == nil || seen[s] {
			continue
		}
		seen[s] = true
		all = append(all, s)
		for _, part := range inPlace(s) {
			if part != s.Not && part != s.If {
				queue = append(queue, part)
			}
		}
	}
	return all
}

// coerce returns the plain form of a properties file's value, whose scalars are all strings,
// with those turned into numbers and booleans that the schemas which apply to them want so.
func (s *compiledSchema) coerce(n *source.Node, schemas []*jsonschema.Schema) any {
	s.meter.charge(1 + len(schemas))
	switch n.Kind {
	case source.Array:
		list := make([]any, len(n.Items))
		for i, item := range n.Items {
			list[i] = s.coerce(item, closure(itemSchemas(schemas, i)...))
		}
		return list
	case source.Object:
		object := make(map[string]any, len(n.Fields))
		for _, f := range n.Fields {
			object[f.Key] = s.coerce(f.Value, closure(fieldSchemas(schemas, f.Key)...))
		}
		return object
	case source.String:
		return coerceScalar(n.Text, schemas)
	default:
		return n.Plain()
	}
}

func itemSchemas(schemas []*jsonschema.Schema, i int) []*jsonschema.Schema {
	var found []*jsonschema.Schema
	for _, s := range schemas {
		positional, rest := s.PrefixItems, s.Items2020
		switch items := s.Items.(type) {
		case *jsonschema.Schema:
			rest = items
		case []*jsonschema.Schema:
			positional = items
			rest, _ = s.AdditionalItems.(*jsonschema.Schema)
		}
		if i < len(positional) {
			found = append(found, positional[i])
		} else {
			found = append(found, rest)
		}
		found = append(found, s.Contains, s.UnevaluatedItems)
	}
	return found
}

func fieldSchemas(schemas []*jsonschema.Schema, key string) []*jsonschema.Schema {
	var found []*jsonschema.Schema
	for _, s := range schemas {
		named := false
		if property, ok := s.Properties[key]; ok {
			found, named = append(found, property), true
		}
		for pattern, property := range s.PatternProperties {
			if pattern.MatchString(key) {
				found, named = append(found, property), true
			}
		}
		if additional, ok := s.AdditionalProperties.(*jsonschema.Schema); ok && !named {
			found = append(found, additional)
		}
		found = append(found, s.UnevaluatedProperties)
	}
	return found
}

// coerceScalar keeps a string where some schema says that strings are fine.
func coerceScalar(text string, schemas []*jsonschema.Schema) any {
	var wantNumber, wantBool bool
	for _, s := range schemas {
		if s.Types != nil {
			for _, name := range s.Types.ToStrings() {
				switch name {
				case "string":
					return text
				case "number", "integer":
					wantNumber = true
				case "boolean":
					wantBool = true
				}
			}
		}
		if s.Minimum != nil || s.Maximum != nil || s.ExclusiveMinimum != nil || s.ExclusiveMaximum != nil || s.MultipleOf != nil {
			wantNumber = true
		}
		var allowed []any
		if s.Enum != nil {
			allowed = s.Enum.Values
		}
		if s.Const != nil {
			allowed = append(slices.Clone(allowed), *s.Const)
		}
		for _, value := range allowed {
			switch value := value.(type) {
			case string:
				if value == text {
					return text
				}
			case json.Number:
				wantNumber = true
			case bool:
				wantBool = true
			}
		}
	}
	if wantBool && (text == "true" || text == "false") {
		return text == "true"
	}
	if wantNumber {
		if number, ok := source.ParseNumber(text); ok {
			return json.Number(number)
		}
	}
	return text
}
