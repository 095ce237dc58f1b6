package trace

import (
	"strings"
	"sync"
	"time"

	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/wire"
)

// head holds the spans of one log segment in memory: the requests as they came, and for each span where it is. Spans are decoded when they are
// asked for, which costs less than keeping them decoded: a request is a quarter of the size of its spans.
type head struct {
	number uint64
	opened time.Time

	mu         sync.RWMutex
	namespaces []string
	batches    []held
	// resources are those of all batches, by their bytes: a fleet has few, and each request repeats its own.
	resources map[string]*signal.Resource
	// scopes are the names of scopes, by the bytes of scopes.
	scopes map[string]string
	spans  []place
	// byTrace is the index of a trace's last span, plus one; place.previous leads on.
	byTrace map[traceKey]int32
	bytes   int64
	// earliest and latest bound the starts of the spans.
	earliest, latest int64
	// names are the endpoints seen, bounded.
	names names
	// touched is of the cutter alone.
	touched uint64
}

// source is what the spans of a group have in common.
type source struct {
	resource *signal.Resource
	scope    string
}

// traceKey is a trace of a namespace, which has a number within the head.
type traceKey struct {
	id        signal.TraceID
	namespace uint32
}

// held is a batch that the head keeps.
type held struct {
	namespace string
	arrived   time.Time
	raw       []byte
	groups    []signal.Group
	clean     bool
	// The rest is filled when the head takes the batch. sources belong to the groups.
	sources []source
	// first and end are its spans among those of the head; latest is the latest start up to and including this batch.
	first, end int
	latest     int64
}

// place is a span in a head.
type place struct {
	trace           signal.TraceID
	start, duration int64
	batch           uint32
	group           uint32
	at, end         uint32
	previous        int32
	namespace       uint32
}

// placeBytes is about what a span costs beside its bytes.
const placeBytes = 96

func newHead(number uint64, now time.Time) *head {
	return &head{number: number, opened: now, byTrace: map[traceKey]int32{}, resources: map[string]*signal.Resource{}, scopes: map[string]string{}, names: newNames()}
}

// entry is a batch on its way into the log and then into the head.
type entry struct {
	held
	places []signal.Place
	// trace, start and duration of each span; service, kind and name of those that are new to the names are read from spans.
	spans []spanTimes
	names []name
}

type spanTimes struct {
	trace           signal.TraceID
	start, duration int64
}

func newEntry(b *signal.Batch) *entry {
	e := &entry{held: held{namespace: b.Namespace, arrived: b.Arrived, raw: b.Raw, clean: b.Clean, groups: append([]signal.Group(nil), b.Groups...)},
		places: append([]signal.Place(nil), b.Places...), spans: make([]spanTimes, len(b.Spans))}
	var last name
	for i := range b.Spans {
		s := &b.Spans[i]
		e.spans[i] = spanTimes{s.TraceID, s.Start, s.Duration}
		if n := (name{b.Namespace, s.Resource.Service, s.Name, s.Kind}); n != last {
			e.names = append(e.names, n)
			last = n
		}
	}
	return e
}

func (h *head) add(e *entry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.batches) == 0 {
		h.opened = e.arrived // what its age and its day are counted from
	}
	batch := uint32(len(h.batches))
	namespace := uint32(h.namespace(e.namespace, true))
	e.sources = make([]source, len(e.groups))
	for i, group := range e.groups {
		e.sources[i] = source{h.resource(e.raw, group), h.scope(e.raw, group)}
	}
	e.first, e.end = len(h.spans), len(h.spans)+len(e.places)
	h.bytes += int64(len(e.raw) + placeBytes*len(e.places))
	for i, p := range e.places {
		t := e.spans[i]
		key := traceKey{t.trace, namespace}
		h.spans = append(h.spans, place{trace: t.trace, start: t.start, duration: t.duration, batch: batch, group: p.Group, at: p.At, end: p.End,
			previous: h.byTrace[key] - 1, namespace: namespace})
		h.byTrace[key] = int32(len(h.spans))
		if len(h.spans) == 1 || t.start < h.earliest {
			h.earliest = t.start
		}
		if len(h.spans) == 1 || t.start > h.latest {
			h.latest = t.start
		}
	}
	e.latest = h.latest
	h.batches = append(h.batches, e.held)
	for _, n := range e.names {
		h.names.add(n)
	}
}

// namespace is the number of a namespace in this head, of which there are few; -1 when it has none and none is wanted.
func (h *head) namespace(name string, add bool) int {
	for i, n := range h.namespaces {
		if n == name {
			return i
		}
	}
	if !add {
		return -1
	}
	h.namespaces = append(h.namespaces, name)
	return len(h.namespaces) - 1
}

func (h *head) size() (spans int, bytes int64) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return len(h.spans), h.bytes
}

// resource finds the resource of a group, shared by all who have the same.
func (h *head) resource(raw []byte, group signal.Group) *signal.Resource {
	bytes := raw[group.ResourceAt:group.ResourceEnd]
	if r, ok := h.resources[string(bytes)]; ok {
		return r
	}
	own := append([]byte(nil), bytes...) // or one small resource would hold its whole request
	r, err := new(wire.Decoder).Resource(own, signal.Group{ResourceEnd: uint32(len(own))})
	if err != nil {
		r = &signal.Resource{} // cannot be: it was decoded when it came
	}
	h.resources[string(own)] = r
	return r
}

// scope finds the name of a group's scope, shared by all who have the same.
func (h *head) scope(raw []byte, group signal.Group) string {
	bytes := raw[group.ScopeAt:group.ScopeEnd]
	if name, ok := h.scopes[string(bytes)]; ok {
		return name
	}
	name, err := new(wire.Decoder).Scope(raw, group)
	if err != nil {
		name = "" // cannot be: it was decoded when it came
	}
	name = strings.Clone(name)
	h.scopes[string(bytes)] = name
	return name
}

// decode decodes one span. It shares the memory of the decoder.
func (b *held) decode(d *wire.Decoder, p *place, into *signal.Span) error {
	d.Trusted = b.clean
	*into = signal.Span{Resource: b.sources[p.group].resource, Scope: b.sources[p.group].scope}
	return d.Span(b.raw, signal.Place{At: p.at, End: p.end}, into)
}

func (h *head) decode(d *wire.Decoder, p *place, into *signal.Span) error {
	return h.batches[p.batch].decode(d, p, into)
}

// trace appends a trace's spans. Their strings point into the head's requests, which nobody changes and the garbage collector keeps.
func (h *head) trace(namespace string, id signal.TraceID, to []signal.Span) ([]signal.Span, error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	d := &wire.Decoder{} // not used again: the spans keep its memory
	number := h.namespace(namespace, false)
	if number < 0 {
		return to, nil
	}
	for i := h.byTrace[traceKey{id, uint32(number)}] - 1; i >= 0; i = h.spans[i].previous {
		to = append(to, signal.Span{})
		if err := h.decode(d, &h.spans[i], &to[len(to)-1]); err != nil {
			return to[:len(to)-1], err
		}
	}
	return to, nil
}
