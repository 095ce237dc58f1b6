package apollo_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/internal/release"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

const (
	secret = "1dde2f5d1bfb4a6c9fd6b2dd9a04d5a1"
	next   = "a7c6c5e8f0b14d7c8a4f3b1d2e9f0c11"
)

func (n *node) accessKey(app, content string) {
	n.t.Helper()
	n.publish(release.Draft{Ref: release.Ref{Namespace: "default", Kind: "AccessKey", Name: app}, Content: []byte(content), Sensitive: true, Release: true})
}

func TestSignedRequests(t *testing.T) {
	for _, open := range []bool{true, false} {
		n := start(t, options{open: open, hold: 50 * time.Millisecond})
		n.release(ref("loan/application.properties"), "a=1")
		n.publish(release.Draft{Ref: ref("loan/db.properties"), Content: []byte("password=hidden"), Sensitive: true, Release: true})
		n.release(ref("card/application.properties"), "a=1")
		n.release(ref("public/redis.properties"), "a=1")
		n.accessKey("loan", "keys:\n  - secret: "+secret+"\n  - secret: "+next+"\n  - {secret: "+secret+"-off, enabled: false}\n  - {secret: "+secret+"-seen, mode: observer}\n")
		now := time.Now()
		path := "/configs/loan/default/application?releaseKey=&ip=10.0.0.1&label="
		for name, c := range map[string]struct {
			path    string
			headers []string
			status  int
			says    string
		}{
			"right":             {path, signed("loan", secret, path, now), 200, ""},
			"the other key":     {path, signed("loan", next, path, now), 200, ""},
			"within a minute":   {path, signed("loan", secret, path, now.Add(-50*time.Second)), 200, ""},
			"ahead":             {path, signed("loan", secret, path, now.Add(50*time.Second)), 200, ""},
			"secret":            {"/configs/loan/default/db", signed("loan", secret, "/configs/loan/default/db", now), 200, "hidden"},
			"public":            {"/configs/loan/default/redis", signed("loan", secret, "/configs/loan/default/redis", now), 200, ""},
			"no such":           {"/configs/loan/default/no", signed("loan", secret, "/configs/loan/default/no", now), 404, ""},
			"too old":           {path, signed("loan", secret, path, now.Add(-time.Minute)), 401, "RequestTimeTooSkewed"},
			"too new":           {path, signed("loan", secret, path, now.Add(70*time.Second)), 401, "RequestTimeTooSkewed"},
			"no time":           {path, []string{"Authorization", "Apollo loan:x"}, 401, "RequestTimeTooSkewed"},
			"odd time":          {path, []string{"Authorization", "Apollo loan:x", "Timestamp", "9223372036854775807"}, 401, "RequestTimeTooSkewed"},
			"another path":      {path, signed("loan", secret, "/configs/loan/default/db", now), 401, "Unauthorized"},
			"disabled":          {path, signed("loan", secret+"-off", path, now), 401, "Unauthorized"},
			"only observing":    {path, signed("loan", secret+"-seen", path, now), 401, "Unauthorized"},
			"another secret":    {path, signed("loan", strings.ToUpper(secret), path, now), 401, "Unauthorized"},
			"no signature":      {path, []string{"Authorization", "Apollo loan", "Timestamp", "1"}, 401, ""},
			"unsigned":          {path, nil, 401, ""},
			"unsigned file":     {"/configfiles/json/loan/default/application", nil, 401, ""},
			"unsigned waiting":  {"/notifications/v2?appId=loan&cluster=default&notifications=" + notify("application", -1), nil, 401, ""},
			"services are open": {"/services/config?appId=loan", nil, 200, ""},
		} {
			if a := n.get(c.path, c.headers...); a.status != c.status || !strings.Contains(a.body, c.says) {
				t.Errorf("open %v, %s: %d %s, want %d", open, name, a.status, a.body, c.status)
			}
		}
		// The signature of one application opens nothing of another.
		other := "/configs/card/default/application"
		if a := n.get(other, signed("loan", secret, other, now)...); (a.status == 200) != open {
			t.Errorf("open %v: a signature for another application: %d %s", open, a.status, a.body)
		}
		if n.count("filter", "right") < 5 || n.count("filter", "wrong") < 4 || n.count("filter", "skewed") < 4 || n.count("filter", "missing") < 3 {
			t.Errorf("open %v: signatures are not counted", open)
		}
		waiting := "/notifications/v2?appId=loan&cluster=default&notifications=" + notify("application", -1)
		if a := n.get(waiting, signed("loan", secret, waiting, now)...); a.status != 200 {
			t.Errorf("open %v: notifications: %d %s", open, a.status, a.body)
		}
	}
}

