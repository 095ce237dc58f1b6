package server_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	model "github.com/jaegertracing/jaeger-idl/model/v1"
	"github.com/jaegertracing/jaeger-idl/proto-gen/api_v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/gantry-platform/gantry/internal/server"
)

// gogo is the codec of Jaeger's own clients.
type gogo struct{}

func (gogo) Name() string { return "proto" }
func (gogo) Marshal(v any) ([]byte, error) {
	return v.(interface{ Marshal() ([]byte, error) }).Marshal()
}
func (gogo) Unmarshal(data []byte, v any) error {
	return v.(interface{ Unmarshal([]byte) error }).Unmarshal(data)
}

func get(t *testing.T, s *server.Server, path string) (int, string) {
	t.Helper()
	response, err := http.Get("http://" + s.HTTPAddress() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(answer)
}

func TestZipkinsSpansAreFoundByJaegersAPI(t *testing.T) {
	s := start(t, nil)
	at := time.Now().Add(-time.Minute).UnixMicro()
	spans := fmt.Sprintf(`[{"traceId":"abc","id":"1","name":"get","kind":"CLIENT","timestamp":%d,"duration":9000,"localEndpoint":{"serviceName":"shop"},"tags":{"http.method":"GET"}},
		{"traceId":"abc","id":"1","name":"get /loans/{id}","kind":"SERVER","shared":true,"timestamp":%d,"duration":7000,"localEndpoint":{"serviceName":"loan"},"tags":{"error":"no answer"}}]`, at, at+1000)
	for _, path := range []string{"/api/v2/spans", "/zipkin/api/v2/spans"} { // the second time it is a repetition
		response, err := http.Post("http://"+s.HTTPAddress()+path, "application/json", strings.NewReader(spans))
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusAccepted {
			t.Fatalf("%s: %d", path, response.StatusCode)
		}
	}
	for path, words := range map[string][]string{
		"/jaeger/api/services":                                              {`"loan"`, `"shop"`},
		"/jaeger/api/services/loan/operations":                              {`["get /loans/{id}"]`},
		"/jaeger/api/traces/abc":                                            {`"operationName":"get /loans/{id}"`, `{"refType":"CHILD_OF","traceID":"0000000000000abc","spanID":"0000000000000001"}`, `"serviceName":"loan"`},
		"/jaeger/api/traces?service=loan&tags=%7B%22error%22:%22true%22%7D": {`"total":1`, `"serviceName":"shop"`},
		"/jaeger/api/dependencies?lookback=60000":                           {`{"parent":"shop","child":"loan","callCount":1}`},
	} {
		status, answer := get(t, s, path)
		for _, word := range words {
			if status != 200 || !strings.Contains(answer, word) {
				t.Errorf("%s: %d, no %s in %s", path, status, word, answer)
			}
		}
	}
	connection, err := grpc.NewClient(s.GRPCAddress(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodec(gogo{})))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	stream, err := api_v2.NewQueryServiceClient(connection).GetTrace(t.Context(), &api_v2.GetTraceRequest{TraceID: model.NewTraceID(0, 0xabc)})
	if err != nil {
		t.Fatal(err)
	}
	chunk, err := stream.Recv()
	if err != nil || len(chunk.Spans) < 2 {
		t.Errorf("%v, %v", chunk, err)
	}
}
