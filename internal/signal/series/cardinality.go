package series

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunks"

	"github.com/gantry-platform/gantry/internal/fault"
)

// NamespaceLabel is the label by which a series belongs to a namespace.
const NamespaceLabel = "namespace"

// maxDrops bounds the list of what was dropped: enough to find who floods, whatever a flood is called.
const maxDrops = 256

// Drop says what was refused of one metric.
type Drop struct {
	Namespace, Metric string
	// Reason is a word such as "name_limit"; see [Reasons].
	Reason string
	// Samples that were refused since the start.
	Samples uint64
	// Last is when the newest of them came.
	Last time.Time
	// Detail says more about the newest.
	Detail string
}

// refusal is why a sample is not taken for a reason of its own. To writers of Prometheus's it is a sample out of bounds: they go on with
// the rest and do not send it again.
type refusal struct {
	reason string
	fault  *fault.Error
}

func (r *refusal) Error() string        { return r.fault.Error() }
func (r *refusal) Unwrap() error        { return r.fault }
func (r *refusal) Is(target error) bool { return target == storage.ErrOutOfBounds }

func refuse(reason, message, hint string, values ...any) *refusal {
	return &refusal{reason: reason, fault: fault.New(fault.TooLarge, "series."+reason, message, values...).Hinted("%s", hint)}
}

// cardinality counts the series in memory and admits new ones. It is the TSDB's callback, so that it sees every way by which series come and go.
type cardinality struct {
	limits Limits
	// admitting is false while the log is read: what was admitted once is not asked again.
	admitting atomic.Bool

	mu         sync.Mutex
	total      int
	namespaces map[string]*population
	drops      map[dropKey]*Drop
	// uncounted are drops of metrics beyond the list's length.
	uncounted uint64
}

// population is the series of a namespace.
type population struct {
	total int
	names map[string]int
}

type dropKey struct{ namespace, metric, reason string }

func newCardinality(limits Limits) *cardinality {
	return &cardinality{limits: limits, namespaces: map[string]*population{}, drops: map[dropKey]*Drop{}}
}

// PreCreation implements tsdb.SeriesLifecycleCallback.
func (c *cardinality) PreCreation(lset labels.Labels) error {
	if !c.admitting.Load() {
		return nil
	}
	if r := c.checkLabels(lset); r != nil {
		return r
	}
	namespace, name := lset.Get(NamespaceLabel), lset.Get(model.MetricNameLabel)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.total >= c.limits.Series {
		return refuse(reasonSeries, "the node holds %d series, as many as it may", "raise --metrics-series, or find the metric with too many label values", c.total)
	}
	p := c.namespaces[namespace]
	if p == nil {
		return nil
	}
	if p.total >= c.limits.NamespaceSeries {
		return refuse(reasonNamespace, "namespace %q holds %d series, as many as it may", "find the metric with too many label values: topk(10, count by (__name__) ({__name__!=\"\"}))", namespace, p.total)
	}
	if p.names[name] >= c.limits.NameSeries {
		return refuse(reasonName, "metric %q of namespace %q has %d series, as many as it may", "take the label with too many values off it", name, namespace, p.names[name])
	}
	return nil
}

// checkLabels looks at a new series once.
func (c *cardinality) checkLabels(lset labels.Labels) *refusal {
	count, name := 0, lset.Get(model.MetricNameLabel)
	var bad *refusal
	lset.Range(func(l labels.Label) {
		count++
		switch {
		case bad != nil:
		case !utf8.ValidString(l.Name) || !utf8.ValidString(l.Value):
			bad = refuse(reasonEncoding, "label %q of metric %q is no UTF-8", "send UTF-8", shorten(l.Name), shorten(name))
		case len(l.Name) > c.limits.LabelName:
			bad = refuse(reasonLabelSize, "a label's name of metric %q has %d bytes, and %d are allowed", "name it shorter", shorten(name), len(l.Name), c.limits.LabelName)
		case len(l.Value) > c.limits.LabelValue:
			bad = refuse(reasonLabelSize, "label %q of metric %q has a value of %d bytes, and %d are allowed", "texts belong into spans and events", shorten(l.Name), shorten(name), len(l.Value), c.limits.LabelValue)
		}
	})
	switch {
	case bad != nil:
		return bad
	case name == "":
		return refuse(reasonEncoding, "a series without a name", "name it by the label __name__")
	case count > c.limits.Labels:
		return refuse(reasonLabels, "metric %q has a series of %d labels, and %d are allowed", "take labels off it", shorten(name), count, c.limits.Labels)
	default:
		return nil
	}
}

