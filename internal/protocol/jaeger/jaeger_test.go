package jaeger_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	model "github.com/jaegertracing/jaeger-idl/model/v1"
	"github.com/jaegertracing/jaeger-idl/proto-gen/api_v2"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
	"github.com/gantry-platform/gantry/internal/protocol/jaeger"
	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/red"
	"github.com/gantry-platform/gantry/internal/state/statetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, statetest.LeakOptions()...) }

var now = time.Unix(1_800_000_000, 0)

// memory keeps spans, and remembers what it was asked.
type memory struct {
	spans  []signal.Span
	asked  signal.TraceQuery
	within signal.Range
	silent []string
	err    error
}

func (m *memory) Trace(_ context.Context, namespace string, id signal.TraceID, within signal.Range) (signal.Trace, error) {
	m.within = within
	var t signal.Trace
	for _, s := range m.spans {
		if s.TraceID == id && namespace == "default" {
			t.Spans = append(t.Spans, s)
		}
	}
	return t, m.err
}

func (m *memory) Search(_ context.Context, q signal.TraceQuery) (signal.SearchResult, error) {
	m.asked = q
	var r signal.SearchResult
	r.Truncated = q.Limit == 1
	seen := map[signal.TraceID]bool{}
	for _, s := range m.spans {
		if s.Resource.Service == q.Service && !seen[s.TraceID] {
			seen[s.TraceID] = true
			r.Traces = append(r.Traces, signal.TraceSummary{TraceID: s.TraceID, Start: time.Unix(0, s.Start), Duration: time.Duration(s.Duration)})
		}
	}
	return r, m.err
}

func (m *memory) Services(_ context.Context, namespace string, _ signal.Range) ([]string, error) {
	if namespace != "default" {
		return nil, m.err
	}
	return []string{"loan", "shop"}, m.err
}

func (m *memory) Attributes(context.Context, signal.AttributeQuery) (signal.AttributeResult, error) {
	return signal.AttributeResult{}, nil
}

func (m *memory) Endpoints(_ context.Context, _, service string, kind signal.Kind, _ signal.Range) ([]string, error) {
	switch kind {
	case signal.KindServer:
		return []string{"GET /" + service}, nil
	case signal.KindUnspecified:
		return []string{"GET /" + service, "inner"}, nil
	case signal.KindInternal:
		return []string{"inner"}, nil
	}
	return nil, nil
}

func (m *memory) Topology(_ context.Context, _ string, since, until time.Time) (red.Graph, error) {
	m.within = signal.Range{Since: since, Until: until}
	edge := func(caller, callee, protocol string, calls uint64) red.Edge {
		return red.Edge{Caller: caller, Callee: callee, Protocol: protocol, Figures: red.Figures{Calls: calls}}
	}
	return red.Graph{Window: red.Window{Missing: m.silent}, Nodes: []red.Node{{Name: "loan", Type: "service"}, {Name: "shop", Type: "service"}, {Name: "mysql/loans", Type: "database"}, {Name: "user", Type: "user"}},
		Edges: []red.Edge{edge("loan", "mysql/loans", "mysql", 5), edge("shop", "loan", "grpc", 2), edge("shop", "loan", "http", 3), edge("user", "shop", "http", 9)}}, nil
}

// callers know the token "stranger", who is a service of another namespace; without a token everybody may everything.
type callers struct{ manager *access.Manager }

func (c callers) Authenticate(ctx context.Context, credential access.Credential) (*access.Identity, error) {
	switch credential.Token {
	case "stranger":
		return access.Serving("stranger", "", "elsewhere"), nil
	case "":
		return c.manager.Authenticate(ctx, credential)
	}
	return nil, fault.New(fault.Unauthenticated, "access.bad_token", "the token is not known")
}

func newHandler(t testing.TB, m *memory) *jaeger.Handler {
	t.Helper()
	store := statetest.New(t)
	manager, err := access.New(access.Options{Store: store, Registerer: prometheus.NewRegistry(), Disabled: true})
	if err != nil {
		t.Fatal(err)
	}
	return jaeger.New(jaeger.Options{Traces: m, Topology: m, Access: callers{manager}, Clock: func() time.Time { return now }})
}

