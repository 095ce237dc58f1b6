package native

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/event"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

type eventService struct{ api *API }

// emit stores events for a caller who may.
func (a *API) emit(ctx context.Context, namespace string, events []event.Event) (event.Receipt, error) {
	if namespace == "" {
		namespace = instance.Default
	}
	if err := access.Require(ctx, mayServe, namespace); err != nil {
		return event.Receipt{}, err
	}
	if !a.Instances.HasNamespace(namespace) {
		return event.Receipt{}, fault.New(fault.NotFound, "namespace.unknown", "no namespace %q", namespace).At("namespace").
			Hinted("make it with `gantry namespace create %s`", namespace)
	}
	if len(events) == 0 {
		return event.Receipt{}, fault.New(fault.Invalid, "request.bad_count", "no events").At("events").Hinted("send 1 to %d", event.MaxBatch)
	}
	return a.Events.Emit(ctx, namespace, events)
}

func (s *eventService) Emit(ctx context.Context, r *gantryv1.EmitRequest) (*gantryv1.EmitResponse, error) {
	answer := &gantryv1.EmitResponse{}
	events := make([]event.Event, 0, len(r.Events))
	places := make([]int, 0, len(r.Events))
	for i, message := range r.Events {
		e, f := eventOf(message)
		if f != nil {
			answer.Refused = append(answer.Refused, refusalOf(i, f))
			continue
		}
		events, places = append(events, e), append(places, i)
	}
	if len(events) == 0 && len(answer.Refused) > 0 {
		return answer, access.Require(ctx, mayServe, namespaceOr(r.Namespace))
	}
	receipt, err := s.api.emit(ctx, r.Namespace, events)
	if err != nil {
		return nil, err
	}
	answer.Stored, answer.Known = uint32(receipt.Stored), uint32(receipt.Known)
	for _, refusal := range receipt.Refused {
		answer.Refused = append(answer.Refused, refusalOf(places[refusal.Index], refusal.Err))
	}
	return answer, nil
}

func namespaceOr(namespace string) string {
	if namespace == "" {
		return instance.Default
	}
	return namespace
}

func refusalOf(index int, f *fault.Error) *gantryv1.EventRefusal {
	return &gantryv1.EventRefusal{Index: uint32(index), Reason: f.Reason, Message: f.Message, Field: f.Field, Hint: f.Hint}
}

