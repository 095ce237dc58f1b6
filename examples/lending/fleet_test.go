package main_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/gantry-platform/gantry/examples/lending/api/lendingv1"
	"github.com/gantry-platform/gantry/examples/lending/bureau"
	"github.com/gantry-platform/gantry/examples/lending/fund"
	"github.com/gantry-platform/gantry/examples/lending/load"
	"github.com/gantry-platform/gantry/examples/lending/loan"
	"github.com/gantry-platform/gantry/examples/lending/portal"
	"github.com/gantry-platform/gantry/examples/lending/risk"
	"github.com/gantry-platform/gantry/examples/lending/service"
	"github.com/gantry-platform/gantry/examples/lending/telemetry"
	"github.com/gantry-platform/gantry/internal/policy"
	"github.com/gantry-platform/gantry/internal/server"
	"github.com/gantry-platform/gantry/internal/state/statetest"
	gantry "github.com/gantry-platform/gantry/sdk"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
	"github.com/gantry-platform/gantry/sdk/api/gantry/v1/gantryv1connect"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, statetest.LeakOptions()...) }

// patience bounds every wait for something that must happen.
const patience = 60 * time.Second

// platform is a server that can be stopped and started again with its data and on its ports.
type platform struct {
	t          *testing.T
	data       string
	http, grpc string
	running    *server.Server
	releases   gantryv1connect.ReleaseServiceClient
	// telemetry is where the services that join send their telemetry.
	telemetry telemetry.Options
}

func newPlatform(t *testing.T) *platform {
	p := &platform{t: t, data: t.TempDir(), http: "127.0.0.1:0", grpc: "127.0.0.1:0"}
	p.start()
	p.http, p.grpc = p.running.HTTPAddress(), p.running.GRPCAddress()
	client := &http.Client{Transport: &http.Transport{}}
	p.releases = gantryv1connect.NewReleaseServiceClient(client, "http://"+p.http)
	t.Cleanup(func() {
		p.stop()
		client.CloseIdleConnections()
	})
	return p
}

func (p *platform) start() {
	p.t.Helper()
	env := map[string]string{"GANTRY_DEV": "true", "GANTRY_HTTP_LISTEN": p.http, "GANTRY_GRPC_LISTEN": p.grpc, "GANTRY_DATA": p.data,
		"GANTRY_NAME": "n1", "GANTRY_MINIMUM_FREE": "1"}
	settings, err := server.Load("", func(name string) string { return env[name] }, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var log bytes.Buffer
	if p.running, err = server.Start(ctx, settings, server.Options{Version: "test", Log: &log}); err != nil {
		p.t.Fatalf("%v\n%s", err, log.String())
	}
}

func (p *platform) stop() {
	if p.running == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	p.running.Shutdown(ctx)
	p.running = nil
}

// publish makes a version of each manifest of a file, in force for a cohort; nil: for all.
func (p *platform) publish(path string, cohort *gantryv1.Cohort) error {
	p.t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		p.t.Fatal(err)
	}
	manifests, err := policy.ParseManifests(path, text)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, m := range manifests {
		if err := p.put(m.Kind, m.Name, m.Format, string(m.Content), cohort); err != nil {
			return err
		}
	}
	return nil
}

func (p *platform) put(kind, name, format, content string, cohort *gantryv1.Cohort) error {
	ref := &gantryv1.DocumentRef{Kind: kind, Name: name}
	published, err := p.releases.Publish(p.t.Context(), &gantryv1.PublishRequest{Ref: ref, Format: format, Content: []byte(content), Release: cohort == nil})
	if err != nil || cohort == nil {
		return err
	}
	_, err = p.releases.Release(p.t.Context(), &gantryv1.ReleaseRequest{Ref: ref, Version: published.GetVersion(), Cohort: cohort})
	return err
}

// client connects as someone who only looks.
func (p *platform) client() *gantry.Client {
	p.t.Helper()
	client, err := gantry.Connect(p.t.Context(), p.options(io.Discard)...)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { client.Close() })
	return client
}

func (p *platform) options(log io.Writer) []gantry.Option {
	return []gantry.Option{gantry.WithAddresses(p.grpc), gantry.WithSnapshotFolder(""), gantry.WithLogger(slog.New(slog.NewTextHandler(log, nil)))}
}

// member is a service that runs in this process.
type member struct {
	service *service.Service
	cancel  context.CancelFunc
	ended   chan error
}

