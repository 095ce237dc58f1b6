package source_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy/source"
)

type level string

func (l *level) UnmarshalText(text []byte) error {
	if string(text) != "low" && string(text) != "high" {
		return errors.New("want low or high")
	}
	*l = level(text)
	return nil
}

type rule struct {
	Match  string            `json:"match" spec:"required"`
	Weight *int              `json:"weight"`
	Labels map[string]string `json:"labels"`
}

type limits struct {
	Limit   uint16        `json:"limit"`
	Ratio   float64       `json:"ratio"`
	Enabled bool          `json:"enabled"`
	Timeout time.Duration `json:"timeout"`
	Level   level         `json:"level"`
	Rules   []rule        `json:"rules"`
	Free    *source.Node  `json:"free"`
}

func tree(t *testing.T, text string) source.Tree {
	t.Helper()
	parsed, err := source.Parse(source.YAML, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return source.Tree{Root: parsed.Documents[0], Field: "spec"}
}

func TestDecode(t *testing.T) {
	var got limits
	err := tree(t, "limit: 5\nratio: 0.5\nenabled: true\ntimeout: 1.5s\nlevel: high\nrules:\n- match: x\n  weight: -3\n  labels: {a: b}\n- match: y\n  weight:\nfree: [1]\n").Decode(&got)
	if err != nil {
		t.Fatal(err)
	}
	weight := -3
	want := limits{Limit: 5, Ratio: .5, Enabled: true, Timeout: 1500 * time.Millisecond, Level: "high",
		Rules: []rule{{Match: "x", Weight: &weight, Labels: map[string]string{"a": "b"}}, {Match: "y"}}}
	free := got.Free
	got.Free = nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if free == nil || len(free.Items) != 1 {
		t.Errorf("free is %v, want a list of one", free)
	}
}

func TestDecodeRefuses(t *testing.T) {
	text := `limit: 70000
ratio: x
enabled: "true"
timeout: 5
level: middle
lmit: 1
rules:
- weight: 1.5
  labels: {a: 1}
- 7
zzzzzz: 1
`
	var into limits
	err := tree(t, text).Decode(&into)
	f, ok := fault.As(err)
	if !ok {
		t.Fatalf("got %v, want a fault", err)
	}
	var got []string
	for _, e := range append([]*fault.Error{f}, f.Others...) {
		got = append(got, fmt.Sprintf("%d:%d %s %s: %s (%s)", e.Line, e.Column, e.Reason, e.Field, e.Message, e.Hint))
	}
	want := []string{
		`1:8 document.wrong_type spec.limit: want an integer of 16 bits from 0, got the number 70000 ()`,
		`2:8 document.wrong_type spec.ratio: want a number, got the string "x" ()`,
		`3:10 document.wrong_type spec.enabled: want a boolean, got the string "true" ()`,
		`4:10 document.wrong_type spec.timeout: want a duration such as "1.5s", got the number 5 ()`,
		`5:8 document.invalid_value spec.level: want low or high ()`,
		`6:1 document.unknown_field spec.lmit: unknown field "lmit" (did you mean "limit"?)`,
		`8:11 document.wrong_type spec.rules[0].weight: want an integer of 64 bits, got the number 1.5 ()`,
		`9:15 document.wrong_type spec.rules[0].labels.a: want a string, got the number 1 (put it in quotes)`,
		`8:3 document.missing_field spec.rules[0].match: "match" is missing (add it)`,
		`10:3 document.wrong_type spec.rules[1]: want an object, got the number 7 ()`,
		`11:1 document.unknown_field spec.zzzzzz: unknown field "zzzzzz" (known are enabled, free, level, limit, ratio, rules, timeout)`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDecodeKeepsSecrets(t *testing.T) {
	secret := tree(t, "limit: hunter2\nlevel: hunter2\ntimeout: hunter2\nenabled: hunter2\n")
	secret.Secret = true
	var into limits
	err := secret.Decode(&into)
	f, ok := fault.As(err)
	if !ok || len(f.Others) != 3 {
		t.Fatalf("got %v, want four faults", err)
	}
	if text := f.Error(); strings.Contains(text, "hunter2") {
		t.Errorf("the value stands in %q", text)
	}
}

func TestAt(t *testing.T) {
	tr := tree(t, "rules:\n  - match: x\n    a.b: 1\n  - {}\n")
	for _, test := range []struct {
		path []any
		want string
	}{
		{nil, "spec 1:1"},
		{[]any{"rules", 0, "match"}, "spec.rules[0].match 2:12"},
		{[]any{"rules", "0", "match"}, "spec.rules[0].match 2:12"},
		{[]any{"rules", 0, "a.b"}, `spec.rules[0]["a.b"] 3:10`},
		{[]any{"rules", 1, "weight"}, "spec.rules[1].weight 4:5"},
		{[]any{"rules", 9, "weight"}, "spec.rules[9].weight 2:3"},
		{[]any{"none", 3}, "spec.none[3] 1:1"},
	} {
		p := tr.At(test.path...)
		if got := fmt.Sprintf("%s %d:%d", p.Field, p.Line, p.Column); got != test.want {
			t.Errorf("At(%v) is %s, want %s", test.path, got, test.want)
		}
	}
	if p := tr.Key("rules", 0, "match"); p.Line != 2 || p.Column != 5 {
		t.Errorf("Key is at %d:%d, want 2:5", p.Line, p.Column)
	}
}

func TestSuggest(t *testing.T) {
	known := []string{"limit", "burst", "Config", "CircuitBreaker"}
	for word, want := range map[string]string{"limt": "limit", "ilmit": "limit", "config": "Config", "CircutBraker": "CircuitBreaker", "x": "", "zebra": ""} {
		if got := source.Suggest(word, known); got != want {
			t.Errorf("Suggest(%q) is %q, want %q", word, got, want)
		}
	}
}

func TestDescribe(t *testing.T) {
	type inner struct {
		Ratio float64 `json:"ratio" spec:"required"`
	}
	type word string
	type outer struct {
		Name   string           `json:"name" spec:"required"`
		Count  *uint32          `json:"count"`
		Offset int              `json:"offset"`
		On     bool             `json:"on"`
		Every  time.Duration    `json:"every"`
		Any    *source.Node     `json:"any"`
		Inner  []inner          `json:"inner"`
		ByName map[string]inner `json:"byName"`
		Kind   word             `json:"kind"`
		Hidden string           `json:"-"`
	}
	got, err := json.Marshal(source.Describe(reflect.TypeFor[outer]()))
	const in = `{"additionalProperties":false,"properties":{"ratio":{"type":"number"}},"required":["ratio"],"type":"object"}`
	const want = `{"additionalProperties":false,"properties":{"any":{},"byName":{"additionalProperties":` + in + `,"type":"object"},"count":{"minimum":0,"type":"integer"},` +
		`"every":{"description":"a duration such as \"1.5s\"","type":"string"},"inner":{"items":` + in + `,"type":"array"},"kind":{"type":"string"},"name":{"type":"string"},` +
		`"offset":{"type":"integer"},"on":{"type":"boolean"}},"required":["name"],"type":"object"}`
	if err != nil || string(got) != want {
		t.Errorf("%s, %v", got, err)
	}
}
