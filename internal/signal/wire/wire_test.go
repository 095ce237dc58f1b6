package wire_test

import (
	"encoding/base64"
	"math"
	"reflect"
	"strings"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/wire"
)

func text(s string) *common.AnyValue {
	return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: s}}
}

func value(depth int) *rapid.Generator[*common.AnyValue] {
	return rapid.Custom(func(t *rapid.T) *common.AnyValue {
		most := 6
		if depth == 0 {
			most = 4
		}
		switch rapid.IntRange(0, most).Draw(t, "type") {
		case 0:
			return text(rapid.String().Draw(t, "text"))
		case 1:
			return &common.AnyValue{Value: &common.AnyValue_BoolValue{BoolValue: rapid.Bool().Draw(t, "bool")}}
		case 2:
			return &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: rapid.Int64().Draw(t, "int")}}
		case 3:
			return &common.AnyValue{Value: &common.AnyValue_DoubleValue{DoubleValue: rapid.Float64().Draw(t, "double")}}
		case 4:
			return &common.AnyValue{Value: &common.AnyValue_BytesValue{BytesValue: rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")}}
		case 5:
			return &common.AnyValue{Value: &common.AnyValue_ArrayValue{ArrayValue: &common.ArrayValue{Values: rapid.SliceOfN(value(depth-1), 0, 3).Draw(t, "list")}}}
		default:
			return &common.AnyValue{Value: &common.AnyValue_KvlistValue{KvlistValue: &common.KeyValueList{Values: attributes(depth-1).Draw(t, "map")}}}
		}
	})
}

func attributes(depth int) *rapid.Generator[[]*common.KeyValue] {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) *common.KeyValue {
		return &common.KeyValue{Key: rapid.String().Draw(t, "key"), Value: value(depth).Draw(t, "value")}
	}), 0, 5)
}

func id(length int) *rapid.Generator[[]byte] { return rapid.SliceOfN(rapid.Byte(), length, length) }

var request = rapid.Custom(func(t *rapid.T) *collector.ExportTraceServiceRequest {
	span := rapid.Custom(func(t *rapid.T) *trace.Span {
		start := rapid.Uint64Range(0, math.MaxInt64).Draw(t, "start")
		return &trace.Span{TraceId: id(16).Draw(t, "trace"), SpanId: id(8).Draw(t, "span"), ParentSpanId: rapid.OneOf(id(8), id(0)).Draw(t, "parent"),
			TraceState: rapid.String().Draw(t, "state"), Name: rapid.String().Draw(t, "name"), Kind: trace.Span_SpanKind(rapid.IntRange(0, 5).Draw(t, "kind")),
			StartTimeUnixNano: start, EndTimeUnixNano: rapid.Uint64Range(0, math.MaxInt64).Draw(t, "end"), Flags: rapid.Uint32().Draw(t, "flags"),
			Attributes: attributes(2).Draw(t, "attributes"),
			Events: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) *trace.Span_Event {
				return &trace.Span_Event{TimeUnixNano: start, Name: rapid.String().Draw(t, "event"), Attributes: attributes(0).Draw(t, "of event")}
			}), 0, 2).Draw(t, "events"),
			Links: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) *trace.Span_Link {
				return &trace.Span_Link{TraceId: id(16).Draw(t, "linked trace"), SpanId: id(8).Draw(t, "linked span"), Attributes: attributes(0).Draw(t, "of link")}
			}), 0, 2).Draw(t, "links"),
			Status: &trace.Status{Code: trace.Status_StatusCode(rapid.IntRange(0, 2).Draw(t, "status")), Message: rapid.String().Draw(t, "message")}}
	})
	scope := rapid.Custom(func(t *rapid.T) *trace.ScopeSpans {
		return &trace.ScopeSpans{Scope: &common.InstrumentationScope{Name: rapid.String().Draw(t, "scope")}, Spans: rapid.SliceOfN(span, 0, 3).Draw(t, "spans")}
	})
	whole := rapid.Custom(func(t *rapid.T) *trace.ResourceSpans {
		own := attributes(1).Draw(t, "resource")
		own = append(own, &common.KeyValue{Key: "service.name", Value: text("loan")}, &common.KeyValue{Key: "gantry.lane", Value: text("blue")})
		return &trace.ResourceSpans{Resource: &resource.Resource{Attributes: own}, ScopeSpans: rapid.SliceOfN(scope, 0, 2).Draw(t, "scopes")}
	})
	return &collector.ExportTraceServiceRequest{ResourceSpans: rapid.SliceOfN(whole, 0, 2).Draw(t, "resources")}
})

func sameValue(a signal.Value, b *common.AnyValue) bool {
	switch v := b.GetValue().(type) {
	case nil:
		return a == signal.Value{}
	case *common.AnyValue_StringValue:
		return a.Type == signal.TypeString && a.Text == v.StringValue
	case *common.AnyValue_BoolValue:
		return a.Type == signal.TypeBool && (a.Number == 1) == v.BoolValue
	case *common.AnyValue_IntValue:
		return a.Type == signal.TypeInt && int64(a.Number) == v.IntValue
	case *common.AnyValue_DoubleValue:
		return a.Type == signal.TypeDouble && a.Number == math.Float64bits(v.DoubleValue)
	case *common.AnyValue_BytesValue:
		return a.Type == signal.TypeBytes && a.Text == string(v.BytesValue)
	default:
		return a.Type == signal.TypeJSON
	}
}

