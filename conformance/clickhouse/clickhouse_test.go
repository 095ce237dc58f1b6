// Package clickhouse_test runs the store of traces on ClickHouse against the real engine: chdb is ClickHouse as a Python library, and engine/serve.py
// gives it the part of ClickHouse's HTTP interface that is needed.
package clickhouse_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/conformance/harness"
)

// engine is a running ClickHouse.
type engine struct {
	t       testing.TB
	address string
	start   func()
	process *harness.Process
}

func newEngine(t testing.TB) *engine {
	t.Helper()
	interpreter := harness.Python(t, "engine")
	script, err := filepath.Abs(filepath.Join("engine", "serve.py"))
	if err != nil {
		t.Fatal(err)
	}
	data := t.TempDir()
	e := &engine{t: t, address: harness.FreeAddress(t)}
	e.start = func() {
		e.process = harness.Run(t, interpreter, script, e.address, data)
		harness.Eventually(t, time.Minute, "the engine answers", func() error {
			response, err := http.Get("http://" + e.address + "/ping")
			if err != nil {
				return err
			}
			return response.Body.Close()
		})
	}
	e.start()
	return e
}

// ask runs a statement with a login.
func (e *engine) ask(user, password, statement string) string {
	e.t.Helper()
	r, err := http.NewRequest(http.MethodPost, "http://"+e.address+"/", strings.NewReader(statement))
	if err != nil {
		e.t.Fatal(err)
	}
	r.Header.Set("X-ClickHouse-User", user)
	r.Header.Set("X-ClickHouse-Key", password)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		e.t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		e.t.Fatalf("%s: %s %v %s", statement, response.Status, err, answer)
	}
	return strings.TrimSpace(string(answer))
}

// The tests of the room itself, which are skipped where there is no engine.
func TestStore(t *testing.T) {
	e := newEngine(t)
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, "go", "test", "-count=1", "-v", "./internal/signal/clickhouse")
	command.Dir = filepath.Join("..", "..")
	command.Env = append(os.Environ(), "GOWORK=off", "GANTRY_TEST_CLICKHOUSE=http://"+e.address)
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	command.WaitDelay = 5 * time.Second
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	if text := string(output); strings.Contains(text, "--- SKIP") || !strings.Contains(text, "--- PASS: TestSearchFindsWhatThereIs") {
		t.Errorf("tests were skipped:\n%s", text)
	}
}

// send sends one trace of a server span and its child, by OTLP's JSON, and returns the status.
func send(s *harness.Server, token string, n int, at time.Time) (int, error) {
	attribute := func(key, kind string, value any) map[string]any {
		return map[string]any{"key": key, "value": map[string]any{kind: value}}
	}
	span := func(id, parent, name string, kind int, attributes ...any) map[string]any {
		return map[string]any{"traceId": traceID(n), "spanId": id, "parentSpanId": parent, "name": name, "kind": kind, "startTimeUnixNano": fmt.Sprint(at.UnixNano()),
			"endTimeUnixNano": fmt.Sprint(at.Add(50 * time.Millisecond).UnixNano()), "attributes": attributes}
	}
	body, err := json.Marshal(map[string]any{"resourceSpans": []any{map[string]any{
		"resource": map[string]any{"attributes": []any{attribute("service.name", "stringValue", "loan"), attribute("service.instance.id", "stringValue", "loan-1")}},
		"scopeSpans": []any{map[string]any{"spans": []any{
			span("00000000000000a1", "", "POST /loans", 2, attribute("order.no", "stringValue", fmt.Sprintf("L'%d\\", n)), attribute("http.response.status_code", "intValue", "200"), attribute("ratio", "doubleValue", 0.5)),
			span("00000000000000a2", "00000000000000a1", "SELECT", 3, attribute("db.system.name", "stringValue", "postgresql"))}}}}}})
	if err != nil {
		return 0, err
	}
	r, err := http.NewRequest(http.MethodPost, "http://"+s.OTLPHTTP+"/v1/traces", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, err
}

func traceID(n int) string { return fmt.Sprintf("0000000000000000000000000000%04x", n+1) }

func mustSend(t *testing.T, s *harness.Server, token string, n int, at time.Time) {
	t.Helper()
	harness.Eventually(t, 30*time.Second, "spans are taken", func() error {
		status, err := send(s, token, n, at)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("the answer is %d", status)
		}
		return err
	})
}

