package springconfig_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/policy"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
	"github.com/gantry-platform/gantry/internal/protocol/springconfig"
	"github.com/gantry-platform/gantry/internal/release"
	"github.com/gantry-platform/gantry/internal/state/statetest"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, statetest.LeakOptions()...) }

// node is the rooms that the protocol stands on, and the protocol on an HTTP port.
type node struct {
	t        testing.TB
	access   *access.Manager
	releases *release.Releaser
	http     *httptest.Server
}

func start(t testing.TB, open bool) *node {
	t.Helper()
	s := statetest.New(t)
	n := &node{t: t}
	var err error
	if n.access, err = access.New(access.Options{Store: s, Registerer: prometheus.NewRegistry(), Disabled: open}); err != nil {
		t.Fatal(err)
	}
	keys, err := release.NewKeyring(bytes.Repeat([]byte{7}, release.RootKeySize))
	if err != nil {
		t.Fatal(err)
	}
	if n.releases, err = release.New(release.Options{Store: s, Policy: policy.Standard(), Keys: keys}); err != nil {
		t.Fatal(err)
	}
	statetest.Start(t, s)
	n.releases.Start()
	t.Cleanup(n.releases.Close)
	n.http = httptest.NewServer(edge.Namespaces(springconfig.New(n.releases, n.access, nil)))
	t.Cleanup(n.http.Close)
	return n
}

func system(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return access.NewContext(ctx, access.System("test"))
}

func ref(name string) release.Ref {
	return release.Ref{Namespace: "default", Kind: "Config", Name: name}
}

func (n *node) publish(d release.Draft) {
	n.t.Helper()
	if _, err := n.releases.Publish(system(n.t), d); err != nil {
		n.t.Fatal(err)
	}
}

// release puts contents in force under names.
func (n *node) release(contents map[string]string) {
	n.t.Helper()
	for name, content := range contents {
		n.publish(release.Draft{Ref: ref(name), Content: []byte(content), Release: true})
	}
}

func (n *node) token(role gantryv1.Role) string {
	n.t.Helper()
	_, token, err := n.access.CreateToken(system(n.t), "test", []*gantryv1.Grant{{Namespace: "default", Role: role}}, 0)
	if err != nil {
		n.t.Fatal(err)
	}
	return token
}

type answer struct {
	status      int
	body        string
	contentType string
	header      http.Header
}

// get asks below /spring-config/; headers are names and values in turn.
func (n *node) get(path string, headers ...string) answer {
	n.t.Helper()
	return n.do(http.MethodGet, springconfig.Prefix+path, headers...)
}

func (n *node) do(method, path string, headers ...string) answer {
	n.t.Helper()
	request, err := http.NewRequest(method, n.http.URL+path, nil)
	if err != nil {
		n.t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := n.http.Client().Do(request)
	if err != nil {
		n.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return answer{response.StatusCode, string(body), response.Header.Get("Content-Type"), response.Header}
}

type environment struct {
	Name            string
	Profiles        []string
	Label           *string
	Version         string
	PropertySources []struct {
		Name   string
		Source map[string]any
	}
}

func (n *node) environment(path string) environment {
	n.t.Helper()
	a := n.get(path)
	var e environment
	if err := json.Unmarshal([]byte(a.body), &e); a.status != http.StatusOK || err != nil {
		n.t.Fatalf("%s: %d %s (%v)", path, a.status, a.body, err)
	}
	return e
}
