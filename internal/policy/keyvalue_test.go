package policy_test

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy"
)

func keyValue(name string, content []byte) policy.Document {
	return policy.Document{Namespace: "prod", Kind: policy.KeyValue, Name: name, Format: "text", Content: content}
}

func TestKeysHaveTheirOwnRuleForNames(t *testing.T) {
	r := policy.Standard()
	for _, name := range []string{"a", "a/", "/a", "a//b", ".", "..", "a/../b", " a ", "日本/éa", "a%2Fb", "a?b=c#d", strings.Repeat("k", 512)} {
		if _, err := r.Validate(keyValue(name, []byte{0xff, 0}), library(nil)); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", strings.Repeat("k", 513), "a\x00", "a\nb", "\xff", "\u0085"} {
		_, err := r.Validate(keyValue(name, nil), library(nil))
		f, ok := fault.As(err)
		if !ok || f.Code != fault.Invalid || f.Reason != "document.invalid_name" || f.Field != "name" || f.Hint == "" {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := r.Validate(config("a//b", "text", ""), library(nil)); !fault.Is(err, fault.Invalid) {
		t.Errorf("other kinds keep theirs, got %v", err)
	}
	if format, err := r.DefaultFormat(policy.KeyValue, "app.json"); err != nil || format != "text" {
		t.Errorf("the format of app.json is %q, %v", format, err)
	}
}

func TestKeysGoThroughManifests(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		doc := keyValue(rapid.SampledFrom([]string{"a/", "a//b", ".", "/x", " y"}).Draw(t, "name"), rapid.SliceOf(rapid.Byte()).Draw(t, "content"))
		text, err := policy.FormatManifest(doc)
		if err != nil {
			t.Fatal(err)
		}
		read, err := policy.ParseManifests("", text)
		if err != nil || len(read) != 1 {
			t.Fatalf("%s: %v", text, err)
		}
		if got := read[0]; got.Name != doc.Name || got.Kind != doc.Kind || !bytes.Equal(got.Content, doc.Content) {
			t.Fatalf("%s reads as %+v", text, got)
		}
	})
}
