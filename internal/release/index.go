package release

import (
	"cmp"
	"hash/maphash"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// document is the head of a document as this node mirrors it. It is immutable.
type document struct {
	ref      Ref
	head     *head
	revision int64
	selector *selector // of the rollout; nil without one
}

// born tells two documents apart that had the same name at different times.
func (d *document) born() int64 { return d.head.Created.UnixNano() }

// resolve answers which version a subject gets and by which rollout; 0 is none. It does not allocate.
func (d *document) resolve(subject *Subject) (version int64, rollout string) {
	if d == nil {
		return 0, ""
	}
	if d.selector != nil && d.selector.matches(subject) {
		return d.head.Rollout.Version, d.head.Rollout.ID
	}
	return d.head.Released, ""
}

// since is the revision that last changed what is in force for anybody; 0 when nothing ever was.
func (d *document) since() int64 {
	if d == nil || d.head.Since == neverInForce {
		return 0
	}
	return cmp.Or(d.head.Since, d.revision)
}

func newDocument(ref Ref, h *head, revision int64) (*document, error) {
	d := &document{ref: ref, head: h, revision: revision}
	if h.Rollout != nil {
		s, err := h.Rollout.Cohort.compile(h.Rollout.ID)
		if err != nil {
			return nil, err
		}
		d.selector = s
	}
	return d, nil
}

// shards parts the index so that a change copies a small map: with 100,000 documents some 200 entries.
const shards = 512

// index holds all documents of the cluster. Readers take no lock; only the mirror writes.
type index struct {
	seed   maphash.Seed
	shards [shards]atomic.Pointer[map[Ref]*document]

	mu     sync.Mutex
	counts map[string]*count
	groups map[group]*members
}

// group is a namespace and a kind, the unit of sorted lists.
type group struct{ namespace, kind string }

type members struct {
	refs   map[Ref]struct{}
	sorted []Ref // nil: to be made again
}

type count struct{ live, deleted int }

func newIndex() *index {
	x := &index{seed: maphash.MakeSeed(), counts: map[string]*count{}, groups: map[group]*members{}}
	for i := range x.shards {
		x.shards[i].Store(&map[Ref]*document{})
	}
	return x
}

func (x *index) shard(ref Ref) *atomic.Pointer[map[Ref]*document] {
	return &x.shards[maphash.Comparable(x.seed, ref)%shards]
}

// get returns a document, or nil.
func (x *index) get(ref Ref) *document { return (*x.shard(ref).Load())[ref] }

// set puts or, with nil, takes out a document.
func (x *index) set(ref Ref, d *document) {
	shard := x.shard(ref)
	old := *shard.Load()
	before := old[ref]
	next := maps.Clone(old)
	if d == nil {
		delete(next, ref)
	} else {
		next[ref] = d
	}
	shard.Store(&next)

	x.mu.Lock()
	defer x.mu.Unlock()
	c := x.counts[ref.Namespace]
	if c == nil {
		c = new(count)
		x.counts[ref.Namespace] = c
	}
	c.add(before, -1)
	c.add(d, 1)
	if *c == (count{}) {
		delete(x.counts, ref.Namespace)
	}
	if (before == nil) != (d == nil) {
		x.enlist(ref, d != nil)
	}
}

// enlist keeps the members of the lists; x.mu is held.
func (x *index) enlist(ref Ref, there bool) {
	g := group{ref.Namespace, ref.Kind}
	m := x.groups[g]
	if m == nil {
		m = &members{refs: map[Ref]struct{}{}}
		x.groups[g] = m
	}
	m.sorted = nil
	if there {
		m.refs[ref] = struct{}{}
		return
	}
	delete(m.refs, ref)
	if len(m.refs) == 0 {
		delete(x.groups, g)
	}
}

func (c *count) add(d *document, n int) {
	switch {
	case d == nil:
	case d.head.Deleted:
		c.deleted += n
	default:
		c.live += n
	}
}

// count answers how many documents a namespace holds.
func (x *index) count(namespace string) (live, deleted int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if c := x.counts[namespace]; c != nil {
		return c.live, c.deleted
	}
	return 0, 0
}

// total answers how many documents there are.
func (x *index) total() (live, deleted int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, c := range x.counts {
		live += c.live
		deleted += c.deleted
	}
	return live, deleted
}

// refs returns the names of a namespace and kind in order. The slice is shared and must not be changed.
func (x *index) refs(namespace, kind string) []Ref {
	x.mu.Lock()
	defer x.mu.Unlock()
	m := x.groups[group{namespace, kind}]
	if m == nil {
		return nil
	}
	if m.sorted == nil {
		m.sorted = slices.SortedFunc(maps.Keys(m.refs), Ref.compare)
	}
	return m.sorted
}

// matching returns the namespaces and kinds there are, in order; an empty argument matches every one.
func (x *index) matching(namespace, kind string) []group {
	x.mu.Lock()
	defer x.mu.Unlock()
	var groups []group
	for g := range x.groups {
		if (namespace == "" || g.namespace == namespace) && (kind == "" || g.kind == kind) {
			groups = append(groups, g)
		}
	}
	slices.SortFunc(groups, func(a, b group) int {
		return Ref{Namespace: a.namespace, Kind: a.kind}.compare(Ref{Namespace: b.namespace, Kind: b.kind})
	})
	return groups
}

// all returns every name.
func (x *index) all() []Ref {
	var all []Ref
	for _, g := range x.matching("", "") {
		all = append(all, x.refs(g.namespace, g.kind)...)
	}
	return all
}
