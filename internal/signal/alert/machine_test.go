package alert

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func one(value float64) map[string]finding {
	labels := map[string]string{"alertname": "a"}
	return map[string]finding{fingerprint(labels): {labels: labels, value: value, expected: noExpectation()}}
}

func TestStates(t *testing.T) {
	start := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	type moment struct {
		holds bool
		want  State
	}
	for name, c := range map[string]struct {
		timing  timing
		moments []moment // a minute apart
	}{
		"at once":           {timing{resolved: time.Hour}, []moment{{false, ""}, {true, Firing}, {false, Resolved}, {true, Firing}}},
		"held":              {timing{hold: 2 * time.Minute, resolved: time.Hour}, []moment{{true, Pending}, {true, Pending}, {true, Firing}, {true, Firing}, {false, Resolved}}},
		"not long enough":   {timing{hold: 2 * time.Minute}, []moment{{true, Pending}, {true, Pending}, {false, ""}, {true, Pending}, {true, Pending}, {true, Firing}}},
		"kept firing":       {timing{keep: 2 * time.Minute, resolved: time.Hour}, []moment{{true, Firing}, {false, Firing}, {true, Firing}, {false, Firing}, {false, Firing}, {false, Resolved}}},
		"forgotten":         {timing{resolved: 2 * time.Minute}, []moment{{true, Firing}, {false, Resolved}, {false, Resolved}, {false, ""}}},
		"again, from hold":  {timing{hold: time.Minute, resolved: time.Hour}, []moment{{true, Pending}, {true, Firing}, {false, Resolved}, {true, Pending}, {true, Firing}}},
		"resolved, waiting": {timing{hold: time.Minute, resolved: time.Hour}, []moment{{true, Pending}, {true, Firing}, {false, Resolved}, {true, Pending}, {false, ""}}},
	} {
		alerts := map[string]*Alert{}
		for i, m := range c.moments {
			found := map[string]finding{}
			if m.holds {
				found = one(float64(i))
			}
			alerts, _ = step(alerts, found, c.timing, start.Add(time.Duration(i)*time.Minute))
			var got State
			for _, a := range alerts {
				got = a.State
			}
			if got != m.want {
				t.Errorf("%s, moment %d: %q, want %q", name, i, got, m.want)
			}
		}
	}
}

// TestTransitionsTellTheStates holds the machine against a model: the transitions, played back, give the states, and no state is entered before its time.
func TestTransitionsTellTheStates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		minutes := func(label string) time.Duration {
			return time.Duration(rapid.IntRange(0, 4).Draw(t, label)) * time.Minute
		}
		timing := timing{hold: minutes("hold"), keep: minutes("keep"), resolved: minutes("resolved")}
		alerts, told, since := map[string]*Alert{}, map[string]State{}, map[string]time.Time{}
		at := time.Unix(0, 0)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			at = at.Add(time.Minute)
			found := map[string]finding{}
			for series := range 3 {
				labels := map[string]string{"series": fmt.Sprint(series)}
				id := fingerprint(labels)
				if !rapid.Bool().Draw(t, "holds") {
					delete(since, id)
					continue
				}
				found[id] = finding{labels: labels}
				if _, ok := since[id]; !ok {
					since[id] = at
				}
			}
			var happened []Transition
			alerts, happened = step(alerts, found, timing, at)
			for _, h := range happened {
				id := fingerprint(h.Labels)
				before := told[id]
				if before == "" || before == Resolved {
					before = Inactive
				}
				if h.From != before || h.From == h.To {
					t.Fatalf("a transition from %s to %s after %q", h.From, h.To, told[id])
				}
				told[id] = h.To
			}
			for id, a := range alerts {
				if told[id] != a.State {
					t.Fatalf("told %q, is %q", told[id], a.State)
				}
				if a.State == Firing && a.FiredAt.Sub(a.ActiveAt) < timing.hold {
					t.Fatalf("fires after %s of %s", a.FiredAt.Sub(a.ActiveAt), timing.hold)
				}
			}
			for id := range found {
				want := Pending
				if at.Sub(since[id]) >= timing.hold {
					want = Firing
				}
				// While it is kept firing an earlier beginning counts.
				if got := alerts[id].State; got != want && !(got == Firing && timing.keep > 0) {
					t.Fatalf("holds since %s, is %s, want %s", at.Sub(since[id]), got, want)
				}
			}
		}
	})
}

func TestNumbersComeBack(t *testing.T) {
	for _, text := range []string{"1.5", `"NaN"`, `"+Inf"`, `"-Inf"`} {
		var n Number
		if err := n.UnmarshalJSON([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if back, err := n.MarshalJSON(); err != nil || string(back) != text {
			t.Errorf("%s comes back as %s, %v", text, back, err)
		}
	}
}
