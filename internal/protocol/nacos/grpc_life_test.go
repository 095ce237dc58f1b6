package nacos

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gantry-platform/gantry/internal/instance"
	"github.com/gantry-platform/gantry/internal/release"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// ending waits for the end of the stream and returns its status.
func (c *client) ending() codes.Code {
	c.t.Helper()
	select {
	case <-c.ended:
	case <-time.After(patience):
		c.t.Fatal("the connection does not end")
	}
	return status.Code(c.stream.RecvMsg(raw(nil)))
}

func TestWhoNeverNamesItselfIsCut(t *testing.T) {
	g := serveGRPC(t, false, func(p *pace) { p.setup = 20 * time.Millisecond }, nil)
	c := g.dial()
	c.open()
	if code := c.ending(); code != codes.DeadlineExceeded {
		t.Errorf("%v", code)
	}
}

func TestSilentClientsAreAskedAndThenCut(t *testing.T) {
	g := serveGRPC(t, false, func(p *pace) {
		p.tick, p.silence, p.answer = 5*time.Millisecond, 50*time.Millisecond, 100*time.Millisecond
	}, nil)
	alive, dead := g.connect(), g.connect()
	dead.must("InstanceRequest", about1("registerInstance", `"instance":`+loanInstance("10.0.0.1", "")))
	dead.mute.Store(true)
	if code := dead.ending(); code != codes.DeadlineExceeded {
		t.Errorf("%v", code)
	}
	asked := 0
	for len(alive.incoming) > 0 {
		if p := <-alive.incoming; p.kind == "ClientDetectionRequest" {
			asked++
		}
	}
	if asked == 0 {
		t.Error("nobody was asked")
	}
	if a := alive.must("HealthCheckRequest", `{}`); !a.good() {
		t.Errorf("who answered was cut: %+v", a)
	}
	// It may come back: nothing of it is removed before its ttl.
	eventually(t, "the connection is gone", func() bool { return g.connections.Count() == 1 })
	if g.loan() == "" {
		t.Error("a client that we have lost sight of lost its registration at once")
	}
	again := g.connect()
	again.must("InstanceRequest", about1("registerInstance", `"instance":`+loanInstance("10.0.0.1", "")))
}

func TestWhoDoesNotReadIsCutAndHoldsUpNobody(t *testing.T) {
	g := serveGRPC(t, false, func(p *pace) { p.tick, p.stuck = 10*time.Millisecond, 300*time.Millisecond }, nil)
	reading, provider := g.connect(), g.connect()
	stuck := g.dial()
	stream, err := stuck.conn.NewStream(context.Background(), streamDescription(), "/BiRequestStream/requestBiStream")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.SendMsg(raw(message("ConnectionSetupRequest", `{}`, ""))); err != nil {
		t.Fatal(err)
	}
	stuck.must("SubscribeServiceRequest", subscribeLoan)
	reading.must("SubscribeServiceRequest", subscribeLoan)
	filler := `,"x":"y","metadata":{"filler":"` + strings.Repeat("f", 12_000) + `"}`
	before := g.connections.Count()
	for n := 0; g.connections.Count() == before; n++ {
		if n > 2000 {
			t.Fatal("it is not cut")
		}
		ip := fmt.Sprintf("10.0.%d.%d", n/200, n%200+1)
		provider.must("InstanceRequest", about1("registerInstance", `"instance":`+strings.Replace(loanInstance(ip, ""), `,"metadata":{"version":"v1"}`, filler, 1)))
		reading.nextService(ip + ":8080 ")
	}
}

