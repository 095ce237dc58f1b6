package red

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/storage"
)

// Clock tells the time.
type Clock func() time.Time

// Options say what the room works with. Node and Logger are required.
type Options struct {
	// Node is this node's id: a label of each series, so that those of several nodes never collide.
	Node string
	// Clock is for tests; nil is the system's.
	Clock Clock
	// Appendable takes the series; nil keeps the figures in memory alone.
	Appendable storage.Appendable
	// Queryable reads the series of a namespace that this node wrote, and no others, for times before the recent hour; nil means that nothing older is known.
	Queryable func(namespace string) storage.Queryable
	// Others are the other nodes of the cluster, by their names; one that is not there answers with an error at once; nil when there is none. It is called for each question and must not wait.
	Others func() map[string]Counter
	// Interval is how often series are written. Default 5 s, at least 1 s.
	Interval   time.Duration
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Limits     Limits
}

// Limits bound what senders can grow. Zero values are the defaults.
type Limits struct {
	// Namespaces with figures. Default 100.
	Namespaces int
	// Services a namespace. Default 1,000.
	Services int
	// Endpoints a service. Default 500: a service with more has ids in its names.
	Endpoints int
	// Instances a service, counting each version and lane that one had. Default 1,000.
	Instances int
	// Edges a namespace, each lane of one counted. Default 10,000, half of which edges in lanes may fill.
	Edges int
	// Lanes a namespace. Default 50.
	Lanes int
	// Names of services and what they call, a namespace. Default 20,000.
	Names int
	// Codes are error codes a service. Default 100.
	Codes int
	// Errors are ranked groups of errors a namespace. Default 200.
	Errors int
	// Waiting is how many spans may wait for their partner. Default 200,000, some 25 MB.
	Waiting int
	// Wait is how long they do. Default 30 s: exporters send every 5 s, and try again for a while.
	Wait time.Duration
	// Recent is how many identities of spans are remembered, so that repeated ones are not counted twice. Default 4,194,304, at most 64 MB.
	Recent int
	// Late is how long after its end a span may arrive and still count. Default 10 min.
	Late time.Duration
	// Idle is how long something is kept that nobody observes. Default 1 h, at least 2 min.
	Idle time.Duration
}

func (l Limits) withDefaults() Limits {
	for _, d := range []struct {
		value *int
		or    int
	}{{&l.Namespaces, 100}, {&l.Services, 1000}, {&l.Endpoints, 500}, {&l.Instances, 1000}, {&l.Edges, 10_000}, {&l.Lanes, 50}, {&l.Names, 20_000},
		{&l.Codes, 100}, {&l.Errors, 200}, {&l.Waiting, 200_000}, {&l.Recent, 4 << 20}} {
		if *d.value <= 0 {
			*d.value = d.or
		}
	}
	for _, d := range []struct {
		value     *time.Duration
		or, least time.Duration
	}{{&l.Wait, 30 * time.Second, time.Second}, {&l.Late, 10 * time.Minute, time.Second}, {&l.Idle, time.Hour, 2 * time.Minute}} {
		if *d.value <= 0 {
			*d.value = d.or
		}
		*d.value = max(*d.value, d.least)
	}
	return l
}

// Excess is a limit that was exceeded.
type Excess struct {
	Namespace string
	// Service is empty where the limit is the namespace's.
	Service string
	// What is "endpoints", "services", "instances", "edges", "edges in lanes", "lanes", "names" or "codes".
	What  string
	Limit int
	// Turned is how many observations were counted under "(other)".
	Turned uint64
	// Example is a name that had no room.
	Example string
	// Last is when it happened last.
	Last time.Time
}

// figures are the room's own metrics.
type figures struct {
	spans, duplicates, late, evicted, lost prometheus.Counter
	excess                                 *prometheus.CounterVec
	waiting, series                        prometheus.Gauge
	flush                                  prometheus.Histogram
	failures                               prometheus.Counter
}

func newFigures(registerer prometheus.Registerer) *figures {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	f := &figures{
		spans:      counter("gantry_red_spans_total", "Spans that were counted into rate, errors and durations."),
		duplicates: counter("gantry_red_duplicate_spans_total", "Spans that had come before, and were not counted again."),
		late:       counter("gantry_red_late_spans_total", "Spans that ended too long before they arrived, and were kept out of the figures."),
		evicted:    counter("gantry_red_evicted_spans_total", "Spans that were given up while they waited for their partner, because too many waited."),
		lost:       counter("gantry_red_refused_spans_total", "Spans of namespaces beyond the limit, which were not counted."),
		excess: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gantry_red_excess_total",
			Help: "Observations that were counted under (other) because a limit of distinct names was reached."}, []string{"what"}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{Name: "gantry_red_waiting_spans", Help: "Spans that wait for their partner."}),
		series:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "gantry_red_series", Help: "Series that are kept."}),
		flush: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "gantry_red_flush_seconds", Help: "How long writing the series took.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 7)}),
		failures: counter("gantry_red_flush_failures_total", "Samples that the store of series refused, and flushes that failed as a whole."),
	}
	if registerer != nil {
		registerer.MustRegister(f.spans, f.duplicates, f.late, f.evicted, f.lost, f.excess, f.waiting, f.series, f.flush, f.failures)
	}
	return f
}
