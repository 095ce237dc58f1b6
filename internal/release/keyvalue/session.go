package keyvalue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/state"
)

// The rooms of the state.
const (
	sessionRoom = "session"
	endingRoom  = "ending"
)

func sessionKey(namespace, id string) string { return state.Key(sessionRoom, namespace, id) }
func endingKey(namespace, id string) string  { return state.Key(endingRoom, namespace, id) }

// What becomes of a session's keys when it ends.
const (
	Release = "release"
	Remove  = "delete"
)

// Session is what locks are held by. It is immutable once it was made.
type Session struct {
	ID, Namespace string
	Name, Node    string
	// LockDelay is how long its keys cannot be acquired after it was invalidated, at most [MaxLockDelay].
	LockDelay time.Duration
	// Behavior is [Release] or [Remove].
	Behavior string
	// TTL is how long it lives without renewal; 0 is for ever.
	TTL time.Duration
	// NodeChecks and ServiceChecks end it when one of them is critical or gone.
	NodeChecks    []string
	ServiceChecks []ServiceCheck
	// Created is the revision of the state at which it was made.
	Created int64
}

// ServiceCheck is a check of a service, in a namespace: the session's own when it is empty.
type ServiceCheck struct {
	ID        string `json:"id"`
	Namespace string `json:"namespace,omitempty"`
}

// sessionRecord is the stored form of a session. A renewal writes it again as it is: what counts is that it was written.
type sessionRecord struct {
	Name          string         `json:"name,omitempty"`
	Node          string         `json:"node"`
	LockDelay     time.Duration  `json:"lock_delay"`
	Behavior      string         `json:"behavior"`
	TTL           time.Duration  `json:"ttl,omitempty"`
	NodeChecks    []string       `json:"node_checks,omitempty"`
	ServiceChecks []ServiceCheck `json:"service_checks,omitempty"`
	Author        string         `json:"author"`
	At            time.Time      `json:"at"`
}

func decodeSession(record state.Record) (*Session, error) {
	parts, err := state.Split(record.Key)
	if err == nil && len(parts) != 3 {
		err = fmt.Errorf("%d parts", len(parts))
	}
	var r sessionRecord
	if err == nil {
		err = json.Unmarshal(record.Value, &r)
	}
	if err == nil && (r.TTL < 0 || r.LockDelay < 0 || r.LockDelay > MaxLockDelay) {
		err = errors.New("it contradicts itself")
	}
	if err != nil {
		return nil, fmt.Errorf("keyvalue: the stored session %q cannot be read: %w", record.Key, err)
	}
	return &Session{Namespace: parts[1], ID: parts[2], Name: r.Name, Node: r.Node, LockDelay: r.LockDelay, Behavior: r.Behavior, TTL: r.TTL,
		NodeChecks: r.NodeChecks, ServiceChecks: r.ServiceChecks, Created: record.Created}, nil
}

