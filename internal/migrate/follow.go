package migrate

import (
	"context"
	"sync"
	"time"
)

// follower keeps the last view of a side.
type follower struct {
	side Registry
	// keep is how long the view outlives the side.
	keep time.Duration
	tell func(event Event)
	// final reports whether an error is an answer that stays the same.
	final func(error) bool
	// changed is told of each new view.
	changed func()

	mu    sync.Mutex
	view  View
	known bool
	// full is the view before the side lost most of its instances at once, and lostAt when that was; zero while it has not.
	full   View
	lostAt time.Time
}

// last is the last view; false when there was none yet.
func (f *follower) last() (View, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.view, f.known
}

// trusted is the view to copy from: the last one, or the one before when the side has just lost most of its instances.
func (f *follower) trusted() (View, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.lostAt.IsZero() {
		return f.full, true
	}
	return f.view, f.known
}

// suddenLeast is the number of instances from which on losing more than half of them at once is no matter of course.
const suddenLeast = 10

// set takes a new view. A registry that has just been restarted is empty until its clients register again; so when more than half of the instances
// are gone at once, the other side keeps what was before for as long as if this one were away.
func (f *follower) set(view View) {
	f.mu.Lock()
	before := f.view
	if !f.lostAt.IsZero() {
		before = f.full
	}
	lost, told := f.lostAt, false
	switch had, has := count(before).Instances, count(view).Instances; {
	case had < suddenLeast || 2*has >= had:
		f.full, f.lostAt = nil, time.Time{}
	case lost.IsZero():
		f.full, f.lostAt, told = before, time.Now(), true
	case time.Since(lost) >= f.keep:
		f.full, f.lostAt = nil, time.Time{}
	}
	f.view, f.known = view, true
	f.mu.Unlock()
	if told {
		f.tell(Event{Side: f.side.Kind(), Kind: Shrunk, Keep: f.keep})
	}
	f.changed()
}

// ripe ends the grace of a sudden loss that is over.
func (f *follower) ripe() {
	f.mu.Lock()
	over := !f.lostAt.IsZero() && time.Since(f.lostAt) >= f.keep
	if over {
		f.full, f.lostAt = nil, time.Time{}
	}
	f.mu.Unlock()
	if over {
		f.changed()
	}
}

// Waits between attempts to follow a side again.
const (
	firstAgain = 250 * time.Millisecond
	lastAgain  = 5 * time.Second
)

// run follows the side until ctx ends. What the side refuses before it was ever seen ends it with that error: a wrong password does not mend
// itself.
func (f *follower) run(ctx context.Context) error {
	away := outage{keep: f.keep}
	for wait := firstAgain; ; wait = min(2*wait, lastAgain) {
		err := f.side.Follow(ctx, func(view View) {
			if since, was := away.over(); was {
				f.tell(Event{Side: f.side.Kind(), Kind: Back, Since: since})
			}
			wait = firstAgain
			f.set(view)
		})
		if ctx.Err() != nil {
			return nil
		}
		if _, known := f.last(); !known && f.final(err) {
			return err
		}
		if away.begin() {
			f.tell(Event{Side: f.side.Kind(), Kind: Away, Err: err, Keep: f.keep})
		}
		for until := time.Now().Add(wait); ; {
			left := time.Until(until)
			if left <= 0 {
				break
			}
			if pause(ctx, min(left, away.left())) != nil {
				return nil
			}
			if away.expired() {
				f.expire()
			}
		}
	}
}

// expire forgets the instances of a side that has been away for too long.
func (f *follower) expire() {
	if view, known := f.last(); known && len(view) > 0 {
		f.tell(Event{Side: f.side.Kind(), Kind: Forgotten, Keep: f.keep})
		f.mu.Lock()
		f.view, f.full, f.lostAt = View{}, nil, time.Time{}
		f.mu.Unlock()
		f.changed()
	}
}

// outage is a time without answers.
type outage struct {
	keep  time.Duration
	since time.Time
}

// begin reports whether an outage begins now.
func (o *outage) begin() bool {
	if !o.since.IsZero() {
		return false
	}
	o.since = time.Now()
	return true
}

// over ends an outage, and tells since when there was one.
func (o *outage) over() (since time.Time, was bool) {
	since, was = o.since, !o.since.IsZero()
	o.since = time.Time{}
	return since, was
}

func (o *outage) expired() bool { return time.Since(o.since) >= o.keep }

// left is the time until it is expired, and a long one afterwards.
func (o *outage) left() time.Duration {
	if left := o.keep - time.Since(o.since); left > 0 {
		return left
	}
	return time.Hour
}
