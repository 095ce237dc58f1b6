package server_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"pgregory.net/rapid"

	"github.com/gantry-platform/gantry/internal/policy"
	"github.com/gantry-platform/gantry/internal/server"
)

func TestFlagsWinOverTheEnvironmentAndThatOverTheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gantry.yaml")
	content := "name: from-file\nlog-level: debug\nnode-ttl: 7s\nstate-quota: 1GiB\ncluster: [a=h1, b=h2, c=h3]\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"GANTRY_NAME": "from-environment", "GANTRY_LOG_LEVEL": "warn"}
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	for _, setting := range (&server.Settings{}).Bind() {
		setting.AddFlag(flags)
	}
	if err := flags.Parse([]string{"--name", "from-flag"}); err != nil {
		t.Fatal(err)
	}
	s, err := server.Load(file, func(name string) string { return env[name] }, flags)
	if err != nil {
		t.Fatal(err)
	}
	if s.Name != "from-flag" || s.LogLevel != "warn" || s.NodeTTL != 7*time.Second || s.StateQuota != 1<<30 || len(s.Cluster) != 3 {
		t.Fatalf("name %q, log level %q, node ttl %v, quota %v, cluster %q", s.Name, s.LogLevel, s.NodeTTL, s.StateQuota, s.Cluster)
	}
	if s.HTTPListen != ":8848" || s.Authentication != "on" {
		t.Fatalf("defaults: %q, authentication %q", s.HTTPListen, s.Authentication)
	}
	described := strings.Join(s.Describe(), "\n")
	for _, want := range []string{"flag --name", "environment variable GANTRY_LOG_LEVEL", "line 3", "default"} {
		if !strings.Contains(described, want) {
			t.Errorf("the settings in force do not say %q:\n%s", want, described)
		}
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	env := map[string]string{"GANTRY_CLUSTER_SECRET": "hunter2hunter2hunter2", "GANTRY_ETCD_PASSWORD": "hunter2"}
	s, err := server.Load("", func(name string) string { return env[name] }, nil)
	if err != nil {
		t.Fatal(err)
	}
	if described := strings.Join(s.Describe(), "\n"); strings.Contains(described, "hunter2") {
		t.Fatalf("a secret is shown:\n%s", described)
	}
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	for _, setting := range (&server.Settings{}).Bind() {
		setting.AddFlag(flags)
		if setting.Secret && flags.Lookup(setting.Name) != nil {
			t.Errorf("the secret setting %s has a flag", setting.Name)
		}
	}
}

func TestSizesSurviveBeingWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := server.Size(rapid.Int64Range(0, 1<<50).Draw(t, "bytes"))
		var back server.Size
		if err := back.Set(size.String()); err != nil || back != size {
			t.Fatalf("%d as %q came back as %d (%v)", size, size.String(), back, err)
		}
	})
	for _, text := range []string{"", "x", "-1", "1XiB", "1e99GiB"} {
		var s server.Size
		if err := s.Set(text); err == nil {
			t.Errorf("%q was taken for %d bytes", text, s)
		}
	}
}

func TestTheReferenceNamesEverySetting(t *testing.T) {
	stored, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(stored) != server.Reference() {
		t.Error("docs/configuration.md is stale: run make generate")
	}
}

// TestBaselinesFindTheirWeeks keeps the default age of metrics above what an alert looks back at.
func TestBaselinesFindTheirWeeks(t *testing.T) {
	s, err := server.Load("", func(string) string { return "" }, nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := policy.BaselineWeeks*7*24*time.Hour + 24*time.Hour; s.MetricsRetention < want {
		t.Errorf("metrics are kept for %s, and baselines look back %s and a day around it", s.MetricsRetention, want)
	}
}
