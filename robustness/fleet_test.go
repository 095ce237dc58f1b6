//go:build linux

package robustness

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	gantry "github.com/gantry-platform/gantry/sdk"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

const (
	// sessionService has instances that live by sessions, beatService such that live by beats.
	sessionService = "loan"
	beatService    = "risk"
	// beatTTL is the ttl of instances that live by beats; three beats fit into it.
	beatTTL = 6 * time.Second
	// sessionTTL is the default ttl, which most sessions have.
	sessionTTL = 15 * time.Second
	// settleBound is how long a silent instance is kept after it was marked unhealthy, and margin what a busy machine may take on top.
	settleBound = 2 * time.Second
	margin      = 8 * time.Second
	// sampleEvery is how often each node is asked who is there.
	sampleEvery = 50 * time.Millisecond
)

// fleet is services that live on a cluster. From the moment that all nodes know all of them, no node may ever answer without
// one of them.
type fleet struct {
	t       *testing.T
	cluster *cluster
	living  context.Context
	stop    context.CancelFunc
	running sync.WaitGroup

	mu      sync.Mutex
	members []*member
	missing []string
	samples map[string]int // by node
}

// member is one instance.
type member struct {
	service, id string
	// namespace is the network namespace that it is in.
	namespace string
	// settled: all nodes have shown it, so that it must be seen from now on.
	settled atomic.Bool
	// crash ends it without a word.
	crash func()
	// client is the SDK's, of one that lives by a session; registration is its instance.
	client       *gantry.Client
	registration *gantry.Registration
}

// startFleet starts services that reach all nodes, waits until all nodes know them, and begins to watch.
func startFleet(t *testing.T, c *cluster, sessions, beats int) *fleet {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	f := &fleet{t: t, cluster: c, living: ctx, stop: cancel, samples: map[string]int{}}
	t.Cleanup(f.end)
	for i := range sessions {
		f.addSession(fmt.Sprintf("loan-%d", i), f.home(), 0, c.nodes...)
	}
	for i := range beats {
		f.addBeats(fmt.Sprintf("risk-%d", i), beatTTL)
	}
	f.settle()
	for _, n := range c.nodes {
		f.observe(n)
	}
	return f
}

// observe begins to watch what a node says. It must know everybody already.
func (f *fleet) observe(n *node) {
	f.running.Go(func() { f.watch(f.living, n) })
}

// home is the network namespace of those who are beside no node.
func (f *fleet) home() string {
	if f.cluster.network == nil {
		return ""
	}
	return f.cluster.network.hub()
}

// cable is how a client reaches the servers. Pulled, it is dead: no connection lasts and none opens.
type cable struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)

	mu     sync.Mutex
	pulled bool
	conns  []net.Conn
}

var errPulled = errors.New("the cable is pulled")

func (c *cable) connect(ctx context.Context, address string) (net.Conn, error) {
	c.mu.Lock()
	pulled := c.pulled
	c.mu.Unlock()
	if pulled {
		return nil, errPulled
	}
	conn, err := c.dial(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pulled {
		conn.Close()
		return nil, errPulled
	}
	c.conns = append(c.conns, conn)
	return conn, nil
}

func (c *cable) pull() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pulled = true
	for _, conn := range c.conns {
		conn.Close()
	}
}

// addSession starts a service with the SDK that belongs to the fleet.
func (f *fleet) addSession(id, namespace string, ttl time.Duration, nodes ...*node) *member {
	f.t.Helper()
	m := f.start(id, namespace, ttl, nodes...)
	f.add(m)
	return m
}

