package trace

import (
	"context"
	"maps"
	"slices"

	"github.com/gantry-platform/gantry/internal/signal"
)

// Services implements [signal.TraceReader].
func (s *Store) Services(ctx context.Context, namespace string, within signal.Range) ([]string, error) {
	return s.listed(ctx, within, func(n name) (string, bool) { return n.Service, n.Namespace == namespace })
}

// Endpoints implements [signal.TraceReader].
func (s *Store) Endpoints(ctx context.Context, namespace, service string, kind signal.Kind, within signal.Range) ([]string, error) {
	return s.listed(ctx, within, func(n name) (string, bool) {
		return n.Endpoint, n.Namespace == namespace && n.Service == service && (kind == signal.KindUnspecified || n.Kind == kind)
	})
}

func (s *Store) listed(ctx context.Context, within signal.Range, pick func(name) (string, bool)) ([]string, error) {
	found := map[string]struct{}{}
	add := func(all names) {
		for n := range all {
			if text, ok := pick(n); ok {
				found[text] = struct{}{}
			}
		}
	}
	heads, blocks := s.sources(within)
	for _, h := range heads {
		h.mu.RLock()
		add(h.names)
		h.mu.RUnlock()
	}
	for _, b := range blocks {
		if ctx.Err() == nil {
			if o, err := b.open(s.options.Clock()); err == nil {
				add(o.names)
			} else {
				s.metrics.logOnce(s.log, "read", "a block of spans cannot be read", err)
			}
		}
		b.release()
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(found)), nil
}
