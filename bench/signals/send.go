package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
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
	// wall is the time until all was acknowledged, and settled that until all was worked off.
	wall, settled time.Duration
	cpu           time.Duration
	// left counts spans that the server left out, and waited requests that the server asked to send again later.
	left, waited int64
	// known are some of the traces, and orders some order numbers, spread over the whole time.
	known  []string
	orders []string
	// peak is the most memory that was seen meanwhile.
	peak process.Memory
}

// target is a server that spans are sent to.
type target struct {
	process.Measured
	// open makes a way to the server, for one sender.
	open func() (way, error)
	// encode makes requests in the server's language.
	encode encoder
	// prepared has all requests made before the clock starts. They have to fit into memory.
	prepared bool
	// started is called when the clock starts; it may be nil.
	started func()
	// settled returns when so many spans have been worked off, and tells since when that was so.
	settled func(ctx context.Context, spans int64) (time.Time, error)
}

// way hands requests to a server.
type way interface {
	// deliver returns how many spans were left out, and errBusy when the server asks to send it again later.
	deliver(ctx context.Context, body []byte) (left int64, err error)
	close()
}

var errBusy = errors.New("the server asks to wait")

// retryAfter is how long a sender waits before it sends again what the server had no room for.
const retryAfter = 100 * time.Millisecond

// delivery is what senders count.
type delivery struct{ bytes, waited, left atomic.Int64 }

// send replays the corpus until a server has acknowledged so many spans, rounded up to whole passes, and waits until it has worked them off.
func send(ctx context.Context, to target, spans, senders int, c *corpus) (*sent, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	passes := c.passes(spans)
	room := 2 * senders
	if to.prepared {
		room = passes * len(c.requests)
	}
	replay := startReplay(ctx, c, to.encode, passes, room, cancel)
	if to.prepared {
		replay.making.Wait()
	}
	watch := watchMemory(to)
	before, err := to.CPUTime()
	if err != nil {
		return nil, err
	}
	var counted delivery
	var sending sync.WaitGroup
	if to.started != nil {
		to.started()
	}
	began := time.Now()
	for range senders {
		way, err := to.open()
		if err != nil {
			return nil, err
		}
		sending.Go(func() {
			defer way.close()
			if err := counted.all(ctx, way, replay.requests); err != nil {
				cancel(err)
			}
		})
	}
	sending.Wait()
	out := &sent{wall: time.Since(began)}
	replay.making.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	out.spans, out.bytes, out.waited, out.left = int64(passes*c.spans), counted.bytes.Load(), counted.waited.Load(), counted.left.Load()
	out.known, out.orders = replay.known, replay.orders
	// What is still being written belongs to the work.
	settled, err := to.settled(ctx, out.spans-out.left)
	if err != nil {
		return nil, err
	}
	out.settled = max(settled.Sub(began), out.wall)
	after, err := to.CPUTime()
	if err != nil {
		return nil, err
	}
	out.cpu, out.peak = after-before, watch()
	return out, nil
}

// all delivers requests until there are no more.
func (d *delivery) all(ctx context.Context, way way, requests <-chan []byte) error {
	for body := range requests {
		left, err := way.deliver(ctx, body)
		for errors.Is(err, errBusy) {
			d.waited.Add(1)
			select {
			case <-time.After(retryAfter):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			left, err = way.deliver(ctx, body)
		}
		if err != nil {
			return err
		}
		d.bytes.Add(int64(len(body)))
		d.left.Add(left)
	}
	return nil
}

// otlpWay is a connection of OTLP over gRPC.
type otlpWay struct{ connection *grpc.ClientConn }

func openOTLP(address string) func() (way, error) {
	return func() (way, error) {
		connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})))
		return otlpWay{connection}, err
	}
}

func (w otlpWay) deliver(ctx context.Context, body []byte) (int64, error) {
	var answer []byte
	err := w.connection.Invoke(ctx, collector.TraceService_Export_FullMethodName, body, &answer)
	if code := status.Code(err); code == codes.ResourceExhausted || code == codes.Unavailable {
		return 0, errBusy
	}
	if err != nil {
		return 0, err
	}
	var said collector.ExportTraceServiceResponse
	err = proto.Unmarshal(answer, &said)
	return said.GetPartialSuccess().GetRejectedSpans(), err
}

func (w otlpWay) close() { _ = w.connection.Close() } // everything was answered

// raw sends bytes as they are: they are a protobuf message.
type raw struct{}

func (raw) Name() string { return "proto" }

func (raw) Marshal(v any) ([]byte, error) { return v.([]byte), nil }

func (raw) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = data
	return nil
}

// zipkinWay is a connection of HTTP that lists of spans in Zipkin's JSON are posted over.
type zipkinWay struct {
	client *http.Client
	url    string
}

func openZipkin(url string) func() (way, error) {
	return func() (way, error) {
		return zipkinWay{&http.Client{Transport: &http.Transport{DisableCompression: true}}, url}, nil
	}
}

func (w zipkinWay) deliver(ctx context.Context, body []byte) (int64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := w.client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	switch {
	case err != nil:
		return 0, err
	case response.StatusCode == http.StatusAccepted:
		return 0, nil
	case response.StatusCode == http.StatusTooManyRequests || response.StatusCode == http.StatusServiceUnavailable:
		return 0, errBusy
	}
	return 0, fmt.Errorf("%s answers %s: %.200s", w.url, response.Status, text)
}

func (w zipkinWay) close() { w.client.CloseIdleConnections() }
