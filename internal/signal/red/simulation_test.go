package red_test

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/red"
)

const environment = "prod"

// clock is moved by hand.
type clock struct{ now atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.now.Store(time.Date(2026, 3, 14, 15, 9, 1, 0, time.UTC).UnixNano())
	return c
}
func (c *clock) Now() time.Time          { return time.Unix(0, c.now.Load()) }
func (c *clock) Advance(d time.Duration) { c.now.Add(int64(d)) }
func openSeries(t testing.TB) *tsdb.DB   { return openSeriesAt(t, t.TempDir()) }
func text(key, value string) signal.Attribute {
	return signal.Attribute{Key: key, Value: signal.Value{Type: signal.TypeString, Text: value}}
}
func number(key string, value int64) signal.Attribute {
	return signal.Attribute{Key: key, Value: signal.Value{Type: signal.TypeInt, Number: uint64(value)}}
}

func openSeriesAt(t testing.TB, dir string) *tsdb.DB {
	t.Helper()
	options := tsdb.DefaultOptions()
	options.EnableExemplarStorage, options.MaxExemplars = true, 1000
	db, err := tsdb.Open(dir, slog.New(slog.DiscardHandler), nil, options, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// reading hands out one store for all namespaces.
func reading(db *tsdb.DB) func(string) storage.Queryable {
	return func(string) storage.Queryable { return db }
}

// truth is what the fleet really did.
type truth struct {
	entries   map[string][]int64 // "service endpoint kind outcome" -> durations
	instances map[string]int
	edges     map[string][]int64 // "caller callee type protocol outcome"
	laned     map[string][]int64 // "lane caller callee type protocol outcome"
	codes     map[string]int
	late      int
	spans     int
}

// fleet makes traces of a lender's services: a gateway, loans, risk, customers; databases, a cache, a queue and a credit bureau.
type fleet struct {
	random *rand.Rand
	truth  truth
	skew   map[string]time.Duration
	now    time.Time
	traces [][]signal.Span
	late   bool
	trace  signal.TraceID
	spans  []signal.Span
}

func newFleet(seed uint64, now time.Time) *fleet {
	f := &fleet{random: rand.New(rand.NewPCG(seed, 1)), skew: map[string]time.Duration{}, now: now,
		truth: truth{entries: map[string][]int64{}, instances: map[string]int{}, edges: map[string][]int64{}, laned: map[string][]int64{}, codes: map[string]int{}}}
	for _, service := range []string{"gateway", "loan", "risk", "customer", "notify"} {
		f.skew[service] = time.Duration(f.random.IntN(240)-120) * time.Second
	}
	return f
}

func (f *fleet) id() (id signal.SpanID) {
	for i := range id {
		id[i] = byte(f.random.UintN(256))
	}
	id[0] |= 1
	return id
}

func (f *fleet) resource(service string) *signal.Resource {
	instance := fmt.Sprintf("%s-%d", service, f.random.IntN(3))
	return &signal.Resource{Service: service, Instance: instance, Version: "1.0", Lane: []string{"", "green", "blue"}[f.random.IntN(3)]}
}

func (f *fleet) outcome() signal.Outcome {
	switch n := f.random.IntN(20); {
	case n == 0:
		return signal.Failed
	case n < 4:
		return signal.Refused
	default:
		return signal.Success
	}
}

func (f *fleet) duration() int64 {
	return int64(math.Exp(f.random.Float64()*math.Log(2000)) * 1e6) // 1 ms to 2 s
}

func (f *fleet) add(s signal.Span) {
	s.TraceID = f.trace
	back := time.Duration(f.random.IntN(5000)) * time.Millisecond
	if f.late {
		back = 20 * time.Minute
		f.truth.late++
	} else {
		f.truth.spans++
	}
	s.Start = f.now.Add(-back+f.skew[s.Resource.Service]).UnixNano() - s.Duration
	f.spans = append(f.spans, s)
}

var statusOf = map[signal.Outcome]int64{signal.Success: 200, signal.Refused: 422, signal.Failed: 503}

// serve makes an entry and answers its duration and its lane.
func (f *fleet) serve(service, endpoint string, kind signal.Kind, parent signal.SpanID, attributes []signal.Attribute, outcome signal.Outcome, inner func(*signal.Resource, signal.SpanID)) (int64, string) {
	r, id, duration := f.resource(service), f.id(), f.duration()
	f.add(signal.Span{ID: id, Parent: parent, Kind: kind, Name: endpoint, Outcome: outcome, Duration: duration, Resource: r, Attributes: append(attributes, number("http.response.status_code", statusOf[outcome]))})
	if !f.late {
		key := fmt.Sprint(service, "|", endpoint, "|", kind, "|", outcome)
		f.truth.entries[key] = append(f.truth.entries[key], duration)
		f.truth.instances[fmt.Sprint(service, "|", r.Instance, "|", r.Lane)]++
		if outcome == signal.Failed {
			f.truth.codes[service+"|503"]++
		}
	}
	inner(r, id)
	return duration, r.Lane
}

// edge is in the lane where it was served, or else where it was called.
func (f *fleet) edge(caller, callee, kind, protocol string, outcome signal.Outcome, duration int64, served, called string) {
	if f.late {
		return
	}
	key := fmt.Sprint(caller, "|", callee, "|", kind, "|", protocol, "|", outcome)
	f.truth.edges[key] = append(f.truth.edges[key], duration)
	key = cmp.Or(served, called) + "|" + key
	f.truth.laned[key] = append(f.truth.laned[key], duration)
}

// call makes a client's span to a service and the entry there.
func (f *fleet) call(from *signal.Resource, parent signal.SpanID, service, endpoint string, inner func(*signal.Resource, signal.SpanID)) {
	id, outcome, duration := f.id(), f.outcome(), f.duration()
	seen := outcome
	switch {
	case outcome == signal.Refused && f.random.IntN(2) == 0:
		seen = signal.Success // the callee says by gantry.outcome what HTTP does not
	case outcome == signal.Success && f.random.IntN(30) == 0:
		seen = signal.Failed // a timeout of the caller alone
	}
	truth := seen
	if outcome == signal.Refused {
		truth = signal.Refused
	}
	f.add(signal.Span{ID: id, Parent: parent, Kind: signal.KindClient, Name: "POST", Outcome: seen, Duration: duration, Resource: from,
		Attributes: []signal.Attribute{text("http.request.method", "POST"), text("server.address", fmt.Sprintf("10.0.0.%d", f.random.IntN(200)))}})
	_, lane := f.serve(service, "POST "+endpoint, signal.KindServer, id, []signal.Attribute{text("http.request.method", "POST"), text("http.route", endpoint)}, outcome, inner)
	f.edge(from.Service, service, "service", "http", truth, duration, lane, from.Lane)
}

// leaf makes a call to what sends no spans.
func (f *fleet) leaf(from *signal.Resource, parent signal.SpanID, kind signal.Kind, callee, calleeType, protocol string, attributes ...signal.Attribute) {
	outcome, duration := f.outcome(), f.duration()
	f.add(signal.Span{ID: f.id(), Parent: parent, Kind: kind, Name: "x", Outcome: outcome, Duration: duration, Resource: from, Attributes: attributes})
	f.edge(from.Service, callee, calleeType, protocol, outcome, duration, "", from.Lane)
}

func (f *fleet) generate() {
	for i := range f.trace {
		f.trace[i] = byte(f.random.UintN(256))
	}
	f.spans, f.late = nil, f.random.IntN(25) == 0
	nothing := func(*signal.Resource, signal.SpanID) {}
	outcome := f.outcome()
	route := []string{"/loans", "/loans/{id}", "/customers/{id}"}[f.random.IntN(3)]
	root := signal.SpanID{}
	caller := "user"
	if f.random.IntN(10) == 0 {
		root, caller = f.id(), "unknown" // a parent that nobody sends
	}
	duration, lane := f.serve("gateway", "GET "+route, signal.KindServer, root, []signal.Attribute{text("http.request.method", "GET"), text("http.route", route)}, outcome,
		func(gateway *signal.Resource, id signal.SpanID) {
			f.leaf(gateway, id, signal.KindClient, "redis/cache.local", "cache", "redis", text("db.system.name", "redis"), text("db.namespace", "0"), text("server.address", "cache.local"))
			f.call(gateway, id, "loan", "/apply", func(loan *signal.Resource, id signal.SpanID) {
				f.add(signal.Span{ID: f.id(), Parent: id, Kind: signal.KindInternal, Name: "score", Resource: loan, Duration: 1000})
				f.leaf(loan, id, signal.KindClient, "mysql/loans", "database", "mysql", text("db.system", "mysql"), text("db.name", "loans"))
				f.call(loan, id, "risk", "/score", func(risk *signal.Resource, id signal.SpanID) {
					f.leaf(risk, id, signal.KindClient, "credit-bureau.example", "external", "http", text("http.request.method", "GET"), text("server.address", "credit-bureau.example"))
					f.call(risk, id, "customer", "/history", nothing)
				})
				f.produce(loan, id)
			})
		})
	f.edge(caller, "gateway", "service", "http", outcome, duration, lane, "")
	f.traces = append(f.traces, f.spans)
}

// produce sends a message that notify reads, or nobody who sends spans.
func (f *fleet) produce(from *signal.Resource, parent signal.SpanID) {
	topic := []signal.Attribute{text("messaging.system", "kafka"), text("messaging.destination.name", "loan-events")}
	if f.random.IntN(2) == 0 {
		f.leaf(from, parent, signal.KindProducer, "kafka/loan-events", "queue", "kafka", topic...)
		return
	}
	id, duration, outcome := f.id(), f.duration(), f.outcome()
	f.add(signal.Span{ID: id, Parent: parent, Kind: signal.KindProducer, Name: "send", Duration: duration, Resource: from, Attributes: topic})
	_, lane := f.serve("notify", "process loan-events", signal.KindConsumer, id, slices.Clone(topic), outcome, func(*signal.Resource, signal.SpanID) {})
	f.edge(from.Service, "notify", "service", "kafka", outcome, duration, lane, from.Lane)
}

// batches shuffles the spans, splits them, and repeats some.
func (f *fleet) batches() [][]signal.Span {
	var all []signal.Span
	for _, trace := range f.traces {
		all = append(all, trace...)
	}
	f.random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	var batches [][]signal.Span
	for len(all) > 0 {
		n := min(1+f.random.IntN(100), len(all))
		batches = append(batches, all[:n])
		all = all[n:]
	}
	for _, b := range slices.Clone(batches) {
		if f.random.IntN(5) == 0 {
			batches = append(batches, slices.Clone(b))
		}
	}
	f.random.Shuffle(len(batches), func(i, j int) { batches[i], batches[j] = batches[j], batches[i] })
	return batches
}

// run hands the batches in by several goroutines, with a flush now and then.
func (f *fleet) run(t testing.TB, room *red.Room, c *clock) {
	batches := f.batches()
	var all sync.WaitGroup
	const senders = 4
	for sender := range senders {
		all.Go(func() {
			for i := sender; i < len(batches); i += senders {
				room.Observe(environment, c.Now(), batches[i])
			}
		})
	}
	all.Go(func() {
		for range 5 {
			c.Advance(time.Second)
			if err := room.Flush(context.Background()); err != nil {
				t.Error(err)
			}
		}
	})
	all.Wait()
	c.Advance(31 * time.Second)
	if err := room.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestFiguresOfASimulatedFleetAreItsTruth(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			c := newClock()
			db := openSeries(t)
			room, err := red.New(red.Options{Node: "n1", Clock: c.Now, Appendable: db, Queryable: reading(db)})
			if err != nil {
				t.Fatal(err)
			}
			f := newFleet(seed, c.Now())
			for range 400 {
				f.generate()
			}
			f.run(t, room, c)
			f.checkMemory(t, room)
			f.checkSeries(t, db, c)
			// From the store the same is read, by a process that begins now and remembers nothing.
			c.Advance(2 * time.Second)
			again, err := red.New(red.Options{Node: "n1", Clock: c.Now, Queryable: reading(db)})
			if err != nil {
				t.Fatal(err)
			}
			f.checkTopology(t, again, c.Now().Add(-10*time.Minute), true)
		})
	}
}

