package consul_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/internal/instance"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

var loan = instance.Service{Namespace: "default", Group: "default", Name: "loan"}

type check struct{ CheckID, Name, Status, Output, Notes, Type, ServiceID, Node string }

type service struct {
	ID, Service, Address string
	Port                 int
	Tags                 []string
	Meta                 map[string]string
	Weights              struct{ Passing, Warning int }
	ContentHash          string
}

type entry struct {
	Node struct {
		Node, Address, Datacenter string
		Meta                      map[string]string
	}
	Service service
	Checks  []check
}

func (n *node) entries(path string) []entry {
	n.t.Helper()
	var all []entry
	n.get(path, &all)
	return all
}

// statuses are the checks of a service by id.
func (n *node) statuses(name string) map[string]string {
	n.t.Helper()
	var all []check
	n.get("/v1/health/checks/"+name, &all)
	statuses := map[string]string{}
	for _, c := range all {
		statuses[c.CheckID] = c.Status
	}
	return statuses
}

func TestARegistrationIsAnInstanceOfEverybody(t *testing.T) {
	n := start(t, false)
	n.put("/v1/agent/service/register", `{"Name":"loan","ID":"loan-1","Address":"10.0.0.1","Port":8080,"Tags":["blue","v1"],"Meta":{"version":"v1","owner":"risk"},
		"Weights":{"Passing":10,"Warning":2},"EnableTagOverride":true,"Check":{"TTL":"15s","Status":"passing"}}`)
	i := n.registry.Instance(loan, "loan-1")
	if i == nil || i.Address != "10.0.0.1" || i.Port != 8080 || i.Weight != 10 || i.Labels.Get("version") != "v1" || i.Metadata.Get("owner") != "risk" || !i.Persistent ||
		i.Protocol != "consul" || i.Health != gantryv1.Health_HEALTH_HEALTHY {
		t.Fatalf("%+v", i)
	}
	found := n.entries("/v1/health/service/loan?passing")
	if len(found) != 1 || found[0].Service.ID != "loan-1" || found[0].Service.Weights.Passing != 10 || found[0].Service.Weights.Warning != 2 ||
		strings.Join(found[0].Service.Tags, " ") != "blue v1" || found[0].Service.Meta["owner"] != "risk" || found[0].Node.Node != "gantry" || found[0].Node.Datacenter != "dc1" {
		t.Fatalf("%+v", found)
	}
	var services map[string][]string
	n.get("/v1/catalog/services", &services)
	if strings.Join(services["loan"], " ") != "blue v1" || services["consul"] == nil {
		t.Fatalf("%v", services)
	}
	for path, want := range map[string]int{"?tag=blue": 1, "?tag=blue&tag=V1": 1, "?tag=red": 0, "?filter=" + escape(`ServiceMeta.owner == risk and "v1" in ServiceTags`): 1,
		"?filter=" + escape(`ServicePort != 8080`): 0, "?node-meta=no:such": 0, "?near=_agent": 1} {
		var all []map[string]any
		if n.get("/v1/catalog/service/loan"+path, &all); len(all) != want {
			t.Errorf("%s: %d, want %d", path, len(all), want)
		}
	}
	n.put("/v1/agent/service/deregister/loan-1", "")
	if n.registry.Lookup(loan) != nil || len(n.entries("/v1/health/service/loan")) != 0 {
		t.Fatal("it is still there")
	}
	if response, body := n.call("PUT", "/v1/agent/service/deregister/loan-1", ""); response.StatusCode != 404 || !strings.Contains(body, "Unknown service ID") {
		t.Errorf("deregistered again: %s %s", response.Status, body)
	}
}

func escape(s string) string {
	return strings.NewReplacer(" ", "%20", `"`, "%22", "=", "%3D", "!", "%21").Replace(s)
}

