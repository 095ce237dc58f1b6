package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/encoding/protodelim"

	"github.com/gantry-platform/gantry/internal/state/statetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, statetest.LeakOptions()...) }

func TestRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "spans.otlp")
	var out, errOut strings.Builder
	if code := run(t.Context(), []string{"-out", path, "-spans", "600", "-rate", "50"}, &out, &errOut); code != 0 {
		t.Fatalf("%d: %s", code, errOut.String())
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	reader := bufio.NewReader(file)
	spans, services, traces := 0, map[string]int{}, map[string]int{}
	for {
		var request coltracepb.ExportTraceServiceRequest
		if err := protodelim.UnmarshalFrom(reader, &request); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		for _, resource := range request.GetResourceSpans() {
			for _, a := range resource.GetResource().GetAttributes() {
				if a.GetKey() == "service.name" {
					services[a.GetValue().GetStringValue()]++
				}
			}
			for _, scope := range resource.GetScopeSpans() {
				for _, s := range scope.GetSpans() {
					spans++
					traces[string(s.GetTraceId())]++
				}
			}
		}
	}
	if spans < 600 || len(services) != 6 || len(traces) < 20 || len(traces) > spans/5 {
		t.Errorf("%d spans of %d traces and of %v", spans, len(traces), services)
	}
}

func TestRecordIsWholeOrNotThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "spans.otlp")
	var out, errOut strings.Builder
	if code := run(context.Background(), []string{"-out", path, "-spans", "1000000", "-limit", "3s"}, &out, &errOut); code != 1 || !strings.Contains(errOut.String(), "only") {
		t.Errorf("%d: %s", code, errOut.String())
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
	for _, args := range [][]string{nil, {"-out", path, "-spans", "0"}, {"-out", path, "-rate", "0"}, {"-out", path, "more"}} {
		if code := run(context.Background(), args, &out, &errOut); code != 2 {
			t.Errorf("%v: %d", args, code)
		}
	}
}
