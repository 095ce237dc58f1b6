package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/gantry-platform/gantry/bench/internal/load"
	"github.com/gantry-platform/gantry/bench/internal/process"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

const (
	// registerSessions and registerWindow: 128 services that start at once and have 8 registrations under way each.
	// Twice a transaction of the state, so that one fills while another is written.
	registerSessions = 128
	registerWindow   = 8
	// batchSessions send batchSize registrations a message and have one message under way each, as gateways and agents do that
	// register for many.
	batchSessions = 64
	batchWindow   = 1
	batchSize     = 100
	// registerMost ends a run early on a machine that is so fast: a namespace holds 500,000 instances.
	registerMost = 450_000
	// registerConnections have one registration under way each.
	registerConnections = 256
)

// errEnough ends a connection's requests without being a failure.
var errEnough = errors.New("enough")

func registerScenarios() []scenario {
	one := func(name, what string, target float64, measure func(context.Context, *lab, string) (outcome, error)) scenario {
		return scenario{rows: []row{{name: name, what: what, unit: "/s", target: target}}, timeout: 90 * time.Second,
			measure: func(ctx context.Context, l *lab) (outcome, error) { return measure(ctx, l, name) }}
	}
	return []scenario{
		one("register-session", "registrations by session stream, one a message", 30_000, func(ctx context.Context, l *lab, name string) (outcome, error) {
			return registerBySession(ctx, l, name, registerSessions, registerWindow, 1)
		}),
		one("register-session-batch", "registrations by session stream, 100 a message", 0, func(ctx context.Context, l *lab, name string) (outcome, error) {
			return registerBySession(ctx, l, name, batchSessions, batchWindow, batchSize)
		}),
		one("register-http", "registrations by HTTP, protobuf", 12_000, func(ctx context.Context, l *lab, name string) (outcome, error) {
			return registerByHTTP(ctx, l, name, "application/proto", proto.MarshalOptions{}.MarshalAppend)
		}),
		one("register-http-json", "registrations by HTTP, JSON", 0, func(ctx context.Context, l *lab, name string) (outcome, error) {
			return registerByHTTP(ctx, l, name, "application/json", protojson.MarshalOptions{}.MarshalAppend)
		}),
	}
}

func registerBySession(ctx context.Context, l *lab, name string, sessions, window, batch int) (outcome, error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	server, err := l.start(ctx)
	if err != nil {
		return outcome{}, err
	}
	r, err := openRegistrars(ctx, server, sessions, window, fail)
	if err != nil {
		return outcome{}, err
	}
	defer load.CloseSessions(r.sessions)
	return l.registrations(ctx, name, server, &r.answered, func(end context.Context) error { return r.run(ctx, end, batch, registerMost) })
}

func registerByHTTP(ctx context.Context, l *lab, name, contentType string,
	encode func([]byte, proto.Message) ([]byte, error)) (outcome, error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	server, err := l.start(ctx)
	if err != nil {
		return outcome{}, err
	}
	c, err := dial(ctx, server.HTTP, registerConnections, fail)
	if err != nil {
		return outcome{}, err
	}
	defer c.close()
	type kept struct {
		request gantryv1.RegisterRequest
		body    []byte
	}
	var number atomic.Int64
	perConnection := make([]kept, registerConnections)
	next := func(buffer []byte, conn int) ([]byte, error) {
		k := &perConnection[conn]
		n := int(number.Add(1)) - 1
		if n >= registerMost {
			return nil, errEnough
		}
		fillRegistration(&k.request, n)
		k.request.Instance.Ttl = longTTL()
		var err error
		if k.body, err = encode(k.body[:0], &k.request); err != nil {
			return nil, err
		}
		return load.AppendRequest(buffer, c.host, "InstanceService/Register", contentType, server.Token, k.body), nil
	}
	check := func(body []byte) error {
		if len(body) == 0 {
			return fmt.Errorf("a registration was answered with nothing")
		}
		return nil
	}
	return l.registrations(ctx, name, server, &c.answered, func(end context.Context) error {
		c.run(end, next, check)
		return nil
	})
}

// registrations measures the rate of a load that registers new instances until its context ends. Then the server is killed
// and started again: everything that it had answered must be there.
func (l *lab) registrations(ctx context.Context, name string, server *process.Server, answered *atomic.Int64,
	run func(end context.Context) error) (outcome, error) {
	before, err := server.Figures(ctx)
	if err != nil {
		return outcome{}, err
	}
	end, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan struct{})
	var failure error
	go func() {
		defer close(ended)
		failure = run(end)
	}()
	perSecond, note, err := l.rate(ctx, name, server, answered.Load, ended)
	if after, err := server.Figures(ctx); err == nil {
		note += transactionNote(before, after)
	}
	stop()
	<-ended
	if err == nil {
		err = failure
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return outcome{}, err
	}
	promised := int(answered.Load())
	server.Kill()
	again, err := l.start(ctx)
	if err != nil {
		return outcome{}, fmt.Errorf("after kill -9: %w", err)
	}
	found, err := again.CountInstances(ctx)
	if err != nil {
		return outcome{}, err
	}
	if found < promised {
		return outcome{}, fmt.Errorf("of %d registrations that were answered, %d are there after kill -9", promised, found)
	}
	var o outcome
	o.set(name, perSecond, note+fmt.Sprintf("; all %d there after kill -9", promised))
	return o, nil
}

// transactionNote says how the registrations became durable: how many shared a transaction, and how long it and the fsync in it took.
func transactionNote(before, after process.Figures) string {
	const ms = 1000
	return fmt.Sprintf("; %.0f a transaction of %.1f ms, %.1f ms of it fsync", after.Mean(before, "gantry_state_transaction_operations"),
		ms*after.Mean(before, "gantry_state_transaction_seconds"), ms*after.Mean(before, "etcd_disk_wal_fsync_duration_seconds"))
}
