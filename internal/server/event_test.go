package server_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/internal/server"
)

// postEvents sends events by plain HTTP.
func postEvents(t *testing.T, s *server.Server, path, body string, headers ...string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.HTTPAddress()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, strings.TrimSpace(string(answer))
}

type queriedEvent struct {
	ID, Topic, Service, TraceID, SpanID, Outcome string
	Fields                                       map[string]map[string]any
}

func queryEvents(t *testing.T, s *server.Server, request string) []queriedEvent {
	t.Helper()
	status, answer := call(t, s, "EventService/Query", request)
	var got struct{ Events []queriedEvent }
	if err := json.Unmarshal([]byte(answer), &got); err != nil || status != http.StatusOK {
		t.Fatalf("%d %s", status, answer)
	}
	return got.Events
}

func TestEventsByHTTP(t *testing.T) {
	data := t.TempDir()
	s := start(t, map[string]string{"GANTRY_DATA": data})
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	for _, c := range []struct {
		path, body string
		headers    []string
		status     int
		answer     string
	}{
		{"/events/v1/loan.granted", `{"id": "a", "service": "loan", "fields": {"amount": 3000, "rate": 0.16, "grade": "A", "new": true}}`,
			[]string{"Traceparent", "00-" + trace + "-00f067aa0ba902b7-01"}, 200, `{"stored":1,"known":0}`},
		{"/events/v1/loan.granted", `{"id": "a"}`, nil, 200, `{"stored":0,"known":1}`},
		{"/events/v1/loan.granted", `[{"id": "b", "outcome": "refused", "trace_id": "` + trace + `", "span_id": "1"}, {"fields": {"amount": "much"}}]`, nil, 200,
			`{"stored":1,"known":0,"refused":[{"index":1,"reason":"event.field_type"`},
		{"/events/v1/loan.granted", `{"fields": {"amount": "much"}}`, nil, 400, `{"code":"invalid","reason":"event.field_type"`},
		{"/events/v1/loan.granted", `{"fields": {"list": [1]}}`, nil, 400, `"reason":"event.bad_type"`},
		{"/events/v1/loan.granted", `{"trace_id": "xyz"}`, nil, 400, `"reason":"event.bad_trace"`},
		{"/events/v1/loan.granted", `{"fields": {}} {}`, nil, 400, `"reason":"event.bad_body"`},
		{"/events/v1/loan.granted", `{"amount": 3}`, nil, 400, `"reason":"event.bad_body"`},
		{"/events/v1/a%20b", `{}`, nil, 400, `"reason":"event.bad_name"`},
		{"/events/v1/loan.granted", `[]`, nil, 400, `"reason":"request.bad_count"`},
		{"/events/v1/loan.granted", ``, []string{"Gantry-Namespace", "nowhere"}, 404, `"reason":"namespace.unknown"`},
		{"/ns/nowhere/events/v1/loan.granted", ``, nil, 404, `"reason":"namespace.unknown"`},
		{"/events/v1/loan.empty", ``, nil, 200, `{"stored":1,"known":0}`},
	} {
		if status, answer := postEvents(t, s, c.path, c.body, c.headers...); status != c.status || !strings.Contains(answer, c.answer) {
			t.Errorf("%s %s: %d %s", c.path, c.body, status, answer)
		}
	}
	for range 2 {
		got := queryEvents(t, s, `{"traceId": "`+trace+`"}`)
		if len(got) != 2 || got[0].ID != "b" || got[0].Outcome != "EVENT_OUTCOME_REFUSED" || got[0].SpanID != "0000000000000001" || got[1].ID != "a" || got[1].SpanID != "00f067aa0ba902b7" {
			t.Errorf("%+v", got)
		}
		got = queryEvents(t, s, `{"topic": "loan.*", "fields": {"amount": "3000", "rate": "0.16"}}`)
		if len(got) != 1 || got[0].Service != "loan" || got[0].Fields["amount"]["integer"] != "3000" || got[0].Fields["rate"]["number"] != 0.16 ||
			got[0].Fields["grade"]["text"] != "A" || got[0].Fields["new"]["boolean"] != true {
			t.Errorf("%+v", got)
		}
		stop(t, s)
		s = start(t, map[string]string{"GANTRY_DATA": data})
	}
	if status, answer := call(t, s, "EventService/Topics", `{}`); status != 200 || !strings.Contains(answer, `"amount":"int"`) {
		t.Errorf("%d %s", status, answer)
	}
}

