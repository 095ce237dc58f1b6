package state_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/state"
	"github.com/gantry-platform/gantry/internal/state/statetest"
)

func openIn(t *testing.T, dir string) error {
	t.Helper()
	s, err := state.Open(context.Background(), state.Options{Dir: dir, Embedded: &state.Embedded{NoSync: true}})
	if err == nil {
		s.Close()
	}
	return err
}

func TestFoldersThatAreRefusedStayAsTheyAre(t *testing.T) {
	cases := []struct {
		name, file, content, reason string
	}{
		{"foreign", "holiday.jpg", "x", "state.folder_foreign"},
		{"newer", "gantry.json", `{"product":"gantry","format":99,"node_id":"a"}`, "state.newer_format"},
		{"broken", "gantry.json", `{"product":`, "state.folder_foreign"},
		{"another product", "gantry.json", `{"product":"other","node_id":"a"}`, "state.folder_foreign"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, c.file)
			if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			err := openIn(t, dir)
			f, ok := fault.As(err)
			if !ok || f.Reason != c.reason || f.Hint == "" {
				t.Fatalf("open: %v, want reason %s with a hint", err, c.reason)
			}
			content, err := os.ReadFile(path)
			if err != nil || string(content) != c.content {
				t.Fatalf("%s became %q (%v)", c.file, content, err)
			}
			if _, err := os.Stat(filepath.Join(dir, "etcd")); !errors.Is(err, os.ErrNotExist) {
				t.Error("something was written into the folder")
			}
		})
	}
}

func TestFolderInUse(t *testing.T) {
	s := statetest.New(t)
	err := openIn(t, s.Options().Dir)
	if f, ok := fault.As(err); !ok || f.Reason != "state.folder_in_use" || f.Hint == "" {
		t.Fatalf("second open: %v, want state.folder_in_use", err)
	}
}

func TestFormatOfANewerServerIsRefused(t *testing.T) {
	s := statetest.New(t)
	statetest.Start(t, s)
	if _, err := s.Commit(context.Background(), put("meta/format", `{"format":99,"cluster":"x"}`)); err != nil {
		t.Fatal(err)
	}
	s = statetest.Reopen(t, s)
	err := s.Start(context.Background())
	if f, ok := fault.As(err); !ok || f.Reason != "state.newer_format" {
		t.Fatalf("start: %v, want state.newer_format", err)
	}
}

func TestNothingIsWrittenWithoutRoomOnTheDisk(t *testing.T) {
	s := statetest.New(t)
	m := &memory{}
	statetest.Start(t, s)
	if _, err := s.Commit(context.Background(), put("kept", "1")); err != nil {
		t.Fatal(err)
	}
	options := s.Options()
	s.Close()
	options.MinimumFree, options.Registerer = 1<<60, nil
	s = statetest.Open(t, options)
	s.Mirror("kept", m)
	statetest.Start(t, s)
	if got := m.get("kept"); got != "1" {
		t.Fatalf("memory shows %q, want 1", got)
	}
	err := s.Writable()
	if f, ok := fault.As(err); !ok || f.Reason != "state.disk_full" || f.Hint == "" {
		t.Fatalf("Writable: %v, want state.disk_full with a hint", err)
	}
	if _, err := s.Commit(context.Background(), put("a", "1")); !fault.Is(err, fault.Unavailable) {
		t.Fatalf("Commit: %v, want Unavailable", err)
	}
}

func TestAFreshFolderOnAFullDisk(t *testing.T) {
	s := statetest.Open(t, state.Options{Dir: t.TempDir(), MinimumFree: 1 << 60, Embedded: &state.Embedded{NoSync: true}})
	err := s.Start(context.Background())
	if f, ok := fault.As(err); !ok || f.Reason != "state.disk_full" {
		t.Fatalf("start: %v, want state.disk_full", err)
	}
}

func TestChangesThatAreTooLarge(t *testing.T) {
	s := statetest.New(t)
	statetest.Start(t, s)
	if _, err := s.Commit(context.Background(), put("a", string(make([]byte, 2<<20)))); !fault.Is(err, fault.TooLarge) {
		t.Fatalf("2 MiB: %v, want TooLarge", err)
	}
	if _, err := s.Commit(context.Background(), put("a", string(make([]byte, 1<<20)))); err != nil {
		t.Fatalf("1 MiB: %v, want it stored", err)
	}
}

func TestChangesOfManyKeys(t *testing.T) {
	s := statetest.New(t)
	statetest.Start(t, s)
	external := statetest.Second(t, s)
	statetest.Start(t, external)
	many := func(n int) state.Change {
		change := state.Change{If: []state.Condition{state.Unchanged("absent", 0)}}
		for i := range n {
			change.Put = append(change.Put, state.Put{Key: fmt.Sprintf("k/%d", i)})
		}
		return change
	}
	ctx := context.Background()
	if _, err := s.Commit(ctx, many(1000)); err != nil {
		t.Fatalf("1000 keys: %v", err)
	}
	if _, err := s.Commit(ctx, many(1001)); !fault.Is(err, fault.TooLarge) {
		t.Fatalf("1001 keys: %v, want TooLarge", err)
	}
	if _, err := external.Commit(ctx, many(128)); err != nil {
		t.Fatalf("128 keys on an external etcd: %v", err)
	}
	_, err := external.Commit(ctx, many(129))
	if f, ok := fault.As(err); !ok || f.Reason != "state.transaction_too_large" || !strings.Contains(f.Hint, "--max-txn-ops") {
		t.Fatalf("129 keys on an external etcd: %v", err)
	}
}