func TestOthersInstancesAreServicesOfConsul(t *testing.T) {
	n := start(t, false)
	register := func(protocol, id, address string, set func(*gantryv1.Instance)) {
		m := &gantryv1.Instance{Id: id, Address: address, Port: 80, Labels: map[string]string{"version": "v2"}, Persistent: true}
		if set != nil {
			set(m)
		}
		if _, err := n.registry.Register(t.Context(), instance.Registration{Service: loan, Instance: m, Protocol: protocol}); err != nil {
			t.Fatal(err)
		}
	}
	register("nacos", "a", "10.0.0.1", nil)
	register("eureka", "b", "10.0.0.2", func(m *gantryv1.Instance) { m.Status = gantryv1.Status_STATUS_DOWN })
	register("nacos", "c", "10.0.0.3", nil)
	if _, err := n.registry.SetHealth(t.Context(), loan, "c", false, "says so"); err != nil {
		t.Fatal(err)
	}
	found := n.entries("/v1/health/service/loan?passing")
	if len(found) != 1 || found[0].Service.ID != "a" || found[0].Service.Address != "10.0.0.1" || strings.Join(found[0].Service.Tags, " ") != "version=v2" || found[0].Service.Meta["version"] != "v2" {
		t.Fatalf("%+v", found)
	}
	if all := n.entries("/v1/health/service/loan"); len(all) != 3 {
		t.Fatalf("%+v", all)
	}
	if s := n.statuses("loan"); s["service:a"] != "passing" || s["_service_maintenance:b"] != "critical" || s["service:c"] != "critical" {
		t.Fatalf("%v", s)
	}
	var agent map[string]service
	if n.get("/v1/agent/services", &agent); len(agent) != 0 {
		t.Errorf("the agent has %v", agent)
	}
	if _, err := n.registry.Register(t.Context(), instance.Registration{Service: instance.Service{Group: "bank", Name: "fund"}, Instance: &gantryv1.Instance{Address: "10.0.0.9"}}); err != nil {
		t.Fatal(err)
	}
	if all := n.entries("/v1/health/service/bank@@fund"); len(all) != 1 {
		t.Errorf("of another group: %+v", all)
	}
}

