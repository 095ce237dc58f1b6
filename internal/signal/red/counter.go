package red

import (
	"strings"
	"sync/atomic"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
)

// The series that the room writes.
const (
	MetricRequests  = "gantry_request_duration_seconds"
	MetricInstances = "gantry_instance_request_duration_seconds"
	MetricEdges     = "gantry_edge_duration_seconds"
	MetricErrors    = "gantry_errors_total"
)

// counter is a counted code of a service.
type counter struct {
	value   atomic.Uint64
	touched atomic.Int64
	// The rest belongs to the goroutine that flushes.
	labels  labels.Labels
	ref     storage.SeriesRef
	began   int64
	last    uint64
	started bool
	written int64
}

// code finds or makes the counter of an error code.
func (s *service) code(text string, now int64) *counter {
	s.mu.RLock()
	c := s.codes[text]
	s.mu.RUnlock()
	if c != nil {
		return c
	}
	c, full := s.addCode(cloned(text), now)
	if !full {
		return c
	}
	n := s.namespace
	n.mu.Lock()
	n.exceeded(s.name.text, "codes", n.room.limits.Codes, text, now)
	n.mu.Unlock()
	c, _ = s.addCode(other, now)
	return c
}

func (s *service) addCode(text string, now int64) (c *counter, full bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.codes[text]; c != nil {
		return c, false
	}
	if len(s.codes) >= s.namespace.room.limits.Codes && text != other {
		return nil, true
	}
	c = &counter{began: s.namespace.room.lastFlush.Load(), labels: labels.FromStrings(model.MetricNameLabel, MetricErrors,
		"namespace", s.namespace.name, "service", s.name.text, "code", text, "node", s.namespace.room.node)}
	c.touched.Store(now)
	s.codes[text] = c
	return c, false
}

// cloned is a clean name of its own.
func cloned(text string) string { return strings.Clone(clean(text, maxNameBytes)) }
