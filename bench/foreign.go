package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gantry-platform/gantry/bench/internal/load"
	"github.com/gantry-platform/gantry/bench/internal/process"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

const (
	// foreignMost ends registrations early on a fast machine: a namespace holds 500,000 instances.
	foreignMost = 450_000
)

// foreignLoad is what is asked of a server by the HTTP API of another registry or configuration centre.
type foreignLoad struct {
	name, what string
	// request appends the nth request of a kind to b.
	request func(b []byte, n int, at place) []byte
	// prepare, where it is set, fills the server before the load.
	prepare func(ctx context.Context, at place) error
	// requests is how many different ones there are; 0 is without end.
	requests int
	// check looks at an answer.
	check func(body []byte) error
	// rivalled: rnacos speaks this too.
	rivalled bool
}

// place is a server under load.
type place struct {
	host, authorization string
	measured            process.Measured
	gantry              *process.Server // nil for a rival
	grpc, token         string
}

func foreignLoads() []foreignLoad {
	anything := func(body []byte) error { return nil }
	nonEmpty := func(body []byte) error {
		if len(body) < 50 {
			return fmt.Errorf("an answer of %d bytes: %s", len(body), body)
		}
		return nil
	}
	fill := func(register func([]byte, int, place) []byte) func(context.Context, place) error {
		return func(ctx context.Context, at place) error { return fillFleet(ctx, at, register) }
	}
	return []foreignLoad{
		{name: "nacos-register-http", what: "registrations, Nacos by HTTP (v1)", request: nacosRegister, check: anything, rivalled: true},
		{name: "nacos-list-http", what: "instance lists, Nacos by HTTP (v1)", request: nacosList, prepare: fill(nacosRegister), requests: fleetServices, check: nonEmpty, rivalled: true},
		{name: "nacos-config-http", what: "configurations, Nacos by HTTP (v1)", request: nacosConfig, prepare: publishNacos, requests: foreignConfigs, check: nonEmpty, rivalled: true},
		{name: "eureka-register", what: "registrations, Eureka", request: eurekaRegister, check: anything},
		{name: "eureka-app", what: "applications, Eureka (JSON)", request: eurekaApp, prepare: fill(eurekaRegister), requests: fleetServices, check: nonEmpty},
		{name: "consul-register", what: "registrations with a TTL check, Consul", request: consulRegister, check: anything},
		{name: "consul-health", what: "health of a service, Consul", request: consulHealth, prepare: fill(consulRegister), requests: fleetServices, check: nonEmpty},
		{name: "apollo-configs", what: "configurations, Apollo", request: apolloConfig, prepare: publishApollo, requests: foreignConfigs, check: nonEmpty},
		{name: "spring-config", what: "environments, Spring Cloud Config", request: springConfig, prepare: publishSpring, requests: foreignConfigs, check: nonEmpty},
	}
}

func foreignScenarios(rnacos string) []scenario {
	var all []scenario
	for _, f := range foreignLoads() {
		s := scenario{rows: []row{{name: f.name, what: f.what, unit: "/s"}}, timeout: 3 * time.Minute,
			measure: func(ctx context.Context, l *lab) (outcome, error) {
				return l.beside(ctx, f.name, f.rivalled, func(ctx context.Context, at place) (float64, string, error) { return f.measure(ctx, l, at) })
			}}
		if f.rivalled && rnacos != "" {
			s.rows = append(s.rows, rivalRow(f.name))
		}
		all = append(all, s)
	}
	return append(all, nacosScenarios(rnacos)...)
}

func rivalRow(name string) row {
	return row{name: name + "-ratio", what: "the same, times rnacos in the same run", unit: "x", target: 1}
}

// beside measures Gantry, and then the rival if there is one, each alone on the machine.
func (l *lab) beside(ctx context.Context, name string, rivalled bool, measure func(context.Context, place) (float64, string, error)) (outcome, error) {
	server, err := l.start(ctx)
	if err != nil {
		return outcome{}, err
	}
	at := place{host: server.HTTP, grpc: server.GRPC, token: server.Token, measured: server, gantry: server}
	if server.Token != "" {
		at.authorization = "Bearer " + server.Token
	}
	ours, note, err := measure(ctx, at)
	if err != nil {
		return outcome{}, err
	}
	server.Kill()
	var o outcome
	o.set(name, ours, note)
	if !rivalled || l.rnacos == "" {
		return o, nil
	}
	rival, err := process.StartRnacos(ctx, l.rnacos, l.folder)
	if err != nil {
		return outcome{}, err
	}
	defer rival.Kill()
	theirs, theirNote, err := measure(ctx, place{host: rival.HTTP, grpc: rival.GRPC, measured: rival})
	if err != nil {
		return outcome{}, fmt.Errorf("rnacos: %w", err)
	}
	o.set(name+"-ratio", ours/theirs, fmt.Sprintf("rnacos %.0f/s; %s", theirs, theirNote))
	return o, nil
}