func TestMemberJoinsVotesAndIsRemoved(t *testing.T) {
	stores := statetest.Cluster(t, 3)
	statetest.StartAll(t, stores)
	ctx := context.Background()
	if _, err := stores[0].Commit(ctx, put("k", "1")); err != nil {
		t.Fatal(err)
	}
	address := statetest.FreeAddress(t)
	members, err := stores[0].AddMember(ctx, "n4", []string{"http://" + address})
	if err != nil {
		t.Fatal(err)
	}
	m := &memory{}
	fourth := statetest.Open(t, state.Options{Dir: t.TempDir(), Node: state.Node{Name: "n4"}, Embedded: &state.Embedded{
		Name: "n4", PeerListen: address, PeerAdvertise: address, Members: members, Joining: true, NoSync: true}})
	fourth.Mirror("k", m)
	statetest.Start(t, fourth)
	if got := m.get("k"); got != "1" {
		t.Fatalf("the new member has %q, want 1", got)
	}
	await(t, func() bool { return voters(t, fourth) == 4 }, "the new member votes")
	if err := stores[0].RemoveMember(ctx, "n4"); err != nil {
		t.Fatal(err)
	}
	<-fourth.Failed()
	if fourth.Err() == nil {
		t.Error("the removed member does not say why it stopped")
	}
	if err := stores[0].RemoveMember(ctx, "nobody"); !fault.Is(err, fault.NotFound) {
		t.Errorf("removing nobody: %v, want NotFound", err)
	}
}

func TestANodeThatWasAloneBecomesACluster(t *testing.T) {
	ctx := context.Background()
	alone := statetest.New(t)
	statetest.Start(t, alone)
	if _, err := alone.Commit(ctx, put("k", "1")); err != nil {
		t.Fatal(err)
	}
	options := alone.Options()
	alone.Close()
	first, second := statetest.FreeAddress(t), statetest.FreeAddress(t)
	embedded := *options.Embedded
	embedded.PeerListen, embedded.PeerAdvertise = first, first
	options.Embedded, options.Registerer = &embedded, nil
	one := statetest.Open(t, options)
	statetest.Start(t, one)
	members, err := one.AddMember(ctx, "n2", []string{"http://" + second})
	if err != nil {
		t.Fatal(err)
	}
	m := &memory{}
	two := statetest.Open(t, state.Options{Dir: t.TempDir(), Node: state.Node{Name: "n2"}, Embedded: &state.Embedded{
		Name: "n2", PeerListen: second, PeerAdvertise: second, Members: members, Joining: true, NoSync: true}})
	two.Mirror("k", m)
	statetest.Start(t, two)
	if got := m.get("k"); got != "1" {
		t.Fatalf("the second member has %q, want 1", got)
	}
	await(t, func() bool { return voters(t, one) == 2 }, "the second member votes")
}

func voters(t *testing.T, s *state.Store) int {
	t.Helper()
	members, err := s.Members(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, member := range members {
		if !member.Learner {
			n++
		}
	}
	return n
}

func TestANodeAloneWithoutQuorumServesWhatItHas(t *testing.T) {
	stores := statetest.Cluster(t, 3)
	statetest.StartAll(t, stores)
	ctx := context.Background()
	commitUntil(t, stores[0], put("k", "1"))
	await(t, func() bool {
		record, found, err := stores[0].GetLocal(ctx, "k")
		return err == nil && found && string(record.Value) == "1"
	}, "the first member has the record")
	for _, s := range stores {
		s.Close()
	}
	options := stores[0].Options()
	options.Registerer, options.StartWait = nil, 2*time.Second
	alone := statetest.Open(t, options)
	m := &memory{}
	alone.Mirror("k", m)
	statetest.Start(t, alone)
	if alone.Quorum() {
		t.Fatal("one of three claims a quorum")
	}
	if got := m.get("k"); got != "1" {
		t.Fatalf("memory shows %q, want 1", got)
	}
	if _, err := alone.Commit(ctx, put("k", "2")); !fault.Is(err, fault.Unavailable) {
		t.Fatalf("commit: %v, want Unavailable", err)
	}
}

func TestAStateThatWasFullIsWrittenAgainWithAHigherLimit(t *testing.T) {
	ctx := context.Background()
	options := state.Options{Dir: t.TempDir(), Embedded: &state.Embedded{NoSync: true, Quota: 4 << 20}}
	s := statetest.Open(t, options)
	statetest.Start(t, s)
	value := string(make([]byte, 512<<10))
	var err error
	for i := 0; err == nil && i < 100; i++ {
		_, err = s.Commit(ctx, put(fmt.Sprintf("k%d", i), value))
	}
	if f, ok := fault.As(err); !ok || f.Reason != "state.disk_full" || f.Hint == "" {
		t.Fatalf("filling the state ended with %v, want state.disk_full with a hint", err)
	}
	s.Close()
	options.Embedded = &state.Embedded{NoSync: true, Quota: 64 << 20}
	s = statetest.Open(t, options)
	statetest.Start(t, s)
	await(t, func() bool { _, err := s.Commit(ctx, put("more", "1")); return err == nil }, "the state is written again")
	if record, found, err := s.Get(ctx, "k0"); err != nil || !found || len(record.Value) != len(value) {
		t.Fatalf("what was stored before: %v %v", found, err)
	}
}
