package keyvalue

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/release"
	"github.com/gantry-platform/gantry/internal/state"
)

// Health is what a check says.
type Health int

// A check that is missing and one that is critical end the sessions that lean on it.
const (
	Missing Health = iota
	Critical
	Healthy
)

// NodeCheck is the check that every node has: that it is a member of the cluster. Without [Checks] it is healthy, and no other exists.
const NodeCheck = "serfHealth"

// Checks knows the nodes and health checks that sessions lean on. The implementation may be called concurrently and answers from memory.
type Checks interface {
	// Node reports whether there is a node of a name.
	Node(namespace, node string) bool
	// Check answers the health of a check of a node or of a service on it.
	Check(namespace, node, id string) Health
	// Changed is closed at the next change of an answer of Check. Take the channel first, then ask.
	Changed() <-chan struct{}
}

// Options say what [Keys] work with.
type Options struct {
	// Store and Releaser are required, and not started yet.
	Store    *state.Store
	Releaser *release.Releaser
	// Checks may be nil, see [NodeCheck].
	Checks Checks
	// Logger, Registerer and Now default to none, none and time.Now. Of Now only differences count, which the monotonic clock gives.
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time
}

// Keys are the keys, sessions and locks of the cluster. The methods may be called concurrently.
type Keys struct {
	store    *state.Store
	releaser *release.Releaser
	checks   Checks
	log      *slog.Logger
	now      func() time.Time
	sessions *sessions
	ended    *prometheus.CounterVec

	stop    context.CancelFunc
	workers sync.WaitGroup
}

// New makes them and registers their mirror with the store. Call Start after the store's.
func New(o Options) (*Keys, error) {
	if o.Store == nil || o.Releaser == nil {
		return nil, errors.New("keyvalue: Options lack Store or Releaser")
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
	k := &Keys{store: o.Store, releaser: o.Releaser, checks: o.Checks, log: o.Logger, now: o.Now, sessions: newSessions(o.Now, o.Logger),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gantry_key_sessions_ended_total",
			Help: "Sessions of keys that this node has ended, by why."}, []string{"why"})}
	held := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "gantry_key_sessions", Help: "Sessions of keys."},
		func() float64 { return float64(k.sessions.total()) })
	for _, collector := range []prometheus.Collector{k.ended, held} {
		if err := o.Registerer.Register(collector); err != nil {
			return nil, err
		}
	}
	o.Store.Mirror(state.Prefix(sessionRoom), k.sessions)
	o.Store.Mirror(state.Prefix(endingRoom), &k.sessions.endings)
	return k, nil
}

// Start begins to end sessions that are over. The work goes on until Close.
func (k *Keys) Start() {
	ctx, stop := context.WithCancel(access.NewContext(context.Background(), access.System("end of a session")))
	k.stop = stop
	k.workers.Go(func() { k.run(ctx) })
}

// Close ends the work in the background.
func (k *Keys) Close() {
	if k.stop != nil {
		k.stop()
	}
	k.workers.Wait()
}

// Get answers a key, see [release.Releaser.Key].
func (k *Keys) Get(ctx context.Context, namespace, name string, reading release.Reading) (*release.Key, int64, error) {
	return k.releaser.Key(ctx, namespace, name, reading)
}

// List answers the keys under a prefix, see [release.Releaser.Keys].
func (k *Keys) List(ctx context.Context, namespace, prefix string, reading release.Reading) ([]*release.Key, int64, error) {
	return k.releaser.Keys(ctx, namespace, prefix, reading)
}

// Changed tells of the next change of keys, see [release.Releaser.Changed].
func (k *Keys) Changed(scope release.Scope) (changed <-chan struct{}, stop func()) {
	return k.releaser.Changed(scope)
}

// mayWrite refuses who may neither serve nor both publish and release in a namespace.
func mayWrite(ctx context.Context, namespace string) error {
	if access.FromContext(ctx).May(access.Serve, namespace) {
		return nil
	}
	if err := access.Require(ctx, access.Publish, namespace); err != nil {
		return err
	}
	return access.Require(ctx, access.Release, namespace)
}

func normal(namespace string) string {
	if namespace == "" {
		return release.DefaultNamespace
	}
	return namespace
}
