package clickhouse

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gantry-platform/gantry/internal/signal"
)

const (
	// searchTime bounds a search; what it has found by then is answered as truncated.
	searchTime = 10 * time.Second
	// firstSlice is the newest part of the time that a search looks at; each further one is larger by growth.
	firstSlice = 5 * time.Minute
	growth     = 4
	// around is how far from a found span the rest of its trace is looked for.
	around = time.Hour
	// skew is how much earlier than it began, by clocks that differ, a span may arrive. Ingest refuses those from further in the future than an hour.
	skew = 2 * time.Hour
	// matchedSpans is how many spans of a trace are named as matches.
	matchedSpans = 3
	// summarized is how many traces are summarized by one question, and maxBrief how many spans that may bring.
	summarized = 100
	maxBrief   = 500_000
)

// candidate is a trace that has a match.
type candidate struct {
	id      signal.TraceID
	latest  int64 // start of its latest match
	matched []signal.SpanID
}

// Search implements [signal.TraceReader]. What is newest goes by the latest span that matched.
func (s *Store) Search(ctx context.Context, q signal.TraceQuery) (signal.SearchResult, error) {
	var out signal.SearchResult
	if err := q.Complete(s.options.Clock()); err != nil {
		return out, err
	}
	looking, cancel := context.WithTimeout(ctx, searchTime)
	defer cancel()
	found, err := s.candidates(looking, &q)
	if err == nil {
		err = s.summarize(looking, q.Namespace, found, &out)
	}
	switch {
	case ctx.Err() != nil:
		return out, ctx.Err()
	case err != nil && outOfTime(err):
		out.Truncated = true
		if len(out.Traces) == 0 && len(found) > 0 {
			// The search took all of the time: what it found is still worth having.
			again, cancel := context.WithTimeout(ctx, searchTime/4)
			defer cancel()
			if err := s.summarize(again, q.Namespace, found, &out); err != nil && !outOfTime(err) {
				return out, s.failed(ctx, err)
			}
		}
	case err != nil:
		return out, s.failed(ctx, err)
	}
	slices.SortStableFunc(out.Traces, func(a, b signal.TraceSummary) int { return b.Start.Compare(a.Start) })
	return out, nil
}

// candidates looks through slices of time, the newest first. A trace of a newer slice has a later match than all that only older ones have, so that it may
// stop when it has enough. With an error come the candidates of the slices that were answered.
func (s *Store) candidates(ctx context.Context, q *signal.TraceQuery) ([]candidate, error) {
	var out []candidate
	known := map[signal.TraceID]bool{}
	// No span begins before 1970, and DateTime64(9) cannot say much that is earlier.
	since, until := max(0, nanoseconds(q.Since)), nanoseconds(q.Until)
	if until < since {
		return nil, nil
	}
	for slice := firstSlice; ; slice *= growth {
		from := since
		if until-since > int64(slice) {
			from = until - int64(slice)
		}
		// Traces that are known may come again.
		answer, err := s.ask(ctx, matching(q, from, until, q.Limit+len(known)), searchTime)
		if err != nil {
			return out, err
		}
		for answer.more() {
			c := candidate{id: answer.traceID(), latest: answer.int64()}
			for range answer.length() {
				c.matched = append(c.matched, answer.spanID())
			}
			if answer.err == nil && !known[c.id] && len(out) < q.Limit {
				known[c.id] = true
				out = append(out, c)
			}
		}
		if answer.err != nil {
			return out, answer.err
		}
		if len(out) == q.Limit || from == since {
			return out, nil
		}
		until = from - 1 // from is after since, and so after 1970
	}
}

