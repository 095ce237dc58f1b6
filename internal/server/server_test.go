package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/internal/server"
)

// start runs a node for the test with these settings over the ones of development.
func start(t testing.TB, env map[string]string) *server.Server {
	t.Helper()
	full := map[string]string{"GANTRY_DEV": "true", "GANTRY_HTTP_LISTEN": "127.0.0.1:0", "GANTRY_GRPC_LISTEN": "127.0.0.1:0",
		"GANTRY_MINIMUM_FREE": "1", "GANTRY_NAME": "n1"}
	for name, value := range env {
		full[name] = value
	}
	settings, err := server.Load("", func(name string) string { return full[name] }, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var log bytes.Buffer
	s, err := server.Start(ctx, settings, server.Options{Version: "test", Log: &log})
	if err != nil {
		t.Fatalf("start: %v\n%s", err, log.String())
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		s.Shutdown(ctx)
	})
	return s
}

func call(t *testing.T, s *server.Server, method, body string, headers ...string) (int, string) {
	t.Helper()
	request, err := http.NewRequest(http.MethodPost, "http://"+s.HTTPAddress()+"/gantry.v1."+method, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
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
	// The library puts spaces into its JSON, here or there by the build, so that nobody relies on how it looks.
	var compact bytes.Buffer
	if json.Compact(&compact, answer) == nil {
		answer = compact.Bytes()
	}
	return response.StatusCode, string(answer)
}

func TestRegisterAndLookUpByJSON(t *testing.T) {
	s := start(t, nil)
	status, answer := call(t, s, "InstanceService/Register", `{"service":{"service":"loan"},"instance":{"address":"10.0.0.1","port":8080,"labels":{"version":"v1"}}}`)
	if status != 200 || !strings.Contains(answer, `"id":"10.0.0.1:8080"`) {
		t.Fatalf("register: %d %s", status, answer)
	}
	status, answer = call(t, s, "InstanceService/Lookup", `{"service":{"service":"loan"}}`)
	if status != 200 || !strings.Contains(answer, `"address":"10.0.0.1"`) || !strings.Contains(answer, `"full":true`) {
		t.Fatalf("look up: %d %s", status, answer)
	}
	status, answer = call(t, s, "InstanceService/Lookup", `{"service":{"service":"nobody"}}`)
	if status != 404 || !strings.Contains(answer, "service.unknown") && !strings.Contains(answer, "no service") {
		t.Fatalf("look up of an unknown service: %d %s", status, answer)
	}
}
