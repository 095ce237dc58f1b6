package red_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/red"
)

func newRoom(t testing.TB, o red.Options) *red.Room {
	t.Helper()
	if o.Node == "" {
		o.Node = "n1"
	}
	room, err := red.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return room
}

func flush(t testing.TB, room *red.Room) {
	t.Helper()
	if err := room.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
}

var shop = &signal.Resource{Service: "shop", Instance: "shop-0", Version: "1"}

// server is an entry without parent.
func server(c *clock, id uint64, name string, attributes ...signal.Attribute) signal.Span {
	s := signal.Span{Kind: signal.KindServer, Name: name, Resource: shop, Duration: 5e6, Start: c.Now().UnixNano(), Attributes: attributes}
	for i := range 8 {
		s.ID[i] = byte(id >> (8 * i))
		s.TraceID[8+i] = byte(id >> (8 * i))
	}
	s.ID[7], s.TraceID[0] = 1, 1
	return s
}

func TestPartnersMeetInAnyOrder(t *testing.T) {
	c := newClock()
	caller, callee := &signal.Resource{Service: "a"}, &signal.Resource{Service: "b"}
	call := server(c, 1, "POST", text("server.address", "10.1.1.1"))
	call.Kind, call.Resource, call.Duration = signal.KindClient, caller, 7e6
	first, second := server(c, 2, "x"), server(c, 3, "x")
	for _, s := range []*signal.Span{&first, &second} {
		s.TraceID, s.Parent, s.Resource = call.TraceID, call.ID, callee
	}
	for i, order := range [][]signal.Span{{call, first, second}, {first, call, second}, {first, second, call}, {second, first, call}} {
		room := newRoom(t, red.Options{Clock: c.Now})
		for j := range order {
			room.Observe(environment, c.Now(), order[j:j+1])
		}
		g, err := room.Topology(t.Context(), environment, c.Now().Truncate(time.Minute), time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if len(g.Edges) != 1 || g.Edges[0].Caller != "a" || g.Edges[0].Callee != "b" || g.Edges[0].Calls != 2 {
			t.Errorf("order %d: %+v", i, g.Edges)
		}
	}
}

func TestAConsumerMeetsTheProducerThatItLinksTo(t *testing.T) {
	c := newClock()
	send := server(c, 1, "send", text("messaging.system", "kafka"), text("messaging.destination.name", "events"))
	send.Kind, send.Resource = signal.KindProducer, &signal.Resource{Service: "a"}
	read := server(c, 77, "process", text("messaging.system", "kafka"), text("messaging.destination.name", "events"))
	read.Kind, read.Resource, read.Links = signal.KindConsumer, &signal.Resource{Service: "b"}, []signal.Link{{TraceID: send.TraceID, SpanID: send.ID}}
	lone := server(c, 78, "process", text("messaging.system", "kafka"), text("messaging.destination.name", "events"))
	lone.Kind, lone.Resource = signal.KindConsumer, &signal.Resource{Service: "b"}
	for _, order := range [][]signal.Span{{send, read, lone}, {lone, read, send}} {
		room := newRoom(t, red.Options{Clock: c.Now})
		room.Observe(environment, c.Now(), order)
		g, err := room.Topology(t.Context(), environment, c.Now().Truncate(time.Minute), time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		var edges []string
		for _, e := range g.Edges {
			edges = append(edges, fmt.Sprint(e.Caller, ">", e.Callee, " ", e.Calls))
		}
		if got := strings.Join(edges, ", "); got != "a>b 1, kafka/events>b 1" {
			t.Errorf("edges %s", got)
		}
	}
}

func TestTooManyWaitingGiveUpTheOldest(t *testing.T) {
	c := newClock()
	registry := prometheus.NewRegistry()
	room := newRoom(t, red.Options{Clock: c.Now, Registerer: registry, Limits: red.Limits{Waiting: 10}})
	for i := range uint64(100) {
		call := server(c, i, "GET", text("server.address", "far.example"))
		call.Kind = signal.KindClient
		room.Observe(environment, c.Now(), []signal.Span{call})
	}
	flush(t, room)
	if got := metric(t, registry, "gantry_red_waiting_spans"); got != 10 {
		t.Errorf("%g wait", got)
	}
	if got := metric(t, registry, "gantry_red_evicted_spans_total"); got != 90 {
		t.Errorf("%g were given up", got)
	}
	c.Advance(31 * time.Second)
	flush(t, room)
	g, err := room.Topology(t.Context(), environment, c.Now().Add(-time.Minute), time.Time{})
	if err != nil || len(g.Edges) != 1 || g.Edges[0].Calls != 100 || g.Edges[0].Callee != "far.example" {
		t.Errorf("%+v, %v", g.Edges, err)
	}
}

func metric(t *testing.T, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		sum := 0.0
		for _, m := range f.Metric {
			switch f.GetType() {
			case dto.MetricType_COUNTER:
				sum += m.Counter.GetValue()
			default:
				sum += m.Gauge.GetValue()
			}
		}
		return sum
	}
	t.Fatalf("no metric %s", name)
	return 0
}

func TestAMillionEndpointsAreNamedAndBounded(t *testing.T) {
	c := newClock()
	room := newRoom(t, red.Options{Clock: c.Now, Limits: red.Limits{Endpoints: 50, Recent: 1000}})
	const calls = 20_000
	batch := make([]signal.Span, 0, 500)
	for i := range uint64(calls) {
		batch = append(batch, server(c, i, "w"+strings.Repeat("x", int(i%2))+fmt.Sprint(i)))
		if len(batch) == cap(batch) {
			room.Observe(environment, c.Now(), batch)
			batch = batch[:0]
		}
	}
	endpoints, _, err := room.Endpoints(t.Context(), environment, "shop", c.Now().Truncate(time.Minute), time.Time{}, red.Busiest, 0)
	if err != nil || len(endpoints) != 51 || endpoints[0].Endpoint != "(other)" || endpoints[0].Calls != calls-50 {
		t.Fatalf("%d endpoints, %+v, %v", len(endpoints), endpoints[0], err)
	}
	excesses, _, _ := room.Excesses(t.Context(), environment)
	if len(excesses) != 1 || excesses[0].Service != "shop" || excesses[0].What != "endpoints" || excesses[0].Turned != calls-50 || excesses[0].Example == "" {
		t.Errorf("%+v", excesses)
	}
}

func TestBrokenNamesMakeValidSeries(t *testing.T) {
	c := newClock()
	db := openSeries(t)
	room := newRoom(t, red.Options{Clock: c.Now, Appendable: db})
	for i, name := range []string{"a\xffb", "a\xfeb", strings.Repeat("长", 300), strings.Repeat("长", 300) + "x", "", "GET /x", "/x"} {
		s := server(c, uint64(i), name)
		s.Resource = &signal.Resource{Service: "broken\xff" + name, Instance: name}
		if i == 6 { // the same words, by attributes
			s = server(c, 6, "?", text("http.request.method", "GET"), text("http.route", "/x"))
			s.Resource = &signal.Resource{Service: "broken\xffGET /x"}
		}
		room.Observe(environment, c.Now(), []signal.Span{s})
	}
	absurd := server(c, 99, "absurd")
	absurd.Duration, absurd.Start = 1<<62, -1<<62
	future := server(c, 98, "future")
	future.Start = c.Now().Add(1000 * time.Hour).UnixNano()
	room.Observe(environment, c.Now(), []signal.Span{absurd, future})
	c.Advance(time.Minute)
	flush(t, room)
	endpoints, _, err := room.Endpoints(t.Context(), environment, "", c.Now().Add(-time.Minute), time.Time{}, red.Busiest, 0)
	if err != nil {
		t.Fatal(err)
	}
	if endpoints[0].Endpoint != "GET /x" || endpoints[0].Calls != 2 {
		t.Errorf("%+v", endpoints)
	}
	for _, e := range endpoints {
		if e.Endpoint == "absurd" {
			t.Error("a span that ended long ago is counted")
		}
	}
}

func TestARestartBeginsAtZeroAndLosesNothing(t *testing.T) {
	c := newClock()
	db := openSeries(t)
	begun := c.Now()
	for process := range 3 {
		room := newRoom(t, red.Options{Clock: c.Now, Appendable: db, Queryable: reading(db)})
		for i := range uint64(10 * (process + 1)) { // more each time: a reset that counts alone do not show
			room.Observe(environment, c.Now(), []signal.Span{server(c, uint64(process)<<20|i, "GET /loans/17")})
		}
		c.Advance(5 * time.Second)
		flush(t, room)
		c.Advance(5 * time.Second)
		flush(t, room)
		c.Advance(20 * time.Second)
	}
	room := newRoom(t, red.Options{Clock: c.Now, Queryable: reading(db)})
	services, w, err := room.Services(t.Context(), environment, begun.Add(-time.Minute), time.Time{})
	if err != nil || !w.FromSeries || len(services) != 1 || services[0].Calls != 60 {
		t.Fatalf("%+v from %+v, %v", services, w, err)
	}
	// A part of the time: the second process alone.
	services, _, err = room.Services(t.Context(), environment, begun.Add(25*time.Second), begun.Add(50*time.Second))
	if err != nil || services[0].Calls != 20 {
		t.Errorf("%+v, %v", services, err)
	}
}

func TestWhatNobodyObservesIsForgottenAndComesBack(t *testing.T) {
	c := newClock()
	db := openSeries(t)
	registry := prometheus.NewRegistry()
	room := newRoom(t, red.Options{Clock: c.Now, Appendable: db, Registerer: registry})
	observe := func(id uint64) { room.Observe(environment, c.Now(), []signal.Span{server(c, id, "x")}) }
	observe(1)
	for range 10 {
		c.Advance(10 * time.Minute)
		flush(t, room)
	}
	if n := metric(t, registry, "gantry_red_series"); n != 0 {
		t.Errorf("%g series are kept", n)
	}
	observe(2)
	c.Advance(time.Second)
	flush(t, room)
	endpoints, _, err := room.Endpoints(t.Context(), environment, "shop", c.Now().Add(-time.Minute), time.Time{}, red.Slowest, 0)
	if err != nil || len(endpoints) != 1 || endpoints[0].Calls != 1 {
		t.Errorf("%+v, %v", endpoints, err)
	}
	if h := lastHistograms(t, db, c, red.MetricRequests, "endpoint")["x"]; h == nil || h.Count != 1 {
		t.Errorf("the series went on with %v", h)
	}
}

func TestMinutesOfAnHourAreKept(t *testing.T) {
	c := newClock()
	room := newRoom(t, red.Options{Clock: c.Now})
	for i := range uint64(90) {
		for j := range i % 7 {
			room.Observe(environment, c.Now(), []signal.Span{server(c, i<<8|j, "x")})
		}
		c.Advance(time.Minute)
		flush(t, room)
	}
	want := 0
	for i := 90 - 30; i < 90; i++ {
		want += i % 7
	}
	services, w, err := room.Services(t.Context(), environment, c.Now().Add(-30*time.Minute), time.Time{})
	if err != nil || w.Partial || services[0].Calls != uint64(want) {
		t.Errorf("%+v of %+v, %v; in truth %d", services, w, err, want)
	}
	if _, w, err = room.Services(t.Context(), environment, c.Now().Add(-3*time.Hour), time.Time{}); err != nil || !w.Partial {
		t.Errorf("%+v, %v: no store is asked, so the answer is partial", w, err)
	}
	if _, _, err = room.Services(t.Context(), environment, c.Now(), c.Now().Add(-time.Hour)); err == nil {
		t.Error("a time that ends before it begins is answered")
	}
}

func TestExemplarsLeadToATrace(t *testing.T) {
	c := newClock()
	db := openSeries(t)
	room := newRoom(t, red.Options{Clock: c.Now, Appendable: db})
	slow := server(c, 5, "x")
	slow.Duration = 3e9
	room.Observe(environment, c.Now(), []signal.Span{server(c, 1, "x"), slow, server(c, 2, "x")})
	c.Advance(5 * time.Second)
	flush(t, room)
	q, err := db.ExemplarQuerier(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found, err := q.Select(0, c.Now().UnixMilli(), []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, red.MetricRequests)})
	if err != nil || len(found) != 1 || found[0].Exemplars[0].Labels.Get("trace_id") != slow.TraceID.String() || found[0].Exemplars[0].Value != 3 {
		t.Errorf("%+v, %v", found, err)
	}
}

