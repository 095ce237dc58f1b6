package server

import (
	"path/filepath"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/protocol/prometheus"
	"github.com/gantry-platform/gantry/internal/signal/series"
)

// openSeries opens the store of metrics in the data folder, which the state has claimed for this process.
func (s *Server) openSeries() error {
	dir := filepath.Join(s.dataDir, "metrics")
	size := int64(s.settings.MetricsRetentionSize)
	if size == 0 {
		size = -1
	}
	store, err := series.Open(series.Options{Dir: dir, Retention: s.settings.MetricsRetention, RetentionSize: size, Node: s.store.Self().Name,
		Limits: series.Limits{Series: s.settings.MetricsSeries, NamespaceSeries: s.settings.MetricsNamespaceSeries, NameSeries: s.settings.MetricsNameSeries},
		Logger: s.log.With("part", "series"), Registerer: s.metrics, DiskFree: s.store.DiskFree, MinimumFree: uint64(s.settings.MinimumFree)})
	if err != nil {
		return fault.New(fault.Precondition, "series.cannot_open", "cannot open the metrics in %s: %v", dir, rootCause(err)).At("data").
			Hinted("see that this user may write the folder and that its disk has room").Because(err)
	}
	s.series = store
	return nil
}

// prometheusAPI is Prometheus's query API over the metrics.
func (s *Server) prometheusAPI() *prometheus.Handler {
	return prometheus.New(prometheus.Options{Series: s.series, Access: s.access, Version: s.version, Logger: s.log.With("part", "prometheus")})
}

// completeMetrics refuses what cannot be kept.
func (s *Settings) completeMetrics() error {
	const least = 2 * time.Hour // one block
	if s.MetricsRetention < least {
		return fault.New(fault.Invalid, "setting.bad_value", "metrics are kept for two hours at least, not for %s", s.MetricsRetention).At("metrics-retention").
			Hinted("a block of metrics covers two hours, and goes as a whole")
	}
	for name, n := range map[string]int{"metrics-series": s.MetricsSeries, "metrics-namespace-series": s.MetricsNamespaceSeries, "metrics-name-series": s.MetricsNameSeries} {
		if n < 1 {
			return fault.New(fault.Invalid, "setting.bad_value", "%d series are too few", n).At(name).Hinted("leave it out for its default")
		}
	}
	return nil
}
