package keyvalue

import (
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"github.com/gantry-platform/gantry/internal/state"
)

// name of a session.
type name struct{ namespace, id string }

// life is a session as this node knows it.
type life struct {
	session  *Session
	hash     uint64
	modified int64
	// seen is when this node saw it written last. mine is when it became this node's to end; zero while it is another's.
	seen, mine time.Time
}

// sessions mirror the records of sessions. One mutex guards all: what is done under it is short.
type sessions struct {
	now     func() time.Time
	log     *slog.Logger
	endings noted

	mu    sync.Mutex
	lives map[name]*life
	spans map[string]*span
	// floor is the revision at which all was loaded: of what was before nothing is known.
	floor int64
	// steady is since when there is a quorum; zero without.
	steady time.Time
}

// span is a namespace's sessions as those see it who wait for them.
type span struct {
	count    int
	revision int64
	changed  chan struct{} // nil while nobody waits
}

func newSessions(now func() time.Time, log *slog.Logger) *sessions {
	s := &sessions{now: now, log: log, lives: map[name]*life{}, spans: map[string]*span{}}
	s.endings = noted{now: now, log: log, notes: map[name]*note{}}
	return s
}

// Reset implements state.Mirrored.
func (s *sessions) Reset(records []state.Record, revision int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.floor = revision
	there := make(map[name]struct{}, len(records))
	for _, record := range records {
		if n, ok := s.put(record); ok {
			there[n] = struct{}{}
		}
	}
	for n := range s.lives {
		if _, ok := there[n]; !ok {
			s.drop(n, revision)
		}
	}
}

// Apply implements state.Mirrored.
func (s *sessions) Apply(events []state.Event, _ int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, event := range events {
		if !event.Deleted {
			s.put(event.Record)
			continue
		}
		if n, ok := s.nameOf(event.Key); ok {
			s.drop(n, event.Modified)
		}
	}
}

func (s *sessions) nameOf(key string) (name, bool) { return nameOf(key, s.log) }

func nameOf(key string, log *slog.Logger) (name, bool) {
	parts, err := state.Split(key)
	if err != nil || len(parts) != 3 {
		log.Error("a key of the state is no session's", "key", key, "error", err)
		return name{}, false
	}
	return name{parts[1], parts[2]}, true
}

// put takes a record in; s.mu is held. Whether it is new or renewed, its time begins anew.
func (s *sessions) put(record state.Record) (name, bool) {
	n, ok := s.nameOf(record.Key)
	if !ok {
		return n, false
	}
	l := s.lives[n]
	if l != nil && l.modified == record.Modified {
		return n, true // loaded again
	}
	session, err := decodeSession(record)
	if err != nil {
		s.log.Error("a session in the state cannot be read", "error", err)
		return n, l != nil
	}
	if l == nil {
		l = &life{session: session, hash: hashSession(n.namespace, n.id)}
		s.lives[n] = l
		s.change(n.namespace, 1, record.Modified)
	}
	l.modified, l.seen = record.Modified, s.now()
	return n, true
}

func (s *sessions) drop(n name, revision int64) {
	if s.lives[n] == nil {
		return
	}
	delete(s.lives, n)
	s.change(n.namespace, -1, revision)
}

// change tells who waits for the sessions of a namespace; s.mu is held.
func (s *sessions) change(namespace string, by int, revision int64) {
	p := s.span(namespace)
	p.count += by
	p.revision = max(p.revision, revision)
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

// span is a namespace's, made when it is not there: namespaces are few, and callers may read them.
func (s *sessions) span(namespace string) *span {
	p := s.spans[namespace]
	if p == nil {
		p = new(span)
		s.spans[namespace] = p
	}
	return p
}

func (s *sessions) await(namespace string) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.span(namespace)
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	return p.changed
}

func (s *sessions) index(namespace string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.spans[namespace]; p != nil {
		return max(p.revision, s.floor)
	}
	return s.floor
}

