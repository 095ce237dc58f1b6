package testserver

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// Handler serves a session in place of a node's own, for servers that misbehave.
type Handler func(gantryv1.SessionService_OpenServer) error

// Node is one server of a cluster.
type Node struct {
	gantryv1.UnimplementedSessionServiceServer
	cluster *Cluster
	address string

	// Cluster.mu guards the rest.
	server   *grpc.Server
	listener *bufconn.Listener
	leaving  bool
	frozen   bool
	handler  Handler
}

// Start adds a node that is reached by [Cluster.Dial] under an address.
func (c *Cluster) Start(address string) *Node {
	n := &Node{cluster: c, address: address}
	c.mu.Lock()
	c.nodes[address] = n
	c.mu.Unlock()
	n.Start()
	return n
}

// Listen starts a node on a real listener, with TLS if credentials are given. Stop ends it.
func (c *Cluster) Listen(listener net.Listener, tls credentials.TransportCredentials) *Node {
	n := &Node{cluster: c, address: listener.Addr().String()}
	var options []grpc.ServerOption
	if tls != nil {
		options = append(options, grpc.Creds(tls))
	}
	server := grpc.NewServer(options...)
	gantryv1.RegisterSessionServiceServer(server, n)
	gantryv1.RegisterEventServiceServer(server, &emitter{cluster: c})
	c.mu.Lock()
	c.nodes[n.address] = n
	n.server = server
	c.mu.Unlock()
	go server.Serve(listener)
	return n
}

// Start starts the node again after Stop.
func (n *Node) Start() {
	server, listener := grpc.NewServer(), bufconn.Listen(256<<10)
	gantryv1.RegisterSessionServiceServer(server, n)
	gantryv1.RegisterEventServiceServer(server, &emitter{cluster: n.cluster})
	n.cluster.mu.Lock()
	n.server, n.listener, n.leaving, n.frozen = server, listener, false, false
	n.cluster.mu.Unlock()
	go server.Serve(listener)
}

// Stop kills the node: its sessions break.
func (n *Node) Stop() {
	n.cluster.mu.Lock()
	server := n.server
	n.server = nil
	n.cluster.mu.Unlock()
	if server != nil {
		server.Stop()
	}
}

// GoAway asks the node's sessions to leave, and lets none in any more.
func (n *Node) GoAway() {
	n.cluster.mu.Lock()
	defer n.cluster.mu.Unlock()
	n.leaving = true
	for s := range n.cluster.sessions {
		if s.node == n {
			s.reply(&gantryv1.ServerMessage{Message: &gantryv1.ServerMessage_GoAway{
				GoAway: &gantryv1.GoAway{Reason: "restart", Nodes: n.cluster.addresses()}}})
		}
	}
}

// Freeze makes the node hang: it reads, and says nothing any more.
func (n *Node) Freeze() {
	n.cluster.mu.Lock()
	defer n.cluster.mu.Unlock()
	n.frozen = true
}

// Misbehave has a handler serve new sessions; nil returns to normal.
func (n *Node) Misbehave(handler Handler) {
	n.cluster.mu.Lock()
	defer n.cluster.mu.Unlock()
	n.handler = handler
}

// Dial connects to a node of the cluster that runs.
func (c *Cluster) Dial(ctx context.Context, address string) (net.Conn, error) {
	c.mu.Lock()
	node := c.nodes[address]
	var listener *bufconn.Listener
	if node != nil && node.server != nil {
		listener = node.listener
	}
	c.mu.Unlock()
	if listener == nil {
		return nil, fmt.Errorf("dial %s: connection refused", address)
	}
	return listener.DialContext(ctx)
}

// session is one open stream.
type session struct {
	node   *Node
	stream gantryv1.SessionService_OpenServer
	hello  *gantryv1.Hello
	wake   chan struct{}

	// Cluster.mu guards the rest.
	replies   []*gantryv1.ServerMessage
	services  map[string]*subscriber
	documents map[string]*sent
}

type subscriber struct {
	sent, acknowledged int64
	again              bool
}

// sent is which version of a document the session was told; -1 for none, 0 for absent.
type sent struct{ version int64 }

func (s *session) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// reply queues a message. The caller holds mu.
func (s *session) reply(message *gantryv1.ServerMessage) {
	s.replies = append(s.replies, message)
	s.signal()
}

