package series

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/storage"
)

// Record writes what a gatherer has into the store, every so often until ctx ends: the server's own figures, with the labels job="gantry" and node. They belong to no
// namespace. The store keeps no native histograms of them: Gantry's own figures have none.
func (s *Store) Record(ctx context.Context, gatherer prometheus.Gatherer, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		if err := s.recordOnce(ctx, gatherer); err != nil && ctx.Err() == nil {
			s.complain("the server's own figures were not written", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *Store) recordOnce(ctx context.Context, gatherer prometheus.Gatherer) error {
	if s.unwritable() != nil {
		return nil // which everything else says already
	}
	families, err := gatherer.Gather()
	if err != nil && len(families) == 0 {
		return err
	}
	w := &ownWriter{appender: s.Appender(ctx), at: s.now().UnixMilli(), builder: labels.NewScratchBuilder(8), node: s.node}
	for _, family := range families {
		w.family(family)
	}
	if w.err != nil {
		return errors.Join(w.err, w.appender.Rollback())
	}
	return w.appender.Commit()
}

// ownWriter appends families as Prometheus's text format would have them.
type ownWriter struct {
	appender storage.Appender
	at       int64
	builder  labels.ScratchBuilder
	node     string
	err      error
}

func (w *ownWriter) family(f *dto.MetricFamily) {
	name := f.GetName()
	kind := map[dto.MetricType]string{dto.MetricType_COUNTER: "counter", dto.MetricType_GAUGE: "gauge", dto.MetricType_SUMMARY: "summary",
		dto.MetricType_HISTOGRAM: "histogram"}[f.GetType()]
	_, _ = w.appender.UpdateMetadata(0, labels.FromStrings(model.MetricNameLabel, name), metadata.Metadata{Type: model.MetricType(kind), Help: f.GetHelp()})
	for _, m := range f.GetMetric() {
		switch f.GetType() {
		case dto.MetricType_COUNTER:
			w.sample(name, m, m.GetCounter().GetValue())
		case dto.MetricType_GAUGE:
			w.sample(name, m, m.GetGauge().GetValue())
		case dto.MetricType_UNTYPED:
			w.sample(name, m, m.GetUntyped().GetValue())
		case dto.MetricType_SUMMARY:
			for _, q := range m.GetSummary().GetQuantile() {
				w.sample(name, m, q.GetValue(), "quantile", labels.FormatOpenMetricsFloat(q.GetQuantile()))
			}
			w.sample(name+"_sum", m, m.GetSummary().GetSampleSum())
			w.sample(name+"_count", m, float64(m.GetSummary().GetSampleCount()))
		case dto.MetricType_HISTOGRAM, dto.MetricType_GAUGE_HISTOGRAM:
			for _, b := range m.GetHistogram().GetBucket() {
				if !math.IsInf(b.GetUpperBound(), 1) {
					w.sample(name+"_bucket", m, float64(b.GetCumulativeCount()), "le", labels.FormatOpenMetricsFloat(b.GetUpperBound()))
				}
			}
			w.sample(name+"_bucket", m, float64(m.GetHistogram().GetSampleCount()), "le", "+Inf")
			w.sample(name+"_sum", m, m.GetHistogram().GetSampleSum())
			w.sample(name+"_count", m, float64(m.GetHistogram().GetSampleCount()))
		}
	}
}

// sample appends one, with labels beyond the metric's own.
func (w *ownWriter) sample(name string, m *dto.Metric, value float64, more ...string) {
	w.builder.Reset()
	w.builder.Add(model.MetricNameLabel, name)
	w.builder.Add("job", "gantry")
	w.builder.Add("node", w.node)
	for _, l := range m.GetLabel() {
		if n := l.GetName(); n != "job" && n != "node" {
			w.builder.Add(n, l.GetValue())
		}
	}
	for i := 0; i+1 < len(more); i += 2 {
		w.builder.Add(more[i], more[i+1])
	}
	w.builder.Sort()
	if _, err := w.appender.Append(0, w.builder.Labels(), w.at, value); err != nil && !forItsOwnSake(err) && w.err == nil {
		w.err = err
	}
}
