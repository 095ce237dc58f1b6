package consul_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gantry-platform/gantry/internal/instance"
)

func TestExternalNodes(t *testing.T) {
	n := start(t, false)
	n.put("/v1/catalog/register", `{"Node":"db1","Address":"10.1.0.1","ID":"e0155642-135d-4739-9853-a1ee6c9f945b","NodeMeta":{"os":"linux"},"TaggedAddresses":{"wan":"198.18.0.1"},
		"Service":{"ID":"pg","Service":"postgres","Port":5432,"Tags":["primary"],"Meta":{"version":"16"}},
		"Checks":[{"CheckID":"alive","Name":"liveness","Status":"passing"},{"CheckID":"pg:up","Name":"up","Status":"passing","ServiceID":"pg","Output":"accepting"}]}`)
	n.put("/v1/catalog/register", `{"Node":"db2","Address":"10.1.0.2","Service":{"ID":"pg","Service":"postgres","Port":5432}}`)
	found := n.entries("/v1/health/service/postgres?passing&node-meta=os:linux")
	if len(found) != 1 || found[0].Node.Node != "db1" || found[0].Node.Address != "10.1.0.1" || found[0].Service.ID != "pg" || found[0].Service.Address != "10.1.0.1" || len(found[0].Checks) != 2 {
		t.Fatalf("%+v", found)
	}
	var nodes []map[string]any
	if n.get("/v1/catalog/nodes?filter="+url.QueryEscape(`Meta.os == linux`), &nodes); len(nodes) != 1 || nodes[0]["Node"] != "db1" || nodes[0]["ID"] != "e0155642-135d-4739-9853-a1ee6c9f945b" {
		t.Fatalf("%v", nodes)
	}
	if n.get("/v1/catalog/nodes", &nodes); len(nodes) != 3 {
		t.Fatalf("%d nodes", len(nodes))
	}
	// A tool says that the node is down: its services are.
	n.put("/v1/catalog/register", `{"Node":"db1","SkipNodeUpdate":true,"Check":{"CheckID":"alive","Status":"critical","Output":"no ping"}}`)
	if found = n.entries("/v1/health/service/postgres?passing"); len(found) != 1 || found[0].Node.Node != "db2" {
		t.Fatalf("%+v", found)
	}
	var checks []check
	if n.get("/v1/health/node/db1", &checks); len(checks) != 2 || checks[0].CheckID != "alive" || checks[0].Output != "no ping" || checks[1].Output != "accepting" || checks[1].Node != "db1" {
		t.Fatalf("%+v", checks)
	}
	if n.get("/v1/health/state/critical", &checks); len(checks) != 1 || checks[0].CheckID != "alive" {
		t.Fatalf("%+v", checks)
	}
	// Another status of a service's check, by itself.
	n.put("/v1/catalog/register", `{"Node":"db2","Address":"10.1.0.2","SkipNodeUpdate":true,"Check":{"CheckID":"pg:up","Status":"warning","ServiceID":"pg"}}`)
	n.put("/v1/catalog/register", `{"Node":"db2","Address":"10.1.0.2","SkipNodeUpdate":true,"Check":{"CheckID":"pg:up","Status":"critical","ServiceID":"pg"}}`)
	if s := n.registry.Instance(instance.Service{Name: "postgres"}, "db2/pg").HealthReason; s != "check pg:up is critical" && s != "not checked yet" {
		t.Errorf("reason %q", s)
	}
	if found = n.entries("/v1/health/service/postgres?passing"); len(found) != 0 {
		t.Fatalf("%+v", found)
	}
	var node struct {
		Node     map[string]any
		Services map[string]service
	}
	if n.get("/v1/catalog/node/db1", &node); node.Services["pg"].Service != "postgres" || len(node.Services) != 1 {
		t.Fatalf("%+v", node)
	}
	n.put("/v1/catalog/deregister", `{"Node":"db2","CheckID":"pg:up"}`)
	if found = n.entries("/v1/health/service/postgres?passing"); len(found) != 1 {
		t.Fatalf("%+v", found)
	}
	n.put("/v1/catalog/deregister", `{"Node":"db2","ServiceID":"pg"}`)
	n.put("/v1/catalog/deregister", `{"Node":"db1"}`)
	n.put("/v1/catalog/deregister", `{"Node":"db1"}`)
	if n.registry.Lookup(instance.Service{Name: "postgres"}) != nil {
		t.Error("services are left")
	}
	if n.get("/v1/catalog/nodes", &nodes); len(nodes) != 2 {
		t.Errorf("%d nodes", len(nodes))
	}
	if response, body := n.call("GET", "/v1/catalog/node/db1", ""); response.StatusCode != 200 || body != "null" {
		t.Errorf("%s %s", response.Status, body)
	}
	for body, text := range map[string]string{`{"Address":"10.0.0.1"}`: "Must provide node", `{"Node":"x"}`: "Must provide node and address",
		`{"Node":"x","Address":"10.0.0.1","Check":{"Status":"passing","CheckID":"a","ServiceID":"nobody"}}`: "there is no service"} {
		if response, answer := n.call("PUT", "/v1/catalog/register", body); response.StatusCode != 400 || !strings.Contains(answer, text) {
			t.Errorf("%s: %s %s", body, response.Status, answer)
		}
	}
	if response, _ := n.call("PUT", "/v1/catalog/deregister", `{"Node":"gantry"}`); response.StatusCode != 400 {
		t.Errorf("the agent's own node: %s", response.Status)
	}
}

