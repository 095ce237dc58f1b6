package load_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/examples/lending/load"
	"github.com/gantry-platform/gantry/examples/lending/service"
)

func TestTally(t *testing.T) {
	start := time.Unix(1000, 0)
	tally := load.NewTally(start)
	for i := range 98 {
		tally.Add(load.Result{Outcome: service.Success, Took: time.Duration(98-i) * time.Millisecond})
	}
	tally.Add(load.Result{Outcome: service.Refused, Took: 99 * time.Millisecond})
	tally.Add(load.Result{Outcome: service.Failed, Took: 100 * time.Millisecond, Err: errors.New("no\nluck")})
	window := tally.Turn(start.Add(5 * time.Second))
	if window.Granted != 98 || window.Refused != 1 || window.Failed != 1 || window.P50 != 50*time.Millisecond || window.P99 != 99*time.Millisecond {
		t.Errorf("%+v", window)
	}
	line := window.String()
	for _, part := range []string{"20.0/s", "granted  98", "refused   1", "failed   1", "p50   50 ms", "p99   99 ms", "no luck"} {
		if !strings.Contains(line, part) {
			t.Errorf("%q does not say %q", line, part)
		}
	}

	tally.Add(load.Result{Outcome: service.Refused, Took: time.Second})
	window = tally.Turn(start.Add(6 * time.Second))
	if want := (load.Window{Length: time.Second, Refused: 1, P50: time.Second, P99: time.Second}); window != want {
		t.Errorf("the second window is %+v", window)
	}
	if window = tally.Turn(start.Add(7 * time.Second)); window != (load.Window{Length: time.Second}) {
		t.Errorf("an empty window is %+v", window)
	}
	total := tally.Total(start.Add(10 * time.Second))
	if total.Granted != 98 || total.Refused != 2 || total.Failed != 1 || total.Length != 10*time.Second || total.LastError == nil {
		t.Errorf("in all: %+v", total)
	}
}

func TestConclude(t *testing.T) {
	now := time.Unix(1000, 0)
	for _, test := range []struct {
		name     string
		outcomes []service.Outcome
		well     bool
		says     string
	}{
		{"well", []service.Outcome{service.Success, service.Refused}, true, "1 loans granted, 1 refused, 0 failed in 9s"},
		{"failed", []service.Outcome{service.Success, service.Failed}, false, "1 failed"},
		{"nothing granted", []service.Outcome{service.Refused}, false, "0 loans granted"},
		{"nothing at all", nil, false, "0 loans granted"},
	} {
		tally := load.NewTally(now)
		for _, outcome := range test.outcomes {
			result := load.Result{Outcome: outcome}
			if outcome == service.Failed {
				result.Err = errors.New("no luck")
			}
			tally.Add(result)
		}
		var out strings.Builder
		err := tally.Conclude(&out, now.Add(9*time.Second))
		if (err == nil) != test.well || (err != nil && !errors.Is(err, load.ErrUnwell)) || !strings.Contains(out.String(), test.says) {
			t.Errorf("%s: %v; %s", test.name, err, out.String())
		}
	}
}

func TestSettings(t *testing.T) {
	if err := load.Defaults().Validate(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*load.Settings){
		"no rate":         func(s *load.Settings) { s.Rate = 0 },
		"no number":       func(s *load.Settings) { s.Rate = math.NaN() },
		"a flood":         func(s *load.Settings) { s.Rate = 1e6 },
		"amounts crossed": func(s *load.Settings) { s.MinAmount = s.MaxAmount + 1 },
		"no patience":     func(s *load.Settings) { s.Timeout = 0 },
	} {
		settings := load.Defaults()
		change(&settings)
		if err := settings.Validate(); err == nil {
			t.Errorf("%s: %+v is valid", name, settings)
		}
	}
}