func (f *fleet) checkMemory(t *testing.T, room *red.Room) {
	f.checkTopology(t, room, f.now, false)
	endpoints, _, err := room.Endpoints(t.Context(), environment, "", f.now, time.Time{}, red.Busiest, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]red.Figures{}
	for _, e := range endpoints {
		got[fmt.Sprint(e.Service, "|", e.Endpoint, "|", e.Kind)] = e.Figures
	}
	checkFigures(t, "endpoint", got, f.truth.entries)
	instances, _, err := room.Instances(t.Context(), environment, "", f.now, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	var late uint64
	for _, i := range instances {
		key := fmt.Sprint(i.Service, "|", i.Instance, "|", i.Lane)
		if i.Calls != uint64(f.truth.instances[key]) {
			t.Errorf("instance %s served %d, not %d", key, i.Calls, f.truth.instances[key])
		}
		delete(f.truth.instances, key)
		late += i.Late
	}
	if len(f.truth.instances) > 0 {
		t.Errorf("instances are missing: %v", f.truth.instances)
	}
	if late < uint64(f.truth.late) {
		t.Errorf("%d late spans of %d were seen as such", late, f.truth.late)
	}
	ranked := map[string]int{}
	for _, e := range errorsOf(t, room, "") {
		ranked[e.Service+"|"+e.Code] += int(e.Count)
	}
	for key, n := range f.truth.codes {
		if ranked[key] != n {
			t.Errorf("errors %s: %d, not %d", key, ranked[key], n)
		}
	}
}

func (f *fleet) checkTopology(t *testing.T, room *red.Room, since time.Time, series bool) {
	t.Helper()
	g, err := room.Topology(t.Context(), environment, since, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if g.FromSeries != series {
		t.Errorf("from series: %v", g.FromSeries)
	}
	got := map[string]red.Figures{}
	for _, e := range g.Edges {
		got[fmt.Sprint(e.Caller, "|", e.Callee, "|", e.CalleeType, "|", e.Protocol)] = e.Figures
	}
	checkFigures(t, "edge", got, f.truth.edges)
	f.checkLanes(t, room, since)
	types := map[string]string{"user": "user", "unknown": "unknown", "gateway": "service", "loan": "service", "mysql/loans": "database", "redis/cache.local": "cache",
		"kafka/loan-events": "queue", "credit-bureau.example": "external"}
	for _, n := range g.Nodes {
		if types[n.Name] != "" && types[n.Name] != n.Type {
			t.Errorf("node %s is of type %s", n.Name, n.Type)
		}
		delete(types, n.Name)
	}
	if len(types) > 0 {
		t.Errorf("nodes are missing: %v", types)
	}
}

func (f *fleet) checkLanes(t *testing.T, room *red.Room, since time.Time) {
	t.Helper()
	for _, lane := range []string{"green", "blue", "red"} {
		g, err := room.Lane(t.Context(), environment, lane, since, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(g.Lanes, []string{"blue", "green"}) {
			t.Errorf("lanes are %q", g.Lanes)
		}
		got, want := map[string]red.Figures{}, map[string][]int64{}
		for _, e := range g.Edges {
			got[fmt.Sprint(lane, "|", e.Caller, "|", e.Callee, "|", e.CalleeType, "|", e.Protocol)] = e.Figures
		}
		for key, durations := range f.truth.laned {
			if strings.HasPrefix(key, lane+"|") {
				want[key] = durations
			}
		}
		if (len(want) == 0) != (lane == "red") {
			t.Fatalf("the fleet has %d edges in lane %s", len(want), lane)
		}
		checkFigures(t, "edge in lane", got, want)
	}
}

// checkFigures compares counts exactly, and quantiles within the error of a bucket.
func checkFigures(t *testing.T, what string, got map[string]red.Figures, truth map[string][]int64) {
	t.Helper()
	type sums struct {
		calls, refused, failed uint64
		durations              []int64
	}
	want := map[string]*sums{}
	for key, durations := range truth {
		at := len(key) - len("|success")
		outcome := "success"
		for _, o := range []string{"success", "refused", "failed"} {
			if len(key) > len(o) && key[len(key)-len(o):] == o {
				outcome, at = o, len(key)-len(o)-1
			}
		}
		s := want[key[:at]]
		if s == nil {
			s = &sums{}
			want[key[:at]] = s
		}
		s.calls += uint64(len(durations))
		switch outcome {
		case "refused":
			s.refused += uint64(len(durations))
		case "failed":
			s.failed += uint64(len(durations))
		}
		s.durations = append(s.durations, durations...)
	}
	for key, w := range want {
		g := got[key]
		if g.Calls != w.calls || g.Refused != w.refused || g.Failed != w.failed {
			t.Errorf("%s %s: %d calls, %d refused, %d failed; in truth %d, %d, %d", what, key, g.Calls, g.Refused, g.Failed, w.calls, w.refused, w.failed)
			continue
		}
		slices.Sort(w.durations)
		for q, v := range map[float64]time.Duration{0.5: g.P50, 0.95: g.P95, 0.99: g.P99} {
			real := float64(w.durations[max(int(math.Ceil(q*float64(len(w.durations)))), 1)-1])
			if r := float64(v) / real; r > math.Exp2(1.0/8)*1.001 || r < 0.999/math.Exp2(1.0/8) {
				t.Errorf("%s %s: quantile %g is %s, in truth %s", what, key, q, v, time.Duration(real))
			}
		}
	}
	for key := range got {
		if want[key] == nil {
			t.Errorf("%s %s was made up", what, key)
		}
	}
}

// checkSeries reads the last sample of each series.
func (f *fleet) checkSeries(t *testing.T, db *tsdb.DB, c *clock) {
	got := lastHistograms(t, db, c, red.MetricRequests, "service", "endpoint", "kind", "outcome")
	for key, durations := range f.truth.entries {
		h := got[key]
		if h == nil || h.Count != uint64(len(durations)) {
			t.Errorf("series %s: %v, in truth %d", key, h, len(durations))
			continue
		}
		sum := 0.0
		for _, d := range durations {
			sum += float64(d) / 1e9
		}
		if math.Abs(h.Sum-sum) > 1e-6*sum {
			t.Errorf("series %s: sum %g, in truth %g", key, h.Sum, sum)
		}
		delete(got, key)
	}
	if len(got) > 0 {
		t.Errorf("series were made up: %v", got)
	}
	for key, h := range lastHistograms(t, db, c, red.MetricEdges, "lane", "caller", "callee", "callee_type", "protocol", "outcome") {
		if int(h.Count) != len(f.truth.laned[key]) {
			t.Errorf("edge series %s: %d, in truth %d", key, h.Count, len(f.truth.laned[key]))
		}
	}
}

func lastHistograms(t *testing.T, db *tsdb.DB, c *clock, metric string, names ...string) map[string]*histogram.Histogram {
	t.Helper()
	q, err := db.Querier(0, c.Now().UnixMilli())
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	all := map[string]*histogram.Histogram{}
	set := q.Select(t.Context(), false, nil, labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, metric))
	for set.Next() {
		s := set.At()
		key := ""
		for i, name := range names {
			if i > 0 {
				key += "|"
			}
			key += s.Labels().Get(name)
		}
		if s.Labels().Get("namespace") != environment || s.Labels().Get("node") != "n1" {
			t.Errorf("labels %s", s.Labels())
		}
		it := s.Iterator(nil)
		for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
			_, h := it.AtHistogram(nil)
			all[key] = h
		}
	}
	if set.Err() != nil {
		t.Fatal(set.Err())
	}
	return all
}
