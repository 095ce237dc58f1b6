package keyvalue_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/release"
	"github.com/gantry-platform/gantry/internal/release/keyvalue"
	"github.com/gantry-platform/gantry/internal/state"
	"github.com/gantry-platform/gantry/internal/state/statetest"
)

func (n *node) alive(t testing.TB, id string) bool {
	t.Helper()
	s, _, err := n.keys.Session(asSystem(t), "", id)
	if err != nil {
		t.Fatal(err)
	}
	return s != nil
}

// look lets a node do what it does each second, after a time.
func (n *node) look(t testing.TB, after time.Duration) {
	t.Helper()
	n.clock.advance(after)
	n.keys.Look(context.Background())
}

func TestASessionThatNobodyRenewsEndsBetweenOneAndTwoTTL(t *testing.T) {
	n, ctx := open(t), asSystem(t)
	n.look(t, 0)
	s := n.session(t, ctx, keyvalue.Session{TTL: 10 * time.Second, LockDelay: 15 * time.Second})
	forever := n.session(t, ctx, keyvalue.Session{})
	n.must(t, ctx, lock("a", "x", s.ID))
	for range 10 {
		n.look(t, time.Second)
		if !n.alive(t, s.ID) {
			t.Fatal("it ended before its TTL")
		}
	}
	lived := 10 * time.Second
	for n.alive(t, s.ID) {
		n.look(t, time.Second)
		lived += time.Second
	}
	if lived > 20*time.Second {
		t.Errorf("it lived for %v", lived)
	}
	if key := n.get(t, ctx, "a"); key == nil || key.Session != "" || key.Locked != 1 {
		t.Errorf("its key is %+v", key)
	}
	n.look(t, 48*time.Hour)
	if !n.alive(t, forever.ID) {
		t.Error("a session without a TTL ended")
	}
	if renewed, err := n.keys.Renew(ctx, "", s.ID); renewed != nil || err != nil {
		t.Errorf("renewed after its end: %v, %v", renewed, err)
	}
}

// However often it is renewed: not every renewal is written, and each counts.
func TestEveryRenewalIsWorthATTL(t *testing.T) {
	n, ctx := open(t), asSystem(t)
	n.look(t, 0)
	const ttl = 30 * time.Second
	s := n.session(t, ctx, keyvalue.Session{TTL: ttl})
	writes := func() int64 {
		record, _, err := n.store.Get(ctx, state.Key("session", "default", s.ID))
		if err != nil {
			t.Fatal(err)
		}
		return record.Modified
	}
	last, written := writes(), 0
	for _, pause := range []time.Duration{1, 5, 9, 3, 29, 9, 29, 9, 9, 29, 9} {
		n.look(t, pause*time.Second)
		if renewed, err := n.keys.Renew(ctx, "", s.ID); renewed == nil || err != nil {
			t.Fatalf("%v, %v", renewed, err)
		}
		if now := writes(); now != last {
			last = now
			written++
		}
	}
	if written != 5 { // at 15, 47, 85, 103 and 132 s: when a third of the TTL went by since the one before
		t.Errorf("%d of 11 renewals were written", written)
	}
	n.look(t, ttl-time.Second)
	if !n.alive(t, s.ID) {
		t.Error("it ended within a TTL of its last renewal")
	}
	n.look(t, ttl+time.Second)
	if n.alive(t, s.ID) {
		t.Error("it outlived two TTL")
	}
}

