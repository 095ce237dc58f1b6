package access_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/state/statetest"
)

func readPassword(t *testing.T, path string) string {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o600 {
		t.Errorf("the file has mode %v", info.Mode())
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(string(content), "\n")
}

func files(t *testing.T, folder string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func TestFirstStartMakesAnAdministrator(t *testing.T) {
	store := statetest.New(t)
	m := start(t, store, access.Options{})
	folder := t.TempDir()
	path := filepath.Join(folder, "password")
	if created, err := m.Bootstrap(t.Context(), path); !created || err != nil {
		t.Fatalf("%t, %v", created, err)
	}
	first := readPassword(t, path)
	if identity := byToken(t, m, login(t, m, "admin", first)); !identity.May(access.Administer, "*") {
		t.Error("it may not administer")
	}
	if all := files(t, folder); len(all) != 1 {
		t.Errorf("left behind: %v", all)
	}
	records, _, err := m.ListAudit(system(t), nil)
	if err != nil || len(records) != 1 || records[0].GetActor() != "system" || records[0].GetAction() != "user.create" {
		t.Errorf("%v, %v", records, err)
	}

	// Another start changes nothing, whatever became of the file and of the user "admin".
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	createUser(t, m, "ann", grant("*", admin))
	if err := m.DeleteUser(system(t), "admin"); err != nil {
		t.Fatal(err)
	}
	m = start(t, statetest.Reopen(t, store), access.Options{})
	if created, err := m.Bootstrap(t.Context(), path); created || err != nil || len(files(t, folder)) != 0 {
		t.Errorf("%t, %v, %v", created, err, files(t, folder))
	}
}

func TestThreeNodesStartAtOnce(t *testing.T) {
	for name, shared := range map[string]bool{"each with its file": false, "with one file": true} {
		t.Run(name, func(t *testing.T) {
			first := statetest.New(t)
			managers := []*access.Manager{start(t, first, access.Options{})}
			for range 2 {
				managers = append(managers, start(t, statetest.Second(t, first), access.Options{}))
			}
			folder := t.TempDir()
			paths := []string{filepath.Join(folder, "1"), filepath.Join(folder, "2"), filepath.Join(folder, "3")}
			if shared {
				paths[1], paths[2] = paths[0], paths[0]
			}
			made := make([]bool, len(managers))
			var all sync.WaitGroup
			for i, m := range managers {
				all.Go(func() {
					var err error
					if made[i], err = m.Bootstrap(t.Context(), paths[i]); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			winners := 0
			for i := range managers {
				if made[i] {
					winners++
					login(t, managers[i], "admin", readPassword(t, paths[i]))
				}
			}
			if left := files(t, folder); winners != 1 || len(left) != 1 {
				t.Errorf("%d made the user, and these files are left: %v", winners, left)
			}
		})
	}
}

func TestAPasswordFileThatIsThere(t *testing.T) {
	m, _ := node(t)
	folder := t.TempDir()
	path := filepath.Join(folder, "password")
	for name, make := range map[string]func() error{
		"open to others": func() error { return os.WriteFile(path, []byte("abcdefghijklmnopqrstuvwxyz234567\n"), 0o644) },
		"something else": func() error { return os.WriteFile(path, []byte("precious"), 0o600) },
		"a link":         func() error { return os.Symlink(filepath.Join(folder, "elsewhere"), path) },
		"a folder":       func() error { return os.Mkdir(path, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			if err := make(); err != nil {
				t.Fatal(err)
			}
			defer os.Remove(path)
			created, err := m.Bootstrap(t.Context(), path)
			wantFault(t, err, fault.Precondition, "access.bad_password_file")
			if created {
				t.Error("a user whose password nobody has")
			}
			if _, err := os.Lstat(path); err != nil {
				t.Errorf("what was there is gone: %v", err)
			}
			if strings.Contains(err.Error(), "precious") {
				t.Errorf("%q tells what is in it", err)
			}
		})
	}
	_, err := m.Bootstrap(t.Context(), filepath.Join(folder, "missing", "password"))
	wantFault(t, err, fault.Precondition, "access.bad_password_file")

	// A start that ended between the file and the user: the next one goes on with it.
	const left = "abcdefghijklmnopqrstuvwxyz234567"
	if err := os.WriteFile(path, []byte(left+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if created, err := m.Bootstrap(t.Context(), path); !created || err != nil {
		t.Fatalf("%t, %v", created, err)
	}
	if readPassword(t, path) != left {
		t.Error("the file was changed")
	}
	login(t, m, "admin", left)
}

func TestNobodyIsLeftToAdminister(t *testing.T) {
	store := statetest.New(t)
	m := start(t, store, access.Options{Disabled: true})
	createUser(t, m, "admin", grant("prod", viewer))
	m = start(t, statetest.Reopen(t, store), access.Options{})
	folder := t.TempDir()
	_, err := m.Bootstrap(t.Context(), filepath.Join(folder, "password"))
	wantFault(t, err, fault.Precondition, "access.no_administrator")
	if left := files(t, folder); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestBootstrapNeedsTheStore(t *testing.T) {
	store := statetest.New(t)
	m := start(t, store, access.Options{})
	store.Close()
	folder := t.TempDir()
	if created, err := m.Bootstrap(t.Context(), filepath.Join(folder, "password")); created || err == nil {
		t.Errorf("%t, %v", created, err)
	}
}
