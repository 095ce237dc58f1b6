package jaeger

import (
	"cmp"
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/signal"
)

const (
	// lookback is how far a search goes back that names no beginning, as in Jaeger.
	lookback = 48 * time.Hour
	// defaultTraces and maxTraces bound an answer. Jaeger's UI offers up to 1,500.
	defaultTraces, maxTraces = 100, 1000
	// maxSpans bounds the spans of an answer together, some 100 MB of JSON.
	maxSpans = 100_000
	// maxConditions bounds tags and trace ids of one question.
	maxConditions = 100
	// around is how far from its known spans a trace is looked for.
	around = time.Hour
)

// badParameter is an error in one parameter.
func badParameter(name, value string) *fault.Error {
	if len(value) > 100 {
		value = value[:100] + "..."
	}
	return fault.New(fault.Invalid, "jaeger.bad_parameter", "unable to parse param '%s': %q", name, value).At(name)
}

// moment reads microseconds since 1970.
func moment(name, value string) (time.Time, error) {
	if value == "" {
		return time.Time{}, nil
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 0 || n > 1<<63/1000-1 {
		return time.Time{}, badParameter(name, value).Hinted("it is microseconds since 1970")
	}
	return time.UnixMicro(n), nil
}

func duration(name, value string) (time.Duration, error) {
	if value == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(value)
	if err != nil || d < 0 {
		return 0, badParameter(name, value).Hinted("write it as 100ms or 1.2s")
	}
	return d, nil
}

// search is a question for traces, read from the parameters of HTTP.
func search(namespace string, v url.Values, now time.Time) (signal.TraceQuery, error) {
	q := signal.TraceQuery{Namespace: namespace, Service: v.Get("service"), Endpoint: v.Get("operation"), Limit: defaultTraces}
	if q.Service == "" {
		return q, fault.New(fault.Invalid, "jaeger.bad_parameter", "parameter 'service' is required").At("service")
	}
	var err error
	if q.Since, err = moment("start", v.Get("start")); err != nil {
		return q, err
	}
	if q.Until, err = moment("end", v.Get("end")); err != nil {
		return q, err
	}
	if q.MinDuration, err = duration("minDuration", v.Get("minDuration")); err != nil {
		return q, err
	}
	if q.MaxDuration, err = duration("maxDuration", v.Get("maxDuration")); err != nil {
		return q, err
	}
	if limit := v.Get("limit"); limit != "" {
		n, err := strconv.ParseUint(limit, 10, 31)
		if err != nil || n == 0 {
			return q, badParameter("limit", limit).Hinted("it is a number from 1 to %d", maxTraces)
		}
		q.Limit = int(min(n, maxTraces))
	}
	tags, err := tagsAsked(v)
	if err != nil {
		return q, err
	}
	return q, complete(&q, tags, now)
}

// tagsAsked reads tags: as tag=key:value, any number of them, and as tags={"key":"value"}.
func tagsAsked(v url.Values) (map[string]string, error) {
	tags := map[string]string{}
	for _, tag := range v["tag"] {
		key, value, ok := strings.Cut(tag, ":")
		if !ok {
			return nil, fault.New(fault.Invalid, "jaeger.bad_parameter", "malformed 'tag' parameter, expecting key:value").At("tag")
		}
		tags[key] = value
	}
	for _, object := range v["tags"] {
		if object == "" {
			continue
		}
		var fields map[string]any
		d := json.NewDecoder(strings.NewReader(object))
		d.UseNumber()
		if err := d.Decode(&fields); err != nil {
			return nil, fault.New(fault.Invalid, "jaeger.bad_parameter", "malformed 'tags' parameter, cannot unmarshal JSON").At("tags").Hinted(`write it as {"key":"value"}`)
		}
		for key, value := range fields {
			switch value := value.(type) {
			case string:
				tags[key] = value
			case bool:
				tags[key] = strconv.FormatBool(value)
			case json.Number:
				tags[key] = value.String()
			default:
				return nil, fault.New(fault.Invalid, "jaeger.bad_parameter", "malformed 'tags' parameter: the value of %q is no text", key).At("tags").Hinted(`write it as {"key":"value"}`)
			}
		}
	}
	return tags, nil
}

// complete fills in the times, and turns tags into conditions. Some tags are no attributes here.
func complete(q *signal.TraceQuery, tags map[string]string, now time.Time) error {
	if q.Until.IsZero() {
		q.Until = now
	}
	if q.Since.IsZero() {
		q.Since = q.Until.Add(-lookback)
	}
	if q.MaxDuration > 0 && q.MinDuration > q.MaxDuration {
		return fault.New(fault.Invalid, "jaeger.bad_parameter", "'maxDuration' should be greater than 'minDuration'").At("maxDuration")
	}
	if len(tags) > maxConditions {
		return fault.New(fault.TooLarge, "jaeger.too_many", "%d tags are more than %d", len(tags), maxConditions).At("tags")
	}
	for key, value := range tags {
		switch {
		case key == "span.kind":
			kind, ok := signal.ParseKind(strings.ToLower(value))
			if !ok {
				return badParameter("tags", key+"="+value).Hinted("a span.kind is server, client, producer, consumer or internal")
			}
			q.Kind = kind
		case key == "error" && value == "true", key == "otel.status_code" && strings.EqualFold(value, "ERROR"):
			q.Outcomes = []signal.Outcome{signal.Failed}
		case key == signal.OutcomeAttribute:
			outcome, ok := signal.ParseOutcome(value)
			if !ok {
				return badParameter("tags", key+"="+value).Hinted("an outcome is success, refused or failed")
			}
			q.Outcomes = []signal.Outcome{outcome}
		default:
			q.Attributes = append(q.Attributes, signal.Match{Key: key, Text: value})
		}
	}
	slices.SortFunc(q.Attributes, func(a, b signal.Match) int { return cmp.Compare(a.Key, b.Key) })
	return nil
}

// found is traces in whole.
type found struct {
	traces []signal.Trace
	spans  int
	// leftOut says why there may be more.
	leftOut []string
}

// find searches, and reads the traces that were found, until they are too many.
func (h *Handler) find(ctx context.Context, q signal.TraceQuery) (found, error) {
	result, err := h.Traces.Search(ctx, q)
	if err != nil {
		return found{}, err
	}
	var f found
	for _, what := range result.Partial {
		f.leftOut = append(f.leftOut, "traces may be missing: "+what)
	}
	if result.Truncated {
		f.leftOut = append(f.leftOut, "the search ended early: there may be older traces; ask for a shorter time")
	}
	for i := range result.Traces {
		summary := &result.Traces[i]
		within := signal.Range{Since: summary.Start.Add(-around), Until: summary.Start.Add(summary.Duration + around)}
		full, err := h.add(ctx, &f, q.Namespace, summary.TraceID, within)
		if err != nil {
			return f, err
		}
		if full {
			f.leftOut = append(f.leftOut, strconv.Itoa(len(result.Traces)-i)+" more traces were found: the answer would be too large")
			break
		}
	}
	return f, nil
}

// add reads one trace, if there is room for it. One that is not known is left out.
func (h *Handler) add(ctx context.Context, f *found, namespace string, id signal.TraceID, within signal.Range) (full bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, fault.From(err)
	}
	t, err := h.Traces.Trace(ctx, namespace, id, within)
	if err != nil || len(t.Spans) == 0 {
		return false, err
	}
	if f.spans > 0 && f.spans+len(t.Spans) > maxSpans {
		return true, nil
	}
	f.traces = append(f.traces, t)
	f.spans += len(t.Spans)
	return false, nil
}
