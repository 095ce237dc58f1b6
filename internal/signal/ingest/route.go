package ingest

import (
	"context"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/wire"
)

// Router knows which node of a cluster keeps a trace, so that all its spans meet there, whichever node they are sent to.
type Router interface {
	// Owners tells, for the nodes that are live now, the id of the node that keeps a trace; empty for this one.
	Owners() func(id signal.TraceID) string
	// Forward has the owner keep spans, an ExportTraceServiceRequest, and returns when they are durable there. Errors of code Unavailable mean that it
	// is away.
	Forward(ctx context.Context, node, namespace string, raw []byte) (Result, error)
}

// Traces takes what a sender sent, and has each trace kept by the node it belongs to; see [Room.Keep]. While that one is away, this one keeps it: it is
// found all the same, since all nodes are asked.
func (r *Room) Traces(ctx context.Context, namespace string, raw []byte) (Result, error) {
	if r.options.Router == nil || len(raw) > MaxRequest {
		return r.Keep(ctx, namespace, raw)
	}
	parts, sum := r.split(raw)
	if parts == nil {
		return r.Keep(ctx, namespace, raw)
	}
	var mu sync.Mutex
	var all errgroup.Group
	for node, part := range parts {
		all.Go(func() error {
			result, err := r.deliver(ctx, node, namespace, part)
			mu.Lock()
			defer mu.Unlock()
			sum.Rejected += result.Rejected
			if result.Message != "" && sum.Message != result.Message {
				sum.Message = strings.TrimPrefix(sum.Message+"; "+result.Message, "; ")
			}
			return err
		})
	}
	err := all.Wait()
	return sum, err
}

func (r *Room) deliver(ctx context.Context, node, namespace string, part []byte) (Result, error) {
	if node == "" {
		return r.Keep(ctx, namespace, part)
	}
	result, err := r.options.Router.Forward(ctx, node, namespace, part)
	if !fault.Is(err, fault.Unavailable) {
		return result, err
	}
	r.strayed.Inc()
	return r.Keep(ctx, namespace, part)
}

// split makes a request for each node, and says what cannot be kept by any; nil when all is for this one, or it is no request: Keep says so then.
func (r *Room) split(raw []byte) (map[string][]byte, Result) {
	d := r.decoders.Get().(*wire.Decoder)
	defer func() {
		d.Reset()
		r.decoders.Put(d)
	}()
	spans, err := d.Decode(raw)
	if err != nil {
		return nil, Result{}
	}
	owner := r.options.Router.Owners()
	places := map[string][]signal.Place{}
	for i := range spans {
		node := owner(spans[i].TraceID)
		places[node] = append(places[node], d.Places[i])
	}
	if len(places[""]) == len(spans) {
		return nil, Result{}
	}
	parts := map[string][]byte{}
	for node, some := range places {
		parts[node] = wire.Assemble(raw, d.Groups, some)
	}
	lost := sorted{dropped: map[string]int{"no_trace_id": d.Rejected.NoTraceID, "no_span_id": d.Rejected.NoSpanID}}
	for reason, n := range lost.dropped {
		r.left.WithLabelValues(reason).Add(float64(n))
	}
	return parts, lost.result(0)
}
