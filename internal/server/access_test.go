package server_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gantry-platform/gantry/internal/server"
)

// startGuarded runs a node with authentication on and returns it with the administrator's token.
func startGuarded(t *testing.T) (*server.Server, string) {
	t.Helper()
	s := start(t, map[string]string{"GANTRY_AUTHENTICATION": "on", "GANTRY_DATA": t.TempDir()})
	path := filepath.Join(s.DataDir(), "admin-password")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the password file has mode %v, want 0600", info.Mode().Perm())
	}
	password, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	status, answer := call(t, s, "AccessService/Login", `{"user":"admin","password":"`+strings.TrimSpace(string(password))+`"}`)
	if status != http.StatusOK {
		t.Fatalf("login: %d %s", status, answer)
	}
	var login struct{ Token string }
	if err := json.Unmarshal([]byte(answer), &login); err != nil {
		t.Fatal(err)
	}
	return s, login.Token
}

func tokenFor(t *testing.T, s *server.Server, admin, namespace, role string) string {
	t.Helper()
	status, answer := call(t, s, "AccessService/CreateToken", `{"description":"test","grants":[{"namespace":"`+namespace+`","role":"`+role+`"}]}`,
		"Authorization", "Bearer "+admin)
	var made struct{ Secret string }
	if err := json.Unmarshal([]byte(answer), &made); err != nil || status != http.StatusOK {
		t.Fatalf("make a token: %d %s", status, answer)
	}
	return made.Secret
}

// TestWhoMayWhat walks every method through every kind of caller that matters for it.
func TestWhoMayWhat(t *testing.T) {
	s, admin := startGuarded(t)
	if status, answer := call(t, s, "InstanceService/CreateNamespace", `{"namespace":{"name":"staging"}}`, "Authorization", "Bearer "+admin); status != 200 {
		t.Fatalf("make a namespace: %s", answer)
	}
	callers := map[string]string{"nobody": "", "admin": admin}
	for _, role := range []string{"viewer", "developer", "releaser", "service"} {
		callers[role] = tokenFor(t, s, admin, "default", "ROLE_"+strings.ToUpper(role))
	}
	callers["elsewhere"] = tokenFor(t, s, admin, "staging", "ROLE_RELEASER")
	const (
		register = `{"service":{"service":"loan"},"instance":{"address":"10.0.0.1","port":1}}`
		document = `{"ref":{"kind":"Config","name":"a.yaml"}`
		publish  = document + `,"content":"YTogMQ=="}`
	)
	cases := []struct {
		method, body string
		allowed      string // who may, beside admin
	}{
		{"InstanceService/Register", register, "service"},
		{"InstanceService/Beat", `{"service":{"service":"loan"},"ids":["10.0.0.1:1"]}`, "service"},
		{"InstanceService/ReportCheck", `{"service":{"service":"loan"},"id":"10.0.0.1:1","check":"1","status":"CHECK_STATUS_PASSING"}`, "service"},
		{"InstanceService/Lookup", `{"service":{"service":"loan"}}`, "viewer developer releaser service"},
		{"InstanceService/ListInstances", `{"service":{"service":"loan"}}`, "viewer developer releaser service"},
		{"InstanceService/SetOverride", `{"service":{"service":"loan"},"id":"10.0.0.1:1","weight":2}`, "releaser"},
		{"InstanceService/ConfigureService", `{"service":{"service":"loan"},"settings":{"protectThreshold":0.5}}`, "releaser"},
		{"InstanceService/CreateNamespace", `{"namespace":{"name":"default"}}`, ""},
		{"ReleaseService/Publish", publish, "developer releaser"},
		{"ReleaseService/Release", document + `}`, "releaser"},
		{"ReleaseService/Get", document + `}`, "viewer developer releaser service"},
		{"ReleaseService/History", document + `}`, "viewer developer releaser"},
		{"ReleaseService/Applied", document + `}`, "viewer developer releaser service"},
		{"AccessService/ListUsers", `{}`, ""},
		{"AccessService/CreateToken", `{"description":"x","grants":[{"namespace":"default","role":"ROLE_VIEWER"}]}`, ""},
		{"ClusterService/RemoveMember", `{"member":"x"}`, ""},
	}
	for _, c := range cases {
		for caller, token := range callers {
			var headers []string
			if token != "" {
				headers = []string{"Authorization", "Bearer " + token}
			}
			status, answer := call(t, s, c.method, c.body, headers...)
			refused := status == http.StatusUnauthorized || status == http.StatusForbidden
			allowed := caller == "admin" || strings.Contains(" "+c.allowed+" ", " "+caller+" ")
			if refused == allowed {
				t.Errorf("%s by %s: %d %s; allowed should be %v", c.method, caller, status, answer, allowed)
			}
			if refused && strings.Contains(answer, "gty_") {
				t.Errorf("%s by %s: the answer holds a token: %s", c.method, caller, answer)
			}
			if refused && !strings.Contains(answer, `"hint"`) {
				t.Errorf("%s by %s: no hint in %s", c.method, caller, answer)
			}
		}
	}
}

