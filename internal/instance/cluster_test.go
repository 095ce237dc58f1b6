package instance_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
	"github.com/gantry-platform/gantry/internal/state"
	"github.com/gantry-platform/gantry/internal/state/statetest"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// peers joins the registries of one process as the wire joins those of several.
type peers struct {
	mu    sync.Mutex
	nodes map[string]*node
	self  string
	calls int
}

func (p *peers) others() []*node {
	p.mu.Lock()
	defer p.mu.Unlock()
	var others []*node
	for id, n := range p.nodes {
		if id != p.self {
			others = append(others, n)
		}
	}
	return others
}

func (p *peers) Beats(_ context.Context, id string, beats []instance.ServiceBeats) ([][]string, error) {
	p.mu.Lock()
	n := p.nodes[id]
	p.calls++
	p.mu.Unlock()
	if n == nil {
		return nil, errors.New("no such node")
	}
	return n.AcceptBeats(beats), nil
}

func (p *peers) AwaitAcknowledged(ctx context.Context, service instance.Service, revision int64, _ time.Duration, limit int) (f instance.Following) {
	for _, n := range p.others() {
		s, a := n.AwaitAcknowledged(ctx, service, revision)
		f.Subscribers, f.Acknowledged = f.Subscribers+s, f.Acknowledged+a
		f.Who = append(f.Who, n.Following(service, revision, limit).Who...)
	}
	return f
}

func (p *peers) Following(_ context.Context, service instance.Service, revision int64, limit int) (f instance.Following) {
	for _, n := range p.others() {
		one := n.Following(service, revision, limit)
		f.Subscribers, f.Acknowledged, f.Who = f.Subscribers+one.Subscribers, f.Acknowledged+one.Acknowledged, append(f.Who, one.Who...)
	}
	return f
}

// pair is two nodes over one state, which know each other.
func pair(t *testing.T) (*node, *node, *peers) {
	t.Helper()
	all := map[string]*node{}
	open := func(store *state.Store) (*node, *peers) {
		p := &peers{nodes: all, self: store.Self().ID}
		n := open(t, store, func(o *instance.Options) { o.Peers = p })
		all[p.self] = n
		statetest.Start(t, store)
		return n, p
	}
	first, p := open(statetest.New(t))
	second, _ := open(statetest.Second(t, first.store))
	for _, n := range []*node{first, second} {
		awaitNodes(t, n.store, 2)
		n.run()
	}
	return first, second, p
}

func awaitNodes(t *testing.T, s *state.Store, count int) {
	t.Helper()
	timeout := time.After(patience)
	for {
		changed := s.NodesChanged()
		if len(s.Nodes()) == count {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("the nodes are %v", s.Nodes())
		}
	}
}

// owners sorts a service's instances by who keeps them.
func owners(n *node, service instance.Service) map[string][]string {
	owned := map[string][]string{}
	for _, i := range n.Lookup(service).Instances {
		owner := n.Owner(service, i)
		owned[owner] = append(owned[owner], i.ID)
	}
	return owned
}

func TestBeatsReachTheOwner(t *testing.T) {
	a, b, p := pair(t)
	a.fleet(loan, 40)
	b.settle()
	owned := owners(a, loan)
	if len(owned) != 2 || len(owned[a.store.Self().ID]) < 5 || len(owned[b.store.Self().ID]) < 5 {
		t.Fatalf("shared out as %v", owned)
	}
	for range 4 { // everybody beats at the first node
		if unknown := a.beat(loan, append(ids(1, 40), "nobody")...); len(unknown) != 1 {
			t.Fatalf("unknown %v", unknown)
		}
		a.advance(10 * time.Second)
		b.advance(10 * time.Second)
	}
	a.settle()
	if got := a.tally(loan); got["healthy"] != 40 {
		t.Fatalf("%v", got)
	}
	p.mu.Lock()
	calls := p.calls
	p.mu.Unlock()
	if calls == 0 || calls > 4 {
		t.Fatalf("%d messages for 4 beats of 40 instances", calls)
	}
}

