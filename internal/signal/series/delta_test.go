package series_test

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"pgregory.net/rapid"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/signal/series"
)

func stamp(t time.Time) pcommon.Timestamp { return pcommon.NewTimestampFromTime(t) }

// counted adds a point of a sum to a request.
func counted(all pmetric.MetricSlice, name string, temporality pmetric.AggregationTemporality, start, end time.Time, v int64) pmetric.NumberDataPoint {
	m := all.AppendEmpty()
	m.SetName(name)
	sum := m.SetEmptySum()
	sum.SetIsMonotonic(true)
	sum.SetAggregationTemporality(temporality)
	p := sum.DataPoints().AppendEmpty()
	p.SetStartTimestamp(stamp(start))
	p.SetTimestamp(stamp(end))
	p.SetIntValue(v)
	return p
}

// delta is a request with one delta of the counter "loans".
func delta(start, end time.Time, v int64) pmetric.Metrics {
	return otlp(end, func(all pmetric.MetricSlice, _ pcommon.Timestamp) {
		counted(all, "loans", pmetric.AggregationTemporalityDelta, start, end, v)
	})
}

// take writes a request of which nothing may be refused.
func take(t testing.TB, s *series.Store, metrics pmetric.Metrics) {
	t.Helper()
	if rejected, why, err := s.WriteOTLP(context.Background(), "default", metrics); err != nil || rejected != 0 {
		t.Fatalf("%d rejected, %q, %v", rejected, why, err)
	}
}

func TestDeltasBecomeTotals(t *testing.T) {
	s := open(t, series.Options{Node: "n1"})
	begin := time.Now().Add(-time.Minute)
	for i := range 3 {
		start, end := begin.Add(time.Duration(i)*10*time.Second), begin.Add(time.Duration(i+1)*10*time.Second)
		metrics := otlp(end, func(all pmetric.MetricSlice, at pcommon.Timestamp) {
			everyKind(all, at)
			for _, m := range all.All() {
				switch m.Type() {
				case pmetric.MetricTypeSum:
					m.Sum().SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
					m.Sum().DataPoints().At(0).SetStartTimestamp(stamp(start))
					m.Sum().DataPoints().At(0).Attributes().PutStr("node", "kube-7")
				case pmetric.MetricTypeHistogram:
					m.Histogram().SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
					m.Histogram().DataPoints().At(0).SetStartTimestamp(stamp(start))
				case pmetric.MetricTypeExponentialHistogram:
					m.ExponentialHistogram().SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
					m.ExponentialHistogram().DataPoints().At(0).SetStartTimestamp(stamp(start))
				}
			}
		})
		take(t, s, metrics)
	}
	now := begin.Add(30 * time.Second)
	for query, want := range map[string]float64{
		`loans_granted_total{namespace="default",service="loan",instance="i-1",node="n1",exported_node="kube-7"}`:                          9,
		`http_server_request_duration_seconds_bucket{node="n1",le="1.0"} or http_server_request_duration_seconds_bucket{node="n1",le="1"}`: 9,
		`http_server_request_duration_seconds_count{node="n1"}`:                                                                            18,
		`http_server_request_duration_seconds_sum`:                                                                                         27,
		`histogram_count(db_duration_milliseconds{node="n1"})`:                                                                             15,
		`histogram_sum(db_duration_milliseconds)`:                                                                                          24,
		// What is no delta stays what it is.
		`queue_depth{node=""}`: 7,
		`gc_count{node=""}`:    4,
		`target_info{node=""}`: 1,
		// The first delta is seen too: a total begins with zero.
		`sum(last_over_time(loans_granted_total[1m])) - sum(first_over_time(loans_granted_total[1m]))`: 9,
	} {
		if got := value(t, s, query, now); got != want {
			t.Errorf("%s is %v, want %v", query, got, want)
		}
	}
}

