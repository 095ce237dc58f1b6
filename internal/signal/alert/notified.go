package alert

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/gantry-platform/gantry/internal/state"
)

// notice is what a channel of a receiver was told of a group last: the notification log.
type notice struct {
	Group    string `json:"group"`
	Receiver string `json:"receiver"`
	Channel  string `json:"channel"`
	// Firing and Resolved are the ids of the alerts that were told, sorted.
	Firing   []string  `json:"firing,omitempty"`
	Resolved []string  `json:"resolved,omitempty"`
	At       time.Time `json:"at"`
	// Claimed is set while a node delivers, until ClaimedUntil at most: its id, and when its process began.
	Claimed      string    `json:"claimed,omitempty"`
	ClaimedUntil time.Time `json:"claimedUntil,omitzero"`
	// Failed says why the newest delivery failed, otherwise empty.
	Failed   string    `json:"failed,omitempty"`
	FailedAt time.Time `json:"failedAt,omitzero"`
	// Expires is when it may be forgotten: a while after it would have been repeated.
	Expires time.Time `json:"expires"`

	modified int64
}

// noticeKey names what a channel was told of a group.
type noticeKey struct{ namespace, group, receiver, channel string }

// path is the key in the state: a hash, because groups have names of any length.
func (k noticeKey) path() string {
	return state.Key(notifiedRoom, k.namespace, fmt.Sprintf("%016x", xxhash.Sum64String(k.group+"\x00"+k.receiver+"\x00"+k.channel)))
}

// owed reports whether a channel has to be told, by the rules of Alertmanager: of the first that fire, of more that fire, of all being over, of one being over, or because
// it was told long ago.
func (n *notice) owed(firing, resolved []string, repeat time.Duration, now time.Time) bool {
	switch {
	case n == nil || n.At.IsZero():
		return len(firing) > 0
	case !subset(firing, n.Firing):
		return true
	case len(firing) == 0:
		return len(n.Firing) > 0
	case !subset(resolved, n.Resolved) && slices.ContainsFunc(resolved, func(id string) bool { return slices.Contains(n.Firing, id) }):
		return true
	default:
		return !now.Before(n.At.Add(repeat))
	}
}

// claimant names this node in this life of its process.
func (e *Engine) claimant() string { return claimantOf(e.Store.Self()) }

func claimantOf(n state.Node) string { return n.ID + "@" + n.Started.UTC().Format(time.RFC3339Nano) }

// claimed reports whether a node delivers it now. What a node claimed that is gone, or has begun anew since, is free.
func (e *Engine) claimed(n *notice, now time.Time) bool {
	return n.Claimed != "" && now.Before(n.ClaimedUntil) &&
		slices.ContainsFunc(e.Store.Nodes(), func(node state.Node) bool { return claimantOf(node) == n.Claimed })
}

// subset reports whether all of some sorted ids are among others.
func subset(of, whole []string) bool {
	for _, id := range of {
		if _, ok := slices.BinarySearch(whole, id); !ok {
			return false
		}
	}
	return true
}

// notifications mirrors the notification log.
type notifications struct {
	log *slog.Logger
	mu  sync.Mutex
	all map[string]*notice // by key in the state
}

func newNotifications(log *slog.Logger) *notifications {
	return &notifications{log: log, all: map[string]*notice{}}
}

func (n *notifications) get(key noticeKey) *notice {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.all[key.path()]
}

// learn takes in what this node has just written, which its mirror may not show yet.
func (n *notifications) learn(path string, fresh *notice) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if old := n.all[path]; old == nil || old.modified <= fresh.modified {
		n.all[path] = fresh
	}
}

// expired are the keys of a namespace that may be forgotten, some at a time.
func (n *notifications) expired(namespace string, now time.Time, most int) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var keys []string
	prefix := state.Prefix(notifiedRoom, namespace)
	for key, entry := range n.all {
		if len(keys) < most && strings.HasPrefix(key, prefix) && now.After(entry.Expires) {
			keys = append(keys, key)
		}
	}
	return keys
}

// firing are the entries of a namespace by which something fires, by key in the state.
func (n *notifications) firing(namespace string) map[string]*notice {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := map[string]*notice{}
	prefix := state.Prefix(notifiedRoom, namespace)
	for key, entry := range n.all {
		if strings.HasPrefix(key, prefix) && len(entry.Firing) > 0 {
			out[key] = entry
		}
	}
	return out
}

// failing are the newest failures of a namespace's receivers, by receiver and channel.
func (n *notifications) failing(namespace string) map[[2]string]*notice {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := map[[2]string]*notice{}
	prefix := state.Prefix(notifiedRoom, namespace)
	for key, entry := range n.all {
		if !strings.HasPrefix(key, prefix) || entry.Failed == "" {
			continue
		}
		of := [2]string{entry.Receiver, entry.Channel}
		if old := out[of]; old == nil || old.FailedAt.Before(entry.FailedAt) {
			out[of] = entry
		}
	}
	return out
}

// Reset implements [state.Mirrored].
func (n *notifications) Reset(records []state.Record, _ int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.all)
	for _, record := range records {
		n.put(record)
	}
}

// Apply implements [state.Mirrored].
func (n *notifications) Apply(events []state.Event, _ int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, event := range events {
		if event.Deleted {
			if old := n.all[event.Key]; old == nil || old.modified < event.Modified {
				delete(n.all, event.Key)
			}
		} else {
			n.put(event.Record)
		}
	}
}

func (n *notifications) put(record state.Record) {
	if old := n.all[record.Key]; old != nil && old.modified >= record.Modified {
		return
	}
	entry := &notice{modified: record.Modified}
	if err := json.Unmarshal(record.Value, entry); err != nil {
		n.log.Error("a stored notification cannot be read; it may be repeated", "key", record.Key, "error", err)
		entry = &notice{modified: record.Modified}
	}
	n.all[record.Key] = entry
}
