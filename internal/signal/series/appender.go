package series

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/storage"

	"github.com/gantry-platform/gantry/internal/fault"
)

// Why samples are not taken.
const (
	reasonSeries    = "series_limit"
	reasonNamespace = "namespace_limit"
	reasonName      = "name_limit"
	reasonLabels    = "label_count"
	reasonLabelSize = "label_size"
	reasonEncoding  = "encoding"
	reasonBuckets   = "bucket_count"
	reasonFuture    = "future"
	reasonLate      = "late"
	reasonDuplicate = "duplicate"
	reasonDelta     = "delta"
	// reasonDeltaSeries: as many totals of deltas are kept as may be.
	reasonDeltaSeries = "delta_limit"
	reasonInvalid     = "invalid"
	reasonDisk        = "disk_full"
	reasonCommit      = "commit"
	reasonExemplar    = "exemplar"
)

// Reasons are all words by which samples are counted as dropped.
func Reasons() []string {
	return []string{reasonSeries, reasonNamespace, reasonName, reasonLabels, reasonLabelSize, reasonEncoding, reasonBuckets, reasonFuture,
		reasonLate, reasonDuplicate, reasonDelta, reasonDeltaSeries, reasonInvalid, reasonDisk, reasonCommit, reasonExemplar}
}

// batch is what both kinds of appenders share: one transaction on the TSDB.
type batch struct {
	store *Store
	now   time.Time
	// latest is the newest time a sample may have, in milliseconds.
	latest int64
	taken  int
	// refused is set when nothing is taken at all.
	refused *fault.Error
}

func (s *Store) newBatch() batch {
	now := s.now()
	b := batch{store: s, now: now, latest: now.Add(s.limits.Future).UnixMilli()}
	b.refused = s.unwritable()
	return b
}

// admit is asked before a sample goes to the TSDB.
func (b *batch) admit(lset labels.Labels, t int64) error {
	if b.refused != nil {
		b.store.metrics.dropped(reasonDisk, 1)
		return b.refused
	}
	if t > b.latest {
		return b.drop(lset, refuse(reasonFuture, "a sample of %s is of %s, and this node's clock says %s", "set the clock of whoever sends it",
			shorten(lset.Get(model.MetricNameLabel)), time.UnixMilli(t).UTC().Format(time.RFC3339), b.now.UTC().Format(time.RFC3339)))
	}
	return nil
}

// drop notes a refused sample.
func (b *batch) drop(lset labels.Labels, r *refusal) error {
	b.store.metrics.dropped(r.reason, 1)
	if b.store.cardinality.dropped(lset, r, b.now) {
		b.store.log.Warn("samples of a metric are dropped", "namespace", shorten(lset.Get(NamespaceLabel)), "metric", shorten(lset.Get(model.MetricNameLabel)),
			"reason", r.reason, "detail", r.fault.Message, "hint", r.fault.Hint)
	}
	return r
}

// outcome counts what the TSDB said to a sample.
func (b *batch) outcome(lset labels.Labels, err error) error {
	if err == nil {
		b.taken++
		return nil
	}
	var r *refusal
	var partial *storage.AppendPartialError
	switch {
	case errors.As(err, &r):
		return b.drop(lset, r)
	case errors.As(err, &partial):
		b.taken++
		b.store.metrics.dropped(reasonExemplar, len(partial.ExemplarErrors))
	case errors.Is(err, storage.ErrOutOfOrderSample), errors.Is(err, storage.ErrTooOldSample), errors.Is(err, storage.ErrOutOfBounds):
		b.store.metrics.dropped(reasonLate, 1)
	case errors.Is(err, storage.ErrDuplicateSampleForTimestamp):
		b.store.metrics.dropped(reasonDuplicate, 1)
	default:
		b.store.metrics.dropped(reasonInvalid, 1)
	}
	return err
}