// shorten makes foreign text fit for a message.
func shorten(text string) string {
	const most = 120
	if len(text) <= most {
		return text
	}
	return text[:most] + "..."
}

// PostCreation implements tsdb.SeriesLifecycleCallback.
func (c *cardinality) PostCreation(lset labels.Labels) {
	namespace, name := lset.Get(NamespaceLabel), lset.Get(model.MetricNameLabel)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total++
	p := c.namespaces[namespace]
	if p == nil {
		p = &population{names: map[string]int{}}
		c.namespaces[namespace] = p
	}
	p.total++
	p.names[name]++
}

// PostDeletion implements tsdb.SeriesLifecycleCallback.
func (c *cardinality) PostDeletion(gone map[chunks.HeadSeriesRef]labels.Labels) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, lset := range gone {
		namespace, name := lset.Get(NamespaceLabel), lset.Get(model.MetricNameLabel)
		p := c.namespaces[namespace]
		if p == nil {
			continue
		}
		c.total--
		p.total--
		if p.names[name]--; p.names[name] <= 0 {
			delete(p.names, name)
		}
		if p.total <= 0 {
			delete(c.namespaces, namespace)
		}
	}
}

// dropped notes refused samples. It says whether the metric is new among what was dropped for that reason, and worth a line in the log.
func (c *cardinality) dropped(lset labels.Labels, r *refusal, now time.Time) bool {
	key := dropKey{shorten(lset.Get(NamespaceLabel)), shorten(lset.Get(model.MetricNameLabel)), r.reason}
	c.mu.Lock()
	defer c.mu.Unlock()
	d, known := c.drops[key]
	if !known {
		if len(c.drops) >= maxDrops {
			c.uncounted++
			return false
		}
		d = &Drop{Namespace: key.namespace, Metric: key.metric, Reason: r.reason}
		c.drops[key] = d
	}
	d.Samples++
	d.Last, d.Detail = now, r.fault.Message
	return !known
}

// list is what was dropped, most first.
func (c *cardinality) list() []Drop {
	c.mu.Lock()
	all := make([]Drop, 0, len(c.drops))
	for _, d := range c.drops {
		all = append(all, *d)
	}
	c.mu.Unlock()
	slices.SortFunc(all, func(a, b Drop) int {
		return cmp.Or(cmp.Compare(b.Samples, a.Samples), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Metric, b.Metric), cmp.Compare(a.Reason, b.Reason))
	})
	return all
}

// forget drops what has not been dropped for a while from the list, so that yesterday's flood does not hide today's.
func (c *cardinality) forget(before time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, d := range c.drops {
		if d.Last.Before(before) {
			delete(c.drops, key)
		}
	}
}

// Population is how many series a namespace has in memory, by metric name the most numerous.
type Population struct {
	Namespace string
	Series    int
	Largest   []NameCount
}

// NameCount is a metric name and its series.
type NameCount struct {
	Name   string
	Series int
}

// populations are all namespaces with their most numerous names, at most so many each.
func (c *cardinality) populations(most int) []Population {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []Population
	for namespace, p := range c.namespaces {
		names := make([]NameCount, 0, len(p.names))
		for name, n := range p.names {
			names = append(names, NameCount{name, n})
		}
		slices.SortFunc(names, func(a, b NameCount) int { return cmp.Or(cmp.Compare(b.Series, a.Series), cmp.Compare(a.Name, b.Name)) })
		all = append(all, Population{Namespace: namespace, Series: p.total, Largest: slices.Clone(names[:min(most, len(names))])})
	}
	slices.SortFunc(all, func(a, b Population) int { return cmp.Compare(a.Namespace, b.Namespace) })
	return all
}

func (c *cardinality) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.total
}

func (d Drop) String() string {
	return fmt.Sprintf("%s of namespace %s: %d samples (%s)", d.Metric, d.Namespace, d.Samples, d.Detail)
}
