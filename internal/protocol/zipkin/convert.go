package zipkin

import (
	"bytes"
	"cmp"
	"encoding/json"
	"hash/fnv"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gantry-platform/gantry/internal/signal"
)

// Numbers of fields in OTLP's messages (opentelemetry/proto/trace/v1/trace.proto, common/v1/common.proto). The request is written as bytes at once: as
// structures it would cost some fifteen allocations a span.
const (
	requestResourceSpans = 1
	resourceSpansOf      = 1
	resourceSpansScopes  = 2
	resourceAttributes   = 1
	scopeSpansOf         = 1
	scopeSpansSpans      = 2
	scopeName            = 1
	scopeVersion         = 2
	spanTraceID          = 1
	spanID               = 2
	spanTraceState       = 3
	spanParentID         = 4
	spanName             = 5
	spanKind             = 6
	spanStart            = 7
	spanEnd              = 8
	spanAttributes       = 9
	spanEvents           = 11
	spanStatus           = 15
	statusMessage        = 2
	statusCode           = 3
	eventTime            = 1
	eventName            = 2
	eventAttributes      = 3
	keyValueKey          = 1
	keyValueValue        = 2
	valueString          = 1
	valueInt             = 3

	kindInternal = 1
	codeOK       = 1
	codeError    = 2
)

// converter makes an OTLP request of Zipkin's spans. Spans of one instance and scope stand together.
type converter struct {
	arrived   time.Time
	groups    map[instanceKey]*group
	scopes    map[scopeKey]*scopeGroup
	order     []*group
	attribute []byte
	message   []byte
}

// group is the spans of one instance.
type group struct {
	resource []byte
	scopes   []*scopeGroup
}

type scopeKey struct {
	group         *group
	name, version string
}

// scopeGroup is those of one scope: each an element of ScopeSpans.
type scopeGroup struct {
	scopeKey
	spans []byte
}

// instanceKey is all that describes an instance.
type instanceKey struct{ service, id, version, lane, release, zone, host string }

func newConverter(arrived time.Time) *converter {
	return &converter{arrived: arrived, groups: map[instanceKey]*group{}, scopes: map[scopeKey]*scopeGroup{}}
}

// encode is the request in protobuf; nil when there were no spans.
func (c *converter) encode() []byte {
	var out, inner, scope []byte
	for _, g := range c.order {
		inner = appendBytes(inner[:0], resourceSpansOf, g.resource)
		for _, in := range g.scopes {
			scope = appendText(appendText(scope[:0], scopeName, in.name), scopeVersion, in.version)
			inner = protowire.AppendTag(inner, resourceSpansScopes, protowire.BytesType)
			inner = protowire.AppendVarint(inner, uint64(protowire.SizeTag(scopeSpansOf)+protowire.SizeBytes(len(scope))+len(in.spans)))
			inner = append(appendBytes(inner, scopeSpansOf, scope), in.spans...)
		}
		out = appendBytes(out, requestResourceSpans, inner)
	}
	return out
}

func appendBytes(to []byte, number protowire.Number, b []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(to, number, protowire.BytesType), b)
}

// appendText writes a text that is there, with broken UTF-8, which protobuf refuses, replaced.
func appendText(to []byte, number protowire.Number, text string) []byte {
	if text == "" {
		return to
	}
	return protowire.AppendString(protowire.AppendTag(to, number, protowire.BytesType), valid(text))
}

func appendNumber(to []byte, number protowire.Number, n uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(to, number, protowire.VarintType), n)
}

func appendFixed(to []byte, number protowire.Number, n uint64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(to, number, protowire.Fixed64Type), n)
}

