package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/contrib/instrumentation/runtime"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

const (
	// spanDelay is how long a span waits for others to be sent with: what is seen is seconds fresh.
	spanDelay = time.Second
	// metricInterval is between two reports of the metrics.
	metricInterval = 10 * time.Second
	// sendTimeout bounds one request, with its repetitions.
	sendTimeout = 5 * time.Second
	// closeTimeout bounds how long a stop waits for the last spans to leave. A supervisor kills after 30 s, most of which are for callers.
	closeTimeout = 2 * time.Second
)

// EndpointVariable names where telemetry goes, as everywhere in OpenTelemetry: http://localhost:4317.
const EndpointVariable = "OTEL_EXPORTER_OTLP_ENDPOINT"

// Resource is which instance of which service speaks.
type Resource struct {
	Service, Instance, Version, Zone string
	// Lane, Release and Namespace are Gantry's: the lane of traffic, the release that the instance runs, and the environment.
	Lane, Release, Namespace string
}

// Options say where the telemetry goes. Further settings are OpenTelemetry's variables (OTEL_EXPORTER_OTLP_HEADERS, OTEL_TRACES_SAMPLER, ...).
type Options struct {
	// Endpoint is a URL such as http://localhost:4317. Empty: nothing is sent.
	Endpoint string
	// Token is sent as a bearer token; empty: none.
	Token string
	// Spans replaces the exporter of spans, for a recorder; metrics are then only sent when there is an Endpoint.
	Spans sdktrace.SpanExporter
}

// FromEnvironment are the options that the environment asks for.
func FromEnvironment() Options {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return Options{}
	}
	return Options{Endpoint: os.Getenv(EndpointVariable), Token: os.Getenv("GANTRY_TOKEN")}
}

// Telemetry is one service's. Nil is telemetry that is off: all its methods work, and do nothing.
type Telemetry struct {
	spans       *sdktrace.TracerProvider
	exporter    sdktrace.SpanExporter
	metrics     *sdkmetric.MeterProvider
	propagators propagation.TextMapPropagator
}

// Open begins to send. It answers nil when the options name neither an endpoint nor an exporter. It does not wait for the endpoint, and does not fail
// when that is away.
func Open(ctx context.Context, of Resource, options Options, logger *slog.Logger) (*Telemetry, error) {
	if options.Endpoint == "" && options.Spans == nil {
		return nil, nil
	}
	described := of.describe()
	t := &Telemetry{propagators: propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})}
	spans := options.Spans
	if spans == nil {
		exporter, err := otlptracegrpc.New(ctx, otlptracegrpc.WithEndpointURL(options.Endpoint), otlptracegrpc.WithTimeout(sendTimeout),
			otlptracegrpc.WithDialOption(introduce(of, options)))
		if err != nil {
			return nil, fmt.Errorf("telemetry: %w", err)
		}
		spans = &quietSpans{SpanExporter: exporter, complaints: newComplaints(logger, "spans")}
	}
	t.exporter = spans
	t.spans = sdktrace.NewTracerProvider(sdktrace.WithResource(described), sdktrace.WithSpanProcessor(orders{}),
		sdktrace.WithBatcher(spans, sdktrace.WithBatchTimeout(spanDelay), sdktrace.WithExportTimeout(sendTimeout)))
	if options.Endpoint == "" {
		return t, nil
	}
	if err := t.measure(ctx, of, described, options, logger); err != nil {
		return nil, errors.Join(fmt.Errorf("telemetry: %w", err), t.Close())
	}
	return t, nil
}

// measure begins to send metrics.
func (t *Telemetry) measure(ctx context.Context, of Resource, described *resource.Resource, options Options, logger *slog.Logger) error {
	exporter, err := otlpmetricgrpc.New(ctx, otlpmetricgrpc.WithEndpointURL(options.Endpoint), otlpmetricgrpc.WithTimeout(sendTimeout),
		otlpmetricgrpc.WithDialOption(introduce(of, options)), otlpmetricgrpc.WithAggregationSelector(exponential))
	if err != nil {
		return err
	}
	reader := sdkmetric.NewPeriodicReader(&quietMetrics{Exporter: exporter, complaints: newComplaints(logger, "metrics")},
		sdkmetric.WithInterval(metricInterval), sdkmetric.WithTimeout(sendTimeout))
	t.metrics = sdkmetric.NewMeterProvider(sdkmetric.WithResource(described), sdkmetric.WithReader(reader))
	return runtime.Start(runtime.WithMeterProvider(t.metrics))
}