func TestLeavingSendsClientsElsewhere(t *testing.T) {
	others := []string{"10.9.0.1:8848", "10.9.0.2:8848"}
	g := serveGRPC(t, false, nil, func() []string { return others })
	stays, goes := g.connect(), g.connect()
	stays.must("InstanceRequest", about1("registerInstance", `"instance":`+loanInstance("10.0.0.1", "")))
	left := make(chan struct{})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	go func() {
		defer close(left)
		g.connections.Leave(ctx)
	}()
	sent := map[string]bool{}
	for _, c := range []*client{stays, goes} {
		p := c.next()
		var reset struct{ ServerIP, ServerPort string }
		if err := json.Unmarshal(p.body, &reset); err != nil || p.kind != "ConnectResetRequest" || reset.ServerPort != "8848" {
			t.Fatalf("%s %s", p.kind, p.body)
		}
		sent[reset.ServerIP] = true
	}
	if len(sent) != 2 {
		t.Errorf("all were sent to the same: %v", sent)
	}
	if _, err := goes.try("ServerCheckRequest", `{}`); status.Code(err) != codes.Unavailable {
		t.Errorf("a node that goes away still takes clients: %v", err)
	}
	goes.close()
	eventually(t, "one has gone", func() bool { return g.connections.Count() == 1 })
	cancel()
	<-left
	if code := stays.ending(); code != codes.Unavailable {
		t.Errorf("%v", code)
	}
	eventually(t, "all are gone", func() bool { return g.connections.Count() == 0 })
	if g.loan() == "" {
		t.Error("the node took along what its client registered")
	}
}

func TestLeavingAloneWaitsForNobody(t *testing.T) {
	g := serveGRPC(t, false, nil, nil)
	c := g.connect()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	g.connections.Leave(ctx)
	if ctx.Err() != nil {
		t.Fatal("it waited")
	}
	if p := c.next(); p.kind != "ConnectResetRequest" || strings.Contains(string(p.body), "serverIp") {
		t.Errorf("%s %s", p.kind, p.body)
	}
	c.ending()
}

// token makes a token with a role in a namespace.
func (g *grpcNode) token(role gantryv1.Role, namespace string) (id, secret string) {
	g.t.Helper()
	token, secret, err := g.Access.CreateToken(system(g.t), "test", []*gantryv1.Grant{{Namespace: namespace, Role: role}}, 0)
	if err != nil {
		g.t.Fatal(err)
	}
	return token.GetId(), secret
}

func TestRights(t *testing.T) {
	g := serveGRPC(t, true, nil, nil)
	_, service := g.token(gantryv1.Role_ROLE_SERVICE, "default")
	_, viewer := g.token(gantryv1.Role_ROLE_VIEWER, "default")
	_, releaser := g.token(gantryv1.Role_ROLE_RELEASER, "default")
	requests := map[string]struct{ body, answer string }{
		"register":   {about1("registerInstance", `"instance":`+loanInstance("10.0.0.1", "")), "InstanceRequest"},
		"deregister": {about1("deregisterInstance", `"instance":`+loanInstance("10.0.0.1", "")), "InstanceRequest"},
		"batch":      {about1("batchRegisterInstance", `"instances":[]`), "BatchInstanceRequest"},
		"persistent": {about1("deregisterInstance", `"instance":`+loanInstance("10.0.0.1", "")), "PersistentInstanceRequest"},
		"subscribe":  {subscribeLoan, "SubscribeServiceRequest"},
		"query":      {about1("", `"cluster":""`), "ServiceQueryRequest"},
		"list":       {`{"groupName":"DEFAULT_GROUP","pageNo":1,"pageSize":10}`, "ServiceListRequest"},
		"publish":    {aboutConfig("a", `,"content":"1"`), "ConfigPublishRequest"},
		"read":       {aboutConfig("a", ""), "ConfigQueryRequest"},
		"remove":     {aboutConfig("a", ""), "ConfigRemoveRequest"},
		"listen":     {listenTo("a", ""), "ConfigBatchListenRequest"},
	}
	for who, c := range map[string]struct {
		headers []string
		may     string
	}{
		"nobody":      {nil, ""},
		"a bad token": {[]string{"accessToken", "gty_wrong"}, ""},
		"a service":   {[]string{"accesstoken", service}, "register deregister batch persistent subscribe query list read listen"},
		"a viewer":    {[]string{"accessToken", viewer}, "subscribe query list read listen"},
		"a releaser":  {[]string{"Authorization", "Bearer " + releaser}, "subscribe query list publish read remove listen"},
	} {
		client := g.connect(c.headers...)
		for what, request := range requests {
			a := client.call(request.answer, request.body)
			refused := a.code() == 403 && !a.good()
			if may := strings.Contains(" "+c.may+" ", " "+what+" "); may == refused {
				t.Errorf("%s %s: %s %v", who, what, a.kind, a.body)
			}
			if want := map[string]string{"PersistentInstanceRequest": "InstanceResponse", "ServiceQueryRequest": "QueryServiceResponse",
				"ConfigBatchListenRequest": "ConfigChangeBatchListenResponse"}[request.answer]; want != "" && a.kind != want ||
				want == "" && a.kind != strings.TrimSuffix(request.answer, "Request")+"Response" {
				t.Errorf("%s answers %s", request.answer, a.kind)
			}
		}
		if a := client.must("HealthCheckRequest", "{}"); !a.good() {
			t.Errorf("%s is not alive", who)
		}
		client.close()
	}
	other := g.connect("accessToken", service)
	if a := other.call("ServiceQueryRequest", `{"namespace":"payments","serviceName":"loan"}`); a.code() != 403 {
		t.Errorf("in another namespace: %+v", a)
	}
	if a := other.call("ConfigBatchListenRequest", `{"configListenContexts":[{"group":"G","dataId":"a","tenant":"payments"}]}`); a.code() != 403 {
		t.Errorf("in another namespace: %+v", a)
	}
}

