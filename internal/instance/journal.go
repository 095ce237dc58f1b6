package instance

import (
	"slices"
	"sync"
	"time"
)

const (
	// journalEntries bounds the journal: some megabytes at worst. A follower that falls behind it reads everything again.
	journalEntries = 8192
	// journalAge is how long changes are kept: what Eureka's clients ask back for (3 minutes), with room.
	journalAge = 4 * time.Minute
)

// Change is what happened to one instance, as this node saw it. At least one of Before and After is set.
type Change struct {
	// Sequence numbers the changes of this node, without gaps, from 1. It means nothing elsewhere or after a restart.
	Sequence uint64
	// At is the time by this node's clock.
	At      time.Time
	Service Service
	// Before is nil for what is new, After for what is gone.
	Before, After *Instance
}

// journal is the recent changes of all instances, for those that follow more than single services. Its lock is held alone or last.
type journal struct {
	mu sync.Mutex
	// entries are in order of Sequence; the first is number first.
	entries []Change
	first   uint64
	// since is the time from which on every change is in the journal.
	since time.Time
	// base and revisions are the newest changes in the state: of each namespace, and before this node knew any.
	base      int64
	revisions map[string]int64
	// moved is closed at the next round of notifications while somebody waits, else nil.
	moved chan struct{}
	dirty bool
}

func (j *journal) init() { j.first, j.revisions = 1, make(map[string]int64) }

// add notes a change. revision is 0 for what is not in the state.
func (j *journal) add(at time.Time, service Service, before, after *Instance, revision int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.dirty = true
	if revision > j.revisions[service.Namespace] {
		j.revisions[service.Namespace] = revision
	}
	j.forget(at)
	j.entries = append(j.entries, Change{Sequence: j.next(), At: at, Service: service, Before: before, After: after})
}

// touch notes a change in a namespace that is of no instance.
func (j *journal) touch(namespace string, revision int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.dirty = true
	j.revisions[namespace] = max(j.revisions[namespace], revision)
}

func (j *journal) next() uint64 { return j.first + uint64(len(j.entries)) }

// forget drops what is too old or too much, now and then. The caller holds mu.
func (j *journal) forget(now time.Time) {
	if len(j.entries) < journalEntries && (len(j.entries) == 0 || now.Sub(j.entries[0].At) < 2*journalAge) {
		return
	}
	n, _ := slices.BinarySearchFunc(j.entries, now.Add(-journalAge), func(c Change, t time.Time) int { return c.At.Compare(t) })
	n = min(max(n, len(j.entries)-journalEntries*3/4), len(j.entries))
	if n > 0 {
		j.since = j.entries[n-1].At
	}
	j.entries = slices.Delete(j.entries, 0, n)
	j.first += uint64(n)
}

// restart forgets everything: the state was loaded anew at a revision, and what changed in between is not known.
func (j *journal) restart(now time.Time, revision int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.since = now
	j.first = j.next() + 1 // a gap, so that followers notice
	j.entries = nil
	j.base = max(j.base, revision)
	j.dirty = true
}

// wake tells who waits that there are new entries.
func (j *journal) wake() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.dirty && j.moved != nil {
		close(j.moved)
		j.moved = nil
	}
	j.dirty = false
}

// ChangesSince returns what changed after a sequence number, oldest first, and the number to ask with the next time. complete is false when
// not everything since then is known any more: then the caller reads all that it follows again, beginning after next. Start with
// [Registry.ChangesFromNow].
func (r *Registry) ChangesSince(sequence uint64) (changes []Change, next uint64, complete bool) {
	j := &r.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	next = j.next() - 1
	if sequence > next || sequence+1 < j.first {
		return nil, next, false
	}
	return slices.Clone(j.entries[sequence+1-j.first:]), next, true
}

// ChangesFromNow is the sequence number of the newest change.
func (r *Registry) ChangesFromNow() uint64 {
	r.journal.mu.Lock()
	defer r.journal.mu.Unlock()
	return r.journal.next() - 1
}

// RecentChanges returns what changed within a window, of at most four minutes, oldest first. complete is false when more may have happened in it
// than the node still knows, as after a start.
func (r *Registry) RecentChanges(window time.Duration) (changes []Change, complete bool) {
	j := &r.journal
	since := r.clock.Now().Add(-min(window, journalAge))
	j.mu.Lock()
	defer j.mu.Unlock()
	at, _ := slices.BinarySearchFunc(j.entries, since, func(c Change, t time.Time) int { return c.At.Compare(t) })
	return slices.Clone(j.entries[at:]), !j.since.After(since)
}

// Changed is closed at the next change of any instance or service. Changes come in rounds of some milliseconds. Take the channel first, then look.
func (r *Registry) Changed() <-chan struct{} {
	j := &r.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.moved == nil {
		j.moved = make(chan struct{})
	}
	return j.moved
}

// Revision is that of the newest change of an instance or a service's settings in a namespace. It is above 0 and never goes back
// on one node; on another node it may be a little behind.
func (r *Registry) Revision(namespace string) int64 {
	r.journal.mu.Lock()
	defer r.journal.mu.Unlock()
	return max(1, r.journal.base, r.journal.revisions[namespace])
}
