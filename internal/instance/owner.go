package instance

import (
	"slices"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"

	"github.com/gantry-platform/gantry/internal/state"
)

// members are the live nodes, in the order of their ids.
type members struct {
	ids    []string
	hashes []uint64
	self   string
}

func newMembers(self string, nodes []state.Node) *members {
	m := &members{self: self}
	for _, node := range nodes {
		m.ids = append(m.ids, node.ID)
		m.hashes = append(m.hashes, xxhash.Sum64String(node.ID))
	}
	return m
}

func (m *members) live(id string) bool { return slices.Contains(m.ids, id) }

// hashService and hashInstance must be the same on every node and in every version: ownership hangs on them.
func hashService(s Service) uint64 {
	return xxhash.Sum64String(s.Namespace + "\x00" + s.Group + "\x00" + s.Name)
}

func hashInstance(service uint64, id string) uint64 { return mix(service ^ xxhash.Sum64String(id)) }

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood, 2014).
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// pick is rendezvous hashing (Thaler and Ravishankar, 1998): of the live nodes, the one whose hash with the instance's is
// highest. When a node goes, only its own instances move. Without any node it is this one.
func (m *members) pick(hash uint64) string {
	if len(m.ids) == 1 {
		return m.ids[0]
	}
	best, highest := m.self, uint64(0)
	for i, node := range m.hashes {
		if score := mix(hash ^ node); score >= highest {
			best, highest = m.ids[i], score
		}
	}
	return best
}

// ownerOf is the node that keeps an instance alive: the one that holds its session, while that lives; otherwise the
// one that the hash picks.
func (m *members) ownerOf(r *roster, i *Instance) string {
	if i.Owner != "" && (i.Owner == m.self || m.live(i.Owner)) {
		return i.Owner
	}
	return m.pick(hashInstance(r.hash, i.ID))
}

// ownership is what the registry knows of the cluster.
type ownership struct{ current atomic.Pointer[members] }

func (o *ownership) members() *members { return o.current.Load() }

// Owner is the node that keeps an instance alive: it holds the session, takes the beats, or runs the checks.
func (r *Registry) Owner(service Service, i *Instance) string {
	roster := r.table.find(service.Normal())
	if roster == nil {
		return ""
	}
	return r.ownership.members().ownerOf(roster, i)
}
