package wire_test

import (
	"fmt"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/gantry-platform/gantry/internal/signal/wire"
)

// A batch of 512 spans with 10 attributes each, the least that an exporter sends under load.
func BenchmarkDecode(b *testing.B) {
	spans := make([]*trace.Span, 512)
	for i := range spans {
		s := &trace.Span{TraceId: []byte(fmt.Sprintf("%016d", i/8+1)), SpanId: []byte(fmt.Sprintf("%08d", i+1)), Name: "POST /loans/{id}/approve",
			Kind: trace.Span_SPAN_KIND_SERVER, StartTimeUnixNano: 1_800_000_000_000_000_000, EndTimeUnixNano: 1_800_000_000_020_000_000}
		for j := range 10 {
			s.Attributes = append(s.Attributes, &common.KeyValue{Key: fmt.Sprintf("http.attribute.%d", j), Value: text(fmt.Sprintf("value %d", i))})
		}
		spans[i] = s
	}
	raw, err := proto.Marshal(&collector.ExportTraceServiceRequest{ResourceSpans: []*trace.ResourceSpans{{Resource: &resource.Resource{},
		ScopeSpans: []*trace.ScopeSpans{{Spans: spans}}}}})
	if err != nil {
		b.Fatal(err)
	}
	var d wire.Decoder
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Decode(raw); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*512/b.Elapsed().Seconds(), "spans/s")
}
