package server_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// What the console's pages ask beyond what other clients do.
func TestWhatPagesAsk(t *testing.T) {
	s, admin := startGuarded(t)
	as := []string{"Authorization", "Bearer " + admin}
	viewer := []string{"Authorization", "Bearer " + tokenFor(t, s, admin, "default", "ROLE_VIEWER")}
	elsewhere := []string{"Authorization", "Bearer " + tokenFor(t, s, admin, "default", "ROLE_SERVICE")}
	if status, answer := call(t, s, "ReleaseService/Publish", `{"ref":{"kind":"Schema","name":"loan"},"format":"yaml","release":true,"content":"YXBwbGllc1RvOiBbIioqIl0Kc2NoZW1hOiB7dHlwZTogb2JqZWN0fQo="}`, as...); status != 200 {
		t.Fatal(answer)
	}
	for _, c := range []struct {
		method, body string
		who          []string
		status       int
		holds        string
	}{
		{"ReleaseService/ListKinds", `{}`, viewer, 200, `{"name":"Alert","formats":["yaml","json","toml"]}`},
		{"ReleaseService/ListKinds", `{}`, nil, 401, "access.unauthenticated"},
		{"ReleaseService/ListSchemas", `{"ref":{"kind":"Config","name":"loan.yaml"}}`, viewer, 200, `{"source":"Schema/loan","schema":"{\"type\":\"object\"}"}`},
		{"ReleaseService/ListSchemas", `{"ref":{"kind":"Silence","name":"x"}}`, viewer, 200, `endsAt`},
		{"ReleaseService/ListSchemas", `{"ref":{"kind":"Nothing","name":"x"}}`, viewer, 400, "document.unknown_kind"},
		{"ReleaseService/ListSchemas", `{"ref":{"kind":"Silence","name":"x"}}`, elsewhere, 403, "access.forbidden"},
		{"ReleaseService/AppliedBy", `{"service":{"service":"loan"}}`, viewer, 200, `{`},
		{"ReleaseService/AppliedBy", `{}`, viewer, 400, "request.missing"},
		{"ReleaseService/AppliedBy", `{"service":{"service":"loan"}}`, elsewhere, 403, "access.forbidden"},
	} {
		if status, answer := call(t, s, c.method, c.body, c.who...); status != c.status || !strings.Contains(answer, c.holds) {
			t.Errorf("%s %s: %d %s", c.method, c.body, status, answer)
		}
	}
	_, answer := call(t, s, "ClusterService/Status", `{}`, viewer...)
	var status struct {
		Nodes []struct{ DiskFreeBytes, MirroredRevision string }
	}
	if err := json.Unmarshal([]byte(answer), &status); err != nil || len(status.Nodes) != 1 || status.Nodes[0].DiskFreeBytes == "" || status.Nodes[0].MirroredRevision == "" {
		t.Errorf("%s, %v", answer, err)
	}
}
