package server

import (
	"github.com/prometheus/prometheus/storage"

	"github.com/gantry-platform/gantry/internal/signal/red"
)

// buildRed makes the room that counts spans. Its figures go into the store of series, and those older than the recent hour are read from there.
func (s *Server) buildRed() error {
	queryable := func(namespace string) storage.Queryable { return s.series.In(namespace) }
	var err error
	s.red, err = red.New(red.Options{Node: s.store.Self().Name, Appendable: s.series, Queryable: queryable, Logger: s.log.With("part", "red"), Registerer: s.metrics})
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
