package instance

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
)

const (
	// pushInterval is the least time between two rounds of pushes. The first change after a quiet time is pushed at once;
	// under a storm of changes subscribers get them together, at most 200 times a second.
	pushInterval = 5 * time.Millisecond
	// maxFrames and maxFrameBytes bound what one call of Next returns.
	maxFrames     = 256
	maxFrameBytes = 1 << 20
)

// ErrClosed answers Next after Close.
var ErrClosed = errors.New("instance: the subscriber is closed")

// Subscriber follows services. It holds no queue of events: for each service only what it sent last and whether
// there is more, so that a slow one costs nothing and skips what is outdated. Next is for one goroutine at a time; the
// other methods may be called concurrently.
type Subscriber struct {
	registry *Registry
	who      Follower

	mu     sync.Mutex
	closed bool
	items  map[Service]*subscription
	queue  []*subscription
	wake   chan struct{}
}

// subscription is one service of one subscriber.
type subscription struct {
	subscriber *Subscriber
	roster     *roster
	joined     time.Time
	// acked is the revision that its client uses, and ackedAt since when, in milliseconds.
	acked, ackedAt atomic.Int64
	queued         atomic.Bool

	// Guarded by the subscriber's lock.
	removed bool
	version uint64 // what was sent; 0 is nothing
	fresh   bool   // nothing was sent yet: send even when nothing changed
	since   time.Duration
}

// Subscribe makes a subscriber, and says who it is. Close it.
func (r *Registry) Subscribe(who Follower) *Subscriber {
	r.subscribers.Add(1)
	return &Subscriber{registry: r, who: who, items: make(map[Service]*subscription), wake: make(chan struct{}, 1)}
}

// Add follows a service; it need not exist. haveRevision is what the client holds, 0 for nothing: if this node still knows what came
// after it, only that is sent. There is always a first frame, even when nothing changed. Adding again starts over
// from haveRevision.
//
// Errors: Invalid; Exhausted.
func (s *Subscriber) Add(service Service, haveRevision int64) error {
	service = service.Normal()
	if f := checkService(service); f != nil {
		return f
	}
	r := s.registry
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	item := s.items[service]
	if item == nil {
		if len(s.items) >= r.limits.Subscriptions {
			return fault.New(fault.Exhausted, "instance.subscription_limit", "a subscriber of %d services", len(s.items)+1).
				At("subscriptions").Hinted("one subscriber follows at most %d; open another stream", r.limits.Subscriptions)
		}
		if r.table.find(service) == nil && r.table.size.Load() >= int64(r.limits.Services) {
			return fault.New(fault.Exhausted, "instance.limit", "the node already follows %d services", r.limits.Services).
				At("subscriptions").Hinted("unsubscribe from services that nobody uses")
		}
		item = &subscription{subscriber: s, joined: r.clock.Now()}
	}
	item.fresh, item.version = true, s.join(item, service, haveRevision)
	s.items[item.roster.service] = item
	s.enqueue(item, r.clock.Elapsed())
	return nil
}

// join puts a subscription into its roster and returns the version that the client holds.
func (s *Subscriber) join(item *subscription, service Service, have int64) uint64 {
	roster := s.registry.lock(service)
	defer s.registry.unlock(roster)
	item.roster = roster
	if roster.subscriptions == nil {
		roster.subscriptions = make(map[*subscription]struct{})
	}
	roster.subscriptions[item] = struct{}{}
	item.acked.Store(0)
	item.ackedAt.Store(0)
	if have <= 0 {
		return 0
	}
	version, ok := roster.history.versionOf(have, roster.version)
	if !ok {
		return 0
	}
	return version
}

// Remove stops following a service.
func (s *Subscriber) Remove(service Service) {
	s.mu.Lock()
	item := s.items[service.Normal()]
	if item != nil {
		item.removed = true
		delete(s.items, item.roster.service)
	}
	s.mu.Unlock()
	if item != nil {
		s.registry.part(item)
	}
}

