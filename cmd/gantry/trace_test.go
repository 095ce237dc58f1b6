package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
	"github.com/gantry-platform/gantry/sdk/api/gantry/v1/gantryv1connect"
)

// traced answers with the same traces, and remembers what it was asked.
type traced struct {
	gantryv1connect.UnimplementedTraceServiceHandler
	search *gantryv1.SearchTracesRequest
}

func (f *traced) SearchTraces(_ context.Context, r *gantryv1.SearchTracesRequest) (*gantryv1.SearchTracesResponse, error) {
	f.search = r
	return &gantryv1.SearchTracesResponse{Partial: []string{"node n2"}, Truncated: true, Traces: []*gantryv1.TraceSummary{{TraceId: "0af7", Start: timestamppb.Now(), Duration: durationpb.New(12 * time.Millisecond),
		RootService: "portal", RootName: "POST /loans", Spans: 7, Failed: 2, Services: map[string]uint32{"portal": 2, "loan": 5}}}}, nil
}

func (f *traced) GetTrace(context.Context, *gantryv1.GetTraceRequest) (*gantryv1.GetTraceResponse, error) {
	span := func(id, parent, name, outcome string) *gantryv1.Span {
		return &gantryv1.Span{SpanId: id, ParentSpanId: parent, Name: name, Service: "loan", Kind: "server", Outcome: outcome, Start: timestamppb.Now(), Duration: durationpb.New(time.Millisecond)}
	}
	failed := span("3", "2", "charge\x1b[31m", "failed")
	failed.Events = []*gantryv1.SpanEvent{{Name: "exception", Attributes: []*gantryv1.SpanAttribute{{Key: "exception.message", Value: &gantryv1.SpanAttribute_Text{Text: "refused"}}}}}
	failed.Attributes = []*gantryv1.SpanAttribute{{Key: "order.no", Value: &gantryv1.SpanAttribute_Text{Text: "L1"}}, {Key: "amount", Value: &gantryv1.SpanAttribute_Integer{Integer: 5}}}
	return &gantryv1.GetTraceResponse{Spans: []*gantryv1.Span{span("1", "", "root", "success"), span("2", "1", "call", "success"), failed, span("4", "9", "orphan", "refused"),
		span("5", "6", "circle", "success"), span("6", "5", "circle too", "success")}}, nil
}

func TestTracesAreFoundAndShown(t *testing.T) {
	fake := &traced{}
	mux := http.NewServeMux()
	mux.Handle(gantryv1connect.NewTraceServiceHandler(fake))
	s := httptest.NewServer(mux)
	defer s.Close()
	o := nobody(t)
	o.env["GANTRY_ADDRESS"], o.env["GANTRY_NAMESPACE"] = s.URL, "prod"
	out := o.must("trace", "find", "--service", "loan", "--outcome", "failed", "--attribute", "order.no=L1=2", "--min", "5ms", "-o", "wide")
	wantWords(t, out, "0af7", "12ms", "portal: POST /loans", "the root has not come", "loan portal")
	if r := fake.search; r.Namespace != "prod" || r.Service != "loan" || r.Attributes["order.no"] != "L1=2" || r.MinDuration.AsDuration() != 5*time.Millisecond || r.Limit != 20 ||
		len(r.Outcomes) != 1 || time.Since(r.Within.Since.AsTime()).Round(time.Hour) != time.Hour {
		t.Errorf("asked for %v", r)
	}
	out = o.must("trace", "show", "0af7", "-o", "wide")
	wantWords(t, out, "root", "  call", "    charge", "orphan", "circle too", "refused", "amount=5 order.no=L1")
	if strings.Contains(out, "\x1b[31m") {
		t.Errorf("a span's name writes to the terminal: %q", out)
	}
	o.fails(exitInvalid, []string{"attribute", "KEY=VALUE"}, "trace", "find", "--attribute", "x")
}
