package release

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/maphash"
	"time"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy"
	"github.com/gantry-platform/gantry/internal/state"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// edit is one change of a document while it is made: decided on what is there, then committed against it.
type edit struct {
	ref    Ref
	id     string
	author string
	now    time.Time

	before   *head // nil: there is no such document
	modified int64 // revision of the head before; 0 without one
	after    *head
	revision int64 // of the head after, once committed

	// none: what is there is what was asked for; nothing is written.
	none       bool
	message    string
	entries    []entryRecord
	puts       []state.Put
	deletes    []string
	conditions []state.Condition

	// freed and delay are of a key that goes with its holder's session; reborn: it was removed and made again in one transaction.
	freed  time.Time
	delay  time.Duration
	reborn bool
}

// apply makes one change of a document: reads the head, lets decide fill the edit, and commits. When somebody else was
// faster it begins again, so that decide sees what is there now and can refuse. decide may be called several times.
//
// Once the commit has begun it is carried to its end whether or not the caller stays.
func (r *Releaser) apply(ctx context.Context, ref Ref, message string, decide func(*edit) error) (*edit, error) {
	if err := checkMessage(message); err != nil {
		return nil, err
	}
	// Said at once: what follows would find out by waiting.
	if err := r.store.Writable(); err != nil {
		return nil, err
	}
	lane := r.lanes[r.lane(ref)]
	select {
	case lane <- struct{}{}:
		defer func() { <-lane }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for began := time.Now(); time.Since(began) < contendFor; {
		e, err := r.begin(ctx, ref, message)
		if err != nil {
			return nil, err
		}
		if err := decide(e); err != nil {
			return nil, err
		}
		if e.none {
			e.revision = e.modified
			return e, nil
		}
		err = r.commit(ctx, e)
		switch {
		case err == nil:
			r.count(e)
			return e, nil
		case !errors.Is(err, state.ErrConflict):
			return nil, err
		}
		if len(e.conditions) > 0 {
			// It may have been a data key that changed, not the head.
			if err := r.keys.refresh(ctx); err != nil {
				return nil, err
			}
		}
	}
	return nil, contended(ref.String())
}

// lane is the number of the lane that the changes of a document go through.
func (r *Releaser) lane(ref Ref) int {
	return int(maphash.Comparable(r.index.seed, ref) % uint64(len(r.lanes)))
}

func checkMessage(message string) error {
	if len(message) <= MaxMessage {
		return nil
	}
	return fault.New(fault.TooLarge, "document.message_too_large", "the message has %d bytes", len(message)).
		At("message").Hinted("at most %d; the content is the place for more", MaxMessage)
}

// begin reads what is there.
func (r *Releaser) begin(ctx context.Context, ref Ref, message string) (*edit, error) {
	record, found, err := r.store.Get(ctx, ref.headKey())
	if err != nil {
		return nil, err
	}
	e := &edit{ref: ref, id: newChangeID(), author: access.FromContext(ctx).Actor, now: r.now().UTC(), message: message}
	if !found {
		e.after = &head{Created: e.now}
		return e, nil
	}
	if e.before, err = decodeHead(record.Value); err != nil {
		return nil, damagedHead(ref, err)
	}
	e.modified = record.Modified
	e.after = e.before.clone()
	return e, nil
}

func newChangeID() string {
	var id [16]byte
	rand.Read(id[:]) // never fails (crypto/rand)
	return hex.EncodeToString(id[:])
}

// existing refuses an edit of what is not there.
func (e *edit) existing() error {
	if e.before == nil {
		return notFound(e.ref)
	}
	return nil
}

// expect compares the head's revision with what the caller has seen.
func (e *edit) expect(revision *int64) error {
	if revision == nil || *revision == e.modified {
		return nil
	}
	return e.conflict("expected_revision", fmt.Sprintf("%s is at revision %d, not %d", e.ref, e.modified, *revision))
}

// expectLatest compares the latest version with what the caller has seen; a deleted document counts as absent too.
func (e *edit) expectLatest(version *int64) error {
	latest := e.after.Latest
	if version == nil || *version == latest || (*version == 0 && e.after.Deleted) {
		return nil
	}
	message := fmt.Sprintf("the latest version of %s is %d, not %d", e.ref, latest, *version)
	switch {
	case *version == 0:
		message = fmt.Sprintf("%s exists, with version %d as its latest", e.ref, latest)
	case latest == 0:
		message = fmt.Sprintf("%s does not exist, so version %d is not its latest", e.ref, *version)
	}
	return e.conflict("expected_version", message)
}

func (e *edit) conflict(field, message string) *fault.Error {
	if e.before != nil {
		message += fmt.Sprintf(" (%s by %s at %s)", verb(e.before.Last.Action), e.before.Last.Author, e.before.Updated.Format(time.RFC3339))
	}
	return fault.New(fault.Conflict, "document.version_conflict", "%s", message).At(field).
		Hinted("read it again, look at the difference, and repeat the change on what is there now")
}

// note adds a history entry.
func (e *edit) note(entry entryRecord) {
	entry.Change, entry.Author, entry.Message, entry.At = e.id, e.author, e.message, e.now
	e.entries = append(e.entries, entry)
}

// commit makes the edit durable. When the answer is lost it finds out what became of it.
func (r *Releaser) commit(ctx context.Context, e *edit) error {
	change, err := r.compose(ctx, e)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*resolveTimeout)
	defer cancel()
	revision, err := r.store.Commit(ctx, change)
	if outcomeUnknown(err) {
		revision, err = r.settle(ctx, e, change)
	}
	if err != nil {
		return err
	}
	e.revision = revision
	// The change is made; that this node cannot see it yet is no failure of it.
	if err := r.store.Await(ctx, revision); err != nil {
		r.log.Warn("this node is behind what it has just written", "revision", revision, "error", err)
	}
	return nil
}

