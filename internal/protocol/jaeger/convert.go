package jaeger

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"time"

	model "github.com/jaegertracing/jaeger-idl/model/v1"

	"github.com/gantry-platform/gantry/internal/signal"
)

// traceOf makes Jaeger's trace of ours. Spans of one resource share their process.
func traceOf(t *signal.Trace) *model.Trace {
	out := &model.Trace{Spans: make([]*model.Span, 0, len(t.Spans))}
	processes := map[*signal.Resource]*model.Process{}
	for i := range t.Spans {
		s := &t.Spans[i]
		process := processes[s.Resource]
		if process == nil {
			process = processOf(s.Resource)
			processes[s.Resource] = process
		}
		out.Spans = append(out.Spans, spanOf(s, process))
	}
	for _, what := range t.Partial {
		out.Warnings = append(out.Warnings, "spans may be missing: "+what)
	}
	return out
}

func processOf(r *signal.Resource) *model.Process {
	p := &model.Process{}
	if r == nil {
		return p
	}
	p.ServiceName = r.Service
	for i := range r.Attributes {
		if r.Attributes[i].Key != "service.name" {
			p.Tags = append(p.Tags, tagOf(&r.Attributes[i]))
		}
	}
	return p
}

func spanOf(s *signal.Span, process *model.Process) *model.Span {
	out := &model.Span{TraceID: traceID(s.TraceID), SpanID: spanID(s.ID), OperationName: text(s.Name), Flags: model.Flags(s.Flags & 1), StartTime: time.Unix(0, s.Start).UTC(),
		Duration: time.Duration(s.Duration), Process: process, Tags: tagsOf(s)}
	if !s.Parent.IsZero() {
		out.References = append(out.References, model.SpanRef{TraceID: out.TraceID, SpanID: spanID(s.Parent), RefType: model.SpanRefType_CHILD_OF})
	}
	for i := range s.Links {
		out.References = append(out.References, model.SpanRef{TraceID: traceID(s.Links[i].TraceID), SpanID: spanID(s.Links[i].SpanID), RefType: model.SpanRefType_FOLLOWS_FROM})
	}
	for i := range s.Events {
		e := &s.Events[i]
		log := model.Log{Timestamp: time.Unix(0, e.Time).UTC(), Fields: []model.KeyValue{model.String("event", text(e.Name))}}
		for j := range e.Attributes {
			log.Fields = append(log.Fields, tagOf(&e.Attributes[j]))
		}
		out.Logs = append(out.Logs, log)
	}
	return out
}

// tagsOf are the attributes, and what else of a span Jaeger writes as tags.
func tagsOf(s *signal.Span) []model.KeyValue {
	tags := make([]model.KeyValue, 0, len(s.Attributes)+4)
	for i := range s.Attributes {
		tags = append(tags, tagOf(&s.Attributes[i]))
	}
	if s.Kind != signal.KindUnspecified {
		tags = append(tags, model.String(model.SpanKindKey, s.Kind.String()))
	}
	switch s.Status {
	case signal.StatusOK:
		tags = append(tags, model.String("otel.status_code", "OK"))
	case signal.StatusError:
		tags = append(tags, model.String("otel.status_code", "ERROR"))
		if !slices.ContainsFunc(s.Attributes, func(a signal.Attribute) bool { return a.Key == "error" }) {
			tags = append(tags, model.Bool("error", true))
		}
	}
	for _, t := range [...]struct{ key, value string }{{"otel.status_description", s.StatusMessage}, {"otel.scope.name", s.Scope}, {"w3c.tracestate", s.TraceState}} {
		if t.value != "" {
			tags = append(tags, model.String(t.key, text(t.value)))
		}
	}
	return append(tags, model.String(signal.OutcomeAttribute, s.Outcome.String()))
}

func tagOf(a *signal.Attribute) model.KeyValue {
	key, v := text(a.Key), a.Value
	switch v.Type {
	case signal.TypeBool:
		return model.Bool(key, v.Number != 0)
	case signal.TypeInt:
		return model.Int64(key, int64(v.Number))
	case signal.TypeDouble:
		return model.Float64(key, math.Float64frombits(v.Number))
	case signal.TypeBytes:
		return model.Binary(key, []byte(v.Text))
	default:
		return model.String(key, text(v.Text))
	}
}

// text replaces broken UTF-8, which neither JSON nor protobuf carries.
func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func traceID(id signal.TraceID) model.TraceID {
	return model.NewTraceID(binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:]))
}

func spanID(id signal.SpanID) model.SpanID { return model.SpanID(binary.BigEndian.Uint64(id[:])) }

// ourTraceID is the other way.
func ourTraceID(id model.TraceID) (ours signal.TraceID) {
	binary.BigEndian.PutUint64(ours[:8], id.High)
	binary.BigEndian.PutUint64(ours[8:], id.Low)
	return ours
}
