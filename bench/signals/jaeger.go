package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gantry-platform/gantry/bench/internal/process"
	"github.com/gantry-platform/gantry/bench/internal/stats"
)

// measureJaeger sends the same spans to Jaeger with Badger, and asks it the same. It acknowledges spans when they are in a queue in memory, and drops what
// the queue has no room for without telling the sender; what it has in the end is found by looking traces up.
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
	watch := watchMemory(jaeger)
	sent, err := send(ctx, target{otlp: jaeger.GRPC, Measured: jaeger, settled: func(ctx context.Context, _ int64) error { return idle(ctx, jaeger) }}, s, c)
	if err != nil {
		return err
	}
	peak := watch()
	size, err := folderSize(filepath.Join(folder, "jaeger"))
	if err != nil {
		return err
	}
	fmt.Printf("\n| Jaeger %s with Badger | figure |\n|---|---|\n", "1.x")
	fmt.Printf("| spans a second, wall clock | %.0f |\n", float64(sent.spans)/sent.wall.Seconds())
	fmt.Printf("| spans sent a second of its processor time | %.0f |\n", float64(sent.spans)/sent.cpu.Seconds())
	fmt.Printf("| memory at most | %d MiB, of which the program's own %d MiB |\n", peak.Resident>>20, peak.Anonymous>>20)
	var took []time.Duration
	found := 0
	const looks = 200
	for range looks {
		id := sent.known[rand.IntN(len(sent.known))]
		began := time.Now()
		spans, err := jaegerSpans(ctx, jaeger.HTTP, "/api/traces/"+id)
		if err != nil {
			return err
		}
		if spans > 0 {
			found++
			took = append(took, time.Since(began))
		}
	}
	fmt.Printf("| traces that are there | %d of %d looked up |\n", found, looks)
	fmt.Printf("| bytes on disk a span sent | %.1f |\n", float64(size)/float64(sent.spans))
	if len(took) > 0 {
		slices.SortFunc(took, cmp.Compare[time.Duration])
		fmt.Printf("| trace by id | median %s, p99 %s |\n", round(stats.Quantile(took, 0.5)), round(stats.Quantile(took, 0.99)))
	}
	order := sent.orders[rand.IntN(len(sent.orders))]
	tags := url.QueryEscape(fmt.Sprintf(`{"order.no":%q}`, order))
	began := time.Now()
	spans, err := jaegerSpans(ctx, jaeger.HTTP, fmt.Sprintf("/api/traces?service=loan&lookback=24h&limit=20&start=%d&end=%d&tags=%s", time.Now().Add(-24*time.Hour).UnixMicro(), time.Now().UnixMicro(), tags))
	if err != nil {
		return err
	}
	fmt.Printf("| search: an order's number, of one service | %s (%d spans) |\n", round(time.Since(began)), spans)
	return nil
}

// jaegerSpans asks for traces and counts their spans.
func jaegerSpans(ctx context.Context, host, path string) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+path, nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode == http.StatusNotFound {
		return 0, err
	}
	var answer struct {
		Data []struct {
			Spans []json.RawMessage `json:"spans"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return 0, fmt.Errorf("jaeger answers %d %.200q: %w", response.StatusCode, body, err)
	}
	n := 0
	for _, trace := range answer.Data {
		n += len(trace.Spans)
	}
	return n, nil
}

// idle waits until a process has computed next to nothing for a second.
func idle(ctx context.Context, p process.Measured) error {
	last, err := p.CPUTime()
	for err == nil {
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
		var now time.Duration
		if now, err = p.CPUTime(); now-last < 50*time.Millisecond {
			return err
		}
		last = now
	}
	return err
}

func folderSize(dir string) (size int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	return size, err
}
