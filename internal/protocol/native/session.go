package native

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
	"github.com/gantry-platform/gantry/internal/release"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

const (
	// pingInterval is how often a client that says nothing else shows that it is alive; after silence of three it is taken for gone.
	pingInterval = 5 * time.Second
	silenceLimit = 3 * pingInterval
	// helloTimeout bounds the wait for the first message, so that opening a stream and saying nothing holds nothing.
	helloTimeout = 10 * time.Second
	// registersInFlight bounds the registrations of one stream that wait for their commit at once.
	registersInFlight = 64
	// outgoingMessages bounds what waits to be sent; behind it the parts of a session wait, and their own news coalesce.
	outgoingMessages = 64
	// closeTimeout bounds what is written when a stream ends.
	closeTimeout = 5 * time.Second
)

// sessions are the open streams of this node.
type sessions struct {
	mu      sync.Mutex
	open    map[*session]struct{}
	leaving bool
	nextID  uint64
}

// session is one open stream. Its goroutines: one reads and acts, one writes, one pushes services, one pushes documents, and the
// one that grpc-go calls watches the time and cleans up. They end together with ctx.
type session struct {
	api    *API
	ctx    context.Context
	cancel context.CancelCauseFunc
	id     string

	subject    *gantryv1.Subject
	instances  *instance.Session
	subscriber *instance.Subscriber
	watcher    *release.Watcher
	outgoing   chan *gantryv1.ServerMessage
	workers    sync.WaitGroup

	// heard is when the last message came, in time since opened.
	opened time.Time
	heard  atomic.Int64
	// acting is held while a message is acted on. Nothing is done after ended is set.
	acting sync.Mutex
	ended  bool

	// registering holds what is being committed, so that messages about the same instance keep their order.
	registering sync.WaitGroup
	slots       chan struct{}
	mu          sync.Mutex
	pending     map[pendingID]struct{}
	rights      uses // what the session has asked for and got
}

type pendingID struct {
	service instance.Service
	id      string
}

// SessionService serves session streams over grpc-go.
type SessionService struct {
	gantryv1.UnimplementedSessionServiceServer
	api *API
}

// Sessions returns the stream service for the gRPC server.
func (a *API) Sessions() *SessionService { return &SessionService{api: a} }

// Open implements the service.
func (s *SessionService) Open(stream grpc.BidiStreamingServer[gantryv1.ClientMessage, gantryv1.ServerMessage]) error {
	err := s.api.serveSession(stream)
	if err == nil || errors.Is(err, context.Canceled) && stream.Context().Err() != nil {
		return nil
	}
	s.api.logInternal("gantry.v1.SessionService/Open", err)
	return grpcError(err)
}

func (a *API) serveSession(stream grpc.BidiStreamingServer[gantryv1.ClientMessage, gantryv1.ServerMessage]) error {
	ctx, err := a.identifyStream(stream.Context())
	if err != nil {
		return err
	}
	if identity := access.FromContext(ctx); !identity.Active() {
		return access.Require(ctx, mayRead, instance.Default)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := &reader{stream: stream, cancel: cancel, first: make(chan *gantryv1.ClientMessage, 1), session: make(chan *session, 1)}
	go r.run()
	defer close(r.session) // a reader that waits for its session, because there will be none, ends
	hello, err := awaitHello(ctx, r.first)
	if err != nil {
		return err
	}
	s := &session{api: a, ctx: ctx, cancel: cancel, subject: hello.GetSubject(), instances: a.Instances.OpenSession(instance.SessionOptions{}),
		outgoing: make(chan *gantryv1.ServerMessage, outgoingMessages),
		slots:    make(chan struct{}, registersInFlight), pending: map[pendingID]struct{}{}, rights: uses{}, opened: time.Now()}
	if s.subject == nil {
		s.subject = &gantryv1.Subject{}
	}
	if err := checkSubject(s.subject); err != nil {
		return err
	}
	if s.subject.Address == "" {
		s.subject.Address = hostOf(ctx)
	}
	s.subscriber = a.Instances.Subscribe(followerOf(s.subject))
	if s.watcher, err = a.Releases.Watch(ctx, release.SubjectOf(s.subject)); err != nil {
		s.subscriber.Close()
		return err
	}
	if err := a.sessions.add(s); err != nil {
		s.subscriber.Close()
		s.watcher.Close()
		return err
	}
	s.outgoing <- &gantryv1.ServerMessage{Message: &gantryv1.ServerMessage_Welcome{Welcome: &gantryv1.Welcome{
		NodeId: a.Store.Self().ID, ServerVersion: a.Version, Nodes: a.grpcAddresses(), PingInterval: durationpb.New(pingInterval)}}}
	s.workers.Go(func() { s.send(stream) })
	s.workers.Go(s.pushServices)
	s.workers.Go(s.pushDocuments)
	r.session <- s
	err = s.watchTime()
	s.end(err)
	return err
}

// identifyStream reads who calls from a stream's metadata.
func (a *API) identifyStream(ctx context.Context) (context.Context, error) {
	authorization := ""
	if values := metadata.ValueFromIncomingContext(ctx, "authorization"); len(values) > 0 {
		authorization = values[0]
	}
	return a.identify(ctx, authorization, hostOf(ctx))
}

// watchTime returns when the stream has ended, has been silent for too long, or has lost a right that it lives by.
func (s *session) watchTime() error {
	ticker := time.NewTicker(pingInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if time.Since(s.opened)-time.Duration(s.heard.Load()) > silenceLimit {
				return fault.New(fault.DeadlineExceeded, "session.silent", "nothing was heard for %v", silenceLimit).Hinted("send a ping every %v", pingInterval)
			}
			if err := s.allowed(); err != nil {
				return err
			}
		case <-s.ctx.Done():
			return streamEnd(s.ctx)
		}
	}
}

