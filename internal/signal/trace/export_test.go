package trace

import (
	"time"

	"github.com/gantry-platform/gantry/internal/signal"
)

// ErrClosed is what a closed store answers.
var ErrClosed = errClosed

// Compact and Retain are what upkeep does each minute.
func (s *Store) Compact() error { return s.compact() }

// Retain is the other part.
func (s *Store) Retain() { s.retain() }

// Matches tells whether a span meets a query, by the definition.
func Matches(q signal.TraceQuery, now time.Time, span *signal.Span) bool {
	if q.Until.IsZero() {
		q.Until = now
	}
	if q.Since.IsZero() {
		q.Since = q.Until.Add(-signal.DefaultWindow)
	}
	return matches(&q, span)
}
