package main_test

import (
	"context"
	"encoding/hex"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	colmetricspb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/gantry-platform/gantry/examples/lending/bureau"
	"github.com/gantry-platform/gantry/examples/lending/fund"
	"github.com/gantry-platform/gantry/examples/lending/loan"
	"github.com/gantry-platform/gantry/examples/lending/portal"
	"github.com/gantry-platform/gantry/examples/lending/risk"
	"github.com/gantry-platform/gantry/examples/lending/service"
	"github.com/gantry-platform/gantry/examples/lending/telemetry"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
	"github.com/gantry-platform/gantry/sdk/api/gantry/v1/gantryv1connect"
)

// span is what a receiver got, with its resource.
type span struct {
	*tracepb.Span
	resource map[string]string
	metadata metadata.MD
}

func (s span) attribute(key string) string { return texts(s.Attributes)[key] }

func texts(attributes []*commonpb.KeyValue) map[string]string {
	all := map[string]string{}
	for _, a := range attributes {
		switch v := a.GetValue().GetValue().(type) {
		case *commonpb.AnyValue_StringValue:
			all[a.GetKey()] = v.StringValue
		case nil:
		default:
			all[a.GetKey()] = a.GetValue().String()
		}
	}
	return all
}

// receiver takes OTLP over gRPC, as a collector does.
type receiver struct {
	coltracepb.UnimplementedTraceServiceServer
	address string

	mu      sync.Mutex
	spans   []span
	metrics map[string]string // by name: the service
	changed chan struct{}
}

// metricsOf is the receiver's other service.
type metricsOf struct {
	colmetricspb.UnimplementedMetricsServiceServer
	*receiver
}

func newReceiver(t *testing.T) *receiver {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{address: "http://" + listener.Addr().String(), metrics: map[string]string{}, changed: make(chan struct{})}
	server := grpc.NewServer()
	coltracepb.RegisterTraceServiceServer(server, r)
	colmetricspb.RegisterMetricsServiceServer(server, metricsOf{receiver: r})
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Stop(); <-done })
	return r
}

func (r *receiver) Export(ctx context.Context, request *coltracepb.ExportTraceServiceRequest) (*coltracepb.ExportTraceServiceResponse, error) {
	sent, _ := metadata.FromIncomingContext(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, of := range request.GetResourceSpans() {
		for _, scope := range of.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				r.spans = append(r.spans, span{s, texts(of.GetResource().GetAttributes()), sent})
			}
		}
	}
	close(r.changed)
	r.changed = make(chan struct{})
	return &coltracepb.ExportTraceServiceResponse{}, nil
}

func (m metricsOf) Export(_ context.Context, request *colmetricspb.ExportMetricsServiceRequest) (*colmetricspb.ExportMetricsServiceResponse, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, of := range request.GetResourceMetrics() {
		for _, scope := range of.GetScopeMetrics() {
			for _, metric := range scope.GetMetrics() {
				m.metrics[metric.GetName()] = texts(of.GetResource().GetAttributes())["service.name"]
			}
		}
	}
	return &colmetricspb.ExportMetricsServiceResponse{}, nil
}

// await waits for a span, and answers its whole trace as it is then.
func (r *receiver) await(t *testing.T, what string, good func(trace []span) bool) []span {
	t.Helper()
	limit := time.After(patience / 2)
	for {
		r.mu.Lock()
		changed := r.changed
		traces := map[string][]span{}
		for _, s := range r.spans {
			traces[string(s.TraceId)] = append(traces[string(s.TraceId)], s)
		}
		r.mu.Unlock()
		for _, trace := range traces {
			if good(trace) {
				return trace
			}
		}
		select {
		case <-changed:
		case <-limit:
			var names []string
			for _, s := range r.spans {
				names = append(names, s.resource["service.name"]+" "+s.Name)
			}
			t.Fatalf("no trace with %s among %d: %q", what, len(traces), names)
		}
	}
}

// find is the first span of a service with a name's beginning.
func find(trace []span, service, name string) (span, bool) {
	i := slices.IndexFunc(trace, func(s span) bool { return s.resource["service.name"] == service && strings.HasPrefix(s.Name, name) })
	if i < 0 {
		return span{}, false
	}
	return trace[i], true
}

// joinAll starts the services of the fleet, and a client of the portal.
func joinAll(p *platform) portal.Client {
	for _, m := range []struct {
		name string
		run  func(context.Context, *service.Service) error
	}{{fund.Name, fund.Run}, {bureau.Name, bureau.Run}, {risk.Name, risk.Run}, {loan.Name, loan.Run}, {portal.Name, portal.Run}} {
		p.join(m.name, m.name+"-1", "v1", m.run)
	}
	customers := make(chan *service.Service, 1)
	p.join("customers", "customers-1", "v1", func(ctx context.Context, s *service.Service) error {
		return s.RunWorker(ctx, func(ctx context.Context) error {
			customers <- s
			<-ctx.Done()
			return nil
		})
	})
	return portal.Client{HTTP: (<-customers).HTTP}
}

