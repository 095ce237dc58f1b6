package series_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"go.uber.org/goleak"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/signal/series"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lines is a log that tests read.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// open opens a store for a test, which closes it.
func open(t testing.TB, o series.Options) *series.Store {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	s, err := series.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func set(pairs ...string) labels.Labels { return labels.FromStrings(pairs...) }

// put appends one sample and commits.
func put(t testing.TB, s *series.Store, l labels.Labels, at time.Time, v float64) {
	t.Helper()
	a := s.Appender(context.Background())
	if _, err := a.Append(0, l, at.UnixMilli(), v); err != nil {
		t.Fatalf("append %s: %v", l, err)
	}
	if err := a.Commit(); err != nil {
		t.Fatal(err)
	}
}

func instant(t testing.TB, s *series.Store, query string, at time.Time) promql.Vector {
	t.Helper()
	v, _, err := s.Instant(context.Background(), query, at)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

// value is the one sample of a query.
func value(t testing.TB, s *series.Store, query string, at time.Time) float64 {
	t.Helper()
	v := instant(t, s, query, at)
	if len(v) != 1 {
		t.Fatalf("%s gives %d samples, want 1: %v", query, len(v), v)
	}
	return v[0].F
}

func wantFault(t testing.TB, err error, code fault.Code, reason string) {
	t.Helper()
	f, ok := fault.As(err)
	if !ok || f.Code != code || f.Reason != reason {
		t.Fatalf("got %v, want %s %q", err, code, reason)
	}
	if f.Hint == "" && code != fault.DeadlineExceeded {
		t.Errorf("%q has no hint", f.Message)
	}
}

func TestCountersHistogramsAndExemplars(t *testing.T) {
	s, now := open(t, series.Options{}), time.Now().Truncate(time.Second)
	requests := set("__name__", "requests_total", "namespace", "default", "service", "loan")
	duration := set("__name__", "request_duration_seconds", "namespace", "default", "service", "loan")
	for i := range 5 {
		at := now.Add(time.Duration(i-4) * time.Minute)
		a := s.Appender(context.Background())
		if _, err := a.Append(0, requests, at.UnixMilli(), float64(60*i)); err != nil {
			t.Fatal(err)
		}
		h := &histogram.Histogram{Schema: 0, Count: uint64(4 * (i + 1)), Sum: float64(6 * (i + 1)), ZeroThreshold: 1e-9,
			PositiveSpans: []histogram.Span{{Offset: 0, Length: 2}}, PositiveBuckets: []int64{int64(2 * (i + 1)), 0}}
		ref, err := a.AppendHistogram(0, duration, at.UnixMilli(), h, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.AppendExemplar(ref, duration, exemplar.Exemplar{Labels: set("trace_id", fmt.Sprintf("%032d", i)), Value: 1.5, Ts: at.UnixMilli(), HasTs: true}); err != nil {
			t.Fatal(err)
		}
		if err := a.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	if rate := value(t, s, `rate(requests_total{service="loan"}[4m])`, now); math.Abs(rate-1) > 0.01 {
		t.Errorf("rate is %v, want 1", rate)
	}
	if q := value(t, s, `histogram_quantile(0.5, request_duration_seconds)`, now); q <= 0.5 || q > 2 {
		t.Errorf("median is %v, want it within the buckets", q)
	}
	if n := value(t, s, `1 + 1`, now); n != 2 {
		t.Errorf("1 + 1 is %v", n)
	}
	matrix, _, err := s.Range(context.Background(), `request_duration_seconds`, now.Add(-4*time.Minute), now, time.Minute)
	if err != nil || len(matrix) != 1 || len(matrix[0].Histograms) != 5 || matrix[0].Histograms[4].H.Count != 20 {
		t.Fatalf("range of histograms: %v, %v", matrix, err)
	}
	q, err := s.In("default").ExemplarQuerier(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	found, err := q.Select(now.Add(-time.Hour).UnixMilli(), now.UnixMilli(), []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "service", "loan")})
	if err != nil || len(found) != 1 || len(found[0].Exemplars) != 5 {
		t.Fatalf("exemplars: %v, %v", found, err)
	}
}

func TestViewSeesOnlyItsNamespace(t *testing.T) {
	s, now := open(t, series.Options{}), time.Now()
	for i, namespace := range []string{"default", "staging", ""} {
		l := set("__name__", "up", "service", "loan")
		if namespace != "" {
			l = set("__name__", "up", "service", "loan", "namespace", namespace)
		}
		put(t, s, l, now, float64(i+1))
	}
	view := s.In("staging")
	for query, want := range map[string]float64{
		`sum(up)`:                                   2,
		`sum({__name__=~".+"})`:                     2,
		`sum(up{namespace=~".*"})`:                  2,
		`sum(up{namespace!=""} or up)`:              2,
		`sum(last_over_time(up[5m]))`:               2,
		`count(count by (namespace) (up))`:          1,
		`sum(up{namespace="default"}) or vector(9)`: 9,
		`sum(up{namespace=""}) or vector(9)`:        9,
	} {
		got, _, err := view.Instant(context.Background(), query, now)
		if err != nil || len(got) != 1 || got[0].F != want {
			t.Errorf("%s in staging: %v (%v), want %v", query, got, err, want)
		}
	}
	if got := value(t, s, `sum(up)`, now); got != 6 {
		t.Errorf("all namespaces: %v, want 6", got)
	}
	q, err := view.Querier(0, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	values, _, err := q.LabelValues(context.Background(), "namespace", nil)
	if err != nil || len(values) != 1 || values[0] != "staging" {
		t.Errorf("values of namespace: %v, %v", values, err)
	}
}

func TestSamplesOfTheFutureAndLateOnes(t *testing.T) {
	s, now := open(t, series.Options{}), time.Now()
	l := set("__name__", "loans", "namespace", "default")
	put(t, s, l, now, 3)
	put(t, s, l, now.Add(-9*time.Minute), 1) // late, and within the window
	a := s.Appender(context.Background())
	if _, err := a.Append(0, l, now.Add(24*time.Hour).UnixMilli(), 9); !errors.Is(err, storage.ErrOutOfBounds) {
		t.Errorf("a sample of tomorrow: %v, want it out of bounds", err)
	}
	if _, err := a.Append(0, l, now.Add(-time.Hour).UnixMilli(), 9); !errors.Is(err, storage.ErrTooOldSample) {
		t.Errorf("a sample of an hour ago: %v, want it too old", err)
	}
	if _, err := a.Append(0, l, now.Add(time.Second).UnixMilli(), 4); err != nil {
		t.Error(err)
	}
	if err := a.Commit(); err != nil {
		t.Fatal(err)
	}
	if got := value(t, s, `count_over_time(loans[10m])`, now.Add(2*time.Second)); got != 3 {
		t.Errorf("%v samples, want 3", got)
	}
	if drops := s.Whole().Drops(); len(drops) != 1 || drops[0].Reason != "future" || drops[0].Metric != "loans" {
		t.Errorf("dropped: %v", drops)
	}
}

func TestCardinalityIsBounded(t *testing.T) {
	var log lines
	registry := prometheus.NewRegistry()
	s, now := open(t, series.Options{Logger: log.logger(), Registerer: registry, Limits: series.Limits{Series: 40, NamespaceSeries: 30, NameSeries: 10}}), time.Now()
	flood := func(namespace, name string) (taken int) {
		a := s.Appender(context.Background())
		for i := range 20 {
			_, err := a.Append(0, set("__name__", name, "namespace", namespace, "endpoint", fmt.Sprint(i)), now.UnixMilli(), 1)
			if err == nil {
				taken++
				continue
			}
			wantFault(t, err, fault.TooLarge, err.(interface{ Unwrap() error }).Unwrap().(*fault.Error).Reason)
		}
		if err := a.Commit(); err != nil {
			t.Fatal(err)
		}
		return taken
	}
	for _, c := range []struct {
		namespace, name string
		want            int
	}{{"a", "x", 10}, {"a", "y", 10}, {"a", "z", 10}, {"a", "full", 0}, {"b", "x", 10}, {"b", "y", 0}} {
		if got := flood(c.namespace, c.name); got != c.want {
			t.Errorf("%s of %s: %d series taken, want %d", c.name, c.namespace, got, c.want)
		}
	}
	// What is there goes on.
	put(t, s, set("__name__", "x", "namespace", "a", "endpoint", "3"), now.Add(time.Second), 5)
	drops := map[string]string{}
	for _, d := range s.Whole().Drops() {
		drops[d.Namespace+"/"+d.Metric] = d.Reason
	}
	for metric, reason := range map[string]string{"a/x": "name_limit", "a/full": "namespace_limit", "b/y": "series_limit"} {
		if drops[metric] != reason {
			t.Errorf("%s was dropped for %q, want %q", metric, drops[metric], reason)
		}
	}
	if n := strings.Count(log.String(), "metric=full"); n != 1 {
		t.Errorf("the log names the metric %d times, want once:\n%s", n, log.String())
	}
	if got := testutil.ToFloat64(counter(t, registry, "gantry_series_dropped_samples_total", "reason", "name_limit")); got != 20 {
		t.Errorf("%v samples dropped by name, want 20", got)
	}
}

// counter is one counter of a registry, frozen.
func counter(t testing.TB, registry *prometheus.Registry, name, label, value string) prometheus.Collector {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == name && l.GetName() == label && l.GetValue() == value {
					c := prometheus.NewCounter(prometheus.CounterOpts{Name: "copy"})
					c.Add(m.GetCounter().GetValue())
					return c
				}
			}
		}
	}
	t.Fatalf("no %s{%s=%q}", name, label, value)
	return nil
}

func TestLabelsAreBounded(t *testing.T) {
	s, now := open(t, series.Options{Limits: series.Limits{Labels: 4}}), time.Now()
	for reason, l := range map[string]labels.Labels{
		"label_size":  set("__name__", "a", "statement", strings.Repeat("x", 3000)),
		"label_count": set("__name__", "a", "b", "1", "c", "2", "d", "3", "e", "4"),
		"encoding":    set("__name__", "a", "b", "\xff\xfe"),
	} {
		a := s.Appender(context.Background())
		_, err := a.Append(0, l, now.UnixMilli(), 1)
		if !errors.Is(err, storage.ErrOutOfBounds) {
			t.Errorf("%s: %v, want it refused", reason, err)
			continue
		}
		wantFault(t, err, fault.TooLarge, "series."+reason)
		if err := a.Rollback(); err != nil {
			t.Error(err)
		}
	}
}

func TestHistogramsWithTooManyBucketsAreMadeCoarser(t *testing.T) {
	s, now := open(t, series.Options{Limits: series.Limits{Buckets: 10}}), time.Now()
	buckets := make([]int64, 100)
	buckets[0] = 1
	h := &histogram.Histogram{Schema: 3, Count: 100, Sum: 500, PositiveSpans: []histogram.Span{{Length: 100}}, PositiveBuckets: buckets}
	l := set("__name__", "d", "namespace", "default")
	a := s.Appender(context.Background())
	if _, err := a.AppendHistogram(0, l, now.UnixMilli(), h, nil); err != nil {
		t.Fatal(err)
	}
	custom := &histogram.Histogram{Schema: histogram.CustomBucketsSchema, Count: 20, Sum: 1, PositiveSpans: []histogram.Span{{Length: 20}},
		PositiveBuckets: append([]int64{1}, make([]int64, 19)...)}
	for i := range 19 {
		custom.CustomValues = append(custom.CustomValues, float64(i))
	}
	if _, err := a.AppendHistogram(0, set("__name__", "e"), now.UnixMilli(), custom, nil); !errors.Is(err, storage.ErrOutOfBounds) {
		t.Errorf("20 buckets of its own: %v, want it refused", err)
	}
	if err := a.Commit(); err != nil {
		t.Fatal(err)
	}
	v := instant(t, s, "d", now)
	if len(v) != 1 || v[0].H == nil || v[0].H.Count != 100 || len(v[0].H.PositiveBuckets) > 10 {
		t.Errorf("kept: %v", v)
	}
	if len(h.PositiveBuckets) != 100 || h.Schema != 3 {
		t.Error("the caller's histogram was changed")
	}
}

func TestNothingIsTakenWhenTheDiskIsFull(t *testing.T) {
	var free atomic.Uint64
	free.Store(1 << 40)
	registry := prometheus.NewRegistry()
	s, now := open(t, series.Options{DiskFree: free.Load, Registerer: registry}), time.Now()
	l := set("__name__", "a", "namespace", "default")
	put(t, s, l, now, 1)
	free.Store(1 << 20)
	a := s.Appender(context.Background())
	_, err := a.Append(0, l, now.Add(time.Second).UnixMilli(), 2)
	wantFault(t, err, fault.Unavailable, "series.disk_full")
	if err := a.Rollback(); err != nil {
		t.Fatal(err)
	}
	if got := value(t, s, "a", now.Add(time.Second)); got != 1 {
		t.Errorf("the query answers %v, want 1", got)
	}
	if got := testutil.ToFloat64(counter(t, registry, "gantry_series_dropped_samples_total", "reason", "disk_full")); got != 1 {
		t.Errorf("%v samples dropped, want 1", got)
	}
	free.Store(1 << 40)
	put(t, s, l, now.Add(2*time.Second), 3)

	// It fills while samples are gathered.
	a = s.Appender(context.Background())
	if _, err := a.Append(0, l, now.Add(3*time.Second).UnixMilli(), 4); err != nil {
		t.Fatal(err)
	}
	free.Store(1 << 20)
	wantFault(t, a.Commit(), fault.Unavailable, "series.disk_full")
	if got := value(t, s, "a", now.Add(3*time.Second)); got != 3 {
		t.Errorf("the query answers %v, want 3", got)
	}
	free.Store(1 << 40)
	put(t, s, l, now.Add(4*time.Second), 5)
}

// copyOf copies the store's folder as it is on disk at this moment: what a process that is killed leaves.
func copyOf(t testing.TB, s *series.Store) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(s.Dir())); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestWhatIsCommittedIsThereAfterAKill(t *testing.T) {
	s, now := open(t, series.Options{}), time.Now()
	for i := range 300 {
		put(t, s, set("__name__", "a", "namespace", "default", "i", fmt.Sprint(i%10)), now.Add(time.Duration(i)*time.Millisecond), float64(i))
	}
	again := open(t, series.Options{Dir: copyOf(t, s), Limits: series.Limits{Series: 5}})
	if got := value(t, again, `sum(count_over_time(a[5m]))`, now.Add(time.Second)); got != 300 {
		t.Errorf("%v samples after the kill, want 300", got)
	}
	// Limits that have shrunk meanwhile do not keep what is there from being read.
	if p := again.Whole().Populations(1); len(p) != 1 || p[0].Series != 10 || p[0].Largest[0] != (series.NameCount{Name: "a", Series: 10}) {
		t.Errorf("populations: %v", p)
	}
}

