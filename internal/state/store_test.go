package state_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gantry-platform/gantry/internal/state"
	"github.com/gantry-platform/gantry/internal/state/statetest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, statetest.LeakOptions()...)
}

// memory is the simplest mirror: a map, guarded for the test's goroutine.
type memory struct {
	mu      sync.Mutex
	records map[string]string
	resets  int
}

func (m *memory) Reset(records []state.Record, revision int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.resets++
	m.records = map[string]string{}
	for _, r := range records {
		m.records[r.Key] = string(r.Value)
	}
}

func (m *memory) Apply(events []state.Event, revision int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range events {
		if e.Deleted {
			delete(m.records, e.Key)
		} else {
			m.records[e.Key] = string(e.Value)
		}
	}
}

func (m *memory) get(key string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.records[key]
}

func put(key, value string) state.Change {
	return state.Change{Put: []state.Put{{Key: key, Value: []byte(value)}}}
}

func TestCommitIsMirroredAndSurvivesRestart(t *testing.T) {
	s := statetest.New(t)
	m := &memory{}
	s.Mirror("thing/", m)
	statetest.Start(t, s)
	ctx := context.Background()
	revision, err := s.Commit(ctx, put("thing/a", "1"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Await(ctx, revision); err != nil {
		t.Fatal(err)
	}
	if got := m.get("thing/a"); got != "1" {
		t.Fatalf("mirror has %q, want 1", got)
	}
	id := s.Self().ID
	s = statetest.Reopen(t, s)
	m = &memory{}
	s.Mirror("thing/", m)
	statetest.Start(t, s)
	if got := m.get("thing/a"); got != "1" {
		t.Fatalf("after a restart the mirror has %q, want 1", got)
	}
	if s.Self().ID != id {
		t.Fatalf("the node's id changed from %s to %s", id, s.Self().ID)
	}
	record, found, err := s.Get(ctx, "thing/a")
	if err != nil || !found || string(record.Value) != "1" || record.Modified != revision {
		t.Fatalf("Get = %+v %v %v, want value 1 of revision %d", record, found, err, revision)
	}
}

func TestConditions(t *testing.T) {
	s := statetest.New(t)
	statetest.Start(t, s)
	ctx := context.Background()
	absent := state.Change{If: []state.Condition{state.Unchanged("k", 0)}, Put: []state.Put{{Key: "k", Value: []byte("1")}}}
	revision, err := s.Commit(ctx, absent)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit(ctx, absent); !errors.Is(err, state.ErrConflict) {
		t.Fatalf("second create: %v, want ErrConflict", err)
	}
	if _, err := s.Commit(ctx, state.Change{If: []state.Condition{state.Unchanged("k", revision)}, Delete: []string{"k"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit(ctx, state.Change{If: []state.Condition{state.Exists("k")}, Put: []state.Put{{Key: "x"}}}); !errors.Is(err, state.ErrConflict) {
		t.Fatalf("Exists on a deleted key: %v, want ErrConflict", err)
	}
}

func TestNoneUnder(t *testing.T) {
	s := statetest.New(t)
	statetest.Start(t, s)
	ctx := context.Background()
	first := func(key string) state.Change {
		return state.Change{If: []state.Condition{state.NoneUnder("p/")}, Put: []state.Put{{Key: key}}}
	}
	// Many at once, which share transactions: exactly one may be the first.
	var won atomic.Int32
	var all sync.WaitGroup
	for i := range 32 {
		all.Go(func() {
			switch _, err := s.Commit(ctx, first(fmt.Sprintf("p/%d", i))); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, state.ErrConflict):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 {
		t.Fatalf("%d changes found nothing under the prefix, want 1", won.Load())
	}
	if _, err := s.Commit(ctx, state.Change{If: []state.Condition{state.NoneUnder("q/")}, Put: []state.Put{{Key: "p/x"}}}); err != nil {
		t.Fatalf("nothing is under q/, but: %v", err)
	}
}

func TestNothingNewUnder(t *testing.T) {
	s := statetest.New(t)
	statetest.Start(t, s)
	ctx := context.Background()
	put := func(key string) int64 {
		revision, err := s.Commit(ctx, put(key, ""))
		if err != nil {
			t.Fatal(err)
		}
		return revision
	}
	first := put("p/a")
	last := put("p/b")
	put("q/a")
	try := func(prefix string, revision int64) error {
		_, err := s.Commit(ctx, state.Change{If: []state.Condition{state.NothingNewUnder(prefix, revision)}, Put: []state.Put{{Key: "r"}}})
		return err
	}
	if err := try("p/", last); err != nil {
		t.Errorf("nothing is newer: %v", err)
	}
	if err := try("p/", first); !errors.Is(err, state.ErrConflict) {
		t.Errorf("p/b is newer: %v, want ErrConflict", err)
	}
	if err := try("none/", 0); err != nil {
		t.Errorf("nothing is there: %v", err)
	}
	put("p/a")
	if err := try("p/", last); !errors.Is(err, state.ErrConflict) {
		t.Errorf("p/a was written again: %v, want ErrConflict", err)
	}
}

// TestConcurrentChangesAreSerial lets callers race on two keys, each allowed to be cleared only while the other is set: a
// transaction that evaluated both conditions before both writes would clear both.
func TestConcurrentChangesAreSerial(t *testing.T) {
	s := statetest.New(t)
	statetest.Start(t, s)
	ctx := context.Background()
	for round := range 50 {
		a, b := fmt.Sprintf("r%d/a", round), fmt.Sprintf("r%d/b", round)
		if _, err := s.Commit(ctx, state.Change{Put: []state.Put{{Key: a}, {Key: b}}}); err != nil {
			t.Fatal(err)
		}
		errs := make([]error, 2)
		var both sync.WaitGroup
		both.Go(func() {
			_, errs[0] = s.Commit(ctx, state.Change{If: []state.Condition{state.Exists(b)}, Delete: []string{a}})
		})
		both.Go(func() {
			_, errs[1] = s.Commit(ctx, state.Change{If: []state.Condition{state.Exists(a)}, Delete: []string{b}})
		})
		// Company, so that the two often meet in one transaction.
		for i := range 8 {
			both.Go(func() {
				if _, err := s.Commit(ctx, put(fmt.Sprintf("r%d/c%d", round, i), "x")); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Fatalf("round %d: %v and %v; exactly one may succeed", round, errs[0], errs[1])
		}
	}
}

func TestManyCommitsShareTransactionsAndKeepOrder(t *testing.T) {
	s := statetest.New(t)
	m := &memory{}
	s.Mirror("n/", m)
	statetest.Start(t, s)
	ctx := context.Background()
	var all sync.WaitGroup
	var mu sync.Mutex
	var newest int64
	for caller := range 64 {
		all.Go(func() {
			for i := range 50 {
				revision, err := s.Commit(ctx, put(fmt.Sprintf("n/%d", caller), fmt.Sprint(i)))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				newest = max(newest, revision)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if err := s.Await(ctx, newest); err != nil {
		t.Fatal(err)
	}
	for caller := range 64 {
		if got := m.get(fmt.Sprintf("n/%d", caller)); got != "49" {
			t.Fatalf("caller %d: mirror shows %q, want its last write 49", caller, got)
		}
	}
	if newest >= 64*50 {
		t.Errorf("%d revisions for %d changes: none shared a transaction", newest, 64*50)
	}
}

func TestSecondNodeIsSeen(t *testing.T) {
	s := statetest.New(t)
	statetest.Start(t, s)
	second := statetest.Second(t, s)
	statetest.Start(t, second)
	awaitNodes(s, 2)
	second.Close()
	awaitNodes(s, 1)
}

func names(nodes []state.Node) (all []string) {
	for _, node := range nodes {
		all = append(all, node.Name)
	}
	return all
}

func TestAMemberThatIsNotThereIsAbsentUntilItIsRemoved(t *testing.T) {
	stores := statetest.Cluster(t, 3)
	statetest.StartAll(t, stores)
	awaitNodes(stores[0], 3)
	if got := stores[0].Absent(); len(got) > 0 {
		t.Errorf("%v", got)
	}
	stores[2].Close()
	for _, s := range stores[:2] {
		awaitNodes(s, 2)
		for _, now := range []time.Time{time.Now(), time.Now().Add(1000 * time.Hour)} {
			if got := names(s.AbsentAt(now)); !slices.Equal(got, []string{"n3"}) {
				t.Errorf("%v", got)
			}
		}
	}
	commitUntil(t, stores[0], put("k", "1"))
	if err := stores[0].RemoveMember(t.Context(), "n3"); err != nil {
		t.Fatal(err)
	}
	if got := stores[0].Absent(); len(got) > 0 {
		t.Errorf("%v", got)
	}
}

func TestANodeOfAnExternalEtcdIsMissedForADay(t *testing.T) {
	etcd := statetest.New(t)
	statetest.Start(t, etcd)
	s := statetest.Second(t, etcd)
	statetest.Start(t, s)
	third := func() *state.Store {
		t.Helper()
		n := statetest.Open(t, state.Options{Dir: t.TempDir(), Node: state.Node{Name: "third"}, External: &state.External{Endpoints: []string{"unix://" + etcd.Options().Embedded.Socket}}})
		statetest.Start(t, n)
		awaitNodes(s, 3)
		return n
	}
	first := third()
	first.Close()
	awaitNodes(s, 2)
	if got := s.Absent(); !slices.Equal(names(got), []string{"third"}) || got[0].ID != first.Self().ID {
		t.Errorf("%v", got)
	}
	// Another with its name stands in for it.
	third().Close()
	awaitNodes(s, 2)
	if got := names(s.AbsentAt(time.Now().Add(23 * time.Hour))); !slices.Equal(got, []string{"third"}) {
		t.Errorf("%v", got)
	}
	if got := s.AbsentAt(time.Now().Add(25 * time.Hour)); len(got) > 0 {
		t.Errorf("%v", got)
	}
}

// awaitNodes takes the channel before it looks, so that no change falls in between.
func awaitNodes(s *state.Store, count int) {
	for {
		changed := s.NodesChanged()
		if len(s.Nodes()) == count {
			return
		}
		<-changed
	}
}

func TestClusterLosesAndKeepsQuorum(t *testing.T) {
	stores := statetest.Cluster(t, 3)
	m := &memory{}
	stores[0].Mirror("k", m)
	statetest.StartAll(t, stores)
	ctx := context.Background()
	if _, err := stores[2].Commit(ctx, put("k", "1")); err != nil {
		t.Fatal(err)
	}
	stores[2].Close()
	commitUntil(t, stores[0], put("k", "2"))
	stores[1].Close()
	for stores[0].Quorum() {
		changed := stores[0].QuorumChanged()
		if stores[0].Quorum() {
			<-changed
		}
	}
	if _, err := stores[0].Commit(ctx, put("k", "3")); err == nil {
		t.Fatal("a change was acknowledged without quorum")
	}
	if got := m.get("k"); got != "2" {
		t.Fatalf("memory shows %q without quorum, want 2", got)
	}
}

// commitUntil repeats an idempotent change over an election.
func commitUntil(t *testing.T, s *state.Store, change state.Change) int64 {
	t.Helper()
	for {
		revision, err := s.Commit(t.Context(), change)
		if err == nil {
			return revision
		}
		if t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
}

// await polls a condition of another member's making, up to a bound.
func await(t *testing.T, holds func() bool, what string) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for !holds() {
		select {
		case <-ticker.C:
		case <-deadline.C:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}
