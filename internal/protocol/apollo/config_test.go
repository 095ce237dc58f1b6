package apollo_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/gantry-platform/gantry/internal/release"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

func TestAClientReadsItsNamespaces(t *testing.T) {
	n := start(t, options{open: true})
	n.release(ref("loan/application.properties"), "rate = 0.12\ngreeting=\\u4f60\\u597d\na=1\na.b=2\n")
	n.publish(release.Draft{Ref: ref("loan/limits.properties"), Format: "yaml", Content: []byte("max: {cny: 5000, usd: [1, 2]}\n---\nextra: yes it is\n"), Release: true})
	n.release(ref("loan/rules.json"), `{"a": 1}`)
	n.release(ref("loan/raw.txt"), "any text")

	c := n.config("/configs/loan/default/application?ip=10.0.0.1&label=&releaseKey=")
	if c.AppID != "loan" || c.Cluster != "default" || c.NamespaceName != "application" || c.ReleaseKey == "" ||
		!maps.Equal(c.Configurations, map[string]string{"rate": "0.12", "greeting": "你好", "a": "1", "a.b": "2"}) {
		t.Errorf("%+v", c)
	}
	if again := n.get("/configs/loan/default/application?releaseKey=" + url.QueryEscape(c.ReleaseKey)); again.status != http.StatusNotModified || again.body != "" {
		t.Errorf("with the same release key: %+v", again)
	}
	if with := n.config("/configs/loan/default/application.Properties"); with.NamespaceName != "application.Properties" || with.ReleaseKey != c.ReleaseKey {
		t.Errorf("with the extension: %+v", with)
	}
	n.release(ref("loan/application.properties"), "rate = 0.13\n")
	if next := n.config("/configs/loan/default/application?releaseKey=" + url.QueryEscape(c.ReleaseKey)); next.ReleaseKey == c.ReleaseKey || next.Configurations["rate"] != "0.13" {
		t.Errorf("after a release: %+v", next)
	}
	if c := n.config("/configs/loan/default/limits"); !maps.Equal(c.Configurations, map[string]string{"max.cny": "5000", "max.usd[0]": "1", "max.usd[1]": "2", "extra": "yes it is"}) {
		t.Errorf("YAML as properties: %+v", c)
	}
	if c := n.config("/configs/loan/default/rules.json"); !maps.Equal(c.Configurations, map[string]string{"content": `{"a": 1}`}) {
		t.Errorf("JSON: %+v", c)
	}
	if c := n.config("/configs/loan/default/raw.txt"); c.Configurations["content"] != "any text" {
		t.Errorf("text: %+v", c)
	}
}

func TestFiles(t *testing.T) {
	n := start(t, options{open: true})
	n.release(ref("loan/application.properties"), "b.c = two words\\ \nä=<x>\n")
	n.release(ref("loan/rules.xml"), "<a/>")
	for path, want := range map[string]struct{ contentType, body string }{
		"/configfiles/loan/default/application":      {"text/plain;charset=UTF-8", "b.c=two words \nä=<x>\n"},
		"/configfiles/raw/loan/default/application":  {"text/plain;charset=UTF-8", "b.c=two words \nä=<x>\n"},
		"/configfiles/json/loan/default/application": {"application/json;charset=UTF-8", `{"b.c":"two words ","ä":"<x>"}` + "\n"},
		"/configfiles/raw/loan/default/rules.xml":    {"application/xml;charset=UTF-8", "<a/>"},
		"/configfiles/json/loan/default/rules.xml":   {"application/json;charset=UTF-8", `{"content":"<a/>"}` + "\n"},
	} {
		if a := n.get(path); a.status != http.StatusOK || a.header.Get("Content-Type") != want.contentType || a.body != want.body {
			t.Errorf("%s: %d %s %q", path, a.status, a.header.Get("Content-Type"), a.body)
		}
	}
}

