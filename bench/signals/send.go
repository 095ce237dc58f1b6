package main

import (
	"context"
	"encoding/hex"
	"sync"
	"sync/atomic"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/gantry-platform/gantry/bench/internal/process"
)

// sent says how sending went.
type sent struct {
	spans, bytes int64
	wall         time.Duration
	cpu          time.Duration
	// left counts spans that the server left out, and waited requests that the server asked to send again later.
	left, waited int64
	// known are some of the traces, and orders some order numbers, spread over the whole time.
	known  []string
	orders []string
}

// workers make requests; each has its own copy of the corpus. senders send them.
const workers = 2

// target is a server that spans are sent to.
type target struct {
	process.Measured
	otlp string
	// settled returns when so many spans have been worked off.
	settled func(ctx context.Context, spans int64) error
}

func send(ctx context.Context, server target, s *settings, c *corpus) (*sent, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	requests := make(chan []byte, 2*s.senders)
	out := &sent{}
	var mu sync.Mutex
	var making, sending sync.WaitGroup
	var made atomic.Int64
	var passes atomic.Uint64
	for range workers {
		making.Go(func() {
			own := c.copy()
			began := own.first
			for made.Load() < int64(s.spans) && ctx.Err() == nil {
				shift := uint64(time.Now().UnixNano()) - began
				began += shift
				p := newPass(passes.Add(1), shift)
				for i, r := range own.requests {
					spans := r.ResourceSpans[0].ScopeSpans[0].Spans
					for _, span := range spans {
						p.vary(span, own.varied)
					}
					if i%8 == 0 {
						mu.Lock()
						out.known = append(out.known, hex.EncodeToString(spans[0].TraceId))
						if order := attribute(spans[0], "order.no"); order != nil {
							out.orders = append(out.orders, order.GetStringValue())
						}
						mu.Unlock()
					}
					raw, err := proto.Marshal(r)
					if err != nil {
						cancel(err)
						return
					}
					made.Add(int64(len(spans)))
					select {
					case requests <- raw:
					case <-ctx.Done():
						return
					}
				}
			}
		})
	}
	var bytes, waited, left atomic.Int64
	before, err := server.CPUTime()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	for range s.senders {
		connection, err := grpc.NewClient(server.otlp, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})))
		if err != nil {
			return nil, err
		}
		sending.Go(func() {
			defer connection.Close()
			for body := range requests {
				var said collector.ExportTraceServiceResponse
				for {
					var answer []byte
					err := connection.Invoke(ctx, collector.TraceService_Export_FullMethodName, body, &answer)
					if code := status.Code(err); code == codes.ResourceExhausted || code == codes.Unavailable {
						waited.Add(1)
						time.Sleep(100 * time.Millisecond)
						continue
					}
					if err == nil {
						err = proto.Unmarshal(answer, &said)
					}
					if err != nil {
						cancel(err)
						return
					}
					break
				}
				bytes.Add(int64(len(body)))
				left.Add(said.GetPartialSuccess().GetRejectedSpans())
			}
		})
	}
	making.Wait()
	close(requests)
	sending.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	out.wall = time.Since(began)
	// What is still being written belongs to the work.
	if err := server.settled(ctx, made.Load()-left.Load()); err != nil {
		return nil, err
	}
	after, err := server.CPUTime()
	if err != nil {
		return nil, err
	}
	out.spans, out.bytes, out.waited, out.left, out.cpu = made.Load(), bytes.Load(), waited.Load(), left.Load(), after-before
	return out, nil
}

// awaitBlocks waits until no more than one block's spans are in memory.
func awaitBlocks(ctx context.Context, server *process.Server, sent int64) error {
	const oneBlock = 512 << 10
	for {
		figures, err := server.Figures(ctx)
		if err != nil {
			return err
		}
		if figures["gantry_traces_block_written_spans_total"]+oneBlock >= float64(sent) {
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// raw sends bytes as they are: they are a protobuf message.
type raw struct{}

func (raw) Name() string { return "proto" }

func (raw) Marshal(v any) ([]byte, error) { return v.([]byte), nil }

func (raw) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = data
	return nil
}

// watchMemory looks at a server's memory until the returned function is called, which tells the most that it saw.
func watchMemory(server process.Measured) func() process.Memory {
	done, answer := make(chan struct{}), make(chan process.Memory)
	go func() {
		var peak process.Memory
		ticker := time.NewTicker(200 * time.Millisecond)
		defer ticker.Stop()
		for {
			if m, err := server.Memory(); err == nil && m.Resident > peak.Resident {
				peak = m
			}
			select {
			case <-ticker.C:
			case <-done:
				answer <- peak
				return
			}
		}
	}()
	return func() process.Memory { close(done); return <-answer }
}
