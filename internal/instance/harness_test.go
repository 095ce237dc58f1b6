package instance_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gantry-platform/gantry/internal/instance"
	"github.com/gantry-platform/gantry/internal/state"
	"github.com/gantry-platform/gantry/internal/state/statetest"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, statetest.LeakOptions()...)
}

// patience bounds what a test waits for on a busy machine.
const patience = 30 * time.Second

// clock moves when the test says so.
type clock struct {
	mu      sync.Mutex
	wall    time.Time
	elapsed time.Duration
	ticks   chan time.Time
	done    chan struct{}
}

func newClock() *clock {
	return &clock{wall: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), ticks: make(chan time.Time), done: make(chan struct{})}
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wall
}

func (c *clock) Elapsed() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.elapsed
}

func (c *clock) Ticks(time.Duration) (<-chan time.Time, func()) {
	return c.ticks, sync.OnceFunc(func() { close(c.done) })
}

// step moves the clock by d, and returns after the registry has dealt with it.
func (c *clock) step(d time.Duration) {
	c.mu.Lock()
	c.elapsed += d
	c.wall = c.wall.Add(d)
	c.mu.Unlock()
	for range 2 { // the second is taken when the first was dealt with
		select {
		case c.ticks <- time.Time{}:
		case <-c.done:
			return
		}
	}
}

// node is a registry over a store, and its clock.
type node struct {
	*instance.Registry
	t     testing.TB
	store *state.Store
	clock *clock
}

// open makes a registry; its store is not started.
func open(t testing.TB, store *state.Store, change func(*instance.Options)) *node {
	t.Helper()
	n := &node{t: t, store: store, clock: newClock()}
	options := instance.Options{Store: store, Clock: n.clock, Logger: statetest.Logger(t), NamedProtocol: "consul"}
	if change != nil {
		change(&options)
	}
	n.Registry = instance.New(options)
	return n
}

// run starts the registry and closes it with the test.
func (n *node) run() *node {
	n.t.Helper()
	if err := n.Start(n.t.Context()); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { n.Close() })
	return n
}

// single is one node on a fresh state.
func single(t testing.TB, change func(*instance.Options)) *node {
	t.Helper()
	store := statetest.New(t)
	n := open(t, store, change)
	statetest.Start(t, store)
	return n.run()
}

// advance lets time go by and waits until all that follows from it is done and visible.
func (n *node) advance(d time.Duration) {
	n.t.Helper()
	for ; d > 0; d -= instance.Tick {
		before := n.Transitions()
		n.clock.step(min(d, instance.Tick))
		n.Idle()
		if n.Transitions() != before {
			n.settle() // what follows from it is timed from its own tick
		}
	}
	n.settle()
}

// settle waits until this node sees everything that was written so far.
func (n *node) settle() {
	n.t.Helper()
	n.Idle()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	revision, err := n.store.Commit(ctx, state.Change{Put: []state.Put{{Key: "test/barrier", Value: nil}}})
	if err == nil {
		err = n.store.Await(ctx, revision)
	}
	if err != nil {
		n.t.Fatal(err)
	}
}

// get returns an instance as readers see it, or nil.
func (n *node) get(service instance.Service, id string) *instance.Instance {
	snapshot := n.Lookup(service)
	if snapshot == nil {
		return nil
	}
	return snapshot.Instance(id)
}

func (n *node) health(service instance.Service, id string) string {
	i := n.get(service, id)
	switch {
	case i == nil:
		return "gone"
	case i.Protected:
		return "protected"
	case i.Health == gantryv1.Health_HEALTH_HEALTHY:
		return "healthy"
	}
	return "unhealthy"
}

func (n *node) wantHealth(service instance.Service, id, want string) {
	n.t.Helper()
	if got := n.health(service, id); got != want {
		n.t.Fatalf("instance %s of %s is %s, want %s", id, service, got, want)
	}
}

func (n *node) register(service instance.Service, address string, set ...func(*gantryv1.Instance)) instance.Result {
	n.t.Helper()
	result, err := n.Register(n.t.Context(), registration(service, address, set...))
	if err != nil {
		n.t.Fatalf("register %s: %v", address, err)
	}
	return result
}

func registration(service instance.Service, address string, set ...func(*gantryv1.Instance)) instance.Registration {
	m := &gantryv1.Instance{Address: address, Port: 8080, Labels: map[string]string{"version": "1", "zone": "a"}}
	for _, s := range set {
		s(m)
	}
	return instance.Registration{Service: service, Instance: m}
}

func (n *node) beat(service instance.Service, ids ...string) []string {
	n.t.Helper()
	unknown, err := n.Beat(n.t.Context(), service, ids)
	if err != nil {
		n.t.Fatalf("beat: %v", err)
	}
	return unknown
}

// next takes a subscriber's frames until done says that it has seen enough.
func next(t testing.TB, s *instance.Subscriber, done func(*instance.Frame) bool) *instance.Frame {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		frames, err := s.Next(ctx)
		if err != nil {
			t.Fatalf("no such frame came: %v", err)
		}
		for _, f := range frames {
			if done(f) {
				return f
			}
		}
	}
}

// await follows a service until it looks as wanted.
func (n *node) await(service instance.Service, what string, looks func(*instance.Snapshot) bool) {
	n.t.Helper()
	s := n.Subscribe(instance.Follower{})
	defer s.Close()
	if err := s.Add(service, 0); err != nil {
		n.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		if looks(n.Lookup(service)) {
			return
		}
		if _, err := s.Next(ctx); err != nil {
			if errors.Is(err, context.DeadlineExceeded) {
				n.t.Fatalf("waited in vain for %s: %+v", what, n.Lookup(service))
			}
			n.t.Fatal(err)
		}
	}
}

var loan = instance.Service{Namespace: "default", Group: "default", Name: "loan"}