func fleet() *memory {
	shop := &signal.Resource{Service: "shop", Attributes: []signal.Attribute{attribute("service.name", "shop"), attribute("host.name", "h1")}}
	loan := &signal.Resource{Service: "loan"}
	trace := signal.TraceID{15: 7}
	return &memory{spans: []signal.Span{
		{TraceID: trace, ID: signal.SpanID{7: 1}, Kind: signal.KindClient, Name: "GET", Start: now.UnixNano(), Duration: 2_500_000, Resource: shop, Flags: 0x101,
			Links: []signal.Link{{TraceID: signal.TraceID{1}, SpanID: signal.SpanID{2}}}},
		{TraceID: trace, ID: signal.SpanID{7: 2}, Parent: signal.SpanID{7: 1}, Kind: signal.KindServer, Status: signal.StatusError, Outcome: signal.Failed, StatusMessage: "no answer",
			Name: "GET /loan\xff", Scope: "otelhttp", Start: now.UnixNano() + 1_000_000, Duration: 1_000_000, Resource: loan,
			Attributes: []signal.Attribute{attribute("text", "t"), {Key: "small", Value: signal.Value{Type: signal.TypeInt, Number: 5}}, {Key: "large", Value: signal.Value{Type: signal.TypeInt, Number: 1 << 60}},
				{Key: "flag", Value: signal.Value{Type: signal.TypeBool, Number: 1}}, {Key: "half", Value: signal.Value{Type: signal.TypeDouble, Number: math.Float64bits(0.5)}},
				{Key: "none", Value: signal.Value{Type: signal.TypeDouble, Number: math.Float64bits(math.NaN())}}, {Key: "bytes", Value: signal.Value{Type: signal.TypeBytes, Text: "\x01\x02"}}},
			Events: []signal.Event{{Name: "exception", Time: now.UnixNano() + 1_500_000, Attributes: []signal.Attribute{attribute("exception.type", "Timeout")}}}},
	}}
}

func attribute(key, value string) signal.Attribute {
	return signal.Attribute{Key: key, Value: signal.Value{Type: signal.TypeString, Text: value}}
}

// ask answers the status and the body of a GET.
func ask(handler http.Handler, path string, headers ...string) (int, string) {
	request := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	answer := httptest.NewRecorder()
	edge.Namespaces(handler).ServeHTTP(answer, request)
	return answer.Code, strings.TrimSpace(answer.Body.String())
}

func TestNamesAndDependenciesByHTTP(t *testing.T) {
	m := fleet()
	h := newHandler(t, m)
	for path, want := range map[string]string{
		"/jaeger/api/services":                                `{"data":["loan","shop"],"total":2,"limit":0,"offset":0,"errors":null}`,
		"/ns/prod/jaeger/api/services":                        `{"data":[],"total":0,"limit":0,"offset":0,"errors":null}`,
		"/jaeger/api/services/loan%2Fx/operations":            `{"data":["GET /loan/x","inner"],"total":2,"limit":0,"offset":0,"errors":null}`,
		"/jaeger/api/operations?service=loan":                 `{"data":[{"name":"inner","spanKind":"internal"},{"name":"GET /loan","spanKind":"server"}],"total":2,"limit":0,"offset":0,"errors":null}`,
		"/jaeger/api/operations?service=loan&spanKind=server": `{"data":[{"name":"GET /loan","spanKind":"server"}],"total":1,"limit":0,"offset":0,"errors":null}`,
		"/jaeger/api/dependencies?endTs=1800000000000&lookback=3600000": `{"data":[{"parent":"loan","child":"mysql/loans","callCount":5},{"parent":"shop","child":"loan","callCount":5}],` +
			`"total":2,"limit":0,"offset":0,"errors":null}`,
	} {
		if status, answer := ask(h, path); status != 200 || answer != want {
			t.Errorf("%s: %d %s", path, status, answer)
		}
	}
	if !m.within.Until.Equal(now) || m.within.Until.Sub(m.within.Since) != time.Hour {
		t.Errorf("dependencies of %v", m.within)
	}
	m.silent = []string{"n2"}
	if status, answer := ask(h, "/jaeger/api/dependencies"); status != 200 || !strings.Contains(answer, `"callCount":5`) || !strings.Contains(answer, `"errors":[{"msg":"calls are missing: node n2 does not answer"}]`) {
		t.Errorf("with a silent node: %d %s", status, answer)
	}
}

