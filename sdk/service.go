package gantry

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"google.golang.org/protobuf/proto"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// service is what the client knows of one service, for all that are interested in it.
type service struct {
	client *Client
	key    serviceKey
	view   atomic.Pointer[View]
	// ready is closed when there is a first view, or a refusal.
	ready chan struct{}

	// Client.mu guards the rest.
	isReady bool
	changed chan struct{}
	// held is the revision to resume from; 0 when there is none: nothing has been answered, the view comes from a file, or the
	// server says that it cannot be resumed from. based: the server in use knows what is held, and sends what changes.
	held         int64
	based        bool
	acknowledged int64
	serverStale  bool
	// subscriptions use the service; pinned: so does Discover.
	subscriptions map[*Subscription]struct{}
	pinned        bool
	alone         bool
	err           error
	fallback      *time.Timer
}

// service finds or makes the entry of a service. The caller holds mu.
func (c *Client) service(key serviceKey) (*service, error) {
	if c.closed {
		return nil, ErrClosed
	}
	if s := c.services[key]; s != nil {
		return s, nil
	}
	if len(c.services) >= maxServices {
		return nil, invalid("service", "close subscriptions that are not in use", "%d services are subscribed, the most there can be", maxServices)
	}
	s := &service{
		client: c, key: key, ready: make(chan struct{}), changed: make(chan struct{}), subscriptions: map[*Subscription]struct{}{},
	}
	s.view.Store(newView(View{Service: key.String(), Stale: true}))
	c.services[key] = s
	delete(c.outbox.unsubscribe, key)
	c.outbox.services[key] = s
	c.signal()
	s.fallback = c.later(c.settings.snapshotWait, s.recall)
	return s, nil
}

// drop forgets a service that nobody uses. The caller holds mu.
func (s *service) drop() {
	c := s.client
	if s.pinned || len(s.subscriptions) > 0 || c.services[s.key] != s {
		return
	}
	s.fallback.Stop()
	delete(c.services, s.key)
	delete(c.outbox.services, s.key)
	delete(c.outbox.acknowledge, s.key)
	if c.link != nil {
		c.outbox.unsubscribe[s.key] = struct{}{}
	}
	c.signal()
}

// publish puts a view in force. The caller holds mu.
func (s *service) publish(view View) {
	s.view.Store(newView(view))
	s.settle()
	s.notify()
	s.acknowledge()
}

// settle says that there is an answer. The caller holds mu.
func (s *service) settle() {
	if !s.isReady {
		s.isReady = true
		close(s.ready)
	}
}

// notify wakes who waits for a change. The caller holds mu.
func (s *service) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// acknowledge tells the server which revision all subscriptions use. The caller holds mu.
func (s *service) acknowledge() {
	if s.held == 0 {
		return
	}
	used := s.held
	for sub := range s.subscriptions {
		if sub.sequential {
			used = min(used, sub.used)
		}
	}
	if used > s.acknowledged && s.client.link != nil {
		s.acknowledged = used
		s.client.outbox.acknowledge[s.key] = used
		s.client.signal()
	}
}

// serviceChanged takes an event of a session.
func (c *Client) serviceChanged(l *link, event *gantryv1.ServiceEvent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.services[keyOf(event.GetService())]
	if c.link != l || s == nil {
		return
	}
	old := s.view.Load()
	// A delta says what changed since what the server knows is held. Without that, or backwards, it makes no sense: ask for the whole.
	if !event.GetFull() && (!s.based || event.GetRevision() > 0 && event.GetRevision() < s.held) {
		if l.doubts++; l.doubts > maxDoubts {
			l.cancel(fmt.Errorf("%w: changes of %s do not fit what it sent before", errNonsense, s.key))
			return
		}
		c.logger.Warn("a change of a service does not fit what is known of it; asking for the whole",
			"service", s.key.String(), "held", s.held, "revision", event.GetRevision())
		s.held, s.based = 0, false
		c.outbox.services[s.key] = s
		c.signal()
		return
	}
	s.held, s.based, s.err, s.alone = event.GetRevision(), true, nil, false
	s.serverStale = event.GetStale()
	s.publish(View{
		Service: old.Service, Revision: s.held, Instances: mergeInstances(s.key, old.Instances, event),
		Known: true, Stale: s.serverStale, Protected: event.GetProtected(),
	})
	c.saver.mark()
}

// mergeInstances applies an event to the instances held before, ordered by id. What stays is shared.
func mergeInstances(key serviceKey, old []*Instance, event *gantryv1.ServiceEvent) []*Instance {
	held := make(map[string]*Instance, len(old))
	for _, i := range old {
		held[i.ID] = i
	}
	merged := make(map[string]*Instance, len(old)+len(event.GetInstances()))
	if !event.GetFull() {
		for id, i := range held {
			merged[id] = i
		}
		for _, id := range event.GetRemoved() {
			delete(merged, id)
		}
	}
	for _, m := range event.GetInstances() {
		load := new(atomic.Int64)
		if was := held[m.GetId()]; was != nil && was.load != nil {
			load = was.load
		}
		merged[m.GetId()] = newInstance(key, m, load)
	}
	all := make([]*Instance, 0, len(merged))
	for _, i := range merged {
		all = append(all, i)
	}
	slices.SortFunc(all, func(a, b *Instance) int { return strings.Compare(a.ID, b.ID) })
	return all
}

// confirmed notes that the server sends changes from the revision held on. The caller holds mu.
func (s *service) confirmed() {
	s.err, s.alone = nil, false
	if s.based {
		s.mark(s.serverStale)
	}
}

// disconnected marks what is known as last known. The caller holds mu.
func (s *service) disconnected() { s.mark(true) }

