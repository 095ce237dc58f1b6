// Package springconfig_test lets Spring Boot's own Spring Cloud Config client be configured by a real server.
package springconfig_test

import (
	"encoding/base64"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/conformance/harness"
)

// starting bounds the start of a Spring Boot application: seconds on a machine at leisure, a minute beside a dozen other tests.
const starting = 3 * time.Minute

func release(server *harness.Server, name, content string, sensitive bool) {
	server.Call("ReleaseService/Publish", map[string]any{"ref": map[string]any{"namespace": "default", "kind": "Config", "name": name},
		"sensitive": sensitive, "content": base64.StdEncoding.EncodeToString([]byte(content)), "release": true}, nil)
}

// client starts a Spring Boot application that imports its configuration from the server.
func client(t *testing.T, server *harness.Server, properties ...string) *harness.Program {
	t.Helper()
	args := []string{"-jar", filepath.Join("java", "target", "client.jar"), "--spring.application.name=loan",
		"--spring.config.import=configserver:http://" + server.HTTP + "/spring-config", "--spring.main.banner-mode=off"}
	return harness.Java(t, append(args, properties...)...)
}

func TestSpringBootsOwnClient(t *testing.T) {
	harness.Maven(t, "java")
	server := harness.Start(t)
	release(server, "application.yml", "shared: {list: [a, b, c], level: application, flag: true}\n---\nspring.config.activate.on-profile: prod & !eu\nshared.level: prod in application\n", false)
	release(server, "application-prod.yml", "level: application-prod\n", false)
	release(server, "loan.properties", "level=loan\nown=你好\nurl=http://${host}/x\nhost=h\n", false)
	release(server, "loan-prod.yml", "level: loan-prod\nshared: {list: [z]}\n", false)
	release(server, "loan-eu.yml", "level: loan-eu\n", false)
	release(server, "blue/loan.yml", "level: blue\n", false)
	release(server, "card.yml", "password: hidden\n", true)
	token := "--spring.cloud.config.headers.Authorization=Bearer " + server.Token("default", "ROLE_SERVICE")

	expect := func(t *testing.T, c *harness.Program, want map[string]any) {
		t.Helper()
		for key, value := range want {
			if a := c.Ask("get", key); a.Event != "get" || a.Value != value {
				t.Errorf("%s: %+v, want %v", key, a, value)
			}
		}
	}
	c := client(t, server, token, "--spring.profiles.active=prod")
	c.Await(starting, "started")
	expect(t, c, map[string]any{"level": "loan-prod", "own": "你好", "url": "http://h/x", "shared.flag": "true", "shared.level": "prod in application", "none": nil})
	if a := c.Ask("list", "shared.list"); fmt.Sprint(a.Value) != "[z]" {
		t.Errorf("the list is %v", a.Value)
	}
	sources, at := fmt.Sprint(c.Ask("sources").Value), 0
	for _, name := range []string{"loan-prod.yml", "application-prod.yml", "loan.properties", "application.yml (document #0)"} {
		next := strings.Index(sources, "configserver:gantry:default/"+name)
		if next < at {
			t.Errorf("%s is missing, or stands too early in %s", name, sources)
		}
		at = max(at, next)
	}

	t.Run("refresh", func(t *testing.T) {
		release(server, "loan-prod.yml", "level: loan-prod 2\n", false)
		if a := c.Ask("refresh"); !strings.Contains(fmt.Sprint(a.Value), "level") {
			t.Errorf("it found %+v changed", a)
		}
		expect(t, c, map[string]any{"level": "loan-prod 2"})
		if a := c.Ask("list", "shared.list"); fmt.Sprint(a.Value) != "[a b c]" {
			t.Errorf("the list is %v", a.Value)
		}
	})
	t.Run("profiles, labels and secrets", func(t *testing.T) {
		several := client(t, server, token, "--spring.profiles.active=prod,eu")
		labelled := client(t, server, token, "--spring.cloud.config.label=blue")
		several.Await(starting, "started")
		expect(t, several, map[string]any{"level": "loan-eu", "shared.level": "application"})
		labelled.Await(starting, "started")
		expect(t, labelled, map[string]any{"level": "blue", "own": nil})
		secret := client(t, server, "--spring.cloud.config.token="+server.Token("default", "ROLE_SERVICE"), "--spring.cloud.config.name=card")
		secret.Await(starting, "started")
		expect(t, secret, map[string]any{"password": "hidden"})
	})
	t.Run("who may not does not start", func(t *testing.T) {
		nobody := client(t, server, "--spring.cloud.config.fail-fast=true")
		viewer := client(t, server, "--spring.cloud.config.headers.Authorization=Bearer "+server.Token("default", "ROLE_VIEWER"), "--spring.cloud.config.name=card", "--spring.cloud.config.fail-fast=true")
		if a := nobody.Await(starting, "started", "failed"); a.Event != "failed" || !strings.Contains(fmt.Sprint(a.Value), "401") {
			t.Errorf("without a token: %+v", a)
		}
		if a := viewer.Await(starting, "started", "failed"); a.Event != "failed" || !strings.Contains(fmt.Sprint(a.Value), "403") {
			t.Errorf("a viewer of a secret: %+v", a)
		}
	})
	t.Run("the server is killed and comes back", func(t *testing.T) {
		server.Kill()
		c.Ask("refresh")
		expect(t, c, map[string]any{"level": "loan-prod 2"})
		server.Restart()
		release(server, "loan-prod.yml", "level: loan-prod 3\n", false)
		harness.Eventually(t, time.Minute, "a refresh brings what is new", func() error {
			c.Ask("refresh")
			if a := c.Ask("get", "level"); a.Value != "loan-prod 3" {
				return fmt.Errorf("the level is %v", a.Value)
			}
			return nil
		})
	})
}