func TestTracesByHTTP(t *testing.T) {
	m := fleet()
	h := newHandler(t, m)
	status, answer := ask(h, "/jaeger/api/traces/7")
	for _, want := range []string{`"traceID":"0000000000000007"`, `"processes":{"p1":{"serviceName":"shop","tags":[{"key":"host.name","type":"string","value":"h1"}]},"p2":{"serviceName":"loan","tags":[]}}`,
		`"spanID":"0000000000000002","operationName":"GET /loan�","references":[{"refType":"CHILD_OF","traceID":"0000000000000007","spanID":"0000000000000001"}],"startTime":1800000000001000,"duration":1000`,
		`"references":[{"refType":"FOLLOWS_FROM","traceID":"01000000000000000000000000000000","spanID":"0200000000000000"}]`, `"flags":1`,
		`{"key":"small","type":"int64","value":5}`, `{"key":"large","type":"int64","value":"1152921504606846976"}`, `{"key":"flag","type":"bool","value":true}`, `{"key":"half","type":"float64","value":0.5}`,
		`{"key":"none","type":"string","value":"NaN"}`, `{"key":"bytes","type":"binary","value":"AQI="}`, `{"key":"span.kind","type":"string","value":"server"}`,
		`{"key":"error","type":"bool","value":true}`, `{"key":"otel.status_code","type":"string","value":"ERROR"}`, `{"key":"otel.scope.name","type":"string","value":"otelhttp"}`,
		`"logs":[{"timestamp":1800000000001500,"fields":[{"key":"event","type":"string","value":"exception"},{"key":"exception.type","type":"string","value":"Timeout"}]}]`, `"warnings":null`} {
		if status != 200 || !strings.Contains(answer, want) {
			t.Errorf("%d, no %s in %s", status, want, answer)
		}
	}
	if status, answer = ask(h, "/jaeger/api/traces?traceID=7&traceID=8"); status != 200 || !strings.Contains(answer, `"total":1`) || !strings.Contains(answer, `"errors":[{"msg":"trace not found","traceID":"8"}]`) {
		t.Errorf("%d %s", status, answer)
	}
	if status, answer = ask(h, "/jaeger/api/traces?service=loan&limit=1"); status != 200 || !strings.Contains(answer, `"total":1`) || !strings.Contains(answer, "the search ended early") {
		t.Errorf("%d %s", status, answer)
	}
	if status, answer = ask(h, "/jaeger/api/traces?service=nobody"); status != 200 || answer != `{"data":[],"total":0,"limit":0,"offset":0,"errors":null}` {
		t.Errorf("%d %s", status, answer)
	}
}

func TestSearchesAreUnderstood(t *testing.T) {
	m := fleet()
	h := newHandler(t, m)
	v := url.Values{"service": {"loan"}, "operation": {"GET /"}, "start": {"1799999000000000"}, "end": {"1800000000000000"}, "minDuration": {"1.5ms"}, "maxDuration": {"2s"}, "limit": {"7"},
		"tag": {"a:b:c"}, "tags": {`{"error":"true","span.kind":"server","http.response.status_code":500,"flag":true}`}}
	if status, answer := ask(h, "/jaeger/api/traces?"+v.Encode()); status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	want := signal.TraceQuery{Namespace: "default", Service: "loan", Endpoint: "GET /", Since: time.UnixMicro(1799999000000000), Until: time.UnixMicro(1800000000000000), Kind: signal.KindServer,
		MinDuration: 1500 * time.Microsecond, MaxDuration: 2 * time.Second, Outcomes: []signal.Outcome{signal.Failed}, Limit: 7,
		Attributes: []signal.Match{{Key: "a", Text: "b:c"}, {Key: "flag", Text: "true"}, {Key: "http.response.status_code", Text: "500"}}}
	if !reflect.DeepEqual(m.asked, want) {
		t.Errorf("asked for %+v", m.asked)
	}
	if ask(h, "/jaeger/api/traces?service=loan&limit=1500"); m.asked.Limit != 1000 || !m.asked.Until.Equal(now) || m.asked.Until.Sub(m.asked.Since) != 48*time.Hour {
		t.Errorf("without a time: %+v", m.asked)
	}
}