// grantedCustomer and poorCustomer are two whose loan of 3000 is granted and refused by the defaults.
func customers(t *testing.T) (good, poor string) {
	t.Helper()
	for c := 'a'; good == "" || poor == ""; c++ {
		report, known := bureau.Lookup(string(c))
		switch {
		case known && report.Score > 700 && report.Debt < 2*report.Income:
			good = string(c)
		case known && report.Score < risk.Defaults().MinScore:
			poor = string(c)
		}
	}
	return good, poor
}

func TestTraces(t *testing.T) {
	p, r := newPlatform(t), newReceiver(t)
	p.telemetry = telemetry.Options{Endpoint: r.address, Token: "secret"}
	if err := p.put("Config", "bureau.yaml", "yaml", "{latency: 1ms, jitter: 1ms, error-rate: 0}", nil); err != nil {
		t.Fatal(err)
	}
	client := joinAll(p)
	good, poor := customers(t)
	answer, err := client.Apply(t.Context(), portal.Application{Customer: good, Amount: 3000, Months: 12, Channel: "app"})
	if err != nil || answer.Outcome != portal.Granted {
		t.Fatalf("%+v, %v", answer, err)
	}
	kinds := map[string]tracepb.Span_SpanKind{"portal POST /loans": tracepb.Span_SPAN_KIND_SERVER, "portal lending.v1.LoanService/Apply": tracepb.Span_SPAN_KIND_CLIENT,
		"loan lending.v1.LoanService/Apply": tracepb.Span_SPAN_KIND_SERVER, "risk lending.v1.RiskService/Assess": tracepb.Span_SPAN_KIND_SERVER,
		"risk HTTP GET": tracepb.Span_SPAN_KIND_CLIENT, "risk SET": tracepb.Span_SPAN_KIND_CLIENT, "bureau GET /reports/{customer}": tracepb.Span_SPAN_KIND_SERVER,
		"loan INSERT loans": tracepb.Span_SPAN_KIND_CLIENT, "fund POST /transfers": tracepb.Span_SPAN_KIND_SERVER, "fund INSERT transfers": tracepb.Span_SPAN_KIND_CLIENT,
		"customers HTTP POST": tracepb.Span_SPAN_KIND_CLIENT}
	trace := r.await(t, "every part of a loan", func(trace []span) bool {
		for name := range kinds {
			service, operation, _ := strings.Cut(name, " ")
			if _, found := find(trace, service, operation); !found {
				return false
			}
		}
		return true
	})
	ids := map[string]bool{}
	for _, s := range trace {
		ids[string(s.SpanId)] = true
	}
	for name, kind := range kinds {
		service, operation, _ := strings.Cut(name, " ")
		s, _ := find(trace, service, operation)
		if s.Kind != kind || (len(s.ParentSpanId) == 0) != (service == "customers") || (len(s.ParentSpanId) > 0 && !ids[string(s.ParentSpanId)]) {
			t.Errorf("%s: %v", name, s.Span)
		}
		for key, want := range map[string]string{"service.instance.id": service + "-1", "service.version": "v1", "gantry.lane": "canary", "gantry.release": "2026-11", "gantry.namespace": "default"} {
			if s.resource[key] != want {
				t.Errorf("%s: %s is %q, not %q", name, key, s.resource[key], want)
			}
		}
		if got := s.metadata.Get("gantry-namespace"); !slices.Equal(got, []string{"default"}) || !slices.Equal(s.metadata.Get("authorization"), []string{"Bearer secret"}) {
			t.Errorf("%s came with %v", name, s.metadata)
		}
		if service != "customers" && s.attribute("order.no") != answer.Order {
			t.Errorf("%s: the order is %q, not %q", name, s.attribute("order.no"), answer.Order)
		}
	}
	served, _ := find(trace, "portal", "POST /loans")
	if served.attribute("channel") != "app" || served.attribute("loan.product") != "instant" || served.attribute("customer.grade") != answer.Grade ||
		served.attribute("loan.amount") != "int_value:3000" || served.attribute("gantry.outcome") != "" {
		t.Errorf("the portal says %v", served.Attributes)
	}
	if row, _ := find(trace, "loan", "INSERT"); row.attribute("db.system.name") != "postgresql" || row.attribute("server.address") != "lending-db" {
		t.Errorf("the database: %v", row.Attributes)
	}

	if answer, err = client.Apply(t.Context(), portal.Application{Customer: poor, Amount: 3000, Months: 12}); err != nil || answer.Reason != "low_score" {
		t.Fatalf("%+v, %v", answer, err)
	}
	r.await(t, "a refusal everywhere", func(trace []span) bool {
		for _, service := range []string{"portal", "loan", "risk"} {
			if !slices.ContainsFunc(trace, func(s span) bool {
				return s.resource["service.name"] == service && s.Kind == tracepb.Span_SPAN_KIND_SERVER && s.attribute("gantry.outcome") == "refused" &&
					s.attribute("refusal.reason") == "low_score" && s.GetStatus().GetCode() != tracepb.Status_STATUS_CODE_ERROR
			}) {
				return false
			}
		}
		return true
	})
}

