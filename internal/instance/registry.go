package instance

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gantry-platform/gantry/internal/state"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// Options say what a registry works with. Store is required.
type Options struct {
	Store *state.Store
	// Peers reach the registries of the other nodes. Nil when there are none.
	Peers Peers
	// NamespaceInUse is asked before a namespace is deleted; its error says what still lives there. Nil asks nobody.
	NamespaceInUse func(ctx context.Context, namespace string) error
	// NamedProtocol is a language whose clients name instances without their service; [Registry.Named] finds those. Empty: none.
	NamedProtocol string
	// ObserveSettings is told of every change of a service's settings that this node sees, but not of what it reads at its start; it must not wait. Default: nobody is.
	ObserveSettings func(SettingsChange)
	Limits          Limits
	Logger          *slog.Logger
	Registerer      prometheus.Registerer
	// Clock is for tests; nil is the system's.
	Clock Clock
}

// SettingsChange is a change of a service's settings.
type SettingsChange struct {
	Service Service
	// Before and After are nil where none are set. Do not change them.
	Before, After *gantryv1.ServiceSettings
	// Revision is that of the state: the same on all nodes.
	Revision int64
}

// Peers are the registries of the other live nodes.
type Peers interface {
	// Beats hands beats to the node that owns the instances, which passes them to [Registry.AcceptBeats], and
	// answers with the ids that it does not know, in the order of the beats.
	Beats(ctx context.Context, nodeID string, beats []ServiceBeats) ([][]string, error)
	// AwaitAcknowledged asks all other nodes for [Registry.AwaitAcknowledged] and then for who has, at most limit of each, and adds their answers up.
	AwaitAcknowledged(ctx context.Context, service Service, revision int64, wait time.Duration, limit int) Following
	// Following asks all other nodes for [Registry.Following] and adds their answers up.
	Following(ctx context.Context, service Service, revision int64, limit int) Following
}

// Registry knows who is running. Its methods may be called concurrently, after [Registry.Start].
type Registry struct {
	store          *state.Store
	peers          Peers
	namespaceInUse func(context.Context, string) error
	observe        func(SettingsChange)
	limits         Limits
	log            *slog.Logger
	clock          Clock
	metrics        *metrics
	self           string

	table      *table
	namespaces namespaces
	counts     counts
	ownership  ownership
	notifier   notifier
	journal    journal
	names      names
	transfers  transfers

	wheel *wheel
	// running is the registry's time in ticks; grace is when the quorum came back last: silence counts from then.
	running, grace atomic.Int64
	stale          atomic.Bool
	due            dueQueue
	probeSlots     chan struct{}
	provisionals   provisionals
	scratches      sync.Pool // of *scratch
	forwards       forwards
	subscribers    atomic.Int64

	// applied is the newest revision that the mirrors brought, and resetting tells a reset from changes. The latter
	// is for the mirrors' goroutine alone.
	applied   atomic.Int64
	resetting bool

	lifetime context.Context
	end      context.CancelFunc
	workers  sync.WaitGroup
}