func (f foreignLoad) measure(ctx context.Context, l *lab, at place) (float64, string, error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	if f.prepare != nil {
		if err := f.prepare(ctx, at); err != nil {
			return 0, "", fmt.Errorf("prepare: %w", err)
		}
	}
	// As many as for the native API, each with one request under way.
	connections := discoverConnections
	if f.requests == 0 {
		connections = registerConnections
	}
	c, err := dial(ctx, at.host, connections, fail)
	if err != nil {
		return 0, "", err
	}
	defer c.close()
	end, stop := context.WithCancel(ctx)
	defer stop()
	var number atomic.Int64
	next := func(buffer []byte, _ int) ([]byte, error) {
		if f.requests > 0 {
			return f.request(buffer, rand.IntN(f.requests), at), nil
		}
		n := int(number.Add(1)) - 1
		if n >= foreignMost {
			return nil, errEnough
		}
		return f.request(buffer, n, at), nil
	}
	ended := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		defer close(ended)
		c.run(end, next, f.check)
	})
	perSecond, note, err := l.rate(ctx, f.name, at.measured, c.answered.Load, ended)
	stop()
	running.Wait()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return perSecond, note, err
}

// fillFleet registers ten instances a service.
func fillFleet(ctx context.Context, at place, register func([]byte, int, place) []byte) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	c, err := dial(ctx, at.host, discoverConnections, fail)
	if err != nil {
		return err
	}
	defer c.close()
	var number atomic.Int64
	c.run(ctx, func(buffer []byte, _ int) ([]byte, error) {
		n := int(number.Add(1)) - 1
		if n >= discoverInstances {
			return nil, errEnough
		}
		return register(buffer, n, at), nil
	}, func([]byte) error { return nil })
	return context.Cause(ctx)
}

func address(n int) (ip string, port int) {
	return fmt.Sprintf("10.%d.%d.%d", n>>16&0xff, n>>8&0xff, n&0xff), 20000 + n>>24
}

const (
	formHeader = "Content-Type: application/x-www-form-urlencoded\r\n"
	jsonHeader = "Content-Type: application/json\r\nAccept: application/json\r\n"
)

func nacosRegister(b []byte, n int, at place) []byte {
	ip, port := address(n)
	body := fmt.Sprintf("serviceName=DEFAULT_GROUP%%40%%40%s&groupName=DEFAULT_GROUP&namespaceId=public&clusterName=DEFAULT&ip=%s&port=%d&weight=1.0&enabled=true&healthy=true"+
		"&ephemeral=true&metadata=%%7B%%22version%%22%%3A%%221.4.2%%22%%2C%%22team%%22%%3A%%22lending%%22%%7D", serviceName(n), ip, port)
	return load.AppendPlain(b, "POST", at.host, "/nacos/v1/ns/instance", at.authorization, formHeader, []byte(body))
}

func nacosList(b []byte, n int, at place) []byte {
	return load.AppendPlain(b, "GET", at.host, "/nacos/v1/ns/instance/list?namespaceId=public&serviceName=DEFAULT_GROUP%40%40"+serviceName(n), at.authorization, "", nil)
}

func eurekaRegister(b []byte, n int, at place) []byte {
	ip, port := address(n)
	app := strings.ToUpper(serviceName(n))
	body := fmt.Sprintf(`{"instance":{"instanceId":"%s:%d","hostName":"%s","app":"%s","ipAddr":"%s","vipAddress":"%s","status":"UP","port":{"$":%d,"@enabled":"true"},`+
		`"securePort":{"$":443,"@enabled":"false"},"dataCenterInfo":{"@class":"com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo","name":"MyOwn"},`+
		`"leaseInfo":{"renewalIntervalInSecs":30,"durationInSecs":90},"metadata":{"version":"1.4.2","team":"lending"},"homePageUrl":"http://%s:%d/"}}`,
		ip, port, ip, app, ip, serviceName(n), port, ip, port)
	return load.AppendPlain(b, "POST", at.host, "/eureka/apps/"+app, at.authorization, jsonHeader, []byte(body))
}