const javaStack = `java.lang.IllegalStateException: loan 4711 is closed
	at com.lender.loan.LoanService.close(LoanService.java:%d)
	at com.lender.loan.LoanService$$EnhancerBySpringCGLIB$$%x.close(<generated>)
	at com.lender.loan.Api$$Lambda/0x00007f%x.run(Unknown Source)
	at jdk.internal.reflect.GeneratedMethodAccessor%d.invoke(Unknown Source)
	at java.base/java.lang.Thread.run(Thread.java:840)
Caused by: java.sql.SQLException: %d`

func TestErrorsAreRankedByWhereTheyComeFrom(t *testing.T) {
	c := newClock()
	room := newRoom(t, red.Options{Clock: c.Now})
	failed := func(id uint64, kind, stack string) signal.Span {
		s := server(c, id, "POST /loans/7/close", number("http.response.status_code", 500))
		s.Outcome = signal.Failed
		s.Events = []signal.Event{{Name: "exception", Attributes: []signal.Attribute{text("exception.type", kind), text("exception.message", fmt.Sprint("loan ", id)), text("exception.stacktrace", stack)}}}
		return s
	}
	for i := range uint64(30) {
		stack := fmt.Sprintf(javaStack, 10+i, i*7919, i*104729, i, i)
		s := failed(i, "java.lang.IllegalStateException", stack)
		inner := s // the same exception passed a span inside
		inner.ID[0], inner.ID[7], inner.Kind, inner.Parent = 9, 9, signal.KindInternal, s.ID
		room.Observe(environment, c.Now(), []signal.Span{s, inner})
	}
	for i := range uint64(5) {
		room.Observe(environment, c.Now(), []signal.Span{failed(100+i, "java.lang.NullPointerException", "\tat com.lender.loan.Other.f(Other.java:1)")})
	}
	ranked := errorsOf(t, room, "shop")
	if len(ranked) != 2 || ranked[0].Count != 30 || ranked[0].Type != "java.lang.IllegalStateException" || ranked[0].Frame != "com.lender.loan.LoanService.close" || ranked[0].Trace.IsZero() {
		t.Fatalf("%+v", ranked)
	}
	// The log of the same trace says the same; that of another trace is another error.
	logs := plog.NewLogs()
	of := logs.ResourceLogs().AppendEmpty()
	of.Resource().Attributes().PutStr("service.name", "shop")
	records := of.ScopeLogs().AppendEmpty().LogRecords()
	for _, id := range []uint64{1, 1000} {
		r := records.AppendEmpty()
		r.SetSeverityNumber(plog.SeverityNumberError)
		r.SetTraceID([16]byte(server(c, id, "").TraceID))
		r.Attributes().PutStr("exception.type", "java.lang.IllegalStateException")
		r.Attributes().PutStr("exception.stacktrace", fmt.Sprintf(javaStack, 1, 2, 3, 4, 5))
	}
	warning := records.AppendEmpty()
	warning.SetSeverityNumber(plog.SeverityNumberWarn)
	warning.Body().SetStr("no error")
	for i := range 3 {
		r := records.AppendEmpty()
		r.SetSeverityNumber(plog.SeverityNumberFatal)
		r.Body().SetStr(fmt.Sprint("cannot pay out loan ", 1000+i))
	}
	room.ObserveLogs(environment, logs)
	counts := map[string]uint64{}
	for _, e := range errorsOf(t, room, "shop") {
		counts[e.Code] += e.Count
	}
	if counts["java.lang.IllegalStateException"] != 31 || counts["log"] != 3 || len(counts) != 3 {
		t.Errorf("%v", counts)
	}
	// After an hour there is nothing to rank.
	c.Advance(61 * time.Minute)
	flush(t, room)
	if ranked := errorsOf(t, room, ""); len(ranked) != 0 {
		t.Errorf("%+v", ranked)
	}
}

