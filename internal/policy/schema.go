package policy

import (
	"fmt"
	"reflect"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy/source"
)

// The kinds that check each other.
const (
	kindConfig = "Config"
	kindSchema = "Schema"
)

// Limits of a Schema.
const (
	maxGlobs = 100
	// maxSchemaValues bounds the values of its JSON Schema. The largest schemas in use
	// (Kubernetes, OpenAPI) split at a few thousand each.
	maxSchemaValues = 20_000
	// maxEnum bounds one enum: each value is compared with all of it.
	maxEnum = 1000
	// maxSchemaWarnings bounds the configurations that one answer names.
	maxSchemaWarnings = 100
	// maxChecked bounds the bytes of configurations that publishing a Schema reads.
	maxChecked = 64 << 20
)

// schemaSpec is what a Schema's manifest holds.
type schemaSpec struct {
	// AppliesTo are globs of configuration names: '*' stops at '/', "**" does not.
	AppliesTo []string `json:"appliesTo" spec:"required"`
	// Schema is a JSON Schema, draft 2020-12 unless its $schema says another.
	Schema *source.Node `json:"schema" spec:"required"`
}

// schemaKind is Schema: a JSON Schema bound to configurations by name.
type schemaKind struct {
	schemas *schemaCache
}

func (*schemaKind) Name() string { return kindSchema }

func (*schemaKind) Formats() []string { return []string{source.YAML, source.JSON} }

func (*schemaKind) spec() reflect.Type { return reflect.TypeFor[schemaSpec]() }

// Validate refuses what is no JSON Schema, and warns of each configuration in force that the
// Schema would refuse.
func (k *schemaKind) Validate(doc Document, lib Library) ([]*fault.Error, error) {
	schema, err := k.schemas.get(doc)
	if err != nil {
		return nil, err
	}
	var warnings []*fault.Error
	budget, read, omitted := newBudget(), 0, 0
	for _, config := range lib.Released(doc.Namespace, kindConfig) {
		if !schema.appliesTo(config.Name) {
			continue
		}
		if read += len(config.Content); read > maxChecked || budget.spent() || len(warnings) >= maxSchemaWarnings {
			omitted++
			continue
		}
		parsed, err := parse(config)
		if err != nil || len(parsed.Documents) == 0 {
			continue // in force before its syntax was checked, or without structure
		}
		violations := schema.check(config, parsed, budget)
		switch {
		case budget.spent():
			omitted++
		case len(violations) > 0:
			warnings = append(warnings, breaks(config, violations))
		}
	}
	if omitted > 0 {
		warnings = append(warnings, fault.New(fault.Invalid, "document.schema_partly_checked",
			"%d configurations that the Schema applies to were not checked: that takes too long", omitted).
			Hinted("narrow spec.appliesTo, simplify the Schema, or validate them one by one"))
	}
	return warnings, nil
}

func breaks(config Document, violations []*fault.Error) *fault.Error {
	first := violations[0]
	more := ""
	if len(violations) > 1 {
		more = fmt.Sprintf(" (and %d more)", len(violations)-1)
	}
	where := ""
	if first.Field != "" {
		where = first.Field + ": "
	}
	return fault.New(fault.Invalid, "document.schema_breaks", "the configuration %s in force does not fit: line %d: %s%s%s",
		source.Quote(config.Name), first.Line, where, first.Message, more).
		Hinted("it stays in force, but cannot be published again before it fits")
}
