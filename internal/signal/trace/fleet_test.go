package trace_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/trace"
	"github.com/gantry-platform/gantry/internal/signal/wire"
)

func text(key, value string) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: value}}}
}

func integer(key string, value int64) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: value}}}
}

// fleet makes traces of a small lender: portal -> loan -> risk -> bureau, with a database.
type fleet struct {
	random *rand.Rand
	next   int
	now    time.Time
}

func newFleet(seed uint64, now time.Time) *fleet {
	return &fleet{random: rand.New(rand.NewPCG(seed, 1)), now: now}
}

func (f *fleet) id(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(f.random.Uint32())
	}
	b[0] |= 1
	return b
}

// span is a span with the service that it belongs to.
type span struct {
	service string
	*otlp.Span
}

// trace makes one trace of 6 spans, or 7 when it failed.
func (f *fleet) trace() []span {
	f.next++
	id := f.id(16)
	start := f.now.Add(time.Duration(f.next) * time.Millisecond)
	failed := f.next%17 == 0
	order := fmt.Sprintf("L%08d", f.next)
	var parent []byte
	var out []span
	add := func(service, name string, kind otlp.Span_SpanKind, after, lasts time.Duration, attributes ...*common.KeyValue) {
		s := &otlp.Span{TraceId: id, SpanId: f.id(8), ParentSpanId: parent, Name: name, Kind: kind, StartTimeUnixNano: uint64(start.Add(after).UnixNano()),
			EndTimeUnixNano: uint64(start.Add(after + lasts).UnixNano()), Attributes: attributes}
		out = append(out, span{service, s})
		parent = s.SpanId
	}
	lasts := time.Duration(20+f.random.IntN(200)) * time.Millisecond
	code := int64(200)
	if failed {
		code = 500
	}
	add("portal", "POST /loans", otlp.Span_SPAN_KIND_SERVER, 0, lasts, text("http.request.method", "POST"), text("http.route", "/loans"), integer("http.response.status_code", code),
		text("order.no", order), text("customer.grade", string(rune('A'+f.random.IntN(5)))))
	add("portal", "POST", otlp.Span_SPAN_KIND_CLIENT, time.Millisecond, lasts-2*time.Millisecond, text("server.address", "loan"), integer("server.port", 8081))
	add("loan", "POST /approve", otlp.Span_SPAN_KIND_SERVER, 2*time.Millisecond, lasts-4*time.Millisecond, text("http.route", "/approve"), integer("http.response.status_code", code),
		&common.KeyValue{Key: "loan.amount", Value: &common.AnyValue{Value: &common.AnyValue_DoubleValue{DoubleValue: float64(f.random.IntN(5_000_000)) / 100}}},
		&common.KeyValue{Key: "loan.first", Value: &common.AnyValue{Value: &common.AnyValue_BoolValue{BoolValue: f.next%3 == 0}}})
	add("loan", "SELECT loans", otlp.Span_SPAN_KIND_CLIENT, 3*time.Millisecond, time.Millisecond, text("db.system.name", "postgresql"), text("db.query.text", "SELECT * FROM loans WHERE id = $1"))
	if failed {
		out[3].Status = &otlp.Status{Code: otlp.Status_STATUS_CODE_ERROR, Message: "connection refused"}
		out[3].Events = []*otlp.Span_Event{{TimeUnixNano: out[3].EndTimeUnixNano, Name: "exception", Attributes: []*common.KeyValue{text("exception.type", "*net.OpError"), text("exception.message", "refused")}}}
		out[3].Links = []*otlp.Span_Link{{TraceId: f.id(16), SpanId: f.id(8), Attributes: []*common.KeyValue{text("why", "retry")}}}
	}
	add("risk", "Score", otlp.Span_SPAN_KIND_SERVER, 5*time.Millisecond, 10*time.Millisecond, text("rpc.system", "grpc"), integer("risk.score", int64(f.random.IntN(900))))
	add("bureau", "Report", otlp.Span_SPAN_KIND_SERVER, 6*time.Millisecond, 8*time.Millisecond, text("rpc.system", "grpc"), text("rare."+order[5:], "odd"))
	if failed {
		add("bureau", "retry", otlp.Span_SPAN_KIND_INTERNAL, 7*time.Millisecond, time.Millisecond)
	}
	return out
}

// batch makes a request of spans.
func batch(tb testing.TB, namespace string, arrived time.Time, spans []span) *signal.Batch {
	tb.Helper()
	r := &collector.ExportTraceServiceRequest{}
	of := map[string]*otlp.ScopeSpans{}
	for _, s := range spans {
		if of[s.service] == nil {
			of[s.service] = &otlp.ScopeSpans{Scope: &common.InstrumentationScope{Name: "fleet"}}
			r.ResourceSpans = append(r.ResourceSpans, &otlp.ResourceSpans{ScopeSpans: []*otlp.ScopeSpans{of[s.service]}, Resource: &resource.Resource{Attributes: []*common.KeyValue{
				text("service.name", s.service), text("service.instance.id", s.service+"-1"), text("service.version", "1.2"), text("gantry.lane", "blue")}}})
		}
		of[s.service].Spans = append(of[s.service].Spans, s.Span)
	}
	raw, err := proto.Marshal(r)
	if err != nil {
		tb.Fatal(err)
	}
	d := &wire.Decoder{}
	decoded, err := d.Decode(raw)
	if err != nil {
		tb.Fatal(err)
	}
	return &signal.Batch{Namespace: namespace, Arrived: arrived, Raw: raw, Spans: decoded, Groups: d.Groups, Places: d.Places}
}

// expected is the spans of a batch by trace, as a reader should get them.
func expected(batches ...*signal.Batch) map[signal.TraceID][]signal.Span {
	out := map[signal.TraceID][]signal.Span{}
	for _, b := range batches {
		for _, s := range b.Spans {
			out[s.TraceID] = append(out[s.TraceID], s)
		}
	}
	for id := range out {
		out[id] = normal(out[id])
	}
	return out
}

// normal orders what has no order of its own.
func normal(spans []signal.Span) []signal.Span {
	slices.SortFunc(spans, func(a, b signal.Span) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), slices.Compare(a.ID[:], b.ID[:]))
	})
	for i := range spans {
		spans[i].Attributes = slices.Clone(spans[i].Attributes)
		slices.SortFunc(spans[i].Attributes, func(a, b signal.Attribute) int { return cmp.Compare(a.Key, b.Key) })
	}
	return spans
}

func write(tb testing.TB, s *trace.Store, b *signal.Batch) {
	tb.Helper()
	if err := s.Write(context.Background(), b); err != nil {
		tb.Fatal(err)
	}
}
