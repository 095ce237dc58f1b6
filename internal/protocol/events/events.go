// Package events turns business events, topics and questions of the API into those of signal and back. The native API speaks it to users, and nodes to each
// other.
//
// It imports signal/event, fault and the API.
package events

import (
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/event"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// EventOf reads an event. The room checks the rest. Errors: Invalid "event.bad_outcome", "event.bad_trace".
func EventOf(m *gantryv1.BusinessEvent) (event.Event, *fault.Error) {
	e := event.Event{ID: m.GetId(), Topic: m.GetTopic(), Service: m.GetService(), Instance: m.GetInstance(), Time: Moment(m.GetTime())}
	if outcome := m.GetOutcome(); outcome != gantryv1.EventOutcome_EVENT_OUTCOME_UNSPECIFIED {
		e.Outcome = signal.Outcome(outcome - 1)
		if outcome < 0 || e.Outcome > signal.Failed {
			return e, fault.New(fault.Invalid, "event.bad_outcome", "%d is no outcome", outcome).At("outcome")
		}
	}
	var f *fault.Error
	if e.TraceID, e.SpanID, f = ParseTrace(m.GetTraceId(), m.GetSpanId()); f != nil {
		return e, f
	}
	for key, v := range m.GetFields() {
		field := signal.Attribute{Key: key}
		switch v := v.GetValue().(type) {
		case *gantryv1.FieldValue_Text:
			field.Value = event.Text(v.Text)
		case *gantryv1.FieldValue_Boolean:
			field.Value = event.Bool(v.Boolean)
		case *gantryv1.FieldValue_Integer:
			field.Value = event.Int(v.Integer)
		case *gantryv1.FieldValue_Number:
			field.Value = event.Double(v.Number)
		default: // the room refuses it, by its name
		}
		e.Fields = append(e.Fields, field)
	}
	return e, nil
}

// ParseTrace reads the ids of a trace and of a span; either may be empty. Errors: Invalid "event.bad_trace".
func ParseTrace(trace, span string) (traceID signal.TraceID, spanID signal.SpanID, f *fault.Error) {
	var ok bool
	if trace != "" {
		if traceID, ok = signal.ParseTraceID(trace); !ok {
			return traceID, spanID, fault.New(fault.Invalid, "event.bad_trace", "%.40q is no id of a trace", trace).At("trace_id").Hinted("32 hexadecimal digits, not all zero")
		}
	}
	if span != "" {
		if spanID, ok = signal.ParseSpanID(span); !ok {
			return traceID, spanID, fault.New(fault.Invalid, "event.bad_trace", "%.40q is no id of a span", span).At("span_id").Hinted("16 hexadecimal digits, not all zero")
		}
	}
	return traceID, spanID, nil
}

// FromStored is an event of a log.
func FromStored(s *event.Stored) *gantryv1.BusinessEvent {
	m := &gantryv1.BusinessEvent{Id: s.ID, Topic: s.Topic, Time: timestamppb.New(s.Time), Service: s.Service, Instance: s.Instance,
		Outcome: gantryv1.EventOutcome(s.Outcome + 1), Sequence: s.Sequence, Arrived: timestamppb.New(s.Arrived), Node: s.Node}
	if !s.TraceID.IsZero() {
		m.TraceId = s.TraceID.String()
	}
	if !s.SpanID.IsZero() {
		m.SpanId = s.SpanID.String()
	}
	if len(s.Fields) > 0 {
		m.Fields = make(map[string]*gantryv1.FieldValue, len(s.Fields))
	}
	for _, field := range s.Fields {
		m.Fields[field.Key] = fieldMessage(field.Value)
	}
	return m
}

func fieldMessage(v signal.Value) *gantryv1.FieldValue {
	switch v.Type {
	case signal.TypeBool:
		return &gantryv1.FieldValue{Value: &gantryv1.FieldValue_Boolean{Boolean: v.Number != 0}}
	case signal.TypeInt:
		return &gantryv1.FieldValue{Value: &gantryv1.FieldValue_Integer{Integer: int64(v.Number)}}
	case signal.TypeDouble:
		return &gantryv1.FieldValue{Value: &gantryv1.FieldValue_Number{Number: event.Float(v)}}
	default:
		return &gantryv1.FieldValue{Value: &gantryv1.FieldValue_Text{Text: v.Text}}
	}
}

// ToStored reads what FromStored made on another node.
func ToStored(namespace string, m *gantryv1.BusinessEvent) (event.Stored, error) {
	e, f := EventOf(m)
	if f != nil {
		return event.Stored{}, f
	}
	slices.SortFunc(e.Fields, func(a, b signal.Attribute) int { return strings.Compare(a.Key, b.Key) })
	return event.Stored{Event: e, Sequence: m.GetSequence(), Namespace: namespace, Arrived: Moment(m.GetArrived()), Node: m.GetNode()}, nil
}

// QueryOf reads a question within a namespace that the caller has been let into, but for where to follow. Errors: Invalid "event.bad_outcome", "event.bad_trace".
func QueryOf(namespace string, r *gantryv1.QueryEventsRequest) (event.Query, error) {
	q := event.Query{Namespace: namespace, Topic: r.GetTopic(), Service: r.GetService(), Since: Moment(r.GetSince()), Until: Moment(r.GetUntil()), Limit: Limit(r.GetLimit())}
	for _, outcome := range r.GetOutcomes() {
		if outcome < gantryv1.EventOutcome_EVENT_OUTCOME_SUCCESS || outcome > gantryv1.EventOutcome_EVENT_OUTCOME_FAILED {
			return q, fault.New(fault.Invalid, "event.bad_outcome", "%d is no outcome", outcome).At("outcomes")
		}
		q.Outcomes = append(q.Outcomes, signal.Outcome(outcome-1))
	}
	var f *fault.Error
	if q.TraceID, _, f = ParseTrace(r.GetTraceId(), ""); f != nil {
		return q, f
	}
	for key, text := range r.GetFields() {
		q.Fields = append(q.Fields, signal.Match{Key: key, Text: text})
	}
	return q, nil
}

// RequestOf is a question in the words of the API, but for where to follow.
func RequestOf(q event.Query) *gantryv1.QueryEventsRequest {
	r := &gantryv1.QueryEventsRequest{Namespace: q.Namespace, Topic: q.Topic, Service: q.Service, Since: Bound(q.Since), Until: Bound(q.Until), Limit: uint32(max(q.Limit, 0))}
	for _, outcome := range q.Outcomes {
		r.Outcomes = append(r.Outcomes, gantryv1.EventOutcome(outcome+1))
	}
	if !q.TraceID.IsZero() {
		r.TraceId = q.TraceID.String()
	}
	if len(q.Fields) > 0 {
		r.Fields = make(map[string]string, len(q.Fields))
	}
	for _, match := range q.Fields {
		r.Fields[match.Key] = match.Text
	}
	return r
}

// FromTopic is what one node knows of a topic.
func FromTopic(t *event.Topic) *gantryv1.EventTopic {
	m := &gantryv1.EventTopic{Name: t.Name, First: timestamppb.New(t.First), Last: timestamppb.New(t.Last), Events: t.Events, Fields: make(map[string]string, len(t.Fields))}
	for name, kind := range t.Fields {
		m.Fields[name] = event.TypeName(kind)
	}
	return m
}

// ToTopic reads what FromTopic made on another node. A type that is not known here is text.
func ToTopic(namespace string, m *gantryv1.EventTopic) event.Topic {
	t := event.Topic{Namespace: namespace, Name: m.GetName(), First: Moment(m.GetFirst()), Last: Moment(m.GetLast()), Events: m.GetEvents(),
		Fields: make(map[string]signal.ValueType, len(m.GetFields()))}
	for name, word := range m.GetFields() {
		kind, known := event.ParseType(word)
		if !known {
			kind = signal.TypeString
		}
		t.Fields[name] = kind
	}
	return t
}

// Limit keeps a number from the wire in the range that the room checks.
func Limit(limit uint32) int { return int(min(limit, event.MaxLimit+1)) }

// Moment is the zero time for none.
func Moment(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

// Bound is none for the zero time.
func Bound(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
