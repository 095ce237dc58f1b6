package testserver

import (
	"context"
	"slices"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// emitter takes events on every node of a cluster.
type emitter struct {
	gantryv1.UnimplementedEventServiceServer
	cluster *Cluster
}

// Emit implements gantryv1.EventServiceServer: events are kept once by their ids.
func (e *emitter) Emit(_ context.Context, request *gantryv1.EmitRequest) (*gantryv1.EmitResponse, error) {
	c := e.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	c.emits++
	if c.emitted == nil {
		c.emitted = map[string]*gantryv1.BusinessEvent{}
	}
	answer := &gantryv1.EmitResponse{}
	for i, event := range request.GetEvents() {
		switch _, known := c.emitted[event.GetId()]; {
		case known:
			answer.Known++
		case slices.Contains(c.refused, event.GetTopic()):
			answer.Refused = append(answer.Refused, &gantryv1.EventRefusal{Index: uint32(i), Field: "topic", Message: "it is refused"})
		default:
			answer.Stored++
			c.emitted[event.GetId()] = event
		}
	}
	if c.emitErr != nil {
		// After storing: the answer is lost, and the sender repeats.
		return nil, c.emitErr
	}
	return answer, nil
}

// FailEmits has every Emit store its events and answer with an error; nil returns to normal. Refused topics are refused.
func (c *Cluster) FailEmits(err error, refused ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.emitErr, c.refused = err, refused
}

// Emitted are the events that were stored, in no order, and how many requests there were.
func (c *Cluster) Emitted() (events []*gantryv1.BusinessEvent, requests int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, event := range c.emitted {
		events = append(events, event)
	}
	return events, c.emits
}
