package instance

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/state"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// SessionOptions describe a stream.
type SessionOptions struct {
	// Protocol that its registrations come by, where they do not say it themselves. Default "native".
	Protocol string
}

// Session keeps instances alive as long as a stream. They belong to this node until the session is closed,
// and then for their ttl. The methods may be called concurrently.
type Session struct {
	registry *Registry
	protocol string

	mu     sync.Mutex
	closed bool
	// held are the lives of committed instances, in any order; each knows its place.
	held []*life
	// pending are held without quorum. One that is also committed is in both. Nil while there are none.
	pending map[heldInstance]struct{}
}

type heldInstance struct {
	service Service
	id      string
}

// OpenSession begins the life of a stream. Close it when the stream ends, however that happens.
func (r *Registry) OpenSession(options SessionOptions) *Session {
	if options.Protocol == "" {
		options.Protocol = "native"
	}
	return &Session{registry: r, protocol: options.Protocol}
}

func errSessionClosed() *fault.Error {
	return fault.New(fault.Precondition, "session.closed", "the session is closed").Hinted("open another one and register again")
}

// Register adds or replaces instances that live as long as the session, at most [MaxBatch] at once; persistent ones stay beyond it.
// The results stand in the order of the registrations. On an error some may have taken effect: send the same
// again. Errors are those of [Registry.Register].
func (s *Session) Register(ctx context.Context, registrations []Registration) ([]Result, error) {
	s.mu.Lock()
	closed, count := s.closed, len(s.held)+len(s.pending)
	s.mu.Unlock()
	if closed {
		return nil, errSessionClosed()
	}
	if limit := s.registry.limits.SessionInstances; count+len(registrations) > limit {
		// Those that are held already need no room.
		if count = s.without(registrations); count+len(registrations) > limit {
			return nil, fault.New(fault.Exhausted, "session.limit", "a session with %d instances", count+len(registrations)).
				At("registrations").Hinted("a session holds at most %d; open further ones", limit)
		}
	}
	return s.registry.register(ctx, registrations, s)
}

// without counts the held instances that are not among the registrations.
func (s *Session) without(registrations []Registration) int {
	s.mu.Lock()
	count := len(s.held) + len(s.pending)
	pending := slices.Collect(maps.Keys(s.pending))
	s.mu.Unlock()
	for _, h := range pending {
		if _, _, committed := s.holds(h.service, h.id); committed != nil {
			count-- // it is in both
		}
	}
	for _, registration := range registrations {
		if held, _, _ := s.holds(registration.Service.Normal(), idOf(registration.Instance)); held {
			count--
		}
	}
	return count
}

// hold notes that the session keeps a committed instance alive; false when it is closed.
func (s *Session) hold(l *life) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		l.place = int32(len(s.held))
		s.held = append(s.held, l)
	}
	return !s.closed
}

// forget undoes hold. After Close there is nothing to forget.
func (s *Session) forget(l *life) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, last := int(l.place), len(s.held)-1
	if at > last || s.held[at] != l {
		return
	}
	s.held[at] = s.held[last]
	s.held[at].place = l.place
	s.held[last] = nil
	s.held = s.held[:last]
}

// holdPending notes that the session keeps a provisional instance alive; false when it is closed.
func (s *Session) holdPending(service Service, id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if s.pending == nil {
		s.pending = make(map[heldInstance]struct{})
	}
	s.pending[heldInstance{cloneService(service), strings.Clone(id)}] = struct{}{}
	return true
}

// forgetPending undoes holdPending.
func (s *Session) forgetPending(service Service, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pending, heldInstance{service, id})
	if len(s.pending) == 0 {
		s.pending = nil
	}
}

// all are the instances that the session holds. Those in both sets are there twice. The caller holds mu.
func (s *Session) all() []heldInstance {
	held := make([]heldInstance, 0, len(s.held)+len(s.pending))
	for _, l := range s.held {
		held = append(held, heldInstance{l.roster.service, l.id})
	}
	return slices.AppendSeq(held, maps.Keys(s.pending))
}

