package native

import (
	"context"
	"math"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/signal"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

type traceService struct{ api *API }

func (s *traceService) SearchTraces(ctx context.Context, r *gantryv1.SearchTracesRequest) (*gantryv1.SearchTracesResponse, error) {
	namespace, err := viewed(ctx, r.Namespace)
	if err != nil {
		return nil, err
	}
	query := signal.TraceQuery{Namespace: namespace, Service: r.Service, Endpoint: r.Endpoint, MinDuration: r.MinDuration.AsDuration(), MaxDuration: r.MaxDuration.AsDuration(),
		Instance: r.Instance, Version: r.Version, Lane: r.Lane, Release: r.Release, Limit: int(min(r.Limit, math.MaxInt32))}
	query.Since, query.Until = bounds(r.Within)
	if query.Kind, err = kindOf(r.Kind); err != nil {
		return nil, err
	}
	for _, text := range r.Outcomes {
		outcome, ok := signal.ParseOutcome(text)
		if !ok {
			return nil, fault.New(fault.Invalid, "trace.outcome", "%q is no outcome", text).At("outcomes").Hinted("use success, refused or failed")
		}
		query.Outcomes = append(query.Outcomes, outcome)
	}
	for key, text := range r.Attributes {
		query.Attributes = append(query.Attributes, signal.Match{Key: key, Text: text})
	}
	found, err := s.api.Traces.Search(ctx, query)
	if err != nil {
		return nil, err
	}
	answer := &gantryv1.SearchTracesResponse{Partial: found.Partial, Truncated: found.Truncated}
	for _, t := range found.Traces {
		answer.Traces = append(answer.Traces, summaryOf(t))
	}
	return answer, nil
}

func kindOf(text string) (signal.Kind, error) {
	if text == "" {
		return signal.KindUnspecified, nil
	}
	kind, ok := signal.ParseKind(text)
	if !ok {
		return 0, fault.New(fault.Invalid, "trace.kind", "%q is no kind of span", text).At("kind").Hinted("use server, client, producer, consumer or internal")
	}
	return kind, nil
}

func summaryOf(t signal.TraceSummary) *gantryv1.TraceSummary {
	out := &gantryv1.TraceSummary{TraceId: t.TraceID.String(), Start: timestamppb.New(t.Start), Duration: durationpb.New(t.Duration), RootService: t.RootService, RootName: t.RootName,
		Complete: t.Complete, Spans: uint32(t.Spans), Failed: uint32(t.Failed), Services: map[string]uint32{}}
	for service, n := range t.Services {
		out.Services[service] = uint32(n)
	}
	for _, id := range t.Matched {
		out.MatchedSpanIds = append(out.MatchedSpanIds, id.String())
	}
	return out
}

func (s *traceService) GetTrace(ctx context.Context, r *gantryv1.GetTraceRequest) (*gantryv1.GetTraceResponse, error) {
	namespace, err := viewed(ctx, r.Namespace)
	if err != nil {
		return nil, err
	}
	id, ok := signal.ParseTraceID(r.TraceId)
	if !ok {
		return nil, fault.New(fault.Invalid, "trace.id", "%q is no trace id", r.TraceId).At("trace_id").Hinted("it has 1 to 32 hexadecimal digits")
	}
	trace, err := s.api.Traces.Trace(ctx, namespace, id, rangeOf(r.Since, r.Until))
	if err != nil {
		return nil, err
	}
	if len(trace.Spans) == 0 {
		return nil, fault.New(fault.NotFound, "trace.unknown", "no trace %s in namespace %s", id, namespace).At("trace_id").
			Hinted("it may be older than the retention, sampled away, or not have come yet")
	}
	answer := &gantryv1.GetTraceResponse{Partial: trace.Partial}
	for i := range trace.Spans {
		answer.Spans = append(answer.Spans, spanOf(&trace.Spans[i]))
	}
	return answer, nil
}

func rangeOf(since, until *timestamppb.Timestamp) signal.Range {
	var r signal.Range
	if since != nil {
		r.Since = since.AsTime()
	}
	if until != nil {
		r.Until = until.AsTime()
	}
	return r
}

func spanOf(s *signal.Span) *gantryv1.Span {
	r := s.Resource
	out := &gantryv1.Span{TraceId: s.TraceID.String(), SpanId: s.ID.String(), Name: s.Name, Kind: s.Kind.String(), Start: timestamppb.New(time.Unix(0, s.Start)),
		Duration: durationpb.New(time.Duration(s.Duration)), Status: s.Status.String(), StatusMessage: s.StatusMessage, Outcome: s.Outcome.String(), Service: r.Service,
		Instance: r.Instance, Version: r.Version, Lane: r.Lane, Release: r.Release, Scope: s.Scope, TraceState: s.TraceState,
		Attributes: attributesOf(s.Attributes), Resource: attributesOf(r.Attributes)}
	if !s.Parent.IsZero() {
		out.ParentSpanId = s.Parent.String()
	}
	for i := range s.Events {
		e := &s.Events[i]
		out.Events = append(out.Events, &gantryv1.SpanEvent{Name: e.Name, At: timestamppb.New(time.Unix(0, e.Time)), Attributes: attributesOf(e.Attributes)})
	}
	for i := range s.Links {
		l := &s.Links[i]
		out.Links = append(out.Links, &gantryv1.SpanLink{TraceId: l.TraceID.String(), SpanId: l.SpanID.String(), Attributes: attributesOf(l.Attributes)})
	}
	return out
}

func attributesOf(attributes []signal.Attribute) []*gantryv1.SpanAttribute {
	out := make([]*gantryv1.SpanAttribute, 0, len(attributes))
	for i := range attributes {
		a := &attributes[i]
		one := &gantryv1.SpanAttribute{Key: a.Key}
		switch v := a.Value; v.Type {
		case signal.TypeString:
			one.Value = &gantryv1.SpanAttribute_Text{Text: v.Text}
		case signal.TypeInt:
			one.Value = &gantryv1.SpanAttribute_Integer{Integer: int64(v.Number)}
		case signal.TypeDouble:
			one.Value = &gantryv1.SpanAttribute_Number{Number: math.Float64frombits(v.Number)}
		case signal.TypeBool:
			one.Value = &gantryv1.SpanAttribute_Boolean{Boolean: v.Number != 0}
		case signal.TypeBytes:
			one.Value = &gantryv1.SpanAttribute_Binary{Binary: []byte(v.Text)}
		case signal.TypeJSON:
			one.Value = &gantryv1.SpanAttribute_Json{Json: v.Text}
		}
		out = append(out, one)
	}
	return out
}

func (s *traceService) ListTraceNames(ctx context.Context, r *gantryv1.ListTraceNamesRequest) (*gantryv1.ListTraceNamesResponse, error) {
	namespace, err := viewed(ctx, r.Namespace)
	if err != nil {
		return nil, err
	}
	within := rangeOf(r.Since, r.Until)
	var names []string
	if r.Service == "" {
		names, err = s.api.Traces.Services(ctx, namespace, within)
	} else {
		kind, kindErr := kindOf(r.Kind)
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
