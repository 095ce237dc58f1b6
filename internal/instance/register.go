package instance

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/state"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// Limits of one change of the state.
const (
	// batchRegistrations and batchBytes bound the registrations that are written together.
	batchRegistrations = 64
	batchBytes         = 512 << 10
)

// prepared is a registration that was found valid.
type prepared struct {
	index    int
	service  Service
	instance *Instance // without state; for as long as the call lasts
	session  *Session
	expect   *int64
}

func errUnknownInstance(service Service, id string) *fault.Error {
	return fault.New(fault.NotFound, "instance.unknown", "there is no instance %s in %s", quoted(id), quoted(service.String())).
		At("id").Hinted("list the instances of the service; it may have been removed after a silence")
}

// Register adds or replaces an instance that lives by beats, or by checks when it is persistent. It is durable when Register
// returns, and visible on this node, unless the result says provisional. What is registered already with the same content counts
// as a beat and writes nothing.
//
// Errors: Invalid with the field; NotFound "namespace.unknown"; Conflict "instance.changed"; Exhausted at a limit; Unavailable.
func (r *Registry) Register(ctx context.Context, registration Registration) (Result, error) {
	results, err := r.register(ctx, []Registration{registration}, nil)
	if err != nil {
		return Result{}, err
	}
	return results[0], nil
}

// register takes registrations, for a session or for nobody. On an error some of them may have taken effect.
func (r *Registry) register(ctx context.Context, registrations []Registration, session *Session) ([]Result, error) {
	if len(registrations) > MaxBatch {
		return nil, fault.New(fault.TooLarge, "instance.batch_too_large", "%d registrations at once", len(registrations)).
			At("registrations").Hinted("send at most %d in one request", MaxBatch)
	}
	scratch := r.scratch(len(registrations))
	defer r.reuse(scratch)
	all := scratch.all
	for n := range registrations {
		p, err := r.prepare(&registrations[n], session, &scratch.instances[n])
		if err != nil {
			r.metrics.refused.Inc()
			return nil, indexed(err, n, len(registrations))
		}
		p.index = n
		all[n] = p
	}
	results := make([]Result, len(all))
	write := all[:0]
	var taken []heldInstance
	defer func() { r.transfers.taken(taken) }()
	for _, p := range all {
		results[p.index] = Result{ID: p.instance.ID, BeatInterval: beatInterval(&p)}
		key, taking, removed := r.takeOver(&p)
		if taking {
			taken = append(taken, key)
		}
		if removed {
			write = append(write, p)
			continue
		}
		revision, done, err := r.unchanged(ctx, &p)
		if err != nil {
			return nil, indexed(err, p.index, len(all))
		}
		if done {
			r.metrics.unchanged.Inc()
			results[p.index].Revision = revision
			continue
		}
		write = append(write, p)
	}
	for len(write) > 0 {
		n := r.batch(write)
		if err := r.write(ctx, write[:n], results); err != nil {
			return nil, err
		}
		write = write[n:]
	}
	return results, nil
}

// scratch is the memory that one call's registrations are prepared in.
type scratch struct {
	all       []prepared
	instances []Instance
}

// Bounds of the memory that is kept for another call.
const (
	keptRegistrations = 64
	keptLabels        = 16
)

func (r *Registry) scratch(n int) *scratch {
	s, _ := r.scratches.Get().(*scratch)
	if s == nil || cap(s.all) < n {
		s = &scratch{all: make([]prepared, n), instances: make([]Instance, n)}
	}
	s.all, s.instances = s.all[:n], s.instances[:n]
	return s
}

// reuse gives the memory to another call. Nobody may hold an instance of it any more; its encoded form may be held.
func (r *Registry) reuse(s *scratch) {
	if cap(s.all) > keptRegistrations {
		return
	}
	clear(s.all)
	for n := range s.instances {
		i := &s.instances[n]
		*i = Instance{Labels: i.Labels.emptied(), Metadata: i.Metadata.emptied()}
	}
	r.scratches.Put(s)
}

func (l Labels) emptied() Labels {
	if cap(l) > keptLabels {
		return nil
	}
	clear(l)
	return l[:0]
}

// indexed says which of several registrations an error is about.
func indexed(err error, n, of int) error {
	f, ok := fault.As(err)
	if !ok || of == 1 {
		return err
	}
	return f.At(strings.TrimSuffix(fmt.Sprintf("registrations[%d].%s", n, f.Field), "."))
}

func beatInterval(p *prepared) time.Duration {
	if p.instance.Persistent || p.session != nil {
		return 0
	}
	return p.instance.TTL / 3
}

