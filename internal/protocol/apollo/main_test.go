package apollo_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/policy"
	"github.com/gantry-platform/gantry/internal/protocol/apollo"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
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
	metrics  *prometheus.Registry
	http     *httptest.Server
	leave    context.CancelFunc
}

type options struct {
	open bool // authentication is off
	hold time.Duration
	held int
}

func start(t testing.TB, o options) *node {
	t.Helper()
	s := statetest.New(t)
	n := &node{t: t, metrics: prometheus.NewRegistry()}
	var err error
	if n.access, err = access.New(access.Options{Store: s, Registerer: n.metrics, Disabled: o.open}); err != nil {
		t.Fatal(err)
	}
	keys, err := release.NewKeyring(bytes.Repeat([]byte{7}, release.RootKeySize))
	if err != nil {
		t.Fatal(err)
	}
	if n.releases, err = release.New(release.Options{Store: s, Policy: policy.Standard(), Keys: keys}); err != nil {
		t.Fatal(err)
	}
	handler, err := apollo.New(apollo.Options{Releases: n.releases, Access: n.access, Registerer: n.metrics, Hold: o.hold, MaxHeld: o.held})
	if err != nil {
		t.Fatal(err)
	}
	statetest.Start(t, s)
	n.releases.Start()
	t.Cleanup(n.releases.Close)
	leaving, leave := context.WithCancel(context.Background())
	n.leave = leave
	n.http = httptest.NewServer(edge.Namespaces(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r.WithContext(edge.WithLeaving(r.Context(), leaving)))
	})))
	t.Cleanup(func() { leave(); n.http.Close() })
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

// release puts a content in force, and returns the document's revision.
func (n *node) release(at release.Ref, content string) int64 {
	n.t.Helper()
	return n.publish(release.Draft{Ref: at, Content: []byte(content), Release: true})
}

func (n *node) publish(d release.Draft) int64 {
	n.t.Helper()
	p, err := n.releases.Publish(system(n.t), d)
	if err != nil {
		n.t.Fatal(err)
	}
	return p.Document.Revision
}

// gray puts a content in force for a cohort.
func (n *node) gray(at release.Ref, content string, cohort *gantryv1.Cohort) int64 {
	n.t.Helper()
	n.publish(release.Draft{Ref: at, Content: []byte(content)})
	d, err := n.releases.Release(system(n.t), release.Step{Ref: at}, 0, cohort)
	if err != nil {
		n.t.Fatal(err)
	}
	return d.Revision
}

func (n *node) token(role gantryv1.Role) string {
	n.t.Helper()
	_, token, err := n.access.CreateToken(system(n.t), "test", []*gantryv1.Grant{{Namespace: "default", Role: role}}, 0)
	if err != nil {
		n.t.Fatal(err)
	}
	return token
}

// count is the value of the counter of signatures with these labels.
func (n *node) count(mode, result string) float64 {
	n.t.Helper()
	families, err := n.metrics.Gather()
	if err != nil {
		n.t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != "gantry_apollo_signatures_total" {
			continue
		}
		for _, m := range family.Metric {
			if labels(m)["mode"] == mode && labels(m)["result"] == result {
				return m.Counter.GetValue()
			}
		}
	}
	return 0
}

func labels(m *dto.Metric) map[string]string {
	all := map[string]string{}
	for _, pair := range m.Label {
		all[pair.GetName()] = pair.GetValue()
	}
	return all
}

type answer struct {
	status int
	body   string
	header http.Header
}

// get asks; headers are names and values in turn.
func (n *node) get(path string, headers ...string) answer {
	n.t.Helper()
	return n.do(http.MethodGet, path, headers...)
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
	return answer{response.StatusCode, string(body), response.Header}
}

// configuration is what /configs answers.
type configuration struct {
	AppID, Cluster, NamespaceName, ReleaseKey string
	Configurations                            map[string]string
}

func (n *node) config(path string, headers ...string) configuration {
	n.t.Helper()
	a := n.get(path, headers...)
	var c configuration
	if err := json.Unmarshal([]byte(a.body), &c); a.status != http.StatusOK || err != nil {
		n.t.Fatalf("%s: %d %s (%v)", path, a.status, a.body, err)
	}
	return c
}

// signed are the headers of a client with a secret, for a path with its query.
func signed(app, secret, path string, at time.Time) []string {
	timestamp := strconv.FormatInt(at.UnixMilli(), 10)
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write([]byte(timestamp + "\n" + path))
	return []string{"Authorization", "Apollo " + app + ":" + base64.StdEncoding.EncodeToString(mac.Sum(nil)), "Timestamp", timestamp}
}
