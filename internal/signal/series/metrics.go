package series

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// metrics are the store's own figures. None has a label that a client can choose.
type metrics struct {
	samples      prometheus.Counter
	drops        map[string]prometheus.Counter
	queries      *prometheus.CounterVec
	upkeepFailed prometheus.Counter
	peersFailed  prometheus.Counter
}

func newMetrics(s *Store, registerer prometheus.Registerer) *metrics {
	drops := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gantry_series_dropped_samples_total",
		Help: "Samples and exemplars that were not taken, by reason."}, []string{"reason"})
	m := &metrics{
		samples: prometheus.NewCounter(prometheus.CounterOpts{Name: "gantry_series_samples_total", Help: "Samples taken."}),
		drops:   map[string]prometheus.Counter{},
		queries: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gantry_series_queries_total",
			Help: "Queries by outcome: success, invalid, too_large, timeout, refused, failed."}, []string{"outcome"}),
		upkeepFailed: prometheus.NewCounter(prometheus.CounterOpts{Name: "gantry_series_upkeep_failures_total",
			Help: "Times that cutting or compacting blocks failed or wanted more disk than there was."}),
		peersFailed: prometheus.NewCounter(prometheus.CounterOpts{Name: "gantry_series_peer_failures_total",
			Help: "Questions to other nodes' series that were not answered, so that an answer lacked them."}),
	}
	for _, reason := range Reasons() {
		m.drops[reason] = drops.WithLabelValues(reason)
	}
	if registerer == nil {
		return m
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	registerer.MustRegister(m.samples, drops, m.queries, m.upkeepFailed, m.peersFailed, tsdbFigures{s.inner},
		gauge("gantry_series_limit", "Series that may be in memory.", func() float64 { return float64(s.limits.Series) }),
		gauge("gantry_series_delta_totals", "Series that are summed up from deltas.", func() float64 { return float64(s.deltas.size()) }),
		gauge("gantry_series_queries_waiting", "Queries that wait for their turn.", func() float64 { return float64(s.gate.waiting()) }),
		gauge("gantry_series_queries_running", "Queries that are worked out.", func() float64 { return float64(s.gate.running()) }),
		gauge("gantry_series_sealed", "1 when nothing is written until a restart.", func() float64 {
			if s.sealed.Load() != nil {
				return 1
			}
			return 0
		}))
	return m
}

func (m *metrics) dropped(reason string, n int) { m.drops[reason].Add(float64(n)) }

// renamed is what is passed on of the TSDB's own figures, under our names.
func renamed(name string) (string, bool) {
	switch name {
	case "prometheus_tsdb_head_series":
		return "gantry_series_in_memory", true
	case "prometheus_tsdb_head_chunks":
		return "gantry_series_chunks_in_memory", true
	case "prometheus_tsdb_head_max_time_seconds":
		return "gantry_series_newest_seconds", true
	case "prometheus_tsdb_lowest_timestamp_seconds":
		return "gantry_series_oldest_seconds", true
	case "prometheus_tsdb_wal_storage_size_bytes":
		return "gantry_series_log_bytes", true
	case "prometheus_tsdb_storage_blocks_bytes":
		return "gantry_series_blocks_bytes", true
	case "prometheus_tsdb_blocks_loaded":
		return "gantry_series_blocks", true
	case "prometheus_tsdb_compactions_total":
		return "gantry_series_compactions_total", true
	case "prometheus_tsdb_compactions_failed_total":
		return "gantry_series_compactions_failed_total", true
	case "prometheus_tsdb_wal_corruptions_total":
		return "gantry_series_log_corruptions_total", true
	case "prometheus_tsdb_wal_writes_failed_total":
		return "gantry_series_log_writes_failed_total", true
	case "prometheus_tsdb_mmap_chunk_corruptions_total":
		return "gantry_series_chunk_corruptions_total", true
	case "prometheus_tsdb_exemplar_exemplars_in_storage":
		return "gantry_series_exemplars", true
	case "prometheus_tsdb_symbol_table_size_bytes":
		return "gantry_series_symbols_bytes", true
	case "prometheus_tsdb_head_out_of_order_samples_appended_total":
		return "gantry_series_late_samples_total", true
	default:
		return "", false
	}
}

// tsdbFigures passes on some of the figures of the TSDB, summed over their labels.
type tsdbFigures struct{ inner *prometheus.Registry }

// Describe implements prometheus.Collector; it describes nothing, because the TSDB decides what there is.
func (tsdbFigures) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (t tsdbFigures) Collect(to chan<- prometheus.Metric) {
	families, err := t.inner.Gather()
	if err != nil && families == nil {
		return
	}
	for _, family := range families {
		name, wanted := renamed(family.GetName())
		if !wanted {
			continue
		}
		var sum float64
		kind := prometheus.GaugeValue
		for _, m := range family.GetMetric() {
			if family.GetType() == dto.MetricType_COUNTER {
				kind = prometheus.CounterValue
				sum += m.GetCounter().GetValue()
			} else {
				sum += m.GetGauge().GetValue()
			}
		}
		to <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, family.GetHelp(), nil, nil), kind, sum)
	}
}

// quiet is the logger for the TSDB and the engine: what they tell of every start and every block is of use when somebody looks for it.
func quiet(log *slog.Logger) *slog.Logger { return slog.New(quietHandler{log.Handler()}) }

type quietHandler struct{ slog.Handler }

func lower(level slog.Level) slog.Level {
	if level == slog.LevelInfo {
		return slog.LevelDebug
	}
	return level
}

func (h quietHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.Handler.Enabled(ctx, lower(level))
}

func (h quietHandler) Handle(ctx context.Context, record slog.Record) error {
	record.Level = lower(record.Level)
	return h.Handler.Handle(ctx, record)
}

func (h quietHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return quietHandler{h.Handler.WithAttrs(attrs)}
}

func (h quietHandler) WithGroup(name string) slog.Handler {
	return quietHandler{h.Handler.WithGroup(name)}
}
