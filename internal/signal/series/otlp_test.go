package series_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/signal/series"
)

// otlp is a request of one resource whose metrics a function makes.
func otlp(now time.Time, fill func(pmetric.MetricSlice, pcommon.Timestamp)) pmetric.Metrics {
	metrics := pmetric.NewMetrics()
	resource := metrics.ResourceMetrics().AppendEmpty()
	resource.Resource().Attributes().PutStr("service.name", "loan")
	resource.Resource().Attributes().PutStr("service.instance.id", "i-1")
	resource.Resource().Attributes().PutStr("service.version", "v7")
	resource.Resource().Attributes().PutStr("host.name", "h")
	fill(resource.ScopeMetrics().AppendEmpty().Metrics(), pcommon.NewTimestampFromTime(now))
	return metrics
}

func everyKind(all pmetric.MetricSlice, at pcommon.Timestamp) {
	gauge := all.AppendEmpty()
	gauge.SetName("queue.depth")
	gauge.SetDescription("Loans that wait.")
	p := gauge.SetEmptyGauge().DataPoints().AppendEmpty()
	p.SetTimestamp(at)
	p.SetIntValue(7)
	p.Attributes().PutStr("namespace", "kube")
	p.Attributes().PutStr("service", "other")

	sum := all.AppendEmpty()
	sum.SetName("loans.granted")
	s := sum.SetEmptySum()
	s.SetIsMonotonic(true)
	s.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	p = s.DataPoints().AppendEmpty()
	p.SetTimestamp(at)
	p.SetDoubleValue(3)

	explicit := all.AppendEmpty()
	explicit.SetName("http.server.request.duration")
	explicit.SetUnit("s")
	h := explicit.SetEmptyHistogram()
	h.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	hp := h.DataPoints().AppendEmpty()
	hp.SetTimestamp(at)
	hp.ExplicitBounds().FromRaw([]float64{0.1, 1})
	hp.BucketCounts().FromRaw([]uint64{1, 2, 3})
	hp.SetCount(6)
	hp.SetSum(9)
	e := hp.Exemplars().AppendEmpty()
	e.SetTimestamp(at)
	e.SetDoubleValue(0.5)
	e.SetTraceID(pcommon.TraceID{1})

	exponential := all.AppendEmpty()
	exponential.SetName("db.duration")
	exponential.SetUnit("ms")
	x := exponential.SetEmptyExponentialHistogram()
	x.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	xp := x.DataPoints().AppendEmpty()
	xp.SetTimestamp(at)
	xp.SetScale(3)
	xp.Positive().BucketCounts().FromRaw([]uint64{2, 3})
	xp.SetCount(5)
	xp.SetSum(8)

	summary := all.AppendEmpty()
	summary.SetName("gc")
	q := summary.SetEmptySummary().DataPoints().AppendEmpty()
	q.SetTimestamp(at)
	q.SetCount(4)
	q.SetSum(2)
	v := q.QuantileValues().AppendEmpty()
	v.SetQuantile(0.5)
	v.SetValue(0.4)
}