// appendAttribute writes a KeyValue.
func appendAttribute(to []byte, number protowire.Number, key, value string) []byte {
	key, value = valid(key), valid(value)
	any := protowire.SizeTag(valueString) + protowire.SizeBytes(len(value))
	to = protowire.AppendTag(to, number, protowire.BytesType)
	to = protowire.AppendVarint(to, uint64(protowire.SizeTag(keyValueKey)+protowire.SizeBytes(len(key))+protowire.SizeTag(keyValueValue)+protowire.SizeBytes(any)))
	to = protowire.AppendString(protowire.AppendTag(to, keyValueKey, protowire.BytesType), key)
	to = protowire.AppendVarint(protowire.AppendTag(to, keyValueValue, protowire.BytesType), uint64(any))
	return protowire.AppendString(protowire.AppendTag(to, valueString, protowire.BytesType), value)
}

func appendIntAttribute(to []byte, number protowire.Number, key string, value uint64) []byte {
	any := protowire.SizeTag(valueInt) + protowire.SizeVarint(value)
	to = protowire.AppendTag(to, number, protowire.BytesType)
	to = protowire.AppendVarint(to, uint64(protowire.SizeTag(keyValueKey)+protowire.SizeBytes(len(key))+protowire.SizeTag(keyValueValue)+protowire.SizeBytes(any)))
	to = protowire.AppendString(protowire.AppendTag(to, keyValueKey, protowire.BytesType), key)
	to = protowire.AppendVarint(protowire.AppendTag(to, keyValueValue, protowire.BytesType), uint64(any))
	return appendNumber(to, valueInt, value)
}

// kindOf is OTLP's number of a kind.
func kindOf(kind string) uint64 {
	switch strings.ToUpper(kind) {
	case "SERVER":
		return 2
	case "CLIENT":
		return 3
	case "PRODUCER":
		return 4
	case "CONSUMER":
		return 5
	}
	return kindInternal
}

// state is what tags say of a span beside its attributes.
type state struct {
	code           uint64
	message, trace string
}

// add converts one span.
func (c *converter) add(s *span) {
	to := c.place(s)
	id, parent := s.span, s.parent
	if s.shared && s.kind == "SERVER" {
		id, parent = sharedID(s.trace, s.span), s.span
	}
	m := appendBytes(appendBytes(c.message[:0], spanTraceID, s.trace[:]), spanID, id[:])
	if !parent.IsZero() {
		m = appendBytes(m, spanParentID, parent[:])
	}
	start := uint64(s.start(c.arrived))
	m = appendNumber(appendText(m, spanName, s.name), spanKind, kindOf(s.kind))
	m = appendFixed(appendFixed(m, spanStart, start), spanEnd, start+uint64(s.duration.nanoseconds()))
	m = appendEndpoint(m, s.remote)
	var said state
	for _, t := range s.tags {
		if !said.special(t.key, t.value) {
			m = appendAttribute(m, spanAttributes, t.key, t.value)
		}
	}
	m = appendText(m, spanTraceState, said.trace)
	for _, a := range s.annotations {
		c.attribute = appendEvent(c.attribute[:0], a)
		m = appendBytes(m, spanEvents, c.attribute)
	}
	c.attribute = appendText(c.attribute[:0], statusMessage, said.message)
	if said.code > 0 {
		c.attribute = appendNumber(c.attribute, statusCode, said.code)
	}
	m = appendBytes(m, spanStatus, c.attribute)
	to.spans = appendBytes(to.spans, scopeSpansSpans, m)
	c.message = m
}