func (s *sessions) get(namespace, id string) *Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.lives[name{namespace, id}]; l != nil {
		return l.session
	}
	return nil
}

func (s *sessions) all(wanted func(*Session) bool) []*Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*Session
	for _, l := range s.lives {
		if wanted(l.session) {
			all = append(all, l.session)
		}
	}
	return all
}

func (s *sessions) count(namespace string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.spans[namespace]; p != nil {
		return p.count
	}
	return 0
}

func (s *sessions) total() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.lives)
}

// sinceWritten is how long ago this node saw a session written.
func (s *sessions) sinceWritten(namespace, id string) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.lives[name{namespace, id}]; l != nil {
		return s.now().Sub(l.seen)
	}
	return MaxTTL
}

// observe takes note of the quorum and of whose the sessions are, and reports whether anything may be ended.
func (s *sessions) observe(quorum bool, members *members) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	switch {
	case !quorum:
		s.steady = time.Time{}
		return false
	case s.steady.IsZero():
		s.steady = now
	}
	for _, l := range s.lives {
		switch {
		case !members.owns(l.hash):
			l.mine = time.Time{}
		case l.mine.IsZero():
			l.mine = now
		}
	}
	s.endings.observe(members)
	return true
}

// over is a session that nobody has renewed, as of a revision of its record.
type over struct {
	name
	revision int64
}

// expired answers this node's sessions that nobody has renewed in time. The last renewal may have been up to a third of the TTL after the last
// write, and so is not a TTL ago before four thirds; the third third is for the mirrors of the nodes, which see the write at different
// times.
func (s *sessions) expired() []over {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	var found []over
	for n, l := range s.lives {
		ttl := l.session.TTL
		if ttl == 0 || l.mine.IsZero() {
			continue
		}
		if now.Sub(l.seen) >= ttl+2*ttl/renewShare && now.Sub(l.mine) >= ttl && now.Sub(s.steady) >= ttl {
			found = append(found, over{n, l.modified})
		}
	}
	return found
}

// owned answers this node's sessions.
func (s *sessions) owned() []*Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*Session
	for _, l := range s.lives {
		if !l.mine.IsZero() {
			found = append(found, l.session)
		}
	}
	return found
}

// leftovers answers ends of sessions that were not brought to their end.
func (s *sessions) leftovers() []left { return s.endings.leftovers() }

// noted mirrors the notes of sessions that have ended.
type noted struct {
	now func() time.Time
	log *slog.Logger

	mu    sync.Mutex
	notes map[name]*note
}

type note struct {
	record   endingRecord
	revision int64
	seen     time.Time
	mine     bool
}

// left is a note that is this node's to work off.
type left struct {
	name
	note     endingRecord
	revision int64
}

// Reset implements state.Mirrored.
func (e *noted) Reset(records []state.Record, _ int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	clear(e.notes)
	for _, record := range records {
		e.put(record)
	}
}

// Apply implements state.Mirrored.
func (e *noted) Apply(events []state.Event, _ int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, event := range events {
		if !event.Deleted {
			e.put(event.Record)
		} else if n, ok := nameOf(event.Key, e.log); ok {
			delete(e.notes, n)
		}
	}
}

func (e *noted) put(record state.Record) {
	n, ok := nameOf(record.Key, e.log)
	if !ok {
		return
	}
	var r endingRecord
	if err := json.Unmarshal(record.Value, &r); err != nil || r.Delay < 0 || r.Delay > MaxLockDelay {
		e.log.Error("the end of a session in the state cannot be read", "key", record.Key, "error", err)
		return
	}
	e.notes[n] = &note{record: r, revision: record.Modified, seen: e.now()}
}

func (e *noted) observe(members *members) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for n, note := range e.notes {
		note.mine = members.owns(hashSession(n.namespace, n.id))
	}
}

func (e *noted) leftovers() []left {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.now()
	var found []left
	for n, note := range e.notes {
		if note.mine && now.Sub(note.seen) >= noteAfter {
			found = append(found, left{n, note.record, note.revision})
		}
	}
	return found
}
