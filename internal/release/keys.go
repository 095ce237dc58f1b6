package release

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/state"
)

// dataKeyRecord is the stored form of a data key.
type dataKeyRecord struct {
	// Root is the id of the root key that wraps it.
	Root    string    `json:"root"`
	Wrapped []byte    `json:"wrapped"`
	Created time.Time `json:"created"`
	// Retired keys seal nothing new; they go when nothing is sealed by them any more.
	Retired *time.Time `json:"retired,omitempty"`
}

// dataKey is a data key as this node holds it. It is immutable.
type dataKey struct {
	id       string
	number   uint64
	record   dataKeyRecord
	modified int64
	aead     cipher.AEAD // nil when the root key is not here
	plain    []byte      // to wrap it again
}

func (k *dataKey) key() string { return dataKeyKey(k.id) }

func dataKeyKey(id string) string { return state.Key("datakey", id) }

// unchanged makes a change depend on the key being what it was: a key that was retired seals nothing more.
func (k *dataKey) unchanged() state.Condition { return state.Unchanged(k.key(), k.modified) }

// dataKeys mirrors the data keys and opens them with the root keys.
type dataKeys struct {
	store *state.Store
	roots *Keyring
	log   *slog.Logger
	now   func() time.Time

	mu   sync.RWMutex
	keys map[string]*dataKey
}

func newDataKeys(store *state.Store, roots *Keyring, log *slog.Logger, now func() time.Time) *dataKeys {
	return &dataKeys{store: store, roots: roots, log: log, now: now, keys: map[string]*dataKey{}}
}

