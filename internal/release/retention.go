package release

import (
	"context"
	"errors"
	"time"

	"github.com/gantry-platform/gantry/internal/policy"
	"github.com/gantry-platform/gantry/internal/state"
)

// retention is what is kept of the documents of a kind. A version or history entry goes when it is over both the count and the age, or over
// the ceiling whatever its age; versions that are in force, in a rollout or next to be rolled back to always stay.
type retention struct {
	versions, versionCeiling int64
	entries, entryCeiling    int64
	// deleted is how long a deleted document can be rolled back.
	deleted time.Duration
	// trimVersions and trimEntries bound what one publish removes: more than it adds, so that a backlog shrinks.
	trimVersions, trimEntries int
	// documents bounds the documents of a namespace.
	documents int
}

func retentionOf(kind string) retention {
	if kind == policy.KeyValue {
		return retention{versions: keepVersions, versionCeiling: keepVersions, entries: keepKeyEntries, entryCeiling: keepKeyEntries, deleted: keepDeletedKeys,
			trimVersions: 2, trimEntries: 4, documents: MaxKeys}
	}
	return retention{versions: keepVersions, versionCeiling: ceilingVersion, entries: keepEntries, entryCeiling: ceilingEntries, deleted: keepFor,
		trimVersions: trimVersions, trimEntries: trimEntries, documents: MaxDocuments}
}

// deletedFor is how long a deleted document stays. Of a key that only machines wrote nothing is left but the delay of its lock.
func (t retention) deletedFor(h *head) time.Duration {
	if h.Key != nil && !h.Key.Plain {
		return 2 * MaxLockDelay
	}
	return t.deleted
}

func (t retention) versionDue(behind int64, age time.Duration) bool {
	return behind >= t.versionCeiling || (behind >= t.versions && age > keepFor)
}

func (t retention) entryDue(behind int64, age time.Duration) bool {
	return behind >= t.entryCeiling || (behind >= t.entries && age > keepFor)
}

// trim adds to an edit that publishes the removal of what retention does not keep, a bounded number at a time.
func (r *Releaser) trim(ctx context.Context, e *edit) error {
	h, kept := e.after, retentionOf(e.ref.Kind)
	if o := h.OldestVersion; o.Number > 0 && kept.versionDue(h.Latest+1-o.Number, e.now.Sub(o.At)) {
		if err := r.trimVersions(ctx, e); err != nil {
			return err
		}
	}
	if o := h.OldestEntry; o.Number > 0 && kept.entryDue(h.Entries+1-o.Number, e.now.Sub(o.At)) {
		return r.trimEntries(ctx, e)
	}
	return nil
}

func (r *Releaser) trimVersions(ctx context.Context, e *edit) error {
	h, kept := e.after, retentionOf(e.ref.Kind)
	// Protected versions are passed over: those in force, the next to be rolled back to, and the latest.
	const passed = 4
	records, err := r.store.List(ctx, e.ref.below("version"), state.ListOptions{Limit: kept.trimVersions + passed + 1})
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
		if removed == kept.trimVersions || !kept.versionDue(h.Latest+1-v.Number, e.now.Sub(v.Created)) {
			return nil
		}
		e.deletes = append(e.deletes, e.ref.versionKey(v.Number), e.ref.contentKey(v.Number))
		removed++
	}
	return nil
}

func (r *Releaser) trimEntries(ctx context.Context, e *edit) error {
	h, kept := e.after, retentionOf(e.ref.Kind)
	records, err := r.store.List(ctx, e.ref.below("history"), state.ListOptions{Limit: kept.trimEntries + 1})
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
		if i == kept.trimEntries || !kept.entryDue(h.Entries+1-number, e.now.Sub(entry.At)) {
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
	for d := range r.index.all() {
		if !d.head.Deleted || r.now().Sub(d.head.Updated) <= retentionOf(d.ref.Kind).deletedFor(d.head) {
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
