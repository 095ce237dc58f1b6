// Package spans turns the spans, summaries and questions of the API into those of signal and back. The native API speaks it to users, and nodes to each
// other.
//
// It imports signal, fault and the API.
package spans

import (
	"math"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/signal"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// QueryOf reads a search within a namespace that the caller has been let into. Errors: Invalid "trace.kind", "trace.outcome".
func QueryOf(namespace string, r *gantryv1.SearchTracesRequest) (signal.TraceQuery, error) {
	q := signal.TraceQuery{Namespace: namespace, Service: r.Service, Endpoint: r.Endpoint, MinDuration: r.MinDuration.AsDuration(), MaxDuration: r.MaxDuration.AsDuration(),
		Instance: r.Instance, Version: r.Version, Lane: r.Lane, Release: r.Release, Limit: int(min(r.Limit, math.MaxInt32))}
	within := RangeOf(r.Within.GetSince(), r.Within.GetUntil())
	q.Since, q.Until = within.Since, within.Until
	var err error
	if q.Kind, err = KindOf(r.Kind); err != nil {
		return q, err
	}
	for _, text := range r.Outcomes {
		outcome, ok := signal.ParseOutcome(text)
		if !ok {
			return q, fault.New(fault.Invalid, "trace.outcome", "%q is no outcome", text).At("outcomes").Hinted("use success, refused or failed")
		}
		q.Outcomes = append(q.Outcomes, outcome)
	}
	for key, text := range r.Attributes {
		q.Attributes = append(q.Attributes, signal.Match{Key: key, Text: text})
	}
	return q, nil
}

// RequestOf is the request that [QueryOf] reads q from.
func RequestOf(q signal.TraceQuery) *gantryv1.SearchTracesRequest {
	r := &gantryv1.SearchTracesRequest{Namespace: q.Namespace, Service: q.Service, Endpoint: q.Endpoint, Instance: q.Instance, Version: q.Version, Lane: q.Lane, Release: q.Release,
		Limit: uint32(max(0, q.Limit)), MinDuration: durationpb.New(q.MinDuration), MaxDuration: durationpb.New(q.MaxDuration),
		Within: &gantryv1.TimeSpan{Since: timestampOf(q.Since), Until: timestampOf(q.Until)}, Attributes: map[string]string{}}
	if q.Kind != signal.KindUnspecified {
		r.Kind = q.Kind.String()
	}
	for _, outcome := range q.Outcomes {
		r.Outcomes = append(r.Outcomes, outcome.String())
	}
	for _, m := range q.Attributes {
		r.Attributes[m.Key] = m.Text
	}
	return r
}

func timestampOf(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// KindOf reads a kind of span; empty is none. Error: Invalid "trace.kind".
func KindOf(text string) (signal.Kind, error) {
	if text == "" {
		return signal.KindUnspecified, nil
	}
	kind, ok := signal.ParseKind(text)
	if !ok {
		return 0, fault.New(fault.Invalid, "trace.kind", "%q is no kind of span", text).At("kind").Hinted("use server, client, producer, consumer or internal")
	}
	return kind, nil
}

// RangeOf reads bounds of time; what is not set does not bound.
func RangeOf(since, until *timestamppb.Timestamp) signal.Range {
	var r signal.Range
	if since != nil {
		r.Since = since.AsTime()
	}
	if until != nil {
		r.Until = until.AsTime()
	}
	return r
}

// FromSummary is a summary as the API has it.
func FromSummary(t signal.TraceSummary) *gantryv1.TraceSummary {
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

// ToSummary undoes [FromSummary]. What is no id is zero.
func ToSummary(t *gantryv1.TraceSummary) signal.TraceSummary {
	out := signal.TraceSummary{Start: t.Start.AsTime(), Duration: t.Duration.AsDuration(), RootService: t.RootService, RootName: t.RootName, Complete: t.Complete,
		Spans: int(t.Spans), Failed: int(t.Failed), Services: map[string]int{}}
	out.TraceID, _ = signal.ParseTraceID(t.TraceId)
	for service, n := range t.Services {
		out.Services[service] = int(n)
	}
	for _, text := range t.MatchedSpanIds {
		id, _ := signal.ParseSpanID(text)
		out.Matched = append(out.Matched, id)
	}
	return out
}

// FromSpan is a span as the API has it.
func FromSpan(s *signal.Span) *gantryv1.Span {
	r := s.Resource
	out := &gantryv1.Span{TraceId: s.TraceID.String(), SpanId: s.ID.String(), Name: s.Name, Kind: s.Kind.String(), Start: timestamppb.New(time.Unix(0, s.Start)),
		Duration: durationpb.New(time.Duration(s.Duration)), Status: s.Status.String(), StatusMessage: s.StatusMessage, Outcome: s.Outcome.String(), Service: r.Service,
		Instance: r.Instance, Version: r.Version, Lane: r.Lane, Release: r.Release, Zone: r.Zone, Scope: s.Scope, TraceState: s.TraceState, Flags: s.Flags,
		Attributes: fromAttributes(s.Attributes), Resource: fromAttributes(r.Attributes)}
	if !s.Parent.IsZero() {
		out.ParentSpanId = s.Parent.String()
	}
	for i := range s.Events {
		e := &s.Events[i]
		out.Events = append(out.Events, &gantryv1.SpanEvent{Name: e.Name, At: timestamppb.New(time.Unix(0, e.Time)), Attributes: fromAttributes(e.Attributes)})
	}
	for i := range s.Links {
		l := &s.Links[i]
		out.Links = append(out.Links, &gantryv1.SpanLink{TraceId: l.TraceID.String(), SpanId: l.SpanID.String(), TraceState: l.TraceState, Attributes: fromAttributes(l.Attributes)})
	}
	return out
}

func fromAttributes(attributes []signal.Attribute) []*gantryv1.SpanAttribute {
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

// ToSpan undoes [FromSpan]. The resource is the span's own.
func ToSpan(s *gantryv1.Span) signal.Span {
	out := signal.Span{Name: s.Name, Start: s.Start.AsTime().UnixNano(), Duration: int64(s.Duration.AsDuration()), Status: statusOf(s.Status), StatusMessage: s.StatusMessage,
		Scope: s.Scope, TraceState: s.TraceState, Flags: s.Flags, Attributes: toAttributes(s.Attributes),
		Resource: &signal.Resource{Service: s.Service, Instance: s.Instance, Version: s.Version, Lane: s.Lane, Release: s.Release, Zone: s.Zone, Attributes: toAttributes(s.Resource)}}
	out.TraceID, _ = signal.ParseTraceID(s.TraceId)
	out.ID, _ = signal.ParseSpanID(s.SpanId)
	out.Parent, _ = signal.ParseSpanID(s.ParentSpanId)
	out.Kind, _ = signal.ParseKind(s.Kind)
	out.Outcome, _ = signal.ParseOutcome(s.Outcome)
	for _, e := range s.Events {
		out.Events = append(out.Events, signal.Event{Name: e.Name, Time: e.At.AsTime().UnixNano(), Attributes: toAttributes(e.Attributes)})
	}
	for _, l := range s.Links {
		link := signal.Link{TraceState: l.TraceState, Attributes: toAttributes(l.Attributes)}
		link.TraceID, _ = signal.ParseTraceID(l.TraceId)
		link.SpanID, _ = signal.ParseSpanID(l.SpanId)
		out.Links = append(out.Links, link)
	}
	return out
}

func statusOf(text string) signal.Status {
	for _, s := range []signal.Status{signal.StatusOK, signal.StatusError} {
		if s.String() == text {
			return s
		}
	}
	return signal.StatusUnset
}

func toAttributes(attributes []*gantryv1.SpanAttribute) []signal.Attribute {
	var out []signal.Attribute
	for _, a := range attributes {
		one := signal.Attribute{Key: a.Key}
		switch v := a.Value.(type) {
		case *gantryv1.SpanAttribute_Text:
			one.Value = signal.Value{Type: signal.TypeString, Text: v.Text}
		case *gantryv1.SpanAttribute_Integer:
			one.Value = signal.Value{Type: signal.TypeInt, Number: uint64(v.Integer)}
		case *gantryv1.SpanAttribute_Number:
			one.Value = signal.Value{Type: signal.TypeDouble, Number: math.Float64bits(v.Number)}
		case *gantryv1.SpanAttribute_Boolean:
			one.Value = signal.Value{Type: signal.TypeBool}
			if v.Boolean {
				one.Value.Number = 1
			}
		case *gantryv1.SpanAttribute_Binary:
			one.Value = signal.Value{Type: signal.TypeBytes, Text: string(v.Binary)}
		case *gantryv1.SpanAttribute_Json:
			one.Value = signal.Value{Type: signal.TypeJSON, Text: v.Json}
		}
		out = append(out, one)
	}
	return out
}

// FromResult is a search's answer as the API has it.
func FromResult(r signal.SearchResult) *gantryv1.SearchTracesResponse {
	out := &gantryv1.SearchTracesResponse{Partial: r.Partial, Truncated: r.Truncated}
	for _, t := range r.Traces {
		out.Traces = append(out.Traces, FromSummary(t))
	}
	return out
}

// ToResult undoes [FromResult].
func ToResult(r *gantryv1.SearchTracesResponse) signal.SearchResult {
	out := signal.SearchResult{Partial: r.Partial, Truncated: r.Truncated}
	for _, t := range r.Traces {
		out.Traces = append(out.Traces, ToSummary(t))
	}
	return out
}

// FromTrace is a trace as the API has it.
func FromTrace(t signal.Trace) *gantryv1.GetTraceResponse {
	out := &gantryv1.GetTraceResponse{Partial: t.Partial}
	for i := range t.Spans {
		out.Spans = append(out.Spans, FromSpan(&t.Spans[i]))
	}
	return out
}

// ToTrace undoes [FromTrace].
func ToTrace(t *gantryv1.GetTraceResponse) signal.Trace {
	out := signal.Trace{Partial: t.Partial}
	for _, s := range t.Spans {
		out.Spans = append(out.Spans, ToSpan(s))
	}
	return out
}
