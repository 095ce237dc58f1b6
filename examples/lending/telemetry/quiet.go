package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// complaintInterval is between two lines about an endpoint that is away.
const complaintInterval = time.Minute

// complaints speak of what could not be sent, seldom: OpenTelemetry's own way is a line a second on standard error, for the whole process.
type complaints struct {
	logger *slog.Logger
	what   string

	mu     sync.Mutex
	last   time.Time
	failed int
}

func newComplaints(logger *slog.Logger, what string) *complaints {
	return &complaints{logger: logger, what: what}
}

func (c *complaints) hear(err error, lost int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		return
	}
	c.failed += lost
	if now := time.Now(); now.Sub(c.last) >= complaintInterval {
		c.logger.Warn("telemetry cannot be sent", "what", c.what, "lost", c.failed, "reason", err)
		c.last, c.failed = now, 0
	}
}

type quietSpans struct {
	sdktrace.SpanExporter
	complaints *complaints
}

func (q *quietSpans) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	q.complaints.hear(q.SpanExporter.ExportSpans(ctx, spans), len(spans))
	return nil
}

type quietMetrics struct {
	sdkmetric.Exporter
	complaints *complaints
}

func (q *quietMetrics) Export(ctx context.Context, metrics *metricdata.ResourceMetrics) error {
	q.complaints.hear(q.Exporter.Export(ctx, metrics), 1)
	return nil
}
