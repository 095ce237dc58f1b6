package release_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/release"
	"github.com/gantry-platform/gantry/internal/state"
	"github.com/gantry-platform/gantry/internal/state/statetest"
)

const day = 24 * time.Hour

func keysUnder(t testing.TB, s *state.Store, space string, ref release.Ref) int {
	t.Helper()
	records, err := s.List(context.Background(), state.Prefix(space, ref.Namespace, ref.Kind, ref.Name), state.ListOptions{KeysOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	return len(records)
}

func TestRetentionKeepsWhatIsNewOrInForce(t *testing.T) {
	s, c := statetest.New(t), newClock()
	r := over(t, s, release.Options{Now: c.Now})
	ctx := asSystem(t)
	ref := config("long")
	step := release.Step{Ref: ref}
	released(t, r, ref, "v1")
	released(t, r, ref, "v2") // 2 in force, 1 to be rolled back to
	publish(t, r, release.Draft{Ref: ref, Content: []byte("v3")})
	if _, err := r.Release(ctx, step, 3, percent(10)); err != nil { // 3 in a rollout
		t.Fatal(err)
	}
	for i := 4; i <= 150; i++ {
		publish(t, r, release.Draft{Ref: ref, Content: fmt.Appendf(nil, "v%d", i)})
	}
	if n := keysUnder(t, s, "version", ref); n != 150 {
		t.Fatalf("%d versions are kept of 150 within 90 days", n)
	}
	c.advance(91 * day)
	for i := 151; i <= 190; i++ {
		publish(t, r, release.Draft{Ref: ref, Content: fmt.Appendf(nil, "v%d", i)})
	}
	// The last hundred and the three that are protected.
	versions, contents := keysUnder(t, s, "version", ref), keysUnder(t, s, "content", ref)
	if versions != 103 || contents != versions {
		t.Fatalf("%d versions and %d contents are kept", versions, contents)
	}
	for _, version := range []int64{1, 2, 3, 91, 190} {
		if _, v, err := r.Get(ctx, ref, version); err != nil || string(v.Content) != fmt.Sprintf("v%d", version) {
			t.Errorf("version %d: %v %v", version, v, err)
		}
	}
	_, err := r.Release(ctx, step, 40, nil)
	want(t, err, fault.NotFound, "document.version_unknown")

	// What is protected no longer goes in its turn.
	if _, err := r.Abort(ctx, step); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Release(ctx, step, 190, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Release(ctx, step, 189, nil); err != nil {
		t.Fatal(err)
	}
	publish(t, r, release.Draft{Ref: ref, Content: []byte("v191")})
	if n := keysUnder(t, s, "version", ref); n != 100 {
		t.Errorf("%d versions are kept", n)
	}
	// The trail still names 2 and 1, which are gone: rolling back stops behind 190.
	if d, err := r.Rollback(ctx, step, 0); err != nil || d.ReleasedVersion != 190 {
		t.Fatalf("rolled back to %v %v", d, err)
	}
	_, err = r.Rollback(ctx, step, 0)
	want(t, err, fault.Precondition, "document.nothing_before")
}

func TestHistoryIsTrimmed(t *testing.T) {
	s, c := statetest.New(t), newClock()
	r := over(t, s, release.Options{Now: c.Now})
	ctx := asSystem(t)
	ref := config("busy")
	publish(t, r, release.Draft{Ref: ref, Content: []byte("a")})
	publish(t, r, release.Draft{Ref: ref, Content: []byte("b")})
	for i := range 1100 {
		if _, err := r.Release(ctx, release.Step{Ref: ref}, int64(i%2+1), nil); err != nil {
			t.Fatal(err)
		}
	}
	c.advance(91 * day)
	before := keysUnder(t, s, "history", ref)
	for i := range 12 {
		publish(t, r, release.Draft{Ref: ref, Content: fmt.Appendf(nil, "%d", i)})
	}
	if n := keysUnder(t, s, "history", ref); before != 1102 || n != 1000 {
		t.Errorf("%d entries were kept before, %d after", before, n)
	}
	_, _, entries, err := r.History(ctx, ref, 1000)
	if err != nil || len(entries) != 1000 || entries[0].Version != 14 {
		t.Errorf("history: %d entries, %v", len(entries), err)
	}
}

func TestDeletedDocumentsGoAfterAWhile(t *testing.T) {
	s, c := statetest.New(t), newClock()
	r := over(t, s, release.Options{Now: c.Now})
	ctx := asSystem(t)
	gone, kept, back := config("gone"), config("kept"), config("back")
	for _, ref := range []release.Ref{gone, kept, back} {
		for i := range 40 {
			released(t, r, ref, fmt.Sprint(i))
		}
	}
	for _, ref := range []release.Ref{gone, back} {
		if _, err := r.Delete(ctx, release.Step{Ref: ref}); err != nil {
			t.Fatal(err)
		}
	}
	c.advance(80 * day)
	if _, err := r.Rollback(ctx, release.Step{Ref: back}, 0); err != nil {
		t.Fatal(err)
	}
	if err := r.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	if n := keysUnder(t, s, "history", gone); n == 0 {
		t.Fatal("it went too early")
	}
	c.advance(11 * day)
	if err := r.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	for _, space := range []string{"document", "version", "content", "history"} {
		if n := keysUnder(t, s, space, gone); n != 0 {
			t.Errorf("%d keys under %s are left of a purged document", n, space)
		}
	}
	for _, ref := range []release.Ref{kept, back} {
		if content(t, r, ref, release.Subject{}) != "39" {
			t.Errorf("%s is lost", ref)
		}
	}
	if p := released(t, r, gone, "again"); p.Version != 1 || content(t, r, gone, release.Subject{}) != "again" {
		t.Errorf("a purged name begins anew with %+v", p)
	}
}
