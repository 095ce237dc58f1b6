package eureka

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/gantry-platform/gantry/internal/instance"
)

const (
	// deltaWindow is how long a change stays in the delta: Eureka's own, six times what clients wait between two looks.
	deltaWindow = 3 * time.Minute
	// deltaAge is how long a delta is handed out while nothing changes. What it still holds then is known to everybody, which does no harm.
	deltaAge = 30 * time.Second
)

// deltaCache is the delta of an edition.
type deltaCache struct {
	mu            sync.Mutex
	made          time.Time
	plain, packed []byte
	whole         bool // what changed is not known
}

// delta is the document of what changed lately. It leads whoever holds the applications of any moment within the window to this edition, and
// its hash is this edition's.
func (e *edition) delta(c *catalogue, f format, gzip bool, p *packer) []byte {
	cache := &e.deltas[f]
	cache.mu.Lock()
	defer cache.mu.Unlock()
	if cache.made.IsZero() || time.Since(cache.made) > deltaAge {
		e.timed(func() {
			cache.plain, cache.packed = nil, nil
			changes, complete := c.registry.RecentChanges(deltaWindow)
			cache.whole, cache.made = !complete, time.Now()
			if complete {
				cache.plain = e.encodeDelta(f, e.net(c.namespace, changes))
			}
		})
	}
	switch {
	case cache.whole:
		return e.whole(f, gzip, p)
	case !gzip:
		return cache.plain
	case cache.packed == nil:
		e.timed(func() { cache.packed = p.gzipped(cache.plain) })
	}
	return cache.packed
}

// changed is the net effect of the window on one instance.
type changed struct {
	member
	action string
}

// net works out what became of the instances that changed. Changes after the edition may be among them; then the
// edition has the instance as it was, which is right too.
func (e *edition) net(namespace string, changes []instance.Change) map[string][]changed {
	type key struct{ application, id string }
	first := make(map[key]bool) // whether the instance was there before the window
	last := make(map[key]member)
	for i := range changes {
		change := &changes[i]
		if change.Service.Namespace != namespace {
			continue
		}
		was := cmp.Or(change.Before, change.After)
		now := cmp.Or(change.After, change.Before)
		k := key{application: applicationOf(change.Service), id: now.ID}
		if _, seen := last[k]; !seen {
			first[k] = was == change.Before
		}
		last[k] = member{service: change.Service, instance: now}
	}
	byName := make(map[string][]changed)
	for k, gone := range last {
		effect := changed{member: gone, action: actionDeleted}
		if a := e.application(k.application); a != nil {
			if there := a.member(k.id); there != nil {
				effect = changed{member: *there, action: actionAdded}
				if first[k] {
					effect.action = actionModified
				}
			}
		}
		byName[k.application] = append(byName[k.application], effect)
	}
	for _, effects := range byName {
		// What is gone stands last: Netflix's client takes the whole list over with the first new instance of an
		// application that it does not know, and then goes on with what follows.
		slices.SortFunc(effects, func(a, b changed) int {
			return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.instance.ID, b.instance.ID))
		})
	}
	return byName
}

func (c *changed) rank() int {
	if c.action == actionDeleted {
		return 1
	}
	return 0
}

func (e *edition) encodeDelta(f format, byName map[string][]changed) []byte {
	before, _, after := f.wrap(e.counts.hash())
	b := before
	for n, name := range slices.Sorted(maps.Keys(byName)) {
		b = f.beginApplication(f.between(b, n == 0), name)
		for m, effect := range byName[name] {
			b = f.appendMember(f.between(b, m == 0), effect.member, effect.action)
		}
		b = f.endApplication(b)
	}
	return append(b, after...)
}