func TestTakeoverGivesGrace(t *testing.T) {
	a, b, _ := pair(t)
	b.fleet(loan, 20)
	s := b.OpenSession(instance.SessionOptions{})
	risk := instance.Service{Name: "risk"}.Normal()
	if _, err := s.Register(t.Context(), []instance.Registration{registration(risk, "10.0.0.1")}); err != nil {
		t.Fatal(err)
	}
	a.settle()
	a.advance(time.Minute) // all that the second node keeps is none of the first one's business
	kept := owners(a, loan)[b.store.Self().ID]
	if got := a.tally(loan); got["healthy"] < len(kept) {
		t.Fatalf("the first node expired what the second one keeps: %v", got)
	}
	for range 2 { // register what the first one expired meanwhile, and be heard of
		a.fleet(loan, 20)
	}
	a.settle()
	if got := a.tally(loan); got["healthy"] != 20 {
		t.Fatalf("%v", got)
	}

	b.Close()
	b.store.Close()
	awaitNodes(t, a.store, 1)
	a.clock.step(0) // the registry has seen it too
	a.advance(14 * time.Second)
	for _, id := range kept {
		a.wantHealth(loan, id, "healthy")
	}
	a.wantHealth(risk, "10.0.0.1:8080", "healthy")
	a.beat(loan, ids(1, 20)...)
	a.advance(10 * time.Second)
	if got := a.tally(loan); got["healthy"] != 20 {
		t.Fatalf("%v", got)
	}
	a.wantHealth(risk, "10.0.0.1:8080", "gone")
}