// Open implements the session protocol.
func (n *Node) Open(stream gantryv1.SessionService_OpenServer) error {
	c := n.cluster
	c.mu.Lock()
	token, handler, leaving := c.token, n.handler, n.leaving
	c.mu.Unlock()
	if handler != nil {
		return handler(stream)
	}
	if leaving {
		return status.Error(codes.Unavailable, "the node is going away")
	}
	md, _ := metadata.FromIncomingContext(stream.Context())
	if token != "" && strings.Join(md.Get("authorization"), "") != "Bearer "+token {
		refused, err := status.New(codes.Unauthenticated, "the token is not known").WithDetails(
			&gantryv1.ErrorDetail{Reason: "access.token_unknown", Hint: "make one with gantry token create"})
		if err != nil {
			return err
		}
		return refused.Err()
	}
	first, err := stream.Recv()
	if err != nil || first.GetHello() == nil {
		return status.Error(codes.InvalidArgument, "the first message is not a hello")
	}
	s := &session{
		node: n, stream: stream, hello: first.GetHello(), wake: make(chan struct{}, 1),
		services: map[string]*subscriber{}, documents: map[string]*sent{},
	}
	c.mu.Lock()
	welcome := &gantryv1.Welcome{
		NodeId: n.address, ServerVersion: "test", Nodes: c.addresses(), PingInterval: durationpb.New(c.pingInterval),
	}
	c.mu.Unlock()
	if err := stream.Send(&gantryv1.ServerMessage{Message: &gantryv1.ServerMessage_Welcome{Welcome: welcome}}); err != nil {
		return err
	}
	c.mu.Lock()
	c.sessions[s] = struct{}{}
	c.opened++
	c.notify()
	c.mu.Unlock()
	var writer sync.WaitGroup
	ctx, cancel := context.WithCancel(stream.Context())
	writer.Go(func() { s.write(ctx) })
	for {
		message, err := stream.Recv()
		if err != nil {
			break
		}
		s.receive(message)
	}
	cancel()
	writer.Wait()
	s.end()
	return nil
}

// end lets the session's instances go after their ttl, unless another session has taken them over by then.
func (s *session) end() {
	c := s.node.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.sessions, s)
	for _, held := range c.services {
		for id, r := range held.instances {
			if r.owner != s {
				continue
			}
			ttl := 15 * time.Second
			if r.instance.GetTtl() != nil {
				ttl = r.instance.GetTtl().AsDuration()
			}
			time.AfterFunc(ttl, func() {
				c.mu.Lock()
				defer c.mu.Unlock()
				if now := held.instances[id]; now != nil && now.owner == s {
					c.remove(held.ref, id)
				}
			})
		}
	}
	c.notify()
}

// write sends replies and whatever the session is behind with.
func (s *session) write(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
		for _, message := range s.due() {
			if s.stream.Send(message) != nil {
				return
			}
		}
	}
}

func (s *session) due() []*gantryv1.ServerMessage {
	c := s.node.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.node.frozen {
		return nil
	}
	messages := s.replies
	s.replies = nil
	for name, sub := range s.services {
		if event := c.services[name].event(sub.sent, sub.again); event != nil {
			sub.sent, sub.again = event.Revision, false
			if event.Stale = c.noQuorum; c.noQuorum {
				event.Revision = 0
			}
			messages = append(messages, &gantryv1.ServerMessage{Message: &gantryv1.ServerMessage_ServiceEvent{ServiceEvent: event}})
		}
	}
	for name, told := range s.documents {
		event := c.documentEvent(name)
		if event.GetVersion().GetVersion() != told.version {
			told.version = event.GetVersion().GetVersion()
			messages = append(messages, &gantryv1.ServerMessage{Message: &gantryv1.ServerMessage_DocumentEvent{DocumentEvent: event}})
		}
	}
	return messages
}

func (c *Cluster) documentEvent(name string) *gantryv1.DocumentEvent {
	kind, rest, _ := strings.Cut(name, "/")
	event := &gantryv1.DocumentEvent{Ref: &gantryv1.DocumentRef{Namespace: "default", Kind: kind, Name: rest}, Absent: true}
	if d := c.documents[name]; d != nil && d.version != nil {
		event.Absent, event.Version, event.Revision = false, d.version, d.latest
	}
	return event
}

