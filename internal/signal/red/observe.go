package red

import (
	"encoding/binary"
	"slices"
	"strings"

	"github.com/gantry-platform/gantry/internal/signal"
)

// chunkSpans are worked on together: first each is read, then all of one shard are looked up, then they are counted. The tables of a shard are far larger
// than the processor's caches, and to ask for several places at once is what hides how long each takes.
const chunkSpans = 128

// observation is one call of Observe.
type observation struct {
	room      *Room
	namespace *namespace
	scratch   *scratch
	arrived   int64 // milliseconds

	resource *signal.Resource
	service  *service
	instance *instance
	lane     *name // of the resource; nil for none
	// names are those that were used last, which the next span mostly needs again.
	names [lastNames]*name
	// Counted since the resource or the call began.
	ofInstance              uint64
	spans, duplicates, late uint64
}

// scratch is what one call of Observe works with.
type scratch struct {
	text  []byte
	found []meeting
	call  call
	chunk [chunkSpans]prepared
	// first and last are the spans of each shard, in order; -1 is none.
	first, last [maxShards]int16
	touched     uint64
}

// prepared is a span that was read and is to be counted.
type prepared struct {
	source   *signal.Span
	service  *service
	instance *instance
	endpoint *endpoint // of an entry
	id       uint64
	waiting  waiting
	next     int16 // of the same shard
	home     uint8 // the shard of its trace
	meets    uint8 // the shard where its partner is
	waits    bool
	again    bool // it has come before
}

// What the names of an observation are for.
const (
	callProtocol = iota
	entryProtocol
	entryPeer
	lastNames
)