func TestATornLogIsCut(t *testing.T) {
	s, now := open(t, series.Options{}), time.Now()
	l := set("__name__", "a", "namespace", "default")
	for i := range 200 {
		put(t, s, l, now.Add(time.Duration(i)*time.Millisecond), float64(i))
	}
	for name, tear := range map[string]func(t *testing.T, dir, segment string){
		"cut": func(t *testing.T, _, segment string) {
			if err := os.Truncate(segment, size(t, segment)-3); err != nil {
				t.Fatal(err)
			}
		},
		"overwritten": func(t *testing.T, _, segment string) { overwrite(t, segment, size(t, segment)/2) },
		"a checkpoint that is none": func(t *testing.T, dir, _ string) {
			checkpoint := filepath.Join(dir, "wal", "checkpoint.00000000")
			if err := os.Mkdir(checkpoint, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(checkpoint, "00000000"), []byte(strings.Repeat("nonsense", 10_000)), 0o644); err != nil {
				t.Fatal(err)
			}
			// A checkpoint stands for the segments up to its own; the next one must follow.
			if err := os.Rename(filepath.Join(dir, "wal", "00000000"), filepath.Join(dir, "wal", "00000001")); err != nil {
				t.Fatal(err)
			}
		},
		"late samples": func(t *testing.T, dir, _ string) {
			if err := os.WriteFile(filepath.Join(dir, "wbl", "00000000"), []byte(strings.Repeat("nonsense", 10_000)), 0o644); err != nil {
				t.Fatal(err)
			}
		},
		"begins late": func(t *testing.T, dir, segment string) {
			if err := os.Rename(segment, filepath.Join(dir, "wal", "00000007")); err != nil {
				t.Fatal(err)
			}
		},
		"a gap": func(t *testing.T, dir, _ string) {
			if err := os.WriteFile(filepath.Join(dir, "wal", "00000007"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		},
		"no folder": func(t *testing.T, dir, _ string) {
			if err := os.RemoveAll(filepath.Join(dir, "wal")); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "wal"), []byte("a file"), 0o644); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			var log lines
			dir := copyOf(t, s)
			tear(t, dir, filepath.Join(dir, "wal", "00000000"))
			again := open(t, series.Options{Dir: dir, Logger: log.logger()})
			put(t, again, l, now.Add(time.Second), 1000)
			if got := value(t, again, "a", now.Add(time.Second)); got != 1000 {
				t.Errorf("after the repair it answers %v", got)
			}
			// Only what is torn is lost.
			want := map[string]float64{"cut": 200, "overwritten": 2, "no folder": 1}[name]
			if want == 0 {
				want = 201
			}
			if left := value(t, again, "count_over_time(a[5m])", now.Add(time.Second)); left < want {
				t.Errorf("%v samples are left, want %v", left, want)
			}
			if name != "cut" && !strings.Contains(strings.ReplaceAll(log.String(), "lockfile", ""), "level=ERROR") && !strings.Contains(log.String(), "Starting corruption repair") {
				t.Errorf("the log says nothing of it:\n%s", log.String())
			}
		})
	}
}

