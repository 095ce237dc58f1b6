package state_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/gantry-platform/gantry/internal/state"
)

func TestKeysSplitIntoTheirParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(rapid.String(), 1, 6).Draw(t, "parts")
		key := state.Key(parts...)
		back, err := state.Split(key)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(back, parts) {
			t.Fatalf("%q became %q", parts, back)
		}
		for _, c := range key {
			if c < 0x20 {
				t.Fatalf("key %q holds a control character", key)
			}
		}
	})
}

// TestPrefixHoldsOnlyItsOwn would fail if a part could leak into its neighbour, as "a" and "a/b" do unescaped.
func TestPrefixHoldsOnlyItsOwn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.StringMatching(`[a-b/%]{0,4}`)
		a := []string{part.Draw(t, "a0"), part.Draw(t, "a1")}
		b := []string{part.Draw(t, "b0"), part.Draw(t, "b1"), "x"}
		inside := strings.HasPrefix(state.Key(b...), state.Prefix(a...))
		if want := slices.Equal(a, b[:2]); inside != want {
			t.Fatalf("%q under %q: %v, want %v", b, a, inside, want)
		}
	})
}

func FuzzSplit(f *testing.F) {
	f.Add("a/b")
	f.Add("%2F/%")
	f.Fuzz(func(t *testing.T, key string) {
		parts, err := state.Split(key)
		if err != nil {
			return
		}
		again, err := state.Split(state.Key(parts...))
		if err != nil || !slices.Equal(again, parts) {
			t.Fatalf("%q: %q, then %q (%v)", key, parts, again, err)
		}
	})
}