// named is the kept name of a text: the one that was used last, if it is that.
func (o *observation) named(use int, text string) *name {
	if last := o.names[use]; last != nil && last.text == text {
		return last
	}
	o.scratch.text = append(o.scratch.text[:0], text...)
	o.names[use] = o.namespace.intern(o.scratch.text, o.arrived)
	return o.names[use]
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

// all counts spans, chunk by chunk.
func (o *observation) all(spans []signal.Span) {
	w := o.scratch
	n := 0
	for i := range spans {
		if o.prepare(&spans[i], &w.chunk[n]) {
			n++
		}
		if n == chunkSpans {
			o.countChunk(n)
			n = 0
		}
	}
	o.countChunk(n)
}

// prepare reads a span. It answers false for one that is not to be counted.
func (o *observation) prepare(s *signal.Span, p *prepared) bool {
	resource := s.Resource
	if resource == nil {
		resource = noResource
	}
	if resource != o.resource {
		o.endResource()
		o.resource = resource
		o.service = o.namespace.service(resource.Service, o.arrived)
		o.instance = o.service.instance(resource, o.arrived)
		o.lane = o.namespace.lane(resource.Lane, o.arrived)
	}
	o.ofInstance++
	if !counts(s.Kind) && s.Outcome != signal.Failed {
		return false // an internal span that went well says nothing here
	}
	// In microseconds there is no overflow, whatever a sender claims.
	behind := o.arrived - (s.Start/1000+clampDuration(s.Duration)/1000)/1000
	o.instance.skew.Store(behind)
	if behind > o.room.limits.Late.Milliseconds() {
		o.instance.late.Add(1)
		o.late++
		return false
	}
	p.source, p.service, p.instance, p.endpoint, p.waits, p.again = s, o.service, o.instance, nil, false, false
	o.identify(s, p)
	if !counts(s.Kind) {
		return true
	}
	c := &o.scratch.call
	*c = call{}
	c.read(s.Attributes)
	o.prepareMeeting(s, c, p)
	if p.waiting.entry {
		o.scratch.text = appendEndpoint(o.scratch.text[:0], c, s.Name)
		p.endpoint = o.service.endpoint(s.Kind, o.scratch.text, o.arrived)
	}
	return true
}

// identify works out by what a span is remembered, and where.
func (o *observation) identify(s *signal.Span, p *prepared) {
	// A client and a server of Zipkin may share one id.
	p.id = o.namespace.mix.span(o.namespace.mix.trace(s.TraceID), s.ID, uint64(s.Kind)+1)
	p.home = o.room.shardOf(s.TraceID)
	p.meets = p.home
}

func (r *Room) shardOf(trace signal.TraceID) uint8 {
	// Trace ids are random (W3C), at least in their last seven bytes; where they are not, one shard does more of the work.
	h := binary.LittleEndian.Uint64(trace[8:]) * 0x9E3779B97F4A7C15
	return uint8(h >> 32 & uint64(len(r.shards)-1))
}

// prepareMeeting fills in what is needed to join a span with its partner.
func (o *observation) prepareMeeting(s *signal.Span, c *call, p *prepared) {
	w, n := o.scratch, o.namespace
	entry := isEntry(s.Kind)
	p.waiting = waiting{arrived: o.arrived, duration: clampDuration(s.Duration), trace: s.TraceID, self: o.service.name, lane: o.lane, outcome: s.Outcome, entry: entry,
		producer: s.Kind == signal.KindProducer}
	if !entry {
		p.waiting.protocol = o.named(callProtocol, c.protocol())
		w.text, p.waiting.peerType = c.appendTarget(w.text[:0])
		p.waiting.peer = n.intern(w.text, o.arrived)
		p.waiting.key = o.partnerKey(s.TraceID, s.ID)
		p.waits = p.waiting.peerType != toDatabase && p.waiting.peerType != toCache
		return
	}
	parent, trace := s.Parent, s.TraceID
	if parent.IsZero() && len(s.Links) > 0 {
		parent, trace = s.Links[0].SpanID, s.Links[0].TraceID
		p.meets = o.room.shardOf(trace)
	}
	p.waiting.protocol = o.named(entryProtocol, c.protocol())
	switch {
	case c.messaging != "" && c.destination != "":
		w.text, _ = c.appendTarget(w.text[:0])
		p.waiting.peer = n.intern(w.text, o.arrived)
	case parent.IsZero():
		p.waiting.peer = o.named(entryPeer, user)
	default:
		p.waiting.peer = o.named(entryPeer, unknown)
	}
	p.waiting.key = o.partnerKey(trace, parent)
	p.waits = !parent.IsZero()
}

func isEntry(k signal.Kind) bool { return k == signal.KindServer || k == signal.KindConsumer }

// partnerKey is by what partners find each other: the call's place in its trace.
func (o *observation) partnerKey(trace signal.TraceID, call signal.SpanID) uint64 {
	return o.namespace.mix.span(o.namespace.mix.trace(trace), call, 0)
}

// countChunk looks the first n spans of the chunk up, and counts those that are new.
func (o *observation) countChunk(n int) {
	w := o.scratch
	w.found = w.found[:0]
	o.sort(n)
	for shard := range o.room.shards {
		if w.first[shard] >= 0 {
			o.lookUp(&o.room.shards[shard], w.first[shard])
		}
	}
	for i := range w.chunk[:n] {
		p := &w.chunk[i]
		if p.again {
			o.duplicates++
			continue
		}
		o.spans++
		o.countOne(p)
	}
	for i := range w.found {
		record(&w.found[i], o.arrived)
	}
}

// sort puts the spans into lists by shard.
func (o *observation) sort(n int) {
	w := o.scratch
	for shard := range o.room.shards {
		w.first[shard] = -1
	}
	for i := range w.chunk[:n] {
		p := &w.chunk[i]
		p.next = -1
		if w.first[p.home] < 0 {
			w.first[p.home] = int16(i)
		} else {
			w.chunk[w.last[p.home]].next = int16(i)
		}
		w.last[p.home] = int16(i)
	}
}

// lookUp remembers the spans of one shard, and joins them with their partners.
func (o *observation) lookUp(s *shard, first int16) {
	w := o.scratch
	s.mu.Lock()
	defer s.mu.Unlock()
	touched := uint64(0)
	for i := first; i >= 0; i = w.chunk[i].next {
		p := &w.chunk[i]
		touched += s.recent.touch(p.id) + s.pairs.byKey.touch(p.waiting.key)
	}
	w.touched = touched // so that the loop is not for nothing
	for i := first; i >= 0; i = w.chunk[i].next {
		p := &w.chunk[i]
		if p.again = s.recent.seen(p.id); !p.again && p.waits && p.meets == p.home {
			w.found = s.pairs.meet(&p.waiting, w.found)
		}
	}
}

// countOne counts a span that is new.
func (o *observation) countOne(p *prepared) {
	s, w := p.source, o.scratch
	switch {
	case !counts(s.Kind):
	case !p.waits:
		w.found = append(w.found, p.waiting.alone())
	case p.meets != p.home:
		other := &o.room.shards[p.meets]
		other.mu.Lock()
		w.found = other.pairs.meet(&p.waiting, w.found)
		other.mu.Unlock()
	}
	if p.endpoint != nil {
		o.entry(p)
	}
	if s.Outcome == signal.Failed {
		o.failed(p)
	}
}

// entry counts a span for its endpoint and instance.
func (o *observation) entry(p *prepared) {
	s, r := p.source, o.room
	for !r.observe(&p.endpoint.outcomes, p.endpoint, s.Outcome, p.waiting.duration, s.TraceID, o.arrived) {
		// It was forgotten since it was looked up.
		p.service = o.namespace.service(p.service.name.text, o.arrived)
		p.endpoint = p.service.endpoint(s.Kind, []byte(p.endpoint.name), o.arrived)
	}
	for !r.observe(&p.instance.outcomes, p.instance, s.Outcome, p.waiting.duration, s.TraceID, o.arrived) {
		p.instance = p.service.instance(s.Resource, o.arrived)
	}
}

// record counts an edge.
func record(m *meeting, now int64) {
	n := m.caller.namespace
	for {
		e := n.edge(edgeKey{caller: m.caller, callee: m.callee, protocol: m.protocol, lane: m.lane, calleeType: m.calleeType}, now)
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
