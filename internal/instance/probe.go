package instance

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/gantry-platform/gantry/internal/state"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

const (
	// maxProbes bounds the probes that run at once, each with one connection.
	maxProbes = 256
	// firstProbe spreads the first probes, so that a node that takes over thousands does not ask all at once.
	firstProbe = time.Second
	// maxProbeBody is how much of an answer is read before the connection is dropped.
	maxProbeBody = 4 << 10
)

// unchecked is why a persistent instance with checks is unhealthy at first.
const unchecked = "not checked yet"

// probe is one active check of an instance that this node owns. Its fields are guarded by the roster's lock, except
// check and address, which never change.
type probe struct {
	timer
	life    *life
	check   *gantryv1.Check
	address string

	stopped bool
	// decided: there was a result. The first one decides at once; afterwards it takes a few in a row.
	decided   bool
	healthy   bool
	reason    string
	failures  uint32
	successes uint32
}

// fire implements target.
func (p *probe) fire(r *Registry) {
	select {
	case r.probeSlots <- struct{}{}:
		r.workers.Go(func() {
			defer func() { <-r.probeSlots }()
			r.runProbe(p)
		})
	default: // all slots are taken: a little later
		r.wheel.schedule(&p.timer, r.now()+1+rand.Int64N(10))
	}
}

// startProbes makes the probes that an instance's checks ask for, and keeps those that run already.
func (r *Registry) startProbes(i *Instance) {
	l := i.life
	if sameProbes(l.running(), i) {
		return
	}
	r.stopProbes(l)
	probes := make([]*probe, 0, len(i.Checks))
	for _, check := range i.Checks {
		p := &probe{life: l, check: check, address: i.Address}
		p.target = p
		probes = append(probes, p)
		spread := min(firstProbe, check.GetInterval().AsDuration())
		r.wheel.schedule(&p.timer, r.now()+1+rand.Int64N(max(ticks(spread), 1)))
	}
	if len(probes) > 0 {
		l.probes = &probes
	}
}

// running are the probes of an instance.
func (l *life) running() []*probe {
	if l.probes == nil {
		return nil
	}
	return *l.probes
}

func sameProbes(probes []*probe, i *Instance) bool {
	if len(probes) != len(i.Checks) {
		return false
	}
	for n, p := range probes {
		if p.address != i.Address || !proto.Equal(p.check, i.Checks[n]) {
			return false
		}
	}
	return true
}

func (r *Registry) stopProbes(l *life) {
	for _, p := range l.running() {
		p.stopped = true
		r.wheel.cancel(&p.timer)
	}
	l.probes = nil
}

func (r *Registry) runProbe(p *probe) {
	ctx, cancel := context.WithTimeout(r.lifetime, p.check.GetTimeout().AsDuration())
	defer cancel()
	err := p.ask(ctx)
	if r.lifetime.Err() != nil {
		return
	}
	r.metrics.probes.WithLabelValues(outcome(err)).Inc()

	roster := p.life.roster
	roster.mu.Lock()
	if p.stopped {
		roster.mu.Unlock()
		return
	}
	p.note(err)
	r.wheel.schedule(&p.timer, r.now()+ticks(p.check.GetInterval().AsDuration()))
	i := roster.find(p.life.id)
	if i == nil || i.life != p.life {
		roster.mu.Unlock()
		return
	}
	health, reason := i.checked(p.life.running())
	roster.mu.Unlock()
	if health == i.Health && reason == i.HealthReason {
		return
	}
	r.writeHealth(roster, i, health, reason)
}

func outcome(err error) string {
	if err != nil {
		return "failed"
	}
	return "passed"
}

// note counts a result. An isolated one changes nothing, so that a flapping instance does not flap for everybody.
func (p *probe) note(err error) {
	if err == nil {
		p.failures = 0
		p.successes = min(p.successes+1, MaxCheckCount)
		if !p.decided || p.successes >= p.check.GetSuccesses() {
			p.decided, p.healthy, p.reason = true, true, ""
		}
		return
	}
	p.successes = 0
	p.failures = min(p.failures+1, MaxCheckCount)
	if !p.decided || p.failures >= p.check.GetFailures() {
		p.decided, p.healthy, p.reason = true, false, err.Error()
	}
}

// checked is the health that the probes found: healthy when all pass. While one has no result yet, as after
// another node took over, the health stays what it is.
func (i *Instance) checked(probes []*probe) (gantryv1.Health, string) {
	for _, p := range probes {
		if p.decided && !p.healthy {
			return gantryv1.Health_HEALTH_UNHEALTHY, p.reason
		}
	}
	for _, p := range probes {
		if !p.decided {
			return i.Health, i.HealthReason
		}
	}
	return gantryv1.Health_HEALTH_HEALTHY, ""
}

