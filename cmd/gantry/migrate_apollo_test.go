package main

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/gantry-platform/gantry/internal/migrate"
)

// apolloPortalSource answers as the open API of Apollo's portal does.
func apolloPortalSource(t *testing.T) *source {
	namespace := func(name, format string, public bool, items string) string {
		return fmt.Sprintf(`{"appId":"x","clusterName":"default","namespaceName":%q,"comment":"","format":%q,"isPublic":%v,"items":[%s],"dataChangeCreatedBy":"apollo"}`, name, format, public, items)
	}
	release := func(configurations string) string {
		return `{"appId":"x","name":"20261125-release","configurations":` + configurations + `,"comment":""}`
	}
	const loan, risk = "/openapi/v1/envs/PRO/apps/loan/clusters/", "/openapi/v1/envs/PRO/apps/risk/clusters/default/namespaces"
	answers := map[string]string{
		"/openapi/v1/apps":                  `[{"name":"loan","appId":"loan","orgId":"o","ownerName":"apollo"},{"name":"risk","appId":"risk"}]`,
		"/openapi/v1/apps/loan/envclusters": `[{"env":"PRO","clusters":["default","north"]},{"env":"DEV","clusters":["default"]}]`,
		"/openapi/v1/apps/risk/envclusters": `[{"env":"PRO","clusters":["default"]}]`,
		loan + "default/namespaces": "[" + namespace("application", "properties", false, `{"key":"limit","value":"6","comment":"the most"},{"key":"","value":"","comment":"lonely"},{"key":"rate","value":"1 = 2"}`) + "," +
			namespace("rules.json", "json", false, `{"key":"content","value":"{}"}`) + "," + namespace("draft", "properties", false, `{"key":"a","value":"b"}`) + "," +
			namespace("shared", "properties", true, "") + "," + namespace("both", "properties", true, "") + "]",
		loan + "default/namespaces/application/releases/latest": release(`{"limit":"5","rate":"1 = 2"}`),
		loan + "default/namespaces/rules.json/releases/latest":  release(`{"content":"{\"max\": 3}"}`),
		loan + "default/namespaces/draft/releases/latest":       "",
		loan + "default/namespaces/shared/releases/latest":      release(`{"s":"1"}`),
		loan + "default/namespaces/both/releases/latest":        release(`{"b":"own"}`),
		loan + "north/namespaces":                               "[" + namespace("application", "properties", false, `{"key":"limit","value":"7"}`) + "]",
		loan + "north/namespaces/application/releases/latest":   release(`{"limit":"7"}`),
		risk:                           "[" + namespace("both", "properties", true, "") + "]",
		risk + "/both/releases/latest": release(`{"b":"public"}`),
	}
	return serveSource(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "portal-hunter2" {
			http.Error(w, `{"message":"Unauthorized"}`, http.StatusUnauthorized)
			return
		}
		answer, ok := answers[r.URL.Path]
		if !ok {
			t.Errorf("asked for %s", r.URL.Path)
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, answer)
	})
}

func TestMigrateApolloByThePortal(t *testing.T) {
	o := newOperator(t)
	here := o.env["GANTRY_NAMESPACE"]
	portal := apolloPortalSource(t)
	o = o.with("GANTRY_SOURCE_TOKEN", "portal-hunter2")
	args := []string{"migrate", "from", "apollo", "--url", portal.URL, "-n", "PRO=" + here, "--release", "-o", "json"}
	report := o.wantReport(o.run(args...), exitIncomplete)
	o.wantCounts(report, map[migrate.Effect]int{migrate.Created: 5, migrate.NotTaken: 2})
	for _, r := range report.Refusals {
		if r.Reason != "migrate.owner_unknown" || !strings.Contains(r.Hint, "--public both=APP") {
			t.Errorf("%+v", r)
		}
	}
	for name, want := range map[string]string{
		"loan/application.properties": "# the most\nlimit = 5\nrate = 1 = 2\n", "loan/rules.json": `{"max": 3}`, "loan/draft.properties": "a = b\n", "public/shared.properties": "s = 1\n",
		"loan/north/application.properties": "limit = 7\n",
	} {
		if got := o.must("get", "Config", name, "-o", "content"); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	var notes []string
	for _, n := range report.Notes {
		notes = append(notes, n.Origin+": "+n.Text)
	}
	wantWords(t, strings.Join(notes, "\n"), "PRO/loan/default/application: 1 of its items were edited", "PRO/loan/default/draft: it was never released")
	if got := o.must("get", "Config", "loan/draft.properties", "-o", "json"); !strings.Contains(got, `"releasedVersion": "0"`) {
		t.Errorf("what was never released is released: %s", got)
	}
	report = o.wantReport(o.run(append(args, "--public", "both=risk")...), exitDone)
	o.wantCounts(report, map[migrate.Effect]int{migrate.Created: 2, migrate.Unchanged: 5})
	if got := o.must("get", "Config", "public/both.properties", "-o", "content"); got != "b = public\n" {
		t.Errorf("the public namespace is %q", got)
	}
	if got := o.must("get", "Config", "loan/both.properties", "-o", "content"); got != "b = own\n" {
		t.Errorf("the application's own is %q", got)
	}
	r := o.with("GANTRY_SOURCE_TOKEN", "wrong-hunter2").fails(exitForbidden, []string{"GANTRY_SOURCE_TOKEN"}, args[:7]...)
	wantNoWords(t, r.err, "hunter2")
}

func TestMigrateApolloByAConfigService(t *testing.T) {
	o := newOperator(t)
	here := o.env["GANTRY_NAMESPACE"]
	const secret = "access-hunter2"
	s := serveSource(t, func(w http.ResponseWriter, r *http.Request) {
		mac := hmac.New(sha1.New, []byte(secret))
		mac.Write([]byte(r.Header.Get("Timestamp") + "\n" + r.URL.RequestURI()))
		if want := "Apollo loan:" + base64.StdEncoding.EncodeToString(mac.Sum(nil)); r.Header.Get("Authorization") != want {
			http.Error(w, "unauthorized", http.StatusUnauthorized)
			return
		}
		switch r.URL.Path {
		case "/configs/loan/default/application":
			fmt.Fprint(w, `{"appId":"loan","cluster":"default","namespaceName":"application","configurations":{"b":"2","a":"1"},"releaseKey":"k"}`)
		case "/configs/loan/north/application":
			fmt.Fprint(w, `{"appId":"loan","cluster":"default","namespaceName":"application","configurations":{"b":"2","a":"1"},"releaseKey":"k"}`)
		default:
			http.NotFound(w, r)
		}
	})
	o = o.with("GANTRY_SOURCE_TOKEN", secret)
	report := o.wantReport(o.run("migrate", "from", "apollo", "--url", s.URL, "--app", "loan", "--namespace-name", "application", "--namespace-name", "none", "--cluster", "default",
		"--cluster", "north", "-n", here, "-o", "json"), exitIncomplete)
	o.wantCounts(report, map[migrate.Effect]int{migrate.Created: 1, migrate.NotTaken: 3})
	if got := o.must("get", "Config", "loan/application.properties", "-o", "content"); got != "a = 1\nb = 2\n" {
		t.Errorf("%q", got)
	}
}
