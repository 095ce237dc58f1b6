package series

import "time"

// Limits bound what the store takes. A zero field means its default.
type Limits struct {
	// Series in memory of all namespaces together. Default 1,000,000: about 4 GiB at 4 KiB a series, of which half is used until a block is cut.
	Series int
	// NamespaceSeries are those of one namespace. Default 500,000, so that one environment gone wild leaves room for the others.
	NamespaceSeries int
	// NameSeries are those of one metric name in one namespace. Default 100,000: 10,000 endpoints with ten combinations of the other labels.
	NameSeries int
	// Labels of one series, its name included. Default 64; Prometheus's own exporters stay below 30.
	Labels int
	// LabelName and LabelValue are bytes. Default 256 and 2,048: room for a route or a statement, and none for a document.
	LabelName, LabelValue int
	// Buckets of one native histogram. Default 320, twice what OpenTelemetry's SDKs send: histograms with more are made coarser until they fit.
	Buckets int
	// Future is how far ahead of this node's clock a sample may be. Default 10 minutes, as Prometheus allows: one sample from next year would make
	// all samples of today too old.
	Future time.Duration
	// Late is how far behind the newest sample of its series' neighbours a sample may be. Default 10 minutes: retries of clients and of collectors after an outage.
	Late time.Duration
	// Deltas are the series that are summed up from delta temporality. Default 100,000: some 20 MiB of counters, some 300 MiB if all were full native histograms.
	Deltas int
	// Exemplars kept in memory, the newest. Default 50,000: about 10 MiB.
	Exemplars int
}

func orDefault[T comparable](value, standard T) T {
	var zero T
	if value == zero {
		return standard
	}
	return value
}

func (l Limits) withDefaults() Limits {
	l.Series = orDefault(l.Series, 1_000_000)
	l.NamespaceSeries = orDefault(l.NamespaceSeries, 500_000)
	l.NameSeries = orDefault(l.NameSeries, 100_000)
	l.Labels = orDefault(l.Labels, 64)
	l.LabelName = orDefault(l.LabelName, 256)
	l.LabelValue = orDefault(l.LabelValue, 2048)
	l.Buckets = orDefault(l.Buckets, 320)
	l.Future = orDefault(l.Future, 10*time.Minute)
	l.Late = orDefault(l.Late, 10*time.Minute)
	l.Deltas = orDefault(l.Deltas, 100_000)
	l.Exemplars = orDefault(l.Exemplars, 50_000)
	return l
}

// QueryLimits bound questions. A zero field means its default.
type QueryLimits struct {
	// Samples that one query may hold in memory. Default 10,000,000: about 160 MiB, a day of a thousand series at a step of 9 seconds.
	Samples int
	// Timeout of a query, its wait for a turn included. Default 1 minute: longer than a dashboard waits.
	Timeout time.Duration
	// Concurrency is how many queries are worked out at once. Default 8: with Samples it bounds their memory.
	Concurrency int
	// Waiting is how many more may wait for their turn; the rest are told to come later. Default 64.
	Waiting int
	// Lookback is how old the newest sample of a series may be to count as its present value. Default 5 minutes, as in Prometheus.
	Lookback time.Duration
}

func (l QueryLimits) withDefaults() QueryLimits {
	l.Samples = orDefault(l.Samples, 10_000_000)
	l.Timeout = orDefault(l.Timeout, time.Minute)
	l.Concurrency = orDefault(l.Concurrency, 8)
	l.Waiting = orDefault(l.Waiting, 64)
	l.Lookback = orDefault(l.Lookback, 5*time.Minute)
	return l
}
