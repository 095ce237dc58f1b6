package main

import (
	"context"
	"encoding/hex"
	"sync"
	"sync/atomic"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// encoder makes the bytes of a request.
type encoder func(*collector.ExportTraceServiceRequest) ([]byte, error)

// encodeOTLP makes OTLP in protobuf.
func encodeOTLP(r *collector.ExportTraceServiceRequest) ([]byte, error) { return proto.Marshal(r) }

// makers is how many goroutines make requests; each has its own copy of the corpus.
const makers = 2

// replay makes requests out of a corpus, pass after pass, until they have so many spans. Passes are whole, and so are their traces: there are up to
// makers passes more than asked for.
type replay struct {
	requests chan []byte
	encode   encoder
	wanted   int64
	made     atomic.Int64
	passes   atomic.Uint64

	mu            sync.Mutex
	known, orders []string
	making        sync.WaitGroup
}

// startReplay begins to make requests, of which room may wait. The channel is closed after the last one. An error is handed to fail.
func startReplay(ctx context.Context, c *corpus, encode encoder, spans, room int, fail func(error)) *replay {
	r := &replay{requests: make(chan []byte, room), encode: encode, wanted: int64(spans)}
	for range makers {
		r.making.Go(func() {
			own := c.copy()
			began := own.first
			for r.made.Load() < r.wanted && ctx.Err() == nil {
				shift := uint64(time.Now().UnixNano()) - began
				began += shift
				if err := r.pass(ctx, own, shift); err != nil {
					fail(err)
					return
				}
			}
		})
	}
	go func() {
		r.making.Wait()
		close(r.requests)
	}()
	return r
}

// pass makes the requests of the whole corpus, as of another time.
func (r *replay) pass(ctx context.Context, own *corpus, shift uint64) error {
	p := newPass(r.passes.Add(1), shift)
	for i, request := range own.requests {
		spans := request.ResourceSpans[0].ScopeSpans[0].Spans
		for _, span := range spans {
			p.vary(span, own.varied)
		}
		if i%8 == 0 {
			r.mu.Lock()
			r.known = append(r.known, hex.EncodeToString(spans[0].TraceId))
			if order := attribute(spans[0], "order.no"); order != nil {
				r.orders = append(r.orders, order.GetStringValue())
			}
			r.mu.Unlock()
		}
		raw, err := r.encode(request)
		if err != nil {
			return err
		}
		r.made.Add(int64(len(spans)))
		select {
		case r.requests <- raw:
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}
