package event_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, folder string, change func(*event.Options)) *event.Room {
	t.Helper()
	o := event.Options{Folder: folder, Node: "n1"}
	if change != nil {
		change(&o)
	}
	room, err := event.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { room.Close() })
	return room
}

func fields(pairs ...any) []signal.Attribute {
	var all []signal.Attribute
	for i := 0; i < len(pairs); i += 2 {
		a := signal.Attribute{Key: pairs[i].(string)}
		switch v := pairs[i+1].(type) {
		case string:
			a.Value = event.Text(v)
		case bool:
			a.Value = event.Bool(v)
		case int:
			a.Value = event.Int(int64(v))
		case float64:
			a.Value = event.Double(v)
		}
		all = append(all, a)
	}
	return all
}

func emit(t *testing.T, room *event.Room, namespace string, events ...event.Event) {
	t.Helper()
	receipt, err := room.Emit(t.Context(), namespace, events)
	if err != nil || len(receipt.Refused) > 0 {
		t.Fatalf("%+v, %v", receipt, err)
	}
}

func query(t *testing.T, room *event.Room, q event.Query) []string {
	t.Helper()
	result, err := room.Query(t.Context(), q)
	if err != nil || len(result.Partial) > 0 {
		t.Fatalf("%+v, %v", result, err)
	}
	ids := []string{}
	for _, e := range result.Events {
		ids = append(ids, e.ID)
	}
	return ids
}

