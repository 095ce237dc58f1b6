package server_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/gantry-platform/gantry/internal/server"
)

func spans(name string) *collector.ExportTraceServiceRequest {
	now := uint64(time.Now().UnixNano())
	return &collector.ExportTraceServiceRequest{ResourceSpans: []*otlp.ResourceSpans{{
		Resource: &resource.Resource{Attributes: []*common.KeyValue{{Key: "service.name", Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: "loan"}}}}},
		ScopeSpans: []*otlp.ScopeSpans{{Spans: []*otlp.Span{{TraceId: []byte("0123456789abcdef"), SpanId: []byte("01234567"), Name: name, Kind: otlp.Span_SPAN_KIND_SERVER,
			StartTimeUnixNano: now, EndTimeUnixNano: now + 1e6}, {Name: "no ids"}}}}}}}
}

// telemetry is a client of the gRPC port of OTLP.
func telemetry(t *testing.T, s *server.Server) collector.TraceServiceClient {
	t.Helper()
	address, _ := s.OTLPAddresses()
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	return collector.NewTraceServiceClient(connection)
}

func TestTracesByGRPC(t *testing.T) {
	s := start(t, map[string]string{"GANTRY_OTLP_GRPC_LISTEN": "127.0.0.1:0"})
	client := telemetry(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	answer, err := client.Export(ctx, spans("POST /loans"))
	if err != nil {
		t.Fatal(err)
	}
	if p := answer.GetPartialSuccess(); p.GetRejectedSpans() != 1 || !strings.Contains(p.GetErrorMessage(), "no valid trace id") {
		t.Errorf("partial success %v", p)
	}
	if status, answer := call(t, s, "TraceService/GetTrace", `{"traceId":"30313233343536373839616263646566"}`); status != 200 || !strings.Contains(answer, `"name":"POST /loans"`) {
		t.Errorf("the trace: %d %s", status, answer)
	}
	if status, answer := call(t, s, "TraceService/SearchTraces", `{"service":"loan","kind":"server"}`); status != 200 || !strings.Contains(answer, `"rootName":"POST /loans"`) {
		t.Errorf("a search: %d %s", status, answer)
	}
	if status, answer := call(t, s, "TraceService/ListTraceNames", `{"service":"loan"}`); status != 200 || !strings.Contains(answer, `["POST /loans"]`) {
		t.Errorf("names: %d %s", status, answer)
	}
	if status, answer := call(t, s, "TopologyService/ServiceFigures", `{}`); status != 200 || !strings.Contains(answer, `"service":"loan"`) {
		t.Errorf("figures: %d %s", status, answer)
	}
	for body, want := range map[string]int{`{"traceId":"x"}`: 400, `{"traceId":"1"}`: 404, `{"traceId":"1","namespace":"nowhere"}`: 404} {
		if status, answer := call(t, s, "TraceService/GetTrace", body); status != want {
			t.Errorf("%s: %d %s", body, status, answer)
		}
	}
	for namespace, code := range map[string]codes.Code{"nowhere": codes.NotFound, "a b": codes.InvalidArgument} {
		_, err := client.Export(metadata.AppendToOutgoingContext(ctx, "gantry-namespace", namespace), spans("x"))
		if status.Code(err) != code {
			t.Errorf("namespace %q: %v", namespace, err)
		}
	}
}

func TestSendersNeedARight(t *testing.T) {
	s := start(t, map[string]string{"GANTRY_OTLP_GRPC_LISTEN": "127.0.0.1:0", "GANTRY_OTLP_HTTP_LISTEN": "127.0.0.1:0", "GANTRY_AUTHENTICATION": "on"})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := telemetry(t, s).Export(ctx, spans("x")); status.Code(err) != codes.Unauthenticated {
		t.Errorf("by gRPC: %v", err)
	}
	if code, header, _ := post(t, s, "/v1/traces", "application/json", []byte("{}"), ""); code != 401 || header.Get("WWW-Authenticate") == "" {
		t.Errorf("by HTTP: %d", code)
	}
}

func post(t *testing.T, s *server.Server, path, contentType string, body []byte, encoding string) (int, http.Header, []byte) {
	t.Helper()
	_, address := s.OTLPAddresses()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", contentType)
	if encoding != "" {
		request.Header.Set("Content-Encoding", encoding)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, answer
}

func TestTracesByHTTP(t *testing.T) {
	s := start(t, map[string]string{"GANTRY_OTLP_HTTP_LISTEN": "127.0.0.1:0"})
	raw, err := proto.Marshal(spans("GET /"))
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	_, _ = zip.Write(raw)
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	var bomb bytes.Buffer
	zip = gzip.NewWriter(&bomb)
	_, _ = zip.Write(make([]byte, 20<<20))
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	asJSON := `{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"risk"}}]},"scopeSpans":[{"spans":[
		{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"score","kind":2,"startTimeUnixNano":"` + time.Now().Format("20060102") + `","endTimeUnixNano":"1"}]}]}]}`
	for name, c := range map[string]struct {
		path, contentType string
		body              []byte
		encoding          string
		status            int
		says              string
	}{
		"protobuf":           {"/v1/traces", "application/x-protobuf", raw, "", 200, "no valid trace id"},
		"gzip":               {"/v1/traces", "application/x-protobuf", packed.Bytes(), "gzip", 200, "no valid trace id"},
		"json, too old":      {"/v1/traces", "application/json; charset=utf-8", []byte(asJSON), "", 200, `"rejectedSpans":"1"`},
		"in a namespace":     {"/ns/default/v1/traces", "application/x-protobuf", raw, "", 200, ""},
		"in none":            {"/ns/nowhere/v1/traces", "application/json", []byte("{}"), "", 404, "namespace create"},
		"malformed":          {"/v1/traces", "application/x-protobuf", []byte("\xff"), "", 400, ""},
		"malformed json":     {"/v1/metrics", "application/json", []byte("{"), "", 400, ""},
		"another encoding":   {"/v1/logs", "application/json", []byte("{}"), "br", 400, "gzip"},
		"not gzip":           {"/v1/logs", "application/json", []byte("{}"), "gzip", 400, ""},
		"another type":       {"/v1/traces", "text/plain", nil, "", 415, ""},
		"a bomb":             {"/v1/traces", "application/x-protobuf", bomb.Bytes(), "gzip", 413, ""},
		"too much":           {"/v1/traces", "application/x-protobuf", make([]byte, 17<<20), "", 413, ""},
		"another path":       {"/v1/other", "application/json", nil, "", 404, ""},
		"metrics, no points": {"/v1/metrics", "application/json", []byte("{}"), "", 200, ""},
		"logs, none":         {"/v1/logs", "application/x-protobuf", nil, "", 200, ""},
	} {
		code, header, answer := post(t, s, c.path, c.contentType, c.body, c.encoding)
		if code != c.status || !bytes.Contains(answer, []byte(c.says)) {
			t.Errorf("%s: %d %q", name, code, answer)
		}
		if strings.HasPrefix(c.contentType, "application/json") && code < 500 && c.path != "/v1/other" && (header.Get("Content-Type") != "application/json" || !json.Valid(answer)) {
			t.Errorf("%s: is answered by %s: %q", name, header.Get("Content-Type"), answer)
		}
	}
}
