package keyvalue_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/policy"
	"github.com/gantry-platform/gantry/internal/release"
	"github.com/gantry-platform/gantry/internal/release/keyvalue"
	"github.com/gantry-platform/gantry/internal/state"
	"github.com/gantry-platform/gantry/internal/state/statetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, statetest.LeakOptions()...) }

// clock is a time that the test moves; it never shows the same twice.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(time.Microsecond)
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// node is one server's part.
type node struct {
	store    *state.Store
	releaser *release.Releaser
	keys     *keyvalue.Keys
	clock    *clock
}

func standard() *policy.Registry { return policy.Standard() }

// over makes a node over a store that is not started. The work in the background is left to the test.
func over(t testing.TB, store *state.Store, checks keyvalue.Checks, c *clock) *node {
	t.Helper()
	r, err := release.New(release.Options{Store: store, Policy: policy.Standard(), Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	k, err := keyvalue.New(keyvalue.Options{Store: store, Releaser: r, Checks: checks, Now: c.Now, Logger: statetest.Logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	statetest.Start(t, store)
	r.Start()
	t.Cleanup(r.Close)
	return &node{store, r, k, c}
}

func open(t testing.TB) *node {
	t.Helper()
	return over(t, statetest.New(t), nil, newClock())
}

func asSystem(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return access.NewContext(ctx, access.System("test"))
}

// failer is what *testing.T and *rapid.T have in common.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// apply makes operations and answers their keys; ok is false when one was refused.
func (n *node) apply(t failer, ctx context.Context, ops ...keyvalue.Operation) (keys []*release.Key, ok bool) {
	t.Helper()
	outcome, err := n.keys.Apply(ctx, "", ops)
	if err != nil {
		t.Fatalf("%+v: %v", ops, err)
	}
	return outcome.Keys, len(outcome.Failures) == 0
}

func (n *node) must(t failer, ctx context.Context, ops ...keyvalue.Operation) []*release.Key {
	t.Helper()
	keys, ok := n.apply(t, ctx, ops...)
	if !ok {
		t.Fatalf("%+v was refused", ops)
	}
	return keys
}

func (n *node) get(t failer, ctx context.Context, name string) *release.Key {
	t.Helper()
	key, _, err := n.keys.Get(ctx, "", name, release.Reading{Values: true})
	if err != nil {
		t.Fatalf("get %s: %v", name, err)
	}
	return key
}

func (n *node) session(t failer, ctx context.Context, s keyvalue.Session) *keyvalue.Session {
	t.Helper()
	if s.Node == "" {
		s.Node = "n1"
	}
	made, err := n.keys.Create(ctx, s)
	if err != nil {
		t.Fatalf("create a session: %v", err)
	}
	return made
}

func set(name, value string) keyvalue.Operation {
	return keyvalue.Operation{Verb: keyvalue.Set, Key: name, Value: []byte(value)}
}

func lock(name, value, session string) keyvalue.Operation {
	return keyvalue.Operation{Verb: keyvalue.Lock, Key: name, Value: []byte(value), Session: session}
}

func unlock(name, value, session string) keyvalue.Operation {
	return keyvalue.Operation{Verb: keyvalue.Unlock, Key: name, Value: []byte(value), Session: session}
}

func remove(name string) keyvalue.Operation {
	return keyvalue.Operation{Verb: keyvalue.Delete, Key: name}
}
