package red_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/red"
)

// call is a call of one instance to another, each in a lane of its own, or to a database when callee is empty.
func call(c *clock, number int, callerLane, callee, calleeLane string) []signal.Span {
	trace := signal.TraceID{0: 1, 8: byte(number), 9: byte(number >> 8), 15: 1}
	start := c.Now().Add(-time.Second).UnixNano()
	from := &signal.Resource{Service: "loan", Instance: "loan-" + callerLane, Lane: callerLane}
	client := signal.Span{TraceID: trace, ID: signal.SpanID{1}, Parent: signal.SpanID{9}, Kind: signal.KindClient, Name: "call", Start: start, Duration: 1e6, Resource: from,
		Attributes: []signal.Attribute{text("http.request.method", "GET"), text("server.address", "x")}}
	if callee == "" {
		client.Attributes = []signal.Attribute{text("db.system.name", "mysql"), text("db.namespace", "loans")}
		return []signal.Span{client}
	}
	to := &signal.Resource{Service: callee, Instance: callee + "-" + calleeLane, Lane: calleeLane}
	return []signal.Span{client, {TraceID: trace, ID: signal.SpanID{2}, Parent: signal.SpanID{1}, Kind: signal.KindServer, Name: "GET /", Start: start, Duration: 1e6, Resource: to}}
}

