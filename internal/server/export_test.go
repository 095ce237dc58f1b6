package server

import "github.com/gantry-platform/gantry/internal/signal/red"

// Red is the room that counts spans, for tests that hand it some.
func (s *Server) Red() *red.Room { return s.red }
