package ingest_test

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/fanout"
	"github.com/gantry-platform/gantry/internal/signal/ingest"
	"github.com/gantry-platform/gantry/internal/signal/trace"
)

// pair is two nodes: odd trace ids belong to the other one.
type pair struct {
	other *ingest.Room
	away  error
}

func (p *pair) Owners() func(signal.TraceID) string {
	return func(id signal.TraceID) string {
		if id[15]%2 == 1 {
			return "other"
		}
		return ""
	}
}

func (p *pair) Forward(ctx context.Context, _, namespace string, raw []byte) (ingest.Result, error) {
	if p.away != nil {
		return ingest.Result{}, p.away
	}
	return p.other.Keep(ctx, namespace, raw)
}

func TestATraceIsKeptByItsNode(t *testing.T) {
	clock := func() time.Time { return noon }
	var stores [2]*trace.Store
	for i := range stores {
		var err error
		if stores[i], err = trace.Open(trace.Options{Dir: t.TempDir(), Clock: clock}); err != nil {
			t.Fatal(err)
		}
		defer stores[i].Close()
	}
	counters := [2]*counter{{}, {}}
	other := ingest.New(ingest.Options{Store: stores[1], Observers: []ingest.Observer{counters[1]}, Clock: clock, Registerer: prometheus.NewRegistry()})
	router := &pair{other: other}
	self := ingest.New(ingest.Options{Store: stores[0], Router: router, Observers: []ingest.Observer{counters[0]}, Clock: clock, Registerer: prometheus.NewRegistry()})
	bad := &otlp.Span{Name: "no ids"}
	result, err := self.Traces(t.Context(), "default", request(t, span(1, noon, 1, false), span(2, noon, 1, false), bad, span(3, noon, 1, true), span(4, noon.Add(2*time.Hour), 1, false)))
	if err != nil || result.Rejected != 2 {
		t.Fatalf("%+v, %v", result, err)
	}
	if counters[0].spans != 1 || counters[1].spans != 2 {
		t.Errorf("the nodes counted %d and %d spans", counters[0].spans, counters[1].spans)
	}
	router.away = fault.New(fault.Unavailable, "cluster.node_gone", "gone")
	if _, err := self.Traces(t.Context(), "default", request(t, span(5, noon, 1, false))); err != nil {
		t.Fatal(err)
	}
	if got, err := stores[0].Trace(t.Context(), "default", signal.TraceID{15: 5}, signal.Range{}); err != nil || len(got.Spans) != 1 {
		t.Errorf("what belongs to a node that is away: %+v, %v", got, err)
	}
	router.away = fault.New(fault.Exhausted, "traces.too_fast", "full")
	if _, err := self.Traces(t.Context(), "default", request(t, span(7, noon, 1, false))); !fault.Is(err, fault.Exhausted) {
		t.Errorf("what its node has no room for: %v", err)
	}

	var down signal.TraceReader = stores[1]
	reader := &fanout.Reader{Local: stores[0], Others: func() map[string]signal.TraceReader { return map[string]signal.TraceReader{"n2": down} }}
	for id := byte(1); id <= 5; id++ {
		want := 1
		if id == 4 {
			want = 0
		}
		if got, err := reader.Trace(t.Context(), "default", signal.TraceID{15: id}, signal.Range{}); err != nil || len(got.Spans) != want || len(got.Partial) != 0 {
			t.Errorf("trace %d: %+v, %v", id, got, err)
		}
	}
	found, err := reader.Search(t.Context(), signal.TraceQuery{Namespace: "default", Limit: 3})
	if err != nil || len(found.Traces) != 3 {
		t.Errorf("%+v, %v", found, err)
	}
	if names, err := reader.Services(t.Context(), "default", signal.Range{}); err != nil || len(names) != 1 {
		t.Errorf("%v, %v", names, err)
	}
	down = silent{}
	got, err := reader.Search(t.Context(), signal.TraceQuery{Namespace: "default"})
	if err != nil || len(got.Partial) != 1 || got.Partial[0] != "node n2" || len(got.Traces) != 2 {
		t.Errorf("with a node away: %+v, %v", got, err)
	}
}

// silent is a node that does not answer.
type silent struct{ signal.TraceReader }

func (silent) Search(context.Context, signal.TraceQuery) (signal.SearchResult, error) {
	return signal.SearchResult{}, fault.New(fault.Unavailable, "cluster.node_silent", "no answer")
}
