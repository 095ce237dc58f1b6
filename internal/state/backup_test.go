package state_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/state"
	"github.com/gantry-platform/gantry/internal/state/statetest"
)

func backupOf(t testing.TB, s *state.Store) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := s.Backup(context.Background(), &out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestBackupRestoresEverythingButLiveNodes(t *testing.T) {
	s := statetest.New(t)
	statetest.Start(t, s)
	ctx := context.Background()
	want := map[string]string{}
	for i := range 2500 { // several pages
		key, value := state.Key("document", "default", "Config", fmt.Sprintf("a/%d", i)), fmt.Sprint("value ", i)
		want[key] = value
		if _, err := s.Commit(ctx, put(key, value)); err != nil {
			t.Fatal(err)
		}
	}
	copied := backupOf(t, s)

	target := statetest.New(t)
	var told int
	if _, err := target.Restore(ctx, bytes.NewReader(copied), func(n int) { told = n }); err != nil {
		t.Fatal(err)
	}
	if told < len(want) {
		t.Errorf("progress ended at %d of %d records", told, len(want))
	}
	m := &memory{}
	target.Mirror("document/", m)
	statetest.Start(t, target)
	if len(m.records) != len(want) {
		t.Fatalf("%d records came back, want %d", len(m.records), len(want))
	}
	for key, value := range want {
		if m.records[key] != value {
			t.Fatalf("%s came back as %q, want %q", key, m.records[key], value)
		}
	}
	if target.ClusterID() != s.ClusterID() {
		t.Errorf("the cluster's id is %q, want %q", target.ClusterID(), s.ClusterID())
	}
	for _, node := range target.Nodes() {
		if node.ID == s.Self().ID {
			t.Error("the node of the backup lives on in the restored state")
		}
	}
}

func TestRestoreRefusesWhatIsNotEmpty(t *testing.T) {
	s := statetest.New(t)
	statetest.Start(t, s)
	copied := backupOf(t, s)
	if _, err := s.Restore(context.Background(), bytes.NewReader(copied), nil); !fault.Is(err, fault.Precondition) {
		t.Fatalf("restore into a used state: %v, want Precondition", err)
	}
}

func TestRestoreThatWasCutOffDoesNotStart(t *testing.T) {
	s := statetest.New(t)
	statetest.Start(t, s)
	if _, err := s.Commit(context.Background(), put("a", string(bytes.Repeat([]byte("x"), 1000)))); err != nil {
		t.Fatal(err)
	}
	copied := backupOf(t, s)
	target := statetest.New(t)
	if _, err := target.Restore(context.Background(), bytes.NewReader(copied[:len(copied)-20]), nil); err == nil {
		t.Fatal("a cut backup was restored")
	}
	if err := target.Start(context.Background()); !fault.Is(err, fault.Precondition) {
		t.Fatalf("start after a cut restore: %v, want Precondition", err)
	}
}

func TestDamagedBackupsAreToldBeforeAnythingIsTaken(t *testing.T) {
	s := statetest.New(t)
	statetest.Start(t, s)
	if _, err := s.Commit(context.Background(), put("a", "1")); err != nil {
		t.Fatal(err)
	}
	copied := backupOf(t, s)
	read := func(data []byte) (string, error) {
		var all strings.Builder
		_, err := state.ReadBackup(bytes.NewReader(data), func(key string, value []byte) error {
			fmt.Fprintf(&all, "%q=%q ", key, value)
			return nil
		})
		return all.String(), err
	}
	want, err := read(copied)
	if err != nil {
		t.Fatal(err)
	}
	for at := range copied {
		damaged := bytes.Clone(copied)
		damaged[at] ^= 0x20
		// Some bits of a gzip stream mean nothing (times, padding); what means something must be noticed.
		if got, err := read(damaged); err == nil && got != want {
			t.Errorf("a changed byte %d of %d went unnoticed: %s", at, len(copied), got)
		}
	}
}

func FuzzReadBackup(f *testing.F) {
	s := statetest.New(f)
	statetest.Start(f, s)
	f.Add(backupOf(f, s))
	f.Add([]byte("not a backup"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = state.ReadBackup(bytes.NewReader(data), func(string, []byte) error { return nil })
	})
}
