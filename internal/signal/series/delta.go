package series

import (
	"fmt"
	"hash/maphash"
	"math"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// Delta temporality, which some SDKs are set to, tells what was counted since the last export. PromQL wants totals, so a total is kept here for each series
// and grows by each delta (https://opentelemetry.io/docs/specs/otel/metrics/data-model/#sums-delta-to-cumulative). What is added are the samples that
// Prometheus's translation makes: counters, sums and buckets are numbers, and native histograms add up in any resolution.
//
// The total belongs to the node, because a delta reaches one node alone: the label node keeps those of several nodes apart, as with Gantry's own series,
// and sum by over rate() is right whichever node each delta came to.
//
//   - A series that is met begins at the start time of its first delta, with a zero there, so that what the first one counts is seen by increase().
//   - A gap, or an overlap, is added all the same. A gap loses nothing that was sent; an overlap means that several processes share an identity, and their sum is what
//     PromQL would be asked for. Only the order in time must hold: a delta that ends before the total's last one cannot be placed, and is refused as late.
//   - The same interval again is what an exporter repeats when an answer got lost: it counts once, without a complaint.
//   - A total that got no delta for [deltaMemory] is forgotten, as all are when the process ends. The next one begins anew, which PromQL takes for the restart of a
//     counter.
type deltas struct {
	most  int
	seeds [2]maphash.Seed

	// mu is held from the first sample of a request until it is committed or not: what is not written must not count, or a sender that tries again
	// would count twice.
	mu     sync.Mutex
	totals map[deltaKey]*total
	bytes  []byte
}

// deltaMemory is how long a total waits for its next delta: twelve times what OpenTelemetry's SDKs leave between two, for counters that rarely count.
const deltaMemory = time.Hour

// mostAhead is how many milliseconds samples may run ahead of deltas that follow each other faster than the TSDB's clock ticks.
const mostAhead = 1000

// nodeLabel is the Gantry node that worked a series out.
const nodeLabel = "node"

// targetInfo is the series of a resource's attributes, which counts nothing.
const targetInfo = "target_info"

// deltaKey is a series' labels, hashed twice with seeds that no sender knows.
type deltaKey [2]uint64

// total is what the deltas of a series sum up to. It is never changed: the TSDB holds on to its histogram.
type total struct {
	value     float64
	histogram *histogram.FloatHistogram
	// start and end are the interval of the newest delta in milliseconds, and last is the time of the newest sample; seen is when it came.
	start, end, last int64
	seen             time.Time
}

func newDeltas(most int) *deltas {
	return &deltas{most: most, seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, totals: map[deltaKey]*total{}}
}

func (d *deltas) size() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.totals)
}

// forget drops totals that nothing was added to since then.
func (d *deltas) forget(since time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, t := range d.totals {
		if t.seen.Before(since) {
			delete(d.totals, key)
		}
	}
}

// keyOf needs the lock: it uses the buffer.
func (d *deltas) keyOf(l labels.Labels) deltaKey {
	d.bytes = l.Bytes(d.bytes[:0])
	return deltaKey{maphash.Bytes(d.seeds[0], d.bytes), maphash.Bytes(d.seeds[1], d.bytes)}
}

// accumulator is one request's use of the totals, with the lock held.
type accumulator struct {
	*deltas
	node    string
	staged  map[deltaKey]*total
	added   int
	builder *labels.Builder
}

// accumulate begins a request. The caller holds the lock until it is over.
func (d *deltas) accumulate(node string) *accumulator {
	return &accumulator{deltas: d, node: node, staged: map[deltaKey]*total{}, builder: labels.NewBuilder(labels.EmptyLabels())}
}

// keep makes what is written count.
func (a *accumulator) keep() {
	for key, t := range a.staged {
		a.totals[key] = t
	}
}

// own gives a series its node.
func (a *accumulator) own(l labels.Labels) labels.Labels {
	a.builder.Reset(l)
	if there := l.Get(nodeLabel); there != "" && there != a.node {
		a.builder.Set(exportedPrefix+nodeLabel, there)
	}
	return a.builder.Set(nodeLabel, a.node).Labels()
}

// append adds a delta to its total, and appends that. Refused deltas are told to the inlet.
func (a *accumulator) append(to *otlpAppender, l labels.Labels, start, at int64, v float64, h *histogram.Histogram, opts storage.AppendV2Options) (storage.SeriesRef, error) {
	l = a.own(l)
	key := a.keyOf(to.own(l))
	before, here := a.staged[key]
	if !here {
		before = a.totals[key]
	}
	switch {
	case before == nil && len(a.totals)+a.added >= a.most:
		to.inlet.refused(to.drop(l, refuse(reasonDeltaSeries, "%d series of deltas are summed up already", "raise --metrics-delta-series, or send cumulative", a.most)))
		return 0, nil
	case before != nil && !here && start == before.start && at == before.end:
		to.store.metrics.dropped(reasonDuplicate, 1)
		return 0, nil
	}
	end := at
	if before != nil && at <= before.last && start >= before.end && before.last-at < mostAhead {
		at = before.last + 1 // a flush within the millisecond of another one, as at the end of a process
	}
	if before != nil && at <= before.last {
		to.inlet.refused(to.drop(l, refuse(reasonLate, "a delta ends %s before the last one of its series", "give each process its service.instance.id",
			time.Duration(before.last-at)*time.Millisecond)))
		return 0, nil
	}
	next, err := a.sum(to, l, before, v, h)
	if err != nil {
		to.inlet.refused(err)
		return 0, nil
	}
	next.start, next.end, next.last, next.seen = start, end, at, to.now
	if before == nil {
		a.zero(to, l, next)
	}
	ref, err := to.inletAppender.Append(0, l, start, at, next.value, nil, next.histogram, opts)
	if err != nil || ref == 0 {
		return ref, err // it was refused, and the inlet knows
	}
	if before == nil {
		a.added++
	}
	a.staged[key] = next
	return ref, nil
}

