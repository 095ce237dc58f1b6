package release

import (
	"context"
	"time"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy"
	"github.com/gantry-platform/gantry/internal/state"
)

// Key is a document of kind [policy.KeyValue] as the clients of keys see it. The value is shared and must not be changed.
type Key struct {
	Namespace, Name string
	Value           []byte
	Flags           uint64
	// Session holds the key's lock; empty when nobody does. Locked counts how often it was acquired.
	Session string
	Locked  uint64
	// Created and Modified are revisions of the state; in a [Transaction] they are 0 for what it writes itself.
	Created, Modified int64
	// Freed is when the session of its last holder was invalidated, and Delay how long the key cannot be acquired since; both stay behind when
	// the key itself is gone, and end when it is acquired.
	Freed time.Time
	Delay time.Duration
}

// present reports whether the clients of keys see the document.
func (h *head) present() bool { return h != nil && h.Released != 0 && !h.Deleted }

// keepKey keeps the section of a key in step with a change of its head.
func (e *edit) keepKey() {
	h := e.after
	if h.Key == nil {
		h.Key = new(keySection)
	}
	k := h.Key
	if len(e.entries) > 0 {
		k.Plain = true
	}
	if h.Entries == 0 {
		// Servers that know no keys take a head without entries for damaged. The number is used up: there is no such entry.
		h.Entries = 1
	}
	was, is := e.before.present(), h.present()
	switch {
	case !is:
		k.Session, k.Lock, k.Created = "", 0, 0
	case !was || e.reborn:
		k.Created = 0
	case k.Created == 0:
		k.Created = e.modified
	}
}

// key makes a key of a head, without its value; nil when it is not there.
func (h *head) key(ref Ref, revision int64) *Key {
	if !h.present() {
		return nil
	}
	key := &Key{Namespace: ref.Namespace, Name: ref.Name, Created: revision, Modified: revision}
	if k := h.Key; k != nil {
		key.Flags, key.Session, key.Locked, key.Freed, key.Delay = k.Flags, k.Session, k.Lock, k.Freed, k.Delay
		if k.Created != 0 {
			key.Created = k.Created
		}
	}
	return key
}

func keyRef(namespace, name string) Ref {
	return Ref{Namespace: namespace, Kind: policy.KeyValue, Name: name}.normal()
}

// Reading says how fresh an answer about keys must be, and whether the values are wanted.
type Reading struct {
	// Consistent answers have everything that was written before they were asked for, on whatever node; they need the quorum. Otherwise
	// the answer is from this node's memory, which has everything that was written through it.
	Consistent bool
	// Values: without, keys come without their values, and nothing is read for them.
	Values bool
}

// Key returns a key, nil when it is not there, and the revision of the scope, which grows with every change of it: of a key that is there, the
// one at which it was modified.
//
// Errors: Invalid for a name that can be none; Forbidden or Unauthenticated for who may neither view nor serve in the namespace, and
// Forbidden "document.withheld" for the value of a sensitive one; Unavailable without quorum when it is needed.
func (r *Releaser) Key(ctx context.Context, namespace, name string, reading Reading) (*Key, int64, error) {
	ref := keyRef(namespace, name)
	if err := ref.check(); err != nil {
		return nil, 0, err
	}
	if err := access.Require(ctx, access.View|access.Serve, ref.Namespace); err != nil {
		return nil, 0, err
	}
	d := r.index.get(ref)
	if reading.Consistent {
		var err error
		if d, err = r.agreed(ctx, ref); err != nil {
			return nil, 0, err
		}
	}
	key, err := r.keyOf(ctx, d, reading)
	if err != nil {
		return nil, 0, err
	}
	switch {
	case key != nil:
		return key, key.Modified, nil
	case d != nil && d.head.Deleted:
		return nil, d.revision, nil
	default:
		return nil, r.feed.removed(Scope{Namespace: ref.Namespace, Name: ref.Name}), nil
	}
}