func TestClustersFallBack(t *testing.T) {
	n := start(t, options{open: true})
	n.release(ref("loan/application.properties"), "from=default")
	n.release(ref("loan/sh/application.properties"), "from=data center")
	n.release(ref("loan/blue/application.properties"), "from=cluster")
	for path, want := range map[string]string{
		"/configs/loan/blue/application?dataCenter=sh":  "blue=cluster",
		"/configs/loan/green/application?dataCenter=sh": "sh=data center",
		"/configs/loan/green/application?dataCenter=bj": "default=default",
		"/configs/loan/green/application":               "default=default",
		"/configs/loan/default/application":             "default=default",
		// As in Apollo, the default cluster is asked for last, whatever the client called it.
		"/configs/loan/default/application?dataCenter=sh": "sh=data center",
	} {
		if c := n.config(path); c.Cluster+"="+c.Configurations["from"] != want {
			t.Errorf("%s: %+v, want %s", path, c, want)
		}
	}
}

func TestPublicNamespacesLieBelow(t *testing.T) {
	n := start(t, options{open: true})
	n.release(ref("public/redis.properties"), "host=shared\nport=6379\n")
	public := n.config("/configs/loan/default/redis")
	if !maps.Equal(public.Configurations, map[string]string{"host": "shared", "port": "6379"}) || public.Cluster != "default" {
		t.Errorf("public alone: %+v", public)
	}
	n.release(ref("loan/redis.properties"), "host=own\n")
	both := n.config("/configs/loan/default/redis?releaseKey=" + url.QueryEscape(public.ReleaseKey))
	if !maps.Equal(both.Configurations, map[string]string{"host": "own", "port": "6379"}) || strings.Count(both.ReleaseKey, "+") != 1 {
		t.Errorf("own over public: %+v", both)
	}
	n.release(ref("public/application.properties"), "x=1")
	if a := n.get("/configs/loan/default/application"); a.status != http.StatusNotFound {
		t.Errorf("the namespace application is never public: %d %s", a.status, a.body)
	}
	if c := n.config("/configs/ApolloNoAppIdPlaceHolder/default/redis"); c.Configurations["host"] != "shared" {
		t.Errorf("without an application: %+v", c)
	}
}

func TestGrayReleases(t *testing.T) {
	n := start(t, options{open: true})
	at := ref("loan/application.properties")
	n.release(at, "v=1")
	full := n.config("/configs/loan/default/application?ip=10.9.0.1")
	n.gray(at, "v=2", &gantryv1.Cohort{Addresses: []string{"10.0.0.0/16", "127.0.0.1"}})
	for path, want := range map[string]string{
		"/configs/loan/default/application?ip=10.0.3.4":        "2",
		"/configs/loan/default/application?ip=10.9.0.1":        "1",
		"/configs/loan/default/application":                    "2", // by where it comes from
		"/configs/loan/default/application?ip=%00;drop":        "2",
		"/configs/loan/default/application?ip=::ffff:10.0.3.4": "2",
	} {
		c := n.config(path)
		if c.Configurations["v"] != want || (c.ReleaseKey == full.ReleaseKey) != (want == "1") {
			t.Errorf("%s: %+v", path, c)
		}
	}
	step := release.Step{Ref: at}
	if _, err := n.releases.Abort(system(t), step); err != nil {
		t.Fatal(err)
	}
	if c := n.config("/configs/loan/default/application?ip=10.0.3.4"); c.ReleaseKey != full.ReleaseKey {
		t.Errorf("after it was given up: %+v", c)
	}
	n.gray(at, "v=3", &gantryv1.Cohort{Labels: map[string]string{"label": "canary"}})
	if c := n.config("/configs/loan/default/application?ip=10.9.0.1&label=canary"); c.Configurations["v"] != "3" {
		t.Errorf("by label: %+v", c)
	}
	if c := n.config("/configs/loan/default/application?ip=10.9.0.1&label=other"); c.Configurations["v"] != "1" {
		t.Errorf("by another label: %+v", c)
	}
}

