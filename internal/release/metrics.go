package release

import (
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what an operator sees of documents on /metrics.
type metrics struct {
	changes *prometheus.CounterVec
	sealed  prometheus.Counter
	told    prometheus.Counter
	derived []prometheus.Collector
}

func newMetrics(r *Releaser) *metrics {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	counter := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, value)
	}
	return &metrics{
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gantry_document_changes_total",
			Help: "Changes of documents made by this node, by action."}, []string{"action"}),
		sealed: prometheus.NewCounter(prometheus.CounterOpts{Name: "gantry_document_seals_total",
			Help: "Contents sealed by this node, at publishing and at key rotation."}),
		told: prometheus.NewCounter(prometheus.CounterOpts{Name: "gantry_document_events_total",
			Help: "Events given to watchers of this node."}),
		derived: []prometheus.Collector{
			gauge("gantry_documents", "Documents that are not deleted.", func() float64 { live, _ := r.index.total(); return float64(live) }),
			gauge("gantry_documents_deleted", "Deleted documents whose history is kept.", func() float64 { _, deleted := r.index.total(); return float64(deleted) }),
			gauge("gantry_document_watchers", "Open watchers on this node.", func() float64 { return float64(r.topics.count()) }),
			gauge("gantry_key_waiters", "Callers that wait for changes of keys on this node.", func() float64 { return float64(r.feed.waiting()) }),
			gauge("gantry_document_applied_reports", "Reports of applied versions that this node holds.", func() float64 { return float64(r.applied.count()) }),
			gauge("gantry_document_cache_bytes", "Bytes of contents and events kept in memory.", func() float64 { return float64(r.cache.size()) }),
			counter("gantry_document_cache_hits_total", "Contents and events answered from memory.", func() float64 { hits, _ := r.cache.counts(); return float64(hits) }),
			counter("gantry_document_cache_misses_total", "Contents and events that had to be read or encoded.", func() float64 { _, misses := r.cache.counts(); return float64(misses) }),
		},
	}
}

func (m *metrics) register(registerer prometheus.Registerer) error {
	for _, collector := range append(m.derived, m.changes, m.sealed, m.told) {
		if err := registerer.Register(collector); err != nil {
			return err
		}
	}
	return nil
}

// count counts what an edit did.
func (r *Releaser) count(e *edit) {
	for _, entry := range e.entries {
		r.metrics.changes.WithLabelValues(verb(entry.Action)).Inc()
	}
}
