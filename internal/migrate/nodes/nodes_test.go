// Package nodes_test mirrors between whole Gantry nodes, of which one speaks another system's language. It stands apart from the package that
// it tests so that fuzzing that one does not carry a server.
package nodes_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"go.uber.org/goleak"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/migrate"
	"github.com/gantry-platform/gantry/internal/server"
	"github.com/gantry-platform/gantry/internal/state/statetest"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
	"github.com/gantry-platform/gantry/sdk/api/gantry/v1/gantryv1connect"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, statetest.LeakOptions()...) }

// node is a Gantry node in the process: the target, or a source that speaks another system's language.
type node struct {
	t         testing.TB
	address   string
	instances gantryv1connect.InstanceServiceClient
}

func startNode(t testing.TB) *node {
	t.Helper()
	env := map[string]string{"GANTRY_DEV": "true", "GANTRY_HTTP_LISTEN": "127.0.0.1:0", "GANTRY_GRPC_LISTEN": "127.0.0.1:0", "GANTRY_MINIMUM_FREE": "1", "GANTRY_NAME": "n1"}
	settings, err := server.Load("", func(name string) string { return env[name] }, nil)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s, err := server.Start(t.Context(), settings, server.Options{Version: "test", Log: &log})
	if err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		s.Shutdown(ctx)
	})
	n := &node{t: t, address: "http://" + s.HTTPAddress()}
	n.instances = gantryv1connect.NewInstanceServiceClient(&http.Client{Transport: transport}, n.address)
	return n
}

func (n *node) connection() migrate.Connection {
	u, err := url.Parse(n.address)
	if err != nil {
		n.t.Fatal(err)
	}
	return migrate.Connection{URL: u}
}

// call sends a request of another system's language.
func (n *node) call(method, path, body string) {
	n.t.Helper()
	request, err := http.NewRequest(method, n.address+path, strings.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		n.t.Fatal(err)
	}
	defer response.Body.Close()
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	if response.StatusCode/100 != 2 {
		n.t.Fatalf("%s %s: %s", method, path, response.Status)
	}
}

func (n *node) provide(service, address string, port uint32, metadata map[string]string) {
	n.t.Helper()
	_, err := n.instances.Register(n.t.Context(), &gantryv1.RegisterRequest{Service: &gantryv1.ServiceRef{Service: service}, Instance: &gantryv1.Instance{Address: address, Port: port,
		Metadata: metadata, Persistent: true, Labels: map[string]string{"lane": "blue"}}})
	if err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) withdraw(service, id string) {
	n.t.Helper()
	if _, err := n.instances.Deregister(n.t.Context(), &gantryv1.DeregisterRequest{Service: &gantryv1.ServiceRef{Service: service}, Id: id}); err != nil {
		n.t.Fatal(err)
	}
}

// all are the instances of the default namespace.
func (n *node) all() []*gantryv1.Instance {
	n.t.Helper()
	var all []*gantryv1.Instance
	for token := ""; ; {
		page, err := n.instances.ListInstances(context.Background(), &gantryv1.ListInstancesRequest{Service: &gantryv1.ServiceRef{Namespace: "default"}, PageSize: 1000, PageToken: token})
		if err != nil {
			n.t.Fatal(err)
		}
		all = append(all, page.GetInstances()...)
		if token = page.GetNextPageToken(); token == "" {
			return all
		}
	}
}

// shows waits until the node has exactly these: "service address:port", with " from kind" for copies.
func (n *node) shows(what string, want ...string) {
	n.t.Helper()
	slices.Sort(want)
	var got []string
	eventually(n.t, func() bool {
		got = nil
		for _, i := range n.all() {
			name := fmt.Sprintf("%s/%s %s:%d", i.GetService().GetGroup(), i.GetService().GetService(), i.GetAddress(), i.GetPort())
			if from := i.GetMetadata()[migrate.MarkFrom]; from != "" {
				name += " from " + from
			}
			got = append(got, strings.TrimPrefix(name, "default/"))
		}
		slices.Sort(got)
		return slices.Equal(got, want)
	}, func() string { return fmt.Sprintf("%s: %v, want %v", what, got, want) })
}

