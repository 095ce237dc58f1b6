package alert

import (
	"fmt"
	"strconv"
	"time"

	"github.com/gantry-platform/gantry/internal/policy"
)

// Series that an objective makes.
const (
	// BudgetSeries is the share of the error budget that is left in the objective's window: 1 is untouched, below 0 is overspent.
	BudgetSeries = "gantry_objective_error_budget_remaining"
	// BurnSeries is how many times faster than allowed the budget burns, over the label "window".
	BurnSeries = "gantry_objective_burn_rate"
)

// budgetEvery is the time between two looks at the whole window: its value moves slowly, and four weeks are much to read.
const budgetEvery = 5 * time.Minute

// burn is a pair of windows: the long one says that it is worth it, the short one that it still goes on.
type burn struct {
	factor      float64
	long, short time.Duration
	severity    policy.Severity
}

// burns are the rates of the Site Reliability Workbook (chapter 5, "Alerting on SLOs"): 2% of a month's budget in an hour, 5% in six hours, 10% in three days.
func burns() []burn {
	const day = 24 * time.Hour
	return []burn{
		{14.4, time.Hour, 5 * time.Minute, policy.Critical},
		{6, 6 * time.Hour, 30 * time.Minute, policy.Critical},
		{1, 3 * day, 6 * time.Hour, policy.Warning},
	}
}

func (r *rule) fromObjective(doc policy.Document) error {
	o, err := policy.ParseObjective(doc)
	if err != nil {
		return err
	}
	r.every = time.Duration(o.Every)
	if o.Service != "" {
		r.services = []string{o.Service}
	}
	fixed := map[string]string{}
	for name, value := range map[string]string{"service": o.Service, "endpoint": o.Endpoint} {
		if value != "" {
			fixed[name] = value
		}
	}
	budget := strconv.FormatFloat(o.Budget(), 'g', 10, 64)
	for _, b := range burns() {
		long, short := "("+o.ErrorRatio(b.long)+")", "("+o.ErrorRatio(b.short)+")"
		c := condition{severity: b.severity, fixed: merged(fixed, map[string]string{"burn": number(b.factor) + "x"}),
			// The value of the alert is the burn rate over the long window.
			expr: fmt.Sprintf("%s / %s > %v and %s / %s > %v", long, budget, b.factor, short, budget, b.factor)}
		if err := c.texts(o.Labels, merged(objectiveTexts(&o, b), o.Annotations)); err != nil {
			return err
		}
		r.conditions = append(r.conditions, c)
	}
	named := merged(fixed, map[string]string{"objective": r.ref.Name})
	r.recordings = append(r.recordings, recording{name: BudgetSeries, labels: named, every: max(budgetEvery, r.every),
		expr: fmt.Sprintf("1 - (%s) / %s", o.ErrorRatio(time.Duration(o.Window)), budget)})
	for _, over := range []time.Duration{time.Hour, 6 * time.Hour} {
		r.recordings = append(r.recordings, recording{name: BurnSeries, labels: merged(named, map[string]string{"window": policy.Duration(over).String()}), every: r.every,
			expr: fmt.Sprintf("(%s) / %s", o.ErrorRatio(over), budget)})
	}
	return nil
}

// objectiveTexts are an objective's annotations, where it has none of its own.
func objectiveTexts(o *policy.Objective, b burn) map[string]string {
	of := o.Service
	if of == "" {
		of = "what it measures"
	}
	target := strconv.FormatFloat(float64(o.Target)*100, 'g', 6, 64)
	return map[string]string{
		"summary": fmt.Sprintf("The error budget of %s burns {{ $value | humanize }} times too fast", escape(of)),
		"description": fmt.Sprintf("The objective is %s%% within %s. Over the last %s its budget burned more than %s times as fast as it may, and over the last %s still.",
			target, o.Window, policy.Duration(b.long), number(b.factor), policy.Duration(b.short)),
	}
}

// escape keeps a name from being read as a template.
func escape(text string) string { return fmt.Sprintf("{{ %q }}", text) }
