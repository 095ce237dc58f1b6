package clickhouse

import (
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	registerer prometheus.Registerer
	all        []prometheus.Collector

	spans   prometheus.Counter
	refused *prometheus.CounterVec
	retries prometheus.Counter
	insert  prometheus.Histogram
	query   *prometheus.HistogramVec
}

// newMetrics has the names of the room trace where the meaning is the same, so that dashboards show either.
func newMetrics(s *Store, registerer prometheus.Registerer) *metrics {
	m := &metrics{registerer: registerer,
		spans:   prometheus.NewCounter(prometheus.CounterOpts{Name: "gantry_traces_spans_total", Help: "Spans made durable."}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gantry_traces_refused_batches_total", Help: "Batches that were not taken, by reason; senders were told to try again."}, []string{"reason"}),
		retries: prometheus.NewCounter(prometheus.CounterOpts{Name: "gantry_traces_insert_retries_total", Help: "Inserts into ClickHouse that were tried again."}),
		insert:  prometheus.NewHistogram(prometheus.HistogramOpts{Name: "gantry_traces_insert_seconds", Help: "Inserts that ClickHouse took.", Buckets: prometheus.ExponentialBuckets(0.005, 2, 13)}),
		query: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "gantry_traces_query_seconds", Help: "Queries of traces to ClickHouse, by whether they were answered.",
			Buckets: prometheus.ExponentialBuckets(0.005, 2, 13)}, []string{"answered"})}
	m.all = []prometheus.Collector{m.spans, m.refused, m.retries, m.insert, m.query,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "gantry_traces_memory_bytes", Help: "Spans in memory, not yet in ClickHouse."}, func() float64 { return float64(s.memory.Load()) })}
	for _, reason := range [...]string{"not_ready", "memory", "insert"} {
		m.refused.WithLabelValues(reason) // a rate needs the zero
	}
	for _, c := range m.all {
		registerer.MustRegister(c)
	}
	return m
}

func (m *metrics) unregister() {
	for _, c := range m.all {
		m.registerer.Unregister(c)
	}
}

// said keeps what may happen at each request to a line a minute.
type said struct {
	mu   sync.Mutex
	last map[string]time.Time
}

func newSaid() *said { return &said{last: map[string]time.Time{}} }

func (s *said) once(log *slog.Logger, topic, message string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.Sub(s.last[topic]) > time.Minute {
		s.last[topic] = now
		log.Error(message, "error", err)
	}
}
