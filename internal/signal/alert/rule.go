package alert

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy"
	"github.com/gantry-platform/gantry/internal/policy/annotate"
)

// rule is an Alert or an Objective, ready to be evaluated. It is immutable.
type rule struct {
	ref        Ref
	version    int64
	every      time.Duration
	hold, keep time.Duration
	conditions []condition
	recordings []recording
	services   []string
	// broken says why the document cannot be a rule, otherwise empty.
	broken string
}

// condition is an expression whose every series is an alert.
type condition struct {
	expr        string
	baseline    *policy.Baseline
	zone        *time.Location
	severity    policy.Severity
	fixed       map[string]string
	labels      map[string]*annotate.Template
	annotations map[string]*annotate.Template
}

// recording is an expression whose value is written as a series.
type recording struct {
	name   string
	expr   string
	labels map[string]string
	every  time.Duration
}

// compile makes a rule of a document. What was valid when it was published is so now, unless an older or newer version wrote it: then the rule says so.
func compile(ref Ref, version int64, doc Document) *rule {
	r := &rule{ref: ref, version: version, every: time.Minute}
	source := policy.Document{Namespace: ref.Namespace, Kind: ref.Kind, Name: ref.Name, Format: doc.Format, Content: doc.Content}
	var err error
	if ref.Kind == policy.KindObjective {
		err = r.fromObjective(source)
	} else {
		err = r.fromAlert(source)
	}
	if err != nil {
		r.broken = "the document cannot be read: " + fault.From(err).Message
	}
	return r
}

func (r *rule) fromAlert(doc policy.Document) error {
	a, err := policy.ParseAlert(doc)
	if err != nil {
		return err
	}
	r.every, r.hold, r.keep, r.services = time.Duration(a.Every), time.Duration(a.For), time.Duration(a.KeepFiringFor), a.Services
	c := condition{expr: a.Expr, severity: a.Severity}
	switch {
	case a.Absent != nil:
		c.expr = a.Absent.Expr()
	case a.Baseline != nil:
		c.expr, c.baseline = a.Baseline.Expr, a.Baseline
		if c.zone, err = time.LoadLocation(a.Baseline.TimeZone); err != nil {
			return err
		}
	}
	if err := c.texts(a.Labels, a.Annotations); err != nil {
		return err
	}
	r.conditions = []condition{c}
	return nil
}

func (c *condition) texts(labels, annotations map[string]string) (err error) {
	if c.labels, err = templates(labels); err != nil {
		return err
	}
	c.annotations, err = templates(annotations)
	return err
}

func templates(texts map[string]string) (map[string]*annotate.Template, error) {
	parsed := make(map[string]*annotate.Template, len(texts))
	for name, text := range texts {
		t, err := annotate.Parse(text)
		if err != nil {
			return nil, err
		}
		parsed[name] = t
	}
	return parsed, nil
}

// asker asks the series of one namespace.
type asker func(ctx context.Context, query string, at time.Time) (promVector, error)

type promVector = promql.Vector

// found is what an evaluation gave: alerts by their id, and what could not be judged yet.
type found struct {
	alerts map[string]finding
	// waiting says what has no verdict, otherwise empty.
	waiting string
}

// evaluate asks all conditions at a moment. Errors are for people.
func (r *rule) evaluate(ctx context.Context, ask asker, at time.Time) (found, error) {
	if r.broken != "" {
		return found{}, fmt.Errorf("%s", r.broken)
	}
	out := found{alerts: map[string]finding{}}
	for i := range r.conditions {
		c := &r.conditions[i]
		samples, waiting, err := c.ask(ctx, ask, at)
		if err != nil {
			return found{}, err
		}
		if waiting != "" {
			out.waiting = waiting
		}
		for _, s := range samples {
			f := c.finding(r.ref, s)
			id := fingerprint(f.labels)
			if _, twice := out.alerts[id]; twice {
				return found{}, fmt.Errorf("two series give an alert with the same labels %v; do not overwrite what tells them apart", f.labels)
			}
			if len(out.alerts) == MaxAlerts {
				return found{}, fmt.Errorf("the expression gives more than %d alerts; aggregate it", MaxAlerts)
			}
			out.alerts[id] = f
		}
	}
	return out, nil
}

// sample is a series for which a condition holds.
type sample struct {
	labels          map[string]string
	value, expected float64
}

func (c *condition) ask(ctx context.Context, ask asker, at time.Time) (samples []sample, waiting string, err error) {
	if c.baseline != nil {
		return c.compare(ctx, ask, at)
	}
	vector, err := ask(ctx, c.expr, at)
	if err != nil {
		return nil, "", err
	}
	for _, s := range vector {
		samples = append(samples, sample{labels: labelsOf(s), value: valueOf(s), expected: noExpectation()})
	}
	return samples, "", nil
}

// labelsOf are the labels of a series without its name.
func labelsOf(s promql.Sample) map[string]string {
	set := s.Metric.Map()
	delete(set, model.MetricNameLabel)
	return set
}

// valueOf is the value of a sample; of a histogram the number of its observations.
func valueOf(s promql.Sample) float64 {
	if s.H != nil {
		return s.H.Count
	}
	return s.F
}

// finding gives a sample its labels and annotations. A template that cannot be worked out says so in its place.
func (c *condition) finding(ref Ref, s sample) finding {
	data := annotate.Data{Labels: s.labels, Value: s.value, Expected: s.expected}
	set := merged(s.labels, c.fixed, expand(c.labels, data))
	for name, value := range set {
		if value == "" {
			delete(set, name)
		} else {
			set[name] = shorten(value, maxLabelValue)
		}
	}
	set["alertname"], set["namespace"], set["severity"] = ref.Name, ref.Namespace, string(c.severity)
	data.Labels = set
	return finding{labels: set, annotations: expand(c.annotations, data), value: s.value, expected: s.expected}
}

func expand(texts map[string]*annotate.Template, data annotate.Data) map[string]string {
	out := make(map[string]string, len(texts))
	for name, t := range texts {
		text, err := t.Execute(data)
		if err != nil {
			text = "(cannot be worked out: " + err.Error() + ")"
		}
		out[name] = text
	}
	return out
}

// servicesOf are the services whose changes belong to an alert.
func (r *rule) servicesOf(labels map[string]string) []string {
	if len(r.services) > 0 {
		return r.services
	}
	var services []string
	for _, name := range []string{"service", "caller", "callee"} {
		if s := labels[name]; s != "" && !slices.Contains(services, s) {
			services = append(services, s)
		}
	}
	return services
}

// number writes a value as people read it.
func number(f float64) string {
	if math.IsNaN(f) {
		return "-"
	}
	return fmt.Sprintf("%.4g", f)
}
