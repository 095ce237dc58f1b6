package alert

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/storage"

	"github.com/gantry-platform/gantry/internal/signal/alert/notify"
	"github.com/gantry-platform/gantry/internal/state"
)

// Options say what an [Engine] works with.
type Options struct {
	// Store, Documents and Series are required. The store is not started yet.
	Store     *state.Store
	Documents Documents
	Series    Series
	// Appendable takes the series ALERTS, ALERTS_FOR_STATE and those of objectives; nil keeps none.
	Appendable storage.Appendable
	// Changes knows what was changed; nil knows nothing.
	Changes Changes
	// Sender delivers. Required.
	Sender *notify.Sender
	// ExternalURL is where people reach Gantry, for links.
	ExternalURL string
	// Observe is told of each namespace whose alerts have moved, or what is in force about them, as this node sees it; it must not wait. Default: nobody is told.
	Observe func(namespace string)
	// Logger, Registerer and Now default to none, none and time.Now.
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time
}

// Engine evaluates rules and tells of alerts. Its methods may be called concurrently.
type Engine struct {
	Options
	log      *slog.Logger
	records  *records
	notified *notifications
	metrics  *metrics
	reader   *reader
	configs  atomic.Pointer[map[string]*config]
	// turns bounds the evaluations at one moment.
	turns chan struct{}
	// tests and previews bound those of people.
	tests, previews chan struct{}
	queue           *deliveryQueue
	// sequence orders the entries of the history that this node writes at one moment.
	sequence atomic.Uint32

	mu      sync.Mutex
	runners map[Ref]*runner
	tellers map[string]*teller

	running context.Context
	stop    context.CancelFunc
	workers sync.WaitGroup
}

// New makes an engine and registers its mirrors with the store. Call Start after the store's.
func New(o Options) (*Engine, error) {
	if o.Store == nil || o.Documents == nil || o.Series == nil || o.Sender == nil {
		return nil, errors.New("alert: Options lack Store, Documents, Series or Sender")
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
		o.Observe = func(string) {}
	}
	e := &Engine{Options: o, log: o.Logger, records: newRecords(o.Logger, o.Observe), notified: newNotifications(o.Logger), reader: newReader(o.Documents, o.Logger),
		turns: make(chan struct{}, concurrentQueries), tests: make(chan struct{}, 2), previews: make(chan struct{}, 2), runners: map[Ref]*runner{}, tellers: map[string]*teller{}}
	e.configs.Store(&map[string]*config{})
	e.running, e.stop = context.WithCancel(context.Background())
	e.queue = newDeliveryQueue(e)
	e.metrics = newMetrics(e)
	if err := e.metrics.register(o.Registerer); err != nil {
		return nil, err
	}
	o.Store.Mirror(state.Prefix(alertRoom), e.records)
	o.Store.Mirror(state.Prefix(notifiedRoom), e.notified)
	return e, nil
}

// Start begins to evaluate and to tell. The work goes on until Close.
func (e *Engine) Start() {
	e.queue.start()
	e.workers.Go(func() {
		ticker := time.NewTicker(reconcileEvery)
		defer ticker.Stop()
		for {
			e.reconcile(e.running, true)
			select {
			case <-ticker.C:
			case <-e.Store.NodesChanged():
			case <-e.running.Done():
				return
			}
		}
	})
}

// Close ends all work. Deliveries under way are broken off; their claims let another node send them.
func (e *Engine) Close() {
	e.stop()
	e.workers.Wait()
}

// config is what is in force in a namespace; nil where there is none.
func (e *Engine) config(namespace string) *config { return (*e.configs.Load())[namespace] }

// owns reports whether this node is the one of the live ones that does some work: rendezvous hashing (Thaler and Ravishankar, 1998), so that
// when a node goes only its own work moves. Without any node it is this one.
func (e *Engine) owns(work ...string) bool {
	self := e.Store.Self().ID
	best, highest := self, uint64(0)
	key := state.Key(work...)
	for _, node := range e.Store.Nodes() {
		if score := xxhash.Sum64String(node.ID + "\x00" + key); score > highest || best == "" {
			best, highest = node.ID, score
		}
	}
	return best == self
}

// reconcile brings what runs in line with the documents and the nodes of now. With run unset it starts nothing that goes on by itself: tests drive it.
func (e *Engine) reconcile(ctx context.Context, run bool) {
	before := *e.configs.Load()
	after := make(map[string]*config, len(before))
	for _, namespace := range e.Documents.Namespaces() {
		after[namespace] = e.reader.read(ctx, namespace, before[namespace])
	}
	for namespace := range before {
		if after[namespace] == nil {
			e.reader.forget(namespace)
		}
	}
	e.configs.Store(&after)
	e.reconcileWorkers(after, run)
	for namespace := range before {
		if after[namespace] == nil {
			e.Observe(namespace)
		}
	}
	for namespace, c := range after {
		if c != before[namespace] {
			e.Observe(namespace)
		}
	}
}

