package release

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gantry-platform/gantry/internal/policy"
	"github.com/gantry-platform/gantry/internal/state"
)

// Options say what a [Releaser] works with.
type Options struct {
	// Store is required, and not started yet.
	Store *state.Store
	// Policy knows the kinds. Required.
	Policy *policy.Registry
	// Keys are the root keys; without any, what is sensitive is refused and the rest works.
	Keys *Keyring
	// CacheBytes bounds the contents kept in memory. Default 128 MiB. What is in force beyond it is read from the node's own
	// copy of the state.
	CacheBytes int64
	// Logger, Registerer and Now default to none, none and time.Now.
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time
}

// Releaser holds the documents of the cluster and makes changes of them. Its methods may be called concurrently.
type Releaser struct {
	store   *state.Store
	policy  *policy.Registry
	log     *slog.Logger
	now     func() time.Time
	index   *index
	keys    *dataKeys
	cache   *cache
	once    once
	topics  topics
	applied *applied
	metrics *metrics
	preload *preloader

	// lanes let the changes of one document pass one at a time within this node, so that they do not
	// make each other begin again. A channel of one, because waiting ends with the caller's context.
	lanes [64]chan struct{}

	stop    context.CancelFunc
	workers sync.WaitGroup
}

// New makes a releaser and registers its mirrors with the store. Call Start after the store's.
func New(o Options) (*Releaser, error) {
	if o.Store == nil || o.Policy == nil {
		return nil, errors.New("release: Options lack Store or Policy")
	}
	if o.CacheBytes <= 0 {
		o.CacheBytes = defaultCacheBytes
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Registerer == nil {
		o.Registerer = prometheus.NewRegistry()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	r := &Releaser{store: o.Store, policy: o.Policy, log: o.Logger, now: o.Now, index: newIndex(),
		keys:    newDataKeys(o.Store, o.Keys, o.Logger, o.Now),
		preload: newPreloader(),
	}
	r.cache = newCache(o.CacheBytes, func(key cacheKey) bool {
		d := r.index.get(key.ref)
		return d != nil && d.born() == key.born && d.head.inForce(key.version)
	})
	r.topics.watchers = map[Ref]map[*Watcher]struct{}{}
	r.applied = newApplied(r)
	r.metrics = newMetrics(r)
	for i := range r.lanes {
		r.lanes[i] = make(chan struct{}, 1)
	}
	if err := r.metrics.register(o.Registerer); err != nil {
		return nil, err
	}
	o.Store.Mirror(state.Prefix("datakey"), r.keys)
	o.Store.Mirror(state.Prefix("document"), (*heads)(r))
	return r, nil
}

// Start begins to keep at hand what is in force, and to sweep. The work goes on until Close.
func (r *Releaser) Start() {
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	r.workers.Go(func() { r.runPreload(ctx) })
	r.workers.Go(func() { r.runSweep(ctx) })
}

// Close ends the work in the background and every watcher. Answers from memory go on.
func (r *Releaser) Close() {
	if r.stop != nil {
		r.stop()
	}
	r.workers.Wait()
	r.topics.closeAll()
}

func (r *Releaser) runSweep(ctx context.Context) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := r.Sweep(ctx); err != nil && ctx.Err() == nil {
				r.log.Warn("the sweep of documents will be tried again", "error", err)
			}
		}
	}
}

// heads is the releaser as the mirror of the documents' heads.
type heads Releaser

// Reset implements state.Mirrored.
func (m *heads) Reset(records []state.Record, _ int64) {
	r := (*Releaser)(m)
	there := make(map[Ref]struct{}, len(records))
	for _, record := range records {
		if ref, ok := r.mirror(record); ok {
			there[ref] = struct{}{}
		}
	}
	for _, ref := range r.index.all() {
		if _, ok := there[ref]; !ok {
			r.index.set(ref, nil)
			r.topics.changed(ref)
		}
	}
}

// Apply implements state.Mirrored.
func (m *heads) Apply(events []state.Event, _ int64) {
	r := (*Releaser)(m)
	for _, event := range events {
		if !event.Deleted {
			r.mirror(event.Record)
			continue
		}
		ref, err := refOfKey(event.Key)
		if err != nil {
			r.log.Error("a key of the state is no document's", "key", event.Key, "error", err)
			continue
		}
		r.index.set(ref, nil)
		r.topics.changed(ref)
	}
}

// mirror takes a head into memory and wakes who watches it. One that cannot be read is logged, and what was there before
// stays in force: a damaged record must not take the configuration from services that run. It answers whether the
// document counts as there.
func (r *Releaser) mirror(record state.Record) (Ref, bool) {
	ref, err := refOfKey(record.Key)
	if err != nil {
		r.log.Error("a key of the state is no document's", "key", record.Key, "error", err)
		return Ref{}, false
	}
	h, err := decodeHead(record.Value)
	var d *document
	if err == nil {
		d, err = newDocument(ref, h, record.Modified)
	}
	if err != nil {
		r.log.Error("a document in the state cannot be read; what was in force stays", "document", ref.String(), "error", err)
		return ref, true
	}
	r.index.set(ref, d)
	r.topics.changed(ref)
	r.preload.add(ref)
	return ref, true
}

// Documents answers how many documents a namespace holds: those that are there, and deleted ones that can still be
// rolled back.
func (r *Releaser) Documents(namespace string) (live, deleted int) { return r.index.count(namespace) }