func TestQuestionsAreRefused(t *testing.T) {
	m := fleet()
	h := newHandler(t, m)
	for path, want := range map[string]struct {
		status int
		words  string
	}{
		"/jaeger/api/traces":                                         {400, "parameter 'service' is required"},
		"/jaeger/api/traces?service=a&start=x":                       {400, "'start'"},
		"/jaeger/api/traces?service=a&end=99999999999999999":         {400, "'end'"},
		"/jaeger/api/traces?service=a&minDuration=5":                 {400, "'minDuration'"},
		"/jaeger/api/traces?service=a&minDuration=5s&maxDuration=1s": {400, "greater"},
		"/jaeger/api/traces?service=a&limit=0":                       {400, "'limit'"},
		"/jaeger/api/traces?service=a&tag=x":                         {400, "key:value"},
		"/jaeger/api/traces?service=a&tags=%7B":                      {400, "cannot unmarshal JSON"},
		"/jaeger/api/traces?service=a&tags=%7B%22a%22:%5B%5D%7D":     {400, "no text"},
		"/jaeger/api/traces?service=a&tag=span.kind:x":               {400, "span.kind"},
		"/jaeger/api/traces?traceID=xyz":                             {400, "traceID"},
		"/jaeger/api/traces?" + strings.Repeat("traceID=1&", 101):    {413, "101 traces"},
		"/jaeger/api/traces?service=a&" + manyTags(101):              {413, "101 tags"},
		"/jaeger/api/traces/xyz":                                     {400, "traceID"},
		"/jaeger/api/traces/8":                                       {404, "trace not found"},
		"/jaeger/api/operations":                                     {400, "service"},
		"/jaeger/api/operations?service=a&spanKind=x":                {400, "spanKind"},
		"/jaeger/api/dependencies?lookback=x":                        {400, "lookback"},
		"/jaeger/api/nothing":                                        {404, "services"},
	} {
		status, answer := ask(h, path)
		var shape struct {
			Data   any
			Errors []struct {
				Code int
				Msg  string
			}
		}
		if err := json.Unmarshal([]byte(answer), &shape); err != nil || status != want.status || len(shape.Errors) != 1 || shape.Errors[0].Code != status || !strings.Contains(shape.Errors[0].Msg, want.words) || shape.Data != nil {
			t.Errorf("%s: %d %s", path[:min(len(path), 100)], status, answer)
		}
	}
	for headers, want := range map[[2]string]int{{"Authorization", "Bearer stranger"}: 403, {"Authorization", "Bearer x"}: 401, {"gantry-namespace", "a b"}: 400} {
		for _, path := range []string{"services", "services/a/operations", "operations?service=a", "traces?service=a", "traces/7", "dependencies"} {
			if status, answer := ask(h, "/jaeger/api/"+path, headers[0], headers[1]); status != want {
				t.Errorf("%v %s: %d %s", headers, path, status, answer)
			}
		}
	}
	m.err = errors.New("a defect")
	if status, answer := ask(h, "/jaeger/api/services"); status != 500 || strings.Contains(answer, "defect") {
		t.Errorf("%d %s", status, answer)
	}
}

func manyTags(n int) string {
	v := url.Values{}
	for i := range n {
		v.Add("tag", fmt.Sprintf("k%d:v", i))
	}
	return v.Encode()
}

// gogo is the codec of Jaeger's own clients.
type gogo struct{}

func (gogo) Name() string { return "proto" }
func (gogo) Marshal(v any) ([]byte, error) {
	return v.(interface{ Marshal() ([]byte, error) }).Marshal()
}
func (gogo) Unmarshal(data []byte, v any) error {
	return v.(interface{ Unmarshal([]byte) error }).Unmarshal(data)
}

func client(t *testing.T, h *jaeger.Handler) api_v2.QueryServiceClient {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	h.Register(server)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	connection, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodec(gogo{})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		connection.Close()
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return api_v2.NewQueryServiceClient(connection)
}

func receiveAll(t *testing.T, stream interface {
	Recv() (*api_v2.SpansResponseChunk, error)
}, err error) ([]model.Span, int, error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	var all []model.Span
	for chunks := 0; ; chunks++ {
		chunk, err := stream.Recv()
		if err != nil {
			if strings.Contains(err.Error(), "EOF") {
				err = nil
			}
			return all, chunks, err
		}
		all = append(all, chunk.Spans...)
	}
}

