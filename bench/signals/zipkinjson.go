package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"unicode/utf8"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
)

// encodeZipkin makes a list of spans in Zipkin's JSON, version 2, of a request of the corpus, by the table in OpenTelemetry's specification
// (https://opentelemetry.io/docs/specs/otel/trace/sdk_exporters/zipkin/): attributes are tags with text, and so are those of the resource, in every span.
func encodeZipkin(r *collector.ExportTraceServiceRequest) ([]byte, error) {
	const likelySpan = 1400
	instance := r.ResourceSpans[0]
	end, err := zipkinInstance(instance)
	if err != nil {
		return nil, err
	}
	spans := instance.ScopeSpans[0].Spans
	out := append(make([]byte, 0, len(spans)*likelySpan), '[')
	for i, s := range spans {
		if i > 0 {
			out = append(out, ',')
		}
		if out, err = appendZipkinSpan(out, s); err != nil {
			return nil, err
		}
		out = append(out, end...)
	}
	return append(out, ']'), nil
}

// zipkinInstance is how all spans of an instance and scope end: with the tags that they share, and where they were.
func zipkinInstance(rs *otlp.ResourceSpans) (out []byte, err error) {
	service := ""
	for _, a := range rs.Resource.GetAttributes() {
		if a.Key == "service.name" {
			service = a.Value.GetStringValue()
			continue
		}
		if out, err = appendTag(out, a); err != nil {
			return nil, err
		}
	}
	scope := rs.ScopeSpans[0].Scope
	out = appendQuoted(append(out, `"otel.scope.version":`...), scope.GetVersion())
	out = appendQuoted(append(out, `,"otel.scope.name":`...), scope.GetName())
	out = appendQuoted(append(out, `},"localEndpoint":{"serviceName":`...), service)
	return append(out, "}}"...), nil
}

var zipkinKinds = map[otlp.Span_SpanKind]string{otlp.Span_SPAN_KIND_CLIENT: "CLIENT", otlp.Span_SPAN_KIND_SERVER: "SERVER",
	otlp.Span_SPAN_KIND_PRODUCER: "PRODUCER", otlp.Span_SPAN_KIND_CONSUMER: "CONSUMER"}

// appendZipkinSpan writes a span as far as into its tags.
func appendZipkinSpan(out []byte, s *otlp.Span) (_ []byte, err error) {
	out = hex.AppendEncode(append(out, `{"traceId":"`...), s.TraceId)
	out = hex.AppendEncode(append(out, `","id":"`...), s.SpanId)
	if len(s.ParentSpanId) > 0 {
		out = hex.AppendEncode(append(out, `","parentId":"`...), s.ParentSpanId)
	}
	out = appendQuoted(append(out, `","name":`...), s.Name)
	if kind := zipkinKinds[s.Kind]; kind != "" {
		out = appendQuoted(append(out, `,"kind":`...), kind)
	}
	out = strconv.AppendUint(append(out, `,"timestamp":`...), s.StartTimeUnixNano/1000, 10)
	out = strconv.AppendUint(append(out, `,"duration":`...), max((s.EndTimeUnixNano-s.StartTimeUnixNano)/1000, 1), 10) // 0 is none
	if s.Kind == otlp.Span_SPAN_KIND_CLIENT || s.Kind == otlp.Span_SPAN_KIND_PRODUCER {
		out = appendRemote(out, s)
	}
	if out, err = appendAnnotations(out, s.Events); err != nil {
		return nil, err
	}
	out = append(out, `,"tags":{`...)
	switch s.Status.GetCode() {
	case otlp.Status_STATUS_CODE_OK:
		out = append(out, `"otel.status_code":"OK",`...)
	case otlp.Status_STATUS_CODE_ERROR:
		out = append(appendQuoted(append(out, `"otel.status_code":"ERROR","error":`...), s.Status.Message), ',')
	}
	for _, a := range s.Attributes {
		if out, err = appendTag(out, a); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// appendRemote writes whom a client called.
func appendRemote(out []byte, s *otlp.Span) []byte {
	address := attribute(s, "server.address").GetStringValue()
	if address == "" {
		return out
	}
	field := "serviceName"
	if ip, err := netip.ParseAddr(address); err == nil {
		if field = "ipv4"; ip.Is6() {
			field = "ipv6"
		}
	}
	out = appendQuoted(append(out, `,"remoteEndpoint":{"`+field+`":`...), address)
	if port := attribute(s, "server.port").GetIntValue(); port > 0 {
		out = strconv.AppendInt(append(out, `,"port":`...), port, 10)
	}
	return append(out, '}')
}

// appendAnnotations writes events: `"name":{"key":value}` is their text.
func appendAnnotations(out []byte, events []*otlp.Span_Event) ([]byte, error) {
	for i, e := range events {
		between := `,{"timestamp":`
		if i == 0 {
			between = `,"annotations":[{"timestamp":`
		}
		out = strconv.AppendUint(append(out, between...), e.TimeUnixNano/1000, 10)
		said := e.Name
		if len(e.Attributes) > 0 {
			fields := map[string]string{}
			for _, a := range e.Attributes {
				text, err := textOf(a)
				if err != nil {
					return nil, err
				}
				fields[a.Key] = text
			}
			data, err := json.Marshal(fields)
			if err != nil {
				return nil, err
			}
			said = string(appendQuoted(nil, e.Name)) + ": " + string(data)
		}
		out = append(appendQuoted(append(out, `,"value":`...), said), '}')
	}
	if len(events) > 0 {
		out = append(out, ']')
	}
	return out, nil
}

// appendTag writes an attribute and a comma.
func appendTag(out []byte, a *common.KeyValue) ([]byte, error) {
	text, err := textOf(a)
	if err != nil {
		return nil, err
	}
	out = append(appendQuoted(out, a.Key), ':')
	return append(appendQuoted(out, text), ','), nil
}

func textOf(a *common.KeyValue) (string, error) {
	switch v := a.Value.GetValue().(type) {
	case *common.AnyValue_StringValue:
		return v.StringValue, nil
	case *common.AnyValue_IntValue:
		return strconv.FormatInt(v.IntValue, 10), nil
	case *common.AnyValue_BoolValue:
		return strconv.FormatBool(v.BoolValue), nil
	case *common.AnyValue_DoubleValue:
		return strconv.FormatFloat(v.DoubleValue, 'g', -1, 64), nil
	}
	return "", fmt.Errorf("attribute %s: lists and bytes are not known as Zipkin's tags", a.Key)
}

// appendQuoted writes a text in JSON. Nearly all are as they are.
func appendQuoted(out []byte, text string) []byte {
	for i := range len(text) {
		if b := text[i]; b < ' ' || b == '"' || b == '\\' || b >= utf8.RuneSelf {
			quoted, err := json.Marshal(text)
			if err != nil {
				panic(err) // a string has JSON
			}
			return append(out, quoted...)
		}
	}
	out = append(out, '"')
	out = append(out, text...)
	return append(out, '"')
}
