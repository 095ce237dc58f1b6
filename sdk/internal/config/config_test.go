package config_test

import (
	"math"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/sdk/internal/config"
)

type endpoint struct {
	Host string
	Port uint16
}

type base struct {
	Name string
}

type target struct {
	base
	MaxAmount int64         `gantry:"max-amount"`
	Rate      float64       `json:"rate"`
	Timeout   time.Duration `gantry:"timeout"`
	Since     time.Time     `gantry:"since,optional"`
	Enabled   bool
	Address   netip.Addr          `gantry:"address,optional"`
	Tags      []string            `gantry:"tags,optional"`
	Endpoints []endpoint          `gantry:"endpoints,optional"`
	Limits    map[string]int      `gantry:"limits,optional"`
	Nested    *endpoint           `gantry:"nested,optional"`
	Free      any                 `gantry:"free,optional"`
	Skipped   func()              `gantry:"-"`
	Sets      map[string][]string `gantry:"sets,optional"`
}

// want is what each of the documents below says.
func want() target {
	return target{
		base: base{Name: "fund"}, MaxAmount: 9007199254740993, Rate: 0.25, Timeout: 1500 * time.Millisecond,
		Since: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Enabled: true, Address: netip.MustParseAddr("10.0.0.1"),
		Tags: []string{"a", "b"}, Endpoints: []endpoint{{"x", 1}, {"y", 2}}, Limits: map[string]int{"p": 1, "q": 2},
		Nested: &endpoint{"z", 3}, Free: "text", Sets: map[string][]string{"s": {"t"}},
	}
}

var documents = map[string]string{
	"yaml": `
name: fund
max-amount: 9007199254740993
rate: 0.25
timeout: 1.5s
since: 2026-01-02T03:04:05Z
enabled: true
address: 10.0.0.1
tags: [a, b]
endpoints: [{host: x, port: 1}, {host: y, port: 2}]
limits: {p: 1, q: 2}
nested: {host: z, port: 3}
free: text
sets: {s: [t]}
`,
	"json": `{"name": "fund", "max-amount": 9007199254740993, "rate": 0.25, "timeout": "1.5s", "since": "2026-01-02T03:04:05Z",
"enabled": true, "address": "10.0.0.1", "tags": ["a", "b"], "endpoints": [{"host": "x", "port": 1}, {"host": "y", "port": 2}],
"limits": {"p": 1, "q": 2}, "nested": {"host": "z", "port": 3}, "free": "text", "sets": {"s": ["t"]}}`,
	"toml": `
name = "fund"
max-amount = 9007199254740993
rate = 0.25
timeout = "1.5s"
since = 2026-01-02T03:04:05Z
enabled = true
address = "10.0.0.1"
tags = ["a", "b"]
limits = {p = 1, q = 2}
free = "text"
[nested]
host = "z"
port = 3
[sets]
s = ["t"]
[[endpoints]]
host = "x"
port = 1
[[endpoints]]
host = "y"
port = 2
`,
	"properties": `
# a comment
! another
name = fund
max-amount: 9007199254740993
rate 0.25
timeout=1.5s
since = 2026-01-02T03:04:05Z
enabled = tr\
  ue
address = 10.0.0.1
tags = a, b
endpoints[0].host = x
endpoints[0].port = 1
endpoints[1].host = \u0079
endpoints[1].port = 2
limits.p = 1
limits.q = 2
nested.host = z
nested.port = 3
free = text
sets.s = t
`,
}

func decode(format, content string, into any) (config.Report, error) {
	tree, err := config.Parse(format, []byte(content))
	if err != nil {
		return config.Report{}, err
	}
	return config.Decode(tree, into, false)
}

func TestFormatsAgree(t *testing.T) {
	for format, content := range documents {
		var got target
		report, err := decode(format, content, &got)
		if err != nil {
			t.Errorf("%s: %v", format, err)
			continue
		}
		if len(report.Missing)+len(report.Unknown) > 0 {
			t.Errorf("%s: report %+v", format, report)
		}
		got.Since = got.Since.UTC()
		if !reflect.DeepEqual(got, want()) {
			t.Errorf("%s: got %+v, want %+v", format, got, want())
		}
	}
}

