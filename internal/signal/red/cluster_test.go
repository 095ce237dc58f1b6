package red_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/red"
)

// errorsOf are the errors that a room ranks.
func errorsOf(t testing.TB, room *red.Room, service string) []red.ErrorGroup {
	t.Helper()
	all, w, err := room.Errors(t.Context(), environment, service, 0)
	if err != nil || w.Partial {
		t.Fatalf("%+v, %v", w, err)
	}
	return all
}

// cluster is some nodes that ask each other, each with a store of series.
type cluster struct {
	clock *clock
	nodes []*red.Room
	dbs   []*tsdb.DB

	mu     sync.Mutex
	silent map[int]bool
}

// silence is a node that does not answer.
type silence struct{}

func (silence) Count(context.Context, red.Question) (red.Part, error) {
	return red.Part{}, errors.New("no answer")
}

func newCluster(t testing.TB, c *clock, nodes int) *cluster {
	t.Helper()
	all := &cluster{clock: c, nodes: make([]*red.Room, nodes), dbs: make([]*tsdb.DB, nodes), silent: map[int]bool{}}
	for i := range nodes {
		all.dbs[i] = openSeries(t)
		all.start(t, i, red.Limits{})
	}
	return all
}

func (c *cluster) start(t testing.TB, i int, limits red.Limits) {
	t.Helper()
	c.nodes[i] = newRoom(t, red.Options{Node: fmt.Sprint("n", i), Clock: c.clock.Now, Appendable: c.dbs[i], Queryable: reading(c.dbs[i]), Limits: limits,
		Others: func() map[string]red.Counter {
			c.mu.Lock()
			defer c.mu.Unlock()
			others := map[string]red.Counter{}
			for j, node := range c.nodes {
				switch {
				case j == i:
				case c.silent[j]:
					others[fmt.Sprint("n", j)] = silence{}
				default:
					others[fmt.Sprint("n", j)] = node
				}
			}
			return others
		}})
}

// of is the node that a trace belongs to.
func (c *cluster) of(id signal.TraceID) int { return int(id[15]) % len(c.nodes) }

func (c *cluster) observe(spans []signal.Span) {
	parts := make([][]signal.Span, len(c.nodes))
	for _, s := range spans {
		parts[c.of(s.TraceID)] = append(parts[c.of(s.TraceID)], s)
	}
	for i, part := range parts {
		c.nodes[i].Observe(environment, c.clock.Now(), part)
	}
}

func (c *cluster) flush(t testing.TB) {
	t.Helper()
	for _, node := range c.nodes {
		flush(t, node)
	}
}

// everything is all answers of a room about a time.
type everything struct {
	graph     red.Graph
	lane      red.Graph
	services  []red.ServiceFigures
	endpoints map[red.Order][]red.EndpointFigures
	instances []red.InstanceFigures
	errors    []red.ErrorGroup
	excesses  []red.Excess
	windows   []red.Window
}

func ask(t testing.TB, room *red.Room, since time.Time) everything {
	t.Helper()
	e := everything{endpoints: map[red.Order][]red.EndpointFigures{}}
	var w red.Window
	var err error
	check := func() {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		e.windows = append(e.windows, w)
	}
	e.graph, err = room.Topology(t.Context(), environment, since, time.Time{})
	w = e.graph.Window
	check()
	e.lane, err = room.Lane(t.Context(), environment, "green", since, time.Time{})
	w = e.lane.Window
	check()
	e.services, w, err = room.Services(t.Context(), environment, since, time.Time{})
	check()
	for _, order := range []red.Order{red.Slowest, red.Busiest, red.Failing} {
		e.endpoints[order], w, err = room.Endpoints(t.Context(), environment, "", since, time.Time{}, order, 4)
		check()
	}
	e.instances, w, err = room.Instances(t.Context(), environment, "", since, time.Time{})
	check()
	e.errors, w, err = room.Errors(t.Context(), environment, "", 5)
	check()
	e.excesses, w, err = room.Excesses(t.Context(), environment)
	check()
	return e
}

