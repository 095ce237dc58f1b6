package keyvalue_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy"
	"github.com/gantry-platform/gantry/internal/release"
	"github.com/gantry-platform/gantry/internal/release/keyvalue"
	"github.com/gantry-platform/gantry/internal/state"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

func ref(name string) release.Ref {
	return release.Ref{Namespace: "default", Kind: policy.KeyValue, Name: name}
}

func TestWhatClientsWriteCanBeRolledBack(t *testing.T) {
	n, ctx := open(t), asSystem(t)
	n.must(t, ctx, keyvalue.Operation{Verb: keyvalue.Set, Key: "app/a", Value: []byte("one"), Flags: 7})
	made := n.get(t, ctx, "app/a")
	n.must(t, ctx, keyvalue.Operation{Verb: keyvalue.Set, Key: "app/a", Value: []byte("two"), Flags: 8})
	two := n.get(t, ctx, "app/a")
	if two.Created != made.Modified || two.Modified <= made.Modified || two.Flags != 8 {
		t.Fatalf("%+v after %+v", two, made)
	}
	diff, err := n.releaser.Diff(ctx, ref("app/a"), 1, 2, nil)
	if err != nil || !strings.Contains(diff.Unified, "-one") || !strings.Contains(diff.Unified, "+two") {
		t.Errorf("%+v, %v", diff, err)
	}
	if _, err := n.releaser.Rollback(ctx, release.Step{Ref: ref("app/a")}, 0); err != nil {
		t.Fatal(err)
	}
	back := n.get(t, ctx, "app/a")
	if string(back.Value) != "one" || back.Flags != 7 || back.Created != made.Modified || back.Modified <= two.Modified {
		t.Errorf("after the rollback: %+v", back)
	}
	_, _, entries, err := n.releaser.History(ctx, ref("app/a"), 0)
	var actions []string
	for _, entry := range entries {
		actions = append(actions, entry.Action.String())
	}
	want := "ACTION_ROLLED_BACK ACTION_RELEASED ACTION_PUBLISHED ACTION_RELEASED ACTION_PUBLISHED"
	if err != nil || strings.Join(actions, " ") != want {
		t.Errorf("%v, %v", actions, err)
	}

	n.must(t, ctx, remove("app/a"))
	if key := n.get(t, ctx, "app/a"); key != nil {
		t.Fatalf("%+v after it was deleted", key)
	}
	if _, err := n.releaser.Rollback(ctx, release.Step{Ref: ref("app/a")}, 0); err != nil {
		t.Fatal(err)
	}
	again := n.get(t, ctx, "app/a")
	if string(again.Value) != "one" || again.Created != again.Modified {
		t.Errorf("a key that came back is made anew: %+v", again)
	}
}

func TestWritingTheSameChangesNothing(t *testing.T) {
	n, ctx := open(t), asSystem(t)
	first := n.must(t, ctx, set("a", "x"))[0]
	second := n.must(t, ctx, set("a", "x"))[0]
	if first.Modified == 0 || first.Modified != first.Created || first.Modified != second.Modified || first.Created != second.Created {
		t.Errorf("%+v, then %+v", first, second)
	}
}

