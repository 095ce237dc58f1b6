package keyvalue

import (
	"context"
	"fmt"
	"slices"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/release"
	"github.com/gantry-platform/gantry/internal/state"
)

// Verb is what an operation does.
type Verb int

// The verbs, in Consul's meaning.
const (
	// Set writes value and flags; who holds the key stays.
	Set Verb = iota
	// CompareAndSet is Set when the key was modified at Index, or, with Index 0, when it is absent.
	CompareAndSet
	// Lock is Set that makes Session the holder, when nobody else is and no delay is on.
	Lock
	// Unlock is Set that takes the hold from Session, which must have it.
	Unlock
	// Get reads; the key must be there. GetOrEmpty reads a key without value when it is not.
	Get
	GetOrEmpty
	// GetTree reads what begins with Key.
	GetTree
	// CheckIndex, CheckSession and CheckNotExists only demand.
	CheckIndex
	CheckSession
	CheckNotExists
	// Delete removes, whether or not the key is there. DeleteTree removes what begins with Key.
	Delete
	DeleteTree
	// DeleteCompare removes a key that was modified at Index; one that is absent is fine.
	DeleteCompare
)

// Writes reports whether a verb changes something.
func (v Verb) Writes() bool {
	switch v {
	case Set, CompareAndSet, Lock, Unlock, Delete, DeleteTree, DeleteCompare:
		return true
	}
	return false
}

// Operation is one step of a transaction. Which fields count depends on the verb.
type Operation struct {
	Verb    Verb
	Key     string
	Value   []byte
	Flags   uint64
	Index   uint64
	Session string
}

// Failure says which operation was refused, and why.
type Failure struct {
	Operation int
	Err       *fault.Error
}

// Outcome of a transaction.
type Outcome struct {
	// Keys are what the operations answer, in their order: a key of every write and check, with its value of every get, none of what deletes.
	Keys []*release.Key
	// Failures: with any, nothing was changed, and Keys is empty. Their reasons are "key.stale", "key.held", "key.delayed", "key.not_held",
	// "key.not_found", "key.exists", "session.missing" and "session.unknown".
	Failures []Failure
}

// Apply makes operations in one transaction, in their order; each sees what those before it did.
//
// Errors, beside those of [release.Releaser.Transact]: TooLarge beyond [MaxOperations].
func (k *Keys) Apply(ctx context.Context, namespace string, operations []Operation) (*Outcome, error) {
	if len(operations) > MaxOperations {
		return nil, fault.New(fault.TooLarge, "key.too_many_operations", "the transaction has %d operations", len(operations)).
			Hinted("at most %d; make several transactions", MaxOperations)
	}
	var names []string
	if slices.ContainsFunc(operations, func(op Operation) bool { return op.Verb.Writes() }) {
		// Also when it turns out that there is nothing to write.
		if err := mayWrite(ctx, normal(namespace)); err != nil {
			return nil, err
		}
	}
	for _, op := range operations {
		if op.Verb.Writes() && op.Verb != DeleteTree {
			names = append(names, op.Key)
		}
	}
	var a *application
	revision, err := k.releaser.Transact(ctx, namespace, names, func(t *release.Transaction) error {
		a = &application{keys: k, ctx: ctx, namespace: normal(namespace), t: t}
		for i, op := range operations {
			err := a.apply(op)
			if f, ok := err.(*refusal); ok {
				a.failures = append(a.failures, Failure{Operation: i, Err: f.fault})
				continue
			}
			if err != nil {
				return err
			}
		}
		if len(a.failures) > 0 {
			return errRefused
		}
		return nil
	})
	switch {
	case err == errRefused:
		return &Outcome{Failures: a.failures}, nil
	case err != nil:
		return nil, err
	}
	for _, key := range a.results {
		a.t.Complete(key, revision)
	}
	return &Outcome{Keys: a.results}, nil
}

// errRefused ends a transaction that has failures.
var errRefused = fmt.Errorf("keyvalue: an operation was refused")

// refusal is an error of one operation that lets the others be looked at, too.
type refusal struct{ fault *fault.Error }

func (r *refusal) Error() string { return r.fault.Error() }

func refuse(code fault.Code, reason, hint, format string, args ...any) error {
	return &refusal{fault.New(code, reason, format, args...).Hinted("%s", hint)}
}