func eventually(t testing.TB, holds func() bool, what func() string) {
	t.Helper()
	atMost := time.After(2 * time.Minute) // the machine may have much else to do
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for !holds() {
		select {
		case <-ticker.C:
		case <-atMost:
			t.Fatal(what())
		}
	}
}

// explainTest reads a fault from what a node answered.
func explainTest(err error) *fault.Error {
	err = migrate.Explained(err)
	if f, ok := fault.As(err); ok {
		return f
	}
	var answered *connect.Error
	if errors.As(err, &answered) {
		code := map[connect.Code]fault.Code{connect.CodeInvalidArgument: fault.Invalid, connect.CodeNotFound: fault.NotFound, connect.CodeUnavailable: fault.Unavailable,
			connect.CodePermissionDenied: fault.Forbidden, connect.CodeAborted: fault.Conflict, connect.CodeFailedPrecondition: fault.Precondition}[answered.Code()]
		return fault.New(code, "test", "%s", answered.Message())
	}
	return fault.From(err)
}

// runMirror runs a mirror until stop is called, which checks how it ended.
func runMirror(t testing.TB, source, gantry migrate.Registry, by string) (m *migrate.Mirror, stop func()) {
	t.Helper()
	m = &migrate.Mirror{Source: source, Gantry: gantry, By: by, Explain: explainTest, Tell: func(e migrate.Event) { t.Logf("%s %s %s %v", e.Side, e.Kind, e.Subject, e.Err) }}
	m.Prepare()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		source.Close()
	}
	t.Cleanup(stop)
	return m, stop
}