func TestAFloodOfErrorsHidesNoFrequentOne(t *testing.T) {
	c := newClock()
	room := newRoom(t, red.Options{Clock: c.Now, Limits: red.Limits{Errors: 20, Recent: 100_000}})
	random := rand.New(rand.NewPCG(1, 2))
	frequent := 0
	for i := range uint64(5000) {
		s := server(c, i, "x", text("error.type", fmt.Sprint("rare", i%700)))
		if random.IntN(5) == 0 {
			s.Attributes[0] = text("error.type", "frequent")
			frequent++
		}
		s.Outcome = signal.Failed
		room.Observe(environment, c.Now(), []signal.Span{s})
	}
	ranked := errorsOf(t, room, "")
	if len(ranked) != 20 || ranked[0].Code != "frequent" || ranked[0].Count < uint64(frequent) || ranked[0].Count-ranked[0].Uncertain > uint64(frequent) {
		t.Errorf("%d groups, %+v; in truth %d", len(ranked), ranked[0], frequent)
	}
}

func TestNamespacesAreApart(t *testing.T) {
	c := newClock()
	room := newRoom(t, red.Options{Clock: c.Now, Limits: red.Limits{Namespaces: 2}})
	call := server(c, 1, "x", text("server.address", "b"))
	call.Kind = signal.KindClient
	entry := server(c, 2, "x")
	entry.TraceID, entry.Parent = call.TraceID, call.ID
	room.Observe("a", c.Now(), []signal.Span{call})
	room.Observe("b", c.Now(), []signal.Span{entry, call})
	room.Observe("c", c.Now(), []signal.Span{entry})
	for namespace, want := range map[string]int{"a": 0, "b": 1, "c": 0} {
		g, err := room.Topology(t.Context(), namespace, c.Now().Truncate(time.Minute), time.Time{})
		if err != nil || len(g.Edges) != want {
			t.Errorf("%s: %+v, %v", namespace, g.Edges, err)
		}
	}
}

