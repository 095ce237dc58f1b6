package load

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gantry-platform/gantry/examples/lending/service"
)

// maxKept bounds the durations that a window keeps for its percentiles: at 1000 a second, a minute's.
const maxKept = 60_000

// Window is what was seen in a stretch of time.
type Window struct {
	Length                   time.Duration
	Granted, Refused, Failed int
	// P50 and P99 are how long half, and 99 in 100, of the applications took at most. Zero when there were none.
	P50, P99 time.Duration
	// LastError is why the last failed, if one did.
	LastError error
}

// String is the window as a line.
func (w Window) String() string {
	total := w.Granted + w.Refused + w.Failed
	line := fmt.Sprintf("%5.1f/s   granted %3d   refused %3d   failed %3d   p50 %4d ms   p99 %4d ms", float64(total)/w.Length.Seconds(), w.Granted,
		w.Refused, w.Failed, w.P50.Milliseconds(), w.P99.Milliseconds())
	if w.LastError != nil {
		line += "   " + shorten(w.LastError.Error())
	}
	return line
}

// shorten keeps an error on its line.
func shorten(text string) string {
	const most = 160
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "..."
	}
	return text
}

// Tally counts results, in windows and in all. It is safe for concurrent use.
type Tally struct {
	mu    sync.Mutex
	began time.Time
	now   Window
	took  []time.Duration
	total Window
	start time.Time
}

// NewTally starts the first window.
func NewTally(now time.Time) *Tally { return &Tally{began: now, start: now} }

// Add counts a result.
func (t *Tally) Add(result Result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, w := range []*Window{&t.now, &t.total} {
		switch result.Outcome {
		case service.Success:
			w.Granted++
		case service.Refused:
			w.Refused++
		default:
			w.Failed++
			w.LastError = result.Err
		}
	}
	if len(t.took) < maxKept {
		t.took = append(t.took, result.Took)
	}
}

// Turn ends the window, and starts another.
func (t *Tally) Turn(now time.Time) Window {
	t.mu.Lock()
	defer t.mu.Unlock()
	window := t.now
	window.Length = now.Sub(t.began)
	slices.Sort(t.took)
	window.P50, window.P99 = percentile(t.took, 50), percentile(t.took, 99)
	t.began, t.now, t.took = now, Window{}, t.took[:0]
	return window
}

// Total is what was seen in all, without percentiles.
func (t *Tally) Total(now time.Time) Window {
	t.mu.Lock()
	defer t.mu.Unlock()
	total := t.total
	total.Length = now.Sub(t.start)
	return total
}

// percentile is the nearest rank of sorted durations.
func percentile(sorted []time.Duration, percent int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := (len(sorted)*percent + 99) / 100
	return sorted[rank-1]
}

// Conclude writes a summary, and returns [ErrUnwell] when something failed or nothing was granted.
func (t *Tally) Conclude(out io.Writer, now time.Time) error {
	total := t.Total(now)
	fmt.Fprintf(out, "in all: %d loans granted, %d refused, %d failed in %s\n", total.Granted, total.Refused, total.Failed, total.Length.Round(time.Second))
	switch {
	case total.Failed > 0:
		return fmt.Errorf("%w: %d applications failed, the last one with: %s", ErrUnwell, total.Failed, shorten(total.LastError.Error()))
	case total.Granted == 0:
		return fmt.Errorf("%w: no loan was granted", ErrUnwell)
	}
	return nil
}
