package release

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy"
	"github.com/gantry-platform/gantry/internal/state"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// Transaction is a change of several keys of a namespace, and of what hangs on them, that happens whole or not at all, against
// everything that was read in it: see [Releaser.Transact]. It is used by one goroutine.
type Transaction struct {
	releaser  *Releaser
	ctx       context.Context // of the one call that the transaction lives for
	namespace string
	id        string
	// memory: it reads this node's memory, which may be behind. What it writes stands all the same, against what it read; what it would
	// answer or refuse does not.
	memory bool

	keys  map[string]*staged
	order []string // names, as they were first read
	// written are those that the change writes.
	written []*staged

	conditions []state.Condition
	deletes    []string
	// sealed: a condition is on a data key.
	sealed bool
}

// staged is a key in a transaction: what is there, and what will be.
type staged struct {
	edit *edit
	// now is nil while there is no such key. Its value is there once it was read or written.
	now     *Key
	loaded  bool
	touched bool
	// machine: it was written with a lock.
	machine bool

	// What it comes to.
	action gantryv1.Action
	record *versionRecord // of the new value; nil without one
	change state.Change
}

// Transact makes a change of keys. decide reads and writes them in the transaction, in which it sees its own writes, and is called
// again when that cannot stand: at first it reads this node's memory, and then by agreement of the quorum. When it returns an error of that,
// nothing is changed and the error is returned. Without an error
// there is one moment at which everything was as it was read and the writes took place; so a transaction that only reads is consistent too.
// names are those that it will use, as far as they are known: changes of the same keys then queue up within a node.
//
// A write with a lock, or of a key that is held, keeps the latest value alone and leaves no history and no audit record, and a key that was
// only ever written so is removed wholly. Other writes are a publish and a release: they make a version and two history entries. All of
// them share one audit record.
//
// It answers the revision of the change; 0 when nothing was written. Errors beside those of decide: Forbidden and Unauthenticated, of reads for
// who may neither view nor serve, of writes for who may neither serve nor both publish and release; TooLarge for more than an etcd transaction
// takes; Exhausted beyond [MaxKeys], or "document.contended"; Precondition "document.rollout_under_way"; Unavailable without quorum.
func (r *Releaser) Transact(ctx context.Context, namespace string, names []string, decide func(*Transaction) error) (int64, error) {
	namespace = keyRef(namespace, "").Namespace
	if err := access.Require(ctx, access.View|access.Serve, namespace); err != nil {
		return 0, err
	}
	leave, err := r.queue(ctx, namespace, names)
	if err != nil {
		return 0, err
	}
	defer leave()
	memory := true
	for began := time.Now(); time.Since(began) < contendFor; memory = false {
		t := &Transaction{releaser: r, ctx: ctx, namespace: namespace, id: newChangeID(), memory: memory, keys: map[string]*staged{}}
		err := decide(t)
		var change state.Change
		if err == nil {
			change, err = t.compose()
		}
		if err != nil && !memory && !errors.Is(err, state.ErrConflict) {
			return 0, err
		}
		if err == nil {
			revision, err := r.land(ctx, change, t.written)
			if !errors.Is(err, state.ErrConflict) {
				return revision, err
			}
		}
		if t.sealed {
			if err := r.keys.refresh(ctx); err != nil {
				return 0, err
			}
		}
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
	}
	return 0, contended(fmt.Sprintf("what is changed in namespace %q", namespace))
}

// queue takes the lanes of keys, always in the same order.
func (r *Releaser) queue(ctx context.Context, namespace string, names []string) (leave func(), err error) {
	lanes := make([]int, 0, len(names))
	for _, name := range names {
		lanes = append(lanes, r.lane(keyRef(namespace, name)))
	}
	slices.Sort(lanes)
	lanes = slices.Compact(lanes)
	taken := 0
	leave = func() {
		for _, lane := range lanes[:taken] {
			<-r.lanes[lane]
		}
	}
	for _, lane := range lanes {
		select {
		case r.lanes[lane] <- struct{}{}:
			taken++
		case <-ctx.Done():
			leave()
			return nil, ctx.Err()
		}
	}
	return leave, nil
}

// Tentative reports whether the transaction reads this node's memory: whoever refuses then is asked again.
func (t *Transaction) Tentative() bool { return t.memory }

// Get reads a key without its value; nil when there is none. The key is a copy.
func (t *Transaction) Get(name string) (*Key, error) {
	s, err := t.stage(name)
	if err != nil || s.now == nil {
		return nil, err
	}
	key := *s.now
	return &key, nil
}

