package otlp

import (
	"context"

	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gantry-platform/gantry/internal/fault"
)

// signalKind is one of the three signals, with the names of its service and path.
type signalKind struct {
	service, path string
	// rejectedName is the field of partial_success in JSON.
	rejectedName string
	export       func(r *Receiver, ctx context.Context, namespace string, body []byte, json bool) (taken, error)
}

func malformed(err error) error {
	return fault.New(fault.Invalid, "otlp.malformed", "the request is malformed: %v", err).Hinted("send what OpenTelemetry's exporters send; Content-Type must name the encoding")
}

func signals() []signalKind {
	return []signalKind{
		{"opentelemetry.proto.collector.trace.v1.TraceService", "/v1/traces", "rejectedSpans", exportTraces},
		{"opentelemetry.proto.collector.metrics.v1.MetricsService", "/v1/metrics", "rejectedDataPoints", exportMetrics},
		{"opentelemetry.proto.collector.logs.v1.LogsService", "/v1/logs", "rejectedLogRecords", exportLogs},
	}
}

func exportTraces(r *Receiver, ctx context.Context, namespace string, body []byte, json bool) (taken, error) {
	if json {
		request := ptraceotlp.NewExportRequest()
		if err := request.UnmarshalJSON(body); err != nil {
			return taken{}, malformed(err)
		}
		var err error
		if body, err = request.MarshalProto(); err != nil {
			return taken{}, malformed(err)
		}
	}
	return r.traces(ctx, namespace, body)
}

func exportMetrics(r *Receiver, ctx context.Context, namespace string, body []byte, json bool) (taken, error) {
	request := pmetricotlp.NewExportRequest()
	decode := request.UnmarshalProto
	if json {
		decode = request.UnmarshalJSON
	}
	if err := decode(body); err != nil {
		return taken{}, malformed(err)
	}
	return r.metrics(ctx, namespace, request.Metrics())
}

func exportLogs(r *Receiver, _ context.Context, namespace string, body []byte, json bool) (taken, error) {
	request := plogotlp.NewExportRequest()
	decode := request.UnmarshalProto
	if json {
		decode = request.UnmarshalJSON
	}
	if err := decode(body); err != nil {
		return taken{}, malformed(err)
	}
	return r.logs(namespace, request.Logs()), nil
}

// response encodes an Export...ServiceResponse: partial_success (1) with the number rejected (1) and the message (2), which are the same for
// all three signals.
func (t taken) response() []byte {
	if t == (taken{}) {
		return nil
	}
	var partial []byte
	if t.rejected > 0 {
		partial = protowire.AppendVarint(protowire.AppendTag(partial, 1, protowire.VarintType), uint64(t.rejected))
	}
	partial = protowire.AppendString(protowire.AppendTag(partial, 2, protowire.BytesType), t.message)
	return protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), partial)
}
