package release

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/state"
)

// Progress is how far a rotation has come.
type Progress struct {
	// Done of Total versions are sealed under the new data key.
	Done, Total int
	KeyID       string
}

const (
	// rotationPage bounds what one look at the stored versions reads.
	rotationPage = 500
	// rotationWorkers seal at the same time: their writes share transactions.
	rotationWorkers = 4
)

// RotateKeys wraps the data keys by the first root key, makes a new data key, seals every sensitive version under it, and
// removes the data keys that seal nothing any more. A rotation that was broken off, here or on another node, is finished
// instead of beginning another, if there is anything left that can be sealed. Publishing goes on meanwhile: from the first step on it uses the new key. progress is called
// from one goroutine at a time; nil is none.
//
// Errors: Precondition "secret.no_root_key"; Precondition "secret.not_all_sealed" when some versions could not be opened, which keep
// their old key; Unavailable without quorum. Calling it again goes on where it stopped.
func (r *Releaser) RotateKeys(ctx context.Context, progress func(Progress)) error {
	if err := access.Require(ctx, access.Administer, "*"); err != nil {
		return err
	}
	if r.keys.roots.first() == nil {
		return errNoRootKey()
	}
	if err := r.keys.refresh(ctx); err != nil {
		return err
	}
	if r.brokenOff() {
		// What cannot be opened must not stand in the way of a new key for ever.
		if sealed, err := r.sealAgain(ctx, progress); sealed > 0 || !fault.Is(err, fault.Precondition) && err != nil {
			return err
		}
	}
	if err := r.beginRotation(ctx); err != nil {
		return err
	}
	_, err := r.sealAgain(ctx, progress)
	return err
}

// brokenOff reports whether a rotation was begun and not finished: a key is retired that this server can open.
func (r *Releaser) brokenOff() bool {
	for _, key := range r.keys.all() {
		if key.record.Retired != nil && key.aead != nil {
			return true
		}
	}
	return false
}

// finishRotation goes on with a rotation that was broken off.
func (r *Releaser) finishRotation(ctx context.Context) error {
	if !r.brokenOff() {
		return nil
	}
	_, err := r.sealAgain(ctx, nil)
	return err
}

// beginRotation makes the new key and retires the old one in one step, so that there is never a choice. Publishing
// depends on its key being unchanged: what is under way with the old one begins again.
func (r *Releaser) beginRotation(ctx context.Context) error {
	for range attempts {
		if err := r.keys.refresh(ctx); err != nil {
			return err
		}
		change, fresh, err := r.composeRotation(ctx)
		if err != nil {
			return err
		}
		_, err = r.store.Commit(ctx, change)
		if errors.Is(err, state.ErrConflict) {
			continue
		}
		if err != nil {
			return err
		}
		r.log.Info("a new data key seals from now on", "data_key", fresh)
		return r.keys.refresh(ctx)
	}
	return contended("the data keys")
}

// composeRotation is the first step: every key that this server can open is wrapped by the first root key, and the active
// one gives way to a new one.
func (r *Releaser) composeRotation(ctx context.Context) (change state.Change, fresh string, err error) {
	active, highest := r.keys.newest()
	root := r.keys.roots.first()
	now := r.now().UTC()
	for _, key := range r.keys.all() {
		next := *key
		if key.plain != nil && key.record.Root != root.id {
			next.wrap(root)
		}
		if key == active {
			next.record.Retired = &now
		}
		if next.record.Root != key.record.Root || next.record.Retired != key.record.Retired {
			change.If = append(change.If, key.unchanged())
			change.Put = append(change.Put, state.Put{Key: key.key(), Value: encode(next.record)})
		}
	}
	key, put := r.keys.make(highest + 1)
	change.If = append(change.If, state.Unchanged(key.key(), 0))
	audit, err := access.Record(ctx, access.Entry{Action: "key.rotate", Namespace: "*", Target: key.id})
	if err != nil {
		return state.Change{}, "", err
	}
	change.Put = append(change.Put, put, audit)
	return change, key.id, nil
}

// sealedVersion is where a sensitive content is, and by what it was sealed when that was looked at.
type sealedVersion struct {
	ref    Ref
	number int64
	keyID  string
}