func TestChecksOfAService(t *testing.T) {
	n := start(t, false)
	n.put("/v1/agent/service/register", `{"name":"loan","port":1,"address":"127.0.0.1","checks":[{"ttl":"20s","name":"own"},{"tcp":"localhost:1","interval":"1s","check_id":"port","deregister_critical_service_after":"10s"}]}`)
	if s := n.statuses("loan"); len(s) != 2 || s["service:loan:1"] != "critical" || s["port"] != "critical" {
		t.Fatalf("%v", s)
	}
	i := n.registry.Instance(loan, "loan")
	if after := i.Checks[1].DeregisterAfter.AsDuration(); after != time.Minute {
		t.Errorf("deregistered after %v", after)
	}
	for _, c := range []struct{ path, body, status, output string }{
		{"pass/service:loan:1?note=fine", "", "passing", "fine"},
		{"warn/service:loan:1?note=slow", "", "warning", "slow"},
		{"fail/service:loan:1", "", "critical", ""},
		{"update/service:loan:1", `{"Status":"passing","Output":"again"}`, "passing", "again"},
	} {
		n.put("/v1/agent/check/"+c.path, c.body)
		var all map[string]check
		n.get("/v1/agent/checks", &all)
		if got := all["service:loan:1"]; got.Status != c.status || got.Output != c.output || got.Name != "own" || got.Type != "ttl" || got.ServiceID != "loan" {
			t.Errorf("%s: %+v", c.path, got)
		}
	}
	for path, c := range map[string]struct {
		body   string
		status int
		text   string
	}{
		"pass/service:nobody":                  {"", 404, "Unknown check ID"},
		"pass/port":                            {"", 409, "is made by the server"},
		"update/service:loan:1":                {`{"Status":"fluffy"}`, 400, "Invalid check status"},
		"register":                             {`{"Name":"x","ServiceID":"nobody","TTL":"10s"}`, 404, "Unknown service ID"},
		"register?":                            {`{"Name":"x","Args":["sh"],"Interval":"10s"}`, 400, "Scripts are not run"},
		"register?a":                           {`{"Name":"x","HTTP":"http://localhost"}`, 400, "Interval must be > 0"},
		"register?b":                           {`{"Name":"x","HTTP":"ftp://localhost","Interval":"10s"}`, 400, "is not a URL"},
		"register?c":                           {`{"Name":"x","TTL":"nope"}`, 400, "invalid duration"},
		"register?d":                           {`{"Name":"x","ServiceID":"loan"}`, 400, "TTL must be > 0"},
		"register?e":                           {`{`, 400, "Request decode failed"},
		"register?f":                           {`{"Name":"x","TTL":"10s","Notes":"` + strings.Repeat("n", maxBody) + `"}`, 413, "the body has more than"},
		"deregister/nobody":                    {"", 404, "Unknown check ID"},
		"deregister/" + strings.Repeat("%", 3): {"", 400, ""},
	} {
		if response, body := n.call("PUT", "/v1/agent/check/"+strings.ReplaceAll(path, "%%%", "%25"), c.body); response.StatusCode != c.status && !strings.Contains(path, "%") || !strings.Contains(body, c.text) {
			t.Errorf("%s: %s %s, want %d %s", path, response.Status, body, c.status, c.text)
		}
	}
	n.put("/v1/agent/check/register", `{"Name":"further","ServiceID":"loan","TTL":"1m","Status":"passing","Notes":"by hand"}`)
	n.put("/v1/agent/service/register", `{"Name":"loan","Port":1,"Address":"127.0.0.1","Check":{"TTL":"20s"}}`)
	if s := n.statuses("loan"); len(s) != 4 || s["further"] != "passing" {
		t.Errorf("a registration took checks that were there: %v", s)
	}
	n.put("/v1/agent/service/register?replace-existing-checks=true", `{"Name":"loan","Port":1,"Address":"127.0.0.1","Check":{"TTL":"20s"}}`)
	if s := n.statuses("loan"); len(s) != 1 || s["service:loan"] != "critical" {
		t.Errorf("after a registration that replaces: %v", s)
	}
	n.put("/v1/agent/check/deregister/service:loan", "")
	if s := n.statuses("loan"); len(s) != 0 {
		t.Errorf("%v", s)
	}
}

const maxBody = 512 << 10

func TestMaintenanceTakesOutOfTraffic(t *testing.T) {
	n := start(t, false)
	n.put("/v1/agent/service/register", `{"Name":"loan","Address":"127.0.0.1","Port":1}`)
	n.put("/v1/agent/service/maintenance/loan?enable=true&reason=moving", "")
	if i := n.registry.Instance(loan, "loan"); i.Health != gantryv1.Health_HEALTH_UNHEALTHY {
		t.Fatalf("to others it is %v", i.Health)
	}
	var all map[string]check
	n.get("/v1/agent/checks", &all)
	if c := all["_service_maintenance:loan"]; c.Status != "critical" || c.Notes != "moving" || c.Type != "maintenance" {
		t.Fatalf("%+v", all)
	}
	n.put("/v1/agent/service/register", `{"Name":"loan","Address":"127.0.0.1","Port":2}`)
	response, body := n.call("GET", "/v1/agent/health/service/id/loan?format=text", "")
	if response.StatusCode != 503 || body != "maintenance" {
		t.Errorf("%s %s", response.Status, body)
	}
	n.put("/v1/agent/service/maintenance/loan?enable=false", "")
	if response, body = n.call("GET", "/v1/agent/health/service/name/loan?format=text", ""); response.StatusCode != 200 || body != "passing" {
		t.Errorf("%s %s", response.Status, body)
	}
	if response, _ = n.call("GET", "/v1/agent/health/service/id/nobody", ""); response.StatusCode != 404 {
		t.Errorf("%s", response.Status)
	}
	if response, body = n.call("PUT", "/v1/agent/maintenance?enable=true", ""); response.StatusCode != 501 {
		t.Errorf("%s %s", response.Status, body)
	}
}