func TestExpiryNeverRemovesWhoRegisteredElsewhere(t *testing.T) {
	a, b, _ := pair(t)
	old := a.OpenSession(instance.SessionOptions{})
	all := []instance.Registration{registration(loan, "10.0.0.1")}
	if _, err := old.Register(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	old.Close(t.Context(), false)
	a.advance(15*time.Second + instance.Tick)
	a.wantHealth(loan, "10.0.0.1:8080", "unhealthy")
	fresh := b.OpenSession(instance.SessionOptions{})
	if _, err := fresh.Register(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	a.advance(time.Minute)
	b.advance(time.Minute)
	for _, n := range []*node{a, b} {
		n.wantHealth(loan, "10.0.0.1:8080", "healthy")
	}
	if i := a.get(loan, "10.0.0.1:8080"); i.Owner != b.store.Self().ID {
		t.Fatalf("%+v", i)
	}
}

// TestProtectionSeesAllNodes: no node loses more than the threshold, but together they do.
func TestProtectionSeesAllNodes(t *testing.T) {
	a, b, _ := pair(t)
	a.fleet(loan, 20)
	b.settle()
	beating := ids(15, 20)
	for range 9 {
		a.beat(loan, beating...)
		for _, n := range []*node{a, b} {
			n.advance(4 * time.Second)
		}
		a.settle()
		b.settle()
	}
	for _, n := range []*node{a, b} {
		if got := n.tally(loan); got["healthy"] != 6 || got["protected"] != 14 {
			t.Fatalf("%v", got)
		}
	}
}

// TestExpiryRacesRegistration lets expiry and registration of the same instance on two nodes meet as they may.
func TestExpiryRacesRegistration(t *testing.T) {
	a, b, _ := pair(t)
	for range 20 {
		old := a.OpenSession(instance.SessionOptions{})
		all := []instance.Registration{registration(loan, "10.0.0.1")}
		if _, err := old.Register(t.Context(), all); err != nil {
			t.Fatal(err)
		}
		old.Close(t.Context(), false)
		a.advance(15*time.Second - 2*instance.Tick)
		var both sync.WaitGroup
		fresh := b.OpenSession(instance.SessionOptions{})
		var err error
		both.Go(func() { _, err = fresh.Register(context.Background(), all) })
		a.advance(4 * time.Second)
		both.Wait()
		if err != nil {
			t.Fatal(err)
		}
		a.settle()
		b.settle()
		a.advance(5 * time.Second)
		b.settle()
		b.wantHealth(loan, "10.0.0.1:8080", "healthy")
		fresh.Close(t.Context(), true)
		a.settle()
	}
}

// TestOwnerTakenForDeadTakesBack: another node that took this one for dead marks an instance and removes it; its session lives, so it
// comes back.
func TestOwnerTakenForDeadTakesBack(t *testing.T) {
	n := single(t, nil)
	s := n.OpenSession(instance.SessionOptions{})
	if _, err := s.Register(t.Context(), []instance.Registration{registration(loan, "10.0.0.1")}); err != nil {
		t.Fatal(err)
	}
	id := "10.0.0.1:8080"
	key := state.Key("instance", "default", "default", "loan", id)
	marked := n.get(loan, id).WithState(gantryv1.Health_HEALTH_UNHEALTHY, "session lost for 15s").Stored()
	back := func() {
		t.Helper()
		n.await(loan, "its return", func(s *instance.Snapshot) bool {
			i := (*instance.Instance)(nil)
			if s != nil {
				i = s.Instance(id)
			}
			return i != nil && i.Health == gantryv1.Health_HEALTH_HEALTHY && !i.Provisional
		})
	}
	commit := func(change state.Change) (int64, error) {
		t.Helper()
		revision, err := n.store.Commit(t.Context(), change)
		if err != nil && !errors.Is(err, state.ErrConflict) {
			t.Fatal(err)
		}
		return revision, err
	}
	commit(state.Change{Put: []state.Put{{Key: key, Value: marked}}})
	n.settle()
	back()
	for { // it may take itself back between the two
		revision, _ := commit(state.Change{Put: []state.Put{{Key: key, Value: marked}}})
		if _, err := commit(state.Change{If: []state.Condition{state.Unchanged(key, revision)}, Delete: []string{key}}); err == nil {
			break
		}
	}
	n.settle()
	back()
	n.advance(time.Minute)
	n.wantHealth(loan, id, "healthy")
	// What is deregistered on purpose stays away.
	if _, err := n.Deregister(t.Context(), loan, id); err != nil {
		t.Fatal(err)
	}
	n.settle()
	n.wantHealth(loan, id, "gone")
}

func TestDrainAcrossNodes(t *testing.T) {
	a, b, _ := pair(t)
	id := a.register(loan, "10.0.0.1").ID
	s := b.Subscribe(instance.Follower{})
	defer s.Close()
	if err := s.Add(loan, 0); err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			frames, err := s.Next(context.Background())
			if err != nil {
				return
			}
			for _, f := range frames {
				s.Acknowledge(f.Service, f.Revision)
			}
		}
	}()
	result, err := a.Drain(t.Context(), instance.DrainOptions{Service: loan, ID: id, Wait: patience, Deregister: true})
	if err != nil || result.Subscribers != 1 || result.Acknowledged != 1 {
		t.Fatalf("%+v, %v", result, err)
	}
}

func TestSubscriberResumesOnAnotherNode(t *testing.T) {
	a, b, _ := pair(t)
	var have int64
	for k := range 20 {
		have = a.register(loan, fmt.Sprintf("10.0.0.%d", k+1)).Revision
	}
	b.settle()
	a.register(loan, "10.0.0.3", func(m *gantryv1.Instance) { m.Weight = proto.Float64(9) })
	b.settle()
	s := b.Subscribe(instance.Follower{})
	defer s.Close()
	if err := s.Add(loan, have); err != nil {
		t.Fatal(err)
	}
	event := next(t, s, func(*instance.Frame) bool { return true }).Event()
	if event.Full || len(event.Instances) != 1 || event.Instances[0].GetWeight() != 9 {
		t.Fatalf("%v", event)
	}
}