func TestATokenThatEndsEndsWhatItOpened(t *testing.T) {
	g := serveGRPC(t, true, func(p *pace) { p.tick = 5 * time.Millisecond }, nil)
	id, secret := g.token(gantryv1.Role_ROLE_SERVICE, "default")
	c := g.connect("accessToken", secret)
	c.must("SubscribeServiceRequest", subscribeLoan)
	c.must("InstanceRequest", about1("registerInstance", `"instance":`+loanInstance("10.0.0.1", "")))
	c.nextService("10.0.0.1:8080 ")
	if err := g.Access.RevokeToken(system(t), id); err != nil {
		t.Fatal(err)
	}
	if code := c.ending(); code != codes.Unauthenticated {
		t.Errorf("%v", code)
	}
	if g.loan() == "" {
		t.Error("its instance does not wait for the client to come back with another token")
	}
}

// A client that logs in again goes on by its new token, also with what it asked for by the old one.
func TestAnotherTokenTakesOver(t *testing.T) {
	g := serveGRPC(t, true, func(p *pace) { p.tick = 5 * time.Millisecond }, nil)
	oldID, oldSecret := g.token(gantryv1.Role_ROLE_SERVICE, "default")
	_, secret := g.token(gantryv1.Role_ROLE_SERVICE, "default")
	c := g.connect("accessToken", oldSecret)
	c.must("ConfigBatchListenRequest", listenTo("a", ""))
	c.must("SubscribeServiceRequest", subscribeLoan)
	c.nextService("")
	c.headers[1] = secret
	if a := c.call("ConfigQueryRequest", aboutConfig("a", "")); a.code() != 300 {
		t.Fatalf("%+v", a)
	}
	if err := g.Access.RevokeToken(system(t), oldID); err != nil {
		t.Fatal(err)
	}
	g.publishText(publication{key: key(t, "a"), content: "1"})
	c.nextConfig("a/DEFAULT_GROUP")
	if _, err := g.Instances.Register(t.Context(), instance.Registration{Service: instance.Service{Name: "loan"}, Instance: &gantryv1.Instance{Address: "10.0.0.7", Port: 1}}); err != nil {
		t.Fatal(err)
	}
	c.nextService("10.0.0.7:1 ")
}

