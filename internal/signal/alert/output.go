package alert

import (
	"context"
	"math"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
)

// Series that Prometheus's rules make, too.
const (
	alertsSeries   = "ALERTS"
	forStateSeries = "ALERTS_FOR_STATE"
)

// output writes the series of one rule into the metrics store. It belongs to the rule's runner.
type output struct {
	engine    *Engine
	namespace string
	// written are the alerts' series of the last evaluation, by hash, and recorded those of an objective.
	written  map[uint64]labels.Labels
	recorded map[string]map[uint64]labels.Labels
	// latest are the newest points of a recording, and due is when it is asked next.
	latest map[string][]point
	due    map[string]time.Time
}

func newOutput(e *Engine, namespace string) *output {
	return &output{engine: e, namespace: namespace, recorded: map[string]map[uint64]labels.Labels{}, latest: map[string][]point{}, due: map[string]time.Time{}}
}

type point struct {
	labels labels.Labels
	value  float64
}

// alerts writes ALERTS, which is 1 while an alert waits or fires, and ALERTS_FOR_STATE, since when its condition holds, in seconds.
func (o *output) alerts(ctx context.Context, alerts map[string]*Alert, at time.Time) {
	var points []point
	for _, a := range alerts {
		if a.State != Pending && a.State != Firing {
			continue
		}
		points = append(points, point{o.labels(alertsSeries, a.Labels, map[string]string{"alertstate": string(a.State)}), 1},
			point{o.labels(forStateSeries, a.Labels, nil), float64(a.ActiveAt.Unix())})
	}
	o.written = o.append(ctx, points, o.written, at)
}

// labels are those of a series that this node works out.
func (o *output) labels(name string, sets ...map[string]string) labels.Labels {
	all := merged(sets...)
	all[model.MetricNameLabel], all["namespace"], all["node"] = name, o.namespace, o.engine.Store.Self().Name
	return labels.FromMap(all)
}

// append writes points, and says of the series of before that are not among them that they have ended.
func (o *output) append(ctx context.Context, points []point, before map[uint64]labels.Labels, at time.Time) map[uint64]labels.Labels {
	if o.engine.Appendable == nil || len(points) == 0 && len(before) == 0 {
		return nil
	}
	now := make(map[uint64]labels.Labels, len(points))
	appender := o.engine.Appendable.Appender(ctx)
	for _, p := range points {
		now[p.labels.Hash()] = p.labels
		o.one(appender, p.labels, p.value, at)
	}
	for hash, gone := range before {
		if _, still := now[hash]; !still {
			o.one(appender, gone, math.Float64frombits(value.StaleNaN), at)
		}
	}
	if err := appender.Commit(); err != nil {
		o.engine.log.Warn("the series of alerts cannot be written", "namespace", o.namespace, "error", err)
	}
	return now
}

// one appends a sample; the store counts and names what it does not take.
func (o *output) one(appender storage.Appender, l labels.Labels, v float64, at time.Time) {
	if _, err := appender.Append(0, l, at.UnixMilli(), v); err != nil {
		o.engine.metrics.unwritten.Inc()
	}
}

// close says of all series that they have ended: the next owner's are others.
func (o *output) close() {
	ctx := context.WithoutCancel(o.engine.running)
	at := o.engine.Now()
	o.written = o.append(ctx, nil, o.written, at)
	for name, before := range o.recorded {
		o.recorded[name] = o.append(ctx, nil, before, at)
	}
}

// record works out the recordings of a rule that are due, and writes the others again as they were: a query looks back for less than some of them wait.
// One that fails leaves a gap, which its series shows.
func (r *runner) record(ctx context.Context, rule *rule, at time.Time) {
	o := r.out
	if o.engine.Appendable == nil {
		return
	}
	for _, rec := range rule.recordings {
		key := rec.name + rec.labels["window"]
		if !at.Before(o.due[key]) {
			vector, err := o.engine.ask(rule.ref.Namespace)(ctx, rec.expr, at)
			if err != nil {
				o.engine.log.Warn("a series of an objective cannot be worked out", "series", rec.name, "name", rule.ref.Name, "namespace", rule.ref.Namespace, "error", failure(err))
				continue
			}
			o.due[key], o.latest[key] = at.Add(rec.every), nil
			for _, s := range vector {
				o.latest[key] = append(o.latest[key], point{o.labels(rec.name, labelsOf(s), rec.labels), valueOf(s)})
			}
		}
		o.recorded[key] = o.append(ctx, o.latest[key], o.recorded[key], at)
	}
}
