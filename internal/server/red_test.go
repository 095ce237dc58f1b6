package server_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/internal/signal"
)

// observe hands a failed call of a user in.
func observe(t *testing.T, s interface {
	Observe(string, time.Time, []signal.Span)
}, namespace string) {
	t.Helper()
	now := time.Now()
	text := func(key, value string) signal.Attribute {
		return signal.Attribute{Key: key, Value: signal.Value{Type: signal.TypeString, Text: value}}
	}
	s.Observe(namespace, now, []signal.Span{{TraceID: signal.TraceID{1}, ID: signal.SpanID{2}, Kind: signal.KindServer, Name: "GET", Outcome: signal.Failed,
		Start: now.Add(-time.Second).UnixNano(), Duration: int64(80 * time.Millisecond), Resource: &signal.Resource{Service: "loan", Instance: "loan-0", Version: "v7", Lane: "blue"},
		Attributes: []signal.Attribute{text("http.request.method", "GET"), text("http.route", "/loans/{id}"), text("error.type", "timeout")}}})
}

func TestWhatServicesDoIsAnswered(t *testing.T) {
	s := start(t, nil)
	observe(t, s.Red(), "default")
	if status, answer := call(t, s, "InstanceService/CreateNamespace", `{"namespace":{"name":"elsewhere"}}`); status != 200 {
		t.Fatal(answer)
	}
	for method, words := range map[string][]string{
		"Topology":        {`"caller":"user"`, `"callee":"loan"`, `"calleeType":"service"`, `"calls":"1"`, `"failed":"1"`, `"type":"user"`},
		"ServiceFigures":  {`"service":"loan"`, `"calls":"1"`, `"instances":1`, `"fromSeries":true`},
		"EndpointFigures": {`"endpoint":"GET /loans/{id}"`, `"kind":"server"`, `"p95":"0.0`},
		"InstanceFigures": {`"instance":"loan-0"`, `"version":"v7"`, `"spans":"1"`},
		"RankErrors":      {`"code":"timeout"`, `"traceId":"01000000000000000000000000000000"`, `"count":"1"`},
	} {
		status, answer := call(t, s, "TopologyService/"+method, `{}`)
		for _, word := range words {
			if status != 200 || !strings.Contains(answer, word) {
				t.Errorf("%s: %d, no %s in %s", method, status, word, answer)
			}
		}
		if status, answer = call(t, s, "TopologyService/"+method, `{"namespace":"elsewhere"}`); status != 200 || strings.Contains(answer, "loan") {
			t.Errorf("%s in another namespace: %d %s", method, status, answer)
		}
	}
	for lane, words := range map[string][]string{"blue": {`"callee":"loan"`, `"lanes":["blue"]`}, "green": {`"lanes":["blue"]`}} {
		status, answer := call(t, s, "TopologyService/Topology", `{"lane":"`+lane+`"}`)
		if status != 200 || strings.Contains(answer, "callee") != (lane == "blue") {
			t.Errorf("in lane %s: %d %s", lane, status, answer)
		}
		for _, word := range words {
			if !strings.Contains(answer, word) {
				t.Errorf("in lane %s: no %s in %s", lane, word, answer)
			}
		}
	}
	for body, want := range map[string]string{
		`{"limit":1001}`: "limit", `{"order":99}`: "order", `{"time":{"since":"2026-01-02T00:00:00Z","until":"2026-01-01T00:00:00Z"}}`: "since",
	} {
		if status, answer := call(t, s, "TopologyService/EndpointFigures", body); status != 400 || !strings.Contains(answer, want) {
			t.Errorf("%s: %d %s", body, status, answer)
		}
	}
}

func TestWhatServicesDoIsForThoseWhoMayView(t *testing.T) {
	s := start(t, map[string]string{"GANTRY_AUTHENTICATION": "on"})
	for _, method := range []string{"Topology", "ServiceFigures", "EndpointFigures", "InstanceFigures", "RankErrors"} {
		if status, answer := call(t, s, "TopologyService/"+method, `{}`); status != 401 || !strings.Contains(answer, "unauthenticated") {
			t.Errorf("%s: %d %s", method, status, answer)
		}
	}
}

func TestFiguresOutliveARestart(t *testing.T) {
	settings := map[string]string{"GANTRY_DATA": t.TempDir()}
	s := start(t, settings)
	observe(t, s.Red(), "default")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s.Shutdown(ctx)
	s = start(t, settings)
	if status, answer := call(t, s, "TopologyService/Topology", `{}`); status != 200 || !strings.Contains(answer, `"callee":"loan"`) || !strings.Contains(answer, `"calls":"1"`) {
		t.Errorf("%d %s", status, answer)
	}
}
