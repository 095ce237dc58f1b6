package nacos

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/gantry-platform/gantry/internal/fault"
)

// pace are the times in the life of a connection. One ticker looks after all connections.
type pace struct {
	tick time.Duration
	// silence is after what time of hearing nothing a client is asked whether it is there, as Nacos does, and answer what it has
	// to say so. Clients say something every 5 s by themselves.
	silence, answer time.Duration
	// setup bounds the time from opening the stream to naming oneself.
	setup time.Duration
	// early is how long a request waits for the setup of its connection: clients send it right behind, on another stream.
	early time.Duration
	// ack is when a push that was not acknowledged is sent again, doubled each time up to maxAckWait.
	ack time.Duration
	// stuck is how long a message may be on its way into a stream before the client counts as one that does not read.
	stuck time.Duration
	// fuzzy is the least time between two rounds of what watchers of patterns are told.
	fuzzy time.Duration
}

func standardPace() pace {
	return pace{tick: time.Second, silence: 20 * time.Second, answer: 5 * time.Second, setup: 10 * time.Second, early: 500 * time.Millisecond,
		ack: 5 * time.Second, stuck: 10 * time.Second, fuzzy: 200 * time.Millisecond}
}

const (
	// maxConnections bounds the connections of a node: five times what it is built for.
	maxConnections = 50_000
	// maxAckWait bounds the pause before a push is sent again.
	maxAckWait = time.Minute
	// closeTimeout bounds what is written when a connection ends.
	closeTimeout = 5 * time.Second
	// resetWriters bounds how many connections are told at once that the node goes away.
	resetWriters = 64
)

// Connections serve Nacos's gRPC protocol: unary requests, which belong to the connection that they come over, and one stream a connection, by
// which the connection is known, lives and ends, and by which the server asks and tells. A Connections is safe for concurrent use.
type Connections struct {
	api     *API
	pace    pace
	started time.Time
	// elsewhere are host:port on HTTP of other nodes.
	elsewhere func() []string
	requestID atomic.Uint64

	mu      sync.RWMutex
	open    map[transport]*connection
	waiting map[transport]*arrival
	leaving bool

	running context.Context
	stop    context.CancelFunc
	workers sync.WaitGroup
}

// arrival is for requests that came before the setup of their connection.
type arrival struct {
	come    chan struct{}
	waiters int
}

// maxWaiting bounds the connections whose setup requests wait for.
const maxWaiting = 10_000

// Connections returns the gRPC side. elsewhere answers host:port on HTTP of other live nodes, which clients are sent to when this one goes away; nil
// knows of none. Close it before the API.
func (a *API) Connections(elsewhere func() []string) *Connections {
	return a.connections(elsewhere, standardPace())
}

func (a *API) connections(elsewhere func() []string, pace pace) *Connections {
	if elsewhere == nil {
		elsewhere = func() []string { return nil }
	}
	s := &Connections{api: a, pace: pace, started: time.Now(), elsewhere: elsewhere, open: make(map[transport]*connection), waiting: make(map[transport]*arrival)}
	s.running, s.stop = context.WithCancel(context.Background())
	s.workers.Go(s.watch)
	return s
}

// Register puts the services on a gRPC server.
func (s *Connections) Register(server grpc.ServiceRegistrar) {
	server.RegisterService(&grpc.ServiceDesc{ServiceName: "Request", HandlerType: (*rpcHandler)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "request", Handler: serveRequest}}, Metadata: "nacos_grpc_service.proto"}, s)
	server.RegisterService(&grpc.ServiceDesc{ServiceName: "BiRequestStream", HandlerType: (*rpcHandler)(nil),
		Streams:  []grpc.StreamDesc{{StreamName: "requestBiStream", Handler: serveStream, ServerStreams: true, ClientStreams: true}},
		Metadata: "nacos_grpc_service.proto"}, s)
}

// rpcHandler is what grpc-go calls; Connections is one.
type rpcHandler interface {
	request(ctx context.Context, encoded []byte) ([]byte, error)
	stream(stream grpc.ServerStream) error
}

