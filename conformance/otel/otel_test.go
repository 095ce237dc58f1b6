// Package otel_test has OpenTelemetry's SDKs for Go, Java, Python and Node, and the Java agent, send to a live server by each protocol that they speak,
// and asks the server what it got.
package otel_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/metric"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/gantry-platform/gantry/conformance/harness"
)

// patience bounds every wait for what must arrive.
const patience = 30 * time.Second

// target is a server and a token with which services send.
type target struct {
	*harness.Server
	token string
}

func newTarget(t *testing.T) target {
	s := harness.Start(t)
	return target{s, s.Token("default", "ROLE_SERVICE")}
}

// endpoint is where a protocol goes.
func (s target) endpoint(protocol string) string {
	if protocol == "grpc" {
		return "http://" + s.OTLPGRPC
	}
	return "http://" + s.OTLPHTTP
}

// environment is OpenTelemetry's, as an operator sets it for any language.
func (s target) environment(service, protocol string) []string {
	return append(os.Environ(), "OTEL_EXPORTER_OTLP_ENDPOINT="+s.endpoint(protocol), "OTEL_EXPORTER_OTLP_PROTOCOL="+protocol, "OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20"+s.token,
		"OTEL_SERVICE_NAME="+service, "OTEL_RESOURCE_ATTRIBUTES=service.instance.id="+service+"-1,service.version=v1", "OTEL_EXPORTER_OTLP_INSECURE=true",
		"OTEL_TRACES_EXPORTER=otlp", "OTEL_METRICS_EXPORTER=otlp", "OTEL_LOGS_EXPORTER=otlp")
}

type gotSpan struct {
	TraceID, SpanID, ParentSpanID, Name, Kind, Outcome, Service, Instance, Version string
	Attributes                                                                     []struct{ Key, Text, Integer string }
	Events                                                                         []struct{ Name string }
}

func (g gotSpan) attribute(key string) string {
	for _, a := range g.Attributes {
		if a.Key == key {
			return a.Text + a.Integer
		}
	}
	return ""
}

// verify asks for what a client has sent: its trace, its counter and its logged error.
func (s target) verify(t *testing.T, service, traceID, order string) {
	t.Helper()
	var spans []gotSpan
	harness.Eventually(t, patience, "the trace is there", func() error {
		var answer struct{ Spans []gotSpan }
		s.Call("TraceService/GetTrace", map[string]any{"traceId": traceID}, &answer)
		if spans = answer.Spans; len(spans) != 2 {
			return fmt.Errorf("%d spans", len(spans))
		}
		return nil
	})
	server, client := spans[0], spans[1]
	if server.Kind != "server" {
		server, client = client, server
	}
	if server.Name != "POST /loans" || server.Kind != "server" || server.Outcome != "failed" || server.ParentSpanID != "" || server.Service != service || server.Instance != service+"-1" ||
		server.Version != "v1" || server.attribute("order.no") != order || server.attribute("http.response.status_code") != "500" || len(server.Events) != 1 || server.Events[0].Name != "exception" {
		t.Errorf("the server's span: %+v", server)
	}
	if client.Name != "SELECT loans" || client.Kind != "client" || client.ParentSpanID != server.SpanID || client.attribute("db.system.name") != "postgresql" {
		t.Errorf("the client's span: %+v", client)
	}
	var found struct{ Traces []struct{ TraceID string } }
	s.Call("TraceService/SearchTraces", map[string]any{"service": service, "attributes": map[string]string{"order.no": order}}, &found)
	if len(found.Traces) != 1 || found.Traces[0].TraceID != traceID {
		t.Errorf("the search for the order: %+v", found)
	}
	harness.Eventually(t, patience, "the counter is there", func() error {
		// By whichever name its language gives it, the unit and _total included.
		value, err := s.query(`sum({__name__=~"conformance_requests.*",order_no="` + order + `"})`)
		if err == nil && value != "3" {
			err = fmt.Errorf("it is %q", value)
		}
		return err
	})
	harness.Eventually(t, patience, "the logged error is ranked", func() error {
		var answer struct {
			Errors []struct{ Code, Message, TraceID string }
		}
		s.Call("TopologyService/RankErrors", map[string]any{"service": service}, &answer)
		for _, e := range answer.Errors {
			if e.Code == "payment_failed" && strings.Contains(e.Message, "the loan cannot be paid") && e.TraceID == traceID {
				return nil
			}
		}
		return fmt.Errorf("there are %+v", answer.Errors)
	})
}

