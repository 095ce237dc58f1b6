package alert_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/internal/signal/alert"
)

func TestGroupsAreToldTogether(t *testing.T) {
	w := newWorld(t, 1)
	w.documents.set("Alert", "error-rate", "expr: errors > 1\n")
	w.documents.set("Alert", "other", "expr: errors > 5\nseverity: critical\n")
	w.route("groupBy: [service]\ngroupWait: 30s\ngroupInterval: 5m\nrepeatInterval: 1h\n")
	w.errorsAre("loan", 7)
	w.errorsAre("risk", 2)
	w.turn(0)
	w.pass(30 * time.Second)
	w.turn(0)
	got := w.hook.take()
	slices.SortFunc(got, func(a, b hooked) int { return strings.Compare(a.GroupKey, b.GroupKey) })
	if len(got) != 2 || len(got[0].Alerts) != 2 || len(got[1].Alerts) != 1 || got[0].GroupLabels["service"] != "loan" || got[0].CommonLabels["service"] != "loan" || got[0].CommonLabels["alertname"] != "" {
		t.Fatalf("%+v", got)
	}
	// More of the same group waits for the group interval.
	w.pass(time.Minute)
	w.errorsAre("loan", 7)
	w.errorsAre("risk", 9)
	w.turn(0)
	if got := w.hook.take(); len(got) != 0 {
		t.Fatalf("told before the interval: %+v", got)
	}
	w.pass(4 * time.Minute)
	w.turn(0)
	if got := w.hook.take(); len(got) != 1 || got[0].GroupLabels["service"] != "risk" || len(got[0].Alerts) != 2 {
		t.Fatalf("%+v", got)
	}
}

func TestRoutesAreAskedInOrder(t *testing.T) {
	w := newWorld(t, 1)
	for _, name := range []string{"first", "second", "rest"} {
		w.documents.set("Receiver", name, "webhook: {url: '"+w.hook.URL+"'}\n")
	}
	w.documents.set("NotificationRoute", "b", "order: 1\nmatchers: ['service=\"loan\"']\nreceivers: [first]\ngroupWait: 0s\ncontinue: true\n")
	w.documents.set("NotificationRoute", "a", "order: 2\nmatchers: ['service=~\"loan|risk\"']\nreceivers: [second]\ngroupWait: 0s\n")
	w.documents.set("NotificationRoute", "c", "order: 3\nreceivers: [rest]\ngroupWait: 0s\n")
	w.documents.set("Alert", "error-rate", "expr: errors > 1\n")
	for _, service := range []string{"loan", "risk", "fund"} {
		w.errorsAre(service, 7)
	}
	w.turn(0)
	heard := map[string]string{}
	for _, m := range w.hook.take() {
		for _, a := range m.Alerts {
			heard[m.Receiver] += a.Labels["service"]
		}
	}
	if heard["first"] != "loan" || len(heard["second"]) != len("loanrisk") || heard["rest"] != "fund" {
		t.Errorf("%v", heard)
	}
	o, _ := w.engines[0].List(w.ctx, "default")
	for _, a := range o.Rules[0].Alerts {
		if a.Labels["service"] == "loan" && !slices.Equal(a.Receivers, []string{"first", "second"}) {
			t.Errorf("%v", a.Receivers)
		}
	}
}

func TestSilences(t *testing.T) {
	w := newWorld(t, 1)
	w.documents.set("Alert", "error-rate", "expr: errors > 1\n")
	w.documents.set("Silence", "work", "matchers: ['service=\"loan\"']\nendsAt: "+w.clock().Add(10*time.Minute).Format(time.RFC3339)+"\ncomment: work\n")
	w.route("groupWait: 0s\ngroupInterval: 1m\n")
	w.errorsAre("loan", 7)
	w.turn(0)
	if got := w.hook.take(); len(got) != 0 {
		t.Fatalf("told although silenced: %+v", got)
	}
	o, _ := w.engines[0].List(w.ctx, "default")
	if a := o.Rules[0].Alerts[0]; a.State != alert.Firing || !slices.Equal(a.SilencedBy, []string{"work"}) {
		t.Errorf("%+v", a)
	}
	w.pass(10 * time.Minute)
	w.errorsAre("loan", 7)
	w.turn(0)
	if got := w.hook.take(); len(got) != 1 {
		t.Fatalf("told %d times after the silence", len(got))
	}
	// Silenced again: no end of it is told, and none is taken for told.
	w.documents.set("Silence", "work", "matchers: ['service=\"loan\"']\nendsAt: "+w.clock().Add(10*time.Minute).Format(time.RFC3339)+"\ncomment: more\n")
	w.pass(time.Minute)
	w.errorsAre("loan", 7)
	w.turn(0)
	if got := w.hook.take(); len(got) != 0 {
		t.Fatalf("%+v", got)
	}
}

func TestSilencesThatEndedLongAgoAreRetired(t *testing.T) {
	w := newWorld(t, 1)
	silence := func(name string, ended time.Time) {
		w.documents.set("Silence", name, "matchers: ['service=\"loan\"']\nendsAt: "+ended.Format(time.RFC3339)+"\ncomment: work\n")
	}
	end := w.clock().UTC().Truncate(time.Second)
	silence("old", end)
	silence("newer", end.Add(time.Hour))
	silence("to-come", end.Add(30*24*time.Hour))
	look := func() []string {
		t.Helper()
		w.turn(0)
		w.documents.mu.Lock()
		defer w.documents.mu.Unlock()
		return slices.Clone(w.documents.retired)
	}
	w.pass(5*24*time.Hour - time.Minute)
	if got := look(); len(got) > 0 {
		t.Fatalf("%q", got)
	}
	w.documents.unread = true
	w.pass(20 * time.Minute)
	look()
	w.documents.unread = false
	w.pass(20 * time.Minute)
	want := []string{"Silence/old@1 unchanged since " + w.clock().UTC().Add(-5*24*time.Hour).Format(time.RFC3339) + ": the silence ended at " + end.Format(time.RFC3339) + ", more than 5 days ago"}
	if got := look(); !slices.Equal(got, want) {
		t.Errorf("%q, not %q", got, want)
	}
	w.pass(time.Hour)
	if got := look(); len(got) != 2 {
		t.Errorf("%q", got)
	}
}

