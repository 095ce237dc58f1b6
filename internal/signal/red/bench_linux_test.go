package red_test

import (
	"fmt"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/red"
)

// threadTime is what this thread has used of a processor: on a busy machine it says more than a clock does.
func threadTime(b *testing.B) int64 {
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &used); err != nil {
		b.Fatal(err)
	}
	return used.Utime.Nano() + used.Stime.Nano()
}

func BenchmarkObserve(b *testing.B) {
	c := newClock()
	room := newRoom(b, red.Options{Clock: c.Now})
	f := newFleet(1, c.Now())
	for len(f.traces) < 100 { // few, so that they are as near as spans are that were just decoded
		f.generate()
	}
	var all []signal.Span
	for _, trace := range f.traces {
		all = append(all, trace...)
	}
	for i := range all { // as many attributes as real spans have
		for len(all[i].Attributes) < 10 {
			all[i].Attributes = append(all[i].Attributes, text(fmt.Sprint("app.attribute.", len(all[i].Attributes)), "value"))
		}
	}
	const size = 512
	b.ReportAllocs()
	b.ResetTimer()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	begun := threadTime(b)
	defer func() { b.ReportMetric(float64(threadTime(b)-begun)/float64(b.N), "cpu-ns/op") }()
	spans := 0
	for round := 0; spans < b.N; round++ {
		for at := 0; at+size <= len(all) && spans < b.N; at += size {
			batch := all[at : at+size]
			for i := range batch { // new identities, so that none is a duplicate
				batch[i].TraceID[0], batch[i].TraceID[1], batch[i].TraceID[9] = byte(round), byte(round>>8), batch[i].TraceID[9]+1
			}
			room.Observe(environment, c.Now(), batch)
			spans += size
		}
	}
}
