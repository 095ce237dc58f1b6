package gantry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

const (
	// defaultPing is the time between pings when the server names none; minPing and maxPing bound what it names.
	defaultPing = 10 * time.Second
	minPing     = time.Second
	maxPing     = time.Minute
	// pongTimeout is how long the server may be silent after a ping before it counts as hanging; with short ping
	// intervals, half of the interval.
	pongTimeout = 5 * time.Second
	// maxDoubts is how many changes of a session may make no sense before it is left: asking for the whole again and again would
	// go round in circles.
	maxDoubts = 3
	// leaveTimeout bounds a session's orderly end.
	leaveTimeout = time.Second
)

var (
	// errNonsense is in the chain of errors for a server that does not keep to the protocol.
	errNonsense = errors.New("the server does not keep to the protocol")
	errSilent   = errors.New("the server is silent: it did not answer a ping")
	errLeft     = errors.New("the session was left")
	// errBroken is in the chain of errors for requests whose session ended before their answer.
	errBroken = errors.New("the session broke before the answer came")
)

// link is one open session. A goroutine each reads, writes and watches over it.
type link struct {
	client  *Client
	ctx     context.Context
	cancel  context.CancelCauseFunc
	conn    *grpc.ClientConn
	stream  gantryv1.SessionService_OpenClient
	address string
	welcome *gantryv1.Welcome
	opened  time.Time

	// wake tells the writer that there is something to send.
	wake chan struct{}
	// heard is when the server's last message came, in nanoseconds since opened.
	heard atomic.Int64
	// goAway holds the nodes that the server named when it asked the client to leave.
	goAway chan []string
	// settled is closed when every registration was answered on this link. Guarded by Client.mu.
	settled   chan struct{}
	isSettled bool
	// doubts counts changes that made no sense. Guarded by Client.mu.
	doubts int
	// done is closed after all goroutines ended and all requests were answered; err is then why.
	done chan struct{}
	err  error

	mu      sync.Mutex
	lastID  uint64
	pending map[uint64]func(*gantryv1.Reply, error)
	queue   []*gantryv1.ClientMessage
	ping    bool
	leaving bool
	ended   bool
}

func newLink(c *Client, ctx context.Context, cancel context.CancelCauseFunc, conn *grpc.ClientConn,
	stream gantryv1.SessionService_OpenClient, address string, welcome *gantryv1.Welcome) *link {
	return &link{
		client: c, ctx: ctx, cancel: cancel, conn: conn, stream: stream, address: address, welcome: welcome,
		opened: time.Now(), wake: make(chan struct{}, 1), goAway: make(chan []string, 1), settled: make(chan struct{}),
		done: make(chan struct{}), pending: map[uint64]func(*gantryv1.Reply, error){},
	}
}

// start runs the session until it ends.
func (l *link) start() {
	go func() {
		var others sync.WaitGroup
		others.Go(l.write)
		others.Go(l.watch)
		err := l.read()
		// Whoever cancelled first knows better than the stream why it ended.
		if cause := context.Cause(l.ctx); cause != nil {
			err = cause
		}
		l.cancel(err)
		others.Wait()
		l.conn.Close()
		l.finish(err)
	}()
}

// finish answers what is still open and closes done.
func (l *link) finish(err error) {
	l.mu.Lock()
	l.ended = true
	pending := l.pending
	l.pending = nil
	l.mu.Unlock()
	l.err = err
	for _, answer := range pending {
		answer(nil, fmt.Errorf("%w: %w", errBroken, err))
	}
	close(l.done)
}

// request sends a message and has its reply given to answer, once, from another goroutine, with no lock held; or an error
// with errBroken when the session ends first.
func (l *link) request(message *gantryv1.ClientMessage, answer func(*gantryv1.Reply, error)) {
	l.mu.Lock()
	if l.ended {
		l.mu.Unlock()
		go answer(nil, errBroken)
		return
	}
	l.register(message, answer)
	l.queue = append(l.queue, message)
	l.mu.Unlock()
	l.signal()
}

// register gives a message its number. The caller holds mu.
func (l *link) register(message *gantryv1.ClientMessage, answer func(*gantryv1.Reply, error)) {
	l.lastID++
	message.RequestId = l.lastID
	l.pending[l.lastID] = answer
}

