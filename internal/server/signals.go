package server

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/cespare/xxhash/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/gantry-platform/gantry/internal/protocol/edge"
	"github.com/gantry-platform/gantry/internal/protocol/otlp"
	"github.com/gantry-platform/gantry/internal/protocol/peer"
	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/fanout"
	"github.com/gantry-platform/gantry/internal/signal/ingest"
	"github.com/gantry-platform/gantry/internal/state"
)

// signals are the rooms of what services do, and the ports that they send it to.
type signals struct {
	traces traceStore
	// reader reads the traces of all nodes.
	reader   signal.TraceReader
	ingest   *ingest.Room
	receiver *otlp.Receiver
	// grpcListener and httpListener are nil when their port is closed.
	grpcListener, httpListener net.Listener
	grpc                       *grpc.Server
}

// listenSignals opens the ports of OTLP. One that nobody asked for by name may be taken: another collector on this machine is no reason not to start.
func (s *Server) listenSignals() error {
	for _, port := range []struct {
		setting, address string
		to               *net.Listener
	}{{"otlp-grpc-listen", s.settings.OTLPGRPCListen, &s.signals.grpcListener}, {"otlp-http-listen", s.settings.OTLPHTTPListen, &s.signals.httpListener}} {
		if port.address == "" {
			continue
		}
		listener, err := listen(port.setting, port.address)
		if err != nil && s.settings.set[port.setting] == "" {
			s.log.Warn("a port of OTLP is taken by another program; name another address to receive there", "setting", port.setting, "address", port.address)
			continue
		}
		if err != nil {
			return err
		}
		*port.to = listener
	}
	return nil
}

// buildSignals makes the rooms of signals.
func (s *Server) buildSignals() error {
	settings := s.settings
	if err := s.openTraces(); err != nil {
		return err
	}
	s.signals.reader = s.signals.traces
	var router ingest.Router
	if s.peers != nil {
		// Pairs of client and server spans meet on the node that a trace is routed to, wherever it is kept.
		router = &traceRouter{store: s.store, client: s.peers}
	}
	if s.peers != nil && settings.ClickHouseURL == "" {
		s.signals.reader = &fanout.Reader{Local: s.signals.traces, Others: s.peers.TraceReaders}
	}
	s.signals.ingest = ingest.New(ingest.Options{Store: s.signals.traces, Router: router, Observers: []ingest.Observer{s.red}, Oldest: settings.TracesRetention, Logger: s.log.With("part", "ingest"), Registerer: s.metrics})
	s.signals.receiver = otlp.New(otlp.Options{Traces: s.signals.ingest, Metrics: keptMetrics{s.series, s.red}, Logs: s.red, Access: s.access, HasNamespace: s.instances.HasNamespace, Logger: s.log.With("part", "otlp")})
	return nil
}

// serveSignals begins to receive.
func (s *Server) serveSignals() {
	if listener := s.signals.grpcListener; listener != nil {
		var options []grpc.ServerOption
		if s.tls != nil {
			options = append(options, grpc.Creds(credentials.NewTLS(s.tls.config("h2"))))
		}
		s.signals.grpc = s.signals.receiver.NewServer(options...)
		s.workers.Go(func() {
			if err := s.signals.grpc.Serve(listener); err != nil && !s.stopping.Load() {
				s.fail(fmt.Errorf("server: the OTLP gRPC port: %w", err))
			}
		})
	}
	if listener := s.signals.httpListener; listener != nil {
		server := &http.Server{Handler: s.guarded(edge.Namespaces(s.signals.receiver.Handler())), ReadHeaderTimeout: headerTimeout, ReadTimeout: time.Minute, IdleTimeout: idleTimeout,
			MaxHeaderBytes: headerBytes, ErrorLog: slogLogger(s.log)}
		s.http = append(s.http, server)
		if s.tls != nil {
			listener = s.tls.wrap(listener, "h2", "http/1.1")
		}
		s.workers.Go(func() {
			if err := server.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
				s.fail(fmt.Errorf("server: the OTLP HTTP port: %w", err))
			}
		})
	}
}

// closeSignals ends the rooms, after everything that sends to them.
func (s *Server) closeSignals() {
	if s.signals.traces != nil {
		logError(s.log, "closing the traces", s.signals.traces.Close())
	}
}

func (g *signals) close() {
	for _, listener := range []net.Listener{g.grpcListener, g.httpListener} {
		if listener != nil {
			listener.Close()
		}
	}
}

// OTLPAddresses are where the server receives OTLP by gRPC and by HTTP; empty where it does not.
func (s *Server) OTLPAddresses() (grpcAddress, httpAddress string) {
	if s.signals.grpcListener != nil {
		grpcAddress = s.signals.grpcListener.Addr().String()
	}
	if s.signals.httpListener != nil {
		httpAddress = s.signals.httpListener.Addr().String()
	}
	return grpcAddress, httpAddress
}

// traceRouter finds the node that keeps a trace by rendezvous hashing over the live nodes (Thaler and Ravishankar, 1998): when one goes, only its own
// traces move.
type traceRouter struct {
	store  *state.Store
	client *peer.Client
}

// Owners implements [ingest.Router].
func (r *traceRouter) Owners() func(id signal.TraceID) string {
	self := r.store.Self().ID
	var nodes []string
	var hashes []uint64
	for _, node := range r.store.Nodes() {
		if node.PeerAddress != "" { // the others cannot be reached
			nodes, hashes = append(nodes, node.ID), append(hashes, xxhash.Sum64String(node.ID))
		}
	}
	return func(id signal.TraceID) string {
		best, highest := self, uint64(0)
		var key [24]byte
		copy(key[8:], id[:])
		for i, hash := range hashes {
			binary.BigEndian.PutUint64(key[:], hash)
			if score := xxhash.Sum64(key[:]); score >= highest {
				best, highest = nodes[i], score
			}
		}
		if best == self {
			return ""
		}
		return best
	}
}

// Forward implements [ingest.Router].
func (r *traceRouter) Forward(ctx context.Context, node, namespace string, raw []byte) (ingest.Result, error) {
	return r.client.Forward(ctx, node, namespace, raw)
}
