package policy

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy/source"
)

// KindObjective is the kind of the documents that promise how good a service is (service level objectives).
const KindObjective = "Objective"

// WindowPlaceholder stands in an objective's own expressions for the range that is looked at.
const WindowPlaceholder = "$window"

// Bounds of an Objective.
const (
	defaultWindow = 28 * 24 * time.Hour // four whole weeks, so that each holds as many Sundays as the next
	minWindow     = 3 * 24 * time.Hour  // the longest range of a burn rate
	maxWindow     = 90 * 24 * time.Hour
	objectiveStep = time.Minute
)

// Percent is a share, written as "99.9%", held as 0.999.
type Percent float64

// UnmarshalText implements [encoding.TextUnmarshaler].
func (p *Percent) UnmarshalText(text []byte) error {
	digits, ok := strings.CutSuffix(string(text), "%")
	f, err := strconv.ParseFloat(digits, 64)
	if !ok || err != nil || math.IsNaN(f) {
		return errors.New(`want a percentage in quotes, such as "99.9%"`)
	}
	*p = Percent(f / 100)
	return nil
}

// Objective is a document of kind Objective. Exactly one of Availability, Latency and Ratio is set.
type Objective struct {
	// Target is the share of good events within the window, above 0 and below 100%.
	Target Percent `json:"target" spec:"required"`
	// Window is the time that the target is about. Default 28d.
	Window Duration `json:"window"`
	// Service, and Endpoint where it is about one alone, choose from gantry_request_duration_seconds.
	Service  string `json:"service"`
	Endpoint string `json:"endpoint"`
	// Availability counts requests that did not fail.
	Availability *struct{} `json:"availability"`
	// Latency counts requests under a threshold.
	Latency *Latency `json:"latency"`
	// Ratio counts by PromQL of one's own.
	Ratio *Ratio `json:"ratio"`
	// Every is the time between two evaluations. Default 1m.
	Every       Duration          `json:"every"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// Latency is a threshold of the duration.
type Latency struct {
	Threshold Duration `json:"threshold" spec:"required"`
}

// Ratio is good events and all of them, as PromQL in which $window stands for the range: sum(rate(good_total[$window])).
type Ratio struct {
	Good  string `json:"good" spec:"required"`
	Total string `json:"total" spec:"required"`
}

type objectiveKind struct{}

func (objectiveKind) Name() string { return KindObjective }

func (objectiveKind) Formats() []string { return []string{source.YAML, source.JSON, source.TOML} }

func (objectiveKind) spec() reflect.Type { return reflect.TypeFor[Objective]() }

func (objectiveKind) Validate(doc Document, _ Library) ([]*fault.Error, error) {
	_, faults, err := readObjective(doc)
	if err != nil {
		return nil, err
	}
	return nil, fault.Join(faults...)
}

// ParseObjective reads the content of an Objective, with its defaults filled in.
func ParseObjective(doc Document) (Objective, error) {
	objective, faults, err := readObjective(doc)
	if err == nil {
		err = fault.Join(faults...)
	}
	return objective, err
}

func readObjective(doc Document) (Objective, []*fault.Error, error) {
	o, tree, err := decodeOpen[Objective](doc)
	if err != nil {
		return Objective{}, nil, err
	}
	var faults []*fault.Error
	refuse := func(f *fault.Error) {
		if f != nil {
			faults = append(faults, f)
		}
	}
	if o.Target <= 0 || o.Target >= 1 {
		refuse(tree.At("target").Fault("objective.bad_target", "the target is not above 0%% and below 100%%").Hinted("what must never fail has no budget to burn; use 99.9%%, say"))
	}
	if o.Window == 0 {
		o.Window = Duration(defaultWindow)
	}
	refuse(checkSpan(tree.At("window"), o.Window, minWindow, maxWindow))
	if o.Latency != nil {
		refuse(checkSpan(tree.At("latency", "threshold"), o.Latency.Threshold, time.Millisecond, time.Hour))
	}
	if o.Ratio != nil {
		refuse(checkWindowed(tree.At("ratio", "good"), o.Ratio.Good))
		refuse(checkWindowed(tree.At("ratio", "total"), o.Ratio.Total))
	}
	refuse(o.checkIndicator(tree))
	refuse(checkEvery(tree, &o.Every, objectiveStep))
	faults = append(faults, checkTexts(tree, "labels", o.Labels, maxLabels, objectiveLabels())...)
	faults = append(faults, checkTexts(tree, "annotations", o.Annotations, maxAnnotations, nil)...)
	return o, faults, nil
}

func objectiveLabels() map[string]string {
	reserved := map[string]string{"burn": "it is the rate that the alert is about", "service": "write spec.service"}
	for name, why := range reservedLabels {
		reserved[name] = why
	}
	reserved["severity"] = "it follows from how fast the budget burns"
	return reserved
}

func (o *Objective) checkIndicator(tree source.Tree) *fault.Error {
	given := 0
	for _, is := range []bool{o.Availability != nil, o.Latency != nil, o.Ratio != nil} {
		if is {
			given++
		}
	}
	switch {
	case given != 1:
		return tree.At().Fault("objective.one_indicator", "an Objective has exactly one of availability, latency and ratio, here are %d", given).
			Hinted("availability: {} counts requests that did not fail")
	case o.Ratio == nil && o.Service == "":
		return tree.At("service").Fault("document.missing_field", "availability and latency are of a service").Hinted("add spec.service")
	case o.Service == "" && o.Endpoint != "":
		return tree.At("endpoint").Fault("document.missing_field", "an endpoint is of a service").Hinted("add spec.service")
	case len(o.Service) > MaxName || len(o.Endpoint) > MaxName:
		return tree.At("service").Fault("objective.too_long", "the name is longer than %d bytes", MaxName)
	}
	return nil
}

func checkWindowed(at source.Place, text string) *fault.Error {
	if !strings.Contains(text, "["+WindowPlaceholder+"]") {
		return at.Fault("objective.no_window", "the expression looks at no window").Hinted("write the range as [%s], such as sum(rate(good_total[%s]))", WindowPlaceholder, WindowPlaceholder)
	}
	return checkExpression(at, windowed(text, time.Hour), parser.ValueTypeVector)
}

func windowed(text string, window time.Duration) string {
	return strings.ReplaceAll(text, WindowPlaceholder, Duration(window).String())
}

// ErrorRatio is PromQL for the share of bad events over a time.
func (o *Objective) ErrorRatio(over time.Duration) string {
	if o.Ratio != nil {
		// An expression may end in a comment.
		return fmt.Sprintf("1 - (%s\n) / (%s\n)", windowed(o.Ratio.Good, over), windowed(o.Ratio.Total, over))
	}
	where := "service=" + strconv.Quote(o.Service)
	if o.Endpoint != "" {
		where += ",endpoint=" + strconv.Quote(o.Endpoint)
	}
	all := fmt.Sprintf("gantry_request_duration_seconds{%s}[%s]", where, Duration(over))
	if o.Latency != nil {
		return fmt.Sprintf("1 - histogram_fraction(0, %v, sum(rate(%s)))", time.Duration(o.Latency.Threshold).Seconds(), all)
	}
	failed := fmt.Sprintf(`gantry_request_duration_seconds{%s,outcome="failed"}[%s]`, where, Duration(over))
	// Nothing has failed where there is no such series.
	return fmt.Sprintf("(histogram_count(sum(rate(%s))) or 0 * histogram_count(sum(rate(%s)))) / histogram_count(sum(rate(%s)))", failed, all, all)
}

// Budget is the share of events that may be bad.
func (o *Objective) Budget() float64 { return 1 - float64(o.Target) }
