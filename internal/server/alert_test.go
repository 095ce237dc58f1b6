package server_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/internal/server"
	"github.com/gantry-platform/gantry/internal/signal/alert"
)

// publish publishes and releases a document by the API.
func publish(t *testing.T, s *server.Server, kind, name string, sensitive bool, content string) (int, string) {
	t.Helper()
	return call(t, s, "ReleaseService/Publish", fmt.Sprintf(`{"ref":{"kind":%q,"name":%q},"format":"yaml","sensitive":%v,"release":true,"content":%q}`,
		kind, name, sensitive, base64.StdEncoding.EncodeToString([]byte(content))))
}

func page(t *testing.T, address string) string {
	t.Helper()
	response, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != 200 {
		t.Fatalf("%s: %d %s %v", address, response.StatusCode, answer, err)
	}
	return string(answer)
}

// eventually waits for what the server does by its own clock.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never comes that %s", what)
		}
	}
}

func TestAlertsOfAWholeServer(t *testing.T) {
	told := make(chan string, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		told <- string(body)
	}))
	defer hook.Close()
	s := start(t, map[string]string{"GANTRY_ALERT_ALLOW_NETWORKS": "127.0.0.0/8", "GANTRY_EXTERNAL_URL": "https://gantry.example"})
	// What was changed before is named with the alert, and what it is about is none of that.
	if status, answer := publish(t, s, "Config", "loan.yaml", false, "rate: 7\n"); status != 200 {
		t.Fatalf("publish a Config: %d %s", status, answer)
	}
	eventually(t, "the release is in the feed of changes", func() bool {
		_, answer := call(t, s, "EventService/Changes", `{}`)
		return strings.Contains(answer, "Config/loan.yaml")
	})
	for _, d := range []struct {
		kind, name string
		sensitive  bool
		content    string
	}{
		{"Receiver", "ops", true, "webhook: {url: '" + hook.URL + "/hunter2'}\n"},
		{"NotificationRoute", "all", false, "receivers: [ops]\ngroupWait: 0s\n"},
		// Nothing scrapes in this test, so that it fires at once.
		{"Alert", "scrape-gone", false, "absent: {selector: 'up{service=\"loan\"}', over: 10m}\nevery: 5s\nseverity: critical\nannotations: {summary: '{{ $labels.service }} is not seen'}\n"},
	} {
		if status, answer := publish(t, s, d.kind, d.name, d.sensitive, d.content); status != 200 {
			t.Fatalf("publish %s: %d %s", d.kind, status, answer)
		}
	}
	select {
	case body := <-told:
		if !strings.Contains(body, "Config/loan.yaml") || strings.Contains(body, "Receiver/ops") {
			t.Errorf("the changes before: %s", body)
		}
		if !strings.Contains(body, `"summary":"loan is not seen"`) || !strings.Contains(body, `"externalURL":"https://gantry.example"`) {
			t.Errorf("told: %s", body)
		}
	case <-time.After(30 * time.Second):
		_, answer := call(t, s, "AlertService/ListAlerts", "{}")
		t.Fatalf("nobody was told: %s", answer)
	}

	status, answer := call(t, s, "AlertService/ListAlerts", `{"states":["ALERT_STATE_FIRING"],"matchers":["severity=\"critical\""]}`)
	if status != 200 || !strings.Contains(answer, `"ALERT_STATE_FIRING"`) || !strings.Contains(answer, `"service":"loan"`) || !strings.Contains(answer, `"receivers":["ops"]`) || strings.Contains(answer, "hunter2") {
		t.Errorf("list: %d %s", status, answer)
	}
	if !strings.Contains(answer, `"target":"Config/loan.yaml"`) {
		t.Errorf("a change without what was changed: %s", answer)
	}
	if _, answer = call(t, s, "AlertService/ListAlerts", `{"matchers":["severity=\"info\""]}`); strings.Contains(answer, `"service":"loan"`) {
		t.Errorf("list of others: %s", answer)
	}
	if status, answer = call(t, s, "AlertService/ListAlerts", `{"matchers":["severity"]}`); status != 400 {
		t.Errorf("a bad matcher: %d %s", status, answer)
	}
	status, answer = call(t, s, "AlertService/ListAlertHistory", "{}")
	if status != 200 || !strings.Contains(answer, `"to":"ALERT_STATE_FIRING"`) || strings.Contains(answer, "hunter2") {
		t.Errorf("history: %d %s", status, answer)
	}
	if status, answer = call(t, s, "AlertService/TestReceiver", `{"receiver":"ops"}`); status != 200 || !strings.Contains(answer, `"tests":[{"channel":"webhook"}]`) || !strings.Contains(<-told, `"alertname":"Test"`) {
		t.Errorf("test: %d %s", status, answer)
	}
	if status, answer = call(t, s, "AlertService/TestReceiver", `{"receiver":"nobody"}`); status != 404 {
		t.Errorf("test of nobody: %d %s", status, answer)
	}
	draft := base64.StdEncoding.EncodeToString([]byte("absent: {selector: up, over: 5m}\nfor: 10m\n"))
	if status, answer = call(t, s, "AlertService/PreviewAlert", `{"content":"`+draft+`"}`); status != 200 || !strings.Contains(answer, `"firedAt"`) {
		t.Errorf("preview: %d %s", status, answer)
	}
	broken := base64.StdEncoding.EncodeToString([]byte("for: 5m\nexpr: sum(\n"))
	if status, answer = call(t, s, "AlertService/PreviewAlert", `{"content":"`+broken+`"}`); status != 400 || !strings.Contains(answer, "line 2:7") {
		t.Errorf("preview of a broken draft: %d %s", status, answer)
	}

	// Prometheus's own shapes, and the series.
	base := "http://" + s.HTTPAddress() + "/prometheus/api/v1/"
	if answer := page(t, base+"rules"); !strings.Contains(answer, `"name":"scrape-gone"`) || !strings.Contains(answer, `"state":"firing"`) || !strings.Contains(answer, `"health":"ok"`) {
		t.Errorf("rules: %s", answer)
	}
	if answer := page(t, base+"alerts"); !strings.Contains(answer, `"alertname":"scrape-gone"`) {
		t.Errorf("alerts: %s", answer)
	}
	if answer := page(t, base+"query?query="+url.QueryEscape(`ALERTS{alertname="scrape-gone",alertstate="firing"}`)); !strings.Contains(answer, `"namespace":"default"`) {
		t.Errorf("ALERTS: %s", answer)
	}
	// Another namespace sees nothing of it.
	call(t, s, "InstanceService/CreateNamespace", `{"name":"staging"}`)
	if answer := page(t, "http://"+s.HTTPAddress()+"/ns/staging/prometheus/api/v1/alerts"); strings.Contains(answer, "scrape-gone") {
		t.Errorf("alerts of another namespace: %s", answer)
	}
}

