package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy"
)

const loanSchema = `appliesTo: ["loan/*"]
schema:
  type: object
  required: [pool]
  additionalProperties: false
  properties:
    pool:
      $ref: "#/$defs/pool"
    mode: {enum: [fast, safe]}
    verbose: {type: boolean}
    hosts:
      type: array
      items: {type: object, properties: {port: {type: integer}}}
    code: {type: string, pattern: "^[A-Z]+$"}
    note: {type: [string, integer]}
  $defs:
    pool:
      type: object
      properties:
        max: {type: integer, maximum: 100}
        ratio: {type: number}
      required: [max]
`

func TestConfigAgainstSchema(t *testing.T) {
	for _, test := range []struct {
		name, format, content string
		want                  []string
	}{
		{"fits", "yaml", "pool: {max: 100, ratio: 0.5}\nmode: fast\n", nil},
		{"yaml", "yaml", "# limits\npool:\n  max: 250\nmode: slow\nextra: 1\nhosts:\n- port: x\n", []string{
			"3:8 document.schema_violation pool.max: want at most 100, got 250",
			`4:7 document.schema_violation mode: want one of "fast", "safe", got "slow"`,
			"5:1 document.schema_violation extra: this key is not allowed",
			"7:9 document.schema_violation hosts[0].port: want integer, got string",
		}},
		{"missing", "yaml", "# none\npool:\n  ratio: 1\n", []string{"3:3 document.schema_violation pool.max: it is missing"}},
		{"empty", "yaml", "", []string{"1:1 document.schema_violation pool: it is missing"}},
		{"several documents", "yaml", "pool: {max: 1}\n---\npool: {max: 101}\n", []string{"3:13 document.schema_violation pool.max: want at most 100, got 101"}},
		{"json", "json", "{\n \"pool\": {\"max\": 101},\n \"code\": \"a\"}", []string{
			"2:18 document.schema_violation pool.max: want at most 100, got 101",
			"3:10 document.schema_violation code: want what matches \"^[A-Z]+$\", got \"a\""}},
		{"toml", "toml", "mode = 'fast'\n[pool]\nmax = 101\n", []string{"3:7 document.schema_violation pool.max: want at most 100, got 101"}},
		{"properties fit", "properties", "pool.max=7\npool.ratio=0.5\nverbose=true\nhosts[0].port=80\nnote=12\ncode=ABC\nmode=safe\n", nil},
		{"properties", "properties", "pool.max=101\nverbose=yes\nhosts[0].port=80\nhosts[1].port=x\n", []string{
			"1:10 document.schema_violation pool.max: want at most 100, got 101",
			"2:9 document.schema_violation verbose: want boolean, got string",
			"4:15 document.schema_violation hosts[1].port: want integer, got string"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			lib := library{schema("loan", loanSchema), schema("other", "appliesTo: [fund/*]\nschema: false\n")}
			_, err := policy.Standard().Validate(config("loan/limits", test.format, test.content), lib)
			var got []string
			if err != nil {
				got = describe(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			if f, ok := fault.As(err); ok && !strings.Contains(f.Hint, `"loan"`) {
				t.Errorf("the hint %q does not name the Schema", f.Hint)
			}
		})
	}
}

func TestSchemaMessages(t *testing.T) {
	for _, test := range []struct{ schema, value, want string }{
		{"{type: [integer, 'null']}", "x", "want null or integer, got string"},
		{"{enum: [1, x, null, true, [1], {}, 1.5, 8, 9, 10, 11, 12]}", "2", `want one of 1, "x", null, true, a list, an object, 1.5, 8, 9, 10, 2 more, got 2`},
		{"{const: 1}", "2", "want 1, got 2"},
		{"{format: email}", "x", `want the format email, got "x"`},
		{"{pattern: '^a'}", "b", `want what matches "^a", got "b"`},
		{"{minimum: 1.5}", "1", "want at least 1.5, got 1"},
		{"{maximum: 1}", "1.25", "want at most 1, got 1.25"},
		{"{exclusiveMinimum: 1}", "1", "want more than 1, got 1"},
		{"{exclusiveMaximum: 1}", "1", "want less than 1, got 1"},
		{"{multipleOf: 7}", "8", "want a multiple of 7, got 8"},
		{"{minLength: 3}", "甲乙", "want at least 3 characters, got 2"},
		{"{maxLength: 1}", "甲乙", "want at most 1 characters, got 2"},
		{"{minItems: 2}", "[1]", "want at least 2 items, got 1"},
		{"{maxItems: 0}", "[1]", "want at most 0 items, got 1"},
		{"{uniqueItems: true}", "[1, 2, 1]", "the items 0 and 2 are the same"},
		{"{minProperties: 2}", "{a: 1}", "want at least 2 keys, got 1"},
		{"{maxProperties: 0}", "{a: 1}", "want at most 0 keys, got 1"},
		{"{dependentRequired: {a: [b, c]}}", "{a: 1}", `with "a" it also needs b, c`},
		{"{propertyNames: {maxLength: 1}}", "{ab: 1}", `want at most 1 characters, got 2`},
		{"{contains: {type: string}}", "[1]", "want string, got number"},
		{"{contains: {type: string}, maxContains: 1}", "[a, b]", "too many items are of one kind"},
		{"{not: {type: integer}}", "1", "fits what is ruled out"},
		{"{properties: {a: false}}", "{a: 1}", "nothing is allowed here"},
		{"{anyOf: [{type: string}, {properties: {a: {type: string}}, type: object}]}", "{a: 1}", "fits none of the alternatives; the nearest says: a: want string, got number"},
		{"{oneOf: [{type: string}, {required: [b]}]}", "{a: 1}", "fits none of the alternatives; the nearest says: want string, got object"},
		{"{oneOf: [{minimum: 1}, {minimum: 2}]}", "3", "fits more than one of the alternatives, where exactly one is wanted"},
		{"{$ref: '#'}", "1", "the Schema refers to itself without end"},
		{"{$schema: 'http://json-schema.org/draft-07/schema#', dependencies: {a: [b]}}", "{a: 1}", `with "a" it also needs b`},
		{"{$schema: 'http://json-schema.org/draft-07/schema#', items: [{}], additionalItems: false}", "[1, 2, 3]", "the last 2 items are not allowed"},
	} {
		spec, content := "{properties: {v: "+test.schema+"}}", "v: "+test.value
		if strings.Contains(test.schema, "$") { // it speaks of the root
			spec, content = test.schema, test.value
		}
		lib := library{schema("s", "appliesTo: ['**']\nschema: "+spec+"\n")}
		_, err := policy.Standard().Validate(config("x", "yaml", content), lib)
		if f, ok := fault.As(err); !ok || f.Message != test.want || f.Line != 1 {
			t.Errorf("%s of %s: got %v, want %s", test.value, test.schema, err, test.want)
		}
	}
}

// The values of a properties file are strings; they count as what the Schema wants them to be.
func TestPropertiesAreCoerced(t *testing.T) {
	lib := library{schema("s", `appliesTo: ["**"]
schema:
  properties:
    typed: {type: number}
    bounded: {exclusiveMinimum: 0}
    chosen: {enum: [1, 2]}
    named: {enum: ["1", 1.5]}
    flag: {const: true}
    either: {anyOf: [{type: integer}, {type: boolean}]}
    text: {oneOf: [{type: string, pattern: "^[0-9]+$"}, {type: integer}]}
    list: {prefixItems: [{type: integer}], items: {type: boolean}}
    switched: {if: {const: "x"}, else: {type: integer}}
  patternProperties:
    "^max": {type: integer}
  additionalProperties: {type: boolean}
`)}
	for content, ok := range map[string]bool{
		"typed=1.5e3": true, "typed=-0": true, "typed=1_000": false, "typed=0x10": false, "typed=NaN": false, "typed=": false, "typed=1e999": false,
		"bounded=1": true, "bounded=-1": false, "chosen=2": true, "chosen=3": false, "named=1": true, "named=1.5": true, "named=2": false,
		"flag=true": true, "flag=TRUE": false, "either=7": true, "either=false": true, "either=x": false, "text=12": true, "text=x": false,
		"list[0]=1\nlist[1]=true": true, "list[0]=true": false, "list[0]=1\nlist[1]=2": false,
		"switched=5": true, "switched=y": false, "maxSize=5": true, "maxSize=x": false, "other=true": true, "other=1": false,
	} {
		_, err := policy.Standard().Validate(config("x", "properties", content), lib)
		if (err == nil) != ok {
			t.Errorf("%s: %v", content, err)
		}
	}
}

func TestSchemaBindsByName(t *testing.T) {
	for _, test := range []struct {
		glob, name string
		want       bool
	}{
		{"loan/*", "loan/a.yaml", true}, {"loan/*", "loan/a/b", false}, {"loan/**", "loan/a/b", true}, {"**", "a/b", true}, {"*", "a/b", false},
		{"?.yaml", "a.yaml", true}, {"?.yaml", "ab.yaml", false}, {"a.b", "axb", false}, {"甲?", "甲乙", true}, {"*.yaml", "x.yaml2", false},
	} {
		lib := library{schema("s", fmt.Sprintf("appliesTo: [%q]\nschema: false\n", test.glob))}
		_, err := policy.Standard().Validate(config(test.name, "yaml", "a: 1"), lib)
		if got := err != nil; got != test.want {
			t.Errorf("%s applies to %s: %t, want %t", test.glob, test.name, got, test.want)
		}
	}
}

func TestSchemaRefused(t *testing.T) {
	head := "appliesTo: ['*']\nschema:\n"
	for _, test := range []struct {
		name, content string
		want          string
	}{
		{"no globs", "schema: {}\n", "1:1 document.missing_field spec.appliesTo"},
		{"empty globs", "appliesTo: []\nschema: {}\n", "1:12 document.invalid_value spec.appliesTo"},
		{"unknown field", "appliesTo: [a]\nschma: {}\nschema: {}\n", "2:1 document.unknown_field spec.schma"},
		{"wrong type", "appliesTo: a\nschema: {}\n", "1:12 document.wrong_type spec.appliesTo"},
		{"no schema", "appliesTo: [a]\nschema: 5\n", "2:9 document.wrong_type spec.schema"},
		{"bad type", head + "  properties:\n    a:\n      type: strin\n", "5:13 document.schema_invalid spec.schema.properties.a.type"},
		{"bad keyword value", head + "  maximum: x\n", "3:12 document.schema_invalid spec.schema.maximum"},
		{"bad pattern", head + "  properties:\n    a: {pattern: '(?=x)'}\n", "4:18 document.schema_invalid spec.schema.properties.a.pattern"},
		{"pattern size", head + "  pattern: '((a{100}){100})'\n", "3:12 document.schema_invalid spec.schema.pattern"},
		{"pattern of draft 4", head + "  $schema: http://json-schema.org/draft-04/schema#\n  patternProperties:\n    'a~/(': {}\n", "5:5 document.schema_invalid spec.schema.patternProperties"},
		{"remote", head + "  type: object\n  properties:\n    a:\n      $ref: http://example.com/s.json\n", "6:13 document.schema_remote_ref spec.schema.properties.a.$ref"},
		{"file", head + "  $ref: file:///etc/passwd\n", "3:9 document.schema_remote_ref spec.schema.$ref"},
		{"relative", head + "  $ref: other.json\n", "3:9 document.schema_remote_ref spec.schema.$ref"},
		{"remote id", head + "  $id: http://example.com/a\n  allOf: [{$ref: b}]\n", "4:18 document.schema_remote_ref spec.schema.allOf[0].$ref"},
		{"metaschema", head + "  $schema: http://example.com/draft\n", "3:12 document.schema_remote_ref spec.schema.$schema"},
		{"dangling", head + "  $ref: '#/$defs/none'\n", "3:9 document.schema_invalid spec.schema.$ref"},
		{"anchor", head + "  items: {$ref: '#none'}\n", "3:17 document.schema_invalid spec.schema.items.$ref"},
		{"several", "appliesTo: [a]\nschema: {}\n---\na: 1\n", "4:1 document.several_documents "},
		{"enum", head + "  enum: [" + strings.Repeat("1,", 1001) + "2]\n", "3:9 document.schema_too_large spec.schema.enum"},
		{"size", head + "  $defs: {" + strings.Repeat("a: [1, 2, 3],", 1) + "b: [" + strings.Repeat("1,", 20_000) + "2]}\n", "3:3 document.schema_too_large spec.schema"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := policy.Standard().Validate(schema("s", test.content), library{})
			if err == nil {
				t.Fatal("it was accepted")
			}
			if got := describe(err)[0]; !strings.HasPrefix(got, test.want+":") {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// Published before the configurations that it would refuse: a warning for each.
func TestSchemaWarns(t *testing.T) {
	secret := config("loan/key", "yaml", "pool: {max: 1}\ncode: hunter2\nmode: hunter2\n")
	secret.Sensitive = true
	lib := library{
		config("loan/a", "yaml", "pool: {max: 1}\n"),
		config("loan/b", "yaml", "mode: fast\npool:\n  max: 101\nx: 1\n"),
		config("fund/c", "yaml", "pool: 5\n"),
		config("loan/d", "text", "anything"),
		secret,
	}
	warnings, err := policy.Standard().Validate(schema("loan", loanSchema), lib)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(describeAll(warnings), "\n")
	if len(warnings) != 2 || !strings.Contains(text, `"loan/b"`) || !strings.Contains(text, `"loan/key"`) {
		t.Errorf("got %s, want warnings for loan/b and loan/key", text)
	}
	if strings.Contains(text, "hunter2") {
		t.Errorf("a sensitive value stands in %s", text)
	}
}

func TestConfigWarns(t *testing.T) {
	unread := schema("unread", "anything")
	unread.Format = "text"
	lib := library{schema("all", "appliesTo: ['**']\nschema: {}\n"), schema("broken", "appliesTo: 5\n"), unread}
	warnings, err := policy.Standard().Validate(config("a", "text", "x"), lib)
	if err != nil {
		t.Fatal(err)
	}
	var reasons []string
	for _, w := range warnings {
		reasons = append(reasons, w.Reason)
	}
	if diff := cmp.Diff([]string{"document.schema_not_checked", "document.schema_unusable", "document.schema_unusable"}, reasons); diff != "" {
		t.Error(diff)
	}
}

func TestSensitiveIsNotQuoted(t *testing.T) {
	lib := library{schema("all", `appliesTo: ["**"]
schema:
  properties:
    a: {type: integer}
    b: {maximum: 3}
    c: {enum: [x]}
    d: {pattern: "^x"}
    e: {anyOf: [{const: 1}, {format: email}]}
    f: {multipleOf: 7}
`)}
	for name, content := range map[string]string{
		"values":  `{"a": "hunter2", "b": 4042, "c": "hunter2", "d": "hunter2", "e": "hunter2", "f": 4042}`,
		"syntax":  `{"a": hunter2}`,
		"numbers": `{"a": 1e4042}`,
	} {
		doc := config("x", "json", content)
		doc.Sensitive = true
		_, err := policy.Standard().Validate(doc, lib)
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if text := err.Error(); strings.Contains(text, "hunter") || strings.Contains(text, "4042") {
			t.Errorf("%s: a sensitive value stands in %s", name, text)
		}
	}
}

// Schemas of a few lines whose evaluation would never end are cut off.
func TestCostlySchema(t *testing.T) {
	chain := &strings.Builder{}
	chain.WriteString("appliesTo: ['**']\nschema:\n  $ref: '#/$defs/d0'\n  $defs:\n")
	for i := range 60 {
		fmt.Fprintf(chain, "    d%d: {allOf: [{$ref: '#/$defs/d%d'}, {$ref: '#/$defs/d%d'}]}\n", i, i+1, i+1)
	}
	chain.WriteString("    d60: {type: object}\n")
	recursive := "appliesTo: ['**']\nschema:\n  $ref: '#/$defs/n'\n  $defs:\n    n: {properties: {a: {allOf: [{$ref: '#/$defs/n'}, {$ref: '#/$defs/n'}]}}}\n"
	negated := strings.ReplaceAll(strings.ReplaceAll(chain.String(), "allOf: [", "not: {allOf: ["), "]}\n", "]}}\n")
	for name, test := range map[string]struct{ schema, format, content string }{
		"chain":     {chain.String(), "json", `{}`},
		"not":       {negated, "json", `{}`},
		"recursive": {recursive, "json", strings.Repeat(`{"a":`, 60) + "1" + strings.Repeat("}", 60)},
		"pattern":   {"appliesTo: ['**']\nschema: {items: {allOf: [{pattern: '(a?){900}b'}, {pattern: '(a?){901}b'}]}}\n", "json", `["` + strings.Repeat("a", 1<<19) + `"]`},
		"coerced":   {chain.String(), "properties", "a=1"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := policy.Standard().Validate(config("x", test.format, test.content), library{schema("s", test.schema)})
			if f, ok := fault.As(err); !ok || f.Reason != "document.schema_too_costly" {
				t.Errorf("got %v, want document.schema_too_costly", err)
			}
		})
	}
}

func TestCostlySchemaWarns(t *testing.T) {
	var chain strings.Builder
	chain.WriteString("appliesTo: ['**']\nschema: ")
	for range 40 {
		chain.WriteString("{properties: {a: {$ref: '#'}}, allOf: [")
	}
	chain.WriteString("{}" + strings.Repeat("]}", 40))
	deep := strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40)
	warnings, err := policy.Standard().Validate(schema("s", chain.String()), library{config("x", "json", deep), config("y", "json", "{}")})
	if err != nil || len(warnings) != 1 || warnings[0].Reason != "document.schema_partly_checked" || !strings.HasPrefix(warnings[0].Message, "2 ") {
		t.Errorf("got %v, %v; want a warning of two that were not checked", describeAll(warnings), err)
	}
}

func TestValidateConcurrently(t *testing.T) {
	registry, lib := policy.Standard(), library{schema("loan", loanSchema)}
	done := make(chan error)
	for i := range 8 {
		go func() {
			_, err := registry.Validate(config("loan/x", "yaml", fmt.Sprintf("pool: {max: %d}", 97+i)), lib)
			done <- err
		}()
	}
	refused := 0
	for range 8 {
		if err := <-done; err != nil {
			refused++
		}
	}
	if refused != 4 {
		t.Errorf("%d were refused, want 4", refused)
	}
}

func BenchmarkValidateConfig(b *testing.B) {
	registry, lib := policy.Standard(), library{schema("loan", loanSchema)}
	doc := config("loan/x", "yaml", "pool: {max: 9, ratio: 0.5}\nmode: fast\nhosts: [{port: 1}, {port: 2}]\n")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := registry.Validate(doc, lib); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzSchema(f *testing.F) {
	f.Add(loanSchema, "pool:\n  max: 5\n")
	f.Add("appliesTo: ['**']\nschema: {$ref: '#', anyOf: [{$dynamicRef: '#x'}, {not: {$id: 'a', $ref: 'b'}}]}\n", "a: 1")
	f.Add("appliesTo: ['**']\nschema: {$schema: 'http://json-schema.org/draft-07/schema#', dependencies: {a: [b]}, items: [{}]}\n", "a: [1]")
	f.Fuzz(func(t *testing.T, content, value string) {
		registry := policy.Standard()
		doc := schema("s", content)
		if _, err := registry.Validate(doc, library{}); err != nil {
			if f, ok := fault.As(err); !ok || f.Code != fault.Invalid {
				t.Errorf("got %v, want a fault of class invalid", err)
			}
			return
		}
		for _, format := range []string{"yaml", "properties"} {
			if _, err := registry.Validate(config("x", format, value), library{doc}); err != nil && !fault.Is(err, fault.Invalid) {
				t.Errorf("got %v, want a fault of class invalid", err)
			}
		}
	})
}

func BenchmarkValidateSchema(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := policy.Standard().Validate(schema("loan", loanSchema), library{}); err != nil {
			b.Fatal(err)
		}
	}
}
