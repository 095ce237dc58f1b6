package zipkin_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"go.uber.org/goleak"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
	"github.com/gantry-platform/gantry/internal/protocol/zipkin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// receiver keeps what comes through the handler.
type receiver struct {
	namespace string
	traces    ptrace.Traces
	requests  int
	err       error
}

// senders know one token, which may serve in all namespaces but "closed".
type senders struct{}

func (senders) Authenticate(_ context.Context, c access.Credential) (*access.Identity, error) {
	switch c.Token {
	case "":
		return access.Serving("sender", "", "default"), nil
	case "prod":
		return access.Serving("sender", "", "prod"), nil
	}
	return nil, fault.New(fault.Unauthenticated, "access.bad_token", "the token is not known")
}

func newHandler(r *receiver) http.Handler {
	return edge.Namespaces(zipkin.New(zipkin.Options{Access: senders{}, HasNamespace: func(name string) bool { return name != "gone" },
		Clock: func() time.Time { return time.Unix(1_800_000_000, 0) },
		Ingest: func(_ context.Context, namespace string, raw []byte) error {
			if r.err != nil {
				return r.err
			}
			request := ptraceotlp.NewExportRequest()
			if err := request.UnmarshalProto(raw); err != nil {
				return err
			}
			r.namespace, r.traces = namespace, request.Traces()
			r.requests++
			return nil
		}}))
}

func post(handler http.Handler, path, body string, headers ...string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, request)
	return answer
}

const trace = `[
 {"traceId":"0000000000000abc","id":"1","name":"get /loans","kind":"CLIENT","timestamp":1800000000000001,"duration":2500,
  "localEndpoint":{"serviceName":"shop","ipv4":"10.0.0.1","port":8080},"remoteEndpoint":{"serviceName":"loan","ipv4":"10.0.0.2","port":90},
  "tags":{"http.method":"GET","http.status_code":"503","error":"no answer","service.version":"v7"},
  "annotations":[{"timestamp":1800000000000100,"value":"ws"},{"timestamp":1800000000000200,"value":"\"exception\": {\"exception.type\":\"Timeout\",\"n\":7}"}]},
 {"traceId":"0000000000000abc","id":"1","parentId":"0000000000000000","kind":"SERVER","shared":true,"duration":2000,"localEndpoint":{"serviceName":"loan"},
  "tags":{"otel.status_code":"OK","otel.scope.name":"brave","count":3,"flag":true}}
]`

func TestSpansBecomeOTLP(t *testing.T) {
	for _, path := range []string{"/api/v2/spans", "/zipkin/api/v2/spans"} {
		r := &receiver{}
		if answer := post(newHandler(r), path, trace, "Content-Type", "application/json; charset=utf-8"); answer.Code != 202 || answer.Body.Len() > 0 {
			t.Fatalf("%s: %d %s", path, answer.Code, answer.Body)
		}
		if r.namespace != "default" || r.traces.SpanCount() != 2 || r.traces.ResourceSpans().Len() != 2 {
			t.Fatalf("%s: %d spans in %s", path, r.traces.SpanCount(), r.namespace)
		}
		checkClient(t, r.traces.ResourceSpans().At(0))
		checkServer(t, r.traces.ResourceSpans().At(1))
	}
}