func TestInhibition(t *testing.T) {
	w := newWorld(t, 1)
	w.documents.set("Alert", "down", "expr: down > 0\nseverity: critical\n")
	w.documents.set("Alert", "error-rate", "expr: errors > 1\n")
	w.documents.set("Inhibition", "down", "source: ['alertname=\"down\"']\ntarget: ['severity=\"warning\"']\nequal: [service]\n")
	w.route("groupBy: [alertname, service]\ngroupWait: 0s\ngroupInterval: 1m\n")
	w.errorsAre("loan", 7)
	w.errorsAre("risk", 7)
	w.series.put(w.clock(), 1, "__name__", "down", "service", "loan")
	w.turn(0)
	var heard []string
	for _, m := range w.hook.take() {
		heard = append(heard, m.Alerts[0].Labels["alertname"]+" "+m.Alerts[0].Labels["service"])
	}
	slices.Sort(heard)
	if !slices.Equal(heard, []string{"down loan", "error-rate risk"}) {
		t.Fatalf("%q", heard)
	}
	// When what inhibits is over, the other is told.
	w.pass(time.Minute)
	w.errorsAre("loan", 7)
	w.errorsAre("risk", 7)
	w.series.put(w.clock(), 0, "__name__", "down", "service", "loan")
	w.turn(0)
	heard = nil
	for _, m := range w.hook.take() {
		heard = append(heard, m.Status+" "+m.Alerts[0].Labels["alertname"]+" "+m.Alerts[0].Labels["service"])
	}
	slices.Sort(heard)
	if !slices.Equal(heard, []string{"firing error-rate loan", "resolved down loan"}) {
		t.Fatalf("%q", heard)
	}
}

func TestAReceiverThatDoesNotWantToHearOfTheEnd(t *testing.T) {
	w := newWorld(t, 1)
	w.documents.set("Receiver", "ops", "webhook: {url: '"+w.hook.URL+"'}\nsendResolved: false\n")
	w.documents.set("NotificationRoute", "all", "receivers: [ops]\ngroupWait: 0s\ngroupInterval: 1m\n")
	w.documents.set("Alert", "error-rate", "expr: errors > 1\n")
	for round, told := range []int{1, 0, 1} {
		w.errorsAre("loan", float64((round+1)%2*7))
		w.turn(0)
		if got := w.hook.take(); len(got) != told {
			t.Fatalf("round %d: told %d times", round, len(got))
		}
		w.pass(time.Minute)
	}
}

func TestDeliveryIsTriedAgainAndFailuresAreShown(t *testing.T) {
	w := newWorld(t, 1)
	w.documents.set("Alert", "error-rate", "expr: errors > 1\n")
	w.route("groupWait: 0s\ngroupInterval: 10s\n")
	w.errorsAre("loan", 7)
	w.hook.answer(503)
	go func() {
		// After the first try it works again.
		for w.ctx.Err() == nil {
			if o, err := w.engines[0].List(w.ctx, "default"); err == nil && len(o.Rules) > 0 {
				w.hook.answer(200)
				return
			}
		}
	}()
	w.turn(0)
	if got := w.hook.take(); len(got) != 1 {
		t.Fatalf("told %d times", len(got))
	}

	w.hook.answer(404)
	w.pass(time.Minute)
	w.errorsAre("loan", 7)
	w.errorsAre("risk", 7)
	w.turn(0)
	o, _ := w.engines[0].List(w.ctx, "default")
	if len(o.Failures) != 1 || o.Failures[0].Error != "answered HTTP 404" || o.Failures[0].Receiver != "ops" {
		t.Fatalf("%+v", o.Failures)
	}
	if h := w.history(); h[0].Message != "not told by webhook: answered HTTP 404" {
		t.Errorf("%+v", h[0])
	}
	// The next flush tries again, and the failure is gone.
	w.hook.answer(200)
	w.pass(time.Minute)
	w.turn(0)
	if got := w.hook.take(); len(got) != 1 || len(got[0].Alerts) != 2 {
		t.Fatalf("%+v", got)
	}
	if o, _ = w.engines[0].List(w.ctx, "default"); len(o.Failures) != 0 {
		t.Errorf("%+v", o.Failures)
	}
}

func TestTheEndThatCouldNotBeToldIsNoReasonForSilenceLater(t *testing.T) {
	w := newWorld(t, 1)
	w.documents.set("Alert", "error-rate", "expr: errors > 1\n")
	w.route("groupWait: 0s\ngroupInterval: 10s\nrepeatInterval: 24h\n")
	w.errorsAre("loan", 7)
	w.turn(0)
	w.hook.take()
	w.hook.answer(404)
	w.pass(time.Minute)
	w.errorsAre("loan", 0)
	w.turn(0)
	w.pass(time.Minute)
	w.turn(0)
	w.pass(2 * time.Hour)
	w.turn(0) // nobody knows of the alert any more
	w.hook.answer(200)
	w.pass(time.Minute)
	w.errorsAre("loan", 7)
	w.turn(0)
	if got := w.hook.take(); len(got) != 1 || got[0].Status != "firing" {
		t.Fatalf("%+v", got)
	}
}