func TestMetricsOfOpenTelemetry(t *testing.T) {
	s, now := open(t, series.Options{}), time.Now()
	rejected, why, err := s.WriteOTLP(context.Background(), "staging", otlp(now, everyKind))
	if err != nil || rejected != 0 {
		t.Fatalf("%d rejected, %q, %v", rejected, why, err)
	}
	for query, want := range map[string]float64{
		`queue_depth{namespace="staging",exported_namespace="kube",service="loan",exported_service="other",job="loan",instance="i-1"}`: 7,
		`loans_granted_total{namespace="staging",service="loan",instance="i-1",service_name=""}`:                                       3,
		`http_server_request_duration_seconds_bucket{le="1.0"} or http_server_request_duration_seconds_bucket{le="1"}`:                 3,
		`http_server_request_duration_seconds_sum{service="loan"}`:                                                                     9,
		`histogram_count(db_duration_milliseconds{service="loan"})`:                                                                    5,
		`gc{quantile="0.5"}`: 0.4,
		`gc_count`:           4,
		`target_info{namespace="staging",service="loan",service_version="v7",host_name="h"}`: 1,
	} {
		if got := value(t, s, query, now); got != want {
			t.Errorf("%s is %v, want %v", query, got, want)
		}
	}
	for _, family := range s.In("staging").Families() {
		if family.Name == "queue_depth" && (family.Help != "Loans that wait." || family.Type != "gauge") {
			t.Errorf("meaning: %+v", family)
		}
	}
	exemplars, err := s.Whole().ExemplarQuerier(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	found, err := exemplars.Select(0, now.Add(time.Hour).UnixMilli(), matcher(t, "__name__", "http_server_request_duration_seconds_bucket"))
	if err != nil || len(found) != 1 || found[0].Exemplars[0].Labels.Get("trace_id") != "01000000000000000000000000000000" {
		t.Errorf("exemplars: %v, %v", found, err)
	}
}

func TestMetricsThatCannotBeTaken(t *testing.T) {
	var free atomic.Uint64
	free.Store(1 << 40)
	s, now := open(t, series.Options{DiskFree: free.Load, Limits: series.Limits{NameSeries: 3}}), time.Now()
	gauge := func(all pmetric.MetricSlice, name string) pmetric.NumberDataPoint {
		m := all.AppendEmpty()
		m.SetName(name)
		return m.SetEmptyGauge().DataPoints().AppendEmpty()
	}
	started := time.Now()
	rejected, why, err := s.WriteOTLP(context.Background(), "default", otlp(now, func(all pmetric.MetricSlice, at pcommon.Timestamp) {
		gauge(all, "fine").SetTimestamp(at)
		gauge(all, "no.time")
		gauge(all, "tomorrow").SetTimestamp(pcommon.NewTimestampFromTime(now.Add(24 * time.Hour)))
		delta := all.AppendEmpty()
		delta.SetName("delta")
		sum := delta.SetEmptySum()
		sum.SetAggregationTemporality(pmetric.AggregationTemporalityUnspecified)
		sum.DataPoints().AppendEmpty().SetTimestamp(at)
		sum.DataPoints().AppendEmpty().SetTimestamp(at)
		flood := all.AppendEmpty()
		flood.SetName("flood")
		points := flood.SetEmptyGauge().DataPoints()
		for i := range 5 {
			p := points.AppendEmpty()
			p.SetTimestamp(at)
			p.Attributes().PutInt("i", int64(i))
		}
		all.AppendEmpty().SetName("nothing")
		gauge(all, "also.fine").SetTimestamp(at)
	}))
	if err != nil || rejected != 6 || !strings.Contains(why, "cumulative") || !strings.Contains(why, "no.time") {
		t.Errorf("%d rejected (%q), %v; want 6", rejected, why, err)
	}
	if took := time.Since(started); took > 10*time.Second {
		t.Errorf("a point without a time costs %s", took)
	}
	if got := value(t, s, `count({__name__=~"fine|also_fine|flood"})`, now); got != 5 {
		t.Errorf("%v series are kept, want 5", got)
	}
	free.Store(0)
	_, _, err = s.WriteOTLP(context.Background(), "default", otlp(now.Add(time.Second), everyKind))
	wantFault(t, err, fault.Unavailable, "series.disk_full")
	free.Store(1 << 40)
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := s.WriteOTLP(canceled, "default", otlp(now.Add(time.Second), everyKind)); err == nil {
		t.Error("a canceled request was taken")
	}
	if v := instant(t, s, "queue_depth", now.Add(time.Minute)); len(v) != 0 {
		t.Errorf("something of what failed is kept: %v", v)
	}
}

func FuzzOTLP(f *testing.F) {
	now := time.Now()
	encoded, err := (&pmetric.ProtoMarshaler{}).MarshalMetrics(otlp(now, everyKind))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(encoded)
	if encoded, err = (&pmetric.ProtoMarshaler{}).MarshalMetrics(delta(now.Add(-time.Second), now, 3)); err != nil {
		f.Fatal(err)
	}
	f.Add(encoded)
	s := open(f, series.Options{Limits: series.Limits{Series: 1000}})
	f.Fuzz(func(t *testing.T, request []byte) {
		metrics, err := (&pmetric.ProtoUnmarshaler{}).UnmarshalMetrics(request)
		if err != nil {
			return
		}
		points := metrics.DataPointCount()
		if _, _, err := s.WriteOTLP(context.Background(), "default", metrics); err != nil {
			t.Errorf("%d points: %v", points, err)
		}
	})
}
