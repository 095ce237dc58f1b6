package ingest_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/ingest"
	"github.com/gantry-platform/gantry/internal/signal/trace"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func span(id byte, start time.Time, lasts time.Duration, failed bool) *otlp.Span {
	s := &otlp.Span{TraceId: append(make([]byte, 15), id), SpanId: append(make([]byte, 7), id), Name: "work",
		StartTimeUnixNano: uint64(start.UnixNano()), EndTimeUnixNano: uint64(start.Add(lasts).UnixNano())}
	if failed {
		s.Status = &otlp.Status{Code: otlp.Status_STATUS_CODE_ERROR}
	}
	return s
}

func request(t *testing.T, spans ...*otlp.Span) []byte {
	t.Helper()
	raw, err := proto.Marshal(&collector.ExportTraceServiceRequest{ResourceSpans: []*otlp.ResourceSpans{{ScopeSpans: []*otlp.ScopeSpans{{Spans: spans}}}}})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// pressing is a store whose memory is as full as a test wants.
type pressing struct {
	*trace.Store
	pressure float64
	err      error
}

func (p *pressing) Pressure() float64 { return p.pressure }
func (p *pressing) Write(ctx context.Context, b *signal.Batch) error {
	if p.err != nil {
		return p.err
	}
	return p.Store.Write(ctx, b)
}

type counter struct {
	mu    sync.Mutex
	spans int
}

func (c *counter) Observe(_ string, _ time.Time, spans []signal.Span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spans += len(spans)
}

func room(t *testing.T) (*ingest.Room, *pressing, *counter) {
	t.Helper()
	clock := func() time.Time { return noon }
	store, err := trace.Open(trace.Options{Dir: t.TempDir(), Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	p, c := &pressing{Store: store}, &counter{}
	return ingest.New(ingest.Options{Store: p, Observers: []ingest.Observer{c}, Clock: clock, InFlight: 1 << 20, Registerer: prometheus.NewRegistry()}), p, c
}

func kept(t *testing.T, p *pressing, id byte) bool {
	t.Helper()
	got, err := p.Trace(t.Context(), "default", signal.TraceID{15: id}, signal.Range{})
	if err != nil {
		t.Fatal(err)
	}
	return len(got.Spans) > 0
}

func TestWhatCannotBeRightIsLeftOutAndNamed(t *testing.T) {
	r, p, c := room(t)
	none := span(9, noon, 1, false)
	none.TraceId = nil
	result, err := r.Traces(t.Context(), "default", request(t, span(1, noon, time.Second, false), none, span(0, noon, 1, false), span(2, noon.Add(2*time.Hour), 1, false),
		span(3, noon.Add(-30*24*time.Hour), 1, false), span(4, noon.Add(30*time.Minute), 1, true)))
	if err != nil || result.Rejected != 4 {
		t.Fatalf("%+v, %v", result, err)
	}
	for _, word := range []string{"2 spans have no valid trace id", "in the future", "older"} {
		if !strings.Contains(result.Message, word) {
			t.Errorf("%q does not say %q", result.Message, word)
		}
	}
	for id, want := range map[byte]bool{1: true, 2: false, 3: false, 4: true} {
		if kept(t, p, id) != want {
			t.Errorf("span %d: kept is not %v", id, want)
		}
	}
	if c.spans != 2 {
		t.Errorf("%d spans were counted", c.spans)
	}
}

func TestUnderPressureNormalSpansGoFirst(t *testing.T) {
	r, p, c := room(t)
	p.pressure = 0.8
	result, err := r.Traces(t.Context(), "default", request(t, span(1, noon, time.Millisecond, false), span(2, noon, 2*time.Second, false), span(3, noon, 1, true)))
	if err != nil || result.Rejected != 1 || !strings.Contains(result.Message, "memory is short") {
		t.Fatalf("%+v, %v", result, err)
	}
	for id, want := range map[byte]bool{1: false, 2: true, 3: true} {
		if kept(t, p, id) != want {
			t.Errorf("span %d: kept is not %v", id, want)
		}
	}
	if c.spans != 3 {
		t.Errorf("%d spans were counted: rates must not depend on what is kept", c.spans)
	}
}

func TestWhatIsNotTakenIsNotCounted(t *testing.T) {
	r, p, c := room(t)
	p.err = fault.New(fault.Unavailable, "traces.disk_full", "full")
	if _, err := r.Traces(t.Context(), "default", request(t, span(1, noon, 1, false))); !errors.Is(err, p.err) {
		t.Errorf("%v", err)
	}
	if _, err := r.Traces(t.Context(), "default", []byte("x")); !fault.Is(err, fault.Invalid) {
		t.Errorf("no request: %v", err)
	}
	if _, err := r.Traces(t.Context(), "default", make([]byte, ingest.MaxRequest+1)); !fault.Is(err, fault.TooLarge) {
		t.Errorf("a huge one: %v", err)
	}
	if _, err := r.Traces(t.Context(), "default", make([]byte, 2<<20)); !fault.Is(err, fault.Exhausted) {
		t.Errorf("more than is in flight: %v", err)
	}
	if result, err := r.Traces(t.Context(), "default", nil); err != nil || result.Message != "" {
		t.Errorf("an empty one: %+v, %v", result, err)
	}
	if c.spans != 0 {
		t.Errorf("%d spans were counted", c.spans)
	}
}