func checkClient(t *testing.T, of ptrace.ResourceSpans) {
	t.Helper()
	if got := of.Resource().Attributes().AsRaw(); got["service.name"] != "shop" || got["service.instance.id"] != "10.0.0.1:8080" || got["service.version"] != "v7" {
		t.Errorf("resource %v", got)
	}
	s := of.ScopeSpans().At(0).Spans().At(0)
	if s.TraceID().String() != "00000000000000000000000000000abc" || s.SpanID().String() != "0000000000000001" || !s.ParentSpanID().IsEmpty() || s.Kind() != ptrace.SpanKindClient ||
		s.StartTimestamp() != 1800000000000001000 || s.EndTimestamp()-s.StartTimestamp() != 2500000 {
		t.Errorf("span %v %v %v %v %v", s.TraceID(), s.SpanID(), s.Kind(), s.StartTimestamp(), s.EndTimestamp())
	}
	if s.Status().Code() != ptrace.StatusCodeError || s.Status().Message() != "no answer" {
		t.Errorf("status %v %s", s.Status().Code(), s.Status().Message())
	}
	if got := s.Attributes().AsRaw(); got["peer.service"] != "loan" || got["network.peer.address"] != "10.0.0.2" || got["network.peer.port"] != int64(90) || got["http.status_code"] != "503" || len(got) != 5 {
		t.Errorf("attributes %v", got)
	}
	if s.Events().Len() != 2 || s.Events().At(0).Name() != "ws" || s.Events().At(1).Name() != "exception" || s.Events().At(1).Attributes().AsRaw()["exception.type"] != "Timeout" ||
		s.Events().At(1).Attributes().AsRaw()["n"] != "7" {
		t.Errorf("events %v", s.Events())
	}
}

func checkServer(t *testing.T, of ptrace.ResourceSpans) {
	t.Helper()
	s := of.ScopeSpans().At(0).Spans().At(0)
	// The id of its own, and the client's span as its parent.
	if s.ParentSpanID().String() != "0000000000000001" || s.SpanID().String() == "0000000000000001" || s.Kind() != ptrace.SpanKindServer {
		t.Errorf("%v under %v", s.SpanID(), s.ParentSpanID())
	}
	if of.ScopeSpans().At(0).Scope().Name() != "brave" || s.Status().Code() != ptrace.StatusCodeOk {
		t.Errorf("scope %s, status %v", of.ScopeSpans().At(0).Scope().Name(), s.Status().Code())
	}
	if got := s.Attributes().AsRaw(); got["count"] != "3" || got["flag"] != "true" || len(got) != 2 {
		t.Errorf("attributes %v", got)
	}
	if s.EndTimestamp().AsTime().Unix() != 1_800_000_000 {
		t.Errorf("without a time it ends at %v", s.EndTimestamp())
	}
}

// The same key twice, in whatever order and escaped or not, is one attribute: the last one.
func TestOfEqualTagsTheLastHolds(t *testing.T) {
	r := &receiver{}
	body := `[{"traceId":"1","id":"1","tags":{"b":"1","a\u0062":"x","b":"2","ab":"y\n"},"unknown":{"deep":[[{}]]}},{"traceId":"1","id":"2","tags":{"z":null}}]`
	if answer := post(newHandler(r), "/api/v2/spans", body); answer.Code != 202 {
		t.Fatalf("%d %s", answer.Code, answer.Body)
	}
	spans := r.traces.ResourceSpans().At(0).ScopeSpans().At(0).Spans()
	if got := spans.At(0).Attributes().AsRaw(); len(got) != 2 || got["b"] != "2" || got["ab"] != "y\n" {
		t.Errorf("attributes %v", got)
	}
	if got := spans.At(1).Attributes().AsRaw(); len(got) != 1 || got["z"] != "" {
		t.Errorf("attributes of the second %v", got)
	}
}

// BenchmarkSpans takes lists of 500 spans with ten tags each.
func BenchmarkSpans(b *testing.B) {
	one := `{"traceId":"%016x","id":"%x","parentId":"1","name":"get /loans","kind":"SERVER","timestamp":1800000000000001,"duration":2500,
  "localEndpoint":{"serviceName":"shop","ipv4":"10.0.0.1","port":8080},"remoteEndpoint":{"serviceName":"loan","ipv4":"10.0.0.2","port":90},"tags":{"http.method":"GET",
  "http.path":"/loans/17","http.status_code":"200","mvc.controller.class":"LoanController","mvc.controller.method":"approve","loan.order":"L-%d","customer.id":"%d","loan.product":"cash",
  "db.system":"mysql","error.kind":"none"}}`
	var list []string
	for i := range 500 {
		list = append(list, fmt.Sprintf(one, i/8+1, i+2, i, i))
	}
	body := "[" + strings.Join(list, ",") + "]"
	h := newSink()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if answer := post(h, "/api/v2/spans", body); answer.Code != 202 {
			b.Fatal(answer.Body)
		}
	}
	b.ReportMetric(float64(b.N)*500/b.Elapsed().Seconds(), "spans/s")
}