func TestKnownSeriesCostNoAllocation(t *testing.T) {
	c := newClock()
	room := newRoom(t, red.Options{Clock: c.Now, Limits: red.Limits{Recent: 2000, Waiting: 300}})
	f := newFleet(1, c.Now())
	for range 100 {
		f.generate()
	}
	batches := f.batches()
	for range 4 {
		for _, b := range batches {
			room.Observe(environment, c.Now(), b)
		}
	}
	i := 0
	perBatch := testing.AllocsPerRun(len(batches), func() {
		room.Observe(environment, c.Now(), batches[i%len(batches)])
		i++
	})
	if perBatch > 1 {
		t.Errorf("%g allocations a batch", perBatch)
	}
}

func TestNothingIsMissingOrCountedTwiceBetweenSeriesAndMemory(t *testing.T) {
	c := newClock()
	db := openSeries(t)
	random := rand.New(rand.NewPCG(5, 6))
	begun, total := c.Now(), 0
	for process := range 3 {
		room := newRoom(t, red.Options{Clock: c.Now, Appendable: db, Queryable: reading(db)})
		for step := range 500 {
			for range random.IntN(3) {
				s := server(c, uint64(total), "x")
				room.Observe(environment, c.Now(), []signal.Span{s})
				total++
			}
			c.Advance(time.Duration(3000+random.IntN(4000)) * time.Millisecond)
			flush(t, room)
			if step%100 != 99 {
				continue
			}
			services, w, err := room.Services(t.Context(), environment, begun.Add(-time.Second), time.Time{})
			if err != nil || len(services) != 1 || services[0].Calls != uint64(total) {
				t.Fatalf("process %d, step %d: %+v of %+v, %v; in truth %d", process, step, services, w, err, total)
			}
			if graph, err := room.Topology(t.Context(), environment, begun.Add(-time.Second), time.Time{}); err != nil || len(graph.Edges) != 1 || graph.Edges[0].Calls != uint64(total) {
				t.Fatalf("process %d, step %d: %+v, %v", process, step, graph.Edges, err)
			}
		}
		if endpoints, _, err := room.Endpoints(t.Context(), environment, "shop", begun.Add(-time.Second), time.Time{}, red.Busiest, 0); err != nil || len(endpoints) != 1 || endpoints[0].Calls != uint64(total) {
			t.Fatalf("process %d: %+v, %v", process, endpoints, err)
		}
	}
}

