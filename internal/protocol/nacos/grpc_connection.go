package nacos

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
	"github.com/gantry-platform/gantry/internal/release"
)

// errGone ends a connection that the client ended; errReplaced one whose transport carries another one.
var (
	errGone     = errors.New("nacos: the client ended the connection")
	errReplaced = errors.New("nacos: another stream took the place of the connection")
)

// connection is one client's connection from its setup to the end of its stream. Its goroutines: one that grpc-go calls, which waits for the end, one that
// reads, and, for clients that subscribe or listen, one each that pushes. What a client never asks for it costs nothing.
type connection struct {
	server    *Connections
	transport transport
	id        string
	ctx       context.Context
	cancel    context.CancelCauseFunc
	settled   chan struct{} // closed by the setup

	// heard is when something last came of the client, asked when it was asked whether it is there (0: it is not being asked), and
	// blocked since when a message is on its way into the stream (0: none is). In the server's running time.
	heard, asked, blocked atomic.Int64

	sending sync.Mutex
	out     grpc.ServerStream

	// operations are the requests under way that the end waits for.
	operations sync.WaitGroup

	// mu is held for moments; never over a change of the state or a write.
	mu    sync.Mutex
	ended bool
	// ip is the client's, as it says; else where it comes from.
	ip     string
	labels map[string]string
	// token is what the client last showed, and identity who that is.
	token    string
	identity *access.Identity
	session  *instance.Session
	holding  map[instance.Service][]string
	busy     map[instance.Service]chan struct{}
	services *subscriptions
	configs  *heldConfigs
	patterns *patterns
	// pushed are the messages that wait for the client's acknowledgement, by their number.
	pushed map[uint64]*push
}

// push is a message that waits for its acknowledgement.
type push struct {
	at      int64
	attempt int
	// done is called when the client acknowledged it, again when it is to be sent again. Neither is called with the connection's lock held.
	done, again func()
}

// maxPushed bounds the messages of one connection that wait for acknowledgement; beyond it the oldest news are not asked after again.
const maxPushed = 4096

func newConnection(s *Connections, t transport, stream grpc.ServerStream) *connection {
	c := &connection{server: s, transport: t, id: s.id(t), out: stream, ip: t.host(), settled: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancelCause(stream.Context())
	c.heard.Store(s.now())
	return c
}

func (c *connection) awaitSetup() error {
	timer := time.NewTimer(c.server.pace.setup)
	defer timer.Stop()
	select {
	case <-c.settled:
		return nil
	case <-timer.C:
		return fault.New(fault.DeadlineExceeded, "nacos.no_setup", "no ConnectionSetupRequest within %v", c.server.pace.setup)
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	}
}

// read acts on what the client sends by its stream: the setup, and answers to what the server sent. Only the end of the handler ends a Recv.
func (c *connection) read(stream grpc.ServerStream) {
	for {
		message := raw(nil)
		if err := stream.RecvMsg(message); err != nil {
			c.cancel(errGone)
			return
		}
		c.heard.Store(c.server.now())
		p, err := decodePayload(message.ProtoReflect().GetUnknown())
		if err == nil {
			err = c.receive(p)
		}
		if err != nil {
			c.cancel(err)
			return
		}
	}
}

// receive acts on one message of the stream. What is not understood is left alone, as Nacos does. An error ends the connection.
func (c *connection) receive(p *payload) error {
	switch {
	case p.kind == "ConnectionSetupRequest":
		return c.setUp(p)
	case strings.HasSuffix(p.kind, "Response") || p.kind == "PushAckRequest":
		var answer acknowledgement
		if err := json.Unmarshal(p.body, &answer); err != nil {
			c.server.api.Logger.Debug("an answer that cannot be read", "connection", c.id, "type", p.kind, "error", err)
			return nil
		}
		c.acknowledge(&answer)
	}
	return nil
}

// setUp makes the connection known. Doing it again changes nothing.
func (c *connection) setUp(p *payload) error {
	var request connectionSetup
	if err := json.Unmarshal(p.body, &request); err != nil {
		return fault.New(fault.Invalid, "nacos.bad_setup", "the ConnectionSetupRequest cannot be read: %v", err)
	}
	select {
	case <-c.settled:
		return nil
	default:
	}
	c.mu.Lock()
	if address, err := netip.ParseAddr(p.clientIP); err == nil {
		c.ip = address.Unmap().WithZone("").String()
	}
	c.labels = keptLabels(request.Labels)
	c.mu.Unlock()
	if err := c.server.add(c); err != nil {
		return err
	}
	close(c.settled)
	if request.AbilityTable == nil {
		return nil // clients before 2.3 do not wait for it, and do not know it
	}
	return c.send(encodeJSON("SetupAckRequest", setupAck{serverRequest: serverRequest{Module: "internal"}, AbilityTable: abilities()}))
}

// keptLabels are the labels by which cohorts can choose the client, within the bounds of labels.
func keptLabels(labels map[string]string) map[string]string {
	kept := make(map[string]string)
	for key, value := range labels {
		if len(kept) < instance.MaxLabels && len(key) <= instance.MaxLabelKeyBytes && len(value) <= instance.MaxLabelValueBytes {
			kept[key] = value
		}
	}
	return kept
}

// subject is the client as cohorts see it.
func (c *connection) subject() *release.Subject {
	c.mu.Lock()
	defer c.mu.Unlock()
	subject := subjectAt(c.ip)
	subject.Labels = c.labels // never changed after the setup
	return subject
}

// lookAfter is called once a tick.
func (c *connection) lookAfter(now int64) {
	pace := &c.server.pace
	if blocked := c.blocked.Load(); blocked != 0 && now-blocked > int64(pace.stuck) {
		c.cancel(fault.New(fault.DeadlineExceeded, "nacos.not_reading", "the client did not read for %v", pace.stuck))
		return
	}
	asked, heard := c.asked.Load(), c.heard.Load()
	switch {
	case now-heard < int64(pace.silence):
		if asked != 0 {
			c.asked.Store(0)
		}
	case asked == 0:
		c.asked.Store(now)
		c.server.workers.Go(func() {
			c.trySend(encodeJSON("ClientDetectionRequest", c.server.newRequest("internal")))
		})
	case now-asked > int64(pace.answer):
		c.cancel(fault.New(fault.DeadlineExceeded, "nacos.silent", "nothing was heard for %v", time.Duration(now-heard).Round(time.Second)))
		return
	}
	c.mu.Lock()
	identity := c.identity
	again := c.overdue(now)
	c.mu.Unlock()
	if identity != nil && !identity.Active() && c.follows() {
		// Its token ended: whoever comes back with a new one gets everything again.
		c.cancel(access.Require(access.NewContext(c.ctx, identity), mayRead, instance.Default))
		return
	}
	for _, push := range again {
		push.again()
	}
}

// follows reports whether the client is told things, or holds registrations, by the rights that it showed.
func (c *connection) follows() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.services != nil || c.configs != nil || c.patterns != nil || c.session != nil
}

