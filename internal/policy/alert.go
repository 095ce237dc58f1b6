package policy

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy/source"
)

// KindAlert is the kind of the documents that say when to alert.
const KindAlert = "Alert"

// Severity says how soon somebody must look.
type Severity string

// The severities: wake somebody, look today, know.
const (
	Critical Severity = "critical"
	Warning  Severity = "warning"
	Info     Severity = "info"
)

// Words are all of them, for who describes what may be written.
func (Severity) Words() []string { return []string{string(Critical), string(Warning), string(Info)} }

// Direction says which deviations from a baseline count.
type Direction string

// The directions.
const (
	Up   Direction = "up"
	Down Direction = "down"
	Both Direction = "both"
)

// Bounds of an Alert.
const (
	minEvery     = 5 * time.Second
	defaultEvery = 30 * time.Second
	maxEvery     = time.Hour
	// maxHold bounds for, keepFiringFor and absence: a week, after which nobody waits any more.
	maxHold = 7 * 24 * time.Hour
	// BaselineWeeks is how many weeks a baseline looks back.
	BaselineWeeks = 4
	// defaultWeeks of history are the fewest for a verdict: one week alone may have been the odd one.
	defaultWeeks = 2
	// maxServices bounds the services whose changes are named with an alert.
	maxServices = 32
)

// Alert is a document of kind Alert. Exactly one of Expr, Absent and Baseline is set.
type Alert struct {
	// Expr is PromQL; each series of its answer is an alert.
	Expr     string    `json:"expr"`
	Absent   *Absent   `json:"absent"`
	Baseline *Baseline `json:"baseline"`
	// For is how long it must hold before it fires; KeepFiringFor how long it still fires after it has ceased to hold.
	For           Duration `json:"for"`
	KeepFiringFor Duration `json:"keepFiringFor"`
	// Every is the time between two evaluations. Default 30s.
	Every Duration `json:"every"`
	// Severity is critical, warning or info. Default warning.
	Severity Severity `json:"severity"`
	// Labels and Annotations are added to each alert; they are templates.
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	// Services are those whose changes are named with the alert. Empty: the one of the alert's label "service".
	Services []string `json:"services"`
}

// Absent alerts when a selector has no sample for a time.
type Absent struct {
	Selector string   `json:"selector" spec:"required"`
	Over     Duration `json:"over" spec:"required"`
}

// Baseline compares an expression with its own value at the same time of the last four same weekdays.
type Baseline struct {
	Expr string `json:"expr" spec:"required"`
	// Direction is up, down or both. Default both.
	Direction Direction `json:"direction"`
	// Factor alerts above expected*Factor, and below expected/Factor. Exactly one of Factor and Percent is set.
	Factor float64 `json:"factor"`
	// Percent alerts above expected*(1+Percent/100), and below expected*(1-Percent/100).
	Percent float64 `json:"percent"`
	// Minimum is what the value must reach for a verdict upwards, and the expectation for one downwards: below it there is too little to compare.
	Minimum float64 `json:"minimum"`
	// Weeks are the fewest with a value for a verdict, 1 to 4. Default 2.
	Weeks int `json:"weeks"`
	// TimeZone, such as Asia/Shanghai, says what "the same time" is where clocks are changed in summer. Default UTC.
	TimeZone string `json:"timeZone"`
}

type alertKind struct{}

func (alertKind) Name() string { return KindAlert }

func (alertKind) Formats() []string { return []string{source.YAML, source.JSON, source.TOML} }

func (alertKind) spec() reflect.Type { return reflect.TypeFor[Alert]() }

func (alertKind) Validate(doc Document, _ Library) ([]*fault.Error, error) {
	_, faults, err := readAlert(doc)
	if err != nil {
		return nil, err
	}
	return nil, fault.Join(faults...)
}

// ParseAlert reads the content of an Alert, with its defaults filled in.
func ParseAlert(doc Document) (Alert, error) {
	alert, faults, err := readAlert(doc)
	if err == nil {
		err = fault.Join(faults...)
	}
	return alert, err
}

func readAlert(doc Document) (Alert, []*fault.Error, error) {
	alert, tree, err := decodeOpen[Alert](doc)
	if err != nil {
		return Alert{}, nil, err
	}
	var faults []*fault.Error
	refuse := func(f *fault.Error) {
		if f != nil {
			faults = append(faults, f)
		}
	}
	given := 0
	if tree.Root.Field("expr") != nil {
		given++
		refuse(checkExpression(tree.At("expr"), alert.Expr, parser.ValueTypeVector))
	}
	if alert.Absent != nil {
		given++
		faults = append(faults, alert.Absent.check(tree)...)
	}
	if alert.Baseline != nil {
		given++
		faults = append(faults, alert.Baseline.complete(tree)...)
	}
	if given != 1 {
		refuse(tree.At().Fault("alert.one_condition", "an Alert has exactly one of expr, absent and baseline, here are %d", given).
			Hinted("expr compares by PromQL, absent waits for data, baseline compares with the weeks before"))
	}
	refuse(checkEvery(tree, &alert.Every, defaultEvery))
	refuse(checkSpan(tree.At("for"), alert.For, 0, maxHold))
	refuse(checkSpan(tree.At("keepFiringFor"), alert.KeepFiringFor, 0, maxHold))
	refuse(checkSeverity(tree.At("severity"), &alert.Severity, Warning))
	faults = append(faults, checkTexts(tree, "labels", alert.Labels, maxLabels, reservedLabels)...)
	faults = append(faults, checkTexts(tree, "annotations", alert.Annotations, maxAnnotations, nil)...)
	refuse(checkServices(tree, alert.Services))
	return alert, faults, nil
}

