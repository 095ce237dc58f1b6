package clickhouse

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/gantry-platform/gantry/internal/signal"
)

const (
	// readTime bounds one question that is no search.
	readTime = 10 * time.Second
	// maxSpans bounds a trace that is read, maxNames a list of names.
	maxSpans = 100_000
	maxNames = 10_000
)

// ask sends a question that may take as long as ctx has, but no longer than atMost, and tells ClickHouse so: it need not work for nobody.
func (s *Store) ask(ctx context.Context, q *statement, atMost time.Duration) (*rows, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	asking, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	deadline, _ := asking.Deadline()
	left := max(1, int(math.Ceil(time.Until(deadline).Seconds())))
	begun := time.Now()
	answer, err := s.client.query(asking, q, map[string]string{"max_execution_time": strconv.Itoa(left), "timeout_overflow_mode": "throw"})
	s.metrics.query.WithLabelValues(strconv.FormatBool(err == nil)).Observe(time.Since(begun).Seconds())
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, err
	}
	return newRows(answer), nil
}

// failed makes an error for users, and keeps ClickHouse's words for the log.
func (s *Store) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.said.once(s.log, "read", "a question to ClickHouse failed", err)
	return faultOf(err)
}

// nanoseconds is a time since 1970, or the nearest that can be told.
func nanoseconds(t time.Time) int64 {
	switch seconds := t.Unix(); {
	case seconds <= math.MinInt64/int64(time.Second):
		return math.MinInt64
	case seconds >= math.MaxInt64/int64(time.Second):
		return math.MaxInt64
	}
	return t.UnixNano()
}

// bounds are a range in nanoseconds. What does not bound is the earliest or the latest that DateTime64(9) can say.
func bounds(within signal.Range) (since, until int64) {
	since, until = math.MinInt64, math.MaxInt64
	if !within.Since.IsZero() {
		since = nanoseconds(within.Since)
	}
	if !within.Until.IsZero() {
		until = nanoseconds(within.Until)
	}
	return since, until
}

// overlaps keeps rows of gantry_trace_times and gantry_names whose time touches a range.
func (q *statement) overlaps(within signal.Range) *statement {
	since, until := bounds(within)
	return q.add(" AND toUnixTimestamp64Nano(latest) >= ").number(since).add(" AND toUnixTimestamp64Nano(earliest) <= ").number(until)
}

// Trace implements [signal.TraceReader]. The range says when the trace was, not which of its spans are wanted.
func (s *Store) Trace(ctx context.Context, namespace string, id signal.TraceID, within signal.Range) (signal.Trace, error) {
	q := newStatement("SELECT toUnixTimestamp64Nano(min(earliest)), toUnixTimestamp64Nano(max(latest)), count() FROM gantry_trace_times WHERE trace_id = unhex(").text(id.String()).
		add(") AND namespace = ").text(namespace).overlaps(within).add(" FORMAT RowBinary")
	times, err := s.ask(ctx, q, readTime)
	if err != nil {
		return signal.Trace{}, s.failed(ctx, err)
	}
	earliest, latest, found := times.int64(), times.int64(), times.int64()
	if times.err != nil {
		return signal.Trace{}, s.failed(ctx, times.err)
	}
	if found == 0 {
		return signal.Trace{}, nil
	}
	q = newStatement("SELECT " + resourceColumns + ", " + spanColumns + " FROM gantry_spans WHERE namespace = ").text(namespace).add(" AND trace_id = unhex(").text(id.String()).
		add(") AND start >= ").time(earliest).add(" AND start <= ").time(latest).add(fmt.Sprintf(" ORDER BY start LIMIT %d FORMAT RowBinary", maxSpans+1))
	answer, err := s.ask(ctx, q, readTime)
	if err != nil {
		return signal.Trace{}, s.failed(ctx, err)
	}
	spans, err := answer.spans()
	if err != nil {
		return signal.Trace{}, s.failed(ctx, err)
	}
	var out signal.Trace
	if len(spans) > maxSpans {
		spans = spans[:maxSpans]
		out.Partial = []string{fmt.Sprintf("spans after the first %d", maxSpans)}
	}
	out.Spans = signal.Ordered(spans)
	return out, nil
}

