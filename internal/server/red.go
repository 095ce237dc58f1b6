package server

import (
	"context"

	"github.com/prometheus/prometheus/storage"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/gantry-platform/gantry/internal/signal/red"
	"github.com/gantry-platform/gantry/internal/signal/series"
)

// buildRed makes the room that counts spans. Its figures go into the store of series, and those older than the recent hour are read from there. Each node
// reads its own alone: where its memory begins, only it knows, and the others answer for themselves.
func (s *Server) buildRed() error {
	queryable := func(namespace string) storage.Queryable { return s.series.Own(namespace) }
	options := red.Options{Node: s.store.Self().Name, Appendable: s.series, Queryable: queryable, Logger: s.log.With("part", "red"), Registerer: s.metrics}
	if s.cluster != nil {
		// The client to the nodes is made after the room, and before anybody asks.
		options.Others = func() map[string]red.Counter { return s.peers.Counters() }
	}
	var err error
	s.red, err = red.New(options)
	return err
}

// startRed writes the figures until the server stops, and a last time then.
func (s *Server) startRed() {
	s.redWritten = make(chan struct{})
	s.workers.Go(func() {
		defer close(s.redWritten)
		s.red.Run(s.running)
	})
}

// waitRed returns when the last figures are written; the store of series is closed after it.
func (s *Server) waitRed() {
	if s.redWritten != nil {
		<-s.redWritten
	}
}

// keptMetrics are kept as series, and show that those who sent them are alive.
type keptMetrics struct {
	series *series.Store
	red    *red.Room
}

// WriteOTLP implements otlp.Metrics.
func (m keptMetrics) WriteOTLP(ctx context.Context, namespace string, metrics pmetric.Metrics) (rejected int, why string, err error) {
	m.red.ObserveMetrics(namespace, metrics)
	return m.series.WriteOTLP(ctx, namespace, metrics)
}
