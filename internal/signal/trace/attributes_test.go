package trace_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/trace"
	"github.com/gantry-platform/gantry/internal/signal/wire"
)

// counted is what an answer should be, by a look at every span.
func counted(q signal.AttributeQuery, all []*signal.Batch) map[string]int {
	counts := map[string]int{}
	for _, b := range all {
		for i := range b.Spans {
			span := &b.Spans[i]
			if q.Service != "" && span.Resource.Service != q.Service {
				continue
			}
			texts := map[string]bool{}
			for _, a := range slices.Concat(span.Attributes, span.Resource.Attributes) {
				switch {
				case q.Key == "":
					texts[a.Key] = true
				case q.Key == a.Key && a.Value.Type != signal.TypeBytes && a.Value.Type != signal.TypeJSON:
					texts[wire.Text(a.Value)] = true
				}
			}
			for text := range texts {
				if strings.HasPrefix(strings.ToLower(text), strings.ToLower(q.Prefix)) {
					counts[text]++
				}
			}
		}
	}
	return counts
}

// The same is told of spans in memory and in blocks.
func TestAttributesOfTheNewestSpans(t *testing.T) {
	s := open(t, trace.Options{Dir: t.TempDir()})
	f := newFleet(4, noon)
	var all []*signal.Batch
	for range 60 {
		b := batch(t, "default", noon, f.trace())
		all = append(all, b)
		write(t, s, b)
	}
	for _, place := range []string{"memory", "blocks"} {
		for name, q := range map[string]signal.AttributeQuery{
			"keys":             {},
			"keys of a prefix": {Prefix: "HTTP."},
			"of a service":     {Service: "loan"},
			"grades":           {Key: "customer.grade"},
			"orders":           {Key: "order.no", Prefix: "l0000"},
			"numbers":          {Key: "http.response.status_code"},
			"of the resource":  {Key: "service.version"},
			"nothing":          {Key: "no.such"},
		} {
			q.Namespace, q.Limit = "default", 500
			got, err := s.Attributes(t.Context(), q)
			if err != nil || got.Truncated || len(got.Partial) > 0 {
				t.Fatalf("%s, %s: %v, %+v", place, name, err, got)
			}
			want, found := counted(q, all), map[string]int{}
			for _, a := range got.Attributes {
				found[a.Text] = a.Spans
			}
			if !maps.Equal(found, want) {
				t.Errorf("%s, %s: %v, not %v", place, name, found, want)
			}
			if !slices.IsSortedFunc(got.Attributes, func(a, b signal.AttributeCount) int { return b.Spans - a.Spans }) {
				t.Errorf("%s, %s: not the most frequent first", place, name)
			}
		}
		if got, err := s.Attributes(t.Context(), signal.AttributeQuery{Namespace: "default", Limit: 2}); err != nil || len(got.Attributes) != 2 || !got.Truncated {
			t.Errorf("%s: %+v, %v", place, got, err)
		}
		for _, q := range []signal.AttributeQuery{{Namespace: "other"}, {Namespace: "default", Within: signal.Range{Until: noon.Add(-time.Hour)}}} {
			if got, err := s.Attributes(t.Context(), q); err != nil || len(got.Attributes) != 0 {
				t.Errorf("%s: %+v, %v", place, got, err)
			}
		}
		flush(t, s)
	}
	for name, q := range map[string]signal.AttributeQuery{"namespace": {}, "limit": {Namespace: "default", Limit: 501}, "prefix": {Namespace: "default", Prefix: strings.Repeat("x", 2000)}} {
		_, err := s.Attributes(t.Context(), q)
		if f, ok := fault.As(err); !ok || f.Code != fault.Invalid || f.Field != name {
			t.Errorf("%s: %v", name, err)
		}
	}
}