// same compares what two rooms answer. Sums of fractions depend on their order: rates and means may differ in the last digits, and what is of one
// error or span of several at the same time is not compared.
func same(t testing.TB, who string, got, want everything) {
	t.Helper()
	figures := func(where string, got, want *red.Figures) {
		t.Helper()
		if math.Abs(got.Rate-want.Rate) > 1e-9*want.Rate || (got.Mean-want.Mean).Abs() > 100 {
			t.Errorf("%s: %s: rate %g and mean %s, not %g and %s", who, where, got.Rate, got.Mean, want.Rate, want.Mean)
		}
		got.Rate, got.Mean = want.Rate, want.Mean
	}
	equal := func(what string, got, want any) {
		t.Helper()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %s\n%+v, not\n%+v", who, what, got, want)
		}
	}
	if len(got.graph.Edges) != len(want.graph.Edges) || len(got.graph.Nodes) != len(want.graph.Nodes) || len(got.lane.Edges) != len(want.lane.Edges) || len(want.lane.Edges) == 0 || len(got.services) != len(want.services) || len(got.instances) != len(want.instances) ||
		len(got.errors) != len(want.errors) || len(want.graph.Edges) == 0 {
		t.Fatalf("%s: got\n%+v, not\n%+v", who, got, want)
	}
	for i := range want.graph.Edges {
		figures("edge", &got.graph.Edges[i].Figures, &want.graph.Edges[i].Figures)
	}
	for i := range want.lane.Edges {
		figures("edge in the lane", &got.lane.Edges[i].Figures, &want.lane.Edges[i].Figures)
	}
	equal("edges in the lane", got.lane.Edges, want.lane.Edges)
	equal("lanes", got.graph.Lanes, want.graph.Lanes)
	for i := range want.graph.Nodes {
		figures("node", &got.graph.Nodes[i].Figures, &want.graph.Nodes[i].Figures)
	}
	equal("edges", got.graph.Edges, want.graph.Edges)
	equal("nodes", got.graph.Nodes, want.graph.Nodes)
	for i := range want.services {
		figures("service", &got.services[i].Figures, &want.services[i].Figures)
	}
	equal("services", got.services, want.services)
	for order, all := range want.endpoints {
		if len(all) != 4 || len(got.endpoints[order]) != 4 {
			t.Fatalf("%s: %d endpoints, not %d", who, len(got.endpoints[order]), len(all))
		}
		for i := range all {
			figures("endpoint", &got.endpoints[order][i].Figures, &all[i].Figures)
		}
		equal("endpoints", got.endpoints[order], all)
	}
	for i := range want.instances {
		figures("instance", &got.instances[i].Figures, &want.instances[i].Figures)
		got.instances[i].Behind = want.instances[i].Behind
	}
	equal("instances", got.instances, want.instances)
	for i := range want.errors {
		got.errors[i].Trace, got.errors[i].Message, got.errors[i].Endpoint = want.errors[i].Trace, want.errors[i].Message, want.errors[i].Endpoint
	}
	equal("errors", got.errors, want.errors)
	for i := range want.windows {
		got.windows[i], want.windows[i] = bounds(got.windows[i]), bounds(want.windows[i])
	}
	equal("windows", got.windows, want.windows)
}

// bounds leaves out what a window says to its room alone.
func bounds(w red.Window) red.Window {
	return red.Window{Since: w.Since, Until: w.Until, FromSeries: w.FromSeries, Partial: w.Partial, Missing: w.Missing}
}

// TestNodesTogetherAnswerAsOneThatSawAll splits a fleet's spans by trace over three nodes: each answers what one node does that saw all of them.
func TestNodesTogetherAnswerAsOneThatSawAll(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			c := newClock()
			nodes, db := newCluster(t, c, 3), openSeries(t)
			one := newRoom(t, red.Options{Clock: c.Now, Appendable: db, Queryable: reading(db)})
			f := newFleet(seed, c.Now())
			for range 300 {
				f.generate()
			}
			for _, batch := range f.batches() {
				one.Observe(environment, c.Now(), batch)
				nodes.observe(batch)
			}
			c.Advance(31 * time.Second)
			flush(t, one)
			nodes.flush(t)
			for i, node := range nodes.nodes {
				f.checkTopology(t, node, f.now, false)
				same(t, fmt.Sprint("n", i), ask(t, node, f.now), ask(t, one, f.now))
			}
			// One of them begins anew: it reads its part from its own series up to then, and the others have theirs in memory. Nothing is counted twice or missing.
			c.Advance(2 * time.Second)
			nodes.start(t, 1, red.Limits{})
			second := newFleet(seed+100, c.Now())
			for range 100 {
				second.generate()
			}
			for _, batch := range second.batches() {
				nodes.observe(batch)
			}
			c.Advance(31 * time.Second)
			nodes.flush(t)
			for key, durations := range second.truth.edges {
				f.truth.edges[key] = append(f.truth.edges[key], durations...)
			}
			for key, durations := range second.truth.laned {
				f.truth.laned[key] = append(f.truth.laned[key], durations...)
			}
			for _, node := range nodes.nodes {
				f.checkTopology(t, node, f.now, true)
			}
		})
	}
}

