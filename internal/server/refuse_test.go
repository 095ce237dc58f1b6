package server_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/server"
)

// problem is an error as Connect's JSON has it.
type problem struct {
	Code    string
	Message string
	Details []struct {
		Debug struct {
			Reason, Field, Hint string
			Line                int
		}
	}
}

func problemOf(t *testing.T, answer string) problem {
	t.Helper()
	var p problem
	if err := json.Unmarshal([]byte(answer), &p); err != nil {
		t.Fatalf("%v in %s", err, answer)
	}
	return p
}

func TestWrongRequestsAreToldWhatIsWrong(t *testing.T) {
	s := start(t, nil)
	big := base64.StdEncoding.EncodeToString(make([]byte, 1<<20+1))
	if status, answer := call(t, s, "ReleaseService/Publish", `{"ref":{"kind":"Config","name":"a.yaml"},"content":"YTogMQ=="}`); status != 200 {
		t.Fatalf("publish: %d %s", status, answer)
	}
	cases := []struct {
		name, method, body string
		code, reason       string
	}{
		{"an invalid name", "InstanceService/Register", `{"service":{"service":"a\u0000b"},"instance":{"address":"10.0.0.1","port":1}}`, "invalid_argument", "*"},
		{"no service", "InstanceService/Register", `{"instance":{"address":"10.0.0.1","port":1}}`, "invalid_argument", "*"},
		{"no instance", "InstanceService/Register", `{"service":{"service":"a"}}`, "invalid_argument", "*"},
		{"a port that is none", "InstanceService/Register", `{"service":{"service":"a"},"instance":{"address":"10.0.0.1","port":70000}}`, "invalid_argument", "*"},
		{"a weight that is none", "InstanceService/Register", `{"service":{"service":"a"},"instance":{"address":"10.0.0.1","port":1,"weight":"NaN"}}`, "invalid_argument", "*"},
		{"an unknown namespace", "InstanceService/Register", `{"service":{"namespace":"nowhere","service":"a"},"instance":{"address":"10.0.0.1","port":1}}`, "not_found", "namespace.unknown"},
		{"a document in an unknown namespace", "ReleaseService/Publish", `{"ref":{"namespace":"nowhere","kind":"Config","name":"a"},"content":"YQ=="}`, "not_found", "namespace.unknown"},
		{"an unknown kind", "ReleaseService/Publish", `{"ref":{"kind":"Confg","name":"a"},"content":"YQ=="}`, "invalid_argument", "document.unknown_kind"},
		{"content that is no YAML", "ReleaseService/Publish", `{"ref":{"kind":"Config","name":"b.yaml"},"format":"yaml","content":"YTogWzE="}`, "invalid_argument", "*"},
		{"a document that is too large", "ReleaseService/Publish", `{"ref":{"kind":"Config","name":"a"},"content":"` + big + `"}`, "out_of_range", "document.too_large"},
		{"a stale compare-and-set", "ReleaseService/Publish", `{"ref":{"kind":"Config","name":"a.yaml"},"content":"YTogMg==","expectedVersion":"7"}`, "aborted", "document.version_conflict"},
		{"a rollback to nowhere", "ReleaseService/Rollback", `{"ref":{"kind":"Config","name":"a.yaml"}}`, "failed_precondition", "*"},
		{"a document that is not there", "ReleaseService/Get", `{"ref":{"kind":"Config","name":"nope"}}`, "not_found", "document.not_found"},
		{"a page token of somebody else", "InstanceService/ListServices", `{"pageToken":"%%%"}`, "invalid_argument", "request.bad_page_token"},
		{"a drain of nobody", "InstanceService/Drain", `{"service":{"service":"a"},"id":"x"}`, "not_found", "instance.unknown"},
		{"removing nobody", "ClusterService/RemoveMember", `{"member":"nobody"}`, "not_found", "cluster.unknown_member"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, answer := call(t, s, c.method, c.body)
			p := problemOf(t, answer)
			if p.Code != c.code || len(p.Details) == 0 || p.Message == "" {
				t.Fatalf("%s, want code %s with a message and a detail", answer, c.code)
			}
			if detail := p.Details[0].Debug; c.reason != "*" && detail.Reason != c.reason || detail.Hint == "" && detail.Field == "" && detail.Line == 0 {
				t.Fatalf("%s, want reason %s with a hint", answer, c.reason)
			}
		})
	}
}

func TestRequestsThatCannotBeRead(t *testing.T) {
	s := start(t, nil)
	for name, c := range map[string]struct{ body, says string }{
		"an unknown field":  {`{"service":{"service":"a"},"instnace":{}}`, "instnace"},
		"a wrong type":      {`{"service":{"service":"a"},"instance":{"port":"eighty"}}`, "port"},
		"no JSON":           {`{"service":`, "JSON"},
		"nothing":           {``, "empty"},
		"more than allowed": {`{"service":{"service":"` + strings.Repeat("x", 3<<20) + `"}}`, "larger"},
	} {
		t.Run(name, func(t *testing.T) {
			status, answer := call(t, s, "InstanceService/Register", c.body)
			if status < 400 || status >= 500 || !strings.Contains(strings.ToLower(answer), strings.ToLower(c.says)) {
				t.Fatalf("%d %.300s, want a refusal that says %q", status, answer, c.says)
			}
		})
	}
}

