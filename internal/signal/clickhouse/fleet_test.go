package clickhouse_test

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/wire"
)

func text(key, value string) signal.Attribute {
	return signal.Attribute{Key: key, Value: signal.Value{Type: signal.TypeString, Text: value}}
}

func integer(key string, value int64) signal.Attribute {
	return signal.Attribute{Key: key, Value: signal.Value{Type: signal.TypeInt, Number: uint64(value)}}
}

func double(key string, value float64) signal.Attribute {
	return signal.Attribute{Key: key, Value: signal.Value{Type: signal.TypeDouble, Number: math.Float64bits(value)}}
}

func truth(key string, value bool) signal.Attribute {
	a := signal.Attribute{Key: key, Value: signal.Value{Type: signal.TypeBool}}
	if value {
		a.Value.Number = 1
	}
	return a
}

func resourceOf(service string) *signal.Resource {
	return &signal.Resource{Service: service, Instance: service + "-1", Version: "1.2", Lane: "blue",
		Attributes: []signal.Attribute{text("service.name", service), text("service.instance.id", service+"-1"), text("service.version", "1.2"), text("gantry.lane", "blue"), integer("process.pid", 17)}}
}

// fleet makes traces of a small lender: portal -> loan -> risk -> bureau, with a database.
type fleet struct {
	random    *rand.Rand
	next      int
	now       time.Time
	resources map[string]*signal.Resource
}

func newFleet(seed uint64, now time.Time) *fleet {
	f := &fleet{random: rand.New(rand.NewPCG(seed, 1)), now: now, resources: map[string]*signal.Resource{}}
	for _, service := range []string{"portal", "loan", "risk", "bureau"} {
		f.resources[service] = resourceOf(service)
	}
	return f
}

func (f *fleet) fill(id []byte) {
	for i := range id {
		id[i] = byte(f.random.Uint32())
	}
	id[0] |= 1
}

// trace makes one trace of 6 spans, or 7 when it failed.
func (f *fleet) trace() []signal.Span {
	f.next++
	var id signal.TraceID
	f.fill(id[:])
	start := f.now.Add(time.Duration(f.next) * time.Millisecond)
	failed := f.next%17 == 0
	order := fmt.Sprintf("L%08d", f.next)
	var out []signal.Span
	add := func(service, name string, kind signal.Kind, after, lasts time.Duration, attributes ...signal.Attribute) {
		s := signal.Span{TraceID: id, Name: name, Kind: kind, Start: start.Add(after).UnixNano(), Duration: int64(lasts), Attributes: attributes, Resource: f.resources[service], Scope: "fleet"}
		f.fill(s.ID[:])
		if len(out) > 0 {
			s.Parent = out[len(out)-1].ID
		}
		s.Outcome = signal.OutcomeOf(&s)
		out = append(out, s)
	}
	lasts := time.Duration(20+f.random.IntN(200)) * time.Millisecond
	code := int64(200)
	if failed {
		code = 500
	}
	add("portal", "POST /loans", signal.KindServer, 0, lasts, text("http.request.method", "POST"), text("http.route", "/loans"), integer("http.response.status_code", code),
		text("order.no", order), text("customer.grade", string(rune('A'+f.random.IntN(5)))))
	add("portal", "POST", signal.KindClient, time.Millisecond, lasts-2*time.Millisecond, text("server.address", "loan"), integer("server.port", 8081))
	add("loan", "POST /approve", signal.KindServer, 2*time.Millisecond, lasts-4*time.Millisecond, text("http.route", "/approve"), integer("http.response.status_code", code),
		double("loan.amount", float64(f.random.IntN(20))/2), truth("loan.first", f.next%3 == 0))
	add("loan", "SELECT loans", signal.KindClient, 3*time.Millisecond, time.Millisecond, text("db.system.name", "postgresql"), text("db.query.text", "SELECT * FROM loans WHERE id = $1"))
	if failed {
		s := &out[3]
		s.Status, s.StatusMessage, s.Outcome = signal.StatusError, "connection refused", signal.Failed
		s.Events = []signal.Event{{Time: s.End(), Name: "exception", Attributes: []signal.Attribute{text("exception.type", "*net.OpError"), integer("try", 3)}}, {Name: "again", Time: s.Start}}
		link := signal.Link{TraceState: "a=b", Attributes: []signal.Attribute{text("why", "retry")}}
		f.fill(link.TraceID[:])
		f.fill(link.SpanID[:])
		s.Links = []signal.Link{link, {TraceID: link.TraceID, SpanID: link.SpanID}}
	}
	add("risk", "Score", signal.KindServer, 5*time.Millisecond, 10*time.Millisecond, text("rpc.system", "grpc"), integer("risk.score", int64(f.random.IntN(900))))
	add("bureau", "Report", signal.KindServer, 6*time.Millisecond, 8*time.Millisecond, text("rpc.system", "grpc"), text("rare."+order[5:], "odd"))
	if failed {
		add("bureau", "retry", signal.KindInternal, 7*time.Millisecond, time.Millisecond)
	}
	return out
}

