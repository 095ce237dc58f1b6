package red

import (
	"context"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/signal"
)

// lookBack is how far before a time the last sample is looked for: series are repeated every minute.
const lookBack = 5 * time.Minute

// increases reads by how much each histogram of a metric grew within a time, as far as memory does not know it, and hands it on; of one service, or of all
// when it is empty.
func (r *Room) increases(ctx context.Context, metric, namespace, service string, w Window, each func(labels.Labels, signal.Outcome, *durations)) error {
	from, to := w.Since.UnixMilli(), w.seam.UnixMilli()
	if from >= to {
		return nil
	}
	q, err := r.queryable(namespace).Querier(from-lookBack.Milliseconds(), to)
	if err != nil {
		return unreadable(err)
	}
	defer func() { _ = q.Close() }()
	matchers := []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, metric), labels.MustNewMatcher(labels.MatchEqual, "namespace", namespace)}
	if service != "" {
		matchers = append(matchers, labels.MustNewMatcher(labels.MatchEqual, "service", service))
	}
	set := q.Select(ctx, false, &storage.SelectHints{Start: from - lookBack.Milliseconds(), End: to}, matchers...)
	var it chunkenc.Iterator
	for set.Next() {
		if err := ctx.Err(); err != nil {
			return fault.From(err)
		}
		s := set.At()
		outcome, ok := signal.ParseOutcome(s.Labels().Get("outcome"))
		if !ok {
			continue
		}
		it = s.Iterator(it)
		var d durations
		if err := increase(it, from, to, &d); err != nil {
			return unreadable(err)
		}
		if d.total > 0 {
			each(s.Labels(), outcome, &d)
		}
	}
	if err := set.Err(); err != nil {
		return unreadable(err)
	}
	return nil
}

func unreadable(err error) error {
	return fault.New(fault.Unavailable, "topology.unreadable", "the store of series cannot be read").Hinted("try again; the log of the server says more").Because(err)
}

// increase adds by how much a histogram grew after from, until to. The last sample before from is where it begins; without one it begins with
// the first, which is a zero when the series began within the time. A reset, by a restart, begins again at zero.
func increase(it chunkenc.Iterator, from, to int64, d *durations) error {
	var base, last *histogram.FloatHistogram
	settle := func() {
		if last == nil {
			return
		}
		grown := last
		if base != nil {
			if difference, _, _, err := last.Copy().Sub(base); err == nil {
				grown = difference
			}
		}
		d.addFloat(grown)
	}
	for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
		if kind != chunkenc.ValHistogram && kind != chunkenc.ValFloatHistogram {
			continue
		}
		at, h := it.AtFloatHistogram(nil)
		if at > to {
			break
		}
		if value.IsStaleNaN(h.Sum) {
			continue
		}
		switch {
		case at <= from || base == nil && last == nil:
			base = h
		default:
			before := last
			if before == nil {
				before = base
			}
			if h.DetectReset(before) {
				settle()
				base = nil
			}
			last = h
		}
	}
	settle()
	return it.Err()
}
