package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/console"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
	"github.com/gantry-platform/gantry/internal/policy"
	"github.com/gantry-platform/gantry/internal/protocol/apollo"
	"github.com/gantry-platform/gantry/internal/protocol/consul"
	"github.com/gantry-platform/gantry/internal/protocol/nacos"
	"github.com/gantry-platform/gantry/internal/protocol/native"
	"github.com/gantry-platform/gantry/internal/protocol/peer"
	"github.com/gantry-platform/gantry/internal/release"
	"github.com/gantry-platform/gantry/internal/release/keyvalue"
	"github.com/gantry-platform/gantry/internal/signal/alert"
	"github.com/gantry-platform/gantry/internal/signal/live"
	"github.com/gantry-platform/gantry/internal/signal/red"
	"github.com/gantry-platform/gantry/internal/signal/series"
	"github.com/gantry-platform/gantry/internal/state"
)

// Options are what is not a setting.
type Options struct {
	// Version of the binary.
	Version string
	// Log is where log lines go. Default os.Stderr.
	Log io.Writer
}

// Server is a running node.
type Server struct {
	settings *Settings
	version  string
	log      *slog.Logger
	metrics  *prometheus.Registry
	dataDir  string
	// temporary: the data folder goes with the server.
	temporary bool

	listeners listeners
	cluster   *cluster // nil for a node alone
	tls       *certificates

	store     *state.Store
	access    *access.Manager
	instances *instance.Registry
	releases  *release.Releaser
	keys      *keyvalue.Keys
	peers     *peer.Client
	api       *native.API
	nacos     *nacos.API
	// nacosConnections are the gRPC side of nacos.
	nacosConnections *nacos.Connections
	apollo           *apollo.Handler
	events           *events
	console          *console.Console
	live             live.Room

	consul  *consul.Handler
	series  *series.Store
	scraper *series.Scraper

	signals signals
	red     *red.Room
	// redWritten is closed when the last figures are written; nil before the room runs.
	redWritten chan struct{}
	alerts     *alert.Engine

	http       []*http.Server
	dns        []*dns.Server
	grpc       *grpc.Server
	peerServer *grpc.Server
	ready      atomic.Bool
	stopping   atomic.Bool

	running context.Context
	stop    context.CancelFunc
	// leaving ends when the stop begins: requests that wait for news end with it.
	leaving context.Context
	leave   context.CancelFunc
	workers sync.WaitGroup
	failed  chan error
}

// Start brings a node up and returns when it serves. On an error everything that was begun is ended. While a cluster has
// no quorum yet, Start waits for it until ctx ends; /healthz answers meanwhile.
func Start(ctx context.Context, settings *Settings, options Options) (*Server, error) {
	if options.Log == nil {
		options.Log = os.Stderr
	}
	log, err := newLogger(settings, options.Log)
	if err != nil {
		return nil, err
	}
	s := &Server{settings: settings, version: options.Version, log: log, metrics: prometheus.NewRegistry(), failed: make(chan error, 1)}
	s.running, s.stop = context.WithCancel(context.Background())
	s.leaving, s.leave = context.WithCancel(context.Background())
	if err := s.start(ctx); err != nil {
		end, cancel := context.WithTimeout(context.Background(), settings.ShutdownTimeout)
		defer cancel()
		s.Shutdown(end)
		return nil, err
	}
	return s, nil
}

func (s *Server) start(ctx context.Context) error {
	s.sayMemory()
	if err := s.prepareData(); err != nil {
		return err
	}
	// Ports are taken first: a port in use is the commonest mistake, and it must not cost a look into the data.
	if err := s.listen(); err != nil {
		return err
	}
	s.serveHTTP()
	if err := s.serveDebug(); err != nil {
		return err
	}
	if err := s.openState(ctx); err != nil {
		return err
	}
	if err := s.buildRooms(); err != nil {
		return err
	}
	if err := s.servePeers(); err != nil {
		return err
	}
	if err := s.store.Start(ctx); err != nil {
		return err
	}
	if err := s.startRooms(ctx); err != nil {
		return err
	}
	s.serveGRPC()
	s.serveDNS()
	s.serveSignals()
	s.ready.Store(true)
	s.workers.Go(s.watchFailure)
	s.workers.Go(s.watchQuorum)
	return nil
}

