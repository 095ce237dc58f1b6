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

// replay makes requests out of a corpus, pass after pass. Passes are whole, and so are their traces.
type replay struct {
	requests chan []byte
	encode   encoder
	// wanted is how many passes are made, and passes how many were begun.
	wanted uint64
	passes atomic.Uint64

	mu            sync.Mutex
	known, orders []string
	making        sync.WaitGroup
}

// startReplay begins to make requests, of which room may wait. The channel is closed after the last one. An error is handed to fail.
func startReplay(ctx context.Context, c *corpus, encode encoder, passes, room int, fail func(error)) *replay {
	r := &replay{requests: make(chan []byte, room), encode: encode, wanted: uint64(passes)}
	for range makers {
		r.making.Go(func() {
			own := c.copy()
			began := own.first
			for number := r.passes.Add(1); number <= r.wanted && ctx.Err() == nil; number = r.passes.Add(1) {
				shift := uint64(time.Now().UnixNano()) - began
				began += shift
				if err := r.pass(ctx, own, newPass(number, shift)); err != nil {
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

// pass makes the requests of the whole corpus.
func (r *replay) pass(ctx context.Context, own *corpus, p *pass) error {
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
		select {
		case r.requests <- raw:
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}
