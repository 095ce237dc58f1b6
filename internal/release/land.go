package release

import (
	"context"
	"errors"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/state"
)

// land makes a change of keys durable and shows it on this node. Once it has begun it is carried to its end whether or not the caller
// stays. When the answer is lost it finds out what became of it.
func (r *Releaser) land(ctx context.Context, change state.Change, written []*staged) (int64, error) {
	if len(change.Put)+len(change.Delete) == 0 && len(change.If) <= 1 {
		return 0, nil // one read is consistent by itself
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*resolveTimeout)
	defer cancel()
	revision, err := r.store.Commit(ctx, change)
	if outcomeUnknown(err) {
		revision, err = r.landAgain(ctx, change, written)
	}
	if err != nil || len(change.Put)+len(change.Delete) == 0 {
		return 0, err
	}
	for _, s := range written {
		r.count(s.edit)
		if s.record != nil {
			r.remember(&document{ref: s.edit.ref, head: s.edit.after}, s.record.Number, s.record, s.now.Value)
		}
	}
	if err := r.store.Await(ctx, revision); err != nil {
		r.log.Warn("this node is behind what it has just written", "revision", revision, "error", err)
	}
	return revision, nil
}

// landAgain makes a change again whose answer was lost: its conditions let it happen once at most.
func (r *Releaser) landAgain(ctx context.Context, change state.Change, written []*staged) (int64, error) {
	for {
		quorum := r.store.QuorumChanged()
		revision, err := r.store.Commit(ctx, change)
		switch {
		case err == nil:
			return revision, nil
		case errors.Is(err, state.ErrConflict):
			return r.landedKeys(ctx, change, written)
		case ctx.Err() == nil && outcomeUnknown(err):
		case ctx.Err() == nil && !r.store.Quorum():
			select {
			case <-quorum:
			case <-ctx.Done():
			}
		default:
			return 0, errOutcome(err)
		}
	}
}

func errOutcome(cause error) *fault.Error {
	return fault.New(fault.Unavailable, "state.outcome_unknown", "no answer in time: the change of keys may or may not have been made").
		Hinted("read them again before repeating it").Because(cause)
}

// landedKeys finds out whether a change that cannot happen any more has happened: by the first trace of it, or of that it did not.
func (r *Releaser) landedKeys(ctx context.Context, change state.Change, written []*staged) (int64, error) {
	for _, s := range written {
		e := s.edit
		record, found, err := r.store.Get(ctx, e.ref.headKey())
		if err != nil {
			return 0, errOutcome(err)
		}
		if !found {
			if e.before == nil {
				return 0, state.ErrConflict
			}
			continue
		}
		if record.Modified == e.modified {
			return 0, state.ErrConflict
		}
		if h, err := decodeHead(record.Value); err == nil && h.Last.ID == e.id {
			return record.Modified, nil
		}
		if len(e.entries) > 0 && e.after != nil {
			revision, err := r.landed(ctx, e)
			return revision, err
		}
	}
	for _, put := range change.Put {
		record, found, err := r.store.Get(ctx, put.Key)
		if err != nil {
			return 0, errOutcome(err)
		}
		if found && string(record.Value) == string(put.Value) {
			return record.Modified, nil
		}
	}
	if len(written) == 0 {
		return 0, state.ErrConflict
	}
	return 0, errOutcome(nil)
}