// sealAgain seals what is not sealed by the active key, and removes the retired keys that nothing uses any more. Nothing new can come
// under a retired key, so one look at all versions finds everything. It answers how many it has sealed.
func (r *Releaser) sealAgain(ctx context.Context, progress func(Progress)) (int, error) {
	active, _ := r.keys.newest()
	if active == nil {
		return 0, nil
	}
	if active.aead == nil {
		return 0, r.keys.closed(active)
	}
	work, unreadable, err := r.sealedByOthers(ctx, active.id)
	if err != nil {
		return 0, err
	}
	run := &rotation{total: len(work), active: active, progress: progress, needed: map[string]struct{}{}}
	run.tell()
	workers, inside := errgroup.WithContext(ctx)
	workers.SetLimit(rotationWorkers)
	for _, version := range work {
		workers.Go(func() error {
			err := r.sealVersion(inside, active, version)
			if fault.Is(err, fault.Unavailable) || inside.Err() != nil {
				return err
			}
			run.finished(version, err)
			return nil
		})
	}
	if err := workers.Wait(); err != nil {
		return run.done, err
	}
	if ctx.Err() != nil {
		return run.done, ctx.Err()
	}
	if unreadable == 0 { // otherwise nobody knows which keys are needed
		if err := r.removeRetired(ctx, run.needed); err != nil {
			return run.done, err
		}
	}
	if failed := run.failed + unreadable; failed > 0 {
		return run.done, fault.New(fault.Precondition, "secret.not_all_sealed", "%d of %d versions could not be opened and keep their old key", failed, len(work)+unreadable).
			Hinted("give the server the root key that they are sealed under and rotate again").Because(run.cause)
	}
	return run.done, nil
}

// rotation is how far the workers have come.
type rotation struct {
	total    int
	active   *dataKey
	progress func(Progress)

	mu     sync.Mutex
	done   int
	failed int
	cause  error
	needed map[string]struct{} // keys of what failed
}

func (n *rotation) finished(version sealedVersion, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err != nil {
		n.failed++
		n.cause = err
		n.needed[version.keyID] = struct{}{}
		return
	}
	n.done++
	n.tell()
}

func (n *rotation) tell() {
	if n.progress != nil {
		n.progress(Progress{Done: n.done, Total: n.total, KeyID: n.active.id})
	}
}

// sealedByOthers lists the sensitive versions of the cluster that another key seals, and counts those whose record cannot
// be read.
func (r *Releaser) sealedByOthers(ctx context.Context, active string) (found []sealedVersion, unreadable int, err error) {
	after := ""
	for {
		records, err := r.store.List(ctx, state.Prefix("version"), state.ListOptions{After: after, Limit: rotationPage})
		if err != nil {
			return nil, 0, err
		}
		for _, record := range records {
			after = record.Key
			ref, err := refOfKey(record.Key)
			var v *versionRecord
			if err == nil {
				v, err = decodeVersion(record.Value)
			}
			switch {
			case err != nil:
				unreadable++
				r.log.Error("a version cannot be read", "key", record.Key, "error", err)
			case v.Sensitive && v.Key != active:
				found = append(found, sealedVersion{ref: ref, number: v.Number, keyID: v.Key})
			}
		}
		if len(records) < rotationPage {
			return found, unreadable, nil
		}
	}
}

// sealVersion seals one version under a key. One that is gone meanwhile, or was sealed by somebody else, is done.
func (r *Releaser) sealVersion(ctx context.Context, active *dataKey, version sealedVersion) error {
	for range attempts {
		stored, found, err := r.store.Get(ctx, version.ref.versionKey(version.number))
		if err != nil || !found {
			return err
		}
		record, err := decodeVersion(stored.Value)
		if err != nil || record.Key == active.id {
			return err
		}
		content, found, err := r.store.Get(ctx, version.ref.contentKey(version.number))
		if err != nil || !found {
			return err
		}
		plain, err := r.keys.unseal(ctx, version.ref, version.number, content.Value)
		if err != nil {
			return err
		}
		record.Key = active.id
		_, err = r.store.Commit(ctx, state.Change{
			If: []state.Condition{state.Unchanged(stored.Key, stored.Modified), state.Exists(active.key())},
			Put: []state.Put{
				{Key: stored.Key, Value: encode(record)},
				{Key: content.Key, Value: seal(active.aead, active.id, version.ref, version.number, plain)},
			}})
		if !errors.Is(err, state.ErrConflict) {
			if err == nil {
				r.metrics.sealed.Inc()
			}
			return err
		}
	}
	return contended(version.ref.String())
}

// removeRetired deletes the retired keys but those that still seal something.
func (r *Releaser) removeRetired(ctx context.Context, needed map[string]struct{}) error {
	for _, key := range r.keys.all() {
		if _, kept := needed[key.id]; kept || key.record.Retired == nil {
			continue
		}
		_, err := r.store.Commit(ctx, state.Change{If: []state.Condition{key.unchanged()}, Delete: []string{key.key()}})
		if err != nil && !errors.Is(err, state.ErrConflict) {
			return err
		}
	}
	return nil
}
