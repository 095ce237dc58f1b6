//go:build linux

package robustness

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// alone are the settings of a node that has no others.
func alone(t *testing.T, name string) *node {
	return newNode(t, name, "--authentication", "off", "--minimum-free", "32MiB")
}

// refusesToStart starts a node that must end by itself and say why.
func refusesToStart(t *testing.T, n *node, words ...string) {
	t.Helper()
	n.start()
	code, said := n.awaitExit(20 * time.Second)
	if code == 0 {
		t.Errorf("it ended as if all were well")
	}
	for _, word := range words {
		if !strings.Contains(said, word) {
			t.Errorf("it did not say %q, but:\n%s", word, said)
		}
	}
}

// contents are the files under a folder with their checksums.
func contents(t *testing.T, folder string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(data)
		files[path] = hex.EncodeToString(sum[:8])
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// unchanged runs what must leave a folder as it is.
func unchanged(t *testing.T, folder string, run func()) {
	t.Helper()
	before := contents(t, folder)
	run()
	after := contents(t, folder)
	for path, sum := range before {
		if after[path] != sum {
			t.Errorf("%s was changed", path)
		}
	}
	for path := range after {
		if _, known := before[path]; !known && filepath.Base(path) != "lock" {
			t.Errorf("%s was made", path)
		}
	}
}

func TestNewerFormat(t *testing.T) {
	t.Parallel()
	n := alone(t, "n1")
	n.start()
	n.awaitReady()
	n.terminate()
	path := filepath.Join(n.data, "gantry.json")
	original, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var identity map[string]any
	if err := json.Unmarshal(original, &identity); err != nil {
		t.Fatal(err)
	}
	identity["format"] = 99
	newer, err := json.Marshal(identity)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, newer, 0o600); err != nil {
		t.Fatal(err)
	}
	unchanged(t, n.data, func() { refusesToStart(t, n, "format 99", "newer version") })

	// With the file as it was, everything is as it was.
	if err := os.WriteFile(path, original, 0o600); err != nil {
		t.Fatal(err)
	}
	n.start()
	n.awaitReady()
}

func TestForeignFolder(t *testing.T) {
	t.Parallel()
	n := alone(t, "n1")
	if err := os.MkdirAll(n.data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(n.data, "ledger.db"), []byte("somebody's"), 0o600); err != nil {
		t.Fatal(err)
	}
	unchanged(t, n.data, func() { refusesToStart(t, n, "not a data folder", "ledger.db", "--data") })
	if _, err := os.Stat(filepath.Join(n.data, "lock")); !os.IsNotExist(err) {
		t.Errorf("a lock file was put into a folder that is not ours: %v", err)
	}
}

func TestFolderInUse(t *testing.T) {
	t.Parallel()
	first, second := alone(t, "n1"), alone(t, "n2")
	first.start()
	first.awaitReady()
	second.data = first.data
	refusesToStart(t, second, "in use by another process")
	if err := first.api.ready(t.Context()); err != nil {
		t.Errorf("the first server after a second one tried its folder: %v", err)
	}
	// A server that was killed leaves no lock behind.
	first.kill()
	second.start()
	second.awaitReady()
}

func TestPortInUse(t *testing.T) {
	t.Parallel()
	for setting, address := range map[string]func(*node) string{
		"http-listen":    func(n *node) string { return n.http },
		"grpc-listen":    func(n *node) string { return n.grpc },
		"cluster-listen": func(n *node) string { return n.cluster },
		"peer-listen":    func(n *node) string { return n.peer },
	} {
		t.Run(setting, func(t *testing.T) {
			n := alone(t, "n1")
			n.args = append(n.args, "--cluster-secret-file", secretFile(t))
			taken, err := net.Listen("tcp", address(n))
			if err != nil {
				t.Fatal(err)
			}
			refusesToStart(t, n, taken.Addr().String(), "in use", "--"+setting)
			taken.Close()
			n.start()
			n.awaitReady()
		})
	}
}
