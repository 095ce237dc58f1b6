package instance

import (
	"slices"
	"strings"
	"sync"
)

// Named is where an instance is: its service and its id.
type Named struct {
	Service Service
	ID      string
}

// names find instances of one language by what its clients call them, without their service: by their name, which is the id without an
// "@address:port" behind it, and by the ids of their checks. Its lock is held alone or last. Other languages cost nothing.
type names struct {
	protocol string

	mu    sync.RWMutex
	found map[nameKey][]Named
}

// nameKey is the name of an instance, or the id of a check of one.
type nameKey struct {
	namespace, name string
	ofCheck         bool
}

// Name is what the language that registered the instance calls it: its id, without the "@address:port" that tells those
// apart that are called the same.
func (i *Instance) Name() string { return strings.TrimSuffix(i.ID, "@"+i.Target()) }

// named are the names of an instance; none when it is of another language.
func (n *names) named(service Service, i *Instance) []nameKey {
	if i == nil || n.protocol == "" || i.Protocol != n.protocol {
		return nil
	}
	keys := make([]nameKey, 1, 1+len(i.Checks))
	keys[0] = nameKey{service.Namespace, i.Name(), false}
	for _, check := range i.Checks {
		keys = append(keys, nameKey{service.Namespace, check.GetId(), true})
	}
	return keys
}

// change follows an instance from what it was to what it is; either may be nil. The service's memory is its own.
func (n *names) change(service Service, before, after *Instance) {
	if n.protocol == "" {
		return
	}
	was, is := n.named(service, before), n.named(service, after)
	if slices.Equal(was, is) {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, key := range was {
		n.remove(key, Named{service, before.ID})
	}
	for _, key := range is {
		named := Named{service, strings.Clone(after.ID)}
		if !slices.Contains(n.found[key], named) {
			key.name = strings.Clone(key.name)
			n.found[key] = append(n.found[key], named)
		}
	}
}

func (n *names) remove(key nameKey, named Named) {
	all := n.found[key]
	at := slices.Index(all, named)
	switch {
	case at < 0:
	case len(all) == 1:
		delete(n.found, key)
	default:
		// A new slice: readers hold the old one.
		n.found[key] = slices.Delete(slices.Clone(all), at, at+1)
	}
}

func (n *names) find(key nameKey) []Named {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return slices.Clip(n.found[key])
}

// Named finds the instances of a namespace that the language of [Options.NamedProtocol] calls by this name, in any order. Do not change the slice.
func (r *Registry) Named(namespace, name string) []Named {
	return r.names.find(nameKey{namespace: namespace, name: name})
}

// NamedByCheck is [Registry.Named] by the id of one of their checks.
func (r *Registry) NamedByCheck(namespace, check string) []Named {
	return r.names.find(nameKey{namespace: namespace, name: check, ofCheck: true})
}

// Instance returns an instance as readers see it, or nil.
func (r *Registry) Instance(service Service, id string) *Instance {
	i, _ := r.known(service.Normal(), id)
	return i
}
