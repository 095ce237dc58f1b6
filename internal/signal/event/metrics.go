package event

import (
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the room's own. Their labels are Gantry's words.
type metrics struct {
	stored  prometheus.Counter
	refused *prometheus.CounterVec
}

func newMetrics(r *Room, registerer prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		stored:  prometheus.NewCounter(prometheus.CounterOpts{Name: "gantry_events_stored_total", Help: "Business events that this node made durable."}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gantry_events_refused_total", Help: "Business events that were not taken, by reason."}, []string{"reason"}),
	}
	figure := func(name, help string, value func(j *journal) float64) []prometheus.Collector {
		var all []prometheus.Collector
		for log, j := range map[string]*journal{"events": r.events, "changes": r.changes} {
			all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: prometheus.Labels{"log": log}},
				func() float64 { return value(j) }))
		}
		return all
	}
	collectors := []prometheus.Collector{m.stored, m.refused, prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "gantry_events_lost_total",
		Help: "Business events that were removed for want of space before they were forwarded."}, func() float64 {
		_, _, lost := r.events.figures()
		return float64(lost)
	})}
	collectors = append(collectors, figure("gantry_events_log_bytes", "Size of a log of events on disk.", func(j *journal) float64 {
		bytes, _, _ := j.figures()
		return float64(bytes)
	})...)
	collectors = append(collectors, figure("gantry_events_log_segments", "Segments of a log of events that are not written any more.", func(j *journal) float64 {
		_, segments, _ := j.figures()
		return float64(segments)
	})...)
	for _, collector := range collectors {
		if err := registerer.Register(collector); err != nil {
			return nil, err
		}
	}
	return m, nil
}
