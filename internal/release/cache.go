package release

import (
	"container/list"
	"sync"
)

// cacheKey names what is cached. What is under a key never changes, so that nothing needs to be dropped when a
// document changes.
type cacheKey struct {
	ref     Ref
	born    int64
	version int64
	// frame tells encoded events from contents; they carry the head's revision and the rollout.
	frame    bool
	revision int64
	rollout  string
	withheld bool
}

// cache holds contents and encoded events, bounded in bytes. What was used longest ago goes first, but what is
// in force stays as long as there is something else.
type cache struct {
	limit int64
	// needed reports whether a content is in force.
	needed func(cacheKey) bool

	mu    sync.Mutex
	bytes int64
	order list.List // of *cached, newest use first
	items map[cacheKey]*list.Element

	hits, misses int64
}

type cached struct {
	key   cacheKey
	value any
	size  int64
}

// cachedOverhead is about what an entry costs beside its bytes.
const cachedOverhead = 512

// scanForVictim bounds the search for something that is not in force.
const scanForVictim = 64

func newCache(limit int64, needed func(cacheKey) bool) *cache {
	c := &cache{limit: limit, needed: needed, items: map[cacheKey]*list.Element{}}
	c.order.Init()
	return c
}

func (c *cache) get(key cacheKey) (any, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	element, ok := c.items[key]
	if !ok {
		c.misses++
		return nil, false
	}
	c.hits++
	c.order.MoveToFront(element)
	return element.Value.(*cached).value, true
}

// has is get without counting as use.
func (c *cache) has(key cacheKey) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.items[key]
	return ok
}

// room reports whether so many bytes fit without something else going.
func (c *cache) room(size int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes+size+cachedOverhead <= c.limit
}

func (c *cache) put(key cacheKey, value any, size int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.items[key]; ok {
		return
	}
	item := &cached{key: key, value: value, size: int64(size) + cachedOverhead}
	c.items[key] = c.order.PushFront(item)
	c.bytes += item.size
	for c.bytes > c.limit && c.order.Len() > 1 {
		c.drop(c.victim())
	}
}

// victim picks what goes: the longest unused that is not in force, within a bounded look, or else the longest unused.
// What was just put is never picked while there is something else.
func (c *cache) victim() *list.Element {
	element := c.order.Back()
	for range scanForVictim {
		if element == nil || element == c.order.Front() {
			break
		}
		key := element.Value.(*cached).key
		if key.frame || !c.needed(key) {
			return element
		}
		element = element.Prev()
	}
	return c.order.Back()
}

func (c *cache) drop(element *list.Element) {
	item := element.Value.(*cached)
	c.order.Remove(element)
	delete(c.items, item.key)
	c.bytes -= item.size
}

func (c *cache) size() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes
}

func (c *cache) counts() (hits, misses int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hits, c.misses
}