// lives notes a right that the session lives by from now on.
func (s *session) lives(right access.Permission, namespace string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rights[use{namespace, right}] = struct{}{}
}

// allowed says whether the session still may what it does. A session without a right that it had ends whole: what it registered then goes with its ttl, and its
// client opens another one, and is told what it may not.
func (s *session) allowed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.rights.allowed(s.ctx); err != nil {
		return err
	}
	if !access.FromContext(s.ctx).Active() {
		return access.Require(s.ctx, mayRead, instance.Default)
	}
	return nil
}

// receive acts on a message, unless the session has ended.
func (s *session) receive(message *gantryv1.ClientMessage) error {
	s.heard.Store(int64(time.Since(s.opened)))
	if identity := access.FromContext(s.ctx); !identity.Active() {
		return access.Require(s.ctx, mayRead, instance.Default)
	}
	s.acting.Lock()
	defer s.acting.Unlock()
	if s.ended {
		return context.Cause(s.ctx)
	}
	return s.act(message)
}

// act does what one message asks for. An error ends the stream; what only concerns the message is answered.
func (s *session) act(message *gantryv1.ClientMessage) error {
	id := message.RequestId
	switch m := message.Message.(type) {
	case *gantryv1.ClientMessage_Register:
		s.register(id, m.Register)
	case *gantryv1.ClientMessage_Deregister:
		s.registering.Wait()
		s.reply(id, nil, s.deregister(m.Deregister))
	case *gantryv1.ClientMessage_SetStatus:
		s.registering.Wait()
		s.workers.Go(func() { s.setStatus(id, m.SetStatus) })
	case *gantryv1.ClientMessage_Subscribe:
		s.reply(id, nil, s.subscribe(m.Subscribe))
	case *gantryv1.ClientMessage_Unsubscribe:
		for _, ref := range m.Unsubscribe.Services {
			s.subscriber.Remove(instance.ServiceOf(ref).Normal())
		}
		s.reply(id, nil, nil)
	case *gantryv1.ClientMessage_Acknowledge:
		s.subscriber.Acknowledge(instance.ServiceOf(m.Acknowledge.Service).Normal(), m.Acknowledge.Revision)
	case *gantryv1.ClientMessage_WatchDocuments:
		s.reply(id, nil, s.watch(refsOf(m.WatchDocuments.Refs)))
	case *gantryv1.ClientMessage_UnwatchDocuments:
		s.watcher.Remove(refsOf(m.UnwatchDocuments.Refs)...)
		s.reply(id, nil, nil)
	case *gantryv1.ClientMessage_Applied:
		s.reply(id, nil, s.applied(m.Applied))
	case *gantryv1.ClientMessage_Ping:
		s.queue(&gantryv1.ServerMessage{Message: &gantryv1.ServerMessage_Pong{Pong: &gantryv1.Pong{}}})
	default:
		return fault.New(fault.Invalid, "session.bad_message", "a message of type %T", m).At("message").
			Hinted("hello comes first and once; a server that is older than the client does not know its newer messages")
	}
	return nil
}

