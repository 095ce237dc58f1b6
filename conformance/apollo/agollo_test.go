// Package apollo_test lets clients of Apollo be configured by a real server: agollo here, Ctrip's apollo-client in java_test.go.
package apollo_test

import (
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"github.com/apolloconfig/agollo/v4"
	"github.com/apolloconfig/agollo/v4/env/config"
	"github.com/apolloconfig/agollo/v4/utils"

	"github.com/gantry-platform/gantry/conformance/harness"
)

const secret = "1dde2f5d1bfb4a6c9fd6b2dd9a04d5a1"

// document is what is published.
type document struct {
	namespace, kind, name, format, content string
	sensitive                              bool
	// cohort are the addresses that get it; none is everybody.
	cohort []string
}

func release(server *harness.Server, d document) {
	if d.namespace == "" {
		d.namespace = "default"
	}
	if d.kind == "" {
		d.kind = "Config"
	}
	ref := map[string]any{"namespace": d.namespace, "kind": d.kind, "name": d.name}
	server.Call("ReleaseService/Publish", map[string]any{"ref": ref, "format": d.format, "sensitive": d.sensitive,
		"content": base64.StdEncoding.EncodeToString([]byte(d.content)), "release": d.cohort == nil}, nil)
	if d.cohort != nil {
		server.Call("ReleaseService/Release", map[string]any{"ref": ref, "cohort": map[string]any{"addresses": d.cohort}}, nil)
	}
}

func promote(server *harness.Server, name string) {
	server.Call("ReleaseService/Promote", map[string]any{"ref": map[string]any{"namespace": "default", "kind": "Config", "name": name}}, nil)
}

// client starts agollo.
func client(t *testing.T, server *harness.Server, path, app, secret, namespaces string) agollo.Client {
	t.Helper()
	c, err := agollo.StartWithConfig(func() (*config.AppConfig, error) {
		return &config.AppConfig{AppID: app, Cluster: "default", NamespaceName: namespaces, IP: "http://" + server.HTTP + path, Secret: secret, MustStart: true}, nil
	})
	if err != nil {
		t.Fatalf("agollo does not start: %v", err)
	}
	t.Cleanup(c.Close)
	return c
}

// eventually waits until a namespace has a value. agollo asks for notifications every 2 s, and goes back to a server that was away after 30 s.
func eventually(t *testing.T, c agollo.Client, namespace, key, want string) {
	t.Helper()
	harness.Eventually(t, 75*time.Second, fmt.Sprintf("%s of %s is %q", key, namespace, want), func() error {
		if got := c.GetConfig(namespace).GetStringValue(key, ""); got != want {
			return fmt.Errorf("it is %q", got)
		}
		return nil
	})
}

// address is what agollo says of itself.
func address() string {
	if own := utils.GetInternal(); own != "" {
		return own
	}
	return "127.0.0.1"
}

