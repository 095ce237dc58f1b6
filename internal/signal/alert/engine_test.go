package alert_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/signal/alert"
)

const errorRate = `expr: errors > 1
for: 1m
every: 30s
severity: critical
annotations: {summary: '{{ $labels.service }} fails {{ $value }} times'}
`

type states = map[string]alert.State

// errorsAre puts the value of a series of the error rate.
func (w *world) errorsAre(service string, value float64) {
	w.series.put(w.clock(), value, "__name__", "errors", "service", service)
}

func TestFromPendingToTold(t *testing.T) {
	w := newWorld(t, 1)
	w.documents.set("Alert", "error-rate", errorRate)
	w.route("groupWait: 30s\ngroupInterval: 1m\nrepeatInterval: 1h\n")
	w.changes = []alert.Change{{At: w.clock().Add(-5 * time.Minute), Service: "loan", Kind: "release", Summary: "Config loan.yaml version 7", Actor: "user:ann"},
		{At: w.clock().Add(-time.Hour), Service: "loan", Summary: "long ago"}, {At: w.clock().Add(-time.Minute), Service: "risk", Summary: "of another"}}
	w.errorsAre("loan", 0)
	w.turn(0)
	w.expect(0, states{})

	w.pass(30 * time.Second)
	w.errorsAre("loan", 7)
	w.turn(0)
	w.expect(0, states{"loan": alert.Pending})
	w.pass(time.Minute)
	w.turn(0)
	w.expect(0, states{"loan": alert.Firing})
	if got := w.hook.take(); len(got) != 0 {
		t.Fatalf("told before the group wait: %+v", got)
	}
	w.pass(30 * time.Second)
	w.turn(0)
	got := w.hook.take()
	if len(got) != 1 || got[0].Version != "4" || got[0].Status != "firing" || got[0].Receiver != "ops" || got[0].GroupKey != `default/all:{alertname="error-rate"}` || len(got[0].Alerts) != 1 {
		t.Fatalf("%+v", got)
	}
	a := got[0].Alerts[0]
	if a.Status != "firing" || a.Labels["service"] != "loan" || a.Labels["severity"] != "critical" || a.Labels["alertname"] != "error-rate" || a.Labels["namespace"] != "default" ||
		a.Annotations["summary"] != "loan fails 7 times" || a.Value != "7" || !a.EndsAt.IsZero() || !a.StartsAt.Equal(w.clock().Add(-30*time.Second)) {
		t.Errorf("%+v", a)
	}
	if len(a.Changes) != 1 || !strings.Contains(a.Changes[0], "Config loan.yaml version 7 (user:ann)") {
		t.Errorf("the changes before: %v", a.Changes)
	}

	// No news, no notification; then the end of it.
	w.pass(time.Minute)
	w.turn(0)
	if got := w.hook.take(); len(got) != 0 {
		t.Fatalf("told again: %+v", got)
	}
	w.errorsAre("loan", 0)
	w.pass(time.Second)
	w.errorsAre("loan", 0)
	w.turn(0)
	w.expect(0, states{"loan": alert.Resolved})
	w.pass(time.Minute)
	w.turn(0)
	if got := w.hook.take(); len(got) != 1 || got[0].Status != "resolved" || got[0].Alerts[0].EndsAt.IsZero() {
		t.Fatalf("the end: %+v", got)
	}
	w.pass(time.Hour)
	w.errorsAre("loan", 0)
	w.turn(0)
	w.expect(0, states{})
	if got := w.hook.take(); len(got) != 0 {
		t.Fatalf("told after the end: %+v", got)
	}

	var told []string
	for _, h := range w.history() {
		if h.What == "missed" {
			continue // the test's clock leaps
		}
		told = append([]string{strings.TrimSpace(fmt.Sprintf("%s %s>%s %s", h.What, h.From, h.To, h.Message))}, told...)
	}
	want := []string{"state inactive>pending", "state pending>firing", "notification > told by webhook: 1 firing, 0 resolved", "state firing>resolved",
		"notification > told by webhook: 0 firing, 1 resolved"}
	if strings.Join(told, "\n") != strings.Join(want, "\n") {
		t.Errorf("history:\n%s", strings.Join(told, "\n"))
	}
}

