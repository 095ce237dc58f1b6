package instance

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/state"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// pendingInstance is a registration that could not be written. This node shows it, over what is committed, and writes it
// when it can. It is guarded by the roster's lock.
type pendingInstance struct {
	instance *Instance
	session  *Session
	// base is the revision of the record that it replaces; 0 when there was none. When the record has another one by
	// then, the rest of the cluster went on without us.
	base int64
	// withdrawn: it was deregistered while it was on its way into the state.
	withdrawn bool
}

const (
	// provisionalRetry is the pause after a round of writing that failed.
	provisionalRetry = time.Second
	// provisionalWriters bounds how many are written at once; they share transactions.
	provisionalWriters = 64
)

// provisionals counts the pending registrations of this node and wakes their writer.
type provisionals struct {
	count atomic.Int64
	wake  chan struct{}
}

func (p *provisionals) kick() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// writeLater takes registrations provisionally.
func (r *Registry) writeLater(batch []prepared, results []Result) error {
	for n := range batch {
		p := &batch[n]
		i, err := decodeInstance(p.instance.record(), 0) // what was prepared is for this call alone
		if err != nil {
			return err
		}
		roster := r.lock(p.service)
		base := int64(0)
		if before := roster.find(p.instance.ID); before != nil {
			base = before.Modified
		}
		err = r.holdPending(roster, i, p.session, base)
		r.unlock(roster)
		if err != nil {
			r.metrics.refused.Inc()
			return indexed(err, p.index, len(results))
		}
		r.metrics.provisional.Inc()
		results[p.index].Provisional = true
	}
	r.notifier.flush()
	return nil
}

// holdPending shows an instance that is not committed. The caller holds the roster's lock.
func (r *Registry) holdPending(roster *roster, i *Instance, session *Session, base int64) error {
	before := roster.pending[i.ID]
	if before == nil && r.provisionals.count.Load() >= int64(r.limits.Provisional) {
		return fault.New(fault.Exhausted, "instance.provisional_limit", "this node already holds %d registrations that wait for a quorum",
			r.limits.Provisional).Hinted("bring back a majority of the nodes, or register on another node")
	}
	if session != nil && !session.holdPending(roster.service, i.ID) {
		return errSessionClosed()
	}
	shown := *i
	shown.Provisional, shown.Modified, shown.life = true, base, nil
	shown.Override = roster.overrides[i.ID]
	shown.dress()
	if before == nil {
		r.provisionals.count.Add(1)
	} else if before.session != nil && before.session != session {
		before.session.forgetPending(roster.service, i.ID)
	}
	if roster.pending == nil {
		roster.pending = make(map[string]*pendingInstance)
	}
	was := roster.current(shown.ID)
	roster.pending[shown.ID] = &pendingInstance{instance: &shown, session: session, base: base}
	r.names.change(roster.service, was, &shown)
	roster.changed(0, strings.Clone(shown.ID))
	r.notifier.add(roster)
	r.journal.add(r.clock.Now(), roster.service, was, &shown, 0)
	r.provisionals.kick()
	return nil
}

// withdraw forgets a pending registration, and reports whether there was one.
func (r *Registry) withdraw(service Service, id string) (int64, bool) {
	if r.provisionals.count.Load() == 0 || r.table.find(service) == nil {
		return 0, false
	}
	roster := r.lock(service)
	defer r.notifier.flush()
	defer r.unlock(roster)
	p := roster.pending[id]
	if p == nil {
		return 0, false
	}
	p.withdrawn = true
	r.dropPending(roster, id, p)
	return roster.revision, true
}

// dropPending takes a pending registration out of its roster, unless a newer one took its place.
func (r *Registry) dropPending(roster *roster, id string, p *pendingInstance) {
	if roster.pending[id] != p {
		return
	}
	delete(roster.pending, id)
	if p.session != nil {
		p.session.forgetPending(roster.service, id)
	}
	r.provisionals.count.Add(-1)
	r.names.change(roster.service, p.instance, roster.find(id))
	roster.changed(0, strings.Clone(id))
	r.notifier.add(roster)
	r.journal.add(r.clock.Now(), roster.service, p.instance, roster.find(id), 0)
}

// runProvisionals writes what is pending when there is a quorum.
func (r *Registry) runProvisionals() {
	retry := time.NewTicker(provisionalRetry)
	defer retry.Stop()
	for {
		select {
		case <-r.provisionals.wake:
		case <-retry.C:
		case <-r.lifetime.Done():
			return
		}
		if r.provisionals.count.Load() == 0 || r.store.Writable() != nil {
			continue
		}
		r.writePending()
		r.notifier.flush()
	}
}

