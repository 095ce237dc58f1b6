package server

import (
	"context"
	"log"
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"

	"github.com/gantry-platform/gantry/internal/protocol/native"
	"github.com/gantry-platform/gantry/internal/protocol/peer"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// Of a gRPC connection. Buffers are small because there are many connections and messages are small; a message holds at most a
// document of 1 MiB or a thousand registrations.
const (
	grpcBuffer       = 8 << 10
	grpcMessageBytes = 4 << 20
)

func (s *Server) serveGRPC() {
	options := []grpc.ServerOption{
		grpc.ReadBufferSize(grpcBuffer), grpc.WriteBufferSize(grpcBuffer),
		grpc.MaxRecvMsgSize(grpcMessageBytes), grpc.MaxConcurrentStreams(1000),
		grpc.ConnectionTimeout(headerTimeout),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 2 * time.Second, PermitWithoutStream: true}),
	}
	if s.tls != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(s.tls.config("h2"))))
	}
	s.grpc = grpc.NewServer(options...)
	gantryv1.RegisterSessionServiceServer(s.grpc, s.api.Sessions())
	gantryv1.RegisterEventServiceServer(s.grpc, s.api.EmitEvents())
	s.nacosConnections.Register(s.grpc)
	s.newJaeger().Register(s.grpc)
	checks := health.NewServer()
	grpc_health_v1.RegisterHealthServer(s.grpc, checks)
	s.workers.Go(func() {
		if err := s.grpc.Serve(s.listeners.grpc); err != nil && !s.stopping.Load() {
			s.fail(err)
		}
	})
	context.AfterFunc(s.running, checks.Shutdown)
}

// servePeers opens the port for other nodes, before the state starts: whoever joins asks there.
func (s *Server) servePeers() error {
	if s.cluster == nil {
		return nil
	}
	service := &peer.Service{Store: s.store, Instances: s.instances, Releases: s.releases, Series: s.series, Self: s.describe, Token: s.cluster.token,
		Started: func() bool { return s.ready.Load() || s.stopping.Load() }}
	traces := &peer.TraceService{Ingest: s.signals.ingest, Traces: s.signals.traces, Started: service.Started}
	figures := &peer.FiguresService{Red: s.red, Started: service.Started}
	events := &peer.EventService{Events: s.events.room, Started: service.Started}
	s.peerServer = peer.NewServer(service, traces, figures, events, s.cluster.node.ServerTLS())
	s.workers.Go(func() {
		if err := s.peerServer.Serve(s.listeners.peers); err != nil && !s.stopping.Load() {
			s.fail(err)
		}
	})
	return nil
}

// describe answers this node's own figures.
func (s *Server) describe() *gantryv1.Node {
	node := native.NodeOf(s.store.Self())
	node.Sessions = uint32(s.api.SessionCount())
	node.OwnedInstances = uint32(s.instances.Figures().Owned)
	node.MemoryBytes = residentBytes()
	node.DiskFreeBytes, node.DiskBytes, node.MirroredRevision = s.store.DiskFree(), s.store.DiskSize(), s.store.Revision()
	return node
}

// residentBytes is the memory that the process holds, as the system counts it.
func residentBytes() uint64 {
	if data, err := os.ReadFile("/proc/self/statm"); err == nil {
		if fields := strings.Fields(string(data)); len(fields) > 1 {
			if pages, err := strconv.ParseUint(fields[1], 10, 64); err == nil {
				return pages * uint64(os.Getpagesize())
			}
		}
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.Sys
}

// warnings are what an operator should look at.
func (s *Server) warnings() []string {
	var all []string
	if s.access.Disabled() && !s.settings.Dev {
		all = append(all, "authentication is off")
	}
	if s.tls == nil && !isLoopback(s.settings.HTTPListen) {
		all = append(all, "clients talk to this node without TLS")
	}
	if s.tls != nil {
		if left := time.Until(s.tls.ends()); left < 30*24*time.Hour {
			all = append(all, "the TLS certificate of this node ends in "+left.Round(time.Hour).String())
		}
	}
	if s.cluster == nil && len(s.store.Nodes()) > 1 {
		all = append(all, "several nodes share the state without a cluster secret: beats that reach the wrong node are lost, and questions are answered by one node alone")
	}
	return append(all, s.alertWarnings()...)
}

// slogLogger gives net/http's server a place for what it complains about.
func slogLogger(to *slog.Logger) *log.Logger { return slog.NewLogLogger(to.Handler(), slog.LevelDebug) }
