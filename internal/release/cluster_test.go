package release_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/release"
	"github.com/gantry-platform/gantry/internal/state"
	"github.com/gantry-platform/gantry/internal/state/statetest"
)

// set is a compare-and-set of a document's latest version; the answer is the new version, or 0 for a conflict.
type set struct{ expected int64 }

// register is what compare-and-set on versions must look like from outside.
var register = porcupine.Model{
	Init: func() any { return int64(0) },
	Step: func(state, input, output any) (bool, any) {
		latest, expected, version := state.(int64), input.(set).expected, output.(int64)
		if expected != latest {
			return version == 0, latest
		}
		return version == latest+1, latest + 1
	},
}

func TestCompareAndSetIsLinearizable(t *testing.T) {
	s := statetest.New(t)
	first := over(t, s, release.Options{})
	nodes := []*release.Releaser{first, over(t, statetest.Second(t, s), release.Options{})}
	ctx := asSystem(t)
	ref := config("contended")
	begin := time.Now()
	var mu sync.Mutex
	var history []porcupine.Operation
	var clients sync.WaitGroup
	won := 0
	for client := range 8 {
		node := nodes[client%2]
		clients.Go(func() {
			expected := int64(0)
			for n := range 20 {
				called := time.Since(begin)
				p, err := node.Publish(ctx, release.Draft{Ref: ref, Format: "text", Content: fmt.Appendf(nil, "%d %d", client, n), ExpectedVersion: &expected})
				returned := time.Since(begin)
				version := int64(0)
				switch {
				case err == nil:
					version = p.Version
				case !fault.Is(err, fault.Conflict):
					t.Error(err)
					return
				}
				mu.Lock()
				history = append(history, porcupine.Operation{ClientId: client, Input: set{expected}, Output: version, Call: int64(called), Return: int64(returned)})
				if version != 0 {
					won++
				}
				mu.Unlock()
				if expected = version; version == 0 {
					// A node that has not heard of the other's first version yet answers that there is none: so it is expected again.
					d, _, err := node.Get(ctx, ref, 0)
					if err != nil && !fault.Is(err, fault.NotFound) {
						t.Error(err)
						return
					}
					expected = d.GetLatestVersion()
				}
			}
		})
	}
	clients.Wait()
	if result := porcupine.CheckOperationsTimeout(register, history, 30*time.Second); result != porcupine.Ok {
		t.Fatalf("the history is %s", result)
	}
	behind(t, s, ref)
	d, versions, _, err := first.History(ctx, ref, release.MaxPage)
	if err != nil || d.LatestVersion != int64(won) || len(versions) != won {
		t.Fatalf("%d were acknowledged, there are %d (%v)", won, len(versions), err)
	}
}

// behind waits until a node has mirrored what any node has made of a document.
func behind(t testing.TB, s *state.Store, ref release.Ref) {
	t.Helper()
	ctx := asSystem(t)
	head, found, err := s.Get(ctx, state.Key("document", ref.Namespace, ref.Kind, ref.Name))
	if err != nil || !found {
		t.Fatal(found, err)
	}
	if err := s.Await(ctx, head.Modified); err != nil {
		t.Fatal(err)
	}
}

// Changes without an expectation all succeed, whoever else changes the document.
func TestChangesWithoutExpectationRepeat(t *testing.T) {
	s := statetest.New(t)
	nodes := []*release.Releaser{over(t, s, release.Options{}), over(t, statetest.Second(t, s), release.Options{})}
	ctx := asSystem(t)
	ref := config("busy")
	var writers sync.WaitGroup
	const each = 25
	for i, node := range nodes {
		for w := range 2 {
			writers.Go(func() {
				for n := range each {
					if _, err := node.Publish(ctx, release.Draft{Ref: ref, Format: "text", Content: fmt.Appendf(nil, "%d %d %d", i, w, n), Release: true}); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	writers.Wait()
	behind(t, s, ref)
	d, versions, entries, err := nodes[0].History(ctx, ref, release.MaxPage)
	if err != nil || d.LatestVersion != 4*each || d.ReleasedVersion != 4*each || len(versions) != 4*each || len(entries) != 8*each {
		t.Fatalf("%v: %d versions, %d entries, %v", d, len(versions), len(entries), err)
	}
}

// What one node releases, a watcher on another is told.
func TestAWatcherOnAnotherNode(t *testing.T) {
	s := statetest.New(t)
	r := over(t, s, release.Options{})
	other := over(t, statetest.Second(t, s), release.Options{})
	ref := config("far")
	w := watch(t, other, release.Subject{}, ref)
	next(t, w)
	released(t, r, ref, "here")
	if f := next(t, w); len(f) != 1 || string(f[0].Event().Version.Content) != "here" {
		t.Fatalf("told %v", f)
	}
}

func TestWithoutQuorum(t *testing.T) {
	stores := statetest.Cluster(t, 3)
	nodes := make([]*release.Releaser, len(stores))
	for i, s := range stores {
		nodes[i] = attach(t, s, release.Options{Keys: keyring(t, root(1))})
	}
	statetest.StartAll(t, stores)
	for _, r := range nodes {
		start(t, r)
	}
	plain, sealed := config("plain"), config("sealed")
	released(t, nodes[0], plain, "old")
	p := released(t, nodes[0], plain, "in force")
	publish(t, nodes[0], release.Draft{Ref: sealed, Content: []byte(secret), Sensitive: true, Release: true})
	ctx := asSystem(t)
	for _, s := range stores {
		if err := s.Await(ctx, stores[0].Revision()); err != nil {
			t.Fatal(err)
		}
	}
	survivor := nodes[2]
	for i := range 2 {
		nodes[i].Close()
		stores[i].Close()
	}
	lost(t, stores[2])

	_, err := survivor.Publish(ctx, release.Draft{Ref: plain, Format: "text", Content: []byte("new"), Release: true})
	f, ok := fault.As(err)
	if !ok || f.Code != fault.Unavailable || f.Hint == "" {
		t.Fatalf("publishing without quorum: %v", err)
	}
	_, err = survivor.Rollback(ctx, release.Step{Ref: plain}, 0)
	if !fault.Is(err, fault.Unavailable) {
		t.Fatalf("rolling back without quorum: %v", err)
	}
	if got := content(t, survivor, plain, release.Subject{}); got != "in force" {
		t.Errorf("in force is %q", got)
	}
	if got := content(t, survivor, sealed, release.Subject{}); got != secret {
		t.Errorf("in force is %q", got)
	}
	w := watch(t, survivor, release.Subject{}, plain)
	if frames := next(t, w); len(frames) != 1 || frames[0].Version != p.Version {
		t.Errorf("told %v", frames)
	}
	// Earlier versions come from the node's own copy.
	if _, v, err := survivor.Get(ctx, plain, 1); err != nil || string(v.Content) != "old" {
		t.Errorf("an earlier version: %v %v", v, err)
	}
}

// lost waits until a store knows that it has no quorum.
func lost(t testing.TB, s *state.Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		changed := s.QuorumChanged()
		if !s.Quorum() {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatal("the quorum is not lost")
		}
	}
}