// Services implements [signal.TraceReader].
func (s *Store) Services(ctx context.Context, namespace string, within signal.Range) ([]string, error) {
	q := newStatement("SELECT DISTINCT service AS found FROM gantry_names WHERE namespace = ").text(namespace).overlaps(within)
	return s.names(ctx, q)
}

// Endpoints implements [signal.TraceReader].
func (s *Store) Endpoints(ctx context.Context, namespace, service string, kind signal.Kind, within signal.Range) ([]string, error) {
	q := newStatement("SELECT DISTINCT name AS found FROM gantry_names WHERE namespace = ").text(namespace).add(" AND service = ").text(service).overlaps(within)
	if kind != signal.KindUnspecified {
		q.add(" AND kind = ").text(kind.String())
	}
	return s.names(ctx, q)
}

// attributeSpans bounds the spans that a look at attributes counts.
const attributeSpans = 20_000

// Attributes implements [signal.TraceReader].
func (s *Store) Attributes(ctx context.Context, q signal.AttributeQuery) (signal.AttributeResult, error) {
	var out signal.AttributeResult
	if err := q.Complete(); err != nil {
		return out, err
	}
	answer, err := s.ask(ctx, attributesOf(&q), readTime)
	if err != nil {
		return out, s.failed(ctx, err)
	}
	for answer.more() {
		found := signal.AttributeCount{Text: answer.text(), Spans: int(answer.int64())}
		out.Spans = int(answer.int64())
		out.Attributes = append(out.Attributes, found)
	}
	if answer.err != nil {
		return out, s.failed(ctx, answer.err)
	}
	out.Truncated = len(out.Attributes) > q.Limit || out.Spans == attributeSpans
	out.Attributes = out.Attributes[:min(len(out.Attributes), q.Limit)]
	return out, nil
}

// attributesOf counts texts over the spans that arrived last; each row says how many spans those are.
func attributesOf(q *signal.AttributeQuery) *statement {
	of := "arrayDistinct(arrayConcat(attribute_keys, resource_keys))"
	out := newStatement("WITH looked AS (SELECT ")
	if q.Key == "" {
		out.add(of)
	} else {
		out.add("arrayDistinct(arrayConcat(arrayFilter((v, k) -> k = ").text(q.Key).add(", attribute_values, attribute_keys), arrayFilter((v, k) -> k = ").text(q.Key).
			add(", resource_values, resource_keys)))")
	}
	out.add(" AS texts FROM gantry_spans WHERE namespace = ").text(q.Namespace)
	if q.Service != "" {
		out.add(" AND service = ").text(q.Service)
	}
	if !q.Within.Since.IsZero() {
		since := max(0, nanoseconds(q.Within.Since))
		out.add(" AND start >= ").time(since).add(" AND arrived >= toDateTime(").number(max(0, since/int64(time.Second)-int64(skew/time.Second))).add(", 'UTC')")
	}
	if !q.Within.Until.IsZero() {
		out.add(" AND start <= ").time(nanoseconds(q.Within.Until))
	}
	out.add(fmt.Sprintf(" ORDER BY arrived DESC LIMIT %d)", attributeSpans))
	out.add(" SELECT toString(arrayJoin(texts)) AS found, toInt64(count()) AS spans, toInt64((SELECT count() FROM looked)) FROM looked WHERE 1")
	out.add(fmt.Sprintf(" GROUP BY found HAVING length(found) BETWEEN 1 AND %d", signal.MaxAttributeText))
	if q.Prefix != "" {
		out.add(" AND startsWith(lowerUTF8(found), lowerUTF8(").text(q.Prefix).add("))")
	}
	return out.add(fmt.Sprintf(" ORDER BY spans DESC, found LIMIT %d FORMAT RowBinary", q.Limit+1))
}

func (s *Store) names(ctx context.Context, q *statement) ([]string, error) {
	answer, err := s.ask(ctx, q.add(fmt.Sprintf(" ORDER BY found LIMIT %d FORMAT RowBinary", maxNames)), readTime)
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	var out []string
	for answer.more() {
		out = append(out, answer.text())
	}
	if answer.err != nil {
		return nil, s.failed(ctx, answer.err)
	}
	return out, nil
}
