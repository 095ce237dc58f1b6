package release

import (
	"context"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// Step is what the changes of a document that is there have in common.
type Step struct {
	Ref     Ref
	Message string
	// ExpectedRevision compares with the head's revision; nil compares nothing.
	ExpectedRevision *int64
}

// Release puts a version in force: with a nil cohort for all, otherwise for the cohort, as a rollout. Version 0 is the
// latest. With the version of the rollout under way and another cohort it moves the rollout to that stage, which keeps its id;
// with that version and no cohort it promotes it. What is in force already stays as it is, without error.
//
// Errors: NotFound "document.not_found" and "document.version_unknown"; Invalid "cohort.*", naming what of the cohort;
// Precondition "document.rollout_under_way" and "document.already_released"; Conflict "document.version_conflict".
func (r *Releaser) Release(ctx context.Context, step Step, version int64, chosen *gantryv1.Cohort) (*gantryv1.Document, error) {
	target := cohortOf(chosen)
	if target != nil {
		if _, err := target.compile(""); err != nil {
			return nil, err
		}
	}
	return r.step(ctx, step, func(e *edit) error {
		number := version
		if number == 0 {
			number = e.before.Latest
		}
		if _, err := r.stored(ctx, e, number); err != nil {
			return err
		}
		if target != nil {
			return e.stage(number, target)
		}
		if e.before.Released == number && e.before.Rollout == nil {
			e.none = true
			return nil
		}
		return e.releaseAll(number)
	})
}

// Promote gives the rollout's version to all. Without a rollout: Precondition "document.no_rollout".
func (r *Releaser) Promote(ctx context.Context, step Step) (*gantryv1.Document, error) {
	return r.step(ctx, step, func(e *edit) error {
		if e.before.Rollout == nil {
			return e.noRollout("promote")
		}
		return e.releaseAll(e.before.Rollout.Version)
	})
}

// Abort ends the rollout; its cohort returns to the released version. Without a rollout: Precondition
// "document.no_rollout".
func (r *Releaser) Abort(ctx context.Context, step Step) (*gantryv1.Document, error) {
	return r.step(ctx, step, func(e *edit) error {
		rollout := e.before.Rollout
		if rollout == nil {
			return e.noRollout("abort")
		}
		e.after.Rollout = nil
		e.note(entryRecord{Action: gantryv1.Action_ACTION_ABORTED, Version: rollout.Version, Previous: e.before.Released, Cohort: rollout.Cohort})
		return nil
	})
}

// Rollback releases an earlier version to all and ends a rollout under way. Version 0 is the newest of the document's
// trail that is still kept (see the package comment); a deleted document comes back by it. A named version must
// be older than the released one or stand on the trail; anything else is a release.
//
// Errors: Precondition "document.nothing_before" and "document.not_earlier"; NotFound; Conflict.
func (r *Releaser) Rollback(ctx context.Context, step Step, version int64) (*gantryv1.Document, error) {
	return r.step(ctx, step, func(e *edit) error {
		h := e.before
		if version != 0 && version == h.Released && h.Rollout == nil {
			e.none = true
			return nil
		}
		record, err := r.rollbackTarget(ctx, e, version)
		if err != nil {
			return err
		}
		target := record.Number
		if e.after.Key != nil {
			e.after.Key.Flags = record.Flags
		}
		entry := entryRecord{Action: gantryv1.Action_ACTION_ROLLED_BACK, Version: target, Previous: h.Released}
		if target == h.Released {
			e.after.Rollout = nil
		} else {
			e.after.back(target)
		}
		e.note(entry)
		return nil
	})
}

func (r *Releaser) rollbackTarget(ctx context.Context, e *edit, version int64) (*versionRecord, error) {
	h := e.before
	if version != 0 {
		record, err := r.stored(ctx, e, version)
		if err != nil {
			return nil, err
		}
		if version != h.Released && !h.earlier(version) {
			return nil, fault.New(fault.Precondition, "document.not_earlier", "version %d of %s is not earlier than version %d, which is released", version, e.ref, h.Released).
				At("version").Hinted("release it instead")
		}
		return record, nil
	}
	for i := len(h.Trail) - 1; i >= 0; i-- {
		if h.Trail[i] == h.Released {
			continue
		}
		record, err := r.stored(ctx, e, h.Trail[i])
		if err == nil {
			return record, nil
		}
		if !fault.Is(err, fault.NotFound) {
			return nil, err
		}
	}
	return nil, fault.New(fault.Precondition, "document.nothing_before", "no earlier version of %s was released, or none is kept any more", e.ref).
		Hinted("look at its history and release the version that you want")
}

// Delete takes a document out of force for everyone and ends a rollout. Its versions and history stay for 90 days (a key's
// for 7), and Rollback brings back what was released. Deleting what is deleted changes nothing.
func (r *Releaser) Delete(ctx context.Context, step Step) (*gantryv1.Document, error) {
	return r.step(ctx, step, func(e *edit) error {
		if e.before.Deleted {
			e.none = true
			return nil
		}
		e.after.remove()
		e.note(entryRecord{Action: gantryv1.Action_ACTION_DELETED, Version: e.before.Released, Previous: e.before.Released})
		return nil
	})
}

// step makes a change of a document that is there, by somebody who may release.
func (r *Releaser) step(ctx context.Context, step Step, decide func(*edit) error) (*gantryv1.Document, error) {
	ref := step.Ref.normal()
	if err := ref.check(); err != nil {
		return nil, err
	}
	if err := access.Require(ctx, access.Release, ref.Namespace); err != nil {
		return nil, err
	}
	e, err := r.apply(ctx, ref, step.Message, func(e *edit) error {
		if err := e.expect(step.ExpectedRevision); err != nil {
			return err
		}
		if err := e.existing(); err != nil {
			return err
		}
		return decide(e)
	})
	if err != nil {
		return nil, err
	}
	return e.after.proto(e.ref, e.revision), nil
}

// stored returns the record of a version, and refuses one that is not there.
func (r *Releaser) stored(ctx context.Context, e *edit, version int64) (*versionRecord, error) {
	if version < 1 || version > e.before.Latest {
		return nil, noVersion(e.ref, version)
	}
	stored, found, err := r.store.Get(ctx, e.ref.versionKey(version))
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, noVersion(e.ref, version)
	}
	record, err := decodeVersion(stored.Value)
	if err != nil {
		return nil, damaged(e.ref, version, err)
	}
	return record, nil
}