// query asks the Prometheus API for one value.
func (s target) query(expression string) (string, error) {
	request, err := http.NewRequest(http.MethodGet, "http://"+s.HTTP+"/prometheus/api/v1/query?query="+url.QueryEscape(expression), nil)
	if err != nil {
		return "", err
	}
	request.Header.Set("Authorization", "Bearer "+s.AdminToken)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	var answer struct {
		Data struct{ Result []struct{ Value []any } }
	}
	if err := json.Unmarshal(body, &answer); err != nil || response.StatusCode != http.StatusOK || len(answer.Data.Result) != 1 {
		return "", fmt.Errorf("%s: %.300s", response.Status, body)
	}
	return fmt.Sprint(answer.Data.Result[0].Value[1]), nil
}

// run runs a client to its end, and answers the id of the trace that it prints.
func (s target) run(t *testing.T, environment []string, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, name, args...)
	command.Env = environment
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", filepath.Base(name), err, output)
	}
	for line := range strings.Lines(string(output)) {
		if id, found := strings.CutPrefix(strings.TrimSpace(line), "trace "); found {
			return id
		}
	}
	t.Fatalf("%s printed no trace:\n%s", filepath.Base(name), output)
	return ""
}

func TestJava(t *testing.T) {
	harness.Maven(t, "java")
	s := newTarget(t)
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		t.Run(protocol, func(t *testing.T) {
			service, order := "java-"+strings.ReplaceAll(protocol, "/", "-"), "o-java-"+protocol
			id := s.run(t, s.environment(service, protocol), "java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp",
				filepath.Join("java", "target", "client.jar")+":"+filepath.Join("java", "target", "lib", "*"), "gantry.Client", order)
			s.verify(t, service, id, order)
		})
	}
}

// A program that knows nothing of OpenTelemetry, under the agent.
func TestJavaAgent(t *testing.T) {
	harness.Maven(t, "java")
	s := newTarget(t)
	agents, err := filepath.Glob(filepath.Join("java", "target", "lib", "opentelemetry-javaagent-*.jar"))
	if err != nil || len(agents) != 1 {
		t.Fatalf("%q, %v", agents, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, "java", "-Xmx256m", "-javaagent:"+agents[0], "-cp", filepath.Join("java", "target", "client.jar"), "gantry.Plain")
	command.Env = append(s.environment("plain", "http/protobuf"), "OTEL_METRIC_EXPORT_INTERVAL=500")
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	harness.Eventually(t, patience, "a call and its other side are one trace", func() error {
		var found struct{ Traces []struct{ TraceID string } }
		s.Call("TraceService/SearchTraces", map[string]any{"service": "plain"}, &found)
		for _, each := range found.Traces {
			var answer struct{ Spans []gotSpan }
			s.Call("TraceService/GetTrace", map[string]any{"traceId": each.TraceID}, &answer)
			kinds := map[string]gotSpan{}
			for _, span := range answer.Spans {
				kinds[span.Kind] = span
			}
			if server, client := kinds["server"], kinds["client"]; server.SpanID != "" && server.ParentSpanID == client.SpanID && server.Outcome == "success" {
				return nil
			}
		}
		return fmt.Errorf("%d traces without both", len(found.Traces))
	})
	harness.Eventually(t, patience, "the runtime's figures are there", func() error {
		_, err := s.query(`count({__name__=~"jvm_memory_used.*"})`)
		return err
	})
}

func TestPython(t *testing.T) {
	interpreter := harness.Python(t, "python")
	s := newTarget(t)
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		t.Run(protocol, func(t *testing.T) {
			service, order := "python-"+strings.ReplaceAll(protocol, "/", "-"), "o-python-"+protocol
			id := s.run(t, s.environment(service, protocol), interpreter, filepath.Join("python", "client.py"), protocol, order)
			s.verify(t, service, id, order)
		})
	}
}