func TestAgollo(t *testing.T) {
	server := harness.Start(t)
	release(server, document{name: "loan/application.properties", content: "rate=0.12\nlist[0]=a\n"})
	release(server, document{name: "public/redis.properties", content: "host=shared\nport=6379\n"})
	release(server, document{name: "loan/redis.properties", format: "yaml", content: "host: own\n"})
	release(server, document{name: "loan/rules.yaml", content: "limit:\n  max: 5000\n"})
	release(server, document{name: "loan/db.properties", content: "password=hidden\n", sensitive: true})
	release(server, document{kind: "AccessKey", name: "loan", content: "keys:\n  - secret: " + secret + "\n", sensitive: true})

	c := client(t, server, "", "loan", secret, "application,redis,rules.yaml,db")
	for _, want := range [][3]string{{"application", "rate", "0.12"}, {"application", "list[0]", "a"}, {"redis", "host", "own"}, {"redis", "port", "6379"},
		{"rules.yaml", "limit.max", "5000"}, {"db", "password", "hidden"}} {
		value := c.GetConfig(want[0]).GetValue(want[1])
		if want[0] == "rules.yaml" {
			value = fmt.Sprint(c.GetConfig(want[0]).GetIntValue(want[1], 0))
		}
		if value != want[2] {
			t.Errorf("%s of %s is %q, want %q", want[1], want[0], value, want[2])
		}
	}

	t.Run("hot update", func(t *testing.T) {
		release(server, document{name: "loan/application.properties", content: "rate=0.13\n"})
		eventually(t, c, "application", "rate", "0.13")
		release(server, document{name: "public/redis.properties", content: "port=6380\n"})
		eventually(t, c, "redis", "port", "6380")
	})
	t.Run("gray release", func(t *testing.T) {
		release(server, document{name: "loan/application.properties", content: "rate=0.14\nmark=1\n", cohort: []string{"203.0.113.9"}})
		release(server, document{name: "public/redis.properties", content: "port=6381\n"})
		eventually(t, c, "redis", "port", "6381")
		if got := c.GetConfig("application").GetValue("rate"); got != "0.13" {
			t.Errorf("what was for another address reached this one: %q", got)
		}
		server.Call("ReleaseService/Release", map[string]any{"ref": map[string]any{"namespace": "default", "kind": "Config", "name": "loan/application.properties"},
			"version": 3, "cohort": map[string]any{"addresses": []string{"203.0.113.9", address()}}}, nil)
		eventually(t, c, "application", "rate", "0.14")
		promote(server, "loan/application.properties")
	})
	t.Run("keys are changed one after the other", func(t *testing.T) {
		release(server, document{kind: "AccessKey", name: "loan", content: "keys:\n  - secret: " + secret + "-next\n  - secret: " + secret + "\n", sensitive: true})
		next := client(t, server, "", "loan", secret+"-next", "application")
		if got := next.GetConfig("application").GetValue("rate"); got != "0.14" {
			t.Errorf("with the next key the rate is %q", got)
		}
	})
	t.Run("the server is killed and comes back", func(t *testing.T) {
		server.Kill()
		if got := c.GetConfig("application").GetValue("rate"); got != "0.14" {
			t.Errorf("without a server the rate is %q", got)
		}
		server.Restart()
		release(server, document{name: "loan/application.properties", content: "rate=0.15\n"})
		eventually(t, c, "application", "rate", "0.15")
	})
}

func TestAgolloWithAWrongSecret(t *testing.T) {
	server := harness.Start(t)
	release(server, document{name: "loan/application.properties", content: "rate=0.12\n"})
	release(server, document{kind: "AccessKey", name: "loan", content: "keys:\n  - secret: " + secret + "\n", sensitive: true})
	for name, wrong := range map[string]string{"another": secret + "x", "none": ""} {
		_, err := agollo.StartWithConfig(func() (*config.AppConfig, error) {
			return &config.AppConfig{AppID: "loan", Cluster: "default", NamespaceName: "application", IP: "http://" + server.HTTP, Secret: wrong, MustStart: true}, nil
		})
		if err == nil {
			t.Errorf("with %s secret agollo starts", name)
		}
	}
}

func TestAgolloInANamespace(t *testing.T) {
	server := harness.Start(t)
	server.Call("InstanceService/CreateNamespace", map[string]any{"namespace": map[string]any{"name": "pro"}}, nil)
	release(server, document{namespace: "pro", name: "loan/application.properties", content: "env=pro\n"})
	release(server, document{namespace: "pro", kind: "AccessKey", name: "loan", content: "keys:\n  - secret: " + secret + "\n", sensitive: true})
	c := client(t, server, "/ns/pro", "loan", secret, "application")
	if got := c.GetConfig("application").GetValue("env"); got != "pro" {
		t.Errorf("env is %q", got)
	}
	release(server, document{namespace: "pro", name: "loan/application.properties", content: "env=pro2\n"})
	eventually(t, c, "application", "env", "pro2")
}
