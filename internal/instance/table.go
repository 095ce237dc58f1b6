package instance

import (
	"hash/maphash"
	"maps"
	"sync"
	"sync/atomic"
)

// tableShards keeps the copy that a new service costs small: 100,000 services are 400 a shard.
const tableShards = 256

// table finds rosters by name. Readers take no lock: a shard's map is copied when a service comes or goes.
type table struct {
	seed   maphash.Seed
	shards [tableShards]tableShard
	size   atomic.Int64
}

type tableShard struct {
	rosters atomic.Pointer[map[Service]*roster]
	mu      sync.Mutex // of writers
}

func newTable() *table {
	t := &table{seed: maphash.MakeSeed()}
	for i := range t.shards {
		t.shards[i].rosters.Store(&map[Service]*roster{})
	}
	return t
}

func (t *table) shard(service Service) *tableShard {
	return &t.shards[maphash.Comparable(t.seed, service)%tableShards]
}

// find returns the service's roster, or nil.
func (t *table) find(service Service) *roster {
	return (*t.shard(service).rosters.Load())[service]
}

// obtain returns the service's roster, made by create when there is none.
func (t *table) obtain(service Service, create func() *roster) *roster {
	shard := t.shard(service)
	if found := (*shard.rosters.Load())[service]; found != nil {
		return found
	}
	shard.mu.Lock()
	defer shard.mu.Unlock()
	rosters := *shard.rosters.Load()
	if found := rosters[service]; found != nil {
		return found
	}
	made := create()
	grown := make(map[Service]*roster, len(rosters)+1)
	maps.Copy(grown, rosters)
	grown[made.service] = made
	shard.rosters.Store(&grown)
	t.size.Add(1)
	return made
}

// remove forgets a roster.
func (t *table) remove(r *roster) {
	shard := t.shard(r.service)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	rosters := *shard.rosters.Load()
	if rosters[r.service] != r {
		return
	}
	shrunk := maps.Clone(rosters)
	delete(shrunk, r.service)
	shard.rosters.Store(&shrunk)
	t.size.Add(-1)
}

// all calls yield with every roster until it returns false.
func (t *table) all(yield func(*roster) bool) {
	for i := range t.shards {
		for _, r := range *t.shards[i].rosters.Load() {
			if !yield(r) {
				return
			}
		}
	}
}
