package series

import (
	"context"
	"errors"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
)

// exportedPrefix is put before a label of the sender's own that has a name which the receiver gives: Prometheus's convention for scraped labels.
const exportedPrefix = "exported_"

// Inlet is where samples from outside come into one namespace. The label "namespace" is ours to give, whatever the sender says: a Kubernetes namespace, say, becomes
// exported_namespace.
type Inlet struct {
	store     *Store
	namespace string
	refused   func(error)
}

var _ storage.AppendableV2 = (*Inlet)(nil)

// Into is the inlet of a namespace.
func (s *Store) Into(namespace string) *Inlet { return &Inlet{store: s, namespace: namespace} }

// Passing is an inlet whose appenders tell refusals of single samples to a function, and the writer that all is well. It is for writers that would throw away the
// whole of a request for one of its samples. The function is called by whoever appends.
func (i *Inlet) Passing(refused func(error)) *Inlet {
	return &Inlet{store: i.store, namespace: i.namespace, refused: refused}
}

// AppenderV2 begins a transaction, as [Store.Appender] does.
func (i *Inlet) AppenderV2(ctx context.Context) storage.AppenderV2 {
	return &inletAppender{appenderV2: i.store.AppenderV2(ctx).(*appenderV2), inlet: i, builder: labels.NewBuilder(labels.EmptyLabels())}
}

type inletAppender struct {
	*appenderV2
	inlet   *Inlet
	builder *labels.Builder
}

var _ storage.ExemplarAppenderV2 = (*inletAppender)(nil)

// own gives a series its namespace.
func (a *inletAppender) own(l labels.Labels) labels.Labels {
	there := l.Get(NamespaceLabel)
	if there == a.inlet.namespace {
		return l
	}
	a.builder.Reset(l)
	if there != "" {
		a.builder.Set(exportedPrefix+NamespaceLabel, there)
	}
	return a.builder.Set(NamespaceLabel, a.inlet.namespace).Labels()
}

func (a *inletAppender) Append(ref storage.SeriesRef, l labels.Labels, st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, opts storage.AppendV2Options) (storage.SeriesRef, error) {
	ref, err := a.appenderV2.Append(ref, a.own(l), st, t, v, h, fh, opts)
	if err != nil && a.inlet.refused != nil && forItsOwnSake(err) {
		a.inlet.refused(err)
		return 0, nil
	}
	return ref, err
}

func (a *inletAppender) AppendExemplars(ref storage.SeriesRef, l labels.Labels, exemplars []exemplar.Exemplar) (storage.SeriesRef, error) {
	return a.appenderV2.AppendExemplars(ref, a.own(l), exemplars)
}

// forItsOwnSake tells a sample that is refused from an appender that takes nothing.
func forItsOwnSake(err error) bool {
	return errors.Is(err, storage.ErrOutOfBounds) || errors.Is(err, storage.ErrOutOfOrderSample) || errors.Is(err, storage.ErrTooOldSample) ||
		errors.Is(err, storage.ErrDuplicateSampleForTimestamp)
}