// prepare checks a registration and encodes what it says. i is empty and gets it.
func (r *Registry) prepare(registration *Registration, session *Session, i *Instance) (prepared, error) {
	service := registration.Service.Normal()
	if f := checkService(service); f != nil {
		return prepared{}, f
	}
	if err := i.build(registration.Instance); err != nil {
		return prepared{}, err
	}
	i.Protocol = cmp.Or(registration.Protocol, "native")
	if session != nil {
		i.Protocol = cmp.Or(registration.Protocol, session.protocol)
		if i.Persistent {
			session = nil // it outlives the session
		} else {
			i.Owner = r.self
		}
	}
	i.begin(make([]byte, 0, 320))
	return prepared{service: service, instance: i, session: session, expect: registration.Expect}, nil
}

// unchanged takes the short way for what is registered already: it is a sign of life and nothing else.
func (r *Registry) unchanged(ctx context.Context, p *prepared) (revision int64, done bool, err error) {
	roster := r.table.find(p.service)
	if roster == nil {
		return 0, false, r.room(p, nil)
	}
	roster.mu.RLock()
	i := roster.find(p.instance.ID)
	pending := roster.pending[p.instance.ID] != nil
	same := i != nil && !pending && bytes.Equal(i.said(), p.instance.said()) &&
		(i.Persistent || i.Health == gantryv1.Health_HEALTH_HEALTHY)
	owned := i != nil && i.life.owned
	if same && owned {
		i.life.heard.Store(r.now())
	}
	full := error(nil)
	if i == nil && !pending {
		full = r.room(p, roster)
	}
	roster.mu.RUnlock()
	switch {
	case full != nil || !same:
		return 0, false, full
	case p.instance.Owner != "":
		return i.Modified, r.attach(p.service, i.ID, p.session), nil
	case i.Persistent || owned:
		return i.Modified, true, nil
	}
	unknown, err := r.Beat(ctx, p.service, []string{i.ID})
	return i.Modified, err == nil && len(unknown) == 0, nil
}

// room refuses what would be over a limit. roster is nil for a new service.
func (r *Registry) room(p *prepared, roster *roster) error {
	exhausted := func(where string, limit int, what string) error {
		r.metrics.refused.Inc()
		return fault.New(fault.Exhausted, "instance.limit", "%s already has %d %s", where, limit, what).
			Hinted("deregister what is not used any more, or raise the limit")
	}
	switch {
	case r.counts.total.Load() >= int64(r.limits.Instances):
		return exhausted("the cluster", r.limits.Instances, "instances")
	case r.counts.of(p.service.Namespace) >= r.limits.NamespaceInstances:
		return exhausted("namespace "+quoted(p.service.Namespace), r.limits.NamespaceInstances, "instances")
	case roster != nil && len(roster.committed)+len(roster.pending) >= r.limits.ServiceInstances:
		return exhausted("service "+quoted(p.service.String()), r.limits.ServiceInstances, "instances")
	case roster == nil && r.table.size.Load() >= int64(r.limits.Services):
		return exhausted("the cluster", r.limits.Services, "services")
	}
	return nil
}

// batch is how many of the registrations are written together. One instance is not written twice in one change.
func (r *Registry) batch(write []prepared) int {
	size := 0
	if len(write) == 1 {
		return 1
	}
	seen := make(map[string]struct{}, min(len(write), batchRegistrations))
	namespaces := make(map[string]struct{})
	for n, p := range write {
		key := instanceKey(p.service, p.instance.ID)
		namespaces[p.service.Namespace] = struct{}{}
		size += len(key) + len(p.instance.wire) + 64
		if _, again := seen[key]; again || n > 0 && (n+len(namespaces) > batchRegistrations || size > batchBytes) {
			return n
		}
		seen[key] = struct{}{}
	}
	return len(write)
}

// complete adds the state that a new registration begins with to its content.
func (r *Registry) complete(p *prepared) {
	now := r.clock.Now().UTC()
	i := p.instance
	i.Health, i.RegisteredAt, i.ChangedAt = gantryv1.Health_HEALTH_HEALTHY, now, now
	var before *Instance
	if roster := r.table.find(p.service); roster != nil {
		roster.mu.RLock()
		if before = roster.current(i.ID); before != nil {
			i.RegisteredAt = before.RegisteredAt
		}
		roster.mu.RUnlock()
	}
	i.carryChecks(before)
	i.finish(i.wire)
}