// sum is a total with a delta more.
func (a *accumulator) sum(to *otlpAppender, l labels.Labels, before *total, v float64, h *histogram.Histogram) (*total, error) {
	if h == nil {
		if before != nil && before.histogram == nil {
			v += before.value
		}
		return &total{value: v}, nil
	}
	if err := h.Validate(); err != nil { // before it can spoil the total
		return nil, to.outcome(l, err)
	}
	sum := h.ToFloat(nil)
	if before != nil && before.histogram != nil {
		all := before.histogram.Copy()
		if _, _, _, err := all.Add(sum); err != nil {
			return nil, to.outcome(l, err)
		}
		sum = all.Compact(0)
	}
	_, sum, err := to.fit(l, nil, sum)
	if err != nil {
		return nil, err
	}
	return &total{histogram: sum}, nil
}

// zero appends where a total begins. It is a help and no more: where the series has newer samples already it is left out.
func (a *accumulator) zero(to *otlpAppender, l labels.Labels, t *total) {
	at := t.start + 1 // the total before a restart may have its last sample at the start itself
	if t.start <= 0 || at >= t.last || at < to.now.Add(-oldest).UnixMilli() {
		return
	}
	var empty *histogram.FloatHistogram
	if t.histogram != nil {
		empty = &histogram.FloatHistogram{Schema: t.histogram.Schema, ZeroThreshold: t.histogram.ZeroThreshold}
	}
	_, _ = to.inner.Append(0, to.own(l), 0, at, 0, nil, empty, storage.AppendV2Options{}) // an error is counted with the delta's own
}

// takeDelta moves a metric of delta temporality to those that are summed up. What cannot be is refused.
func (s *sieve) takeDelta(m pmetric.Metric) {
	name := shorten(m.Name())
	invalid := 0
	switch m.Type() {
	case pmetric.MetricTypeSum:
		points := m.Sum().DataPoints()
		if !m.Sum().IsMonotonic() {
			// It is a level, and what it was before the first delta is in nobody's memory but the sender's.
			s.drop(points.Len(), reasonDelta, fmt.Sprintf("metric %s is a delta of what goes up and down: set OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=cumulative, or delta, which leaves it cumulative", name))
			return
		}
		sift(s, m, points.RemoveIf)
		points.RemoveIf(func(p pmetric.NumberDataPoint) bool {
			v := p.DoubleValue()
			if p.ValueType() == pmetric.NumberDataPointValueTypeInt {
				v = float64(p.IntValue())
			}
			return unusable(p.Flags(), v < 0 || !finite(v), &invalid)
		})
		points.Sort(func(a, b pmetric.NumberDataPoint) bool { return a.Timestamp() < b.Timestamp() })
		m.Sum().SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	case pmetric.MetricTypeHistogram:
		points := m.Histogram().DataPoints()
		sift(s, m, points.RemoveIf)
		points.RemoveIf(func(p pmetric.HistogramDataPoint) bool { return unusable(p.Flags(), !finite(p.Sum()), &invalid) })
		points.Sort(func(a, b pmetric.HistogramDataPoint) bool { return a.Timestamp() < b.Timestamp() })
		m.Histogram().SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	case pmetric.MetricTypeExponentialHistogram:
		points := m.ExponentialHistogram().DataPoints()
		sift(s, m, points.RemoveIf)
		points.RemoveIf(func(p pmetric.ExponentialHistogramDataPoint) bool {
			return unusable(p.Flags(), !finite(p.Sum()), &invalid)
		})
		points.Sort(func(a, b pmetric.ExponentialHistogramDataPoint) bool { return a.Timestamp() < b.Timestamp() })
		m.ExponentialHistogram().SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	}
	s.drop(invalid, reasonInvalid, fmt.Sprintf("metric %s has deltas that are negative or no number", name))
	m.MoveTo(s.scope().AppendEmpty())
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// unusable tells whether a delta cannot be added: it says that nothing was recorded, or its value is wrong, which is counted.
func unusable(flags pmetric.DataPointFlags, wrong bool, invalid *int) bool {
	if flags.NoRecordedValue() {
		return true
	}
	if wrong {
		*invalid++
	}
	return wrong
}
