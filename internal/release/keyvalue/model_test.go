package keyvalue_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gantry-platform/gantry/internal/release"
	"github.com/gantry-platform/gantry/internal/release/keyvalue"
	"github.com/gantry-platform/gantry/internal/state/statetest"
)

// model is Consul's rules in the simplest words. Revisions are those that the real thing answers.
type model struct {
	keys     map[string]entry
	sessions map[string]keyvalue.Session
	delayed  map[string]bool
}

type entry struct {
	value, session    string
	flags, lock       uint64
	created, modified int64
}

func (m *model) clone() *model {
	return &model{maps.Clone(m.keys), m.sessions, maps.Clone(m.delayed)}
}

// apply makes one operation and reports whether it is allowed. What it writes has the revision 0 until the answer is there.
func (m *model) apply(op keyvalue.Operation) bool {
	now, there := m.keys[op.Key]
	next := entry{value: string(op.Value), flags: op.Flags, session: now.session, lock: now.lock, created: now.created}
	switch op.Verb {
	case keyvalue.CompareAndSet:
		if (op.Index == 0) == there || there && uint64(now.modified) != op.Index {
			return false
		}
	case keyvalue.Lock:
		if _, alive := m.sessions[op.Session]; !alive || now.session != "" && now.session != op.Session || m.delayed[op.Key] && now.session == "" {
			return false
		}
		if now.session == "" {
			next.lock++
		}
		next.session = op.Session
	case keyvalue.Unlock:
		if !there || op.Session == "" || now.session != op.Session {
			return false
		}
		next.session = ""
	case keyvalue.Delete:
		delete(m.keys, op.Key)
		return true
	case keyvalue.DeleteCompare:
		if there && uint64(now.modified) != op.Index {
			return false
		}
		delete(m.keys, op.Key)
		return true
	case keyvalue.DeleteTree:
		maps.DeleteFunc(m.keys, func(name string, _ entry) bool { return strings.HasPrefix(name, op.Key) })
		return true
	case keyvalue.CheckIndex:
		return there && uint64(now.modified) == op.Index
	case keyvalue.CheckSession:
		return there && now.session == op.Session
	case keyvalue.CheckNotExists:
		return !there
	case keyvalue.Get, keyvalue.GetOrEmpty:
		return there || op.Verb == keyvalue.GetOrEmpty
	case keyvalue.GetTree:
		return true
	}
	same := now
	same.modified = 0
	if there && same == next {
		next.modified = now.modified
	}
	m.keys[op.Key] = next
	return true
}

// end ends a session: its keys are freed or go, and have a delay when it asked for one.
func (m *model) end(id string) {
	s := m.sessions[id]
	delete(m.sessions, id)
	for name, e := range m.keys {
		if e.session != id {
			continue
		}
		e.session, e.modified = "", 0
		m.keys[name] = e
		if s.Behavior == keyvalue.Remove {
			delete(m.keys, name)
		}
		m.delayed[name] = s.LockDelay > 0
	}
}

var names = []string{"a", "a/", "a/b", "a//b", "b"}

// Keys, sessions and locks do what the model does, whatever is asked of them in whatever order.
func TestKeysLiveLikeTheirModel(t *testing.T) {
	n := over(t, statetest.New(t), nil, newClock())
	ctx := asSystem(t)
	n.keys.Look(context.Background())
	runs := 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		l := &life{n: n, ctx: ctx, namespace: fmt.Sprint("run", runs),
			m: &model{keys: map[string]entry{}, sessions: map[string]keyvalue.Session{}, delayed: map[string]bool{}}}
		t.Repeat(map[string]func(*rapid.T){
			"one":      func(t *rapid.T) { l.apply(t, 1) },
			"together": func(t *rapid.T) { l.apply(t, rapid.IntRange(2, 5).Draw(t, "operations")) },
			"create":   l.create,
			"destroy":  l.destroy,
			"wait":     l.wait,
			"":         l.check,
		})
	})
}

type life struct {
	n         *node
	ctx       context.Context
	namespace string
	m         *model
	ended     []string
}