func TestEventsByConnect(t *testing.T) {
	s := start(t, nil)
	status, answer := call(t, s, "EventService/Emit", `{"events": [{"id": "a", "topic": "t", "fields": {"n": {"integer": 1}}}, {"topic": "t", "traceId": "x"},
		{"topic": "t", "fields": {"n": {"text": "1"}}}, {"topic": "t", "fields": {"n": {}}}, {"topic": "t", "outcome": "EVENT_OUTCOME_FAILED"}]}`)
	var got struct {
		Stored  int
		Refused []struct {
			Index  int
			Reason string
		}
	}
	if err := json.Unmarshal([]byte(answer), &got); err != nil || status != 200 || got.Stored != 2 || len(got.Refused) != 3 {
		t.Fatalf("%d %s", status, answer)
	}
	want := map[int]string{1: "event.bad_trace", 2: "event.field_type", 3: "event.bad_type"}
	for _, refusal := range got.Refused {
		if want[refusal.Index] != refusal.Reason {
			t.Errorf("%+v", refusal)
		}
	}
	if status, answer := call(t, s, "EventService/Query", `{"limit": 5000}`); status != 400 {
		t.Errorf("%d %s", status, answer)
	}
}

func TestWhoMayEmitAndLook(t *testing.T) {
	s, admin := startGuarded(t)
	viewer, service := tokenFor(t, s, admin, "default", "ROLE_VIEWER"), tokenFor(t, s, admin, "default", "ROLE_SERVICE")
	for _, c := range []struct {
		token, method, body string
		status              int
	}{
		{service, "EventService/Emit", `{"events": [{"topic": "t"}]}`, 200},
		{viewer, "EventService/Emit", `{"events": [{"topic": "t"}]}`, 403},
		{viewer, "EventService/Emit", `{"events": [{"topic": "t", "traceId": "x"}]}`, 403},
		{viewer, "EventService/Query", `{}`, 200},
		{service, "EventService/Query", `{}`, 403},
		{viewer, "EventService/Topics", `{}`, 200},
		{service, "EventService/Topics", `{}`, 403},
		{viewer, "EventService/Changes", `{}`, 200},
		{service, "EventService/Changes", `{}`, 403},
	} {
		if status, answer := call(t, s, c.method, c.body, "Authorization", "Bearer "+c.token); status != c.status {
			t.Errorf("%s: %d %s", c.method, status, answer)
		}
	}
	if status, answer := postEvents(t, s, "/events/v1/t", ``); status != 403 && status != 401 {
		t.Errorf("nobody: %d %s", status, answer)
	}
	if status, answer := postEvents(t, s, "/events/v1/t", ``, "Authorization", "Bearer "+service); status != 200 {
		t.Errorf("a service: %d %s", status, answer)
	}
	if status, answer := postEvents(t, s, "/events/v1/t", `[{"trace_id": "x"}]`, "Authorization", "Bearer "+viewer); status != 403 {
		t.Errorf("a viewer: %d %s", status, answer)
	}
}

type queriedChange struct {
	ID, Kind, Service, Instance, Target, Actor, Message string
	Details                                             map[string]string
}

// awaitChanges waits until the feed says so many things.
func awaitChanges(t *testing.T, s *server.Server, request string, n int) []queriedChange {
	t.Helper()
	for limit := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		status, answer := call(t, s, "EventService/Changes", request)
		var got struct{ Changes []queriedChange }
		if err := json.Unmarshal([]byte(answer), &got); err != nil || status != 200 {
			t.Fatalf("%d %s", status, answer)
		}
		if len(got.Changes) >= n {
			return got.Changes
		}
		if time.Now().After(limit) {
			t.Fatalf("only %s", answer)
		}
	}
}

