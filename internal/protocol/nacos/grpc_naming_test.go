package nacos

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/internal/instance"
)

// loanInstance is an instance of the service "loan" as JSON.
func loanInstance(ip string, more string) string {
	return fmt.Sprintf(`{"ip":%q,"port":8080,"weight":2,"healthy":true,"enabled":true,"ephemeral":true,"clusterName":"DEFAULT","metadata":{"version":"v1"}%s}`, ip, more)
}

func about1(kind, rest string) string {
	return fmt.Sprintf(`{"requestId":"7","module":"naming","namespace":"public","serviceName":"loan","groupName":"DEFAULT_GROUP","type":%q,%s}`, kind, rest)
}

const subscribeLoan = `{"namespace":"public","serviceName":"loan","groupName":"DEFAULT_GROUP","subscribe":true,"clusters":""}`

func (g *grpcNode) loan() string {
	snapshot := g.Instances.Lookup(instance.Service{Name: "loan"}.Normal())
	text := ""
	if snapshot != nil {
		for _, i := range snapshot.Instances {
			text += i.Target() + " "
		}
	}
	return text
}

func TestServerCheckAndSetup(t *testing.T) {
	g := serveGRPC(t, false, nil, nil)
	c := g.dial()
	check := c.must("ServerCheckRequest", `{}`)
	if check.kind != "ServerCheckResponse" || check.body["supportAbilityNegotiation"] != true || check.body["connectionId"] == "" {
		t.Errorf("%+v", check)
	}
	if a := c.call("HealthCheckRequest", `{}`); a.kind != "ErrorResponse" || a.code() != codeUnregistered || a.good() {
		t.Errorf("before the setup: %+v", a)
	}
	c.open()
	c.setUp(`{"clientVersion":"Nacos-Java-Client:v3.0.0","labels":{"source":"sdk"},"abilityTable":{"fuzzyWatch":true}}`, "10.1.2.3")
	ack := c.next()
	if ack.kind != "SetupAckRequest" || !strings.Contains(string(ack.body), `"supportPersistentInstanceByGrpc":true`) {
		t.Fatalf("%s %s", ack.kind, ack.body)
	}
	if a := c.must("HealthCheckRequest", `{"requestId":"5"}`); a.kind != "HealthCheckResponse" || a.body["requestId"] != "5" {
		t.Errorf("%+v", a)
	}
	if g.connections.Count() != 1 {
		t.Errorf("%d connections", g.connections.Count())
	}
	c.close()
	eventually(t, "the connection is forgotten", func() bool { return g.connections.Count() == 0 })
}

// Clients of early 2.x send requests right behind the setup and get no acknowledgement of it.
func TestARequestWaitsForTheSetupOfItsConnection(t *testing.T) {
	g := serveGRPC(t, false, func(p *pace) { p.early = patience }, nil)
	c := g.dial()
	answers := make(chan *answered, 1)
	go func() {
		a, err := c.try("HealthCheckRequest", `{}`)
		if err != nil {
			t.Error(err)
		}
		answers <- a
	}()
	eventually(t, "the request waits", func() bool {
		g.connections.mu.RLock()
		defer g.connections.mu.RUnlock()
		return len(g.connections.waiting) == 1
	})
	c.open()
	c.setUp(`{"clientVersion":"Nacos-Java-Client:v2.0.0","clientAbilities":{}}`, "")
	if a := <-answers; a == nil || !a.good() {
		t.Errorf("%+v", a)
	}
	select {
	case p := <-c.incoming:
		t.Errorf("an old client was sent %s", p.kind)
	default:
	}
}

