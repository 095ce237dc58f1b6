package signal_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/gantry-platform/gantry/internal/signal"
)

func TestIdsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := signal.TraceID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		got, ok := signal.ParseTraceID(id.String())
		if ok == id.IsZero() || got != id {
			t.Fatalf("%s is read as %s, %v", id, got, ok)
		}
	})
	if id, ok := signal.ParseTraceID("aB1"); !ok || id.String() != "00000000000000000000000000000ab1" {
		t.Errorf("a short id is %s, %v", id, ok)
	}
	for _, bad := range []string{"", "0", "x", "123456789012345678901234567890123"} {
		if id, ok := signal.ParseTraceID(bad); ok {
			t.Errorf("%q is read as %s", bad, id)
		}
	}
	if id, ok := signal.ParseSpanID("12"); !ok || id.String() != "0000000000000012" {
		t.Errorf("a short span id is %s, %v", id, ok)
	}
}

func TestOutcomeOf(t *testing.T) {
	number := func(n int64) signal.Value { return signal.Value{Type: signal.TypeInt, Number: uint64(n)} }
	text := func(s string) signal.Value { return signal.Value{Type: signal.TypeString, Text: s} }
	for _, c := range []struct {
		name   string
		status signal.Status
		key    string
		value  signal.Value
		want   signal.Outcome
	}{
		{"nothing said", signal.StatusUnset, "", signal.Value{}, signal.Success},
		{"error alone", signal.StatusError, "", signal.Value{}, signal.Failed},
		{"500", signal.StatusUnset, "http.response.status_code", number(500), signal.Failed},
		{"a client's 404 is an error of its span", signal.StatusError, "http.response.status_code", number(404), signal.Refused},
		{"old name", signal.StatusUnset, "http.status_code", number(422), signal.Refused},
		{"Zipkin's tag", signal.StatusUnset, "http.status_code", text("503"), signal.Failed},
		{"too many requests", signal.StatusUnset, "http.response.status_code", number(429), signal.Failed},
		{"200 with an error", signal.StatusError, "http.response.status_code", number(200), signal.Failed},
		{"grpc not found", signal.StatusError, "rpc.grpc.status_code", number(5), signal.Refused},
		{"grpc unavailable", signal.StatusUnset, "rpc.grpc.status_code", number(14), signal.Failed},
		{"grpc by name", signal.StatusUnset, "rpc.response.status_code", text("FAILED_PRECONDITION"), signal.Refused},
		{"the service knows better", signal.StatusError, signal.OutcomeAttribute, text("refused"), signal.Refused},
	} {
		s := signal.Span{Status: c.status, Attributes: []signal.Attribute{{Key: c.key, Value: c.value}}}
		if got := signal.OutcomeOf(&s); got != c.want {
			t.Errorf("%s: %s, not %s", c.name, got, c.want)
		}
	}
}
