package release

import (
	"context"
	"fmt"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy"
	"github.com/gantry-platform/gantry/internal/state"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// Draft is a version to be published.
type Draft struct {
	Ref Ref
	// Format is one that the kind accepts. Empty: what the document has; for a new one what the name's extension says, or
	// the kind's default.
	Format  string
	Content []byte
	// Sensitive content is sealed at rest and shown only to those who may see it.
	Sensitive bool
	Message   string
	// ExpectedVersion compares with the latest version: 0 for "must not exist"; nil compares nothing.
	ExpectedVersion *int64
	// ExpectedRevision compares with the head's revision, so that a release or rollback in between is noticed too: 0 for "there never was
	// one"; nil compares nothing.
	ExpectedRevision *int64
	// Release puts the version in force for all in the same step.
	Release bool

	// flags are those of a key; machine: it was written with a lock, so that nothing is kept of it but the latest.
	flags   *uint64
	machine bool
}

// Published is the answer to a [Draft].
type Published struct {
	Document *gantryv1.Document
	Version  int64
	// Unchanged: the latest version has this content, format and sensitivity already, so that no version was made. With
	// Draft.Release it is released if it was not, so that publishing the same again is idempotent. Who may not see the
	// content of a sensitive version makes a new one each time: otherwise they could guess it.
	Unchanged bool
	// Warnings are what policy found that does not make it invalid.
	Warnings []*fault.Error
}

// Publish stores a new version after validating it.
//
// Errors: Invalid for what policy refuses, each with its field and position; Conflict "document.version_conflict" when
// ExpectedVersion or ExpectedRevision does not hold; Precondition "document.rollout_under_way" for a release to all during a rollout, and
// "secret.no_root_key"; TooLarge beyond the limits; Unavailable without quorum, when nothing was stored.
func (r *Releaser) Publish(ctx context.Context, draft Draft) (*Published, error) {
	draft.Ref = draft.Ref.normal()
	if draft.Release {
		if err := access.Require(ctx, access.Release, draft.Ref.Namespace); err != nil {
			return nil, err
		}
	}
	warnings, err := r.validate(ctx, &draft)
	if err != nil {
		return nil, err
	}
	answer := &Published{Warnings: warnings}
	var record *versionRecord
	e, err := r.apply(ctx, draft.Ref, draft.Message, func(e *edit) error {
		record = nil
		answer.Unchanged = false
		if err := e.expectLatest(draft.ExpectedVersion); err != nil {
			return err
		}
		if err := e.expect(draft.ExpectedRevision); err != nil {
			return err
		}
		same, err := r.isLatest(ctx, e, &draft)
		if err != nil {
			return err
		}
		if same {
			answer.Unchanged = true
			if !draft.Release || (e.before.Released == e.before.Latest && e.before.Rollout == nil) {
				e.none = true
				return nil
			}
			return e.releaseAll(e.before.Latest)
		}
		if record, err = r.addVersion(ctx, e, &draft); err != nil {
			return err
		}
		if draft.Release {
			return e.releaseAll(record.Number)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if record != nil {
		r.remember(&document{ref: e.ref, head: e.after}, record.Number, record, draft.Content)
	}
	answer.Document = e.after.proto(e.ref, e.revision)
	answer.Version = e.after.Latest
	return answer, nil
}

// Validate says what Publish would say of the draft as it stands, and stores nothing.
func (r *Releaser) Validate(ctx context.Context, draft Draft) ([]*fault.Error, error) {
	draft.Ref = draft.Ref.normal()
	if err := checkMessage(draft.Message); err != nil {
		return nil, err
	}
	warnings, err := r.validate(ctx, &draft)
	if err != nil {
		return nil, err
	}
	if draft.Sensitive && r.keys.roots.first() == nil {
		return nil, errNoRootKey()
	}
	if draft.ExpectedVersion == nil {
		return warnings, nil
	}
	e, err := r.begin(ctx, draft.Ref, draft.Message)
	if err != nil {
		return nil, err
	}
	if err := e.expectLatest(draft.ExpectedVersion); err != nil {
		return nil, err
	}
	return warnings, nil
}

func (r *Releaser) validate(ctx context.Context, draft *Draft) ([]*fault.Error, error) {
	if err := access.Require(ctx, access.Publish, draft.Ref.Namespace); err != nil {
		return nil, err
	}
	if draft.Format == "" {
		format, err := r.defaultFormat(draft.Ref)
		if err != nil {
			return nil, err
		}
		draft.Format = format
	}
	library := &library{releaser: r, ctx: ctx}
	warnings, err := r.policy.Validate(policy.Document{Namespace: draft.Ref.Namespace, Kind: draft.Ref.Kind, Name: draft.Ref.Name,
		Format: draft.Format, Content: draft.Content, Sensitive: draft.Sensitive}, library)
	if err == nil {
		// What could not be read was not checked against: better no answer than a wrong one.
		err = library.err
	}
	if err != nil {
		return nil, err
	}
	return append(warnings, library.warnings...), nil
}

func (r *Releaser) defaultFormat(ref Ref) (string, error) {
	if d := r.index.get(ref); d != nil {
		return d.head.Format, nil
	}
	return r.policy.DefaultFormat(ref.Kind, ref.Name)
}

// isLatest reports whether the draft is what the latest version is already.
func (r *Releaser) isLatest(ctx context.Context, e *edit, draft *Draft) (bool, error) {
	h := e.before
	if h == nil || h.Deleted || h.Format != draft.Format || h.Sensitive != draft.Sensitive {
		return false, nil
	}
	if !h.Sensitive {
		return h.Checksum == checksum(draft.Content), nil
	}
	if !access.FromContext(ctx).May(access.ReadSensitive, e.ref.Namespace) {
		// The answer would tell whether a guess at the secret is right.
		return false, nil
	}
	latest, err := r.loadVersion(ctx, &document{ref: e.ref, head: h}, h.Latest)
	switch fault.CodeOf(err) {
	case fault.Unavailable, fault.DeadlineExceeded:
		return false, err
	}
	if err != nil {
		// What cannot be opened any more can still be replaced.
		return false, nil
	}
	return string(latest.Content) == string(draft.Content), nil
}

// addVersion makes the next version of a document.
func (r *Releaser) addVersion(ctx context.Context, e *edit, draft *Draft) (*versionRecord, error) {
	if e.before == nil {
		if err := r.room(e.ref); err != nil {
			return nil, err
		}
	}
	if !draft.machine {
		if err := r.trim(ctx, e); err != nil {
			return nil, err
		}
	}
	h := e.after
	h.Latest++
	record := &versionRecord{Number: h.Latest, Format: draft.Format, Size: len(draft.Content), Author: e.author, Message: e.message,
		Created: e.now, Sensitive: draft.Sensitive}
	content := draft.Content
	if draft.Sensitive {
		key, err := r.keys.active(ctx)
		if err != nil {
			return nil, err
		}
		content = seal(key.aead, key.id, e.ref, record.Number, draft.Content)
		record.Key = key.id
		h.Sealed = true
		e.conditions = append(e.conditions, key.unchanged())
		r.metrics.sealed.Inc()
	} else {
		record.Checksum = checksum(content)
	}
	if e.ref.Kind == policy.KeyValue {
		record.Born = h.Created.UnixNano()
	}
	if draft.flags != nil {
		record.Flags = *draft.flags
	} else if h.Key != nil {
		record.Flags = h.Key.Flags
	}
	h.Format, h.Sensitive, h.Checksum, h.Deleted = draft.Format, draft.Sensitive, record.Checksum, false
	if h.OldestVersion.Number == 0 {
		h.OldestVersion = mark{Number: record.Number, At: e.now}
	}
	e.puts = append(e.puts,
		state.Put{Key: e.ref.versionKey(record.Number), Value: encode(record)},
		state.Put{Key: e.ref.contentKey(record.Number), Value: content})
	if !draft.machine {
		e.note(entryRecord{Action: gantryv1.Action_ACTION_PUBLISHED, Version: record.Number, Previous: h.Released})
	}
	return record, nil
}

// room refuses a new document where there are enough.
func (r *Releaser) room(ref Ref) error {
	kept, what := retentionOf(ref.Kind), "documents"
	if ref.Kind == policy.KeyValue {
		what = "keys"
	}
	n := r.index.countLike(ref)
	if n < kept.documents {
		return nil
	}
	return fault.New(fault.Exhausted, "document.too_many", "namespace %q holds %d %s", ref.Namespace, n, what).
		At("ref.namespace").Hinted("at most %d, deleted ones included for %d days; use several namespaces", kept.documents, int(kept.deleted.Hours()/24))
}

// releaseAll lets everyone have a version. During a rollout only that rollout's version may be given to all, which is
// what promoting it does.
func (e *edit) releaseAll(version int64) error {
	h := e.after
	action := gantryv1.Action_ACTION_RELEASED
	if h.Rollout != nil {
		if h.Rollout.Version != version {
			return fault.New(fault.Precondition, "document.rollout_under_way", "a rollout of version %d of %s is under way, begun by %s", h.Rollout.Version, e.ref, h.Rollout.Author).
				Hinted("promote or abort it first; publishing without releasing is possible meanwhile")
		}
		action = gantryv1.Action_ACTION_PROMOTED
	}
	entry := entryRecord{Action: action, Version: version, Previous: h.Released}
	h.put(version)
	e.note(entry)
	return nil
}

// library gives policy the released documents of a namespace while one draft is validated.
type library struct {
	releaser *Releaser
	ctx      context.Context // of the one call that the library lives for
	err      error
	warnings []*fault.Error
}

// libraryBytes bounds what one validation reads: publishing a Schema asks for every configuration of the namespace.
const libraryBytes = 64 << 20

// Released implements policy.Library.
func (l *library) Released(namespace, kind string) []policy.Document {
	var documents []policy.Document
	size, left := 0, 0
	for d := range l.releaser.index.walk(group{namespace, kind}, "") {
		ref := d.ref
		if d.head.Released == 0 {
			continue
		}
		if size > libraryBytes {
			left++
			continue
		}
		v, err := l.releaser.loadVersion(l.ctx, d, d.head.Released)
		if fault.Is(err, fault.Precondition) {
			// Its root key is not here. That must not keep everything else from being published.
			l.warnings = append(l.warnings, fault.New(fault.Precondition, "document.not_checked", "%s was not looked at: its content cannot be opened", ref).
				Hinted("give the server the root key that it is sealed under"))
			continue
		}
		if err != nil {
			l.err = fmt.Errorf("read %s to check against it: %w", ref, err)
			return nil
		}
		size += len(v.Content)
		documents = append(documents, policy.Document{Namespace: namespace, Kind: kind, Name: ref.Name, Format: v.Format, Content: v.Content, Sensitive: v.Sensitive})
	}
	if left > 0 {
		l.warnings = append(l.warnings, fault.New(fault.TooLarge, "document.partly_checked", "%d released documents of kind %s were not checked", left, kind).
			Hinted("at most %d MiB are read for one validation", libraryBytes>>20))
	}
	return documents
}