func TestSealedConfigurationsAreForWhoMaySeeThem(t *testing.T) {
	g := serveGRPC(t, true, nil, nil)
	_, service := g.token(gantryv1.Role_ROLE_SERVICE, "default")
	_, viewer := g.token(gantryv1.Role_ROLE_VIEWER, "default")
	g.publishSealed("secret", "hunter2")
	reader, looker := g.connect("accessToken", service), g.connect("accessToken", viewer)
	if a := reader.must("ConfigQueryRequest", aboutConfig("secret", "")); a.body["content"] != "hunter2" {
		t.Errorf("%+v", a.body)
	}
	a := looker.call("ConfigQueryRequest", aboutConfig("secret", ""))
	if a.good() || a.code() != 403 || strings.Contains(fmt.Sprint(a.body), "hunter2") || strings.Contains(fmt.Sprint(a.body), md5Of([]byte("hunter2"))) {
		t.Errorf("%+v", a.body)
	}
	// Nor can the content be guessed by its md5.
	for _, md5 := range []string{md5Of([]byte("hunter2")), "guess"} {
		if got := changed(looker.must("ConfigBatchListenRequest", listenTo("secret", md5))); got != "" {
			t.Errorf("the answer tells of %s", got)
		}
	}
	looker.silent("nor does a notice")
	if got := changed(reader.must("ConfigBatchListenRequest", listenTo("secret", "guess"))); got == "" {
		t.Error("who may see it is not told")
	}
	g.publishSealed("secret", "hunter3")
	reader.nextConfig("secret/DEFAULT_GROUP")
	looker.silent("nor does the notice of a change")
}

func TestBadRequests(t *testing.T) {
	g := serveGRPC(t, false, nil, nil)
	c := g.connect()
	for _, bad := range []struct {
		kind, body, answer string
		code               int
	}{
		{"NoSuchRequest", `{}`, "ErrorResponse", 302},
		{"LockOperationRequest", `{}`, "ErrorResponse", 302},
		{"", ``, "ErrorResponse", 302},
		{"InstanceRequest", `{"instance":`, "ErrorResponse", 502},
		{"InstanceRequest", `{"instance":{"port":"x"}}`, "ErrorResponse", 502},
		{"ServiceQueryRequest", ``, "ErrorResponse", 502},
		{"ServiceQueryRequest", `[]`, "ErrorResponse", 502},
		{"InstanceRequest", `{"serviceName":"loan","type":"registerInstance"}`, "InstanceResponse", 400},
		{"InstanceRequest", about1("elsewise", `"instance":{}`), "InstanceResponse", 400},
		{"InstanceRequest", about1("registerInstance", `"instance":{"ip":"10.0.0.1","port":70000}`), "InstanceResponse", 400},
		{"InstanceRequest", about1("registerInstance", `"instance":{"ip":"","port":7}`), "InstanceResponse", 400},
		{"InstanceRequest", `{"namespace":"nowhere","serviceName":"loan","type":"registerInstance","instance":{"ip":"10.0.0.1","port":1}}`, "InstanceResponse", 404},
		{"InstanceRequest", `{"serviceName":"","type":"registerInstance","instance":{"ip":"10.0.0.1","port":1}}`, "InstanceResponse", 400},
		{"BatchInstanceRequest", about1("elsewise", `"instances":[]`), "BatchInstanceResponse", 400},
		{"PersistentInstanceRequest", about1("elsewise", `"instance":{}`), "InstanceResponse", 400},
		{"SubscribeServiceRequest", `{"subscribe":true}`, "SubscribeServiceResponse", 400},
		{"SubscribeServiceRequest", `{"subscribe":true,"serviceName":"s","clusters":"` + strings.Repeat("c", 2000) + `"}`, "SubscribeServiceResponse", 413},
		{"ServiceListRequest", `{"pageNo":1,"pageSize":1000000}`, "ServiceListResponse", 400},
		{"ServiceListRequest", `{"pageNo":-1,"pageSize":-1}`, "ServiceListResponse", 400},
		{"ConfigQueryRequest", aboutConfig("", ""), "ConfigQueryResponse", 400},
		{"ConfigBatchListenRequest", `{"configListenContexts":[{}]}`, "ConfigChangeBatchListenResponse", 400},
	} {
		if a := c.call(bad.kind, bad.body); a.kind != bad.answer || a.code() != bad.code || a.good() || a.number("resultCode") != 500 || a.body["message"] == "" {
			t.Errorf("%s %.80s: %s %v, want %s %d", bad.kind, bad.body, a.kind, a.body, bad.answer, bad.code)
		}
	}
	// What is no payload at all, and what is too large for a message.
	out := raw(nil)
	if err := c.conn.Invoke(t.Context(), "/Request/request", raw([]byte{0x12, 0x02, 0x1a, 0x01}), out); err == nil {
		if p, err := decodePayload(out.ProtoReflect().GetUnknown()); err != nil || p.kind != "ErrorResponse" {
			t.Errorf("%+v %v", p, err)
		}
	}
	if _, err := c.try("ConfigPublishRequest", aboutConfig("big", `,"content":"`+strings.Repeat("x", 5<<20)+`"`)); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("5 MiB: %v", err)
	}
	for n := range 200 {
		c.push("NoSuchResponse", `{"requestId":`)
		c.push("NotifySubscriberResponse", fmt.Sprintf(`{"requestId":"%d","resultCode":200}`, n*1000))
	}
	c.must("HealthCheckRequest", `{}`)
}

