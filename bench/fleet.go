package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gantry-platform/gantry/bench/internal/load"
	"github.com/gantry-platform/gantry/bench/internal/process"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// fleetServices is how many services a fleet has: a large company's.
const fleetServices = 1000

// serviceName is the name of a fleet's service by number.
func serviceName(n int) string { return fmt.Sprintf("service-%04d", n%fleetServices) }

// fillRegistration makes a request register the nth instance of a fleet: two labels, one entry of metadata, an address of its own. The request's
// parts are used again.
func fillRegistration(r *gantryv1.RegisterRequest, n int) {
	if r.Service == nil {
		r.Service, r.Instance = &gantryv1.ServiceRef{}, &gantryv1.Instance{
			Labels: map[string]string{"version": "1.4.2", "zone": "a"}, Metadata: map[string]string{"team": "lending"}}
	}
	r.Service.Service = serviceName(n)
	r.Instance.Address = fmt.Sprintf("10.%d.%d.%d", n>>16&0xff, n>>8&0xff, n&0xff)
	r.Instance.Port = uint32(20000 + n>>24)
}

func newRegistration(n int) *gantryv1.RegisterRequest {
	r := &gantryv1.RegisterRequest{}
	fillRegistration(r, n)
	return r
}

// longTTL keeps instances that nobody beats for out of the way of what is measured.
func longTTL() *durationpb.Duration { return durationpb.New(time.Hour) }

// registrars are sessions that register instances, each with a bounded number of requests on their way.
type registrars struct {
	sessions []*load.Session
	// rooms of the sessions for further requests.
	rooms []chan struct{}
	// next is the number of the next instance, and answered counts those that the server has confirmed.
	next, answered atomic.Int64
	fail           context.CancelCauseFunc
}

// openRegistrars opens sessions that can have window requests on their way each.
func openRegistrars(ctx context.Context, server *process.Server, sessions, window int, fail context.CancelCauseFunc) (*registrars, error) {
	r := &registrars{fail: fail, rooms: make([]chan struct{}, sessions)}
	for i := range r.rooms {
		r.rooms[i] = make(chan struct{}, window)
	}
	var err error
	r.sessions, err = load.OpenSessions(ctx, sessions, func(i int) load.SessionOptions {
		return load.SessionOptions{Address: server.GRPC, Token: server.Token, Subject: &gantryv1.Subject{InstanceId: fmt.Sprintf("registrar-%d", i)},
			Receive: func(_ *load.Session, message *gantryv1.ServerMessage) { r.receive(r.rooms[i], message) }}
	})
	return r, err
}

func (r *registrars) receive(room chan struct{}, message *gantryv1.ServerMessage) {
	reply := message.GetReply()
	if reply == nil {
		return
	}
	if err := load.FailureOf(reply); err != nil {
		r.fail(err)
		return
	}
	r.answered.Add(int64(len(reply.Registered)))
	<-room
}

// register sends registrations on a session, batch of them a message, until ctx ends, the session holds most instances, or upTo were sent by all
// together.
func (r *registrars) register(ctx context.Context, session, batch, most, upTo int) {
	room := r.rooms[session]
	request := &gantryv1.Register{Registrations: make([]*gantryv1.RegisterRequest, batch)}
	for i := range request.Registrations {
		request.Registrations[i] = &gantryv1.RegisterRequest{}
	}
	message := &gantryv1.ClientMessage{Message: &gantryv1.ClientMessage_Register{Register: request}}
	for sent := 0; sent+batch <= most; sent += batch {
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
			return
		}
		last := int(r.next.Add(int64(batch)))
		if last > upTo {
			r.next.Add(-int64(batch))
			<-room
			return
		}
		for i, registration := range request.Registrations {
			fillRegistration(registration, last-batch+i)
		}
		message.RequestId++
		if err := r.sessions[session].Send(message); err != nil {
			r.fail(fmt.Errorf("a session ended: %w", err))
			return
		}
	}
}

// run has all sessions register until ctx ends or upTo were sent, and then waits for the answers.
func (r *registrars) run(ctx, end context.Context, batch, upTo int) error {
	// Under the limit of a session, 10,000, which is not what is measured.
	const most = 9_900
	var senders sync.WaitGroup
	for session := range r.sessions {
		senders.Go(func() { r.register(end, session, batch, most, upTo) })
	}
	senders.Wait()
	for r.answered.Load() < r.next.Load() {
		if err := sleep(ctx, time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// fill registers instances up to a number through sessions, which keep them alive until they are closed.
func (r *registrars) fill(ctx context.Context, instances int) error {
	return r.run(ctx, ctx, min(100, instances-int(r.next.Load())), instances)
}

// fleet starts a server that holds a number of instances, kept by sessions.
func (l *lab) fleet(ctx context.Context, instances int, fail context.CancelCauseFunc) (*process.Server, *registrars, error) {
	server, err := l.start(ctx)
	if err != nil {
		return nil, nil, err
	}
	r, err := openRegistrars(ctx, server, max(1, instances/1000), 4, fail)
	if err != nil {
		return nil, nil, err
	}
	if err := r.fill(ctx, instances); err != nil {
		load.CloseSessions(r.sessions)
		return nil, nil, err
	}
	return server, r, nil
}

// connections sends requests over kept connections, one under way on each.
type connections struct {
	host     string
	conns    []*load.Conn
	answered atomic.Int64
	fail     context.CancelCauseFunc
}

func dial(ctx context.Context, host string, n int, fail context.CancelCauseFunc) (*connections, error) {
	c := &connections{host: host, fail: fail}
	deadline, bounded := ctx.Deadline()
	if !bounded {
		return nil, errors.New("connections need a time at which they end")
	}
	for range n {
		conn, err := load.Dial(host, deadline)
		if err != nil {
			c.close()
			return nil, err
		}
		c.conns = append(c.conns, conn)
	}
	return c, nil
}

func (c *connections) close() {
	for _, conn := range c.conns {
		conn.Close()
	}
}

// run sends the requests that next makes, in the buffer that it is given, until end, or until next returns errEnough. check looks at what was answered
// with 200.
func (c *connections) run(end context.Context, next func(buffer []byte, conn int) ([]byte, error), check func(body []byte) error) {
	load.InParallel(len(c.conns), len(c.conns), func(i int) {
		var buffer []byte
		for end.Err() == nil {
			var err error
			if buffer, err = next(buffer[:0], i); err == nil {
				err = c.ask(c.conns[i], buffer, check)
			}
			if errors.Is(err, errEnough) {
				return
			}
			if err != nil {
				c.fail(err)
				return
			}
		}
	})
}

func (c *connections) ask(conn *load.Conn, request []byte, check func(body []byte) error) error {
	status, body, err := conn.Do(request)
	if err != nil {
		return err
	}
	if status != 200 && status != 204 {
		return fmt.Errorf("a request was answered with %d: %.300s", status, body)
	}
	if err := check(body); err != nil {
		return err
	}
	c.answered.Add(1)
	return nil
}