// part takes a subscription out of its roster.
func (r *Registry) part(item *subscription) {
	roster := item.roster
	roster.mu.Lock()
	delete(roster.subscriptions, item)
	roster.progress()
	r.unlock(roster)
}

// progress wakes who waits for acknowledgements. The caller holds the lock.
func (r *roster) progress() {
	if r.acknowledged != nil {
		close(r.acknowledged)
		r.acknowledged = nil
	}
}

// Acknowledge says that the client uses this revision of the service, and no older one.
func (s *Subscriber) Acknowledge(service Service, revision int64) {
	s.mu.Lock()
	item := s.items[service.Normal()]
	s.mu.Unlock()
	if item == nil || item.acked.Load() >= revision {
		return
	}
	item.ackedAt.Store(s.registry.clock.Now().UnixMilli())
	item.acked.Store(revision)
	item.roster.mu.Lock()
	defer item.roster.mu.Unlock()
	item.roster.progress()
}

// Close stops following everything. Next then returns [ErrClosed].
func (s *Subscriber) Close() {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	items := s.items
	s.items, s.queue = nil, nil
	for _, item := range items {
		item.removed = true
	}
	s.signal()
	s.mu.Unlock()
	s.registry.subscribers.Add(-1)
	for _, item := range items {
		s.registry.part(item)
	}
}

// Next waits until something changed in what the subscriber follows, and returns what it lacks, bounded in size: the rest comes with the
// next call. Its errors are the context's, and [ErrClosed].
func (s *Subscriber) Next(ctx context.Context) ([]*Frame, error) {
	for {
		var frames []*Frame
		size := 0
		err := s.collect(func(item *subscription, version uint64, fresh bool) (uint64, bool) {
			frame, sent := item.roster.frameSince(version, fresh, &s.registry.stale)
			if frame != nil {
				frames = append(frames, frame)
				size += len(frame.Encoded)
			}
			return sent, len(frames) < maxFrames && size < maxFrameBytes
		})
		if err != nil || len(frames) > 0 {
			return frames, err
		}
		if err := s.await(ctx); err != nil {
			return nil, err
		}
	}
}

// NextSnapshots is [Subscriber.Next] for languages that send whole services in a form of their own: it returns the newest snapshot of each
// service that changed. One without instances has none in its list.
func (s *Subscriber) NextSnapshots(ctx context.Context) ([]*Snapshot, error) {
	for {
		var snapshots []*Snapshot
		err := s.collect(func(item *subscription, version uint64, fresh bool) (uint64, bool) {
			snapshot := item.roster.look(&s.registry.stale)
			if snapshot.Version != version || fresh {
				snapshots = append(snapshots, snapshot)
			}
			return snapshot.Version, len(snapshots) < maxFrames
		})
		if err != nil || len(snapshots) > 0 {
			return snapshots, err
		}
		if err := s.await(ctx); err != nil {
			return nil, err
		}
	}
}

