package main

import (
	"strings"
	"testing"
	"time"
)

const goneAlert = "kind: Alert\nmetadata: {name: scrape-gone}\nspec:\n  absent: {selector: 'up{service=\"loan\"}', over: 10m}\n  every: 5s\n  severity: critical\n"

// eventually runs a command until its answer holds some words: the server evaluates by its own clock.
func (o *operator) eventually(words string, args ...string) string {
	o.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		if out := o.must(args...); strings.Contains(out, words) {
			return out
		} else if time.Now().After(deadline) {
			o.t.Fatalf("%s never says %q: %s", strings.Join(args, " "), words, out)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func TestAlertsAreListedSilencedAndTold(t *testing.T) {
	o := newOperator(t)
	o.must("apply", "-f", file(t, "gone.yaml", goneAlert))
	out := o.eventually("scrape-gone", "alert", "list")
	wantWords(t, out, "ALERT", "firing", "critical", "service=loan", "no route")
	wantNoWords(t, o.must("alert", "list", "--state", "pending"), "scrape-gone")
	wantNoWords(t, o.must("alert", "list", `severity="info"`), "scrape-gone")
	wantWords(t, o.must("alert", "list", "--rules", "-o", "wide"), "Alert", "5s", "absent_over_time", "ok")
	wantWords(t, o.must("alert", "history"), "inactive -> firing", "scrape-gone", "service=loan")
	type shape struct {
		Rules []struct {
			Name   string
			Alerts []struct {
				State  string
				Labels map[string]string
			}
		}
	}
	if s := decode[shape](t, o.must("alert", "list", "-o", "json")); len(s.Rules) != 1 || s.Rules[0].Alerts[0].State != "ALERT_STATE_FIRING" || s.Rules[0].Alerts[0].Labels["service"] != "loan" {
		t.Errorf("%+v", s)
	}

	wantWords(t, o.must("alert", "silence", `service="loan"`, "--for", "2h", "--comment", "work", "--name", "work"), "silence work until", "--expire work")
	o.eventually("silenced by work", "alert", "list")
	o.fails(exitConflict, []string{"work"}, "alert", "silence", `service="risk"`, "--comment", "x", "--name", "work")
	wantWords(t, o.must("history", "Silence", "work"), "work")
	wantWords(t, o.must("alert", "silence", "--expire", "work"), "silence work ended")
	o.eventually("  no route", "alert", "list")

	o.fails(exitInvalid, []string{"--comment"}, "alert", "silence", `service="loan"`)
	o.fails(exitInvalid, []string{"matcher"}, "alert", "silence", "service", "--comment", "x")
	o.fails(exitInvalid, []string{"firing"}, "alert", "list", "--state", "burning")
	o.fails(exitNotFound, []string{"nobody"}, "alert", "test", "nobody")
}

func TestAlertsArePreviewed(t *testing.T) {
	o := newOperator(t)
	wantWords(t, o.must("alert", "preview", "-f", file(t, "gone.yaml", goneAlert), "--since", "1h"), "ACTIVE", "service=loan")
	r := o.run("alert", "preview", "-f", file(t, "quiet.yaml", "kind: Alert\nmetadata: {name: quiet}\nspec:\n  expr: up > 1\n"))
	if r.code != 0 || !strings.Contains(r.err, "It would not have alerted") || !strings.Contains(r.err, "evaluations") {
		t.Errorf("%+v", r)
	}
	o.fails(exitInvalid, []string{"bad.yaml:5:9"}, "alert", "preview", "-f", file(t, "bad.yaml", "kind: Alert\nmetadata: {name: bad}\nspec:\n  for: 1m\n  expr: sum(\n"))
	// Nothing of it is there afterwards.
	wantNoWords(t, o.must("alert", "list", "--rules"), "quiet", "scrape-gone")
}
