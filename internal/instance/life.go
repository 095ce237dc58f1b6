package instance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gantry-platform/gantry/internal/state"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

const (
	// tick is the grain of silence: fine against a ttl of a second, coarse enough to cost nothing.
	tick = 100 * time.Millisecond
	// maxStride is how far the registry's time goes on at once. When the process was stalled for longer, nobody's beats
	// could come in meanwhile, and the rest of the stall is not held against them.
	maxStride = time.Second
	// sessionSettle is how long a lost session's instance stays after it was marked unhealthy: until all nodes have
	// marked theirs, so that each sees how much the service lost.
	sessionSettle = 2 * time.Second
	// protectRecheck is how often a protected instance is looked at.
	protectRecheck = time.Minute
	// settleWorkers bounds the transitions on their way into the state. They share transactions.
	settleWorkers = 32
	// settleRetry is the pause after a transition that failed or met another change.
	settleRetry = time.Second
)

// ticks is a time in ticks, never less than the time.
func ticks(d time.Duration) int64 { return int64((d + tick - 1) / tick) }

// life is how one instance is kept alive, if it is this node that does it.
type life struct {
	timer
	roster *roster
	id     string // the instance's, with memory of its own
	// heard is the tick of the newest beat; 0 when there was none yet.
	heard atomic.Int64
	// since is the tick from which on silence counts: when this node took over, or the session broke.
	since atomic.Int64
	// patience is the silence, in ticks, after which something is to be done.
	patience atomic.Int32
	queued   atomic.Bool
	// place is where it stands in what its session holds; guarded by that session's lock.
	place int32

	// Guarded by the roster's lock. Without owned all is at rest.
	owned   bool
	session *Session
	probes  *[]*probe // nil while there are none
}

// fire implements target.
func (l *life) fire(r *Registry) {
	if left := int64(l.patience.Load()) - r.silence(l); left > 0 {
		r.wheel.schedule(&l.timer, r.now()+left)
		return
	}
	r.settleLater(l)
}

func (r *Registry) settleLater(l *life) {
	if !l.queued.Swap(true) {
		r.due.add(l)
	}
}

// now is the registry's running time in ticks.
func (r *Registry) now() int64 { return r.running.Load() }

// silence is how long nothing was heard of an instance, in ticks.
func (r *Registry) silence(l *life) int64 {
	return r.now() - max(l.heard.Load(), l.since.Load(), r.grace.Load())
}

// adopt gives i the life of the instance that it replaces, and brings it up to date.
func (r *Registry) adopt(roster *roster, before, i *Instance) {
	if before != nil {
		i.life = before.life
	}
	if i.life == nil {
		i.life = &life{roster: roster, id: strings.Clone(i.ID)}
		i.life.target = i.life
	}
	if i.life.session != nil && i.Owner != r.self {
		i.life.session.forget(i.life)
		i.life.session = nil
	}
	r.reconcile(roster, i, r.ownership.members())
	if !i.life.owned {
		return
	}
	if i.Health == gantryv1.Health_HEALTH_HEALTHY {
		i.life.since.Store(r.now())
	}
	r.watch(i)
}

// reconcile takes or leaves the care of an instance as ownership wants it, and reports whether it was taken just now: it begins
// with the full ttl, and is to be watched.
func (r *Registry) reconcile(roster *roster, i *Instance, m *members) (taken bool) {
	if m.ownerOf(roster, i) != m.self {
		r.release(i)
		return false
	}
	if i.life.owned {
		return false
	}
	i.life.owned = true
	i.life.heard.Store(0)
	i.life.since.Store(r.now())
	return true
}

// release leaves the care of an instance, and returns the session that held it.
func (r *Registry) release(i *Instance) *Session {
	l := i.life
	if !l.owned {
		return nil
	}
	r.wheel.cancel(&l.timer)
	r.stopProbes(l)
	session := l.session
	l.owned, l.session = false, nil
	if session != nil {
		session.forget(l)
	}
	return session
}

// watch sets the timer that fits the instance.
func (r *Registry) watch(i *Instance) {
	l := i.life
	var patience time.Duration // less than two days, as ticks in 32 bits
	switch {
	case i.Persistent:
		r.wheel.cancel(&l.timer)
		r.startProbes(i)
		return
	case l.session != nil:
		r.wheel.cancel(&l.timer)
		if i.Health == gantryv1.Health_HEALTH_UNHEALTHY {
			r.settleLater(l)
		}
		return
	case i.Health != gantryv1.Health_HEALTH_UNHEALTHY:
		patience = i.TTL
	case i.Protected:
		patience = i.TTL + ProtectLimit
	case i.Owner != "":
		patience = i.TTL + sessionSettle
	default:
		patience = max(i.RemoveAfter, i.TTL+tick)
	}
	l.patience.Store(int32(ticks(patience)))
	r.stopProbes(l)
	r.wheel.schedule(&l.timer, r.now()+int64(l.patience.Load())-r.silence(l))
}

// verdict is what is to be done about an instance.
type verdict int

const (
	leave     verdict = iota
	recovered         // it is heard of again
	mark              // as unhealthy
	protect           // mark, and keep
	remove
)

func (v verdict) String() string {
	return [...]string{"leave", "recovered", "unhealthy", "protected", "removed"}[v]
}

