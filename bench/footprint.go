package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/gantry-platform/gantry/bench/internal/load"
	"github.com/gantry-platform/gantry/bench/internal/process"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

const (
	// restTimeout bounds the wait for memory to come to rest, and restQuiet is how long it must have stayed within restShare of
	// itself for that.
	restTimeout = 45 * time.Second
	restQuiet   = 5 * time.Second
	restShare   = 0.02
	// collectedAfter is when Go has collected what a burst left behind and given it back, even when nothing happens any more: it
	// collects at the latest every two minutes.
	collectedAfter = 150 * time.Second

	idleWindow = 5 * time.Second
	// firstSessions are open before the memory of furtherSessions is measured, so that what the first use of a part costs is not counted. They
	// do nothing but ping, each on a connection of its own.
	firstSessions   = 1000
	furtherSessions = 2000
	// beatingInstances beat every beatEvery over beatConnections.
	beatingInstances = 10_000
	beatConnections  = 20
	beatEvery        = 5 * time.Second
)

func footprintScenarios() []scenario {
	return []scenario{
		{rows: []row{
			{name: "ready-time", what: "from start to ready, empty folder", unit: "ms", target: 1000, atMost: true},
			{name: "ready-memory", what: "resident memory then", unit: "MB", target: 60, atMost: true},
			{name: "idle-cpu", what: "CPU of a server with nothing to do", unit: "% of a core"},
		}, timeout: 60 * time.Second, measure: becomesReady},
		{rows: []row{
			{name: "memory-1000", what: "resident memory with 1,000 instances", unit: "MB"},
			{name: "memory-10000", what: "resident memory with 10,000 instances", unit: "MB"},
			{name: "memory-100000-burst", what: "resident memory with 100,000 instances, at once", unit: "MB"},
			{name: "memory-100000", what: "the same when it has settled", unit: "MB", target: 250, atMost: true},
			{name: "restart-time", what: "from start to ready, 100,000 instances, after kill -9", unit: "ms"},
			{name: "restart-memory", what: "resident memory then", unit: "MB"},
		}, timeout: 8 * time.Minute, measure: holdsInstances},
		{rows: []row{
			{name: "session-memory", what: "memory for each further session", unit: "KB"},
			{name: "session-cpu", what: "CPU with 3,000 sessions that only ping", unit: "% of a core"},
		}, timeout: 3 * time.Minute, measure: holdsSessions},
		{rows: []row{{name: "beat-cpu", what: "CPU with 10,000 instances that beat by HTTP", unit: "% of a core"}},
			timeout: 2 * time.Minute, measure: hearsBeats},
	}
}

// megabytes are decimal, as memory is sold.
func megabytes(bytes uint64) float64 { return float64(bytes) / 1e6 }

func memoryNote(m process.Memory) string {
	return fmt.Sprintf("own %.1f MB, mapped files %.1f MB", megabytes(m.Anonymous), megabytes(m.File))
}

func becomesReady(ctx context.Context, l *lab) (outcome, error) {
	server, err := l.start(ctx)
	if err != nil {
		return outcome{}, err
	}
	var o outcome
	o.set("ready-time", float64(server.Ready.Milliseconds()), "")
	o.set("ready-memory", megabytes(server.ReadyMemory.Resident), memoryNote(server.ReadyMemory))
	// The first seconds after a start are not idleness.
	if err := sleep(ctx, 2*time.Second); err != nil {
		return outcome{}, err
	}
	share, err := cpuShare(ctx, server, idleWindow)
	o.set("idle-cpu", share, "")
	return o, err
}

// cpuShare is how much of one core a server uses over a time, in percent.
func cpuShare(ctx context.Context, server *process.Server, over time.Duration) (float64, error) {
	before, err := server.CPUTime()
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := sleep(ctx, over); err != nil {
		return 0, err
	}
	after, err := server.CPUTime()
	return 100 * (after - before).Seconds() / time.Since(began).Seconds(), err
}

