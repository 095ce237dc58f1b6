package policy

import (
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy/source"
)

// configKind is Config: any text that services are configured by. Its syntax is checked by its
// format, and its values by every released Schema of the namespace that applies to its name.
type configKind struct {
	schemas *schemaCache
}

func (*configKind) Name() string { return kindConfig }

func (*configKind) Formats() []string {
	return []string{source.Text, source.YAML, source.JSON, source.TOML, source.Properties, source.XML}
}

func (k *configKind) Validate(doc Document, lib Library) ([]*fault.Error, error) {
	parsed, err := parse(doc)
	if err != nil {
		return nil, err
	}
	warnings := parsed.Warnings
	var violations []*fault.Error
	for _, released := range lib.Released(doc.Namespace, kindSchema) {
		schema, err := k.schemas.get(released)
		if err != nil {
			// It was valid when it was published. To refuse now would lock its configurations.
			warnings = append(warnings, fault.New(fault.Invalid, "document.schema_unusable",
				"the Schema %s cannot be used and was not checked", source.Quote(released.Name)).Because(err).
				Hinted("publish the Schema again to see why"))
			continue
		}
		if !schema.appliesTo(doc.Name) {
			continue
		}
		if len(parsed.Documents) == 0 {
			warnings = append(warnings, fault.New(fault.Invalid, "document.schema_not_checked",
				"the Schema %s applies, but cannot be checked in the format %s", source.Quote(released.Name), doc.Format).
				At("format").Hinted("give the configuration a structured format, or take its name out of the Schema's appliesTo"))
			continue
		}
		budget := newBudget()
		violations = append(violations, schema.check(doc, parsed, budget)...)
		if len(violations) >= source.MaxFaults {
			break
		}
	}
	return warnings, fault.Join(violations[:min(len(violations), source.MaxFaults)]...)
}
