package release_test

import (
	"slices"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/internal/release"
)

func TestFollowingAKind(t *testing.T) {
	r := open(t, release.Options{})
	ctx := asSystem(t)
	await := func(what string, change func()) {
		t.Helper()
		changed, stop := r.KindChanged("", "Config")
		defer stop()
		select {
		case <-changed:
			t.Fatalf("woken before it was %s", what)
		default:
		}
		change()
		select {
		case <-changed:
		case <-time.After(30 * time.Second):
			t.Fatalf("not told that it was %s", what)
		}
	}
	inForce := func(want ...string) {
		t.Helper()
		if got, err := r.InForce(ctx, "", "Config"); err != nil || !slices.Equal(got, want) {
			t.Fatalf("in force are %v, %v; want %v", got, err, want)
		}
	}
	inForce()
	await("drafted", func() { publish(t, r, release.Draft{Ref: config("b"), Content: []byte("1")}) })
	inForce()
	await("released", func() { publish(t, r, release.Draft{Ref: config("a"), Content: []byte("1"), Release: true}) })
	inForce("a")
	await("deleted", func() {
		if _, err := r.Delete(ctx, release.Step{Ref: config("a")}); err != nil {
			t.Fatal(err)
		}
	})
	inForce()
	if _, err := r.InForce(t.Context(), "", "Config"); err == nil {
		t.Error("nobody may ask")
	}
}
