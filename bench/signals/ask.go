package main

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/gantry-platform/gantry/bench/internal/process"
	"github.com/gantry-platform/gantry/bench/internal/stats"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
	"github.com/gantry-platform/gantry/sdk/api/gantry/v1/gantryv1connect"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func (s *sent) print(server *process.Server, peak process.Memory) {
	fmt.Printf("\n| what | figure |\n|---|---|\n")
	row := func(what, format string, values ...any) {
		fmt.Printf("| %s | %s |\n", what, fmt.Sprintf(format, values...))
	}
	row("spans acknowledged", "%d of %d bytes on the wire each", s.spans, s.bytes/s.spans)
	row("spans a second, wall clock", "%.0f", float64(s.spans)/s.wall.Seconds())
	row("spans a second of the server's processor time", "%.0f", float64(s.spans)/s.cpu.Seconds())
	row("spans left out because memory was short", "%d", s.left)
	row("requests asked to wait", "%d", s.waited)
	row("memory at most", "%d MiB, of which the program's own %d MiB", peak.Resident>>20, peak.Anonymous>>20)
	figures, err := server.Figures(context.Background())
	if err != nil {
		row("figures", "%v", err)
		return
	}
	row("bytes a span in blocks", "%.1f of %.0f spans", figures["gantry_traces_block_written_bytes_total"]/figures["gantry_traces_block_written_spans_total"],
		figures["gantry_traces_block_written_spans_total"])
	row("blocks", "%.0f", figures["gantry_traces_blocks"])
}

const lookUps = 1000

// ask looks traces up and searches for them.
func ask(ctx context.Context, server *process.Server, s *sent) error {
	client := gantryv1connect.NewTraceServiceClient(http.DefaultClient, "http://"+server.HTTP)
	var took []time.Duration
	for range lookUps {
		id := s.known[rand.IntN(len(s.known))]
		began := time.Now()
		got, err := client.GetTrace(ctx, &gantryv1.GetTraceRequest{TraceId: id})
		if err != nil {
			return fmt.Errorf("trace %s: %w", id, err)
		}
		if len(got.Spans) < 2 && s.left == 0 {
			return fmt.Errorf("trace %s has %d spans", id, len(got.Spans))
		}
		took = append(took, time.Since(began))
	}
	print := func(what string, took []time.Duration, more string) {
		slices.SortFunc(took, cmp.Compare[time.Duration])
		fmt.Printf("| %s | median %s, p99 %s, most %s%s |\n", what, round(stats.Quantile(took, 0.5)), round(stats.Quantile(took, 0.99)), round(took[len(took)-1]), more)
	}
	print("trace by id", took, fmt.Sprintf(" (%d look-ups)", lookUps))
	day := &gantryv1.TimeSpan{Since: timestamppb.New(time.Now().Add(-24 * time.Hour))}
	order := s.orders[rand.IntN(len(s.orders))]
	for _, q := range []struct {
		what    string
		request *gantryv1.SearchTracesRequest
	}{
		{"search: an order's number", &gantryv1.SearchTracesRequest{Attributes: map[string]string{"order.no": order}}},
		{"search: a number that is nowhere", &gantryv1.SearchTracesRequest{Attributes: map[string]string{"order.no": "o-nowhere"}}},
		{"search: a customer that is nowhere, of one service", &gantryv1.SearchTracesRequest{Service: "loan", Attributes: map[string]string{"customer.id": "c-0"}}},
		{"search: refused for a reason, over 10 s (every span is looked at)", &gantryv1.SearchTracesRequest{MinDuration: durationpb.New(10 * time.Second), Attributes: map[string]string{"refusal.reason": "high_burden"}}},
		{"search: a key that no span has", &gantryv1.SearchTracesRequest{Attributes: map[string]string{"no.such.key": "x"}}},
		{"search: the newest failed ones", &gantryv1.SearchTracesRequest{Outcomes: []string{"failed"}}},
		{"search: the newest of a service", &gantryv1.SearchTracesRequest{Service: "risk"}},
	} {
		q.request.Within = day
		var took []time.Duration
		found := 0
		for range 7 {
			began := time.Now()
			got, err := client.SearchTraces(ctx, q.request)
			if err != nil {
				return fmt.Errorf("%s: %w", q.what, err)
			}
			if got.Truncated || len(got.Partial) > 0 {
				return fmt.Errorf("%s: the answer is not whole", q.what)
			}
			took = append(took, time.Since(began))
			found = len(got.Traces)
		}
		print(q.what, took, fmt.Sprintf(" (%d found)", found))
	}
	return nil
}

func round(d time.Duration) time.Duration {
	if d < 10*time.Millisecond {
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(time.Millisecond)
}