// New makes a registry and puts its mirrors on the store, which must not have been started. Without a store it
// panics.
func New(options Options) *Registry {
	if options.Store == nil {
		panic("instance: New without a store")
	}
	r := &Registry{
		store: options.Store, peers: options.Peers, namespaceInUse: options.NamespaceInUse, observe: options.ObserveSettings,
		limits: options.Limits.withDefaults(), log: options.Logger, clock: options.Clock, self: options.Store.Self().ID,
		table: newTable(), wheel: newWheel(), probeSlots: make(chan struct{}, maxProbes),
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if r.observe == nil {
		r.observe = func(SettingsChange) {}
	}
	if r.clock == nil {
		r.clock = systemClock{start: time.Now()}
	}
	r.lifetime, r.end = context.WithCancel(context.Background())
	r.due.filled.L, r.due.idle.L = &r.due.mu, &r.due.mu
	r.notifier.now = r.clock.Elapsed
	r.notifier.wake = make(chan struct{}, 1)
	r.provisionals.wake = make(chan struct{}, 1)
	r.forwards.init(r)
	r.namespaces.init()
	r.journal.init()
	r.names.protocol, r.names.found = options.NamedProtocol, make(map[nameKey][]Named)
	r.wheel.now = 1 // a life's 0 means never
	r.running.Store(r.wheel.now)
	r.ownership.current.Store(newMembers(r.self, nil))
	r.metrics = newMetrics(r, options.Registerer)
	r.registerMirrors()
	return r
}

// Start begins to keep instances alive, to check and to push. Call it after the store's Start. Every instance that this node owns
// gets its full ttl from here.
func (r *Registry) Start(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if r.lifetime.Err() != nil {
		return errors.New("instance: the registry is closed")
	}
	r.stale.Store(!r.store.Quorum())
	r.workers.Go(r.run)
	r.workers.Go(r.runNotifier)
	r.workers.Go(r.runProvisionals)
	for range settleWorkers {
		r.workers.Go(func() {
			for l := r.due.next(); l != nil; l = r.due.next() {
				r.settle(r.lifetime, l)
				r.due.done()
			}
		})
	}
	return nil
}

// Close ends the registry's work. Sessions should be closed before, and the store after it. Instances stay as they are
// in the state, for the nodes that remain.
func (r *Registry) Close() error {
	r.forwards.mu.Lock() // nothing new starts after this
	r.end()
	r.forwards.mu.Unlock()
	r.due.close()
	r.workers.Wait()
	return nil
}

// run follows time, the quorum and the nodes.
func (r *Registry) run() {
	clock, stop := r.clock.Ticks(tick)
	defer stop()
	quorumChanged, nodesChanged := r.store.QuorumChanged(), r.store.NodesChanged()
	r.followQuorum()
	r.followNodes()
	before := r.clock.Elapsed()
	var rest time.Duration // of a tick
	for {
		select {
		case <-clock:
			now := r.clock.Elapsed()
			rest += min(now-before, maxStride)
			before = now
			if r.stale.Load() {
				rest = 0 // silence does not count: beats and registrations cannot be written
			}
			for ; rest >= tick; rest -= tick {
				r.step()
			}
		case <-quorumChanged:
			quorumChanged = r.store.QuorumChanged()
			r.followQuorum()
		case <-nodesChanged:
			nodesChanged = r.store.NodesChanged()
			r.followNodes()
		case <-r.lifetime.Done():
			return
		}
	}
}

// step goes on by a tick.
func (r *Registry) step() {
	r.running.Add(1)
	for _, t := range r.wheel.step(nil) {
		t.target.fire(r)
	}
}

// followQuorum takes note of whether there is a quorum. Subscribers are told, so that they know what their view is worth.
func (r *Registry) followQuorum() {
	stale := !r.store.Quorum()
	if r.stale.Swap(stale) == stale {
		return
	}
	if !stale {
		r.grace.Store(r.now())
		r.provisionals.kick()
	}
	r.table.all(func(roster *roster) bool {
		roster.mu.Lock()
		defer roster.mu.Unlock()
		roster.version++
		roster.frames = nil
		roster.snapshot.Store(nil)
		r.notifier.add(roster)
		return true
	})
	r.notifier.flush()
}

// refreshMembers reads which nodes live.
func (r *Registry) refreshMembers() *members {
	m := newMembers(r.self, r.store.Nodes())
	r.ownership.current.Store(m)
	return m
}

// followNodes shares the instances out anew.
func (r *Registry) followNodes() {
	m := r.refreshMembers()
	r.table.all(func(roster *roster) bool {
		roster.mu.Lock()
		defer roster.mu.Unlock()
		for _, i := range roster.committed {
			if r.reconcile(roster, i, m) {
				r.watch(i)
			}
		}
		return true
	})
	r.forwards.keep(m)
}

// Lookup returns the service as of now; nil when it has neither instances nor settings. Unless the service changed since the last call, it
// takes no lock and allocates nothing.
func (r *Registry) Lookup(service Service) *Snapshot {
	roster := r.table.find(service.Normal())
	if roster == nil {
		return nil
	}
	snapshot := roster.look(&r.stale)
	if len(snapshot.Instances) == 0 && snapshot.Settings == nil {
		return nil
	}
	return snapshot
}

// Stale reports whether this node has no quorum, so that what it says may be behind.
func (r *Registry) Stale() bool { return r.stale.Load() }

// Services lists the services of a namespace, or of all when it is empty, sorted.
func (r *Registry) Services(namespace string) []Service {
	var services []Service
	r.eachRoster(func(roster *roster) {
		if (namespace == "" || roster.service.Namespace == namespace) && roster.known() {
			services = append(services, roster.service)
		}
	})
	sortServices(services)
	return services
}

// Summary describes a service for lists; nil when it is unknown.
func (r *Registry) Summary(service Service) *gantryv1.Service {
	snapshot := r.Lookup(service)
	if snapshot == nil {
		return nil
	}
	summary := &gantryv1.Service{Ref: snapshot.Service.Ref(), Instances: uint32(len(snapshot.Instances)),
		Available: uint32(len(snapshot.Available())), Protected: snapshot.Protected, Settings: snapshot.Settings,
		Revision: snapshot.Revision, Subscribers: uint32(r.subscribersOf(snapshot.Service))}
	protocols, versions := map[string]struct{}{}, map[string]struct{}{}
	for _, i := range snapshot.Instances {
		protocols[i.Protocol] = struct{}{}
		if version := i.Labels.Get("version"); version != "" && len(versions) < maxSummaryVersions {
			versions[version] = struct{}{}
		}
	}
	summary.Protocols, summary.Versions = sortedKeys(protocols), sortedKeys(versions)
	return summary
}

// maxSummaryVersions bounds what a summary names; a service with more versions than that has something else in its label.
const maxSummaryVersions = 32

// Figures are counts of this node's mirror.
type Figures struct {
	Instances, Services, Provisional, Subscribers int
	// Owned is how many instances this node keeps alive.
	Owned int
}

// Figures counts what the node holds.
func (r *Registry) Figures() Figures {
	figures := Figures{Instances: int(r.counts.total.Load()), Provisional: int(r.provisionals.count.Load()),
		Subscribers: int(r.subscribers.Load())}
	r.eachRoster(func(roster *roster) {
		if roster.known() {
			figures.Services++
		}
		for _, i := range roster.committed {
			if i.life.owned {
				figures.Owned++
			}
		}
	})
	return figures
}

// counts are instances by namespace.
type counts struct {
	total       atomic.Int64
	mu          sync.Mutex
	byNamespace map[string]int
}

func (c *counts) add(namespace string, n int) {
	c.total.Add(int64(n))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byNamespace == nil {
		c.byNamespace = make(map[string]int)
	}
	if c.byNamespace[namespace] += n; c.byNamespace[namespace] <= 0 {
		delete(c.byNamespace, namespace)
	}
}

func (c *counts) of(namespace string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byNamespace[namespace]
}
