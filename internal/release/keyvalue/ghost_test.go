package keyvalue_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/gantry-platform/gantry/internal/release"
	"github.com/gantry-platform/gantry/internal/release/keyvalue"
	"github.com/gantry-platform/gantry/internal/state/statetest"
)

// However sessions end on one node while another acquires for them, no key stays with one that is gone.
func TestNoKeyIsHeldByASessionThatIsGone(t *testing.T) {
	first := over(t, statetest.New(t), nil, newClock())
	second := over(t, statetest.Second(t, first.store), nil, newClock())
	ctx := asSystem(t)
	held := 0
	for round := range 25 {
		s := first.session(t, ctx, keyvalue.Session{Behavior: []string{keyvalue.Release, keyvalue.Remove}[round%2]})
		if err := second.store.Await(ctx, s.Created); err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for worker := range 4 {
			n := []*node{first, second}[worker%2]
			all.Go(func() {
				for i := range 4 {
					name := fmt.Sprintf("k/%d/%d", worker, i)
					if rand.IntN(2) == 0 {
						name = fmt.Sprintf("k/shared/%d", i)
					}
					if _, err := n.keys.Apply(ctx, "", []keyvalue.Operation{lock(name, fmt.Sprint(round, worker), s.ID)}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Go(func() {
			if err := second.keys.Destroy(ctx, "", s.ID); err != nil {
				t.Error(err)
			}
		})
		all.Wait()
		keys, _, err := first.keys.List(ctx, "", "", release.Reading{Consistent: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			if key.Session != "" {
				t.Fatalf("round %d: %+v is held, its session is gone", round, key)
			}
			if key.Locked > 0 {
				held++
			}
		}
	}
	if held == 0 {
		t.Error("nothing was ever acquired: the test says nothing")
	}
}