// fit makes histograms with too many buckets coarser. Neither is touched: the callers own them.
func (b *batch) fit(lset labels.Labels, h *histogram.Histogram, fh *histogram.FloatHistogram) (*histogram.Histogram, *histogram.FloatHistogram, error) {
	most := b.store.limits.Buckets
	var count int
	var schema int32
	switch {
	case h != nil:
		count, schema = len(h.PositiveBuckets)+len(h.NegativeBuckets), h.Schema
	case fh != nil:
		count, schema = len(fh.PositiveBuckets)+len(fh.NegativeBuckets), fh.Schema
	}
	if count <= most {
		return h, fh, nil
	}
	tooMany := refuse(reasonBuckets, "a histogram of metric %q has %d buckets, and %d are allowed", "give it fewer buckets", shorten(lset.Get(model.MetricNameLabel)), count, most)
	if !histogram.IsExponentialSchema(schema) {
		return nil, nil, b.drop(lset, tooMany)
	}
	if h != nil {
		h = h.Copy()
	} else {
		fh = fh.Copy()
	}
	for count > most && schema > histogram.ExponentialSchemaMin {
		schema--
		var err error
		if h != nil {
			err = h.ReduceResolution(schema)
			count = len(h.PositiveBuckets) + len(h.NegativeBuckets)
		} else {
			err = fh.ReduceResolution(schema)
			count = len(fh.PositiveBuckets) + len(fh.NegativeBuckets)
		}
		if err != nil {
			return nil, nil, b.outcome(lset, err)
		}
	}
	if count > most {
		return nil, nil, b.drop(lset, tooMany)
	}
	return h, fh, nil
}

// commit ends the transaction. A failure of the disk is the caller's to hear and everybody's to see. The disk is looked at once more: the log has a torn
// record where a write was cut short, and a start throws away what stands behind one.
func (b *batch) commit(inner, rollback func() error) (err error) {
	if f := b.store.unwritable(); f != nil && b.taken > 0 {
		b.store.metrics.dropped(reasonDisk, b.taken)
		return errors.Join(f, rollback())
	}
	defer func() {
		// The TSDB panics when it cannot write a chunk of late samples. That must not end the process; but what it left behind is not to be trusted.
		if v := recover(); v != nil {
			err = b.store.seal(fmt.Errorf("commit: %v", v))
		}
		if err != nil {
			b.store.metrics.dropped(reasonCommit, b.taken)
			b.store.complain("an append failed", err)
			return
		}
		b.store.metrics.samples.Add(float64(b.taken))
	}()
	return inner()
}

// appender is one transaction, in the words that Prometheus is leaving and most libraries still speak.
type appender struct {
	batch
	inner storage.Appender
}

var (
	_ storage.Appender           = (*appender)(nil)
	_ storage.AppenderV2         = (*appenderV2)(nil)
	_ storage.ExemplarAppenderV2 = (*appenderV2)(nil)
)

// Appender begins a transaction. A sample that is refused for its own sake (a limit, too old, too far ahead) gives an error that matches
// storage.ErrOutOfBounds, ErrOutOfOrderSample, ErrTooOldSample or ErrDuplicateSampleForTimestamp: go on with the others and commit. It is counted and, for limits, named
// in [Store.Drops]. Any other error means that the disk is full or the store is closed: roll back.
//
// Append may be given reference 0 always; the reference it returns makes later appends to the same series cheaper.
func (s *Store) Appender(ctx context.Context) storage.Appender {
	return &appender{batch: s.newBatch(), inner: s.db.Appender(ctx)}
}

func (a *appender) Append(ref storage.SeriesRef, l labels.Labels, t int64, v float64) (storage.SeriesRef, error) {
	if err := a.admit(l, t); err != nil {
		return 0, err
	}
	ref, err := a.inner.Append(ref, l, t, v)
	return ref, a.outcome(l, err)
}

func (a *appender) AppendHistogram(ref storage.SeriesRef, l labels.Labels, t int64, h *histogram.Histogram, fh *histogram.FloatHistogram) (storage.SeriesRef, error) {
	if err := a.admit(l, t); err != nil {
		return 0, err
	}
	h, fh, err := a.fit(l, h, fh)
	if err != nil {
		return 0, err
	}
	ref, err = a.inner.AppendHistogram(ref, l, t, h, fh)
	return ref, a.outcome(l, err)
}

