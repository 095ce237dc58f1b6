package keyvalue

import (
	"github.com/cespare/xxhash/v2"

	"github.com/gantry-platform/gantry/internal/state"
)

// members are the live nodes, in the order of their ids.
type members struct {
	self   string
	ids    []string
	hashes []uint64
}

func newMembers(self string, nodes []state.Node) *members {
	m := &members{self: self}
	for _, node := range nodes {
		m.ids = append(m.ids, node.ID)
		m.hashes = append(m.hashes, xxhash.Sum64String(node.ID))
	}
	return m
}

// owns reports whether this node ends a session: by rendezvous hashing, of the live nodes the one whose hash with the session's is
// highest. It must be the same on every node. Two nodes that disagree for a moment do no harm: the change of the state has its condition.
func (m *members) owns(session uint64) bool {
	best, highest := m.self, uint64(0)
	for i, node := range m.hashes {
		if score := mix(session ^ node); score >= highest {
			best, highest = m.ids[i], score
		}
	}
	return best == m.self
}

func hashSession(namespace, id string) uint64 { return xxhash.Sum64String(namespace + "\x00" + id) }

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood, 2014).
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}
