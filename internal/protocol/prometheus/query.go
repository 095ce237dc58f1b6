package prometheus

import (
	"context"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/stats"

	"github.com/gantry-platform/gantry/internal/fault"
)

// query answers /query: a query at one time.
func query(q *question) (any, error) {
	at, err := q.time("time", time.Now())
	if err != nil {
		return nil, err
	}
	return q.execute(func(ctx context.Context, options promql.QueryOpts) (promql.Query, error) {
		return q.view.NewInstant(ctx, q.form("query"), at, options)
	})
}

// queryRange answers /query_range: a query at every step of a time.
func queryRange(q *question) (any, error) {
	since, err := q.time("start", time.Time{})
	if err != nil {
		return nil, err
	}
	until, err := q.time("end", time.Time{})
	if err != nil {
		return nil, err
	}
	step, err := q.duration("step")
	if err != nil {
		return nil, err
	}
	for name, missing := range map[string]bool{"start": since.IsZero(), "end": until.IsZero(), "step": q.form("step") == ""} {
		if missing {
			return nil, badParameter(name, "it is missing")
		}
	}
	return q.execute(func(ctx context.Context, options promql.QueryOpts) (promql.Query, error) {
		return q.view.NewRange(ctx, q.form("query"), since, until, step, options)
	})
}

// execute runs a query with the parameters that both kinds share.
func (q *question) execute(prepare func(context.Context, promql.QueryOpts) (promql.Query, error)) (any, error) {
	limit, err := q.limit()
	if err != nil {
		return nil, err
	}
	timeout, err := q.duration("timeout")
	if err != nil {
		return nil, err
	}
	lookback, err := q.duration("lookback_delta")
	if err != nil {
		return nil, err
	}
	ctx := q.request.Context()
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	run, err := prepare(ctx, promql.NewPrometheusQueryOpts(q.form("stats") == "all", lookback, nil))
	if err != nil {
		return nil, err
	}
	outcome := run.Exec(ctx)
	if outcome.Err != nil {
		run.Close()
		return nil, q.view.Fault(outcome.Err)
	}
	q.view.Succeeded()
	const most = 10 // lines of warnings, as Prometheus gives
	q.warnings, q.infos = outcome.Warnings.AsStrings(q.form("query"), most, most)
	answer := &result{kind: string(outcome.Value.Type()), close: run.Close}
	switch value := outcome.Value.(type) {
	case promql.Vector:
		answer.vector = value
		if limit > 0 && len(value) > limit {
			answer.vector = value[:limit]
			q.truncated()
		}
	case promql.Matrix:
		answer.matrix = value
		if limit > 0 && len(value) > limit {
			answer.matrix = value[:limit]
			q.truncated()
		}
	default:
		answer.other = value
	}
	if q.form("stats") != "" {
		figures := stats.NewQueryStats(run.Stats())
		answer.stats = &figures
	}
	return answer, nil
}

func (q *question) truncated() {
	q.warnings = append(q.warnings, "results truncated due to limit")
}

// queryExemplars answers /query_exemplars: exemplars of the series that a query selects.
func queryExemplars(q *question) (any, error) {
	since, until, err := q.times()
	if err != nil {
		return nil, err
	}
	expression, err := q.parser.ParseExpr(q.form("query"))
	if err != nil {
		return nil, badParameter("query", "%v", err)
	}
	answer := []exemplarsOf{}
	selectors := parser.ExtractSelectors(expression)
	if len(selectors) == 0 {
		return answer, nil
	}
	querier, err := q.view.ExemplarQuerier(q.request.Context())
	if err != nil {
		return nil, err
	}
	found, err := querier.Select(since, until, selectors...)
	if err != nil {
		return nil, err
	}
	for _, series := range found {
		one := exemplarsOf{SeriesLabels: series.SeriesLabels, Exemplars: []exemplarJSON{}}
		for _, e := range series.Exemplars {
			one.Exemplars = append(one.Exemplars, shapeExemplar(e))
		}
		answer = append(answer, one)
	}
	return answer, nil
}

type exemplarsOf struct {
	SeriesLabels labels.Labels  `json:"seriesLabels"`
	Exemplars    []exemplarJSON `json:"exemplars"`
}

