package instance

import "time"

// Clock is the registry's sense of time. Tests bring their own.
type Clock interface {
	// Now is the wall clock, for the stamps that people read.
	Now() time.Time
	// Elapsed is monotonic time since a fixed moment.
	Elapsed() time.Duration
	// Ticks delivers about every d until stop is called; ticks that nobody takes may be dropped.
	Ticks(d time.Duration) (ticks <-chan time.Time, stop func())
}

type systemClock struct{ start time.Time }

func (c systemClock) Now() time.Time         { return time.Now() }
func (c systemClock) Elapsed() time.Duration { return time.Since(c.start) }
func (c systemClock) Ticks(d time.Duration) (<-chan time.Time, func()) {
	ticker := time.NewTicker(d)
	return ticker.C, ticker.Stop
}
