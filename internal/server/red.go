package server

import (
	"github.com/prometheus/prometheus/storage"

	"github.com/gantry-platform/gantry/internal/signal/red"
)

// buildRed makes the room that counts spans. Its figures go into the store of series and are read from there; without one they are those of the
// recent hour.
func (s *Server) buildRed(appendable storage.Appendable, queryable func(namespace string) storage.Queryable) error {
	var err error
	s.red, err = red.New(red.Options{Node: s.store.Self().Name, Appendable: appendable, Queryable: queryable, Logger: s.log.With("part", "red"), Registerer: s.metrics})
	return err
}

// startRed writes the figures until the server stops. The store of series must be open until the workers have ended.
func (s *Server) startRed() { s.workers.Go(func() { s.red.Run(s.running) }) }
