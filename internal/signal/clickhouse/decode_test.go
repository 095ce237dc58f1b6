package clickhouse

import (
	"reflect"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/internal/signal"
)

func sample() signal.Span {
	attributes := []signal.Attribute{{Key: "a", Value: signal.Value{Type: signal.TypeString, Text: "x\x00"}}, {Key: "a", Value: signal.Value{Type: signal.TypeInt, Number: 7}},
		{Key: "", Value: signal.Value{}}, {Key: "b", Value: signal.Value{Type: signal.TypeBytes, Text: "\xff"}}}
	return signal.Span{TraceID: signal.TraceID{1}, ID: signal.SpanID{2}, Name: "n", Start: 5, Duration: 6, Resource: &signal.Resource{Service: "s", Attributes: attributes}, Attributes: attributes,
		Events: []signal.Event{{Name: "e", Time: 9, Attributes: attributes[:2]}, {}}, Links: []signal.Link{{TraceID: signal.TraceID{3}, TraceState: "t"}}}
}

func encoded(s signal.Span) []byte { return appendSpan(appendResource(nil, s.Resource), &s) }

func TestRowsComeBack(t *testing.T) {
	s := sample()
	all, err := newRows(append(encoded(s), encoded(s)...)).spans()
	if err != nil || !reflect.DeepEqual(all, []signal.Span{s, s}) {
		t.Fatalf("%+v, %v", all, err)
	}
	if all[0].Resource != all[1].Resource {
		t.Error("a resource is there twice")
	}
	whole := encoded(s)
	for n := 1; n < len(whole); n++ {
		if _, err := newRows(whole[:n]).spans(); err == nil {
			t.Errorf("the first %d bytes are taken for a row", n)
		}
	}
}

// An answer of anything is an error or spans that are written as they were read, and never costs more than its size.
func FuzzRows(f *testing.F) {
	f.Add(encoded(sample()))
	f.Add(encoded(signal.Span{Resource: &signal.Resource{}}))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, answer []byte) {
		spans, err := newRows(answer).spans()
		if err != nil {
			return
		}
		var again []byte
		for _, s := range spans {
			again = append(again, encoded(s)...)
		}
		// What is not a number in one form only, such as 007, is the same span from then on.
		if _, err := newRows(again).spans(); err != nil {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
	})
}

func TestRowsBeginWithNamespaceAndArrival(t *testing.T) {
	s := sample()
	row := appendRow(nil, "ns", time.Unix(1, 0), appendResource(nil, s.Resource), &s)
	if want := append([]byte{2, 'n', 's', 1, 0, 0, 0}, encoded(s)...); !reflect.DeepEqual(row, want) {
		t.Errorf("%x", row)
	}
	if early := appendRow(nil, "", time.Unix(-1, 0), nil, &s); early[1] != 0 || early[4] != 0 {
		t.Errorf("before 1970: %x", early[:5])
	}
}
