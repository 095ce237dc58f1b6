package migrate

import (
	"context"
	"sync"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
)

// EventKind is what happened to a mirror.
type EventKind string

// The kinds of events.
const (
	// Away: a side cannot be read. Its instances stay as last known for Keep.
	Away EventKind = "away"
	// Back: it answers again, which it did not since Since.
	Back EventKind = "back"
	// Forgotten: a side has been away for longer than Keep, and its instances are taken back from the other.
	Forgotten EventKind = "forgotten"
	// Shrunk: a side has lost most of its instances at once, as after a restart. They stay in the other for Keep, unless they come back.
	Shrunk EventKind = "shrunk"
	// NotWritable: a side does not take copies, or beats for them; Writable: it does again.
	NotWritable EventKind = "not writable"
	Writable    EventKind = "writable"
	// Refused: a side refuses one copy. Subject names it.
	Refused EventKind = "refused"
)

// Event is something that a person who watches a mirror should know. Each is told once, not at every attempt.
type Event struct {
	Side    string
	Kind    EventKind
	Subject string
	Err     error
	Since   time.Time
	Keep    time.Duration
}

// Status is how a mirror stands.
type Status struct {
	// Ready: both sides have been seen.
	Ready          bool
	Source, Gantry Count
	// ToGantry and ToSource are the copies that the mirror holds in each side; Refused those that a side does not want.
	ToGantry, ToSource int
	Refused            int
}

// DefaultKeep is how long the instances of a side that is away stay in the other: long enough for a restart, short enough that
// callers are not sent to what is long gone.
const DefaultKeep = 2 * time.Minute

// stopTimeout bounds taking copies back at the end. What is left then goes by itself, since nobody beats for it.
const stopTimeout = 30 * time.Second

// Mirror shows the instances of a source in Gantry, and those of Gantry in the source, until it is stopped.
type Mirror struct {
	Source, Gantry Registry
	// By names this mirror in the marks of its copies: the source's host and port.
	By string
	// Keep is how long the instances of a side that is away stay. Default [DefaultKeep].
	Keep time.Duration
	// Explain makes a fault of what a side answered.
	Explain func(error) *fault.Error
	// Tell is told of events, by several goroutines. Required.
	Tell func(Event)

	source, gantry     *follower
	toGantry, toSource *keeper
}

// Prepare gets the mirror ready to run and to be asked for its status.
func (m *Mirror) Prepare() {
	if m.Keep <= 0 {
		m.Keep = DefaultKeep
	}
	m.source = &follower{side: m.Source, keep: m.Keep, tell: m.Tell, final: m.final}
	m.gantry = &follower{side: m.Gantry, keep: m.Keep, tell: m.Tell, final: m.final}
	m.toGantry = newKeeper(m.Gantry, marks{m.Source.Kind(), m.By}, m.Tell, m.Explain)
	m.toSource = newKeeper(m.Source, marks{m.Gantry.Kind(), m.By}, m.Tell, m.Explain)
}

// final reports whether a side has said no, rather than nothing.
func (m *Mirror) final(err error) bool {
	switch m.Explain(err).Code {
	case fault.Invalid, fault.NotFound, fault.Unauthenticated, fault.Forbidden, fault.TooLarge:
		return true
	default:
		return false
	}
}

// Run mirrors until ctx ends, and then takes its copies back, which it waits for. The error says what could not be taken back, or why a
// side refused to be read from the start.
func (m *Mirror) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	inGantry, inSource := make(chan struct{}, 1), make(chan struct{}, 1)
	wake := func() {
		for _, c := range []chan struct{}{inGantry, inSource} {
			select {
			case c <- struct{}{}:
			default:
			}
		}
	}
	m.source.changed, m.gantry.changed = wake, wake
	var followers, keepers sync.WaitGroup
	var refused [2]error
	for n, f := range []*follower{m.source, m.gantry} {
		followers.Go(func() {
			if refused[n] = f.run(ctx); refused[n] != nil {
				cancel()
			}
		})
	}
	keepers.Go(func() { m.tend(ctx, m.toGantry, m.source, m.gantry, inGantry) })
	keepers.Go(func() { m.tend(ctx, m.toSource, m.gantry, m.source, inSource) })
	followers.Wait()
	keepers.Wait()
	left := m.takeBack()
	for _, err := range refused {
		if err != nil {
			return m.Explain(err)
		}
	}
	return left
}

// settleTime gathers changes that come together into one plan.
const settleTime = 50 * time.Millisecond

// tend keeps the copies of one direction until ctx ends.
func (m *Mirror) tend(ctx context.Context, k *keeper, from, to *follower, changed <-chan struct{}) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(min(time.Until(k.next()), lastAgain)) // a grace may be over
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-changed:
			if pause(ctx, settleTime) != nil {
				return
			}
		}
		k.beat(ctx)
		from.ripe()
		there, ok := from.trusted()
		here, both := to.last()
		if ok && both {
			k.reconcile(ctx, plan(there, here, k.marks), here)
		}
	}
}

// takeBack removes all copies from both sides.
func (m *Mirror) takeBack() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	var left [2]int
	var errs [2]error
	var both sync.WaitGroup
	for n, k := range []*keeper{m.toGantry, m.toSource} {
		both.Go(func() { left[n], errs[n] = k.stop(ctx) })
	}
	both.Wait()
	for n, side := range []Registry{m.Gantry, m.Source} {
		if left[n] > 0 {
			return fault.New(fault.Unavailable, "migrate.left_behind", "%d copies could not be taken back from %s: %s", left[n], side.Kind(), m.Explain(errs[n]).Message).
				Hinted("they go by themselves, as nobody beats for them")
		}
	}
	return nil
}

// Status is how the mirror stands.
func (m *Mirror) Status() Status {
	source, ok := m.source.last()
	gantry, both := m.gantry.last()
	return Status{Ready: ok && both, Source: count(source), Gantry: count(gantry), ToGantry: int(m.toGantry.registered.Load()),
		ToSource: int(m.toSource.registered.Load()), Refused: int(m.toGantry.refused.Load() + m.toSource.refused.Load())}
}
