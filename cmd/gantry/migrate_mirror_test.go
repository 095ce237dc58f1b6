package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/internal/migrate"
	"github.com/gantry-platform/gantry/internal/server"
)

// nacosNode is a node without authentication, asked in Nacos's language.
func nacosNode(t *testing.T) string {
	t.Helper()
	env := map[string]string{"GANTRY_DEV": "true", "GANTRY_HTTP_LISTEN": "127.0.0.1:0", "GANTRY_GRPC_LISTEN": "127.0.0.1:0", "GANTRY_MINIMUM_FREE": "1", "GANTRY_NAME": "n2"}
	settings, err := server.Load("", func(name string) string { return env[name] }, nil)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s, err := server.Start(t.Context(), settings, server.Options{Version: "test", Log: &log})
	if err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		s.Shutdown(ctx)
	})
	return "http://" + s.HTTPAddress()
}

func askNacos(t *testing.T, method, address string, values url.Values) string {
	t.Helper()
	request, err := http.NewRequest(method, address+"?"+values.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(response.Body); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s %s %v", method, address, response.Status, body.String(), err)
	}
	return body.String()
}

// TestMigrateANode copies and mirrors between two nodes, one of which is asked in Nacos's language.
func TestMigrateANode(t *testing.T) {
	o := newOperator(t)
	here := o.env["GANTRY_NAMESPACE"]
	there := nacosNode(t)
	askNacos(t, "POST", there+"/nacos/v1/cs/configs", url.Values{"dataId": {"loan.yaml"}, "group": {"DEFAULT_GROUP"}, "type": {"yaml"}, "content": {"limit: 5\n"}})
	askNacos(t, "POST", there+"/nacos/v1/cs/configs", url.Values{"dataId": {"rules.json"}, "group": {"RISK"}, "content": {"{}"}})
	askNacos(t, "POST", there+"/nacos/v1/ns/instance", url.Values{"serviceName": {"loan"}, "ip": {"10.0.0.1"}, "port": {"8080"}, "ephemeral": {"false"}})

	// A token that may work in this namespace and nowhere else is enough.
	secret := decode[struct{ Secret string }](t, o.must("token", "create", "--grant", here+"=releaser", "--grant", here+"=service", "-o", "json")).Secret
	limited := o.with("GANTRY_TOKEN", secret)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan result, 1)
	go func() {
		ended <- limited.runIn(ctx, "migrate", "from", "nacos", "--url", there, "-n", "public="+here, "--release", "--mirror", "--interval", "200ms", "-o", "json")
	}()
	until(t, "the copy is here", func() bool {
		return strings.Contains(o.must("instances", "-o", "json"), `"gantry.mirrored-from": "nacos"`)
	})
	stop()
	r := <-ended
	if r.code != exitDone {
		t.Fatalf("exit code %d\n%s%s", r.code, r.out, r.err)
	}
	answers := json.NewDecoder(strings.NewReader(r.out))
	var report migrate.Report
	var status migrate.Status
	if err := answers.Decode(&report); err != nil || report.Counts[migrate.Created] != 2 {
		t.Fatalf("%v: %+v", err, report.Counts)
	}
	if err := answers.Decode(&status); err != nil || !status.Ready || status.ToGantry != 1 {
		t.Fatalf("%v: %+v", err, status)
	}
	wantWords(t, r.err, "mirroring instances of "+there, "the copies are taken back")
	wantNoWords(t, o.must("instances", "-o", "json"), "mirrored-from")
	if got := o.must("get", "Config", "RISK/rules.json", "-o", "content"); got != "{}" {
		t.Errorf("%q", got)
	}
}

func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	atMost := time.After(30 * time.Second)
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for !holds() {
		select {
		case <-ticker.C:
		case <-atMost:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}
