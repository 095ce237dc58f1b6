package release_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/release"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// model is a document's life in the simplest words.
type model struct {
	versions []string // contents, version 1 first
	released int64
	rollout  int64
	trail    []int64
	deleted  bool
	revision int64
	entries  int
}

func (m *model) latest() int64 { return int64(len(m.versions)) }

func (m *model) put(version int64) {
	if m.released != 0 {
		m.trail = append(m.trail, m.released)
	}
	m.released, m.rollout, m.deleted = version, 0, false
}

// target is where a rollback without a version goes; 0 is nowhere.
func (m *model) target() int64 {
	for _, version := range slices.Backward(m.trail) {
		if version != m.released {
			return version
		}
	}
	return 0
}

func (m *model) back(version int64) {
	if at := lastIndex(m.trail, version); at >= 0 && version != m.released {
		m.trail = m.trail[:at]
	}
	m.released, m.rollout, m.deleted = version, 0, false
}

func lastIndex(all []int64, v int64) int {
	for i, have := range slices.Backward(all) {
		if have == v {
			return i
		}
	}
	return -1
}

// A document does what the model does, whatever is asked of it in whatever order; a refusal changes nothing; and its history
// holds every change.
func TestADocumentLivesLikeItsModel(t *testing.T) {
	r := open(t, release.Options{Keys: keyring(t, root(1))})
	ctx := asSystem(t)
	runs := 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		life := &life{ctx: ctx, r: r, ref: config(fmt.Sprintf("life/%d", runs))}
		t.Repeat(map[string]func(*rapid.T){
			"publish":  life.publish,
			"release":  life.release,
			"stage":    life.stage,
			"promote":  life.promote,
			"abort":    life.abort,
			"rollback": life.rollback,
			"delete":   life.delete,
			"":         life.check,
		})
	})
}

type life struct {
	ctx context.Context
	r   *release.Releaser
	ref release.Ref
	m   model
}

// step draws an expectation, which may be stale; met says whether the head has it.
func (l *life) step(t *rapid.T) (step release.Step, met bool) {
	step.Ref = l.ref
	switch rapid.IntRange(0, 3).Draw(t, "expectation") {
	case 0:
		step.ExpectedRevision = pointer(l.m.revision)
	case 1:
		step.ExpectedRevision = pointer(l.m.revision + 1)
		return step, false
	}
	return step, true
}