func TestRegisterSubscribePushAndDeregister(t *testing.T) {
	g := serveGRPC(t, false, nil, nil)
	consumer, provider := g.connect(), g.connect()
	first := consumer.must("SubscribeServiceRequest", subscribeLoan)
	empty := serviceIn(t, first.body)
	if first.kind != "SubscribeServiceResponse" || empty.Hosts == nil || len(empty.Hosts) != 0 || empty.AllIPs == nil || *empty.AllIPs || empty.Name != "loan" ||
		empty.GroupName != "DEFAULT_GROUP" || empty.CacheMillis == 0 {
		t.Errorf("%s %+v", first.kind, empty)
	}
	registered := provider.must("InstanceRequest", about1("registerInstance", `"instance":`+loanInstance("10.0.0.1", "")))
	if registered.kind != "InstanceResponse" || registered.body["type"] != "registerInstance" || registered.body["requestId"] != "7" {
		t.Errorf("%+v", registered)
	}
	pushed := consumer.nextService("10.0.0.1:8080 ")
	host := pushed.Hosts[0]
	if host.InstanceID != "10.0.0.1#8080#DEFAULT#DEFAULT_GROUP@@loan" || host.Weight != 2 || !host.Healthy || !host.Enabled || !host.Ephemeral ||
		host.ClusterName != "DEFAULT" || host.ServiceName != "DEFAULT_GROUP@@loan" || host.Metadata["version"] != "v1" {
		t.Errorf("%+v", host)
	}
	if pushed.LastRefTime <= empty.LastRefTime {
		t.Errorf("pushed at %d, after %d", pushed.LastRefTime, empty.LastRefTime)
	}
	i := g.Instances.Lookup(instance.Service{Name: "loan"}.Normal()).Instances[0]
	if i.Protocol != "nacos" || i.Owner != g.store.Self().ID || i.Labels.Get("version") != "v1" || i.TTL != 15*time.Second {
		t.Errorf("%+v", i)
	}
	// One instance of a service is what a connection has: another one takes its place.
	provider.must("InstanceRequest", about1("registerInstance", `"instance":`+loanInstance("10.0.0.2", "")))
	consumer.nextService("10.0.0.2:8080 ")
	// Whatever it names by leaving, it means the one that it has.
	provider.must("InstanceRequest", about1("deregisterInstance", `"instance":`+loanInstance("10.0.0.9", "")))
	consumer.nextService("")
	provider.must("InstanceRequest", about1("deregisterInstance", `"instance":`+loanInstance("10.0.0.2", "")))
	consumer.must("SubscribeServiceRequest", strings.Replace(subscribeLoan, "true", "false", 1))
	eventually(t, "nobody follows", func() bool {
		n, _ := g.Instances.AwaitAcknowledged(t.Context(), instance.Service{Name: "loan"}.Normal(), 0)
		return n == 0
	})
}

func TestABatchTakesThePlaceOfTheBatchBefore(t *testing.T) {
	g := serveGRPC(t, false, nil, nil)
	c := g.connect()
	batch := func(ips ...string) string {
		var all []string
		for _, ip := range ips {
			all = append(all, loanInstance(ip, ""))
		}
		return about1("batchRegisterInstance", `"instances":[`+strings.Join(all, ",")+`]`)
	}
	if a := c.must("BatchInstanceRequest", batch("10.0.0.1", "10.0.0.2", "10.0.0.3")); a.kind != "BatchInstanceResponse" {
		t.Errorf("%+v", a)
	}
	if got := g.loan(); got != "10.0.0.1:8080 10.0.0.2:8080 10.0.0.3:8080 " {
		t.Errorf("registered %s", got)
	}
	c.must("BatchInstanceRequest", batch("10.0.0.2", "10.0.0.4"))
	if got := g.loan(); got != "10.0.0.2:8080 10.0.0.4:8080 " {
		t.Errorf("after another batch %s", got)
	}
	c.must("InstanceRequest", about1("deregisterInstance", `"instance":`+loanInstance("10.0.0.2", "")))
	if got := g.loan(); got != "10.0.0.4:8080 " {
		t.Errorf("after one left %s", got)
	}
	c.must("BatchInstanceRequest", batch("10.0.0.5", "10.0.0.6", "10.0.0.7"))
	c.must("BatchInstanceRequest", strings.Replace(batch("10.0.0.6", "10.0.0.5"), "batchRegister", "batchDeregister", 1))
	if got := g.loan(); got != "10.0.0.7:8080 " {
		t.Errorf("after a batch left %s", got)
	}
	c.must("BatchInstanceRequest", batch())
	if got := g.loan(); got != "" {
		t.Errorf("after an empty batch %s", got)
	}
	var many []string
	for n := range instance.MaxBatch + 1 {
		many = append(many, fmt.Sprintf("10.1.%d.%d", n/250, n%250))
	}
	if a := c.call("BatchInstanceRequest", batch(many...)); a.kind != "BatchInstanceResponse" || a.good() || a.code() != 413 {
		t.Errorf("a batch that is too large: %+v", a.body)
	}
}