// exemplarJSON has its value as text and its time in seconds, as samples have.
type exemplarJSON struct {
	Labels    labels.Labels `json:"labels"`
	Value     string        `json:"value"`
	Timestamp float64       `json:"timestamp"`
}

func shapeExemplar(e exemplar.Exemplar) exemplarJSON {
	return exemplarJSON{Labels: e.Labels, Value: strconv.FormatFloat(e.Value, 'f', -1, 64), Timestamp: float64(e.Ts) / 1000}
}

// formatQuery answers /format_query.
func (h *Handler) formatQuery(q *question) (any, error) {
	if len(q.form("query")) > maxFormatted {
		return nil, badParameter("query", "it has more than %d bytes", maxFormatted)
	}
	expression, err := h.parser.ParseExpr(q.form("query"))
	if err != nil {
		return nil, badParameter("query", "%v", err)
	}
	return expression.Pretty(0), nil
}

// maxFormatted is the longest query that is parsed outside of the engine, which has a limit of its own.
const maxFormatted = 64 << 10

func badParameter(name, format string, args ...any) error {
	return fault.New(fault.Invalid, "request.bad_parameter", format, args...).At(name).Hinted("see https://prometheus.io/docs/prometheus/latest/querying/api/")
}

// form is a parameter of the address or the body.
func (q *question) form(name string) string { return q.request.Form.Get(name) }

// limit is how many things are wanted; 0 is all.
func (q *question) limit() (int, error) {
	text := q.form("limit")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, badParameter("limit", "%q is no count", clip(text))
	}
	return n, nil
}

// Times that milliseconds can count, with room for what is added to them.
var (
	earliest = time.UnixMilli(math.MinInt64 / 1000)
	latest   = time.UnixMilli(math.MaxInt64 / 1000)
)

// time is a parameter in seconds since 1970 or by RFC 3339.
func (q *question) time(name string, standard time.Time) (time.Time, error) {
	text := q.form(name)
	if text == "" {
		return standard, nil
	}
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		if math.IsNaN(seconds) || math.Abs(seconds) > math.MaxInt64/1e6 {
			return time.Time{}, badParameter(name, "%q is no time that can be counted", clip(text))
		}
		whole, part := math.Modf(seconds)
		return time.Unix(int64(whole), int64(math.Round(part*1000))*1e6).UTC(), nil
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, badParameter(name, "%q is no time: neither seconds nor RFC 3339", clip(text))
	}
	return at, nil
}

// times are start and end in milliseconds, by default all times.
func (q *question) times() (since, until int64, err error) {
	start, err := q.time("start", earliest)
	if err != nil {
		return 0, 0, err
	}
	end, err := q.time("end", latest)
	if err != nil {
		return 0, 0, err
	}
	if end.Before(start) {
		return 0, 0, badParameter("end", "the end is before the start")
	}
	return start.UnixMilli(), end.UnixMilli(), nil
}

// duration is a parameter in seconds or like 1m30s; 0 when it is not given, otherwise above 0.
func (q *question) duration(name string) (time.Duration, error) {
	text := q.form(name)
	if text == "" {
		return 0, nil
	}
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		if math.IsNaN(seconds) || seconds*float64(time.Second) > math.MaxInt64/2 || seconds <= 0 {
			return 0, badParameter(name, "%q is no duration above zero", clip(text))
		}
		return time.Duration(seconds * float64(time.Second)), nil
	}
	d, err := model.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, badParameter(name, "%q is no duration above zero", clip(text))
	}
	return time.Duration(d), nil
}

func clip(text string) string {
	const most = 100
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}

// matchers are the parameters match[].
func (q *question) matchers() ([][]*labels.Matcher, error) {
	selectors := q.request.Form["match[]"]
	const most = 100
	if len(selectors) > most {
		return nil, badParameter("match[]", "%d selectors, and %d are allowed", len(selectors), most)
	}
	sets, err := q.parser.ParseMetricSelectors(selectors)
	if err != nil {
		return nil, badParameter("match[]", "%v", err)
	}
	for _, set := range sets {
		if !slices.ContainsFunc(set, func(m *labels.Matcher) bool { return !m.Matches("") }) {
			return nil, badParameter("match[]", "match[] must contain at least one non-empty matcher")
		}
	}
	return sets, nil
}
