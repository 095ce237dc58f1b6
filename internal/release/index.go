package release

import (
	"cmp"
	"hash/maphash"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gantry-platform/gantry/internal/policy"
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

// index holds all documents of the cluster. Readers of one document take no lock; only the mirror writes.
type index struct {
	seed   maphash.Seed
	shards [shards]atomic.Pointer[map[Ref]*document]

	mu     sync.RWMutex
	counts map[counted]*count
	groups map[group][]*document // in order of name
}

// group is a namespace and a kind, the unit of sorted lists.
type group struct{ namespace, kind string }

// counted is what a limit of documents is about: a namespace, its keys apart from the rest.
type counted struct {
	namespace string
	keys      bool
}

type count struct{ live, deleted int }

// update puts a document or, without one, takes what has the name out.
type update struct {
	ref Ref
	d   *document
}

func newIndex() *index {
	x := &index{seed: maphash.MakeSeed(), counts: map[counted]*count{}, groups: map[group][]*document{}}
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
func (x *index) set(ref Ref, d *document) { x.setAll([]update{{ref, d}}) }

// setAll makes several updates, which readers of lists see all at once. Each part that they touch is copied once.
func (x *index) setAll(updates []update) {
	x.mu.Lock()
	defer x.mu.Unlock()
	fresh := map[*atomic.Pointer[map[Ref]*document]]map[Ref]*document{}
	for _, u := range updates {
		shard := x.shard(u.ref)
		next := fresh[shard]
		if next == nil {
			next = maps.Clone(*shard.Load())
			fresh[shard] = next
		}
		x.tally(u.ref, next[u.ref], u.d)
		x.enlist(u.ref, u.d)
		if u.d == nil {
			delete(next, u.ref)
		} else {
			next[u.ref] = u.d
		}
	}
	for shard, next := range fresh {
		shard.Store(&next)
	}
}

// tally counts a change; x.mu is held.
func (x *index) tally(ref Ref, before, after *document) {
	of := counted{ref.Namespace, ref.Kind == policy.KeyValue}
	c := x.counts[of]
	if c == nil {
		c = new(count)
		x.counts[of] = c
	}
	c.add(before, -1)
	c.add(after, 1)
	if *c == (count{}) {
		delete(x.counts, of)
	}
}

// enlist keeps the sorted lists; x.mu is held. A new name moves the pointers behind it: some 20 us among 100,000.
func (x *index) enlist(ref Ref, d *document) {
	g := group{ref.Namespace, ref.Kind}
	docs := x.groups[g]
	at, found := find(docs, ref.Name)
	switch {
	case found && d != nil:
		docs[at] = d
		return
	case found:
		docs = slices.Delete(docs, at, at+1)
	case d != nil:
		docs = slices.Insert(docs, at, d)
	}
	if len(docs) == 0 {
		delete(x.groups, g)
		return
	}
	x.groups[g] = docs
}

func find(docs []*document, name string) (int, bool) {
	return slices.BinarySearchFunc(docs, name, func(d *document, name string) int { return strings.Compare(d.ref.Name, name) })
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
	x.mu.RLock()
	defer x.mu.RUnlock()
	for _, keys := range [...]bool{false, true} {
		if c := x.counts[counted{namespace, keys}]; c != nil {
			live += c.live
			deleted += c.deleted
		}
	}
	return live, deleted
}

// countLike answers how many documents count against the same limit as one of a kind.
func (x *index) countLike(ref Ref) int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if c := x.counts[counted{ref.Namespace, ref.Kind == policy.KeyValue}]; c != nil {
		return c.live + c.deleted
	}
	return 0
}

// total answers how many documents there are.
func (x *index) total() (live, deleted int) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for _, c := range x.counts {
		live += c.live
		deleted += c.deleted
	}
	return live, deleted
}

// under returns the documents of a group whose names begin with a prefix, in order, as of one revision.
func (x *index) under(g group, prefix string) []*document {
	x.mu.RLock()
	defer x.mu.RUnlock()
	docs := x.groups[g]
	from, _ := find(docs, prefix)
	docs = docs[from:]
	n, _ := slices.BinarySearchFunc(docs, prefix, func(d *document, prefix string) int {
		if strings.HasPrefix(d.ref.Name, prefix) {
			return -1
		}
		return 1
	})
	return slices.Clone(docs[:n])
}

// walkStep is how many documents a walk takes at a time.
const walkStep = 256

// walk goes through the documents of a group behind a name, in order. What changes meanwhile may be seen or not.
func (x *index) walk(g group, after string) iter.Seq[*document] {
	return func(yield func(*document) bool) {
		var step [walkStep]*document
		for {
			n := x.next(g, after, step[:])
			for _, d := range step[:n] {
				if !yield(d) {
					return
				}
			}
			if n < len(step) {
				return
			}
			after = step[n-1].ref.Name
		}
	}
}

func (x *index) next(g group, after string, into []*document) int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	docs := x.groups[g]
	from, found := find(docs, after)
	if found {
		from++
	}
	return copy(into, docs[from:])
}

// matching returns the namespaces and kinds there are, in order; an empty argument matches every one.
func (x *index) matching(namespace, kind string) []group {
	x.mu.RLock()
	defer x.mu.RUnlock()
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

// all goes through every document.
func (x *index) all() iter.Seq[*document] {
	return func(yield func(*document) bool) {
		for _, g := range x.matching("", "") {
			for d := range x.walk(g, "") {
				if !yield(d) {
					return
				}
			}
		}
	}
}