func TestInstancesThatSendOnlyMetricsAreAlive(t *testing.T) {
	c := newClock()
	room := newRoom(t, red.Options{Clock: c.Now})
	metrics := pmetric.NewMetrics()
	attributes := metrics.ResourceMetrics().AppendEmpty().Resource().Attributes()
	attributes.PutStr("service.name", "batch")
	attributes.PutStr("host.name", "h1")
	attributes.PutStr("service.version", "v3")
	room.ObserveMetrics(environment, metrics)
	c.Advance(time.Minute)
	instances, _, err := room.Instances(t.Context(), environment, "batch", time.Time{}, time.Time{})
	if err != nil || len(instances) != 1 || instances[0].Instance != "h1" || instances[0].Version != "v3" || c.Now().Sub(instances[0].Last) != time.Minute {
		t.Errorf("%+v, %v", instances, err)
	}
}

func TestRunWritesALastTimeWhenItEnds(t *testing.T) {
	c := newClock()
	db := openSeries(t)
	room := newRoom(t, red.Options{Clock: c.Now, Appendable: db, Interval: time.Hour})
	room.Observe(environment, c.Now(), []signal.Span{server(c, 1, "x")})
	c.Advance(time.Second)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	room.Run(ctx)
	if h := lastHistograms(t, db, c, red.MetricRequests, "endpoint")["x"]; h == nil || h.Count != 1 {
		t.Errorf("%v", h)
	}
}