// waiting is a pending registration and where it belongs.
type waiting struct {
	roster  *roster
	id      string
	pending *pendingInstance
}

func (r *Registry) writePending() {
	var all []waiting
	r.eachRoster(func(roster *roster) {
		for id, p := range roster.pending {
			all = append(all, waiting{roster: roster, id: id, pending: p})
		}
	})
	var writers sync.WaitGroup
	var failed atomic.Pointer[error]
	work := make(chan waiting)
	for range min(provisionalWriters, len(all)) {
		writers.Go(func() {
			for w := range work {
				if failed.Load() != nil {
					continue // what is left stays pending
				}
				if err := r.commitPending(r.lifetime, w); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	for _, w := range all {
		work <- w
	}
	close(work)
	writers.Wait()
	if err := failed.Load(); err != nil && r.lifetime.Err() == nil {
		r.log.Warn("registrations without quorum could not be written yet", "waiting", r.provisionals.count.Load(), "error", *err)
		return
	}
	r.log.Info("registrations without quorum were written", "registrations", len(all))
}

// commitPending writes one pending registration, or drops it when the rest of the cluster knows better.
func (r *Registry) commitPending(ctx context.Context, w waiting) error {
	service := w.roster.service
	key := instanceKey(service, w.id)
	for range maxRewrites {
		w.roster.mu.RLock()
		current := w.roster.pending[w.id] == w.pending
		base, value, session := w.pending.base, w.pending.instance.record(), w.pending.session
		w.roster.mu.RUnlock()
		if !current {
			return nil
		}
		change := state.Change{If: []state.Condition{state.Unchanged(key, base)}, Put: []state.Put{{Key: key, Value: value}}}
		change.If = namespaceConditions(change.If, service.Namespace)
		revision, err := r.store.Commit(ctx, change)
		if err == nil {
			return r.committedPending(ctx, w, session, revision)
		}
		if !errors.Is(err, state.ErrConflict) {
			return err
		}
		keep, err := r.rebase(ctx, w, key, value, session)
		if err != nil || !keep {
			return err
		}
	}
	return nil // somebody else writes it all the time: it is looked at again with the next round
}

// committedPending replaces a pending registration by its record.
func (r *Registry) committedPending(ctx context.Context, w waiting, session *Session, revision int64) error {
	if err := r.store.Await(ctx, revision); err != nil {
		return err
	}
	roster := r.lock(w.roster.service)
	withdrawn := w.pending.withdrawn
	r.dropPending(roster, w.id, w.pending)
	r.unlock(roster)
	if withdrawn {
		key := instanceKey(roster.service, w.id)
		_, err := r.store.Commit(ctx, state.Change{If: []state.Condition{state.Unchanged(key, revision)}, Delete: []string{key}})
		if errors.Is(err, state.ErrConflict) {
			return nil
		}
		return err
	}
	if session != nil {
		r.attach(roster.service, w.id, session)
	}
	return nil
}

// rebase looks at what stands in the state where a pending registration was to go. It goes over that, unless somebody
// registered there later and no open session here says that the instance lives here.
func (r *Registry) rebase(ctx context.Context, w waiting, key string, value []byte, session *Session) (keep bool, err error) {
	namespace := w.roster.service.Namespace
	if namespace != Default {
		_, found, err := r.store.Get(ctx, namespaceKey(namespace))
		if err != nil {
			return false, err
		}
		if !found {
			r.log.Warn("a registration without quorum is dropped: its namespace is gone", "service", w.roster.service.String(), "instance", w.id)
			r.forgetPending(w)
			return false, nil
		}
	}
	record, found, err := r.store.Get(ctx, key)
	if err != nil {
		return false, err
	}
	ours := found && bytes.Equal(record.Value, value) // an earlier try, whose answer was lost
	if ours {
		return false, r.committedPending(ctx, w, session, record.Modified)
	}
	if found && (session == nil || session.isClosed()) && w.registeredLater(record) {
		r.forgetPending(w)
		return false, nil
	}
	w.roster.mu.Lock()
	defer w.roster.mu.Unlock()
	w.pending.base = record.Modified
	return true, nil
}

// registeredLater reports whether a record was registered after the pending registration was taken. A record that was only marked
// unhealthy was not.
func (w waiting) registeredLater(record state.Record) bool {
	there, err := decodeInstance(record.Value, record.Modified)
	return err == nil && there.Health == gantryv1.Health_HEALTH_HEALTHY && there.ChangedAt.After(w.pending.instance.ChangedAt)
}

func (r *Registry) forgetPending(w waiting) {
	roster := r.lock(w.roster.service)
	r.dropPending(roster, w.id, w.pending)
	r.unlock(roster)
}
