package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/gantry-platform/gantry/bench/internal/process"
)

const (
	// zipkinWarmUp is how many spans are sent to Java before the clock starts, so that it has compiled what it runs.
	zipkinWarmUp = 100_000
	// A span of the sample fleet takes 3.9 KB of Java's heap when all garbage is gone; the collector gets half as much again as room. zipkinHeapBase is in MiB.
	zipkinHeapSpan = 6 << 10
	zipkinHeapBase = 512
)

// measureZipkin sends the same spans in its JSON to Zipkin's server, with storage in memory that has room for all of them.
func measureZipkin(ctx context.Context, s *settings, c *corpus) error {
	folder, err := os.MkdirTemp(s.data, "bench-zipkin-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	limits := process.ZipkinLimits{Spans: (c.passes(zipkinWarmUp) + c.passes(s.zipkinSpans)) * c.spans}
	limits.HeapMiB = zipkinHeapBase + limits.Spans*zipkinHeapSpan>>20
	zipkin, err := process.StartZipkin(ctx, s.zipkin, folder, limits)
	if err != nil {
		return err
	}
	defer zipkin.Kill()
	to := target{Measured: zipkin, open: openZipkin("http://" + zipkin.HTTP + "/api/v2/spans"), encode: encodeZipkin, prepared: true,
		settled: func(ctx context.Context, _ int64) (time.Time, error) { return idle(ctx, zipkin) }}
	warm, err := send(ctx, to, zipkinWarmUp, s.senders, c)
	if err != nil {
		return err
	}
	sent, err := send(ctx, to, s.zipkinSpans, s.senders, c)
	if err != nil {
		return err
	}
	about := subject{title: "Zipkin " + zipkin.Version + ", its JSON over HTTP", acknowledged: "in a queue in memory; kept in memory alone: a restart loses all",
		trace: zipkinTrace(zipkin.HTTP), searches: zipkinSearches(zipkin.HTTP, sent)}
	sent.print(about)
	taken, dropped, err := zipkin.Dropped(ctx)
	if err != nil {
		return err
	}
	row("spans dropped after they were acknowledged", "%d (it says that it took %d)", dropped, taken-warm.spans)
	row("bytes on disk a span", "none")
	row("room for", "%d spans (MEM_MAX_SPANS), in a heap of %d MiB; %d spans to warm up are not in the figures", limits.Spans, limits.HeapMiB, warm.spans)
	return about.ask(ctx, sent)
}

func zipkinTrace(host string) func(context.Context, string) (int, time.Duration, error) {
	return func(ctx context.Context, id string) (int, time.Duration, error) {
		var spans []json.RawMessage
		took, err := get(ctx, "http://"+host+"/api/v2/trace/"+id, &spans)
		return len(spans), took, err
	}
}

func zipkinSearches(host string, s *sent) (all []search) {
	order := s.orders[rand.IntN(len(s.orders))]
	for _, q := range []struct {
		what  string
		query url.Values
	}{
		{searchOrder, url.Values{"annotationQuery": {"order.no=" + order}}},
		{searchOrder + ofService, url.Values{"serviceName": {"loan"}, "annotationQuery": {"order.no=" + order}}},
		{searchNowhere, url.Values{"annotationQuery": {"order.no=o-nowhere"}}},
		{searchNowhere + ofService, url.Values{"serviceName": {"loan"}, "annotationQuery": {"order.no=o-nowhere"}}},
		{searchRefused, url.Values{"annotationQuery": {"refusal.reason=high_burden"}, "minDuration": {strconv.FormatInt((10 * time.Second).Microseconds(), 10)}}},
		{searchNewest, url.Values{"serviceName": {"risk"}}},
	} {
		q.query.Set("limit", strconv.Itoa(found))
		q.query.Set("lookback", strconv.FormatInt((24*time.Hour).Milliseconds(), 10))
		all = append(all, search{q.what, func(ctx context.Context) (int, time.Duration, error) {
			var traces []json.RawMessage
			took, err := get(ctx, fmt.Sprintf("http://%s/api/v2/traces?%s", host, q.query.Encode()), &traces)
			return len(traces), took, err
		}})
	}
	return all
}
