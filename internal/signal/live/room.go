package live

import (
	"context"
	"sync"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/signal/event"
)

// Kind is what can move.
type Kind int

// The kinds.
const (
	Services Kind = iota
	Documents
	Alerts
	kinds
)

const (
	// HintPause is the least time between two hints to a watcher, and ChangePause between two deliveries of changes.
	HintPause   = 500 * time.Millisecond
	ChangePause = 100 * time.Millisecond
	// maxChanges bounds the changes that are kept for the watchers of a namespace.
	maxChanges = 256
	// maxWatchers bounds the watchers of a node: people, and what they wrote.
	maxWatchers = 2000
)

// Room is the meeting point. The zero value is ready. Its methods may be called concurrently, and never wait.
type Room struct {
	mu       sync.Mutex
	topics   map[string]*topic
	watchers int
}

// topic is a namespace that is watched.
type topic struct {
	watchers int
	moved    [kinds]uint64
	// changes are the newest ones; the first is number first.
	changes []event.Stored
	first   uint64
	// wake is closed when something moves while somebody waits, else nil.
	wake chan struct{}
}

func (t *topic) next() uint64 { return t.first + uint64(len(t.changes)) }

func (t *topic) signal() {
	if t.wake != nil {
		close(t.wake)
		t.wake = nil
	}
}

// Moved notes that something of a kind moved in a namespace.
func (r *Room) Moved(namespace string, kind Kind) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.topics[namespace]; t != nil {
		t.moved[kind]++
		t.signal()
	}
}

// Changed notes changes of a namespace, oldest first. They are the room's afterwards.
func (r *Room) Changed(namespace string, changes []event.Stored) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.topics[namespace]
	if t == nil || len(changes) == 0 {
		return
	}
	t.changes = append(t.changes, changes...)
	if beyond := len(t.changes) - maxChanges; beyond > 0 {
		t.first += uint64(beyond)
		t.changes = append(t.changes[:0], t.changes[beyond:]...)
	}
	t.signal()
}

// Watched are the namespaces that somebody watches.
func (r *Room) Watched() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]string, 0, len(r.topics))
	for namespace := range r.topics {
		all = append(all, namespace)
	}
	return all
}

// Numbers say what moved: each grows when something did. They start anew for a namespace that nobody has watched.
type Numbers struct {
	Services, Documents, Alerts uint64
	// Missed counts the changes that this watcher was not told.
	Missed uint64
}

// News are what a watcher is told. One of its parts may be missing.
type News struct {
	Changes []event.Stored
	// Hint is nil when no number grew.
	Hint *Numbers
}

// Watcher follows one namespace. Next is for one goroutine at a time.
type Watcher struct {
	room      *Room
	namespace string
	topic     *topic
	place     uint64
	told      Numbers
	missed    uint64
	// changesFrom and hintFrom are when the next ones may be told.
	changesFrom, hintFrom time.Time
	close                 func()
}

// Watch begins to follow a namespace from now on. Close the watcher. Errors: Exhausted.
func (r *Room) Watch(namespace string) (*Watcher, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.watchers >= maxWatchers {
		return nil, fault.New(fault.Exhausted, "live.too_many_watchers", "this node has %d watchers", r.watchers).Hinted("close some, or watch another node")
	}
	t := r.topics[namespace]
	if t == nil {
		if r.topics == nil {
			r.topics = map[string]*topic{}
		}
		t = &topic{}
		r.topics[namespace] = t
	}
	t.watchers++
	r.watchers++
	w := &Watcher{room: r, namespace: namespace, topic: t, place: t.next()}
	w.told = w.numbers()
	w.close = sync.OnceFunc(w.leave)
	return w, nil
}

// Close ends it. It may be called again.
func (w *Watcher) Close() { w.close() }

func (w *Watcher) leave() {
	w.room.mu.Lock()
	defer w.room.mu.Unlock()
	w.room.watchers--
	if w.topic.watchers--; w.topic.watchers == 0 {
		delete(w.room.topics, w.namespace)
	}
}

// numbers are those of now. The caller holds the room's lock.
func (w *Watcher) numbers() Numbers {
	m := &w.topic.moved
	return Numbers{Services: m[Services], Documents: m[Documents], Alerts: m[Alerts], Missed: w.missed}
}

// Told are the numbers that were told last, at first those of the beginning.
func (w *Watcher) Told() Numbers { return w.told }

// Next waits for news. Its errors are ctx's.
func (w *Watcher) Next(ctx context.Context) (News, error) {
	for {
		news, wake, until := w.look(time.Now())
		if news.Hint != nil || len(news.Changes) > 0 {
			return news, nil
		}
		var due <-chan time.Time
		var timer *time.Timer
		if wake == nil {
			timer = time.NewTimer(time.Until(until))
			due = timer.C
		}
		select {
		case <-wake:
		case <-due:
		case <-ctx.Done():
		}
		if timer != nil {
			timer.Stop()
		}
		if err := ctx.Err(); err != nil {
			return News{}, err
		}
	}
}

// look takes what may be told now. When there is nothing at all it answers a channel that is closed when there is; when something waits for its pause, the end of that.
func (w *Watcher) look(now time.Time) (news News, wake <-chan struct{}, until time.Time) {
	w.room.mu.Lock()
	defer w.room.mu.Unlock()
	t := w.topic
	if w.place < t.first {
		w.missed += t.first - w.place
		w.place = t.first
	}
	behind, numbers := w.place < t.next(), w.numbers()
	moved := numbers != w.told
	if behind && !now.Before(w.changesFrom) {
		news.Changes = append(news.Changes, t.changes[w.place-t.first:]...)
		w.place, w.changesFrom = t.next(), now.Add(ChangePause)
	}
	if moved && !now.Before(w.hintFrom) {
		news.Hint = &numbers
		w.told, w.hintFrom = numbers, now.Add(HintPause)
	}
	switch {
	case news.Hint != nil || len(news.Changes) > 0:
	case behind:
		until = w.changesFrom
		if moved && w.hintFrom.Before(until) {
			until = w.hintFrom
		}
	case moved:
		until = w.hintFrom
		// A change must not wait for the pause of hints.
		if limit := now.Add(ChangePause); limit.Before(until) {
			until = limit
		}
	default:
		if t.wake == nil {
			t.wake = make(chan struct{})
		}
		wake = t.wake
	}
	return news, wake, until
}