func TestWithoutQuorumNothingEndsAndAfterwardsEverythingHasATTL(t *testing.T) {
	stores := statetest.Cluster(t, 2)
	c := newClock()
	nodes := make([]*node, 2)
	var attached []*release.Releaser
	for i, store := range stores {
		n, r := attach(t, store, c)
		nodes[i], attached = n, append(attached, r)
	}
	statetest.StartAll(t, stores)
	for _, r := range attached {
		r.Start()
		t.Cleanup(r.Close)
	}
	n, ctx := nodes[0], asSystem(t)
	both := func(after time.Duration) {
		c.advance(after)
		for _, n := range nodes {
			n.keys.Look(context.Background())
		}
	}
	both(0)
	s := n.session(t, ctx, keyvalue.Session{TTL: 10 * time.Second})
	if err := stores[0].Await(ctx, s.Created); err != nil {
		t.Fatal(err)
	}
	stores[1].Close()
	nodes = nodes[:1]
	for stores[0].Quorum() {
		changed := stores[0].QuorumChanged()
		if stores[0].Quorum() {
			<-changed
		}
	}
	both(time.Hour)
	both(time.Hour)
	if !n.alive(t, s.ID) {
		t.Fatal("it ended without quorum")
	}
	if _, err := n.keys.Renew(ctx, "", s.ID); !fault.Is(err, fault.Unavailable) {
		t.Errorf("renewed without quorum: %v", err)
	}
	again := statetest.Open(t, again(stores[1].Options()))
	statetest.Start(t, again)
	for !stores[0].Quorum() {
		changed := stores[0].QuorumChanged()
		if !stores[0].Quorum() {
			<-changed
		}
	}
	// The other node does nothing but vote, and owns what its id says: wait until it is gone from the live ones.
	both(time.Second)
	both(9 * time.Second)
	if !n.alive(t, s.ID) {
		t.Error("it had no TTL after the quorum came back")
	}
}

func again(o state.Options) state.Options {
	o.Registerer = nil
	return o
}

