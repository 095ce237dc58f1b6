package eureka_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"encoding/xml"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
	"github.com/gantry-platform/gantry/internal/protocol/eureka"
	"github.com/gantry-platform/gantry/internal/state"
	"github.com/gantry-platform/gantry/internal/state/statetest"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue {
		_ = checks.Value.Set("20") // each is a life of a server of its own; -rapid.checks sets more
	}
	goleak.VerifyTestMain(m, statetest.LeakOptions()...)
}

// patience bounds what a test waits for on a busy machine.
const patience = 30 * time.Second

// clock moves when the test says so.
type clock struct {
	mu      sync.Mutex
	wall    time.Time
	elapsed time.Duration
	ticks   chan time.Time
	done    chan struct{}
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wall
}

func (c *clock) Elapsed() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.elapsed
}

func (c *clock) Ticks(time.Duration) (<-chan time.Time, func()) {
	return c.ticks, sync.OnceFunc(func() { close(c.done) })
}

// jump moves the wall clock alone: nobody's silence grows.
func (c *clock) jump(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall = c.wall.Add(d)
}

// step moves time on.
func (c *clock) step(d time.Duration) {
	for ; d > 0; d -= time.Second {
		c.mu.Lock()
		c.elapsed += min(d, time.Second)
		c.wall = c.wall.Add(min(d, time.Second))
		c.mu.Unlock()
		for range 2 { // the second is taken when the first was dealt with
			select {
			case c.ticks <- time.Time{}:
			case <-c.done:
				return
			}
		}
	}
}

// everybody lets in whom the test names by the user of basic authentication.
type everybody struct{}

func (everybody) Authenticate(_ context.Context, credential access.Credential) (*access.Identity, error) {
	switch {
	case credential.Token != "" && credential.User == "" && credential.Password == "":
		return access.System("a token"), nil
	case credential.User == "nobody":
		return nil, fault.New(fault.Unauthenticated, "access.unauthenticated", "wrong password")
	case credential.User == "stranger":
		return &access.Identity{Actor: "user:stranger"}, nil
	}
	return access.System("test"), nil
}

// node is a registry with Eureka before it.
type node struct {
	t        testing.TB
	store    *state.Store
	registry *instance.Registry
	clock    *clock
	log      *slog.Logger
	handler  http.Handler
}

func start(t testing.TB) *node {
	t.Helper()
	n := &node{t: t, clock: &clock{wall: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}}
	n.log = statetest.Logger(t)
	if _, fuzzing := t.(*testing.F); fuzzing {
		n.log = slog.New(slog.DiscardHandler) // a fuzz target must not write into its parent's log
	}
	dir, err := os.MkdirTemp("", "gantry") // not t.TempDir: the path of a unix socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	n.store = statetest.Open(t, state.Options{Dir: dir, Node: state.Node{Name: "n1"}, Logger: n.log,
		Embedded: &state.Embedded{NoSync: true, Socket: filepath.Join(dir, "etcd.sock")}})
	n.open()
	t.Cleanup(func() { n.registry.Close() })
	return n
}

func (n *node) open() {
	n.clock.ticks, n.clock.done = make(chan time.Time), make(chan struct{})
	n.registry = instance.New(instance.Options{Store: n.store, Clock: n.clock, Logger: n.log})
	statetest.Start(n.t, n.store)
	if err := n.registry.Start(context.Background()); err != nil {
		n.t.Fatal(err)
	}
	n.handler = edge.Namespaces(eureka.New(eureka.Options{Instances: n.registry, Access: everybody{}, Logger: n.log}).Eager())
}

// within is the node for a test inside of the one that started it.
func (n *node) within(t testing.TB) *node {
	inner := *n
	inner.t = t
	return &inner
}

// restart ends the node and brings it back on the same state.
func (n *node) restart() {
	n.t.Helper()
	n.registry.Close()
	n.store = statetest.Reopen(n.t, n.store)
	n.open()
}

// do makes a request. Headers are pairs.
func (n *node) do(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	n.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	n.handler.ServeHTTP(w, r)
	return w
}

// must is do for what has to answer with a status.
func (n *node) must(status int, method, path, body string, headers ...string) string {
	n.t.Helper()
	w := n.do(method, path, body, headers...)
	answer := plain(n.t, w)
	if w.Code != status {
		n.t.Fatalf("%s %s: %d %s, want %d", method, path, w.Code, answer, status)
	}
	return answer
}

