package keyvalue_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/gantry-platform/gantry/internal/release"
	"github.com/gantry-platform/gantry/internal/release/keyvalue"
)

func BenchmarkSet(b *testing.B) {
	n, ctx := open(b), asSystem(b)
	var worker, count atomic.Int64
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		name := fmt.Sprint("k", worker.Add(1))
		for pb.Next() {
			n.must(b, ctx, set(name, fmt.Sprint(count.Add(1))))
		}
	})
}

func BenchmarkLockAndUnlock(b *testing.B) {
	n, ctx := open(b), asSystem(b)
	var worker atomic.Int64
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		s, name := n.session(b, ctx, keyvalue.Session{}), fmt.Sprint("k", worker.Add(1))
		for pb.Next() {
			n.must(b, ctx, lock(name, "x", s.ID))
			n.must(b, ctx, unlock(name, "x", s.ID))
		}
	})
}

func BenchmarkGet(b *testing.B) {
	n, ctx := open(b), asSystem(b)
	n.must(b, ctx, set("k", "value"))
	b.ReportAllocs()
	for b.Loop() {
		n.get(b, ctx, "k")
	}
}

// A change while 20,000 wait, each for a prefix of its own.
func BenchmarkSetWhileManyWaitForOthers(b *testing.B) {
	n, ctx := open(b), asSystem(b)
	for i := range 20_000 {
		_, stop := n.keys.Changed(release.Scope{Namespace: "default", Name: fmt.Sprintf("others/%05d/", i), Below: true})
		defer stop()
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		n.must(b, ctx, set("k", fmt.Sprint(i)))
	}
}
