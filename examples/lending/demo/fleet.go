package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/gantry-platform/gantry/examples/lending/telemetry"
	gantry "github.com/gantry-platform/gantry/sdk"
)

const (
	// readyTimeout bounds the start of the server, and of the fleet. Both take about a second.
	readyTimeout = 30 * time.Second
	// serverPause and servicePause are how long what was killed stays away: the fleet can be seen without the server for a moment, and an
	// instance until it disappears from the registry, which is 15 s after its connection broke.
	serverPause  = 5 * time.Second
	servicePause = 20 * time.Second
	// quick ends within quickEnd of the start, maxQuick times in a row, mean that trying again is of no use.
	quickEnd = 5 * time.Second
	maxQuick = 3
)

// member is one instance of the fleet.
type member struct{ service, version, zone string }

// members are in the order in which they are started, those that are called first. Two versions of loan and risk, so that
// a release can be staged by label.
func members() []member {
	return []member{
		{"fund", "v1", "a"}, {"fund", "v1", "b"},
		{"bureau", "v1", "a"},
		{"risk", "v1", "a"}, {"risk", "v2", "b"},
		{"loan", "v1", "a"}, {"loan", "v1", "a"}, {"loan", "v1", "b"}, {"loan", "v2", "b"},
		{"portal", "v1", "a"}, {"portal", "v1", "b"},
	}
}

// check finds out early what cannot work, and chooses ports.
func (o *options) check() error {
	var err error
	if o.gantry, err = programAt(o.gantry); err != nil {
		return err
	}
	if o.lending, err = programAt(filepath.Join(o.bin, "lending")); err != nil {
		return err
	}
	for _, folder := range []string{o.manifests, o.try} {
		if info, err := os.Stat(folder); err != nil || !info.IsDir() {
			return fmt.Errorf("%s is no folder\n  run the demo in the checkout's folder, or name it with -manifests and -try", folder)
		}
	}
	if o.http, err = freeAddress("http-listen", o.http); err != nil {
		return err
	}
	if o.grpc, err = freeAddress("grpc-listen", o.grpc); err != nil {
		return err
	}
	o.otlp, err = freeAddress("otlp-listen", o.otlp)
	return err
}

// freeAddress finds out whether an address is free, and chooses a port for port 0.
func freeAddress(name, address string) (string, error) {
	listener, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return "", fmt.Errorf("%s is in use: something listens there, such as another demo or another Gantry server\n  stop it, or take any free ports: make demo DEMO_FLAGS='-http-listen 127.0.0.1:0 -grpc-listen 127.0.0.1:0 -otlp-listen 127.0.0.1:0'", address)
	}
	if err != nil {
		return "", fmt.Errorf("-%s: %w", name, err)
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}

// fleet is the server and everything around it.
type fleet struct {
	options
	folder string
	out    io.Writer
	kill   <-chan struct{}

	server   *process
	load     *process
	services []*process
	ended    chan *process
	// unexpected is set when something ended that nobody here stopped.
	unexpected bool
	// judged: the load's own verdict counts.
	judged bool
}

func newFleet(o options, folder string, out io.Writer, kill <-chan struct{}) *fleet {
	f := &fleet{options: o, folder: folder, out: out, kill: kill}
	f.server = f.process("server", o.gantry, serverPause, "server", "--dev", "--data", filepath.Join(folder, "data"),
		"--http-listen", o.http, "--grpc-listen", o.grpc, "--otlp-grpc-listen", o.otlp)
	numbers := map[string]int{}
	for _, m := range members() {
		numbers[m.service]++
		name := m.service + "-" + strconv.Itoa(numbers[m.service])
		f.services = append(f.services, f.process(name, o.lending, servicePause, m.service, "-instance", name, "-version", m.version, "-zone", m.zone))
	}
	f.load = f.process("load-1", o.lending, servicePause, "load", "-instance", "load-1", "-zone", "a")
	f.load.out = out
	f.ended = make(chan *process, len(f.services)+2)
	return f
}

func (f *fleet) process(name, path string, pause time.Duration, args ...string) *process {
	return &process{name: name, path: path, args: args, pause: pause, log: filepath.Join(f.logs(), name+".log"),
		env: []string{"GANTRY_GRPC_ADDRESS=" + f.grpc, "GANTRY_SNAPSHOT_FOLDER=" + filepath.Join(f.folder, "snapshots"), telemetry.EndpointVariable + "=http://" + f.otlp}}
}

func (f *fleet) logs() string { return filepath.Join(f.folder, "logs") }

func (f *fleet) all() []*process { return append([]*process{f.server, f.load}, f.services...) }

// run starts everything and watches over it until ctx ends or the demo's time is over.
func (f *fleet) run(ctx context.Context) error {
	err := f.start(ctx)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	return f.watch(ctx)
}

func (f *fleet) start(ctx context.Context) error {
	if err := os.Mkdir(f.logs(), 0o700); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*readyTimeout)
	defer cancel()
	fmt.Fprintf(f.out, "starting a server on %s (HTTP) and %s (gRPC)\n", f.http, f.grpc)
	if err := f.server.start(f.ended); err != nil {
		return err
	}
	if err := f.awaitServer(ctx); err != nil {
		return err
	}
	fmt.Fprintf(f.out, "applying %s\n", f.manifests)
	apply := exec.CommandContext(ctx, f.gantry, "--address", "http://"+f.http, "--namespace", gantry.DefaultNamespace, "apply", "-f", f.manifests)
	apply.SysProcAttr = attributes()
	if output, err := apply.CombinedOutput(); err != nil {
		return fmt.Errorf("the manifests cannot be applied: %w\n%s", err, output)
	}
	fmt.Fprintf(f.out, "starting %d services\n", len(f.services))
	for _, p := range f.services {
		if err := p.start(f.ended); err != nil {
			return err
		}
	}
	endpoints, err := f.awaitServices(ctx)
	if err != nil {
		return err
	}
	f.guide(endpoints)
	return f.load.start(f.ended)
}

