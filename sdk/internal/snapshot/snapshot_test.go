package snapshot_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gantry-platform/gantry/sdk/internal/snapshot"
)

var secret = []byte("a secret of enough bytes")

func open(t testing.TB, folder, scope string, secret []byte) *snapshot.File {
	t.Helper()
	file, err := snapshot.Open(folder, scope, secret)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func entries() []snapshot.Entry {
	return []snapshot.Entry{
		{Kind: 1, Saved: time.UnixMilli(1_700_000_000_123), Data: []byte("hunter2")},
		{Kind: 2, Saved: time.UnixMilli(-5), Data: nil},
	}
}

func equal(a, b []snapshot.Entry) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Kind != b[i].Kind || !a[i].Saved.Equal(b[i].Saved) || !bytes.Equal(a[i].Data, b[i].Data) {
			return false
		}
	}
	return true
}

func TestSaveAndLoad(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "new")
	file := open(t, folder, "default/loan", secret)
	if _, err := file.Load(); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("loading nothing gave %v", err)
	}
	for range 2 {
		if omitted, err := file.Save(entries()); err != nil || omitted != 0 {
			t.Fatalf("saving left out %d: %v", omitted, err)
		}
	}
	got, err := open(t, folder, "default/loan", secret).Load()
	if err != nil || !equal(got, entries()) {
		t.Errorf("got %v (%v)", got, err)
	}
	info, err := os.Stat(file.Path())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v (%v), want 0600", info.Mode(), err)
	}
	content, err := os.ReadFile(file.Path())
	if err != nil || bytes.Contains(content, []byte("hunter2")) {
		t.Errorf("the content can be read in the file (%v)", err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 1 {
		t.Errorf("the folder holds %v (%v), want the one file", left, err)
	}
}

func TestForeignFilesAreRefused(t *testing.T) {
	mine := open(t, t.TempDir(), "default/loan", secret)
	sealed, err := mine.Seal(entries())
	if err != nil {
		t.Fatal(err)
	}
	for name, other := range map[string]*snapshot.File{
		"scope":  open(t, t.TempDir(), "default/fund", secret),
		"secret": open(t, t.TempDir(), "default/loan", []byte("another secret of enough bytes")),
		"key":    open(t, t.TempDir(), "default/loan", nil),
	} {
		if _, err := other.Unseal(sealed); !errors.Is(err, snapshot.ErrUnusable) {
			t.Errorf("with another %s: %v", name, err)
		}
	}
	if got, err := mine.Unseal(sealed); err != nil || !equal(got, entries()) {
		t.Errorf("got %v (%v)", got, err)
	}
}

// Any file that is cut or changed in any bit is refused.
func TestTornAndTamperedFilesAreRefused(t *testing.T) {
	file := open(t, t.TempDir(), "default/loan", secret)
	sealed, err := file.Seal(entries())
	if err != nil {
		t.Fatal(err)
	}
	for size := range len(sealed) {
		if _, err := file.Unseal(sealed[:size]); !errors.Is(err, snapshot.ErrUnusable) {
			t.Fatalf("cut to %d bytes: %v", size, err)
		}
		changed := bytes.Clone(sealed)
		changed[size] ^= 1 << (size % 8)
		if _, err := file.Unseal(changed); !errors.Is(err, snapshot.ErrUnusable) {
			t.Fatalf("changed at %d: %v", size, err)
		}
	}
}

func TestKeyFile(t *testing.T) {
	folder := t.TempDir()
	if _, err := open(t, folder, "default/loan", nil).Save(entries()); err != nil {
		t.Fatal(err)
	}
	if got, err := open(t, folder, "default/loan", nil).Load(); err != nil || !equal(got, entries()) {
		t.Errorf("with the same key file: %v (%v)", got, err)
	}
	keys, err := filepath.Glob(filepath.Join(folder, "*.key"))
	if err != nil || len(keys) != 1 {
		t.Fatalf("key files %v (%v)", keys, err)
	}
	if info, err := os.Stat(keys[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v (%v), want 0600", info.Mode(), err)
	}
	if err := os.Chmod(keys[0], 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := snapshot.Open(folder, "default/loan", nil); err == nil {
		t.Error("a key that others can read was accepted")
	}
	if err := os.Chmod(keys[0], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(keys[0], 3); err != nil {
		t.Fatal(err)
	}
	if _, err := snapshot.Open(folder, "default/loan", nil); err == nil {
		t.Error("a torn key was accepted")
	}
	if _, err := snapshot.Open(folder, "default/loan", []byte("short")); err == nil {
		t.Error("a short secret was accepted")
	}
}

func TestSizeIsBounded(t *testing.T) {
	file := open(t, t.TempDir(), "default/loan", secret)
	big := snapshot.Entry{Kind: 1, Saved: time.UnixMilli(0), Data: make([]byte, 30<<20)}
	omitted, err := file.Save([]snapshot.Entry{big, big, big})
	if err != nil || omitted != 1 {
		t.Fatalf("left out %d (%v), want the third", omitted, err)
	}
	if got, err := file.Load(); err != nil || len(got) != 2 {
		t.Errorf("loaded %d (%v)", len(got), err)
	}
	if err := os.Truncate(file.Path(), snapshot.MaxSize+1); err != nil {
		t.Fatal(err)
	}
	if _, err := file.Load(); !errors.Is(err, snapshot.ErrUnusable) {
		t.Errorf("a file over the limit gave %v", err)
	}
}

func TestRoundTrip(t *testing.T) {
	file := open(t, t.TempDir(), "default/loan", secret)
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOf(rapid.Custom(func(t *rapid.T) snapshot.Entry {
			return snapshot.Entry{
				Kind: rapid.Byte().Draw(t, "kind"), Saved: time.UnixMilli(rapid.Int64().Draw(t, "saved")),
				Data: rapid.SliceOf(rapid.Byte()).Draw(t, "data"),
			}
		})).Draw(t, "entries")
		sealed, err := file.Seal(want)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := file.Unseal(sealed); err != nil || !equal(got, want) {
			t.Fatalf("got %v (%v), want %v", got, err, want)
		}
	})
}

// What is decoded never holds more than what it was decoded from.
func FuzzDecode(f *testing.F) {
	f.Add([]byte{1, 0, 0})
	f.Add([]byte{1, 2, 3, 'a', 'b', 'c', 2, 1, 0})
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, plain []byte) {
		got, err := snapshot.Decode(plain)
		if err != nil && !errors.Is(err, snapshot.ErrUnusable) {
			t.Errorf("got %v", err)
		}
		size := 0
		for _, entry := range got {
			size += 3 + len(entry.Data)
		}
		if size > len(plain) {
			t.Errorf("%d bytes became %d", len(plain), size)
		}
	})
}

func FuzzUnseal(f *testing.F) {
	file := open(f, f.TempDir(), "default/loan", secret)
	sealed, err := file.Seal(entries())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add(sealed[:40])
	f.Fuzz(func(t *testing.T, other []byte) {
		// Nobody but the owner of the secret makes a file that opens.
		if got, err := file.Unseal(other); err == nil && !equal(got, entries()) {
			t.Errorf("a forged file gave %v", got)
		}
	})
}