// writeHealth writes what the probes found, unless the record was changed meanwhile: then the next result tries again.
func (r *Registry) writeHealth(roster *roster, i *Instance, health gantryv1.Health, reason string) {
	changed := i.withState(func(c *Instance) {
		c.Health, c.HealthReason, c.ChangedAt = health, reason, r.clock.Now().UTC()
	})
	key := instanceKey(roster.service, i.ID)
	_, err := r.store.Commit(r.lifetime, state.Change{
		If:  []state.Condition{state.Unchanged(key, i.Modified)},
		Put: []state.Put{{Key: key, Value: changed.record()}},
	})
	if err != nil {
		if !errors.Is(err, state.ErrConflict) && r.lifetime.Err() == nil {
			r.log.Warn("could not write the health of an instance", "service", roster.service.String(), "instance", i.ID, "error", err)
		}
		return
	}
	if health != i.Health {
		r.log.Info("check changed the health of an instance", "service", roster.service.String(), "instance", i.ID,
			"health", health.String(), "reason", reason)
	}
}

// ask runs the probe against the instance's own address and nothing else. Its error says why it failed, without
// anything that the other side sent but a code.
func (p *probe) ask(ctx context.Context) error {
	switch kind := p.check.Probe.(type) {
	case *gantryv1.Check_Http:
		return askHTTP(ctx, p.address, kind.Http)
	case *gantryv1.Check_Tcp:
		return askTCP(ctx, p.hostPort(kind.Tcp.GetPort()))
	case *gantryv1.Check_Grpc:
		return askGRPC(ctx, p.hostPort(kind.Grpc.GetPort()), kind.Grpc)
	}
	return errors.New("a check of a kind that this version does not know")
}

func (p *probe) hostPort(port uint32) string {
	return net.JoinHostPort(p.address, strconv.Itoa(int(port)))
}

func askTCP(ctx context.Context, target string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", target)
	if err != nil {
		return explain(ctx, "tcp "+target, err)
	}
	return conn.Close()
}

func askHTTP(ctx context.Context, address string, probe *gantryv1.HTTPProbe) error {
	target := net.JoinHostPort(address, strconv.Itoa(int(probe.GetPort())))
	scheme := "http"
	if probe.GetTls() {
		scheme = "https"
	}
	request, err := http.NewRequestWithContext(ctx, probe.GetMethod(), scheme+"://"+target+probe.GetPath(), nil)
	if err != nil {
		return fmt.Errorf("http %s: not a path", target)
	}
	for name, value := range probe.GetHeaders() {
		if http.CanonicalHeaderKey(name) == "Host" {
			request.Host = value
			continue
		}
		request.Header.Set(name, value)
	}
	if request.Header.Get("User-Agent") == "" {
		request.Header.Set("User-Agent", "gantry-check")
	}
	transport := &http.Transport{
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: 16 << 10,
		// The probe asks for life, not identity.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
	client := &http.Client{Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		return explain(ctx, "http "+target, err)
	}
	defer response.Body.Close()
	// Read a little, so that a server that answers briefly sees its answer taken.
	_, _ = io.CopyN(io.Discard, response.Body, maxProbeBody)
	if response.StatusCode < 200 || response.StatusCode > 399 {
		return fmt.Errorf("http %s: status %d", target, response.StatusCode)
	}
	return nil
}

func askGRPC(ctx context.Context, target string, probe *gantryv1.GRPCProbe) error {
	transport := insecure.NewCredentials()
	if probe.GetTls() {
		transport = credentials.NewTLS(&tls.Config{InsecureSkipVerify: true}) // life, not identity
	}
	conn, err := grpc.NewClient("passthrough:///"+target, grpc.WithTransportCredentials(transport), grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(), grpc.WithUserAgent("gantry-check"),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxProbeBody)))
	if err != nil {
		return explain(ctx, "grpc "+target, err)
	}
	defer conn.Close()
	answer, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{Service: probe.GetService()})
	if err != nil {
		if ctx.Err() != nil {
			return explain(ctx, "grpc "+target, err)
		}
		return fmt.Errorf("grpc %s: %s", target, status.Code(err))
	}
	if answer.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		return fmt.Errorf("grpc %s: %s", target, answer.GetStatus())
	}
	return nil
}

// explain makes a reason that stays the same from probe to probe, so that it is written once.
func explain(ctx context.Context, what string, err error) error {
	var refused *net.OpError
	var dns *net.DNSError
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s: no answer in time", what)
	case errors.As(err, &dns):
		return fmt.Errorf("%s: the host name is not known", what)
	case errors.As(err, &refused) && refused.Op == "dial":
		return fmt.Errorf("%s: no connection: %w", what, unwrapAll(refused.Err))
	default:
		return fmt.Errorf("%s: %w", what, errBroken)
	}
}

var errBroken = errors.New("the connection broke or the answer is not of this protocol")

// unwrapAll returns the innermost error, which names no ephemeral ports.
func unwrapAll(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
