package release

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// ErrClosed answers Next of a watcher that was closed.
var ErrClosed = errors.New("release: the watcher is closed")

// topics finds the watchers of a document.
type topics struct {
	mu       sync.RWMutex
	watchers map[Ref]map[*Watcher]struct{}
	open     map[*Watcher]struct{}
	closed   bool
}

// Lock order: Watcher.membership, topics.mu, Watcher.mu.

// changed wakes the watchers of a document.
func (t *topics) changed(ref Ref) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for w := range t.watchers[ref] {
		w.touch(ref)
	}
}

func (t *topics) join(ref Ref, w *Watcher) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, open := t.open[w]; !open {
		return
	}
	set := t.watchers[ref]
	if set == nil {
		set = map[*Watcher]struct{}{}
		t.watchers[ref] = set
	}
	set[w] = struct{}{}
}

func (t *topics) leave(ref Ref, w *Watcher) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drop(ref, w)
}

func (t *topics) drop(ref Ref, w *Watcher) {
	set := t.watchers[ref]
	delete(set, w)
	if len(set) == 0 {
		delete(t.watchers, ref)
	}
}

// enter admits a watcher.
func (t *topics) enter(w *Watcher) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.closed:
		return fault.New(fault.Unavailable, "state.closing", "the server is shutting down").Hinted("try again on another node")
	case len(t.open) >= MaxWatchers:
		return fault.New(fault.Exhausted, "document.too_many_watchers", "this node has %d watchers", len(t.open)).
			Hinted("at most %d; open the watch on another node", MaxWatchers)
	}
	if t.open == nil {
		t.open = map[*Watcher]struct{}{}
	}
	t.open[w] = struct{}{}
	return nil
}

func (t *topics) exit(w *Watcher, refs []Ref) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, w)
	for _, ref := range refs {
		t.drop(ref, w)
	}
}

func (t *topics) closeAll() {
	t.mu.Lock()
	t.closed = true
	open := make([]*Watcher, 0, len(t.open))
	for w := range t.open {
		open = append(open, w)
	}
	t.mu.Unlock()
	for _, w := range open {
		w.Close()
	}
}

func (t *topics) count() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.open)
}

// Watcher receives which versions of chosen documents are in force for one subject. It holds, for each document, the
// version it has told last and whether there may be news: never a queue of events, so that a slow one costs
// nothing and sees the newest. Its methods may be called concurrently, Next by one goroutine at a time.
type Watcher struct {
	releaser *Releaser
	identity *access.Identity
	subject  Subject
	// everyone: told is since when what is in force is so, for whomever, in place of a version for the subject.
	everyone bool

	// membership lets Add, Remove and Close pass one at a time, so that topics and told agree.
	membership sync.Mutex

	mu     sync.Mutex
	told   map[Ref]*watched
	dirty  []Ref
	failed []Ref // could not be read; tried again after a while
	closed bool

	woken chan struct{} // of one
	done  chan struct{}
}

type watched struct {
	version int64 // told last; unsaid before the first
	dirty   bool
}

// unsaid is no version: nothing was told yet, not even that there is nothing.
const unsaid = -1

// Bounds of one answer of Next: enough to be worth a write, small against a slow reader's memory.
const (
	nextFrames = 64
	nextBytes  = 4 << 20
)

// retryAfter is how long a watcher waits before it reads again what could not be read.
const retryAfter = 2 * time.Second

// Watch opens a watcher for a subject; the rights are those of the identity in ctx, at each moment: documents of
// namespaces that it may neither view nor serve in are not told, and contents of sensitive ones only to whom may see
// them. Close it. Errors: Exhausted beyond [MaxWatchers]; Unavailable after Close of the releaser.
func (r *Releaser) Watch(ctx context.Context, subject Subject) (*Watcher, error) {
	return r.watch(ctx, &Watcher{subject: subject})
}