func (l *life) id(t *rapid.T) string {
	return rapid.SampledFrom(append(slices.Sorted(maps.Keys(l.m.sessions)), append(l.ended, "")...)).Draw(t, "session")
}

func (l *life) apply(t *rapid.T, count int) {
	var ops []keyvalue.Operation
	after, allowed := l.m.clone(), true
	for range count {
		op := keyvalue.Operation{Verb: keyvalue.Verb(rapid.IntRange(int(keyvalue.Set), int(keyvalue.DeleteCompare)).Draw(t, "verb")),
			Key: rapid.SampledFrom(names).Draw(t, "key"), Value: []byte(rapid.SampledFrom([]string{"x", "y"}).Draw(t, "value")),
			Flags: rapid.Uint64Range(0, 1).Draw(t, "flags"), Session: l.id(t)}
		if rapid.IntRange(0, 3).Draw(t, "index") > 0 {
			op.Index = uint64(l.m.keys[op.Key].modified)
		}
		ops = append(ops, op)
		allowed = after.apply(op) && allowed
	}
	outcome, err := l.n.keys.Apply(l.ctx, l.namespace, ops)
	if err != nil {
		t.Fatal(err)
	}
	if made := len(outcome.Failures) == 0; made != allowed {
		t.Fatalf("%+v: %+v, the model says %v", ops, outcome.Failures, allowed)
	}
	if allowed {
		// An acquisition ends the delay.
		for name, e := range after.keys {
			if e.session != "" {
				delete(after.delayed, name)
			}
		}
		for _, op := range ops {
			if op.Verb == keyvalue.Lock {
				delete(after.delayed, op.Key)
			}
		}
		l.m = after
	}
}

func (l *life) create(t *rapid.T) {
	s, err := l.n.keys.Create(l.ctx, keyvalue.Session{Namespace: l.namespace, Node: "n", Behavior: rapid.SampledFrom([]string{keyvalue.Release, keyvalue.Remove}).Draw(t, "behavior"),
		LockDelay: rapid.SampledFrom([]time.Duration{0, time.Minute}).Draw(t, "delay")})
	if err != nil {
		t.Fatal(err)
	}
	l.m.sessions[s.ID] = *s
}

func (l *life) destroy(t *rapid.T) {
	id := l.id(t)
	if err := l.n.keys.Destroy(l.ctx, l.namespace, cmpOr(id, "unknown")); err != nil {
		t.Fatal(err)
	}
	if _, there := l.m.sessions[id]; there {
		l.m.end(id)
		l.ended = append(l.ended, id)
	}
}

func cmpOr(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// wait lets all delays pass.
func (l *life) wait(*rapid.T) {
	l.n.clock.advance(keyvalue.MaxLockDelay)
	clear(l.m.delayed)
}

// check holds everything that can be read against the model, and takes the revisions over.
func (l *life) check(t *rapid.T) {
	for _, consistent := range []bool{false, true} {
		keys, index, err := l.n.keys.List(l.ctx, l.namespace, "", release.Reading{Consistent: consistent, Values: true})
		if err != nil || len(keys) != len(l.m.keys) {
			t.Fatalf("%d keys, %v, the model has %v", len(keys), err, l.m.keys)
		}
		for _, key := range keys {
			want, there := l.m.keys[key.Name]
			got := entry{string(key.Value), key.Session, key.Flags, key.Locked, key.Created, key.Modified}
			if want.modified == 0 {
				want.modified = got.modified
			}
			if want.created == 0 {
				want.created = got.modified
			}
			if !there || got != want || index < got.modified {
				t.Fatalf("%s is %+v, the model has %+v", key.Name, got, want)
			}
			l.m.keys[key.Name] = want
			one, at, err := l.n.keys.Get(l.ctx, l.namespace, key.Name, release.Reading{Consistent: consistent})
			if err != nil || at != key.Modified || one.Modified != key.Modified {
				t.Fatalf("%+v at %d, %v", one, at, err)
			}
		}
	}
}