func TestTheSameIDAtTwoAddresses(t *testing.T) {
	n := start(t, false)
	body := func(address string, port int) string {
		return fmt.Sprintf(`{"Name":"loan","ID":"loan-8080","Address":%q,"Port":%d,"Check":{"TTL":"1m"}}`, address, port)
	}
	for range 2 {
		n.put("/v1/agent/service/register", body("10.0.0.1", 8080))
		n.put("/v1/agent/service/register", body("10.0.0.2", 8080))
		n.put("/v1/agent/service/register", body("127.0.0.1", 8080))
	}
	ids := func() (ids []string) {
		for _, i := range n.registry.Lookup(loan).Instances {
			ids = append(ids, i.ID)
		}
		return ids
	}
	if got := fmt.Sprint(ids()); got != "[loan-8080 loan-8080@10.0.0.2:8080 loan-8080@127.0.0.1:8080]" {
		t.Fatal(got)
	}
	for _, e := range n.entries("/v1/health/service/loan") {
		if e.Service.ID != "loan-8080" {
			t.Errorf("shown as %s", e.Service.ID)
		}
	}
	n.put("/v1/agent/check/pass/service:loan-8080", "") // the caller's own
	if found := n.entries("/v1/health/service/loan?passing"); len(found) != 1 || found[0].Service.Address != "127.0.0.1" {
		t.Fatalf("%+v", found)
	}
	n.put("/v1/agent/service/register", body("127.0.0.1", 9090)) // on another port now
	if got := fmt.Sprint(ids()); got != "[loan-8080 loan-8080@10.0.0.2:8080 loan-8080@127.0.0.1:9090]" {
		t.Fatal(got)
	}
	n.put("/v1/agent/service/deregister/loan-8080", "")
	if response, answer := n.call("PUT", "/v1/agent/service/deregister/loan-8080", ""); response.StatusCode != 409 {
		t.Fatalf("one of two that are not the caller's: %s %s", response.Status, answer)
	}
	n.put("/v1/agent/service/deregister/loan-8080@10.0.0.2:8080", "")
	n.put("/v1/agent/service/deregister/loan-8080", "")
	if n.registry.Lookup(loan) != nil {
		t.Fatal(ids())
	}
}

func TestAServiceIsHeldUntilItsHashChanges(t *testing.T) {
	n := start(t, false)
	n.put("/v1/agent/service/register", `{"Name":"loan","Port":1}`)
	var s service
	header := n.get("/v1/agent/service/loan", &s)
	if s.ContentHash == "" || header.Get("X-Consul-ContentHash") != s.ContentHash || s.Address != "" || s.Meta == nil {
		t.Fatalf("%+v", s)
	}
	began := time.Now()
	if n.get("/v1/agent/service/loan?wait=50ms&hash="+s.ContentHash, &s); time.Since(began) < 50*time.Millisecond {
		t.Error("it did not wait")
	}
	answered := make(chan service, 1)
	go func() {
		var next service
		n.get("/v1/agent/service/loan?hash="+s.ContentHash, &next)
		answered <- next
	}()
	n.put("/v1/agent/service/register", `{"Name":"loan","Port":2}`)
	if next := <-answered; next.Port != 2 || next.ContentHash == s.ContentHash {
		t.Errorf("%+v", next)
	}
}

