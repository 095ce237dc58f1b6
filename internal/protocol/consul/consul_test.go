package consul_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/instance"
	"github.com/gantry-platform/gantry/internal/protocol/consul"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
	"github.com/gantry-platform/gantry/internal/state/statetest"
)

// node is a handler on a state of its own, behind a real HTTP server.
type node struct {
	t        testing.TB
	url      string
	registry *instance.Registry
	handler  *consul.Handler
	leave    context.CancelFunc
}

func start(t testing.TB, authentication bool) *node {
	t.Helper()
	store := statetest.New(t)
	manager, err := access.New(access.Options{Store: store, Registerer: prometheus.NewRegistry(), Disabled: !authentication})
	if err != nil {
		t.Fatal(err)
	}
	registry := instance.New(instance.Options{Store: store, NamedProtocol: consul.Protocol})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := store.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if err := registry.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { registry.Close() })
	leaving, leave := context.WithCancel(context.Background())
	handler := consul.New(consul.Options{Instances: registry, Access: manager, Node: "gantry",
		Nodes: func() []string { return []string{"127.0.0.1:8848"} }, Version: "test"})
	server := httptest.NewServer(edge.Namespaces(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r.WithContext(edge.WithLeaving(r.Context(), leaving)))
	})))
	t.Cleanup(server.Close)
	return &node{t: t, url: server.URL, registry: registry, handler: handler, leave: leave}
}

// call asks the server and returns the answer, with its body read.
func (n *node) call(method, path, body string, headers ...string) (*http.Response, string) {
	n.t.Helper()
	request, err := http.NewRequest(method, n.url+path, strings.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		n.t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return response, string(answer)
}

// get asks for JSON and fails the test when there is none.
func (n *node) get(path string, into any) http.Header {
	n.t.Helper()
	response, body := n.call(http.MethodGet, path, "")
	if response.StatusCode != http.StatusOK {
		n.t.Fatalf("GET %s: %s %s", path, response.Status, body)
	}
	if err := json.Unmarshal([]byte(body), into); err != nil {
		n.t.Fatalf("GET %s: %v in %s", path, err, body)
	}
	return response.Header
}

func (n *node) put(path, body string) {
	n.t.Helper()
	if response, answer := n.call(http.MethodPut, path, body); response.StatusCode != http.StatusOK {
		n.t.Fatalf("PUT %s: %s %s", path, response.Status, answer)
	}
}

func TestErrorsAreTexts(t *testing.T) {
	n := start(t, false)
	for _, c := range []struct {
		method, path string
		status       int
		text         string
	}{
		{"GET", "/v1/nothing", 404, "Invalid path"},
		{"POST", "/v1/status/leader", 405, "method POST not allowed"},
		{"GET", "/v1/status/leader?dc=dc2", 500, "No path to datacenter"},
		{"GET", "/v1/status/leader?index=x", 400, "Invalid index"},
		{"GET", "/v1/status/leader?index=-1", 400, "Invalid index"},
		{"GET", "/v1/status/leader?wait=long", 400, "Invalid wait time"},
		{"GET", "/v1/status/leader?partition=other", 400, "Partitions are a Consul Enterprise feature"},
		{"GET", "/v1/status/leader?stale&consistent", 400, "conflicting semantics"},
		{"GET", "/v1/status/leader?ns=a%2Fb", 400, "is not a namespace"},
		{"GET", "/v1/status/leader?near=" + strings.Repeat("n", 17<<10), 413, "a query of"},
		{"GET", "/v1/status/leader", 200, `"127.0.0.1:8848"`},
		{"GET", "/v1/status/peers?dc=dc1&wait=10s", 200, `["127.0.0.1:8848"]`},
	} {
		response, body := n.call(c.method, c.path, "")
		if response.StatusCode != c.status || !strings.Contains(body, c.text) {
			t.Errorf("%s %.40s: %s %s, want %d %s", c.method, c.path, response.Status, body, c.status, c.text)
		}
	}
}

func TestUnknownTokensAreRefused(t *testing.T) {
	n := start(t, true)
	for name, headers := range map[string][]string{"token": {"X-Consul-Token", "wrong"}, "bearer": {"Authorization", "Bearer wrong"}} {
		if response, body := n.call("GET", "/v1/status/leader", "", headers...); response.StatusCode != 403 || body != "ACL not found" {
			t.Errorf("%s: %s %q", name, response.Status, body)
		}
	}
	if response, body := n.call("GET", "/v1/status/leader?token=wrong", ""); response.StatusCode != 403 || body != "ACL not found" {
		t.Errorf("parameter: %s %q", response.Status, body)
	}
}
