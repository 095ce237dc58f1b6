package zipkin

import (
	"bytes"
	"encoding/json"
	"hash/fnv"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	resourcev1 "go.opentelemetry.io/proto/otlp/resource/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/gantry-platform/gantry/internal/signal"
)

// converter makes an OTLP request of Zipkin's spans. Spans of one instance and scope stand together.
type converter struct {
	arrived time.Time
	// TracesData is an ExportTraceServiceRequest on the wire.
	request   tracev1.TracesData
	instances map[instanceKey]*tracev1.ResourceSpans
	scopes    map[scopeKey]*tracev1.ScopeSpans
}

// instanceKey is all that describes an instance.
type instanceKey struct{ service, id, version, lane, release, zone, host string }

type scopeKey struct {
	instance      *tracev1.ResourceSpans
	name, version string
}

func newConverter(arrived time.Time) *converter {
	return &converter{arrived: arrived, instances: map[instanceKey]*tracev1.ResourceSpans{}, scopes: map[scopeKey]*tracev1.ScopeSpans{}}
}

// encode is the request in protobuf.
func (c *converter) encode() ([]byte, error) { return proto.Marshal(&c.request) }

var kinds = map[string]tracev1.Span_SpanKind{"CLIENT": tracev1.Span_SPAN_KIND_CLIENT, "SERVER": tracev1.Span_SPAN_KIND_SERVER,
	"PRODUCER": tracev1.Span_SPAN_KIND_PRODUCER, "CONSUMER": tracev1.Span_SPAN_KIND_CONSUMER}

// add converts one span.
func (c *converter) add(s *decoded) {
	to := c.place(s)
	id, parent := s.id, s.parent
	if s.Shared && s.Kind == "SERVER" {
		id, parent = sharedID(s.trace, s.id), s.id
	}
	out := &tracev1.Span{TraceId: s.trace[:], SpanId: id[:], Name: valid(s.Name), Kind: tracev1.Span_SPAN_KIND_INTERNAL, Status: &tracev1.Status{}}
	if !parent.IsZero() {
		out.ParentSpanId = parent[:]
	}
	if kind, ok := kinds[strings.ToUpper(s.Kind)]; ok {
		out.Kind = kind
	}
	start := s.start(c.arrived)
	out.StartTimeUnixNano = uint64(start)
	out.EndTimeUnixNano = uint64(start) + uint64(s.Duration.nanoseconds())
	out.Attributes = endpointAttributes(s.RemoteEndpoint)
	for _, key := range slices.Sorted(maps.Keys(s.Tags)) {
		if !c.special(out, key, string(s.Tags[key])) {
			out.Attributes = append(out.Attributes, attribute(key, string(s.Tags[key])))
		}
	}
	for _, a := range s.Annotations {
		out.Events = append(out.Events, eventOf(a))
	}
	to.Spans = append(to.Spans, out)
}

// start is when the span began. A server that only joined its client's span may say nothing but a duration: then by its first annotation, or when it arrived.
func (s *decoded) start(arrived time.Time) int64 {
	if s.Timestamp > 0 {
		return s.Timestamp.nanoseconds()
	}
	first := micros(0)
	for _, a := range s.Annotations {
		if a.Timestamp > 0 && (first == 0 || a.Timestamp < first) {
			first = a.Timestamp
		}
	}
	if first > 0 {
		return first.nanoseconds()
	}
	return max(arrived.UnixNano()-s.Duration.nanoseconds(), 0)
}

// sharedID is the id of a server's span that came with its client's: the same one each time, so that a repeated span is seen as such.
func sharedID(trace signal.TraceID, shared signal.SpanID) (id signal.SpanID) {
	h := fnv.New64a()
	_, _ = h.Write(trace[:])
	_, _ = h.Write(shared[:])
	_, _ = h.Write([]byte("server"))
	h.Sum(id[:0])
	id[7] |= 1 // never zero
	return id
}

// ofInstance are tags that describe the instance, not the span.
func ofInstance(key string) bool {
	switch key {
	case "service.instance.id", "service.version", "gantry.lane", "gantry.release", "cloud.availability_zone", "host.name":
		return true
	}
	return false
}