func TestFailureLeavesItsStack(t *testing.T) {
	p, r := newPlatform(t), newReceiver(t)
	p.telemetry = telemetry.Options{Endpoint: r.address}
	if err := p.put("Config", "bureau.yaml", "yaml", "{latency: 1ms, jitter: 1ms, error-rate: 1}", nil); err != nil {
		t.Fatal(err)
	}
	client := joinAll(p)
	if _, err := client.Apply(t.Context(), portal.Application{Customer: "c", Amount: 3000, Months: 12}); err == nil {
		t.Fatal("a loan without a bureau")
	}
	r.await(t, "an exception of the risk service with its stack", func(trace []span) bool {
		return slices.ContainsFunc(trace, func(s span) bool {
			if s.resource["service.name"] != "risk" || s.attribute("gantry.outcome") != "failed" || s.attribute("error.type") != "bureau_unavailable" {
				return false
			}
			return slices.ContainsFunc(s.Events, func(e *tracepb.Span_Event) bool {
				of := texts(e.Attributes)
				return e.Name == "exception" && of["exception.type"] != "" && strings.Contains(of["exception.stacktrace"], "risk.(*server).Assess")
			})
		})
	})
}

func TestMetricsComeAtTheEnd(t *testing.T) {
	r := newReceiver(t)
	tele, err := telemetry.Open(t.Context(), telemetry.Resource{Service: "fund", Namespace: "default"}, telemetry.Options{Endpoint: r.address}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := tele.Close(); err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.metrics["go.memory.used"] != "fund" {
		t.Errorf("the runtime's metrics are not among %v", r.metrics)
	}
}

// An endpoint that is away, or takes connections and never answers, is nobody's problem.
func TestDeadEndpoint(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	silent := listener.Addr().String()
	defer listener.Close()
	for name, endpoint := range map[string]string{"away": "http://127.0.0.1:1", "silent": "http://" + silent} {
		t.Run(name, func(t *testing.T) {
			var log lockedBuffer
			tele, err := telemetry.Open(t.Context(), telemetry.Resource{Service: "fund"}, telemetry.Options{Endpoint: endpoint}, slog.New(slog.NewTextHandler(&log, nil)))
			if err != nil {
				t.Fatal(err)
			}
			handler := tele.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
			// More than the queue holds.
			const requests = 10_000
			began := time.Now()
			for range requests {
				handler.ServeHTTP(&nothing{}, mustRequest(t))
			}
			served := time.Since(began)
			began = time.Now()
			if err := tele.Close(); err != nil {
				t.Error(err)
			}
			// The bound of a stop is 2 s for both; a queue that blocked would take 5 s a batch.
			if closed := time.Since(began); served > 20*time.Second || closed > 20*time.Second {
				t.Errorf("%d requests took %s, and the end %s", requests, served, closed)
			}
			if lines := strings.Count(log.String(), "\n"); lines > 3 {
				t.Errorf("%d lines of complaint:\n%s", lines, log.String())
			}
		})
	}
}

type nothing struct{ header http.Header }

func (n *nothing) Header() http.Header {
	if n.header == nil {
		n.header = http.Header{}
	}
	return n.header
}
func (*nothing) Write(p []byte) (int, error) { return len(p), nil }
func (*nothing) WriteHeader(int)             {}

func mustRequest(t *testing.T) *http.Request {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://fund/", nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What the loan service decides is a business event, joined to its trace.
func TestBusinessEvents(t *testing.T) {
	p, r := newPlatform(t), newReceiver(t)
	p.telemetry = telemetry.Options{Endpoint: r.address}
	client := joinAll(p)
	good, poor := customers(t)
	orders := map[string]string{}
	for topic, customer := range map[string]string{"loan.granted": good, "loan.refused": poor} {
		answer, err := client.Apply(t.Context(), portal.Application{Customer: customer, Amount: 3000, Months: 12})
		if err != nil {
			t.Fatal(err)
		}
		orders[topic] = answer.Order
	}
	httpClient := &http.Client{Transport: &http.Transport{}}
	defer httpClient.CloseIdleConnections()
	events := gantryv1connect.NewEventServiceClient(httpClient, "http://"+p.http)
	for topic, order := range orders {
		for limit := time.Now().Add(patience / 2); ; time.Sleep(20 * time.Millisecond) {
			found, err := events.Query(t.Context(), &gantryv1.QueryEventsRequest{Topic: topic, Service: "loan", Fields: map[string]string{"order": order, "amount": "3000"}})
			if err != nil {
				t.Fatal(err)
			}
			if len(found.GetEvents()) == 1 {
				e := found.GetEvents()[0]
				trace := r.await(t, "the order", func(trace []span) bool {
					return slices.ContainsFunc(trace, func(s span) bool { return s.attribute("order.no") == order && s.resource["service.name"] == "loan" })
				})
				if want := hex.EncodeToString(trace[0].TraceId); e.GetTraceId() != want || (e.GetOutcome() == gantryv1.EventOutcome_EVENT_OUTCOME_REFUSED) != (topic == "loan.refused") {
					t.Errorf("%v is not of trace %s", e, want)
				}
				break
			}
			if time.Now().After(limit) {
				t.Fatalf("%s of %s: %v", topic, order, found)
			}
		}
	}
}
