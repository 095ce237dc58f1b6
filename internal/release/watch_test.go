package release_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/release"
	"github.com/gantry-platform/gantry/internal/state"
	"github.com/gantry-platform/gantry/internal/state/statetest"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

func watch(t testing.TB, r *release.Releaser, s release.Subject, refs ...release.Ref) *release.Watcher {
	t.Helper()
	w, err := r.Watch(asSystem(t), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	if err := w.Add(refs...); err != nil {
		t.Fatal(err)
	}
	return w
}

func next(t testing.TB, w *release.Watcher) []*release.Frame {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	frames, err := w.Next(ctx)
	if err != nil {
		t.Fatalf("next: %v", err)
	}
	return frames
}

// silent fails when there is news. A marker document that is released afterwards shows that everything before it was looked at.
func silent(t testing.TB, r *release.Releaser, w *release.Watcher, marker string) {
	t.Helper()
	ref := config("marker/" + marker)
	released(t, r, ref, "x")
	if err := w.Add(ref); err != nil {
		t.Fatal(err)
	}
	for _, f := range next(t, w) {
		if f.Ref != ref {
			t.Fatalf("it was told version %d of %s", f.Version, f.Ref)
		}
	}
	w.Remove(ref)
}

func TestAWatcherIsToldWhatChangesForIt(t *testing.T) {
	r := open(t, release.Options{})
	ctx := asSystem(t)
	ref := config("w")
	inside := watch(t, r, instance("in", map[string]string{"lane": "canary"}), ref)
	outside := watch(t, r, instance("out", nil), ref)
	canary := &gantryv1.Cohort{Labels: map[string]string{"lane": "canary"}}
	step := release.Step{Ref: ref}

	for _, w := range []*release.Watcher{inside, outside} {
		if f := next(t, w); len(f) != 1 || !f[0].Event().Absent || f[0].Version != 0 {
			t.Fatalf("first told %v", f[0].Event())
		}
	}
	released(t, r, ref, "1")
	var shared [2]*release.Frame
	for i, w := range []*release.Watcher{inside, outside} {
		f := next(t, w)
		if len(f) != 1 || string(f[0].Event().Version.Content) != "1" || f[0].Event().RolloutId != "" {
			t.Fatalf("told %v", f)
		}
		shared[i] = f[0]
	}
	if shared[0] != shared[1] {
		t.Error("two watchers that get the same were given two encodings")
	}
	var decoded gantryv1.DocumentEvent
	if err := proto.Unmarshal(shared[0].Encoded, &decoded); err != nil || !proto.Equal(&decoded, shared[0].Event()) {
		t.Fatalf("the encoding is not the event: %v %v", &decoded, err)
	}

	publish(t, r, release.Draft{Ref: ref, Content: []byte("2")})
	silent(t, r, inside, "published")
	staged, err := r.Release(ctx, step, 2, canary)
	if err != nil {
		t.Fatal(err)
	}
	if f := next(t, inside); len(f) != 1 || f[0].Version != 2 || f[0].Event().RolloutId != staged.Rollout.Id || f[0].Event().Revision != staged.Revision {
		t.Fatalf("the cohort was told %v", f)
	}
	silent(t, r, outside, "staged")
	if _, err := r.Promote(ctx, step); err != nil {
		t.Fatal(err)
	}
	silent(t, r, inside, "promoted")
	if f := next(t, outside); len(f) != 1 || f[0].Version != 2 {
		t.Fatalf("after the promotion the others were told %v", f)
	}
	if _, err := r.Delete(ctx, step); err != nil {
		t.Fatal(err)
	}
	if f := next(t, outside); len(f) != 1 || !f[0].Event().Absent {
		t.Fatalf("after the deletion told %v", f)
	}
}

// Clients that only ask whether there is news say not enough of themselves to tell whether it is news for them.
func TestWatchingForEveryone(t *testing.T) {
	r := open(t, release.Options{})
	ctx := asSystem(t)
	ref := config("everyone")
	step := release.Step{Ref: ref}
	w, err := r.WatchEveryone(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	if err := w.Add(ref); err != nil {
		t.Fatal(err)
	}
	told := func(what string, revision int64) {
		t.Helper()
		f := next(t, w)
		if len(f) != 1 || f[0].Event().Revision != revision || f[0].Event().Version != nil || r.InForceSince(ref) != revision {
			t.Fatalf("%s: told %v, in force since %d; want revision %d", what, f, r.InForceSince(ref), revision)
		}
	}
	told("at first", 0)
	publish(t, r, release.Draft{Ref: ref, Content: []byte("1")})
	silent(t, r, w, "drafted")
	if since := r.InForceSince(ref); since != 0 {
		t.Fatalf("a draft alone counts as in force since %d", since)
	}
	told("released", released(t, r, ref, "1").Document.Revision)
	publish(t, r, release.Draft{Ref: ref, Content: []byte("2")})
	publish(t, r, release.Draft{Ref: ref, Content: []byte("3")})
	silent(t, r, w, "published")

	cohort := func(address string) *gantryv1.Cohort { return &gantryv1.Cohort{Addresses: []string{address}} }
	for _, address := range []string{"10.0.0.1", "10.0.0.0/8"} {
		staged, err := r.Release(ctx, step, 3, cohort(address))
		if err != nil {
			t.Fatal(err)
		}
		told("staged for "+address, staged.Revision)
	}
	publish(t, r, release.Draft{Ref: ref, Content: []byte("4")})
	silent(t, r, w, "published beside a rollout")
	aborted, err := r.Abort(ctx, step)
	if err != nil {
		t.Fatal(err)
	}
	told("aborted", aborted.Revision)
	deleted, err := r.Delete(ctx, step)
	if err != nil {
		t.Fatal(err)
	}
	told("deleted", deleted.Revision)
}

func TestWatcherLimitsAndLife(t *testing.T) {
	r := open(t, release.Options{})
	w := watch(t, r, release.Subject{})
	refs := make([]release.Ref, release.MaxWatched+1)
	for i := range refs {
		refs[i] = config(name(i))
	}
	want(t, w.Add(refs...), fault.TooLarge, "document.too_many_watched")
	want(t, w.Add(release.Ref{Kind: "Config"}), fault.Invalid, "document.ref_incomplete")
	if err := w.Add(refs[1:]...); err != nil {
		t.Fatal(err)
	}
	told := 0
	for told < release.MaxWatched {
		frames := next(t, w)
		if len(frames) > 64 {
			t.Fatalf("%d frames at once", len(frames))
		}
		told += len(frames)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := w.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("next of a canceled context: %v", err)
	}
	waiting := make(chan error)
	go func() {
		_, err := w.Next(context.Background())
		waiting <- err
	}()
	r.Close()
	if err := <-waiting; !errors.Is(err, release.ErrClosed) {
		t.Fatalf("next after the end: %v", err)
	}
	if err := w.Add(refs[0]); !errors.Is(err, release.ErrClosed) {
		t.Fatalf("add after the end: %v", err)
	}
	_, err := r.Watch(asSystem(t), release.Subject{})
	want(t, err, fault.Unavailable, "state.closing")
}

func TestNobodyWatchesNothing(t *testing.T) {
	r := open(t, release.Options{})
	w, err := r.Watch(context.Background(), release.Subject{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	want(t, w.Add(config("x")), fault.Unauthenticated, "access.unauthenticated")
}

// Whatever happens to documents, in whatever order watchers come, ask and leave: in the end each knows
// of each document what Resolve answers, and was never told the same version twice in a row.
func TestWatchersConverge(t *testing.T) {
	r := open(t, release.Options{})
	ctx := asSystem(t)
	runs := 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		refs := []release.Ref{config(fmt.Sprintf("r%d/a", runs)), config(fmt.Sprintf("r%d/b", runs))}
		crowd := subjects("i1", "i2", "i3", "i4")
		watchers := make([]*release.Watcher, len(crowd))
		known := make([]map[release.Ref]int64, len(crowd))
		read := make(chan struct{}, 1) // of one, so that what is read while the main goroutine looks is not missed
		var readers sync.WaitGroup
		for i := range crowd {
			w, err := r.Watch(ctx, crowd[i])
			if err != nil {
				t.Fatal(err)
			}
			watchers[i], known[i] = w, map[release.Ref]int64{}
		}
		var mu sync.Mutex
		for i, w := range watchers {
			readers.Go(func() {
				for {
					frames, err := w.Next(context.Background())
					if err != nil {
						return
					}
					mu.Lock()
					for _, f := range frames {
						if before, told := known[i][f.Ref]; told && before == f.Version {
							t.Errorf("told version %d of %s twice", f.Version, f.Ref)
						}
						known[i][f.Ref] = f.Version
					}
					mu.Unlock()
					select {
					case read <- struct{}{}:
					default:
					}
				}
			})
		}
		defer func() {
			for _, w := range watchers {
				w.Close()
			}
			readers.Wait()
		}()
		late := rapid.IntRange(0, 8).Draw(t, "late")
		steps := rapid.IntRange(1, 12).Draw(t, "steps")
		for step := range steps {
			for i, w := range watchers {
				if step == min(late+i, steps-1) {
					if err := w.Add(refs...); err != nil {
						t.Fatal(err)
					}
				}
			}
			change(ctx, t, r, rapid.SampledFrom(refs).Draw(t, "ref"))
		}
		settled := func() bool {
			mu.Lock()
			defer mu.Unlock()
			for i := range crowd {
				for _, ref := range refs {
					version, _ := r.Wanted(ref, &crowd[i])
					if told, ok := known[i][ref]; !ok || told != version {
						return false
					}
				}
			}
			return true
		}
		deadline := time.After(20 * time.Second)
		for !settled() {
			select {
			case <-read:
			case <-deadline:
				mu.Lock()
				defer mu.Unlock()
				t.Fatalf("the watchers know %v", known)
			}
		}
	})
}

// change does something to a document; what the state does not allow is no error here.
func change(ctx context.Context, t *rapid.T, r *release.Releaser, ref release.Ref) {
	step := release.Step{Ref: ref}
	var err error
	switch rapid.SampledFrom([]string{"publish", "release", "stage", "promote", "abort", "rollback", "delete"}).Draw(t, "action") {
	case "publish":
		_, err = r.Publish(ctx, release.Draft{Ref: ref, Format: "text", Content: []byte(rapid.String().Draw(t, "content"))})
	case "release":
		_, err = r.Release(ctx, step, 0, nil)
	case "stage":
		_, err = r.Release(ctx, step, 0, percent(rapid.SampledFrom([]float64{20, 50, 80}).Draw(t, "percent")))
	case "promote":
		_, err = r.Promote(ctx, step)
	case "abort":
		_, err = r.Abort(ctx, step)
	case "rollback":
		_, err = r.Rollback(ctx, step, 0)
	case "delete":
		_, err = r.Delete(ctx, step)
	}
	if err != nil && !fault.Is(err, fault.Precondition) && !fault.Is(err, fault.NotFound) {
		t.Fatal(err)
	}
}

// What cannot be read is told as soon as it can, and keeps nothing else from being told.
func TestAWatcherWaitsForWhatCannotBeRead(t *testing.T) {
	s := statetest.New(t)
	r := over(t, s, release.Options{CacheBytes: 1})
	ctx := asSystem(t)
	broken, other := config("broken"), config("other")
	released(t, r, broken, "text")
	released(t, r, other, "x") // which takes the first out of the cache
	key := state.Key("content", broken.Namespace, broken.Kind, broken.Name, "0000000000000001")
	kept, _, err := s.Get(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit(ctx, state.Change{Delete: []string{key}}); err != nil {
		t.Fatal(err)
	}
	w := watch(t, r, release.Subject{}, broken, other)
	if f := next(t, w); len(f) != 1 || f[0].Ref != other {
		t.Fatalf("told %v", f)
	}
	if _, err := s.Commit(ctx, state.Change{Put: []state.Put{{Key: key, Value: kept.Value}}}); err != nil {
		t.Fatal(err)
	}
	if f := next(t, w); len(f) != 1 || f[0].Ref != broken || string(f[0].Event().Version.Content) != "text" {
		t.Fatalf("told %v", f)
	}
}
