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
	// Observe is told of each document whose head has changed, but for keys, as this node sees it: not of those that were there when the
	// node started. It is called while the state is read, and returns at once. Nil: nobody asks.
	Observe func(Ref)
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
	kinds   kinds
	feed    *feed
	holders holders
	applied *applied
	metrics *metrics
	preload *preloader
	observe func(Ref)

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
	if o.Observe == nil {
		o.Observe = func(Ref) {}
	}
	r := &Releaser{observe: o.Observe, store: o.Store, policy: o.Policy, log: o.Logger, now: o.Now, index: newIndex(),
		keys:    newDataKeys(o.Store, o.Keys, o.Logger, o.Now),
		preload: newPreloader(),
		feed:    newFeed(),
	}
	r.cache = newCache(o.CacheBytes, func(key cacheKey) bool {
		d := r.index.get(key.ref)
		return d != nil && d.born() == key.born && d.head.inForce(key.version)
	})
	r.holders.held = map[holder]map[string]struct{}{}
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
func (m *heads) Reset(records []state.Record, revision int64) {
	r := (*Releaser)(m)
	r.feed.forget(revision)
	there := make(map[Ref]struct{}, len(records))
	updates := make([]update, 0, len(records))
	for _, record := range records {
		ref, d := r.decode(record)
		there[ref] = struct{}{}
		if d != nil {
			updates = append(updates, update{ref, d})
			if before := r.index.get(ref); before != nil && before.revision != d.revision {
				defer r.tell(ref)
			}
		}
	}
	for d := range r.index.all() {
		if _, ok := there[d.ref]; !ok {
			updates = append(updates, update{ref: d.ref})
		}
	}
	r.mirror(updates, revision)
}

// Apply implements state.Mirrored.
func (m *heads) Apply(events []state.Event, _ int64) {
	r := (*Releaser)(m)
	// Events come in order of revision: what one revision changed is shown at once.
	for len(events) > 0 {
		revision := events[0].Modified
		var updates []update
		n := 0
		for ; n < len(events) && events[n].Modified == revision; n++ {
			ref, d := r.decode(events[n].Record)
			if ref != (Ref{}) && (d != nil || events[n].Deleted) {
				updates = append(updates, update{ref, d})
			}
		}
		events = events[n:]
		r.mirror(updates, revision)
		for _, u := range updates {
			r.tell(u.ref)
		}
	}
}

// tell tells the observer of a change that is in memory.
func (r *Releaser) tell(ref Ref) {
	if ref.Kind != policy.KeyValue {
		r.observe(ref)
	}
}

// decode reads a head of the state; of a record without a value it takes the name alone. One that cannot be read is logged, and what was
// there before stays in force: a damaged record must not take the configuration from services that run.
func (r *Releaser) decode(record state.Record) (Ref, *document) {
	ref, err := refOfKey(record.Key)
	if err != nil {
		r.log.Error("a key of the state is no document's", "key", record.Key, "error", err)
		return Ref{}, nil
	}
	if record.Value == nil {
		return ref, nil
	}
	h, err := decodeHead(record.Value)
	var d *document
	if err == nil {
		d, err = newDocument(ref, h, record.Modified)
	}
	if err != nil {
		r.log.Error("a document in the state cannot be read; what was in force stays", "document", ref.String(), "error", err)
	}
	return ref, d
}

// mirror takes updates of one moment into memory and wakes who waits for one of them.
func (r *Releaser) mirror(updates []update, revision int64) {
	before := make([]*document, len(updates))
	for i, u := range updates {
		before[i] = r.index.get(u.ref)
	}
	r.index.setAll(updates)
	for i, u := range updates {
		r.topics.changed(u.ref)
		r.kinds.changed(u.ref)
		if u.d != nil {
			r.preload.add(u.ref)
		}
		if u.ref.Kind == policy.KeyValue {
			r.holders.changed(u.ref, before[i], u.d)
			r.feed.changed(u.ref, before[i], u.d, revision)
		}
	}
}

// Documents answers how many documents a namespace holds: those that are there, and deleted ones that can still be
// rolled back.
func (r *Releaser) Documents(namespace string) (live, deleted int) { return r.index.count(namespace) }
