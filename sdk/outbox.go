package gantry

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

const (
	// maxBatch is how many items go into one message: the protocol's limit for registrations.
	maxBatch = 1000
	// maxBatchSize bounds a message of registrations, in bytes: well under the 4 MiB that gRPC servers take by default.
	maxBatchSize = 1 << 20
	// retryWait bounds the random wait before something is sent again that the server could not do just now.
	retryWait = 2 * time.Second
)

// outbox is what the session in use has yet to be told. It holds names and the newest value of each, so it is bounded by what
// the client holds, however slow the server is. Client.mu guards it.
type outbox struct {
	registrations map[*Registration]struct{}
	services      map[serviceKey]*service
	documents     map[documentKey]*document
	unsubscribe   map[serviceKey]struct{}
	unwatch       map[documentKey]struct{}
	acknowledge   map[serviceKey]int64
	applied       map[documentKey]*gantryv1.AppliedReport
}

func (o *outbox) reset() {
	*o = outbox{
		registrations: map[*Registration]struct{}{}, services: map[serviceKey]*service{}, documents: map[documentKey]*document{},
		unsubscribe: map[serviceKey]struct{}{}, unwatch: map[documentKey]struct{}{},
		acknowledge: map[serviceKey]int64{}, applied: map[documentKey]*gantryv1.AppliedReport{},
	}
}

// retell puts everything that the client holds into the outbox, for a new session. The caller holds mu.
func (c *Client) retell() {
	for r := range c.registrations {
		r.answered = nil
		c.outbox.registrations[r] = struct{}{}
	}
	for key, s := range c.services {
		c.outbox.services[key] = s
		s.acknowledged, s.based = 0, s.held > 0
		s.acknowledge()
	}
	for key, d := range c.documents {
		c.outbox.documents[key] = d
		if d.report != nil {
			c.outbox.applied[key] = d.report
		}
	}
	c.checkSettled()
}

// outgoing takes what a session has to be told, in the order that it is told: nothing for one that is not in use.
func (c *Client) outgoing(l *link) []*gantryv1.ClientMessage {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link != l {
		return nil
	}
	o := c.outbox
	c.outbox.reset()
	messages := c.registerMessages(l, o)
	messages = append(messages, c.watchMessages(l, o)...)
	namespace := c.settings.namespace
	if len(o.unsubscribe) > 0 {
		var refs []*gantryv1.ServiceRef
		for key := range o.unsubscribe {
			refs = append(refs, key.ref(namespace))
		}
		for part := range slices.Chunk(refs, maxBatch) {
			messages = append(messages, &gantryv1.ClientMessage{Message: &gantryv1.ClientMessage_Unsubscribe{
				Unsubscribe: &gantryv1.Unsubscribe{Services: part}}})
		}
	}
	if len(o.unwatch) > 0 {
		var refs []*gantryv1.DocumentRef
		for key := range o.unwatch {
			refs = append(refs, key.ref(namespace))
		}
		for part := range slices.Chunk(refs, maxBatch) {
			messages = append(messages, &gantryv1.ClientMessage{Message: &gantryv1.ClientMessage_UnwatchDocuments{
				UnwatchDocuments: &gantryv1.UnwatchDocuments{Refs: part}}})
		}
	}
	for key, revision := range o.acknowledge {
		messages = append(messages, &gantryv1.ClientMessage{Message: &gantryv1.ClientMessage_Acknowledge{
			Acknowledge: &gantryv1.Acknowledge{Service: key.ref(namespace), Revision: revision}}})
	}
	for part := range slices.Chunk(slices.Collect(maps.Values(o.applied)), maxBatch) {
		message := &gantryv1.ClientMessage{Message: &gantryv1.ClientMessage_Applied{Applied: &gantryv1.Applied{Reports: part}}}
		if l.prepare(message, c.reported) {
			messages = append(messages, message)
		}
	}
	return messages
}

// registerMessages asks for registrations in batches; those that were refused in a batch go alone, to learn which it is.
func (c *Client) registerMessages(l *link, o outbox) []*gantryv1.ClientMessage {
	var together []*Registration
	var batches [][]*Registration
	for r := range o.registrations {
		if r.removed {
			continue
		}
		if r.alone {
			batches = append(batches, []*Registration{r})
		} else {
			together = append(together, r)
		}
	}
	batches = append(batches, c.registerBatches(together)...)
	var messages []*gantryv1.ClientMessage
	for _, batch := range batches {
		requests := make([]*gantryv1.RegisterRequest, len(batch))
		sent := make([]uint64, len(batch))
		for i, r := range batch {
			requests[i], sent[i] = r.request(c.settings.namespace), r.wanted
		}
		message := &gantryv1.ClientMessage{Message: &gantryv1.ClientMessage_Register{
			Register: &gantryv1.Register{Registrations: requests}}}
		if l.prepare(message, func(reply *gantryv1.Reply, err error) { c.registered(l, batch, sent, reply, err) }) {
			messages = append(messages, message)
		}
	}
	return messages
}

// registerBatches splits registrations by number and by size.
func (c *Client) registerBatches(all []*Registration) [][]*Registration {
	var batches [][]*Registration
	start, size := 0, 0
	for n, r := range all {
		more := proto.Size(r.request(c.settings.namespace))
		if n > start && (n-start == maxBatch || size+more > maxBatchSize) {
			batches = append(batches, all[start:n])
			start, size = n, 0
		}
		size += more
	}
	if start < len(all) {
		batches = append(batches, all[start:])
	}
	return batches
}