// namespaceConditions make a change fail when a namespace that it writes into is not there. The default one always is.
func namespaceConditions(conditions []state.Condition, names ...string) []state.Condition {
	var seen map[string]struct{}
	for _, name := range names {
		if _, again := seen[name]; again || name == Default {
			continue
		}
		if seen == nil {
			seen = make(map[string]struct{})
		}
		seen[name] = struct{}{}
		conditions = append(conditions, state.Exists(namespaceKey(name)))
	}
	return conditions
}

// write commits registrations together and fills in their results.
func (r *Registry) write(ctx context.Context, batch []prepared, results []Result) error {
	change := state.Change{Put: make([]state.Put, len(batch))}
	names := make([]string, len(batch))
	for n := range batch {
		p := &batch[n]
		r.complete(p)
		change.Put[n] = state.Put{Key: instanceKey(p.service, p.instance.ID), Value: p.instance.record()}
		names[n] = p.service.Namespace
	}
	change.If = namespaceConditions(nil, names...)
	for n := range batch {
		if batch[n].expect != nil {
			change.If = append(change.If, state.Unchanged(change.Put[n].Key, *batch[n].expect))
		}
	}
	revision, err := r.store.Commit(ctx, change)
	switch {
	case err == nil:
	case errors.Is(err, state.ErrConflict) && batch[0].expect != nil:
		r.metrics.refused.Add(float64(len(batch)))
		return r.errUnexpected(ctx, &batch[0])
	case errors.Is(err, state.ErrConflict):
		r.metrics.refused.Add(float64(len(batch)))
		return r.errUnknownNamespace(names)
	case canWait(err):
		return r.writeLater(batch, results)
	default:
		return err
	}
	r.metrics.written.Add(float64(len(batch)))
	if err := r.store.Await(ctx, revision); err != nil {
		return err
	}
	for n := range batch {
		p := &batch[n]
		results[p.index].Revision = revision
		r.withdraw(p.service, p.instance.ID) // a provisional one before it
		if p.instance.Owner != "" {
			r.attach(p.service, p.instance.ID, p.session)
		}
	}
	return nil
}

// canWait reports whether a registration may be taken provisionally after this error: nothing can be written now, or nobody
// knows whether it was. Registering is the same twice as once.
func canWait(err error) bool {
	f, ok := fault.As(err)
	return ok && f.Code == fault.Unavailable && f.Reason != "state.closing"
}

// errUnexpected is the error of a registration whose record was not as expected, or whose namespace is unknown. This node sees what is there then.
func (r *Registry) errUnexpected(ctx context.Context, p *prepared) error {
	record, found, err := r.store.Get(ctx, instanceKey(p.service, p.instance.ID))
	if err != nil {
		return err
	}
	if found {
		if err := r.store.Await(ctx, record.Modified); err != nil {
			return err
		}
	}
	if !r.namespaces.has(p.service.Namespace) {
		return errNamespace(p.service.Namespace)
	}
	return fault.New(fault.Conflict, "instance.changed", "instance %s of %s was registered or changed by somebody else just now", quoted(p.instance.ID),
		quoted(p.service.String())).Hinted("look at it again, then decide")
}

func (r *Registry) errUnknownNamespace(names []string) error {
	unknown := names[0]
	for _, name := range names {
		if name != Default {
			unknown = name // a guess, while this node has not seen that it is gone
		}
		if !r.namespaces.has(name) {
			break
		}
	}
	return errNamespace(unknown)
}

// Deregister removes an instance, however it lives, and returns the revision of that. It is no loss to protection.
//
// Errors: NotFound "instance.unknown"; Unavailable.
func (r *Registry) Deregister(ctx context.Context, service Service, id string) (int64, error) {
	service = service.Normal()
	if f := checkService(service); f != nil {
		return 0, f
	}
	if f := checkName("id", id, MaxIDBytes); f != nil {
		return 0, f
	}
	revision, withdrawn := r.withdraw(service, id)
	if withdrawn && r.committed(service, id) == nil {
		return revision, nil
	}
	key := instanceKey(service, id)
	revision, err := r.store.Commit(ctx, state.Change{If: []state.Condition{state.Exists(key)}, Delete: []string{key}})
	if errors.Is(err, state.ErrConflict) {
		return 0, errUnknownInstance(service, id)
	}
	if err != nil {
		return 0, err
	}
	return revision, r.store.Await(ctx, revision)
}

// committed returns the committed instance of an id, or nil.
func (r *Registry) committed(service Service, id string) *Instance {
	roster := r.table.find(service)
	if roster == nil {
		return nil
	}
	roster.mu.RLock()
	defer roster.mu.RUnlock()
	return roster.find(id)
}

