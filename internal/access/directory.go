package access

import (
	"log/slog"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gantry-platform/gantry/internal/state"
)

// directory is the node's mirror of users and tokens. Entries are immutable but for the atomics
// that identities in use share; only the maps change, under a lock that is held for a look-up. A copy of the maps for
// each change, as elsewhere, would cost a fleet that logs in more than the lock does.
type directory struct {
	log *slog.Logger

	mu     sync.RWMutex
	users  map[string]*user
	tokens map[string]*token
	logins map[string]int // tokens of each user
}

type user struct {
	userRecord
	hash    passwordHash
	subject *subject
}

type token struct {
	tokenRecord
	actor string
	hash  [32]byte
	// subject is nil for logins, which have their user's.
	subject *subject
	ended   *atomic.Bool
}

func newDirectory(log *slog.Logger) *directory {
	return &directory{log: log, users: map[string]*user{}, tokens: map[string]*token{}, logins: map[string]int{}}
}

func (d *directory) user(name string) *user {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.users[name]
}

// token returns a token, and the user if it is a login. Neither says yet that it is good.
func (d *directory) token(id string) (*token, *user) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	t := d.tokens[id]
	if t == nil || t.User == "" {
		return t, nil
	}
	return t, d.users[t.User]
}

func (d *directory) counts() (users, tokens int) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return len(d.users), len(d.tokens)
}

func (d *directory) loginsOf(name string) int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.logins[name]
}

// allUsers returns the users by name.
func (d *directory) allUsers() []*user {
	d.mu.RLock()
	all := make([]*user, 0, len(d.users))
	for _, u := range d.users {
		all = append(all, u)
	}
	d.mu.RUnlock()
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	return all
}

// goodTokens returns the tokens that can be used now, oldest first.
func (d *directory) goodTokens(now time.Time) []*token {
	d.mu.RLock()
	var all []*token
	for _, t := range d.tokens {
		if !t.expired(now) && !d.orphan(t) {
			all = append(all, t)
		}
	}
	d.mu.RUnlock()
	sort.Slice(all, func(i, j int) bool {
		if !all[i].Created.Equal(all[j].Created) {
			return all[i].Created.Before(all[j].Created)
		}
		return all[i].ID < all[j].ID
	})
	return all
}

// orphan reports whether a login's user is gone, or has another session. The caller holds the lock.
func (d *directory) orphan(t *token) bool {
	if t.User == "" {
		return false
	}
	u := d.users[t.User]
	return u == nil || u.Session != t.Session
}

// deadTokens returns up to that many tokens that can never be used again: orphans, and what has expired before.
func (d *directory) deadTokens(before time.Time, most int) []string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var ids []string
	for id, t := range d.tokens {
		if len(ids) == most {
			break
		}
		if t.expired(before) || d.orphan(t) {
			ids = append(ids, id)
		}
	}
	return ids
}

// expire ends the identities in use whose tokens are over by now. A clock that was set forward by mistake, and
// then back, gives them back.
func (d *directory) expire(now time.Time) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, t := range d.tokens {
		if !t.Expires.IsZero() {
			t.ended.Store(t.expired(now))
		}
	}
}

// putUser takes a user's new record. Identities of the same session follow its grants; those of another one end.
func (d *directory) putUser(record state.Record) {
	decoded, hash, err := decodeUser(record.Key, record.Value)
	if err != nil {
		d.log.Error("a user's record cannot be read; nobody can log in as them", "error", err)
		d.dropUser(record.Key)
		return
	}
	entry := &user{userRecord: decoded, hash: hash, subject: &subject{}}
	if old := d.users[decoded.Name]; old != nil {
		if old.Session == decoded.Session {
			entry.subject = old.subject
		} else {
			old.subject.rights.Store(nil)
		}
	}
	if decoded.Disabled {
		entry.subject.rights.Store(nil)
	} else {
		entry.subject.rights.Store(newRights(decoded.Grants))
	}
	d.users[decoded.Name] = entry
}

func (d *directory) dropUser(key string) {
	name := lastPart(key)
	if old := d.users[name]; old != nil {
		old.subject.rights.Store(nil)
		delete(d.users, name)
	}
}

// putToken takes a new token. Tokens are written once: one that is there already stays as it is.
func (d *directory) putToken(record state.Record) {
	decoded, err := decodeToken(record.Key, record.Value)
	if err != nil {
		d.log.Error("a token's record cannot be read; it is not accepted", "error", err)
		d.dropToken(record.Key)
		return
	}
	entry := &token{tokenRecord: decoded, hash: [32]byte(decoded.Hash), ended: &atomic.Bool{}}
	if old := d.tokens[decoded.ID]; old != nil {
		if sameHash(&old.hash, &entry.hash) {
			return
		}
		d.dropToken(record.Key)
	}
	if decoded.User == "" {
		entry.actor = "token:" + decoded.ID
		entry.subject = &subject{}
		entry.subject.rights.Store(newRights(decoded.Grants))
	} else {
		entry.actor = "user:" + decoded.User
		d.logins[decoded.User]++
	}
	d.tokens[decoded.ID] = entry
}

func (d *directory) dropToken(key string) {
	id := lastPart(key)
	old := d.tokens[id]
	if old == nil {
		return
	}
	old.ended.Store(true)
	delete(d.tokens, id)
	if old.User == "" {
		return
	}
	if d.logins[old.User]--; d.logins[old.User] == 0 {
		delete(d.logins, old.User)
	}
}

// lastPart is the name or id in a key of this room.
func lastPart(key string) string {
	parts, err := state.Split(key)
	if err != nil {
		return ""
	}
	return parts[len(parts)-1]
}

// userMirror and tokenMirror feed the directory from the store.
type (
	userMirror  struct{ *directory }
	tokenMirror struct{ *directory }
)

var (
	_ state.Mirrored = userMirror{}
	_ state.Mirrored = tokenMirror{}
)

func (m userMirror) Reset(records []state.Record, _ int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, key := range missing(m.users, records, userKey) {
		m.dropUser(key)
	}
	for _, record := range records {
		m.putUser(record)
	}
}

func (m userMirror) Apply(events []state.Event, _ int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, event := range events {
		if event.Deleted {
			m.dropUser(event.Key)
		} else {
			m.putUser(event.Record)
		}
	}
}

func (m tokenMirror) Reset(records []state.Record, _ int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, key := range missing(m.tokens, records, tokenKey) {
		m.dropToken(key)
	}
	for _, record := range records {
		m.putToken(record)
	}
}

func (m tokenMirror) Apply(events []state.Event, _ int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, event := range events {
		if event.Deleted {
			m.dropToken(event.Key)
		} else {
			m.putToken(event.Record)
		}
	}
}

// missing returns the keys of the entries that the records do not hold any more.
func missing[T any](entries map[string]T, records []state.Record, key func(string) string) []string {
	there := make(map[string]struct{}, len(records))
	for _, record := range records {
		there[record.Key] = struct{}{}
	}
	var gone []string
	for name := range entries {
		if _, ok := there[key(name)]; !ok {
			gone = append(gone, key(name))
		}
	}
	return gone
}