// exponential makes histograms exponential: their buckets need not be known in advance, and their error is a few percent everywhere.
func exponential(kind sdkmetric.InstrumentKind) sdkmetric.Aggregation {
	if kind == sdkmetric.InstrumentKindHistogram {
		return sdkmetric.AggregationBase2ExponentialHistogram{MaxSize: 160, MaxScale: 20}
	}
	return sdkmetric.DefaultAggregationSelector(kind)
}

func (r Resource) describe() *resource.Resource {
	attributes := []attribute.KeyValue{attribute.String("telemetry.sdk.language", "go"), attribute.String("telemetry.sdk.name", "opentelemetry")}
	for _, a := range []struct{ key, value string }{
		{"service.name", r.Service}, {"service.instance.id", r.Instance}, {"service.version", r.Version}, {"cloud.availability_zone", r.Zone},
		{"gantry.lane", r.Lane}, {"gantry.release", r.Release}, {"gantry.namespace", r.Namespace},
	} {
		if a.value != "" {
			attributes = append(attributes, attribute.String(a.key, a.value))
		}
	}
	return resource.NewSchemaless(attributes...)
}

// introduce sends the namespace, and the token where there is one, with each request. It adds to what OTEL_EXPORTER_OTLP_HEADERS says.
func introduce(of Resource, options Options) grpc.DialOption {
	return grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, call ...grpc.CallOption) error {
		sent, _ := metadata.FromOutgoingContext(ctx)
		if of.Namespace != "" && len(sent.Get("gantry-namespace")) == 0 {
			ctx = metadata.AppendToOutgoingContext(ctx, "gantry-namespace", of.Namespace)
		}
		if options.Token != "" && len(sent.Get("authorization")) == 0 {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+options.Token)
		}
		return invoke(ctx, method, request, reply, conn, call...)
	})
}

// Close sends what is left, for two seconds at most, and ends.
func (t *Telemetry) Close() error {
	if t == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	// That the last spans could not be sent is no reason for a service to end badly; it has been logged.
	if t.spans.Shutdown(ctx) != nil {
		// Its time is over: what is under way is cut, or it would be tried for as long as there is a queue.
		_ = t.exporter.Shutdown(ctx)
	}
	if t.metrics != nil {
		_ = t.metrics.Shutdown(ctx)
	}
	return nil
}

func (t *Telemetry) forHTTP() []otelhttp.Option {
	options := []otelhttp.Option{otelhttp.WithTracerProvider(t.spans), otelhttp.WithPropagators(t.propagators)}
	if t.metrics != nil {
		options = append(options, otelhttp.WithMeterProvider(t.metrics))
	}
	return options
}

func (t *Telemetry) forGRPC() []otelgrpc.Option {
	options := []otelgrpc.Option{otelgrpc.WithTracerProvider(t.spans), otelgrpc.WithPropagators(t.propagators)}
	if t.metrics != nil {
		options = append(options, otelgrpc.WithMeterProvider(t.metrics))
	}
	return options
}

// Transport makes a client span of each request.
func (t *Telemetry) Transport(base http.RoundTripper) http.RoundTripper {
	if t == nil {
		return base
	}
	return otelhttp.NewTransport(base, t.forHTTP()...)
}

// Handler makes a server span of each request, named by method and route.
func (t *Telemetry) Handler(handler http.Handler) http.Handler {
	if t == nil {
		return handler
	}
	return otelhttp.NewHandler(handler, "", t.forHTTP()...)
}

// ServerOption makes a server span of each call that a gRPC server takes.
func (t *Telemetry) ServerOption() grpc.ServerOption {
	if t == nil {
		return grpc.EmptyServerOption{}
	}
	return grpc.StatsHandler(otelgrpc.NewServerHandler(t.forGRPC()...))
}

// DialOption makes a client span of each gRPC call.
func (t *Telemetry) DialOption() grpc.DialOption {
	if t == nil {
		return grpc.EmptyDialOption{}
	}
	return grpc.WithStatsHandler(otelgrpc.NewClientHandler(t.forGRPC()...))
}