func TestMirrorWithANodeThatSpeaksNacos(t *testing.T) {
	there, here := startNode(t), startNode(t)
	there.call("POST", "/nacos/v1/ns/instance?serviceName=loan&ip=10.0.0.1&port=8080&clusterName=north&weight=3&ephemeral=false&metadata="+url.QueryEscape(`{"version":"v1","team":"a"}`), "")
	there.call("POST", "/nacos/v1/ns/instance?serviceName=RISK%40%40rules&ip=10.0.0.2&port=8081&ephemeral=false", "")
	there.call("POST", "/nacos/v1/ns/instance?serviceName=loan&ip=10.0.0.3&port=8080&ephemeral=false&enabled=false", "")
	here.provide("fund", "10.0.1.1", 9090, map[string]string{"owner": "ann"})
	source, namespaces, err := migrate.NacosRegistry(t.Context(), there.connection(), migrate.NewNamespaces(map[string]string{"public": "default"}), nil, 200*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(namespaces, []string{"default"}) {
		t.Errorf("namespaces %v", namespaces)
	}
	_, stop := runMirror(t, source, migrate.NewGantry(here.instances, "nacos", namespaces), "nacos:8848")
	here.shows("here", "fund 10.0.1.1:9090", "loan 10.0.0.1:8080 from nacos", "RISK/rules 10.0.0.2:8081 from nacos")
	there.shows("there", "fund 10.0.1.1:9090 from gantry", "loan 10.0.0.1:8080", "loan 10.0.0.3:8080", "RISK/rules 10.0.0.2:8081")
	for _, i := range here.all() {
		if i.GetService().GetService() == "loan" && (i.GetWeight() != 3 || i.GetLabels()["cluster"] != "north" || i.GetLabels()["version"] != "v1" || i.GetMetadata()["team"] != "a") {
			t.Errorf("loan became %v", i)
		}
	}
	for _, i := range there.all() {
		if i.GetService().GetService() == "fund" && (i.GetMetadata()["owner"] != "ann" || i.GetMetadata()["lane"] != "blue" || i.GetProtocol() != "nacos") {
			t.Errorf("fund became %v", i)
		}
	}
	// A change that leaves the counts as they are, one that goes, and one that moves over to the very place of its copy.
	there.call("PUT", "/nacos/v1/ns/instance?serviceName=loan&ip=10.0.0.3&port=8080&ephemeral=false&enabled=true", "")
	here.shows("here", "fund 10.0.1.1:9090", "loan 10.0.0.1:8080 from nacos", "loan 10.0.0.3:8080 from nacos", "RISK/rules 10.0.0.2:8081 from nacos")
	there.call("DELETE", "/nacos/v1/ns/instance?serviceName=RISK%40%40rules&ip=10.0.0.2&port=8081&ephemeral=false", "")
	here.shows("here", "fund 10.0.1.1:9090", "loan 10.0.0.1:8080 from nacos", "loan 10.0.0.3:8080 from nacos")
	there.call("POST", "/nacos/v1/ns/instance?serviceName=fund&ip=10.0.1.1&port=9090&ephemeral=false&metadata="+url.QueryEscape(`{"own":"yes"}`), "")
	there.shows("there", "fund 10.0.1.1:9090", "loan 10.0.0.1:8080", "loan 10.0.0.3:8080")
	here.shows("here", "fund 10.0.1.1:9090", "loan 10.0.0.1:8080 from nacos", "loan 10.0.0.3:8080 from nacos")
	stop()
	there.shows("there after the end", "fund 10.0.1.1:9090", "loan 10.0.0.1:8080", "loan 10.0.0.3:8080")
	here.shows("here after the end", "fund 10.0.1.1:9090")
}

func TestAMirrorTakesUpWhatItsLastRunLeft(t *testing.T) {
	there, here := startNode(t), startNode(t)
	here.provide("fund", "10.0.1.1", 9090, nil)
	registry := func() migrate.Registry {
		r, _, err := migrate.NacosRegistry(t.Context(), there.connection(), migrate.NewNamespaces(map[string]string{"public": "default"}), nil, 200*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	left := registry()
	for _, copied := range []migrate.Instance{{Address: "10.0.1.1", Port: 9090, Weight: 1}, {Address: "10.0.1.2", Port: 9090, Weight: 1}} {
		copied.Metadata = map[string]string{migrate.MarkFrom: "gantry", migrate.MarkBy: "nacos:8848"}
		c := migrate.Copy{Service: migrate.Service{Namespace: "default", Group: "default", Name: "fund"}, Instance: copied}
		if errs := left.Register(t.Context(), []migrate.Copy{c}); errs[0] != nil {
			t.Fatal(errs[0])
		}
	}
	// A provider's place is left to it, whether it comes before the copy or after.
	there.provide("risk", "10.0.2.1", 9090, nil)
	c := migrate.Copy{Service: migrate.Service{Namespace: "default", Group: "default", Name: "risk"}, Instance: migrate.Instance{Address: "10.0.2.1", Port: 9090, Weight: 1,
		Metadata: map[string]string{migrate.MarkFrom: "gantry", migrate.MarkBy: "nacos:8848"}}}
	for _, errs := range [][]error{left.Register(t.Context(), []migrate.Copy{c}), left.Remove(t.Context(), []migrate.Copy{c})} {
		if errs[0] != nil {
			t.Fatal(errs[0])
		}
		there.shows("with a provider", "fund 10.0.1.1:9090 from gantry", "fund 10.0.1.2:9090 from gantry", "risk 10.0.2.1:9090")
	}
	there.withdraw("risk", "10.0.2.1:9090")
	left.Close()
	there.shows("before", "fund 10.0.1.1:9090 from gantry", "fund 10.0.1.2:9090 from gantry")
	_, stop := runMirror(t, registry(), migrate.NewGantry(here.instances, "nacos", []string{"default"}), "nacos:8848")
	there.shows("with the mirror", "fund 10.0.1.1:9090 from gantry")
	stop()
	there.shows("after the end")
	here.shows("here", "fund 10.0.1.1:9090")
}
