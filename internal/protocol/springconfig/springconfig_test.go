package springconfig_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/gantry-platform/gantry/internal/release"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

func names(e environment) string {
	var all []string
	for _, s := range e.PropertySources {
		all = append(all, strings.TrimPrefix(s.Name, "gantry:default/"))
	}
	return strings.Join(all, " ")
}

// The orders are those that Spring Cloud Config's own server answers for the same files.
func TestPropertySourcesStandInSpringsOrder(t *testing.T) {
	n := start(t, true)
	contents := map[string]string{}
	for _, name := range []string{"loan-prod.yml", "loan-eu.yml", "loan.yml", "loan.properties", "card-prod.properties", "card.yaml",
		"application-prod.yml", "application-eu.yml", "application.yml", "v2/loan.yml", "feature/x/loan.yml", "team/loan.yml"} {
		contents[name] = "at: x\n"
	}
	n.release(contents)
	for path, want := range map[string]string{
		"loan/prod":             "loan-prod.yml application-prod.yml loan.properties loan.yml application.yml",
		"loan/prod,eu":          "loan-eu.yml application-eu.yml loan-prod.yml application-prod.yml loan.properties loan.yml application.yml",
		"loan/eu,prod,eu":       "loan-eu.yml application-eu.yml loan-prod.yml application-prod.yml loan.properties loan.yml application.yml",
		"loan,card/prod":        "card-prod.properties loan-prod.yml application-prod.yml card.yaml loan.properties loan.yml application.yml",
		"loan/default":          "loan.properties loan.yml application.yml",
		"application/default":   "application.yml",
		"unknown/default":       "application.yml",
		"loan/default/main":     "loan.properties loan.yml application.yml",
		"loan/default/master":   "loan.properties loan.yml application.yml",
		"loan/default/v2":       "v2/loan.yml",
		"loan/default/v3":       "",
		"loan/prod/feature(_)x": "feature/x/loan.yml",
		"team(_)loan/default":   "team/loan.yml application.yml",
	} {
		if got := names(n.environment(path)); got != want {
			t.Errorf("%s: %s\nwant %s", path, got, want)
		}
	}
	e := n.environment("loan/prod,eu/feature(_)x")
	if e.Name != "loan" || strings.Join(e.Profiles, " ") != "prod eu" || e.Label == nil || *e.Label != "feature/x" || e.Version == "" {
		t.Errorf("%+v", e)
	}
	if e := n.environment("loan/prod"); e.Label != nil {
		t.Errorf("the label is %q without one", *e.Label)
	}
}

func TestYAMLIsFlattened(t *testing.T) {
	n := start(t, true)
	n.release(map[string]string{"loan.yml": "shared: {a: 1, list: [x, y], empty: [], none: null, flag: true}\nnest: [{a: 1}, [2, 3]]\nf: 1.50\ns: \"1\"\n"})
	const want = `{"name":"gantry:default/loan.yml","source":{"shared.a":1,"shared.list[0]":"x","shared.list[1]":"y","shared.empty":"","shared.none":"","shared.flag":true,"nest[0].a":1,"nest[1][0]":2,"nest[1][1]":3,"f":1.50,"s":"1"}}`
	a := n.get("loan/default")
	if a.contentType != "application/json" || !strings.Contains(a.body, want) {
		t.Errorf("%s %s", a.contentType, a.body)
	}
	a = n.get("loan/default", "Accept", "application/vnd.spring-cloud.config-server.v2+json;q=1, application/json")
	if a.contentType != "application/vnd.spring-cloud.config-server.v2+json" || !strings.Contains(a.body, `"nest[0].a":{"value":1,"origin":"2:12"}`) {
		t.Errorf("with origins: %s %s", a.contentType, a.body)
	}
}