// overdue takes the pushes that were not acknowledged in time. The caller holds mu.
func (c *connection) overdue(now int64) (again []*push) {
	for number, push := range c.pushed {
		if wait := min(c.server.pace.ack<<min(push.attempt, 8), max(maxAckWait, c.server.pace.ack)); now-push.at > int64(wait) {
			delete(c.pushed, number)
			again = append(again, push)
		}
	}
	if len(c.pushed) == 0 {
		c.pushed = nil
	}
	return again
}

// expect notes a message that waits for its acknowledgement, before it is sent.
func (c *connection) expect(number uint64, p *push) {
	p.at = c.server.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pushed == nil {
		c.pushed = make(map[uint64]*push)
	}
	if len(c.pushed) < maxPushed && !c.ended {
		c.pushed[number] = p
	}
}

func (c *connection) acknowledge(answer *acknowledgement) {
	c.mu.Lock()
	p := c.pushed[uint64(answer.RequestID)]
	if p != nil && answer.good() {
		delete(c.pushed, uint64(answer.RequestID))
	}
	c.mu.Unlock()
	if p != nil && answer.good() && p.done != nil {
		p.done()
	}
}

// send writes one message into the stream.
func (c *connection) send(encoded []byte) error {
	c.sending.Lock()
	defer c.sending.Unlock()
	return c.write(encoded)
}

// trySend is send, unless another message is on its way: then the client hears from us anyway.
func (c *connection) trySend(encoded []byte) {
	if c.sending.TryLock() {
		defer c.sending.Unlock()
		_ = c.write(encoded)
	}
}

func (c *connection) write(encoded []byte) error {
	c.blocked.Store(max(c.server.now(), 1))
	defer c.blocked.Store(0)
	if c.ctx.Err() != nil {
		return context.Cause(c.ctx)
	}
	if err := c.out.SendMsg(raw(encoded)); err != nil {
		c.cancel(errGone)
		return errGone
	}
	return nil
}

// begin enters an operation; false when the connection has ended. The caller calls operations.Done.
func (c *connection) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return false
	}
	c.operations.Add(1)
	return true
}

// end lets go of everything. What the client registered goes with it when it was the client who ended the connection; when it was us, it stays for its
// ttl, so that the client may come back.
func (c *connection) end(cause error) {
	c.server.remove(c)
	c.cancel(cause)
	c.mu.Lock()
	c.ended = true
	c.pushed = nil
	c.mu.Unlock()
	c.operations.Wait()
	c.mu.Lock()
	session, services, configs, patterns, identity := c.session, c.services, c.configs, c.patterns, c.identity
	c.mu.Unlock()
	if services != nil {
		services.subscriber.Close()
	}
	if configs != nil {
		configs.close()
	}
	if patterns != nil {
		patterns.stop()
	}
	if session == nil {
		return
	}
	_, ours := fault.As(cause)
	ctx, cancel := context.WithTimeout(access.NewContext(context.Background(), identity), closeTimeout)
	defer cancel()
	if err := session.Close(ctx, !ours && !errors.Is(cause, errReplaced)); err != nil {
		c.server.api.Logger.Debug("closing a connection of Nacos", "connection", c.id, "error", err)
	}
}
