package keyvalue_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/gantry-platform/gantry/internal/release"
	"github.com/gantry-platform/gantry/internal/release/keyvalue"
	"github.com/gantry-platform/gantry/internal/state/statetest"
)

// register is a key as the model has it; modified 0 is none.
type register struct {
	value, holder string
	modified      int64
}

type request struct {
	key string
	op  keyvalue.Operation
}

// answer: seen is what a get saw, or the key after a write.
type answer struct {
	ok   bool
	seen register
}

// allowed reports whether a key may answer so, and what it becomes.
func allowed(now register, op keyvalue.Operation, a answer) (bool, register) {
	next := register{value: string(op.Value), holder: now.holder, modified: a.seen.modified}
	switch op.Verb {
	case keyvalue.Get:
		return a.ok == (now.modified != 0) && (!a.ok || a.seen == now), now
	case keyvalue.Delete:
		return a.ok, register{}
	case keyvalue.Set:
		return a.ok && a.seen == next, next
	case keyvalue.CompareAndSet:
		if int64(op.Index) != now.modified {
			return !a.ok, now
		}
	case keyvalue.Lock:
		if now.holder != "" && now.holder != op.Session {
			return !a.ok, now
		}
		next.holder = op.Session
	case keyvalue.Unlock:
		if now.modified == 0 || now.holder != op.Session {
			return !a.ok, now
		}
		next.holder = ""
	}
	return a.ok && a.seen == next, next
}

// What clients of two nodes do to the same keys at once has an order in which each of it is right.
func TestKeysAreLinearizable(t *testing.T) {
	first := over(t, statetest.New(t), nil, newClock())
	second := over(t, statetest.Second(t, first.store), nil, newClock())
	nodes := []*node{first, second}
	ctx := asSystem(t)
	const clients, operations = 8, 60
	var mu sync.Mutex
	var history []porcupine.Operation
	var all sync.WaitGroup
	began := time.Now()
	for client := range clients {
		n := nodes[client%2]
		session := n.session(t, ctx, keyvalue.Session{}).ID
		random := rand.New(rand.NewPCG(uint64(client), uint64(began.UnixNano())))
		all.Go(func() {
			var last int64
			for i := range operations {
				r := request{key: fmt.Sprint("k", random.IntN(2))}
				r.op = keyvalue.Operation{Verb: []keyvalue.Verb{keyvalue.Get, keyvalue.Get, keyvalue.Set, keyvalue.CompareAndSet, keyvalue.CompareAndSet,
					keyvalue.Lock, keyvalue.Lock, keyvalue.Unlock, keyvalue.Unlock, keyvalue.Delete}[random.IntN(10)],
					Key: r.key, Value: fmt.Appendf(nil, "%d/%d", client, i), Index: uint64(last), Session: session}
				call := time.Since(began)
				a, err := n.do(t, r)
				end := time.Since(began)
				if err != nil {
					t.Error(err)
					return
				}
				if a.ok {
					last = a.seen.modified
				}
				mu.Lock()
				history = append(history, porcupine.Operation{ClientId: client, Input: r, Output: a, Call: call.Nanoseconds(), Return: end.Nanoseconds()})
				mu.Unlock()
			}
		})
	}
	all.Wait()
	succeeded := map[keyvalue.Verb]int{}
	for _, o := range history {
		if o.Output.(answer).ok {
			succeeded[o.Input.(request).op.Verb]++
		}
	}
	for _, verb := range []keyvalue.Verb{keyvalue.Get, keyvalue.CompareAndSet, keyvalue.Lock, keyvalue.Unlock} {
		if succeeded[verb] == 0 {
			t.Errorf("verb %d never succeeded: the history says nothing", verb)
		}
	}
	model := porcupine.Model{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			byKey := map[string][]porcupine.Operation{}
			for _, o := range history {
				byKey[o.Input.(request).key] = append(byKey[o.Input.(request).key], o)
			}
			var parts [][]porcupine.Operation
			for _, part := range byKey {
				parts = append(parts, part)
			}
			return parts
		},
		Init: func() any { return register{} },
		Step: func(state, input, output any) (bool, any) {
			ok, next := allowed(state.(register), input.(request).op, output.(answer))
			return ok, next
		},
	}
	if result := porcupine.CheckOperationsTimeout(model, history, time.Minute); result != porcupine.Ok {
		t.Errorf("a history of %d operations is %v", len(history), result)
	}
}

func (n *node) do(t *testing.T, r request) (answer, error) {
	ctx := asSystem(t)
	if r.op.Verb == keyvalue.Get {
		key, _, err := n.keys.Get(ctx, "", r.key, release.Reading{Consistent: true, Values: true})
		if err != nil || key == nil {
			return answer{}, err
		}
		return answer{true, register{string(key.Value), key.Session, key.Modified}}, nil
	}
	outcome, err := n.keys.Apply(ctx, "", []keyvalue.Operation{r.op})
	switch {
	case err != nil:
		return answer{}, err
	case len(outcome.Failures) > 0:
		return answer{}, nil
	case len(outcome.Keys) == 0:
		return answer{ok: true}, nil
	}
	key := outcome.Keys[0]
	return answer{true, register{string(r.op.Value), key.Session, key.Modified}}, nil
}