func TestChangesAreOnOneTimeLine(t *testing.T) {
	data := t.TempDir()
	s := start(t, map[string]string{"GANTRY_DATA": data})
	for _, c := range []struct{ method, body string }{
		{"InstanceService/Register", `{"service":{"service":"loan"},"instance":{"id":"loan-1","address":"10.0.0.1","port":80,"persistent":true,"labels":{"version":"v1"}}}`},
		{"InstanceService/SetOverride", `{"service":{"service":"loan"},"id":"loan-1","status":"STATUS_DRAINING"}`},
		{"InstanceService/ConfigureService", `{"service":{"service":"loan"},"settings":{"protectThreshold":0.25,"metadata":{"team":"lending"}}}`},
		{"ReleaseService/Publish", `{"ref":{"kind":"Config","name":"loan.yaml"},"format":"yaml","content":"YTogMQ==","message":"first"}`},
		{"ReleaseService/Release", `{"ref":{"kind":"Config","name":"loan.yaml"},"version":1,"message":"go"}`},
		{"InstanceService/Deregister", `{"service":{"service":"loan"},"id":"loan-1"}`},
	} {
		if status, answer := call(t, s, c.method, c.body); status != 200 {
			t.Fatalf("%s: %d %s", c.method, status, answer)
		}
	}
	check := func(all []queriedChange) {
		t.Helper()
		kinds := map[string]queriedChange{}
		var ids []string
		for _, c := range all {
			kinds[c.Kind] = c
			ids = append(ids, c.ID)
		}
		slices.Sort(ids)
		if len(all) != 6 || len(slices.Compact(ids)) != 6 {
			t.Errorf("%d changes: %+v", len(all), all)
		}
		if c := kinds["instance.registered"]; c.Service != "loan" || c.Instance != "loan-1" || c.Details["version"] != "v1" {
			t.Errorf("%+v", c)
		}
		if c := kinds["instance.draining"]; c.Details["status_before"] != "up" || c.Details["status"] != "draining" {
			t.Errorf("%+v", c)
		}
		if c := kinds["service.settings"]; c.Service != "loan" || c.Details["protect_threshold"] != "0.25" || c.Details["protect_threshold_before"] != "default" || c.Details["metadata"] != "team" {
			t.Errorf("%+v", c)
		}
		if c := kinds["release.published"]; c.Target != "Config/loan.yaml" || c.Message != "first" || c.Details["version"] != "1" {
			t.Errorf("%+v", c)
		}
		if c := kinds["release.released"]; c.Message != "go" || c.Actor == "" {
			t.Errorf("%+v", c)
		}
		if _, there := kinds["instance.removed"]; !there {
			t.Errorf("%+v", all)
		}
	}
	check(awaitChanges(t, s, `{}`, 6))
	if got := awaitChanges(t, s, `{"kind": "release"}`, 2); len(got) != 2 {
		t.Errorf("%+v", got)
	}
	if got := awaitChanges(t, s, `{"service": "loan"}`, 4); len(got) != 4 {
		t.Errorf("%+v", got)
	}
	stop(t, s)
	s = start(t, map[string]string{"GANTRY_DATA": data})
	if status, answer := call(t, s, "ReleaseService/Publish", `{"ref":{"kind":"Config","name":"other.yaml"},"format":"yaml","content":"YTogMQ=="}`); status != 200 {
		t.Fatal(answer)
	}
	// The history of before is not told again.
	all := awaitChanges(t, s, `{}`, 7)
	check(slices.DeleteFunc(all, func(c queriedChange) bool { return c.Target == "Config/other.yaml" }))
}

// stop ends a node before the test does.
func stop(t *testing.T, s *server.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	s.Shutdown(ctx)
}
