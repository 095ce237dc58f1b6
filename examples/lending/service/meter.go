package service

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Outcome is how a request ended.
type Outcome string

// The outcomes. That the business says no is no failure: an alert on failures must not ring because customers have poor credit.
const (
	Success Outcome = "success"
	Refused Outcome = "refused"
	Failed  Outcome = "failed"
)

// Meter counts requests by operation and outcome.
type Meter struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

// NewMeter makes a meter whose metrics are on a registerer. Operations must be few and fixed: each is a label's value.
func NewMeter(registerer prometheus.Registerer) *Meter {
	m := &Meter{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lending_requests_total", Help: "Requests by operation and outcome: success, refused by the business, or failed.",
		}, []string{"operation", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "lending_request_duration_seconds", Help: "How long requests took, by operation.",
			// From 1 ms to 4 s: from a decision in memory to the longest timeout.
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 13),
		}, []string{"operation"}),
	}
	registerer.MustRegister(m.requests, m.seconds)
	return m
}

// Observe counts a request that began at a time and has ended now.
func (m *Meter) Observe(operation string, outcome Outcome, began time.Time) {
	m.requests.WithLabelValues(operation, string(outcome)).Inc()
	m.seconds.WithLabelValues(operation).Observe(time.Since(began).Seconds())
}