func TestANodeThatDoesNotAnswerIsNamed(t *testing.T) {
	c := newClock()
	nodes := newCluster(t, c, 3)
	f := newFleet(1, c.Now())
	for range 100 {
		f.generate()
	}
	for _, batch := range f.batches() {
		nodes.observe(batch)
	}
	c.Advance(time.Second)
	whole := ask(t, nodes.nodes[0], f.now)
	nodes.silent[1], nodes.silent[2] = true, true
	alone := ask(t, nodes.nodes[0], f.now)
	for _, w := range alone.windows {
		if !w.Partial || !slices.Equal(w.Missing, []string{"n1", "n2"}) {
			t.Errorf("%+v", w)
		}
	}
	for _, w := range whole.windows {
		if w.Partial || w.Missing != nil {
			t.Errorf("%+v", w)
		}
	}
	if a, b := alone.services[0].Calls, whole.services[0].Calls; a == 0 || a >= b {
		t.Errorf("%d calls of %d", a, b)
	}
	// An error of the node that is asked is the question's, and a wrong question is asked of nobody.
	_, _, err := nodes.nodes[0].Services(t.Context(), environment, c.Now(), c.Now().Add(-time.Hour))
	if !fault.Is(err, fault.Invalid) {
		t.Errorf("%v", err)
	}
	cut := newRoom(t, red.Options{Clock: c.Now, Queryable: func(string) storage.Queryable { return unreadable{} }, Others: func() map[string]red.Counter { return map[string]red.Counter{"n1": nodes.nodes[1]} }})
	if _, err := cut.Topology(t.Context(), environment, f.now.Add(-time.Hour), time.Time{}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("%v", err)
	}
}

// unreadable is a store with a broken disk.
type unreadable struct{}

func (unreadable) Querier(int64, int64) (storage.Querier, error) { return nil, errors.New("broken") }

