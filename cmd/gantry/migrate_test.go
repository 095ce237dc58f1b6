package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/gantry-platform/gantry/internal/migrate"
)

// source serves a foreign system's answers as recorded, and notes what it was asked.
type source struct {
	*httptest.Server
	mu    sync.Mutex
	asked []string
}

func serveSource(t *testing.T, answer func(w http.ResponseWriter, r *http.Request)) *source {
	t.Helper()
	s := &source{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.asked = append(s.asked, r.Method+" "+r.URL.RequestURI())
		s.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// nacosEntry is a configuration of a pretended Nacos.
type nacosEntry struct{ tenant, group, id, kind, content, key, beta string }

// nacosSource is a Nacos with users on, by v1 or by v3 alone.
type nacosSource struct {
	*source
	mu      sync.Mutex
	entries []nacosEntry
	v3      bool
	// broken pages answer with an error.
	broken int
	onPage func(number int)
}

const nacosPassword = "nacos-secret"

func newNacosSource(t *testing.T, v3 bool, entries ...nacosEntry) *nacosSource {
	n := &nacosSource{entries: entries, v3: v3}
	n.source = serveSource(t, n.answer)
	return n
}

func (n *nacosSource) answer(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	path, query := strings.TrimPrefix(r.URL.Path, "/nacos"), r.URL.Query()
	login := "/v1/auth/login"
	if n.v3 {
		login = "/v3/auth/user/login"
	}
	if path == login {
		if r.FormValue("username") != "nacos" || r.FormValue("password") != nacosPassword {
			http.Error(w, "unknown user! password "+r.FormValue("password"), http.StatusForbidden)
			return
		}
		fmt.Fprint(w, `{"accessToken":"eyJ.token","tokenTtl":18000,"globalAdmin":true,"username":"nacos"}`)
		return
	}
	if n.v3 && strings.HasPrefix(path, "/v1/") {
		http.Error(w, `{"code":410}`, http.StatusGone)
		return
	}
	if r.Header.Get("Authorization") != "Bearer eyJ.token" {
		http.Error(w, "token is missing", http.StatusForbidden)
		return
	}
	switch {
	case path == "/v1/console/namespaces" && !n.v3, path == "/v3/admin/core/namespace/list" && n.v3:
		fmt.Fprintf(w, `{"code":%d,"message":"success","data":[{"namespace":"","namespaceShowName":"public","namespaceDesc":null,"quota":200,"configCount":1,"type":0},
			{"namespace":"stage-1","namespaceShowName":"stage","quota":200,"configCount":1,"type":2}]}`, 200*(1-bit(n.v3)))
	case path == "/v1/cs/configs" && query.Get("search") != "", path == "/v3/admin/cs/config/list" && n.v3:
		n.list(w, query)
	case path == "/v1/cs/configs" && query.Get("beta") != "":
		for _, e := range n.entries {
			if e.beta != "" && e.id == query.Get("dataId") {
				fmt.Fprintf(w, `{"code":200,"message":"query beta ok","data":{"dataId":%q,"content":"x","betaIps":%q}}`, e.id, e.beta)
				return
			}
		}
		fmt.Fprint(w, `{"code":200,"message":"query beta ok","data":null}`)
	case path == "/v3/admin/cs/config" && n.v3:
		for _, e := range n.entries {
			if e.id == query.Get("dataId") && e.group == query.Get("groupName") {
				fmt.Fprintf(w, `{"code":0,"message":"success","data":%s}`, e.json(true))
				return
			}
		}
		http.NotFound(w, r)
	default:
		http.NotFound(w, r)
	}
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (e nacosEntry) json(content bool) string {
	value := map[string]any{"id": "1", "dataId": e.id, "group": e.group, "groupName": e.group, "tenant": e.tenant, "type": e.kind, "encryptedDataKey": e.key}
	if content {
		value["content"] = e.content
	}
	data, _ := json.Marshal(value)
	return string(data)
}

func (n *nacosSource) list(w http.ResponseWriter, query url.Values) {
	number, _ := strconv.Atoi(query.Get("pageNo"))
	size, _ := strconv.Atoi(query.Get("pageSize"))
	if n.onPage != nil {
		n.onPage(number)
	}
	if number == n.broken {
		http.Error(w, "caused: the database is away", http.StatusBadRequest)
		return
	}
	tenant := first(query.Get("tenant"), query.Get("namespaceId"))
	if tenant == "public" {
		tenant = ""
	}
	var all []string
	for _, e := range n.entries {
		if e.tenant == tenant {
			all = append(all, e.json(!n.v3))
		}
	}
	page := all[min((number-1)*size, len(all)):min(number*size, len(all))]
	text := fmt.Sprintf(`{"totalCount":%d,"pageNumber":%d,"pagesAvailable":%d,"pageItems":[%s]}`, len(all), number, (len(all)+size-1)/size, strings.Join(page, ","))
	if n.v3 {
		text = `{"code":0,"message":"success","data":` + text + `}`
	}
	fmt.Fprint(w, text)
}

// migrateFrom runs the command with the source's credentials.
func (o *operator) migrateFrom(kind, address string, args ...string) result {
	o.t.Helper()
	return o.with("GANTRY_SOURCE_USER", "nacos", "GANTRY_SOURCE_PASSWORD", nacosPassword).run(append([]string{"migrate", "from", kind, "--url", address}, args...)...)
}

func (o *operator) wantReport(r result, code int) migrate.Report {
	o.t.Helper()
	if r.code != code {
		o.t.Fatalf("exit code %d, want %d\n%s%s", r.code, code, r.out, r.err)
	}
	wantNoWords(o.t, r.out+r.err, nacosPassword, "eyJ.token", "hunter2")
	return decode[migrate.Report](o.t, r.out)
}

func (o *operator) wantCounts(report migrate.Report, want map[migrate.Effect]int) {
	o.t.Helper()
	for _, effect := range migrate.Effects() {
		if report.Counts[effect] != want[effect] {
			o.t.Fatalf("%d %s, want %d: %+v", report.Counts[effect], effect, want[effect], report.Counts)
		}
	}
}

func TestMigrateNacosConfiguration(t *testing.T) {
	for name, v3 := range map[string]bool{"v1": false, "v3": true} {
		t.Run(name, func(t *testing.T) {
			o := newOperator(t)
			here := o.env["GANTRY_NAMESPACE"]
			n := newNacosSource(t, v3,
				nacosEntry{group: "DEFAULT_GROUP", id: "loan.yaml", kind: "yaml", content: "limit: 5\n"},
				nacosEntry{group: "RISK", id: "rules", kind: "json", content: `{"max": 3}`},
				nacosEntry{group: "DEFAULT_GROUP", id: "odd.yaml", content: "a: b: c"},
				nacosEntry{group: "DEFAULT_GROUP", id: "broken.yaml", kind: "yaml", content: "ok: 1\na: [hunter2"},
				nacosEntry{group: "DEFAULT_GROUP", id: "big", kind: "text", content: strings.Repeat("x", 1<<20+1)},
				nacosEntry{group: "DEFAULT_GROUP", id: "cipher-aes-db", kind: "text", content: "zzz", key: "k"},
				nacosEntry{group: "DEFAULT_GROUP", id: "db.properties", kind: "properties", content: "password = hunter2\n", beta: "10.0.0.1,10.0.0.2"},
				nacosEntry{tenant: "stage-1", group: "DEFAULT_GROUP", id: "loan.yaml", kind: "yaml", content: "limit: 6\n"},
			)
			args := []string{"-n", "public=" + here, "-o", "json", "--release", "--sensitive", "db.*"}

			report := o.wantReport(o.migrateFrom("nacos", n.URL, append(args, "--dry-run")...), exitIncomplete)
			o.wantCounts(report, map[migrate.Effect]int{migrate.Created: 4, migrate.NotTaken: 3})
			wantWords(t, o.run("get", "Config").err, "no such documents")

			report = o.wantReport(o.migrateFrom("nacos", n.URL, args...), exitIncomplete)
			o.wantCounts(report, map[migrate.Effect]int{migrate.Created: 4, migrate.NotTaken: 3})
			reasons := map[string]migrate.Refusal{}
			for _, refusal := range report.Refusals {
				reasons[refusal.Name] = refusal
			}
			if r := reasons["broken.yaml"]; r.Line != 2 && r.Line != 3 || r.Code != "invalid" {
				t.Errorf("a broken document: %+v", r)
			}
			if r := reasons["big"]; r.Reason != "document.too_large" {
				t.Errorf("a large document: %+v", r)
			}
			if r := reasons["cipher-aes-db"]; r.Reason != "migrate.encrypted" {
				t.Errorf("an encrypted document: %+v", r)
			}
			var notes []string
			for _, note := range report.Notes {
				notes = append(notes, note.Origin+" "+note.Text)
			}
			wantWords(t, strings.Join(notes, "\n"), "public/DEFAULT_GROUP/odd.yaml it is no valid yaml and is taken as text")
			if !v3 {
				wantWords(t, strings.Join(notes, "\n"), "beta release for 10.0.0.1,10.0.0.2")
			}
			if got := o.must("get", "Config", "loan.yaml", "-o", "content"); got != "limit: 5\n" {
				t.Errorf("loan.yaml is %q", got)
			}
			if got := o.must("get", "Config", "RISK/rules", "-o", "content"); got != `{"max": 3}` {
				t.Errorf("rules is %q", got)
			}
			wantWords(t, o.must("get", "Config", "db.properties", "-o", "json"), `"sensitive": true`)
			n.source.mu.Lock()
			defer n.source.mu.Unlock()
			if i := slices.IndexFunc(n.asked, func(line string) bool {
				return strings.Contains(line, "token") || strings.Contains(line, nacosPassword)
			}); i >= 0 {
				t.Errorf("a secret stands in the address %s", n.asked[i])
			}
		})
	}
}

func TestMigrateAgainTakesWhatChanged(t *testing.T) {
	o := newOperator(t)
	here := o.env["GANTRY_NAMESPACE"]
	n := newNacosSource(t, false,
		nacosEntry{group: "DEFAULT_GROUP", id: "a.yaml", kind: "yaml", content: "v: 1\n"},
		nacosEntry{group: "DEFAULT_GROUP", id: "b.yaml", kind: "yaml", content: "v: 1\n"},
		nacosEntry{group: "DEFAULT_GROUP", id: "c.yaml", kind: "yaml", content: "v: 1\n"},
		nacosEntry{group: "DEFAULT_GROUP", id: "d.yaml", kind: "yaml", content: "v: 1\n"})
	copyAgain := func(code int, args ...string) migrate.Report {
		t.Helper()
		return o.wantReport(o.migrateFrom("nacos", n.URL, append([]string{"-n", "public=" + here, "-o", "json"}, args...)...), code)
	}
	o.wantCounts(copyAgain(exitDone), map[migrate.Effect]int{migrate.Created: 4})
	wantWords(t, o.must("history", "Config", "a.yaml"), "migrated from nacos at "+n.URL)
	o.wantCounts(copyAgain(exitDone), map[migrate.Effect]int{migrate.Unchanged: 4})

	// One changes in Nacos, one in Gantry, one in both, one is deleted in Gantry.
	n.mu.Lock()
	n.entries[0].content, n.entries[2].content = "v: 2\n", "v: 2\n"
	n.mu.Unlock()
	for _, name := range []string{"b.yaml", "c.yaml"} {
		manifest := "kind: Config\nmetadata: {name: " + name + "}\nspec: {format: yaml, content: \"v: 9\\n\"}\n"
		o.must("apply", "-f", file(t, "m.yaml", manifest))
	}
	o.must("delete", "Config", "d.yaml", "--yes")
	report := copyAgain(exitIncomplete)
	o.wantCounts(report, map[migrate.Effect]int{migrate.Updated: 1, migrate.NotTaken: 3})
	if r := report.Refusals[0]; r.Reason != "migrate.exists" || !strings.Contains(r.Message, "admin") {
		t.Errorf("a document changed in Gantry: %+v", r)
	}
	if r := report.Refusals[2]; r.Reason != "migrate.deleted" {
		t.Errorf("a document deleted in Gantry: %+v", r)
	}
	o.wantCounts(copyAgain(exitDone, "--only", "b.*", "--only", "a*", "--overwrite", "--release"), map[migrate.Effect]int{migrate.Released: 1, migrate.Updated: 1, migrate.LeftOut: 2})
	if got := o.must("get", "Config", "b.yaml", "-o", "content"); got != "v: 1\n" {
		t.Errorf("b.yaml is %q", got)
	}
	o.wantCounts(copyAgain(exitDone, "--overwrite", "--release"), map[migrate.Effect]int{migrate.Unchanged: 2, migrate.Updated: 1, migrate.Created: 1})
}

func TestMigrateMakesNamespaces(t *testing.T) {
	o := newOperator(t)
	here := o.env["GANTRY_NAMESPACE"]
	n := newNacosSource(t, false, nacosEntry{tenant: "stage-1", group: "DEFAULT_GROUP", id: "a.yaml", kind: "yaml", content: "v: 1\n"},
		nacosEntry{group: "DEFAULT_GROUP", id: "b.yaml", kind: "yaml", content: "v: 1\n"})
	args := []string{"-n", "stage-1=" + here + "-new", "-n", "public=" + here}
	r := o.migrateFrom("nacos", n.URL, args...)
	if r.code != exitDone {
		t.Fatalf("exit code %d\n%s%s", r.code, r.out, r.err)
	}
	wantWords(t, r.out, here+"-new (new)", "CREATED", "NOT TAKEN")
	wantWords(t, r.err, "2 documents: 2 created")
	o.must("get", "Config", "a.yaml", "-n", here+"-new")

	// Who may not make namespaces is told so, and the rest is taken.
	o.must("namespace", "create", here+"-allowed")
	token := strings.TrimSpace(o.must("token", "create", "--grant", here+"-allowed=releaser", "-o", "json"))
	secret := decode[struct{ Secret string }](t, token).Secret
	limited := o.with("GANTRY_TOKEN", secret)
	report := limited.wantReport(limited.migrateFrom("nacos", n.URL, "-n", "stage-1="+here+"-forbidden", "-n", "public="+here+"-allowed", "-o", "json"), exitIncomplete)
	limited.wantCounts(report, map[migrate.Effect]int{migrate.Created: 1, migrate.NotTaken: 1})
	if r := report.Refusals[0]; r.Code != "forbidden" || !strings.Contains(r.Hint, "--namespace") {
		t.Errorf("a namespace that may not be made: %+v", r)
	}
}

func TestMigrateStopsAndGoesOn(t *testing.T) {
	o := newOperator(t)
	here := o.env["GANTRY_NAMESPACE"]
	var entries []nacosEntry
	for i := range 450 {
		entries = append(entries, nacosEntry{group: "DEFAULT_GROUP", id: fmt.Sprintf("c%03d.yaml", i), kind: "yaml", content: "v: 1\n"})
	}
	n := newNacosSource(t, false, entries...)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n.onPage = func(number int) {
		if number == 3 {
			cancel()
		}
	}
	env := o.with("GANTRY_SOURCE_USER", "nacos", "GANTRY_SOURCE_PASSWORD", nacosPassword)
	args := []string{"migrate", "from", "nacos", "--url", n.URL, "-n", "public=" + here, "-o", "json"}
	report := o.wantReport(env.runIn(ctx, args...), exitInterrupted)
	if report.Stopped == nil || report.Stopped.After != "public/DEFAULT_GROUP/c399.yaml" || report.Counts[migrate.Created] != 400 {
		t.Fatalf("interrupted: %+v after %d created", report.Stopped, report.Counts[migrate.Created])
	}
	fail := func(number int) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.onPage, n.broken = nil, number
	}
	fail(2)
	r := env.run(args...)
	report = decode[migrate.Report](t, r.out)
	if r.code != exitInvalid || report.Stopped == nil || report.Stopped.After != "public/DEFAULT_GROUP/c199.yaml" {
		t.Fatalf("a page that fails: exit code %d, %+v\n%s", r.code, report.Stopped, r.err)
	}
	fail(0)
	o.wantCounts(o.wantReport(env.run(args...), exitDone), map[migrate.Effect]int{migrate.Created: 50, migrate.Unchanged: 400})
}

func TestMigrateRefusesWhatIsWrong(t *testing.T) {
	o := newOperator(t)
	n := newNacosSource(t, false)
	for line, words := range map[string][]string{
		"migrate from":                                                             {"say what to do", "nacos", "apollo"},
		"migrate from zookeeper":                                                   {"no command"},
		"migrate from nacos":                                                       {"--url"},
		"migrate from nacos --url http://u:p@h":                                    {"--source-user"},
		"migrate from nacos --url ftp://h":                                         {"neither http nor https"},
		"migrate from eureka --url http://h":                                       {"no configuration", "--mirror"},
		"migrate from consul --url http://h -n a=b":                                {"has no namespaces"},
		"migrate from nacos --url http://h --dry-run --mirror":                     {"--dry-run"},
		"migrate from nacos --url http://h --source-password-file /does/not/exist": {"no such file"},
		"migrate from nacos --url http://h -n a=b -n a=c":                          {"second time"},
		"migrate from apollo --url http://h --namespace-name application":          {"--app"},
		"migrate from nacos --url http://h --mirror --keep 1ms":                    {"keep"},
	} {
		o.fails(exitInvalid, words, strings.Fields(line)...)
	}
	wrong := o.with("GANTRY_SOURCE_USER", "nacos", "GANTRY_SOURCE_PASSWORD", "wrong-hunter2")
	r := wrong.fails(exitForbidden, []string{"refuses the user", "GANTRY_SOURCE_PASSWORD"}, "migrate", "from", "nacos", "--url", n.URL)
	wantNoWords(t, r.err, "hunter2")
	o.fails(exitForbidden, []string{"--source-user"}, "migrate", "from", "nacos", "--url", n.URL)
	o.fails(exitUnavailable, []string{"cannot reach nacos"}, "migrate", "from", "nacos", "--url", "http://127.0.0.1:1", "--timeout", "1s")
}

func TestMigrateConsulKeys(t *testing.T) {
	o := newOperator(t)
	keys := map[string]string{"config/loan/limit": "5", "config/": "", "config/été": "\xff\x00", "config/a b?c": "x", "other": "y"}
	s := serveSource(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Consul-Token") != "consul-secret" {
			http.Error(w, "Permission denied", http.StatusForbidden)
			return
		}
		name := strings.TrimPrefix(r.URL.Path, "/v1/kv/")
		if _, list := r.URL.Query()["keys"]; list {
			var names []string
			for key := range keys {
				if strings.HasPrefix(key, name) {
					names = append(names, key)
				}
			}
			slices.Sort(names)
			json.NewEncoder(w).Encode(names)
			return
		}
		value, ok := keys[name]
		if !ok {
			http.NotFound(w, r)
			return
		}
		encoded := `"` + base64.StdEncoding.EncodeToString([]byte(value)) + `"`
		if value == "" {
			encoded = "null"
		}
		fmt.Fprintf(w, `[{"LockIndex":0,"Key":%q,"Flags":%d,"Value":%s,"CreateIndex":14,"ModifyIndex":14}]`, name, len(value)%2*42, encoded)
	})
	o = o.with("GANTRY_SOURCE_TOKEN", "consul-secret")
	report := decode[migrate.Report](t, o.must("migrate", "from", "consul", "--url", s.URL, "--prefix", "config/", "--release", "-o", "json"))
	o.wantCounts(report, map[migrate.Effect]int{migrate.Created: 4})
	if len(report.Notes) != 2 || !strings.Contains(report.Notes[0].Text, "flags 42") {
		t.Errorf("notes %+v", report.Notes)
	}
	for key, value := range keys {
		if strings.HasPrefix(key, "config/") {
			if got := o.must("get", "KeyValue", key, "-o", "content"); got != value {
				t.Errorf("%q is %q, want %q", key, got, value)
			}
		}
	}
	o.wantCounts(decode[migrate.Report](t, o.must("migrate", "from", "consul", "--url", s.URL, "-o", "json")), map[migrate.Effect]int{migrate.Created: 1, migrate.Unchanged: 4})
}