// newSink takes what comes and looks at nothing.
func newSink() http.Handler {
	return edge.Namespaces(zipkin.New(zipkin.Options{Access: senders{}, HasNamespace: func(string) bool { return true }, Clock: time.Now,
		Ingest: func(context.Context, string, []byte) error { return nil }}))
}

func TestARepeatedSharedSpanHasTheSameID(t *testing.T) {
	r := &receiver{}
	h := newHandler(r)
	ids := map[string]bool{}
	for range 2 {
		post(h, "/api/v2/spans", trace)
		ids[r.traces.ResourceSpans().At(1).ScopeSpans().At(0).Spans().At(0).SpanID().String()] = true
	}
	if len(ids) != 1 {
		t.Errorf("%v", ids)
	}
}

func packed(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return b.String()
}

func TestRequestsAreTakenOrRefused(t *testing.T) {
	const one = `{"traceId":"1","id":"2"}`
	many := "[" + strings.Repeat(one+",", 50_000) + one + "]"
	for _, c := range []struct {
		name, path, body string
		headers          []string
		status           int
		words            string
	}{
		{"packed", "/api/v2/spans", packed(trace), []string{"Content-Encoding", "gzip"}, 202, ""},
		{"empty list", "/api/v2/spans", "[]", nil, 202, ""},
		{"namespace by path", "/ns/prod/zipkin/api/v2/spans", trace, []string{"Authorization", "Bearer prod"}, 202, ""},
		{"namespace by header", "/api/v2/spans", trace, []string{"Authorization", "Bearer prod", "gantry-namespace", "prod"}, 202, ""},
		{"no right", "/api/v2/spans", trace, []string{"gantry-namespace", "prod"}, 403, "prod"},
		{"no such namespace", "/ns/gone/api/v2/spans", trace, nil, 403, ""},
		{"bad namespace", "/api/v2/spans", trace, []string{"gantry-namespace", "a b"}, 400, "namespace"},
		{"bad token", "/api/v2/spans", trace, []string{"Authorization", "Bearer x"}, 401, "token"},
		{"not packed", "/api/v2/spans", trace, []string{"Content-Encoding", "gzip"}, 400, "gzip"},
		{"other encoding", "/api/v2/spans", trace, []string{"Content-Encoding", "br"}, 400, "gzip or none"},
		{"bomb", "/api/v2/spans", packed("[" + strings.Repeat(" ", 17<<20) + one + "]"), []string{"Content-Encoding", "gzip"}, 413, "bytes"},
		{"large", "/api/v2/spans", "[" + strings.Repeat(" ", 17<<20) + one + "]", nil, 413, "bytes"},
		{"too many", "/api/v2/spans", many, nil, 413, "50000 spans"},
		{"protobuf", "/api/v2/spans", trace, []string{"Content-Type", "application/x-protobuf"}, 415, "application/json"},
		{"no list", "/api/v2/spans", one, nil, 400, "no list of spans"},
		{"nothing", "/api/v2/spans", "", nil, 400, "no list of spans"},
		{"cut off", "/api/v2/spans", "[" + one + ",", nil, 400, "span 2"},
		{"no trace id", "/api/v2/spans", `[` + one + `,{"id":"1"}]`, nil, 400, "span 2 has the traceId"},
		{"bad id", "/api/v2/spans", `[{"traceId":"1","id":"xyz"}]`, nil, 400, `the id "xyz"`},
		{"bad parent", "/api/v2/spans", `[{"traceId":"1","id":"1","parentId":"12345678901234567"}]`, nil, 400, "parentId"},
		{"bad tag", "/api/v2/spans", `[{"traceId":"1","id":"1","tags":{"a":[1]}}]`, nil, 400, "tag"},
		{"nested without end", "/api/v2/spans", `[{"traceId":"1","id":"1","x":` + strings.Repeat("[", 1<<20), nil, 400, "span 1"},
		{"too many tags", "/api/v2/spans", `[{"traceId":"1","id":"1","tags":{` + strings.Repeat(`"a":"b",`, 1000) + `"c":"d"}}]`, nil, 413, "tags"},
		{"bad time", "/api/v2/spans", `[{"traceId":"1","id":"1","timestamp":"noon"}]`, nil, 400, "microseconds"},
		{"elsewhere", "/zipkin/api/v2/services", "", nil, 404, "/jaeger/api/"},
	} {
		r := &receiver{}
		answer := post(newHandler(r), c.path, c.body, c.headers...)
		if answer.Code != c.status || !strings.Contains(answer.Body.String(), c.words) {
			t.Errorf("%s: %d %s", c.name, answer.Code, answer.Body)
		}
		if taken := r.requests == 1; taken != (c.status == 202 && c.name != "empty list") {
			t.Errorf("%s: taken %v", c.name, taken)
		}
		if strings.HasPrefix(c.name, "namespace by") && r.namespace != "prod" {
			t.Errorf("%s: in %s", c.name, r.namespace)
		}
	}
}