type summaries struct {
	Traces []struct {
		TraceID, RootService, RootName string
		Complete                       bool
		Spans                          int
	}
	Partial []string
}

func order(n int) map[string]any {
	return map[string]any{"attributes": map[string]string{"order.no": fmt.Sprintf("L'%d\\", n), "http.response.status_code": "200"}}
}

// checkOrder finds a trace by its order and reads it.
func checkOrder(t *testing.T, s *harness.Server, n int) {
	t.Helper()
	var found summaries
	s.Call("TraceService/SearchTraces", order(n), &found)
	if len(found.Traces) != 1 || len(found.Partial) != 0 || found.Traces[0].TraceID != traceID(n) || found.Traces[0].Spans != 2 || found.Traces[0].RootName != "POST /loans" {
		t.Fatalf("order %d is %+v", n, found)
	}
	var got struct {
		Spans []struct {
			SpanID, Service string
			Attributes      []struct {
				Key, Text, Integer string
				Number             float64
			}
		}
	}
	s.Call("TraceService/GetTrace", map[string]any{"traceId": traceID(n)}, &got)
	if len(got.Spans) != 2 || got.Spans[0].Service != "loan" || got.Spans[0].Attributes[1].Integer != "200" || got.Spans[0].Attributes[2].Number != 0.5 {
		t.Fatalf("trace %d is %+v", n, got)
	}
}

// The whole server, by settings: nothing of traces on its own disk, an engine that is away and comes back with all that was acknowledged, and a second
// server that sees the same.
func TestServer(t *testing.T) {
	const password = "correct-horse"
	t.Setenv("ENGINE_USER", "gantry")
	t.Setenv("ENGINE_PASSWORD", password)
	t.Setenv("GANTRY_CLICKHOUSE_PASSWORD", password)
	e := newEngine(t)
	e.ask("gantry", password, "CREATE DATABASE traces")
	flags := []string{"--clickhouse-url", "http://" + e.address + "/traces", "--clickhouse-user", "gantry", "--traces-retention", "72h"}
	s := harness.Start(t, flags...)
	token := s.Token("default", "ROLE_SERVICE")
	now := time.Now()
	for n := range 5 {
		mustSend(t, s, token, n, now.Add(time.Duration(n)*time.Millisecond))
		checkOrder(t, s, n)
	}
	if _, err := os.Stat(filepath.Join(s.Data, "signals", "traces")); !os.IsNotExist(err) {
		t.Errorf("there are traces on the node's own disk: %v", err)
	}
	if made := e.ask("gantry", password, "SHOW CREATE TABLE traces.gantry_spans"); !strings.Contains(made, "TTL arrived + toIntervalSecond(259200)") {
		t.Errorf("the retention is not in the table: %s", made)
	}
	var names struct{ Names []string }
	s.Call("TraceService/ListTraceNames", map[string]any{}, &names)
	if strings.Join(names.Names, " ") != "loan" {
		t.Errorf("services are %v", names)
	}

	e.process.Signal(syscall.SIGKILL)
	e.process.Wait()
	if status, err := send(s, token, 6, now); err != nil || status != http.StatusServiceUnavailable {
		t.Errorf("while the engine is away a sender gets %d, %v", status, err)
	}
	e.start()
	mustSend(t, s, token, 6, now)
	for _, n := range []int{0, 1, 2, 3, 4, 6} {
		checkOrder(t, s, n)
	}

	second := harness.Start(t, flags...)
	harness.Eventually(t, 30*time.Second, "the second server knows the tables", func() error {
		status, err := send(second, second.Token("default", "ROLE_SERVICE"), 7, now)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("the answer is %d", status)
		}
		return err
	})
	checkOrder(t, second, 3)
	checkOrder(t, s, 7)
}
