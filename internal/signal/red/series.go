package red

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/gantry-platform/gantry/internal/signal"
)

// keptMinutes are kept in memory, so that the topology of the recent hour is seconds fresh and needs no store.
const keptMinutes = 60

// series is one histogram that senders fill: what came since the last flush, everything since the process began, and the recent minutes.
type series struct {
	mu sync.Mutex
	// fresh is what came since the last flush: all that the hot path touches.
	fresh durations
	// gone: the series was forgotten, and its owner must be looked up again.
	gone     bool
	exemplar exemplarOf

	total  durations
	minute durations
	// minutes are packed, oldest first.
	minutes []packedMinute
	touched int64 // when it was last observed, in milliseconds

	// The rest belongs to the goroutine that flushes.
	labels   labels.Labels
	ref      storage.SeriesRef
	began    int64 // the time of its zero, in milliseconds
	started  bool  // the zero was written
	written  int64 // when it was last written, in milliseconds
	exported exemplarOf
}

type packedMinute struct {
	minute int64 // since 1970
	data   []byte
}

// exemplarOf is a trace that shows what a series counts.
type exemplarOf struct {
	trace    signal.TraceID
	duration int64 // nanoseconds
	at       int64 // milliseconds
}

// observe counts one span. It answers false when the series was forgotten meanwhile.
func (s *series) observe(duration int64, trace signal.TraceID, failed bool, arrived int64) bool {
	s.mu.Lock()
	if s.gone {
		s.mu.Unlock()
		return false
	}
	s.fresh.observe(duration)
	// The latest failed call, or the slowest since the last flush.
	if failed || duration >= s.exemplar.duration {
		s.exemplar = exemplarOf{trace: trace, duration: duration, at: arrived}
	}
	s.mu.Unlock()
	return true
}

// gather moves what is fresh to the totals. It answers whether anything was, with a copy of what is to be written, if there is something or it is due anyway.
func (s *series) gather(now int64, due bool) (changed bool, total durations, exemplar exemplarOf) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fresh.total > 0 {
		changed = true
		s.touched = now
		s.total.merge(&s.fresh)
		s.minute.merge(&s.fresh)
		s.fresh.reset()
	}
	exemplar, s.exemplar = s.exemplar, exemplarOf{}
	if changed || due {
		total = s.total.copy()
	}
	return changed, total, exemplar
}

// turnMinute packs a minute that is over, and drops those that are too old.
func (s *series) turnMinute(over int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.minute.total > 0 {
		s.minutes = append(s.minutes, packedMinute{minute: over, data: s.minute.pack()})
		s.minute = durations{} // an idle series keeps no window
	}
	drop := 0
	for drop < len(s.minutes) && s.minutes[drop].minute <= over-keptMinutes {
		drop++
	}
	if drop > 0 {
		s.minutes = append([]packedMinute(nil), s.minutes[drop:]...)
	}
}

// within adds what was observed in the minutes from since until before until; the minute that is not over counts as current.
func (s *series) within(since, until, current int64, to *durations) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.minutes {
		if m.minute >= since && m.minute < until {
			to.addPacked(m.data)
		}
	}
	if current >= since && current < until {
		to.merge(&s.minute)
		to.merge(&s.fresh)
	}
}

// forget marks the series as gone if nothing was observed since a time.
func (s *series) forget(before int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fresh.total > 0 || s.touched >= before {
		return false
	}
	s.gone = true
	return true
}

// outcomes are the series of one thing, one an outcome. They appear when they are needed.
type outcomes [3]atomic.Pointer[series]

// observe counts a span; named makes the labels of a series that is new.
func (r *Room) observe(o *outcomes, owner labelled, outcome signal.Outcome, duration int64, trace signal.TraceID, arrived int64) bool {
	if int(outcome) >= len(o) {
		outcome = signal.Failed
	}
	s := o[outcome].Load()
	if s == nil {
		fresh := &series{labels: owner.labels(r.node, outcome), began: r.lastFlush.Load(), touched: arrived}
		if !o[outcome].CompareAndSwap(nil, fresh) {
			fresh = o[outcome].Load()
		}
		s = fresh
	}
	return s.observe(duration, trace, outcome == signal.Failed, arrived)
}

// labelled makes the labels of its series.
type labelled interface {
	labels(node string, outcome signal.Outcome) labels.Labels
}

// forget marks all series as gone, if none of them was observed since a time.
func (o *outcomes) forget(before int64) (gone []*series, ok bool) {
	for i := range o {
		if s := o[i].Load(); s != nil {
			if !s.forget(before) {
				// Those that are marked come back: nobody but the caller has seen the mark, who holds the owner's lock, or an observer, who tries again.
				for _, g := range gone {
					g.revive()
				}
				return nil, false
			}
			gone = append(gone, s)
		}
	}
	return gone, true
}

func (s *series) revive() {
	s.mu.Lock()
	s.gone = false
	s.mu.Unlock()
}

// minuteOf is the minute of a time, since 1970.
func minuteOf(t time.Time) int64 { return t.Unix() / 60 }
