package alert

import (
	"math"
	"time"
)

// finding is a series for which a condition holds at a moment.
type finding struct {
	labels      map[string]string
	annotations map[string]string
	value       float64
	expected    float64
}

// timing is how long a condition must hold, and how long an alert fires beyond its end.
type timing struct {
	hold time.Duration
	keep time.Duration
	// resolved is how long an alert is remembered after its end.
	resolved time.Duration
}

// step moves the alerts of a rule on by what was found at a moment. It changes neither: it answers the alerts afterwards and what has happened, in no order. The rules are
// those of Prometheus's alerting rules.
func step(before map[string]*Alert, found map[string]finding, t timing, at time.Time) (after map[string]*Alert, happened []Transition) {
	after = make(map[string]*Alert, max(len(before), len(found)))
	move := func(id string, a *Alert, from State) {
		after[id] = a
		if from != a.State {
			happened = append(happened, Transition{At: at, What: aboutState, From: from, To: a.State, Labels: a.Labels, Value: a.Value, Expected: a.Expected})
		}
	}
	for id, f := range found {
		old := before[id]
		from, now := Inactive, &Alert{Labels: f.labels, State: Pending, ActiveAt: at}
		if old != nil && old.State != Resolved {
			from, now = old.State, old.clone()
		}
		now.Annotations, now.Value, now.Expected, now.CeasedAt = f.annotations, Number(f.value), Number(f.expected), time.Time{}
		if now.State == Pending && at.Sub(now.ActiveAt) >= t.hold {
			now.State, now.FiredAt = Firing, at
		}
		move(id, now, from)
	}
	for id, old := range before {
		if _, holds := found[id]; holds {
			continue
		}
		switch old.State {
		case Pending:
			happened = append(happened, Transition{At: at, What: aboutState, From: Pending, To: Inactive, Labels: old.Labels, Value: old.Value, Expected: old.Expected})
		case Firing:
			now := old.clone()
			if now.CeasedAt.IsZero() {
				now.CeasedAt = at
			}
			if at.Sub(now.CeasedAt) >= t.keep {
				now.State, now.ResolvedAt = Resolved, at
			}
			move(id, now, Firing)
		case Resolved:
			if at.Sub(old.ResolvedAt) < t.resolved {
				after[id] = old
			}
		}
	}
	return after, happened
}

// differs reports whether alerts differ in what is worth writing: not in values alone, and not by one that is forgotten.
func differs(before, after map[string]*Alert, happened []Transition) bool {
	if len(happened) > 0 {
		return true
	}
	for id, now := range after {
		if old := before[id]; old != nil && !old.CeasedAt.Equal(now.CeasedAt) {
			return true // so that keepFiringFor goes on elsewhere
		}
	}
	return false
}

// endAll resolves what fires and forgets what waits: of a rule that is not there any more.
func endAll(before map[string]*Alert, resolved time.Duration, at time.Time) (map[string]*Alert, []Transition) {
	after, happened := step(before, nil, timing{resolved: resolved}, at)
	return after, happened
}

// noExpectation is what stands for no expectation.
func noExpectation() float64 { return math.NaN() }
