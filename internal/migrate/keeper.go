package migrate

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
)

// keeper holds the copies in one side. All but held is used by one goroutine.
type keeper struct {
	side  Registry
	marks marks
	tell  func(Event)
	// explain makes a fault of any error of the side.
	explain func(error) *fault.Error

	copies map[spot]*held
	beatAt time.Time
	// retryAt is when what failed is tried again, and wait how long that is put off the next time.
	retryAt time.Time
	wait    time.Duration
	away    outage

	registered atomic.Int64
	refused    atomic.Int64
}

// held is a copy that is, or is to be, in the side.
type held struct {
	copy Copy
	// registered: the side has it as it is.
	registered bool
	// present: the side has it, perhaps as it was before; tried: it may have it, since an answer was lost.
	present, tried bool
	// why the side refuses it, and when it is asked again.
	refused *fault.Error
	again   time.Time
}

// refusedAgain is when a copy that the side refuses is tried again: something there may have been put right.
const refusedAgain = 30 * time.Second

func newKeeper(side Registry, m marks, tell func(Event), explain func(error) *fault.Error) *keeper {
	return &keeper{side: side, marks: m, tell: tell, explain: explain, copies: map[spot]*held{}, beatAt: time.Now().Add(side.BeatEvery())}
}

// reconcile makes the copies be as wanted, as far as the side answers.
func (k *keeper) reconcile(ctx context.Context, want map[spot]Copy, seen View) {
	k.adopt(want)
	waiting := time.Now().Before(k.retryAt)
	removed := k.remove(ctx, want, seen, waiting)
	registered := k.register(ctx, waiting)
	switch {
	case waiting || ctx.Err() != nil:
	case removed == failed || registered == failed:
		k.wait = min(max(2*k.wait, firstAgain), lastAgain)
		k.retryAt = time.Now().Add(k.wait)
	default:
		k.wait, k.retryAt = 0, time.Time{}
		if removed == done || registered == done {
			k.answered()
		}
	}
}

// outcome is how a step of a reconciliation went.
type outcome int

const (
	idle   outcome = iota // there was nothing to do
	done                  // the side answered
	failed                // the side is away
)

// adopt takes note of what is wanted.
func (k *keeper) adopt(want map[spot]Copy) {
	for at, c := range want {
		h := k.copies[at]
		switch {
		case h == nil:
			k.copies[at] = &held{copy: c}
		case !h.copy.equal(c):
			h.copy, h.registered, h.refused = c, false, nil
		}
	}
}

// remove takes back what is not wanted any more, and what an earlier run of the mirror left.
func (k *keeper) remove(ctx context.Context, want map[spot]Copy, seen View, waiting bool) outcome {
	gone := leftovers(seen, want, k.marks)
	for at, h := range k.copies {
		if _, wanted := want[at]; wanted {
			continue
		}
		if h.tried {
			gone[at] = h.copy
		} else {
			delete(k.copies, at)
		}
	}
	if len(gone) == 0 || waiting {
		return idle
	}
	how := done
	k.each(ctx, gone, k.side.Remove, func(at spot, err error) {
		if err == nil || !k.passing(err) {
			delete(k.copies, at)
			return
		}
		how = failed
		k.lost(ctx, err)
	})
	return how
}

// register registers what is new or has changed.
func (k *keeper) register(ctx context.Context, waiting bool) outcome {
	now := time.Now()
	due := map[spot]Copy{}
	for at, h := range k.copies {
		if !h.registered && (h.refused == nil || !now.Before(h.again)) {
			due[at] = h.copy
		}
	}
	if len(due) == 0 || waiting {
		return idle
	}
	for at := range due {
		k.copies[at].tried = true
	}
	how := done
	k.each(ctx, due, k.side.Register, func(at spot, err error) {
		h := k.copies[at]
		switch {
		case err == nil:
			h.registered, h.present, h.refused = true, true, nil
		case k.passing(err):
			how = failed
			k.lost(ctx, err)
		default:
			k.refuse(at, h, err)
		}
	})
	return how
}

