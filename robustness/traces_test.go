//go:build linux

package robustness

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// traceSender sends traces to nodes and remembers those that were acknowledged.
type traceSender struct {
	stop    context.CancelFunc
	senders sync.WaitGroup

	mu    sync.Mutex
	acked []string
}

// spansOf makes the two sides of a call from portal to loan.
func spansOf(trace []byte, side string, kind otlp.Span_SpanKind, id, parent []byte) *collector.ExportTraceServiceRequest {
	now := uint64(time.Now().UnixNano())
	return &collector.ExportTraceServiceRequest{ResourceSpans: []*otlp.ResourceSpans{{
		Resource:   &resource.Resource{Attributes: []*common.KeyValue{{Key: "service.name", Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: side}}}}},
		ScopeSpans: []*otlp.ScopeSpans{{Spans: []*otlp.Span{{TraceId: trace, SpanId: id, ParentSpanId: parent, Name: "apply", Kind: kind, StartTimeUnixNano: now, EndTimeUnixNano: now + 1e6}}}}}}}
}

func randomID(n int) []byte {
	id := make([]byte, n)
	for i := range id {
		id[i] = byte(rand.Uint32())
	}
	id[0] |= 1
	return id
}

// sendTraces sends until it is ended, each of several senders a trace after the other: its parts go to different nodes where there are several.
func sendTraces(t *testing.T, nodes ...*node) *traceSender {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	s := &traceSender{stop: stop}
	var clients []collector.TraceServiceClient
	for _, n := range nodes {
		connection, err := grpc.NewClient(n.otlp, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { connection.Close() })
		clients = append(clients, collector.NewTraceServiceClient(connection))
	}
	for i := range 6 {
		s.senders.Go(func() {
			for at := i; ctx.Err() == nil; at++ {
				trace, call := randomID(16), randomID(8)
				first := spansOf(trace, "portal", otlp.Span_SPAN_KIND_CLIENT, call, nil)
				second := spansOf(trace, "loan", otlp.Span_SPAN_KIND_SERVER, randomID(8), call)
				if err := s.deliver(ctx, clients[at%len(clients)], first); err != nil {
					continue // it was never said to be there
				}
				if err := s.deliver(ctx, clients[(at+1)%len(clients)], second); err != nil {
					continue
				}
				s.mu.Lock()
				s.acked = append(s.acked, hex.EncodeToString(trace))
				s.mu.Unlock()
			}
		})
	}
	t.Cleanup(s.end)
	return s
}

func (s *traceSender) deliver(ctx context.Context, client collector.TraceServiceClient, request *collector.ExportTraceServiceRequest) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	answer, err := client.Export(ctx, request)
	if err == nil && answer.GetPartialSuccess().GetRejectedSpans() > 0 {
		err = errors.New(answer.PartialSuccess.ErrorMessage)
	}
	return err
}

func (s *traceSender) end() {
	s.stop()
	s.senders.Wait()
}

func (s *traceSender) acknowledged() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.acked)
}

// awaitMore waits until so many more traces are acknowledged.
func (s *traceSender) awaitMore(t *testing.T, more int) {
	t.Helper()
	want := len(s.acknowledged()) + more
	eventually(t, 60*time.Second, func(context.Context) error {
		if n := len(s.acknowledged()); n < want {
			return fmt.Errorf("%d traces are acknowledged, not %d", n, want)
		}
		return nil
	})
}

// check asks each node for every trace that was acknowledged.
func (s *traceSender) check(t *testing.T, nodes ...*node) {
	t.Helper()
	for _, n := range nodes {
		missing := 0
		for _, id := range s.acknowledged() {
			got, err := n.api.traces.GetTrace(t.Context(), &gantryv1.GetTraceRequest{TraceId: id})
			if err != nil && connect.CodeOf(err) != connect.CodeNotFound {
				t.Fatal(err)
			}
			if err != nil || len(got.Spans) != 2 || len(got.Partial) > 0 {
				if missing++; missing <= 3 {
					t.Errorf("%s: trace %s has %d spans of 2, partial %v, %v", n.name, id, len(got.GetSpans()), got.GetPartial(), err)
				}
			}
		}
		if missing > 0 {
			t.Errorf("%s: %d of %d traces are not whole", n.name, missing, len(s.acknowledged()))
		}
	}
}

// TestKillWhileTracesComeIn kills a node again and again while it takes traces in, cuts blocks and removes logs; once the log gets a torn end too.
func TestKillWhileTracesComeIn(t *testing.T) {
	t.Parallel()
	// With so little memory a block is cut each few thousand spans, so that kills hit every step of it.
	n := newNode(t, "n1", "--authentication", "off", "--minimum-free", "32MiB", "--traces-memory", "2MiB")
	n.start()
	n.awaitReady()
	s := sendTraces(t, n)
	for round := range 5 {
		s.awaitMore(t, 300+200*round)
		n.kill()
		if round == 2 {
			logs, err := filepath.Glob(filepath.Join(n.data, "signals", "traces", "wal", "*.wal"))
			if err != nil || len(logs) == 0 {
				t.Fatalf("no logs: %v", err)
			}
			file, err := os.OpenFile(logs[len(logs)-1], os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := file.WriteString("GTF1 the beginning of a frame"); err != nil {
				t.Fatal(err)
			}
			if err := file.Close(); err != nil {
				t.Fatal(err)
			}
		}
		n.start()
		n.awaitReady()
	}
	s.awaitMore(t, 100)
	s.end()
	s.check(t, n)
	if blocks, err := filepath.Glob(filepath.Join(n.data, "signals", "traces", "blocks", "*", "*.parquet")); err != nil || len(blocks) == 0 {
		t.Errorf("no block was cut, so nothing was shown: %v", err)
	}
}

// TestTracesOfACluster sends the parts of each trace to different nodes, and kills one meanwhile: what was acknowledged is found from every node.
func TestTracesOfACluster(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	s := sendTraces(t, c.nodes...)
	s.awaitMore(t, 300)
	victim := c.nodes[1]
	victim.kill()
	s.awaitMore(t, 300)
	c.awaitNodes(c.without(victim)...)
	s.awaitMore(t, 100)
	// The others go on; what the dead node keeps is found again when it is back.
	found, err := c.nodes[0].api.traces.SearchTraces(t.Context(), &gantryv1.SearchTracesRequest{Service: "loan"})
	if err != nil || len(found.Traces) == 0 {
		t.Errorf("%d traces, %v", len(found.GetTraces()), err)
	}
	victim.start()
	victim.awaitReady()
	c.awaitNodes(c.nodes...)
	s.awaitMore(t, 300)
	s.end()
	s.check(t, c.nodes...)
	for _, n := range c.nodes {
		services, err := n.api.traces.ListTraceNames(t.Context(), &gantryv1.ListTraceNamesRequest{})
		if err != nil || !slices.Equal(services.Names, []string{"loan", "portal"}) {
			t.Errorf("%s knows %v, %v", n.name, services.GetNames(), err)
		}
	}
}