// WatchEveryone is like Watch for who wants to know of every change of what is in force, whomever it is for: of clients that are
// told that there is news, and ask for it as a subject that is not known before. The events carry the reference and, as revision,
// [Releaser.InForceSince], and no version.
func (r *Releaser) WatchEveryone(ctx context.Context) (*Watcher, error) {
	return r.watch(ctx, &Watcher{everyone: true})
}

func (r *Releaser) watch(ctx context.Context, w *Watcher) (*Watcher, error) {
	w.releaser, w.identity, w.told = r, access.FromContext(ctx), map[Ref]*watched{}
	w.woken, w.done = make(chan struct{}, 1), make(chan struct{})
	if err := r.topics.enter(w); err != nil {
		return nil, err
	}
	return w, nil
}

// Add begins to watch documents; each is told once at first, also that there is none. Adding what is watched
// tells it again. Documents that do not exist yet can be watched.
//
// Errors, after which nothing was added: Invalid for a reference that can name nothing; TooLarge beyond [MaxWatched];
// Forbidden or Unauthenticated.
func (w *Watcher) Add(refs ...Ref) error {
	ctx := access.NewContext(context.Background(), w.identity)
	refs = slices.Clone(refs)
	for i := range refs {
		refs[i] = refs[i].normal()
		if err := refs[i].check(); err != nil {
			return err
		}
		if err := access.Require(ctx, access.View|access.Serve, refs[i].Namespace); err != nil {
			return err
		}
	}
	w.membership.Lock()
	defer w.membership.Unlock()
	fresh, err := w.admit(refs)
	if err != nil {
		return err
	}
	// Joined before it is marked, so that no change falls in between.
	for _, ref := range fresh {
		w.releaser.topics.join(ref, w)
	}
	for _, ref := range refs {
		w.touch(ref)
	}
	return nil
}

func (w *Watcher) admit(refs []Ref) (fresh []Ref, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, ErrClosed
	}
	seen := make(map[Ref]struct{}, len(refs))
	for _, ref := range refs {
		if _, twice := seen[ref]; !twice && w.told[ref] == nil {
			fresh = append(fresh, ref)
		}
		seen[ref] = struct{}{}
	}
	if n := len(w.told) + len(fresh); n > MaxWatched {
		return nil, fault.New(fault.TooLarge, "document.too_many_watched", "the watcher would hold %d documents", n).
			At("refs").Hinted("at most %d; open another session, or join small documents into larger ones", MaxWatched)
	}
	for ref := range seen {
		if have := w.told[ref]; have != nil {
			have.version = unsaid
			continue
		}
		w.told[ref] = &watched{version: unsaid}
	}
	return fresh, nil
}

// Remove ends the watching of documents. A frame that Next has begun to return may still name one.
func (w *Watcher) Remove(refs ...Ref) {
	w.membership.Lock()
	defer w.membership.Unlock()
	for _, ref := range refs {
		ref = ref.normal()
		w.mu.Lock()
		_, watching := w.told[ref]
		delete(w.told, ref)
		w.mu.Unlock()
		if watching {
			w.releaser.topics.leave(ref, w)
		}
	}
}

// Close ends the watcher; Next returns ErrClosed. It may be called again.
func (w *Watcher) Close() {
	w.membership.Lock()
	defer w.membership.Unlock()
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return
	}
	w.closed = true
	refs := make([]Ref, 0, len(w.told))
	for ref := range w.told {
		refs = append(refs, ref)
	}
	w.mu.Unlock()
	close(w.done)
	w.releaser.topics.exit(w, refs)
}

// touch marks a document as possibly new.
func (w *Watcher) touch(ref Ref) {
	w.mu.Lock()
	have := w.told[ref]
	if have == nil || have.dirty || w.closed {
		w.mu.Unlock()
		return
	}
	have.dirty = true
	w.dirty = append(w.dirty, ref)
	w.mu.Unlock()
	w.wake()
}

func (w *Watcher) wake() {
	select {
	case w.woken <- struct{}{}:
	default:
	}
}