func TestWhatIsWrittenWithALockLeavesNothing(t *testing.T) {
	n, ctx := open(t), asSystem(t)
	s := n.session(t, ctx, keyvalue.Session{})
	for i := range 5 {
		n.must(t, ctx, lock("lock", fmt.Sprint(i), s.ID))
		n.must(t, ctx, set("lock", fmt.Sprint(i, "held")))
	}
	d, versions, entries, err := n.releaser.History(ctx, ref("lock"), 0)
	if err != nil || len(versions) != 1 || len(entries) != 0 {
		t.Fatalf("%v: %d versions, %d entries, %v", d, len(versions), len(entries), err)
	}
	if key := n.get(t, ctx, "lock"); string(key.Value) != "4held" || key.Locked != 1 || key.Session != s.ID {
		t.Errorf("%+v", key)
	}
	audit, err := n.store.List(ctx, state.Prefix("audit"), state.ListOptions{})
	if err != nil || len(audit) != 0 {
		t.Errorf("%d audit records, %v", len(audit), err)
	}
	n.must(t, ctx, remove("lock"))
	for _, room := range []string{"document", "version", "content", "history"} {
		left, err := n.store.List(ctx, state.Prefix(room), state.ListOptions{KeysOnly: true})
		if err != nil || len(left) != 0 {
			t.Errorf("%s: %v, %v", room, left, err)
		}
	}
	n.must(t, ctx, set("lock", "again"))
	if key := n.get(t, ctx, "lock"); string(key.Value) != "again" || key.Locked != 0 || key.Created != key.Modified {
		t.Errorf("made again: %+v", key)
	}
}

// A configuration that a program also locks keeps what people wrote.
func TestALockedConfigurationKeepsItsHistory(t *testing.T) {
	n, ctx := open(t), asSystem(t)
	n.must(t, ctx, set("c", "person 1"))
	s := n.session(t, ctx, keyvalue.Session{})
	n.must(t, ctx, lock("c", "machine 1", s.ID))
	n.must(t, ctx, unlock("c", "machine 2", s.ID))
	n.must(t, ctx, set("c", "person 2"))
	_, versions, _, err := n.releaser.History(ctx, ref("c"), 0)
	if err != nil || len(versions) != 2 {
		t.Fatalf("%v, %v", versions, err)
	}
	if _, err := n.releaser.Rollback(ctx, release.Step{Ref: ref("c")}, 0); err != nil {
		t.Fatal(err)
	}
	if key := n.get(t, ctx, "c"); string(key.Value) != "person 1" || key.Locked != 1 {
		t.Errorf("%+v", key)
	}
	n.must(t, ctx, remove("c"))
	if _, err := n.releaser.Rollback(ctx, release.Step{Ref: ref("c")}, 0); err != nil {
		t.Errorf("after it was deleted: %v", err)
	}
}

func TestTheHistoryOfAKeyIsBounded(t *testing.T) {
	n, ctx := open(t), asSystem(t)
	for i := range 130 {
		n.must(t, ctx, set("counter", fmt.Sprint(i)))
	}
	_, versions, entries, err := n.releaser.History(ctx, ref("counter"), release.MaxPage)
	if err != nil || len(versions) != 100 || len(entries) < 98 || len(entries) > 102 {
		t.Errorf("%d versions, %d entries, %v", len(versions), len(entries), err)
	}
}

