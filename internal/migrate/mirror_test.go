package migrate

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/gantry-platform/gantry/internal/fault"
)

// world is two registries and perhaps a mirror between them.
type world struct {
	source, gantry *modelRegistry
	mirror         *Mirror
	stop           context.CancelFunc
	ended          chan error

	mu     sync.Mutex
	events []Event
}

const testKeep = time.Minute

func newWorld() *world {
	return &world{source: newModel("nacos", true), gantry: newModel("gantry", false)}
}

func (w *world) start() {
	w.mirror = &Mirror{Source: w.source, Gantry: w.gantry, By: "nacos:8848", Keep: testKeep, Explain: fault.From, Tell: func(e Event) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.events = append(w.events, e)
	}}
	w.mirror.Prepare()
	ctx, cancel := context.WithCancel(context.Background())
	w.stop, w.ended = cancel, make(chan error, 1)
	mirror := w.mirror
	ended := w.ended
	go func() { ended <- mirror.Run(ctx) }()
}

func (w *world) end() error {
	w.stop()
	return <-w.ended
}

// told are the kinds of events so far, and forgets them.
func (w *world) told() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var kinds []string
	for _, e := range w.events {
		kinds = append(kinds, e.Side+" "+string(e.Kind))
	}
	w.events = nil
	return strings.Join(kinds, ", ")
}

// own and copies are what a side shows, as "service address:port".
func own(view View) []string    { return list(view, false) }
func copies(view View) []string { return list(view, true) }

func list(view View, marked bool) []string {
	all := []string{}
	for service, instances := range view {
		for _, i := range instances {
			if i.marked() == marked {
				all = append(all, fmt.Sprintf("%s %s:%d %v", service.Name, i.Address, i.Port, i.Available))
			}
		}
	}
	slices.Sort(all)
	return all
}

// wantUnion says what is wrong with two sides that have settled: each shows exactly what is available anywhere, and copies only of what the other has
// alone.
func wantUnion(a, b View) string {
	for _, pair := range []struct {
		name     string
		from, to View
	}{{"source in gantry", a, b}, {"gantry in source", b, a}} {
		var want []string
		for service, instances := range pair.from {
			for _, i := range instances {
				if i.marked() || !i.Available || ownPlaces(pair.to[service])[i.place()] {
					continue
				}
				want = append(want, fmt.Sprintf("%s %s:%d true", service.Name, i.Address, i.Port))
			}
		}
		slices.Sort(want)
		if got := copies(pair.to); !slices.Equal(got, want) {
			return fmt.Sprintf("%s: copies %v, want %v", pair.name, got, want)
		}
	}
	return ""
}

func service(n int) Service { return Service{"default", "default", fmt.Sprintf("s%d", n)} }
func at(n int) place        { return place{fmt.Sprintf("10.0.0.%d", n), 8080} }

// step is one thing that happens in a random history.
type step struct {
	what          string
	side          int
	service, slot int
	wait          time.Duration
}

func (s step) String() string {
	return fmt.Sprintf("%s side %d service %d slot %d wait %v", s.what, s.side, s.service, s.slot, s.wait)
}

func steps() *rapid.Generator[[]step] {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
		return step{
			what: rapid.SampledFrom([]string{"provide", "provide", "provide", "withdraw", "sicken", "away", "back", "wait", "crash"}).Draw(t, "what"),
			side: rapid.IntRange(0, 1).Draw(t, "side"), service: rapid.IntRange(0, 2).Draw(t, "service"), slot: rapid.IntRange(1, 3).Draw(t, "slot"),
			wait: time.Duration(rapid.SampledFrom([]int{0, 10, 300, 2000, 20_000, 100_000}).Draw(t, "ms")) * time.Millisecond,
		}
	}), 1, 40)
}

