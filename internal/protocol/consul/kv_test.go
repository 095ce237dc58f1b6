package consul_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/instance"
	"github.com/gantry-platform/gantry/internal/policy"
	"github.com/gantry-platform/gantry/internal/protocol/consul"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
	"github.com/gantry-platform/gantry/internal/release"
	"github.com/gantry-platform/gantry/internal/release/keyvalue"
	"github.com/gantry-platform/gantry/internal/state/statetest"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// keyed is a node that serves keys.
type keyed struct {
	*node
	releases *release.Releaser
	access   *access.Manager
}

func startKeys(t testing.TB, authentication bool) *keyed {
	t.Helper()
	store := statetest.New(t)
	manager, err := access.New(access.Options{Store: store, Registerer: prometheus.NewRegistry(), Disabled: !authentication})
	if err != nil {
		t.Fatal(err)
	}
	releases, err := release.New(release.Options{Store: store, Policy: policy.Standard()})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := keyvalue.New(keyvalue.Options{Store: store, Releaser: releases})
	if err != nil {
		t.Fatal(err)
	}
	registry := instance.New(instance.Options{Store: store})
	statetest.Start(t, store)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := registry.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { registry.Close() })
	releases.Start()
	t.Cleanup(releases.Close)
	keys.Start()
	t.Cleanup(keys.Close)
	leaving, leave := context.WithCancel(context.Background())
	t.Cleanup(leave)
	handler := consul.New(consul.Options{Instances: registry, Access: manager, Keys: keys, Node: "gantry",
		Nodes: func() []string { return []string{"127.0.0.1:8848"} }, Version: "test"})
	server := httptest.NewServer(edge.Namespaces(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r.WithContext(edge.WithLeaving(r.Context(), leaving)))
	})))
	t.Cleanup(server.Close)
	return &keyed{&node{t: t, url: server.URL, registry: registry, leave: leave}, releases, manager}
}

// pair is what Consul's clients read.
type pair struct {
	LockIndex, Flags, CreateIndex, ModifyIndex uint64
	Key                                        string
	Value                                      []byte
	Session                                    *string
}

func (n *keyed) want(method, path, body string, status int, text string) *http.Response {
	n.t.Helper()
	response, answer := n.call(method, path, body)
	if response.StatusCode != status || !strings.Contains(answer, text) {
		n.t.Errorf("%s %.80s: %s %.200q, want %d %q", method, path, response.Status, answer, status, text)
	}
	return response
}

// key reads one key; nil when it is not there.
func (n *keyed) key(path string) *pair {
	n.t.Helper()
	response, body := n.call("GET", path, "")
	if response.StatusCode == 404 {
		return nil
	}
	var pairs []pair
	if err := json.Unmarshal([]byte(body), &pairs); err != nil || len(pairs) != 1 {
		n.t.Fatalf("GET %s: %s %s", path, response.Status, body)
	}
	if at := response.Header.Get("X-Consul-Index"); at != strconv.FormatUint(pairs[0].ModifyIndex, 10) {
		n.t.Errorf("GET %s: index %s of %+v", path, at, pairs[0])
	}
	return &pairs[0]
}

func (n *keyed) session(body string) string {
	n.t.Helper()
	var made struct{ ID string }
	response, answer := n.call("PUT", "/v1/session/create", body)
	if err := json.Unmarshal([]byte(answer), &made); err != nil || made.ID == "" {
		n.t.Fatalf("create a session: %s %s", response.Status, answer)
	}
	return made.ID
}