// atRest waits until a server's memory has come to rest, and returns it. When it does not within the bound, the note says so.
func atRest(ctx context.Context, server *process.Server) (process.Memory, string, error) {
	began := time.Now()
	rest, since := process.Memory{}, began
	for {
		now, err := server.Memory()
		if err != nil {
			return now, "", err
		}
		if low, high := min(now.Resident, rest.Resident), max(now.Resident, rest.Resident); float64(high-low) > restShare*float64(high) {
			rest, since = now, time.Now()
		}
		switch {
		case time.Since(since) >= restQuiet:
			return now, memoryNote(now), nil
		case time.Since(began) >= restTimeout:
			return now, memoryNote(now) + "; still moving", nil
		}
		if err := sleep(ctx, 250*time.Millisecond); err != nil {
			return now, "", err
		}
	}
}

// memoryRow waits for rest and puts the resident memory into a row.
func memoryRow(ctx context.Context, o *outcome, name string, server *process.Server) error {
	memory, note, err := atRest(ctx, server)
	if err != nil {
		return err
	}
	o.set(name, megabytes(memory.Resident), note)
	return nil
}

// holdsInstances fills one server in three steps, kills it and starts it again. A hundred sessions keep the instances alive: what is asked for is
// the memory of instances, and session-memory says what sessions cost.
func holdsInstances(ctx context.Context, l *lab) (outcome, error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	server, err := l.start(ctx)
	if err != nil {
		return outcome{}, err
	}
	r, err := openRegistrars(ctx, server, 100, 4, fail)
	if err != nil {
		return outcome{}, err
	}
	defer load.CloseSessions(r.sessions)
	const most = 100_000
	var o outcome
	for _, step := range []struct {
		instances int
		row       string
	}{{1_000, "memory-1000"}, {10_000, "memory-10000"}, {most, "memory-100000-burst"}} {
		if err := r.fill(ctx, step.instances); err != nil {
			return outcome{}, err
		}
		if err := memoryRow(ctx, &o, step.row, server); err != nil {
			return outcome{}, err
		}
	}
	if err := sleep(ctx, collectedAfter); err != nil {
		return outcome{}, err
	}
	if err := memoryRow(ctx, &o, "memory-100000", server); err != nil {
		return outcome{}, err
	}
	if err := l.heap(ctx, "memory-100000", server); err != nil {
		return outcome{}, err
	}
	if err := holds(ctx, server, most); err != nil {
		return outcome{}, err
	}
	server.Kill()
	again, err := l.start(ctx)
	if err != nil {
		return outcome{}, err
	}
	if err := holds(ctx, again, most); err != nil {
		return outcome{}, fmt.Errorf("after kill -9: %w", err)
	}
	o.set("restart-time", float64(again.Ready.Milliseconds()), "")
	if err := memoryRow(ctx, &o, "restart-memory", again); err != nil {
		return outcome{}, err
	}
	return o, l.heap(ctx, "restart-memory", again)
}

// holds checks that a server knows so many instances.
func holds(ctx context.Context, server *process.Server, instances int) error {
	found, err := server.CountInstances(ctx)
	if err == nil && found != instances {
		err = fmt.Errorf("the server holds %d instances, not %d", found, instances)
	}
	return err
}

func holdsSessions(ctx context.Context, l *lab) (outcome, error) {
	server, err := l.start(ctx)
	if err != nil {
		return outcome{}, err
	}
	open := func(from, n int) ([]*load.Session, process.Memory, error) {
		sessions, err := load.OpenSessions(ctx, n, func(i int) load.SessionOptions {
			return load.SessionOptions{Address: server.GRPC, Token: server.Token, Subject: &gantryv1.Subject{InstanceId: fmt.Sprintf("idle-%d", from+i)}}
		})
		if err != nil {
			return nil, process.Memory{}, err
		}
		memory, _, err := atRest(ctx, server)
		return sessions, memory, err
	}
	first, before, err := open(0, firstSessions)
	defer load.CloseSessions(first)
	if err != nil {
		return outcome{}, err
	}
	further, after, err := open(firstSessions, furtherSessions)
	defer load.CloseSessions(further)
	if err != nil {
		return outcome{}, err
	}
	var o outcome
	o.set("session-memory", (float64(after.Anonymous)-float64(before.Anonymous))/furtherSessions/1e3, memoryNote(after))
	share, err := cpuShare(ctx, server, 2*idleWindow) // two rounds of pings
	if err != nil {
		return outcome{}, err
	}
	o.set("session-cpu", share, "")
	return o, l.heap(ctx, "session-memory", server)
}