func TestTheNewestConnectionHoldsAnInstance(t *testing.T) {
	g := serveGRPC(t, false, nil, nil)
	old, fresh := g.connect(), g.connect()
	register := about1("registerInstance", `"instance":`+loanInstance("10.0.0.1", ""))
	old.must("InstanceRequest", register)
	fresh.must("InstanceRequest", register)
	old.must("InstanceRequest", about1("deregisterInstance", `"instance":`+loanInstance("10.0.0.1", "")))
	if g.loan() == "" {
		t.Error("a connection removed what another one holds")
	}
	old.close()
	eventually(t, "the old connection is gone", func() bool { return g.connections.Count() == 1 })
	if g.loan() == "" {
		t.Error("the old connection took it along")
	}
	fresh.close()
	eventually(t, "the instance goes with its connection", func() bool { return g.loan() == "" })
}

func TestPersistentInstancesStay(t *testing.T) {
	g := serveGRPC(t, false, nil, nil)
	c := g.connect()
	body := func(kind string) string {
		return about1(kind, `"instance":`+strings.Replace(loanInstance("127.0.0.1", ""), `"ephemeral":true`, `"ephemeral":false`, 1))
	}
	if a := c.must("PersistentInstanceRequest", body("registerInstance")); a.kind != "InstanceResponse" {
		t.Errorf("%+v", a)
	}
	if a := c.call("InstanceRequest", body("registerInstance")); a.good() || a.code() != 400 {
		t.Errorf("persistent among the ephemeral: %+v", a.body)
	}
	c.close()
	eventually(t, "the connection is gone", func() bool { return g.connections.Count() == 0 })
	i := g.Instances.Lookup(instance.Service{Name: "loan"}.Normal()).Instances
	if len(i) != 1 || !i[0].Persistent || len(i[0].Checks) != 1 {
		t.Fatalf("%+v", i)
	}
	other := g.connect()
	other.must("InstanceRequest", about1("deregisterInstance", `"instance":`+loanInstance("127.0.0.1", "")))
	if g.loan() == "" {
		t.Error("removed as an ephemeral one")
	}
	other.must("PersistentInstanceRequest", body("deregisterInstance"))
	if got := g.loan(); got != "" {
		t.Errorf("left: %s", got)
	}
	other.must("PersistentInstanceRequest", body("deregisterInstance"))
}

func TestQueryAndList(t *testing.T) {
	g := serveGRPC(t, false, nil, nil)
	c := g.connect()
	c.must("BatchInstanceRequest", about1("batchRegisterInstance", `"instances":[`+loanInstance("10.0.0.1", "")+","+
		strings.Replace(loanInstance("10.0.0.2", ""), "DEFAULT", "shanghai", 1)+","+strings.Replace(loanInstance("10.0.0.3", ""), `"enabled":true`, `"enabled":false`, 1)+`]`))
	for _, q := range []struct{ more, want string }{
		{`"cluster":""`, "10.0.0.1:8080 10.0.0.2:8080 "},
		{`"cluster":"shanghai","healthyOnly":true`, "10.0.0.2:8080 "},
		{`"cluster":"DEFAULT,shanghai","healthyOnly":false,"udpPort":0`, "10.0.0.1:8080 10.0.0.2:8080 "},
		{`"cluster":"nowhere"`, ""},
	} {
		a := c.must("ServiceQueryRequest", about1("", q.more))
		if got := serviceIn(t, a.body); a.kind != "QueryServiceResponse" || got.addresses() != q.want {
			t.Errorf("%s: %s %s", q.more, a.kind, got.addresses())
		}
	}
	if got := serviceIn(t, c.must("ServiceQueryRequest", `{"serviceName":"nobody"}`).body); got.Hosts == nil || len(got.Hosts) != 0 {
		t.Errorf("an unknown service: %+v", got)
	}
	for n := range 5 {
		c.must("InstanceRequest", fmt.Sprintf(`{"serviceName":"s%d","groupName":"RISK","type":"registerInstance","instance":{"ip":"10.0.0.1","port":1}}`, n))
	}
	a := c.must("ServiceListRequest", `{"namespace":"","groupName":"RISK","pageNo":2,"pageSize":2,"selector":""}`)
	if a.kind != "ServiceListResponse" || a.number("count") != 5 || fmt.Sprint(a.body["serviceNames"]) != "[s2 s3]" {
		t.Errorf("%+v", a)
	}
	if a := c.must("ServiceListRequest", `{"groupName":"RISK","pageNo":9,"pageSize":2}`); fmt.Sprint(a.body["serviceNames"]) != "[]" {
		t.Errorf("%+v", a)
	}
}

