package otlp

import (
	"context"
	"log/slog"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
	"github.com/gantry-platform/gantry/internal/signal/ingest"
)

// Metrics takes metrics in. It says how many data points are not kept, and why.
type Metrics interface {
	WriteOTLP(ctx context.Context, namespace string, metrics pmetric.Metrics) (rejected int, why string, err error)
}

// Logs takes logs in, of which errors are counted.
type Logs interface {
	ObserveLogs(namespace string, logs plog.Logs)
}

// Options of a receiver.
type Options struct {
	Traces  *ingest.Room
	Metrics Metrics
	Logs    Logs
	Access  edge.Authenticator
	// HasNamespace tells whether a namespace exists.
	HasNamespace func(name string) bool
	Logger       *slog.Logger
}

// Receiver serves OTLP. Its methods may be called concurrently.
type Receiver struct{ options Options }

// New makes a receiver.
func New(options Options) *Receiver {
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	return &Receiver{options: options}
}

// taken says what of a request is not kept.
type taken struct {
	rejected int64
	message  string
}

// admit asks whether the caller may send to a namespace.
func (r *Receiver) admit(ctx context.Context, namespace string) error {
	if err := instance.CheckNamespace(namespace); err != nil {
		return err
	}
	if err := access.Require(ctx, access.Serve, namespace); err != nil {
		return err
	}
	if !r.options.HasNamespace(namespace) {
		return fault.New(fault.NotFound, "namespace.unknown", "there is no namespace %q", namespace).At(edge.NamespaceHeader).
			Hinted("create it first, such as with `gantry namespace create`")
	}
	return nil
}

// traces takes a request in protobuf.
func (r *Receiver) traces(ctx context.Context, namespace string, raw []byte) (taken, error) {
	result, err := r.options.Traces.Traces(ctx, namespace, raw)
	return taken{int64(result.Rejected), result.Message}, err
}

func (r *Receiver) metrics(ctx context.Context, namespace string, metrics pmetric.Metrics) (taken, error) {
	if r.options.Metrics == nil {
		return taken{rejected: int64(metrics.DataPointCount()), message: "this server keeps no metrics"}, nil
	}
	rejected, why, err := r.options.Metrics.WriteOTLP(ctx, namespace, metrics)
	return taken{int64(rejected), why}, err
}

func (r *Receiver) logs(namespace string, logs plog.Logs) taken {
	if r.options.Logs == nil {
		return taken{rejected: int64(logs.LogRecordCount()), message: "this server keeps no logs"}
	}
	r.options.Logs.ObserveLogs(namespace, logs)
	return taken{}
}