// Reset implements state.Mirrored.
func (d *dataKeys) Reset(records []state.Record, _ int64) {
	keys := make(map[string]*dataKey, len(records))
	for _, record := range records {
		if key := d.open(record); key != nil {
			keys[key.id] = key
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.keys = keys
}

// Apply implements state.Mirrored.
func (d *dataKeys) Apply(events []state.Event, _ int64) {
	for _, event := range events {
		if event.Deleted {
			if parts, err := state.Split(event.Key); err == nil && len(parts) == 2 {
				d.mu.Lock()
				delete(d.keys, parts[1])
				d.mu.Unlock()
			}
			continue
		}
		if key := d.open(event.Record); key != nil {
			d.add(key)
		}
	}
}

// add keeps the newer of two states of a key: a read can be ahead of the mirror.
func (d *dataKeys) add(key *dataKey) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if have := d.keys[key.id]; have == nil || have.modified < key.modified {
		d.keys[key.id] = key
	}
}

// open reads a record; what cannot be read is logged and left out, what cannot be unwrapped is kept closed.
func (d *dataKeys) open(record state.Record) *dataKey {
	key, err := decodeDataKey(record)
	if err != nil {
		d.log.Error("a data key cannot be read", "key", record.Key, "error", err)
		return nil
	}
	root := d.roots.root(key.record.Root)
	if root == nil {
		d.log.Warn("a data key is wrapped by a root key that this server was not given: what it seals cannot be read",
			"data_key", key.id, "root_key", key.record.Root)
		return key
	}
	plain, err := root.aead.Open(nil, nil, key.record.Wrapped, wrapBinding(key.id))
	if err == nil && len(plain) == RootKeySize {
		key.plain = plain
		key.aead, err = newAEAD(plain)
	}
	if err != nil {
		d.log.Error("a data key does not open with its root key", "data_key", key.id, "root_key", root.id, "error", err)
	}
	return key
}

func decodeDataKey(record state.Record) (*dataKey, error) {
	parts, err := state.Split(record.Key)
	if err != nil || len(parts) != 2 {
		return nil, fmt.Errorf("release: %q is no key of a data key", record.Key)
	}
	number, err := strconv.ParseUint(parts[1], 16, 64)
	if err != nil || len(parts[1]) != 16 {
		return nil, fmt.Errorf("release: %q is no id of a data key", parts[1])
	}
	key := &dataKey{id: parts[1], number: number, modified: record.Modified}
	if err := json.Unmarshal(record.Value, &key.record); err != nil {
		return nil, fmt.Errorf("release: a stored data key cannot be read: %w", err)
	}
	return key, nil
}

func wrapBinding(id string) []byte { return []byte("gantry data key v1 " + id) }

// refresh reads the keys from the store, ahead of the mirror.
func (d *dataKeys) refresh(ctx context.Context) error {
	records, err := d.store.List(ctx, state.Prefix("datakey"), state.ListOptions{})
	if err != nil {
		return err
	}
	for _, record := range records {
		if key := d.open(record); key != nil {
			d.add(key)
		}
	}
	return nil
}

// get returns a key, or nil.
func (d *dataKeys) get(id string) *dataKey {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.keys[id]
}

// all returns every key.
func (d *dataKeys) all() []*dataKey {
	d.mu.RLock()
	defer d.mu.RUnlock()
	keys := make([]*dataKey, 0, len(d.keys))
	for _, key := range d.keys {
		keys = append(keys, key)
	}
	return keys
}

// newest returns the newest key that is not retired, or nil, and the highest number of any.
func (d *dataKeys) newest() (active *dataKey, highest uint64) {
	for _, key := range d.all() {
		highest = max(highest, key.number)
		if key.record.Retired == nil && (active == nil || key.number > active.number) {
			active = key
		}
	}
	return active, highest
}

// active returns the key that seals now, and makes the first one.
func (d *dataKeys) active(ctx context.Context) (*dataKey, error) {
	if d.roots.first() == nil {
		return nil, errNoRootKey()
	}
	for range attempts {
		active, highest := d.newest()
		switch {
		case active != nil && active.aead != nil:
			return active, nil
		case active != nil:
			return nil, d.closed(active)
		}
		key, put := d.make(highest + 1)
		condition := state.Unchanged(key.key(), 0)
		if highest == 0 {
			// The first of all. That its number is free proves nothing: a node that is behind may not have seen the keys that had it
			// and the ones that came after.
			condition = state.NoneUnder(state.Prefix("datakey"))
		}
		revision, err := d.store.Commit(ctx, state.Change{If: []state.Condition{condition}, Put: []state.Put{put}})
		if errors.Is(err, state.ErrConflict) {
			if err := d.refresh(ctx); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		key.modified = revision
		d.add(key)
		return key, nil
	}
	return nil, contended("the data keys")
}

func errNoRootKey() *fault.Error {
	return fault.New(fault.Precondition, "secret.no_root_key", "the server has no root key: it cannot seal what is sensitive").
		Hinted("start every server with the same root key, in a file or the environment; make one with: openssl rand -hex %d", RootKeySize)
}

// make returns a new key, and what stores it.
func (d *dataKeys) make(number uint64) (*dataKey, state.Put) {
	key := &dataKey{id: fmt.Sprintf("%016x", number), number: number, plain: make([]byte, RootKeySize)}
	rand.Read(key.plain) // never fails (crypto/rand)
	aead, err := newAEAD(key.plain)
	if err != nil {
		panic(err) // the length is right
	}
	key.aead = aead
	key.record = dataKeyRecord{Created: d.now()}
	key.wrap(d.roots.first())
	return key, state.Put{Key: key.key(), Value: encode(key.record)}
}

func (k *dataKey) wrap(root *rootKey) {
	k.record.Root = root.id
	k.record.Wrapped = root.aead.Seal(nil, nil, k.plain, wrapBinding(k.id))
}

// closed says why a key cannot be used.
func (d *dataKeys) closed(key *dataKey) *fault.Error {
	if d.roots.root(key.record.Root) == nil {
		return fault.New(fault.Precondition, "secret.root_key_missing", "the content is sealed under root key %s, which this server was not given", key.record.Root).
			Hinted("give the server that root key, beside the present one if it was changed, and start it again")
	}
	return fault.New(fault.Internal, "secret.data_key_damaged", "data key %s does not open with its root key", key.id).
		Hinted("restore the state from a backup; other documents are not touched")
}

// unseal opens the stored content of a version.
func (d *dataKeys) unseal(ctx context.Context, ref Ref, version int64, sealed []byte) ([]byte, error) {
	id, box, err := splitSealed(sealed)
	if err != nil {
		return nil, damaged(ref, version, err)
	}
	key := d.get(id)
	if key == nil {
		// The read that brought the content can be ahead of the mirror.
		if err := d.refresh(ctx); err != nil {
			return nil, err
		}
		key = d.get(id)
	}
	switch {
	case key == nil:
		return nil, fault.New(fault.Internal, "secret.data_key_lost", "the data key %s that seals version %d of %s is not in the state", id, version, ref).
			Hinted("restore the state from a backup; other documents are not touched")
	case key.aead == nil:
		return nil, d.closed(key)
	}
	plain, err := unseal(key.aead, id, ref, version, box)
	if err != nil {
		return nil, damaged(ref, version, err)
	}
	return plain, nil
}

func damaged(ref Ref, version int64, cause error) *fault.Error {
	return fault.New(fault.Internal, "document.damaged", "version %d of %s is damaged in the state", version, ref).
		Hinted("release another version, or restore the state from a backup").Because(cause)
}

func damagedHead(ref Ref, cause error) *fault.Error {
	return fault.New(fault.Internal, "document.damaged", "the head of %s is damaged in the state", ref).
		Hinted("restore the state from a backup").Because(cause)
}

func contended(what string) *fault.Error {
	return fault.New(fault.Exhausted, "document.contended", "%s kept changing while this change was made", what).
		Hinted("try again; if it persists, find out who changes it all the time")
}