func TestKeysAreReadAndWritten(t *testing.T) {
	n := startKeys(t, false)
	if at, err := strconv.Atoi(n.want("GET", "/v1/kv/a", "", 404, "").Header.Get("X-Consul-Index")); err != nil || at < 1 {
		t.Errorf("the index of nothing is %d, %v", at, err)
	}
	n.want("PUT", "/v1/kv/a?flags=18446744073709551615", "x<y", 200, "true")
	first := n.key("/v1/kv/a")
	if string(first.Value) != "x<y" || first.Flags != 1<<64-1 || first.Session != nil || first.CreateIndex != first.ModifyIndex || first.LockIndex != 0 {
		t.Errorf("%+v", first)
	}
	response := n.want("GET", "/v1/kv/a?raw", "", 200, "x<y")
	if h := response.Header; h.Get("Content-Type") != "text/plain" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Content-Security-Policy") != "sandbox" {
		t.Errorf("raw: %v", h)
	}
	n.want("PUT", "/v1/kv/a?cas=0", "y", 200, "false")
	n.want("PUT", fmt.Sprintf("/v1/kv/a?cas=%d", first.ModifyIndex+1), "y", 200, "false")
	n.want("PUT", fmt.Sprintf("/v1/kv/a?cas=%d", first.ModifyIndex), "", 200, "true")
	second := n.key("/v1/kv/a?consistent")
	if len(second.Value) != 0 || second.CreateIndex != first.CreateIndex || second.ModifyIndex <= first.ModifyIndex || second.Flags != 0 {
		t.Errorf("%+v after %+v", second, first)
	}
	if _, body := n.call("GET", "/v1/kv/a", ""); !strings.Contains(body, `"Value":null`) {
		t.Errorf("no value: %s", body)
	}
	n.want("DELETE", fmt.Sprintf("/v1/kv/a?cas=%d", first.ModifyIndex), "", 200, "false")
	n.want("DELETE", fmt.Sprintf("/v1/kv/a?cas=%d", second.ModifyIndex), "", 200, "true")
	n.want("DELETE", "/v1/kv/a", "", 200, "true")
	if n.key("/v1/kv/a") != nil {
		t.Error("it is there after it was deleted")
	}
}

func TestKeysThatAreNoPaths(t *testing.T) {
	n := startKeys(t, false)
	for escaped, name := range map[string]string{"a//b": "a//b", "a/": "a/", "%2Fa": "/a", "a%2Fc": "a/c", "./..": "./..", "a%20b": "a b", "%E9%94%AE": "键", "a%3Fb": "a?b", "50%25": "50%"} {
		n.want("PUT", "/v1/kv/"+escaped, name, 200, "true")
		if p := n.key("/v1/kv/" + escaped); p == nil || p.Key != name || string(p.Value) != name {
			t.Errorf("%s: %+v", escaped, p)
		}
	}
	n.want("PUT", "/v1/kv/a%00", "", 400, "control character")
	n.want("PUT", "/v1/kv/%FF", "", 400, "no name")
	n.want("PUT", "/v1/kv/"+strings.Repeat("k", 513), "", 400, "")
	n.want("PUT", "/v1/kv/", "", 400, "Missing key name")
	n.want("GET", "/v1/kv/", "", 400, "Missing key name")
	n.want("DELETE", "/v1/kv/", "", 400, "Missing key name")
}

func TestKeysAreListed(t *testing.T) {
	n := startKeys(t, false)
	n.want("GET", "/v1/kv/?keys", "", 200, "[]")
	n.want("GET", "/v1/kv/web?keys", "", 404, "")
	n.want("GET", "/v1/kv/?recurse", "", 404, "")
	for _, name := range []string{"web/a", "web/b/c", "web/b/d", "web", "db"} {
		n.want("PUT", "/v1/kv/"+name, name, 200, "true")
	}
	for query, names := range map[string]string{
		"?keys":                  `["db","web","web/a","web/b/c","web/b/d"]`,
		"web/?keys":              `["web/a","web/b/c","web/b/d"]`,
		"web/?keys&separator=/":  `["web/a","web/b/"]`,
		"?keys&separator=/":      `["db","web","web/"]`,
		"web/?keys&seperator=/":  `["web/a","web/b/"]`,
		"web/b?keys&separator=d": `["web/b/c","web/b/d"]`,
	} {
		n.want("GET", "/v1/kv/"+query, "", 200, names)
	}
	var pairs []pair
	header := n.get("/v1/kv/web/?recurse", &pairs)
	if len(pairs) != 3 || pairs[1].Key != "web/b/c" || string(pairs[1].Value) != "web/b/c" || header.Get("X-Consul-Index") != strconv.FormatUint(pairs[2].ModifyIndex, 10) {
		t.Errorf("%+v at %s", pairs, header.Get("X-Consul-Index"))
	}
	n.want("DELETE", "/v1/kv/web/?recurse", "", 200, "true")
	n.want("GET", "/v1/kv/?keys", "", 200, `["db","web"]`)
	n.want("DELETE", "/v1/kv/?recurse", "", 200, "true")
	n.want("GET", "/v1/kv/?keys", "", 200, "[]")
}