func (s *Subscriber) await(ctx context.Context) error {
	select {
	case <-s.wake:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// collect visits the subscriptions that lack something, until visit answers that it has enough. visit gets the version that was sent last and
// whether to send in any case, and answers the version that is sent now.
func (s *Subscriber) collect(visit func(item *subscription, version uint64, fresh bool) (sent uint64, more bool)) error {
	for more := true; more; {
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return ErrClosed
		}
		if len(s.queue) == 0 {
			s.queue = nil
			s.mu.Unlock()
			return nil
		}
		item := s.queue[0]
		s.queue = s.queue[1:]
		item.queued.Store(false) // before the service is looked at: what changes from here on is queued again
		removed, version, fresh, since := item.removed, item.version, item.fresh, item.since
		s.mu.Unlock()
		if removed {
			continue
		}
		var sent uint64
		sent, more = visit(item, version, fresh)
		if sent == version && !fresh {
			continue
		}
		s.mu.Lock()
		// Unless Add started over meanwhile.
		if item.version == version {
			item.version, item.fresh = sent, false
		}
		s.mu.Unlock()
		s.registry.metrics.pushLag.Observe((s.registry.clock.Elapsed() - since).Seconds())
	}
	s.signal() // there may be more
	return nil
}

// enqueue notes that a subscription lacks something since a moment. The caller holds the lock.
func (s *Subscriber) enqueue(item *subscription, since time.Duration) {
	if item.removed || s.closed || item.queued.Swap(true) {
		return
	}
	item.since = since
	s.queue = append(s.queue, item)
	s.signal()
}

// signal wakes Next.
func (s *Subscriber) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// notifier tells subscribers which services changed, in rounds.
type notifier struct {
	mu      sync.Mutex
	changed map[*roster]time.Duration // since when
	now     func() time.Duration
	wake    chan struct{}
}

// add notes a change of a roster; flush makes it known.
func (n *notifier) add(r *roster) {
	if len(r.subscriptions) == 0 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.changed == nil {
		n.changed = make(map[*roster]time.Duration)
	}
	if _, known := n.changed[r]; !known {
		n.changed[r] = n.now()
	}
}

func (n *notifier) flush() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

func (n *notifier) take() map[*roster]time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	changed := n.changed
	n.changed = nil
	return changed
}

func (r *Registry) runNotifier() {
	pause := time.NewTicker(pushInterval)
	defer pause.Stop()
	var subscriptions []*subscription
	for {
		select {
		case <-r.notifier.wake:
		case <-r.lifetime.Done():
			return
		}
		for roster, since := range r.notifier.take() {
			subscriptions = subscriptions[:0]
			roster.mu.RLock()
			for item := range roster.subscriptions {
				if !item.queued.Load() {
					subscriptions = append(subscriptions, item)
				}
			}
			roster.mu.RUnlock()
			for _, item := range subscriptions {
				item.subscriber.mu.Lock()
				item.subscriber.enqueue(item, since)
				item.subscriber.mu.Unlock()
			}
		}
		r.journal.wake()
		clear(subscriptions[:cap(subscriptions)])
		pause.Reset(pushInterval)
		select {
		case <-pause.C:
		case <-r.lifetime.Done():
			return
		}
	}
}

// subscribersOf counts a service's subscribers on this node.
func (r *Registry) subscribersOf(service Service) int {
	roster := r.table.find(service.Normal())
	if roster == nil {
		return 0
	}
	roster.mu.RLock()
	defer roster.mu.RUnlock()
	return len(roster.subscriptions)
}

// AwaitAcknowledged waits until this node's subscribers of a service use a revision, or until ctx ends, and answers how many there
// were and how many do. Who stops following meanwhile is not counted; who comes later gets the revision anyway.
func (r *Registry) AwaitAcknowledged(ctx context.Context, service Service, revision int64) (subscribers, acknowledged int) {
	roster := r.table.find(service.Normal())
	if roster == nil || r.store.Await(ctx, revision) != nil {
		return 0, 0
	}
	roster.mu.Lock()
	waiting := make([]*subscription, 0, len(roster.subscriptions))
	for item := range roster.subscriptions {
		waiting = append(waiting, item)
	}
	roster.mu.Unlock()
	for {
		roster.mu.Lock()
		subscribers, acknowledged = 0, 0
		for _, item := range waiting {
			if _, still := roster.subscriptions[item]; !still {
				continue
			}
			subscribers++
			if item.acked.Load() >= revision {
				acknowledged++
			}
		}
		if acknowledged == subscribers {
			roster.mu.Unlock()
			return subscribers, acknowledged
		}
		if roster.acknowledged == nil {
			roster.acknowledged = make(chan struct{})
		}
		progress := roster.acknowledged
		roster.mu.Unlock()
		select {
		case <-progress:
		case <-ctx.Done():
			return subscribers, acknowledged
		case <-r.lifetime.Done():
			return subscribers, acknowledged
		}
	}
}