func (e *Engine) reconcileWorkers(configs map[string]*config, run bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.reconcileRunners(configs, run)
	e.reconcileTellers(configs, run)
}

func (e *Engine) reconcileRunners(configs map[string]*config, run bool) {
	wanted := map[Ref]*rule{}
	for _, c := range configs {
		for ref, r := range c.rules {
			if e.owns(alertRoom, ref.Namespace, ref.Kind, ref.Name) {
				wanted[ref] = r
			}
		}
	}
	for ref, r := range e.runners {
		if wanted[ref] == nil {
			r.cancel()
			delete(e.runners, ref)
		}
	}
	for ref, rule := range wanted {
		if r := e.runners[ref]; r != nil {
			r.replace(rule)
			continue
		}
		r := newRunner(e, rule)
		e.runners[ref] = r
		if run {
			e.workers.Go(r.run)
		}
	}
}

func (e *Engine) reconcileTellers(configs map[string]*config, run bool) {
	wanted := map[string]bool{}
	for namespace := range configs {
		wanted[namespace] = e.owns(notifiedRoom, namespace)
	}
	for namespace, t := range e.tellers {
		if !wanted[namespace] {
			t.cancel()
			delete(e.tellers, namespace)
		}
	}
	for _, namespace := range slices.Sorted(maps.Keys(wanted)) {
		if !wanted[namespace] || e.tellers[namespace] != nil {
			continue
		}
		t := newTeller(e, namespace)
		e.tellers[namespace] = t
		if run {
			e.workers.Go(t.run)
		}
	}
}

// shown are the alerts of a document as this node knows them: of its own runner, or as they were written last.
type shown struct {
	ref    Ref
	alerts []*Alert
	health Health
	// node evaluates it, or did last; evaluated, took and missed are known of this node's own rules alone.
	node      string
	own       bool
	evaluated time.Time
	took      time.Duration
	missed    int
}

// current are the alerts of all documents of a namespace, in order; those that were forgotten are left out.
func (e *Engine) current(namespace string, now time.Time) []*shown {
	keep := resolvedFor
	if c := e.config(namespace); c != nil {
		keep = c.resolved
	}
	all := map[Ref]*shown{}
	for ref, rec := range e.records.in(namespace) {
		all[ref] = &shown{ref: ref, alerts: rec.Alerts, health: rec.Health, node: rec.Node}
	}
	e.mu.Lock()
	for ref, r := range e.runners {
		if ref.Namespace == namespace {
			all[ref] = r.shown.Load()
		}
	}
	e.mu.Unlock()
	list := slices.Collect(maps.Values(all))
	slices.SortFunc(list, func(a, b *shown) int { return compareRefs(a.ref, b.ref) })
	for i, s := range list {
		fresh := *s
		fresh.alerts = slices.DeleteFunc(slices.Clone(s.alerts), func(a *Alert) bool { return a.State == Resolved && now.Sub(a.ResolvedAt) >= keep })
		list[i] = &fresh
	}
	return list
}

func compareRefs(a, b Ref) int {
	return slices.Compare([]string{a.Namespace, a.Kind, a.Name}, []string{b.Namespace, b.Kind, b.Name})
}

// offset spreads rules over their interval, the same on every node.
func offset(ref Ref, every time.Duration) time.Duration {
	return time.Duration(xxhash.Sum64String(ref.key()) % uint64(every))
}

// slot is the first moment of a rule's grid after a time.
func slot(ref Ref, every time.Duration, after time.Time) time.Time {
	shift := int64(offset(ref, every))
	n := (after.UnixNano() - shift) / int64(every)
	return time.Unix(0, (n+1)*int64(every)+shift).UTC()
}

// promQLWarning begins the warnings that are about the query; all others are about what the answer lacks.
const promQLWarning = "PromQL "

// ask asks the series of a namespace. An answer that lacks something, such as the series of a node that does not answer, is an error: half of the data would end alerts
// that go on, and find absent what is there. A node that is gone is not asked any more after a few seconds.
func (e *Engine) ask(namespace string) asker {
	return func(ctx context.Context, query string, at time.Time) (promVector, error) {
		vector, warnings, err := e.Series.Instant(ctx, namespace, query, at)
		if err != nil {
			return nil, err
		}
		for _, warning := range warnings {
			if !strings.HasPrefix(warning, promQLWarning) {
				return nil, errors.New(warning)
			}
		}
		return vector, nil
	}
}