// matching is the question for the traces of a slice of time, both ends included.
func matching(q *signal.TraceQuery, from, until int64, limit int) *statement {
	out := newStatement(fmt.Sprintf("SELECT trace_id, toUnixTimestamp64Nano(max(start)) AS newest, groupUniqArray(%d)(span_id) FROM gantry_spans WHERE namespace = ", matchedSpans)).text(q.Namespace)
	out.add(" AND start >= ").time(from).add(" AND start <= ").time(until)
	out.add(" AND arrived >= toDateTime(").number(max(0, from/int64(time.Second)-int64(skew/time.Second))).add(", 'UTC')")
	for _, word := range [...]struct{ column, text string }{{"service", q.Service}, {"name", q.Endpoint}, {"instance", q.Instance}, {"version", q.Version}, {"lane", q.Lane}, {"release", q.Release}} {
		if word.text != "" {
			out.add(" AND " + word.column + " = ").text(word.text)
		}
	}
	if q.Kind != signal.KindUnspecified {
		out.add(" AND kind = ").text(q.Kind.String())
	}
	if len(q.Outcomes) > 0 {
		names := make([]string, len(q.Outcomes))
		for i, outcome := range q.Outcomes {
			names[i] = outcome.String()
		}
		out.add(" AND has(").texts(names).add(", toString(outcome))")
	}
	if q.MinDuration > 0 {
		out.add(" AND duration >= ").number(int64(q.MinDuration))
	}
	if q.MaxDuration > 0 {
		out.add(" AND duration <= ").number(int64(q.MaxDuration))
	}
	for _, m := range q.Attributes {
		out.attribute(m)
	}
	return out.add(fmt.Sprintf(" GROUP BY trace_id ORDER BY newest DESC, trace_id LIMIT %d FORMAT RowBinary", limit))
}

// attribute asks for a key with a text, on the span or its resource. The has() are what the bloom filters answer; key and text of one place decide.
func (q *statement) attribute(m signal.Match) {
	q.add(" AND (")
	for i, of := range [...]string{"attribute", "resource"} {
		if i > 0 {
			q.add(" OR ")
		}
		q.add("has(" + of + "_keys, ").text(m.Key).add(") AND has(" + of + "_values, ").text(m.Text)
		q.add(") AND arrayExists((k, v) -> k = ").text(m.Key).add(" AND v = ").text(m.Text).add(", " + of + "_keys, " + of + "_values)")
	}
	q.add(")")
}

// summarize reads what a list shows of traces, some at a time, those that are near each other in time together.
func (s *Store) summarize(ctx context.Context, namespace string, found []candidate, out *signal.SearchResult) error {
	for some := range slices.Chunk(found, summarized) {
		answer, err := s.ask(ctx, brief(namespace, some), searchTime)
		if err != nil {
			return err
		}
		of := map[signal.TraceID][]signal.Span{}
		resources := map[string]*signal.Resource{}
		spans := 0
		for ; answer.more(); spans++ {
			service := answer.word()
			resource, ok := resources[service]
			if !ok {
				resource = &signal.Resource{Service: service}
				resources[service] = resource
			}
			span := signal.Span{Resource: resource, TraceID: answer.traceID(), ID: answer.spanID(), Parent: answer.spanID(), Kind: signal.Kind(answer.byte()),
				Outcome: signal.Outcome(answer.byte()), Start: answer.int64(), Duration: answer.int64(), Name: answer.word()}
			of[span.TraceID] = append(of[span.TraceID], span)
		}
		if answer.err != nil {
			return answer.err
		}
		if spans == maxBrief {
			out.Partial = []string{fmt.Sprintf("spans after the first %d of these traces", maxBrief)}
		}
		for _, c := range some {
			if spans := signal.Ordered(of[c.id]); len(spans) > 0 {
				out.Traces = append(out.Traces, signal.Summarize(spans, c.matched))
			}
		}
	}
	return nil
}

// brief is the question for what a list shows of the spans of some traces.
func brief(namespace string, of []candidate) *statement {
	earliest := slices.MinFunc(of, func(a, b candidate) int { return cmp.Compare(a.latest, b.latest) }).latest
	latest := slices.MaxFunc(of, func(a, b candidate) int { return cmp.Compare(a.latest, b.latest) }).latest
	ids := make([]string, len(of))
	for i := range of {
		ids[i] = of[i].id.String()
	}
	from, until := max(0, earliest-int64(around)), max(latest, latest+int64(around)) // the sum may be beyond what can be told
	return newStatement("SELECT service, trace_id, span_id, parent_id, kind, outcome, start, duration, name FROM gantry_spans WHERE namespace = ").text(namespace).
		add(" AND start >= ").time(from).add(" AND start <= ").time(until).
		add(" AND arrived >= toDateTime(").number(max(0, from/int64(time.Second)-int64(skew/time.Second))).add(", 'UTC')").
		add(" AND trace_id IN (SELECT toFixedString(unhex(arrayJoin(").texts(ids). // of a list of constants that a function makes, the filter is not asked
		add(fmt.Sprintf(")), 16)) ORDER BY start LIMIT %d FORMAT RowBinary", maxBrief))
}