// TestAServiceMayComeBeforeItsNode: tools register in any order.
func TestAServiceMayComeBeforeItsNode(t *testing.T) {
	n := start(t, false)
	n.put("/v1/catalog/register", `{"Node":"db1","SkipNodeUpdate":true,"Service":{"Service":"postgres","Address":"10.1.0.9","Port":5432}}`)
	if found := n.entries("/v1/health/service/postgres?passing"); len(found) != 1 || found[0].Node.Node != "db1" {
		t.Fatalf("%+v", found)
	}
	n.put("/v1/catalog/register", `{"Node":"db1","Address":"10.1.0.1","NodeMeta":{"os":"linux"}}`)
	if found := n.entries("/v1/health/service/postgres?passing"); len(found) != 1 || found[0].Node.Address != "10.1.0.1" || found[0].Node.Meta["os"] != "linux" || found[0].Service.Address != "10.1.0.9" {
		t.Fatalf("%+v", found)
	}
}

func TestChecksOfTheAgentsNodeInformAlone(t *testing.T) {
	n := start(t, false)
	n.put("/v1/agent/service/register", `{"Name":"loan","Port":1}`)
	n.put("/v1/agent/check/register", `{"Name":"disk","TTL":"1m","Notes":"of one host"}`)
	var all map[string]check
	if n.get("/v1/agent/checks", &all); all["disk"].Status != "critical" || all["disk"].Node != "gantry" {
		t.Fatalf("%+v", all)
	}
	if found := n.entries("/v1/health/service/loan?passing"); len(found) != 1 {
		t.Fatal("the check of one host took a service of another out of traffic")
	}
	n.put("/v1/agent/check/pass/disk", "")
	n.put("/v1/agent/check/deregister/disk", "")
	all = nil
	if n.get("/v1/agent/checks", &all); len(all) != 0 {
		t.Fatalf("%+v", all)
	}
}

func TestFilters(t *testing.T) {
	n := start(t, false)
	n.put("/v1/agent/service/register", `{"Name":"loan","ID":"a","Port":1,"Tags":["v1","blue"],"Meta":{"owner":"risk"}}`)
	for expression, want := range map[string]int{
		`Service.Meta.owner == risk`: 1, `Service.Meta.owner != risk`: 0, `Service.Meta["owner"] matches "^r.s"`: 1, `"v1" in Service.Tags and not "red" in Service.Tags`: 1,
		`Service.Tags contains blue or Node.Node == nobody`: 1, `Service.Tags is empty`: 0, `Service.Meta is not empty`: 1, `(Service.Port == 1)`: 1, "Service.ID == `a`": 1,
		`Service.Meta.other == x`: 0,
	} {
		if got := len(n.entries("/v1/health/service/loan?filter=" + url.QueryEscape(expression))); got != want {
			t.Errorf("%s: %d, want %d", expression, got, want)
		}
	}
	for _, expression := range []string{`Service.Nothing == 1`, `Service.Port ==`, `Service.ID == invalid-bare-word`, strings.Repeat("(", 65) + "Service.Port == 1" + strings.Repeat(")", 65),
		`Service.ID matches "("`, `Service.ID == "` + strings.Repeat("x", 5000) + `"`} {
		for _, name := range []string{"loan", "nobody"} {
			response, body := n.call("GET", "/v1/health/service/"+name+"?filter="+url.QueryEscape(expression), "")
			if response.StatusCode != 400 || !strings.Contains(body, "Failed to create boolean expression evaluator") {
				t.Errorf("%.40s of %s: %s %s", expression, name, response.Status, body)
			}
		}
	}
}

