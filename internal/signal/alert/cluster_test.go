package alert_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/signal/alert"
	"github.com/gantry-platform/gantry/internal/state"
	"github.com/gantry-platform/gantry/internal/state/statetest"
)

// until waits for a condition that the nodes reach by themselves.
func until(t *testing.T, ctx context.Context, what string, holds func() bool) {
	t.Helper()
	for !holds() {
		if ctx.Err() != nil {
			t.Fatalf("it never comes that %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// over builds a world on several stores, one engine each.
func over(t *testing.T, stores []*state.Store, start func()) *world {
	t.Helper()
	w := &world{t: t, state: stores[0], series: newStore(t), hook: newHook(t), now: time.Date(2026, 11, 26, 10, 0, 0, 0, time.UTC),
		documents: &documents{contents: map[alert.Ref]string{}, versions: map[alert.Ref]int64{}}}
	ctx, cancel := context.WithTimeout(access.NewContext(context.Background(), access.System("test")), time.Minute)
	t.Cleanup(cancel)
	w.ctx = ctx
	for _, s := range stores {
		w.engines = append(w.engines, w.engine(s))
	}
	start()
	for _, e := range w.engines {
		e.StartDelivery()
	}
	return w
}

func TestNodesShareTheRules(t *testing.T) {
	first := statetest.New(t)
	// The second node needs the first one's etcd.
	w := over(t, []*state.Store{first}, func() { statetest.Start(t, first) })
	second := statetest.Second(t, first)
	w.engines = append(w.engines, w.engine(second))
	statetest.Start(t, second)
	w.engines[1].StartDelivery()
	until(t, w.ctx, "each sees both", func() bool { return len(first.Nodes()) == 2 && len(second.Nodes()) == 2 })
	const rules = 40
	for i := range rules {
		w.documents.set("Alert", fmt.Sprintf("rule-%d", i), "expr: errors > 1\n")
	}
	w.route("groupBy: [service]\ngroupWait: 0s\ngroupInterval: 1m\n")
	w.errorsAre("loan", 7)
	for e := range w.engines {
		w.engines[e].Reconcile(w.ctx)
	}
	owned := append(w.engines[0].Owned(), w.engines[1].Owned()...)
	seen := map[alert.Ref]bool{}
	for _, ref := range owned {
		seen[ref] = true
	}
	if len(owned) != rules || len(seen) != rules || len(w.engines[1].Owned()) < 5 || len(w.engines[0].Owned()) < 5 {
		t.Fatalf("%d and %d of %d", len(w.engines[0].Owned()), len(w.engines[1].Owned()), rules)
	}
	for e := range w.engines {
		w.engines[e].Evaluate(w.ctx, w.clock())
	}
	// Whoever tells knows of the alerts of the other node by the state.
	firing := func(e int) int {
		o, err := w.engines[e].List(w.ctx, "default")
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, r := range o.Rules {
			for _, a := range r.Alerts {
				if a.State == alert.Firing {
					n++
				}
			}
		}
		return n
	}
	until(t, w.ctx, "both show all", func() bool { return firing(0) == rules && firing(1) == rules })
	for e := range w.engines {
		w.engines[e].Tell(w.ctx, w.clock())
	}
	if got := w.hook.take(); len(got) != 1 || len(got[0].Alerts) != rules {
		t.Fatalf("told %d times", len(got))
	}

	// The second goes: the first goes on with all, and nothing is told again.
	w.engines[1].Close()
	second.Close()
	until(t, w.ctx, "the first sees that it is alone", func() bool { return len(first.Nodes()) == 1 })
	w.pass(30 * time.Second)
	w.errorsAre("loan", 7)
	w.turn(0)
	if n := len(w.engines[0].Owned()); n != rules {
		t.Errorf("the one that is left has %d rules", n)
	}
	for _, h := range w.history() {
		if h.What == "state" && h.At.Equal(w.clock()) {
			t.Errorf("a transition by taking over: %+v", h)
		}
	}
	w.pass(time.Minute)
	w.errorsAre("loan", 7)
	w.turn(0)
	if got := w.hook.take(); len(got) != 0 {
		t.Errorf("told again: %d", len(got))
	}
}

func TestWithoutQuorumItIsToldAllTheSame(t *testing.T) {
	stores := statetest.Cluster(t, 3)
	w := over(t, stores, func() { statetest.StartAll(t, stores) })
	until(t, w.ctx, "all are there", func() bool { return len(stores[0].Nodes()) == 3 })
	for i := range 30 {
		w.documents.set("Alert", fmt.Sprintf("rule-%d", i), "expr: errors > 1\n")
	}
	w.route("groupWait: 0s\ngroupInterval: 1m\n")
	w.errorsAre("loan", 0)
	for e := range w.engines {
		w.engines[e].Reconcile(w.ctx)
	}
	// Whoever tells for the namespace is left alone.
	left := slices.IndexFunc(w.engines, func(e *alert.Engine) bool { return e.Tells("default") })
	for i := range stores {
		if i != left {
			w.engines[i].Close()
			stores[i].Close()
		}
	}
	until(t, w.ctx, "the quorum is lost", func() bool { return !stores[left].Quorum() })
	w.pass(time.Minute)
	w.errorsAre("loan", 7)
	e := w.engines[left]
	own := len(e.Owned())
	e.Evaluate(w.ctx, w.clock())
	e.Tell(w.ctx, w.clock())
	if got := w.hook.take(); len(got) != own || own == 0 {
		t.Fatalf("told %d times of %d", len(got), own)
	}
	// And once.
	w.pass(time.Minute)
	w.errorsAre("loan", 7)
	e.Evaluate(w.ctx, w.clock())
	e.Tell(w.ctx, w.clock())
	if got := w.hook.take(); len(got) != 0 {
		t.Errorf("told again: %d", len(got))
	}
}