func TestBadKeyRequests(t *testing.T) {
	n := startKeys(t, false)
	n.want("PUT", "/v1/kv/a?cas=1&acquire=x", "", 400, "Conflicting flags")
	n.want("DELETE", "/v1/kv/a?cas=1&recurse", "", 400, "Conflicting flags")
	n.want("PUT", "/v1/kv/a?cas=-1", "", 400, "is no number")
	n.want("PUT", "/v1/kv/a?flags=x", "", 400, "is no number")
	n.want("DELETE", "/v1/kv/a?cas=", "", 400, "is no number")
	n.want("PUT", "/v1/kv/a", strings.Repeat("x", 512<<10), 200, "true")
	n.want("PUT", "/v1/kv/a", strings.Repeat("x", 512<<10+1), 413, "")
	n.want("POST", "/v1/kv/a", "", 405, "")
	n.want("GET", "/v1/kv/a?dc=elsewhere", "", 500, "No path to datacenter")
	n.want("PUT", "/v1/kv/a?acquire=", "", 500, "missing session")
	n.want("PUT", "/v1/kv/a?acquire=11111111-1111-1111-1111-111111111111", "", 500, "invalid session")
	n.want("PUT", "/v1/kv/a?release=", "", 500, "missing session")
}

func TestLocks(t *testing.T) {
	n := startKeys(t, false)
	one, other := n.session(""), n.session(`{"LockDelay":"0s"}`)
	n.want("PUT", "/v1/kv/lock?acquire="+one, "1", 200, "true")
	n.want("PUT", "/v1/kv/lock?acquire="+one, "2", 200, "true")
	n.want("PUT", "/v1/kv/lock?acquire="+other, "3", 200, "false")
	n.want("PUT", "/v1/kv/lock?release="+other, "3", 200, "false")
	held := n.key("/v1/kv/lock")
	if held.Session == nil || *held.Session != one || held.LockIndex != 1 || string(held.Value) != "2" {
		t.Errorf("%+v", held)
	}
	n.want("PUT", "/v1/kv/lock?release="+one, "free", 200, "true")
	if p := n.key("/v1/kv/lock"); p.Session != nil || p.LockIndex != 1 || string(p.Value) != "free" {
		t.Errorf("%+v", p)
	}
	n.want("PUT", "/v1/kv/lock?acquire="+other, "3", 200, "true")
	if p := n.key("/v1/kv/lock"); p.LockIndex != 2 {
		t.Errorf("%+v", p)
	}
	n.want("PUT", "/v1/session/destroy/"+other, "", 200, "true")
	n.want("PUT", "/v1/kv/lock?acquire="+one, "4", 200, "true")
	n.want("PUT", "/v1/session/destroy/"+one, "", 200, "true")
	third := n.session("")
	n.want("PUT", "/v1/kv/lock?acquire="+third, "5", 200, "false") // the delay of 15 s
	n.want("PUT", "/v1/session/destroy/"+one, "", 200, "true")
}

