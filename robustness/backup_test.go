//go:build linux

package robustness

import (
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// TestBackup takes a backup while clients write, and fills another cluster with it: one node first, which a second one joins.
func TestBackup(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	l := startLoad(t, c.nodes)
	l.awaitProgress(10*time.Second, c.nodes...)
	before := l.released()
	file := filepath.Join(t.TempDir(), "state.backup")
	command(t, "backup", "--address", c.nodes[1].api.base, file)
	l.awaitProgress(10*time.Second, c.nodes...)
	l.end()
	l.history.check(t)

	restored := newNode(t, "r1", c.settings("--authentication", "off")...)
	command(t, "restore", "--from", file, "--data", restored.data, "--name", restored.name, "--minimum-free", "32MiB")
	restored.start()
	restored.awaitReady()
	second := newNode(t, "r2", c.settings("--authentication", "off", "--join", restored.cluster)...)
	second.start()
	second.awaitReady()
	again := &cluster{t: t, nodes: []*node{restored, second}, secret: c.secret}
	again.awaitVoters("r1", "r2")
	for _, n := range again.nodes {
		checkRestored(t, n, l, before)
	}
	again.awaitAgreement()

	// Into what is there already nothing is restored.
	if output, err := tryCommand(t, "restore", "--from", file, "--data", second.data); err == nil {
		t.Errorf("restored into a folder in use: %s", output)
	}
}

// checkRestored looks for all that was acknowledged before the backup was begun, and for nothing that nobody wrote.
func checkRestored(t *testing.T, n *node, l *load, before map[string]map[int64]string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for name, versions := range before {
		for number, content := range versions {
			got, err := n.api.releases.Get(ctx, &gantryv1.GetRequest{Ref: configRef(name), Version: number})
			if err != nil {
				t.Fatalf("%s: version %d of %s was acknowledged before the backup: %v", n.name, number, name, err)
			}
			if string(got.Version.Content) != content {
				t.Errorf("%s: version %d of %s holds %q, not %q", n.name, number, name, got.Version.Content, content)
			}
		}
		got, err := n.api.releases.Get(ctx, &gantryv1.GetRequest{Ref: configRef(name)})
		if err != nil {
			t.Fatal(err)
		}
		if want, known := l.history.released[name][got.Version.Version]; known && want != string(got.Version.Content) {
			t.Errorf("%s: the head of %s is %q, and was %q", n.name, name, got.Version.Content, want)
		}
	}
}

// released are the acknowledged versions so far.
func (l *load) released() map[string]map[int64]string {
	l.history.mu.Lock()
	defer l.history.mu.Unlock()
	all := map[string]map[int64]string{}
	for name, versions := range l.history.released {
		all[name] = maps.Clone(versions)
	}
	return all
}

// TestDamagedBackup restores from a file that was cut off, and from one that was changed.
func TestDamagedBackup(t *testing.T) {
	t.Parallel()
	n := newNode(t, "n1", "--authentication", "off", "--minimum-free", "32MiB")
	n.start()
	n.awaitReady()
	l := startLoad(t, []*node{n})
	l.awaitProgress(10*time.Second, n)
	l.end()
	file := filepath.Join(t.TempDir(), "state.backup")
	command(t, "backup", "--address", n.api.base, file)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := append([]byte(nil), whole...)
	changed[len(changed)/2] ^= 0x10
	for name, content := range map[string][]byte{"cut off": whole[:len(whole)-20], "changed": changed, "empty": nil} {
		damaged := filepath.Join(t.TempDir(), "damaged")
		if err := os.WriteFile(damaged, content, 0o600); err != nil {
			t.Fatal(err)
		}
		folder := filepath.Join(t.TempDir(), "data")
		output, err := tryCommand(t, "restore", "--from", damaged, "--data", folder)
		if err == nil || !strings.Contains(output, "nothing of it was taken") {
			t.Errorf("%s: %v\n%s", name, err, output)
		}
		if _, err := os.Stat(folder); !os.IsNotExist(err) {
			t.Errorf("%s: the folder to restore into was made: %v", name, err)
		}
	}
}

// command runs one of the operator's commands, which must succeed.
func command(t *testing.T, args ...string) {
	t.Helper()
	if output, err := tryCommand(t, args...); err != nil {
		t.Fatalf("gantry %s: %v\n%s", strings.Join(args, " "), err, output)
	}
}

func tryCommand(t *testing.T, args ...string) (output string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	run := exec.CommandContext(ctx, suite.binary, args...)
	run.Env = cleanEnvironment()
	combined, err := run.CombinedOutput()
	return string(combined), err
}
