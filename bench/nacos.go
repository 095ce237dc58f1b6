package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gantry-platform/gantry/bench/internal/load"
)

const (
	// nacosConnections have nacosWindow requests under way each: 32 services that register many instances each, as gateways do.
	nacosConnections = 32
	nacosWindow      = 16
	// heldConnections are clients that registered one instance, subscribe to one service, and listen to one configuration.
	heldConnections = 10_000
)

func nacosScenarios(rnacos string) []scenario {
	one := func(name, what string, kind func(int) (string, []byte), requests int, fill bool) scenario {
		s := scenario{rows: []row{{name: name, what: what, unit: "/s"}}, timeout: 3 * time.Minute,
			measure: func(ctx context.Context, l *lab) (outcome, error) {
				return l.beside(ctx, name, true, func(ctx context.Context, at place) (float64, string, error) {
					return nacosByGRPC(ctx, l, name, at, kind, requests, fill)
				})
			}}
		if rnacos != "" {
			s.rows = append(s.rows, rivalRow(name))
		}
		return s
	}
	held := scenario{rows: []row{{name: "nacos-connections", what: fmt.Sprintf("memory of one of %d Nacos gRPC clients", heldConnections), unit: "KB", atMost: true}},
		timeout: 5 * time.Minute, measure: holdNacos}
	if rnacos != "" {
		held.rows = append(held.rows, row{name: "nacos-connections-ratio", what: "the same, times rnacos in the same run", unit: "x", atMost: true})
	}
	return []scenario{
		one("nacos-register-grpc", "registrations, Nacos by gRPC", nacosInstance, 0, false),
		one("nacos-query-grpc", "service queries, Nacos by gRPC", nacosQuery, fleetServices, true),
		held,
	}
}

func nacosInstance(n int) (string, []byte) {
	ip, port := address(n)
	return "InstanceRequest", fmt.Appendf(nil, `{"headers":{},"namespace":"public","serviceName":"%s","groupName":"DEFAULT_GROUP","type":"registerInstance","module":"naming",`+
		`"instance":{"ip":"%s","port":%d,"weight":1,"healthy":true,"enabled":true,"ephemeral":true,"clusterName":"DEFAULT","serviceName":"%s",`+
		`"metadata":{"version":"1.4.2","team":"lending"}}}`, serviceName(n), ip, port, serviceName(n))
}

func nacosQuery(n int) (string, []byte) {
	return "ServiceQueryRequest", fmt.Appendf(nil, `{"headers":{},"namespace":"public","serviceName":"%s","groupName":"DEFAULT_GROUP","cluster":"","healthyOnly":false,"udpPort":0,"module":"naming"}`,
		serviceName(n))
}

// nacosByGRPC measures unary requests of Nacos's gRPC protocol.
func nacosByGRPC(ctx context.Context, l *lab, name string, at place, request func(int) (string, []byte), requests int, fill bool) (float64, string, error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	clients := make([]*load.Nacos, nacosConnections)
	for i := range clients {
		var err error
		if clients[i], err = load.OpenNacos(ctx, at.grpc, at.token, nil); err != nil {
			return 0, "", err
		}
		defer clients[i].Close()
	}
	if fill {
		errs := make([]error, discoverInstances)
		load.InParallel(discoverInstances, nacosConnections*nacosWindow, func(n int) {
			kind, json := nacosInstance(n)
			_, _, errs[n] = clients[n%len(clients)].Call(ctx, kind, json)
		})
		if err := errors.Join(errs...); err != nil {
			return 0, "", fmt.Errorf("prepare: %w", err)
		}
	}
	end, stop := context.WithCancel(ctx)
	defer stop()
	var number, answered atomic.Int64
	var senders sync.WaitGroup
	ended := make(chan struct{})
	for i := range nacosConnections * nacosWindow {
		senders.Go(func() {
			for end.Err() == nil {
				n := int(number.Add(1)) - 1
				if requests > 0 {
					n = rand.IntN(requests)
				} else if n >= foreignMost {
					return
				}
				kind, json := request(n)
				if _, _, err := clients[i%len(clients)].Call(ctx, kind, json); err != nil {
					fail(err)
					return
				}
				answered.Add(1)
			}
		})
	}
	go func() { senders.Wait(); close(ended) }()
	perSecond, note, err := l.rate(ctx, name, at.measured, answered.Load, ended)
	stop()
	<-ended
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return perSecond, note, err
}