// watchQuorum sends sessions away when the quorum has been gone for as long as a node may be silent: from then on the
// others, if they have it, take this node's sessions for lost, although the clients may still reach both.
func (s *Server) watchQuorum() {
	for {
		changed := s.store.QuorumChanged()
		var disperse *time.Timer
		if !s.store.Quorum() {
			disperse = time.AfterFunc(s.settings.NodeTTL, func() {
				s.api.Disperse("the node has lost the quorum")
				s.nacosConnections.Disperse(s.running)
			})
		}
		select {
		case <-changed:
		case <-s.running.Done():
		}
		if disperse != nil {
			disperse.Stop()
		}
		if s.running.Err() != nil {
			return
		}
	}
}

// prepareData chooses the data folder.
func (s *Server) prepareData() error {
	s.dataDir = s.settings.Data
	if s.dataDir != "" {
		return nil
	}
	dir, err := os.MkdirTemp("", "gantry-dev-")
	if err != nil {
		return fault.New(fault.Precondition, "state.folder_not_writable", "cannot make a temporary data folder: %v", err).At("data").
			Hinted("name a folder with --data").Because(err)
	}
	s.dataDir, s.temporary = dir, true
	return nil
}

// buildRooms makes the parts. Their mirrors must be on the store before it starts.
func (s *Server) buildRooms() error {
	err := s.openSeries()
	if err != nil {
		return err
	}
	s.access, err = access.New(access.Options{Store: s.store, Logger: s.log.With("part", "access"), Registerer: s.metrics,
		Disabled: s.settings.Authentication == "off"})
	if err != nil {
		return err
	}
	if err := s.openEvents(s.series); err != nil {
		return err
	}
	keys, err := s.rootKeys()
	if err != nil {
		return err
	}
	s.releases, err = release.New(release.Options{Store: s.store, Policy: policy.Standard(), Keys: keys,
		Logger: s.log.With("part", "release"), Registerer: s.metrics, Observe: s.observeDocument})
	if err != nil {
		return err
	}
	instanceOptions := instance.Options{Store: s.store, Logger: s.log.With("part", "instance"), Registerer: s.metrics,
		NamespaceInUse: s.namespaceInUse, NamedProtocol: consul.Protocol, ObserveSettings: s.events.feed.observeSettings}
	apiOptions := native.Options{Store: s.store, Access: s.access, Releases: s.releases, Events: s.events.room, Logger: s.log.With("part", "api"),
		Version: s.version, Describe: s.describe, Warnings: s.warnings, Live: &s.live}
	if s.cluster != nil {
		s.peers = peer.NewClient(s.store, s.cluster.node.ClientTLS(), s.log.With("part", "peer"))
		instanceOptions.Peers, apiOptions.Peers = s.peers, s.peers
	}
	s.instances = instance.New(instanceOptions)
	if err := s.buildRed(); err != nil {
		return err
	}
	if err := s.buildSignals(); err != nil {
		return err
	}
	apiOptions.Topology, apiOptions.Traces, apiOptions.FindEvents = s.red, s.signals.reader, s.allEvents()
	if err := s.buildAlerts(alertChanges{s.events.room}); err != nil {
		return err
	}
	apiOptions.Alerts = s.alerts
	apiOptions.Instances = s.instances
	s.api = native.New(apiOptions)
	if err := s.buildConsole(); err != nil {
		return err
	}
	s.nacos = nacos.New(nacos.Options{Access: s.access, Instances: s.instances, Releases: s.releases, Logger: s.log.With("part", "nacos"), Nodes: s.nacosNodes})
	s.nacosConnections = s.nacos.Connections(s.otherHTTPAddresses)
	s.apollo, err = apollo.New(apollo.Options{Releases: s.releases, Access: s.access, Registerer: s.metrics, Logger: s.log.With("part", "apollo")})
	if err != nil {
		return err
	}
	s.keys, err = keyvalue.New(keyvalue.Options{Store: s.store, Releaser: s.releases, Logger: s.log.With("part", "keyvalue"), Registerer: s.metrics,
		Checks: consul.SessionChecks(consul.Options{Instances: s.instances, Node: s.settings.ConsulNode})})
	if err != nil {
		return err
	}
	s.consul = s.newConsul()
	return nil
}

// namespaceInUse keeps a namespace that has documents.
func (s *Server) namespaceInUse(_ context.Context, namespace string) error {
	live, deleted := s.releases.Documents(namespace)
	if live+deleted == 0 {
		return nil
	}
	return fault.New(fault.Precondition, "namespace.not_empty", "namespace %q holds %d documents and %d deleted ones that can still be rolled back", namespace, live, deleted).
		At("name").Hinted("delete its documents; deleted ones go by themselves after 90 days")
}