func (s *Session) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// attach gives the life of a committed instance to a session, instead of to whichever had it. It reports whether the
// instance is this node's and the session open.
func (r *Registry) attach(service Service, id string, session *Session) bool {
	roster := r.table.find(service)
	if roster == nil {
		return false
	}
	roster.mu.Lock()
	defer roster.mu.Unlock()
	i := roster.find(id)
	if i == nil || !i.life.owned || i.Owner != r.self {
		return false
	}
	if i.life.session == session {
		return true
	}
	other := i.life.session
	if other != nil {
		other.forget(i.life)
	}
	if session.hold(i.life) {
		i.life.session = session
		r.watch(i)
		return true
	}
	if other != nil && !other.hold(i.life) {
		r.abandon(i)
	}
	return false // the timer of its ttl runs, or the other session keeps it
}

// abandon begins the silence of an instance whose session is closed. The caller holds the roster's lock.
func (r *Registry) abandon(i *Instance) {
	i.life.session = nil
	i.life.since.Store(r.now())
	r.watch(i)
}

// detach ends the session's hold of an instance, which then has its ttl to be registered again.
func (s *Session) detach(service Service, id string) {
	r := s.registry
	if r.table.find(service) == nil {
		return
	}
	roster := r.lock(service)
	defer r.unlock(roster)
	if p := roster.pending[id]; p != nil && p.session == s {
		p.session = nil
	}
	if i := roster.find(id); i != nil && i.life.session == s {
		r.abandon(i)
	}
}

// Deregister removes an instance that the session holds, at once, and returns the revision of that.
//
// Errors: NotFound "instance.unknown" when the session does not hold it; Unavailable.
func (s *Session) Deregister(ctx context.Context, service Service, id string) (int64, error) {
	service = service.Normal()
	transfers, removal := &s.registry.transfers, heldInstance{service, id}
	if !transfers.beginRemoval(removal) {
		return 0, errUnknownInstance(service, id)
	}
	defer transfers.endRemoval(removal)
	held, pending, i := s.holds(service, id) // only now: from here on nobody takes it over unseen
	if !held {
		return 0, errUnknownInstance(service, id)
	}
	if pending {
		revision, _ := s.registry.withdraw(service, id)
		if i == nil {
			return revision, nil
		}
	}
	key := instanceKey(service, id)
	for range maxRewrites {
		revision, err := s.registry.store.Commit(ctx, state.Change{If: []state.Condition{state.Unchanged(key, i.Modified)}, Delete: []string{key}})
		if err == nil {
			return revision, s.registry.store.Await(ctx, revision)
		}
		if !errors.Is(err, state.ErrConflict) {
			return 0, err
		}
		// It was written meanwhile: if by somebody else's registration, it is not ours to remove.
		if held, _, _ := s.holds(service, id); !held || transfers.isTaken(removal) {
			return 0, errUnknownInstance(service, id)
		}
		record, found, err := s.registry.store.Get(ctx, key)
		if err != nil {
			return 0, err
		}
		if !found {
			return 0, errUnknownInstance(service, id)
		}
		if i, err = decodeInstance(record.Value, record.Modified); err != nil {
			return 0, err
		}
		if i.Owner != s.registry.self {
			return 0, errUnknownInstance(service, id)
		}
	}
	return 0, fault.New(fault.Conflict, "instance.busy", "instance %s of %s is being changed all the time", quoted(id), quoted(service.String())).
		Hinted("find out who registers it again and again")
}

// holds reports whether the session keeps an instance alive, and how it is registered.
func (s *Session) holds(service Service, id string) (held, pending bool, committed *Instance) {
	roster := s.registry.table.find(service)
	if roster == nil {
		return false, false, nil
	}
	roster.mu.RLock()
	defer roster.mu.RUnlock()
	if p := roster.pending[id]; p != nil && p.session == s {
		held, pending = true, true
	}
	if i := roster.find(id); i != nil && i.life.session == s {
		held, committed = true, i
	}
	return held, pending, committed
}

