package policy_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy"
)

// Every kind but KeyValue describes what it takes, by a JSON Schema that is one, and that agrees with the kind about fields that there are not.
func TestKindsDescribeThemselves(t *testing.T) {
	r := policy.Standard()
	for _, kind := range r.Kinds() {
		schemas, err := r.Schemas("prod", kind, "x", library{})
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		if kind == "KeyValue" || kind == "Config" {
			if len(schemas) != 0 {
				t.Errorf("%s: %s", kind, schemas[0].JSON)
			}
			continue
		}
		if len(schemas) != 1 || schemas[0].Source != "" {
			t.Fatalf("%s: %v", kind, schemas)
		}
		parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(schemas[0].JSON))
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		compiler := jsonschema.NewCompiler()
		if err := compiler.AddResource("gantry:///kind", parsed); err != nil {
			t.Fatal(err)
		}
		compiled, err := compiler.Compile("gantry:///kind")
		if err != nil {
			t.Fatalf("%s: %v\n%s", kind, err, schemas[0].JSON)
		}
		if compiled.Validate(map[string]any{"noSuchField": 1}) == nil {
			t.Errorf("%s takes a field that there is not", kind)
		}
	}
	schemas, err := r.Schemas("prod", "Alert", "x", library{})
	if err != nil {
		t.Fatal(err)
	}
	var alert struct {
		Properties map[string]struct{ Enum []string }
	}
	if err := json.Unmarshal(schemas[0].JSON, &alert); err != nil || !slices.Contains(alert.Properties["severity"].Enum, "critical") {
		t.Errorf("%s, %v", schemas[0].JSON, err)
	}
	if _, err := r.Schemas("prod", "Nothing", "x", library{}); !fault.Is(err, fault.Invalid) {
		t.Errorf("%v", err)
	}
}

func TestAConfigHasTheSchemasThatApply(t *testing.T) {
	secret := schema("secret", "appliesTo: ['**']\nschema: {type: object}\n")
	secret.Sensitive = true
	lib := library{schema("loan", "appliesTo: [loan/*]\nschema: {type: object, properties: {rate: {type: number}}}\n"), schema("other", "appliesTo: [fund/*]\nschema: false\n"),
		schema("all", "appliesTo: ['**']\nschema: true\n"), schema("broken", "appliesTo: 5\n"), secret}
	got, err := policy.Standard().Schemas("prod", "Config", "loan/a.yaml", lib)
	if err != nil || len(got) != 2 || got[0].Source != "Schema/loan" || string(got[0].JSON) != `{"properties":{"rate":{"type":"number"}},"type":"object"}` ||
		got[1].Source != "Schema/all" || string(got[1].JSON) != "true" {
		t.Errorf("%s, %v", got, err)
	}
}