func (s *Server) startRooms(ctx context.Context) error {
	passwordFile := filepath.Join(s.dataDir, "admin-password")
	created, err := s.access.Bootstrap(ctx, passwordFile)
	// Without quorum a node that has served before goes on serving reads; users were made long ago.
	if err != nil && !fault.Is(err, fault.Unavailable) {
		return err
	}
	if created {
		s.log.Warn("made the first administrator: user admin, password in "+passwordFile+"; change it with `gantry user password`, then delete the file",
			"user", "admin", "password_file", passwordFile)
	}
	s.workers.Go(func() {
		if err := s.access.Run(s.running); err != nil {
			s.log.Error("the upkeep of access ended", "error", err)
		}
	})
	if err := s.instances.Start(ctx); err != nil {
		return err
	}
	s.releases.Start()
	s.keys.Start()
	if err := s.startSeries(); err != nil {
		return err
	}
	s.startRed()
	s.feedChanges(ctx)
	s.workers.Go(s.followInstances)
	s.alerts.Start()
	if s.cluster != nil {
		s.workers.Go(func() { s.cluster.node.Keep(s.running, s.log) })
	}
	return nil
}

// watchFailure hears of the end of the state or of a listener.
func (s *Server) watchFailure() {
	select {
	case <-s.store.Failed():
		s.fail(s.store.Err())
	case <-s.running.Done():
	}
}

func (s *Server) fail(err error) {
	select {
	case s.failed <- err:
	default: // the first failure is the one that matters
	}
}

// Failed delivers the error after which the server is of no use any more, if one comes.
func (s *Server) Failed() <-chan error { return s.failed }

// HTTPAddress and GRPCAddress are where the server listens, with the port that the system chose when it was 0.
func (s *Server) HTTPAddress() string { return s.listeners.http[0].Addr().String() }

// GRPCAddress is like HTTPAddress.
func (s *Server) GRPCAddress() string { return s.listeners.grpc.Addr().String() }

// DataDir is the data folder in use.
func (s *Server) DataDir() string { return s.dataDir }

// Shutdown ends the node in order: it says that it is not ready, sends sessions to other nodes, ends requests, and lets go of the
// state, so that the other nodes take over at once. What is not done when ctx ends is cut.
func (s *Server) Shutdown(ctx context.Context) {
	if s.stopping.Swap(true) {
		return
	}
	s.ready.Store(false)
	s.leave()
	if s.api != nil && s.grpc != nil {
		var leaving sync.WaitGroup
		leaving.Go(func() { s.api.Leave(ctx) })
		leaving.Go(func() { s.nacosConnections.Leave(ctx) })
		leaving.Wait()
	}
	s.stopServers(ctx)
	s.stop()
	s.stopScraping()
	if s.nacosConnections != nil {
		s.nacosConnections.Close()
	}
	if s.nacos != nil {
		s.nacos.Close()
	}
	s.closeSignals()
	if s.alerts != nil {
		s.alerts.Close()
	}
	if s.instances != nil {
		logError(s.log, "closing the instances", s.instances.Close())
	}
	if s.keys != nil {
		s.keys.Close()
	}
	if s.releases != nil {
		s.releases.Close()
	}
	if s.events != nil {
		logError(s.log, "closing the events", s.events.close())
	}
	if s.peers != nil {
		s.peers.Close()
	}
	s.waitRed()
	s.closeSeries()
	if s.store != nil {
		logError(s.log, "closing the state", s.store.Close())
	}
	s.workers.Wait()
	s.listeners.close()
	s.signals.close()
	if s.temporary {
		logError(s.log, "removing the temporary data", os.RemoveAll(s.dataDir))
	}
}

// stopServers ends what serves: gracefully until ctx ends, then at once.
func (s *Server) stopServers(ctx context.Context) {
	var all sync.WaitGroup
	for _, server := range s.http {
		all.Go(func() {
			if err := server.Shutdown(ctx); err != nil {
				server.Close()
			}
		})
	}
	for _, server := range s.dns {
		all.Go(func() { stopDNS(ctx, server) })
	}
	for _, server := range []*grpc.Server{s.grpc, s.peerServer, s.signals.grpc} {
		if server != nil {
			all.Go(func() { stopGRPC(ctx, server) })
		}
	}
	all.Wait()
}

