package policy_test

import (
	"os"
	"strings"
	"testing"

	"github.com/gantry-platform/gantry/internal/policy"
)

// TestExamplesOfAlertsAreValid holds the manifests of the documentation to what they document.
func TestExamplesOfAlertsAreValid(t *testing.T) {
	text, err := os.ReadFile("../../docs/signals/alerts.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, block := range strings.Split(string(text), "```yaml\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		manifests, err := policy.ParseManifests("alerts.md", []byte(block))
		if err != nil {
			t.Errorf("%v in:\n%s", err, block)
			continue
		}
		for _, m := range manifests {
			found++
			if _, err := policy.Standard().Validate(policy.Document{Namespace: "default", Kind: m.Kind, Name: m.Name, Format: m.Format, Content: m.Content, Sensitive: m.Sensitive}, nil); err != nil {
				t.Errorf("%s %s: %v", m.Kind, m.Name, err)
			}
		}
	}
	if found < 12 {
		t.Errorf("only %d manifests were found", found)
	}
}
