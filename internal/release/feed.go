package release

import (
	"strings"
	"sync"
)

// Scope is the keys that somebody waits for: one, or all whose names begin with a prefix.
type Scope struct {
	Namespace string
	// Name is the key, or the prefix when Below is set.
	Name  string
	Below bool
}

func (s Scope) has(ref Ref) bool {
	if ref.Namespace != s.Namespace {
		return false
	}
	return ref.Name == s.Name || s.Below && strings.HasPrefix(ref.Name, s.Name)
}

// maxRemovals bounds the removals that a node remembers, which are looked through for each list: some microseconds.
const maxRemovals = 4096

// feed wakes who waits for keys, and remembers when keys were removed that left nothing behind, so that the revision of a scope never
// goes back. A change costs a look-up for its name and one for each length of prefix that somebody waits for, however many wait.
type feed struct {
	mu     sync.Mutex
	topics map[Scope]*topic
	// lengths counts the topics below prefixes, by the length of the prefix.
	lengths map[int]int

	removals []removal // oldest first
	// floor is the newest revision whose removals may not be remembered.
	floor int64
}

// topic is shared by all who wait for one scope.
type topic struct {
	changed chan struct{}
	waiting int
}

type removal struct {
	ref      Ref
	revision int64
}

func newFeed() *feed { return &feed{topics: map[Scope]*topic{}, lengths: map[int]int{}} }

// await joins the topic of a scope.
func (f *feed) await(scope Scope) (changed <-chan struct{}, stop func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.topics[scope]
	if t == nil {
		t = &topic{changed: make(chan struct{})}
		f.topics[scope] = t
		if scope.Below {
			f.lengths[len(scope.Name)]++
		}
	}
	t.waiting++
	return t.changed, sync.OnceFunc(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if t.waiting--; t.waiting == 0 && f.topics[scope] == t {
			f.drop(scope)
		}
	})
}

// drop takes a topic out; f.mu is held.
func (f *feed) drop(scope Scope) {
	delete(f.topics, scope)
	if !scope.Below {
		return
	}
	n := len(scope.Name)
	if f.lengths[n]--; f.lengths[n] == 0 {
		delete(f.lengths, n)
	}
}

// wake ends the waiting for a scope; f.mu is held.
func (f *feed) wake(scope Scope) {
	if t := f.topics[scope]; t != nil {
		f.drop(scope)
		close(t.changed)
	}
}

// changed is called when the mirror has taken a change of a key.
func (f *feed) changed(ref Ref, before, after *document, revision int64) {
	if after == nil && before == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if after == nil {
		if before.head.Deleted {
			// Retention at work: to readers it was gone since then.
			f.remember(removal{ref, before.revision})
			return
		}
		f.remember(removal{ref, revision})
	}
	f.wake(Scope{Namespace: ref.Namespace, Name: ref.Name})
	for n := range f.lengths {
		if n <= len(ref.Name) {
			f.wake(Scope{Namespace: ref.Namespace, Name: ref.Name[:n], Below: true})
		}
	}
}

// remember keeps a removal; f.mu is held.
func (f *feed) remember(r removal) {
	if len(f.removals) == maxRemovals {
		f.floor = max(f.floor, f.removals[0].revision)
		f.removals = append(f.removals[:0], f.removals[1:]...)
	}
	f.removals = append(f.removals, r)
}

// forget says that everything was loaded anew at a revision: what was removed before is not known.
func (f *feed) forget(revision int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.floor, f.removals = revision, f.removals[:0]
}

// removed is the newest revision at which something of a scope may have been removed.
func (f *feed) removed(scope Scope) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	newest := f.floor
	for _, r := range f.removals {
		if r.revision > newest && scope.has(r.ref) {
			newest = r.revision
		}
	}
	return newest
}

func (f *feed) waiting() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, t := range f.topics {
		n += t.waiting
	}
	return n
}

// Changed returns a channel that is closed at the next change of a key in the scope, as this node sees it, and a function that ends the
// waiting, to be called in any case. Take the channel first, then read, then wait.
func (r *Releaser) Changed(scope Scope) (changed <-chan struct{}, stop func()) {
	if scope.Namespace == "" {
		scope.Namespace = DefaultNamespace
	}
	return r.feed.await(scope)
}
