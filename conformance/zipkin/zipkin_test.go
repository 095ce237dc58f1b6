// Package zipkin_test has Zipkin's own tracer for Go report to a live server, and asks the server what it got.
package zipkin_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/openzipkin/zipkin-go"
	zipkinhttp "github.com/openzipkin/zipkin-go/middleware/http"
	"github.com/openzipkin/zipkin-go/reporter"
	reporterhttp "github.com/openzipkin/zipkin-go/reporter/http"

	"github.com/gantry-platform/gantry/conformance/harness"
)

// authorized adds the token to what the reporter sends.
type authorized struct{ token string }

func (a authorized) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+a.token)
	return http.DefaultTransport.RoundTrip(r)
}

func tracer(t *testing.T, to reporter.Reporter, service string) *zipkin.Tracer {
	t.Helper()
	endpoint, err := zipkin.NewEndpoint(service, "127.0.0.1:8080")
	if err != nil {
		t.Fatal(err)
	}
	made, err := zipkin.NewTracer(to, zipkin.WithLocalEndpoint(endpoint), zipkin.WithTraceID128Bit(true), zipkin.WithSharedSpans(false))
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestReporter(t *testing.T) {
	s := harness.Start(t)
	to := reporterhttp.NewReporter("http://"+s.HTTP+"/api/v2/spans", reporterhttp.Client(&http.Client{Transport: authorized{s.Token("default", "ROLE_SERVICE")}}),
		reporterhttp.BatchInterval(50*time.Millisecond), reporterhttp.Logger(log.New(io.Discard, "", 0)))
	defer to.Close()
	portal, loan := tracer(t, to, "portal"), tracer(t, to, "loan")
	served := httptest.NewServer(zipkinhttp.NewServerMiddleware(loan, zipkinhttp.SpanName("post /loans"))(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		zipkin.SpanFromContext(r.Context()).Tag("order.no", "o-zipkin")
		w.WriteHeader(http.StatusServiceUnavailable)
	})))
	defer served.Close()
	client, err := zipkinhttp.NewClient(portal, zipkinhttp.ClientTrace(false))
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, served.URL+"/loans", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.DoWithAppSpan(request, "apply")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()

	type gotSpan struct{ SpanID, ParentSpanID, Name, Kind, Service, Outcome string }
	var spans map[string]gotSpan
	harness.Eventually(t, 30*time.Second, "the trace is there", func() error {
		var found struct{ Traces []struct{ TraceID string } }
		s.Call("TraceService/SearchTraces", map[string]any{"service": "loan", "attributes": map[string]string{"order.no": "o-zipkin"}}, &found)
		if len(found.Traces) != 1 {
			return fmt.Errorf("%d traces", len(found.Traces))
		}
		var answer struct{ Spans []gotSpan }
		s.Call("TraceService/GetTrace", map[string]any{"traceId": found.Traces[0].TraceID}, &answer)
		spans = map[string]gotSpan{}
		for _, span := range answer.Spans {
			spans[span.Service+" "+span.Kind] = span
		}
		if spans["loan server"].SpanID == "" || spans["portal client"].SpanID == "" {
			return fmt.Errorf("the spans are %v", spans)
		}
		return nil
	})
	server, caller := spans["loan server"], spans["portal client"]
	if server.ParentSpanID != caller.SpanID || server.Name != "post /loans" || server.Outcome != "failed" || caller.Outcome != "failed" {
		t.Errorf("%+v is not called by %+v", server, caller)
	}
	harness.Eventually(t, 30*time.Second, "the call is an edge of the topology", func() error {
		var answer struct {
			Edges []struct{ Caller, Callee string }
		}
		s.Call("TopologyService/Topology", map[string]any{}, &answer)
		for _, edge := range answer.Edges {
			if edge.Caller == "portal" && edge.Callee == "loan" {
				return nil
			}
		}
		return fmt.Errorf("the edges are %v", answer.Edges)
	})
}