// join starts a service, and returns when it is registered.
func (p *platform) join(name, instance, version string, run func(context.Context, *service.Service) error) *member {
	p.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s, err := service.Open(ctx, service.Options{Name: name, Instance: instance, Version: version, Zone: "a",
		Lane: "canary", Release: "2026-11", Logger: slog.New(slog.DiscardHandler), Gantry: p.options(io.Discard), Telemetry: p.telemetry})
	if err != nil {
		p.t.Fatal(err)
	}
	m := &member{service: s, cancel: cancel, ended: make(chan error, 1)}
	go func() {
		err := run(ctx, s)
		m.ended <- errors.Join(err, s.Close())
	}()
	p.t.Cleanup(func() {
		cancel()
		if err, running := <-m.ended; running && err != nil {
			p.t.Errorf("%s: %v", instance, err)
		}
	})
	p.await(name, func(view *gantry.View) bool {
		for _, i := range view.Instances {
			if i.ID == instance && i.Available() {
				return true
			}
		}
		return false
	})
	return m
}

// leave stops a service as SIGTERM does.
func (m *member) leave(t *testing.T) {
	t.Helper()
	m.cancel()
	if err := <-m.ended; err != nil {
		t.Errorf("stopping: %v", err)
	}
	close(m.ended)
}

// await waits until a service looks as it should.
func (p *platform) await(name string, good func(*gantry.View) bool) {
	p.t.Helper()
	client := p.client()
	defer client.Close()
	subscription, err := client.Subscribe(name)
	if err != nil {
		p.t.Fatal(err)
	}
	defer subscription.Close()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	for {
		view, err := subscription.Next(ctx)
		if err != nil {
			p.t.Fatalf("%s does not become what it should: %v", name, err)
		}
		if good(view) {
			return
		}
	}
}

// counts are what the load saw.
type counts struct {
	total, granted, failed int
	// overLimit and grantedBy are by the instance that decided.
	overLimit, grantedBy map[string]int
	lastError            error
}

// witness records what the load sees.
type witness struct {
	mu      sync.Mutex
	counts  counts
	changed chan struct{}
}

func newWitness() *witness {
	w := &witness{changed: make(chan struct{})}
	w.forget()
	return w
}

func (w *witness) record(result load.Result) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts.total++
	switch {
	case result.Outcome == service.Failed:
		w.counts.failed++
		w.counts.lastError = result.Err
	case result.Outcome == service.Success:
		w.counts.granted++
		w.counts.grantedBy[result.Answer.DecidedBy]++
	case result.Answer.Reason == "over_limit":
		w.counts.overLimit[result.Answer.DecidedBy]++
	}
	close(w.changed)
	w.changed = make(chan struct{})
}

// forget starts counting anew, but for failures.
func (w *witness) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts = counts{failed: w.counts.failed, lastError: w.counts.lastError, overLimit: map[string]int{}, grantedBy: map[string]int{}}
}

// await waits until the load has seen something, and returns what.
func (w *witness) await(t *testing.T, what string, seen func(counts) bool) counts {
	t.Helper()
	limit := time.After(patience)
	for {
		w.mu.Lock()
		now, changed := w.counts, w.changed
		now.overLimit, now.grantedBy = maps.Clone(now.overLimit), maps.Clone(now.grantedBy)
		w.mu.Unlock()
		if seen(now) {
			return now
		}
		select {
		case <-changed:
		case <-limit:
			t.Fatalf("not seen: %s; seen: %+v", what, now)
		}
	}
}