// eventOf reads an event. The room checks the rest.
func eventOf(m *gantryv1.BusinessEvent) (event.Event, *fault.Error) {
	e := event.Event{ID: m.GetId(), Topic: m.GetTopic(), Service: m.GetService(), Instance: m.GetInstance()}
	if m.GetTime() != nil {
		e.Time = m.GetTime().AsTime()
	}
	if outcome := m.GetOutcome(); outcome != gantryv1.EventOutcome_EVENT_OUTCOME_UNSPECIFIED {
		e.Outcome = signal.Outcome(outcome - 1)
		if outcome < 0 || e.Outcome > signal.Failed {
			return e, fault.New(fault.Invalid, "event.bad_outcome", "%d is no outcome", outcome).At("outcome")
		}
	}
	if f := parseTrace(&e, m.GetTraceId(), m.GetSpanId()); f != nil {
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

func parseTrace(e *event.Event, trace, span string) *fault.Error {
	var ok bool
	if trace != "" {
		if e.TraceID, ok = signal.ParseTraceID(trace); !ok {
			return fault.New(fault.Invalid, "event.bad_trace", "%.40q is no id of a trace", trace).At("trace_id").Hinted("32 hexadecimal digits, not all zero")
		}
	}
	if span != "" {
		if e.SpanID, ok = signal.ParseSpanID(span); !ok {
			return fault.New(fault.Invalid, "event.bad_trace", "%.40q is no id of a span", span).At("span_id").Hinted("16 hexadecimal digits, not all zero")
		}
	}
	return nil
}

func eventMessage(s *event.Stored) *gantryv1.BusinessEvent {
	m := &gantryv1.BusinessEvent{Id: s.ID, Topic: s.Topic, Time: timestamppb.New(s.Time), Service: s.Service, Instance: s.Instance,
		Outcome: gantryv1.EventOutcome(s.Outcome + 1), Sequence: s.Sequence, Arrived: timestamppb.New(s.Arrived)}
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

func (s *eventService) Query(ctx context.Context, r *gantryv1.QueryEventsRequest) (*gantryv1.QueryEventsResponse, error) {
	namespace := namespaceOr(r.Namespace)
	if err := access.Require(ctx, access.View, namespace); err != nil {
		return nil, err
	}
	q := event.Query{Namespace: namespace, Topic: r.Topic, Service: r.Service, Since: momentOf(r.Since), Until: momentOf(r.Until), Limit: limitOf(r.Limit), After: r.After}
	for _, outcome := range r.Outcomes {
		if outcome < gantryv1.EventOutcome_EVENT_OUTCOME_SUCCESS || outcome > gantryv1.EventOutcome_EVENT_OUTCOME_FAILED {
			return nil, fault.New(fault.Invalid, "event.bad_outcome", "%d is no outcome", outcome).At("outcomes")
		}
		q.Outcomes = append(q.Outcomes, signal.Outcome(outcome-1))
	}
	var e event.Event
	if f := parseTrace(&e, r.TraceId, ""); f != nil {
		return nil, f
	}
	q.TraceID = e.TraceID
	for key, text := range r.Fields {
		q.Fields = append(q.Fields, signal.Match{Key: key, Text: text})
	}
	result, err := s.api.Events.Query(ctx, q)
	if err != nil {
		return nil, err
	}
	answer := &gantryv1.QueryEventsResponse{Next: result.Next, Partial: result.Partial, Truncated: result.Truncated}
	for i := range result.Events {
		answer.Events = append(answer.Events, eventMessage(&result.Events[i]))
	}
	return answer, nil
}

// limitOf keeps a number from the wire in the range that the room checks.
func limitOf(limit uint32) int { return int(min(limit, event.MaxLimit+1)) }

func momentOf(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

func (s *eventService) Topics(ctx context.Context, r *gantryv1.TopicsRequest) (*gantryv1.TopicsResponse, error) {
	namespace := namespaceOr(r.Namespace)
	if err := access.Require(ctx, access.View, namespace); err != nil {
		return nil, err
	}
	answer := &gantryv1.TopicsResponse{}
	for _, topic := range s.api.Events.Topics(namespace) {
		m := &gantryv1.EventTopic{Name: topic.Name, First: timestamppb.New(topic.First), Last: timestamppb.New(topic.Last), Events: topic.Events, Fields: map[string]string{}}
		for name, kind := range topic.Fields {
			m.Fields[name] = event.TypeName(kind)
		}
		answer.Topics = append(answer.Topics, m)
	}
	return answer, nil
}

func (s *eventService) Changes(ctx context.Context, r *gantryv1.ChangesRequest) (*gantryv1.ChangesResponse, error) {
	namespace := namespaceOr(r.Namespace)
	if err := access.Require(ctx, access.View, namespace); err != nil {
		return nil, err
	}
	result, err := s.api.Events.Changes(ctx, event.Query{Namespace: namespace, Topic: r.Kind + "*", Service: r.Service, Since: momentOf(r.Since), Until: momentOf(r.Until),
		Limit: limitOf(r.Limit), After: r.After})
	if err != nil {
		return nil, err
	}
	answer := &gantryv1.ChangesResponse{Next: result.Next, Partial: result.Partial, Truncated: result.Truncated}
	for i := range result.Events {
		answer.Changes = append(answer.Changes, changeMessage(&result.Events[i]))
	}
	return answer, nil
}

func changeMessage(s *event.Stored) *gantryv1.Change {
	m := &gantryv1.Change{Id: s.ID, Time: timestamppb.New(s.Time), Kind: s.Topic, Service: s.Service, Instance: s.Instance, Details: map[string]string{}}
	for _, field := range s.Fields {
		switch text := event.Words(field.Value); field.Key {
		case event.TargetField:
			m.Target = text
		case event.ActorField:
			m.Actor = text
		case event.MessageField:
			m.Message = text
		default:
			m.Details[field.Key] = text
		}
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

// eventEmitter takes events on the gRPC port, where the sessions of the services are that send them. Questions are for the HTTP port.
type eventEmitter struct {
	gantryv1.UnimplementedEventServiceServer
	api *API
}

// EmitEvents is the service for the gRPC port.
func (a *API) EmitEvents() gantryv1.EventServiceServer { return &eventEmitter{api: a} }

// Emit implements the service.
func (s *eventEmitter) Emit(ctx context.Context, r *gantryv1.EmitRequest) (*gantryv1.EmitResponse, error) {
	ctx, err := s.api.identifyStream(ctx)
	var answer *gantryv1.EmitResponse
	if err == nil {
		answer, err = (&eventService{s.api}).Emit(ctx, r)
	}
	if err != nil {
		s.api.logInternal("gantry.v1.EventService/Emit", err)
		return nil, grpcError(err)
	}
	return answer, nil
}
