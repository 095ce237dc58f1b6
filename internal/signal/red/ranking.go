package red

import (
	"cmp"
	"container/heap"
	"context"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gantry-platform/gantry/internal/signal"
)

// ErrorGroup is errors of one service that have the same code and come from the same place.
type ErrorGroup struct {
	Service string
	Code    string
	// Fingerprint is of the stack; 0 when there was none.
	Fingerprint uint64
	// Type is the exception's, Message one of the latest, Frame where it was thrown.
	Type, Message, Frame string
	// Endpoint is the name of the span, where a span brought it.
	Endpoint string
	// Trace is of one of the latest; zero when none is known.
	Trace signal.TraceID
	// Count is of the recent hour. At most Uncertain of them may belong to a group that had to make room for this one.
	Count, Uncertain uint64
	First, Last      time.Time
}

// groupKey is what errors are grouped by.
type groupKey struct {
	service, code string
	fingerprint   uint64
}

// group is an ErrorGroup as it is kept: counts of 60 minutes, in a ring.
type group struct {
	ErrorGroup
	minutes [keptMinutes]uint32
	latest  int64 // the minute of the last count
	place   int   // in the heap
}

// ranking keeps the groups with the most errors: when a new group finds no room, the one with the fewest goes, and the new one begins with its count as
// what it may be off by (Metwally, Agrawal, El Abbadi: Efficient computation of frequent and top-k elements in data streams, 2005). So a
// group that truly is among the most frequent is never missing, and a flood of different errors costs no memory.
type ranking struct {
	mu     sync.Mutex
	most   int
	groups map[groupKey]*group
	heap   groupHeap
	stacks map[uint64]stackOf
}

// groupHeap has the group with the fewest errors on top.
type groupHeap []*group

func (h groupHeap) Len() int { return len(h) }
func (h groupHeap) Less(i, j int) bool {
	if h[i].Count != h[j].Count {
		return h[i].Count < h[j].Count
	}
	return h[i].Last.Before(h[j].Last)
}
func (h groupHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}
func (h *groupHeap) Push(x any) {
	g := x.(*group)
	g.place = len(*h)
	*h = append(*h, g)
}
func (h *groupHeap) Pop() any {
	old := *h
	g := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return g
}

// occurrence is one error.
type occurrence struct {
	service, code        string
	fingerprint          uint64
	kind, message, frame string
	endpoint             string
	trace                signal.TraceID
}

// count ranks an error. The strings of the occurrence are cloned if they are kept.
func (r *ranking) count(o *occurrence, now int64) {
	at := time.UnixMilli(now)
	minute := minuteOf(at)
	r.mu.Lock()
	defer r.mu.Unlock()
	key := groupKey{o.service, o.code, o.fingerprint}
	g := r.groups[key]
	if g == nil {
		g = r.add(o, minute, at)
	}
	g.roll(minute)
	g.minutes[minute%keptMinutes]++
	g.Count++
	g.Last = at
	if !o.trace.IsZero() {
		g.Trace = o.trace
	}
	heap.Fix(&r.heap, g.place)
}

// add makes room for a group if it must.
func (r *ranking) add(o *occurrence, minute int64, at time.Time) *group {
	if r.groups == nil {
		r.groups = map[groupKey]*group{}
	}
	g := &group{ErrorGroup: ErrorGroup{Service: cloned(o.service), Code: cloned(o.code), Fingerprint: o.fingerprint, Type: cloned(o.kind),
		Message: strings.Clone(clean(o.message, maxMessageBytes)), Frame: o.frame, Endpoint: strings.Clone(clean(o.endpoint, maxEndpointBytes)), First: at, Last: at}, latest: minute}
	if len(r.heap) >= r.most {
		fewest := r.heap[0]
		fewest.roll(minute)
		g.Count, g.Uncertain = fewest.Count, fewest.Count
		g.minutes[minute%keptMinutes] = uint32(min(fewest.Count, 1<<31))
		heap.Remove(&r.heap, fewest.place)
		delete(r.groups, fewest.key())
	}
	r.groups[g.key()] = g
	heap.Push(&r.heap, g)
	return g
}

func (g *group) key() groupKey { return groupKey{g.Service, g.Code, g.Fingerprint} }

// roll moves the ring to a minute: what is older than an hour is taken off the count.
func (g *group) roll(minute int64) {
	for g.latest < minute {
		if minute-g.latest >= keptMinutes {
			clear(g.minutes[:])
			g.latest, g.Count, g.Uncertain = minute, 0, 0
			return
		}
		g.latest++
		old := &g.minutes[g.latest%keptMinutes]
		g.Count -= min(g.Count, uint64(*old))
		*old = 0
	}
	g.Uncertain = min(g.Uncertain, g.Count)
}

// turn rolls all groups, and forgets those without an error in the recent hour.
func (r *ranking) turn(minute int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	kept := r.heap[:0]
	for _, g := range r.heap {
		g.roll(minute)
		if g.Count == 0 {
			delete(r.groups, g.key())
			continue
		}
		g.place = len(kept)
		kept = append(kept, g)
	}
	clear(r.heap[len(kept):])
	r.heap = kept
	heap.Init(&r.heap)
}

// top lists the groups of one service, or of all when it is empty, in no order. unlisted is how many errors a group may have had that is not among
// those of all services.
func (r *ranking) top(service string, minute int64) (all []ErrorGroup, unlisted uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fewest := uint64(math.MaxUint64)
	for _, g := range r.heap {
		c := *g
		c.roll(minute)
		fewest = min(fewest, c.Count)
		if c.Count > 0 && (service == "" || c.Service == service) {
			all = append(all, c.ErrorGroup)
		}
	}
	if len(r.heap) >= r.most {
		unlisted = fewest
	}
	return all, unlisted
}

// Errors ranks the errors of the recent hour, the most frequent first; those of one service, or of all when it is empty. Each node knows as many groups as
// Limits.Errors at most, and at most limit are answered when that is above 0.
func (r *Room) Errors(ctx context.Context, namespace, service string, limit int) ([]ErrorGroup, Window, error) {
	g, err := r.gather(ctx, Question{Subject: AboutErrors, Namespace: namespace, Service: service})
	if err != nil {
		return nil, Window{}, err
	}
	all := make([]ErrorGroup, 0, len(g.errors))
	for _, e := range g.errors {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b ErrorGroup) int {
		return cmp.Or(-cmp.Compare(a.Count-a.Uncertain, b.Count-b.Uncertain), -a.Last.Compare(b.Last), cmp.Compare(a.Service, b.Service),
			cmp.Compare(a.Code, b.Code), cmp.Compare(a.Fingerprint, b.Fingerprint))
	})
	if limit > 0 && len(all) > limit {
		all = all[:limit]
	}
	return all, g.window, nil
}
