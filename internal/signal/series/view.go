package series

import (
	"context"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/annotations"
)

// View is what a caller may see: one namespace, or all. It confines where series are selected, whatever the query says, so that no
// wording of a query gets around it. In a cluster it is of the series of all nodes; what a node cannot be asked for is a warning beside the answer. It is a storage.SampleAndChunkQueryable and a storage.ExemplarQueryable.
type View struct {
	store     *Store
	namespace string
	whole     bool
	// alone: the other nodes are not asked.
	alone bool
	// live: nodes that are not there are not missed.
	live bool
}

// Whole is the view of all namespaces and of what belongs to none.
func (s *Store) Whole() *View { return &View{store: s, whole: true} }

// In is the view of one namespace.
func (s *Store) In(namespace string) *View { return &View{store: s, namespace: namespace} }

// Live is the same view, but that it has no warning about nodes that are not there. It is for who must go on without them, such as alerts: a node may be away for days.
func (v *View) Live() *View {
	live := *v
	live.live = true
	return &live
}

// Own is the view of what this node alone keeps of one namespace.
func (s *Store) Own(namespace string) *View { return s.local(Selection{Namespace: namespace}) }

// Namespace is the one that the view is of, or that it is of all.
func (v *View) Namespace() (namespace string, all bool) { return v.namespace, v.whole }

// Drops are what was refused for limits and for samples' own sake, most first; at most a few hundred metrics.
func (v *View) Drops() []Drop {
	all := v.store.cardinality.list()
	if v.whole {
		return all
	}
	return slices.DeleteFunc(all, func(d Drop) bool { return d.Namespace != v.namespace })
}

// Populations are the namespaces with their series in memory and, of each, the metric names with the most.
func (v *View) Populations(names int) []Population {
	all := v.store.cardinality.populations(names)
	if v.whole {
		return all
	}
	return slices.DeleteFunc(all, func(p Population) bool { return p.Namespace != v.namespace })
}

// Stats are the TSDB's own of what is in memory, of all namespaces.
func (v *View) Stats(limit int) *tsdb.Stats { return v.store.db.Head().Stats(NamespaceLabel, limit) }

// Families are the metrics whose meaning is known, by name.
func (v *View) Families() []Family { return v.store.catalogue.list(v.namespace, v.whole) }

// confined are the matchers with the one that keeps a view to its namespace.
func (v *View) confined(matchers []*labels.Matcher) []*labels.Matcher {
	if v.whole {
		return matchers
	}
	return append(slices.Clip(matchers), labels.MustNewMatcher(labels.MatchEqual, NamespaceLabel, v.namespace))
}

// Querier implements storage.Queryable.
func (v *View) Querier(since, until int64) (storage.Querier, error) {
	release, err := v.store.hold()
	if err != nil {
		return nil, err
	}
	q, err := v.store.db.Querier(since, until)
	if err != nil {
		release()
		return nil, err
	}
	q = &heldQuerier{q, release}
	if !v.whole {
		q = &confinedQuerier{confinedLabels{v, q}, q}
	}
	all := []storage.Querier{q}
	for _, peer := range v.queriers(since, until) {
		all = append(all, peer)
	}
	return storage.NewMergeQuerier(all, nil, storage.ChainedSeriesMerge), nil
}

// ChunkQuerier implements storage.ChunkQueryable.
func (v *View) ChunkQuerier(since, until int64) (storage.ChunkQuerier, error) {
	release, err := v.store.hold()
	if err != nil {
		return nil, err
	}
	q, err := v.store.db.ChunkQuerier(since, until)
	if err != nil {
		release()
		return nil, err
	}
	q = &heldChunkQuerier{q, release}
	if !v.whole {
		q = &confinedChunkQuerier{confinedLabels{v, q}, q}
	}
	all := []storage.ChunkQuerier{q}
	for _, peer := range v.queriers(since, until) {
		all = append(all, peerChunkQuerier{peer})
	}
	return storage.NewMergeChunkQuerier(all, nil, storage.NewCompactingChunkSeriesMerger(storage.ChainedSeriesMerge)), nil
}

// ExemplarQuerier implements storage.ExemplarQueryable.
func (v *View) ExemplarQuerier(ctx context.Context) (storage.ExemplarQuerier, error) {
	if err := v.store.askable(""); err != nil {
		return nil, err
	}
	q, err := v.store.db.ExemplarQuerier(ctx)
	if err != nil || v.whole {
		return q, err
	}
	return &confinedExemplars{v, q}, nil
}

// heldQuerier keeps the store open until it is closed.
type heldQuerier struct {
	storage.Querier
	release func()
}

func (h *heldQuerier) Close() error {
	defer h.release()
	return h.Querier.Close()
}

// heldChunkQuerier is heldQuerier in chunks.
type heldChunkQuerier struct {
	storage.ChunkQuerier
	release func()
}

func (h *heldChunkQuerier) Close() error {
	defer h.release()
	return h.ChunkQuerier.Close()
}

// confinedLabels are the parts that all queriers share.
type confinedLabels struct {
	view  *View
	inner storage.LabelQuerier
}

func (c confinedLabels) LabelValues(ctx context.Context, name string, hints *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return c.inner.LabelValues(ctx, name, hints, c.view.confined(matchers)...)
}

func (c confinedLabels) LabelNames(ctx context.Context, hints *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return c.inner.LabelNames(ctx, hints, c.view.confined(matchers)...)
}

func (c confinedLabels) Close() error { return c.inner.Close() }

type confinedQuerier struct {
	confinedLabels
	inner storage.Querier
}

func (c *confinedQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	return c.inner.Select(ctx, sorted, hints, c.view.confined(matchers)...)
}

type confinedChunkQuerier struct {
	confinedLabels
	inner storage.ChunkQuerier
}

func (c *confinedChunkQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.ChunkSeriesSet {
	return c.inner.Select(ctx, sorted, hints, c.view.confined(matchers)...)
}

type confinedExemplars struct {
	view  *View
	inner storage.ExemplarQuerier
}

func (c *confinedExemplars) Select(since, until int64, matchers ...[]*labels.Matcher) ([]exemplar.QueryResult, error) {
	confined := make([][]*labels.Matcher, 0, len(matchers))
	for _, set := range matchers {
		confined = append(confined, c.view.confined(set))
	}
	// Without any set the storage might answer with everything.
	if len(confined) == 0 {
		return nil, nil
	}
	return c.inner.Select(since, until, confined...)
}

// cloned are texts that do not stand in the index's memory.
func cloned(texts []string) []string {
	copies := make([]string, len(texts))
	for i, text := range texts {
		copies[i] = strings.Clone(text)
	}
	return copies
}