// compose turns the edit into one change of the state: head, history and audit, beside what decide has put.
func (r *Releaser) compose(ctx context.Context, e *edit) (state.Change, error) {
	h := e.after
	last := e.entries[len(e.entries)-1]
	change := e.write(last.Action)
	audit, err := access.Record(ctx, access.Entry{Action: "document." + verb(last.Action), Namespace: e.ref.Namespace, Target: e.ref.target(),
		Before: summarise(e.before), After: summarise(h), Message: e.message})
	if err != nil {
		return state.Change{}, err
	}
	change.Put = append(change.Put, audit)
	return change, nil
}

// write makes the change of the state but for the audit record.
func (e *edit) write(action gantryv1.Action) state.Change {
	h := e.after
	h.Updated = e.now
	h.Last = lastChange{ID: e.id, Action: action, Author: e.author}
	h.Since = 0
	switch {
	case e.before == nil && h.sameInForce(new(head)):
		h.Since = neverInForce
	case e.before != nil && h.sameInForce(e.before):
		h.Since = cmp.Or(e.before.Since, e.modified)
	}
	change := state.Change{
		If:     append(e.conditions, state.Unchanged(e.ref.headKey(), e.modified)),
		Put:    e.puts,
		Delete: e.deletes,
	}
	for _, entry := range e.entries {
		h.Entries++
		if h.OldestEntry.Number == 0 {
			h.OldestEntry = mark{Number: h.Entries, At: e.now}
		}
		change.Put = append(change.Put, state.Put{Key: e.ref.entryKey(h.Entries), Value: encode(entry)})
	}
	if e.ref.Kind == policy.KeyValue {
		e.keepKey()
	}
	change.Put = append(change.Put, state.Put{Key: e.ref.headKey(), Value: encode(h)})
	return change
}

// summary is what the audit log says of a head: never a content.
type summary struct {
	Latest    int64  `json:"latest"`
	Released  int64  `json:"released"`
	Rollout   int64  `json:"rollout,omitempty"`
	Cohort    string `json:"cohort,omitempty"`
	Sensitive bool   `json:"sensitive,omitempty"`
	Deleted   bool   `json:"deleted,omitempty"`
}

func summarise(h *head) any {
	if h == nil {
		return nil
	}
	s := summary{Latest: h.Latest, Released: h.Released, Sensitive: h.Sensitive, Deleted: h.Deleted}
	if h.Rollout != nil {
		s.Rollout = h.Rollout.Version
		s.Cohort = string(encode(h.Rollout.Cohort))
	}
	return s
}

// settle finds out what became of a change whose answer was lost. The change is made again: its condition on the
// head lets it happen once at most, so that afterwards either this or the first attempt has made it, or somebody else's
// change has made both impossible.
func (r *Releaser) settle(ctx context.Context, e *edit, change state.Change) (int64, error) {
	for {
		quorum := r.store.QuorumChanged()
		revision, err := r.store.Commit(ctx, change)
		switch {
		case err == nil:
			return revision, nil
		case errors.Is(err, state.ErrConflict):
			return r.landed(ctx, e)
		case ctx.Err() == nil && outcomeUnknown(err):
		case ctx.Err() == nil && !r.store.Quorum():
			select {
			case <-quorum:
			case <-ctx.Done():
			}
		default:
			return 0, fault.New(fault.Unavailable, "state.outcome_unknown", "no answer in time: the change of %s may or may not have been made", e.ref).
				Hinted("look at its history before repeating it; the entry would be number %d", e.after.Entries).Because(err)
		}
	}
}

// landed looks for the history entry that the change writes with its head.
func (r *Releaser) landed(ctx context.Context, e *edit) (int64, error) {
	record, found, err := r.store.Get(ctx, e.ref.entryKey(e.after.Entries))
	if err != nil {
		return 0, err
	}
	if found {
		if entry, err := decodeEntry(record.Value); err == nil && entry.Change == e.id {
			return record.Created, nil
		}
	}
	return 0, state.ErrConflict
}

func outcomeUnknown(err error) bool {
	f, ok := fault.As(err)
	return (ok && f.Reason == "state.outcome_unknown") || errors.Is(err, context.DeadlineExceeded)
}

// verb is the word for an action in messages, metrics and the audit log.
func verb(action gantryv1.Action) string {
	switch action {
	case gantryv1.Action_ACTION_PUBLISHED:
		return "publish"
	case gantryv1.Action_ACTION_RELEASED:
		return "release"
	case gantryv1.Action_ACTION_STAGED:
		return "stage"
	case gantryv1.Action_ACTION_PROMOTED:
		return "promote"
	case gantryv1.Action_ACTION_ABORTED:
		return "abort"
	case gantryv1.Action_ACTION_ROLLED_BACK:
		return "rollback"
	case gantryv1.Action_ACTION_DELETED:
		return "delete"
	default:
		return "change"
	}
}