// attach makes a node over a store that is started by the caller.
func attach(t testing.TB, store *state.Store, c *clock) (*node, *release.Releaser) {
	t.Helper()
	r, err := release.New(release.Options{Store: store, Policy: standard(), Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	k, err := keyvalue.New(keyvalue.Options{Store: store, Releaser: r, Now: c.Now, Logger: statetest.Logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	return &node{store, r, k, c}, r
}

// Two nodes share the sessions: each ends its own, and takes over the other's with a full TTL.
func TestTheSessionsOfANodeThatStoppedAreEndedByAnother(t *testing.T) {
	c := newClock()
	first := over(t, statetest.New(t), nil, c)
	second := over(t, statetest.Second(t, first.store), nil, c)
	ctx := asSystem(t)
	for len(first.store.Nodes()) < 2 || len(second.store.Nodes()) < 2 {
		select {
		case <-first.store.NodesChanged():
		case <-second.store.NodesChanged():
		case <-time.After(10 * time.Millisecond):
		}
	}
	first.look(t, 0)
	second.look(t, 0)
	var ids []string
	var last int64
	for range 40 {
		s := first.session(t, ctx, keyvalue.Session{TTL: 10 * time.Second})
		ids, last = append(ids, s.ID), s.Created
	}
	if err := second.store.Await(ctx, last); err != nil {
		t.Fatal(err)
	}
	first.look(t, 0)
	second.look(t, 0)
	alive := func() int {
		n := 0
		for _, id := range ids {
			if first.alive(t, id) {
				n++
			}
		}
		return n
	}
	first.look(t, 17*time.Second)
	ended := len(ids) - alive()
	if ended == 0 || ended == len(ids) {
		t.Fatalf("the first node ended %d of %d", ended, len(ids))
	}
	second.store.Close()
	for len(first.store.Nodes()) > 1 {
		changed := first.store.NodesChanged()
		if len(first.store.Nodes()) > 1 {
			<-changed
		}
	}
	first.look(t, time.Hour)
	if left := alive(); left != len(ids)-ended {
		t.Errorf("%d are left at once, want %d", left, len(ids)-ended)
	}
	first.look(t, 10*time.Second)
	if left := alive(); left != 0 {
		t.Errorf("%d are left after a TTL", left)
	}
}

func TestALockHasItsDelayAfterTheEndOfItsSession(t *testing.T) {
	for _, behavior := range []string{keyvalue.Release, keyvalue.Remove} {
		t.Run(behavior, func(t *testing.T) {
			store := statetest.New(t)
			n, ctx := over(t, store, nil, newClock()), asSystem(t)
			s := n.session(t, ctx, keyvalue.Session{LockDelay: 15 * time.Second, Behavior: behavior})
			n.must(t, ctx, lock("a", "x", s.ID))
			if err := n.keys.Destroy(ctx, "", s.ID); err != nil {
				t.Fatal(err)
			}
			if key := n.get(t, ctx, "a"); (key == nil) != (behavior == keyvalue.Remove) || key != nil && key.Session != "" {
				t.Fatalf("%+v", key)
			}
			// On a server that starts anew, too.
			c := n.clock
			n.releaser.Close()
			n = over(t, statetest.Reopen(t, store), nil, c)
			other := n.session(t, ctx, keyvalue.Session{})
			c.advance(14 * time.Second)
			outcome, err := n.keys.Apply(ctx, "", []keyvalue.Operation{lock("a", "y", other.ID)})
			if err != nil || len(outcome.Failures) != 1 || outcome.Failures[0].Err.Reason != "key.delayed" {
				t.Fatalf("%+v, %v", outcome, err)
			}
			n.must(t, ctx, set("a", "written plainly meanwhile"))
			if _, ok := n.apply(t, ctx, lock("a", "y", other.ID)); ok {
				t.Error("a plain write ended the delay")
			}
			c.advance(time.Second)
			n.must(t, ctx, lock("a", "y", other.ID))
			n.must(t, ctx, unlock("a", "y", other.ID))
			n.must(t, ctx, lock("a", "y", n.session(t, ctx, keyvalue.Session{}).ID))
		})
	}
}

func TestASessionThatHoldsManyKeys(t *testing.T) {
	n, ctx := open(t), asSystem(t)
	for _, behavior := range []string{keyvalue.Release, keyvalue.Remove} {
		s := n.session(t, ctx, keyvalue.Session{Behavior: behavior})
		for i := range 100 {
			n.must(t, ctx, lock(fmt.Sprintf("k%d", i), "x", s.ID))
		}
		if err := n.keys.Destroy(ctx, "", s.ID); err != nil {
			t.Fatal(err)
		}
		if held := n.releaser.Held("default", s.ID); len(held) != 0 {
			t.Errorf("%s: it still holds %v", behavior, held)
		}
		keys, _, err := n.keys.List(ctx, "", "", release.Reading{})
		if want := map[string]int{keyvalue.Release: 100}[behavior]; err != nil || len(keys) != want {
			t.Errorf("%s: %d keys, %v", behavior, len(keys), err)
		}
	}
	for _, room := range []string{"session", "ending"} {
		left, err := n.store.List(ctx, state.Prefix(room), state.ListOptions{})
		if err != nil || len(left) != 0 {
			t.Errorf("%s: %v, %v", room, left, err)
		}
	}
}

// A node that stopped in the midst of ending a session leaves a note, which another works off.
func TestTheEndOfASessionIsBroughtToItsEnd(t *testing.T) {
	n, ctx := open(t), asSystem(t)
	s := n.session(t, ctx, keyvalue.Session{LockDelay: time.Second})
	n.must(t, ctx, lock("a", "x", s.ID))
	key := state.Key("session", "default", s.ID)
	note := state.Put{Key: state.Key("ending", "default", s.ID), Value: []byte(`{"behavior":"release","delay":1000000000,"why":"destroyed"}`)}
	revision, err := n.store.Commit(ctx, state.Change{If: []state.Condition{state.Exists(key)}, Put: []state.Put{note}, Delete: []string{key}})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.store.Await(ctx, revision); err != nil {
		t.Fatal(err)
	}
	outcome, err := n.keys.Apply(ctx, "", []keyvalue.Operation{lock("b", "x", s.ID)})
	if err != nil || len(outcome.Failures) != 1 || outcome.Failures[0].Err.Reason != "session.unknown" {
		t.Errorf("it acquires after its end: %+v, %v", outcome, err)
	}
	n.look(t, 0)
	if n.get(t, ctx, "a").Session == "" {
		t.Error("the note was taken from who was at it")
	}
	n.look(t, 5*time.Second)
	if held := n.get(t, ctx, "a"); held.Session != "" || held.Delay != time.Second {
		t.Errorf("%+v", held)
	}
}

func TestWhatNoSessionCanBe(t *testing.T) {
	n, ctx := open(t), asSystem(t)
	for field, s := range map[string]keyvalue.Session{
		"Node":      {},
		"Behavior":  {Node: "n", Behavior: "keep"},
		"TTL":       {Node: "n", TTL: 9 * time.Second},
		"LockDelay": {Node: "n", LockDelay: 61 * time.Second},
		"Name":      {Node: "n", Name: strings.Repeat("n", 513)},
	} {
		_, err := n.keys.Create(ctx, s)
		if f, ok := fault.As(err); !ok || f.Code != fault.Invalid || f.Field != field || f.Hint == "" {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, err := n.keys.Create(ctx, keyvalue.Session{Node: "n", NodeChecks: []string{"dne"}}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a check that is not there: %v", err)
	}
	n.session(t, ctx, keyvalue.Session{NodeChecks: []string{keyvalue.NodeCheck}})
}

// health is a Checks that the test moves.
type health struct {
	mu      sync.Mutex
	states  map[string]keyvalue.Health
	changed chan struct{}
}

func (h *health) Node(_, node string) bool { return node != "unknown" }

func (h *health) Check(namespace, node, id string) keyvalue.Health {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.states[namespace+"/"+node+"/"+id]
}

func (h *health) Changed() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.changed
}

func (h *health) set(name string, state keyvalue.Health) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.states[name] = state
	close(h.changed)
	h.changed = make(chan struct{})
}

func TestASessionEndsWithItsChecks(t *testing.T) {
	checks := &health{states: map[string]keyvalue.Health{}, changed: make(chan struct{})}
	n := over(t, statetest.New(t), checks, newClock())
	n.keys.Start()
	defer n.keys.Close()
	ctx := asSystem(t)
	checks.set("default/n1/node", keyvalue.Healthy)
	checks.set("other/n1/service", keyvalue.Critical)
	wanted := keyvalue.Session{Node: "n1", NodeChecks: []string{"node"}, ServiceChecks: []keyvalue.ServiceCheck{{ID: "service", Namespace: "other"}}}
	if _, err := n.keys.Create(ctx, wanted); !fault.Is(err, fault.Precondition) {
		t.Errorf("a critical check: %v", err)
	}
	wanted.Node = "unknown"
	if _, err := n.keys.Create(ctx, wanted); !fault.Is(err, fault.NotFound) {
		t.Errorf("an unknown node: %v", err)
	}
	wanted.Node = "n1"
	for _, lost := range []keyvalue.Health{keyvalue.Critical, keyvalue.Missing} {
		for _, check := range []string{"default/n1/node", "other/n1/service"} {
			checks.set("default/n1/node", keyvalue.Healthy)
			checks.set("other/n1/service", keyvalue.Healthy)
			s := n.session(t, ctx, wanted)
			changed := n.keys.SessionsChanged("")
			checks.set(check, lost)
			<-changed
			if n.alive(t, s.ID) {
				t.Errorf("%s is %v, and the session lives", check, lost)
			}
		}
	}
}

func TestSessionsAreListed(t *testing.T) {
	n, ctx := open(t), asSystem(t)
	_, before, err := n.keys.Sessions(ctx, "", "")
	if err != nil || before == 0 {
		t.Fatalf("%d, %v", before, err)
	}
	changed := n.keys.SessionsChanged("")
	a := n.session(t, ctx, keyvalue.Session{Node: "a", Name: "first"})
	<-changed
	b := n.session(t, ctx, keyvalue.Session{Node: "b", TTL: time.Minute})
	n.session(t, ctx, keyvalue.Session{Node: "a", Namespace: "other"})
	all, index, err := n.keys.Sessions(ctx, "", "")
	if err != nil || len(all) != 2 || all[0].ID != a.ID || all[1].ID != b.ID || index != b.Created || a.Created <= before {
		t.Errorf("%+v at %d, %v", all, index, err)
	}
	if of, _, err := n.keys.Sessions(ctx, "", "a"); err != nil || len(of) != 1 || of[0].Name != "first" {
		t.Errorf("%+v, %v", of, err)
	}
	// A renewal is no news to who waits.
	n.clock.advance(time.Minute)
	changed = n.keys.SessionsChanged("")
	if _, err := n.keys.Renew(ctx, "", b.ID); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
		t.Error("a renewal woke")
	default:
	}
}