// Two hundred connections come, register, follow, listen and go, and nothing is left of them.
func TestChurn(t *testing.T) {
	g := serveGRPC(t, false, nil, nil)
	watcher := g.connect()
	watcher.must("SubscribeServiceRequest", subscribeLoan)
	go func() {
		for {
			select {
			case <-watcher.incoming: // keeps it read
			case <-watcher.ended:
				return
			}
		}
	}()
	var all sync.WaitGroup
	slots := make(chan struct{}, 20)
	for n := range 200 {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			g.passBy(n)
		})
	}
	all.Wait()
	eventually(t, "only the watcher is left", func() bool { return g.connections.Count() == 1 })
	eventually(t, "no instance is left", func() bool { return g.loan() == "" })
	watcher.close()
}

// passBy is the short life of a client.
func (g *grpcNode) passBy(n int) {
	c := g.connect()
	defer c.close()
	go func() {
		for {
			select {
			case <-c.incoming:
			case <-c.ended:
				return
			}
		}
	}()
	must := func(kind, body string) {
		for range 100 {
			a, err := c.try(kind, body)
			if err == nil && a.code() == 503 {
				time.Sleep(50 * time.Millisecond) // a busy machine may lose its quorum for a moment
				continue
			}
			if err != nil || !a.good() {
				g.t.Errorf("%s %s: %+v, %v", kind, body, a, err)
			}
			return
		}
		g.t.Errorf("%s: no quorum", kind)
	}
	ip := fmt.Sprintf("10.0.%d.%d", n/100, n%100+1)
	must("InstanceRequest", about1("registerInstance", `"instance":`+loanInstance(ip, "")))
	must("SubscribeServiceRequest", subscribeLoan)
	must("ConfigBatchListenRequest", listenTo(fmt.Sprint("d", n%7), "old"))
	for range 5 {
		switch rand.N(4) {
		case 0:
			must("InstanceRequest", about1("registerInstance", `"instance":`+loanInstance(ip, fmt.Sprintf(`,"instanceId":"i%d"`, n))))
		case 1:
			must("ServiceQueryRequest", about1("", `"cluster":""`))
		case 2:
			must("ConfigPublishRequest", aboutConfig(fmt.Sprint("d", n%7), fmt.Sprintf(`,"content":"%d"`, n)))
		case 3:
			must("BatchInstanceRequest", about1("batchRegisterInstance", `"instances":[`+loanInstance(ip, "")+`]`))
		}
	}
}

func (g *grpcNode) publishSealed(dataID, content string) {
	g.t.Helper()
	if _, err := g.Releases.Publish(system(g.t), release.Draft{Ref: key(g.t, dataID).ref(), Content: []byte(content), Sensitive: true, Release: true}); err != nil {
		g.t.Fatal(err)
	}
}
