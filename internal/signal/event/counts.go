package event

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/gantry-platform/gantry/internal/signal"
)

const (
	// countEvery is between two writes of the counters: graphs are seconds fresh.
	countEvery = 10 * time.Second
	// maxCounters bounds the series. What is new beyond it is counted under the service "(other)".
	maxCounters = 10_000
	otherwise   = "(other)"
)

type countKey struct {
	namespace, service, topic string
	outcome                   signal.Outcome
}

type counter struct {
	labels labels.Labels
	value  float64
	ref    storage.SeriesRef
}

// counts are gantry_business_events_total, since the process began.
type counts struct {
	to   storage.Appendable
	node string

	mu    sync.Mutex
	known map[countKey]*counter
}

func newCounts(to storage.Appendable, node string) *counts {
	return &counts{to: to, node: node, known: map[countKey]*counter{}}
}

func (c *counts) add(s *Stored) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := countKey{s.Namespace, s.Service, s.Topic, s.Outcome}
	counter := c.known[key]
	if counter == nil && len(c.known) >= maxCounters {
		// Topics are bounded by themselves, so these are too.
		key.service = otherwise
		counter = c.known[key]
	}
	if counter == nil {
		counter = c.make(key)
		c.known[key] = counter
	}
	counter.value++
}

func (c *counts) make(key countKey) *counter {
	return &counter{labels: labels.FromStrings("__name__", "gantry_business_events_total", "namespace", key.namespace, "service", key.service,
		"topic", key.topic, "outcome", key.outcome.String(), "node", c.node)}
}

// flush writes the counters as of a time.
func (c *counts) flush(ctx context.Context, now time.Time) error {
	if c.to == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) == 0 {
		return nil
	}
	appender := c.to.Appender(ctx)
	for _, counter := range c.known {
		ref, err := appender.Append(counter.ref, counter.labels, now.UnixMilli(), counter.value)
		if err != nil {
			return errors.Join(err, appender.Rollback())
		}
		counter.ref = ref
	}
	return appender.Commit()
}