func TestDeletedKeysGoAfterAWeek(t *testing.T) {
	n, ctx := open(t), asSystem(t)
	n.must(t, ctx, set("plain", "x"))
	n.must(t, ctx, remove("plain"))
	s := n.session(t, ctx, keyvalue.Session{Behavior: keyvalue.Remove, LockDelay: time.Second})
	n.must(t, ctx, lock("lock", "x", s.ID))
	if err := n.keys.Destroy(ctx, "", s.ID); err != nil {
		t.Fatal(err)
	}
	documents := func() int {
		if err := n.releaser.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		records, err := n.store.List(ctx, state.Prefix("document"), state.ListOptions{KeysOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		return len(records)
	}
	if left := documents(); left != 2 {
		t.Errorf("%d at once, want both", left)
	}
	n.clock.advance(3 * time.Minute)
	if left := documents(); left != 1 {
		t.Errorf("%d after the delay of the lock, want the plain one", left)
	}
	n.clock.advance(6 * 24 * time.Hour)
	if left := documents(); left != 1 {
		t.Errorf("%d after six days", left)
	}
	n.clock.advance(24 * time.Hour)
	if left := documents(); left != 0 {
		t.Errorf("%d after a week", left)
	}
}

func TestATransactionIsWholeOrNothing(t *testing.T) {
	n, ctx := open(t), asSystem(t)
	a := n.must(t, ctx, set("a", "1"))[0]
	outcome, err := n.keys.Apply(ctx, "", []keyvalue.Operation{
		set("b", "1"),
		{Verb: keyvalue.CompareAndSet, Key: "a", Index: uint64(a.Modified + 1), Value: []byte("2")},
		{Verb: keyvalue.Lock, Key: "c"},
		{Verb: keyvalue.Get, Key: "c"},
	})
	if err != nil {
		t.Fatal(err)
	}
	var reasons []string
	for _, f := range outcome.Failures {
		reasons = append(reasons, fmt.Sprint(f.Operation, " ", f.Err.Reason))
	}
	if strings.Join(reasons, ", ") != "1 key.stale, 2 session.missing, 3 key.not_found" || len(outcome.Keys) != 0 {
		t.Errorf("%v %v", reasons, outcome.Keys)
	}
	if n.get(t, ctx, "b") != nil {
		t.Error("a part of it was made")
	}
	keys := n.must(t, ctx,
		set("b", "1"), set("b", "2"),
		keyvalue.Operation{Verb: keyvalue.Get, Key: "b"},
		remove("a"),
		keyvalue.Operation{Verb: keyvalue.CheckNotExists, Key: "a"},
		keyvalue.Operation{Verb: keyvalue.GetTree, Key: ""},
	)
	if len(keys) != 4 || string(keys[2].Value) != "2" || string(keys[3].Value) != "2" || keys[3].Modified != n.get(t, ctx, "b").Modified {
		t.Errorf("%+v", keys)
	}
	audit, err := n.store.List(ctx, state.Prefix("audit"), state.ListOptions{})
	if err != nil || len(audit) != 2 {
		t.Errorf("%d audit records of two changes, %v", len(audit), err)
	}
	_, versions, _, err := n.releaser.History(ctx, ref("b"), 0)
	if err != nil || len(versions) != 1 {
		t.Errorf("%d versions of one change, %v", len(versions), err)
	}
}

func TestTransactionsOfTheLargestSize(t *testing.T) {
	n, ctx := open(t), asSystem(t)
	var ops []keyvalue.Operation
	for i := range keyvalue.MaxOperations {
		ops = append(ops, set(fmt.Sprintf("k%d", i), "0"))
	}
	// Some with a history, so that they remove something of it.
	for round := range 103 {
		for i := range ops {
			ops[i].Value = fmt.Append(nil, round)
		}
		if round < 102 {
			n.must(t, ctx, ops[:8]...)
		} else {
			n.must(t, ctx, ops...)
		}
	}
	if _, err := n.keys.Apply(ctx, "", append(ops, set("more", ""))); !fault.Is(err, fault.TooLarge) {
		t.Errorf("65 operations: %v", err)
	}
	big := strings.Repeat("x", release.MaxKeyValue)
	n.must(t, ctx, set("big1", big), set("big2", big))
	for _, ops := range [][]keyvalue.Operation{{set("big", big+"x")}, {set("a", big), set("b", big), set("c", big)}} {
		if _, err := n.keys.Apply(ctx, "", ops); !fault.Is(err, fault.TooLarge) {
			t.Errorf("%v", err)
		}
	}
}

func TestTreesAreRemoved(t *testing.T) {
	n, ctx := open(t), asSystem(t)
	var ops []keyvalue.Operation
	for i := range 300 {
		ops = append(ops, set(fmt.Sprintf("t/%03d", i), "x"))
		if len(ops) == keyvalue.MaxOperations || i == 299 {
			n.must(t, ctx, ops...)
			ops = nil
		}
	}
	n.must(t, ctx, set("t", "x"), set("u", "x"))
	if err := n.keys.Remove(ctx, "", "t/"); err != nil {
		t.Fatal(err)
	}
	keys, _, err := n.keys.List(ctx, "", "", release.Reading{})
	if err != nil || len(keys) != 2 {
		t.Errorf("%d keys, %v", len(keys), err)
	}
	if err := n.keys.Remove(ctx, "", ""); err != nil {
		t.Fatal(err)
	}
	if keys, _, err = n.keys.List(ctx, "", "", release.Reading{Consistent: true}); err != nil || len(keys) != 0 {
		t.Errorf("%d keys, %v", len(keys), err)
	}
}

func TestListsAreInOrderAndOfTheirPrefix(t *testing.T) {
	n, ctx := open(t), asSystem(t)
	names := []string{"a", "a/", "a/%", "a//b", "a/b", "ab", "b", "é"}
	for _, name := range names {
		n.must(t, ctx, set(name, name))
	}
	for prefix, want := range map[string][]string{"": names, "a": names[:6], "a/": names[1:5], "a/b": names[4:5], "c": nil, "é": names[7:]} {
		for _, consistent := range []bool{false, true} {
			keys, index, err := n.keys.List(ctx, "", prefix, release.Reading{Consistent: consistent, Values: true})
			var got []string
			for _, key := range keys {
				got = append(got, key.Name)
				if string(key.Value) != key.Name {
					t.Errorf("%s has %q", key.Name, key.Value)
				}
			}
			slices.Sort(got)
			if err != nil || !slices.Equal(got, want) || index == 0 {
				t.Errorf("%q: %q at %d, %v", prefix, got, index, err)
			}
		}
	}
}

// A waiter wakes for its own scope alone, and the revision of a scope never goes back.
func TestScopes(t *testing.T) {
	n, ctx := open(t), asSystem(t)
	scopes := map[string]release.Scope{"key a/b": {Namespace: "default", Name: "a/b"}, "below a/": {Namespace: "default", Name: "a/", Below: true},
		"below": {Namespace: "default", Below: true}, "below a/b": {Namespace: "default", Name: "a/b", Below: true}}
	index := func(scope release.Scope) int64 {
		var index int64
		var err error
		if scope.Below {
			_, index, err = n.keys.List(ctx, "", scope.Name, release.Reading{})
		} else {
			_, index, err = n.keys.Get(ctx, "", scope.Name, release.Reading{})
		}
		if err != nil {
			t.Fatal(err)
		}
		return index
	}
	s := n.session(t, ctx, keyvalue.Session{LockDelay: 0})
	for _, step := range []struct {
		op    keyvalue.Operation
		wakes string
	}{
		{set("b", "x"), "below"},
		{set("a/b", "x"), "below,below a/,below a/b,key a/b"},
		{set("a/b", "x"), ""},
		{set("a/bc", "x"), "below,below a/,below a/b"},
		{lock("a/b", "x", s.ID), "below,below a/,below a/b,key a/b"},
		{remove("a/b"), "below,below a/,below a/b,key a/b"},
		{remove("a/b"), ""},
		{lock("a/b", "x", s.ID), "below,below a/,below a/b,key a/b"},
		{unlock("a/b", "x", s.ID), "below,below a/,below a/b,key a/b"},
		{remove("b"), "below"},
	} {
		before, channels := map[string]int64{}, map[string]<-chan struct{}{}
		for name, scope := range scopes {
			changed, stop := n.keys.Changed(scope)
			defer stop()
			before[name], channels[name] = index(scope), changed
		}
		n.must(t, ctx, step.op)
		var woken []string
		for name, changed := range channels {
			grown := index(scopes[name]) > before[name]
			select {
			case <-changed:
				woken = append(woken, name)
				if !grown {
					t.Errorf("%+v: %s woke at the same revision", step.op, name)
				}
			default:
				if grown {
					t.Errorf("%+v: %s has a new revision and did not wake", step.op, name)
				}
			}
		}
		slices.Sort(woken)
		if strings.Join(woken, ",") != step.wakes {
			t.Errorf("%+v woke %q, want %q", step.op, woken, step.wakes)
		}
	}
}

func TestPeopleAndProgramsNeedRights(t *testing.T) {
	n := open(t)
	nobody := context.Background()
	operations := map[string]func(context.Context) error{
		"set": func(ctx context.Context) error {
			_, err := n.keys.Apply(ctx, "", []keyvalue.Operation{set("a", "")})
			return err
		},
		"read":    func(ctx context.Context) error { _, _, err := n.keys.Get(ctx, "", "a", release.Reading{}); return err },
		"list":    func(ctx context.Context) error { _, _, err := n.keys.List(ctx, "", "", release.Reading{}); return err },
		"remove":  func(ctx context.Context) error { return n.keys.Remove(ctx, "", "") },
		"create":  func(ctx context.Context) error { _, err := n.keys.Create(ctx, keyvalue.Session{Node: "n"}); return err },
		"renew":   func(ctx context.Context) error { _, err := n.keys.Renew(ctx, "", "x"); return err },
		"destroy": func(ctx context.Context) error { return n.keys.Destroy(ctx, "", "x") },
		"info":    func(ctx context.Context) error { _, _, err := n.keys.Session(ctx, "", "x"); return err },
		"all":     func(ctx context.Context) error { _, _, err := n.keys.Sessions(ctx, "", ""); return err },
	}
	for name, operation := range operations {
		if err := operation(nobody); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("nobody may %s: %v", name, err)
		}
		if err := operation(asSystem(t)); err != nil {
			t.Errorf("the system may not %s: %v", name, err)
		}
	}
}

// What an operator publishes, clients see; a draft they do not.
func TestWhatOperatorsPublishIsAKey(t *testing.T) {
	n, ctx := open(t), asSystem(t)
	draft := release.Draft{Ref: ref("op"), Content: []byte("draft")}
	if _, err := n.releaser.Publish(ctx, draft); err != nil {
		t.Fatal(err)
	}
	if key := n.get(t, ctx, "op"); key != nil {
		t.Errorf("a draft: %+v", key)
	}
	draft.Content, draft.Release = []byte("released"), true
	p, err := n.releaser.Publish(ctx, draft)
	if err != nil {
		t.Fatal(err)
	}
	key := n.get(t, ctx, "op")
	if string(key.Value) != "released" || key.Created != p.Document.Revision || key.Modified != p.Document.Revision {
		t.Errorf("%+v of %v", key, p.Document)
	}
	s := n.session(t, ctx, keyvalue.Session{})
	n.must(t, ctx, lock("op", "released", s.ID))
	draft.Content = []byte("under the holder's hands")
	if _, err := n.releaser.Publish(ctx, draft); err != nil {
		t.Fatal(err)
	}
	if held := n.get(t, ctx, "op"); held.Session != s.ID || held.Created != key.Created || string(held.Value) != "under the holder's hands" {
		t.Errorf("%+v", held)
	}
	if _, err := n.releaser.Delete(ctx, release.Step{Ref: ref("op")}); err != nil {
		t.Fatal(err)
	}
	if n.get(t, ctx, "op") != nil || len(n.releaser.Held("default", s.ID)) != 0 {
		t.Error("it is held after it was deleted")
	}
	percent := 50.0
	half := &gantryv1.Cohort{Percent: &percent}
	if _, err := n.releaser.Publish(ctx, draft); err != nil {
		t.Fatal(err)
	}
	draft.Content, draft.Release = []byte("for some"), false
	if _, err := n.releaser.Publish(ctx, draft); err != nil {
		t.Fatal(err)
	}
	if _, err := n.releaser.Release(ctx, release.Step{Ref: ref("op")}, 0, half); err != nil {
		t.Fatal(err)
	}
	_, err = n.keys.Apply(ctx, "", []keyvalue.Operation{set("op", "x")})
	if f, ok := fault.As(err); !ok || f.Reason != "document.rollout_under_way" {
		t.Errorf("a write during a rollout: %v", err)
	}
}
