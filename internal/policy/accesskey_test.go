package policy_test

import (
	"strings"
	"testing"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy"
)

const secret = "1dde2f5d1bfb4a6c9fd6b2dd9a04d5a1"

func accessKey(content string, sensitive bool) policy.Document {
	return policy.Document{Namespace: "default", Kind: policy.KindAccessKey, Name: "loan", Content: []byte(content), Sensitive: sensitive}
}

func TestAccessKeysAreChecked(t *testing.T) {
	registry := policy.Standard()
	for name, c := range map[string]struct {
		content   string
		open      bool
		reason    string
		line, col int
	}{
		"right":         {content: "keys:\n  - secret: " + secret + "\n  - {secret: " + secret + "x, enabled: false, mode: observer}\n"},
		"in the clear":  {content: "keys:\n  - secret: " + secret + "\n", open: true, reason: "accesskey.not_sensitive"},
		"short":         {content: "keys:\n  - secret: abc\n", reason: "accesskey.bad_secret", line: 2, col: 13},
		"long":          {content: "keys:\n  - secret: " + strings.Repeat("s", 257) + "\n", reason: "accesskey.bad_secret", line: 2, col: 13},
		"spaces":        {content: "keys:\n  - secret: \" " + secret + "\"\n", reason: "accesskey.bad_secret", line: 2, col: 13},
		"no secret":     {content: "keys:\n  - mode: filter\n", reason: "document.missing_field", line: 2, col: 5},
		"mode":          {content: "keys:\n  - secret: " + secret + "\n    mode: off\n", reason: "accesskey.unknown_mode", line: 3, col: 11},
		"unknown field": {content: "keys: []\nkey: 1\n", reason: "document.unknown_field", line: 2, col: 1},
		"too many":      {content: "keys:\n" + strings.Repeat("  - secret: "+secret+"\n", 9), reason: "accesskey.too_many", line: 2, col: 3},
	} {
		_, err := registry.Validate(accessKey(c.content, !c.open), nil)
		f, _ := fault.As(err)
		switch {
		case c.reason == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.reason == "":
		case f == nil || f.Reason != c.reason || f.Line != c.line || f.Column != c.col:
			t.Errorf("%s: %v (%+v)", name, err, f)
		case strings.Contains(err.Error(), secret):
			t.Errorf("%s: the secret is in the error: %v", name, err)
		}
	}
}

func TestEnabledAccessKeys(t *testing.T) {
	keys, err := policy.AccessKeys("yaml", []byte("keys:\n  - {secret: a, enabled: false}\n  - {secret: b}\n  - {secret: c, enabled: true, mode: observer}\n"))
	if err != nil || len(keys) != 2 || keys[0] != (policy.AccessKey{Secret: "b", Mode: policy.AccessKeyFilter}) ||
		keys[1] != (policy.AccessKey{Secret: "c", Mode: policy.AccessKeyObserver}) {
		t.Errorf("%+v, %v", keys, err)
	}
	if _, err := policy.AccessKeys("yaml", []byte("keys: 1")); err == nil || strings.Contains(err.Error(), "1") && strings.Contains(err.Error(), "got 1") {
		t.Errorf("a damaged one: %v", err)
	}
}