func sameAttributes(a []signal.Attribute, b []*common.KeyValue) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Key != b[i].GetKey() || !sameValue(a[i].Value, b[i].GetValue()) {
			return false
		}
	}
	return true
}

func sameSpan(s *signal.Span, w *trace.Span) bool {
	if string(s.TraceID[:]) != string(w.TraceId) || string(s.ID[:]) != string(w.SpanId) || s.Name != w.Name || s.TraceState != w.TraceState ||
		int32(s.Kind) != int32(w.Kind) || s.Flags != w.Flags || s.Start != int64(w.StartTimeUnixNano) ||
		s.Duration != max(0, int64(w.EndTimeUnixNano)-s.Start) || s.StatusMessage != w.GetStatus().GetMessage() || int32(s.Status) != int32(w.GetStatus().GetCode()) ||
		len(s.Events) != len(w.Events) || len(s.Links) != len(w.Links) || !sameAttributes(s.Attributes, w.Attributes) {
		return false
	}
	if len(w.ParentSpanId) == 8 && string(s.Parent[:]) != string(w.ParentSpanId) {
		return false
	}
	for i, e := range w.Events {
		if s.Events[i].Name != e.Name || s.Events[i].Time != int64(e.TimeUnixNano) || !sameAttributes(s.Events[i].Attributes, e.Attributes) {
			return false
		}
	}
	for i, l := range w.Links {
		if string(s.Links[i].TraceID[:]) != string(l.TraceId) || string(s.Links[i].SpanID[:]) != string(l.SpanId) || !sameAttributes(s.Links[i].Attributes, l.Attributes) {
			return false
		}
	}
	return true
}

// The official code makes the request; what is decoded from its bytes is what was put in, and each span is found again by its place.
func TestDecodeIsWhatWasSent(t *testing.T) {
	var d, again wire.Decoder
	rapid.Check(t, func(t *rapid.T) {
		r := request.Draw(t, "request")
		raw, err := proto.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		spans, err := d.Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		i, rejected := 0, 0
		for _, rs := range r.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				for _, w := range ss.Spans {
					if signal.TraceID(w.TraceId).IsZero() || signal.SpanID(w.SpanId).IsZero() {
						rejected++
						continue
					}
					s := &spans[i]
					if !sameSpan(s, w) || s.Scope != ss.Scope.Name || s.Resource.Service != "loan" || s.Resource.Lane != "blue" || !sameAttributes(s.Resource.Attributes, rs.Resource.Attributes) {
						t.Fatalf("span %d is %+v, not %v", i, s, w)
					}
					group := d.Groups[d.Places[i].Group]
					found, err := again.Resource(raw, group)
					if err != nil {
						t.Fatal(err)
					}
					one := signal.Span{Resource: found}
					if one.Scope, err = again.Scope(raw, group); err != nil {
						t.Fatal(err)
					}
					err = again.Span(raw, d.Places[i], &one)
					if err != nil || !sameSpan(&one, w) || one.Scope != s.Scope || !reflect.DeepEqual(found, s.Resource) {
						t.Fatalf("span %d by its place is %+v, %v", i, one, err)
					}
					i++
				}
			}
		}
		if i != len(spans) || d.Rejected.Total() != rejected || d.Cut != 0 {
			t.Fatalf("%d spans of %d, rejected %+v of %d, cut %d", len(spans), i, d.Rejected, rejected, d.Cut)
		}
		assembled, err := new(wire.Decoder).Decode(wire.Assemble(raw, d.Groups, d.Places))
		if err != nil || len(assembled) != len(spans) {
			t.Fatalf("assembled: %d spans, %v", len(assembled), err)
		}
		for i := range spans {
			if !reflect.DeepEqual(spans[i], assembled[i]) {
				t.Fatalf("assembled: %+v is not %+v", assembled[i], spans[i])
			}
		}
	})
}

func TestAttributesComeBackFromJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := &collector.ExportTraceServiceRequest{ResourceSpans: []*trace.ResourceSpans{{Resource: &resource.Resource{Attributes: attributes(3).Draw(t, "attributes")}}}}
		raw, err := proto.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var d wire.Decoder
		if _, err := d.Decode(raw); err != nil {
			t.Fatal(err)
		}
		rs := r.ResourceSpans[0]
		span := &trace.Span{TraceId: []byte("0123456789abcdef"), SpanId: []byte("01234567"), Attributes: rs.Resource.Attributes}
		rs.ScopeSpans = []*trace.ScopeSpans{{Spans: []*trace.Span{span}}}
		if raw, err = proto.Marshal(r); err != nil {
			t.Fatal(err)
		}
		spans, err := d.Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		want := spans[0].Attributes
		written := wire.AppendAttributes(nil, want)
		got, err := wire.ParseAttributes(string(written))
		if err != nil || len(got) != len(want) {
			t.Fatalf("%s: %d of %d, %v", written, len(got), len(want), err)
		}
		for i := range got {
			a, b := got[i], want[i]
			nan := b.Value.Type == signal.TypeDouble && math.IsNaN(math.Float64frombits(b.Value.Number)) && math.IsNaN(math.Float64frombits(a.Value.Number))
			if a != b && !nan {
				t.Fatalf("%s: %+v is not %+v", written, a, b)
			}
		}
	})
}