// Edit changes what an instance says of itself on behalf of somebody else: a language's operators, or the registrant in pieces. edit gets the
// content in the words of the native API and changes it; it may be called several times, on what is there then. The id, and what keeps the instance alive, stay
// as they are. It returns the revision of the change, which the instance's next full registration overwrites.
//
// Errors: those of edit and of [Registry.Register]; NotFound "instance.unknown"; Conflict "instance.busy".
func (r *Registry) Edit(ctx context.Context, service Service, id string, edit func(*gantryv1.Instance) error) (int64, error) {
	service = service.Normal()
	if f := checkService(service); f != nil {
		return 0, f
	}
	if f := checkName("id", id, MaxIDBytes); f != nil {
		return 0, f
	}
	return r.rewrite(ctx, service, id, func(i *Instance) (*Instance, error) {
		message := i.Proto()
		if err := edit(message); err != nil {
			return nil, err
		}
		message.Id, message.Persistent = i.ID, i.Persistent
		var changed Instance
		if err := changed.build(message); err != nil {
			return nil, err
		}
		changed.Protocol, changed.Owner = i.Protocol, i.Owner
		changed.begin(make([]byte, 0, 320))
		if bytes.Equal(changed.said(), i.said()) {
			return i, nil
		}
		changed.Health, changed.HealthReason, changed.Protected = i.Health, i.HealthReason, i.Protected
		changed.RegisteredAt, changed.ChangedAt, changed.Modified = i.RegisteredAt, r.clock.Now().UTC(), i.Modified
		changed.carryChecks(i)
		changed.finish(changed.wire)
		return &changed, nil
	})
}

// SetHealth sets the health of a persistent instance that nobody checks, as its registrant found it.
//
// Errors: Invalid; NotFound "instance.unknown"; Precondition "instance.health_is_found" for an instance whose health beats, a session or checks decide.
func (r *Registry) SetHealth(ctx context.Context, service Service, id string, healthy bool, reason string) (int64, error) {
	service = service.Normal()
	if f := checkService(service); f != nil {
		return 0, f
	}
	if f := checkName("id", id, MaxIDBytes); f != nil {
		return 0, f
	}
	if f := checkText("reason", reason, MaxMessageBytes); f != nil {
		return 0, f
	}
	health := gantryv1.Health_HEALTH_HEALTHY
	if !healthy {
		health = gantryv1.Health_HEALTH_UNHEALTHY
	}
	return r.rewrite(ctx, service, id, func(i *Instance) (*Instance, error) {
		if !i.Persistent || len(i.Checks) > 0 {
			return nil, fault.New(fault.Precondition, "instance.health_is_found", "the health of instance %s is found by its beats, its session or its checks", quoted(id)).
				At("id").Hinted("set it for persistent instances without checks; use an override to take others out of traffic")
		}
		if i.Health == health && i.HealthReason == reason {
			return i, nil
		}
		return i.withState(func(c *Instance) { c.Health, c.HealthReason, c.ChangedAt = health, reason, r.clock.Now().UTC() }), nil
	})
}

// maxRewrites bounds how often a change is tried again that met another one.
const maxRewrites = 8

// rewrite changes an instance. edit gets the newest record and returns an encoded copy, itself to leave it, or an error.
func (r *Registry) rewrite(ctx context.Context, service Service, id string, edit func(*Instance) (*Instance, error)) (int64, error) {
	return r.rewriteFrom(ctx, service, id, r.committed(service, id), edit)
}

// rewriteFrom is rewrite beginning with i; nil reads the newest record first.
func (r *Registry) rewriteFrom(ctx context.Context, service Service, id string, i *Instance, edit func(*Instance) (*Instance, error)) (int64, error) {
	key := instanceKey(service, id)
	for range maxRewrites {
		if i == nil {
			record, found, err := r.store.Get(ctx, key)
			if err != nil {
				return 0, err
			}
			if !found {
				return 0, errUnknownInstance(service, id)
			}
			if i, err = decodeInstance(record.Value, record.Modified); err != nil {
				return 0, err
			}
		}
		changed, err := edit(i)
		if err != nil {
			return 0, err
		}
		if changed == i {
			return i.Modified, nil
		}
		revision, err := r.store.Commit(ctx, state.Change{If: []state.Condition{state.Unchanged(key, i.Modified)},
			Put: []state.Put{{Key: key, Value: changed.record()}}})
		if err == nil {
			return revision, r.store.Await(ctx, revision)
		}
		if !errors.Is(err, state.ErrConflict) {
			return 0, err
		}
		i = nil
	}
	return 0, fault.New(fault.Conflict, "instance.busy", "instance %s of %s is being changed all the time", quoted(id), quoted(service.String())).
		Hinted("find out who registers it again and again")
}