func (a *appender) AppendExemplar(ref storage.SeriesRef, l labels.Labels, e exemplar.Exemplar) (storage.SeriesRef, error) {
	if a.refused != nil {
		return 0, a.refused
	}
	ref, err := a.inner.AppendExemplar(ref, l, e)
	if err != nil {
		a.store.metrics.dropped(reasonExemplar, 1)
	}
	return ref, err
}

func (a *appender) AppendHistogramSTZeroSample(ref storage.SeriesRef, l labels.Labels, t, st int64, h *histogram.Histogram, fh *histogram.FloatHistogram) (storage.SeriesRef, error) {
	if a.refused != nil {
		return 0, a.refused
	}
	return a.inner.AppendHistogramSTZeroSample(ref, l, t, st, h, fh)
}

func (a *appender) AppendSTZeroSample(ref storage.SeriesRef, l labels.Labels, t, st int64) (storage.SeriesRef, error) {
	if a.refused != nil {
		return 0, a.refused
	}
	return a.inner.AppendSTZeroSample(ref, l, t, st)
}

// UpdateMetadata keeps what a metric means a metric, not a series: the TSDB would keep it thousands of times.
func (a *appender) UpdateMetadata(ref storage.SeriesRef, l labels.Labels, m metadata.Metadata) (storage.SeriesRef, error) {
	a.store.catalogue.note(l.Get(NamespaceLabel), l.Get(model.MetricNameLabel), m)
	return ref, nil
}

func (a *appender) SetOptions(opts *storage.AppendOptions) { a.inner.SetOptions(opts) }
func (a *appender) Commit() error                          { return a.commit(a.inner.Commit, a.inner.Rollback) }
func (a *appender) Rollback() error                        { return a.inner.Rollback() }

// appenderV2 is one transaction in Prometheus's newer words.
type appenderV2 struct {
	batch
	inner storage.AppenderV2
}

// AppenderV2 begins a transaction, as [Store.Appender] does.
func (s *Store) AppenderV2(ctx context.Context) storage.AppenderV2 {
	return &appenderV2{batch: s.newBatch(), inner: s.db.AppenderV2(ctx)}
}

func (a *appenderV2) Append(ref storage.SeriesRef, l labels.Labels, st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, opts storage.AppendV2Options) (storage.SeriesRef, error) {
	if err := a.admit(l, t); err != nil {
		return 0, err
	}
	h, fh, err := a.fit(l, h, fh)
	if err != nil {
		return 0, err
	}
	// What a metric means is told with every sample, and noted when the series is met without a reference: about once.
	if ref == 0 && !opts.Metadata.IsEmpty() {
		name := opts.MetricFamilyName
		if name == "" {
			name = l.Get(model.MetricNameLabel)
		}
		a.store.catalogue.note(l.Get(NamespaceLabel), name, opts.Metadata)
	}
	ref, err = a.inner.Append(ref, l, st, t, v, h, fh, opts)
	return ref, a.outcome(l, err)
}

func (a *appenderV2) AppendExemplars(ref storage.SeriesRef, l labels.Labels, exemplars []exemplar.Exemplar) (storage.SeriesRef, error) {
	if a.refused != nil {
		return 0, a.refused
	}
	inner, ok := a.inner.(storage.ExemplarAppenderV2)
	if !ok {
		return 0, storage.ErrExemplarsDisabled
	}
	ref, err := inner.AppendExemplars(ref, l, exemplars)
	var partial *storage.AppendPartialError
	switch {
	case errors.As(err, &partial):
		a.store.metrics.dropped(reasonExemplar, len(partial.ExemplarErrors))
	case err != nil:
		a.store.metrics.dropped(reasonExemplar, len(exemplars))
	}
	return ref, err
}

func (a *appenderV2) Commit() error   { return a.commit(a.inner.Commit, a.inner.Rollback) }
func (a *appenderV2) Rollback() error { return a.inner.Rollback() }