// TestDifferentResolutionsBecomeTheCoarserOne: on one node durations spread so far that its resolution is lower.
func TestDifferentResolutionsBecomeTheCoarserOne(t *testing.T) {
	c := newClock()
	nodes := newCluster(t, c, 2)
	one := newRoom(t, red.Options{Clock: c.Now})
	for i := range uint64(400) {
		s := server(c, i<<1, "x")
		s.TraceID[15] = byte(i % 2)
		s.Duration = 20e6 + int64(i)*1e5
		if i%2 == 1 && i < 100 {
			s.Duration = 1 << (i/3 + 5) // from 32 ns to minutes
		}
		one.Observe(environment, c.Now(), []signal.Span{s})
		nodes.observe([]signal.Span{s})
	}
	since := c.Now().Truncate(time.Minute)
	want, _, err := one.Endpoints(t.Context(), environment, "", since, time.Time{}, red.Slowest, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range nodes.nodes {
		got, _, err := node.Endpoints(t.Context(), environment, "", since, time.Time{}, red.Slowest, 0)
		if err != nil || len(got) != 1 || got[0].Calls != 400 {
			t.Fatalf("%+v, %v", got, err)
		}
		g, w := got[0].Figures, want[0].Figures
		if g.P50 != w.P50 || g.P95 != w.P95 || g.P99 != w.P99 || g.Max != w.Max || (g.Mean-w.Mean).Abs() > 100 {
			t.Errorf("%+v, not %+v", g, w)
		}
	}
	schemas := map[int32]bool{}
	for _, node := range nodes.nodes {
		part, err := node.Count(t.Context(), red.Question{Subject: red.AboutEndpoints, Namespace: environment, Since: since})
		if err != nil {
			t.Fatal(err)
		}
		schemas[part.Counts[0].Outcomes[signal.Success].Schema] = true
	}
	if len(schemas) != 2 {
		t.Errorf("the nodes have the resolutions %v: nothing was shown", schemas)
	}
}

// TestErrorsOfSeveralNodesAddUp when each keeps only the most frequent.
func TestErrorsOfSeveralNodesAddUp(t *testing.T) {
	c := newClock()
	nodes := newCluster(t, c, 2)
	for i := range nodes.nodes {
		nodes.start(t, i, red.Limits{Errors: 5})
	}
	fail := func(node int, id uint64, code, message string) {
		s := server(c, id, "x", text("error.type", code))
		s.Outcome, s.StatusMessage = signal.Failed, message
		nodes.nodes[node].Observe(environment, c.Now(), []signal.Span{s})
	}
	truth := map[string]uint64{"common": 60, "left": 20}
	for i := range uint64(60) {
		fail(int(i%2), i, "common", "early")
		c.Advance(time.Second)
	}
	for i := range uint64(20) {
		fail(0, 1000+i, "left", "")
	}
	for i := range uint64(40) { // more than the second node has room for
		code := fmt.Sprint("rare", i%8)
		truth[code]++
		fail(1, 2000+i, code, "")
	}
	c.Advance(time.Second)
	fail(1, 3000, "common", "the latest")
	truth["common"]++
	for _, node := range nodes.nodes {
		all := errorsOf(t, node, "")
		if first := all[0]; first.Code != "common" || first.Message != "early" || first.Last.Sub(first.First) != 61*time.Second || first.Count < 61 || first.Count-first.Uncertain > 61 {
			t.Errorf("%+v", first)
		}
		for _, e := range all {
			if real := truth[e.Code]; e.Count < real || e.Count-e.Uncertain > real {
				t.Errorf("%s: %d, of which %d are uncertain; in truth %d", e.Code, e.Count, e.Uncertain, real)
			}
		}
		if top, _, err := node.Errors(t.Context(), environment, "", 1); err != nil || len(top) != 1 || top[0].Code != "common" {
			t.Errorf("%+v, %v", top, err)
		}
	}
}

// TestAPartThatCannotBeIsRefused: a node that answers nonsense counts as one that does not answer.
func TestAPartThatCannotBeIsRefused(t *testing.T) {
	c := newClock()
	fine := red.Buckets{Schema: 3, First: -10, Counts: []uint64{1, 2}, Sum: 1}
	for what, spoil := range map[string]func(*red.Buckets){
		"too fine":    func(b *red.Buckets) { b.Schema = 4 },
		"too coarse":  func(b *red.Buckets) { b.Schema = -5 },
		"too far":     func(b *red.Buckets) { b.First = math.MaxInt32 },
		"too low":     func(b *red.Buckets) { b.First = math.MinInt32 },
		"too wide":    func(b *red.Buckets) { b.Counts = make([]uint64, 161) },
		"too many":    func(b *red.Buckets) { b.Counts[1] = math.MaxUint64 },
		"no number":   func(b *red.Buckets) { b.Sum = math.NaN() },
		"nothing bad": func(*red.Buckets) {},
	} {
		b := fine
		b.Counts = slices.Clone(b.Counts)
		spoil(&b)
		other := part{red.Part{Counts: []red.Count{{Names: red.Names{"loan"}, Outcomes: [3]red.Buckets{b}}}}}
		room := newRoom(t, red.Options{Clock: c.Now, Others: func() map[string]red.Counter { return map[string]red.Counter{"n2": other} }})
		since := c.Now()
		c.Advance(time.Second)
		services, w, err := room.Services(t.Context(), environment, since, time.Time{})
		if err != nil || w.Partial != (what != "nothing bad") || len(services) == 1 == w.Partial {
			t.Errorf("%s: %+v, %+v, %v", what, services, w, err)
		}
	}
}

// part is a node that answers always the same.
type part struct{ red.Part }

func (p part) Count(context.Context, red.Question) (red.Part, error) { return p.Part, nil }
