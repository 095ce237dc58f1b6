package peer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gantry-platform/gantry/internal/protocol/events"
	"github.com/gantry-platform/gantry/internal/protocol/peer/peerv1"
	"github.com/gantry-platform/gantry/internal/signal/event"
	"github.com/gantry-platform/gantry/internal/signal/fanout"
)

const (
	// maxEventsAnswer bounds what a node answers: the most events of one question, at their most bytes, and what stands around them.
	maxEventsAnswer = 2 * event.MaxLimit * event.MaxEventBytes
	// eventsTimeout is for a question that reads as much of the log as one may, on a disk that is busy.
	eventsTimeout = 10 * time.Second
)

// EventSource is what a node has: the business events that it took, and its feed of changes. It may be called concurrently.
type EventSource interface {
	event.Reader
	ChangeFeed
}

// ChangeFeed is a node's feed of changes. It may be called concurrently.
type ChangeFeed interface {
	Changes(ctx context.Context, q event.Query) (event.Result, error)
}

// EventService answers other nodes about the business events that this one took, and about its feed of changes.
type EventService struct {
	peerv1.UnimplementedEventPeerServiceServer

	Events EventSource
	// Started is as of [Service].
	Started func() bool
}

// FindEvents implements the service.
func (s *EventService) FindEvents(ctx context.Context, r *peerv1.FindEventsRequest) (*peerv1.FindEventsResponse, error) {
	return s.find(ctx, r, s.Events.Query)
}

// FindChanges implements the service.
func (s *EventService) FindChanges(ctx context.Context, r *peerv1.FindEventsRequest) (*peerv1.FindEventsResponse, error) {
	return s.find(ctx, r, s.Events.Changes)
}

func (s *EventService) find(ctx context.Context, r *peerv1.FindEventsRequest, among func(context.Context, event.Query) (event.Result, error)) (*peerv1.FindEventsResponse, error) {
	if !s.Started() {
		return nil, errStarting
	}
	q, err := events.QueryOf(r.GetQuery().GetNamespace(), r.GetQuery())
	if err != nil {
		return nil, wireError(err)
	}
	q.After, q.ArrivedSince = r.After, events.Moment(r.ArrivedSince)
	result, err := among(ctx, q)
	if err != nil {
		return nil, wireError(err)
	}
	answer := &peerv1.FindEventsResponse{Next: result.Next, Partial: result.Partial, Truncated: result.Truncated}
	for i := range result.Events {
		answer.Events = append(answer.Events, events.FromStored(&result.Events[i]))
	}
	return answer, nil
}

// ListTopics implements the service.
func (s *EventService) ListTopics(ctx context.Context, r *peerv1.ListTopicsRequest) (*peerv1.ListTopicsResponse, error) {
	if !s.Started() {
		return nil, errStarting
	}
	topics, err := s.Events.Topics(ctx, r.Namespace)
	if err != nil {
		return nil, wireError(err)
	}
	answer := &peerv1.ListTopicsResponse{}
	for i := range topics {
		answer.Topics = append(answer.Topics, events.FromTopic(&topics[i]))
	}
	return answer, nil
}

// EventNodes are the events of the other nodes, by the nodes' ids.
func (c *Client) EventNodes() map[string]fanout.EventNode {
	nodes := map[string]fanout.EventNode{}
	for _, node := range c.keepers() {
		nodes[node.ID] = fanout.EventNode{ID: node.ID, Name: node.Name, Events: &eventReader{client: c, address: node.PeerAddress}}
	}
	return nodes
}

// ChangeFeeds are the feeds of changes of the other nodes, by the nodes' names. A question to a node that is not there fails at once, and one to a node of a version
// that cannot answer is [errors.ErrUnsupported].
func (c *Client) ChangeFeeds() map[string]ChangeFeed {
	feeds := map[string]ChangeFeed{}
	for _, node := range c.keepers() {
		feeds[node.Name] = &eventReader{client: c, address: node.PeerAddress}
	}
	return feeds
}

// eventReader asks one node.
type eventReader struct {
	client  *Client
	address string
}

// Query implements [event.Reader].
func (r *eventReader) Query(ctx context.Context, q event.Query) (event.Result, error) {
	return r.find(ctx, q, peerv1.EventPeerServiceClient.FindEvents)
}

// Changes implements [ChangeFeed].
func (r *eventReader) Changes(ctx context.Context, q event.Query) (event.Result, error) {
	result, err := r.find(ctx, q, peerv1.EventPeerServiceClient.FindChanges)
	if status.Code(err) == codes.Unimplemented {
		err = fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
	}
	return result, err
}

type finding func(peerv1.EventPeerServiceClient, context.Context, *peerv1.FindEventsRequest, ...grpc.CallOption) (*peerv1.FindEventsResponse, error)

func (r *eventReader) find(ctx context.Context, q event.Query, by finding) (event.Result, error) {
	connection, err := r.client.connection(r.address)
	if err != nil {
		return event.Result{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, eventsTimeout)
	defer cancel()
	answer, err := by(peerv1.NewEventPeerServiceClient(connection), ctx, &peerv1.FindEventsRequest{Query: events.RequestOf(q), After: q.After, ArrivedSince: events.Bound(q.ArrivedSince)},
		grpc.MaxCallRecvMsgSize(maxEventsAnswer))
	if err != nil {
		return event.Result{}, err
	}
	result := event.Result{Next: answer.Next, Partial: answer.Partial, Truncated: answer.Truncated}
	for _, message := range answer.Events {
		stored, err := events.ToStored(q.Namespace, message)
		if err != nil {
			return event.Result{}, err
		}
		result.Events = append(result.Events, stored)
	}
	return result, nil
}

// Topics implements [event.Reader].
func (r *eventReader) Topics(ctx context.Context, namespace string) ([]event.Topic, error) {
	connection, err := r.client.connection(r.address)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	answer, err := peerv1.NewEventPeerServiceClient(connection).ListTopics(ctx, &peerv1.ListTopicsRequest{Namespace: namespace}, grpc.MaxCallRecvMsgSize(maxEventsAnswer))
	if err != nil {
		return nil, err
	}
	topics := make([]event.Topic, 0, len(answer.Topics))
	for _, message := range answer.Topics {
		topics = append(topics, events.ToTopic(namespace, message))
	}
	return topics, nil
}
