package red

import (
	"strings"
	"sync/atomic"
)

// name is a text that is kept once a namespace, so that edges compare by pointer and observing allocates nothing.
type name struct {
	namespace *namespace
	text      string
	used      atomic.Int64 // milliseconds
}

const (
	user    = "user"
	unknown = "unknown"
)

// intern answers the kept name of a text. Beyond the limit it is "(other)".
func (n *namespace) intern(text []byte, now int64) *name {
	n.mu.RLock()
	known := n.names[string(text)]
	n.mu.RUnlock()
	if known != nil {
		if known.used.Load() < now {
			known.used.Store(now)
		}
		return known
	}
	return n.addName(clean(strings.Clone(string(text)), maxNameBytes), now)
}

func (n *namespace) addName(text string, now int64) *name {
	n.mu.Lock()
	defer n.mu.Unlock()
	if known := n.names[text]; known != nil {
		known.used.Store(now)
		return known
	}
	// Services have a limit of their own; the names of what they call share this one.
	if len(n.names) >= n.room.limits.Names {
		n.exceeded("", "names", n.room.limits.Names, text, now)
		text = other
		if known := n.names[text]; known != nil {
			return known
		}
	}
	fresh := &name{namespace: n, text: text}
	fresh.used.Store(now)
	n.names[text] = fresh
	return fresh
}
