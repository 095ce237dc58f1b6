package spans_test

import (
	"reflect"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/gantry-platform/gantry/internal/protocol/spans"
	"github.com/gantry-platform/gantry/internal/signal"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

func TestSpansComeBack(t *testing.T) {
	attributes := []signal.Attribute{{Key: "s", Value: signal.Value{Type: signal.TypeString, Text: "x"}}, {Key: "i", Value: signal.Value{Type: signal.TypeInt, Number: ^uint64(0)}},
		{Key: "d", Value: signal.Value{Type: signal.TypeDouble, Number: 0x3ff8000000000000}}, {Key: "b", Value: signal.Value{Type: signal.TypeBool, Number: 1}},
		{Key: "f", Value: signal.Value{Type: signal.TypeBool}}, {Key: "y", Value: signal.Value{Type: signal.TypeBytes, Text: "\x00\xff"}},
		{Key: "j", Value: signal.Value{Type: signal.TypeJSON, Text: `[1]`}}, {Key: "e"}}
	want := signal.Trace{Partial: []string{"node n2"}, Spans: []signal.Span{{TraceID: signal.TraceID{1}, ID: signal.SpanID{2}, Parent: signal.SpanID{3}, Kind: signal.KindClient, Status: signal.StatusError,
		Outcome: signal.Failed, Flags: 257, Start: 1_800_000_000_123_456_789, Duration: 42, Name: "GET", StatusMessage: "no", TraceState: "a=b", Scope: "net/http", Attributes: attributes,
		Resource: &signal.Resource{Service: "loan", Instance: "i", Version: "1", Lane: "blue", Release: "r", Zone: "z", Attributes: attributes},
		Events:   []signal.Event{{Name: "exception", Time: 5, Attributes: attributes}}, Links: []signal.Link{{TraceID: signal.TraceID{4}, SpanID: signal.SpanID{5}, TraceState: "c", Attributes: attributes}}}}}
	raw, err := proto.Marshal(spans.FromTrace(want))
	if err != nil {
		t.Fatal(err)
	}
	var sent gantryv1.GetTraceResponse
	if err := proto.Unmarshal(raw, &sent); err != nil {
		t.Fatal(err)
	}
	if got := spans.ToTrace(&sent); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v is not %+v", got, want)
	}
}

func TestQueriesAndSummariesComeBack(t *testing.T) {
	at := time.Unix(1_800_000_000, 5).UTC()
	q := signal.TraceQuery{Namespace: "prod", Since: at, Until: at.Add(time.Hour), Service: "loan", Endpoint: "GET", Kind: signal.KindServer, MinDuration: 1, MaxDuration: 2,
		Outcomes: []signal.Outcome{signal.Failed, signal.Success}, Instance: "i", Version: "v", Lane: "l", Release: "r", Attributes: []signal.Match{{Key: "k", Text: "t"}}, Limit: 7}
	got, err := spans.QueryOf(q.Namespace, spans.RequestOf(q))
	if err != nil || !reflect.DeepEqual(got, q) {
		t.Errorf("%+v is not %+v, %v", got, q, err)
	}
	result := signal.SearchResult{Truncated: true, Partial: []string{"x"}, Traces: []signal.TraceSummary{{TraceID: signal.TraceID{1}, Start: at, Duration: 3, RootService: "a", RootName: "b", Complete: true,
		Spans: 4, Failed: 1, Services: map[string]int{"a": 4}, Matched: []signal.SpanID{{9}}}}}
	if got := spans.ToResult(spans.FromResult(result)); !reflect.DeepEqual(got, result) {
		t.Errorf("%+v is not %+v", got, result)
	}
}
