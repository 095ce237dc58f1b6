package gantry

import (
	"math/rand/v2"
	"time"
)

// View is what is known of a service at one moment. It is immutable and shared.
type View struct {
	// Service is "service" or "group/service".
	Service string
	// Revision grows with each change of the service on one cluster; 0 for what did not come from a server, or from one
	// without quorum.
	Revision int64
	// Instances are all of them, also those that take no traffic, ordered by id. Shared: do not change.
	Instances []*Instance
	// Known: an answer of a server, or a local snapshot's, stands behind the view. Before that it is empty.
	Known bool
	// Stale: the view may be behind, as no session is open, it comes from the local snapshot, or the server
	// has lost its quorum. The instances are the last known.
	Stale bool
	// Protected: the service lost too many instances at once, and the server keeps them.
	Protected bool
	// SavedAt is when the local snapshot saw it, for a view that comes from there; otherwise zero.
	SavedAt time.Time

	// available are the instances that traffic may go to.
	available *Set
}

// newView makes a view and what picking needs. It keeps the slice.
func newView(view View) *View {
	v := &view
	v.available = NewSet(selectAvailable(v.Instances))
	return v
}

// selectAvailable keeps what takes traffic. When nothing does but some instances are protected, those are better than nothing:
// the server keeps them because it doubts that they are all gone.
func selectAvailable(all []*Instance) []*Instance {
	available := make([]*Instance, 0, len(all))
	for _, i := range all {
		if i.Available() {
			available = append(available, i)
		}
	}
	if len(available) > 0 {
		return available
	}
	for _, i := range all {
		if i.Protected && i.Status == StatusUp && i.Weight > 0 {
			available = append(available, i)
		}
	}
	return available
}

// Available returns the instances that traffic may go to: those that are up and healthy, or, when there are none, those
// that are protected. Shared: do not change.
func (v *View) Available() []*Instance { return v.available.instances }

// Pick chooses among the available instances, as [Set.Pick] does.
func (v *View) Pick(tried ...*Instance) *Instance { return v.available.Pick(tried...) }

// Set is instances to pick from. It is immutable.
type Set struct {
	instances []*Instance
	draw      aliasTable
}

// NewSet returns a set of instances. It keeps the slice.
func NewSet(instances []*Instance) *Set {
	weights := make([]float64, len(instances))
	for i, instance := range instances {
		weights[i] = instance.Weight
	}
	return &Set{instances, newAliasTable(weights)}
}

// Pick chooses an instance for a call: of two drawn at random by weight, the one with fewer calls under way for
// its weight (Mitzenmacher, The Power of Two Choices, 2001). Instances in tried are left out as long as there
// are others. It returns nil when the set is empty. It takes no lock and does not allocate.
func (s *Set) Pick(tried ...*Instance) *Instance {
	switch len(s.instances) {
	case 0:
		return nil
	case 1:
		return s.instances[0]
	}
	first, second := s.instances[s.draw.next()], s.instances[s.draw.next()]
	if len(tried) > 0 {
		if first = s.untried(first, tried); contains(tried, second) {
			second = first
		}
	}
	if first != second && busier(first, second) {
		return second
	}
	return first
}

// untried returns the first instance from a place on that was not tried, or that of the place when all were.
func (s *Set) untried(from *Instance, tried []*Instance) *Instance {
	if !contains(tried, from) {
		return from
	}
	start := rand.IntN(len(s.instances))
	for n := range s.instances {
		if i := s.instances[(start+n)%len(s.instances)]; !contains(tried, i) {
			return i
		}
	}
	return from
}

// contains compares by id: a newer view holds other values for the same instances.
func contains(all []*Instance, one *Instance) bool {
	for _, i := range all {
		if i.ID == one.ID {
			return true
		}
	}
	return false
}

// busier reports whether a has more calls for its weight than b. Without load they are equal, so that the draw, which
// has taken the weight into account already, decides alone.
func busier(a, b *Instance) bool {
	return float64(a.InFlight())*b.Weight > float64(b.InFlight())*a.Weight
}

// aliasTable draws an index with a probability in proportion to its weight, in constant time: Walker's alias
// method as built by Vose, "A linear algorithm for generating random numbers with a given distribution", 1991.
type aliasTable struct {
	// share is the probability to stay at an index; other is where to go otherwise. Both nil: all weights are equal.
	share []float64
	other []int32
	size  int
}

func newAliasTable(weights []float64) aliasTable {
	n := len(weights)
	table := aliasTable{size: n}
	sum, equal := 0.0, true
	for _, w := range weights {
		sum += w
		equal = equal && w == weights[0]
	}
	if n == 0 || equal {
		return table
	}
	table.share, table.other = make([]float64, n), make([]int32, n)
	var small, large []int32
	for i, w := range weights {
		table.share[i] = w * float64(n) / sum
		if table.share[i] < 1 {
			small = append(small, int32(i))
		} else {
			large = append(large, int32(i))
		}
	}
	for len(small) > 0 && len(large) > 0 {
		less, more := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		table.other[less] = more
		table.share[more] -= 1 - table.share[less]
		if table.share[more] < 1 {
			large = large[:len(large)-1]
			small = append(small, more)
		}
	}
	// What is left over is 1 but for rounding.
	for _, i := range append(small, large...) {
		table.share[i] = 1
	}
	return table
}

func (t *aliasTable) next() int {
	i := rand.IntN(t.size)
	if t.share == nil || rand.Float64() < t.share[i] {
		return i
	}
	return int(t.other[i])
}
