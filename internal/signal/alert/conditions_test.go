package alert_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/signal/alert"
)

func TestExpectations(t *testing.T) {
	none := math.NaN()
	for name, c := range map[string]struct {
		weeks []float64
		want  float64
	}{
		"the last counts most":         {[]float64{100, 90, 80, 70}, (4*100 + 3*90 + 2*80 + 70) / 10.},
		"an outlier is left out":       {[]float64{100, 1000, 102, 98}, (4*100 + 2*102 + 98) / 7.},
		"an outage is left out":        {[]float64{0, 100, 102, 98}, (3*100 + 2*102 + 98) / 6.},
		"equal weeks":                  {[]float64{100, 100, 100, 100}, 100},
		"a wobble is no outlier":       {[]float64{110, 100, 100, 100}, (4*110 + 600) / 10.},
		"but a leap from equal weeks":  {[]float64{200, 100, 100, 100}, 100},
		"two weeks are not judged":     {[]float64{10, 1000, none, none}, (40 + 3000) / 7.},
		"a hole":                       {[]float64{none, 100, none, 100}, 100},
		"nothing":                      {[]float64{none, none, none, none}, none},
		"zeros":                        {[]float64{0, 0, 0, 0}, 0},
		"a first value after silence":  {[]float64{5, 0, 0, 0}, 0},
		"negative values have weights": {[]float64{-100, -90, -80, -70}, -(400 + 270 + 160 + 70) / 10.},
	} {
		if got := alert.Expectation(c.weeks...); math.Abs(got-c.want) > 1e-9 || math.IsNaN(got) != math.IsNaN(c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestBaseline(t *testing.T) {
	const week = 7 * 24 * time.Hour
	w := newWorld(t, 1)
	w.documents.set("Alert", "traffic", "baseline: {expr: traffic, direction: both, factor: 2, minimum: 10, weeks: 2}\nannotations: {summary: '{{ $value }} instead of {{ $expected | humanize }}'}\n")
	for service, weeks := range map[string][]float64{"up": {100, 101, 99, 100}, "down": {100, 101, 99, 100}, "normal": {100, 101, 99, 100}, "small": {2, 2, 2, 2}, "young": {100}} {
		for i, value := range weeks {
			w.series.put(w.clock().Add(-time.Duration(i+1)*week), value, "__name__", "traffic", "service", service)
		}
	}
	for service, value := range map[string]float64{"up": 250, "down": 40, "normal": 190, "small": 9, "young": 1000} {
		w.series.put(w.clock(), value, "__name__", "traffic", "service", service)
	}
	w.turn(0)
	w.expect(0, states{"up": alert.Firing, "down": alert.Firing})
	o, _ := w.engines[0].List(w.ctx, "default")
	if got := o.Rules[0].Health.Waiting; got != "no verdict where there is too little history: some series have fewer than 2 of the last 4 weeks" {
		t.Errorf("waiting: %q", got)
	}
	for _, a := range o.Rules[0].Alerts {
		if a.Labels["service"] == "up" && (math.Abs(float64(a.Expected)-100.1) > 0.01 || a.Annotations["summary"] != "250 instead of 100.1") {
			t.Errorf("%+v", a.Alert)
		}
	}
}

func TestBaselineFollowsTheClocksOfItsZone(t *testing.T) {
	w := newWorld(t, 1)
	// In Berlin clocks were set back on 2026-10-25: noon is 11:00 UTC now and was 10:00 UTC five weeks before.
	w.documents.set("Alert", "traffic", "baseline: {expr: traffic, factor: 2, weeks: 1, timeZone: Europe/Berlin}\n")
	w.mu.Lock()
	w.now = time.Date(2026, 10, 26, 11, 0, 0, 0, time.UTC)
	w.mu.Unlock()
	w.series.put(time.Date(2026, 10, 19, 10, 0, 0, 0, time.UTC), 100, "__name__", "traffic", "service", "loan")
	w.series.put(w.clock(), 500, "__name__", "traffic", "service", "loan")
	w.turn(0)
	w.expect(0, states{"loan": alert.Firing})
}

func TestAbsence(t *testing.T) {
	w := newWorld(t, 1)
	w.documents.set("Alert", "scrape-gone", "absent: {selector: 'up{service=\"loan\"}', over: 10m}\n")
	w.series.put(w.clock(), 1, "__name__", "up", "service", "loan")
	w.turn(0)
	w.expect(0, states{})
	w.pass(9 * time.Minute)
	w.turn(0)
	w.expect(0, states{})
	w.pass(2 * time.Minute)
	w.turn(0)
	w.expect(0, states{"loan": alert.Firing})
}

// TestBurnRates feeds requests whose true share of failures is known.
func TestBurnRates(t *testing.T) {
	for name, c := range map[string]struct {
		spec string
		// failed and slow of 1,000 requests a minute.
		failed, slow uint64
		burns        []string
	}{
		"within the budget":   {"availability: {}", 0, 0, nil},
		"just above it":       {"availability: {}", 1, 0, []string{"1x"}},
		"twenty times":        {"availability: {}", 20, 0, []string{"14.4x", "6x", "1x"}},
		"eight times":         {"availability: {}", 8, 0, []string{"6x", "1x"}},
		"slow, not failed":    {"availability: {}", 0, 500, nil},
		"latency, twenty":     {"latency: {threshold: 1s}", 0, 20, []string{"14.4x", "6x", "1x"}},
		"latency, all's well": {"latency: {threshold: 1s}", 0, 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			target := "99.9%"
			if name == "just above it" {
				target = "99.91%" // so that 0.1% of failures are just above one budget
			}
			w := newWorld(t, 1)
			w.documents.set("Objective", "loan", "target: "+target+"\nservice: loan\n"+c.spec+"\n")
			start := w.clock()
			var good, slow, failed uint64
			for i := range 8 * 60 {
				at := start.Add(time.Duration(i) * time.Minute)
				good, slow, failed = good+1000-c.failed-c.slow, slow+c.slow, failed+c.failed
				w.series.requests(at, good, slow, "service", "loan", "outcome", "success", "node", "n1")
				if c.failed > 0 {
					w.series.requests(at, failed, 0, "service", "loan", "outcome", "failed", "node", "n1")
				}
			}
			w.pass(8*time.Hour - time.Minute)
			w.series.put(w.clock(), 0, "__name__", "unrelated")
			w.turn(0)
			o, err := w.engines[0].List(w.ctx, "default")
			if err != nil || o.Rules[0].Health.Failing != "" {
				t.Fatalf("%+v, %v", o.Rules, err)
			}
			got := map[string]string{}
			for _, a := range o.Rules[0].Alerts {
				got[a.Labels["burn"]] = a.Labels["severity"] + " " + a.Annotations["summary"]
			}
			if len(got) != len(c.burns) {
				t.Fatalf("%v, want %v", got, c.burns)
			}
			for _, burn := range c.burns {
				if !strings.Contains(got[burn], "The error budget of loan burns") {
					t.Errorf("%s: %q", burn, got[burn])
				}
			}
			budget := w.series.ask(alert.BudgetSeries+`{objective="loan",service="loan",namespace="default"}`, w.clock())
			share := float64(c.failed) / 1000
			if strings.HasPrefix(c.spec, "latency") {
				share = float64(c.slow) / 1000
			}
			allowed := 0.001
			if name == "just above it" {
				allowed = 0.0009
			}
			if len(budget) != 1 || math.Abs(budget[0].F-(1-share/allowed)) > 0.05*math.Max(share/allowed, 0.01) {
				t.Errorf("the budget that is left: %v, want %v", budget, 1-share/allowed)
			}
			if burn := w.series.ask(alert.BurnSeries+`{window="1h"}`, w.clock()); len(burn) != 1 || math.Abs(burn[0].F-share/allowed) > 0.05*math.Max(share/allowed, 0.01) {
				t.Errorf("the burn rate: %v, want %v", burn, share/allowed)
			}
		})
	}
}

func TestPreview(t *testing.T) {
	w := newWorld(t, 1)
	start := w.clock()
	for i := range 120 {
		value := 0.0
		if i >= 20 && i < 25 || i >= 60 {
			value = float64(i)
		}
		w.series.put(start.Add(time.Duration(i)*time.Minute), value, "__name__", "errors", "service", "loan")
	}
	w.pass(2*time.Hour - time.Minute)
	draft := alert.Draft{Namespace: "default", Kind: "Alert", Content: []byte("expr: errors > 1\nfor: 10m\nevery: 1m\nannotations: {summary: '{{ $labels.service }}'}\n"), Since: start}
	p, err := w.engines[0].Preview(w.ctx, draft)
	if err != nil || p.Evaluations != 120 || p.Failed != 0 || len(p.Episodes) != 2 {
		t.Fatalf("%+v, %v", p, err)
	}
	short, long := p.Episodes[0], p.Episodes[1]
	if !short.FiredAt.IsZero() || !short.ActiveAt.Equal(start.Add(20*time.Minute)) || !short.EndedAt.Equal(start.Add(25*time.Minute)) || short.Peak != 24 {
		t.Errorf("%+v", short)
	}
	if !long.FiredAt.Equal(start.Add(70*time.Minute)) || !long.EndedAt.IsZero() || long.Peak != 119 || long.Annotations["summary"] != "loan" {
		t.Errorf("%+v", long)
	}
	// A preview leaves nothing behind.
	w.turn(0)
	w.expect(0, states{})

	draft.Content = []byte("expr: errors >\n")
	if _, err := w.engines[0].Preview(w.ctx, draft); !fault.Is(err, fault.Invalid) {
		t.Errorf("a bad draft: %v", err)
	}
	draft.Content, draft.Since = []byte("expr: errors\nevery: 5s\n"), w.clock().Add(-7*24*time.Hour)
	if p, err := w.engines[0].Preview(w.ctx, draft); err != nil || p.Evaluations > 1001 || p.Step < 10*time.Minute {
		t.Errorf("a long one: %+v, %v", p, err)
	}
	draft.Since = w.clock().Add(-8 * 24 * time.Hour)
	if _, err := w.engines[0].Preview(w.ctx, draft); !fault.Is(err, fault.Invalid) {
		t.Errorf("too long: %v", err)
	}
}
