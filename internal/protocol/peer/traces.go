package peer

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/protocol/peer/peerv1"
	"github.com/gantry-platform/gantry/internal/protocol/spans"
	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/ingest"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// maxTraceAnswer bounds what a node answers of one trace or of a search: some 100,000 spans.
const maxTraceAnswer = 128 << 20

// TraceService answers other nodes about the traces of this one.
type TraceService struct {
	peerv1.UnimplementedTracePeerServiceServer

	Ingest *ingest.Room
	Traces signal.TraceReader
	// Started is as of [Service].
	Started func() bool
}

// Keep implements the service.
func (s *TraceService) Keep(ctx context.Context, r *peerv1.KeepRequest) (*peerv1.KeepResponse, error) {
	if !s.Started() {
		return nil, errStarting
	}
	result, err := s.Ingest.Keep(ctx, r.Namespace, r.Request)
	if err != nil {
		return nil, traceError(err)
	}
	return &peerv1.KeepResponse{Rejected: uint32(result.Rejected), Message: result.Message}, nil
}

// traceError keeps the two codes apart that senders are told differently.
func traceError(err error) error {
	if fault.Is(err, fault.Exhausted) {
		return status.Error(codes.ResourceExhausted, fault.From(err).Error())
	}
	return wireError(err)
}

// SearchTraces implements the service.
func (s *TraceService) SearchTraces(ctx context.Context, r *gantryv1.SearchTracesRequest) (*gantryv1.SearchTracesResponse, error) {
	query, err := spans.QueryOf(r.Namespace, r)
	if err != nil {
		return nil, wireError(err)
	}
	found, err := s.Traces.Search(ctx, query)
	if err != nil {
		return nil, wireError(err)
	}
	return spans.FromResult(found), nil
}

// GetTrace implements the service.
func (s *TraceService) GetTrace(ctx context.Context, r *gantryv1.GetTraceRequest) (*gantryv1.GetTraceResponse, error) {
	id, ok := signal.ParseTraceID(r.TraceId)
	if !ok {
		return nil, status.Error(codes.InvalidArgument, "no trace id")
	}
	trace, err := s.Traces.Trace(ctx, r.Namespace, id, spans.RangeOf(r.Since, r.Until))
	if err != nil {
		return nil, wireError(err)
	}
	return spans.FromTrace(trace), nil
}

// ListTraceNames implements the service.
func (s *TraceService) ListTraceNames(ctx context.Context, r *gantryv1.ListTraceNamesRequest) (*gantryv1.ListTraceNamesResponse, error) {
	kind, err := spans.KindOf(r.Kind)
	if err != nil {
		return nil, wireError(err)
	}
	within := spans.RangeOf(r.Since, r.Until)
	var names []string
	if r.Service == "" {
		names, err = s.Traces.Services(ctx, r.Namespace, within)
	} else {
		names, err = s.Traces.Endpoints(ctx, r.Namespace, r.Service, kind, within)
	}
	if err != nil {
		return nil, wireError(err)
	}
	return &gantryv1.ListTraceNamesResponse{Names: names}, nil
}

// Forward has a node keep spans. It is a part of [ingest.Router].
func (c *Client) Forward(ctx context.Context, nodeID, namespace string, raw []byte) (ingest.Result, error) {
	for _, node := range c.others() {
		if node.ID != nodeID {
			continue
		}
		client, err := c.traces(node.PeerAddress)
		if err != nil {
			return ingest.Result{}, err
		}
		ctx, cancel := context.WithTimeout(ctx, callTimeout+ingest.RetryAfter)
		defer cancel()
		answer, err := client.Keep(ctx, &peerv1.KeepRequest{Namespace: namespace, Request: raw})
		switch status.Code(err) {
		case codes.OK:
			return ingest.Result{Rejected: int(answer.Rejected), Message: answer.Message}, nil
		case codes.ResourceExhausted:
			return ingest.Result{}, fault.New(fault.Exhausted, "traces.too_fast", "node %s, which these traces belong to, takes no more at the moment", node.Name).
				Hinted("send again in some seconds").Because(err)
		}
		return ingest.Result{}, fault.New(fault.Unavailable, "cluster.node_silent", "node %s did not take the traces that belong to it", node.Name).Because(err)
	}
	return ingest.Result{}, fault.New(fault.Unavailable, "cluster.node_gone", "the node %s is not there any more", nodeID)
}

