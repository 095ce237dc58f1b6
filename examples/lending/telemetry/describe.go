package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// OrderKey is the attribute, and the baggage, with the number of the order: one application from its arrival to its money.
const OrderKey = "order.no"

// OutcomeKey is how a call ended for the business, where its status code does not say: "success", "refused" or "failed".
const OutcomeKey = "gantry.outcome"

// scope names the spans that the fleet makes itself.
const scope = "github.com/gantry-platform/gantry/examples/lending"

// Describe adds attributes to the span of a context. Without one it does nothing.
func Describe(ctx context.Context, attributes ...attribute.KeyValue) {
	trace.SpanFromContext(ctx).SetAttributes(attributes...)
}

// Refuse says that the business said no, and why: no failure, and no alert rings.
func Refuse(ctx context.Context, reason string) {
	Describe(ctx, attribute.String(OutcomeKey, "refused"), attribute.String("refusal.reason", reason))
}

// Fail says that something failed, with the error and the stack of the caller. Kind is a stable word for it, such as "bureau_unavailable".
func Fail(ctx context.Context, kind string, err error) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	span.RecordError(err, trace.WithStackTrace(true))
	span.SetAttributes(attribute.String("error.type", kind), attribute.String(OutcomeKey, "failed"))
	span.SetStatus(codes.Error, err.Error())
}

// Start begins a span below that of a context, which is off when that is.
func Start(ctx context.Context, name string, kind trace.SpanKind, attributes ...attribute.KeyValue) (context.Context, trace.Span) {
	tracer := trace.SpanFromContext(ctx).TracerProvider().Tracer(scope)
	return tracer.Start(ctx, name, trace.WithSpanKind(kind), trace.WithAttributes(attributes...))
}

// WithOrder gives a context the number of an order: the spans that begin in it, here and in the services called, have it as an attribute.
func WithOrder(ctx context.Context, number string) context.Context {
	Describe(ctx, attribute.String(OrderKey, number))
	member, err := baggage.NewMemberRaw(OrderKey, number)
	if err != nil {
		return ctx
	}
	// A baggage of its own: what a customer sent is not carried into the house.
	own, err := baggage.New(member)
	if err != nil {
		return ctx
	}
	return baggage.ContextWithBaggage(ctx, own)
}

// Order is the number of the order that a context works for, or "".
func Order(ctx context.Context) string { return baggage.FromContext(ctx).Member(OrderKey).Value() }

// Traceparent is the trace of a context as W3C writes it, for the WithTraceparent of the SDK; "" when there is none.
func Traceparent(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier["traceparent"]
}

// orders gives each span the order that it works for.
type orders struct{}

func (orders) OnStart(ctx context.Context, span sdktrace.ReadWriteSpan) {
	if number := Order(ctx); number != "" {
		span.SetAttributes(attribute.String(OrderKey, number))
	}
}

func (orders) OnEnd(sdktrace.ReadOnlySpan)      {}
func (orders) Shutdown(context.Context) error   { return nil }
func (orders) ForceFlush(context.Context) error { return nil }