func TestAnotherNodeGoesOn(t *testing.T) {
	w := newWorld(t, 2)
	w.documents.set("Alert", "error-rate", errorRate)
	w.route("groupWait: 0s\ngroupInterval: 1m\nrepeatInterval: 1h\n")
	w.errorsAre("loan", 7)
	w.turn(0)
	w.expect(0, states{"loan": alert.Pending})

	// The second has not run so far: the minute began on the first.
	w.pass(time.Minute)
	w.turn(1)
	w.expect(1, states{"loan": alert.Firing})
	if got := w.hook.take(); len(got) != 1 {
		t.Fatalf("told %d times", len(got))
	}
	// And back: what was told is not repeated, also after the group interval, and is repeated after the repeat interval.
	for range 3 {
		w.pass(time.Minute)
		w.errorsAre("loan", 7)
		w.turn(0)
	}
	w.expect(0, states{"loan": alert.Firing})
	if got := w.hook.take(); len(got) != 0 {
		t.Fatalf("repeated by the other node: %+v", got)
	}
	w.pass(time.Hour)
	w.errorsAre("loan", 7)
	w.turn(1)
	if got := w.hook.take(); len(got) != 1 {
		t.Fatalf("repeated %d times after the repeat interval", len(got))
	}
}

// TestTwoNodesThatBothThinkItIsTheirs is a moment in which nodes see each other differently.
func TestTwoNodesThatBothThinkItIsTheirs(t *testing.T) {
	w := newWorld(t, 2)
	w.documents.set("Alert", "error-rate", "expr: errors > 1\n")
	w.route("groupWait: 0s\ngroupInterval: 1m\n")
	w.errorsAre("loan", 0)
	w.turn(0)
	w.turn(1)
	for round := range 6 {
		w.pass(time.Minute)
		w.errorsAre("loan", float64(round%2*7))
		for e := range w.engines {
			w.engines[e].Reconcile(w.ctx)
			w.engines[e].Evaluate(w.ctx, w.clock())
		}
		done := make(chan struct{})
		go func() { w.engines[0].Tell(w.ctx, w.clock()); close(done) }()
		w.engines[1].Tell(w.ctx, w.clock())
		<-done
	}
	transitions := 0
	for _, h := range w.history() {
		if h.What == "state" {
			transitions++
		}
	}
	// Up and down, three times over: never counted by both.
	if transitions > 6 {
		t.Errorf("%d transitions in the history", transitions)
	}
	if got := w.hook.take(); len(got) > 6 {
		t.Errorf("told %d times", len(got))
	}
}

func TestWhatCannotBeEvaluatedIsSaid(t *testing.T) {
	w := newWorld(t, 1)
	w.documents.set("Alert", "error-rate", "expr: errors > 1\n")
	w.errorsAre("loan", 7)
	w.turn(0)
	w.expect(0, states{"loan": alert.Firing})
	w.series.breaks(fault.New(fault.TooLarge, "query.too_large", "the query needs too many samples"))
	w.pass(time.Minute)
	w.turn(0)
	w.pass(time.Minute)
	w.turn(0)
	// It neither ends nor is silent.
	w.expect(0, states{"loan": alert.Firing})
	o, err := w.engines[0].List(w.ctx, "default")
	if err != nil || o.Rules[0].Health.Failing != "cannot be evaluated: the query needs too many samples" || !o.Rules[0].Health.FailingSince.Equal(w.clock().Add(-time.Minute)) {
		t.Errorf("%+v, %v", o.Rules, err)
	}
	w.series.breaks(nil)
	w.pass(time.Minute)
	w.errorsAre("loan", 7)
	w.turn(0)
	o, _ = w.engines[0].List(w.ctx, "default")
	if o.Rules[0].Health.Failing != "" {
		t.Errorf("%+v", o.Rules[0].Health)
	}
	var said []string
	for _, h := range w.history() {
		if h.What == "evaluation" {
			said = append(said, h.Message)
		}
	}
	if len(said) != 2 || said[0] != "it can be evaluated again" || said[1] != "cannot be evaluated: the query needs too many samples" {
		t.Errorf("history: %q", said)
	}
}

func TestHalfOfTheDataIsNoVerdict(t *testing.T) {
	w := newWorld(t, 1)
	w.documents.set("Alert", "error-rate", "expr: errors > 1\n")
	w.errorsAre("loan", 7)
	w.turn(0)
	w.series.warns("the series of node n2 are missing: it does not answer")
	w.pass(time.Minute)
	w.errorsAre("loan", 0)
	w.turn(0)
	w.expect(0, states{"loan": alert.Firing})
	o, _ := w.engines[0].List(w.ctx, "default")
	if o.Rules[0].Health.Failing != "cannot be evaluated: the series of node n2 are missing: it does not answer" {
		t.Errorf("%+v", o.Rules[0].Health)
	}
	// A remark about the query is none about the data.
	w.series.warns("PromQL warning: something about types")
	w.pass(time.Minute)
	w.turn(0)
	w.expect(0, states{"loan": alert.Resolved})
}