// Create makes a session of what is asked for: ID and Created are not looked at.
//
// Errors: Invalid "session.invalid" for what Consul does not take either, and "session.check_missing" or Precondition "session.check_critical" for
// checks that cannot hold it; NotFound "session.node_unknown"; Exhausted beyond [MaxSessions]; Forbidden, Unauthenticated, Unavailable.
func (k *Keys) Create(ctx context.Context, wanted Session) (*Session, error) {
	wanted.Namespace = normal(wanted.Namespace)
	if err := mayWrite(ctx, wanted.Namespace); err != nil {
		return nil, err
	}
	if wanted.Behavior == "" {
		wanted.Behavior = Release
	}
	if err := wanted.check(); err != nil {
		return nil, err
	}
	if err := k.checksHold(&wanted); err != nil {
		return nil, err
	}
	if n := k.sessions.count(wanted.Namespace); n >= MaxSessions {
		return nil, fault.New(fault.Exhausted, "session.too_many", "namespace %q has %d sessions", wanted.Namespace, n).
			Hinted("at most %d; destroy sessions that are not needed any more, and give them a TTL", MaxSessions)
	}
	wanted.ID = uuid.NewString()
	value, err := json.Marshal(sessionRecord{Name: wanted.Name, Node: wanted.Node, LockDelay: wanted.LockDelay, Behavior: wanted.Behavior, TTL: wanted.TTL,
		NodeChecks: wanted.NodeChecks, ServiceChecks: wanted.ServiceChecks, Author: access.FromContext(ctx).Actor, At: time.Now().UTC()})
	if err != nil {
		return nil, fmt.Errorf("keyvalue: %w", err)
	}
	key := sessionKey(wanted.Namespace, wanted.ID)
	// The session's namespace has nothing to hold it back but its name, as that of a document.
	revision, err := k.store.Commit(ctx, state.Change{If: []state.Condition{state.Unchanged(key, 0)}, Put: []state.Put{{Key: key, Value: value}}})
	if err != nil {
		return nil, err
	}
	wanted.Created = revision
	k.await(ctx, revision)
	return &wanted, nil
}

// await shows what was written on this node; that it is behind is no failure of the change.
func (k *Keys) await(ctx context.Context, revision int64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	if err := k.store.Await(ctx, revision); err != nil {
		k.log.Warn("this node is behind what it has just written", "revision", revision, "error", err)
	}
}

func invalid(field, hint, format string, args ...any) error {
	return fault.New(fault.Invalid, "session.invalid", format, args...).At(field).Hinted("%s", hint)
}

// check refuses what no session can be.
func (s *Session) check() error {
	switch {
	case s.Node == "":
		return invalid("Node", "name the node that the session is of", "Must provide Node")
	case s.Behavior != Release && s.Behavior != Remove:
		return invalid("Behavior", "use release or delete", "Invalid Behavior setting '%.64s'", s.Behavior)
	case s.TTL != 0 && (s.TTL < MinTTL || s.TTL > MaxTTL):
		return invalid("TTL", "or leave it out for a session that does not expire", "Invalid Session TTL '%d', must be between [%v=%v]", s.TTL, MinTTL, MaxTTL)
	case s.LockDelay < 0 || s.LockDelay > MaxLockDelay:
		return invalid("LockDelay", "use 0s to 60s", "Invalid LockDelay %v, must be between [0s=%v]", s.LockDelay, MaxLockDelay)
	case len(s.NodeChecks)+len(s.ServiceChecks) > maxChecks:
		return invalid("NodeChecks", "lean on fewer checks", "%d checks, more than %d", len(s.NodeChecks)+len(s.ServiceChecks), maxChecks)
	}
	texts := append([]string{s.Name, s.Node}, s.NodeChecks...)
	for _, check := range s.ServiceChecks {
		texts = append(texts, check.ID, check.Namespace)
	}
	for _, text := range texts {
		if len(text) > maxText || !utf8.ValidString(text) {
			return invalid("Name", "names are UTF-8 of at most 512 bytes", "%.64q is no name", text)
		}
	}
	return nil
}

// checksHold refuses checks that would end the session at once.
func (k *Keys) checksHold(s *Session) error {
	if k.checks != nil && !k.checks.Node(s.Namespace, s.Node) {
		return fault.New(fault.NotFound, "session.node_unknown", "Missing node registration: %q", s.Node).At("Node").
			Hinted("register the node, or leave it out")
	}
	id, health := k.worst(s)
	switch health {
	case Missing:
		return fault.New(fault.Invalid, "session.check_missing", "Missing check '%s' registration", id).At("NodeChecks").
			Hinted("register the check before the session, or lean on another")
	case Critical:
		return fault.New(fault.Precondition, "session.check_critical", "Check '%s' is in critical state", id).At("NodeChecks").
			Hinted("wait until it passes")
	}
	return nil
}