func TestDeltasInTime(t *testing.T) {
	registry := prometheus.NewRegistry()
	s := open(t, series.Options{Node: "n1", Registerer: registry})
	begin := time.Now().Add(-10 * time.Minute).Truncate(time.Millisecond)
	at := func(seconds int) time.Time { return begin.Add(time.Duration(seconds) * time.Second) }
	total := func(seconds int, want float64) {
		t.Helper()
		if got := value(t, s, "loans_total", at(seconds)); got != want {
			t.Errorf("the total is %v, want %v", got, want)
		}
	}
	take(t, s, delta(at(0), at(10), 5))
	take(t, s, delta(at(10), at(20), 7))
	total(20, 12)
	// The same again, as after an answer that got lost.
	take(t, s, delta(at(10), at(20), 7))
	total(20, 12)
	// A gap, and an overlap, lose nothing.
	take(t, s, delta(at(60), at(70), 1))
	take(t, s, delta(at(65), at(80), 2))
	total(80, 15)
	// What ends before the last one cannot be placed.
	rejected, why, err := s.WriteOTLP(context.Background(), "default", delta(at(20), at(30), 100))
	if err != nil || rejected != 1 || !strings.Contains(why, "service.instance.id") {
		t.Errorf("a late delta: %d rejected, %q, %v", rejected, why, err)
	}
	take(t, s, delta(at(80), at(90), 1))
	total(90, 16)
	// A flush within the millisecond of another one; and again.
	soon := at(90).Add(300 * time.Microsecond)
	take(t, s, delta(at(90), soon, 4))
	take(t, s, delta(at(90), soon, 4))
	total(91, 20)
	take(t, s, delta(soon, at(100), 1))
	total(100, 21)
	if got := testutil.ToFloat64(counter(t, registry, "gantry_series_dropped_samples_total", "reason", "duplicate")); got != 2 {
		t.Errorf("%v duplicates", got)
	}
	if got := value(t, s, "increase(loans_total[80s]) > 0", at(90)); math.IsNaN(got) {
		t.Error("no increase")
	}
}

func TestDeltasThatCannotBeAdded(t *testing.T) {
	s := open(t, series.Options{})
	begin := time.Now().Add(-time.Minute)
	end := begin.Add(10 * time.Second)
	rejected, why, err := s.WriteOTLP(context.Background(), "default", otlp(end, func(all pmetric.MetricSlice, at pcommon.Timestamp) {
		counted(all, "good", pmetric.AggregationTemporalityDelta, begin, end, 1)
		counted(all, "negative", pmetric.AggregationTemporalityDelta, begin, end, -1)
		counted(all, "no.number", pmetric.AggregationTemporalityDelta, begin, end, 1).SetDoubleValue(math.NaN())
		counted(all, "endless", pmetric.AggregationTemporalityDelta, begin, end, 1).SetDoubleValue(math.Inf(1))
		counted(all, "unspecified", pmetric.AggregationTemporalityUnspecified, begin, end, 1)
		counted(all, "nothing.recorded", pmetric.AggregationTemporalityDelta, begin, end, 1).SetFlags(pmetric.DefaultDataPointFlags.WithNoRecordedValue(true))
		counted(all, "level", pmetric.AggregationTemporalityDelta, begin, end, 1)
		all.At(all.Len() - 1).Sum().SetIsMonotonic(false)
		broken := all.AppendEmpty()
		broken.SetName("broken")
		broken.SetEmptyExponentialHistogram().SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
		p := broken.ExponentialHistogram().DataPoints().AppendEmpty()
		p.SetTimestamp(at)
		p.SetCount(1)
		p.Positive().BucketCounts().FromRaw([]uint64{5})
	}))
	if err != nil || rejected != 6 || why == "" {
		t.Errorf("%d rejected, %q, %v; want 6", rejected, why, err)
	}
	if got := value(t, s, `count({__name__=~"good_total|negative_total|no_number_total|endless_total|unspecified_total|nothing_recorded_total|level|broken"})`, end); got != 1 {
		t.Errorf("%v series", got)
	}
}