// agreed reads a document by agreement of the quorum; nil when there is none.
func (r *Releaser) agreed(ctx context.Context, ref Ref) (*document, error) {
	record, found, err := r.store.Get(ctx, ref.headKey())
	if err != nil || !found {
		return nil, err
	}
	return r.documentOf(ref, record)
}

func (r *Releaser) documentOf(ref Ref, record state.Record) (*document, error) {
	h, err := decodeHead(record.Value)
	if err != nil {
		return nil, damagedHead(ref, err)
	}
	return newDocument(ref, h, record.Modified)
}

// keyOf makes a key of a document, with its value. Values that machines write are removed by the next one, so that one which is gone is looked
// for again.
func (r *Releaser) keyOf(ctx context.Context, d *document, reading Reading) (*Key, error) {
	for began := time.Now(); ; {
		if d == nil || !d.head.present() {
			return nil, nil
		}
		key := d.head.key(d.ref, d.revision)
		if !reading.Values {
			return key, nil
		}
		v, err := r.loadVersion(ctx, d, d.head.Released)
		if err == nil {
			if v.Sensitive && !r.sees(access.FromContext(ctx), d, d.head.Released) {
				return nil, errWithheld(d)
			}
			key.Value = v.Content
			return key, nil
		}
		if !fault.Is(err, fault.NotFound) || time.Since(began) > contendFor {
			return nil, err
		}
		if d, err = r.agreed(ctx, d.ref); err != nil {
			return nil, err
		}
	}
}

func errWithheld(d *document) *fault.Error {
	return fault.New(fault.Forbidden, "document.withheld", "the value of %s is sensitive", d.ref).
		Hinted("services of the namespace and its releasers can read it")
}

// Keys returns the keys whose names begin with a prefix, in order, and the revision of the scope. From memory the answer is of one revision;
// a consistent one may see changes that happen while it is read. Errors as those of Key; TooLarge beyond [MaxListedBytes].
func (r *Releaser) Keys(ctx context.Context, namespace, prefix string, reading Reading) ([]*Key, int64, error) {
	scope := Scope{Namespace: keyRef(namespace, prefix).Namespace, Name: prefix, Below: true}
	if err := access.Require(ctx, access.View|access.Serve, scope.Namespace); err != nil {
		return nil, 0, err
	}
	// Before the documents: a removal in between must not hide behind its own revision.
	newest := r.feed.removed(scope)
	docs := r.index.under(group{scope.Namespace, policy.KeyValue}, prefix)
	if reading.Consistent {
		var err error
		if docs, err = r.agreedUnder(ctx, scope); err != nil {
			return nil, 0, err
		}
	}
	var keys []*Key
	size := 0
	for _, d := range docs {
		newest = max(newest, d.revision)
		key, err := r.keyOf(ctx, d, reading)
		if err != nil {
			return nil, 0, err
		}
		if key == nil {
			continue
		}
		if size += len(key.Value); size > MaxListedBytes {
			return nil, 0, fault.New(fault.TooLarge, "document.list_too_large", "the keys under %.64q hold more than %d MiB", prefix, MaxListedBytes>>20).
				At("prefix").Hinted("read fewer at a time, by longer prefixes")
		}
		keys = append(keys, key)
	}
	return keys, newest, nil
}

// agreedUnder reads all documents of a scope by agreement of the quorum.
func (r *Releaser) agreedUnder(ctx context.Context, scope Scope) ([]*document, error) {
	// Names are escaped byte by byte, so that what begins with the escaped prefix begins with the prefix.
	records, err := r.store.List(ctx, keyRef(scope.Namespace, scope.Name).headKey(), state.ListOptions{})
	if err != nil {
		return nil, err
	}
	docs := make([]*document, 0, len(records))
	for _, record := range records {
		ref, err := refOfKey(record.Key)
		if err != nil {
			return nil, err
		}
		d, err := r.documentOf(ref, record)
		if err != nil {
			return nil, err
		}
		docs = append(docs, d)
	}
	return docs, nil
}

// Held returns the names of the keys that a session holds, as this node sees them.
func (r *Releaser) Held(namespace, session string) []string {
	return r.holders.names(holder{namespace, session})
}