// after holds an answer against what the model says: a code for refusals, 0 for success.
func (l *life) after(t *rapid.T, d *gantryv1.Document, err error, refused fault.Code, made int) {
	if refused != 0 {
		if fault.CodeOf(err) != refused || err == nil {
			t.Fatalf("got %v, want %v", err, refused)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if changed := d.Revision != l.m.revision; changed != (made > 0) {
		t.Fatalf("the revision went from %d to %d for %d entries", l.m.revision, d.Revision, made)
	}
	l.m.revision = d.Revision
	l.m.entries += made
}

func (l *life) publish(t *rapid.T) {
	text := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "content")
	draft := release.Draft{Ref: l.ref, Format: "text", Content: []byte(text), Sensitive: true, Release: rapid.Bool().Draw(t, "release")}
	m := &l.m
	refused := fault.Code(0)
	if rapid.Bool().Draw(t, "compare") {
		expected := rapid.Int64Range(0, m.latest()+1).Draw(t, "expected")
		draft.ExpectedVersion = &expected
		if expected != m.latest() && (expected != 0 || !m.deleted) {
			refused = fault.Conflict
		}
	}
	same := m.latest() > 0 && !m.deleted && m.versions[m.latest()-1] == text
	version, made := m.latest(), 0
	if !same {
		version, made = version+1, 1
	}
	releases := draft.Release && (!same || m.released != version || m.rollout != 0)
	if refused == 0 && releases && m.rollout != 0 && m.rollout != version {
		refused = fault.Precondition
	}
	p, err := l.r.Publish(l.ctx, draft)
	if refused != 0 {
		l.after(t, nil, err, refused, 0)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if p.Unchanged != same || p.Version != version {
		t.Fatalf("published as %d, unchanged %v", p.Version, p.Unchanged)
	}
	if !same {
		m.versions = append(m.versions, text)
		m.deleted = false
	}
	if releases {
		m.put(version)
		made++
	}
	l.after(t, p.Document, nil, 0, made)
}

func (l *life) release(t *rapid.T) {
	step, met := l.step(t)
	m := &l.m
	version := rapid.Int64Range(0, m.latest()+1).Draw(t, "version")
	d, err := l.r.Release(l.ctx, step, version, nil)
	if refused := l.refusal(met, version); refused != 0 {
		l.after(t, d, err, refused, 0)
		return
	}
	if version == 0 {
		version = m.latest()
	}
	switch {
	case m.rollout == 0 && m.released == version:
		l.after(t, d, err, 0, 0)
	case m.rollout != 0 && m.rollout != version:
		l.after(t, d, err, fault.Precondition, 0)
	default:
		m.put(version)
		l.after(t, d, err, 0, 1)
	}
}

func (l *life) stage(t *rapid.T) {
	step, met := l.step(t)
	m := &l.m
	version := rapid.Int64Range(0, m.latest()+1).Draw(t, "version")
	d, err := l.r.Release(l.ctx, step, version, percent(rapid.Float64Range(1, 99).Draw(t, "percent")))
	if refused := l.refusal(met, version); refused != 0 {
		l.after(t, d, err, refused, 0)
		return
	}
	if version == 0 {
		version = m.latest()
	}
	if (m.rollout == 0 && m.released == version) || (m.rollout != 0 && m.rollout != version) {
		l.after(t, d, err, fault.Precondition, 0)
		return
	}
	made := 1
	if err == nil && d.Revision == m.revision {
		made = 0 // the same percentage was drawn again
	}
	m.rollout, m.deleted = version, false
	l.after(t, d, err, 0, made)
}

// refusal is what a version and an expectation lead to before anything else is looked at.
func (l *life) refusal(met bool, version int64) fault.Code {
	switch {
	case !met:
		return fault.Conflict
	case l.m.latest() == 0 || version > l.m.latest():
		return fault.NotFound
	}
	return 0
}

func (l *life) promote(t *rapid.T) {
	step, met := l.step(t)
	d, err := l.r.Promote(l.ctx, step)
	switch refused := l.refusal(met, 0); {
	case refused != 0:
		l.after(t, d, err, refused, 0)
	case l.m.rollout == 0:
		l.after(t, d, err, fault.Precondition, 0)
	default:
		l.m.put(l.m.rollout)
		l.after(t, d, err, 0, 1)
	}
}

func (l *life) abort(t *rapid.T) {
	step, met := l.step(t)
	d, err := l.r.Abort(l.ctx, step)
	switch refused := l.refusal(met, 0); {
	case refused != 0:
		l.after(t, d, err, refused, 0)
	case l.m.rollout == 0:
		l.after(t, d, err, fault.Precondition, 0)
	default:
		l.m.rollout = 0
		l.after(t, d, err, 0, 1)
	}
}

func (l *life) rollback(t *rapid.T) {
	step, met := l.step(t)
	m := &l.m
	version := rapid.Int64Range(0, m.latest()+1).Draw(t, "version")
	d, err := l.r.Rollback(l.ctx, step, version)
	nothing := version != 0 && version == m.released && m.rollout == 0
	if refused := l.refusal(met, version); refused != 0 {
		l.after(t, d, err, refused, 0)
		return
	}
	if nothing {
		l.after(t, d, err, 0, 0)
		return
	}
	if version == 0 {
		version = m.target()
	} else if version > m.released && m.released != 0 && !slices.Contains(m.trail, version) {
		version = 0
	}
	if version == 0 {
		l.after(t, d, err, fault.Precondition, 0)
		return
	}
	m.back(version)
	l.after(t, d, err, 0, 1)
}

func (l *life) delete(t *rapid.T) {
	step, met := l.step(t)
	m := &l.m
	d, err := l.r.Delete(l.ctx, step)
	switch refused := l.refusal(met, 0); {
	case refused != 0:
		l.after(t, d, err, refused, 0)
	case m.deleted:
		l.after(t, d, err, 0, 0)
	default:
		if m.released != 0 {
			m.trail = append(m.trail, m.released)
		}
		m.released, m.rollout, m.deleted = 0, 0, true
		l.after(t, d, err, 0, 1)
	}
}

// check holds everything that can be seen of the document against the model.
func (l *life) check(t *rapid.T) {
	m := &l.m
	if m.latest() == 0 {
		if _, _, err := l.r.Get(l.ctx, l.ref, 0); !fault.Is(err, fault.NotFound) {
			t.Fatalf("a document that nobody published: %v", err)
		}
		return
	}
	d, _, entries, err := l.r.History(l.ctx, l.ref, release.MaxPage)
	if err != nil {
		t.Fatal(err)
	}
	if d.LatestVersion != m.latest() || d.ReleasedVersion != m.released || d.GetRollout().GetVersion() != m.rollout || d.Deleted != m.deleted || d.Revision != m.revision {
		t.Fatalf("the document is %v, the model %+v", d, m)
	}
	if len(entries) != m.entries {
		t.Fatalf("%d entries, the model has made %d", len(entries), m.entries)
	}
	for i, text := range m.versions {
		if _, v, err := l.r.Get(l.ctx, l.ref, int64(i+1)); err != nil || string(v.Content) != text {
			t.Fatalf("version %d: %v %v", i+1, v, err)
		}
	}
	frame, err := l.r.Resolve(l.ctx, l.ref, release.Subject{})
	if err != nil || frame.Version != m.released || frame.Event().Absent != (m.released == 0) {
		t.Fatalf("in force is %v (%v), the model has %d", frame, err, m.released)
	}
}
