package trace

import (
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	registerer prometheus.Registerer
	all        []prometheus.Collector

	spans      prometheus.Counter
	refused    *prometheus.CounterVec
	sync       prometheus.Histogram
	cut        prometheus.Histogram
	blockBytes prometheus.Counter
	blockSpans prometheus.Counter
	removed    *prometheus.CounterVec

	mu   sync.Mutex
	said map[string]time.Time
}

func newMetrics(s *Store, registerer prometheus.Registerer) *metrics {
	m := &metrics{registerer: registerer, said: map[string]time.Time{},
		spans:      prometheus.NewCounter(prometheus.CounterOpts{Name: "gantry_traces_spans_total", Help: "Spans made durable."}),
		refused:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gantry_traces_refused_batches_total", Help: "Batches that were not taken, by reason; senders were told to try again."}, []string{"reason"}),
		sync:       prometheus.NewHistogram(prometheus.HistogramOpts{Name: "gantry_traces_sync_seconds", Help: "Writing and syncing the log.", Buckets: prometheus.ExponentialBuckets(0.0002, 2, 14)}),
		cut:        prometheus.NewHistogram(prometheus.HistogramOpts{Name: "gantry_traces_block_write_seconds", Help: "Making a block.", Buckets: prometheus.ExponentialBuckets(0.05, 2, 12)}),
		blockBytes: prometheus.NewCounter(prometheus.CounterOpts{Name: "gantry_traces_block_written_bytes_total", Help: "Bytes of the blocks written."}),
		blockSpans: prometheus.NewCounter(prometheus.CounterOpts{Name: "gantry_traces_block_written_spans_total", Help: "Spans in the blocks written."}),
		removed:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gantry_traces_blocks_removed_total", Help: "Blocks removed, by reason: age, size, or merged."}, []string{"reason"}),
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	blocks := func(of func(*block) int64) func() float64 {
		return func() float64 {
			s.mu.RLock()
			defer s.mu.RUnlock()
			sum := int64(0)
			for _, b := range s.blocks {
				sum += of(b)
			}
			return float64(sum)
		}
	}
	m.all = []prometheus.Collector{m.spans, m.refused, m.sync, m.cut, m.blockBytes, m.blockSpans, m.removed,
		gauge("gantry_traces_memory_bytes", "Spans in memory, in blocks not yet.", func() float64 { return float64(s.memory.Load()) }),
		gauge("gantry_traces_blocks", "Blocks.", blocks(func(*block) int64 { return 1 })),
		gauge("gantry_traces_blocks_bytes", "Bytes of all blocks.", blocks(func(b *block) int64 { return b.size })),
		gauge("gantry_traces_blocks_spans", "Spans of all blocks.", blocks(func(b *block) int64 { return int64(b.spans) })),
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

// logOnce says a thing that may happen at each request once a minute.
func (m *metrics) logOnce(log *slog.Logger, topic, message string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := time.Now(); now.Sub(m.said[topic]) > time.Minute {
		m.said[topic] = now
		log.Error(message, "error", err)
	}
}