// start starts a service with the SDK, which knows the nodes given and learns of the others. Zero is the default ttl.
func (f *fleet) start(id, namespace string, ttl time.Duration, nodes ...*node) *member {
	f.t.Helper()
	line := &cable{dial: dialFrom(namespace)}
	var addresses []string
	for _, n := range nodes {
		addresses = append(addresses, n.grpc)
	}
	options := []gantry.Option{gantry.WithAddresses(addresses...), gantry.WithDialer(line.connect), gantry.WithSnapshotFolder(""),
		gantry.WithIdentity(gantry.Identity{Service: sessionService, InstanceID: id, Address: "10.0.0.1"}),
		gantry.WithLogger(slog.New(slog.DiscardHandler)), gantry.WithPlaintext()}
	if f.cluster.token != "" {
		options = append(options, gantry.WithToken(f.cluster.token))
	}
	client, err := gantry.Connect(f.t.Context(), options...)
	if err != nil {
		f.t.Fatal(err)
	}
	m := &member{service: sessionService, id: id, client: client, namespace: namespace, crash: sync.OnceFunc(func() { line.pull(); client.Close() })}
	f.t.Cleanup(m.crash)
	m.registration, err = client.Register(f.t.Context(), gantry.Instance{Service: sessionService, Port: 8080, TTL: ttl}, gantry.WithoutWaiting())
	if err != nil {
		f.t.Fatal(err)
	}
	return m
}

func (f *fleet) add(m *member) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.members = append(f.members, m)
}

// addBeats starts a service that registers and beats over HTTP, each time on the next node that answers.
func (f *fleet) addBeats(id string, ttl time.Duration) *member {
	f.t.Helper()
	ctx, cancel := context.WithCancel(f.living)
	b := &beater{fleet: f, id: id, ttl: ttl}
	for _, n := range f.cluster.nodes {
		a := newAPI(f.t, n.http, f.home())
		a.token.Store(&f.cluster.token)
		b.nodes = append(b.nodes, a)
	}
	m := &member{service: beatService, id: id, namespace: f.home(), crash: cancel}
	b.member = m
	f.add(m)
	f.running.Go(func() { b.run(ctx) })
	return m
}

// beater is a service that lives by beats.
type beater struct {
	fleet  *fleet
	member *member
	id     string
	ttl    time.Duration
	nodes  []*api
	next   int
}

func (b *beater) run(ctx context.Context) {
	beat := time.NewTicker(b.ttl / 3)
	defer beat.Stop()
	registered := false
	for {
		if !registered {
			registered = b.anywhere(ctx, b.register)
		}
		select {
		case <-beat.C:
		case <-ctx.Done():
			return
		}
		if registered {
			b.anywhere(ctx, func(ctx context.Context, a *api) error {
				answered, err := a.instances.Beat(ctx, &gantryv1.BeatRequest{Service: &gantryv1.ServiceRef{Service: beatService}, Ids: []string{b.id}})
				if err == nil && len(answered.Unknown) > 0 {
					if b.member.settled.Load() && ctx.Err() == nil {
						b.fleet.violated("%s does not know %s, which beats", a.base, b.id)
					}
					registered = false
				}
				return err
			})
		}
	}
}

// anywhere asks one node after another until one answers.
func (b *beater) anywhere(ctx context.Context, ask func(context.Context, *api) error) bool {
	for range 2 * len(b.nodes) {
		to := b.nodes[b.next%len(b.nodes)]
		b.next++
		one, cancel := context.WithTimeout(ctx, 2*time.Second)
		err := ask(one, to)
		cancel()
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
	}
	return false
}

func (b *beater) register(ctx context.Context, a *api) error {
	_, err := a.instances.Register(ctx, &gantryv1.RegisterRequest{Service: &gantryv1.ServiceRef{Service: beatService},
		Instance: &gantryv1.Instance{Id: b.id, Address: "10.0.0.2", Port: 8080, Ttl: durationpb.New(b.ttl)}})
	return err
}

// settle waits until all nodes know all members.
func (f *fleet) settle() {
	f.t.Helper()
	f.mu.Lock()
	members := slices.Clone(f.members)
	f.mu.Unlock()
	for _, n := range f.cluster.nodes {
		eventually(f.t, 30*time.Second, func(ctx context.Context) error {
			known, err := f.known(ctx, n)
			if err != nil {
				return err
			}
			for _, m := range members {
				if i := known[m.service][m.id]; i == nil || i.Provisional || i.Health != gantryv1.Health_HEALTH_HEALTHY {
					return fmt.Errorf("%s does not know %s well: %v", n.name, m.id, i)
				}
			}
			return nil
		})
	}
	for _, m := range members {
		m.settled.Store(true)
	}
}