func (w *world) do(s step) {
	side := []*modelRegistry{w.source, w.gantry}[s.side]
	switch s.what {
	case "provide":
		side.provide(service(s.service), at(s.slot), true)
	case "sicken":
		side.provide(service(s.service), at(s.slot), false)
	case "withdraw":
		side.withdraw(service(s.service), at(s.slot))
	case "away":
		side.setAway(true)
	case "back":
		side.setAway(false)
	case "crash":
		// Nothing can be taken back, as if the process were killed; another mirror starts.
		w.source.setAway(true)
		w.gantry.setAway(true)
		w.end()
		w.source.setAway(false)
		w.gantry.setAway(false)
		w.start()
	}
	time.Sleep(s.wait)
}

func TestMirrorsEndInTheUnion(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		history := steps().Draw(rt, "history")
		problem := ""
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.start()
			for _, s := range history {
				w.do(s)
			}
			w.source.setAway(false)
			w.gantry.setAway(false)
			before := [2][]string{own(w.source.shown()), own(w.gantry.shown())}
			time.Sleep(testKeep)
			problem = wantUnion(w.source.shown(), w.gantry.shown())
			for n, side := range []*modelRegistry{w.source, w.gantry} {
				if after := own(side.shown()); !slices.Equal(after, before[n]) {
					problem = fmt.Sprintf("%s had %v of its own, and has %v", side.kind, before[n], after)
				}
				if len(side.wrong) > 0 {
					problem = side.wrong[0]
				}
			}
			if err := w.end(); err != nil {
				problem = err.Error()
			}
			if left := append(copies(w.source.shown()), copies(w.gantry.shown())...); len(left) > 0 && problem == "" {
				problem = fmt.Sprintf("left after the end: %v", left)
			}
		})
		if problem != "" {
			rt.Fatal(problem)
		}
	})
}

func TestChangesAreSeenWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.source.provide(service(1), at(1), true)
		w.start()
		time.Sleep(time.Second)
		if got := copies(w.gantry.shown()); len(got) != 1 {
			t.Errorf("copies %v", got)
		}
		w.gantry.provide(service(1), at(2), true)
		time.Sleep(time.Second)
		if got := copies(w.source.shown()); len(got) != 1 {
			t.Errorf("copies %v", got)
		}
		// The provider of the first moves over: its copy goes, and there is none of it in the source.
		w.gantry.provide(service(1), at(1), true)
		w.source.withdraw(service(1), at(1))
		time.Sleep(2 * time.Second)
		if got := copies(w.gantry.shown()); len(got) != 0 {
			t.Errorf("copies %v of one that has moved", got)
		}
		if got := copies(w.source.shown()); len(got) != 2 {
			t.Errorf("copies %v", got)
		}
		status := w.mirror.Status()
		if !status.Ready || status.ToSource != 2 || status.ToGantry != 0 || status.Gantry != (Count{1, 2, 0}) || status.Source.Copies != 2 {
			t.Errorf("status %+v", status)
		}
		if err := w.end(); err != nil {
			t.Error(err)
		}
		if told := w.told(); told != "" {
			t.Errorf("told %s", told)
		}
	})
}

func TestOutagesAreToldOnceAndInstancesKeptForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.source.provide(service(1), at(1), true)
		w.gantry.provide(service(2), at(2), true)
		w.start()
		time.Sleep(time.Second)
		w.source.setAway(true)
		time.Sleep(testKeep - 10*time.Second)
		if got := copies(w.gantry.shown()); len(got) != 1 {
			t.Errorf("copies %v shortly after the source went away", got)
		}
		if told := w.told(); told != "nacos away, nacos not writable" {
			t.Errorf("told %s", told)
		}
		time.Sleep(20 * time.Second)
		if got := copies(w.gantry.shown()); len(got) != 0 {
			t.Errorf("copies %v long after the source went away", got)
		}
		w.source.setAway(false)
		time.Sleep(15 * time.Second)
		if told := w.told(); told != "nacos forgotten, nacos back, nacos writable" {
			t.Errorf("told %s", told)
		}
		if problem := wantUnion(w.source.shown(), w.gantry.shown()); problem != "" || len(copies(w.gantry.shown())) != 1 {
			t.Error(problem)
		}
		w.end()
	})
}

