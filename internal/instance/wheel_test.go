package instance

import (
	"testing"

	"pgregory.net/rapid"
)

type firing struct{ fired int }

func (f *firing) fire(*Registry) { f.fired++ }

// TestWheelFiresOnTime holds the wheel against a plain map of due times.
func TestWheelFiresOnTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWheel()
		timers := make([]*timer, 20)
		for n := range timers {
			timers[n] = &timer{target: new(firing)}
		}
		due := map[*timer]int64{}
		for range rapid.IntRange(1, 60).Draw(t, "operations") {
			chosen := timers[rapid.IntRange(0, len(timers)-1).Draw(t, "timer")]
			switch rapid.SampledFrom([]string{"schedule", "cancel", "step", "step"}).Draw(t, "operation") {
			case "schedule":
				at := w.now + rapid.SampledFrom([]int64{-5, 0, 1, 63, 64, 65, 200, 4095, 4096, 5000, 300_000}).Draw(t, "ahead")
				w.schedule(chosen, at)
				due[chosen] = max(at, w.now+1)
			case "cancel":
				w.cancel(chosen)
				delete(due, chosen)
			case "step":
				for range rapid.SampledFrom([]int{1, 3, 64, 700, 5000}).Draw(t, "ticks") {
					fired := map[*timer]bool{}
					for _, timer := range w.step(nil) {
						fired[timer] = true
						if due[timer] != w.now {
							t.Fatalf("fired at %d, due at %d", w.now, due[timer])
						}
						delete(due, timer)
					}
					for timer, at := range due {
						if at <= w.now && !fired[timer] {
							t.Fatalf("not fired at %d though due at %d", w.now, at)
						}
					}
				}
			}
		}
	})
}

func BenchmarkWheel(b *testing.B) {
	w := newWheel()
	timers := make([]timer, 100_000)
	for n := range timers {
		timers[n].target = new(firing)
		w.schedule(&timers[n], int64(n%1500))
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		w.schedule(&timers[n%len(timers)], w.now+150)
		n++
	}
}
