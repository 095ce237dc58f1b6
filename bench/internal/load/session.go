// Package load holds clients that ask much of a server and need little themselves, because they share the machine with it:
// session streams without the comforts of the SDK, and HTTP connections that send prepared requests. Of the project it
// imports the generated API only.
package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// sessionBuffer is the read and the write buffer of a session's connection: messages are small, and sessions are many.
const sessionBuffer = 8 << 10

// openers bounds how many sessions are opened at once.
const openers = 32

// SessionOptions describe a session. Address is required.
type SessionOptions struct {
	// Address is that of the server's gRPC port.
	Address string
	// Token is sent unless it is empty.
	Token   string
	Subject *gantryv1.Subject
	// Receive gets what the server sends after its welcome, from one goroutine. Nil: it is thrown away.
	Receive func(*Session, *gantryv1.ServerMessage)
}

// Session is an open session stream on a connection of its own, as a service has it. It pings as the server asks.
type Session struct {
	options SessionOptions
	conn    *grpc.ClientConn
	stream  gantryv1.SessionService_OpenClient
	cancel  context.CancelFunc
	workers sync.WaitGroup

	sending sync.Mutex // Send may be called concurrently
	// err is why the session ended by itself; read it after the workers.
	err error
}

// OpenSession opens a session. It lasts until Close, or until ctx ends.
func OpenSession(ctx context.Context, options SessionOptions) (*Session, error) {
	conn, err := grpc.NewClient("passthrough:///"+options.Address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithReadBufferSize(sessionBuffer), grpc.WithWriteBufferSize(sessionBuffer), grpc.WithDisableServiceConfig())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &Session{options: options, conn: conn, cancel: cancel}
	interval, err := s.greet(ctx)
	if err != nil {
		cancel()
		conn.Close()
		return nil, fmt.Errorf("open a session: %w", err)
	}
	s.workers.Go(s.receive)
	s.workers.Go(func() { s.ping(ctx, interval) })
	return s, nil
}

func (s *Session) greet(ctx context.Context) (pingInterval time.Duration, err error) {
	if s.options.Token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+s.options.Token)
	}
	if s.stream, err = gantryv1.NewSessionServiceClient(s.conn).Open(ctx); err != nil {
		return 0, err
	}
	hello := &gantryv1.Hello{Client: "gantry-bench", Subject: s.options.Subject}
	if err := s.Send(&gantryv1.ClientMessage{Message: &gantryv1.ClientMessage_Hello{Hello: hello}}); err != nil {
		return 0, err
	}
	message, err := s.stream.Recv()
	if err != nil {
		return 0, err
	}
	welcome := message.GetWelcome()
	if interval := welcome.GetPingInterval().AsDuration(); interval > 0 {
		return interval, nil
	}
	return 0, fmt.Errorf("the first message is no welcome with a ping interval: %v", message)
}

func (s *Session) receive() {
	defer s.cancel()
	for {
		message, err := s.stream.Recv()
		if err != nil {
			s.err = err
			return
		}
		if s.options.Receive == nil {
			continue
		}
		replies := message.GetReplies().GetReplies()
		for _, reply := range replies {
			s.options.Receive(s, &gantryv1.ServerMessage{Message: &gantryv1.ServerMessage_Reply{Reply: reply}})
		}
		if replies == nil {
			s.options.Receive(s, message)
		}
	}
}

func (s *Session) ping(ctx context.Context, interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if s.Send(&gantryv1.ClientMessage{Message: &gantryv1.ClientMessage_Ping{Ping: &gantryv1.Ping{}}}) != nil {
				return // receive learns why
			}
		case <-ctx.Done():
			return
		}
	}
}

// Send sends a message, which can be changed and used again afterwards. It may be called concurrently.
func (s *Session) Send(message *gantryv1.ClientMessage) error {
	s.sending.Lock()
	defer s.sending.Unlock()
	return s.stream.Send(message)
}

// Close breaks the session off, as a crash of the service does.
func (s *Session) Close() {
	s.cancel()
	s.workers.Wait()
	s.conn.Close()
}

// OpenSessions opens n sessions, each with the options that it is given by its number. The error of a session that cannot be opened
// closes the others.
func OpenSessions(ctx context.Context, n int, options func(i int) SessionOptions) ([]*Session, error) {
	sessions, errs := make([]*Session, n), make([]error, n)
	InParallel(n, openers, func(i int) { sessions[i], errs[i] = OpenSession(ctx, options(i)) })
	if err := errors.Join(errs...); err != nil {
		CloseSessions(sessions)
		return nil, err
	}
	return sessions, nil
}

// CloseSessions closes all that are not nil.
func CloseSessions(sessions []*Session) {
	InParallel(len(sessions), openers, func(i int) {
		if sessions[i] != nil {
			sessions[i].Close()
		}
	})
}

// InParallel calls do for 0 to n-1, at most width at once, and returns after the last.
func InParallel(n, width int, do func(i int)) {
	var workers sync.WaitGroup
	next := make(chan int)
	for range min(n, width) {
		workers.Go(func() {
			for i := range next {
				do(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	workers.Wait()
}

// FailureOf is the failure of a reply as an error, or nil.
func FailureOf(reply *gantryv1.Reply) error {
	if f := reply.GetFailure(); f != nil {
		return fmt.Errorf("the server refused a request: %s (%s)", f.Message, f.GetDetail().GetReason())
	}
	return nil
}
