package red

import (
	"hash/maphash"
	"testing"

	"github.com/gantry-platform/gantry/internal/signal"
)

// TestIdentitiesSpread hashes ids that are counted up, as bad tracers make them: no two are the same, and their low bits, which pick places in tables, are even.
func TestIdentitiesSpread(t *testing.T) {
	m := newMix(maphash.MakeSeed())
	seen := map[uint64]bool{}
	const places, n = 64, 200
	var perPlace [places]int
	for trace := range n {
		for span := range n {
			for purpose := range uint64(4) {
				var id signal.TraceID
				var of signal.SpanID
				id[15], of[7] = byte(trace), byte(span+1)
				h := m.span(m.trace(id), of, purpose)
				if h == 0 || seen[h] {
					t.Fatalf("trace %d, span %d, purpose %d: %x is taken", trace, span, purpose, h)
				}
				seen[h] = true
				perPlace[h%places]++
			}
		}
	}
	for place, count := range perPlace {
		if mean := 4 * n * n / places; count < mean/2 || count > 2*mean {
			t.Errorf("place %d has %d, and %d are usual", place, count, mean)
		}
	}
}