func size(t testing.TB, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func overwrite(t testing.TB, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("nonsense nonsense"), at); err != nil {
		t.Fatal(err)
	}
}

func TestTwoStoresDoNotShareAFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := series.Open(series.Options{Dir: filepath.Join(file, "below")}); err == nil {
		s.Close()
		t.Error("a folder below a file was opened")
	}
}

func TestQueriesAreBounded(t *testing.T) {
	s, now := open(t, series.Options{Query: series.QueryLimits{Samples: 100}}), time.Now()
	a := s.Appender(context.Background())
	for i := range 150 {
		if _, err := a.Append(0, set("__name__", "a", "i", fmt.Sprint(i)), now.UnixMilli(), 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Commit(); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	_, _, err := s.Instant(ctx, "a", now)
	wantFault(t, err, fault.TooLarge, "query.too_large")
	_, _, err = s.Instant(ctx, "sum(", now)
	wantFault(t, err, fault.Invalid, "query.invalid")
	_, _, err = s.Instant(ctx, strings.Repeat("1+", 40_000)+"1", now)
	wantFault(t, err, fault.TooLarge, "query.too_large")
	_, _, err = s.Instant(ctx, "a[5m]", now)
	if code := fault.CodeOf(err); code != fault.Invalid && code != fault.TooLarge {
		t.Errorf("a range as an instant: %v", err)
	}
	_, _, err = s.Range(ctx, "1", now.Add(-24*time.Hour), now, time.Second)
	wantFault(t, err, fault.Invalid, "query.bad_range")
	_, _, err = s.Range(ctx, "1", now, now.Add(-time.Hour), time.Second)
	wantFault(t, err, fault.Invalid, "query.bad_range")
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	_, _, err = s.Instant(canceled, "sum(a)", now)
	wantFault(t, err, fault.DeadlineExceeded, "request.canceled")
}

func matcher(t testing.TB, name, value string) []*labels.Matcher {
	t.Helper()
	m, err := labels.NewMatcher(labels.MatchEqual, name, value)
	if err != nil {
		t.Fatal(err)
	}
	return []*labels.Matcher{m}
}

func TestClosingWaitsForWhoReads(t *testing.T) {
	s, now := open(t, series.Options{}), time.Now()
	put(t, s, set("__name__", "a", "namespace", "default"), now, 7)
	q, err := s.In("default").Querier(now.Add(-time.Minute).UnixMilli(), now.UnixMilli())
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	eventually(t, "new questions are refused", func() bool {
		_, _, err := s.Instant(context.Background(), "a", now)
		return fault.Is(err, fault.Unavailable)
	})
	set := q.Select(context.Background(), false, nil, matcher(t, "__name__", "a")...)
	if !set.Next() || set.Err() != nil {
		t.Errorf("what reads already finds nothing: %v", set.Err())
	}
	select {
	case err := <-closed:
		t.Errorf("the store closed under a reader: %v", err)
	default:
	}
	if err := errors.Join(q.Close(), <-closed); err != nil {
		t.Error(err)
	}
	if a := s.Appender(context.Background()); a == nil {
		t.Error("no appender")
	} else if _, err := a.Append(0, labels.FromStrings("__name__", "a"), now.UnixMilli(), 1); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a sample for a closed store: %v", err)
	}
}