// check looks at an absence, and writes its selector as PromQL writes it: without comments, which would swallow what follows.
func (a *Absent) check(tree source.Tree) (faults []*fault.Error) {
	expr, err := promQL().ParseExpr(a.Selector)
	selector, ok := expr.(*parser.VectorSelector)
	if err != nil || !ok || selector.OriginalOffset != 0 || selector.Timestamp != nil || selector.StartOrEnd != 0 || len(a.Selector) > maxExpression {
		faults = append(faults, tree.At("absent", "selector").Fault("alert.bad_selector", `not a selector of series, such as up{job="loan"}`).
			Hinted("absent takes a selector alone, without functions and offsets"))
	} else {
		a.Selector = selector.String()
	}
	if f := checkSpan(tree.At("absent", "over"), a.Over, time.Second, maxHold); f != nil {
		faults = append(faults, f)
	}
	return faults
}

// Expr is the absence in PromQL.
func (a *Absent) Expr() string { return fmt.Sprintf("absent_over_time(%s[%s])", a.Selector, a.Over) }

// complete fills in defaults and looks at a baseline.
func (b *Baseline) complete(tree source.Tree) (faults []*fault.Error) {
	at := func(field string) source.Place { return tree.At("baseline", field) }
	if f := checkExpression(at("expr"), b.Expr, parser.ValueTypeVector); f != nil {
		faults = append(faults, f)
	}
	switch b.Direction {
	case "":
		b.Direction = Both
	case Up, Down, Both:
	default:
		faults = append(faults, at("direction").Fault("alert.bad_direction", "%s is no direction", source.Quote(string(b.Direction))).Hinted("use up, down or both"))
	}
	switch {
	case (b.Factor != 0) == (b.Percent != 0):
		faults = append(faults, tree.At("baseline").Fault("alert.one_deviation", "a baseline has exactly one of factor and percent").
			Hinted("factor: 2 alerts at twice the expected value, percent: 50 at one and a half times"))
	case b.Factor != 0 && !(b.Factor > 1 && b.Factor <= 1e6):
		faults = append(faults, at("factor").Fault("alert.bad_factor", "the factor %v is not above 1", b.Factor).Hinted("factor: 2 alerts at twice the expected value, or at half of it"))
	case b.Percent != 0 && !(b.Percent > 0 && b.Percent <= 1e6):
		faults = append(faults, at("percent").Fault("alert.bad_percent", "%v percent is no deviation", b.Percent).Hinted("use a number above 0, such as 50"))
	case b.Percent >= 100 && b.Direction == Down:
		faults = append(faults, at("percent").Fault("alert.bad_percent", "no value lies %v percent below another", b.Percent).Hinted("use less than 100 percent downwards"))
	}
	if b.Weeks == 0 {
		b.Weeks = defaultWeeks
	}
	if b.Weeks < 1 || b.Weeks > BaselineWeeks {
		faults = append(faults, at("weeks").Fault("alert.bad_weeks", "%d weeks of history", b.Weeks).Hinted("a baseline looks back %d weeks; use 1 to %d", BaselineWeeks, BaselineWeeks))
	}
	if _, err := time.LoadLocation(b.TimeZone); err != nil || b.TimeZone == "Local" {
		faults = append(faults, at("timeZone").Fault("alert.bad_time_zone", "%s is no time zone", source.Quote(b.TimeZone)).Hinted("use a name such as Asia/Shanghai"))
	}
	return faults
}

func checkEvery(tree source.Tree, every *Duration, preset time.Duration) *fault.Error {
	if *every == 0 && tree.Root.Field("every") == nil {
		*every = Duration(preset)
	}
	return checkSpan(tree.At("every"), *every, minEvery, maxEvery)
}

func checkSpan(at source.Place, d Duration, least, most time.Duration) *fault.Error {
	if time.Duration(d) >= least && time.Duration(d) <= most {
		return nil
	}
	return at.Fault("alert.bad_duration", "%s is not between %s and %s", d, Duration(least), Duration(most))
}

func checkSeverity(at source.Place, severity *Severity, preset Severity) *fault.Error {
	switch *severity {
	case "":
		*severity = preset
	case Critical, Warning, Info:
	default:
		return at.Fault("alert.bad_severity", "%s is no severity", source.Quote(string(*severity))).Hinted("use critical, warning or info")
	}
	return nil
}

func checkServices(tree source.Tree, services []string) *fault.Error {
	if len(services) > maxServices {
		return tree.At("services").Fault("alert.too_many_services", "there are %d services", len(services)).Hinted("at most %d are allowed", maxServices)
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
