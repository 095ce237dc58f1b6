package release

import (
	"context"
	"errors"
	"time"

	"github.com/gantry-platform/gantry/internal/state"
)

// due reports whether what is so many behind the newest and so old goes by now.
func due(behind int64, age time.Duration, keep, ceiling int64) bool {
	return behind >= ceiling || (behind >= keep && age > keepFor)
}

// trim adds to an edit that publishes the removal of what retention does not keep, a bounded number at a time.
func (r *Releaser) trim(ctx context.Context, e *edit) error {
	h := e.after
	if o := h.OldestVersion; o.Number > 0 && due(h.Latest+1-o.Number, e.now.Sub(o.At), keepVersions, ceilingVersion) {
		if err := r.trimVersions(ctx, e); err != nil {
			return err
		}
	}
	if o := h.OldestEntry; o.Number > 0 && due(h.Entries+1-o.Number, e.now.Sub(o.At), keepEntries, ceilingEntries) {
		return r.trimEntries(ctx, e)
	}
	return nil
}

func (r *Releaser) trimVersions(ctx context.Context, e *edit) error {
	h := e.after
	// Protected versions are passed over: those in force, the next to be rolled back to, and the latest.
	const passed = 4
	records, err := r.store.List(ctx, e.ref.below("version"), state.ListOptions{Limit: trimVersions + passed + 1})
	if err != nil {
		return err
	}
	removed := 0
	for _, stored := range records {
		v, err := decodeVersion(stored.Value)
		if err != nil {
			r.log.Error("retention stops at a version that cannot be read", "key", stored.Key, "error", err)
			return nil
		}
		if h.protected(v.Number) {
			continue
		}
		h.OldestVersion = mark{Number: v.Number, At: v.Created}
		if removed == trimVersions || !due(h.Latest+1-v.Number, e.now.Sub(v.Created), keepVersions, ceilingVersion) {
			return nil
		}
		e.deletes = append(e.deletes, e.ref.versionKey(v.Number), e.ref.contentKey(v.Number))
		removed++
	}
	return nil
}

func (r *Releaser) trimEntries(ctx context.Context, e *edit) error {
	h := e.after
	records, err := r.store.List(ctx, e.ref.below("history"), state.ListOptions{Limit: trimEntries + 1})
	if err != nil {
		return err
	}
	for i, stored := range records {
		number := h.OldestEntry.Number + int64(i)
		entry, err := decodeEntry(stored.Value)
		if err != nil || stored.Key != e.ref.entryKey(number) {
			r.log.Error("retention stops at a history entry that cannot be read", "key", stored.Key, "error", err)
			return nil
		}
		if i == trimEntries || !due(h.Entries+1-number, e.now.Sub(entry.At), keepEntries, ceilingEntries) {
			h.OldestEntry = mark{Number: number, At: entry.At}
			return nil
		}
		e.deletes = append(e.deletes, stored.Key)
	}
	return nil
}

// Sweep does what nobody asks for: it removes documents that were deleted longer ago than history is kept, and
// finishes a key rotation that was broken off. Every node calls it from time to time; only the live node with the lowest
// id does anything. It is safe to call at any time.
func (r *Releaser) Sweep(ctx context.Context) error {
	nodes := r.store.Nodes()
	if len(nodes) == 0 || nodes[0].ID != r.store.Self().ID || !r.store.Quorum() {
		return nil
	}
	for _, ref := range r.index.all() {
		d := r.index.get(ref)
		if d == nil || !d.head.Deleted || r.now().Sub(d.head.Updated) <= keepFor {
			continue
		}
		if err := r.purge(ctx, d); err != nil && !errors.Is(err, state.ErrConflict) {
			return err
		}
	}
	return r.finishRotation(ctx)
}

// purgeStep bounds the keys that one change of a purge removes.
const purgeStep = 64

// purge removes a document and all that belongs to it, its head last. When somebody publishes it again meanwhile,
// it stops: what is still there stays.
func (r *Releaser) purge(ctx context.Context, d *document) error {
	unchanged := []state.Condition{state.Unchanged(d.ref.headKey(), d.revision)}
	// Versions before contents: a rotation that seals one again depends on the version being there.
	for _, space := range [...]string{"version", "content", "history"} {
		for {
			records, err := r.store.List(ctx, d.ref.below(space), state.ListOptions{Limit: purgeStep, KeysOnly: true})
			if err != nil {
				return err
			}
			if len(records) == 0 {
				break
			}
			keys := make([]string, len(records))
			for i, record := range records {
				keys[i] = record.Key
			}
			if _, err := r.store.Commit(ctx, state.Change{If: unchanged, Delete: keys}); err != nil {
				return err
			}
		}
	}
	_, err := r.store.Commit(ctx, state.Change{If: unchanged, Delete: []string{d.ref.headKey()}})
	if err == nil {
		r.log.Info("removed a document that was deleted long ago", "document", d.ref.String(), "deleted_at", d.head.Updated)
	}
	return err
}
