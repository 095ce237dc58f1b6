package main

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/bench/internal/load"
	gantry "github.com/gantry-platform/gantry/sdk"
)

func sdkScenario() scenario {
	return scenario{rows: []row{
		{name: "sdk-pick", what: "SDK: pick one of 10 instances", unit: "ns"},
		{name: "sdk-binding", what: "SDK: read a bound configuration", unit: "ns"},
	}, timeout: 60 * time.Second, measure: usesSDK}
}

// usesSDK measures what the SDK adds to every request of a service, with a client that is connected to a server.
func usesSDK(ctx context.Context, l *lab) (outcome, error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	server, registrars, err := l.fleet(ctx, discoverInstances, fail)
	if err != nil {
		return outcome{}, err
	}
	defer load.CloseSessions(registrars.sessions)
	if _, err := publish(ctx, server, 1); err != nil {
		return outcome{}, err
	}
	client, err := connect(ctx, server, 0)
	if err != nil {
		return outcome{}, err
	}
	defer client.Close()
	subscription, err := client.Subscribe(serviceName(0))
	if err != nil {
		return outcome{}, err
	}
	defer subscription.Close()
	if err := subscription.Ready(ctx); err != nil {
		return outcome{}, err
	}
	binding, err := gantry.Bind(client, benchDocument, benchLimits{})
	if err != nil {
		return outcome{}, err
	}
	if have := len(subscription.View().Available()); have != discoverInstances/fleetServices || binding.Get().Round != 1 {
		return outcome{}, fmt.Errorf("the SDK sees %d instances and the configuration of round %d", have, binding.Get().Round)
	}
	var o outcome
	var failure error
	benchmark := func(name string, work func(b *testing.B)) {
		result := testing.Benchmark(func(b *testing.B) {
			b.ReportAllocs()
			work(b)
		})
		if result.N == 0 {
			failure = errors.Join(failure, fmt.Errorf("%s could not be measured", name))
			return
		}
		o.set(name, float64(result.T.Nanoseconds())/float64(result.N), fmt.Sprintf("%d allocations", result.AllocsPerOp()))
	}
	benchmark("sdk-pick", func(b *testing.B) {
		for b.Loop() {
			picked := subscription.View().Pick()
			picked.Begin()
			picked.Done()
		}
	})
	sum := 0
	benchmark("sdk-binding", func(b *testing.B) {
		for b.Loop() {
			sum += binding.Get().MaxAmount
		}
	})
	if sum == 0 {
		failure = errors.Join(failure, errors.New("the bound configuration is empty"))
	}
	return o, failure
}