// stage begins a rollout or moves the one under way.
func (e *edit) stage(version int64, target *cohort) error {
	h := e.after
	if h.Released == version && h.Rollout == nil {
		return fault.New(fault.Precondition, "document.already_released", "everyone has version %d of %s already", version, e.ref).
			At("cohort").Hinted("stage another version, or roll back first")
	}
	switch current := h.Rollout; {
	case current == nil:
		h.Rollouts++
		h.Rollout = &rollout{ID: rolloutID(e.ref, h.Created.UnixNano(), h.Rollouts), Version: version, Started: e.now}
	case current.Version != version:
		return fault.New(fault.Precondition, "document.rollout_under_way", "a rollout of version %d of %s is under way, begun by %s", current.Version, e.ref, current.Author).
			Hinted("promote or abort it first")
	case current.Cohort.equal(target):
		e.none = true
		return nil
	}
	h.Rollout.Cohort, h.Rollout.Author, h.Rollout.Changed = target, e.author, e.now
	h.Deleted = false
	e.note(entryRecord{Action: gantryv1.Action_ACTION_STAGED, Version: version, Previous: h.Released, Cohort: target})
	return nil
}

func (e *edit) noRollout(verb string) *fault.Error {
	return fault.New(fault.Precondition, "document.no_rollout", "no rollout of %s is under way: there is nothing to %s", e.ref, verb).
		Hinted("release a version to a cohort to begin one")
}