func TestDefaultsStayAndAreReported(t *testing.T) {
	shared := &endpoint{"default", 7}
	got := target{Rate: 3, Nested: shared, Limits: map[string]int{"old": 1}, Tags: []string{"old"}}
	report, err := decode("yaml", "max_amount: 1\nNAME: x\nnested: {port: 8}\nlimits: {new: 2}\nextra: {a: 1}\n", &got)
	if err != nil {
		t.Fatal(err)
	}
	wanted := config.Report{
		Missing: []string{"enabled", "max-amount", "nested.host", "rate", "timeout"},
		// A tag is exact: max_amount is not max-amount.
		Unknown: []string{"extra", "max_amount"},
	}
	if !reflect.DeepEqual(report, wanted) {
		t.Errorf("got %+v, want %+v", report, wanted)
	}
	if got.Name != "x" || got.Rate != 3 || *got.Nested != (endpoint{"default", 8}) || got.Tags[0] != "old" || len(got.Limits) != 1 || got.Limits["new"] != 2 {
		t.Errorf("got %+v, nested %+v", got, *got.Nested)
	}
	if shared.Port != 7 {
		t.Error("the default behind a pointer was changed")
	}
}

func TestErrorsNameTheKey(t *testing.T) {
	tests := []struct{ format, content, want string }{
		{"yaml", "max-amount: 1.5", "max-amount: the value 1.5; a whole number"},
		{"yaml", "max-amount: 99999999999999999999", "max-amount"},
		{"yaml", "rate: .inf", "rate"},
		{"json", `{"rate": 1e999}`, "rate"},
		{"yaml", "timeout: 5", `such as "1.5s"`},
		{"yaml", "timeout: 5 parsecs", "timeout"},
		{"yaml", "since: yesterday", "since"},
		{"yaml", "enabled: maybe", "enabled"},
		{"properties", "enabled = maybe", "enabled"},
		{"yaml", "name: 5", "put it in quotes"},
		{"yaml", "address: nowhere", "address"},
		{"yaml", "endpoints: [{port: 70000}]", "endpoints[0].port"},
		{"yaml", "endpoints: [{port: -1}]", "from 0 to 65535"},
		{"yaml", "limits: [1]", "limits: a list; a mapping"},
		{"yaml", "tags: {a: 1}", "tags: a mapping; a list"},
		{"yaml", "nested: 1", "nested"},
		{"yaml", "- a", "a list; a mapping"},
		{"yaml", "a: 1\na: 2", "already defined"},
		{"yaml", "a: 1\n---\nb: 2", "more than one document"},
		{"json", "{\"a\": 1}\n{", "after the end"},
		{"json", "{\n\"a\": }", "line 2"},
		{"toml", "a = 1\na = 2", "line 2"},
		{"properties", "a = 1\na.b = 2", `"a" has a value and parts`},
		{"properties", "a[5] = 1", "without gaps"},
		{"properties", "a[999999999] = 1", "index 999999999"},
		{"properties", "= 1", "without a key"},
		{"properties", `a = \u12`, "hexadecimal"},
		{"properties", "a = \xff", "UTF-8"},
		{"xml", "<a/>", "yaml, json, toml or properties"},
		{"yaml", strings.Repeat("[", 300) + strings.Repeat("]", 300), "deeper"},
		{"yaml", strings.Repeat("a", config.MaxSize+1), "at most"},
	}
	for _, test := range tests {
		var got target
		if _, err := decode(test.format, test.content, &got); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s %.40q gave %v, want it to say %q", test.format, test.content, err, test.want)
		}
	}
}

func TestHiddenErrorsShowNothing(t *testing.T) {
	for _, key := range []string{"max-amount", "rate", "timeout", "since", "enabled", "address", "endpoints", "limits"} {
		tree, err := config.Parse("yaml", []byte(key+": hunter2"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = config.Decode(tree, &target{}, true)
		if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", key, err)
		}
	}
}

func TestCheck(t *testing.T) {
	type recursive struct{ Next *recursive }
	for _, good := range []any{target{}, recursive{}, struct{}{}} {
		if err := config.Check(reflect.TypeOf(good)); err != nil {
			t.Errorf("%T: %v", good, err)
		}
	}
	for _, bad := range []any{1, struct{ F chan int }{}, struct{ M map[int]string }{}, struct{ E error }{}, struct{ S []func() }{}} {
		if err := config.Check(reflect.TypeOf(bad)); err == nil {
			t.Errorf("%T was accepted", bad)
		}
	}
}

// Whatever the content: no panic, and what was accepted is within the types' ranges.
func FuzzDecode(f *testing.F) {
	for format, content := range documents {
		f.Add(format, content)
	}
	f.Add("properties", "a\\\n")
	f.Add("properties", `\ud83d\ude00=\ud83d`)
	f.Add("yaml", "a: &x [*x]")
	f.Add("yaml", "? [a]\n: b")
	f.Add("toml", "a.b.c = [[1], {d = 2024-01-01}]")
	f.Fuzz(func(t *testing.T, format, content string) {
		var got target
		if _, err := decode(format, content, &got); err == nil && (math.IsNaN(got.Rate) || math.IsInf(got.Rate, 0)) {
			t.Errorf("accepted the rate %v", got.Rate)
		}
	})
}
