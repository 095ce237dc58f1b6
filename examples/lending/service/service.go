// Package service is what the services of the sample fleet have in common, and what a service that uses Gantry does: connect,
// listen, register, serve, and at the end drain before it stops.
//
// It imports telemetry, the SDK and libraries. The services import it; it imports none of them.
package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/gantry-platform/gantry/examples/lending/telemetry"
	gantry "github.com/gantry-platform/gantry/sdk"
	"github.com/gantry-platform/gantry/sdk/gantrygrpc"
	"github.com/gantry-platform/gantry/sdk/gantryhttp"
)

const (
	// drainTimeout bounds how long callers are waited for before a stop; stopTimeout how long the requests under way
	// may take afterwards. Both together stay under the 30 s after which most supervisors kill.
	drainTimeout = 10 * time.Second
	stopTimeout  = 10 * time.Second
	// linger is how long a request may be on its way from a caller that picked this instance just before it heard
	// that it drains. net/http closes idle connections at once, so such a request would find none.
	linger = 200 * time.Millisecond
	// readTimeout bounds how slowly a caller may send a request, and idleTimeout how long a connection may lie idle, so
	// that callers who do nothing hold nothing.
	readTimeout = 5 * time.Second
	idleTimeout = 2 * time.Minute
	// maxStreams bounds the calls under way on one gRPC connection.
	maxStreams = 1000
)

// Options say which instance of which service this is.
type Options struct {
	// Name is the service's name.
	Name string
	// Instance is unique in the service. Default: host name, process id and random characters.
	Instance string
	// Version, Zone and Lane become labels. Release is what the instance's telemetry says that it runs; default: the version.
	Version string
	Zone    string
	Lane    string
	Release string
	// Listen and MetricsListen are host:port. Default: a free port on loopback.
	Listen        string
	MetricsListen string
	// Logger defaults to [slog.Default].
	Logger *slog.Logger
	// Gantry are further options of the SDK. Default: what the environment says.
	Gantry []gantry.Option
	// Telemetry says where traces and metrics go. Default: nowhere.
	Telemetry telemetry.Options
}

// Service is a running service: open it, run one of RunHTTP, RunGRPC and RunWorker, close it.
type Service struct {
	// Client is the connection to Gantry.
	Client *gantry.Client
	// HTTP finds services by name: http://fund/transfers.
	HTTP *http.Client
	// Meter counts outcomes.
	Meter  *Meter
	Logger *slog.Logger

	options   Options
	telemetry *telemetry.Telemetry // nil when it is off
	transport *gantryhttp.Transport
	conns     []*grpc.ClientConn
	metrics   *http.Server
	// metricsAt is where the metrics are served.
	metricsAt *net.TCPAddr
}

// Open connects to Gantry and serves the metrics. It does not fail for want of a Gantry server.
func Open(ctx context.Context, options Options) (*Service, error) {
	if options.Logger == nil {
		options.Logger = slog.Default()
	}
	if options.Listen == "" {
		options.Listen = "127.0.0.1:0"
	}
	if options.MetricsListen == "" {
		options.MetricsListen = "127.0.0.1:0"
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	s := &Service{options: options, Logger: options.Logger, Meter: NewMeter(registry)}
	listener, err := net.Listen("tcp", options.MetricsListen)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	s.metricsAt = listener.Addr().(*net.TCPAddr)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry}))
	s.metrics = newHTTPServer(mux, s.Logger)

	identity := gantry.Identity{Service: options.Name, InstanceID: options.Instance, Version: options.Version, Zone: options.Zone, Lane: options.Lane}
	s.Client, err = gantry.Connect(ctx, append([]gantry.Option{gantry.WithIdentity(identity), gantry.WithLogger(s.Logger), gantry.WithTraceparent(telemetry.Traceparent)}, options.Gantry...)...)
	if err != nil {
		listener.Close()
		return nil, err
	}
	if s.telemetry, err = s.describe(ctx); err != nil {
		return nil, errors.Join(err, listener.Close(), s.Client.Close())
	}
	go func() {
		if err := s.metrics.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.Logger.Error("the metrics are not served any more", "reason", err)
		}
	}()
	s.transport = gantryhttp.New(s.Client)
	s.HTTP = &http.Client{Transport: s.telemetry.Transport(s.transport)}
	return s, nil
}

// describe opens the telemetry, under the name that the instance has in the registry.
func (s *Service) describe(ctx context.Context) (*telemetry.Telemetry, error) {
	identity := s.Client.Identity()
	release := s.options.Release
	if release == "" {
		release = s.options.Version
	}
	return telemetry.Open(ctx, telemetry.Resource{
		Service: s.options.Name, Instance: identity.InstanceID, Version: s.options.Version, Zone: s.options.Zone,
		Lane: s.options.Lane, Release: release, Namespace: s.Client.Namespace(),
	}, s.options.Telemetry, s.Logger)
}