// refuse notes that the side does not want a copy, and tells it once.
func (k *keeper) refuse(at spot, h *held, err error) {
	f := k.explain(err)
	if h.refused == nil || h.refused.Error() != f.Error() {
		k.tell(Event{Side: k.side.Kind(), Kind: Refused, Subject: at.String(), Err: f})
	}
	h.refused, h.again, h.tried = f, time.Now().Add(refusedAgain), h.present
}

// batch bounds the copies of one call, so that a side that goes away is noticed in between.
const batch = 500

// each does something for copies in batches, and hands on what came of each. After a batch that met the side away the rest is not tried, and
// meets the same error.
func (k *keeper) each(ctx context.Context, copies map[spot]Copy, do func(context.Context, []Copy) []error, then func(spot, error)) {
	spots := make([]spot, 0, len(copies))
	for at := range copies {
		spots = append(spots, at)
	}
	var away error
	for some := range slices.Chunk(spots, batch) {
		list := make([]Copy, len(some))
		for i, at := range some {
			list[i] = copies[at]
		}
		errs := make([]error, len(some))
		if away == nil {
			errs = do(ctx, list)
		}
		for i, at := range some {
			if away != nil {
				errs[i] = away
			}
			then(at, errs[i])
			if errs[i] != nil && k.passing(errs[i]) {
				away = errs[i]
			}
		}
		k.recount()
	}
}

// beat keeps the copies alive, when it is time to.
func (k *keeper) beat(ctx context.Context) {
	if time.Now().Before(k.beatAt) {
		return
	}
	k.beatAt = time.Now().Add(k.side.BeatEvery())
	var spots []spot
	var copies []Copy
	for at, h := range k.copies {
		if h.present {
			spots, copies = append(spots, at), append(copies, h.copy)
		}
	}
	if len(copies) == 0 {
		return
	}
	unknown, err := k.side.Beat(ctx, copies)
	for _, i := range unknown {
		h := k.copies[spots[i]]
		h.registered, h.present = false, false
	}
	if err != nil {
		k.lost(ctx, err)
		k.beatAt = time.Now().Add(min(lastAgain, k.side.BeatEvery()))
	} else {
		k.answered()
	}
	k.recount()
}

// passing reports whether an error may be over soon; if not, it is the side's answer about one copy.
func (k *keeper) passing(err error) bool {
	switch k.explain(err).Code {
	case fault.Unavailable, fault.Exhausted, fault.DeadlineExceeded, fault.Internal, fault.Unauthenticated:
		return true
	default:
		return false
	}
}

// lost tells once that the side does not take what the mirror writes.
func (k *keeper) lost(ctx context.Context, err error) {
	if ctx.Err() == nil && k.away.begin() {
		k.tell(Event{Side: k.side.Kind(), Kind: NotWritable, Err: k.explain(err)})
	}
}

// answered tells that the side takes what the mirror writes, if it did not before.
func (k *keeper) answered() {
	if since, was := k.away.over(); was {
		k.tell(Event{Side: k.side.Kind(), Kind: Writable, Since: since})
	}
}

// next is when the keeper has something to do without being told of a change.
func (k *keeper) next() time.Time {
	next := k.beatAt
	if time.Now().Before(k.retryAt) {
		if k.retryAt.Before(next) {
			next = k.retryAt
		}
		return next
	}
	for _, h := range k.copies {
		if h.refused != nil && h.again.Before(next) {
			next = h.again
		}
	}
	return next
}

func (k *keeper) recount() {
	registered, refused := 0, 0
	for _, h := range k.copies {
		if h.present {
			registered++
		}
		if h.refused != nil {
			refused++
		}
	}
	k.registered.Store(int64(registered))
	k.refused.Store(int64(refused))
}

// stop takes all copies back, and answers how many could not be.
func (k *keeper) stop(ctx context.Context) (left int, err error) {
	gone := map[spot]Copy{}
	for at, h := range k.copies {
		if h.tried {
			gone[at] = h.copy
		}
	}
	k.each(ctx, gone, k.side.Remove, func(_ spot, problem error) {
		if problem != nil {
			left++
			err = problem
		}
	})
	return left, err
}