// A blocking query wakes for its own key or prefix, and answers when its time is over.
func TestBlockingQueriesOnKeys(t *testing.T) {
	n := startKeys(t, false)
	n.want("PUT", "/v1/kv/a/b", "1", 200, "true")
	at := func(path string) string {
		response, _ := n.call("GET", path, "")
		return response.Header.Get("X-Consul-Index")
	}
	for _, path := range []string{"/v1/kv/a/b", "/v1/kv/a/?recurse", "/v1/kv/a/?keys", "/v1/kv/none", "/v1/kv/none?recurse", "/v1/session/list"} {
		before := at(path)
		separator := "?"
		if strings.Contains(path, "?") {
			separator = "&"
		}
		began := time.Now()
		response, _ := n.call("GET", path+separator+"wait=50ms&index="+before, "")
		if after := response.Header.Get("X-Consul-Index"); after != before || time.Since(began) < 50*time.Millisecond {
			t.Errorf("%s: index %s after %s in %v", path, after, before, time.Since(began))
		}
	}
	for path, write := range map[string]string{"/v1/kv/a/b?x=": "a/b", "/v1/kv/a/?recurse": "a/c", "/v1/kv/fresh?x=": "fresh", "/v1/kv/fresh2?keys": "fresh2/x"} {
		before := at(path)
		answered := make(chan string)
		go func() {
			response, err := http.Get(n.url + path + "&wait=1m&index=" + before)
			if err != nil {
				answered <- err.Error()
				return
			}
			response.Body.Close()
			answered <- response.Header.Get("X-Consul-Index")
		}()
		n.want("PUT", "/v1/kv/elsewhere", before, 200, "true")
		n.want("PUT", "/v1/kv/"+write, before, 200, "true")
		after, err := strconv.Atoi(<-answered)
		if was, _ := strconv.Atoi(before); err != nil || after <= was {
			t.Errorf("%s: index %d after %s, %v", path, after, before, err)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestTransactions(t *testing.T) {
	n := startKeys(t, false)
	response, body := n.call("PUT", "/v1/txn", `[
		{"KV":{"Verb":"set","Key":"a","Value":"eA==","Flags":7}},
		{"KV":{"Verb":"get","Key":"a"}},
		{"KV":{"Verb":"check-not-exists","Key":"b"}},
		{"KV":{"Verb":"get-or-empty","Key":"b"}},
		{"KV":{"Verb":"delete","Key":"c"}}]`)
	var answer struct {
		Results []struct{ KV pair }
		Errors  []struct {
			OpIndex int
			What    string
		}
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || response.StatusCode != 200 || len(answer.Results) != 3 || len(answer.Errors) != 0 {
		t.Fatalf("%s %s", response.Status, body)
	}
	a := n.key("/v1/kv/a")
	for i, r := range answer.Results[:2] {
		if r.KV.Key != "a" || r.KV.Flags != 7 || r.KV.ModifyIndex != a.ModifyIndex || r.KV.CreateIndex != a.CreateIndex || string(r.KV.Value) != []string{"", "x"}[i] {
			t.Errorf("%d: %+v", i, r.KV)
		}
	}
	if b := answer.Results[2].KV; b.Key != "b" || b.ModifyIndex != 0 {
		t.Errorf("%+v", b)
	}
	response, body = n.call("PUT", "/v1/txn", `[{"KV":{"Verb":"set","Key":"d"}},{"KV":{"Verb":"cas","Key":"a","Index":1}},{"KV":{"Verb":"lock","Key":"a"}},{"KV":{"Verb":"get","Key":"z"}}]`)
	if err := json.Unmarshal([]byte(body), &answer); err != nil || response.StatusCode != 409 || len(answer.Errors) != 3 {
		t.Fatalf("%s %s", response.Status, body)
	}
	for i, what := range []string{"index is stale", "missing session", "doesn't exist"} {
		if e := answer.Errors[i]; e.OpIndex != i+1 || !strings.Contains(e.What, what) {
			t.Errorf("%+v, want %s", e, what)
		}
	}
	if n.key("/v1/kv/d") != nil {
		t.Error("a part of it was made")
	}
	n.want("PUT", "/v1/txn", `[{"KV":{"Verb":"jump","Key":"d"}}]`, 409, "unknown KV verb")
	n.want("PUT", "/v1/txn", `[]`, 200, "")
	n.want("PUT", "/v1/txn", `{`, 400, "Failed to parse body")
	n.want("PUT", "/v1/txn", `[{"KV":{"Verb":"set","Key":"d","Value":"?"}}]`, 400, "Failed to parse body")
	n.want("PUT", "/v1/txn", `[{"Service":{"Verb":"get"}}]`, 400, "none on a key")
	n.want("PUT", "/v1/txn", `[null]`, 400, "none on a key")
	n.want("PUT", "/v1/txn", `[{}]`, 400, "none on a key")
	n.want("PUT", "/v1/txn", `[{"KV":{"Verb":"set","Key":"d","Namespace":"other"}}]`, 400, "namespace")
	n.want("PUT", "/v1/txn", "["+strings.Repeat(`{"KV":{"Verb":"set","Key":"d"}},`, 64)+`{"KV":{"Verb":"set","Key":"d"}}]`, 413, "too many operations (65 > 64)")
	n.want("PUT", "/v1/txn", "["+strings.Repeat(" ", 2<<20)+"]", 413, "")
}

func TestSessions(t *testing.T) {
	n := startKeys(t, false)
	id := n.session(`{"Name":"job","TTL":"90s","LockDelay":5,"Behavior":"delete","NodeChecks":[]}`)
	var found []map[string]any
	header := n.get("/v1/session/info/"+id, &found)
	if len(found) != 1 || header.Get("X-Consul-Index") == "" {
		t.Fatalf("%v", found)
	}
	for field, want := range map[string]any{"ID": id, "Name": "job", "Node": "gantry", "TTL": "90s", "LockDelay": 5e9, "Behavior": "delete", "ServiceChecks": nil} {
		if got := found[0][field]; got != want {
			t.Errorf("%s is %v, want %v", field, got, want)
		}
	}
	if checks, ok := found[0]["NodeChecks"].([]any); !ok || len(checks) != 0 {
		t.Errorf("NodeChecks %v", found[0]["NodeChecks"])
	}
	n.get("/v1/session/info/"+n.session(`{"LockDelay":"2s"}`), &found)
	if checks, ok := found[0]["NodeChecks"].([]any); !ok || len(checks) != 1 || checks[0] != "serfHealth" || found[0]["LockDelay"] != 2e9 || found[0]["TTL"] != "" {
		t.Errorf("%v", found)
	}
	n.get("/v1/session/list", &found)
	if len(found) != 2 {
		t.Errorf("%v", found)
	}
	n.get("/v1/session/node/gantry", &found)
	if len(found) != 2 {
		t.Errorf("%v", found)
	}
	n.want("GET", "/v1/session/node/other", "", 200, "[]")
	n.want("GET", "/v1/session/info/unknown", "", 200, "[]")
	n.want("PUT", "/v1/session/renew/"+id, "", 200, `"TTL":"90s"`)
	n.want("PUT", "/v1/session/renew/unknown", "", 404, "Session id 'unknown' not found")
	n.want("PUT", "/v1/session/destroy/"+id, "", 200, "true")
	n.want("PUT", "/v1/session/renew/"+id, "", 404, "not found")
	n.want("PUT", "/v1/session/destroy/", "", 400, "Missing session")
	for body, text := range map[string]string{
		`{`: "Request decode failed", `[]`: "Request decode failed", `{"TTL":"soon"}`: "invalid", `{"TTL":"9s"}`: "must be between",
		`{"TTL":"25h"}`: "must be between", `{"LockDelay":"61s"}`: "must be between", `{"LockDelay":"soon"}`: "is no time", `{"LockDelay":-1}`: "out of range",
		`{"LockDelay":{}}`: "neither a text nor a number", `{"Behavior":"keep"}`: "Invalid Behavior",
	} {
		n.want("PUT", "/v1/session/create", body, 400, text)
	}
	n.want("PUT", "/v1/session/create", `{"NodeChecks":["dne"]}`, 500, "Missing check 'dne' registration")
	n.want("PUT", "/v1/session/create", `{"Checks":["dne"]}`, 500, "Missing check 'dne' registration")
	n.want("PUT", "/v1/session/create", `{"ServiceChecks":[{"ID":"dne"}]}`, 500, "Missing check 'dne' registration")
	n.want("PUT", "/v1/session/create", strings.Repeat(" ", 64<<10+1), 413, "")
}

// Namespaces keep keys and sessions apart, whichever way they are named.
func TestKeysOfNamespaces(t *testing.T) {
	n := startKeys(t, false)
	n.want("PUT", "/v1/kv/a", "default", 200, "true")
	n.want("PUT", "/v1/kv/a?ns=staging", "staging", 200, "true")
	n.want("GET", "/ns/staging/v1/kv/a?raw", "", 200, "staging")
	n.want("GET", "/v1/kv/a?raw", "", 200, "default")
	s := n.session("")
	n.want("PUT", "/v1/kv/a?ns=staging&acquire="+s, "", 500, "invalid session")
}

func TestWhoMayDoWhatWithKeys(t *testing.T) {
	n := startKeys(t, true)
	system := access.NewContext(t.Context(), access.System("test"))
	token := func(role gantryv1.Role) string {
		_, secret, err := n.access.CreateToken(system, "test", []*gantryv1.Grant{{Namespace: "default", Role: role}}, 0)
		if err != nil {
			t.Fatal(err)
		}
		return secret
	}
	service, viewer, developer, releaser := token(gantryv1.Role_ROLE_SERVICE), token(gantryv1.Role_ROLE_VIEWER), token(gantryv1.Role_ROLE_DEVELOPER), token(gantryv1.Role_ROLE_RELEASER)
	for _, c := range []struct {
		method, path, body string
		who                map[string]bool
	}{
		{"PUT", "/v1/kv/a", "x", map[string]bool{"": false, service: true, viewer: false, developer: false, releaser: true}},
		{"GET", "/v1/kv/a", "", map[string]bool{"": false, service: true, viewer: true, developer: true, releaser: true}},
		{"GET", "/v1/kv/?keys", "", map[string]bool{"": false, service: true, viewer: true}},
		{"PUT", "/v1/kv/a?ns=other", "x", map[string]bool{service: false, releaser: false}},
		{"PUT", "/v1/txn", `[{"KV":{"Verb":"get","Key":"a"}}]`, map[string]bool{"": false, service: true, viewer: true}},
		{"PUT", "/v1/txn", `[{"KV":{"Verb":"set","Key":"a","Value":"eQ=="}}]`, map[string]bool{"": false, viewer: false, service: true}},
		{"PUT", "/v1/session/create", "", map[string]bool{"": false, service: true, viewer: false, developer: false, releaser: true}},
		{"GET", "/v1/session/list", "", map[string]bool{"": false, service: true, viewer: true}},
		{"PUT", "/v1/session/destroy/x", "", map[string]bool{"": false, service: true, viewer: false}},
		{"PUT", "/v1/session/renew/x", "", map[string]bool{"": false, viewer: false}},
		{"DELETE", "/v1/kv/?recurse", "", map[string]bool{"": false, viewer: false, developer: false, service: true}},
		{"DELETE", "/v1/kv/a", "", map[string]bool{"": false, viewer: false, service: true}},
	} {
		for who, may := range c.who {
			response, body := n.call(c.method, c.path, c.body, "X-Consul-Token", who)
			if c.method == "PUT" && strings.HasPrefix(c.path, "/v1/kv") && may && response.StatusCode == 200 {
				continue
			}
			if refused := response.StatusCode == 403; refused == may || refused && !strings.Contains(body, "Permission denied") {
				t.Errorf("%s %s by %.12q: %s %s, may is %v", c.method, c.path, who, response.Status, body, may)
			}
		}
	}
}

// Many who write one counter by comparing lose nothing.
func TestCountingByCompareAndSet(t *testing.T) {
	n := startKeys(t, false)
	n.want("PUT", "/v1/kv/count", "0", 200, "true")
	const writers, each = 4, 10
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for done := 0; done < each; {
				p := n.key("/v1/kv/count")
				value, _ := strconv.Atoi(string(p.Value))
				if _, body := n.call("PUT", fmt.Sprintf("/v1/kv/count?cas=%d", p.ModifyIndex), strconv.Itoa(value+1)); body == "true" {
					done++
				}
			}
		})
	}
	all.Wait()
	if p := n.key("/v1/kv/count"); string(p.Value) != strconv.Itoa(writers*each) {
		t.Errorf("counted to %s", p.Value)
	}
}