// newHTTPServer logs what net/http complains of where everything else is logged.
func newHTTPServer(handler http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{Handler: handler, ReadTimeout: readTimeout, IdleTimeout: idleTimeout, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn)}
}

// NewGRPCServer makes a gRPC server with the fleet's bounds, for RunGRPC.
func (s *Service) NewGRPCServer() *grpc.Server {
	return grpc.NewServer(grpc.MaxRecvMsgSize(maxBody), grpc.MaxConcurrentStreams(maxStreams), s.telemetry.ServerOption())
}

// Dial makes a gRPC connection to a service by its name; Close closes it. The connection spreads its calls over the
// service's instances. Dial is for the goroutine that runs the service.
func (s *Service) Dial(name string) (*grpc.ClientConn, error) {
	// The fleet runs on one machine; between machines, TLS credentials belong here.
	options := append(gantrygrpc.DialOptions(s.Client), grpc.WithTransportCredentials(insecure.NewCredentials()), s.telemetry.DialOption())
	conn, err := grpc.NewClient(gantrygrpc.Scheme+":///"+name, options...)
	if err != nil {
		return nil, err
	}
	s.conns = append(s.conns, conn)
	return conn, nil
}

// Close ends everything that the service opened. It comes after the Run function.
func (s *Service) Close() error {
	var errs []error
	for _, conn := range s.conns {
		errs = append(errs, conn.Close())
	}
	s.transport.Close()
	errs = append(errs, s.telemetry.Close(), s.Client.Close(), s.metrics.Close())
	return errors.Join(errs...)
}

// Name is who this instance is, with its version: "loan-1 (v2)".
func (s *Service) Name() string {
	name := s.Client.Identity().InstanceID
	if s.options.Version != "" {
		name += " (" + s.options.Version + ")"
	}
	return name
}

// RunHTTP serves HTTP until ctx ends, and then stops in order: drained first, requests under way answered.
func (s *Service) RunHTTP(ctx context.Context, handler http.Handler) error {
	server := newHTTPServer(s.telemetry.Handler(handler), s.Logger)
	return s.run(ctx, "http", server.Serve, func(ctx context.Context) error {
		select {
		case <-time.After(linger):
		case <-ctx.Done():
		}
		return errors.Join(server.Shutdown(ctx), server.Close())
	})
}

// RunGRPC serves gRPC until ctx ends, and then stops in order like RunHTTP.
func (s *Service) RunGRPC(ctx context.Context, server *grpc.Server) error {
	return s.run(ctx, "grpc", server.Serve, func(ctx context.Context) error {
		stop := context.AfterFunc(ctx, server.Stop)
		defer stop()
		server.GracefulStop()
		return ctx.Err()
	})
}

// RunWorker runs what serves nobody until ctx ends. It is registered too, by its metrics port, so that it can be seen and measured.
func (s *Service) RunWorker(ctx context.Context, work func(context.Context) error) error {
	registration, err := s.Client.Register(ctx, gantry.Instance{
		Address: reachable(s.metricsAt), Port: s.metricsAt.Port, Ports: map[string]int{"metrics": s.metricsAt.Port},
	})
	if err != nil {
		return err
	}
	err = work(ctx)
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if left := registration.Deregister(end); left != nil {
		s.Logger.Warn("stopping without having deregistered", "reason", left)
	}
	return err
}

func (s *Service) run(ctx context.Context, protocol string, serve func(net.Listener) error, stop func(context.Context) error) error {
	listener, err := net.Listen("tcp", s.options.Listen)
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- serve(listener) }()
	at := listener.Addr().(*net.TCPAddr)
	// After listening: the first call may come before Register returns.
	registration, err := s.Client.Register(ctx, gantry.Instance{
		Address: reachable(at), Port: at.Port, Ports: map[string]int{protocol: at.Port, "metrics": s.metricsAt.Port},
	})
	if err == nil {
		s.Logger.Info("serving", "protocol", protocol, "address", at.String(), "metrics", s.metricsAt.String())
		select {
		case <-ctx.Done():
			s.drain(ctx, registration)
		case err = <-served:
			served <- nil
			s.drain(ctx, registration)
		}
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	err = errors.Join(err, stop(end))
	if last := <-served; last != nil && !errors.Is(last, http.ErrServerClosed) && !errors.Is(last, grpc.ErrServerStopped) {
		err = errors.Join(err, last)
	}
	s.Logger.Info("stopped")
	return err
}

// drain takes the instance out of traffic: afterwards no caller starts a request here. When nobody can be told, the stop goes on all the same.
func (s *Service) drain(ctx context.Context, registration *gantry.Registration) {
	s.Logger.Info("draining")
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if err := registration.Drain(wait); err != nil {
		s.Logger.Warn("stopping without having drained", "reason", err)
	}
}

// reachable is the address to register: empty, which leaves the choice to the SDK, when the listener takes every address.
func reachable(at *net.TCPAddr) string {
	if at.IP.IsUnspecified() {
		return ""
	}
	return at.IP.String()
}
