package red

import (
	"testing"

	"pgregory.net/rapid"
)

func TestTheIndexIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var x index
		model := map[uint64]int32{}
		// Few keys that share their low bits, so that they get into each other's way.
		key := rapid.Custom(func(t *rapid.T) uint64 {
			return uint64(rapid.IntRange(0, 3).Draw(t, "low"))<<0 | uint64(rapid.IntRange(1, 12).Draw(t, "high"))<<32 | 13*uint64(rapid.IntRange(0, 1).Draw(t, "end"))
		})
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				k, place := key.Draw(t, "key"), rapid.Int32Range(1, 1000).Draw(t, "place")
				x.put(k, place)
				model[k] = place
			},
			"remove": func(t *rapid.T) {
				k := key.Draw(t, "key")
				x.remove(k)
				delete(model, k)
			},
			"": func(t *rapid.T) {
				if x.length != len(model) {
					t.Fatalf("%d keys, not %d", x.length, len(model))
				}
				for k, place := range model {
					if got := x.find(k); got != place {
						t.Fatalf("key %x is at %d, not %d", k, got, place)
					}
				}
				if x.find(99<<40) != 0 {
					t.Fatal("a key that was never put is found")
				}
			},
		})
	})
}

func TestRecentRemembersAtLeastOneGeneration(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const generation = 20
		r := recent{most: generation}
		var order []uint64
		for range rapid.IntRange(1, 200).Draw(t, "n") {
			id := rapid.Uint64Range(0, 60).Draw(t, "id")
			seen := r.seen(id)
			for i := len(order) - 1; i >= 0 && i >= len(order)-generation; i-- {
				if order[i] == max(id, 1) && !seen {
					t.Fatalf("%d is forgotten after %d others", id, len(order)-1-i)
				}
			}
			if !seen {
				order = append(order, max(id, 1))
			}
		}
	})
}

func TestEveryKeyThatIsReadGetsThrough(t *testing.T) {
	for _, key := range readKeys {
		if len(key) >= 64 || readLengths[key[0]]>>len(key)&1 == 0 {
			t.Errorf("%s is passed over", key)
		}
	}
}