// hearsBeats registers instances by HTTP and has each of them beat by a request of its own, at the interval that the server asks for.
func hearsBeats(ctx context.Context, l *lab) (outcome, error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	server, err := l.start(ctx)
	if err != nil {
		return outcome{}, err
	}
	c, err := dial(ctx, server.HTTP, beatConnections, fail)
	if err != nil {
		return outcome{}, err
	}
	defer c.close()
	beats := make([][]byte, beatingInstances)
	load.InParallel(beatConnections, beatConnections, func(i int) {
		for n := i; n < beatingInstances && ctx.Err() == nil; n += beatConnections {
			beat, err := c.registerBeating(server, i, n)
			if err != nil {
				fail(err)
				return
			}
			beats[n] = beat
		}
	})
	if ctx.Err() != nil {
		return outcome{}, context.Cause(ctx)
	}
	end, stop := context.WithCancel(ctx)
	defer stop()
	var beating sync.WaitGroup
	beating.Go(func() {
		load.InParallel(beatConnections, beatConnections, func(i int) { c.beat(end, i, beats) })
	})
	if err := sleep(ctx, beatEvery); err != nil { // everyone has beaten once
		return outcome{}, err
	}
	profiled, err := l.profile(ctx, "beat-cpu", server)
	if err != nil {
		return outcome{}, err
	}
	before := c.answered.Load()
	share, err := cpuShare(ctx, server, idleWindow)
	heard := c.answered.Load() - before
	err = errors.Join(err, profiled())
	stop()
	beating.Wait()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	var o outcome
	o.set("beat-cpu", share, fmt.Sprintf("%.0f beats/s", float64(heard)/idleWindow.Seconds()))
	return o, err
}

// registerBeating registers the nth instance and returns the request of its beat.
func (c *connections) registerBeating(server *process.Server, conn, n int) ([]byte, error) {
	r := newRegistration(n)
	body, err := proto.Marshal(r)
	if err != nil {
		return nil, err
	}
	answer := &gantryv1.RegisterResponse{}
	request := load.AppendRequest(nil, c.host, "InstanceService/Register", "application/proto", server.Token, body)
	if err := c.ask(c.conns[conn], request, func(body []byte) error { return proto.Unmarshal(body, answer) }); err != nil {
		return nil, err
	}
	if got := answer.BeatInterval.AsDuration(); got != beatEvery {
		return nil, fmt.Errorf("the server asks for a beat every %v, not every %v", got, beatEvery)
	}
	if body, err = proto.Marshal(&gantryv1.BeatRequest{Service: r.Service, Ids: []string{answer.Id}}); err != nil {
		return nil, err
	}
	return load.AppendRequest(nil, c.host, "InstanceService/Beat", "application/proto", server.Token, body), nil
}

// beat sends the beats of a connection's share of the instances, evenly over beatEvery, again and again.
func (c *connections) beat(end context.Context, conn int, beats [][]byte) {
	ticker := time.NewTicker(beatEvery * beatConnections / time.Duration(len(beats)))
	defer ticker.Stop()
	known := func(body []byte) error {
		if len(body) > 0 {
			return errors.New("the server does not know an instance that beats")
		}
		return nil
	}
	for {
		for n := conn; n < len(beats); n += beatConnections {
			select {
			case <-ticker.C:
			case <-end.Done():
				return
			}
			if err := c.ask(c.conns[conn], beats[n], known); err != nil {
				c.fail(err)
				return
			}
		}
	}
}
