package server

import (
	"context"

	"github.com/gantry-platform/gantry/internal/protocol/jaeger"
	"github.com/gantry-platform/gantry/internal/protocol/zipkin"
)

// newZipkin receives spans in Zipkin's language.
func (s *Server) newZipkin() *zipkin.Handler {
	ingest := func(ctx context.Context, namespace string, raw []byte) error {
		_, err := s.signals.ingest.Traces(ctx, namespace, raw) // Zipkin has no words for a part that is not kept
		return err
	}
	return zipkin.New(zipkin.Options{Ingest: ingest, Access: s.access, HasNamespace: s.instances.HasNamespace, Logger: s.log.With("part", "zipkin")})
}

// newJaeger answers questions for traces in Jaeger's language.
func (s *Server) newJaeger() *jaeger.Handler {
	return jaeger.New(jaeger.Options{Traces: s.signals.reader, Topology: s.red, Access: s.access, Logger: s.log.With("part", "jaeger")})
}
