package instance

import (
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the registry's own figures. None has a label that a client can choose.
type metrics struct {
	written     prometheus.Counter // registrations by result
	unchanged   prometheus.Counter
	provisional prometheus.Counter
	refused     prometheus.Counter
	transitions *prometheus.CounterVec
	probes      *prometheus.CounterVec
	beats       prometheus.Counter
	forwarded   prometheus.Counter
	unforwarded prometheus.Counter
	malformed   prometheus.Counter
	pushLag     prometheus.Histogram
}

func newMetrics(r *Registry, registerer prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	counters := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	registrations := counters("gantry_instance_registrations_total",
		"Registrations by result: written, unchanged, provisional, refused.", "result")
	m := &metrics{
		written:     registrations.WithLabelValues("written"),
		unchanged:   registrations.WithLabelValues("unchanged"),
		provisional: registrations.WithLabelValues("provisional"),
		refused:     registrations.WithLabelValues("refused"),
		transitions: counters("gantry_instance_transitions_total",
			"What this node wrote of silent instances: unhealthy, protected, removed, recovered.", "to"),
		probes:      counters("gantry_instance_probes_total", "Active checks by outcome.", "outcome"),
		beats:       counter("gantry_instance_beats_total", "Beats taken for instances that this node owns."),
		forwarded:   counter("gantry_instance_forwarded_beats_total", "Beats handed to the node that owns the instance."),
		unforwarded: counter("gantry_instance_unforwarded_beats_total", "Beats that could not be handed on."),
		malformed:   counter("gantry_instance_malformed_records_total", "Stored records that could not be read."),
		pushLag: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "gantry_instance_push_lag_seconds",
			Help:    "Time from a change in this node's mirror to a subscriber taking it.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16)}),
	}
	if registerer == nil {
		return m
	}
	registerer.MustRegister(registrations, m.transitions, m.probes, m.beats, m.forwarded, m.unforwarded, m.malformed, m.pushLag,
		gauge("gantry_instances", "Instances in this node's mirror.", func() float64 { return float64(r.counts.total.Load()) }),
		gauge("gantry_services", "Services known to this node, subscribed ones included.", func() float64 { return float64(r.table.size.Load()) }),
		gauge("gantry_instance_provisional", "Registrations that wait for a quorum.", func() float64 { return float64(r.provisionals.count.Load()) }),
		gauge("gantry_instance_transitions_waiting", "Silent instances that wait to be judged and written.", func() float64 { return float64(r.due.waiting()) }),
		gauge("gantry_instance_subscribers", "Subscribers on this node.", func() float64 { return float64(r.subscribers.Load()) }))
	return m
}

func sortServices(services []Service) { slices.SortFunc(services, compareServices) }

func sortedKeys(set map[string]struct{}) []string { return slices.Sorted(maps.Keys(set)) }