// prepare is register for messages that the writer itself is about to send. It reports whether the session still runs.
func (l *link) prepare(message *gantryv1.ClientMessage, answer func(*gantryv1.Reply, error)) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return false
	}
	l.register(message, answer)
	return true
}

// signal wakes the writer.
func (l *link) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// leave ends the session in order: what is queued is sent, then the stream is closed.
func (l *link) leave() {
	l.mu.Lock()
	l.leaving = true
	l.mu.Unlock()
	l.signal()
	timer := time.NewTimer(leaveTimeout)
	defer timer.Stop()
	select {
	case <-l.done:
	case <-timer.C:
		l.cancel(errLeft)
		<-l.done
	}
}

func (l *link) write() {
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-l.wake:
		}
		// Desired state first: a request may be about a registration that is sent with it.
		for _, message := range l.client.outgoing(l) {
			if !l.send(message) {
				return
			}
		}
		l.mu.Lock()
		queue, ping, leaving := l.queue, l.ping, l.leaving
		l.queue, l.ping = nil, false
		l.mu.Unlock()
		if ping {
			queue = append(queue, &gantryv1.ClientMessage{Message: &gantryv1.ClientMessage_Ping{Ping: &gantryv1.Ping{}}})
		}
		for _, message := range queue {
			if !l.send(message) {
				return
			}
		}
		if leaving {
			l.stream.CloseSend()
			return
		}
	}
}

// send reports whether the stream still works; the reader finds out why it does not.
func (l *link) send(message *gantryv1.ClientMessage) bool {
	return l.stream.Send(message) == nil
}

// watch pings the server and ends the session when it is silent.
func (l *link) watch() {
	interval := defaultPing
	if named := l.welcome.GetPingInterval(); named != nil {
		interval = min(max(named.AsDuration(), minPing), maxPing)
	}
	timeout := min(pongTimeout, interval/2)
	timer := time.NewTimer(interval - timeout)
	defer timer.Stop()
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-timer.C:
		}
		sent := int64(time.Since(l.opened))
		l.mu.Lock()
		l.ping = true
		l.mu.Unlock()
		l.signal()
		timer.Reset(timeout)
		select {
		case <-l.ctx.Done():
			return
		case <-timer.C:
		}
		if l.heard.Load() < sent {
			l.cancel(errSilent)
			return
		}
		timer.Reset(interval - timeout)
	}
}

func (l *link) read() error {
	for {
		message, err := l.stream.Recv()
		if err == io.EOF {
			return errors.New("the server ended the session")
		}
		if err != nil {
			return fromStatus(err)
		}
		l.heard.Store(int64(time.Since(l.opened)))
		if err := l.receive(message); err != nil {
			return err
		}
	}
}

func (l *link) replied(reply *gantryv1.Reply) error {
	l.mu.Lock()
	answer := l.pending[reply.GetRequestId()]
	delete(l.pending, reply.GetRequestId())
	l.mu.Unlock()
	if answer == nil {
		return fmt.Errorf("%w: a reply to request %d, which nobody waits for", errNonsense, reply.GetRequestId())
	}
	answer(reply, fromFailure(reply.GetFailure()))
	return nil
}

func (l *link) receive(message *gantryv1.ServerMessage) error {
	switch m := message.GetMessage().(type) {
	case *gantryv1.ServerMessage_Reply:
		return l.replied(m.Reply)
	case *gantryv1.ServerMessage_Replies:
		for _, reply := range m.Replies.GetReplies() {
			if err := l.replied(reply); err != nil {
				return err
			}
		}
	case *gantryv1.ServerMessage_ServiceEvent:
		l.client.serviceChanged(l, m.ServiceEvent)
	case *gantryv1.ServerMessage_DocumentEvent:
		l.client.documentChanged(l, m.DocumentEvent)
	case *gantryv1.ServerMessage_GoAway:
		select {
		case l.goAway <- m.GoAway.GetNodes():
		default:
		}
	case *gantryv1.ServerMessage_Welcome:
		return fmt.Errorf("%w: a second welcome", errNonsense)
	}
	// A pong needs nothing more than having been heard; kinds of messages that are not known come from a newer server.
	return nil
}
