package alert

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"sync"
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

// records mirrors the alerts of all documents, by namespace. What it hands out is not changed afterwards.
type records struct {
	log     *slog.Logger
	observe func(namespace string)
	mu      sync.RWMutex
	all     map[string]map[Ref]*record
}

func newRecords(log *slog.Logger, observe func(string)) *records {
	return &records{log: log, observe: observe, all: map[string]map[Ref]*record{}}
}

// in are the records of a namespace.
func (r *records) in(namespace string) map[Ref]*record {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return maps.Clone(r.all[namespace])
}

func (r *records) get(ref Ref) *record {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.all[ref.Namespace][ref]
}

// Reset implements [state.Mirrored].
func (r *records) Reset(all []state.Record, _ int64) {
	moved := map[string]struct{}{}
	defer r.tell(moved)
	r.mu.Lock()
	defer r.mu.Unlock()
	for namespace := range r.all {
		moved[namespace] = struct{}{}
	}
	clear(r.all)
	for _, stored := range all {
		moved[r.put(stored).Namespace] = struct{}{}
	}
}

// tell tells the observer, after what moved can be seen.
func (r *records) tell(moved map[string]struct{}) {
	for namespace := range moved {
		r.observe(namespace)
	}
}

// Apply implements [state.Mirrored].
func (r *records) Apply(events []state.Event, _ int64) {
	moved := map[string]struct{}{}
	defer r.tell(moved)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, event := range events {
		if !event.Deleted {
			moved[r.put(event.Record).Namespace] = struct{}{}
		} else if ref, err := refOfKey(event.Key); err == nil {
			moved[ref.Namespace] = struct{}{}
			delete(r.all[ref.Namespace], ref)
			if len(r.all[ref.Namespace]) == 0 {
				delete(r.all, ref.Namespace)
			}
		}
	}
}

// put takes a record and answers whose it is; the ref is empty when the key names none.
func (r *records) put(stored state.Record) Ref {
	ref, err := refOfKey(stored.Key)
	rec := &record{modified: stored.Modified}
	if err == nil {
		err = json.Unmarshal(stored.Value, rec)
	}
	if err != nil {
		r.log.Error("stored alerts cannot be read; the rule begins anew", "key", stored.Key, "error", err)
		rec = &record{modified: stored.Modified}
	}
	if ref == (Ref{}) {
		return ref
	}
	if r.all[ref.Namespace] == nil {
		r.all[ref.Namespace] = map[Ref]*record{}
	}
	r.all[ref.Namespace][ref] = rec
	return ref
}

// historyPut is the write of an entry of the history. Its key orders by time, within a node by what came first, and then by chance.
func (e *Engine) historyPut(namespace string, t Transition) (state.Put, error) {
	id, err := uuid.NewRandom()
	if err != nil {
		return state.Put{}, err
	}
	value, err := json.Marshal(t)
	if err != nil {
		return state.Put{}, fmt.Errorf("alert: an entry of the history: %w", err)
	}
	return state.Put{Key: state.Key(transitionRoom, namespace, fmt.Sprintf("%s%08x%s", historyID(t.At), e.sequence.Add(1), id.String()[:8])), Value: value}, nil
}

// historyID is the part of a key that orders by time.
func historyID(at time.Time) string { return fmt.Sprintf("%016x", max(at.UnixNano(), 0)) }
