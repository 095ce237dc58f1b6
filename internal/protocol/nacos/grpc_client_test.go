package nacos

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protowire"
)

// grpcNode is a node with the gRPC side on a port of its own.
type grpcNode struct {
	*node
	connections *Connections
	server      *grpc.Server
	address     string
}

// serveGRPC runs a node and its gRPC side. change may set other times; elsewhere may be nil.
func serveGRPC(t testing.TB, guarded bool, change func(*pace), elsewhere func() []string) *grpcNode {
	t.Helper()
	g := &grpcNode{node: start(t, guarded)}
	p := standardPace()
	if change != nil {
		change(&p)
	}
	g.connections = g.API.connections(elsewhere, p)
	g.server = grpc.NewServer(grpc.MaxRecvMsgSize(4 << 20))
	g.connections.Register(g.server)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.address = listener.Addr().String()
	served := make(chan error, 1)
	go func() { served <- g.server.Serve(listener) }()
	t.Cleanup(func() {
		g.server.Stop()
		g.connections.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return g
}

// client speaks the protocol without an SDK.
type client struct {
	t        testing.TB
	conn     *grpc.ClientConn
	stream   grpc.ClientStream
	incoming chan *payload
	headers  []string // of every request, by name and value
	mute     atomic.Bool
	ended    chan struct{}
}

func (g *grpcNode) dial() *client {
	g.t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+g.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		g.t.Fatal(err)
	}
	c := &client{t: g.t, conn: conn, incoming: make(chan *payload, 1000), ended: make(chan struct{})}
	g.t.Cleanup(c.close)
	return c
}

// connect is a client that has set up its connection, with headers on every request. It acknowledges what it is sent, unless it is mute.
func (g *grpcNode) connect(headers ...string) *client {
	g.t.Helper()
	c := g.dial()
	c.headers = headers
	c.open()
	c.setUp(`{"clientVersion":"test","labels":{"module":"naming"},"abilityTable":{}}`, "")
	if p := c.next(); p.kind != "SetupAckRequest" {
		g.t.Fatalf("%s in place of the abilities", p.kind)
	}
	return c
}

func (c *client) open() {
	c.t.Helper()
	stream, err := c.conn.NewStream(context.Background(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/BiRequestStream/requestBiStream")
	if err != nil {
		c.t.Fatal(err)
	}
	c.stream = stream
	go c.read()
}

func (c *client) read() {
	defer close(c.ended)
	for {
		message := raw(nil)
		if err := c.stream.RecvMsg(message); err != nil {
			return
		}
		p, err := decodePayload(message.ProtoReflect().GetUnknown())
		if err != nil {
			c.t.Errorf("from the server: %v", err)
			return
		}
		if !c.mute.Load() && p.kind != "SetupAckRequest" {
			c.acknowledge(p)
		}
		c.incoming <- p
	}
}

func (c *client) acknowledge(p *payload) {
	var request struct{ RequestID string }
	if err := json.Unmarshal(p.body, &request); err != nil || request.RequestID == "" {
		c.t.Errorf("%s without a number: %s", p.kind, p.body)
	}
	c.push(p.kind[:len(p.kind)-len("Request")]+"Response", fmt.Sprintf(`{"resultCode":200,"requestId":%q}`, request.RequestID))
}

func (c *client) setUp(body, ip string) { c.sendStream(message("ConnectionSetupRequest", body, ip)) }

func (c *client) push(kind, body string) { c.sendStream(message(kind, body, "")) }

func (c *client) sendStream(encoded []byte) {
	if err := c.stream.SendMsg(raw(encoded)); err != nil {
		c.t.Logf("send: %v", err)
	}
}

// next is the next request of the server.
func (c *client) next() *payload {
	c.t.Helper()
	select {
	case p := <-c.incoming:
		return p
	case <-time.After(patience):
		c.t.Fatal("the server said nothing")
		return nil
	}
}

// message is a client's message; headers are names and values.
func message(kind, body, ip string, headers ...string) []byte {
	var metadata []byte
	metadata = protowire.AppendString(protowire.AppendTag(metadata, metadataType, protowire.BytesType), kind)
	for n := 0; n+1 < len(headers); n += 2 {
		var entry []byte
		entry = protowire.AppendString(protowire.AppendTag(entry, 1, protowire.BytesType), headers[n])
		entry = protowire.AppendString(protowire.AppendTag(entry, 2, protowire.BytesType), headers[n+1])
		metadata = protowire.AppendBytes(protowire.AppendTag(metadata, metadataHeaders, protowire.BytesType), entry)
	}
	if ip != "" {
		metadata = protowire.AppendString(protowire.AppendTag(metadata, metadataIP, protowire.BytesType), ip)
	}
	b := protowire.AppendBytes(protowire.AppendTag(nil, payloadMetadata, protowire.BytesType), metadata)
	any := protowire.AppendString(protowire.AppendTag(nil, anyValue, protowire.BytesType), body)
	return protowire.AppendBytes(protowire.AppendTag(b, payloadBody, protowire.BytesType), any)
}

// answered is what the server answered.
type answered struct {
	kind string
	body map[string]any
}

func (a *answered) code() int  { return int(a.number("errorCode")) }
func (a *answered) good() bool { return a.number("resultCode") == 200 && a.body["success"] == true }
func (a *answered) number(key string) float64 {
	value, _ := a.body[key].(float64)
	return value
}

// call sends one request and wants an answer of whatever kind.
func (c *client) call(kind, body string) *answered {
	c.t.Helper()
	a, err := c.try(kind, body)
	if err != nil {
		c.t.Fatalf("%s: %v", kind, err)
	}
	return a
}

func (c *client) try(kind, body string) (*answered, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out := raw(nil)
	if err := c.conn.Invoke(ctx, "/Request/request", raw(message(kind, body, "", c.headers...)), out); err != nil {
		return nil, err
	}
	p, err := decodePayload(out.ProtoReflect().GetUnknown())
	if err != nil {
		return nil, err
	}
	a := &answered{kind: p.kind}
	return a, json.Unmarshal(p.body, &a.body)
}

// must sends one request that has to be served.
func (c *client) must(kind, body string) *answered {
	c.t.Helper()
	a := c.call(kind, body)
	if !a.good() {
		c.t.Fatalf("%s %s: %s %v", kind, body, a.kind, a.body)
	}
	return a
}

func (c *client) close() { c.conn.Close() }

// serviceIn is the service of an answer or a push.
func serviceIn(t testing.TB, body any) *pushedService {
	t.Helper()
	encoded, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	var in struct{ ServiceInfo *pushedService }
	if err := json.Unmarshal(encoded, &in); err != nil || in.ServiceInfo == nil {
		t.Fatalf("no service in %s: %v", encoded, err)
	}
	return in.ServiceInfo
}

type pushedService struct {
	Name, GroupName, Clusters, Checksum string
	CacheMillis, LastRefTime            int64
	AllIPs                              *bool
	ReachProtectionThreshold            bool
	Hosts                               []Instance
}

// addresses are the instances' ip:port in order.
func (s *pushedService) addresses() string {
	text := ""
	for _, host := range s.Hosts {
		text += fmt.Sprintf("%s:%d ", host.IP, host.Port)
	}
	return text
}

// nextService waits for the push of a service that holds these addresses; older ones may come before.
func (c *client) nextService(want string) *pushedService {
	c.t.Helper()
	var last string
	deadline := time.After(patience)
	for {
		select {
		case p := <-c.incoming:
			if p.kind != "NotifySubscriberRequest" {
				continue
			}
			service := serviceIn(c.t, json.RawMessage(p.body))
			if last = service.addresses(); last == want {
				return service
			}
		case <-deadline:
			c.t.Fatalf("the last push holds %q, want %q", last, want)
		}
	}
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("in vain waited for: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func streamDescription() *grpc.StreamDesc {
	return &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
}
