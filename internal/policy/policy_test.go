package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// library holds released documents.
type library []policy.Document

func (l library) Released(namespace, kind string) []policy.Document {
	var found []policy.Document
	for _, d := range l {
		if d.Namespace == namespace && d.Kind == kind {
			found = append(found, d)
		}
	}
	return found
}

func config(name, format, content string) policy.Document {
	return policy.Document{Namespace: "prod", Kind: "Config", Name: name, Format: format, Content: []byte(content)}
}

func schema(name, content string) policy.Document {
	return policy.Document{Namespace: "prod", Kind: "Schema", Name: name, Format: "yaml", Content: []byte(content)}
}

// describe writes a fault and its others one a line.
func describe(err error) []string {
	f, ok := fault.As(err)
	if !ok {
		return []string{fmt.Sprint(err)}
	}
	var lines []string
	for _, e := range append([]*fault.Error{f}, f.Others...) {
		lines = append(lines, fmt.Sprintf("%d:%d %s %s: %s", e.Line, e.Column, e.Reason, e.Field, e.Message))
	}
	return lines
}

func describeAll(warnings []*fault.Error) []string {
	var lines []string
	for _, w := range warnings {
		lines = append(lines, describe(w)...)
	}
	return lines
}

func TestRegistry(t *testing.T) {
	r := policy.Standard()
	if diff := cmp.Diff([]string{"AccessKey", "Alert", "Config", "Inhibition", "KeyValue", "NotificationRoute", "Objective", "Receiver", "Schema", "Silence"}, r.Kinds()); diff != "" {
		t.Error(diff)
	}
	_, err := r.Kind("Confg")
	f, ok := fault.As(err)
	if !ok || f.Code != fault.Invalid || f.Reason != "document.unknown_kind" || !strings.Contains(f.Hint, "did you mean Config?") {
		t.Errorf("got %v", err)
	}
	for _, test := range []struct{ kind, name, want string }{
		{"Config", "a/b.yml", "yaml"}, {"Config", "x.JSON", "json"}, {"Config", "x.toml", "toml"}, {"Config", "x.properties", "properties"},
		{"Config", "logback.xml", "xml"}, {"Config", "notes", "text"}, {"Schema", "loan", "yaml"}, {"Schema", "loan.json", "json"}, {"Schema", "loan.toml", "yaml"},
	} {
		if got, err := r.DefaultFormat(test.kind, test.name); err != nil || got != test.want {
			t.Errorf("DefaultFormat(%s, %s) is %q, %v; want %q", test.kind, test.name, got, err, test.want)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("two kinds of one name did not panic")
		}
	}()
	kind, _ := r.Kind("Config")
	policy.NewRegistry(kind, kind)
}

func TestValidateRefuses(t *testing.T) {
	big := config("a", "text", strings.Repeat("x", policy.MaxContent+1))
	for name, test := range map[string]struct {
		doc    policy.Document
		code   fault.Code
		reason string
		field  string
	}{
		"kind":      {policy.Document{Namespace: "prod", Kind: "Nope", Name: "a"}, fault.Invalid, "document.unknown_kind", "kind"},
		"namespace": {policy.Document{Namespace: "a b", Kind: "Config", Name: "a"}, fault.Invalid, "namespace.invalid_name", "namespace"},
		"name":      {policy.Document{Namespace: "prod", Kind: "Config", Name: "../a"}, fault.Invalid, "document.invalid_name", "name"},
		"size":      {big, fault.TooLarge, "document.too_large", "content"},
		"format":    {config("a", "ini", ""), fault.Invalid, "document.unknown_format", "format"},
		"guessed":   {config("a.json", "", "{"), fault.Invalid, "document.syntax", ""},
		"schema":    {policy.Document{Namespace: "prod", Kind: "Schema", Name: "s", Format: "toml"}, fault.Invalid, "document.unknown_format", "format"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := policy.Standard().Validate(test.doc, library{})
			f, ok := fault.As(err)
			if !ok || f.Code != test.code || f.Reason != test.reason || f.Field != test.field || f.Hint == "" && f.Line == 0 {
				t.Errorf("got %v", err)
			}
		})
	}
	big.Content = big.Content[1:]
	if _, err := policy.Standard().Validate(big, library{}); err != nil {
		t.Errorf("a content of exactly the limit: %v", err)
	}
}

func TestValidateName(t *testing.T) {
	for _, test := range []struct {
		field, value string
		ok           bool
	}{
		{"namespace", "default", true},
		{"metadata.namespace", "7f3c2c1e-2f0a-4d8a-9a51-7a4e9c1d0b2f", true},
		{"namespace", "_Team_1", true},
		{"namespace", strings.Repeat("a", 63), true},
		{"namespace", strings.Repeat("a", 64), false},
		{"namespace", "", false},
		{"namespace", "-a", false},
		{"namespace", "a.b", false},
		{"namespace", "a/b", false},
		{"namespace", "生产", false},
		{"name", "loan/application.yaml", true},
		{"metadata.name", "贷款 配置", true},
		{"name", "..a/b..", true},
		{"name", strings.Repeat("a", 512), true},
		{"name", strings.Repeat("a", 513), false},
		{"name", "", false},
		{"name", "/a", false},
		{"name", "a/", false},
		{"name", "a//b", false},
		{"name", "a/../b", false},
		{"name", "./a", false},
		{"name", " a", false},
		{"name", "a\u3000", false},
		{"name", "a\nb", false},
		{"name", "a\u202eb", false},
		{"name", "a\xffb", false},
	} {
		err := policy.ValidateName(test.field, test.value)
		if (err == nil) != test.ok {
			t.Errorf("%s %q: %v", test.field, test.value, err)
		}
		if f, ok := fault.As(err); err != nil && (!ok || f.Field != test.field) {
			t.Errorf("%s %q: the error %v does not name the field", test.field, test.value, err)
		}
	}
}