// start is when the span began. A server that only joined its client's span may say nothing but a duration: then by its first annotation, or when it arrived.
func (s *span) start(arrived time.Time) int64 {
	if s.timestamp > 0 {
		return s.timestamp.nanoseconds()
	}
	first := micros(0)
	for _, a := range s.annotations {
		if a.timestamp > 0 && (first == 0 || a.timestamp < first) {
			first = a.timestamp
		}
	}
	if first > 0 {
		return first.nanoseconds()
	}
	return max(arrived.UnixNano()-s.duration.nanoseconds(), 0)
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
func (t *state) special(key, value string) bool {
	switch key {
	case "error":
		if value != "false" {
			t.code = codeError
		}
		if value != "false" && value != "true" {
			t.message = value
		}
		return true
	case "otel.status_code":
		switch strings.ToUpper(value) {
		case "OK":
			t.code = codeOK
		case "ERROR":
			t.code = codeError
		}
		return true
	case "otel.status_description":
		t.message = value
		return true
	case "w3c.tracestate":
		t.trace = value
		return true
	case "otel.scope.name", "otel.scope.version", "otel.library.name", "otel.library.version":
		return true
	}
	return ofInstance(key)
}

// place finds the list for a span's instance and scope.
func (c *converter) place(s *span) *scopeGroup {
	key := instanceKey{id: s.tag("service.instance.id"), version: s.tag("service.version"), lane: s.tag("gantry.lane"), release: s.tag("gantry.release"),
		zone: s.tag("cloud.availability_zone"), host: s.tag("host.name")}
	if e := s.local; e != nil {
		key.service = e.serviceName
		if key.id == "" && key.host == "" && e.address() != "" {
			key.id = e.address()
			if e.port > 0 {
				key.id = net.JoinHostPort(key.id, strconv.Itoa(e.port))
			}
		}
	}
	g := c.groups[key]
	if g == nil {
		g = &group{resource: key.resource()}
		c.groups[key.clone()] = g
		c.order = append(c.order, g)
	}
	scope := scopeKey{g, s.tag("otel.scope.name", "otel.library.name"), s.tag("otel.scope.version", "otel.library.version")}
	in := c.scopes[scope]
	if in == nil {
		scope.name, scope.version = strings.Clone(scope.name), strings.Clone(scope.version)
		in = &scopeGroup{scopeKey: scope}
		c.scopes[scope] = in
		g.scopes = append(g.scopes, in)
	}
	return in
}

// clone lasts longer than its span.
func (k instanceKey) clone() instanceKey {
	return instanceKey{strings.Clone(k.service), strings.Clone(k.id), strings.Clone(k.version), strings.Clone(k.lane), strings.Clone(k.release), strings.Clone(k.zone), strings.Clone(k.host)}
}

func (k instanceKey) resource() (out []byte) {
	for _, a := range [...]struct{ key, value string }{{"service.name", k.service}, {"service.instance.id", k.id}, {"service.version", k.version}, {"gantry.lane", k.lane},
		{"gantry.release", k.release}, {"cloud.availability_zone", k.zone}, {"host.name", k.host}} {
		if a.value != "" {
			out = appendAttribute(out, resourceAttributes, a.key, a.value)
		}
	}
	return out
}

func appendEndpoint(to []byte, e *endpoint) []byte {
	if e == nil {
		return to
	}
	if e.serviceName != "" {
		to = appendAttribute(to, spanAttributes, "peer.service", e.serviceName)
	}
	if e.address() != "" {
		to = appendAttribute(to, spanAttributes, "network.peer.address", e.address())
	}
	if e.port > 0 {
		to = appendIntAttribute(to, spanAttributes, "network.peer.port", uint64(e.port))
	}
	return to
}

// valid replaces broken UTF-8, which protobuf refuses.
func valid(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }

// appendEvent makes an event of an annotation. OpenTelemetry's exporters write an event with attributes as `"name": {"key": value}`.
func appendEvent(to []byte, a annotation) []byte {
	to = appendFixed(to, eventTime, uint64(a.timestamp.nanoseconds()))
	name, fields := parseAnnotation(a.value)
	to = appendText(to, eventName, cmp.Or(name, a.value))
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		value, ok := fields[key].(string)
		if !ok {
			data, err := json.Marshal(fields[key])
			if err != nil {
				continue
			}
			value = string(data)
		}
		to = appendAttribute(to, eventAttributes, key, value)
	}
	return to
}

func parseAnnotation(value string) (name string, fields map[string]any) {
	quoted, rest, ok := strings.Cut(value, `": {`)
	if !ok || !strings.HasPrefix(quoted, `"`) {
		return "", nil
	}
	d := json.NewDecoder(bytes.NewReader([]byte("{" + rest)))
	d.UseNumber()
	if json.Unmarshal([]byte(quoted+`"`), &name) != nil || d.Decode(&fields) != nil || d.More() || len(fields) > maxList {
		return "", nil
	}
	return name, fields
}