func eurekaApp(b []byte, n int, at place) []byte {
	return load.AppendPlain(b, "GET", at.host, "/eureka/apps/"+strings.ToUpper(serviceName(n)), at.authorization, jsonHeader, nil)
}

func consulRegister(b []byte, n int, at place) []byte {
	ip, port := address(n)
	body := fmt.Sprintf(`{"ID":"%s-%s","Name":"%s","Address":"%s","Port":%d,"Tags":["v1"],"Meta":{"version":"1.4.2","team":"lending"},"Check":{"TTL":"10m","Status":"passing"}}`,
		serviceName(n), ip, serviceName(n), ip, port)
	return load.AppendPlain(b, "PUT", at.host, "/v1/agent/service/register", at.authorization, jsonHeader, []byte(body))
}

func consulHealth(b []byte, n int, at place) []byte {
	return load.AppendPlain(b, "GET", at.host, "/v1/health/service/"+serviceName(n)+"?passing=1", at.authorization, "", nil)
}

// foreignConfigs is how many configurations there are to ask for.
const foreignConfigs = 200

func configText(n int) string {
	var b strings.Builder
	for i := range 20 {
		fmt.Fprintf(&b, "loan.limit.%02d = %d\n", i, n*100+i)
	}
	return b.String()
}

func nacosConfig(b []byte, n int, at place) []byte {
	return load.AppendPlain(b, "GET", at.host, fmt.Sprintf("/nacos/v1/cs/configs?dataId=service-%04d.properties&group=DEFAULT_GROUP", n), at.authorization, "", nil)
}

func apolloConfig(b []byte, n int, at place) []byte {
	return load.AppendPlain(b, "GET", at.host, fmt.Sprintf("/configs/service-%04d/default/application?ip=10.0.0.1", n), at.authorization, "", nil)
}

func springConfig(b []byte, n int, at place) []byte {
	return load.AppendPlain(b, "GET", at.host, fmt.Sprintf("/spring-config/service-%04d/default", n), at.authorization, jsonHeader, nil)
}

// publishNacos publishes as Nacos's clients do, or natively into Gantry, where services may not publish.
func publishNacos(ctx context.Context, at place) error {
	if at.gantry != nil {
		return publishAll(ctx, at, func(n int) string { return fmt.Sprintf("service-%04d.properties", n) })
	}
	deadline, bounded := ctx.Deadline()
	if !bounded {
		return errors.New("publishing needs a time at which it ends")
	}
	conn, err := load.Dial(at.host, deadline)
	if err != nil {
		return err
	}
	defer conn.Close()
	for n := range foreignConfigs {
		body := fmt.Sprintf("dataId=service-%04d.properties&group=DEFAULT_GROUP&type=properties&content=%s", n, strings.NewReplacer(" ", "+", "\n", "%0A", "=", "%3D").Replace(configText(n)))
		publish := load.AppendPlain(nil, "POST", at.host, "/nacos/v1/cs/configs", "", formHeader, []byte(body))
		// A server that has just started may not take it yet, or have it only a little later.
		for there := false; !there; {
			if _, _, err := conn.Do(publish); err != nil {
				return err
			}
			status, _, err := conn.Do(nacosConfig(nil, n, at))
			if err != nil {
				return err
			}
			if there = status == 200; !there {
				if err := sleep(ctx, 50*time.Millisecond); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func publishApollo(ctx context.Context, at place) error {
	return publishAll(ctx, at, func(n int) string { return fmt.Sprintf("service-%04d/application.properties", n) })
}

func publishSpring(ctx context.Context, at place) error {
	return publishAll(ctx, at, func(n int) string { return fmt.Sprintf("service-%04d.properties", n) })
}

// publishAll puts configurations in force through the native API.
func publishAll(ctx context.Context, at place, name func(n int) string) error {
	releases := at.gantry.Releases()
	var errs = make([]error, foreignConfigs)
	load.InParallel(foreignConfigs, 16, func(n int) {
		_, errs[n] = releases.Publish(ctx, &gantryv1.PublishRequest{Ref: &gantryv1.DocumentRef{Kind: "Config", Name: name(n)}, Format: "properties",
			Content: []byte(configText(n)), Release: true})
	})
	return errors.Join(errs...)
}