func TestNode(t *testing.T) {
	harness.Node(t, "node")
	s := newTarget(t)
	for _, protocol := range []string{"grpc", "http/protobuf", "http/json"} {
		t.Run(protocol, func(t *testing.T) {
			service, order := "node-"+strings.ReplaceAll(protocol, "/", "-"), "o-node-"+protocol
			id := s.run(t, s.environment(service, protocol), "node", filepath.Join("node", "client.js"), protocol, order)
			s.verify(t, service, id, order)
		})
	}
}

// exporters are those of Go for a protocol.
func (s target) exporters(ctx context.Context, protocol string) (sdktrace.SpanExporter, sdkmetric.Exporter, sdklog.Exporter, error) {
	headers := map[string]string{"authorization": "Bearer " + s.token}
	if protocol == "grpc" {
		spans, err := otlptracegrpc.New(ctx, otlptracegrpc.WithEndpointURL(s.endpoint(protocol)), otlptracegrpc.WithHeaders(headers))
		metrics, err2 := otlpmetricgrpc.New(ctx, otlpmetricgrpc.WithEndpointURL(s.endpoint(protocol)), otlpmetricgrpc.WithHeaders(headers))
		logs, err3 := otlploggrpc.New(ctx, otlploggrpc.WithEndpointURL(s.endpoint(protocol)), otlploggrpc.WithHeaders(headers))
		return spans, metrics, logs, errors.Join(err, err2, err3)
	}
	spans, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(s.endpoint(protocol)+"/v1/traces"), otlptracehttp.WithHeaders(headers), otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
	metrics, err2 := otlpmetrichttp.New(ctx, otlpmetrichttp.WithEndpointURL(s.endpoint(protocol)+"/v1/metrics"), otlpmetrichttp.WithHeaders(headers))
	logs, err3 := otlploghttp.New(ctx, otlploghttp.WithEndpointURL(s.endpoint(protocol)+"/v1/logs"), otlploghttp.WithHeaders(headers))
	return spans, metrics, logs, errors.Join(err, err2, err3)
}

func TestGo(t *testing.T) {
	s := newTarget(t)
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		t.Run(protocol, func(t *testing.T) {
			service, order := "go-"+strings.ReplaceAll(protocol, "/", "-"), "o-go-"+protocol
			ctx := t.Context()
			spans, metrics, logs, err := s.exporters(ctx, protocol)
			if err != nil {
				t.Fatal(err)
			}
			of := resource.NewSchemaless(attribute.String("service.name", service), attribute.String("service.instance.id", service+"-1"), attribute.String("service.version", "v1"))
			tracers := sdktrace.NewTracerProvider(sdktrace.WithResource(of), sdktrace.WithBatcher(spans))
			meters := sdkmetric.NewMeterProvider(sdkmetric.WithResource(of), sdkmetric.WithReader(sdkmetric.NewPeriodicReader(metrics)))
			loggers := sdklog.NewLoggerProvider(sdklog.WithResource(of), sdklog.WithProcessor(sdklog.NewBatchProcessor(logs)))
			tracer := tracers.Tracer("conformance")
			within, span := tracer.Start(ctx, "POST /loans", trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attribute.String("order.no", order), attribute.Int("http.response.status_code", 500)))
			_, child := tracer.Start(within, "SELECT loans", trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attribute.String("db.system.name", "postgresql")))
			child.End()
			span.RecordError(errors.New("no such loan"))
			span.SetStatus(codes.Error, "no such loan")
			var record log.Record
			record.SetSeverity(log.SeverityError)
			record.SetBody(attribute.StringValue("the loan cannot be paid"))
			record.AddAttributes(attribute.String("error.type", "payment_failed"))
			loggers.Logger("conformance").Emit(within, record)
			span.End()
			counter, err := meters.Meter("conformance").Int64Counter("conformance.requests")
			if err != nil {
				t.Fatal(err)
			}
			counter.Add(ctx, 3, metric.WithAttributes(attribute.String("order.no", order)))
			if err := errors.Join(tracers.Shutdown(ctx), meters.Shutdown(ctx), loggers.Shutdown(ctx)); err != nil {
				t.Fatal(err)
			}
			s.verify(t, service, span.SpanContext().TraceID().String(), order)
		})
	}
}