// holdNacos opens many clients, as a fleet has them, and says what each costs the server.
func holdNacos(ctx context.Context, l *lab) (outcome, error) {
	hold := func(ctx context.Context, at place) (float64, string, error) {
		before, err := at.measured.Memory()
		if err != nil {
			return 0, "", err
		}
		clients := make([]*load.Nacos, heldConnections)
		errs := make([]error, heldConnections)
		defer func() {
			load.InParallel(len(clients), 64, func(i int) {
				if clients[i] != nil {
					clients[i].Close()
				}
			})
		}()
		began := time.Now()
		load.InParallel(heldConnections, 64, func(i int) {
			clients[i], errs[i] = load.OpenNacos(ctx, at.grpc, at.token, nil)
			if errs[i] != nil {
				return
			}
			for _, request := range heldRequests(i) {
				if _, _, errs[i] = clients[i].Call(ctx, request.kind, request.json); errs[i] != nil {
					return
				}
			}
		})
		if err := errors.Join(errs...); err != nil {
			return 0, "", err
		}
		opened := time.Since(began)
		// What garbage there is goes with the next collections.
		if err := sleep(ctx, 3*time.Second); err != nil {
			return 0, "", err
		}
		after, err := at.measured.Memory()
		if err != nil {
			return 0, "", err
		}
		cpu, err := at.measured.CPUTime()
		if err != nil {
			return 0, "", err
		}
		if err := l.keepAlive(ctx, clients); err != nil {
			return 0, "", err
		}
		end, err := at.measured.CPUTime()
		if err != nil {
			return 0, "", err
		}
		each := float64(after.Anonymous-before.Anonymous) / heldConnections / 1000
		return each, fmt.Sprintf("%.0f MB in all, opened in %v; with a health check every 5 s each: %.0f%% of a core", float64(after.Resident)/1e6,
			opened.Round(10*time.Millisecond), 100*(end-cpu).Seconds()/heldFor.Seconds()), nil
	}
	return l.beside(ctx, "nacos-connections", true, hold)
}

type heldRequest struct {
	kind string
	json []byte
}

func heldRequests(i int) []heldRequest {
	kind, register := nacosInstance(i)
	return []heldRequest{{kind, register},
		{"SubscribeServiceRequest", fmt.Appendf(nil, `{"headers":{},"namespace":"public","serviceName":"quiet-%04d","groupName":"DEFAULT_GROUP","subscribe":true,"clusters":"","module":"naming"}`, i%fleetServices)},
		{"ConfigBatchListenRequest", fmt.Appendf(nil, `{"headers":{},"listen":true,"configListenContexts":[{"group":"DEFAULT_GROUP","md5":"","dataId":"quiet-%04d.yaml","tenant":""}],"module":"config"}`, i%fleetServices)}}
}

// heldFor is how long the connections are kept alive, in two rounds of the clients' health checks.
const heldFor = 10 * time.Second

// keepAlive sends a health check on each connection every 5 s, as the SDKs do.
func (l *lab) keepAlive(ctx context.Context, clients []*load.Nacos) error {
	const every = 5 * time.Second
	began := time.Now()
	errs := make([]error, len(clients))
	load.InParallel(len(clients), len(clients), func(i int) {
		offset := every * time.Duration(i) / time.Duration(len(clients))
		for at := offset; at < heldFor; at += every {
			if errs[i] = sleep(ctx, time.Until(began.Add(at))); errs[i] != nil {
				return
			}
			if _, _, errs[i] = clients[i].Call(ctx, "HealthCheckRequest", []byte(`{}`)); errs[i] != nil {
				return
			}
		}
	})
	return errors.Join(errs...)
}