// watchMessages asks for services and documents in batches.
func (c *Client) watchMessages(l *link, o outbox) []*gantryv1.ClientMessage {
	var messages []*gantryv1.ClientMessage
	for _, batch := range batches(o.services, func(s *service) bool { return s.alone }) {
		subscriptions := make([]*gantryv1.Subscription, len(batch))
		for i, s := range batch {
			subscriptions[i] = &gantryv1.Subscription{Service: s.key.ref(c.settings.namespace), Revision: s.held}
		}
		message := &gantryv1.ClientMessage{Message: &gantryv1.ClientMessage_Subscribe{
			Subscribe: &gantryv1.Subscribe{Subscriptions: subscriptions}}}
		if l.prepare(message, func(_ *gantryv1.Reply, err error) { c.subscribed(l, batch, err) }) {
			messages = append(messages, message)
		}
	}
	for _, batch := range batches(o.documents, func(d *document) bool { return d.alone }) {
		refs := make([]*gantryv1.DocumentRef, len(batch))
		for i, d := range batch {
			refs[i] = d.key.ref(c.settings.namespace)
		}
		message := &gantryv1.ClientMessage{Message: &gantryv1.ClientMessage_WatchDocuments{
			WatchDocuments: &gantryv1.WatchDocuments{Refs: refs}}}
		if l.prepare(message, func(_ *gantryv1.Reply, err error) { c.watched(l, batch, err) }) {
			messages = append(messages, message)
		}
	}
	return messages
}

// batches splits items into batches, those that must go alone each into one of its own.
func batches[K comparable, T any](items map[K]T, alone func(T) bool) [][]T {
	var all [][]T
	var together []T
	for _, item := range items {
		if alone(item) {
			all = append(all, []T{item})
		} else {
			together = append(together, item)
		}
	}
	return slices.AppendSeq(all, slices.Chunk(together, maxBatch))
}

// verdict is what to do about a batch that was refused.
type verdict int

const (
	// again: send it again after a wait.
	again verdict = iota
	// split: send each item alone, to learn which one is refused.
	split
	// refused: the one item is refused; tell, and ask again seldom.
	refused
)

// judge decides about a failed batch of a size.
func judge(size int, err error) verdict {
	switch {
	case !isPermanent(err):
		return again
	case size > 1:
		return split
	}
	return refused
}

// wait is how long before an item is sent again.
func (v verdict) wait() time.Duration {
	switch v {
	case split:
		return 0
	case refused:
		return refusedWait + rand.N(backoffCap)
	}
	return rand.N(retryWait)
}

// subscribed notes the reply to a subscription.
func (c *Client) subscribed(l *link, batch []*service, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link != l {
		return
	}
	if err == nil {
		for _, s := range batch {
			s.confirmed()
		}
		return
	}
	v := judge(len(batch), err)
	for _, s := range batch {
		s.alone = v != again
		if v == refused {
			s.refuse(err)
		}
	}
	c.later(v.wait(), func() {
		for _, s := range batch {
			if c.link == l && c.services[s.key] == s {
				c.outbox.services[s.key] = s
			}
		}
	})
}

// watched notes the reply to a watch of documents.
func (c *Client) watched(l *link, batch []*document, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link != l {
		return
	}
	if err == nil {
		for _, d := range batch {
			d.confirmed()
		}
		return
	}
	v := judge(len(batch), err)
	for _, d := range batch {
		d.alone = v != again
		if v == refused {
			d.refuse(err)
		}
	}
	c.later(v.wait(), func() {
		for _, d := range batch {
			if c.link == l && c.documents[d.key] == d {
				c.outbox.documents[d.key] = d
			}
		}
	})
}

// registered notes the reply to registrations; sent is what each wanted when it was asked.
func (c *Client) registered(l *link, batch []*Registration, sent []uint64, reply *gantryv1.Reply, err error) {
	if err == nil && len(reply.GetRegistered()) != len(batch) {
		l.cancel(fmt.Errorf("%w: %d answers to %d registrations", errNonsense, len(reply.GetRegistered()), len(batch)))
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link != l {
		return
	}
	if err == nil {
		for i, r := range batch {
			r.accept(l, sent[i], reply.GetRegistered()[i])
		}
		c.checkSettled()
		return
	}
	v := judge(len(batch), err)
	for _, r := range batch {
		r.alone, r.trouble = v != again, err
		if v == refused {
			r.refuse(l, err)
		}
	}
	c.checkSettled()
	c.later(v.wait(), func() {
		for _, r := range batch {
			if c.link == l && !r.removed {
				c.outbox.registrations[r] = struct{}{}
			}
		}
	})
}

// reported notes the reply to applied reports. They are sent again with the next version or session.
func (c *Client) reported(_ *gantryv1.Reply, err error) {
	if err != nil && !errors.Is(err, errBroken) {
		c.logger.Warn("the server did not take what is applied here", "reason", err)
	}
}

// checkSettled notes when every registration was answered on the session in use. The caller holds mu.
func (c *Client) checkSettled() {
	if c.link == nil || c.link.isSettled {
		return
	}
	for r := range c.registrations {
		if r.answered != c.link {
			return
		}
	}
	c.link.isSettled = true
	close(c.link.settled)
}
