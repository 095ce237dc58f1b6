package release_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/gantry-platform/gantry/internal/release"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// BenchmarkWanted is the question of which version a subject gets, during a rollout by label and percentage.
func BenchmarkWanted(b *testing.B) {
	r := open(b, release.Options{})
	ref := config("x")
	released(b, r, ref, "old")
	publish(b, r, release.Draft{Ref: ref, Content: []byte("new")})
	chosen := &gantryv1.Cohort{Labels: map[string]string{"zone": "a"}, Percent: pointer(50.0)}
	if _, err := r.Release(asSystem(b), release.Step{Ref: ref}, 2, chosen); err != nil {
		b.Fatal(err)
	}
	subject := instance("10.0.0.1:8080", map[string]string{"zone": "a", "version": "1.2.3"})
	b.ReportAllocs()
	for b.Loop() {
		r.Wanted(ref, &subject)
	}
}

// BenchmarkResolve is the same with the encoded event.
func BenchmarkResolve(b *testing.B) {
	r := open(b, release.Options{})
	ref := config("x")
	released(b, r, ref, "content")
	ctx := asSystem(b)
	subject := instance("10.0.0.1:8080", nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Resolve(ctx, ref, subject); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPublish stores and releases a small version, durable but for the disk's own cache.
func BenchmarkPublish(b *testing.B) {
	r := open(b, release.Options{})
	ctx := asSystem(b)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		if _, err := r.Publish(ctx, release.Draft{Ref: config("x"), Format: "text", Content: fmt.Appendf(nil, "%d", n), Release: true}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReleaseToAThousandWatchers is a release until the last of 1,000 watchers has the event.
func BenchmarkReleaseToAThousandWatchers(b *testing.B) {
	const watchers = 1000
	r := open(b, release.Options{})
	ref := config("x")
	released(b, r, ref, "0")
	publish(b, r, release.Draft{Ref: ref, Content: []byte("1")})
	ctx, stop := context.WithCancel(asSystem(b))
	var readers, told sync.WaitGroup
	told.Add(watchers)
	for i := range watchers {
		w, err := r.Watch(ctx, instance(fmt.Sprint(i), nil))
		if err != nil {
			b.Fatal(err)
		}
		if err := w.Add(ref); err != nil {
			b.Fatal(err)
		}
		readers.Go(func() {
			defer w.Close()
			for {
				frames, err := w.Next(ctx)
				if err != nil {
					return
				}
				for range frames {
					told.Done()
				}
			}
		})
	}
	told.Wait()
	b.ReportAllocs()
	n := int64(0)
	for b.Loop() {
		told.Add(watchers)
		n++
		if _, err := r.Release(ctx, release.Step{Ref: ref}, n%2+1, nil); err != nil {
			b.Fatal(err)
		}
		told.Wait()
	}
	b.StopTimer()
	stop()
	readers.Wait()
}
