package clickhouse_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/clickhouse"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// engine is the URL of a ClickHouse whose user "default" may everything and has no password: see conformance/clickhouse, which runs these tests with one.
func engine(t testing.TB) string {
	t.Helper()
	address := strings.TrimSuffix(os.Getenv("GANTRY_TEST_CLICKHOUSE"), "/")
	if address == "" {
		t.Skip("GANTRY_TEST_CLICKHOUSE names no ClickHouse; go test in conformance/clickhouse runs this test with one")
	}
	return address
}

// sql runs a statement outside the store.
func sql(t testing.TB, database, statement string) string {
	t.Helper()
	response, err := http.Post(engine(t)+"/?database="+database, "text/plain", strings.NewReader(statement))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v: %s", statement, response.Status, err, answer)
	}
	return strings.TrimSpace(string(answer))
}

func newDatabase(t testing.TB) string {
	t.Helper()
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	name := "gantry_" + strings.ToLower(rand.Text())
	sql(t, "default", "CREATE DATABASE "+name)
	t.Cleanup(func() { sql(t, "default", "DROP DATABASE "+name) })
	return name
}

func open(t testing.TB, options clickhouse.Options) *clickhouse.Store {
	t.Helper()
	if options.Wait == 0 {
		options.Wait = 30 * time.Second
	}
	if options.Linger == 0 {
		options.Linger = time.Millisecond
	}
	s, err := clickhouse.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// onEngine opens a store in a database of its own.
func onEngine(t testing.TB) (*clickhouse.Store, string) {
	t.Helper()
	database := newDatabase(t)
	return open(t, clickhouse.Options{URL: engine(t) + "/" + database}), database
}

// moment is when the spans of a test are: now, so that the retention leaves them.
func moment() time.Time { return time.Now().Truncate(time.Second).Add(-10 * time.Second) }

func TestWhatIsWrittenIsRead(t *testing.T) {
	s, database := onEngine(t)
	now := moment()
	f := newFleet(1, now)
	var batches []*signal.Batch
	for range 20 {
		spans := f.trace()
		// A trace comes in two requests, the later part first.
		for _, part := range [][]signal.Span{spans[3:], spans[:3]} {
			b := batch("default", now, part...)
			batches = append(batches, b)
			write(t, s, b)
		}
	}
	check(t, s, "default", expected(batches...))
	sql(t, database, "OPTIMIZE TABLE gantry_spans FINAL")
	sql(t, database, "OPTIMIZE TABLE gantry_trace_times FINAL")
	check(t, s, "default", expected(batches...))
	if got, err := s.Trace(t.Context(), "default", signal.TraceID{1}, signal.Range{}); err != nil || len(got.Spans) != 0 {
		t.Errorf("a trace that is not there has %d spans, %v", len(got.Spans), err)
	}
	id := batches[0].Spans[0].TraceID
	for name, c := range map[string]struct {
		within signal.Range
		found  bool
	}{"since": {signal.Range{Since: now}, true}, "until": {signal.Range{Until: now.Add(time.Minute)}, true}, "later": {signal.Range{Since: now.Add(time.Hour)}, false}, "earlier": {signal.Range{Until: now}, false}} {
		if got, err := s.Trace(t.Context(), "default", id, c.within); err != nil || (len(got.Spans) == 6) != c.found {
			t.Errorf("%s: %d spans, %v", name, len(got.Spans), err)
		}
	}
	if answer := sql(t, database, "SELECT service, attributes['order.no'], resource['process.pid'] FROM gantry_spans WHERE trace = '"+id.String()+"' AND parent_id = unhex('0000000000000000')"); answer != "portal\tL00000001\t17" {
		t.Errorf("people who ask themselves get %q", answer)
	}
}

// Whatever is in texts comes back as it was, and is found by itself alone.
func TestOddSpansComeBack(t *testing.T) {
	s, _ := onEngine(t)
	now := moment()
	f := newFleet(2, now)
	b := batch(`odd '"\ namespace`, now)
	for range 500 {
		b.Spans = append(b.Spans, f.odd())
	}
	write(t, s, b)
	for _, span := range b.Spans[:40] {
		check(t, s, b.Namespace, map[signal.TraceID][]signal.Span{span.TraceID: {span}})
	}
	until := now.Add(time.Minute)
	for _, span := range b.Spans[:40] {
		q := signal.TraceQuery{Namespace: b.Namespace, Since: now.Add(-time.Minute), Until: until, Service: span.Resource.Service, Endpoint: span.Name, Instance: span.Resource.Instance, Limit: 1000}
		for _, a := range slices.Concat(span.Attributes, span.Resource.Attributes) {
			q.Attributes = append(q.Attributes, signal.Match{Key: a.Key, Text: plain(a.Value)})
		}
		compare(t, s, fmt.Sprintf("%+v", q), q, b)
	}
}

// compare searches, and looks at every span.
func compare(t *testing.T, s *clickhouse.Store, name string, q signal.TraceQuery, all ...*signal.Batch) []signal.TraceSummary {
	t.Helper()
	want := map[signal.TraceID]bool{}
	for _, b := range all {
		for i := range b.Spans {
			if b.Namespace == q.Namespace && meets(q, &b.Spans[i]) {
				want[b.Spans[i].TraceID] = true
			}
		}
	}
	got, err := s.Search(t.Context(), q)
	if err != nil || got.Truncated || len(got.Partial) > 0 {
		t.Fatalf("%s: %v, %+v", name, err, got.Partial)
	}
	if len(got.Traces) != len(want) {
		t.Errorf("%s: %d traces, not %d", name, len(got.Traces), len(want))
	}
	spans := expected(all...)
	for _, summary := range got.Traces {
		if !want[summary.TraceID] {
			t.Errorf("%s: %+v", name, summary)
		}
		if len(summary.Matched) == 0 || len(summary.Matched) > 3 {
			t.Errorf("%s: matched are %v", name, summary.Matched)
		}
		for _, id := range summary.Matched {
			if !slices.ContainsFunc(spans[summary.TraceID], func(s signal.Span) bool { return s.ID == id && meets(q, &s) }) {
				t.Errorf("%s: span %s does not match", name, id)
			}
		}
		if whole := signal.Summarize(spans[summary.TraceID], summary.Matched); !reflect.DeepEqual(whole, summary) {
			t.Errorf("%s: the summary is %+v, not %+v", name, summary, whole)
		}
	}
	if !slices.IsSortedFunc(got.Traces, func(a, b signal.TraceSummary) int { return b.Start.Compare(a.Start) }) {
		t.Errorf("%s: not the newest first", name)
	}
	return got.Traces
}

// A search finds what a look at every span finds.
func TestSearchFindsWhatThereIs(t *testing.T) {
	s, _ := onEngine(t)
	now := moment()
	f := newFleet(3, now)
	var all []*signal.Batch
	for range 10 {
		b := batch("default", now)
		for range 30 {
			b.Spans = append(b.Spans, f.trace()...)
		}
		all = append(all, b)
		write(t, s, b)
	}
	attribute := func(pairs ...string) (out []signal.Match) {
		for i := 0; i < len(pairs); i += 2 {
			out = append(out, signal.Match{Key: pairs[i], Text: pairs[i+1]})
		}
		return out
	}
	queries := map[string]signal.TraceQuery{
		"everything":         {},
		"service":            {Service: "risk"},
		"endpoint":           {Service: "loan", Endpoint: "POST /approve"},
		"kind":               {Kind: signal.KindClient, Service: "loan"},
		"failed":             {Outcomes: []signal.Outcome{signal.Failed}},
		"failed or refused":  {Outcomes: []signal.Outcome{signal.Failed, signal.Refused}, Service: "portal"},
		"slow":               {MinDuration: 150 * time.Millisecond, Service: "portal"},
		"between":            {MinDuration: 100 * time.Millisecond, MaxDuration: 120 * time.Millisecond},
		"order":              {Attributes: attribute("order.no", "L00000123")},
		"grade and route":    {Attributes: attribute("customer.grade", "B", "http.route", "/loans")},
		"number":             {Attributes: attribute("http.response.status_code", "500")},
		"another number":     {Attributes: attribute("http.response.status_code", "+500")},
		"truth":              {Attributes: attribute("loan.first", "true")},
		"rare":               {Attributes: attribute("rare.123", "odd")},
		"of the resource":    {Attributes: attribute("service.version", "1.2"), Service: "bureau"},
		"of both":            {Attributes: attribute("service.version", "1.2", "http.route", "/approve")},
		"lane and version":   {Lane: "blue", Version: "1.2", Instance: "risk-1"},
		"another lane":       {Lane: "green"},
		"no such value":      {Attributes: attribute("order.no", "L9")},
		"no such key":        {Attributes: attribute("nothing", "")},
		"another's value":    {Attributes: attribute("http.route", "POST")},
		"of another span":    {Service: "bureau", Attributes: attribute("order.no", "L00000123")},
		"a part of the time": {Since: now.Add(100 * time.Millisecond), Until: now.Add(200 * time.Millisecond)},
		"decimal":            {Attributes: attribute("loan.amount", "1.5")},
		"a whole decimal":    {Attributes: attribute("loan.amount", "3")},
		"long ago":           {Since: time.Unix(0, 0)},
		"before all":         {Since: time.Unix(0, 0), Until: now.Add(-time.Second)},
	}
	for name, q := range queries {
		q.Namespace, q.Limit = "default", 1000
		if q.Until.IsZero() {
			q.Until = now.Add(2 * time.Minute)
		}
		if q.Since.IsZero() {
			q.Since = q.Until.Add(-time.Hour)
		}
		compare(t, s, name, q, all...)
	}
	got, err := s.Search(t.Context(), signal.TraceQuery{Namespace: "default", Limit: 7})
	if err != nil || len(got.Traces) != 7 || got.Traces[0].Start.Sub(now) != 300*time.Millisecond || got.Traces[6].Start.Sub(now) != 294*time.Millisecond {
		t.Errorf("the newest are %+v, %v", got.Traces, err)
	}
	if got, err := s.Search(t.Context(), signal.TraceQuery{Namespace: "default", Since: time.Date(-100, 1, 1, 0, 0, 0, 0, time.UTC), Until: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}); err != nil || len(got.Traces) != signal.DefaultTraces {
		t.Errorf("of all times are %d, %v", len(got.Traces), err)
	}
	for name, q := range map[string]signal.TraceQuery{"limit": {Namespace: "default", Limit: 1001}, "namespace": {}, "until": {Namespace: "default", Since: now, Until: now.Add(-1)},
		"min_duration": {Namespace: "default", MinDuration: 2, MaxDuration: 1}, "attributes": {Namespace: "default", Attributes: make([]signal.Match, 17)}} {
		_, err := s.Search(t.Context(), q)
		if f, ok := fault.As(err); !ok || f.Code != fault.Invalid || f.Field != name {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Traces of days are found slice by slice, the newest first, each once although it spans slices.
func TestSearchOverDays(t *testing.T) {
	s, _ := onEngine(t)
	now := moment()
	var all []*signal.Batch
	for i, ago := range []time.Duration{0, time.Minute, 4*time.Minute + 50*time.Second, 20 * time.Minute, time.Hour, 7 * time.Hour, 30 * time.Hour, 100 * time.Hour, 160 * time.Hour} {
		at := now.Add(-ago)
		spans := newFleet(uint64(100+i), at).trace()
		if i == 2 { // its spans are on both sides of where the first slice ends
			spans[0].Start -= int64(time.Minute)
		}
		all = append(all, batch("default", at, spans...))
		write(t, s, all[i])
	}
	q := signal.TraceQuery{Namespace: "default", Since: now.Add(-7 * 24 * time.Hour), Until: now.Add(time.Second), Limit: 1000}
	compare(t, s, "all", q, all...)
	for limit := 1; limit < len(all); limit++ {
		q.Limit = limit
		got, err := s.Search(t.Context(), q)
		if err != nil || len(got.Traces) != limit {
			t.Fatalf("%d traces, not %d, %v", len(got.Traces), limit, err)
		}
		for i, summary := range got.Traces {
			if summary.TraceID != all[i].Spans[0].TraceID {
				t.Errorf("at a limit of %d the %d. trace is not the %d. newest", limit, i, i)
			}
		}
	}
}

func TestNamespacesAreApart(t *testing.T) {
	s, _ := onEngine(t)
	now := moment()
	spans := newFleet(2, now).trace()
	a, b := batch("default", now, spans[:3]...), batch("test", now, spans[2:]...)
	write(t, s, a)
	write(t, s, b)
	check(t, s, "default", expected(a))
	check(t, s, "test", expected(b))
	for namespace, count := range map[string]int{"default": 1, "other": 0} {
		found, err := s.Search(t.Context(), signal.TraceQuery{Namespace: namespace})
		if err != nil || len(found.Traces) != count {
			t.Errorf("%s has %d traces, %v", namespace, len(found.Traces), err)
		}
	}
	names := func(got []string, err error) string { return fmt.Sprint(strings.Join(got, " "), err) }
	for want, got := range map[string]string{
		"bureau loan risk<nil>":           names(s.Services(t.Context(), "test", signal.Range{})),
		"loan portal<nil>":                names(s.Services(t.Context(), "default", signal.Range{Since: now, Until: now.Add(time.Minute)})),
		"<nil>":                           names(s.Services(t.Context(), "default", signal.Range{Since: now.Add(time.Hour)})),
		"POST /loans<nil>":                names(s.Endpoints(t.Context(), "default", "portal", signal.KindServer, signal.Range{})),
		"POST POST /loans<nil>":           names(s.Endpoints(t.Context(), "default", "portal", signal.KindUnspecified, signal.Range{})),
		"POST /approve SELECT loans<nil>": names(s.Endpoints(t.Context(), "test", "loan", signal.KindUnspecified, signal.Range{})),
	} {
		if got != want {
			t.Errorf("names are %q, not %q", got, want)
		}
	}
}

// An exporter that lost an answer sends again: nothing is there twice.
func TestRepeatsAreOne(t *testing.T) {
	s, _ := onEngine(t)
	now := moment()
	b := batch("default", now, newFleet(4, now).trace()...)
	for range 3 {
		write(t, s, b)
		check(t, s, "default", expected(b))
	}
	got, err := s.Search(t.Context(), signal.TraceQuery{Namespace: "default"})
	if err != nil || len(got.Traces) != 1 || got.Traces[0].Spans != 6 {
		t.Errorf("%+v, %v", got.Traces, err)
	}
}

func TestConcurrentWritesShareInserts(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	s := open(t, clickhouse.Options{URL: engine(t) + "/" + newDatabase(t), Linger: 100 * time.Millisecond, Registerer: registry})
	now := moment()
	var writers sync.WaitGroup
	written := make([][]*signal.Batch, 10)
	for i := range written {
		f := newFleet(uint64(20+i), now)
		for range 5 {
			written[i] = append(written[i], batch(fmt.Sprintf("n%d", i%2), now, f.trace()...))
		}
		writers.Go(func() {
			for _, b := range written[i] {
				if err := s.Write(context.Background(), b); err != nil {
					t.Error(err)
				}
				// What was acknowledged is seen at once.
				if got, err := s.Trace(context.Background(), b.Namespace, b.Spans[0].TraceID, signal.Range{}); err != nil || len(got.Spans) != len(b.Spans) {
					t.Errorf("%d spans of %d, %v", len(got.Spans), len(b.Spans), err)
				}
			}
		})
	}
	writers.Wait()
	for _, batches := range written {
		check(t, s, batches[0].Namespace, expected(batches...))
	}
	// All write at once, then read: five rounds, and some more when a round is torn apart.
	if inserts := inserts(t, registry); inserts == 0 || inserts > 30 {
		t.Errorf("50 writes of 10 writers made %d inserts", inserts)
	}
	if s.Pressure() != 0 {
		t.Errorf("at rest the pressure is %f", s.Pressure())
	}
}

// inserts counts those that were taken.
func inserts(t *testing.T, registry *prometheus.Registry) uint64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "gantry_traces_insert_seconds" {
			return family.GetMetric()[0].GetHistogram().GetSampleCount()
		}
	}
	return 0
}

// Two nodes start at once, and a third with another retention later; tables that are dropped are made again.
func TestTablesAreMadeOnceAndKept(t *testing.T) {
	database := newDatabase(t)
	now := moment()
	address := engine(t) + "/" + database
	a, b := open(t, clickhouse.Options{URL: address}), open(t, clickhouse.Options{URL: address})
	f := newFleet(5, now)
	one, two := batch("default", now, f.trace()...), batch("default", now, f.trace()...)
	write(t, a, one)
	write(t, b, two)
	check(t, a, "default", expected(one, two))
	for _, table := range []string{"gantry_spans", "gantry_trace_times", "gantry_names"} {
		if made := sql(t, database, "SHOW CREATE TABLE "+table); !strings.Contains(made, "toIntervalSecond(") {
			t.Errorf("%s has no retention: %s", table, made)
		}
	}
	c := open(t, clickhouse.Options{URL: address, Retention: 48 * time.Hour})
	check(t, c, "default", expected(one, two))
	if made := sql(t, database, "SHOW CREATE TABLE gantry_spans"); !strings.Contains(made, "TTL arrived + toIntervalSecond(172800)") {
		t.Errorf("the retention is not changed: %s", made)
	}
	for _, table := range []string{"gantry_spans_view", "gantry_trace_times_view", "gantry_names_view", "gantry_spans", "gantry_trace_times", "gantry_names"} {
		sql(t, database, "DROP TABLE IF EXISTS "+table)
	}
	write(t, c, one)
	check(t, c, "default", expected(one))
	sql(t, database, "INSERT INTO gantry_schema (version) VALUES (99)")
	d := open(t, clickhouse.Options{URL: address, Wait: time.Second})
	if err := d.Write(t.Context(), one); !fault.Is(err, fault.Precondition) {
		t.Errorf("tables of a newer server: %v", err)
	}
}

// Spans go when they are older than the retention.
func TestRetention(t *testing.T) {
	s, database := onEngine(t)
	now := moment()
	old, recent := batch("default", now.Add(-9*24*time.Hour), newFleet(6, now.Add(-9*24*time.Hour)).trace()...), batch("default", now, newFleet(7, now).trace()...)
	write(t, s, old)
	write(t, s, recent)
	sql(t, database, "OPTIMIZE TABLE gantry_spans FINAL")
	check(t, s, "default", expected(recent))
	if got, err := s.Trace(t.Context(), "default", old.Spans[0].TraceID, signal.Range{}); err != nil || len(got.Spans) != 0 {
		t.Errorf("%d old spans, %v", len(got.Spans), err)
	}
}

// What makes it quick at scale: partitions and filters are asked, and leave little to read.
func TestSearchAsksTheFilters(t *testing.T) {
	s, database := onEngine(t)
	now := moment()
	b := batch("default", now, newFleet(8, now).trace()...)
	write(t, s, b)
	sql(t, database, `INSERT INTO gantry_spans (namespace, service, name, start, trace_id, arrived, attribute_keys, attribute_values, attribute_types)
		SELECT 'default', 'loan', 'x', now64(9) - toIntervalMillisecond(number), unhex(hex(cityHash64(number)) || hex(cityHash64(number + 1))), now() - toIntervalHour(intDiv(number, 4000)),
		['order.no'], ['M' || toString(number)], ['string'] FROM numbers(200000)`)
	sql(t, database, "OPTIMIZE TABLE gantry_spans FINAL")
	q := signal.TraceQuery{Namespace: "default", Since: now.Add(-48 * time.Hour), Until: now.Add(time.Minute), Limit: 20, Attributes: []signal.Match{{Key: "order.no", Text: "L00000001"}}}
	matches, summary, err := s.Plans(t.Context(), q, b.Spans[0].TraceID, now.UnixNano())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"by_attribute_value", "by_start", "toDate(arrived)"} {
		if !strings.Contains(matches, name) {
			t.Errorf("%s is not asked: %s", name, matches)
		}
	}
	for what, plan := range map[string]string{"matches": matches, "summary": summary} {
		granules := regexp.MustCompile(`Granules: (\d+)/(\d+)`).FindAllStringSubmatch(plan, -1)
		if len(granules) < 3 {
			t.Fatalf("%s: %s", what, plan)
		}
		last, first := granules[len(granules)-1], granules[0]
		all, errAll := strconv.Atoi(first[2])
		read, errRead := strconv.Atoi(last[1])
		if errAll != nil || errRead != nil || all < 20 || read > all/4 {
			t.Errorf("%s: %d of %d granules are read: %s", what, read, all, plan)
		}
	}
	if !strings.Contains(summary, "by_trace_id") {
		t.Errorf("the filter of trace ids is not asked: %s", summary)
	}
	got, err := s.Search(t.Context(), q)
	if err != nil || len(got.Traces) != 1 || got.Traces[0].Spans != 6 {
		t.Errorf("%+v, %v", got, err)
	}
}