// The fuzz targets send whatever to a whole handler: it must answer, and never with an internal error.

func fuzzed(t *testing.T, n *node, method, target, body string) {
	t.Helper()
	r, err := http.NewRequest(method, "http://gantry"+target, strings.NewReader(body))
	if err != nil {
		return
	}
	r.RemoteAddr = "127.0.0.1:1"
	w := httptest.NewRecorder()
	n.handler.ServeHTTP(w, r)
	if answer := w.Body.String(); w.Code == http.StatusInternalServerError && !strings.Contains(answer, "No path to datacenter") || !utf8.ValidString(answer) {
		t.Fatalf("%s %s %q: %d %s", method, target, body, w.Code, answer)
	}
}

func FuzzRegistration(f *testing.F) {
	n := start(f, false)
	for _, seed := range []string{
		`{"Name":"loan","ID":"a","Port":1,"Tags":["x"],"Meta":{"version":"v1"},"Weights":{"Passing":1},"Check":{"TTL":"15s"}}`,
		`{"name":"loan","checks":[{"http":"http://localhost:80/x?y","interval":"1s","header":{"A":["b"]}},{"grpc":"h:1/s","interval":1000000000}]}`,
		`{"Name":"a@@b","TaggedAddresses":{"lan":{"Address":"x","Port":1}},"Proxy":{"Config":{"a":[1]}},"Kind":"connect-proxy"}`, `[]`, `{"Name":1}`, `{"Name":"x","Checks":[null]}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		fuzzed(t, n, http.MethodPut, "/v1/agent/service/register", body)
		fuzzed(t, n, http.MethodPut, "/v1/agent/check/register", body)
		fuzzed(t, n, http.MethodPut, "/v1/catalog/register", body)
		fuzzed(t, n, http.MethodPut, "/v1/catalog/deregister", body)
		fuzzed(t, n, http.MethodGet, "/v1/agent/services", "")
	})
}

func FuzzCheckUpdate(f *testing.F) {
	n := start(f, false)
	n.put("/v1/agent/service/register", `{"Name":"loan","Check":{"TTL":"15s"}}`)
	f.Add("service:loan", `{"Status":"passing","Output":"x"}`)
	f.Add("a%2Fb", `{"Status":1}`)
	f.Fuzz(func(t *testing.T, id, body string) {
		fuzzed(t, n, http.MethodPut, "/v1/agent/check/update/"+url.PathEscape(id), body)
		fuzzed(t, n, http.MethodPut, "/v1/agent/check/update/service:loan", body)
		fuzzed(t, n, http.MethodPut, "/v1/agent/check/pass/service:loan?note="+url.QueryEscape(body), "")
	})
}

func FuzzQuery(f *testing.F) {
	n := start(f, false)
	n.put("/v1/agent/service/register", `{"Name":"loan","Tags":["v1"],"Meta":{"a":"b"}}`)
	f.Add(`Service.Meta.a == b and "v1" in Service.Tags`, "index=1&wait=1ms&passing&tag=v1&near=_agent&node-meta=a:b")
	f.Add(`not (Node.Node matches "x.*") or Service.Tags is empty`, "dc=dc1&ns=default&stale&pretty&cached")
	f.Fuzz(func(t *testing.T, filter, query string) {
		if strings.Contains(query, "index") {
			query += "&wait=1ms"
			if values, err := url.ParseQuery(query); err != nil || values.Get("wait") != "1ms" {
				return // it would wait
			}
		}
		for _, path := range []string{"health/service/loan", "catalog/service/loan", "catalog/services", "catalog/nodes", "agent/services", "agent/checks", "health/state/any"} {
			fuzzed(t, n, http.MethodGet, "/v1/"+path+"?"+query+"&filter="+url.QueryEscape(filter), "")
		}
	})
}
