package instance

import "sync"

// transfers keep a session that removes an instance and another one of this node that takes it over just then out of each other's way: a client that
// connects anew registers again while its old stream is still being cleaned up. Either the registration comes first, and the instance is not
// the old session's to remove any more, or the removal does, and then the registration must be written and not taken for a sign of life.
type transfers struct {
	mu sync.Mutex
	// taking counts the registrations under way of what another session holds, removing the removals under way by sessions.
	taking, removing map[heldInstance]int
}

func raise(counts *map[heldInstance]int, key heldInstance) {
	if *counts == nil {
		*counts = make(map[heldInstance]int)
	}
	(*counts)[key]++
}

func lower(counts map[heldInstance]int, key heldInstance) {
	if counts[key]--; counts[key] <= 0 {
		delete(counts, key)
	}
}

// takeOver begins a registration of what another session may hold. The caller calls taken with the key when it is over; taking is false when there
// is nothing to be careful of. removed: the other one is just removing it.
func (r *Registry) takeOver(p *prepared) (key heldInstance, taking, removed bool) {
	roster := r.table.find(p.service)
	if roster == nil {
		return heldInstance{}, false, false
	}
	roster.mu.RLock()
	i := roster.find(p.instance.ID)
	taking = i != nil && i.life.session != nil && i.life.session != p.session
	roster.mu.RUnlock()
	if !taking {
		return heldInstance{}, false, false
	}
	key = heldInstance{p.service, p.instance.ID}
	t := &r.transfers
	t.mu.Lock()
	defer t.mu.Unlock()
	raise(&t.taking, key)
	return key, true, t.removing[key] > 0
}

func (t *transfers) taken(keys []heldInstance) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, key := range keys {
		lower(t.taking, key)
	}
}

// beginRemoval answers false when somebody takes the instance over. Otherwise the caller calls endRemoval when it is over.
func (t *transfers) beginRemoval(key heldInstance) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.taking[key] > 0 {
		return false
	}
	raise(&t.removing, key)
	return true
}

func (t *transfers) endRemoval(key heldInstance) {
	t.mu.Lock()
	defer t.mu.Unlock()
	lower(t.removing, key)
}

func (t *transfers) isTaken(key heldInstance) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.taking[key] > 0
}
