package red

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"

	"github.com/gantry-platform/gantry/internal/signal"
)

// mix hashes identities of spans by multiplication with secrets, as wyhash does: they have a fixed size, and a general hash costs several times as much. What
// it answers is never zero, which marks free places in tables.
type mix [4]uint64

func newMix(seed maphash.Seed) (m mix) {
	for i := range m {
		m[i] = maphash.Comparable(seed, i)
	}
	return m
}

func (m *mix) trace(id signal.TraceID) uint64 {
	high, low := bits.Mul64(binary.LittleEndian.Uint64(id[:8])^m[0], binary.LittleEndian.Uint64(id[8:])^m[1])
	return high ^ low
}

// span hashes a span within its trace, for one of several purposes.
func (m *mix) span(trace uint64, id signal.SpanID, purpose uint64) uint64 {
	high, low := bits.Mul64(trace^binary.LittleEndian.Uint64(id[:])^m[2], m[3]+purpose*0x9E3779B97F4A7C15)
	return max(high^low, 1)
}