func TestTotalsAreBounded(t *testing.T) {
	var mu sync.Mutex
	now := time.Now()
	clock := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}
	registry := prometheus.NewRegistry()
	s := open(t, series.Options{Node: "n1", Limits: series.Limits{Deltas: 3}, Now: clock, Upkeep: 5 * time.Millisecond, Registerer: registry})
	flood := func(end time.Time, n int) pmetric.Metrics {
		return otlp(end, func(all pmetric.MetricSlice, _ pcommon.Timestamp) {
			for i := range n {
				counted(all, "loans", pmetric.AggregationTemporalityDelta, end.Add(-time.Second), end, 2).Attributes().PutInt("i", int64(i))
			}
		})
	}
	begin := now
	rejected, why, err := s.WriteOTLP(context.Background(), "default", flood(begin, 5))
	if err != nil || rejected != 2 || !strings.Contains(why, "--metrics-delta-series") {
		t.Fatalf("%d rejected, %q, %v", rejected, why, err)
	}
	take(t, s, flood(begin.Add(time.Second), 3))
	if got := value(t, s, "sum(loans_total)", begin.Add(time.Second)); got != 12 {
		t.Errorf("the totals are %v", got)
	}
	// An hour without deltas later there is room for others.
	mu.Lock()
	now = now.Add(61 * time.Minute)
	mu.Unlock()
	deadline := time.Now().Add(10 * time.Second)
	for gathered(t, registry, "gantry_series_delta_totals") != 0 {
		if time.Now().After(deadline) {
			t.Fatal("the totals are never forgotten")
		}
	}
	take(t, s, flood(begin.Add(61*time.Minute), 1))
	if got := value(t, s, "sum(loans_total)", begin.Add(61*time.Minute)); got != 2 {
		t.Errorf("the new total is %v", got)
	}
}

func gathered(t *testing.T, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no %s", name)
	return 0
}

// TestDeltasOfAFailedRequestDoNotCount fills the disk between the samples and their commit: the sender tries again, and its delta counts once.
func TestDeltasOfAFailedRequestDoNotCount(t *testing.T) {
	var looks, full atomic.Int64
	s := open(t, series.Options{DiskFree: func() uint64 {
		if full.Load() > 0 && looks.Add(1) > full.Load() {
			return 0
		}
		return 1 << 40
	}})
	begin := time.Now().Add(-time.Minute)
	take(t, s, delta(begin, begin.Add(time.Second), 5))
	failed := 0
	for look := int64(1); ; look++ {
		looks.Store(0)
		full.Store(look) // so many looks at the disk find room
		_, _, err := s.WriteOTLP(context.Background(), "default", delta(begin.Add(time.Second), begin.Add(2*time.Second), 7))
		full.Store(0)
		if err == nil {
			break
		}
		wantFault(t, err, fault.Unavailable, "series.disk_full")
		failed++
	}
	if failed < 2 {
		t.Errorf("only %d requests failed, so nothing was shown", failed)
	}
	if got := value(t, s, "loans_total", begin.Add(2*time.Second)); got != 12 {
		t.Errorf("the total is %v, want 12", got)
	}
}

// TestDeltasToSeveralNodes sends the deltas of one stream to two nodes in turn: each keeps what it got, and a query sums them.
func TestDeltasToSeveralNodes(t *testing.T) {
	other := open(t, series.Options{Node: "n2"})
	s := open(t, series.Options{Node: "n1", Peers: neighbours{"n2": other}})
	begin := time.Now().Add(-time.Minute)
	for i := range 20 {
		start := begin.Add(time.Duration(i) * time.Second)
		take(t, []*series.Store{s, other}[i%2], delta(start, start.Add(time.Second), int64(i)))
	}
	end := begin.Add(20 * time.Second)
	for query, want := range map[string]float64{`sum(loans_total)`: 190, `loans_total{node="n1"}`: 90, `loans_total{node="n2"}`: 100} {
		if got := value(t, s, query, end); got != want {
			t.Errorf("%s is %v, want %v", query, got, want)
		}
	}
}