// A day of the fleet under load: no application fails, whatever is done to it in order.
func TestFleet(t *testing.T) {
	p := newPlatform(t)
	manifests, err := filepath.Glob("config/*.yaml")
	if err != nil || len(manifests) < 7 {
		t.Fatalf("%d manifests, %v", len(manifests), err)
	}
	for _, path := range manifests {
		if err := p.publish(path, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.put("Config", "load.yaml", "yaml", "{rate: 40, min-amount: 1000, max-amount: 9000, timeout: 30s}", nil); err != nil {
		t.Fatal(err)
	}
	for _, m := range []struct {
		name string
		run  func(context.Context, *service.Service) error
	}{{fund.Name, fund.Run}, {bureau.Name, bureau.Run}, {risk.Name, risk.Run}, {portal.Name, portal.Run}} {
		p.join(m.name, m.name+"-1", "v1", m.run)
	}
	first := p.join(loan.Name, "loan-1", "v1", loan.Run)
	p.join(loan.Name, "loan-2", "v2", loan.Run)
	const one, two = "loan-1 (v1)", "loan-2 (v2)"

	w := newWitness()
	p.join(load.Name, "load-1", "v1", func(ctx context.Context, s *service.Service) error {
		settings, err := gantry.Bind(s.Client, "load.yaml", load.Defaults())
		if err != nil {
			return err
		}
		defer settings.Close()
		return s.RunWorker(ctx, func(ctx context.Context) error {
			load.Generate(ctx, settings, portal.Client{HTTP: s.HTTP}, w.record)
			return nil
		})
	})
	w.await(t, "both instances grant loans", func(c counts) bool { return c.grantedBy[one] > 3 && c.grantedBy[two] > 3 })

	// A limit below everything that is asked for, for v2 alone, then for all, and back.
	if err := p.put("Config", "loan.yaml", "yaml", "{min-amount: 500, max-amount: 900, rates: {a: 0.1, b: 0.16, c: 0.24}}",
		&gantryv1.Cohort{Labels: map[string]string{"version": "v2"}}); err != nil {
		t.Fatal(err)
	}
	w.await(t, "v2 refuses", func(c counts) bool { return c.overLimit[two] > 0 })
	w.forget()
	c := w.await(t, "v2 goes on refusing", func(c counts) bool { return c.overLimit[two] > 20 && c.grantedBy[one] > 3 })
	if c.overLimit[one] > 0 || c.grantedBy[two] > 10 {
		// Some loans may have been under way when v2 changed.
		t.Errorf("the release was staged for v2, and yet: %+v", c)
	}
	ref := &gantryv1.DocumentRef{Kind: "Config", Name: "loan.yaml"}
	if _, err := p.releases.Promote(t.Context(), &gantryv1.PromoteRequest{Ref: ref}); err != nil {
		t.Fatal(err)
	}
	w.await(t, "v1 refuses too", func(c counts) bool { return c.overLimit[one] > 0 })
	if _, err := p.releases.Rollback(t.Context(), &gantryv1.RollbackRequest{Ref: ref}); err != nil {
		t.Fatal(err)
	}
	w.forget()
	w.await(t, "both grant again", func(c counts) bool { return c.grantedBy[one] > 3 && c.grantedBy[two] > 3 })

	// An instance stops in order.
	first.leave(t)
	w.forget()
	c = w.await(t, "the other instance goes on", func(c counts) bool { return c.grantedBy[two] > 20 })
	// What loan-1 had decided before it stopped can still be on its way back, for as long as an application takes.
	if c.grantedBy[one] > 10 {
		t.Errorf("loan-1 has stopped and yet granted %d loans", c.grantedBy[one])
	}
	p.join(loan.Name, "loan-1", "v1", loan.Run)
	w.await(t, "a new instance gets its share", func(c counts) bool { return c.grantedBy[one] > 3 })

	// The server restarts, and what is released afterwards arrives.
	p.stop()
	w.forget()
	w.await(t, "loans without a server", func(c counts) bool { return c.granted > 20 })
	p.start()
	p.await(loan.Name, func(view *gantry.View) bool { return !view.Stale && len(view.Available()) == 2 })
	if err := p.publish("try/loan-careful.yaml", nil); err != nil {
		t.Fatal(err)
	}
	if err := p.put("Config", "load.yaml", "yaml", "{rate: 40, min-amount: 11000, max-amount: 12000, timeout: 30s}", nil); err != nil {
		t.Fatal(err)
	}
	c = w.await(t, "the new limit holds everywhere", func(c counts) bool { return c.overLimit[one] > 0 && c.overLimit[two] > 0 })
	if c.failed > 0 {
		t.Errorf("%d applications failed, the last one with: %v", c.failed, c.lastError)
	}
}

// A service that stops goes on answering until those who call it know that it stops.
func TestServesUntilCallersKnow(t *testing.T) {
	p := newPlatform(t)
	for _, test := range []struct {
		name string
		run  func(context.Context, *service.Service) error
		call func(t *testing.T, endpoint string) error
	}{
		{fund.Name, fund.Run, callHTTP},
		{loan.Name, loan.Run, callGRPC},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := p.join(test.name, test.name+"-1", "v1", test.run)
			subscription, err := p.client().Subscribe(test.name)
			if err != nil {
				t.Fatal(err)
			}
			defer subscription.Close()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			view, err := subscription.Next(ctx)
			if err != nil || len(view.Available()) != 1 {
				t.Fatalf("%+v, %v", view, err)
			}
			endpoint := view.Instances[0].Endpoint("")
			m.cancel()
			for len(view.Available()) > 0 {
				if view, err = subscription.Next(ctx); err != nil {
					t.Fatal(err)
				}
			}
			// That it drains is known here, but not yet acknowledged: asking for the next view does that.
			if err := test.call(t, endpoint); err != nil {
				t.Errorf("it stopped before its callers knew: %v", err)
			}
			for len(view.Instances) > 0 {
				if view, err = subscription.Next(ctx); err != nil {
					t.Fatal(err)
				}
			}
			m.leave(t)
			if err := test.call(t, endpoint); err == nil {
				t.Error("it has stopped and still answers")
			}
		})
	}
}