// ownAddresses finds addresses whose instances this node keeps alive, and goes on to when other nodes leave.
func (n *node) ownAddresses(service instance.Service, count int) (addresses []string) {
	n.t.Helper()
	probe := n.register(service, "10.1.0.0").ID
	for k := 1; len(addresses) < count && k < 250; k++ {
		address := fmt.Sprintf("10.1.0.%d", k)
		if n.Owner(service, &instance.Instance{ID: address + ":8080"}) == n.store.Self().ID {
			addresses = append(addresses, address)
		}
	}
	if _, err := n.Deregister(n.t.Context(), service, probe); err != nil || len(addresses) < count {
		n.t.Fatalf("%v, %v", addresses, err)
	}
	return addresses
}

// TestProvisionalMeetsTheRestOfTheCluster: while a registration waited on this node, another node wrote the same instance.
func TestProvisionalMeetsTheRestOfTheCluster(t *testing.T) {
	for name, test := range map[string]struct {
		session    bool // the registration came by a session here, still open
		later      time.Duration
		sick       bool // the other node only marked it
		wantWeight float64
		wantOwner  bool
	}{
		"registered there later":             {later: time.Second, wantWeight: 5},
		"registered there before":            {later: -time.Second, wantWeight: 7},
		"marked there later":                 {later: time.Second, sick: true, wantWeight: 7},
		"the session is here, whatever else": {session: true, later: time.Second, wantWeight: 7, wantOwner: true},
	} {
		t.Run(name, func(t *testing.T) {
			b := single(t, nil)
			second := statetest.Second(t, b.store)
			a := open(t, second, nil)
			statetest.Start(t, second)
			weigh := func(w float64) func(*gantryv1.Instance) {
				return func(m *gantryv1.Instance) { m.Weight = &w }
			}
			var session *instance.Session
			if test.session {
				session = a.OpenSession(instance.SessionOptions{})
			}
			if err := a.TakeProvisionally(registration(loan, "10.0.0.1", weigh(7)), session); err != nil {
				t.Fatal(err)
			}
			b.clock.mu.Lock()
			b.clock.wall = b.clock.wall.Add(test.later)
			b.clock.mu.Unlock()
			id := b.register(loan, "10.0.0.1", weigh(5)).ID
			if test.sick {
				sick := b.get(loan, id).WithState(gantryv1.Health_HEALTH_UNHEALTHY, "no beat for 15s").Stored()
				key := state.Key("instance", "default", "default", "loan", id)
				if _, err := b.store.Commit(t.Context(), state.Change{Put: []state.Put{{Key: key, Value: sick}}}); err != nil {
					t.Fatal(err)
				}
			}
			a.run() // now it can write
			a.await(loan, "the end of the wait", func(s *instance.Snapshot) bool { return s != nil && !s.Provisional && len(s.Instances) == 1 })
			a.settle()
			i := a.get(loan, id)
			if i.Weight != test.wantWeight || i.Health != gantryv1.Health_HEALTH_HEALTHY || (i.Owner == a.store.Self().ID) != test.wantOwner {
				t.Fatalf("%+v", i)
			}
			if test.session {
				a.advance(time.Minute)
				a.wantHealth(loan, id, "healthy")
			}
			if f := a.Figures(); f.Provisional != 0 {
				t.Fatalf("%+v", f)
			}
		})
	}
}

func awaitQuorum(t *testing.T, s *state.Store, want bool) {
	t.Helper()
	timeout := time.After(patience)
	for {
		changed := s.QuorumChanged()
		if s.Quorum() == want {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("the quorum never became %v", want)
		}
	}
}

