package red

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
)

// repeat is how often a series is written that did not change: often enough that PromQL, which looks back five minutes, never takes it for gone.
const repeat = time.Minute

// staleNaN is Prometheus's mark for a series that ended.
var staleNaN = math.Float64frombits(value.StaleNaN)

// Flush gives up spans that waited too long, and writes what was counted since the last time. Figures that could not be written are written
// with the next flush: they are cumulative.
func (r *Room) Flush(ctx context.Context) error {
	r.flushing.Lock()
	defer r.flushing.Unlock()
	begun := time.Now()
	defer func() { r.figures.flush.Observe(time.Since(begun).Seconds()) }()
	now := r.clock()
	r.expire(now)
	f := &flush{room: r, now: now.UnixMilli()}
	if r.appendable != nil {
		f.to = r.appendable.Appender(ctx)
	}
	ended := r.sweep(now)
	kept := 0
	for _, n := range r.all() {
		all, counters := n.everything()
		kept += len(all) + len(counters)
		for _, s := range all {
			f.series(s)
		}
		for _, c := range counters {
			f.counter(c)
		}
		if over := r.minute.Load(); minuteOf(now) > over {
			for _, s := range all {
				s.turnMinute(over)
			}
			n.ranking.turn(minuteOf(now))
		}
	}
	r.turn(now)
	for _, s := range ended {
		f.end(s)
	}
	r.figures.series.Set(float64(kept))
	r.lastFlush.Store(f.now)
	return f.commit()
}

// turn begins a minute, if it is time: what is counted from here on belongs to it.
func (r *Room) turn(now time.Time) {
	minute := minuteOf(now)
	if minute <= r.minute.Load() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.minute.Store(minute)
	r.seams[minute] = now.UnixMilli()
	for old := range r.seams {
		if old <= minute-keptMinutes {
			delete(r.seams, old)
		}
	}
}

// seam is the first minute since another one that memory knows from its beginning, and when that was.
func (r *Room) seam(since int64) (minute, at int64) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	minute = r.minute.Load()
	for known := range r.seams {
		if known >= since && known < minute {
			minute = known
		}
	}
	return minute, r.seams[minute]
}

func (r *Room) all() []*namespace {
	r.mu.RLock()
	defer r.mu.RUnlock()
	all := make([]*namespace, 0, len(r.namespaces))
	for _, n := range r.namespaces {
		all = append(all, n)
	}
	return all
}

// generation is the longest time that one generation of identities lasts: an exporter that gave up for longer has lost its batch.
const generation = 5 * time.Minute

// expire gives up spans whose partner did not come, in all shards.
func (r *Room) expire(now time.Time) {
	var found []meeting
	waiting, evicted := 0, uint64(0)
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		found = s.pairs.expire(now.Add(-r.limits.Wait).UnixMilli(), found[:0])
		waiting += s.pairs.alone.length
		evicted += s.pairs.evicted
		s.pairs.evicted = 0
		if now.UnixMilli()-s.recent.turned > generation.Milliseconds() {
			s.recent.turn(now.UnixMilli())
		}
		s.mu.Unlock()
		for j := range found {
			record(&found[j], now.UnixMilli())
		}
	}
	r.figures.waiting.Set(float64(waiting))
	r.figures.evicted.Add(float64(evicted))
}