func plain(t testing.TB, w *httptest.ResponseRecorder) string {
	t.Helper()
	body := w.Body.Bytes()
	if w.Header().Get("Content-Encoding") == "gzip" {
		unpacked, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if body, err = io.ReadAll(unpacked); err != nil {
			t.Fatalf("the gzip stream: %v", err)
		}
	}
	return string(body)
}

// The documents as clients read them.
type applications struct {
	Version      string        `json:"versions__delta" xml:"versions__delta"`
	Hash         string        `json:"apps__hashcode" xml:"apps__hashcode"`
	Applications []application `json:"application" xml:"application"`
}

type application struct {
	Name      string  `json:"name" xml:"name"`
	Instances []shown `json:"instance" xml:"instance"`
}

type shown struct {
	ID               string   `json:"instanceId" xml:"instanceId"`
	HostName         string   `json:"hostName" xml:"hostName"`
	App              string   `json:"app" xml:"app"`
	IPAddr           string   `json:"ipAddr" xml:"ipAddr"`
	Status           string   `json:"status" xml:"status"`
	OverriddenStatus string   `json:"overriddenStatus" xml:"overriddenstatus"`
	Action           string   `json:"actionType" xml:"actionType"`
	VIP              string   `json:"vipAddress" xml:"vipAddress"`
	SecureVIP        string   `json:"secureVipAddress" xml:"secureVipAddress"`
	HomePage         string   `json:"homePageUrl" xml:"homePageUrl"`
	StatusPage       string   `json:"statusPageUrl" xml:"statusPageUrl"`
	Dirty            string   `json:"lastDirtyTimestamp" xml:"lastDirtyTimestamp"`
	Updated          string   `json:"lastUpdatedTimestamp" xml:"lastUpdatedTimestamp"`
	Port             portJSON `json:"port" xml:"-"`
	SecurePort       portJSON `json:"securePort" xml:"-"`
	PortXML          portXML  `json:"-" xml:"port"`
	CountryID        int      `json:"countryId" xml:"countryId"`
	DataCenter       struct {
		Class    string            `json:"@class" xml:"class,attr"`
		Name     string            `json:"name" xml:"name"`
		Metadata map[string]string `json:"metadata" xml:"-"`
	} `json:"dataCenterInfo" xml:"dataCenterInfo"`
	Lease *struct {
		Interval int `json:"renewalIntervalInSecs" xml:"renewalIntervalInSecs"`
		Duration int `json:"durationInSecs" xml:"durationInSecs"`
	} `json:"leaseInfo" xml:"leaseInfo"`
	Metadata map[string]string `json:"metadata" xml:"-"`
}

type portJSON struct {
	Number  int    `json:"$"`
	Enabled string `json:"@enabled"`
}

type portXML struct {
	Number  int    `xml:",chardata"`
	Enabled string `xml:"enabled,attr"`
}

// get reads a document in JSON or XML, compressed or not.
func (n *node) get(path string, asJSON, zipped bool) applications {
	n.t.Helper()
	headers := []string{"Accept", "application/xml"}
	if asJSON {
		headers[1] = "application/json, application/*+json"
	}
	if zipped {
		headers = append(headers, "Accept-Encoding", "gzip")
	}
	body := n.must(http.StatusOK, http.MethodGet, path, "", headers...)
	var document applications
	envelope := struct {
		Applications *applications `json:"applications"`
	}{&document}
	if !asJSON {
		if err := xml.Unmarshal([]byte(body), &document); err != nil {
			n.t.Fatalf("%v in %s", err, body)
		}
		return document
	}
	if err := json.Unmarshal([]byte(body), &envelope); err != nil {
		n.t.Fatalf("%v in %s", err, body)
	}
	return document
}

func (n *node) one(path string) shown {
	n.t.Helper()
	body := n.must(http.StatusOK, http.MethodGet, path, "", "Accept", "application/json")
	var envelope struct{ Instance shown }
	if err := json.Unmarshal([]byte(body), &envelope); err != nil {
		n.t.Fatalf("%v in %s", err, body)
	}
	return envelope.Instance
}

// eventually waits until a condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("waited in vain until %s", what)
		case <-time.After(2 * time.Millisecond):
		}
	}
}
