package keyvalue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/release"
	"github.com/gantry-platform/gantry/internal/state"
)

// endingRecord is the stored note of what is to be done with the keys of a session that has ended.
type endingRecord struct {
	Behavior string        `json:"behavior"`
	Delay    time.Duration `json:"delay,omitempty"`
	Why      string        `json:"why"`
}

// end takes a session away, and then frees its keys. With a revision only when it has not been renewed since.
func (k *Keys) end(ctx context.Context, namespace, id string, revision int64, why string) error {
	for {
		record, found, err := k.store.Get(ctx, sessionKey(namespace, id))
		if err != nil || !found || (revision != 0 && record.Modified != revision) {
			return err
		}
		s, err := decodeSession(record)
		if err != nil {
			return err
		}
		note := endingRecord{Behavior: s.Behavior, Delay: s.LockDelay, Why: why}
		value, err := json.Marshal(note)
		if err != nil {
			return fmt.Errorf("keyvalue: %w", err)
		}
		made, err := k.store.Commit(ctx, state.Change{If: []state.Condition{state.Unchanged(record.Key, record.Modified)},
			Put: []state.Put{{Key: endingKey(namespace, id), Value: value}}, Delete: []string{record.Key}})
		if errors.Is(err, state.ErrConflict) {
			continue // renewed, or ended by somebody else
		}
		if err != nil {
			return err
		}
		k.ended.WithLabelValues(why).Inc()
		k.log.Debug("a session has ended", "namespace", namespace, "session", id, "why", why)
		return k.finish(ctx, namespace, id, note, made)
	}
}

// errFinished: another node has freed the keys already.
var errFinished = errors.New("keyvalue: the end of the session is done")

// finish frees the keys of a session that ended at a revision. Nothing can be acquired for it since, so that all it holds is in the mirror
// once that has come so far. It is carried to its end whether or not the caller stays, and may be done by several nodes at once.
func (k *Keys) finish(ctx context.Context, namespace, id string, note endingRecord, revision int64) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	ctx = access.NewContext(ctx, access.System("end of session "+id))
	if err := k.store.Await(ctx, revision); err != nil {
		return err
	}
	names := k.releaser.Held(namespace, id)
	slices.Sort(names)
	for {
		part := names[:min(freeStep, len(names))]
		names = names[len(part):]
		last := len(names) == 0
		_, err := k.releaser.Transact(ctx, namespace, part, func(t *release.Transaction) error {
			return k.free(ctx, t, namespace, id, note, part, last)
		})
		switch {
		case errors.Is(err, errFinished):
			return nil
		case err != nil:
			return fmt.Errorf("free the keys of session %s: %w", id, err)
		case last:
			return nil
		}
	}
}

// free is one step of a session's end.
func (k *Keys) free(ctx context.Context, t *release.Transaction, namespace, id string, note endingRecord, names []string, last bool) error {
	key := endingKey(namespace, id)
	record, found, err := k.store.Get(ctx, key)
	if err != nil {
		return err
	}
	if !found {
		return errFinished
	}
	for _, name := range names {
		held, err := t.Get(name)
		if err != nil {
			return err
		}
		if held == nil || held.Session != id {
			continue
		}
		if err := t.Free(name, note.Delay, note.Behavior == Remove); err != nil {
			return err
		}
	}
	t.Require(state.Unchanged(key, record.Modified))
	if last {
		t.Remove(key)
	}
	return nil
}

// look ends what is over: sessions that nobody renewed or that lost a check, and the leftovers of nodes that stopped.
func (k *Keys) look(ctx context.Context) {
	if !k.sessions.observe(k.store.Quorum(), newMembers(k.store.Self().ID, k.store.Nodes())) {
		return
	}
	type job func(context.Context) error
	var jobs []job
	for _, o := range k.sessions.expired() {
		jobs = append(jobs, func(ctx context.Context) error { return k.end(ctx, o.namespace, o.id, o.revision, "expired") })
	}
	for _, s := range k.sessions.owned() {
		if len(s.NodeChecks)+len(s.ServiceChecks) == 0 {
			continue
		}
		if _, health := k.worst(s); health != Healthy {
			jobs = append(jobs, func(ctx context.Context) error { return k.endUnchecked(ctx, s) })
		}
	}
	for _, e := range k.sessions.leftovers() {
		jobs = append(jobs, func(ctx context.Context) error {
			return k.finish(ctx, e.namespace, e.id, e.note, e.revision)
		})
	}
	k.work(ctx, len(jobs), func(ctx context.Context, i int) error { return jobs[i](ctx) })
}

// endUnchecked ends a session that lost a check, when that is still so with everything in the mirror that was written before the session was:
// the check may have been registered a moment before it.
func (k *Keys) endUnchecked(ctx context.Context, s *Session) error {
	if err := k.store.Await(ctx, s.Created); err != nil {
		return err
	}
	id, health := k.worst(s)
	if health == Healthy {
		return nil
	}
	k.log.Info("a session ends with its check", "namespace", s.Namespace, "session", s.ID, "check", id)
	return k.end(ctx, s.Namespace, s.ID, 0, "check")
}

// run looks at the sessions until ctx ends: from time to time, and when a check changes.
func (k *Keys) run(ctx context.Context) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		var changed <-chan struct{}
		if k.checks != nil {
			changed = k.checks.Changed()
		}
		// So that not even a short loss of the quorum goes unseen.
		quorum := k.store.QuorumChanged()
		k.look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-quorum:
		case <-changed:
			// Checks change in bursts; a look costs one pass over all sessions.
			select {
			case <-ctx.Done():
				return
			case <-time.After(lookEvery / 10):
			}
		}
	}
}

// Look does at once what the work in the background does each second.
func (k *Keys) Look(ctx context.Context) {
	k.look(access.NewContext(ctx, access.System("end of a session")))
}

// work runs jobs, some at a time. What fails is logged, and found again by the next look.
func (k *Keys) work(ctx context.Context, n int, job func(context.Context, int) error) {
	slots := make(chan struct{}, endings)
	done := make(chan struct{}, n)
	for i := range n {
		slots <- struct{}{}
		go func() {
			defer func() { <-slots; done <- struct{}{} }()
			jobCtx, cancel := context.WithTimeout(ctx, endTimeout)
			defer cancel()
			if err := job(jobCtx, i); err != nil && ctx.Err() == nil && !fault.Is(err, fault.Unavailable) {
				k.log.Warn("the end of a session will be tried again", "error", err)
			}
		}()
	}
	for range n {
		<-done
	}
}
