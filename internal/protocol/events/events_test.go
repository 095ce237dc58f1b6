package events_test

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/gantry-platform/gantry/internal/protocol/events"
	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/event"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// wired is what the other end reads of a message.
func wired[M proto.Message](t *testing.T, from, to M) M {
	t.Helper()
	data, err := proto.Marshal(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := proto.Unmarshal(data, to); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestEventsCrossTheWireWhole(t *testing.T) {
	at := time.Date(2026, 3, 14, 15, 9, 26, 535, time.UTC)
	want := event.Stored{Event: event.Event{ID: "a", Topic: "loan.granted", Time: at, Service: "loan", Instance: "loan-0", Outcome: signal.Refused, TraceID: signal.TraceID{1}, SpanID: signal.SpanID{2},
		Fields: []signal.Attribute{{Key: "amount", Value: event.Int(math.MinInt64)}, {Key: "grade", Value: event.Text("A")}, {Key: "new", Value: event.Bool(true)}, {Key: "rate", Value: event.Double(0.1)}}},
		Sequence: math.MaxUint64, Namespace: "prod", Arrived: at.Add(time.Second), Node: "n2"}
	got, err := events.ToStored("prod", wired(t, events.FromStored(&want), &gantryv1.BusinessEvent{}))
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	query := event.Query{Namespace: "prod", Topic: "loan.*", Service: "loan", Since: at, Until: at.Add(time.Hour), Outcomes: []signal.Outcome{signal.Success, signal.Failed}, TraceID: signal.TraceID{1},
		Fields: []signal.Match{{Key: "grade", Text: "A"}}, Limit: 7}
	asked, err := events.QueryOf("prod", wired(t, events.RequestOf(query), &gantryv1.QueryEventsRequest{}))
	if diff := cmp.Diff(query, asked); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	topic := event.Topic{Namespace: "prod", Name: "loan", First: at, Last: at.Add(time.Hour), Events: 9,
		Fields: map[string]signal.ValueType{"a": signal.TypeInt, "b": signal.TypeDouble, "c": signal.TypeBool, "d": signal.TypeString}}
	if diff := cmp.Diff(topic, events.ToTopic("prod", wired(t, events.FromTopic(&topic), &gantryv1.EventTopic{}))); diff != "" {
		t.Error(diff)
	}
	if _, err := events.ToStored("prod", &gantryv1.BusinessEvent{TraceId: "x"}); err == nil {
		t.Error("an event of no trace is read")
	}
	if _, err := events.QueryOf("prod", &gantryv1.QueryEventsRequest{Outcomes: []gantryv1.EventOutcome{9}}); err == nil {
		t.Error("a question about no outcome is read")
	}
}