// special tells tags that become something else than attributes.
func (c *converter) special(to *tracev1.Span, key, value string) bool {
	switch key {
	case "error":
		if value != "false" && to.Status.Code != tracev1.Status_STATUS_CODE_ERROR {
			to.Status.Code = tracev1.Status_STATUS_CODE_ERROR
		}
		if value != "false" && value != "true" {
			to.Status.Message = valid(value)
		}
		return true
	case "otel.status_code":
		switch strings.ToUpper(value) {
		case "OK":
			to.Status.Code = tracev1.Status_STATUS_CODE_OK
		case "ERROR":
			to.Status.Code = tracev1.Status_STATUS_CODE_ERROR
		}
		return true
	case "otel.status_description":
		to.Status.Message = valid(value)
		return true
	case "w3c.tracestate":
		to.TraceState = valid(value)
		return true
	case "otel.scope.name", "otel.scope.version", "otel.library.name", "otel.library.version":
		return true
	}
	return ofInstance(key)
}

// place finds the list for a span's instance and scope.
func (c *converter) place(s *decoded) *tracev1.ScopeSpans {
	tag := func(keys ...string) string {
		for _, key := range keys {
			if v, ok := s.Tags[key]; ok {
				return valid(string(v))
			}
		}
		return ""
	}
	key := instanceKey{id: tag("service.instance.id"), version: tag("service.version"), lane: tag("gantry.lane"), release: tag("gantry.release"),
		zone: tag("cloud.availability_zone"), host: tag("host.name")}
	if e := s.LocalEndpoint; e != nil {
		key.service = valid(e.ServiceName)
		if key.id == "" && key.host == "" && e.address() != "" {
			key.id = valid(e.address())
			if e.Port > 0 {
				key.id = net.JoinHostPort(key.id, strconv.Itoa(int(e.Port)))
			}
		}
	}
	instance := c.instances[key]
	if instance == nil {
		instance = &tracev1.ResourceSpans{Resource: key.resource()}
		c.instances[key] = instance
		c.request.ResourceSpans = append(c.request.ResourceSpans, instance)
	}
	scope := scopeKey{instance, tag("otel.scope.name", "otel.library.name"), tag("otel.scope.version", "otel.library.version")}
	spans := c.scopes[scope]
	if spans == nil {
		spans = &tracev1.ScopeSpans{Scope: &commonv1.InstrumentationScope{Name: scope.name, Version: scope.version}}
		c.scopes[scope] = spans
		instance.ScopeSpans = append(instance.ScopeSpans, spans)
	}
	return spans
}

func (k instanceKey) resource() *resourcev1.Resource {
	r := &resourcev1.Resource{}
	for _, a := range [...]struct{ key, value string }{{"service.name", k.service}, {"service.instance.id", k.id}, {"service.version", k.version}, {"gantry.lane", k.lane},
		{"gantry.release", k.release}, {"cloud.availability_zone", k.zone}, {"host.name", k.host}} {
		if a.value != "" {
			r.Attributes = append(r.Attributes, attribute(a.key, a.value))
		}
	}
	return r
}

func endpointAttributes(e *endpoint) (all []*commonv1.KeyValue) {
	if e == nil {
		return nil
	}
	if e.ServiceName != "" {
		all = append(all, attribute("peer.service", e.ServiceName))
	}
	if e.address() != "" {
		all = append(all, attribute("network.peer.address", e.address()))
	}
	if e.Port > 0 {
		all = append(all, &commonv1.KeyValue{Key: "network.peer.port", Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_IntValue{IntValue: int64(e.Port)}}})
	}
	return all
}

func attribute(key, value string) *commonv1.KeyValue {
	return &commonv1.KeyValue{Key: valid(key), Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_StringValue{StringValue: valid(value)}}}
}

// valid replaces broken UTF-8, which protobuf refuses.
func valid(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }

// eventOf makes an event of an annotation. OpenTelemetry's exporters write an event with attributes as `"name": {"key": value}`.
func eventOf(a annotation) *tracev1.Span_Event {
	e := &tracev1.Span_Event{TimeUnixNano: uint64(a.Timestamp.nanoseconds()), Name: valid(a.Value)}
	quoted, rest, ok := strings.Cut(a.Value, `": {`)
	if !ok || !strings.HasPrefix(quoted, `"`) {
		return e
	}
	var name string
	var fields map[string]any
	d := json.NewDecoder(bytes.NewReader([]byte("{" + rest)))
	d.UseNumber()
	if json.Unmarshal([]byte(quoted+`"`), &name) != nil || d.Decode(&fields) != nil || d.More() || len(fields) > maxList {
		return e
	}
	e.Name = valid(name)
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		value, ok := fields[key].(string)
		if !ok {
			data, err := json.Marshal(fields[key])
			if err != nil {
				continue
			}
			value = string(data)
		}
		e.Attributes = append(e.Attributes, attribute(key, value))
	}
	return e
}