func TestASignatureIsForOneNamespace(t *testing.T) {
	n := start(t, options{})
	n.release(ref("loan/application.properties"), "a=1")
	n.publish(release.Draft{Ref: release.Ref{Namespace: "pro", Kind: "AccessKey", Name: "loan"}, Content: []byte("keys: [{secret: " + secret + "}]"), Sensitive: true, Release: true})
	n.release(release.Ref{Namespace: "pro", Kind: "Config", Name: "loan/application.properties"}, "a=2")
	path := "/ns/pro/configs/loan/default/application"
	if a := n.get(path, signed("loan", secret, path, time.Now())...); a.status != 200 {
		t.Errorf("the path that was dialed: %d %s", a.status, a.body)
	}
	if a := n.get(path, signed("loan", secret, strings.TrimPrefix(path, "/ns/pro"), time.Now())...); a.status != 401 {
		t.Errorf("the path without its namespace: %d %s", a.status, a.body)
	}
	path = "/configs/loan/default/application"
	if a := n.get(path, signed("loan", secret, path, time.Now())...); a.status != 401 {
		t.Errorf("another namespace: %d %s", a.status, a.body)
	}
}

func TestWithAuthenticationACredentialIsNeeded(t *testing.T) {
	n := start(t, options{})
	n.release(ref("loan/application.properties"), "a=1")
	n.publish(release.Draft{Ref: ref("loan/db.properties"), Content: []byte("password=hidden"), Sensitive: true, Release: true})
	n.release(release.Ref{Namespace: "pro", Kind: "Config", Name: "loan/application.properties"}, "a=2")
	service, viewer := "Bearer "+n.token(gantryv1.Role_ROLE_SERVICE), "Bearer "+n.token(gantryv1.Role_ROLE_VIEWER)
	for name, c := range map[string]struct {
		path, authorization string
		status              int
	}{
		"nobody":                    {"/configs/loan/default/application", "", 401},
		"a signature without a key": {"/configs/loan/default/application", "Apollo loan:abc", 401},
		"an unknown token":          {"/configs/loan/default/application", "Bearer gty_x", 401},
		"an unknown scheme":         {"/configs/loan/default/application", "Digest x", 401},
		"a service":                 {"/configs/loan/default/application", service, 200},
		"a viewer":                  {"/configs/loan/default/application", viewer, 200},
		"a service, secret":         {"/configs/loan/default/db", service, 200},
		"a viewer, secret":          {"/configs/loan/default/db", viewer, 403},
		"elsewhere":                 {"/ns/pro/configs/loan/default/application", service, 403},
		"waiting, nobody":           {"/notifications/v2?appId=loan&cluster=default&notifications=" + notify("application", -1), "", 401},
		"waiting, a service":        {"/notifications/v2?appId=loan&cluster=default&notifications=" + notify("application", -1), service, 200},
		"services":                  {"/services/config", "", 200},
	} {
		a := n.get(c.path, "Authorization", c.authorization, "Timestamp", "1")
		if a.status != c.status || c.status != 200 && strings.Contains(a.body, "hidden") {
			t.Errorf("%s: %d %s, want %d", name, a.status, a.body, c.status)
		}
		if a.status == http.StatusUnauthorized && a.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: it does not say how", name)
		}
	}
	// With a key of the application a token still speaks for who has one.
	n.accessKey("loan", "keys: [{secret: "+secret+"}]")
	if a := n.get("/configs/loan/default/application", "Authorization", service); a.status != 200 {
		t.Errorf("a token beside a key: %d %s", a.status, a.body)
	}
}

func TestObservedKeysRefuseNobody(t *testing.T) {
	n := start(t, options{open: true})
	n.release(ref("loan/application.properties"), "a=1")
	n.accessKey("loan", "keys: [{secret: "+secret+", mode: observer}]")
	path := "/configs/loan/default/application"
	n.config(path)
	n.config(path, signed("loan", next, path, time.Now())...)
	n.config(path, signed("loan", secret, path, time.Now())...)
	for _, result := range []string{"missing", "wrong", "right"} {
		if n.count("observer", result) != 1 {
			t.Errorf("%s: counted %v times", result, n.count("observer", result))
		}
	}
	n.accessKey("loan", "keys: [{secret: "+secret+", enabled: false}]")
	n.config(path)
}
