package alert

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/gantry-platform/gantry/internal/state"
)

// Rooms in the state.
const (
	alertRoom      = "alert"
	notifiedRoom   = "notified"
	transitionRoom = "transition"
)

// record is the alerts of a document as they are stored.
type record struct {
	Alerts []*Alert `json:"alerts,omitempty"`
	Health Health   `json:"health"`
	// Node that wrote it, and when.
	Node string    `json:"node"`
	At   time.Time `json:"at"`

	modified int64
}

// Health says whether a document can be evaluated.
type Health struct {
	// Failing says why not, otherwise empty, and FailingSince from when.
	Failing      string    `json:"failing,omitempty"`
	FailingSince time.Time `json:"failingSince,omitzero"`
	// Waiting says what has no verdict yet, such as a baseline without history.
	Waiting string `json:"waiting,omitempty"`
}

func (r *record) byID() map[string]*Alert {
	all := make(map[string]*Alert, len(r.Alerts))
	for _, a := range r.Alerts {
		all[a.ID()] = a
	}
	return all
}

func (r Ref) key() string { return state.Key(alertRoom, r.Namespace, r.Kind, r.Name) }

func refOfKey(key string) (Ref, error) {
	parts, err := state.Split(key)
	if err != nil {
		return Ref{}, err
	}
	if len(parts) != 4 {
		return Ref{}, fmt.Errorf("alert: key %q has %d parts", key, len(parts))
	}
	return Ref{Namespace: parts[1], Kind: parts[2], Name: parts[3]}, nil
}

// records mirrors the alerts of all documents. Reads are of one immutable map.
type records struct {
	log     *slog.Logger
	mu      sync.Mutex
	current atomic.Pointer[map[Ref]*record]
}

func newRecords(log *slog.Logger) *records {
	r := &records{log: log}
	r.current.Store(&map[Ref]*record{})
	return r
}

func (r *records) all() map[Ref]*record { return *r.current.Load() }

func (r *records) get(ref Ref) *record { return r.all()[ref] }

// Reset implements [state.Mirrored].
func (r *records) Reset(all []state.Record, _ int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := map[Ref]*record{}
	for _, stored := range all {
		r.put(next, stored)
	}
	r.current.Store(&next)
}

// Apply implements [state.Mirrored].
func (r *records) Apply(events []state.Event, _ int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.all()
	next := make(map[Ref]*record, len(before)+1)
	for ref, rec := range before {
		next[ref] = rec
	}
	for _, event := range events {
		if !event.Deleted {
			r.put(next, event.Record)
		} else if ref, err := refOfKey(event.Key); err == nil {
			delete(next, ref)
		}
	}
	r.current.Store(&next)
}

func (r *records) put(into map[Ref]*record, stored state.Record) {
	ref, err := refOfKey(stored.Key)
	rec := &record{modified: stored.Modified}
	if err == nil {
		err = json.Unmarshal(stored.Value, rec)
	}
	if err != nil {
		r.log.Error("stored alerts cannot be read; the rule begins anew", "key", stored.Key, "error", err)
		rec = &record{modified: stored.Modified}
	}
	if ref != (Ref{}) {
		into[ref] = rec
	}
}

// historyPut is the write of an entry of the history. Its key orders by time, then by chance.
func historyPut(namespace string, t Transition) (state.Put, error) {
	id, err := uuid.NewRandom()
	if err != nil {
		return state.Put{}, err
	}
	value, err := json.Marshal(t)
	if err != nil {
		return state.Put{}, fmt.Errorf("alert: an entry of the history: %w", err)
	}
	return state.Put{Key: state.Key(transitionRoom, namespace, historyID(t.At)+id.String()[:8]), Value: value}, nil
}

// historyID is the part of a key that orders by time.
func historyID(at time.Time) string { return fmt.Sprintf("%016x", max(at.UnixNano(), 0)) }