func TestNamespacesAreEnvironments(t *testing.T) {
	n := start(t, options{open: true})
	n.release(ref("loan/application.properties"), "env=default")
	n.release(release.Ref{Namespace: "pro", Kind: "Config", Name: "loan/application.properties"}, "env=pro")
	if c := n.config("/ns/pro/configs/loan/default/application"); c.Configurations["env"] != "pro" {
		t.Errorf("%+v", c)
	}
	var found []struct{ AppName, InstanceID, HomepageURL string }
	for path, want := range map[string]string{"/services/config?appId=loan&ip=10.0.0.1": n.http.URL + "/", "/ns/pro/services/config": n.http.URL + "/ns/pro/", "/services/meta": n.http.URL + "/"} {
		a := n.get(path, "X-Forwarded-Host", "evil.example")
		if err := json.Unmarshal([]byte(a.body), &found); err != nil || len(found) != 1 || found[0].HomepageURL != want || found[0].InstanceID == "" {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if a := n.get("/services/admin"); a.status != http.StatusOK || a.body != "[]\n" {
		t.Errorf("admin: %+v", a)
	}
}

func TestRefusals(t *testing.T) {
	n := start(t, options{open: true})
	n.publish(release.Draft{Ref: ref("loan/words.properties"), Format: "xml", Content: []byte("<a/>"), Release: true})
	long := strings.Repeat("x", 129)
	for path, want := range map[string]int{
		"/configs/loan/default/nothing":                                                 404,
		"/configs/nobody/default/application":                                           404,
		"/configs/loan/default":                                                         404,
		"/configs/loan/default/a/b":                                                     404,
		"/configs/loan/default/..%2f..%2fsecret":                                        400,
		"/configs/..%2fother/default/application":                                       400,
		"/configs/%2e%2e/default/application":                                           400,
		"/configs/loan/%2e/application":                                                 400,
		"/configs/loan/default/%ff":                                                     400,
		"/configs/loan/default/" + long:                                                 400,
		"/configs/loan/default/application?dataCenter=a%2fb":                            400,
		"/configs/loan/default/application?label=" + long:                               413,
		"/configs/loan/default/words":                                                   409,
		"/configfiles/loan/default/nothing":                                             404,
		"/configfiles/yaml/loan/default/application":                                    404,
		"/services/eureka":                                                              404,
		"/notifications/v3":                                                             404,
		"/notifications/v2?appId=loan&cluster=default":                                  400,
		"/notifications/v2?appId=loan&cluster=default&notifications=%7B%7D":             400,
		"/notifications/v2?appId=loan&cluster=default&notifications=%5B%5D":             400,
		"/notifications/v2?cluster=default&notifications=" + notify("application", -1):  400,
		"/notifications/v2?appId=loan&notifications=" + notify("application", -1):       400,
		"/notifications/v2?appId=loan&cluster=x&notifications=" + notify("a/b", -1):     400,
		"/notifications?appId=loan&cluster=default&notificationId=abc":                  400,
		"/notifications?appId=loan&cluster=default&namespace=..":                        400,
		"/ns/..%2fx/configs/loan/default/application":                                   400,
		"/notifications/v2?appId=loan&cluster=default&notifications=" + many(129):       413,
		"/notifications/v2?appId=loan&cluster=default&notifications=[" + blanks(50_000): 413,
	} {
		a := n.get(path)
		if a.status != want {
			t.Errorf("%s: %d %s, want %d", path[:min(len(path), 80)], a.status, a.body, want)
			continue
		}
		if strings.HasPrefix(path, "/ns/") {
			continue // refused before it is Apollo's
		}
		var body struct {
			Timestamp, Error, Message, Path string
			Status                          int
		}
		if err := json.Unmarshal([]byte(a.body), &body); err != nil || body.Status != want || body.Timestamp == "" || body.Error != http.StatusText(want) || body.Message == "" || body.Path == "" {
			t.Errorf("%s: the error has not Apollo's shape: %s", path[:min(len(path), 80)], a.body)
		}
	}
	if a := n.do(http.MethodPost, "/configs/loan/default/application"); a.status != http.StatusMethodNotAllowed || !slices.Equal(a.header["Allow"], []string{"GET, HEAD"}) {
		t.Errorf("POST: %+v", a)
	}
	if a := n.do(http.MethodHead, "/configs/loan/default/nothing"); a.status != http.StatusNotFound || a.body != "" {
		t.Errorf("HEAD: %+v", a)
	}
}