func TestBlockingQueries(t *testing.T) {
	n := start(t, false)
	n.put("/v1/agent/service/register", `{"Name":"loan","Port":1}`)
	for _, path := range []string{"/v1/health/service/loan", "/v1/health/service/nobody", "/v1/catalog/services", "/v1/catalog/nodes", "/v1/health/state/any", "/v1/catalog/node/gantry"} {
		var answer any
		before := n.get(path, &answer).Get("X-Consul-Index")
		if before == "" || before == "0" {
			t.Fatalf("%s: index %q", path, before)
		}
		if after := n.get(path+"?wait=20ms&index="+before, &answer).Get("X-Consul-Index"); after != before {
			t.Errorf("%s: index %s, and nothing changed since %s", path, after, before)
		}
		done := make(chan string, 1)
		go func() { done <- n.get(path+"?wait=1m&index="+before, &answer).Get("X-Consul-Index") }()
		name := "loan"
		if strings.Contains(path, "nobody") {
			name = "nobody"
		}
		n.put("/v1/agent/service/register", fmt.Sprintf(`{"Name":%q,"Port":%d}`, name, 100+len(path)))
		if after := <-done; after == before {
			t.Errorf("%s: it answered with the index of before", path)
		}
		if name == "nobody" {
			n.put("/v1/agent/service/deregister/nobody", "")
		}
	}
}

func TestBlockingQueriesEndWithTheServer(t *testing.T) {
	n := start(t, false)
	var answer any
	before := n.get("/v1/catalog/services", &answer).Get("X-Consul-Index")
	done := make(chan string, 1)
	go func() { done <- n.get("/v1/catalog/services?wait=5m&index="+before, &answer).Get("X-Consul-Index") }()
	n.leave()
	select {
	case after := <-done:
		if after != before {
			t.Errorf("index %s after %s", after, before)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it still waits")
	}
}

func TestNamespacesAreGantrys(t *testing.T) {
	n := start(t, false)
	if err := n.registry.CreateNamespace(context.Background(), "staging", ""); err != nil {
		t.Fatal(err)
	}
	n.put("/v1/agent/service/register?ns=staging", `{"Name":"loan","Port":1}`)
	n.put("/ns/staging/v1/agent/service/register", `{"Name":"risk","Port":1}`)
	for path, want := range map[string]int{"/v1/health/service/loan": 0, "/v1/health/service/loan?ns=staging": 1, "/ns/staging/v1/health/service/risk": 1} {
		if got := len(n.entries(path)); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	if response, body := n.call("PUT", "/v1/agent/service/register?ns=nowhere", `{"Name":"loan"}`); response.StatusCode != 404 || !strings.Contains(body, "there is no namespace") {
		t.Errorf("%s %s", response.Status, body)
	}
}

func TestWithoutATokenNothingIsSaid(t *testing.T) {
	n := start(t, true)
	for _, c := range [][2]string{{"GET", "agent/self"}, {"GET", "agent/services"}, {"GET", "agent/service/x"}, {"GET", "agent/checks"}, {"GET", "agent/members"}, {"GET", "agent/metrics"},
		{"GET", "agent/host"}, {"GET", "agent/health/service/id/x"}, {"GET", "agent/health/service/name/x"}, {"GET", "catalog/nodes"}, {"GET", "catalog/services"}, {"GET", "catalog/service/x"},
		{"GET", "catalog/node/x"}, {"GET", "catalog/node-services/x"}, {"GET", "health/node/x"}, {"GET", "health/checks/x"}, {"GET", "health/service/x"}, {"GET", "health/state/any"},
		{"PUT", "agent/service/register"}, {"PUT", "agent/service/deregister/x"}, {"PUT", "agent/service/maintenance/x"}, {"PUT", "agent/check/register"}, {"PUT", "agent/check/deregister/x"},
		{"PUT", "agent/check/pass/x"}, {"PUT", "catalog/register"}, {"PUT", "catalog/deregister"}} {
		response, body := n.call(c[0], "/v1/"+c[1], `{}`)
		if response.StatusCode != http.StatusForbidden || !strings.HasPrefix(body, "Permission denied") {
			t.Errorf("%s %s: %s %s", c[0], c[1], response.Status, body)
		}
	}
	if response, body := n.call("GET", "/v1/connect/intentions", ""); response.StatusCode != 501 || !strings.Contains(body, "no service mesh") {
		t.Errorf("%s %s", response.Status, body)
	}
}
