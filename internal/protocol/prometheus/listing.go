package prometheus

import (
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// findSeries answers /series: the label sets that match.
func findSeries(q *question) (any, error) {
	sets, err := q.matchers()
	if err != nil {
		return nil, err
	}
	if len(sets) == 0 {
		return nil, badParameter("match[]", "no match[] parameter provided")
	}
	limit, err := q.listLimit()
	if err != nil {
		return nil, err
	}
	since, until, err := q.times()
	if err != nil {
		return nil, err
	}
	querier, err := q.view.Querier(since, until)
	if err != nil {
		return nil, err
	}
	defer querier.Close()
	ctx := q.request.Context()
	// One more than wanted says that there are more. The function is a word for: without samples.
	hints := &storage.SelectHints{Start: since, End: until, Func: "series", Limit: limit + 1}
	var found []storage.SeriesSet
	for _, set := range sets {
		found = append(found, querier.Select(ctx, len(sets) > 1, hints, set...))
	}
	merged := storage.NewMergeSeriesSet(found, 0, storage.ChainedSeriesMerge)
	// Label sets stand in the memory of the index, which the querier holds: they are copied.
	answer := []map[string]string{}
	for merged.Next() {
		if len(answer) == limit {
			q.truncated()
			break
		}
		if err := ctx.Err(); err != nil {
			return nil, q.view.Fault(err)
		}
		one := map[string]string{}
		merged.At().Labels().Range(func(l labels.Label) { one[strings.Clone(l.Name)] = strings.Clone(l.Value) })
		answer = append(answer, one)
	}
	q.warn(merged.Warnings())
	return answer, merged.Err()
}

// labelNames answers /labels.
func labelNames(q *question) (any, error) {
	return q.collect(func(querier storage.Querier, hints *storage.LabelHints, set ...*labels.Matcher) ([]string, annotations.Annotations, error) {
		return querier.LabelNames(q.request.Context(), hints, set...)
	})
}

// labelValues answers /label/<name>/values.
func labelValues(q *question) (any, error) {
	name := q.request.PathValue("name")
	if strings.HasPrefix(name, "U__") { // how names that are no identifiers are written into an address
		name = model.UnescapeName(name, model.ValueEncodingEscaping)
	}
	if !model.UTF8Validation.IsValidLabelName(name) {
		return nil, badParameter("name", "invalid label name: %q", clip(name))
	}
	return q.collect(func(querier storage.Querier, hints *storage.LabelHints, set ...*labels.Matcher) ([]string, annotations.Annotations, error) {
		return querier.LabelValues(q.request.Context(), name, hints, set...)
	})
}

// collect joins the names or values of all selectors, or of everything.
func (q *question) collect(ask func(storage.Querier, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error)) (any, error) {
	sets, err := q.matchers()
	if err != nil {
		return nil, err
	}
	limit, err := q.listLimit()
	if err != nil {
		return nil, err
	}
	since, until, err := q.times()
	if err != nil {
		return nil, err
	}
	querier, err := q.view.Querier(since, until)
	if err != nil {
		return nil, err
	}
	defer querier.Close()
	if len(sets) == 0 {
		sets = [][]*labels.Matcher{nil}
	}
	answer := []string{}
	for _, set := range sets {
		found, warnings, err := ask(querier, &storage.LabelHints{Limit: limit + 1}, set...)
		if err != nil {
			return nil, err
		}
		q.warn(warnings)
		for _, text := range found {
			answer = append(answer, strings.Clone(text))
		}
	}
	slices.Sort(answer)
	answer = slices.Compact(answer)
	if len(answer) > limit {
		answer = answer[:limit]
		q.truncated()
	}
	return answer, nil
}

// listLimit is how many entries a list has at most.
func (q *question) listLimit() (int, error) {
	limit, err := q.limit()
	if limit == 0 || limit > maxListing {
		limit = maxListing
	}
	return limit, err
}

func (q *question) warn(warnings annotations.Annotations) {
	lines, infos := warnings.AsStrings("", 10, 10)
	q.warnings, q.infos = append(q.warnings, lines...), append(q.infos, infos...)
}

// meaning is what a metric means, in Prometheus's shape.
type meaning struct {
	Type string `json:"type"`
	Unit string `json:"unit"`
	Help string `json:"help"`
}

// metricMetadata answers /metadata.
func metricMetadata(q *question) (any, error) {
	limit, err := q.limit()
	if err != nil {
		return nil, err
	}
	wanted, answer := q.form("metric"), map[string][]meaning{}
	for _, family := range q.view.Families() {
		if wanted != "" && family.Name != wanted {
			continue
		}
		one := meaning{family.Type, family.Unit, family.Help}
		known, there := answer[family.Name]
		if !there && limit > 0 && len(answer) >= limit {
			break
		}
		if !slices.Contains(known, one) { // namespaces may say the same
			answer[family.Name] = append(known, one)
		}
	}
	return answer, nil
}
