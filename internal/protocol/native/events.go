package native

import (
	"context"
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
	"github.com/gantry-platform/gantry/internal/protocol/events"
	"github.com/gantry-platform/gantry/internal/signal/event"
	"github.com/gantry-platform/gantry/internal/signal/fanout"
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
	if err := a.namespaceExists(namespace); err != nil {
		return event.Receipt{}, err
	}
	if len(events) == 0 {
		return event.Receipt{}, fault.New(fault.Invalid, "request.bad_count", "no events").At("events").Hinted("send 1 to %d", event.MaxBatch)
	}
	return a.Events.Emit(ctx, namespace, events)
}

func (s *eventService) Emit(ctx context.Context, r *gantryv1.EmitRequest) (*gantryv1.EmitResponse, error) {
	answer := &gantryv1.EmitResponse{}
	taken := make([]event.Event, 0, len(r.Events))
	places := make([]int, 0, len(r.Events))
	for i, message := range r.Events {
		e, f := events.EventOf(message)
		if f != nil {
			answer.Refused = append(answer.Refused, refusalOf(i, f))
			continue
		}
		taken, places = append(taken, e), append(places, i)
	}
	if len(taken) == 0 && len(answer.Refused) > 0 {
		return answer, access.Require(ctx, mayServe, namespaceOr(r.Namespace))
	}
	receipt, err := s.api.emit(ctx, r.Namespace, taken)
	if err != nil {
		return nil, err
	}
	answer.Stored, answer.Known = uint32(receipt.Stored), uint32(receipt.Known)
	for _, refusal := range receipt.Refused {
		answer.Refused = append(answer.Refused, refusalOf(places[refusal.Index], refusal.Err))
	}
	return answer, nil
}

func refusalOf(index int, f *fault.Error) *gantryv1.EventRefusal {
	return &gantryv1.EventRefusal{Index: uint32(index), Reason: f.Reason, Message: f.Message, Field: f.Field, Hint: f.Hint}
}

func (s *eventService) Query(ctx context.Context, r *gantryv1.QueryEventsRequest) (*gantryv1.QueryEventsResponse, error) {
	namespace, err := s.api.viewed(ctx, r.Namespace)
	if err != nil {
		return nil, err
	}
	q, err := events.QueryOf(namespace, r)
	if err != nil {
		return nil, err
	}
	var follow *fanout.Cursor
	if r.After != nil {
		place, err := fanout.ParseCursor(*r.After)
		if err != nil {
			return nil, err
		}
		follow = &place
	}
	found, err := s.api.FindEvents.Query(ctx, q, follow)
	if err != nil {
		return nil, err
	}
	answer := &gantryv1.QueryEventsResponse{Next: found.Next.String(), Partial: found.Partial, MissingNodes: found.Missing, Truncated: found.Truncated}
	for i := range found.Events {
		answer.Events = append(answer.Events, events.FromStored(&found.Events[i]))
	}
	return answer, nil
}

func (s *eventService) Topics(ctx context.Context, r *gantryv1.TopicsRequest) (*gantryv1.TopicsResponse, error) {
	namespace, err := s.api.viewed(ctx, r.Namespace)
	if err != nil {
		return nil, err
	}
	found, err := s.api.FindEvents.Topics(ctx, namespace)
	if err != nil {
		return nil, err
	}
	answer := &gantryv1.TopicsResponse{MissingNodes: found.Missing}
	for i := range found.Topics {
		t := &found.Topics[i]
		answer.Topics = append(answer.Topics, &gantryv1.EventTopic{Name: t.Name, Fields: t.Fields, First: timestamppb.New(t.First), Last: timestamppb.New(t.Last), Events: t.Events})
	}
	return answer, nil
}

func (s *eventService) Changes(ctx context.Context, r *gantryv1.ChangesRequest) (*gantryv1.ChangesResponse, error) {
	namespace, err := s.api.viewed(ctx, r.Namespace)
	if err != nil {
		return nil, err
	}
	result, err := s.api.Events.Changes(ctx, event.Query{Namespace: namespace, Topic: r.Kind + "*", Service: r.Service, Since: events.Moment(r.Since), Until: events.Moment(r.Until),
		Limit: events.Limit(r.Limit), After: r.After})
	if err != nil {
		return nil, err
	}
	if r.After == nil {
		// A change that another node told of is behind those that came before it.
		slices.SortStableFunc(result.Events, func(a, b event.Stored) int { return b.Time.Compare(a.Time) })
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
