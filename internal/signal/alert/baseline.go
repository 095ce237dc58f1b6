package alert

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sort"
	"time"

	"github.com/gantry-platform/gantry/internal/policy"
)

// Outliers are found by the median absolute deviation (MAD; Iglewicz and Hoaglin, "How to Detect and Handle Outliers", 1993): of three values or more,
// one is left out whose distance from the median is above outlierMADs times the MAD, which is scaled to the standard deviation of a normal distribution.
// So that four weeks that were all but equal do not make an outlier of a small wobble, the MAD counts as at least leastSpread of the median.
const (
	outlierMADs  = 3.5
	madToSigma   = 1.4826
	leastSpread  = 0.05
	fewestJudged = 3
)

// past is a value of a series some weeks ago; 1 is the last week.
type past struct {
	weeks int
	value float64
}

// expectation is the weighted mean of what is no outlier: the last week counts four times, the fourth before once.
func expectation(history []past) float64 {
	kept := withoutOutliers(history)
	sum, weights := 0.0, 0.0
	for _, p := range kept {
		weight := float64(policy.BaselineWeeks + 1 - p.weeks)
		sum += weight * p.value
		weights += weight
	}
	if weights == 0 {
		return math.NaN()
	}
	return sum / weights
}

func withoutOutliers(history []past) []past {
	if len(history) < fewestJudged {
		return history
	}
	values := make([]float64, len(history))
	for i, p := range history {
		values[i] = p.value
	}
	middle := median(values)
	for i, p := range history {
		values[i] = math.Abs(p.value - middle)
	}
	spread := max(madToSigma*median(values), leastSpread*math.Abs(middle))
	return slices.DeleteFunc(slices.Clone(history), func(p past) bool { return math.Abs(p.value-middle) > outlierMADs*spread })
}

func median(values []float64) float64 {
	sorted := slices.Clone(values)
	sort.Float64s(sorted)
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

// deviates reports whether a value is too far from what was expected.
func deviates(b *policy.Baseline, value, expected float64) bool {
	above, below := expected*b.Factor, expected/b.Factor
	if b.Factor == 0 {
		above, below = expected*(1+b.Percent/100), expected*(1-b.Percent/100)
	}
	if b.Direction != policy.Down && value >= b.Minimum && value > above {
		return true
	}
	return b.Direction != policy.Up && expected >= b.Minimum && value < below
}

// compare asks for a condition's value now and at the same time of the weeks before. Series without enough history have no verdict.
func (c *condition) compare(ctx context.Context, ask asker, at time.Time) (samples []sample, waiting string, err error) {
	now, err := ask(ctx, c.expr, at)
	if err != nil {
		return nil, "", err
	}
	history := map[string][]past{}
	local := at.In(c.zone)
	for weeks := 1; weeks <= policy.BaselineWeeks; weeks++ {
		then, err := ask(ctx, c.expr, local.AddDate(0, 0, -7*weeks))
		if err != nil {
			return nil, "", fmt.Errorf("%d weeks before: %w", weeks, err)
		}
		for _, s := range then {
			if value := valueOf(s); !math.IsNaN(value) && !math.IsInf(value, 0) {
				id := fingerprint(labelsOf(s))
				history[id] = append(history[id], past{weeks, value})
			}
		}
	}
	short := 0
	for _, s := range now {
		set := labelsOf(s)
		weeks := history[fingerprint(set)]
		if len(weeks) < c.baseline.Weeks {
			short++
			continue
		}
		if expected := expectation(weeks); deviates(c.baseline, valueOf(s), expected) {
			samples = append(samples, sample{labels: set, value: valueOf(s), expected: expected})
		}
	}
	if short > 0 {
		which := "some series have"
		if short == len(now) {
			which = "all series have"
		}
		waiting = fmt.Sprintf("no verdict where there is too little history: %s fewer than %d of the last %d weeks", which, c.baseline.Weeks, policy.BaselineWeeks)
	}
	return samples, waiting, nil
}