func TestExpressionsThatGiveTooMuch(t *testing.T) {
	w := newWorld(t, 1)
	w.documents.set("Alert", "twice", "expr: errors\nlabels: {service: same}\n")
	w.documents.set("Alert", "many", "expr: many\n")
	w.errorsAre("loan", 7)
	w.errorsAre("risk", 7)
	for i := range alert.MaxAlerts + 1 {
		w.series.put(w.clock(), 1, "__name__", "many", "i", fmt.Sprint(i))
	}
	w.turn(0)
	o, err := w.engines[0].List(w.ctx, "default")
	if err != nil || len(o.Rules) != 2 || !strings.Contains(o.Rules[0].Health.Failing, "more than 500 alerts") || !strings.Contains(o.Rules[1].Health.Failing, "same labels") {
		t.Fatalf("%+v, %v", o.Rules, err)
	}
}

func TestMissedEvaluationsAreSaid(t *testing.T) {
	w := newWorld(t, 1)
	w.documents.set("Alert", "error-rate", errorRate)
	w.errorsAre("loan", 0)
	w.turn(0)
	w.pass(30 * time.Second)
	w.turn(0)
	w.pass(5 * time.Minute)
	w.turn(0)
	o, _ := w.engines[0].List(w.ctx, "default")
	h := w.history()
	if o.Rules[0].Missed != 9 || len(h) != 1 || h[0].What != "missed" || !strings.HasPrefix(h[0].Message, "9 evaluations were missed") {
		t.Errorf("%+v, %+v", o.Rules, h)
	}
}

func TestADocumentThatIsDeletedEndsItsAlerts(t *testing.T) {
	w := newWorld(t, 1)
	w.documents.set("Alert", "error-rate", "expr: errors > 1\n")
	w.route("groupWait: 0s\ngroupInterval: 1m\n")
	w.errorsAre("loan", 7)
	w.turn(0)
	if got := w.hook.take(); len(got) != 1 {
		t.Fatalf("told %d times", len(got))
	}
	w.documents.remove("Alert", "error-rate")
	w.pass(time.Minute)
	w.turn(0) // ends it
	w.pass(time.Minute)
	w.turn(0) // tells
	if got := w.hook.take(); len(got) != 1 || got[0].Status != "resolved" {
		t.Fatalf("%+v", got)
	}
	w.pass(time.Hour)
	w.turn(0)
	w.expect(0, states{})
	if h := w.history(); h[1].Message != "the document is not in force any more" {
		t.Errorf("%+v", h[:2])
	}
}

func TestADocumentThatCannotBeReadKeepsItsAlerts(t *testing.T) {
	w := newWorld(t, 2)
	w.documents.set("Alert", "error-rate", "expr: errors > 1\n")
	w.errorsAre("loan", 7)
	w.turn(0)
	w.documents.mu.Lock()
	w.documents.unread = true
	w.documents.mu.Unlock()
	w.pass(time.Minute)
	w.turn(1) // knows of the document and cannot read it
	w.expect(1, states{"loan": alert.Firing})
	for _, h := range w.history() {
		if h.To == alert.Resolved {
			t.Errorf("%+v", h)
		}
	}
}

func TestSeriesOfAlerts(t *testing.T) {
	w := newWorld(t, 1)
	w.documents.set("Alert", "error-rate", errorRate)
	w.errorsAre("loan", 7)
	w.turn(0)
	active := w.clock()
	if got := w.series.ask(`ALERTS{alertname="error-rate",alertstate="pending",service="loan",namespace="default",node="n1"}`, w.clock()); len(got) != 1 || got[0].F != 1 {
		t.Errorf("pending: %v", got)
	}
	w.pass(time.Minute)
	w.turn(0)
	if got := w.series.ask(`ALERTS{alertname="error-rate"}`, w.clock()); len(got) != 1 || got[0].Metric.Get("alertstate") != "firing" {
		t.Errorf("firing: %v", got)
	}
	if got := w.series.ask(`ALERTS_FOR_STATE`, w.clock()); len(got) != 1 || got[0].F != float64(active.Unix()) {
		t.Errorf("since: %v", got)
	}
	w.pass(time.Minute)
	w.errorsAre("loan", 0)
	w.turn(0)
	if got := w.series.ask(`ALERTS`, w.clock()); len(got) != 0 {
		t.Errorf("after the end: %v", got)
	}
}