var _ rpcHandler = (*Connections)(nil)

func serveRequest(service any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
	in := raw(nil)
	if err := decode(in); err != nil {
		return nil, err
	}
	serve := func(ctx context.Context, _ any) (any, error) {
		answer, err := service.(rpcHandler).request(ctx, in.ProtoReflect().GetUnknown())
		if err != nil {
			return nil, err
		}
		return raw(answer), nil
	}
	if intercept == nil {
		return serve(ctx, in)
	}
	return intercept(ctx, in, &grpc.UnaryServerInfo{Server: service, FullMethod: "/Request/request"}, serve)
}

func serveStream(service any, stream grpc.ServerStream) error {
	return service.(rpcHandler).stream(stream)
}

// transport names a TCP connection while it is open: no two have both ends the same.
type transport struct{ remote, local netip.AddrPort }

func transportOf(ctx context.Context) (transport, bool) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return transport{}, false
	}
	remote, isTCP := p.Addr.(*net.TCPAddr)
	if !isTCP {
		return transport{}, false
	}
	t := transport{remote: remote.AddrPort()}
	if local, isTCP := p.LocalAddr.(*net.TCPAddr); isTCP {
		t.local = local.AddrPort()
	}
	return t, true
}

// id is how logs of both ends name the connection.
func (s *Connections) id(t transport) string {
	return strconv.FormatInt(s.started.UnixMilli(), 10) + "_" + t.host() + "_" + strconv.Itoa(int(t.remote.Port()))
}

func (t transport) host() string { return t.remote.Addr().Unmap().WithZone("").String() }

// now is the running time in nanoseconds.
func (s *Connections) now() int64 { return int64(time.Since(s.started)) }

// add makes a connection known that has named itself.
func (s *Connections) add(c *connection) error {
	s.mu.Lock()
	if s.leaving {
		s.mu.Unlock()
		return errLeaving()
	}
	before := s.open[c.transport]
	if before == nil && len(s.open) >= maxConnections {
		s.mu.Unlock()
		return fault.New(fault.Exhausted, "nacos.connections", "this node has %d connections", maxConnections).Hinted("connect to another node")
	}
	s.open[c.transport] = c
	if waiting := s.waiting[c.transport]; waiting != nil {
		close(waiting.come)
		delete(s.waiting, c.transport)
	}
	s.mu.Unlock()
	if before != nil {
		before.cancel(errReplaced) // another stream over the same transport, or its rest whose end we have not seen yet
	}
	return nil
}

func (s *Connections) remove(c *connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[c.transport] == c {
		delete(s.open, c.transport)
	}
}

// find returns the connection that a request came over, or nil. It waits a little for one that is being set up.
func (s *Connections) find(ctx context.Context, t transport) *connection {
	s.mu.RLock()
	c := s.open[t]
	s.mu.RUnlock()
	if c != nil {
		return c
	}
	waiting := s.await(t)
	if waiting == nil {
		return nil
	}
	timer := time.NewTimer(s.pace.early)
	defer timer.Stop()
	select {
	case <-waiting.come:
	case <-timer.C:
	case <-ctx.Done():
	case <-s.running.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if waiting.waiters--; waiting.waiters == 0 && s.waiting[t] == waiting {
		delete(s.waiting, t)
	}
	return s.open[t]
}

func (s *Connections) await(t transport) *arrival {
	s.mu.Lock()
	defer s.mu.Unlock()
	waiting := s.waiting[t]
	switch {
	case s.open[t] != nil:
		waiting = &arrival{come: make(chan struct{})}
		close(waiting.come)
	case waiting == nil && (s.leaving || len(s.waiting) >= maxWaiting):
		return nil
	case waiting == nil:
		waiting = &arrival{come: make(chan struct{})}
		s.waiting[t] = waiting
	}
	waiting.waiters++
	return waiting
}

// Count is how many connections are open.
func (s *Connections) Count() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.open)
}

func (s *Connections) isLeaving() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.leaving
}

// all are the open connections.
func (s *Connections) all(into []*connection) []*connection {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, c := range s.open {
		into = append(into, c)
	}
	return into
}