// TestARetiredSilenceIsLoggedAndComesBack takes an ended silence out of force as the engine does after days.
func TestARetiredSilenceIsLoggedAndComesBack(t *testing.T) {
	s := start(t, nil)
	const content = "matchers: ['service=\"loan\"']\nendsAt: 2026-01-01T00:00:00Z\ncomment: work\n"
	ref := alert.Ref{Namespace: "default", Kind: "Silence", Name: "work"}
	retire := func(version int64, unchangedSince time.Time) bool {
		t.Helper()
		done, err := s.Retire(t.Context(), ref, version, unchangedSince, "it ended long ago")
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	later := time.Now().Add(time.Hour)
	if retire(1, later) {
		t.Error("a silence is retired that is not there")
	}
	if status, answer := publish(t, s, "Silence", "work", false, content); status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	if retire(1, time.Now().Add(-time.Hour)) {
		t.Error("a silence is retired that was changed just now")
	}
	if status, answer := call(t, s, "ReleaseService/Publish", fmt.Sprintf(`{"ref":{"kind":"Silence","name":"work"},"format":"yaml","content":%q}`,
		base64.StdEncoding.EncodeToString([]byte(content+"# longer\n")))); status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	if retire(1, later) {
		t.Error("a silence is retired of which another version is prepared")
	}
	if status, answer := call(t, s, "ReleaseService/Release", `{"ref":{"kind":"Silence","name":"work"},"version":2}`); status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	if !retire(2, later) || retire(2, later) {
		t.Error("a silence is retired never, or twice")
	}
	if status, answer := call(t, s, "AccessService/ListAudit", `{"target":"Silence/work","action":"document.delete"}`); status != 200 || strings.Count(answer, `"actor":"system"`) != 1 ||
		!strings.Contains(answer, `"source":"alerts"`) || !strings.Contains(answer, "it ended long ago") {
		t.Errorf("%d %s", status, answer)
	}
	if status, answer := call(t, s, "ReleaseService/Rollback", `{"ref":{"kind":"Silence","name":"work"}}`); status != 200 || !strings.Contains(answer, `"releasedVersion":"2"`) {
		t.Errorf("%d %s", status, answer)
	}
	if retire(2, time.Now().Add(-time.Hour)) {
		t.Error("a silence is retired that was brought back just now")
	}
}

func TestAlertDocumentsAreCheckedWhenPublished(t *testing.T) {
	s := start(t, nil)
	status, answer := publish(t, s, "Alert", "a", false, "for: 5m\nexpr: sum(rate(x[5m])\n")
	if status != 400 || !strings.Contains(answer, "line 2:7") {
		t.Errorf("%d %s", status, answer)
	}
	if status, answer = publish(t, s, "Receiver", "r", false, "slack: {url: 'https://hooks.example/hunter2'}\n"); status != 400 || strings.Contains(answer, "hunter2") {
		t.Errorf("%d %s", status, answer)
	}
	status, answer = publish(t, s, "NotificationRoute", "n", false, "receivers: [nobody]\n")
	var published struct{ Warnings []struct{ Message string } }
	if err := json.Unmarshal([]byte(answer), &published); status != 200 || err != nil || len(published.Warnings) != 1 || !strings.Contains(published.Warnings[0].Message, "no Receiver") {
		t.Errorf("%d %s", status, answer)
	}
	// The start of the server does not allow loopback: the test says so instead of calling.
	if status, answer = publish(t, s, "Receiver", "r", true, "slack: {url: 'http://127.0.0.1:1/hunter2'}\n"); status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	eventually(t, "the node has looked at its documents", func() bool {
		status, answer = call(t, s, "AlertService/TestReceiver", `{"receiver":"r"}`)
		return status == 200
	})
	if status != 200 || !strings.Contains(answer, "the address is of this machine") || strings.Contains(answer, "hunter2") {
		t.Errorf("%d %s", status, answer)
	}
}

func TestAlertSettings(t *testing.T) {
	for _, env := range []map[string]string{{"GANTRY_ALERT_ALLOW_NETWORKS": "everything"}, {"GANTRY_EXTERNAL_URL": "gantry.example"}, {"GANTRY_EXTERNAL_URL": "https://user:pw@gantry.example"}} {
		env["GANTRY_DEV"] = "true"
		if _, err := server.Load("", func(name string) string { return env[name] }, nil); err == nil {
			t.Errorf("%v is taken", env)
		}
	}
}