// judge decides about an instance whose life l is on this node. The caller holds the roster's lock.
func (r *Registry) judge(roster *roster, i *Instance, l *life) verdict {
	if l.session != nil {
		// Only another node can have marked it, which took us for dead.
		if i.Health == gantryv1.Health_HEALTH_UNHEALTHY {
			return recovered
		}
		return leave
	}
	silence := r.silence(l)
	heard := l.heard.Load()
	if i.Health == gantryv1.Health_HEALTH_UNHEALTHY && heard > 0 && r.now()-heard < ticks(i.TTL) {
		return recovered
	}
	if silence < int64(l.patience.Load()) {
		return leave
	}
	counts := countsAsLoss(i)
	switch {
	case i.Health != gantryv1.Health_HEALTH_UNHEALTHY:
		if counts && roster.lose(i, r.now()) {
			return protect
		}
		return mark
	case i.Protected:
		if roster.mostlyHealthy() {
			return remove
		}
		return leave
	case counts && roster.lose(i, r.now()):
		return protect
	default:
		return remove
	}
}

// settle does what is to be done about an instance that has been silent, or is heard of again.
func (r *Registry) settle(ctx context.Context, l *life) {
	l.queued.Store(false)
	roster := l.roster
	roster.mu.Lock()
	i := roster.find(l.id)
	if i == nil || i.life != l || !l.owned || i.Persistent {
		roster.mu.Unlock()
		return
	}
	verdict := r.judge(roster, i, l)
	if verdict == leave && l.session != nil {
		roster.mu.Unlock()
		return
	}
	if verdict == leave {
		again := int64(l.patience.Load()) - r.silence(l)
		if again <= 0 {
			again = ticks(protectRecheck)
		}
		r.wheel.schedule(&l.timer, r.now()+again)
		roster.mu.Unlock()
		return
	}
	r.wheel.schedule(&l.timer, r.now()+ticks(settleRetry)) // unless the state answers with a change
	roster.mu.Unlock()

	err := r.carryOut(ctx, verdict, roster.service, i)
	switch {
	case err == nil:
		r.metrics.transitions.WithLabelValues(verdict.String()).Inc()
		r.log.Info("instance "+verdict.String(), "service", roster.service.String(), "instance", l.id)
	case errors.Is(err, state.ErrConflict), ctx.Err() != nil:
		// It was heard of elsewhere, or its record was changed: the mirror brings what it is now.
	default:
		r.log.Warn("could not write the state of an instance; trying again", "service", roster.service.String(),
			"instance", l.id, "verdict", verdict.String(), "error", err)
	}
}

// carryOut writes a verdict, unless the record was changed since it was judged. What another node's session holds
// is left alone if that node lives after all.
func (r *Registry) carryOut(ctx context.Context, verdict verdict, service Service, i *Instance) error {
	key := instanceKey(service, i.ID)
	change := state.Change{If: []state.Condition{state.Unchanged(key, i.Modified)}}
	if i.Owner != "" && i.Owner != r.self {
		change.If = append(change.If, state.Unchanged(state.Key("node", i.Owner), 0))
	}
	if verdict == remove {
		change.Delete = []string{key}
	} else {
		changed := i.withState(func(c *Instance) {
			c.ChangedAt = r.clock.Now().UTC()
			c.Health, c.HealthReason = gantryv1.Health_HEALTH_UNHEALTHY, silenceReason(i)
			c.Protected = verdict == protect
			if verdict == recovered {
				c.Health, c.HealthReason = gantryv1.Health_HEALTH_HEALTHY, ""
			}
		})
		change.Put = []state.Put{{Key: key, Value: changed.record()}}
	}
	_, err := r.store.Commit(ctx, change)
	return err
}

func silenceReason(i *Instance) string {
	if i.Owner != "" {
		return fmt.Sprintf("session lost for %v", i.TTL)
	}
	return fmt.Sprintf("no beat for %v", i.TTL)
}

// withState is a copy with another state and the same content.
func (i *Instance) withState(set func(*Instance)) *Instance {
	c := *i
	set(&c)
	c.finish(make([]byte, 0, len(i.wire)+64))
	return &c
}

// dueQueue hands lives to the workers. It holds each life at most once.
type dueQueue struct {
	mu     sync.Mutex
	filled sync.Cond // lives grew
	idle   sync.Cond // nothing waits any more
	lives  []*life
	// working are the lives that workers have taken and not finished.
	working int
	closed  bool
}

func (q *dueQueue) add(l *life) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.lives = append(q.lives, l)
	q.filled.Signal()
}

// next waits for a life; nil after close.
func (q *dueQueue) next() *life {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.lives) == 0 && !q.closed {
		q.filled.Wait()
	}
	if q.closed {
		return nil
	}
	l := q.lives[0]
	q.lives[0] = nil
	q.lives = q.lives[1:]
	q.working++
	return l
}

// done says that a worker has finished one.
func (q *dueQueue) done() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.working--
	if q.working == 0 && len(q.lives) == 0 {
		q.idle.Broadcast()
	}
}

// waiting counts the lives that are not finished.
func (q *dueQueue) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.lives) + q.working
}

func (q *dueQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.filled.Broadcast()
}
