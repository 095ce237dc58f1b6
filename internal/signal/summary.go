package signal

import (
	"cmp"
	"slices"
	"time"
)

// Ordered sorts spans by start, and leaves out those that are there twice because they were sent again.
func Ordered(spans []Span) []Span {
	slices.SortStableFunc(spans, func(a, b Span) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), slices.Compare(a.ID[:], b.ID[:]))
	})
	return slices.CompactFunc(spans, func(a, b Span) bool {
		return a.ID == b.ID && a.Start == b.Start && a.Duration == b.Duration && a.Name == b.Name && a.Kind == b.Kind
	})
}

// Summarize makes a list's entry of a trace's spans, of which there is at least one, by start.
func Summarize(spans []Span, matched []SpanID) TraceSummary {
	root := &spans[0]
	s := TraceSummary{TraceID: root.TraceID, Spans: len(spans), Services: map[string]int{}, Matched: matched}
	earliest, latest := root.Start, root.End()
	for i := range spans {
		span := &spans[i]
		earliest, latest = min(earliest, span.Start), max(latest, span.End())
		s.Services[span.Resource.Service]++
		if span.Outcome == Failed {
			s.Failed++
		}
		if span.Parent.IsZero() && !s.Complete {
			root, s.Complete = span, true
		}
	}
	s.RootService, s.RootName = root.Resource.Service, root.Name
	s.Start, s.Duration = time.Unix(0, earliest), time.Duration(latest-earliest)
	return s
}