func TestTracesByGRPC(t *testing.T) {
	m := fleet()
	c := client(t, newHandler(t, m))
	services, err := c.GetServices(t.Context(), &api_v2.GetServicesRequest{})
	if err != nil || !slices.Equal(services.Services, []string{"loan", "shop"}) {
		t.Errorf("%v, %v", services, err)
	}
	operations, err := c.GetOperations(t.Context(), &api_v2.GetOperationsRequest{Service: "loan", SpanKind: "server"})
	if err != nil || len(operations.Operations) != 1 || operations.Operations[0].Name != "GET /loan" || operations.Operations[0].SpanKind != "server" {
		t.Errorf("%v, %v", operations, err)
	}
	dependencies, err := c.GetDependencies(t.Context(), &api_v2.GetDependenciesRequest{StartTime: now.Add(-time.Hour), EndTime: now})
	if err != nil || len(dependencies.Dependencies) != 2 || dependencies.Dependencies[1].CallCount != 5 {
		t.Errorf("%v, %v", dependencies, err)
	}
	stream, err := c.GetTrace(t.Context(), &api_v2.GetTraceRequest{TraceID: model.NewTraceID(0, 7)})
	spans, _, err := receiveAll(t, stream, err)
	if err != nil || len(spans) != 2 || spans[1].Process.ServiceName != "loan" || spans[1].References[0].SpanID != 1 || spans[1].Duration != time.Millisecond || !spans[1].StartTime.Equal(now.Add(time.Millisecond)) {
		t.Errorf("%v, %v", spans, err)
	}
	search, err := c.FindTraces(t.Context(), &api_v2.FindTracesRequest{Query: &api_v2.TraceQueryParameters{ServiceName: "loan", OperationName: "GET /", Tags: map[string]string{"error": "true", "a": "b"},
		StartTimeMin: now.Add(-time.Hour), StartTimeMax: now, DurationMin: time.Millisecond, SearchDepth: 3}})
	spans, _, err = receiveAll(t, search, err)
	want := signal.TraceQuery{Namespace: "default", Service: "loan", Endpoint: "GET /", Since: now.Add(-time.Hour).UTC(), Until: now.UTC(), MinDuration: time.Millisecond, Limit: 3,
		Outcomes: []signal.Outcome{signal.Failed}, Attributes: []signal.Match{{Key: "a", Text: "b"}}}
	if err != nil || len(spans) != 2 || !reflect.DeepEqual(m.asked, want) {
		t.Errorf("%d spans, %v, asked for %+v", len(spans), err, m.asked)
	}
}

func TestGRPCRefuses(t *testing.T) {
	c := client(t, newHandler(t, fleet()))
	trace := func(ctx context.Context, low uint64) error {
		stream, err := c.GetTrace(ctx, &api_v2.GetTraceRequest{TraceID: model.NewTraceID(0, low)})
		_, _, err = receiveAll(t, stream, err)
		return err
	}
	services := func(ctx context.Context) error {
		_, err := c.GetServices(ctx, &api_v2.GetServicesRequest{})
		return err
	}
	as := func(key, value string) context.Context {
		return metadata.AppendToOutgoingContext(t.Context(), key, value)
	}
	search, err := c.FindTraces(t.Context(), &api_v2.FindTracesRequest{})
	_, _, noQuery := receiveAll(t, search, err)
	_, archive := c.ArchiveTrace(t.Context(), &api_v2.ArchiveTraceRequest{TraceID: model.NewTraceID(0, 7)})
	_, operations := c.GetOperations(t.Context(), &api_v2.GetOperationsRequest{})
	for what, c := range map[string]struct {
		err  error
		code codes.Code
	}{
		"no trace": {trace(t.Context(), 8), codes.NotFound}, "no id": {trace(t.Context(), 0), codes.InvalidArgument}, "no query": {noQuery, codes.InvalidArgument},
		"archive": {archive, codes.FailedPrecondition}, "no service": {operations, codes.InvalidArgument},
		"stranger": {services(as("authorization", "Bearer stranger")), codes.PermissionDenied}, "bad token": {trace(as("authorization", "Bearer x"), 7), codes.Unauthenticated},
		"bad namespace": {services(as("gantry-namespace", "a b")), codes.InvalidArgument},
	} {
		if status.Code(c.err) != c.code {
			t.Errorf("%s: %v", what, c.err)
		}
	}
}

func TestLargeTracesComeInChunks(t *testing.T) {
	m := fleet()
	large := m.spans[0]
	large.Attributes = []signal.Attribute{attribute("x", strings.Repeat("x", 100<<10))}
	for i := range 50 {
		large.ID = signal.SpanID{1, byte(i)}
		m.spans = append(m.spans, large)
	}
	stream, err := client(t, newHandler(t, m)).GetTrace(t.Context(), &api_v2.GetTraceRequest{TraceID: model.NewTraceID(0, 7)})
	spans, chunks, err := receiveAll(t, stream, err)
	if err != nil || len(spans) != 52 || chunks < 5 {
		t.Errorf("%d spans in %d chunks, %v", len(spans), chunks, err)
	}
}

func FuzzSearch(f *testing.F) {
	f.Add("service=a&tags=%7B%22a%22%3A1%7D&tag=b:c&start=1&end=2&minDuration=1ms&limit=3")
	f.Add("service=a&tags=%7B%22a%22%3A%7B%7D%7D")
	h := newHandler(f, fleet())
	f.Fuzz(func(t *testing.T, query string) {
		request := httptest.NewRequest(http.MethodGet, "/jaeger/api/traces", nil)
		request.URL.RawQuery = query
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, request)
		if !json.Valid(answer.Body.Bytes()) || answer.Code >= 500 {
			t.Fatalf("%d %s", answer.Code, answer.Body)
		}
	})
}
