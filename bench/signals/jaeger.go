package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/gantry-platform/gantry/bench/internal/process"
)

// measureJaeger sends the same spans to Jaeger with Badger, and asks it the same. It acknowledges a request when it is in a queue in memory, of 1000
// requests; when that is full it asks the sender to come again.
func measureJaeger(ctx context.Context, s *settings, c *corpus) error {
	folder, err := os.MkdirTemp(s.data, "bench-jaeger-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	jaeger, err := process.StartJaeger(ctx, s.jaeger, folder)
	if err != nil {
		return err
	}
	defer jaeger.Kill()
	var written, failed int64
	sent, err := send(ctx, target{Measured: jaeger, open: openOTLP(jaeger.GRPC), encode: encodeOTLP, settled: func(ctx context.Context, spans int64) (time.Time, error) {
		return until(ctx, func(ctx context.Context) (bool, error) {
			var err error
			written, failed, err = jaeger.Stored(ctx)
			return written+failed >= spans, err
		})
	}}, s.spans, s.senders, c)
	if err != nil {
		return err
	}
	about := subject{title: "Jaeger " + jaeger.Version + " with Badger, OTLP over gRPC", acknowledged: "in a queue in memory; written later, not synced",
		trace: jaegerTrace(jaeger.HTTP), searches: jaegerSearches(jaeger.HTTP, sent)}
	sent.print(about)
	row("spans dropped after they were acknowledged", "%d (it says that it has written %d)", failed, written)
	size, err := folderSize(filepath.Join(folder, "badger"))
	if err != nil {
		return err
	}
	row("bytes on disk a span", "%.1f", float64(size)/float64(sent.spans))
	return about.ask(ctx, sent)
}

// jaegerAnswer is what its query API answers.
type jaegerAnswer struct {
	Data []struct {
		Spans []json.RawMessage `json:"spans"`
	} `json:"data"`
}

func jaegerTrace(host string) func(context.Context, string) (int, time.Duration, error) {
	return func(ctx context.Context, id string) (spans int, took time.Duration, err error) {
		var answer jaegerAnswer
		took, err = get(ctx, "http://"+host+"/api/traces/"+id, &answer)
		for _, trace := range answer.Data {
			spans += len(trace.Spans)
		}
		return spans, took, err
	}
}

func jaegerSearches(host string, s *sent) (all []search) {
	order := s.orders[rand.IntN(len(s.orders))]
	for _, q := range []struct {
		what, service, key, value string
		more                      url.Values
	}{
		{what: searchOrder + ofService, service: "loan", key: "order.no", value: order},
		{what: searchNowhere + ofService, service: "loan", key: "order.no", value: "o-nowhere"},
		{what: searchRefused + ofService, service: "loan", key: "refusal.reason", value: "high_burden", more: url.Values{"minDuration": {"10s"}}},
		{what: searchNewest, service: "risk"},
	} {
		query := url.Values{"service": {q.service}, "limit": {strconv.Itoa(found)}}
		for key, values := range q.more {
			query[key] = values
		}
		if q.key != "" {
			query.Set("tags", fmt.Sprintf("{%q:%q}", q.key, q.value))
		}
		all = append(all, search{q.what, func(ctx context.Context) (int, time.Duration, error) {
			query.Set("start", strconv.FormatInt(time.Now().Add(-24*time.Hour).UnixMicro(), 10))
			query.Set("end", strconv.FormatInt(time.Now().UnixMicro(), 10))
			var answer jaegerAnswer
			took, err := get(ctx, "http://"+host+"/api/traces?"+query.Encode(), &answer)
			return len(answer.Data), took, err
		}})
	}
	return all
}
