package policy

import (
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/gantry-platform/gantry/internal/policy/source"
)

// Schema is a JSON Schema for a document, for those who write one.
type Schema struct {
	// Source is the document that asks for it, such as "Schema/loan"; empty for what the kind itself asks for.
	Source string
	JSON   []byte
}

// specified are the kinds whose content is a struct.
type specified interface{ spec() reflect.Type }

// Schemas are what a document of this name has to fit: for a Config the Schemas in force that apply to its name, for the other kinds their fields. Schemas that are
// sensitive, or cannot be used, are left out. Nothing is known of a KeyValue. An unknown kind is a fault of class Invalid.
func (r *Registry) Schemas(namespace, kind, name string, lib Library) ([]Schema, error) {
	k, err := r.Kind(kind)
	if err != nil {
		return nil, err
	}
	switch k := k.(type) {
	case specified:
		described := source.Describe(k.spec())
		described["$schema"], described["title"] = "https://json-schema.org/draft/2020-12/schema", kind
		encoded, err := json.Marshal(described)
		if err != nil {
			return nil, fmt.Errorf("policy: the schema of %s: %w", kind, err)
		}
		return []Schema{{JSON: encoded}}, nil
	case *configKind:
		return k.applying(namespace, name, lib)
	default:
		return nil, nil
	}
}

// applying are the Schemas in force that apply to a configuration.
func (k *configKind) applying(namespace, name string, lib Library) ([]Schema, error) {
	var all []Schema
	for _, released := range lib.Released(namespace, kindSchema) {
		compiled, err := k.schemas.get(released)
		if err != nil || released.Sensitive || !compiled.appliesTo(name) {
			continue
		}
		spec, _, err := decodeSpec[schemaSpec](released)
		if err != nil {
			continue
		}
		encoded, err := json.Marshal(spec.Schema.Plain())
		if err != nil {
			return nil, fmt.Errorf("policy: the Schema %s: %w", released.Name, err)
		}
		all = append(all, Schema{Source: kindSchema + "/" + released.Name, JSON: encoded})
	}
	return all, nil
}