// odd makes a span of anything that may come in: all types, repeated keys, texts that quote.
func (f *fleet) odd() signal.Span {
	texts := []string{"", "'", `"`, `\`, "\\'", "a\x00b", "\x00", "a\tb\nc\r", "{x:String}", "'); DROP TABLE gantry_spans; --", "日本語 é", "\ufffd", "=", "a=b", "%s%d", "\b\f\v\x7f", "null", "NaN", "[1,2]", "`"}
	any := func() string { return texts[f.random.IntN(len(texts))] }
	value := func() signal.Value {
		switch f.random.IntN(8) {
		case 0:
			return signal.Value{}
		case 1:
			return truth("", f.random.IntN(2) == 0).Value
		case 2:
			return integer("", []int64{0, -1, math.MinInt64, math.MaxInt64, f.random.Int64()}[f.random.IntN(5)]).Value
		case 3:
			return double("", []float64{0, math.Copysign(0, -1), 1, 1e300, math.SmallestNonzeroFloat64, math.Inf(1), math.Inf(-1), f.random.NormFloat64()}[f.random.IntN(8)]).Value
		case 4:
			return signal.Value{Type: signal.TypeBytes, Text: "\x00\xff" + any()}
		case 5:
			return signal.Value{Type: signal.TypeJSON, Text: `{"a":[1,2.5,"x\\"]}`}
		default:
			return signal.Value{Type: signal.TypeString, Text: any()}
		}
	}
	attributes := func() (out []signal.Attribute) {
		for range f.random.IntN(6) {
			out = append(out, signal.Attribute{Key: any(), Value: value()})
		}
		return out
	}
	f.next++
	s := signal.Span{Kind: signal.Kind(f.random.IntN(6)), Status: signal.Status(f.random.IntN(3)), Outcome: signal.Outcome(f.random.IntN(3)), Flags: f.random.Uint32(),
		Start: f.now.Add(time.Duration(f.next)*time.Millisecond).UnixNano() + f.random.Int64N(1000), Duration: f.random.Int64N(1e12), Name: any(), StatusMessage: any(), TraceState: any(), Scope: any(),
		Resource: &signal.Resource{Service: any(), Instance: any(), Version: any(), Lane: any(), Release: any(), Zone: any(), Attributes: attributes()}, Attributes: attributes()}
	f.fill(s.TraceID[:])
	f.fill(s.ID[:])
	if f.random.IntN(2) == 0 {
		f.fill(s.Parent[:])
	}
	for range f.random.IntN(3) {
		s.Events = append(s.Events, signal.Event{Name: any(), Time: s.Start, Attributes: attributes()})
		s.Links = append(s.Links, signal.Link{TraceID: s.TraceID, SpanID: s.ID, TraceState: any(), Attributes: attributes()})
	}
	return s
}

func batch(namespace string, arrived time.Time, spans ...signal.Span) *signal.Batch {
	return &signal.Batch{Namespace: namespace, Arrived: arrived, Spans: spans}
}

// expected is the spans of batches by trace, as a reader should get them.
func expected(batches ...*signal.Batch) map[signal.TraceID][]signal.Span {
	out := map[signal.TraceID][]signal.Span{}
	for _, b := range batches {
		for _, s := range b.Spans {
			out[s.TraceID] = append(out[s.TraceID], s)
		}
	}
	for id := range out {
		slices.SortFunc(out[id], func(a, b signal.Span) int {
			return cmp.Or(cmp.Compare(a.Start, b.Start), slices.Compare(a.ID[:], b.ID[:]))
		})
	}
	return out
}

func write(tb testing.TB, s signal.TraceWriter, b *signal.Batch) {
	tb.Helper()
	if err := s.Write(context.Background(), b); err != nil {
		tb.Fatal(err)
	}
}

func check(t *testing.T, s signal.TraceReader, namespace string, want map[signal.TraceID][]signal.Span) {
	t.Helper()
	for id, spans := range want {
		got, err := s.Trace(t.Context(), namespace, id, signal.Range{})
		if err != nil || len(got.Partial) > 0 {
			t.Fatalf("%v, %v", err, got.Partial)
		}
		if !reflect.DeepEqual(got.Spans, spans) {
			t.Fatalf("trace %s is\n%+v, not\n%+v", id, got.Spans, spans)
		}
	}
}

// meets is the definition of a query, for one span at a time.
func meets(q signal.TraceQuery, s *signal.Span) bool {
	r := s.Resource
	has := func(m signal.Match) bool {
		return slices.ContainsFunc(slices.Concat(s.Attributes, r.Attributes), func(a signal.Attribute) bool { return a.Key == m.Key && plain(a.Value) == m.Text })
	}
	is := func(want, have string) bool { return want == "" || want == have }
	return s.Start >= q.Since.UnixNano() && s.Start <= q.Until.UnixNano() &&
		s.Duration >= int64(q.MinDuration) && (q.MaxDuration == 0 || s.Duration <= int64(q.MaxDuration)) &&
		(q.Kind == signal.KindUnspecified || q.Kind == s.Kind) && (len(q.Outcomes) == 0 || slices.Contains(q.Outcomes, s.Outcome)) &&
		is(q.Service, r.Service) && is(q.Endpoint, s.Name) && is(q.Instance, r.Instance) && is(q.Version, r.Version) && is(q.Lane, r.Lane) && is(q.Release, r.Release) &&
		!slices.ContainsFunc(q.Attributes, func(m signal.Match) bool { return !has(m) })
}

// plain is a value as people write it; of the simple types without the help of wire.
func plain(v signal.Value) string {
	switch v.Type {
	case signal.TypeString:
		return v.Text
	case signal.TypeInt:
		return strconv.FormatInt(int64(v.Number), 10)
	case signal.TypeBool:
		return strconv.FormatBool(v.Number != 0)
	}
	return wire.Text(v)
}