// Next waits for news and returns them: at most one frame a document, the newest. A change that does not change what
// this subject gets is no news. What cannot be read at the moment is tried again until it can.
// Errors: ErrClosed, or ctx's.
func (w *Watcher) Next(ctx context.Context) ([]*Frame, error) {
	for {
		frames, err := w.gather(ctx)
		if err != nil || len(frames) > 0 {
			return frames, err
		}
		if err := w.wait(ctx); err != nil {
			return nil, err
		}
	}
}

// wait returns when there may be news.
func (w *Watcher) wait(ctx context.Context) error {
	var retry <-chan time.Time
	if w.hasFailed() {
		timer := time.NewTimer(retryAfter)
		defer timer.Stop()
		retry = timer.C
	}
	select {
	case <-w.woken:
	case <-retry:
		w.retryFailed()
	case <-w.done:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

func (w *Watcher) hasFailed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.failed) > 0
}

func (w *Watcher) retryFailed() {
	w.mu.Lock()
	failed := w.failed
	w.failed = nil
	w.mu.Unlock()
	for _, ref := range failed {
		w.touch(ref)
	}
}

// gather turns what is marked into frames, up to the bounds of one answer.
func (w *Watcher) gather(ctx context.Context) ([]*Frame, error) {
	var frames []*Frame
	size := 0
	for {
		ref, told, ok := w.pop()
		if !ok {
			return frames, nil
		}
		frame, state, err := w.look(ctx, ref, told)
		switch {
		case ctx.Err() != nil:
			// Not told: the next call looks again. What was gathered before is told.
			w.touch(ref)
			if len(frames) > 0 {
				return frames, nil
			}
			return nil, ctx.Err()
		case err != nil:
			w.fail(ref, err)
			continue
		}
		if frame == nil || !w.tell(ref, state) {
			continue
		}
		frames = append(frames, frame)
		size += len(frame.Encoded)
		if len(frames) >= nextFrames || size >= nextBytes {
			w.wake()
			return frames, nil
		}
	}
}

// pop takes the next marked document. The mark goes before the document is looked at, so that a change during the look
// marks it again.
func (w *Watcher) pop() (ref Ref, told int64, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.dirty) > 0 {
		ref = w.dirty[0]
		w.dirty = w.dirty[1:]
		if have := w.told[ref]; have != nil && have.dirty {
			have.dirty = false
			return ref, have.version, true
		}
	}
	w.dirty = nil
	return Ref{}, 0, false
}

// look returns the frame for a document with what it tells, a version or a revision; or nil when it is no news.
func (w *Watcher) look(ctx context.Context, ref Ref, told int64) (*Frame, int64, error) {
	if !w.identity.May(access.View|access.Serve, ref.Namespace) {
		return nil, 0, nil
	}
	d := w.releaser.index.get(ref)
	if w.everyone {
		since := d.since()
		if since == told {
			return nil, 0, nil
		}
		frame, err := newFrame(ref, 0, &gantryv1.DocumentEvent{Ref: ref.Proto(), Revision: since})
		return frame, since, err
	}
	if version, _ := d.resolve(&w.subject); version == told {
		return nil, 0, nil
	}
	frame, err := w.releaser.frame(ctx, ref, &w.subject, w.identity.May(access.ReadSensitive|access.Serve, ref.Namespace))
	if err != nil {
		return nil, 0, err
	}
	return frame, frame.Version, nil
}

// tell notes what is told; it answers false when the document is not watched any more or that was told.
func (w *Watcher) tell(ref Ref, version int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	have := w.told[ref]
	if have == nil || have.version == version {
		return false
	}
	have.version = version
	w.releaser.metrics.told.Inc()
	return true
}

func (w *Watcher) fail(ref Ref, err error) {
	// The preloader warns once; a thousand watchers would warn a thousand times.
	w.releaser.log.Debug("a watcher waits for a document that cannot be read", "document", ref.String(), "error", err)
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Contains(w.failed, ref) {
		w.failed = append(w.failed, ref)
	}
}
