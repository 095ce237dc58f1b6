package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/gantry-platform/gantry/bench/internal/load"
	"github.com/gantry-platform/gantry/internal/instance"
	"github.com/gantry-platform/gantry/internal/state"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

const (
	// discoverInstances is the size of the fleet that is asked about: ten a service.
	discoverInstances = 10 * fleetServices
	// discoverConnections have one request under way each.
	discoverConnections = 64
)

func discoverScenarios() []scenario {
	byHTTP := func(name, what string, target float64, contentType string, encode func(proto.Message) ([]byte, error)) scenario {
		return scenario{rows: []row{{name: name, what: what, unit: "/s", target: target}}, timeout: 60 * time.Second,
			measure: func(ctx context.Context, l *lab) (outcome, error) {
				return discoverByHTTP(ctx, l, name, contentType, encode)
			}}
	}
	return []scenario{
		{rows: []row{
			{name: "discover-memory", what: "discovery answers in the process", unit: "/s", target: 100_000},
			{name: "discover-memory-changing", what: "the same while instances change", unit: "/s"},
		}, timeout: 60 * time.Second, measure: discoverInProcess},
		byHTTP("discover-http", "discovery answers by HTTP, protobuf", 20_000, "application/proto", proto.Marshal),
		byHTTP("discover-http-json", "discovery answers by HTTP, JSON", 0, "application/json", protojson.Marshal),
	}
}

// discoverByHTTP looks up services of ten instances, one after another at random.
func discoverByHTTP(ctx context.Context, l *lab, name, contentType string, encode func(proto.Message) ([]byte, error)) (outcome, error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	server, registrars, err := l.fleet(ctx, discoverInstances, fail)
	if err != nil {
		return outcome{}, err
	}
	defer load.CloseSessions(registrars.sessions)
	c, err := dial(ctx, server.HTTP, discoverConnections, fail)
	if err != nil {
		return outcome{}, err
	}
	defer c.close()
	requests := make([][]byte, fleetServices)
	for n := range requests {
		body, err := encode(&gantryv1.LookupRequest{Service: &gantryv1.ServiceRef{Service: serviceName(n)}})
		if err != nil {
			return outcome{}, err
		}
		requests[n] = load.AppendRequest(nil, c.host, "InstanceService/Lookup", contentType, server.Token, body)
	}
	_, answer, err := c.conns[0].Do(requests[0])
	if err != nil {
		return outcome{}, err
	}
	event := &gantryv1.ServiceEvent{}
	if contentType == "application/json" {
		err = protojson.Unmarshal(answer, event)
	} else {
		err = proto.Unmarshal(answer, event)
	}
	if err != nil || len(event.Instances) != discoverInstances/fleetServices {
		return outcome{}, fmt.Errorf("the first answer has %d instances: %w", len(event.GetInstances()), err)
	}
	// Answers are of one size, but for the lengths of addresses.
	least := len(answer) * 3 / 4
	check := func(body []byte) error {
		if len(body) < least {
			return fmt.Errorf("an answer of %d bytes, where another had %d", len(body), len(answer))
		}
		return nil
	}
	size := len(answer)
	end, stop := context.WithCancel(ctx)
	defer stop()
	var running sync.WaitGroup
	running.Go(func() {
		c.run(end, func([]byte, int) ([]byte, error) { return requests[rand.IntN(len(requests))], nil }, check)
	})
	perSecond, note, err := l.rate(ctx, name, server, c.answered.Load, nil)
	stop()
	running.Wait()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return outcome{}, err
	}
	var o outcome
	o.set(name, perSecond, fmt.Sprintf("%s; %d bytes an answer", note, size))
	return o, nil
}

// discoverInProcess looks up services in a registry of this process, on as many goroutines as there are cores, without and with
// a writer that changes instances as fast as they become durable.
func discoverInProcess(ctx context.Context, l *lab) (outcome, error) {
	store, err := state.Open(ctx, state.Options{Dir: filepath.Join(l.folder, "data"), Node: state.Node{Name: "bench"}, Embedded: &state.Embedded{}})
	if err != nil {
		return outcome{}, err
	}
	defer store.Close()
	registry := instance.New(instance.Options{Store: store})
	if err := errors.Join(store.Start(ctx), registry.Start(ctx)); err != nil {
		return outcome{}, err
	}
	defer registry.Close()
	errs := make([]error, discoverInstances)
	load.InParallel(discoverInstances, 256, func(i int) { errs[i] = change(ctx, registry, i, 0) })
	if err := errors.Join(errs...); err != nil {
		return outcome{}, err
	}
	var o outcome
	quiet, err := l.lookUp(ctx, "discover-memory", registry)
	if err != nil {
		return outcome{}, err
	}
	o.set("discover-memory", quiet, fmt.Sprintf("%d goroutines", runtime.GOMAXPROCS(0)))

	writing, stop := context.WithCancel(ctx)
	defer stop()
	var changes atomic.Int64
	finished := make(chan error, 1)
	go func() {
		for n := 0; writing.Err() == nil; n++ {
			if err := change(ctx, registry, n%discoverInstances, n+1); err != nil {
				finished <- err
				return
			}
			changes.Add(1)
		}
		finished <- nil
	}()
	began := time.Now()
	changing, err := l.lookUp(ctx, "discover-memory-changing", registry)
	made := float64(changes.Load()) / time.Since(began).Seconds()
	stop()
	if failure := <-finished; err == nil {
		err = failure
	}
	o.set("discover-memory-changing", changing, fmt.Sprintf("%.0f changes/s by one writer", made))
	return o, err
}

// change registers the nth instance with content that tells the generation.
func change(ctx context.Context, registry *instance.Registry, n, generation int) error {
	r := newRegistration(n)
	r.Instance.Ttl = longTTL()
	r.Instance.Metadata["generation"] = fmt.Sprint(generation)
	_, err := registry.Register(ctx, instance.Registration{Service: instance.ServiceOf(r.Service), Instance: r.Instance})
	return err
}

// lookUp measures how many answers a second the registry gives: the snapshot of a service at random and its encoded form, which is
// what every protocol answers from.
func (l *lab) lookUp(ctx context.Context, name string, registry *instance.Registry) (float64, error) {
	services := make([]instance.Service, fleetServices)
	for n := range services {
		services[n] = instance.Service{Name: serviceName(n)}.Normal()
	}
	profiled, err := l.profile(ctx, name, nil)
	if err != nil {
		return 0, err
	}
	var total atomic.Int64
	var wrong atomic.Bool
	var readers sync.WaitGroup
	began := time.Now()
	end := began.Add(l.window)
	for range runtime.GOMAXPROCS(0) {
		readers.Go(func() {
			const between = 1024 // looks at the clock
			for time.Now().Before(end) && ctx.Err() == nil {
				for range between {
					snapshot := registry.Lookup(services[rand.IntN(len(services))])
					if snapshot == nil || len(snapshot.Available()) != discoverInstances/fleetServices || len(snapshot.Encoded()) == 0 {
						wrong.Store(true)
						return
					}
				}
				total.Add(between)
			}
		})
	}
	readers.Wait()
	took := time.Since(began)
	if err := errors.Join(context.Cause(ctx), profiled()); err != nil {
		return 0, err
	}
	if wrong.Load() {
		return 0, errors.New("an answer lacked instances")
	}
	return float64(total.Load()) / took.Seconds(), nil
}