// traces is a client of a node's traces.
func (c *Client) traces(address string) (peerv1.TracePeerServiceClient, error) {
	connection, err := c.connection(address)
	if err != nil {
		return nil, err
	}
	return peerv1.NewTracePeerServiceClient(connection), nil
}

// TraceReaders are the traces of the other nodes, by the nodes' names.
func (c *Client) TraceReaders() map[string]signal.TraceReader {
	readers := map[string]signal.TraceReader{}
	for _, node := range c.keepers() {
		readers[node.Name] = &traceReader{client: c, address: node.PeerAddress}
	}
	return readers
}

// traceReader asks one node.
type traceReader struct {
	client  *Client
	address string
}

func (r *traceReader) Trace(ctx context.Context, namespace string, id signal.TraceID, within signal.Range) (signal.Trace, error) {
	client, err := r.client.traces(r.address)
	if err != nil {
		return signal.Trace{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	answer, err := client.GetTrace(ctx, &gantryv1.GetTraceRequest{Namespace: namespace, TraceId: id.String(), Since: bound(within.Since), Until: bound(within.Until)}, grpc.MaxCallRecvMsgSize(maxTraceAnswer))
	if err != nil {
		return signal.Trace{}, err
	}
	return spans.ToTrace(answer), nil
}

func (r *traceReader) Search(ctx context.Context, q signal.TraceQuery) (signal.SearchResult, error) {
	client, err := r.client.traces(r.address)
	if err != nil {
		return signal.SearchResult{}, err
	}
	answer, err := client.SearchTraces(ctx, spans.RequestOf(q), grpc.MaxCallRecvMsgSize(maxTraceAnswer)) // it ends with the asker's own limit
	if err != nil {
		return signal.SearchResult{}, err
	}
	return spans.ToResult(answer), nil
}

func (r *traceReader) Services(ctx context.Context, namespace string, within signal.Range) ([]string, error) {
	return r.names(ctx, &gantryv1.ListTraceNamesRequest{Namespace: namespace, Since: bound(within.Since), Until: bound(within.Until)})
}

func (r *traceReader) Endpoints(ctx context.Context, namespace, service string, kind signal.Kind, within signal.Range) ([]string, error) {
	request := &gantryv1.ListTraceNamesRequest{Namespace: namespace, Service: service, Since: bound(within.Since), Until: bound(within.Until)}
	if kind != signal.KindUnspecified {
		request.Kind = kind.String()
	}
	return r.names(ctx, request)
}

func (r *traceReader) names(ctx context.Context, request *gantryv1.ListTraceNamesRequest) ([]string, error) {
	client, err := r.client.traces(r.address)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	answer, err := client.ListTraceNames(ctx, request, grpc.MaxCallRecvMsgSize(maxTraceAnswer))
	if err != nil {
		return nil, err
	}
	return answer.Names, nil
}

// ListTraceAttributes implements the service.
func (s *TraceService) ListTraceAttributes(ctx context.Context, r *gantryv1.ListTraceAttributesRequest) (*gantryv1.ListTraceAttributesResponse, error) {
	found, err := s.Traces.Attributes(ctx, spans.AttributeQueryOf(r.Namespace, r))
	if err != nil {
		return nil, wireError(err)
	}
	return spans.FromAttributes(found), nil
}

func (r *traceReader) Attributes(ctx context.Context, q signal.AttributeQuery) (signal.AttributeResult, error) {
	client, err := r.client.traces(r.address)
	if err != nil {
		return signal.AttributeResult{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	answer, err := client.ListTraceAttributes(ctx, &gantryv1.ListTraceAttributesRequest{Namespace: q.Namespace, Service: q.Service, Key: q.Key, Prefix: q.Prefix,
		Since: bound(q.Within.Since), Until: bound(q.Within.Until), Limit: uint32(q.Limit)})
	if err != nil {
		return signal.AttributeResult{}, err
	}
	return spans.ToAttributes(answer), nil
}

func bound(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
