package gantry_test

import (
	"context"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	gantry "github.com/gantry-platform/gantry/sdk"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
	"github.com/gantry-platform/gantry/sdk/internal/testserver"
)

type traceKey struct{}

func TestEvent(t *testing.T) {
	inBubble(t, oneNode, func(w *world, _ []*testserver.Node) {
		client := w.connect(gantry.WithTraceparent(func(ctx context.Context) string {
			parent, _ := ctx.Value(traceKey{}).(string)
			return parent
		}))
		at := time.Now().Add(-time.Hour)
		traced := context.WithValue(w.Context(), traceKey{}, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
		client.Event(traced, "loan.granted", gantry.Text("grade", "A\xff"), gantry.Int("amount", 3000), gantry.Number("rate", 0.5), gantry.Number("none", math.NaN()), gantry.Bool("new", true))
		client.Event(context.WithValue(w.Context(), traceKey{}, "00-0-0-0"), "loan.refused", gantry.Refused(), gantry.At(at))
		time.Sleep(time.Second)
		events, requests := w.Emitted()
		if len(events) != 2 || requests != 1 {
			w.Fatalf("%d events in %d requests", len(events), requests)
		}
		for _, e := range events {
			if e.GetService() != "loan" || e.GetInstance() != "loan-1" || e.GetId() == "" {
				w.Errorf("%v", e)
			}
			fields := e.GetFields()
			switch e.GetTopic() {
			case "loan.granted":
				if e.GetTraceId() != "4bf92f3577b34da6a3ce929d0e0e4736" || e.GetSpanId() != "00f067aa0ba902b7" || len(fields) != 4 || fields["grade"].GetText() != "A\uFFFD" ||
					fields["amount"].GetInteger() != 3000 || fields["rate"].GetNumber() != 0.5 || !fields["new"].GetBoolean() || !e.GetTime().AsTime().Equal(at.Add(time.Hour)) {
					w.Errorf("%v", e)
				}
			case "loan.refused":
				if e.GetTraceId() != "" || e.GetOutcome() != gantryv1.EventOutcome_EVENT_OUTCOME_REFUSED || !e.GetTime().AsTime().Equal(at) {
					w.Errorf("%v", e)
				}
			}
		}
		if got := client.EventStats(); got != (gantry.EventStats{Sent: 2}) {
			w.Errorf("%+v", got)
		}
	})
}

func TestEventsOutliveAnOutage(t *testing.T) {
	inBubble(t, oneNode, func(w *world, nodes []*testserver.Node) {
		client := w.connect(gantry.WithWait())
		nodes[0].Stop()
		const n = 2500
		began := time.Now()
		for range n {
			client.Event(w.Context(), "t")
		}
		if took := time.Since(began); took > 0 {
			w.Errorf("the caller waited %s", took)
		}
		time.Sleep(time.Hour)
		if got := client.EventStats(); got != (gantry.EventStats{Queued: n}) {
			w.Errorf("%+v", got)
		}
		if said := w.journal.count("events cannot be sent"); said < 1 || said > 61 {
			w.Errorf("it was said %d times in an hour", said)
		}
		w.FailEmits(status.Error(codes.Unavailable, "the answer is lost"))
		nodes[0].Start()
		time.Sleep(time.Minute)
		w.FailEmits(nil)
		time.Sleep(time.Minute)
		events, _ := w.Emitted()
		if got := client.EventStats(); got != (gantry.EventStats{Sent: n}) || len(events) != n {
			w.Errorf("%+v, and the server has %d", got, len(events))
		}
	})
}

func TestEventsAreBounded(t *testing.T) {
	inBubble(t, oneNode, func(w *world, nodes []*testserver.Node) {
		nodes[0].Stop()
		client := w.connect()
		for range 20_500 {
			client.Event(w.Context(), "t")
		}
		if got := client.EventStats(); got != (gantry.EventStats{Queued: 20_000, Dropped: 500}) {
			w.Errorf("%+v", got)
		}
		other := w.connect()
		text := strings.Repeat("x", 1<<20)
		for range 20 {
			other.Event(w.Context(), "t", gantry.Text("a", text))
		}
		if got := other.EventStats(); got.Queued != 15 || got.Dropped != 5 {
			w.Errorf("%+v", got)
		}
	})
}

func TestCloseSendsEvents(t *testing.T) {
	inBubble(t, oneNode, func(w *world, nodes []*testserver.Node) {
		client := w.connect(gantry.WithWait())
		for range 3 {
			client.Event(w.Context(), "t")
		}
		w.must(client.Close())
		client.Event(w.Context(), "late")
		events, _ := w.Emitted()
		if got := client.EventStats(); len(events) != 3 || got != (gantry.EventStats{Sent: 3, Dropped: 1}) {
			w.Errorf("%d, %+v", len(events), got)
		}

		// Without a server it does not hold the stop.
		client = w.connect(gantry.WithWait())
		nodes[0].Stop()
		synctest.Wait()
		client.Event(w.Context(), "t")
		began := time.Now()
		w.must(client.Close())
		if took := time.Since(began); took > 5*time.Second {
			w.Errorf("the stop took %s", took)
		}
		if got := client.EventStats(); got != (gantry.EventStats{Dropped: 1}) {
			w.Errorf("%+v", got)
		}
	})
}

func TestRefusedEvents(t *testing.T) {
	inBubble(t, oneNode, func(w *world, _ []*testserver.Node) {
		client := w.connect()
		w.FailEmits(nil, "bad")
		client.Event(w.Context(), "good")
		client.Event(w.Context(), "bad")
		time.Sleep(time.Second)
		if got := client.EventStats(); got != (gantry.EventStats{Sent: 1, Refused: 1}) || w.journal.count("refuses events") != 1 {
			w.Errorf("%+v\n%s", got, w.journal)
		}
		w.FailEmits(status.Error(codes.PermissionDenied, "not you"))
		client.Event(w.Context(), "good")
		client.Event(w.Context(), "good")
		time.Sleep(time.Minute)
		if got := client.EventStats(); got != (gantry.EventStats{Sent: 1, Refused: 1, Dropped: 2}) {
			w.Errorf("what is forbidden stays so: %+v", got)
		}
	})
}

func BenchmarkEvent(b *testing.B) {
	cluster := testserver.NewCluster(time.Minute)
	node := cluster.Start("a:9848")
	defer node.Stop()
	client, err := gantry.Connect(b.Context(), gantry.WithAddresses("a:9848"), gantry.WithDialer(cluster.Dial), gantry.WithSnapshotFolder(""))
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	b.ReportAllocs()
	for b.Loop() {
		client.Event(b.Context(), "loan.granted", gantry.Text("grade", "A"), gantry.Int("amount", 3000))
	}
}
