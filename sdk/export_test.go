package gantry

import (
	"context"

	"google.golang.org/protobuf/proto"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// Feed gives a client a session that takes messages from a test instead of a server. The returned function receives one.
func Feed(c *Client) func(encoded []byte) error {
	ctx, cancel := context.WithCancelCause(c.ctx)
	l := newLink(c, ctx, cancel, nil, nil, "fed:1", &gantryv1.Welcome{})
	c.mu.Lock()
	c.link = l
	c.mu.Unlock()
	return func(encoded []byte) error {
		message := &gantryv1.ServerMessage{}
		if proto.Unmarshal(encoded, message) != nil {
			return nil
		}
		return l.receive(message)
	}
}

// Unfeed ends what Feed began.
func Unfeed(c *Client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.link = nil
}