// known is what a node says of the fleet: instances by service and id.
func (f *fleet) known(ctx context.Context, n *node) (map[string]map[string]*gantryv1.Instance, error) {
	all := map[string]map[string]*gantryv1.Instance{}
	for _, service := range []string{sessionService, beatService} {
		instances, _, err := n.api.lookup(ctx, service)
		if err != nil {
			return nil, err
		}
		all[service] = instances
	}
	return all, nil
}

// watch asks a node again and again who is there. When it does not answer there is nothing to see; when it does, all who live must be there.
func (f *fleet) watch(ctx context.Context, n *node) {
	pace := time.NewTicker(sampleEvery)
	defer pace.Stop()
	for {
		select {
		case <-pace.C:
		case <-ctx.Done():
			return
		}
		f.mu.Lock()
		var living []*member
		for _, m := range f.members {
			if m.settled.Load() {
				living = append(living, m)
			}
		}
		f.mu.Unlock()
		one, cancel := context.WithTimeout(ctx, 2*time.Second)
		known, err := f.known(one, n)
		cancel()
		if err != nil {
			continue
		}
		for _, m := range living {
			i := known[m.service][m.id]
			switch {
			case !m.settled.Load():
				// it ended while the node was asked
			case i == nil:
				f.violated("%s answered without %s, which lives", n.name, m.id)
			case i.Health != gantryv1.Health_HEALTH_HEALTHY:
				f.violated("%s says that %s, which lives, is unhealthy: %s", n.name, m.id, i.HealthReason)
			}
		}
		f.mu.Lock()
		f.samples[n.name]++
		f.mu.Unlock()
	}
}

func (f *fleet) violated(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.missing) < 20 {
		f.missing = append(f.missing, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
	}
}

// die ends members without a word, and waits until all nodes have forgotten them.
func (f *fleet) die(within time.Duration, members ...*member) {
	f.t.Helper()
	for _, m := range members {
		m.settled.Store(false)
		m.crash()
	}
	f.mu.Lock()
	var left []*member
	for _, m := range f.members {
		if m.settled.Load() {
			left = append(left, m)
		}
	}
	f.members = left
	f.mu.Unlock()
	f.awaitGone(within, members...)
}

// awaitGone waits until no running node knows the members any more.
func (f *fleet) awaitGone(within time.Duration, members ...*member) {
	f.t.Helper()
	deadline := time.Now().Add(within)
	for _, n := range f.cluster.nodes {
		if !n.running() {
			continue
		}
		eventually(f.t, max(time.Until(deadline), time.Second), func(ctx context.Context) error {
			known, err := f.known(ctx, n)
			if err != nil {
				return err
			}
			for _, m := range members {
				if i := known[m.service][m.id]; i != nil {
					return fmt.Errorf("%s still knows %s, which is dead: %v", n.name, m.id, i)
				}
			}
			return nil
		})
	}
}

// awaitSessions waits until every session that is not beside a node is on one of these nodes, and its instance registered there.
func (f *fleet) awaitSessions(within time.Duration, nodes ...*node) {
	f.t.Helper()
	addresses := map[string]bool{}
	for _, n := range nodes {
		addresses[n.grpc] = true
	}
	eventually(f.t, within, func(context.Context) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, m := range f.members {
			if m.client == nil || m.namespace != f.home() {
				continue
			}
			state, connection := m.registration.State(), m.client.Connection()
			if !connection.Open || !addresses[connection.Address] || !state.Registered {
				return fmt.Errorf("%s: %+v, %+v", m.id, connection, state)
			}
		}
		return nil
	})
}

// end stops watching and beating.
func (f *fleet) end() {
	f.stop()
	f.running.Wait()
}

// check fails the test when anyone was ever missing.
func (f *fleet) check() {
	f.t.Helper()
	f.end()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, one := range f.missing {
		f.t.Error(one)
	}
	f.t.Logf("answers about the fleet: %v", f.samples)
	for _, n := range f.cluster.nodes {
		if f.samples[n.name] == 0 {
			f.t.Errorf("%s never answered: nothing was watched", n.name)
		}
	}
}