func (s *session) receive(message *gantryv1.ClientMessage) {
	c := s.node.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	reply := &gantryv1.Reply{RequestId: message.GetRequestId()}
	switch m := message.GetMessage().(type) {
	case *gantryv1.ClientMessage_Register:
		s.register(m.Register, reply)
	case *gantryv1.ClientMessage_Deregister:
		for _, r := range m.Deregister.GetRegistrations() {
			c.remove(r.GetService(), r.GetId())
		}
	case *gantryv1.ClientMessage_SetStatus:
		if s.setStatus(m.SetStatus, reply) {
			return
		}
	case *gantryv1.ClientMessage_Subscribe:
		for _, sub := range m.Subscribe.GetSubscriptions() {
			if strings.HasPrefix(sub.GetService().GetService(), "forbidden") {
				reply.Failure = &gantryv1.Failure{Code: uint32(codes.PermissionDenied), Message: "not yours"}
				break
			}
			c.service(sub.GetService())
			s.services[key(sub.GetService())] = &subscriber{sent: sub.GetRevision()}
		}
	case *gantryv1.ClientMessage_Unsubscribe:
		for _, ref := range m.Unsubscribe.GetServices() {
			delete(s.services, key(ref))
		}
	case *gantryv1.ClientMessage_Acknowledge:
		if sub := s.services[key(m.Acknowledge.GetService())]; sub != nil {
			sub.acknowledged = m.Acknowledge.GetRevision()
		}
	case *gantryv1.ClientMessage_WatchDocuments:
		for _, ref := range m.WatchDocuments.GetRefs() {
			if strings.HasPrefix(ref.GetName(), "forbidden") {
				reply.Failure = &gantryv1.Failure{Code: uint32(codes.PermissionDenied), Message: "not yours"}
				break
			}
			s.documents[ref.GetKind()+"/"+ref.GetName()] = &sent{version: -1}
		}
	case *gantryv1.ClientMessage_UnwatchDocuments:
		for _, ref := range m.UnwatchDocuments.GetRefs() {
			delete(s.documents, ref.GetKind()+"/"+ref.GetName())
		}
	case *gantryv1.ClientMessage_Applied:
		for _, report := range m.Applied.GetReports() {
			name := report.GetRef().GetKind() + "/" + report.GetRef().GetName()
			if c.applied[name] == nil {
				c.applied[name] = map[string]*gantryv1.AppliedReport{}
			}
			c.applied[name][s.hello.GetSubject().GetInstanceId()] = report
		}
	case *gantryv1.ClientMessage_Ping:
		s.reply(&gantryv1.ServerMessage{Message: &gantryv1.ServerMessage_Pong{Pong: &gantryv1.Pong{}}})
	}
	s.answer(reply)
	c.notify()
}

// answer queues a reply that is wanted. The caller holds mu.
func (s *session) answer(reply *gantryv1.Reply) {
	if reply.RequestId > 0 {
		s.reply(&gantryv1.ServerMessage{Message: &gantryv1.ServerMessage_Reply{Reply: reply}})
	}
}

// register adds instances up to the first that is not valid. The caller holds mu.
func (s *session) register(request *gantryv1.Register, reply *gantryv1.Reply) {
	for _, r := range request.GetRegistrations() {
		if strings.HasPrefix(r.GetService().GetService(), "forbidden") {
			reply.Failure = &gantryv1.Failure{Code: uint32(codes.PermissionDenied), Message: "not allowed to register here",
				Detail: &gantryv1.ErrorDetail{Reason: "access.forbidden", Field: "service", Hint: "ask for the service role"}}
			return
		}
		instance := proto.CloneOf(r.GetInstance())
		if instance.Id == "" {
			instance.Id = fmt.Sprintf("%s:%d", instance.Address, instance.Port)
		}
		revision := s.node.cluster.put(r.GetService(), instance, s)
		reply.Registered = append(reply.Registered, &gantryv1.RegisterResponse{Id: instance.Id, Revision: revision})
	}
}

// setStatus changes an instance's status. It reports whether the reply comes later. The caller holds mu.
func (s *session) setStatus(request *gantryv1.SetStatus, reply *gantryv1.Reply) bool {
	c := s.node.cluster
	held := c.service(request.GetService())
	r := held.instances[request.GetId()]
	if r == nil {
		reply.Failure = &gantryv1.Failure{Code: uint32(codes.NotFound), Message: "no such instance"}
		return false
	}
	instance := proto.CloneOf(r.instance)
	instance.Status = request.GetStatus()
	revision := c.put(request.GetService(), instance, r.owner)
	if request.GetStatus() != gantryv1.Status_STATUS_DRAINING || request.GetWait() == nil {
		return false
	}
	go func() {
		ctx, cancel := context.WithTimeout(s.stream.Context(), request.GetWait().AsDuration())
		defer cancel()
		_, total := c.Acknowledged(request.GetService())
		done := c.Wait(ctx, func() bool {
			least, subscribers := c.Acknowledged(request.GetService())
			return subscribers == 0 || least >= revision
		})
		drained := &gantryv1.DrainResponse{Subscribers: uint32(total), Revision: revision}
		if done == nil {
			drained.Acknowledged = drained.Subscribers
		}
		reply.Drained = drained
		c.mu.Lock()
		defer c.mu.Unlock()
		s.answer(reply)
	}()
	return true
}