// Value reads a key with its value; nil when there is none.
func (t *Transaction) Value(name string) (*Key, error) {
	s, err := t.stage(name)
	if err != nil || s.now == nil {
		return nil, err
	}
	if !s.loaded {
		d := &document{ref: s.edit.ref, head: s.edit.before, revision: s.edit.modified}
		v, err := t.releaser.loadVersion(t.ctx, d, s.edit.before.Released)
		if fault.Is(err, fault.NotFound) {
			// Written again by a machine since the head was read.
			return nil, state.ErrConflict
		}
		if err != nil {
			return nil, err
		}
		if v.Sensitive && !t.releaser.sees(access.FromContext(t.ctx), d, d.head.Released) {
			return nil, errWithheld(d)
		}
		s.now.Value, s.loaded = v.Content, true
	}
	key := *s.now
	return &key, nil
}

// Names lists the keys that begin with a prefix, in order. The transaction then depends on all that is under it.
func (t *Transaction) Names(prefix string) ([]string, error) {
	scope := Scope{Namespace: t.namespace, Name: prefix, Below: true}
	docs := t.releaser.index.under(group{t.namespace, policy.KeyValue}, prefix)
	if !t.memory {
		var err error
		if docs, err = t.releaser.agreedUnder(t.ctx, scope); err != nil {
			return nil, err
		}
	}
	newest := int64(0)
	for _, d := range docs {
		newest = max(newest, d.revision)
		if t.keys[d.ref.Name] == nil {
			t.adopt(d.ref, d.head, d.revision)
		}
	}
	t.conditions = append(t.conditions, state.NothingNewUnder(keyRef(t.namespace, prefix).headKey(), newest))
	var names []string
	for name, s := range t.keys {
		if s.now != nil && scope.has(s.edit.ref) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// stage reads what is there, once.
func (t *Transaction) stage(name string) (*staged, error) {
	if s := t.keys[name]; s != nil {
		return s, nil
	}
	ref := keyRef(t.namespace, name)
	if err := ref.check(); err != nil {
		return nil, err
	}
	d := t.releaser.index.get(ref)
	if !t.memory {
		var err error
		if d, err = t.releaser.agreed(t.ctx, ref); err != nil {
			return nil, err
		}
	}
	if d == nil {
		return t.adopt(ref, nil, 0), nil
	}
	return t.adopt(ref, d.head, d.revision), nil
}

func (t *Transaction) adopt(ref Ref, h *head, revision int64) *staged {
	e := &edit{ref: ref, id: t.id, author: access.FromContext(t.ctx).Actor, now: t.releaser.now().UTC(), before: h, modified: revision}
	s := &staged{edit: e, now: h.key(ref, revision)}
	t.keys[ref.Name] = s
	t.order = append(t.order, ref.Name)
	return s
}

// Freed answers when a key was freed by the end of a session and for how long it cannot be acquired since; it remembers that of keys that
// are gone.
func (t *Transaction) Freed(name string) (at time.Time, delay time.Duration, err error) {
	s, err := t.stage(name)
	switch {
	case err != nil:
		return time.Time{}, 0, err
	case s.now != nil:
		return s.now.Freed, s.now.Delay, nil
	case s.edit.before != nil && s.edit.before.Key != nil:
		return s.edit.before.Key.Freed, s.edit.before.Key.Delay, nil
	}
	return time.Time{}, 0, nil
}

// Put writes a key: of key, all but Namespace and the revisions. With lock it is a write with a lock; so is one of a key that is held. What
// is there already is not written: it keeps its revision.
func (t *Transaction) Put(key Key, lock bool) error {
	s, err := t.stage(key.Name)
	if err != nil {
		return err
	}
	if err := t.mayWrite(); err != nil {
		return err
	}
	if _, err := t.releaser.policy.Validate(policy.Document{Namespace: t.namespace, Kind: policy.KeyValue, Name: key.Name, Content: key.Value}, nil); err != nil {
		return err
	}
	if len(key.Value) > MaxKeyValue {
		return fault.New(fault.TooLarge, "document.too_large", "the value of %.64q has %d bytes", key.Name, len(key.Value)).
			At("value").Hinted("at most %d; split it into several keys", MaxKeyValue)
	}
	if same, err := t.has(s, &key); same || err != nil {
		return err
	}
	s.machine = s.machine || lock || key.Session != "" || (s.now != nil && s.now.Session != "")
	key.Namespace = t.namespace
	key.Created, key.Modified = 0, 0
	if s.now != nil {
		key.Created = s.now.Created
	}
	s.now, s.loaded, s.touched = &key, true, true
	return nil
}

// Free ends the hold on a key whose session was invalidated: it cannot be acquired for the delay. With remove the key goes, too.
func (t *Transaction) Free(name string, delay time.Duration, remove bool) error {
	s, err := t.stage(name)
	if err != nil || s.now == nil {
		return err
	}
	if err := t.mayWrite(); err != nil {
		return err
	}
	key := *s.now
	key.Session, key.Freed, key.Delay = "", time.Time{}, 0
	if delay > 0 {
		key.Freed, key.Delay = s.edit.now, delay
	}
	s.touched, s.machine = true, true
	s.now = &key
	if remove {
		s.now = nil
		s.edit.freed, s.edit.delay = key.Freed, key.Delay
	}
	return nil
}

// Delete removes a key, if it is there.
func (t *Transaction) Delete(name string) error {
	s, err := t.stage(name)
	if err != nil || s.now == nil {
		return err
	}
	if err := t.mayWrite(); err != nil {
		return err
	}
	// The delay of its lock outlives it.
	if e := s.edit; e.now.Sub(s.now.Freed).Abs() < s.now.Delay {
		e.freed, e.delay = s.now.Freed, s.now.Delay
	}
	s.now, s.touched, s.edit.reborn = nil, true, true
	return nil
}

// Require makes the transaction depend on something else in the state.
func (t *Transaction) Require(condition state.Condition) {
	t.conditions = append(t.conditions, condition)
}

// Remove deletes another record of the state with the transaction.
func (t *Transaction) Remove(key string) { t.deletes = append(t.deletes, key) }

// Complete fills in the revisions of a key that was written in the transaction, now that it was made at a revision.
func (t *Transaction) Complete(key *Key, revision int64) {
	s := t.keys[key.Name]
	if s == nil || key.Modified != 0 {
		return
	}
	key.Modified = s.edit.modified
	if s.touched {
		key.Modified = revision
	}
	if key.Created == 0 {
		key.Created = key.Modified
	}
}

func (t *Transaction) mayWrite() error {
	identity := access.FromContext(t.ctx)
	if identity.May(access.Serve, t.namespace) {
		return nil
	}
	if err := access.Require(t.ctx, access.Publish, t.namespace); err != nil {
		return err
	}
	return access.Require(t.ctx, access.Release, t.namespace)
}

// compose makes the change of the state.
func (t *Transaction) compose() (state.Change, error) {
	change := state.Change{If: t.conditions, Delete: t.deletes}
	for _, name := range t.order {
		s := t.keys[name]
		if s.touched {
			if err := t.settle(s); err != nil {
				return change, err
			}
		}
		if !s.touched {
			change.If = append(change.If, state.Unchanged(s.edit.ref.headKey(), s.edit.modified))
			continue
		}
		t.written = append(t.written, s)
		change.If = append(change.If, s.change.If...)
		change.Put = append(change.Put, s.change.Put...)
		change.Delete = append(change.Delete, s.change.Delete...)
	}
	if t.memory && len(change.Put)+len(change.Delete) == 0 {
		return change, state.ErrConflict // an answer is by agreement
	}
	return change, t.audit(&change)
}

// audit adds the record of what was not a machine's.
func (t *Transaction) audit(change *state.Change) error {
	var plain []*staged
	for _, s := range t.written {
		if !s.machine {
			plain = append(plain, s)
		}
	}
	if len(plain) == 0 {
		return nil
	}
	entry := access.Entry{Namespace: t.namespace, Action: "document.transaction", Target: policy.KeyValue}
	if first := plain[0]; len(plain) == 1 {
		entry.Action, entry.Target = "document."+verb(first.action), first.edit.ref.target()
		entry.Before, entry.After = summarise(first.edit.before), summarise(first.edit.after)
	} else {
		names := map[string][]string{}
		for _, s := range plain {
			names[verb(s.action)] = append(names[verb(s.action)], s.edit.ref.Name)
		}
		entry.After = names
	}
	put, err := access.Record(t.ctx, entry)
	if err == nil {
		change.Put = append(change.Put, put)
	}
	return err
}

// settle turns what a key has become into the change of its document. A key that stays as it was is not touched after all.
func (t *Transaction) settle(s *staged) error {
	e := s.edit
	if s.now == nil {
		return t.settleRemoval(s)
	}
	e.after = &head{Created: e.now}
	if e.before != nil {
		e.after = e.before.clone()
	}
	same, err := t.sameValue(s)
	if err != nil {
		return err
	}
	was := e.before.key(e.ref, e.modified)
	if same && was.sameBut(s.now) && !e.reborn {
		s.touched = false
		return nil
	}
	s.action = gantryv1.Action_ACTION_RELEASED
	if !same {
		if err := t.addVersion(s); err != nil {
			return err
		}
	}
	if e.after.Key == nil {
		e.after.Key = new(keySection)
	}
	k := e.after.Key
	k.Flags, k.Session, k.Lock, k.Freed, k.Delay = s.now.Flags, s.now.Session, s.now.Locked, s.now.Freed, s.now.Delay
	s.change = e.write(s.action)
	return nil
}

// has reports whether a key is so already.
func (t *Transaction) has(s *staged, key *Key) (bool, error) {
	switch {
	case s.now == nil || !s.now.sameBut(key):
		return false, nil
	case s.loaded:
		return string(s.now.Value) == string(key.Value), nil
	default:
		return t.valueIs(s, key.Value)
	}
}

// sameBut compares all but the value and the revisions.
func (k *Key) sameBut(o *Key) bool {
	return k.Flags == o.Flags && k.Session == o.Session && k.Locked == o.Locked && k.Freed.Equal(o.Freed) && k.Delay == o.Delay
}

// sameValue reports whether a key keeps the value that it has.
func (t *Transaction) sameValue(s *staged) (bool, error) {
	if !s.loaded {
		return true, nil
	}
	return t.valueIs(s, s.now.Value)
}

// valueIs reports whether a value is in force now.
func (t *Transaction) valueIs(s *staged, value []byte) (bool, error) {
	h := s.edit.before
	switch {
	case !h.present() || h.Rollout != nil:
		return false, nil
	case h.Released == h.Latest && !h.Sensitive:
		return h.Checksum == checksum(value), nil
	}
	v, err := t.releaser.loadVersion(t.ctx, &document{ref: s.edit.ref, head: h, revision: s.edit.modified}, h.Released)
	if fault.Is(err, fault.NotFound) {
		return false, state.ErrConflict
	}
	if err != nil {
		return false, err
	}
	return string(v.Content) == string(value), nil
}

// addVersion makes a version of the new value and puts it in force. A version that a machine wrote goes with the next one.
func (t *Transaction) addVersion(s *staged) error {
	e := s.edit
	draft := &Draft{Ref: e.ref, Format: "text", Content: s.now.Value, Sensitive: e.after.Sensitive, flags: &s.now.Flags, machine: s.machine}
	record, err := t.releaser.addVersion(t.ctx, e, draft)
	if err != nil {
		return err
	}
	t.sealed = t.sealed || draft.Sensitive
	h := e.after
	if h.Key == nil {
		h.Key = new(keySection)
	}
	if old := h.Key.Machine; old != 0 {
		if !slices.Contains(e.deletes, e.ref.versionKey(old)) {
			e.deletes = append(e.deletes, e.ref.versionKey(old), e.ref.contentKey(old))
		}
		if h.Released == old {
			h.Released = 0
		}
		h.Key.Machine = 0
	}
	if err := e.releaseAll(record.Number); err != nil {
		return err
	}
	if s.machine {
		h.Key.Machine = record.Number
		e.entries = nil
	}
	s.record = record
	return nil
}

// settleRemoval takes a key out of force, and wholly where only machines have written it.
func (t *Transaction) settleRemoval(s *staged) error {
	e := s.edit
	s.action = gantryv1.Action_ACTION_DELETED
	if !e.before.present() {
		s.touched = false
		return nil
	}
	e.after = e.before.clone()
	plain := e.before.Key == nil || e.before.Key.Plain
	if k := e.after.Key; k != nil {
		k.Freed, k.Delay = e.freed, e.delay
		if k.Machine != 0 {
			e.deletes = append(e.deletes, e.ref.versionKey(k.Machine), e.ref.contentKey(k.Machine))
			if e.after.Released == k.Machine {
				e.after.Released = 0
			}
			k.Machine = 0
		}
	}
	if !plain && e.delay == 0 {
		s.change = state.Change{If: []state.Condition{state.Unchanged(e.ref.headKey(), e.modified)}, Delete: append(e.deletes, e.ref.headKey())}
		e.after = nil
		return nil
	}
	e.after.remove()
	if plain && !s.machine {
		e.note(entryRecord{Action: s.action, Version: e.before.Released, Previous: e.before.Released})
	}
	s.change = e.write(s.action)
	return nil
}