func TestSeveralDocumentsInOneText(t *testing.T) {
	n := start(t, true)
	n.release(map[string]string{
		"loan.yml": "over: all\n---\nspring.config.activate.on-profile: prod\nover: prod\n---\nspring: {config: {activate: {on-profile: [test, \"prod & !eu\"]}}}\nover: list\n" +
			"---\nspring.profiles: old\nover: old\n---\nspring.config.activate.on-cloud-platform: kubernetes\nover: cloud\n",
		"card.properties": "over=all\n#---\nspring.config.activate.on-profile=!prod\nover=not prod\n",
	})
	for path, want := range map[string]string{
		"loan/default": "loan.yml (document #4)=cloud loan.yml (document #0)=all",
		"loan/prod":    "loan.yml (document #4)=cloud loan.yml (document #2)=list loan.yml (document #1)=prod loan.yml (document #0)=all",
		"loan/prod,eu": "loan.yml (document #4)=cloud loan.yml (document #1)=prod loan.yml (document #0)=all",
		"loan/old":     "loan.yml (document #4)=cloud loan.yml (document #3)=old loan.yml (document #0)=all",
		"card/default": "card.properties (document #1)=not prod card.properties (document #0)=all",
		"card/prod":    "card.properties (document #0)=all",
	} {
		var got []string
		for _, s := range n.environment(path).PropertySources {
			got = append(got, fmt.Sprintf("%s=%v", strings.TrimPrefix(s.Name, "gantry:default/"), s.Source["over"]))
			if s.Source["spring.profiles"] != nil {
				t.Errorf("%s: clients refuse spring.profiles", path)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %s\nwant %s", path, got, want)
		}
	}
	if a := n.get("loan-prod.properties"); a.body != "over: list\n" {
		t.Errorf("as a file: %q", a.body)
	}
	n.release(map[string]string{"bad.yml": "spring.config.activate.on-profile: a & b | c\nx: 1\n"})
	if a := n.get("bad/default"); a.status != http.StatusConflict || !strings.Contains(a.body, "bad.yml") || !strings.Contains(a.body, "line 1:36") {
		t.Errorf("an expression that is none: %d %s", a.status, a.body)
	}
}

func TestFiles(t *testing.T) {
	n := start(t, true)
	n.release(map[string]string{
		"application.yml":      "list: [a, b, c]\nn: 1\nurl: http://${host}:${port:80}/${missing}\nhost: h\n",
		"my-app-prod.yml":      "list: [z]\nb: \"true\"\nquoted: 'a: b'\nm: {k: [{x: 1}, {x: 2}]}\nesc: \\${host}\n",
		"v2/my-app.properties": "only=v2\n",
	})
	// Lists come behind the rest, as in Spring.
	for path, want := range map[string]struct{ contentType, body string }{
		"my-app-prod.properties":                     {"text/plain;charset=UTF-8", "n: 1\nurl: http://h:80/${missing}\nhost: h\nb: true\nquoted: a: b\nesc: ${host}\nlist[0]: z\nm.k[0].x: 1\nm.k[1].x: 2\n"},
		"my-app-prod.json":                           {"application/json", `{"n":1,"url":"http://h:80/${missing}","host":"h","b":"true","quoted":"a: b","esc":"${host}","list":["z"],"m":{"k":[{"x":1},{"x":2}]}}`},
		"my-app-prod.yml":                            {"text/plain;charset=UTF-8", "n: 1\nurl: http://h:80/${missing}\nhost: h\nb: \"true\"\nquoted: 'a: b'\nesc: ${host}\nlist:\n  - z\nm:\n  k:\n    - x: 1\n    - x: 2\n"},
		"my-app-prod.yaml?resolvePlaceholders=false": {"text/plain;charset=UTF-8", "n: 1\nurl: http://${host}:${port:80}/${missing}\nhost: h\nb: \"true\"\nquoted: 'a: b'\nesc: \\${host}\nlist:\n  - z\nm:\n  k:\n    - x: 1\n    - x: 2\n"},
		"v2/my-app-default.properties":               {"text/plain;charset=UTF-8", "only: v2\n"},
		"nobody-prod.yml":                            {"text/plain;charset=UTF-8", "n: 1\nurl: http://h:80/${missing}\nhost: h\nlist:\n  - a\n  - b\n  - c\n"},
	} {
		a := n.get(path)
		if a.status != http.StatusOK || a.contentType != want.contentType || a.body != want.body {
			t.Errorf("%s: %d %s\n%s\nwant\n%s", path, a.status, a.contentType, a.body, want.body)
		}
	}
}

func TestPlainResources(t *testing.T) {
	n := start(t, true)
	n.release(map[string]string{
		"loan.yml": "name: world\nlaugh: ${a}${a}${a}${a}\n", "nginx.conf": "hello ${name} $uri", "nginx-prod.conf": "hello prod", "conf/logback.xml": "<a>${name}</a>", "v2/nginx.conf": "hello v2",
	})
	for path, want := range map[string]string{
		"loan/default/main/nginx.conf":                            "hello world $uri",
		"loan/prod/main/nginx.conf":                               "hello prod",
		"loan/test,prod/main/nginx.conf":                          "hello prod",
		"loan/test/main/nginx.conf":                               "hello world $uri",
		"loan/default/v2/nginx.conf":                              "hello v2",
		"loan/default/main/conf/logback.xml":                      "<a>world</a>",
		"loan/default/nginx.conf?useDefaultLabel":                 "hello world $uri",
		"loan/default/main/nginx.conf?resolvePlaceholders=false":  "hello ${name} $uri",
		"loan/default/main/nginx.conf?resolvePlaceholders=xfalse": "hello world $uri",
	} {
		if a := n.get(path); a.status != http.StatusOK || a.contentType != "text/plain;charset=UTF-8" || a.body != want {
			t.Errorf("%s: %+v", path, a)
		}
	}
	if a := n.get("loan/default/main/nginx.conf", "Accept", "application/octet-stream"); a.contentType != "application/octet-stream" || a.body != "hello ${name} $uri" {
		t.Errorf("as bytes: %+v", a)
	}
	if a := n.get("loan/default/main/none.conf"); a.status != http.StatusNotFound {
		t.Errorf("none: %+v", a)
	}
}

func TestVersionsAndCohorts(t *testing.T) {
	n := start(t, true)
	n.release(map[string]string{"loan.yml": "v: 1\n"})
	first := n.environment("loan/default")
	if again := n.environment("loan/default"); again.Version != first.Version {
		t.Error("the version changes without a change")
	}
	n.publish(release.Draft{Ref: ref("loan.yml"), Content: []byte("v: 2\n")})
	if again := n.environment("loan/default"); again.Version != first.Version || again.PropertySources[0].Source["v"] != 1. {
		t.Errorf("a draft counts: %+v", again)
	}
	step := release.Step{Ref: ref("loan.yml")}
	if _, err := n.releases.Release(system(t), step, 2, &gantryv1.Cohort{Addresses: []string{"10.0.0.1"}}); err != nil {
		t.Fatal(err)
	}
	if other := n.environment("loan/default"); other.Version != first.Version {
		t.Errorf("a rollout to others: %+v", other)
	}
	if _, err := n.releases.Release(system(t), step, 2, &gantryv1.Cohort{Addresses: []string{"127.0.0.0/8"}}); err != nil {
		t.Fatal(err)
	}
	if own := n.environment("loan/default"); own.Version == first.Version || own.PropertySources[0].Source["v"] != 2. {
		t.Errorf("a rollout to this address: %+v", own)
	}
}

func TestWhoMayRead(t *testing.T) {
	n := start(t, false)
	n.release(map[string]string{"loan.yml": "v: 1\n"})
	n.publish(release.Draft{Ref: ref("card.yml"), Content: []byte("password: hidden\n"), Sensitive: true, Release: true})
	n.publish(release.Draft{Ref: ref("odd.yml"), Format: "text", Content: []byte("password: 'hidden\n"), Sensitive: true, Release: true})
	service, viewer := n.token(gantryv1.Role_ROLE_SERVICE), n.token(gantryv1.Role_ROLE_VIEWER)
	for name, c := range map[string]struct {
		path    string
		headers []string
		status  int
	}{
		"nobody":                {"loan/default", nil, 401},
		"an unknown token":      {"loan/default", []string{"Authorization", "Bearer gty_x"}, 401},
		"an unknown password":   {"loan/default", []string{"Authorization", "Basic YTpi"}, 401},
		"a service":             {"loan/default", []string{"Authorization", "Bearer " + service}, 200},
		"by the config token":   {"loan/default", []string{"X-Config-Token", service}, 200},
		"a viewer":              {"loan/default", []string{"Authorization", "Bearer " + viewer}, 200},
		"a secret":              {"card/default", []string{"Authorization", "Bearer " + service}, 200},
		"a secret, viewer":      {"card/default", []string{"Authorization", "Bearer " + viewer}, 403},
		"a secret file, viewer": {"card-default.yml", []string{"Authorization", "Bearer " + viewer}, 403},
		"a secret text, viewer": {"loan/default/main/card.yml", []string{"Authorization", "Bearer " + viewer}, 403},
		"an unreadable secret":  {"odd/default", []string{"Authorization", "Bearer " + service}, 409},
	} {
		a := n.get(c.path, c.headers...)
		if a.status != c.status || (a.status != 200 && strings.Contains(a.body, "hidden")) {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
		if a.status == 401 && a.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: it does not say how", name)
		}
	}
	if a := n.do(http.MethodGet, "/ns/pro/spring-config/loan/default", "Authorization", "Bearer "+service); a.status != 403 {
		t.Errorf("another namespace: %d %s", a.status, a.body)
	}
}

func TestRefusals(t *testing.T) {
	n := start(t, true)
	n.publish(release.Draft{Ref: ref("xml.yml"), Format: "xml", Content: []byte("<a/>"), Release: true})
	n.release(map[string]string{"laugh.yml": bomb()})
	for path, want := range map[string]int{
		"":                                   400,
		"loan":                               404,
		"loan.yml":                           404,
		"loan/":                              400,
		"loan//main":                         400,
		"loan/..%2f..%2fx":                   400,
		"loan/default/%2e%2e/x":              400,
		"..%2fx/default":                     400,
		"..(_)x/default":                     400,
		"loan/default/..(_)..(_)x":           400,
		"loan/default/(_)etc":                400,
		"loan/default/main/..%5cx":           400,
		"loan/%00":                           400,
		"loan/%ff":                           400,
		",/default":                          400,
		"loan/,":                             400,
		"a,b,c,d,e,f,g,h,i/default":          413,
		"loan/" + strings.Repeat("p", 129):   413,
		"loan/x/" + strings.Repeat("p", 129): 413,
		"loan/" + strings.Repeat("a/", 40):   413,
		"xml/default":                        409,
		"laugh-default.properties":           413,
		"loan/default/main/none.txt":         404,
	} {
		a := n.get(path)
		var body struct {
			Timestamp, Error, Message, Path string
			Status                          int
		}
		if err := json.Unmarshal([]byte(a.body), &body); a.status != want || err != nil || body.Status != want || body.Message == "" || body.Path == "" || body.Timestamp == "" {
			t.Errorf("%.60q: %d %s, want %d", path, a.status, a.body, want)
		}
	}
	if a := n.do(http.MethodPost, "/spring-config/loan/default"); a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %+v", a)
	}
}

// bomb is placeholders that stand for ever more others.
func bomb() string {
	var b strings.Builder
	b.WriteString("k0: \"\"\n")
	for i := 1; i < 12; i++ {
		fmt.Fprintf(&b, "k%d: \"%s\"\n", i, strings.Repeat(fmt.Sprintf("${k%d}", i-1), 100))
	}
	return b.String()
}