func TestWithoutQuorum(t *testing.T) {
	stores := statetest.Cluster(t, 3)
	n := open(t, stores[0], func(o *instance.Options) { o.Limits.Provisional = 3 })
	statetest.StartAll(t, stores)
	n.run()
	mine := n.ownAddresses(loan, 2)
	kept := n.register(loan, mine[0]).ID
	s := n.Subscribe(instance.Follower{})
	defer s.Close()
	if err := s.Add(loan, 0); err != nil {
		t.Fatal(err)
	}
	c := new(client)
	next(t, s, func(f *instance.Frame) bool { c.take(t, f); return true })

	n.advance(10 * time.Second) // of its 15
	stores[1].Close()
	stores[2].Close()
	awaitQuorum(t, stores[0], false)
	next(t, s, func(f *instance.Frame) bool { c.take(t, f); return f.Event().Stale })
	if snapshot := n.Lookup(loan); !snapshot.Stale || !snapshot.Event().Stale || len(snapshot.Instances) != 1 {
		t.Fatalf("%+v", snapshot)
	}

	// Registrations are taken, and shown, and can be taken back.
	session := n.OpenSession(instance.SessionOptions{})
	held, err := session.Register(t.Context(), []instance.Registration{registration(loan, "10.0.0.2")})
	if err != nil || !held[0].Provisional {
		t.Fatalf("%+v, %v", held, err)
	}
	beating, passing := n.register(loan, mine[1]), n.register(loan, "10.0.0.4")
	if !beating.Provisional || beating.Revision != 0 || beating.BeatInterval == 0 {
		t.Fatalf("%+v", beating)
	}
	_, err = n.Register(t.Context(), registration(loan, "10.0.0.5"))
	wantFault(t, err, fault.Exhausted, "instance.provisional_limit")
	if _, err := n.Deregister(t.Context(), loan, passing.ID); err != nil {
		t.Fatal(err)
	}
	if unknown := n.beat(loan, beating.ID, passing.ID); len(unknown) != 1 {
		t.Fatalf("unknown %v", unknown)
	}
	f := next(t, s, func(f *instance.Frame) bool { c.take(t, f); return c.sees(n.Lookup(loan)) })
	if f.Revision != 0 {
		t.Fatal("a client could resume elsewhere from what only this node knows")
	}
	if i := n.get(loan, beating.ID); !i.Provisional || !i.Proto().GetProvisional() || !i.Available() {
		t.Fatalf("%+v", i)
	}
	// What is committed goes on beneath.
	heavy := func(m *gantryv1.Instance) { m.Weight = proto.Float64(2) }
	if result := n.register(loan, mine[0], heavy); !result.Provisional || n.get(loan, kept).Weight != 2 {
		t.Fatalf("%+v, %+v", result, n.get(loan, kept))
	}
	if result := n.register(loan, mine[0]); !result.Provisional || n.get(loan, kept).Weight != 1 {
		t.Fatalf("%+v, %+v", result, n.get(loan, kept))
	}
	_, err = n.Deregister(t.Context(), loan, kept)
	wantFault(t, err, fault.Unavailable, "")
	// Nobody expires meanwhile.
	for range 600 {
		n.clock.step(instance.Tick)
	}
	n.Idle()
	n.wantHealth(loan, kept, "healthy")
	if figures := n.Figures(); figures.Provisional != 2 {
		t.Fatalf("%+v", figures)
	}

	statetest.Start(t, statetest.Reopen(t, stores[1]))
	awaitQuorum(t, stores[0], true)
	n.await(loan, "the commit of what was provisional", func(s *instance.Snapshot) bool {
		return s != nil && !s.Provisional && !s.Stale && len(s.Instances) == 3
	})
	next(t, s, func(f *instance.Frame) bool { c.take(t, f); return f.Revision > 0 && c.sees(n.Lookup(loan)) })
	records, err := n.store.List(t.Context(), state.Prefix("instance"), state.ListOptions{})
	if err != nil || len(records) != 3 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	// From here on silence counts again, for all from now; the session goes on holding its own.
	n.settle()
	n.advance(14 * time.Second)
	if got := n.tally(loan); got["healthy"] != 3 {
		t.Fatalf("%v", got)
	}
	n.beat(loan, kept)
	n.advance(10 * time.Second)
	n.wantHealth(loan, kept, "healthy")
	n.wantHealth(loan, held[0].ID, "healthy")
	n.wantHealth(loan, beating.ID, "unhealthy")
}
