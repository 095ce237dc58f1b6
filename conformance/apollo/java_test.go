package apollo_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/conformance/harness"
)

// Ctrip's own client, set up by its system properties.
func TestApolloClientOfJava(t *testing.T) {
	harness.Maven(t, "java")
	server := harness.Start(t)
	release(server, document{name: "loan/application.properties", content: "rate=0.12\ngreeting=你好\n"})
	release(server, document{name: "public/redis.properties", content: "host=shared\nport=6379\n"})
	release(server, document{name: "loan/redis.properties", format: "yaml", content: "host: own\n"})
	release(server, document{name: "loan/rules.json", content: `{"max": 5000}`})
	release(server, document{name: "loan/limits.yaml", content: "limit:\n  max: 5000\n"})
	release(server, document{kind: "AccessKey", name: "loan", content: "keys:\n  - secret: " + secret + "\n", sensitive: true})

	cache := t.TempDir()
	client := func(properties ...string) *harness.Program {
		args := []string{"-Dapp.id=loan", "-Dapollo.meta=http://" + server.HTTP, "-Dapollo.access-key.secret=" + secret, "-Dapollo.cache-dir=" + cache, "-Denv=DEV"}
		return harness.Java(t, append(append(args, properties...), "-cp", filepath.Join("java", "target", "client.jar")+":"+filepath.Join("java", "target", "lib", "*"), "gantry.Client")...)
	}
	c := client()
	expect := func(c *harness.Program, namespace, key, want string) {
		t.Helper()
		if a := c.Ask("get", namespace, key); a.Value != want {
			t.Errorf("%s of %s: %+v, want %q", key, namespace, a, want)
		}
	}
	eventually := func(c *harness.Program, namespace, key, want string) {
		t.Helper()
		harness.Eventually(t, 75*time.Second, fmt.Sprintf("%s of %s is %q", key, namespace, want), func() error {
			if a := c.Ask("get", namespace, key); a.Value != want {
				return fmt.Errorf("it is %+v", a)
			}
			return nil
		})
	}
	expect(c, "application", "rate", "0.12")
	expect(c, "application", "greeting", "你好")
	expect(c, "redis", "host", "own")
	expect(c, "redis", "port", "6379")
	expect(c, "limits.yaml", "limit.max", "5000")
	if a := c.Ask("file", "rules", "json"); a.Value != `{"max": 5000}` {
		t.Errorf("a namespace of JSON: %+v", a)
	}

	t.Run("hot update", func(t *testing.T) {
		c.Ask("watch", "application")
		release(server, document{name: "loan/application.properties", content: "rate=0.13\ngreeting=你好\n"})
		if a := c.Await(75*time.Second, "changed"); a.Key != "rate" || a.Value != "0.13" {
			t.Errorf("it was told %+v", a)
		}
		release(server, document{name: "public/redis.properties", content: "host=shared\nport=6380\n"})
		eventually(c, "redis", "port", "6380")
	})
	t.Run("gray release by address and by label", func(t *testing.T) {
		labelled := client("-Dapollo.label=canary")
		expect(labelled, "application", "rate", "0.13")
		ref := map[string]any{"namespace": "default", "kind": "Config", "name": "loan/application.properties"}
		release(server, document{name: "loan/application.properties", content: "rate=0.14\n", cohort: []string{"203.0.113.9"}})
		server.Call("ReleaseService/Release", map[string]any{"ref": ref, "cohort": map[string]any{"labels": map[string]string{"label": "canary"}}}, nil)
		eventually(labelled, "application", "rate", "0.14")
		expect(c, "application", "rate", "0.13")
		promote(server, "loan/application.properties")
		eventually(c, "application", "rate", "0.14")
	})
	t.Run("the server is killed and comes back", func(t *testing.T) {
		server.Kill()
		expect(c, "application", "rate", "0.14")
		server.Restart()
		release(server, document{name: "loan/application.properties", content: "rate=0.15\n"})
		eventually(c, "application", "rate", "0.15")
	})
}