// TestGoDelta sends several exports of delta temporality, as OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE asks for: what is asked for is the total. What goes up and
// down stays cumulative by the SDK's own rule.
func TestGoDelta(t *testing.T) {
	s := newTarget(t)
	for _, preference := range []string{"delta", "lowmemory"} {
		t.Run(preference, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", preference)
			ctx, order := t.Context(), "o-"+preference
			_, exporter, _, err := s.exporters(ctx, "grpc")
			if err != nil {
				t.Fatal(err)
			}
			of := resource.NewSchemaless(attribute.String("service.name", "go-"+preference), attribute.String("service.instance.id", "i-1"))
			exponential := sdkmetric.NewView(sdkmetric.Instrument{Name: "conformance.size"}, sdkmetric.Stream{Aggregation: sdkmetric.AggregationBase2ExponentialHistogram{MaxSize: 160, MaxScale: 20}})
			provider := sdkmetric.NewMeterProvider(sdkmetric.WithResource(of), sdkmetric.WithReader(sdkmetric.NewPeriodicReader(exporter)), sdkmetric.WithView(exponential))
			meter := provider.Meter("conformance")
			counter, err1 := meter.Int64Counter("conformance.requests")
			level, err2 := meter.Int64UpDownCounter("conformance.level")
			duration, err3 := meter.Float64Histogram("conformance.duration", metric.WithUnit("s"))
			size, err4 := meter.Float64Histogram("conformance.size")
			if err := errors.Join(err1, err2, err3, err4); err != nil {
				t.Fatal(err)
			}
			of1 := metric.WithAttributes(attribute.String("order.no", order))
			for i := range 4 {
				counter.Add(ctx, int64(i+1), of1)
				level.Add(ctx, 2, of1)
				duration.Record(ctx, 0.2, of1)
				size.Record(ctx, float64(int(1)<<i), of1)
				if err := provider.ForceFlush(ctx); err != nil { // what is refused in part is an error here
					t.Fatal(err)
				}
				nextMillisecond()
			}
			if err := provider.Shutdown(ctx); err != nil {
				t.Fatal(err)
			}
			for expression, want := range map[string]string{"sum(conformance_requests_total{%s})": "10", "sum(conformance_level{%s})": "8", "sum(conformance_duration_seconds_count{%s})": "4",
				"histogram_count(sum(conformance_size{%s}))": "4", "histogram_sum(sum(conformance_size{%s}))": "15"} {
				expression = fmt.Sprintf(expression, `order_no="`+order+`"`)
				harness.Eventually(t, patience, expression, func() error {
					value, err := s.query(expression)
					if err == nil && value != want {
						err = fmt.Errorf("it is %s, want %s", value, want)
					}
					return err
				})
			}
		})
	}
}

// nextMillisecond returns when the clock shows one: two values of a series at the same millisecond are a contradiction, which Prometheus refuses.
func nextMillisecond() {
	for now := time.Now().UnixMilli(); time.Now().UnixMilli() == now; {
		time.Sleep(100 * time.Microsecond)
	}
}

// A token that may not send is refused in a way that the SDK says.
func TestRefusedToken(t *testing.T) {
	s := newTarget(t)
	s.token = s.Token("default", "ROLE_VIEWER")
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		spans, _, _, err := s.exporters(t.Context(), protocol)
		if err != nil {
			t.Fatal(err)
		}
		provider := sdktrace.NewTracerProvider()
		_, span := provider.Tracer("t").Start(t.Context(), "s")
		span.End()
		err = spans.ExportSpans(t.Context(), []sdktrace.ReadOnlySpan{span.(sdktrace.ReadOnlySpan)})
		if err == nil || !strings.Contains(err.Error(), "PermissionDenied") && !strings.Contains(err.Error(), "403") {
			t.Errorf("%s: %v", protocol, err)
		}
		if err := spans.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
