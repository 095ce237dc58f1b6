//go:build linux

package robustness

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// called asks a node how often portal called loan, and how often loan served, as far as it knows.
func (n *node) called(ctx context.Context) (calls, served uint64, answered *gantryv1.Answered, err error) {
	graph, err := n.api.topology.Topology(ctx, &gantryv1.TopologyRequest{})
	if err != nil {
		return 0, 0, nil, err
	}
	for _, e := range graph.Edges {
		if e.Caller == "portal" && e.Callee == "loan" {
			calls = e.Figures.Calls
		}
	}
	services, err := n.api.topology.ServiceFigures(ctx, &gantryv1.ServiceFiguresRequest{})
	for _, s := range services.GetServices() {
		if s.Service == "loan" {
			served = s.Figures.Calls
		}
	}
	return calls, served, graph.Answered, err
}

// TestTopologyOfACluster sends the two sides of calls to different nodes: each node answers for all calls, after one of them began anew too, and names one that is silent.
func TestTopologyOfACluster(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	var clients []collector.TraceServiceClient
	for _, n := range c.nodes {
		connection, err := grpc.NewClient(n.otlp, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { connection.Close() })
		clients = append(clients, collector.NewTraceServiceClient(connection))
	}
	const traces = 150
	for i := range traces {
		trace, call := randomID(16), randomID(8)
		for side, request := range []*collector.ExportTraceServiceRequest{spansOf(trace, "portal", otlp.Span_SPAN_KIND_CLIENT, call, nil),
			spansOf(trace, "loan", otlp.Span_SPAN_KIND_SERVER, randomID(8), call)} {
			if answer, err := clients[(i+side)%len(clients)].Export(t.Context(), request); err != nil || answer.GetPartialSuccess().GetRejectedSpans() > 0 {
				t.Fatalf("%v, %v", answer, err)
			}
		}
	}
	for _, n := range c.nodes {
		if calls, served, answered, err := n.called(t.Context()); err != nil || calls != traces || served != traces || len(answered.MissingNodes) > 0 {
			t.Errorf("%s knows %d calls and %d served of %d, %v, %v", n.name, calls, served, traces, answered, err)
		}
	}
	again := c.nodes[1]
	again.terminate()
	again.start()
	again.awaitReady()
	c.awaitNodes(c.nodes...)
	for _, n := range c.nodes {
		eventually(t, 20*time.Second, func(ctx context.Context) error {
			calls, served, answered, err := n.called(ctx)
			if err == nil && (calls != traces || served != traces || !answered.FromSeries || len(answered.MissingNodes) > 0) {
				err = fmt.Errorf("%s knows %d calls and %d served of %d, %v", n.name, calls, served, traces, answered)
			}
			return err
		})
	}
	again.pause()
	calls, _, answered, err := c.nodes[0].called(t.Context())
	if err != nil || calls == 0 || calls >= traces || !answered.Partial || !slices.Equal(answered.MissingNodes, []string{again.name}) {
		t.Errorf("without %s: %d calls of %d, %v, %v", again.name, calls, traces, answered, err)
	}
	again.resume()
}
