// Record runs the sample fleet in one process, with a server beside it, and writes the spans that it sends to a file: real traces of services
// that call each other, to measure with.
//
//	record -out spans.otlp -spans 20000
//
// The file is a sequence of OTLP's ExportTraceServiceRequest in protobuf (opentelemetry.proto.collector.trace.v1), as the exporters of the eleven
// instances would have sent them, in that order: up to 512 spans of one resource each. Before each one stands its length in bytes, as a varint; that is what
// google.golang.org/protobuf/encoding/protodelim reads. There is nothing else in it: no header, no checksum.
//
// The traces are whole but for those that were under way at the end.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protodelim"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program: 0 for done, 1 for failed, 2 for wrong usage.
func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	flags := flag.NewFlagSet("record", flag.ContinueOnError)
	flags.SetOutput(errOut)
	path := flags.String("out", "", "the `file` to write; it is replaced when the recording is whole")
	spans := flags.Int("spans", 20_000, "stop after so many `spans`")
	rate := flags.Float64("rate", 200, "applications for loans a `second`, from 1 to 1000")
	limit := flags.Duration("limit", 2*time.Minute, "fail when there are too few after this `time`")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case *path == "" || *spans < 1 || !(*rate >= 1 && *rate <= 1000) || *limit <= 0 || flags.NArg() > 0:
		flags.Usage()
		return 2
	}
	began := time.Now()
	written, size, err := record(ctx, *path, *spans, *rate, *limit)
	if err != nil {
		fmt.Fprintf(errOut, "record: %v\n", err)
		return 1
	}
	fmt.Fprintf(out, "%d spans, %d bytes, in %s\n", written, size, time.Since(began).Round(time.Second))
	return 0
}

// record writes the file whole or not at all.
func record(ctx context.Context, path string, spans int, rate float64, limit time.Duration) (written int, size int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	file, err := os.CreateTemp(filepath.Dir(path), ".record-")
	if err != nil {
		return 0, 0, err
	}
	defer os.Remove(file.Name())
	tape := newTape(file, spans)
	err = runFleet(ctx, tape, rate)
	written, tapeErr := tape.end()
	if err = errors.Join(err, tapeErr, file.Close()); err != nil {
		return 0, 0, err
	}
	if written < spans {
		return 0, 0, fmt.Errorf("only %d spans of %d came", written, spans)
	}
	info, err := os.Stat(file.Name())
	if err != nil {
		return 0, 0, err
	}
	return written, info.Size(), os.Rename(file.Name(), path)
}

// tape writes what exporters send. It is used concurrently.
type tape struct {
	mu    sync.Mutex
	to    *bufio.Writer
	spans int
	most  int
	err   error
	// full is closed when there are enough spans, or no more can be written.
	full chan struct{}
	over bool
}

func newTape(to io.Writer, most int) *tape {
	return &tape{to: bufio.NewWriterSize(to, 1<<20), most: most, full: make(chan struct{})}
}

// Client is an exporter's way to the tape.
func (t *tape) client() otlptrace.Client { return head{t} }

// head implements [otlptrace.Client]: it gets what would go over the wire.
type head struct{ tape *tape }

func (head) Start(context.Context) error { return nil }
func (head) Stop(context.Context) error  { return nil }

func (h head) UploadTraces(_ context.Context, resources []*tracepb.ResourceSpans) error {
	return h.tape.write(&coltracepb.ExportTraceServiceRequest{ResourceSpans: resources})
}

func (t *tape) write(request *coltracepb.ExportTraceServiceRequest) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return nil
	}
	if _, err := protodelim.MarshalTo(t.to, request); err != nil {
		t.err = err
	}
	for _, resource := range request.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			t.spans += len(scope.GetSpans())
		}
	}
	if t.err != nil || t.spans >= t.most {
		t.over = true
		close(t.full)
	}
	return t.err
}

// end answers what is on the tape. Nothing is written afterwards.
func (t *tape) end() (spans int, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.over {
		t.over = true
		close(t.full)
	}
	return t.spans, errors.Join(t.err, t.to.Flush())
}