// application is one attempt to apply operations.
type application struct {
	keys      *Keys
	ctx       context.Context // of the one call
	namespace string
	t         *release.Transaction
	results   []*release.Key
	failures  []Failure
	known     map[string]bool // sessions that were looked up
}

func (a *application) apply(op Operation) error {
	switch op.Verb {
	case Set, CompareAndSet:
		return a.set(op)
	case Lock:
		return a.lock(op)
	case Unlock:
		return a.unlock(op)
	case Get, GetOrEmpty:
		return a.get(op)
	case GetTree:
		return a.getTree(op)
	case Delete, DeleteCompare:
		return a.delete(op)
	case DeleteTree:
		return a.deleteTree(op)
	default:
		return a.check(op)
	}
}

// put writes a key and adds it to the answer, without its value.
func (a *application) put(key release.Key, lock bool) error {
	if err := a.t.Put(key, lock); err != nil {
		return err
	}
	return a.answer(key.Name)
}

func (a *application) answer(name string) error {
	key, err := a.t.Get(name)
	if err != nil || key == nil {
		return err
	}
	key.Value = nil
	a.results = append(a.results, key)
	return nil
}

// next is the key that a write makes of what is there.
func (a *application) next(op Operation) (current *release.Key, next release.Key, err error) {
	if current, err = a.t.Get(op.Key); err != nil {
		return nil, next, err
	}
	next = release.Key{Name: op.Key, Value: op.Value, Flags: op.Flags}
	if current != nil {
		next.Session, next.Locked = current.Session, current.Locked
	}
	next.Freed, next.Delay, err = a.t.Freed(op.Key)
	return current, next, err
}

func (a *application) set(op Operation) error {
	current, next, err := a.next(op)
	if err != nil {
		return err
	}
	if op.Verb == CompareAndSet && !matches(current, op.Index) {
		return refuse(fault.Conflict, "key.stale", "read it again, and repeat the change on what is there now", "failed to set key %q, index is stale", op.Key)
	}
	return a.put(next, false)
}

// matches is the comparison of Consul: 0 demands that there is no key. What the transaction wrote itself has no revision yet, which no
// index is.
func matches(current *release.Key, index uint64) bool {
	if current == nil {
		return index == 0
	}
	return index != 0 && uint64(current.Modified) == index
}

func (a *application) lock(op Operation) error {
	if err := a.sessionThere(op.Session); err != nil {
		return err
	}
	current, next, err := a.next(op)
	if err != nil {
		return err
	}
	switch {
	case current != nil && current.Session == op.Session:
	case current != nil && current.Session != "":
		return refuse(fault.Conflict, "key.held", "wait until its holder releases it", "failed to lock key %q, lock is already held", op.Key)
	case a.keys.delayed(next):
		return refuse(fault.Conflict, "key.delayed", "try again after the delay that its last holder's session had asked for", "failed to lock key %q due to lock delay", op.Key)
	default:
		next.Session = op.Session
		next.Locked++
		next.Freed, next.Delay = release.Key{}.Freed, 0
	}
	return a.put(next, true)
}

// delayed reports whether the delay after the end of a holder's session is on. Both ways, so that a clock that is far away from the one
// which wrote the time does not block a lock for as long.
func (k *Keys) delayed(key release.Key) bool {
	return key.Delay > 0 && k.now().Sub(key.Freed).Abs() < key.Delay
}

// sessionThere demands that a session exists, now and when the transaction is made.
func (a *application) sessionThere(id string) error {
	if id == "" {
		return refuse(fault.Invalid, "session.missing", "create a session and name it", "missing session")
	}
	there, looked := a.known[id]
	if !looked {
		var err error
		if there, err = a.lookUp(id); err != nil {
			return err
		}
		if a.known == nil {
			a.known = map[string]bool{}
		}
		a.known[id] = there
	}
	if !there {
		return refuse(fault.NotFound, "session.unknown", "create a new session: it was destroyed, or has expired", "invalid session %q", id)
	}
	return nil
}

func (a *application) lookUp(id string) (there bool, err error) {
	if a.t.Tentative() {
		there = a.keys.sessions.get(a.namespace, id) != nil
	} else if _, there, err = a.keys.store.Get(a.ctx, sessionKey(a.namespace, id)); err != nil {
		return false, err
	}
	if there {
		a.t.Require(state.Exists(sessionKey(a.namespace, id)))
	}
	return there, nil
}