func TestStartIsRefusedWithAHint(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, "thesis.doc"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	file := func(content string) string {
		path := filepath.Join(t.TempDir(), "gantry.yaml")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cases := []struct {
		name   string
		env    map[string]string
		reason string
		says   string
	}{
		{"a port in use", map[string]string{"GANTRY_DEV": "true", "GANTRY_HTTP_LISTEN": taken.Addr().String()}, "server.cannot_listen", taken.Addr().String()},
		{"a foreign folder", map[string]string{"GANTRY_DEV": "true", "GANTRY_DATA": foreign, "GANTRY_HTTP_LISTEN": "127.0.0.1:0", "GANTRY_GRPC_LISTEN": "127.0.0.1:0"}, "state.folder_foreign", "thesis.doc"},
		{"open to all without authentication", map[string]string{"GANTRY_AUTHENTICATION": "off"}, "setting.open_without_authentication", "loopback"},
		{"open to all in development", map[string]string{"GANTRY_DEV": "true", "GANTRY_GRPC_LISTEN": ":0"}, "setting.open_without_authentication", "grpc-listen"},
		{"a misspelt setting", map[string]string{"GANTRY_CONFIG": file("data: x\nhttp-listne: :1\n")}, "setting.unknown", "http-listen"},
		{"a setting of the wrong type", map[string]string{"GANTRY_CONFIG": file("shutdown-timeout: soon\n")}, "setting.bad_value", "line 1"},
		{"a cluster without a secret", map[string]string{"GANTRY_CLUSTER": "n1=127.0.0.1", "GANTRY_DATA": t.TempDir(), "GANTRY_HTTP_LISTEN": "127.0.0.1:0", "GANTRY_GRPC_LISTEN": "127.0.0.1:0"}, "cluster.no_secret", "gantry cluster secret"},
		{"an even cluster", map[string]string{"GANTRY_CLUSTER": "n1=127.0.0.1,n2=127.0.0.2", "GANTRY_NAME": "n1", "GANTRY_CLUSTER_SECRET": strings.Repeat("s", 40), "GANTRY_DATA": t.TempDir(), "GANTRY_HTTP_LISTEN": "127.0.0.1:0", "GANTRY_GRPC_LISTEN": "127.0.0.1:0", "GANTRY_CLUSTER_LISTEN": "127.0.0.1:0"}, "cluster.even", "three"},
		{"an external etcd and a cluster", map[string]string{"GANTRY_ETCD_ENDPOINTS": "http://127.0.0.1:1", "GANTRY_JOIN": "x"}, "setting.contradiction", "etcd"},
		{"a key without its certificate", map[string]string{"GANTRY_TLS_KEY": "x.key"}, "setting.incomplete", "tls-certificate"},
		{"a password in a URL", map[string]string{"GANTRY_DEV": "true", "GANTRY_HTTP_LISTEN": "127.0.0.1:0", "GANTRY_GRPC_LISTEN": "127.0.0.1:0", "GANTRY_CLICKHOUSE_URL": "http://u:hunter2@127.0.0.1:8123/traces"}, "setting.bad_value", "--clickhouse-password-file"},
		{"sampling in ClickHouse", map[string]string{"GANTRY_DEV": "true", "GANTRY_HTTP_LISTEN": "127.0.0.1:0", "GANTRY_GRPC_LISTEN": "127.0.0.1:0", "GANTRY_CLICKHOUSE_URL": "http://127.0.0.1:8123/traces", "GANTRY_TRACES_SAMPLE_SHARE": "0.5"}, "setting.contradiction", "traces-sample-share"},
		{"profiles for everyone", map[string]string{"GANTRY_DEV": "true", "GANTRY_HTTP_LISTEN": "127.0.0.1:0", "GANTRY_GRPC_LISTEN": "127.0.0.1:0", "GANTRY_DEBUG_LISTEN": ":6060"}, "setting.bad_value", "loopback"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			settings, err := server.Load("", func(name string) string { return c.env[name] }, nil)
			if err == nil {
				var s *server.Server
				if s, err = server.Start(context.Background(), settings, server.Options{Log: testLog{t}}); err == nil {
					s.Shutdown(context.Background())
				}
			}
			f, ok := fault.As(err)
			if !ok || f.Reason != c.reason || f.Hint == "" && f.Field == "" || !strings.Contains(f.Error(), c.says) {
				t.Fatalf("%v, want reason %s, with a hint, that says %q", err, c.reason, c.says)
			}
		})
	}
}

type testLog struct{ t *testing.T }

func (l testLog) Write(line []byte) (int, error) {
	l.t.Log(strings.TrimSuffix(string(line), "\n"))
	return len(line), nil
}