// register commits in the background, so that a stream can have many registrations on their way; those that name an
// instance which is on its way already wait for it.
func (s *session) register(id uint64, r *gantryv1.Register) {
	registrations := make([]instance.Registration, len(r.Registrations))
	keys := make([]pendingID, len(r.Registrations))
	for i, request := range r.Registrations {
		service, err := named(s.ctx, request.Service, mayServe)
		if err != nil {
			s.reply(id, nil, err)
			return
		}
		s.lives(mayServe, service.Namespace)
		registrations[i] = instance.Registration{Service: service, Instance: request.Instance}
		keys[i] = pendingID{service, request.Instance.GetId()}
	}
	if !s.begin(keys) {
		s.registering.Wait()
		s.begin(keys)
	}
	select {
	case s.slots <- struct{}{}:
	case <-s.ctx.Done():
		s.finish(keys)
		return
	}
	go func() {
		defer s.finish(keys)
		results, err := s.instances.Register(s.ctx, registrations)
		<-s.slots
		if err != nil {
			s.reply(id, nil, err)
			return
		}
		reply := &gantryv1.Reply{Registered: make([]*gantryv1.RegisterResponse, len(results))}
		for i, result := range results {
			reply.Registered[i] = registered(result)
		}
		s.reply(id, reply, nil)
	}()
}

func (s *session) begin(keys []pendingID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range keys {
		if _, waits := s.pending[key]; waits {
			return false
		}
	}
	for _, key := range keys {
		s.pending[key] = struct{}{}
	}
	s.registering.Add(1)
	return true
}

func (s *session) finish(keys []pendingID) {
	s.mu.Lock()
	for _, key := range keys {
		delete(s.pending, key)
	}
	if len(s.pending) == 0 && len(keys) > registersInFlight {
		s.pending = map[pendingID]struct{}{} // a map never shrinks, and a fleet may register once in a message of a thousand
	}
	s.mu.Unlock()
	s.registering.Done()
}

func (s *session) deregister(r *gantryv1.Deregister) error {
	for _, request := range r.Registrations {
		service, err := named(s.ctx, request.Service, mayServe)
		if err != nil {
			return err
		}
		if _, err := s.instances.Deregister(s.ctx, service, request.Id); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) setStatus(id uint64, r *gantryv1.SetStatus) {
	service, err := named(s.ctx, r.Service, mayServe)
	if err != nil {
		s.reply(id, nil, err)
		return
	}
	revision, err := s.instances.SetStatus(s.ctx, service, r.Id, r.Status)
	if err != nil {
		s.reply(id, nil, err)
		return
	}
	reply := &gantryv1.Reply{}
	if wait := r.Wait.AsDuration(); r.Status == gantryv1.Status_STATUS_DRAINING && wait > 0 {
		following, err := s.api.Instances.AwaitAllAcknowledged(s.ctx, service, revision, min(wait, instance.MaxDrainWait))
		if err != nil {
			s.reply(id, nil, err)
			return
		}
		// Whom they are is for people: a service that stops has no use for it.
		reply.Drained = &gantryv1.DrainResponse{Subscribers: uint32(following.Subscribers), Acknowledged: uint32(following.Acknowledged), Revision: revision, MissingNodes: following.Missing}
	}
	s.reply(id, reply, nil)
}

func (s *session) subscribe(r *gantryv1.Subscribe) error {
	for _, subscription := range r.Subscriptions {
		service, err := named(s.ctx, subscription.Service, mayRead)
		if err != nil {
			return err
		}
		if err := s.subscriber.Add(service, subscription.Revision); err != nil {
			return err
		}
		s.lives(mayRead, service.Namespace)
	}
	return nil
}

func (s *session) watch(refs []release.Ref) error {
	if err := s.watcher.Add(refs...); err != nil {
		return err
	}
	for _, ref := range refs {
		s.lives(mayRead, ref.Namespace)
	}
	return nil
}

func (s *session) applied(r *gantryv1.Applied) error {
	for _, report := range r.Reports {
		if err := access.Require(s.ctx, mayRead, release.RefOf(report.Ref).Namespace); err != nil {
			return err
		}
	}
	return s.api.Releases.Report(s.id, release.SubjectOf(s.subject), r.Reports...)
}

// end leaves everything as the client's end leaves it: registrations stay for their ttl, so that it may come back.
func (s *session) end(err error) {
	s.api.sessions.remove(s)
	s.cancel(err)
	s.acting.Lock()
	s.ended = true
	s.acting.Unlock()
	s.registering.Wait()
	s.workers.Wait()
	s.subscriber.Close()
	s.watcher.Close()
	s.api.Releases.Forget(s.id)
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := s.instances.Close(access.NewContext(ctx, access.FromContext(s.ctx)), false); err != nil {
		s.api.Logger.Debug("closing a session", "error", err)
	}
}

// hostOf is the address that a stream comes from.
func hostOf(ctx context.Context) string {
	p, ok := peer.FromContext(ctx)
	if !ok || p.Addr == nil {
		return ""
	}
	return hostOnly(p.Addr.String())
}
