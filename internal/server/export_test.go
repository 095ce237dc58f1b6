package server

import (
	"context"
	"time"

	"github.com/gantry-platform/gantry/internal/signal/alert"
	"github.com/gantry-platform/gantry/internal/signal/red"
)

// DecideMemory is what [LimitMemory] does, told the environment.
func DecideMemory(setting, goLimit string, container func() (uint64, error)) (bytes int64, from string, problem error) {
	m := decideMemory(setting, goLimit, container)
	return m.bytes, m.from, m.problem
}

// TracesMemory is what spans may take.
func (s *Server) TracesMemory() int64 { return s.tracesMemory() }

// Red is the room that counts spans, for tests that hand it some.
func (s *Server) Red() *red.Room { return s.red }

// Retire takes a document about alerts out of force, as the engine does after days.
func (s *Server) Retire(ctx context.Context, ref alert.Ref, version int64, unchangedSince time.Time, why string) (bool, error) {
	return (&alertDocuments{server: s}).Retire(ctx, ref, version, unchangedSince, why)
}
