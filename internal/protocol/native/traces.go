package native

import (
	"context"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/protocol/spans"
	"github.com/gantry-platform/gantry/internal/signal"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

type traceService struct{ api *API }

func (s *traceService) SearchTraces(ctx context.Context, r *gantryv1.SearchTracesRequest) (*gantryv1.SearchTracesResponse, error) {
	namespace, err := s.api.viewed(ctx, r.Namespace)
	if err != nil {
		return nil, err
	}
	query, err := spans.QueryOf(namespace, r)
	if err != nil {
		return nil, err
	}
	found, err := s.api.Traces.Search(ctx, query)
	if err != nil {
		return nil, err
	}
	return spans.FromResult(found), nil
}

func (s *traceService) GetTrace(ctx context.Context, r *gantryv1.GetTraceRequest) (*gantryv1.GetTraceResponse, error) {
	namespace, err := s.api.viewed(ctx, r.Namespace)
	if err != nil {
		return nil, err
	}
	id, ok := signal.ParseTraceID(r.TraceId)
	if !ok {
		return nil, fault.New(fault.Invalid, "trace.id", "%q is no trace id", r.TraceId).At("trace_id").Hinted("it has 1 to 32 hexadecimal digits")
	}
	trace, err := s.api.Traces.Trace(ctx, namespace, id, spans.RangeOf(r.Since, r.Until))
	if err != nil {
		return nil, err
	}
	if len(trace.Spans) == 0 {
		return nil, fault.New(fault.NotFound, "trace.unknown", "no trace %s in namespace %s", id, namespace).At("trace_id").
			Hinted("it may be older than the retention, sampled away, or not have come yet")
	}
	return spans.FromTrace(trace), nil
}

func (s *traceService) ListTraceNames(ctx context.Context, r *gantryv1.ListTraceNamesRequest) (*gantryv1.ListTraceNamesResponse, error) {
	namespace, err := s.api.viewed(ctx, r.Namespace)
	if err != nil {
		return nil, err
	}
	within := spans.RangeOf(r.Since, r.Until)
	var names []string
	if r.Service == "" {
		names, err = s.api.Traces.Services(ctx, namespace, within)
	} else {
		kind, kindErr := spans.KindOf(r.Kind)
		if kindErr != nil {
			return nil, kindErr
		}
		names, err = s.api.Traces.Endpoints(ctx, namespace, r.Service, kind, within)
	}
	if err != nil {
		return nil, err
	}
	return &gantryv1.ListTraceNamesResponse{Names: names}, nil
}

func (s *traceService) ListTraceAttributes(ctx context.Context, r *gantryv1.ListTraceAttributesRequest) (*gantryv1.ListTraceAttributesResponse, error) {
	namespace, err := s.api.viewed(ctx, r.Namespace)
	if err != nil {
		return nil, err
	}
	found, err := s.api.Traces.Attributes(ctx, spans.AttributeQueryOf(namespace, r))
	if err != nil {
		return nil, err
	}
	return spans.FromAttributes(found), nil
}