// SetStatus changes what an instance of the session says of itself, and returns the revision of that; 0 when the
// instance is provisional. To take it out of traffic before it stops: DRAINING, then [Registry.AwaitAcknowledged] or
// [Registry.AwaitAllAcknowledged] with the revision, then Deregister.
func (s *Session) SetStatus(ctx context.Context, service Service, id string, status gantryv1.Status) (int64, error) {
	service = service.Normal()
	switch status {
	case gantryv1.Status_STATUS_STARTING, gantryv1.Status_STATUS_UP, gantryv1.Status_STATUS_DRAINING, gantryv1.Status_STATUS_DOWN:
	default:
		return 0, invalid("status", "there is no status %d", status).Hinted("use STARTING, UP, DRAINING or DOWN")
	}
	held, pending, _ := s.holds(service, id)
	if !held {
		return 0, errUnknownInstance(service, id)
	}
	if pending && s.setPendingStatus(service, id, status) {
		return 0, nil
	}
	r := s.registry
	return r.rewrite(ctx, service, id, func(i *Instance) (*Instance, error) {
		if i.Owner != r.self {
			return nil, errUnknownInstance(service, id)
		}
		changed := i.withStatus(status, r)
		if changed != i {
			changed.encode()
		}
		return changed, nil
	})
}

func (i *Instance) withStatus(status gantryv1.Status, r *Registry) *Instance {
	if i.Status == status {
		return i
	}
	c := *i
	c.Status, c.ChangedAt = status, r.clock.Now().UTC()
	return &c
}

// setPendingStatus changes a provisional instance; false when it is not provisional any more.
func (s *Session) setPendingStatus(service Service, id string, status gantryv1.Status) bool {
	r := s.registry
	roster := r.lock(service)
	defer r.notifier.flush()
	defer r.unlock(roster)
	p := roster.pending[id]
	if p == nil || p.session != s {
		return false
	}
	changed := p.instance.withStatus(status, r)
	if changed != p.instance {
		changed.encode()
		// Another entry, so that the one on its way into the state does not pass for this.
		roster.pending[id] = &pendingInstance{instance: changed, session: s, base: p.base}
		roster.changed(0, strings.Clone(id))
		r.notifier.add(roster)
		r.journal.add(r.clock.Now(), service, p.instance, changed, 0)
		r.provisionals.kick()
	}
	return true
}

// closeWriters bounds the deregistrations of one closing session; they share transactions.
const closeWriters = 16

// Close ends the session. Clean: the peer meant to go, and what it still holds is deregistered at once. Otherwise the stream
// broke, and everything stays for its ttl, to be registered again by another session, here or elsewhere. What cannot be
// deregistered, as without quorum, stays for its ttl too; then Close returns why. Closing again does nothing.
func (s *Session) Close(ctx context.Context, clean bool) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	held := s.all()
	s.mu.Unlock()
	var failure error
	if clean {
		failure = s.deregisterAll(ctx, held)
	}
	s.mu.Lock()
	s.closed = true
	held = s.all()
	s.held, s.pending = nil, nil
	s.mu.Unlock()
	for _, h := range held {
		s.detach(h.service, h.id)
	}
	return failure
}

func (s *Session) deregisterAll(ctx context.Context, held []heldInstance) error {
	var (
		writers sync.WaitGroup
		mu      sync.Mutex
		failure error
	)
	work := make(chan heldInstance)
	for range min(closeWriters, len(held)) {
		writers.Go(func() {
			for h := range work {
				if _, err := s.Deregister(ctx, h.service, h.id); err != nil && !fault.Is(err, fault.NotFound) {
					mu.Lock()
					failure = err
					mu.Unlock()
				}
			}
		})
	}
	for _, h := range held {
		work <- h
	}
	close(work)
	writers.Wait()
	return failure
}