func TestClustersAreFollowedApart(t *testing.T) {
	g := serveGRPC(t, false, nil, nil)
	c, provider := g.connect(), g.connect()
	c.must("SubscribeServiceRequest", strings.Replace(subscribeLoan, `"clusters":""`, `"clusters":"shanghai"`, 1))
	provider.must("BatchInstanceRequest", about1("batchRegisterInstance", `"instances":[`+loanInstance("10.0.0.1", "")+","+
		strings.Replace(loanInstance("10.0.0.2", ""), "DEFAULT", "shanghai", 1)+`]`))
	if got := c.nextService("10.0.0.2:8080 "); got.Clusters != "shanghai" {
		t.Errorf("%+v", got)
	}
	c.must("SubscribeServiceRequest", subscribeLoan)
	c.nextService("10.0.0.1:8080 10.0.0.2:8080 ")
}

// A drain waits until Nacos's clients have acknowledged, and is told again what was not acknowledged.
func TestPushesAreAcknowledgedAndSentAgain(t *testing.T) {
	g := serveGRPC(t, false, func(p *pace) { p.tick, p.ack = 5*time.Millisecond, 20*time.Millisecond }, nil)
	consumer, provider := g.connect(), g.connect()
	consumer.must("SubscribeServiceRequest", subscribeLoan)
	provider.must("InstanceRequest", about1("registerInstance", `"instance":`+loanInstance("10.0.0.1", "")))
	consumer.nextService("10.0.0.1:8080 ")
	loan := instance.Service{Name: "loan"}.Normal()
	snapshot := g.Instances.Lookup(loan)
	if n, acknowledged := g.Instances.AwaitAcknowledged(t.Context(), loan, snapshot.Revision); n != 1 || acknowledged != 1 {
		t.Errorf("%d of %d acknowledged", acknowledged, n)
	}
	consumer.mute.Store(true)
	provider.must("InstanceRequest", about1("registerInstance", `"instance":`+loanInstance("10.0.0.2", "")))
	for range 3 {
		consumer.nextService("10.0.0.2:8080 ")
	}
	snapshot = g.Instances.Lookup(loan)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if n, acknowledged := g.Instances.AwaitAcknowledged(ctx, loan, snapshot.Revision); n != 1 || acknowledged != 0 {
		t.Errorf("%d of %d acknowledged by a client that is mute", acknowledged, n)
	}
	consumer.mute.Store(false)
	if n, acknowledged := g.Instances.AwaitAcknowledged(t.Context(), loan, snapshot.Revision); n != 1 || acknowledged != 1 {
		t.Errorf("%d of %d acknowledged in the end", acknowledged, n)
	}
}

func TestAPushIsEncodedOnce(t *testing.T) {
	g := serveGRPC(t, false, nil, nil)
	c := g.connect()
	c.must("InstanceRequest", about1("registerInstance", `"instance":`+loanInstance("10.0.0.1", "")))
	snapshot := g.Instances.Lookup(instance.Service{Name: "loan"}.Normal())
	if first, second := g.connections.noticeOf(snapshot, ""), g.connections.noticeOf(snapshot, ""); first != second {
		t.Error("encoded twice")
	}
}
