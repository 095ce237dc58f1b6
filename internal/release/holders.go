package release

import "sync"

// holder is a session of a namespace.
type holder struct{ namespace, session string }

// holders finds the keys that a session holds.
type holders struct {
	mu   sync.Mutex
	held map[holder]map[string]struct{}
}

func (d *document) heldBy() string {
	if d == nil || d.head.Key == nil {
		return ""
	}
	return d.head.Key.Session
}

// changed follows a change of a key.
func (h *holders) changed(ref Ref, before, after *document) {
	was, is := before.heldBy(), after.heldBy()
	if was == is {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if was != "" {
		old := holder{ref.Namespace, was}
		delete(h.held[old], ref.Name)
		if len(h.held[old]) == 0 {
			delete(h.held, old)
		}
	}
	if is != "" {
		now := holder{ref.Namespace, is}
		if h.held[now] == nil {
			h.held[now] = map[string]struct{}{}
		}
		h.held[now][ref.Name] = struct{}{}
	}
}

func (h *holders) names(of holder) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	names := make([]string, 0, len(h.held[of]))
	for name := range h.held[of] {
		names = append(names, name)
	}
	return names
}
