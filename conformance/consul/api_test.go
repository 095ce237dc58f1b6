// Package consul_test lets Consul's own programs, unmodified, talk to a real gantry server: the test suite of its Go client, that client while the
// server is killed, and Prometheus with consul_sd_configs.
package consul_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gantry-platform/gantry/conformance/harness"
)

const suite = "github.com/hashicorp/consul/api"

// files are those of the suite whose tests are about what Gantry serves.
var files = []string{"agent_test.go", "catalog_test.go", "coordinate_test.go", "health_test.go", "kv_test.go", "lock_test.go", "semaphore_test.go", "session_test.go",
	"status_test.go", "txn_test.go"}

// TestConsulsOwnSuite runs the client's test suite, each test of which starts a server by the shim. Every test passes, or stands in the table
// with the reason; a difference either way is a failure.
func TestConsulsOwnSuite(t *testing.T) {
	bin := t.TempDir()
	command(t, "go", "build", "-o", filepath.Join(bin, "consul"), "./shim")
	tests := testsOf(t, files)
	run := exec.Command("go", "test", "-json", "-count=1", "-parallel=4", "-timeout=500s", "-run", "^("+strings.Join(tests, "|")+")$", suite)
	run.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "GANTRY_BINARY="+harness.Binary(t))
	output, err := run.Output()
	if err != nil && len(output) == 0 {
		t.Fatalf("the suite does not run: %v", err)
	}
	results, said := outcomes(t, output)
	for _, test := range tests {
		reason, excused := refused[test]
		switch result := results[test]; {
		case result == "fail" && !excused:
			t.Errorf("%s fails, and the table does not say why:\n%s", test, said[test])
		case result == "pass" && excused:
			t.Errorf("%s passes; the table says that it cannot: %s", test, reason)
		case result != "pass" && result != "fail" && result != "skip":
			t.Errorf("%s did not end: %q", test, result)
		}
	}
	for test := range refused {
		if !slices.Contains(tests, test) {
			t.Errorf("the table names %s, which the suite does not have", test)
		}
	}
	counts := map[string]int{}
	for _, test := range tests {
		counts[results[test]]++
	}
	t.Logf("%d tests: %v", len(tests), counts)
}

func command(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	c := exec.Command(name, args...)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	output, err := c.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, stderr.String())
	}
	return output
}

// testsOf are the names of the tests in files of the suite.
func testsOf(t *testing.T, files []string) []string {
	t.Helper()
	dir := strings.TrimSpace(string(command(t, "go", "list", "-f", "{{.Dir}}", suite)))
	test := regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`)
	found := map[string]bool{}
	for _, file := range files {
		source, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range test.FindAllSubmatch(source, -1) {
			found[string(match[1])] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// outcomes reads what `go test -json` says: the result of each test, and what it printed.
func outcomes(t *testing.T, output []byte) (results, said map[string]string) {
	t.Helper()
	results, said = map[string]string{}, map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(output))
	lines.Buffer(nil, 1<<20)
	const most = 4 << 10 // of one test's output
	for lines.Scan() {
		var event struct{ Action, Test, Output string }
		if json.Unmarshal(lines.Bytes(), &event) != nil {
			continue
		}
		name, _, sub := strings.Cut(event.Test, "/")
		switch event.Action {
		case "pass", "fail", "skip":
			if !sub {
				results[name] = event.Action
			}
		case "output":
			if len(said[name]) < most && !strings.Contains(event.Output, "level=") {
				said[name] += event.Output
			}
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return results, said
}
