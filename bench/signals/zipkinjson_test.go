package main

import (
	"encoding/json"
	"maps"
	"testing"
	"unicode/utf8"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
)

func text(key, value string) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: value}}}
}

func number(key string, value int64) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: value}}}
}

// endpoint and span are what Zipkin reads of its JSON.
type endpoint struct {
	ServiceName, IPv4 string
	Port              int
}

type span struct {
	TraceID, ID, ParentID, Name, Kind string
	Timestamp, Duration               uint64
	LocalEndpoint, RemoteEndpoint     endpoint
	Annotations                       []struct {
		Timestamp uint64
		Value     string
	}
	Tags map[string]string
}

func TestSpansInZipkinsJSON(t *testing.T) {
	trace := []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	request := &collector.ExportTraceServiceRequest{ResourceSpans: []*otlp.ResourceSpans{{
		Resource: &resource.Resource{Attributes: []*common.KeyValue{text("service.name", "loan"), text("service.version", "v1")}},
		ScopeSpans: []*otlp.ScopeSpans{{Scope: &common.InstrumentationScope{Name: "http", Version: "1.2"}, Spans: []*otlp.Span{
			{TraceId: trace, SpanId: []byte("spanspan"), ParentSpanId: []byte("rootroot"), Name: `say "hi"`, Kind: otlp.Span_SPAN_KIND_CLIENT,
				StartTimeUnixNano: 1_800_000_000_000_001_999, EndTimeUnixNano: 1_800_000_000_002_501_999, Status: &otlp.Status{Code: otlp.Status_STATUS_CODE_ERROR, Message: "no\nanswer"},
				Attributes: []*common.KeyValue{text("server.address", "10.0.0.2"), number("server.port", 90)},
				Events:     []*otlp.Span_Event{{TimeUnixNano: 1_800_000_000_000_002_000, Name: "retry", Attributes: []*common.KeyValue{number("n", 2)}}, {Name: "done"}}},
			{TraceId: trace, SpanId: []byte("nextnext"), Kind: otlp.Span_SPAN_KIND_INTERNAL, Attributes: []*common.KeyValue{text("名", "\t貸")}},
		}}}}}}
	raw, err := encodeZipkin(request)
	if err != nil {
		t.Fatal(err)
	}
	var spans []span
	if err := json.Unmarshal(raw, &spans); err != nil || len(spans) != 2 {
		t.Fatalf("%v of %s", err, raw)
	}
	first, second := spans[0], spans[1]
	if first.TraceID != "000102030405060708090a0b0c0d0e0f" || first.ID != "7370616e7370616e" || first.ParentID != "726f6f74726f6f74" || first.Name != `say "hi"` || first.Kind != "CLIENT" {
		t.Errorf("the first span is %+v", first)
	}
	if first.Timestamp != 1_800_000_000_000_001 || first.Duration != 2500 || second.Duration != 1 {
		t.Errorf("it began at %d and took %d, the other one %d", first.Timestamp, first.Duration, second.Duration)
	}
	if first.LocalEndpoint.ServiceName != "loan" || first.RemoteEndpoint != (endpoint{IPv4: "10.0.0.2", Port: 90}) {
		t.Errorf("it was between %+v and %+v", first.LocalEndpoint, first.RemoteEndpoint)
	}
	shared := map[string]string{"service.version": "v1", "otel.scope.name": "http", "otel.scope.version": "1.2"}
	tags := maps.Clone(shared)
	maps.Copy(tags, map[string]string{"otel.status_code": "ERROR", "error": "no\nanswer", "server.address": "10.0.0.2", "server.port": "90"})
	if !maps.Equal(first.Tags, tags) {
		t.Errorf("its tags are %v", first.Tags)
	}
	if len(first.Annotations) != 2 || first.Annotations[0].Value != `"retry": {"n":"2"}` || first.Annotations[0].Timestamp != 1_800_000_000_000_002 || first.Annotations[1].Value != "done" {
		t.Errorf("its annotations are %v", first.Annotations)
	}
	shared["名"] = "\t貸"
	if second.Kind != "" || second.ParentID != "" || second.RemoteEndpoint != (endpoint{}) || !maps.Equal(second.Tags, shared) {
		t.Errorf("the second span is %+v", second)
	}
}

func TestWhatIsNoTagIsAnError(t *testing.T) {
	list := &common.KeyValue{Key: "list", Value: &common.AnyValue{Value: &common.AnyValue_ArrayValue{ArrayValue: &common.ArrayValue{}}}}
	if _, err := appendTag(nil, list); err == nil {
		t.Error("a list became a tag")
	}
}

func FuzzAppendQuoted(f *testing.F) {
	for _, seed := range []string{"", "plain", `"\`, "\x00\x1f\x7f", "貸", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var read string
		if err := json.Unmarshal(appendQuoted(nil, text), &read); err != nil {
			t.Fatal(err)
		}
		if utf8.ValidString(text) && read != text {
			t.Fatalf("%q was read as %q", text, read)
		}
	})
}