// worst answers the first check of a session that does not hold it.
func (k *Keys) worst(s *Session) (string, Health) {
	for _, id := range s.NodeChecks {
		if health := k.health(s.Namespace, s.Node, id); health != Healthy {
			return id, health
		}
	}
	for _, check := range s.ServiceChecks {
		namespace := check.Namespace
		if namespace == "" {
			namespace = s.Namespace
		}
		if health := k.health(namespace, s.Node, check.ID); health != Healthy {
			return check.ID, health
		}
	}
	return "", Healthy
}

func (k *Keys) health(namespace, node, id string) Health {
	switch {
	case k.checks != nil:
		return k.checks.Check(namespace, node, id)
	case id == NodeCheck:
		return Healthy
	}
	return Missing
}

// Session answers a session, nil when there is none, and the revision of the namespace's sessions, which grows when one is made or ends.
func (k *Keys) Session(ctx context.Context, namespace, id string) (*Session, int64, error) {
	namespace = normal(namespace)
	if err := access.Require(ctx, access.View|access.Serve, namespace); err != nil {
		return nil, 0, err
	}
	index := k.sessions.index(namespace)
	s := k.sessions.get(namespace, id)
	return s, index, nil
}

// Sessions answers the sessions of a namespace, of one node or with an empty node of all, in the order in which they were made, and their
// revision.
func (k *Keys) Sessions(ctx context.Context, namespace, node string) ([]*Session, int64, error) {
	namespace = normal(namespace)
	if err := access.Require(ctx, access.View|access.Serve, namespace); err != nil {
		return nil, 0, err
	}
	index := k.sessions.index(namespace)
	all := k.sessions.all(func(s *Session) bool { return s.Namespace == namespace && (node == "" || s.Node == node) })
	slices.SortFunc(all, func(a, b *Session) int {
		if a.Created != b.Created {
			return int(min(max(a.Created-b.Created, -1), 1))
		}
		return strings.Compare(a.ID, b.ID)
	})
	return all, index, nil
}

// SessionsChanged is closed when a session of a namespace is made or ends. Take the channel first, then ask.
func (k *Keys) SessionsChanged(namespace string) <-chan struct{} {
	return k.sessions.await(normal(namespace))
}

// Renew keeps a session alive for another TTL, and answers it; nil when there is none. Errors: Forbidden, Unauthenticated; Unavailable without
// quorum, when the session may end all the same once the quorum is back for a TTL.
func (k *Keys) Renew(ctx context.Context, namespace, id string) (*Session, error) {
	namespace = normal(namespace)
	if err := mayWrite(ctx, namespace); err != nil {
		return nil, err
	}
	s := k.sessions.get(namespace, id)
	if s != nil && (s.TTL == 0 || k.sessions.sinceWritten(namespace, id) < s.TTL/renewShare) {
		return s, nil
	}
	for {
		record, found, err := k.store.Get(ctx, sessionKey(namespace, id))
		if err != nil || !found {
			return nil, err
		}
		if s, err = decodeSession(record); err != nil {
			return nil, err
		}
		if s.TTL == 0 {
			return s, nil
		}
		revision, err := k.store.Commit(ctx, state.Change{If: []state.Condition{state.Exists(record.Key)}, Put: []state.Put{{Key: record.Key, Value: record.Value}}})
		if errors.Is(err, state.ErrConflict) {
			continue // it has ended meanwhile
		}
		if err != nil {
			return nil, err
		}
		k.await(ctx, revision)
		return s, nil
	}
}

// Destroy ends a session; what it holds is released or removed, by its behavior, with its delay. Of one that is not there nothing is done.
func (k *Keys) Destroy(ctx context.Context, namespace, id string) error {
	namespace = normal(namespace)
	if err := mayWrite(ctx, namespace); err != nil {
		return err
	}
	return k.end(ctx, namespace, id, 0, "destroyed")
}