func callHTTP(t *testing.T, endpoint string) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Post("http://"+endpoint+"/transfers", "application/json", strings.NewReader(`{"loan": "l", "customer": "c", "amount": 1}`))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusCreated {
		t.Errorf("the answer is %s", response.Status)
	}
	return nil
}

func callGRPC(t *testing.T, endpoint string) error {
	conn, err := grpc.NewClient(endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = lendingv1.NewLoanServiceClient(conn).Apply(t.Context(), &lendingv1.ApplyRequest{})
	if status.Code(err) == codes.InvalidArgument {
		// It has looked at the empty application.
		return nil
	}
	return err
}

func TestManifestsSayTheDefaults(t *testing.T) {
	p := newPlatform(t)
	manifests, err := filepath.Glob("config/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range manifests {
		if err := p.publish(path, nil); err != nil {
			t.Fatal(err)
		}
	}
	var log lockedBuffer
	client, err := gantry.Connect(t.Context(), p.options(&log)...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	// Bound to zero settings where they are valid, so that what is there came from the manifest.
	released(t, client, "bureau.yaml", bureau.Settings{}, bureau.Defaults())
	released(t, client, "fund.yaml", fund.Settings{}, fund.Defaults())
	released(t, client, "risk.yaml", risk.Settings{MaxBurden: 1, BureauAttempts: 1, BureauTimeout: 1}, risk.Defaults())
	released(t, client, "loan.yaml", loan.Settings{MinAmount: 1, MaxAmount: 1, MinMonths: 1, MaxMonths: 1, Timeout: 1}, loan.Defaults())
	released(t, client, "portal.yaml", portal.Settings{Timeout: 1}, portal.Defaults())
	released(t, client, "load.yaml", load.Settings{Rate: 1, MinAmount: 1, MaxAmount: 1, Timeout: 1}, load.Defaults())
	if strings.Contains(log.String(), "lacks a key") || strings.Contains(log.String(), "does not know") {
		t.Errorf("manifests and settings have different keys:\n%s", log.String())
	}
}

func released[T comparable](t *testing.T, client *gantry.Client, name string, other, want T) {
	t.Helper()
	binding, err := gantry.Bind(client, name, other)
	if err != nil {
		t.Fatal(err)
	}
	defer binding.Close()
	if state := binding.State(); state.Err != nil || state.Version != 1 {
		t.Errorf("%s: %+v", name, state)
	}
	if got := binding.Get(); got != want {
		t.Errorf("%s says %+v; the defaults are %+v", name, got, want)
	}
}

// lockedBuffer is a log that can be read while it is written.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

func TestSchemaRefusesNonsense(t *testing.T) {
	p := newPlatform(t)
	for _, path := range []string{"config/loan-schema.yaml", "config/loan.yaml"} {
		if err := p.publish(path, nil); err != nil {
			t.Fatal(err)
		}
	}
	err := p.publish("try/loan-nonsense.yaml", nil)
	if connect.CodeOf(err) != connect.CodeInvalidArgument || !strings.Contains(err.Error(), "-50000") {
		t.Errorf("a negative limit gave: %v", err)
	}
	for _, path := range []string{"try/loan-careful.yaml", "try/bureau-slow.yaml", "try/load-rush.yaml"} {
		if err := p.publish(path, nil); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	got, err := p.releases.Get(t.Context(), &gantryv1.GetRequest{Ref: &gantryv1.DocumentRef{Kind: "Config", Name: "loan.yaml"}})
	if err != nil || got.GetDocument().GetReleasedVersion() != 2 {
		t.Errorf("after two valid versions and one that was refused: %v, %v", got.GetDocument(), err)
	}
}