func TestDeltasOfManySendersAtOnce(t *testing.T) {
	s := open(t, series.Options{Node: "n1"})
	begin := time.Now().Add(-2 * time.Minute)
	const senders, rounds = 8, 40
	var all sync.WaitGroup
	for sender := range senders {
		all.Go(func() {
			for i := range rounds {
				start := begin.Add(time.Duration(i) * time.Second)
				for range 2 { // each is sent twice
					metrics := otlp(start, func(all pmetric.MetricSlice, _ pcommon.Timestamp) {
						counted(all, "loans", pmetric.AggregationTemporalityDelta, start, start.Add(time.Second), 3).Attributes().PutInt("sender", int64(sender))
					})
					if rejected, why, err := s.WriteOTLP(context.Background(), "default", metrics); err != nil || rejected > 0 {
						t.Errorf("%d rejected, %q, %v", rejected, why, err)
					}
				}
			}
		})
	}
	all.Wait()
	if got := value(t, s, "sum(loans_total)", begin.Add(rounds*time.Second)); got != senders*rounds*3 {
		t.Errorf("the totals are %v", got)
	}
}

// stream is a cumulative stream: what was counted by each step, in numbers and in buckets.
type stream struct {
	counts   []int64
	explicit [][]uint64
	powers   []map[int32]uint64
}

// TestAnySplitHasTheSameTotal cuts a cumulative stream into deltas at any steps, sends them in any groups, and compares with the cumulative stream itself.
func TestAnySplitHasTheSameTotal(outer *testing.T) {
	s := open(outer, series.Options{Node: "n1"})
	var runs int
	rapid.Check(outer, func(t *rapid.T) {
		runs++
		steps := rapid.IntRange(1, 12).Draw(t, "steps")
		var c stream
		for i := range steps {
			c.counts = append(c.counts, rapid.Int64Range(0, 1000).Draw(t, fmt.Sprint("count", i)))
			c.explicit = append(c.explicit, rapid.SliceOfN(rapid.Uint64Range(0, 5), 4, 4).Draw(t, fmt.Sprint("buckets", i)))
			c.powers = append(c.powers, rapid.MapOfN(rapid.Int32Range(-20, 40), rapid.Uint64Range(1, 9), 0, 6).Draw(t, fmt.Sprint("powers", i)))
		}
		begin := time.Now().Add(-5 * time.Minute)
		at := func(step int) time.Time { return begin.Add(time.Duration(step) * time.Second) }
		instance := fmt.Sprint(runs)
		request := func() (pmetric.Metrics, pmetric.MetricSlice) {
			metrics := pmetric.NewMetrics()
			resource := metrics.ResourceMetrics().AppendEmpty()
			resource.Resource().Attributes().PutStr("service.name", "loan")
			resource.Resource().Attributes().PutStr("service.instance.id", instance)
			return metrics, resource.ScopeMetrics().AppendEmpty().Metrics()
		}
		write := func(metrics pmetric.Metrics) {
			if rejected, why, err := s.WriteOTLP(context.Background(), "default", metrics); err != nil || rejected > 0 {
				t.Fatalf("%d rejected, %q, %v", rejected, why, err)
			}
		}
		// The cumulative stream at its end.
		metrics, slice := request()
		c.point(slice, "whole", pmetric.AggregationTemporalityCumulative, 0, steps, at)
		write(metrics)
		// Deltas between some of the steps, several to a request, the points of a request in any order.
		metrics, slice = request()
		for from := 0; from < steps; {
			to := rapid.IntRange(from+1, steps).Draw(t, "to")
			c.point(slice, "split", pmetric.AggregationTemporalityDelta, from, to, at)
			if from = to; from == steps || rapid.Bool().Draw(t, "send") {
				write(shuffled(t, metrics))
				metrics, slice = request()
			}
		}
		for _, name := range []string{"total", "seconds_bucket", "seconds_sum", "seconds_count"} {
			query := fmt.Sprintf(`sum by (le) (whole_%[1]s{instance="%[2]s"}) != sum by (le) (split_%[1]s{instance="%[2]s"})`, name, instance)
			if found := instant(outer, s, query, at(steps)); len(found) != 0 {
				t.Errorf("%s: %v", query, found)
			}
			query = fmt.Sprintf(`count(whole_%[1]s{instance="%[2]s"} and ignoring(node) split_%[1]s)`, name, instance)
			if found := instant(outer, s, query, at(steps)); len(found) != 1 {
				t.Errorf("%s: nothing", query)
			}
		}
		whole := instant(outer, s, fmt.Sprintf(`whole_size{instance="%s"}`, instance), at(steps))
		split := instant(outer, s, fmt.Sprintf(`split_size{instance="%s"}`, instance), at(steps))
		if len(whole) != 1 || len(split) != 1 || !whole[0].H.Copy().Compact(0).Equals(split[0].H.Copy().Compact(0)) {
			t.Errorf("the histogram is %v, want %v", split, whole)
		}
	})
}