func TestPlainPagesWantCredentials(t *testing.T) {
	s, admin := startGuarded(t)
	for path, open := range map[string]bool{"/healthz": true, "/readyz": true, "/": true, "/metrics": false, "/prometheus/sd": false} {
		for _, token := range []string{"", "Bearer gty_wrong", "Bearer " + admin} {
			request, err := http.NewRequest(http.MethodGet, "http://"+s.HTTPAddress()+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Authorization", token)
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if let := response.StatusCode == http.StatusOK; let != (open || token == "Bearer "+admin) {
				t.Errorf("%s with %.10q: %s", path, token, response.Status)
			}
		}
	}
}

func TestEveryChangeIsAudited(t *testing.T) {
	s, admin := startGuarded(t)
	bearer := []string{"Authorization", "Bearer " + admin}
	for _, c := range [][2]string{
		{"InstanceService/CreateNamespace", `{"namespace":{"name":"staging"}}`},
		{"InstanceService/Register", `{"service":{"service":"loan"},"instance":{"id":"i1","address":"10.0.0.1","port":1}}`},
		{"InstanceService/SetOverride", `{"service":{"service":"loan"},"id":"i1","status":"STATUS_DOWN","message":"too slow"}`},
		{"InstanceService/ConfigureService", `{"service":{"service":"loan"},"settings":{"protectThreshold":0.9}}`},
		{"ReleaseService/Publish", `{"ref":{"kind":"Config","name":"a.yaml"},"content":"c2VjcmV0OiBodW50ZXIy","sensitive":true,"release":true}`},
		{"ReleaseService/Publish", `{"ref":{"kind":"Config","name":"a.yaml"},"content":"YTogMg=="}`},
		{"ReleaseService/Release", `{"ref":{"kind":"Config","name":"a.yaml"},"cohort":{"percent":10}}`},
		{"ReleaseService/Abort", `{"ref":{"kind":"Config","name":"a.yaml"}}`},
		{"ReleaseService/Delete", `{"ref":{"kind":"Config","name":"a.yaml"}}`},
		{"AccessService/CreateUser", `{"name":"ann","password":"correct horse battery","grants":[{"namespace":"default","role":"ROLE_VIEWER"}]}`},
		{"AccessService/CreateToken", `{"description":"x","grants":[{"namespace":"default","role":"ROLE_VIEWER"}]}`},
		{"AccessService/DeleteUser", `{"name":"ann"}`},
		{"InstanceService/DeleteNamespace", `{"name":"staging"}`},
	} {
		if status, answer := call(t, s, c[0], c[1], bearer...); status != http.StatusOK {
			t.Fatalf("%s: %d %s", c[0], status, answer)
		}
	}
	_, answer := call(t, s, "AccessService/ListAudit", `{"pageSize":1000}`, bearer...)
	for _, action := range []string{"namespace.create", "instance.override", "service.configure", "document.release", "document.publish", "document.stage",
		"document.abort", "document.delete", "user.create", "token.create", "user.delete", "namespace.delete"} {
		if !strings.Contains(answer, `"`+action+`"`) {
			t.Errorf("no %s in the audit log", action)
		}
	}
	for _, secret := range []string{"hunter2", "c2VjcmV0OiBodW50ZXIy", "correct horse", "gty_"} {
		if strings.Contains(answer, secret) {
			t.Errorf("the audit log holds %q", secret)
		}
	}
	if !strings.Contains(answer, `"user:admin"`) || !strings.Contains(answer, "127.0.0.1") {
		t.Error("the audit log does not say who, or from where")
	}
	if t.Failed() {
		t.Log(answer)
	}
}