func TestRights(t *testing.T) {
	w := newWorld(t, 1)
	nobody := context.Background()
	_, err := w.engines[0].List(nobody, "default")
	if !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("list: %v", err)
	}
	if _, _, err := w.engines[0].History(nobody, alert.HistoryQuery{Namespace: "default"}); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("history: %v", err)
	}
	if _, err := w.engines[0].Preview(nobody, alert.Draft{Namespace: "default", Kind: "Alert", Content: []byte("expr: up")}); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("preview: %v", err)
	}
	service := access.NewContext(nobody, access.Serving("test:loan", "test", "default"))
	if _, err := w.engines[0].Test(service, "default", "ops"); !fault.Is(err, fault.Forbidden) {
		t.Errorf("test: %v", err)
	}
}

func TestTestOfAReceiver(t *testing.T) {
	w := newWorld(t, 1)
	w.route("")
	w.engines[0].Reconcile(w.ctx)
	results, err := w.engines[0].Test(w.ctx, "default", "ops")
	if err != nil || len(results) != 1 || results[0] != (alert.TestResult{Channel: "webhook"}) {
		t.Fatalf("%+v, %v", results, err)
	}
	if got := w.hook.take(); len(got) != 1 || got[0].Alerts[0].Labels["alertname"] != "Test" {
		t.Errorf("%+v", got)
	}
	w.hook.answer(403)
	results, err = w.engines[0].Test(w.ctx, "default", "ops")
	if err != nil || results[0].Error != "answered HTTP 403" {
		t.Errorf("%+v, %v", results, err)
	}
	if _, err := w.engines[0].Test(w.ctx, "default", "nobody"); !fault.Is(err, fault.NotFound) {
		t.Errorf("%v", err)
	}
}

func TestHistoryIsPagedAndBounded(t *testing.T) {
	w := newWorld(t, 1)
	w.documents.set("Alert", "error-rate", "expr: errors > 1\nevery: 1m\n")
	for i := range 20 {
		w.errorsAre("loan", float64(i%2*7))
		w.turn(0)
		w.pass(time.Minute)
	}
	all := w.history()
	var paged []alert.Transition
	q := alert.HistoryQuery{Namespace: "default", Limit: 3}
	for {
		entries, next, err := w.engines[0].History(w.ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		paged = append(paged, entries...)
		if q.Before = next; next == "" {
			break
		}
	}
	if len(all) != 19 || len(paged) != len(all) || !paged[18].At.Equal(all[18].At) {
		t.Fatalf("%d entries, %d in pages", len(all), len(paged))
	}
	some, _, err := w.engines[0].History(w.ctx, alert.HistoryQuery{Namespace: "default", Since: all[9].At, Until: all[4].At, Kind: "Alert", Name: "error-rate"})
	if err != nil || len(some) != 5 || !some[0].At.Equal(all[5].At) || !some[4].At.Equal(all[9].At) {
		t.Errorf("%d entries between, %v", len(some), err)
	}
	if none, _, _ := w.engines[0].History(w.ctx, alert.HistoryQuery{Namespace: "default", Name: "other"}); len(none) != 0 {
		t.Errorf("of another: %v", none)
	}
	if err := w.engines[0].TrimHistory(w.ctx, "default", all[9].At.Add(alert.HistoryAge)); err != nil {
		t.Fatal(err)
	}
	if left := w.history(); len(left) != 10 {
		t.Errorf("%d entries are left", len(left))
	}
}

func TestSlotsAreTheSameEverywhere(t *testing.T) {
	ref := alert.Ref{Namespace: "default", Kind: "Alert", Name: "a"}
	at := time.Date(2026, 11, 26, 10, 0, 0, 0, time.UTC)
	first := alert.Slot(ref, 30*time.Second, at)
	if !first.After(at) || first.Sub(at) > 30*time.Second {
		t.Fatalf("%s", first)
	}
	if again := alert.Slot(ref, 30*time.Second, first.Add(-time.Nanosecond)); !again.Equal(first) {
		t.Errorf("%s and %s", first, again)
	}
	if next := alert.Slot(ref, 30*time.Second, first); !next.Equal(first.Add(30 * time.Second)) {
		t.Errorf("%s after %s", next, first)
	}
}

func TestEngineNeedsItsParts(t *testing.T) {
	if _, err := alert.New(alert.Options{}); err == nil || errors.Is(err, context.Canceled) {
		t.Error("an engine of nothing")
	}
}