// point adds what was counted between two steps, of every kind.
func (c *stream) point(all pmetric.MetricSlice, name string, temporality pmetric.AggregationTemporality, from, to int, at func(int) time.Time) {
	var count int64
	explicit, powers := make([]uint64, 4), map[int32]uint64{}
	var observed uint64
	for i := from; i < to; i++ {
		count += c.counts[i]
		for b, n := range c.explicit[i] {
			explicit[b] += n
			observed += n
		}
		for b, n := range c.powers[i] {
			powers[b] += n
		}
	}
	counted(all, name, temporality, at(from), at(to), count)

	m := all.AppendEmpty()
	m.SetName(name)
	m.SetUnit("s")
	m.SetEmptyHistogram().SetAggregationTemporality(temporality)
	p := m.Histogram().DataPoints().AppendEmpty()
	p.SetStartTimestamp(stamp(at(from)))
	p.SetTimestamp(stamp(at(to)))
	p.ExplicitBounds().FromRaw([]float64{1, 2, 3})
	p.BucketCounts().FromRaw(explicit)
	p.SetCount(observed)
	p.SetSum(float64(2 * observed))

	x := all.AppendEmpty()
	x.SetName(name + ".size")
	x.SetEmptyExponentialHistogram().SetAggregationTemporality(temporality)
	e := x.ExponentialHistogram().DataPoints().AppendEmpty()
	e.SetStartTimestamp(stamp(at(from)))
	e.SetTimestamp(stamp(at(to)))
	e.SetScale(2)
	if len(powers) > 0 {
		offsets := slices.Sorted(maps.Keys(powers))
		e.Positive().SetOffset(offsets[0])
		buckets := make([]uint64, offsets[len(offsets)-1]-offsets[0]+1)
		var n uint64
		for offset, count := range powers {
			buckets[offset-offsets[0]] = count
			n += count
		}
		e.Positive().BucketCounts().FromRaw(buckets)
		e.SetCount(n)
		e.SetSum(float64(3 * n))
	}
}

// shuffled puts points of one metric into one metric, in any order.
func shuffled(t *rapid.T, metrics pmetric.Metrics) pmetric.Metrics {
	all := metrics.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics()
	byKind := map[pmetric.MetricType][]pmetric.Metric{}
	for _, m := range all.All() {
		byKind[m.Type()] = append(byKind[m.Type()], m)
	}
	out := pmetric.NewMetrics()
	resource := out.ResourceMetrics().AppendEmpty()
	metrics.ResourceMetrics().At(0).Resource().CopyTo(resource.Resource())
	target := resource.ScopeMetrics().AppendEmpty().Metrics()
	for _, kind := range []pmetric.MetricType{pmetric.MetricTypeSum, pmetric.MetricTypeHistogram, pmetric.MetricTypeExponentialHistogram} {
		same := rapid.Permutation(byKind[kind]).Draw(t, kind.String())
		into := target.AppendEmpty()
		same[0].CopyTo(into)
		for _, m := range same[1:] {
			switch kind {
			case pmetric.MetricTypeSum:
				m.Sum().DataPoints().At(0).CopyTo(into.Sum().DataPoints().AppendEmpty())
			case pmetric.MetricTypeHistogram:
				m.Histogram().DataPoints().At(0).CopyTo(into.Histogram().DataPoints().AppendEmpty())
			default:
				m.ExponentialHistogram().DataPoints().At(0).CopyTo(into.ExponentialHistogram().DataPoints().AppendEmpty())
			}
		}
	}
	return out
}