func TestSendersAreToldToWait(t *testing.T) {
	for err, want := range map[error]int{
		fault.New(fault.Exhausted, "traces.too_fast", "too fast"):        429,
		fault.New(fault.Unavailable, "traces.no_space", "no space left"): 503,
		errors.New("a defect"): 500,
	} {
		answer := post(newHandler(&receiver{err: err}), "/api/v2/spans", trace)
		if answer.Code != want || (want != 500) != (answer.Header().Get("Retry-After") != "") || strings.Contains(answer.Body.String(), "defect") {
			t.Errorf("%v: %d %v %s", err, answer.Code, answer.Header(), answer.Body)
		}
	}
}

func TestHealthIsAnswered(t *testing.T) {
	for path, want := range map[string]int{"/zipkin/health": 200, "/zipkin/api/v2/spans": 405} {
		answer := httptest.NewRecorder()
		newHandler(&receiver{}).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, nil))
		if answer.Code != want {
			t.Errorf("%s: %d", path, answer.Code)
		}
	}
}

func FuzzSpans(f *testing.F) {
	f.Add([]byte(trace))
	f.Add([]byte(`[{"traceId":"1","id":"1","timestamp":1e300,"duration":-5,"tags":{"error":"\ud800","k":null}}]`))
	f.Add([]byte(`[{"traceId":"1","id":"1","annotations":[{"timestamp":9223372036854775807,"value":"\"x\": {\"a\":[1,{}]}"}]}]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r := &receiver{}
		answer := post(newHandler(r), "/api/v2/spans", string(body))
		if answer.Code != 202 && answer.Code != 400 && answer.Code != 413 {
			t.Fatalf("%d %s", answer.Code, answer.Body)
		}
		if r.requests == 0 {
			return
		}
		for _, of := range r.traces.ResourceSpans().All() {
			for _, in := range of.ScopeSpans().All() {
				for _, s := range in.Spans().All() {
					if s.TraceID().IsEmpty() || s.SpanID().IsEmpty() || s.SpanID() == s.ParentSpanID() && s.ParentSpanID().String() != "" && s.Kind() == ptrace.SpanKindServer && bytes.Contains(body, []byte("shared")) {
						t.Fatalf("%v %v %v", s.TraceID(), s.SpanID(), s.ParentSpanID())
					}
				}
			}
		}
	})
}