// mark changes whether the view is stale. The caller holds mu.
func (s *service) mark(stale bool) {
	if view := *s.view.Load(); view.Stale != stale && view.Known {
		view.Stale = stale
		s.view.Store(&view)
		s.notify()
	}
}

// refuse notes that the server does not give the service to this client. The caller holds mu.
func (s *service) refuse(err error) {
	if s.err == nil || s.err.Error() != err.Error() {
		s.client.logger.Error("the server refuses the subscription; asking again slowly", "service", s.key.String(), "reason", err)
	}
	s.err = err
	s.settle()
	s.notify()
}

// recall takes what the local snapshot knows when no server has answered. The caller holds mu.
func (s *service) recall() {
	event, saved := s.client.saver.service(s.key)
	if event == nil || s.view.Load().Known || s.client.services[s.key] != s {
		return
	}
	s.client.logger.Warn("no server has answered; using the local snapshot", "service", s.key.String(),
		"age", time.Since(saved).Round(time.Second), "instances", len(event.GetInstances()))
	s.publish(View{
		Service: s.key.String(), Instances: mergeInstances(s.key, nil, event), Known: true, Stale: true,
		Protected: event.GetProtected(), SavedAt: saved,
	})
}

// message is the service as the local snapshot keeps it.
func (s *service) message() *gantryv1.ServiceEvent {
	view := s.view.Load()
	event := &gantryv1.ServiceEvent{Service: s.key.ref(""), Revision: view.Revision, Full: true, Protected: view.Protected}
	for _, i := range view.Instances {
		m := i.message()
		m.Weight = proto.Float64(i.Weight)
		m.Protected, m.Provisional = i.Protected, i.Provisional
		m.Health = gantryv1.Health_HEALTH_UNHEALTHY
		if i.Healthy {
			m.Health = gantryv1.Health_HEALTH_HEALTHY
		}
		if i.TTL > 0 {
			m.Ttl = durationpb.New(i.TTL)
		}
		event.Instances = append(event.Instances, m)
	}
	return event
}

// wait waits for a first view.
func (s *service) wait(ctx context.Context) error {
	select {
	case <-s.ready:
	case <-s.client.ctx.Done():
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("gantry: nothing is known of %s yet: %w%s", s.key, ctx.Err(), s.client.reason())
	}
	if s.view.Load().Known {
		return nil
	}
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	return s.err
}

// reason is why there is no session, for messages.
func (c *Client) reason() string {
	if err := c.Connection().Err; err != nil {
		return fmt.Sprintf(" (%v)", err)
	}
	return ""
}

// Discover returns the instances of a service that traffic may go to, as [View.Available] says. A service is "name" or
// "group/name". The first call for a service subscribes to it for the client's life and waits for the first answer, or, when no
// server answers within the snapshot wait, for the local snapshot's; later calls answer from memory. A service that nobody has registered
// has no instances, which is no error. A client knows at most 1,000 services. The slice is shared: do not change it.
func (c *Client) Discover(ctx context.Context, name string) ([]*Instance, error) {
	key, err := parseService(name)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	s, err := c.service(key)
	if err == nil {
		s.pinned = true
	}
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if err := s.wait(ctx); err != nil {
		return nil, err
	}
	return s.view.Load().Available(), nil
}

// Subscription follows a service until it is closed. It never loses what it knows: while no session is open, its view is the last one,
// marked stale.
type Subscription struct {
	service *service
	closed  chan struct{}

	// Client.mu guards the rest.
	// sequential: the reader takes views by Next, and uses one until it asks for the next.
	sequential bool
	// last is the view that Next returned, and used the newest revision that the reader has finished with taking up.
	last *View
	used int64
	done bool
}

// Subscribe follows a service: "name" or "group/name". It does not wait; see [Subscription.Ready].
func (c *Client) Subscribe(name string) (*Subscription, error) {
	key, err := parseService(name)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.service(key)
	if err != nil {
		return nil, err
	}
	sub := &Subscription{service: s, closed: make(chan struct{})}
	s.subscriptions[sub] = struct{}{}
	return sub, nil
}

// Ready waits for the first answer about the service, or, when no server answers within the snapshot wait, for the local snapshot's. It
// fails with an [*Error] when the server refuses the subscription.
func (s *Subscription) Ready(ctx context.Context) error {
	select {
	case <-s.closed:
		return ErrClosed
	default:
	}
	return s.service.wait(ctx)
}

// View returns what is known now: never nil, one atomic load. A reader that asks for the view for each call uses a new revision as soon as
// it is there; the server is told so at once.
func (s *Subscription) View() *View { return s.service.view.Load() }

// Next waits for a view other than the one it returned last and returns the newest: changes in between are skipped. The first call
// returns at once when something is known. Calling it again says that the view before is in use: only then is it acknowledged to the
// server, which lets an instance that drains wait for this reader. So take a view up quickly, and go on calling. One goroutine
// only may call Next.
func (s *Subscription) Next(ctx context.Context) (*View, error) {
	c := s.service.client
	for {
		c.mu.Lock()
		s.sequential = true
		if s.last != nil && s.last.Revision > s.used {
			s.used = s.last.Revision
			s.service.acknowledge()
		}
		view, changed := s.View(), s.service.changed
		over := s.done || c.closed
		if !over && view.Known && view != s.last {
			s.last = view
			c.mu.Unlock()
			return view, nil
		}
		c.mu.Unlock()
		if over {
			return nil, ErrClosed
		}
		select {
		case <-changed:
		case <-s.closed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Close ends the subscription. The last view stays readable.
func (s *Subscription) Close() {
	c := s.service.client
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.done {
		return
	}
	s.done = true
	close(s.closed)
	delete(s.service.subscriptions, s)
	if !c.closed {
		s.service.acknowledge()
		s.service.drop()
	}
}
