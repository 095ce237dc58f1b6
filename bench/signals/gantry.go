package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gantry-platform/gantry/bench/internal/process"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
	"github.com/gantry-platform/gantry/sdk/api/gantry/v1/gantryv1connect"
)

// measureGantry sends spans by OTLP over gRPC, or in Zipkin's JSON.
func measureGantry(ctx context.Context, s *settings, c *corpus, zipkin bool) error {
	folder, err := os.MkdirTemp(s.data, "bench-signals-")
	if err != nil {
		return err
	}
	if s.keep {
		fmt.Println("folder:", folder)
	} else {
		defer os.RemoveAll(folder)
	}
	server, err := startGantry(ctx, s, folder)
	if err != nil {
		return err
	}
	defer server.Kill()
	to := target{Measured: server, open: openOTLP(server.OTLP), encode: encodeOTLP, settled: func(ctx context.Context, spans int64) (time.Time, error) { return awaitBlocks(ctx, server, spans) }}
	about := subject{title: "Gantry, OTLP over gRPC", acknowledged: "in the log on disk, synced", keeps: true}
	spans, name := s.spans, "signals-cpu.pprof"
	if zipkin {
		to.open, to.encode, to.prepared = openZipkin("http://"+server.HTTP+"/zipkin/api/v2/spans"), encodeZipkin, true
		about.title = "Gantry, Zipkin's JSON over HTTP"
		spans, name = s.zipkinSpans, "signals-zipkin-cpu.pprof"
	}
	if s.profiles != "" {
		to.started = func() { go profile(ctx, server, filepath.Join(s.profiles, name)) }
	}
	sent, err := send(ctx, to, spans, s.senders, c)
	if err != nil {
		return err
	}
	sent.print(about)
	figures, err := server.Figures(ctx)
	if err != nil {
		return err
	}
	if inBlocks := figures["gantry_traces_block_written_spans_total"]; inBlocks > 0 {
		row("bytes on disk a span, in blocks", "%.1f of %.0f spans", figures["gantry_traces_block_written_bytes_total"]/inBlocks, inBlocks)
	} else {
		row("bytes on disk a span, in blocks", "no block is written yet")
	}
	row("blocks", "%.0f", figures["gantry_traces_blocks"])
	client := gantryv1connect.NewTraceServiceClient(http.DefaultClient, "http://"+server.HTTP)
	about.trace, about.searches = gantryTrace(client), gantrySearches(client, sent)
	return about.ask(ctx, sent)
}

// profile writes what a server computes in the middle of taking spans in.
func profile(ctx context.Context, server *process.Server, path string) {
	time.Sleep(5 * time.Second) // into the middle
	if err := server.SaveProfile(ctx, "profile?seconds=10", path); err != nil {
		fmt.Fprintln(os.Stderr, "profile:", err)
	}
}

func startGantry(ctx context.Context, s *settings, folder string) (*process.Server, error) {
	var arguments []string
	if s.keep {
		arguments = append(arguments, "--log-level", "debug")
	}
	if s.memory != "" {
		arguments = append(arguments, "--traces-memory", s.memory)
	}
	return process.Start(ctx, process.Options{Binary: s.server, Data: filepath.Join(folder, "data"), Log: filepath.Join(folder, "log"), Profiled: s.profiles != "", Arguments: arguments})
}

// awaitBlocks waits until no more than one block's spans are in memory.
func awaitBlocks(ctx context.Context, server *process.Server, sent int64) (time.Time, error) {
	const oneBlock = 512 << 10
	return until(ctx, func(ctx context.Context) (bool, error) {
		figures, err := server.Figures(ctx)
		return figures["gantry_traces_block_written_spans_total"]+oneBlock >= float64(sent), err
	})
}

func gantryTrace(client gantryv1connect.TraceServiceClient) func(context.Context, string) (int, time.Duration, error) {
	return func(ctx context.Context, id string) (int, time.Duration, error) {
		began := time.Now()
		got, err := client.GetTrace(ctx, &gantryv1.GetTraceRequest{TraceId: id})
		took := time.Since(began)
		if connect.CodeOf(err) == connect.CodeNotFound {
			return 0, took, nil
		}
		return len(got.GetSpans()), took, err
	}
}

func gantrySearches(client gantryv1connect.TraceServiceClient, s *sent) (all []search) {
	day := &gantryv1.TimeSpan{Since: timestamppb.New(time.Now().Add(-24 * time.Hour))}
	order := s.orders[rand.IntN(len(s.orders))]
	for _, q := range []struct {
		what    string
		request *gantryv1.SearchTracesRequest
	}{
		{searchOrder, &gantryv1.SearchTracesRequest{Attributes: map[string]string{"order.no": order}}},
		{searchOrder + ofService, &gantryv1.SearchTracesRequest{Service: "loan", Attributes: map[string]string{"order.no": order}}},
		{searchNowhere, &gantryv1.SearchTracesRequest{Attributes: map[string]string{"order.no": "o-nowhere"}}},
		{searchNowhere + ofService, &gantryv1.SearchTracesRequest{Service: "loan", Attributes: map[string]string{"order.no": "o-nowhere"}}},
		{searchRefused + " (every span is looked at)", &gantryv1.SearchTracesRequest{MinDuration: durationpb.New(10 * time.Second), Attributes: map[string]string{"refusal.reason": "high_burden"}}},
		{"search: a key that no span has", &gantryv1.SearchTracesRequest{Attributes: map[string]string{"no.such.key": "x"}}},
		{"search: the newest failed ones", &gantryv1.SearchTracesRequest{Outcomes: []string{"failed"}}},
		{searchNewest, &gantryv1.SearchTracesRequest{Service: "risk"}},
	} {
		q.request.Within, q.request.Limit = day, found
		all = append(all, search{q.what, func(ctx context.Context) (int, time.Duration, error) {
			began := time.Now()
			got, err := client.SearchTraces(ctx, q.request)
			took := time.Since(began)
			if err == nil && (got.Truncated || len(got.Partial) > 0) {
				err = errors.New("the answer is not whole")
			}
			return len(got.GetTraces()), took, err
		}})
	}
	return all
}

// Searches that more than one server is asked; Jaeger asks for a service each time.
const (
	searchOrder   = "search: an order's number"
	searchNowhere = "search: a number that is nowhere"
	searchRefused = "search: refused for a reason, over 10 s"
	searchNewest  = "search: the newest of a service"
	ofService     = ", of one service"
	// found is how many traces a search finds at most.
	found = 20
)
