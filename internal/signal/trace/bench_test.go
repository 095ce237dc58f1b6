package trace_test

import (
	"testing"

	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/trace"
)

// BenchmarkBlock makes blocks of 60,000 spans from memory.
func BenchmarkBlock(b *testing.B) {
	f := newFleet(1, noon)
	var batches []*signal.Batch
	spans := 0
	for spans < 60_000 {
		var some []span
		for range 80 {
			some = append(some, f.trace()...)
		}
		one := batch(b, "default", noon, some)
		batches, spans = append(batches, one), spans+len(one.Spans)
	}
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		s := open(b, trace.Options{Dir: b.TempDir()})
		for _, one := range batches {
			write(b, s, one)
		}
		b.StartTimer()
		flush(b, s)
		b.StopTimer()
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(spans)*float64(b.N)/b.Elapsed().Seconds(), "spans/s")
}