func stopGRPC(ctx context.Context, server *grpc.Server) {
	done := make(chan struct{})
	go func() {
		server.GracefulStop()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		server.Stop()
		<-done
	}
}

func logError(log *slog.Logger, what string, err error) {
	if err != nil {
		log.Warn(what, "error", err)
	}
}

func newLogger(settings *Settings, to io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(settings.LogLevel)); err != nil {
		return nil, fault.New(fault.Invalid, "setting.bad_value", "%q is no level", settings.LogLevel).At("log-level").Hinted("use debug, info, warn or error")
	}
	options := &slog.HandlerOptions{Level: level}
	switch settings.LogFormat {
	case "text":
		return slog.New(slog.NewTextHandler(to, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(to, options)), nil
	default:
		return nil, fault.New(fault.Invalid, "setting.bad_value", "%q is no format", settings.LogFormat).At("log-format").Hinted("use text or json")
	}
}

// listeners are the open ports.
type listeners struct {
	http  []net.Listener
	grpc  net.Listener
	peers net.Listener
	// dns and dnsPackets are nil together.
	dns        net.Listener
	dnsPackets net.PacketConn
}

func (l *listeners) close() {
	for _, listener := range l.http {
		listener.Close()
	}
	for _, listener := range []net.Listener{l.grpc, l.peers, l.dns} {
		if listener != nil {
			listener.Close()
		}
	}
	if l.dnsPackets != nil {
		l.dnsPackets.Close()
	}
}

func (s *Server) listen() error {
	var err error
	if s.tls, err = loadCertificates(s.settings); err != nil {
		return err
	}
	first, err := listen("http-listen", s.settings.HTTPListen)
	if err != nil {
		return err
	}
	s.listeners.http = []net.Listener{first}
	if s.listeners.grpc, err = listen("grpc-listen", s.settings.GRPCListen); err != nil {
		return err
	}
	for _, address := range s.settings.HTTPAliases {
		listener, err := listen("http-aliases", address)
		if err != nil && s.settings.Dev && s.settings.set["http-aliases"] == "" {
			s.log.Warn("an alias of the HTTP port is taken by another program", "address", address)
			continue
		}
		if err != nil {
			return err
		}
		s.listeners.http = append(s.listeners.http, listener)
	}
	if err := s.listenDNS(); err != nil {
		return err
	}
	if err := s.listenSignals(); err != nil {
		return err
	}
	if s.tls == nil && !isLoopback(s.settings.HTTPListen) {
		s.log.Warn("clients talk to this server without TLS; set --tls-certificate and --tls-key")
	}
	return nil
}

func listen(setting, address string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	if err == nil {
		return listener, nil
	}
	f := fault.New(fault.Precondition, "server.cannot_listen", "cannot listen on %s: %v", address, rootCause(err)).At(setting).Because(err)
	return nil, f.Hinted("stop what listens there (ss -ltnp shows it), or choose another address with --%s", setting)
}

func rootCause(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

// advertised is the host by which others reach this node.
func (s *Server) advertised() (string, error) {
	if s.settings.Advertise != "" {
		return s.settings.Advertise, nil
	}
	host, _, err := net.SplitHostPort(s.HTTPAddress())
	if err != nil {
		return "", err
	}
	if ip := net.ParseIP(host); ip != nil && !ip.IsUnspecified() {
		return host, nil
	}
	address, err := firstAddress()
	if errors.Is(err, errNoAddress) {
		return "127.0.0.1", nil
	}
	return address, err
}

func portOf(address net.Addr) string {
	_, port, err := net.SplitHostPort(address.String())
	if err != nil {
		panic(fmt.Sprintf("server: a listener without a port: %v", err)) // net promises one
	}
	return port
}

// serveHTTP begins to answer: health at once, everything else when the server is ready.
func (s *Server) serveHTTP() {
	for _, listener := range s.listeners.http {
		server := s.newHTTPServer()
		s.http = append(s.http, server)
		if s.tls != nil {
			listener = s.tls.wrap(listener, "h2", "http/1.1")
		}
		s.workers.Go(func() {
			if err := server.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
				s.fail(fmt.Errorf("server: the HTTP port: %w", err))
			}
		})
	}
}

// Limits of a connection. Streams may last: there is no write timeout.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	headerBytes   = 64 << 10
)