func TestCopiesVanishWithTheMirror(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.source.provide(service(1), at(1), true)
		w.start()
		time.Sleep(5 * time.Minute)
		if got := copies(w.gantry.shown()); len(got) != 1 {
			t.Errorf("copies %v: its beats do not keep them", got)
		}
		w.gantry.setAway(true)
		if err := w.end(); !fault.Is(err, fault.Unavailable) {
			t.Errorf("copies that cannot be taken back: %v", err)
		}
		w.gantry.setAway(false)
		time.Sleep(w.gantry.ttl + time.Second)
		if got := copies(w.gantry.shown()); len(got) != 0 {
			t.Errorf("copies %v without a mirror", got)
		}
	})
}

func TestWhatASideRefusesIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.gantry.refuses = "s1"
		w.source.provide(service(1), at(1), true)
		w.source.provide(service(2), at(1), true)
		w.start()
		time.Sleep(5 * time.Minute)
		if told := w.told(); told != "gantry refused" {
			t.Errorf("told %s", told)
		}
		if status := w.mirror.Status(); status.Refused != 1 || status.ToGantry != 1 {
			t.Errorf("status %+v", status)
		}
		w.gantry.mu.Lock()
		w.gantry.refuses = ""
		w.gantry.mu.Unlock()
		time.Sleep(refusedAgain + time.Second)
		if status := w.mirror.Status(); status.Refused != 0 || status.ToGantry != 2 {
			t.Errorf("status %+v after it was mended", status)
		}
		w.end()
	})
}

func TestAWrongPasswordEndsAMirror(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.mirror = &Mirror{Source: refusing{w.source}, Gantry: w.gantry, Explain: fault.From, Tell: func(Event) {}}
		w.mirror.Prepare()
		if err := w.mirror.Run(t.Context()); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("%v", err)
		}
	})
}

// refusing is a registry that does not know its caller.
type refusing struct{ *modelRegistry }

func (refusing) Follow(context.Context, func(View)) error {
	return fault.New(fault.Unauthenticated, "source.unauthenticated", "who are you?")
}

func TestMirrorsOfOtherSourcesAreLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.gantry.slots[modelKey{service(1), at(9), true}] = &modelEntry{heard: time.Now().Add(time.Hour), instance: Instance{Address: at(9).address, Port: 8080, Weight: 1,
			Available: true, Metadata: map[string]string{MarkFrom: "nacos", MarkBy: "another:8848"}}}
		w.start()
		time.Sleep(time.Minute)
		if got := copies(w.gantry.shown()); len(got) != 1 {
			t.Errorf("copies %v", got)
		}
		if got := copies(w.source.shown()); len(got) != 0 {
			t.Errorf("a copy was copied: %v", got)
		}
		w.end()
		if got := copies(w.gantry.shown()); len(got) != 1 {
			t.Errorf("copies %v at the end", got)
		}
	})
}

func TestARestartedRegistryIsNotTakenAtItsWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		for n := range 12 {
			w.source.provide(service(1), at(n+1), true)
		}
		w.start()
		time.Sleep(time.Second)
		for n := range 12 {
			w.source.withdraw(service(1), at(n+1))
		}
		w.gantry.provide(service(1), at(1), true) // one of them has moved over
		time.Sleep(testKeep / 2)
		if got := copies(w.gantry.shown()); len(got) != 11 {
			t.Errorf("copies %v of a source that was restarted", got)
		}
		if got := copies(w.source.shown()); len(got) != 1 {
			t.Errorf("copies %v of the one that has moved over", got)
		}
		for n := range 8 {
			w.source.provide(service(1), at(n+2), true)
		}
		time.Sleep(time.Second)
		if got := copies(w.gantry.shown()); len(got) != 8 {
			t.Errorf("copies %v when most are back", got)
		}
		if told := w.told(); told != "nacos shrunk" {
			t.Errorf("told %s", told)
		}
		// When they stay away, they are believed.
		for n := range 8 {
			w.source.withdraw(service(1), at(n+2))
		}
		w.source.provide(service(2), at(1), true)
		time.Sleep(testKeep + 10*time.Second)
		if got := copies(w.gantry.shown()); len(got) != 1 {
			t.Errorf("copies %v long after", got)
		}
		w.end()
	})
}