// everything lists all series of a namespace.
func (n *namespace) everything() (all []*series, counters []*counter) {
	add := func(o *outcomes) {
		for i := range o {
			if s := o[i].Load(); s != nil {
				all = append(all, s)
			}
		}
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	for _, s := range n.services {
		s.mu.RLock()
		for _, endpoints := range s.endpoints {
			for _, e := range endpoints {
				add(&e.outcomes)
			}
		}
		for _, i := range s.instances {
			add(&i.outcomes)
		}
		for _, c := range s.codes {
			counters = append(counters, c)
		}
		s.mu.RUnlock()
	}
	for _, e := range n.edges {
		add(&e.outcomes)
	}
	return all, counters
}

// flush is one writing of all series.
type flush struct {
	room    *Room
	to      storage.Appender // nil without a store
	now     int64            // milliseconds
	refused int
	because error
	// written are marked when the store has them.
	written  []*series
	counters []*counter
}

// series writes one histogram, if it changed or is due to be repeated.
func (f *flush) series(s *series) {
	due := f.to != nil && (s.written == 0 || f.now-s.written >= repeat.Milliseconds())
	_, total, shown := s.gather(f.now, due)
	if shown.at != 0 {
		s.exported = shown
	}
	if f.to == nil || total.total == 0 {
		return
	}
	h := total.native()
	if !s.started {
		// The zero from which the first count rose: without it, rate() would never see what came before the first sample.
		if ref, err := f.to.AppendHistogramSTZeroSample(s.ref, s.labels, f.now, min(s.began, f.now-1), h, nil); err == nil {
			s.ref = ref
		}
	}
	ref, err := f.to.AppendHistogram(s.ref, s.labels, f.now, h, nil)
	if err != nil {
		f.refuse(err)
		return
	}
	s.ref = ref
	f.written = append(f.written, s)
	if s.exported.at != 0 {
		// A store without room for exemplars says so each time: that is no failure.
		_, _ = f.to.AppendExemplar(s.ref, s.labels, exemplar.Exemplar{Labels: labels.FromStrings("trace_id", s.exported.trace.String()),
			Value: float64(s.exported.duration) / 1e9, Ts: min(s.exported.at, f.now), HasTs: true})
		s.exported = exemplarOf{}
	}
}

// counter writes one code of errors.
func (f *flush) counter(c *counter) {
	count := c.value.Load()
	if f.to == nil || count == c.last && c.written != 0 && f.now-c.written < repeat.Milliseconds() {
		return
	}
	if !c.started {
		if ref, err := f.to.AppendSTZeroSample(c.ref, c.labels, f.now, min(c.began, f.now-1)); err == nil {
			c.ref = ref
		}
	}
	ref, err := f.to.Append(c.ref, c.labels, f.now, float64(count))
	if err != nil {
		f.refuse(err)
		return
	}
	c.ref, c.last = ref, count
	f.counters = append(f.counters, c)
}

// ended is what was forgotten and is marked as ended.
type ended struct {
	labels    labels.Labels
	ref       storage.SeriesRef
	histogram bool
}

func (f *flush) end(e ended) {
	if f.to == nil {
		return
	}
	if e.histogram {
		_, _ = f.to.AppendHistogram(e.ref, e.labels, f.now, &histogram.Histogram{Sum: staleNaN}, nil)
	} else {
		_, _ = f.to.Append(e.ref, e.labels, f.now, staleNaN)
	}
}

func (f *flush) refuse(err error) {
	f.refused++
	if f.because == nil {
		f.because = err
	}
}

// commit makes the samples durable. Only then are they written for good.
func (f *flush) commit() error {
	if f.to == nil {
		return nil
	}
	if err := f.to.Commit(); err != nil {
		f.room.figures.failures.Inc()
		return err
	}
	for _, s := range f.written {
		s.started, s.written = true, f.now
	}
	for _, c := range f.counters {
		c.started, c.written = true, f.now
	}
	if f.refused > 0 {
		f.room.figures.failures.Add(float64(f.refused))
		if !errors.Is(f.because, storage.ErrOutOfOrderSample) && !errors.Is(f.because, storage.ErrDuplicateSampleForTimestamp) {
			return f.because
		}
	}
	return nil
}

// sweepEvery is how often idle things are looked for.
const sweepEvery = time.Minute

// sweep forgets what nobody observed for the idle time, and answers the series that end with it.
func (r *Room) sweep(now time.Time) []ended {
	if now.UnixMilli()-r.swept < sweepEvery.Milliseconds() {
		return nil
	}
	r.swept = now.UnixMilli()
	before := now.Add(-r.limits.Idle).UnixMilli()
	var gone []ended
	for _, n := range r.all() {
		gone = n.sweep(before, now.Add(-2*r.limits.Idle).UnixMilli(), gone)
		n.mu.RLock()
		empty := len(n.services) == 0 && len(n.edges) == 0 && len(n.names) == 0 && len(n.lanes) == 0
		n.mu.RUnlock()
		if empty {
			r.mu.Lock()
			delete(r.namespaces, n.name)
			r.mu.Unlock()
		}
	}
	return gone
}

// sweep forgets what was not observed since a time. Names stay longer than edges and waiting spans, which hold them.
func (n *namespace) sweep(before, beforeNames int64, gone []ended) []ended {
	n.mu.Lock()
	defer n.mu.Unlock()
	for key, s := range n.services {
		gone = s.sweep(before, gone)
		// An observer that holds the service has just touched it.
		if s.touched.Load() < before && len(s.endpoints[0])+len(s.endpoints[1])+len(s.instances)+len(s.codes) == 0 {
			delete(n.services, key)
		}
	}
	for key, e := range n.edges {
		if forgotten, ok := e.forget(before); ok {
			delete(n.edges, key)
			if key.lane != nil {
				n.laned--
			}
			gone = endedOf(forgotten, gone)
		}
	}
	for key, name := range n.names {
		if name.used.Load() < beforeNames && n.services[key] == nil {
			delete(n.names, key)
		}
	}
	for key, name := range n.lanes {
		if name.used.Load() < beforeNames {
			delete(n.lanes, key)
		}
	}
	for key, e := range n.excesses {
		if e.Last.UnixMilli() < before {
			delete(n.excesses, key)
		}
	}
	return gone
}

func (s *service) sweep(before int64, gone []ended) []ended {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, endpoints := range s.endpoints {
		for key, e := range endpoints {
			if forgotten, ok := e.forget(before); ok {
				delete(endpoints, key)
				gone = endedOf(forgotten, gone)
			}
		}
	}
	for key, i := range s.instances {
		if i.touched.Load() >= before {
			continue
		}
		if forgotten, ok := i.forget(before); ok {
			delete(s.instances, key)
			gone = endedOf(forgotten, gone)
		}
	}
	for key, c := range s.codes {
		if c.touched.Load() < before {
			delete(s.codes, key)
			gone = append(gone, ended{labels: c.labels, ref: c.ref})
		}
	}
	return gone
}

func endedOf(all []*series, gone []ended) []ended {
	for _, s := range all {
		if s.started {
			gone = append(gone, ended{labels: s.labels, ref: s.ref, histogram: true})
		}
	}
	return gone
}
