package jaeger

import (
	"encoding/base64"
	"math"
	"strconv"

	model "github.com/jaegertracing/jaeger-idl/model/v1"
)

// The shapes that Jaeger's UI reads.
type (
	envelope struct {
		Data   any       `json:"data"`
		Total  int       `json:"total"`
		Limit  int       `json:"limit"`
		Offset int       `json:"offset"`
		Errors []problem `json:"errors"`
	}
	problem struct {
		Code    int    `json:"code,omitempty"`
		Message string `json:"msg"`
		TraceID string `json:"traceID,omitempty"`
	}
	traceJSON struct {
		TraceID   string                 `json:"traceID"`
		Spans     []spanJSON             `json:"spans"`
		Processes map[string]processJSON `json:"processes"`
		Warnings  []string               `json:"warnings"`
	}
	spanJSON struct {
		TraceID    string          `json:"traceID"`
		SpanID     string          `json:"spanID"`
		Flags      uint32          `json:"flags,omitempty"`
		Operation  string          `json:"operationName"`
		References []referenceJSON `json:"references"`
		Start      int64           `json:"startTime"` // microseconds
		Duration   int64           `json:"duration"`  // microseconds
		Tags       []tagJSON       `json:"tags"`
		Logs       []logJSON       `json:"logs"`
		ProcessID  string          `json:"processID"`
		Warnings   []string        `json:"warnings"`
	}
	referenceJSON struct {
		Type    string `json:"refType"`
		TraceID string `json:"traceID"`
		SpanID  string `json:"spanID"`
	}
	tagJSON struct {
		Key   string `json:"key"`
		Type  string `json:"type"`
		Value any    `json:"value"`
	}
	logJSON struct {
		Timestamp int64     `json:"timestamp"` // microseconds
		Fields    []tagJSON `json:"fields"`
	}
	processJSON struct {
		Service string    `json:"serviceName"`
		Tags    []tagJSON `json:"tags"`
	}
	operationJSON struct {
		Name string `json:"name"`
		Kind string `json:"spanKind"`
	}
	dependencyJSON struct {
		Parent string `json:"parent"`
		Child  string `json:"child"`
		Calls  uint64 `json:"callCount"`
	}
)

// traceToJSON numbers the processes as Jaeger does: p1, p2, ...
func traceToJSON(t *model.Trace) traceJSON {
	out := traceJSON{Spans: make([]spanJSON, 0, len(t.Spans)), Processes: map[string]processJSON{}, Warnings: t.Warnings}
	ids := map[*model.Process]string{}
	for _, s := range t.Spans {
		out.TraceID = s.TraceID.String()
		id := ids[s.Process]
		if id == "" {
			id = "p" + strconv.Itoa(len(ids)+1)
			ids[s.Process] = id
			out.Processes[id] = processJSON{Service: s.Process.ServiceName, Tags: tagsToJSON(s.Process.Tags)}
		}
		out.Spans = append(out.Spans, spanToJSON(s, id))
	}
	return out
}

func spanToJSON(s *model.Span, process string) spanJSON {
	out := spanJSON{TraceID: s.TraceID.String(), SpanID: s.SpanID.String(), Flags: uint32(s.Flags), Operation: s.OperationName, References: []referenceJSON{},
		Start: s.StartTime.UnixMicro(), Duration: s.Duration.Microseconds(), Tags: tagsToJSON(s.Tags), Logs: []logJSON{}, ProcessID: process, Warnings: s.Warnings}
	for i := range s.References {
		r := &s.References[i]
		out.References = append(out.References, referenceJSON{Type: r.RefType.String(), TraceID: r.TraceID.String(), SpanID: r.SpanID.String()})
	}
	for i := range s.Logs {
		out.Logs = append(out.Logs, logJSON{Timestamp: s.Logs[i].Timestamp.UnixMicro(), Fields: tagsToJSON(s.Logs[i].Fields)})
	}
	return out
}

func tagsToJSON(tags []model.KeyValue) []tagJSON {
	out := make([]tagJSON, 0, len(tags))
	for i := range tags {
		out = append(out, tagToJSON(&tags[i]))
	}
	return out
}

// safeInteger is the largest number that JavaScript keeps whole.
const safeInteger = 1<<53 - 1

func tagToJSON(t *model.KeyValue) tagJSON {
	out := tagJSON{Key: t.Key}
	switch t.VType {
	case model.BoolType:
		out.Type, out.Value = "bool", t.VBool
	case model.Int64Type:
		out.Type, out.Value = "int64", t.VInt64
		if t.VInt64 > safeInteger || t.VInt64 < -safeInteger {
			out.Value = strconv.FormatInt(t.VInt64, 10)
		}
	case model.Float64Type:
		out.Type, out.Value = "float64", t.VFloat64
		if math.IsNaN(t.VFloat64) || math.IsInf(t.VFloat64, 0) { // JSON has no such numbers
			out.Type, out.Value = "string", strconv.FormatFloat(t.VFloat64, 'g', -1, 64)
		}
	case model.BinaryType:
		out.Type, out.Value = "binary", base64.StdEncoding.EncodeToString(t.VBinary)
	default:
		out.Type, out.Value = "string", t.VStr
	}
	return out
}
