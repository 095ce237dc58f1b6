package red

import (
	"encoding/binary"
	"hash/maphash"
	"slices"
	"strings"

	"github.com/gantry-platform/gantry/internal/signal"
)

// observation is one call of Observe.
type observation struct {
	room      *Room
	namespace *namespace
	scratch   *scratch
	arrived   int64 // milliseconds

	resource *signal.Resource
	service  *service
	instance *instance
	// Counted since the resource or the call began.
	ofInstance              uint64
	spans, duplicates, late uint64
}

var noResource = &signal.Resource{Service: "unknown_service"}

func (o *observation) endResource() {
	if o.instance != nil && o.ofInstance > 0 {
		o.instance.spans.Add(o.ofInstance)
		o.ofInstance = 0
	}
}

func (o *observation) count() {
	f := o.room.figures
	f.spans.Add(float64(o.spans))
	if o.duplicates > 0 {
		f.duplicates.Add(float64(o.duplicates))
	}
	if o.late > 0 {
		f.late.Add(float64(o.late))
	}
}

func (o *observation) span(s *signal.Span) {
	resource := s.Resource
	if resource == nil {
		resource = noResource
	}
	if resource != o.resource {
		o.endResource()
		o.resource = resource
		o.service = o.namespace.service(resource.Service, o.arrived)
		o.instance = o.service.instance(resource, o.arrived)
	}
	o.ofInstance++
	if !counts(s.Kind) && s.Outcome != signal.Failed {
		return // an internal span that went well says nothing here
	}
	// In microseconds there is no overflow, whatever a sender claims.
	behind := o.arrived - (s.Start/1000+clampDuration(s.Duration)/1000)/1000
	o.instance.skew.Store(behind)
	if behind > o.room.limits.Late.Milliseconds() {
		o.instance.late.Add(1)
		o.late++
		return
	}
	c := &o.scratch.call
	*c = call{}
	if counts(s.Kind) {
		c.read(s.Attributes)
	}
	w := o.scratch
	w.found = w.found[:0]
	if !o.pair(s, c) {
		o.duplicates++
		return
	}
	o.spans++
	for i := range w.found {
		record(&w.found[i], o.arrived)
	}
	if s.Kind == signal.KindServer || s.Kind == signal.KindConsumer {
		o.entry(s, c)
	}
	if s.Outcome == signal.Failed {
		o.failed(s, c)
	}
}

// entry counts a span for its endpoint and instance.
func (o *observation) entry(s *signal.Span, c *call) {
	w := o.scratch
	duration := clampDuration(s.Duration)
	for {
		w.text = appendEndpoint(w.text[:0], c, s.Name)
		e := o.service.endpoint(s.Kind, w.text, o.arrived)
		if o.room.observe(&e.outcomes, e, s.Outcome, duration, s.TraceID, o.arrived) {
			break
		}
		o.again()
	}
	for !o.room.observe(&o.instance.outcomes, o.instance, s.Outcome, duration, s.TraceID, o.arrived) {
		o.again()
	}
}

// again looks up what was forgotten while this call held it.
func (o *observation) again() {
	o.service = o.namespace.service(o.resource.Service, o.arrived)
	o.instance = o.service.instance(o.resource, o.arrived)
}

// pair remembers the span and joins it with its partner. It answers false for a span that was seen before. Edges are left in scratch.found.
func (o *observation) pair(s *signal.Span, c *call) bool {
	w, r := o.scratch, o.room
	copy(w.key[:16], s.TraceID[:])
	copy(w.key[16:24], s.ID[:])
	// A client and a server of Zipkin may share one id.
	w.key[24] = byte(s.Kind)
	id := maphash.Bytes(o.namespace.seed, w.key[:])
	entry := s.Kind == signal.KindServer || s.Kind == signal.KindConsumer
	waits := false
	if counts(s.Kind) {
		waits = o.prepare(s, c, entry)
	}
	home := r.shardOf(s.TraceID)
	home.mu.Lock()
	if home.recent.seen(id) {
		home.mu.Unlock()
		return false
	}
	meets := home
	if waits {
		if trace := linkedTrace(s, entry); trace != s.TraceID {
			// The partner is in another trace: its shard may be another one.
			home.mu.Unlock()
			meets = r.shardOf(trace)
			meets.mu.Lock()
		}
		w.found = meets.pairs.meet(&w.span, w.found)
	}
	meets.mu.Unlock()
	if !waits && counts(s.Kind) {
		w.found = append(w.found, w.span.alone())
	}
	return true
}

func (r *Room) shardOf(trace signal.TraceID) *shard {
	// Trace ids are random (W3C), at least in their last seven bytes; where they are not, pairing is slower and still right.
	h := binary.LittleEndian.Uint64(trace[8:]) * 0x9E3779B97F4A7C15
	return &r.shards[h>>32&uint64(len(r.shards)-1)]
}

// linkedTrace is the trace in which the partner of a span is.
func linkedTrace(s *signal.Span, entry bool) signal.TraceID {
	if entry && s.Parent.IsZero() && len(s.Links) > 0 {
		return s.Links[0].TraceID
	}
	return s.TraceID
}

// prepare fills scratch.span, and tells whether it waits for a partner.
func (o *observation) prepare(s *signal.Span, c *call, entry bool) bool {
	w, n := o.scratch, o.namespace
	w.span = waiting{arrived: o.arrived, duration: clampDuration(s.Duration), trace: s.TraceID, self: o.service.name, outcome: s.Outcome, entry: entry,
		producer: s.Kind == signal.KindProducer}
	w.text = append(w.text[:0], c.protocol()...)
	w.span.protocol = n.intern(w.text, o.arrived)
	if !entry {
		w.text, w.span.peerType = c.appendTarget(w.text[:0])
		w.span.peer = n.intern(w.text, o.arrived)
		w.span.key = o.partnerKey(s.TraceID, s.ID)
		return w.span.peerType != toDatabase && w.span.peerType != toCache
	}
	parent, trace := s.Parent, s.TraceID
	if parent.IsZero() && len(s.Links) > 0 {
		parent, trace = s.Links[0].SpanID, s.Links[0].TraceID
	}
	switch {
	case c.messaging != "" && c.destination != "":
		w.text, _ = c.appendTarget(w.text[:0])
	case parent.IsZero():
		w.text = append(w.text[:0], user...)
	default:
		w.text = append(w.text[:0], unknown...)
	}
	w.span.peer = n.intern(w.text, o.arrived)
	w.span.key = o.partnerKey(trace, parent)
	return !parent.IsZero()
}

func (o *observation) partnerKey(trace signal.TraceID, call signal.SpanID) uint64 {
	key := &o.scratch.key
	copy(key[:16], trace[:])
	copy(key[16:24], call[:])
	return maphash.Bytes(o.namespace.seed, key[:24])
}

// record counts an edge.
func record(m *meeting, now int64) {
	n := m.caller.namespace
	for {
		e := n.edge(edgeKey{caller: m.caller, callee: m.callee, protocol: m.protocol, calleeType: m.calleeType}, now)
		if n.room.observe(&e.outcomes, e, m.outcome, m.duration, m.trace, now) {
			return
		}
	}
}

func sortExcesses(all []Excess) {
	slices.SortFunc(all, func(a, b Excess) int {
		if c := strings.Compare(a.Service, b.Service); c != 0 {
			return c
		}
		return strings.Compare(a.What, b.What)
	})
}