// edgesIn are the calls by edge, in one lane or in all.
func edgesIn(t *testing.T, room *red.Room, lane string, since time.Time) (map[string]uint64, []string) {
	t.Helper()
	g, err := room.Lane(t.Context(), environment, lane, since, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	edges := map[string]uint64{}
	for _, e := range g.Edges {
		edges[e.Caller+">"+e.Callee] += e.Calls
	}
	return edges, g.Lanes
}

func TestACallIsInTheLaneThatServedItOrElseInTheCallers(t *testing.T) {
	for _, test := range []struct{ caller, callee, served, want string }{
		{"", "risk", "", ""},
		{"", "risk", "blue", "blue"},       // a call that enters a lane
		{"blue", "risk", "", "blue"},       // one that leaves it
		{"blue", "risk", "green", "green"}, // one from lane to lane
		{"blue", "", "", "blue"},           // what sends no spans has no lane of its own
		{"", "", "", ""},
	} {
		t.Run(fmt.Sprintf("%q calls %s in %q", test.caller, test.callee, test.served), func(t *testing.T) {
			c := newClock()
			room := newRoom(t, red.Options{Clock: c.Now})
			spans := call(c, 1, test.caller, test.callee, test.served)
			slices.Reverse(spans) // the entry waits for the call
			room.Observe(environment, c.Now(), spans)
			since := c.Now().Add(-time.Minute)
			all, lanes := edgesIn(t, room, "", since)
			if len(all) != 1 {
				t.Fatalf("edges %v", all)
			}
			for _, lane := range []string{"blue", "green"} {
				got, _ := edgesIn(t, room, lane, since)
				if (len(got) == 1) != (lane == test.want) {
					t.Errorf("in lane %s: %v", lane, got)
				}
			}
			if want := test.want; want == "" && len(lanes) != 0 || want != "" && !slices.Equal(lanes, []string{want}) {
				t.Errorf("lanes are %q", lanes)
			}
		})
	}
}

// TestSeriesWithoutLanesAreAsBefore: a fleet without lanes has the series that it had before there were any, and what is in the store from then counts for all lanes.
func TestSeriesWithoutLanesAreAsBefore(t *testing.T) {
	c := newClock()
	db := openSeries(t)
	room := newRoom(t, red.Options{Clock: c.Now, Appendable: db, Queryable: reading(db)})
	for i := range 5 {
		room.Observe(environment, c.Now(), call(c, i, "", "", ""))
	}
	c.Advance(2 * time.Second)
	if err := room.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	q, err := db.Querier(0, c.Now().UnixMilli())
	if err != nil {
		t.Fatal(err)
	}
	set := q.Select(t.Context(), false, nil, labels.MustNewMatcher(labels.MatchEqual, "__name__", red.MetricEdges))
	for set.Next() {
		want := labels.FromStrings("__name__", red.MetricEdges, "namespace", environment, "caller", "loan", "callee", "mysql/loans", "callee_type", "database",
			"protocol", "mysql", "outcome", "success", "node", "n1")
		if got := set.At().Labels(); !labels.Equal(got, want) {
			t.Errorf("labels %s, before %s", got, want)
		}
	}
	_ = q.Close()
	// Some calls in a lane, and then a process that knows of all only what is in the store.
	for i := range 3 {
		room.Observe(environment, c.Now(), call(c, 100+i, "blue", "", ""))
	}
	c.Advance(2 * time.Second)
	if err := room.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.Advance(2 * time.Second)
	again := newRoom(t, red.Options{Clock: c.Now, Queryable: reading(db)})
	since := c.Now().Add(-10 * time.Minute)
	if all, lanes := edgesIn(t, again, "", since); all["loan>mysql/loans"] != 8 || !slices.Equal(lanes, []string{"blue"}) {
		t.Errorf("all %v in lanes %q", all, lanes)
	}
	if blue, lanes := edgesIn(t, again, "blue", since); blue["loan>mysql/loans"] != 3 || !slices.Equal(lanes, []string{"blue"}) {
		t.Errorf("blue %v in lanes %q", blue, lanes)
	}
	if green, lanes := edgesIn(t, again, "green", since); len(green) != 0 || !slices.Equal(lanes, []string{"blue"}) {
		t.Errorf("green %v in lanes %q", green, lanes)
	}
}

// TestManyLanesPushOutNoEdges: neither many names of lanes nor many edges in them cost anyone the knowledge of who calls whom.
func TestManyLanesPushOutNoEdges(t *testing.T) {
	c := newClock()
	room := newRoom(t, red.Options{Clock: c.Now, Limits: red.Limits{Edges: 20, Lanes: 4}})
	n, calls := 0, map[string]uint64{}
	observe := func(lane, callee string) {
		n++
		room.Observe(environment, c.Now(), call(c, n, lane, callee, lane))
		calls["loan>"+callee]++
	}
	for lane := range 9 {
		for callee := range 3 {
			observe(fmt.Sprint("lane-", lane), fmt.Sprint("callee-", callee))
		}
	}
	for callee := range 5 {
		observe("", fmt.Sprint("callee-", callee))
	}
	since := c.Now().Add(-time.Minute)
	all, lanes := edgesIn(t, room, "", since)
	for edge, want := range calls {
		if all[edge] != want {
			t.Errorf("%s: %d calls, in truth %d", edge, all[edge], want)
		}
	}
	if len(all) != len(calls) {
		t.Errorf("edges %v, in truth %v", all, calls)
	}
	if !slices.Equal(lanes, []string{"(other)", "lane-0", "lane-1", "lane-2", "lane-3"}) {
		t.Errorf("lanes %q", lanes)
	}
	// Four lanes of three edges are more than the half of twenty: the last two are in the lane of all others, with those of five more lanes.
	if others, _ := edgesIn(t, room, "(other)", since); others["loan>callee-0"] != 5 || others["loan>callee-1"] != 6 || others["loan>callee-2"] != 6 {
		t.Errorf("other lanes %v", others)
	}
	excesses, _, err := room.Excesses(t.Context(), environment)
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]int{}
	for _, e := range excesses {
		told[e.What] = e.Limit
	}
	if told["lanes"] != 4 || told["edges in lanes"] != 10 || told["edges"] != 0 {
		t.Errorf("excesses %v", told)
	}
}

// TestALaneThatIsGoneMakesRoom: its name and its edges are forgotten, and a new one with the same name counts as before.
func TestALaneThatIsGoneMakesRoom(t *testing.T) {
	c := newClock()
	room := newRoom(t, red.Options{Clock: c.Now, Limits: red.Limits{Edges: 4, Lanes: 1, Idle: 2 * time.Minute}})
	for round, lane := range []string{"first", "second", "first"} {
		for i := range 2 {
			room.Observe(environment, c.Now(), call(c, 10*round+i, lane, fmt.Sprint("callee-", i), lane))
		}
		edges, lanes := edgesIn(t, room, lane, c.Now().Add(-time.Minute))
		if len(edges) != 2 || !slices.Equal(lanes, []string{lane}) {
			t.Errorf("round %d: %v in lanes %q", round, edges, lanes)
		}
		for range 8 {
			c.Advance(time.Minute)
			if err := room.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}
