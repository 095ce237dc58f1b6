package alert

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the engine's own figures. No label is a client's to choose.
type metrics struct {
	evaluations   *prometheus.CounterVec
	seconds       prometheus.Histogram
	missed        prometheus.Counter
	unwritten     prometheus.Counter
	suppressed    prometheus.Counter
	notifications *prometheus.CounterVec
	retries       prometheus.Counter
	refused       prometheus.Counter
	rules, queued prometheus.GaugeFunc
}

func newMetrics(e *Engine) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "gantry_alert_" + name, Help: help})
	}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gantry_alert_" + name, Help: help}, labels)
	}
	gauge := func(name, help string, value func() float64) prometheus.GaugeFunc {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "gantry_alert_" + name, Help: help}, value)
	}
	return &metrics{
		evaluations: vec("evaluations_total", "Evaluations of rules by this node.", "outcome"),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "gantry_alert_evaluation_seconds", Help: "Time of one evaluation, waiting included.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 8)}),
		missed:        counter("missed_evaluations_total", "Evaluations that did not happen in time."),
		unwritten:     counter("unwritten_samples_total", "Samples of ALERTS and of objectives that the metrics store did not take."),
		suppressed:    counter("suppressed_total", "Alerts that silences and inhibitions kept back from a notification."),
		notifications: vec("notifications_total", "Notifications, after their retries.", "channel", "outcome"),
		retries:       counter("notification_retries_total", "Tries of notifications that failed and were made again."),
		refused:       counter("notification_queue_full_total", "Notifications that found no room in the queue; they are tried again."),
		rules: gauge("rules", "Rules that this node evaluates.", func() float64 {
			e.mu.Lock()
			defer e.mu.Unlock()
			return float64(len(e.runners))
		}),
		queued: gauge("notification_queue_length", "Notifications that wait for delivery.", func() float64 { return float64(len(e.queue.jobs)) }),
	}
}

func (m *metrics) register(r prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{m.evaluations, m.seconds, m.missed, m.unwritten, m.suppressed, m.notifications, m.retries, m.refused, m.rules, m.queued} {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}

func outcome(ok bool) string {
	if ok {
		return "success"
	}
	return "failed"
}

func (m *metrics) evaluated(ok bool, took time.Duration) {
	m.evaluations.WithLabelValues(outcome(ok)).Inc()
	m.seconds.Observe(took.Seconds())
}

func (m *metrics) notified(channel string, ok bool) {
	m.notifications.WithLabelValues(channel, outcome(ok)).Inc()
}