// awaitServer waits until the server is ready.
func (f *fleet) awaitServer(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	client := &http.Client{Timeout: time.Second}
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+f.http+"/readyz", nil)
		if err != nil {
			return err
		}
		if response, err := client.Do(request); err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-again.C:
		case <-f.server.ended:
			return fmt.Errorf("the server %s%s", f.server.how(), f.server.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("the server is not ready after %s%s", readyTimeout, f.server.lastWords())
		}
	}
}

// endpoints are addresses for people to try.
type endpoints struct{ portal, metrics string }

// awaitServices waits, as a client of the registry, until every member can be found there.
func (f *fleet) awaitServices(ctx context.Context) (endpoints, error) {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	client, err := gantry.Connect(ctx, gantry.WithAddresses(f.grpc), gantry.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return endpoints{}, err
	}
	defer client.Close()
	ctx, died := context.WithCancelCause(ctx)
	defer died(nil)
	for _, p := range append([]*process{f.server}, f.services...) {
		go func() {
			select {
			case <-p.ended:
				died(fmt.Errorf("%s %s%s", p.name, p.how(), p.lastWords()))
			case <-ctx.Done():
			}
		}()
	}
	wanted := map[string]int{}
	for _, m := range members() {
		wanted[m.service]++
	}
	var found endpoints
	for name, count := range wanted {
		available, err := await(ctx, client, name, count)
		if err != nil {
			return endpoints{}, err
		}
		switch name {
		case "portal":
			found.portal = available[0].Endpoint("http")
		case "loan":
			found.metrics = available[0].Endpoint("metrics")
		}
	}
	return found, nil
}

// await waits until a service has so many instances.
func await(ctx context.Context, client *gantry.Client, service string, count int) ([]*gantry.Instance, error) {
	subscription, err := client.Subscribe(service)
	if err != nil {
		return nil, err
	}
	defer subscription.Close()
	for {
		view, err := subscription.Next(ctx)
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		if err != nil {
			return nil, fmt.Errorf("waiting for %d instances of %s: %w", count, service, err)
		}
		if available := view.Available(); len(available) >= count {
			return available, nil
		}
	}
}

// watch starts again what ends.
func (f *fleet) watch(ctx context.Context) error {
	over := make(<-chan time.Time)
	if f.length > 0 {
		over = time.After(f.length)
	}
	again := make(chan *process, len(f.all()))
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-over:
			f.judged = true
			return nil
		case p := <-f.ended:
			f.unexpected = true
			if err := f.mourn(p); err != nil {
				return err
			}
			time.AfterFunc(p.pause, func() { again <- p })
		case p := <-again:
			if err := p.start(f.ended); err != nil {
				return err
			}
			fmt.Fprintf(f.out, "          %s runs again, as process %d\n", p.name, p.command.Process.Pid)
		}
	}
}

// mourn says that a process has ended, and gives up on one that does so again and again.
func (f *fleet) mourn(p *process) error {
	if p.quick++; time.Since(p.began) > quickEnd {
		p.quick = 0
	}
	if p.quick >= maxQuick {
		return fmt.Errorf("%s %s, %d times in a row%s", p.name, p.how(), p.quick, p.lastWords())
	}
	fmt.Fprintf(f.out, "          %s %s; it starts again in %s\n", p.name, p.how(), p.pause)
	return nil
}

// stop stops everything in order: who calls before who is called, and the server last. It returns what speaks against the demo.
func (f *fleet) stop() error {
	fmt.Fprintln(f.out, "stopping")
	verdict := f.load.stop(f.kill)
	late := slices.Clone(f.services)
	slices.Reverse(late)
	var errs []error
	for len(late) > 0 {
		// The instances of one service stop together.
		var group []*process
		for service := late[0].args[0]; len(late) > 0 && late[0].args[0] == service; late = late[1:] {
			group = append(group, late[0])
		}
		errs = append(errs, stopAll(group, f.kill)...)
	}
	errs = append(errs, stopAll([]*process{f.server}, f.kill)...)
	switch {
	case !f.judged && f.length > 0:
		return fmt.Errorf("stopped before %s were over", f.length)
	case !f.judged:
		// Someone stopped it, or it failed before: the load's verdict is about what that person tried.
		return nil
	case verdict != nil:
		return fmt.Errorf("the load %s%s", f.load.how(), f.load.lastWords())
	case f.unexpected:
		return errors.New("something ended that should not have; see above")
	}
	return errors.Join(errs...)
}

// stopAll stops processes at the same time.
func stopAll(all []*process, kill <-chan struct{}) []error {
	stopped := make(chan error, len(all))
	for _, p := range all {
		go func() {
			err := p.stop(kill)
			if err != nil {
				err = fmt.Errorf("%s: %w", p.name, err)
			}
			stopped <- err
		}()
	}
	var errs []error
	for range all {
		if err := <-stopped; err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}