func (a *application) unlock(op Operation) error {
	if op.Session == "" {
		return refuse(fault.Invalid, "session.missing", "name the session that holds it", "missing session")
	}
	current, next, err := a.next(op)
	if err != nil {
		return err
	}
	if current == nil || current.Session != op.Session {
		return refuse(fault.Conflict, "key.not_held", "only its holder can release it", "failed to unlock key %q, lock isn't held, or is held by another session", op.Key)
	}
	next.Session = ""
	return a.put(next, true)
}

func (a *application) get(op Operation) error {
	key, err := a.t.Value(op.Key)
	if err != nil {
		return err
	}
	if key == nil && op.Verb == Get {
		return absent(op.Key)
	}
	if key == nil {
		key = &release.Key{Namespace: a.namespace, Name: op.Key}
	}
	a.results = append(a.results, key)
	return nil
}

func absent(name string) error {
	return refuse(fault.NotFound, "key.not_found", "look at the spelling and the namespace", "key %q doesn't exist", name)
}

func (a *application) getTree(op Operation) error {
	names, err := a.t.Names(op.Key)
	if err != nil {
		return err
	}
	size := 0
	for _, name := range names {
		key, err := a.t.Value(name)
		if err != nil {
			return err
		}
		if size += len(key.Value); size > release.MaxListedBytes {
			return fault.New(fault.TooLarge, "document.list_too_large", "the keys under %.64q hold more than %d MiB", op.Key, release.MaxListedBytes>>20).
				At("key").Hinted("read fewer at a time, by longer prefixes")
		}
		a.results = append(a.results, key)
	}
	return nil
}

func (a *application) delete(op Operation) error {
	if op.Verb == DeleteCompare {
		current, err := a.t.Get(op.Key)
		if err != nil {
			return err
		}
		if current != nil && uint64(current.Modified) != op.Index {
			return refuse(fault.Conflict, "key.stale", "read it again, and look whether it is still to be removed", "failed to delete key %q, index is stale", op.Key)
		}
	}
	return a.t.Delete(op.Key)
}

func (a *application) deleteTree(op Operation) error {
	names, err := a.t.Names(op.Key)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := a.t.Delete(name); err != nil {
			return err
		}
	}
	return nil
}

func (a *application) check(op Operation) error {
	current, err := a.t.Get(op.Key)
	if err != nil {
		return err
	}
	switch {
	case op.Verb == CheckNotExists && current != nil:
		return refuse(fault.Conflict, "key.exists", "it was not expected to be there", "key %q exists", op.Key)
	case op.Verb == CheckNotExists:
		return nil
	case current == nil:
		return absent(op.Key)
	case op.Verb == CheckIndex && uint64(current.Modified) != op.Index:
		return refuse(fault.Conflict, "key.stale", "read it again", "failed index check for key %q, current modify index %d != %d", op.Key, current.Modified, op.Index)
	case op.Verb == CheckSession && current.Session != op.Session:
		return refuse(fault.Conflict, "key.not_held", "read who holds it", "failed session check for key %q, current session %q != %q", op.Key, current.Session, op.Session)
	}
	return a.answer(op.Key)
}

// Remove takes all keys away whose names begin with a prefix: at one moment when there are no more than [treeStep], and in several steps in
// the order of their names beyond, so that keys which are made meanwhile may stay.
func (k *Keys) Remove(ctx context.Context, namespace, prefix string) error {
	if err := mayWrite(ctx, normal(namespace)); err != nil {
		return err
	}
	keys, _, err := k.releaser.Keys(ctx, namespace, prefix, release.Reading{Consistent: true})
	if err != nil {
		return err
	}
	if len(keys) <= treeStep {
		_, err := k.Apply(ctx, namespace, []Operation{{Verb: DeleteTree, Key: prefix}})
		if !fault.Is(err, fault.TooLarge) {
			return err
		}
	}
	for step := treeStep; len(keys) > 0; {
		part := keys[:min(step, len(keys))]
		_, err := k.releaser.Transact(ctx, namespace, nil, func(t *release.Transaction) error {
			for _, key := range part {
				if err := t.Delete(key.Name); err != nil {
					return err
				}
			}
			return nil
		})
		switch {
		case fault.Is(err, fault.TooLarge) && step > 1:
			step /= 2 // an external etcd takes fewer
		case err != nil:
			return err
		default:
			keys = keys[len(part):]
		}
	}
	return nil
}
