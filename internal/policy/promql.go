package policy

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy/annotate"
	"github.com/gantry-platform/gantry/internal/policy/source"
)

// Limits that the kinds of alerting share.
const (
	// maxExpression bounds a PromQL expression, in bytes: far above what people write.
	maxExpression = 8 << 10
	// maxMatchers bounds the matchers of a silence, a route or an inhibition.
	maxMatchers = 32
	// maxLabels and maxAnnotations bound what an alert carries, which is stored with each transition of each of its series.
	maxLabels      = 32
	maxAnnotations = 16
)

// Duration is a time in documents about metrics, written as Prometheus writes it: 30s, 5m, 1h30m, 28d, 4w.
type Duration time.Duration

// UnmarshalText implements [encoding.TextUnmarshaler].
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := model.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%s is no duration; write it like 30s, 5m, 1h30m or 28d", source.Quote(string(text)))
	}
	*d = Duration(parsed)
	return nil
}

// String writes it as it is read.
func (d Duration) String() string { return model.Duration(d).String() }

// promQL parses by the grammar that the metrics store evaluates.
func promQL() parser.Parser { return parser.NewParser(parser.Options{}) }

// checkExpression parses an expression whose value is an instant vector.
func checkExpression(at source.Place, text string, want ...parser.ValueType) *fault.Error {
	if len(text) > maxExpression {
		return at.Fault("promql.too_long", "the expression has %d bytes", len(text)).Hinted("at most %d are allowed", maxExpression)
	}
	if strings.TrimSpace(text) == "" {
		return at.Fault("promql.invalid", "the expression is empty").Hinted("write PromQL, such as sum(rate(gantry_errors_total[5m])) > 1")
	}
	expr, err := promQL().ParseExpr(text)
	if err != nil {
		return at.Fault("promql.invalid", "not valid PromQL: %s", promQLError(err))
	}
	for _, t := range want {
		if expr.Type() == t {
			return nil
		}
	}
	return at.Fault("promql.wrong_type", "the expression is a %s, not an instant vector", parser.DocumentedType(expr.Type())).
		Hinted("an alert needs one value for each series at a moment")
}

// promQLError is what a parser says, with the place within the expression.
func promQLError(err error) string {
	var all parser.ParseErrors
	if errors.As(err, &all) && len(all) > 0 {
		return cmp.Or(all[0].Error(), "it cannot be read")
	}
	return err.Error()
}

// Matchers are conditions on labels, all of which must hold.
type Matchers []*labels.Matcher

// Match reports whether all hold; a label that is not there is empty.
func (m Matchers) Match(value func(name string) string) bool {
	for _, matcher := range m {
		if !matcher.Matches(value(matcher.Name)) {
			return false
		}
	}
	return true
}

// Strings writes them as they are read.
func (m Matchers) Strings() []string {
	all := make([]string, len(m))
	for i, matcher := range m {
		all[i] = matcher.String()
	}
	return all
}

// ParseMatcher reads one condition in PromQL's words: service="loan", severity!="info", instance=~"10[.].*".
func ParseMatcher(text string) (*labels.Matcher, error) {
	if len(text) > maxExpression {
		return nil, errors.New("the matcher is too long")
	}
	parsed, err := promQL().ParseMetricSelector("{" + text + "}")
	if err != nil || len(parsed) != 1 {
		// A selector that matches everything is an error of PromQL, and none here; so is one matcher alone of a name.
		parsed, err = promQL().ParseMetricSelector(`{` + text + `,__name__=~".+"}`)
		if err != nil || len(parsed) != 2 {
			return nil, fmt.Errorf(`%s is no matcher; write it like service="loan" or severity=~"critical|warning"`, source.Quote(text))
		}
	}
	return parsed[0], nil
}

func checkMatchers(tree source.Tree, field string, texts []string) (Matchers, []*fault.Error) {
	if len(texts) > maxMatchers {
		return nil, []*fault.Error{tree.At(field).Fault("matcher.too_many", "there are %d matchers", len(texts)).Hinted("at most %d are allowed", maxMatchers)}
	}
	var matchers Matchers
	var faults []*fault.Error
	for i, text := range texts {
		matcher, err := ParseMatcher(text)
		if err != nil {
			faults = append(faults, tree.At(field, i).Fault("matcher.invalid", "%s", err))
			continue
		}
		matchers = append(matchers, matcher)
	}
	return matchers, faults
}

// reservedLabels are set by Gantry itself.
var reservedLabels = map[string]string{
	"alertname": "it is the name of the document",
	"severity":  "write spec.severity",
	"namespace": "it is the namespace of the document",
	"node":      "it is the node that evaluates",
	"__name__":  "an alert has no metric name",
}

// checkTexts checks labels or annotations: names, number, and their templates.
func checkTexts(tree source.Tree, field string, texts map[string]string, most int, reserved map[string]string) (faults []*fault.Error) {
	if len(texts) > most {
		return []*fault.Error{tree.At(field).Fault("alert.too_many_texts", "there are %d %s", len(texts), field).Hinted("at most %d are allowed", most)}
	}
	for _, name := range sortedKeys(texts) {
		if !model.LegacyValidation.IsValidLabelName(name) || len(name) > 128 {
			faults = append(faults, tree.Key(field, name).Fault("alert.bad_name", "%s is no name of a label", source.Quote(name)).
				Hinted("use letters, digits and '_', and no digit first"))
			continue
		}
		if why, ok := reserved[name]; ok {
			faults = append(faults, tree.Key(field, name).Fault("alert.reserved_label", "the label %s is set by Gantry: %s", name, why).Hinted("take it out"))
			continue
		}
		if _, err := annotate.Parse(texts[name]); err != nil {
			faults = append(faults, tree.At(field, name).Fault("alert.bad_template", "not a valid template: %s", err).
				Hinted("templates know $labels, $value and $expected, such as {{ $labels.service }}"))
		}
	}
	return faults
}
