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
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/gantry-platform/gantry/internal/fault"
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

// probe is one check of an instance that this node owns: it asks, or waits for reports. Its fields are guarded by the roster's lock, except
// check and address, which never change, and what is atomic.
type probe struct {
	timer
	life    *life
	check   *gantryv1.Check
	address string

	stopped bool
	// critical and at are of the check's state in the record.
	critical bool
	at       time.Time
	// since is the tick from which on the silence of a check counts, or from which it is critical; heard that of the newest report,
	// and patience what may pass in ticks, 0 for ever.
	since, heard, patience atomic.Int64

	// Of an active check. decided: there was a result. The first one decides at once; afterwards it takes a few in a row.
	decided   bool
	status    gantryv1.CheckStatus
	reason    string
	failures  uint32
	successes uint32
}

// waits reports whether the check waits for reports instead of asking.
func (p *probe) waits() bool {
	_, ok := p.check.Probe.(*gantryv1.Check_Ttl)
	return ok
}

// fire implements target.
func (p *probe) fire(r *Registry) {
	run := r.runProbe
	if p.waits() {
		left := p.patience.Load()
		if left == 0 {
			return
		}
		if left -= r.silenceOf(p); left > 0 {
			r.wheel.schedule(&p.timer, r.now()+left)
			return
		}
		run = r.expire
	}
	select {
	case r.probeSlots <- struct{}{}:
		r.workers.Go(func() {
			defer func() { <-r.probeSlots }()
			run(p)
		})
	default: // all slots are taken: a little later
		r.wheel.schedule(&p.timer, r.now()+1+rand.Int64N(10))
	}
}

// startProbes makes the probes that an instance's checks ask for, and keeps those that run already.
func (r *Registry) startProbes(i *Instance) {
	l := i.life
	if len(i.Checks) == 0 {
		r.stopProbes(l)
		return
	}
	before := l.running()
	probes := make([]*probe, len(i.Checks))
	for n, check := range i.Checks {
		at := slices.IndexFunc(before, func(p *probe) bool { return p != nil && p.address == i.Address && proto.Equal(p.check, check) })
		if at >= 0 {
			probes[n], before[at] = before[at], nil
			r.followCheck(probes[n], i.checkState(n), false)
			continue
		}
		p := &probe{life: l, check: check, address: i.Address}
		p.target, probes[n] = p, p
		r.followCheck(p, i.checkState(n), true)
		if !p.waits() {
			spread := min(firstProbe, check.GetInterval().AsDuration())
			r.wheel.schedule(&p.timer, r.now()+1+rand.Int64N(max(ticks(spread), 1)))
		}
	}
	r.stopProbes(l)
	l.probes = &probes
}

// running are the probes of an instance.
func (l *life) running() []*probe {
	if l.probes == nil {
		return nil
	}
	return *l.probes
}

func (r *Registry) stopProbes(l *life) {
	for _, p := range l.running() {
		if p != nil {
			p.stopped = true
			r.wheel.cancel(&p.timer)
		}
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
	n := -1
	if i != nil && i.life == p.life {
		n = i.check(p.check.GetId())
	}
	if n < 0 {
		roster.mu.Unlock()
		return
	}
	state, found := i.checkState(n), CheckState{Status: p.status, Output: p.reason}
	tooLong := p.critical && p.check.DeregisterAfter != nil && r.silenceOf(p) >= ticks(p.check.GetDeregisterAfter().AsDuration())
	roster.mu.Unlock()
	switch {
	case state.Status != found.Status || state.Output != found.Output || state.At.IsZero():
		r.writeCheck(roster, i, p.check.GetId(), nil, found.Status, found.Output)
	case tooLong:
		r.removeCritical(roster, i, p.check)
	}
}

func outcome(err error) string {
	if err != nil {
		return "failed"
	}
	return "passed"
}

// note counts a result. An isolated one changes nothing, so that a flapping instance does not flap for everybody. A warning is a success
// with something to say.
func (p *probe) note(err error) {
	var warning *probeWarning
	if err == nil || errors.As(err, &warning) {
		p.failures = 0
		p.successes = min(p.successes+1, MaxCheckCount)
		if p.decided && p.successes < p.check.GetSuccesses() && p.status == gantryv1.CheckStatus_CHECK_STATUS_CRITICAL {
			return
		}
		p.decided, p.status, p.reason = true, gantryv1.CheckStatus_CHECK_STATUS_PASSING, ""
		if warning != nil {
			p.status, p.reason = gantryv1.CheckStatus_CHECK_STATUS_WARNING, warning.Error()
		}
		return
	}
	p.successes = 0
	p.failures = min(p.failures+1, MaxCheckCount)
	if !p.decided || p.failures >= p.check.GetFailures() {
		p.decided, p.status, p.reason = true, gantryv1.CheckStatus_CHECK_STATUS_CRITICAL, cutOutput(err.Error())
	}
}

// probeWarning is an answer that lives and complains.
type probeWarning struct{ text string }

func (w *probeWarning) Error() string { return w.text }

// writeCheck writes what a check found. When the instance changed meanwhile, what it is then is changed; when the check is gone from it, or is not at
// the state that it was judged on any more, nothing. on is nil for any state.
func (r *Registry) writeCheck(roster *roster, i *Instance, check string, on *CheckState, status gantryv1.CheckStatus, output string) {
	var before, after gantryv1.Health
	_, err := r.rewrite(r.lifetime, roster.service, i.ID, func(current *Instance) (*Instance, error) {
		n := current.check(check)
		if n < 0 || on != nil && current.checkState(n) != *on {
			return current, nil
		}
		changed := current.withCheck(n, status, output, r.clock.Now().UTC())
		before, after = current.Health, changed.Health
		return changed, nil
	})
	if err != nil {
		if !fault.Is(err, fault.NotFound) && r.lifetime.Err() == nil {
			r.log.Warn("could not write what a check found", "service", roster.service.String(), "instance", i.ID, "check", check, "error", err)
		}
		return
	}
	if before != after {
		r.log.Info("check changed the health of an instance", "service", roster.service.String(), "instance", i.ID, "check", check,
			"health", after.String(), "reason", output)
	}
}

// removeCritical removes an instance one of whose checks has been critical for as long as it allows, unless its record changed meanwhile.
func (r *Registry) removeCritical(roster *roster, i *Instance, check *gantryv1.Check) {
	key := instanceKey(roster.service, i.ID)
	_, err := r.store.Commit(r.lifetime, state.Change{If: []state.Condition{state.Unchanged(key, i.Modified)}, Delete: []string{key}})
	switch {
	case err == nil:
		r.metrics.transitions.WithLabelValues(remove.String()).Inc()
		r.log.Info("instance removed: a check was critical for too long", "service", roster.service.String(), "instance", i.ID,
			"check", check.GetId(), "after", check.GetDeregisterAfter().AsDuration())
	case !errors.Is(err, state.ErrConflict) && r.lifetime.Err() == nil:
		r.log.Warn("could not remove an instance with a critical check; trying again", "service", roster.service.String(), "instance", i.ID, "error", err)
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
	if response.StatusCode == http.StatusTooManyRequests {
		return &probeWarning{fmt.Sprintf("http %s: status %d", target, response.StatusCode)}
	}
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