func TestHostileSpans(t *testing.T) {
	deep := text("x")
	for range 100 {
		deep = &common.AnyValue{Value: &common.AnyValue_ArrayValue{ArrayValue: &common.ArrayValue{Values: []*common.AnyValue{deep}}}}
	}
	many := make([]*common.KeyValue, 1000)
	for i := range many {
		many[i] = &common.KeyValue{Key: "k", Value: text("v")}
	}
	span := &trace.Span{TraceId: []byte("0123456789abcdef"), SpanId: []byte("01234567"), Name: strings.Repeat("€", 20_000), StartTimeUnixNano: math.MaxUint64, EndTimeUnixNano: 1,
		Attributes: append([]*common.KeyValue{{Key: "deep", Value: deep}, {Key: "bytes", Value: &common.AnyValue{Value: &common.AnyValue_BytesValue{BytesValue: make([]byte, 1<<20)}}}}, many...)}
	raw, err := proto.Marshal(&collector.ExportTraceServiceRequest{ResourceSpans: []*trace.ResourceSpans{{ScopeSpans: []*trace.ScopeSpans{{Spans: []*trace.Span{span}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	raw = []byte(strings.Replace(string(raw), "deep", "d\xff\xfep", 1))
	var d wire.Decoder
	spans, err := d.Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	s := spans[0]
	if len(s.Attributes) != wire.MaxAttributes || s.Attributes[0].Key != "d\ufffdp" || len(s.Name) > wire.MaxText || len(s.Name) < wire.MaxText-4 || strings.ContainsRune(s.Name, '\ufffd') ||
		s.Duration != 0 || s.Start != math.MaxInt64 || s.Resource.Service != "unknown_service" || d.Cut != 1002-wire.MaxAttributes+3 {
		t.Errorf("%d attributes, first %q, name of %d, cut %d, %d", len(s.Attributes), s.Attributes[0].Key, len(s.Name), d.Cut, s.Start)
	}
	if got := wire.Text(s.Attributes[0].Value); strings.Count(got, "[") > 10 {
		t.Errorf("deep is %s", got)
	}
}

func TestText(t *testing.T) {
	for want, v := range map[string]signal.Value{"x": {Type: signal.TypeString, Text: "x"}, "-3": {Type: signal.TypeInt, Number: ^uint64(2)}, "true": {Type: signal.TypeBool, Number: 1},
		"2": {Type: signal.TypeDouble, Number: math.Float64bits(2)}, base64.StdEncoding.EncodeToString([]byte{0, 1}): {Type: signal.TypeBytes, Text: "\x00\x01"}, "": {}} {
		if got := wire.Text(v); got != want {
			t.Errorf("%+v is %q, not %q", v, got, want)
		}
	}
}

// What the official code takes, ours takes, with the same spans; what ours takes beyond that (broken UTF-8) is valid afterwards.
func FuzzDecode(f *testing.F) {
	span := &trace.Span{TraceId: []byte("0123456789abcdef"), SpanId: []byte("01234567"), Name: "GET /", Attributes: []*common.KeyValue{{Key: "a", Value: text("b")}}}
	for _, r := range []*collector.ExportTraceServiceRequest{{}, {ResourceSpans: []*trace.ResourceSpans{{ScopeSpans: []*trace.ScopeSpans{{Spans: []*trace.Span{span, span}}}}}}} {
		raw, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var official collector.ExportTraceServiceRequest
		officialErr := proto.Unmarshal(raw, &official)
		var d wire.Decoder
		spans, err := d.Decode(raw)
		if officialErr == nil && err != nil {
			t.Fatalf("the official code takes it: %v", err)
		}
		if len(spans) != len(d.Places) {
			t.Fatalf("%d spans with %d places", len(spans), len(d.Places))
		}
		var again wire.Decoder
		for i := range spans {
			one := signal.Span{Resource: spans[i].Resource}
			err := again.Span(raw, d.Places[i], &one)
			if err != nil || one.Name != spans[i].Name || one.ID != spans[i].ID {
				t.Fatalf("by its place %+v is %+v, %v", spans[i], one, err)
			}
			if strings.ToValidUTF8(one.Name, "") != one.Name {
				t.Fatalf("%q is not valid", one.Name)
			}
			if _, err := wire.ParseAttributes(string(wire.AppendAttributes(nil, spans[i].Attributes))); err != nil {
				t.Fatal(err)
			}
		}
		if officialErr != nil {
			return
		}
		count := 0
		for _, rs := range official.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				count += len(ss.Spans)
			}
		}
		if len(spans)+d.Rejected.Total() != count {
			t.Fatalf("%d spans and %d rejected of %d", len(spans), d.Rejected.Total(), count)
		}
	})
}