// watch looks after all connections, once a tick.
func (s *Connections) watch() {
	ticker := time.NewTicker(s.pace.tick)
	defer ticker.Stop()
	var all []*connection
	for {
		select {
		case <-ticker.C:
		case <-s.running.Done():
			return
		}
		all = s.all(all[:0])
		now := s.now()
		for _, c := range all {
			c.lookAfter(now)
		}
		clear(all)
	}
}

func errLeaving() *fault.Error {
	return fault.New(fault.Unavailable, "server.leaving", "this node is going away").Hinted("connect to another node")
}

// Leave sends all clients to other nodes and takes no new ones. It waits until they have gone or ctx ends; where there is no other node it does
// not wait. Then it ends what is left: their registrations stay for their ttl, so that they may come back.
func (s *Connections) Leave(ctx context.Context) {
	s.mu.Lock()
	s.leaving = true
	s.mu.Unlock()
	others := s.elsewhere()
	s.reset(ctx, others)
	if len(others) > 0 {
		s.awaitGone(ctx)
	}
	for _, c := range s.all(nil) {
		c.cancel(errLeaving())
	}
}

// Disperse sends the clients that are connected to other nodes, if there are any, and lets them stay until they go: this node has lost the quorum, which
// another one may have.
func (s *Connections) Disperse(ctx context.Context) {
	if others := s.elsewhere(); len(others) > 0 {
		s.reset(ctx, others)
	}
}

// reset tells all connections to go, spread over the nodes that there are.
func (s *Connections) reset(ctx context.Context, others []string) {
	work := make(chan *connection)
	var writers sync.WaitGroup
	all := s.all(nil)
	for range min(resetWriters, len(all)) {
		writers.Go(func() {
			for c := range work {
				request := connectReset{serverRequest: s.newRequest("internal"), ConnectionID: c.id}
				if len(others) > 0 {
					other := others[request.number%uint64(len(others))]
					request.ServerIP, request.ServerPort, _ = net.SplitHostPort(other)
				}
				c.trySend(encodeJSON("ConnectResetRequest", request))
			}
		})
	}
	for _, c := range all {
		select {
		case work <- c:
		case <-ctx.Done():
		}
	}
	close(work)
	if ctx.Err() == nil {
		writers.Wait() // who does not read is cut by the ticker
	}
}

func (s *Connections) awaitGone(ctx context.Context) {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for s.Count() > 0 {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// Close ends everything. The gRPC server is stopped before.
func (s *Connections) Close() {
	s.mu.Lock()
	s.leaving = true
	s.mu.Unlock()
	for _, c := range s.all(nil) {
		c.cancel(errLeaving())
	}
	s.stop()
	s.workers.Wait()
}

// stream serves the stream of a connection.
func (s *Connections) stream(stream grpc.ServerStream) error {
	t, ok := transportOf(stream.Context())
	if !ok {
		return status.Error(codes.Unimplemented, "connections of Nacos come over TCP")
	}
	c := newConnection(s, t, stream)
	go c.read(stream)
	err := c.awaitSetup()
	if err == nil {
		<-c.ctx.Done()
		err = context.Cause(c.ctx)
	}
	c.end(err)
	if f, ours := fault.As(err); ours {
		s.api.Logger.Debug("a connection of Nacos was ended", "connection", c.id, "error", f)
		return status.Error(statusCode(f), f.Error())
	}
	return nil
}

func statusCode(f *fault.Error) codes.Code {
	switch f.Code {
	case fault.Unauthenticated:
		return codes.Unauthenticated
	case fault.Forbidden:
		return codes.PermissionDenied
	case fault.Exhausted:
		return codes.ResourceExhausted
	case fault.DeadlineExceeded:
		return codes.DeadlineExceeded
	default:
		return codes.Unavailable
	}
}

func (s *Connections) logInternal(kind string, err error) {
	if f := fault.From(err); f.Code == fault.Internal {
		s.api.Logger.Error("a request of Nacos failed", "type", kind, slog.Any("error", f.Unwrap()))
	}
}