func TestEventsComeBack(t *testing.T) {
	value := rapid.Custom(func(t *rapid.T) signal.Value {
		switch rapid.IntRange(0, 3).Draw(t, "type") {
		case 0:
			return event.Text(rapid.String().Draw(t, "text"))
		case 1:
			return event.Bool(rapid.Bool().Draw(t, "bool"))
		case 2:
			return event.Int(rapid.Int64().Draw(t, "int"))
		default:
			return event.Double(rapid.Float64().Filter(func(d float64) bool { return !math.IsInf(d, 0) && !math.IsNaN(d) }).Draw(t, "double"))
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		want := event.Stored{Sequence: rapid.Uint64().Draw(t, "sequence"), Namespace: rapid.StringMatching(`[a-z]{1,8}`).Draw(t, "namespace"),
			Arrived: time.Unix(0, rapid.Int64Range(0, 4e18).Draw(t, "arrived")).UTC()}
		want.ID, want.Topic = rapid.String().Draw(t, "id"), rapid.StringMatching(`[a-z.]{1,8}`).Draw(t, "topic")
		want.Time = time.Unix(0, rapid.Int64Range(0, 4e18).Draw(t, "time")).UTC()
		want.Service, want.Outcome = rapid.String().Draw(t, "service"), signal.Outcome(rapid.IntRange(0, 2).Draw(t, "outcome"))
		want.TraceID = signal.TraceID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "trace"))
		for key, v := range rapid.MapOfN(rapid.StringMatching(`[a-z][a-z0-9._-]{0,8}`), value, 0, 8).Draw(t, "fields") {
			want.Fields = append(want.Fields, signal.Attribute{Key: key, Value: v})
		}
		slices.SortFunc(want.Fields, func(a, b signal.Attribute) int { return strings.Compare(a.Key, b.Key) })
		line, err := want.Encode()
		if err != nil || strings.Contains(string(line), "\n") {
			t.Fatalf("%q, %v", line, err)
		}
		got, err := event.Decode(line)
		if err != nil {
			t.Fatal(err)
		}
		for i := range want.Fields { // minus zero is zero in JSON too, and -0.0 comes back as it was
			if i < len(got.Fields) && event.Words(got.Fields[i].Value) == event.Words(want.Fields[i].Value) && got.Fields[i].Value.Type == want.Fields[i].Value.Type {
				got.Fields[i].Value = want.Fields[i].Value
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestQuery(t *testing.T) {
	room := open(t, t.TempDir(), nil)
	day := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	trace := signal.TraceID{1}
	emit(t, room, "prod",
		event.Event{ID: "a", Topic: "loan.granted", Time: day, Service: "loan", TraceID: trace, Fields: fields("amount", 3000, "grade", "A", "rate", 0.5, "new", true)},
		event.Event{ID: "b", Topic: "loan.refused", Time: day.Add(time.Hour), Service: "loan", Outcome: signal.Refused, Fields: fields("amount", 9000)},
		event.Event{ID: "c", Topic: "fund.paid", Time: day.Add(2 * time.Hour), Service: "fund", TraceID: trace})
	emit(t, room, "test", event.Event{ID: "d", Topic: "loan.granted", Time: day, TraceID: trace})
	zero, one := uint64(0), uint64(1)
	for _, c := range []struct {
		name string
		q    event.Query
		want []string
	}{
		{"all, newest first", event.Query{}, []string{"c", "b", "a"}},
		{"another namespace", event.Query{Namespace: "test"}, []string{"d"}},
		{"nobody's", event.Query{Namespace: "none"}, []string{}},
		{"topic", event.Query{Topic: "loan.granted"}, []string{"a"}},
		{"beginning", event.Query{Topic: "loan.*"}, []string{"b", "a"}},
		{"service", event.Query{Service: "fund"}, []string{"c"}},
		{"trace", event.Query{TraceID: trace}, []string{"c", "a"}},
		{"outcome", event.Query{Outcomes: []signal.Outcome{signal.Refused, signal.Failed}}, []string{"b"}},
		{"until is not included", event.Query{Since: day, Until: day.Add(time.Hour)}, []string{"a"}},
		{"since is", event.Query{Since: day.Add(time.Hour)}, []string{"c", "b"}},
		{"number", event.Query{Fields: []signal.Match{{Key: "amount", Text: "3000"}}}, []string{"a"}},
		{"several", event.Query{Fields: []signal.Match{{Key: "grade", Text: "A"}, {Key: "rate", Text: "0.50"}, {Key: "new", Text: "true"}}}, []string{"a"}},
		{"one of several is not", event.Query{Fields: []signal.Match{{Key: "grade", Text: "A"}, {Key: "amount", Text: "1"}}}, []string{}},
		{"limit", event.Query{Limit: 2}, []string{"c", "b"}},
		{"follow", event.Query{After: &zero, Limit: 2}, []string{"a", "b"}},
		{"follow on", event.Query{After: &one}, []string{"b", "c"}},
	} {
		if c.q.Namespace == "" {
			c.q.Namespace = "prod"
		}
		if got := query(t, room, c.q); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, not %q", c.name, got, c.want)
		}
	}
	for _, bad := range []event.Query{{}, {Namespace: "prod", Limit: -1}, {Namespace: "prod", Limit: event.MaxLimit + 1}, {Namespace: "prod", Since: day, Until: day}} {
		if _, err := room.Query(t.Context(), bad); !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestArrivedSince(t *testing.T) {
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	room := open(t, t.TempDir(), func(o *event.Options) { o.Now = func() time.Time { return now } })
	for _, id := range []string{"a", "b", "c"} {
		emit(t, room, "prod", event.Event{ID: id, Topic: "t", Time: now.Add(-time.Hour)})
		now = now.Add(time.Second)
	}
	after := uint64(0)
	if got := query(t, room, event.Query{Namespace: "prod", After: &after, ArrivedSince: now.Add(-2 * time.Second)}); !slices.Equal(got, []string{"b", "c"}) {
		t.Errorf("%q", got)
	}
}

// TestWhoFollowsALongLogGetsToItsEnd: a question reads so many segments at most, and the next one goes on where it ended.
func TestWhoFollowsALongLogGetsToItsEnd(t *testing.T) {
	room := open(t, t.TempDir(), func(o *event.Options) { event.SmallSegments(o); event.ShortQuestions(o) })
	filling := fields("filling", strings.Repeat("x", event.MaxText), "more", strings.Repeat("y", event.MaxText), "and", strings.Repeat("z", event.MaxText))
	for range 4 {
		batch := make([]event.Event, event.SegmentBytes/(3*event.MaxText)+1)
		for i := range batch {
			batch[i] = event.Event{Topic: "t", Fields: filling}
		}
		emit(t, room, "prod", batch...)
	}
	emit(t, room, "prod", event.Event{ID: "wanted", Topic: "t", Service: "loan"})
	after, truncated := uint64(0), false
	for range 3 {
		result, err := room.Query(t.Context(), event.Query{Namespace: "prod", Service: "loan", After: &after})
		if err != nil || len(result.Partial) > 0 {
			t.Fatalf("%+v, %v", result, err)
		}
		if len(result.Events) > 0 {
			if !truncated {
				t.Error("one question has read the whole log")
			}
			return
		}
		after, truncated = result.Next, truncated || result.Truncated
	}
	t.Error("the last event is never found")
}

func TestTopicsAreTypedByUse(t *testing.T) {
	folder := t.TempDir()
	room := open(t, folder, nil)
	try := func(f []signal.Attribute) string {
		receipt, err := room.Emit(t.Context(), "prod", []event.Event{{Topic: "loan", Fields: f}})
		if err != nil {
			t.Fatal(err)
		}
		if len(receipt.Refused) > 0 {
			return receipt.Refused[0].Err.Reason + " at " + receipt.Refused[0].Err.Field
		}
		return ""
	}
	for _, c := range []struct {
		fields []signal.Attribute
		want   string
	}{
		{fields("amount", 1, "grade", "A"), ""},
		{fields("amount", "1"), "event.field_type at fields.amount"},
		{fields("grade", 1), "event.field_type at fields.grade"},
		{fields("grade", "B", "new", true), ""},
		{fields("new", "true", "later", 1), "event.field_type at fields.new"},
		{fields("later", "its type was not learned from what was refused"), ""},
		{fields("amount", 1.5), ""},
		{fields("amount", 2), ""},
	} {
		if got := try(c.fields); got != c.want {
			t.Errorf("%v: %q, not %q", c.fields, got, c.want)
		}
	}
	want := map[string]signal.ValueType{"amount": signal.TypeDouble, "grade": signal.TypeString, "new": signal.TypeBool, "later": signal.TypeString}
	check := func() {
		t.Helper()
		topics, err := room.Topics(t.Context(), "prod")
		if err != nil || len(topics) != 1 || topics[0].Name != "loan" || topics[0].Events != 5 || !cmp.Equal(topics[0].Fields, want) {
			t.Errorf("%+v", topics)
		}
		if got, err := room.Topics(t.Context(), "test"); err != nil || len(got) > 0 {
			t.Errorf("another namespace has %+v, %v", got, err)
		}
	}
	check()
	if err := room.Close(); err != nil {
		t.Fatal(err)
	}
	room = open(t, folder, nil)
	check()
	if got := try(fields("amount", "1")); got == "" {
		t.Error("after a restart the types are forgotten")
	}
}

func TestLimits(t *testing.T) {
	room := open(t, t.TempDir(), nil)
	many := make([]signal.Attribute, 0, event.MaxFields+1)
	var large []signal.Attribute
	for i := range event.MaxFields + 1 {
		many = append(many, signal.Attribute{Key: fmt.Sprintf("f%d", i), Value: event.Int(1)})
		if i < 5 {
			large = append(large, signal.Attribute{Key: fmt.Sprintf("f%d", i), Value: event.Text(strings.Repeat("x", event.MaxText))})
		}
	}
	for _, c := range []struct {
		name string
		e    event.Event
		want string
	}{
		{"no topic", event.Event{}, "event.no_name"},
		{"a path", event.Event{Topic: "../x"}, "event.bad_name"},
		{"long topic", event.Event{Topic: strings.Repeat("x", 129)}, "event.bad_name"},
		{"bad service", event.Event{Topic: "t", Service: "a\nb"}, "event.bad_name"},
		{"bad key", event.Event{Topic: "t", Fields: fields("a b", 1)}, "event.bad_name"},
		{"key twice", event.Event{Topic: "t", Fields: fields("a", 1, "a", 2)}, "event.field_twice"},
		{"many fields", event.Event{Topic: "t", Fields: many}, "event.too_many_fields"},
		{"long text", event.Event{Topic: "t", Fields: fields("a", strings.Repeat("x", event.MaxText+1))}, "event.field_too_long"},
		{"large", event.Event{Topic: "t", Fields: large}, "event.too_large"},
		{"no number", event.Event{Topic: "t", Fields: fields("a", math.NaN())}, "event.bad_number"},
		{"no type", event.Event{Topic: "t", Fields: []signal.Attribute{{Key: "a"}}}, "event.bad_type"},
		{"broken UTF-8", event.Event{Topic: "t", Fields: fields("a", "\xff")}, "event.bad_text"},
		{"future", event.Event{Topic: "t", Time: time.Now().Add(time.Hour)}, "event.future"},
		{"year 0", event.Event{Topic: "t", Time: time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)}, "event.bad_time"},
		{"outcome", event.Event{Topic: "t", Outcome: 3}, "event.bad_outcome"},
	} {
		receipt, err := room.Emit(t.Context(), "prod", []event.Event{c.e, {Topic: "good"}})
		if err != nil || len(receipt.Refused) != 1 || receipt.Refused[0].Err.Reason != c.want || receipt.Refused[0].Index != 0 || receipt.Stored != 1 {
			t.Errorf("%s: %+v, %v", c.name, receipt, err)
		}
	}
	if _, err := room.Emit(t.Context(), "prod", make([]event.Event, event.MaxBatch+1)); !fault.Is(err, fault.TooLarge) {
		t.Errorf("a large batch: %v", err)
	}
	refused := 0
	for i := range event.MaxTopics + 5 {
		receipt, err := room.Emit(t.Context(), "crowded", []event.Event{{Topic: fmt.Sprintf("topic-%d", i)}})
		if err != nil {
			t.Fatal(err)
		}
		refused += len(receipt.Refused)
	}
	if refused != 5 {
		t.Errorf("%d topics were too many", refused)
	}
}

func TestRate(t *testing.T) {
	room := open(t, t.TempDir(), func(o *event.Options) { o.Rate = 1 })
	batch := func() []event.Event { return slices.Repeat([]event.Event{{Topic: "t"}}, event.MaxBatch) }
	if _, err := room.Emit(t.Context(), "prod", batch()); err != nil {
		t.Fatal(err)
	}
	if _, err := room.Emit(t.Context(), "prod", batch()); !fault.Is(err, fault.Exhausted) {
		t.Errorf("over the rate: %v", err)
	}
	if _, err := room.Emit(t.Context(), "test", batch()); err != nil {
		t.Errorf("another namespace has its own: %v", err)
	}
}

func TestRepeatedEventsAreStoredOnce(t *testing.T) {
	folder := t.TempDir()
	room := open(t, folder, nil)
	for i := range 3 {
		receipt, err := room.Emit(t.Context(), "prod", []event.Event{{ID: "same", Topic: "t"}, {ID: "same", Topic: "t"}})
		if err != nil || receipt.Stored+receipt.Known != 2 || (receipt.Stored == 1) != (i == 0) {
			t.Errorf("%d: %+v, %v", i, receipt, err)
		}
		if i == 1 {
			if err := room.Close(); err != nil {
				t.Fatal(err)
			}
			room = open(t, folder, nil)
		}
	}
	emit(t, room, "test", event.Event{ID: "same", Topic: "t"})
	if got := query(t, room, event.Query{Namespace: "prod"}); !slices.Equal(got, []string{"same"}) {
		t.Errorf("%q", got)
	}
}

func TestClosed(t *testing.T) {
	room := open(t, t.TempDir(), nil)
	if err := errors.Join(room.Close(), room.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := room.Emit(t.Context(), "prod", []event.Event{{Topic: "t"}}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("%v", err)
	}
	if err := room.Record(t.Context(), "prod", []event.Event{{Topic: "t"}}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("%v", err)
	}
}

func TestChanges(t *testing.T) {
	folder := t.TempDir()
	room := open(t, folder, nil)
	for range 2 {
		if err := room.Record(t.Context(), "prod", []event.Event{{ID: "r1", Topic: "release.released", Fields: fields("target", "Config/loan.yaml")}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := room.Record(t.Context(), "prod", []event.Event{{ID: "i1", Topic: "instance.registered", Service: "loan"}}); err != nil {
		t.Fatal(err)
	}
	result, err := room.Changes(t.Context(), event.Query{Namespace: "prod"})
	if err != nil || len(result.Events) != 2 || result.Events[0].ID != "i1" || result.Events[1].ID != "r1" {
		t.Errorf("%+v, %v", result, err)
	}
	if got := query(t, room, event.Query{Namespace: "prod"}); len(got) > 0 {
		t.Errorf("changes are among the business events: %q", got)
	}
	if result, err = room.Changes(t.Context(), event.Query{Namespace: "prod", Service: "loan", Topic: "instance.*"}); err != nil || len(result.Events) != 1 {
		t.Errorf("%+v, %v", result, err)
	}
}
