package red

import (
	"sync"

	"github.com/gantry-platform/gantry/internal/signal"
)

// waiting is a span that waits for its partner, or a call that has met one and may meet another: a producer whose message several consumers read.
type waiting struct {
	key      uint64
	arrived  int64 // milliseconds
	duration int64
	trace    signal.TraceID
	// self is the service of the span. peer is who takes the partner's place if it never comes. lane is the instance's; nil for none.
	self, peer, protocol, lane *name
	peerType                   calleeType
	outcome                    signal.Outcome
	entry                      bool // it is an entry, not a call
	producer                   bool
	paired                     bool
	// chain is the next with the same key; before and after are neighbours in its list, oldest first. 0 is none.
	chain, before, after int32
}

// meeting is an edge that was found: who called whom, and how it went.
type meeting struct {
	caller, callee, protocol *name
	lane                     *name // nil for none
	calleeType               calleeType
	outcome                  signal.Outcome
	duration                 int64
	trace                    signal.TraceID
}

// shard keeps what belongs to a share of all traces.
type shard struct {
	mu     sync.Mutex
	recent recent
	pairs  pairs
	_      [64]byte // neighbours do not share a line of the cache
}

// pairs is a bounded store of waiting spans. Places are numbered from 1, and never move. Not for concurrent use.
type pairs struct {
	byKey  index
	places []waiting
	free   []int32
	// alone are those without partner; calls and producers have met one and may meet another.
	alone, calls, producers list
	most                    int
	// evicted counts those without partner that were given up early because the store was full.
	evicted uint64
}

type list struct {
	first, last int32
	length      int
}

func (p *pairs) at(place int32) *waiting { return &p.places[place-1] }

func (p *pairs) push(l *list, place int32) {
	w := p.at(place)
	w.before, w.after = l.last, 0
	if l.last != 0 {
		p.at(l.last).after = place
	} else {
		l.first = place
	}
	l.last = place
	l.length++
}

func (p *pairs) cut(l *list, place int32) {
	w := p.at(place)
	if w.before != 0 {
		p.at(w.before).after = w.after
	} else {
		l.first = w.after
	}
	if w.after != 0 {
		p.at(w.after).before = w.before
	} else {
		l.last = w.before
	}
	l.length--
}

// meet joins a span with those that wait for it, or lets it wait. What is found is appended to found.
func (p *pairs) meet(span *waiting, found []meeting) []meeting {
	var last int32
	for place := p.byKey.find(span.key); place != 0; {
		w := p.at(place)
		next := w.chain
		if w.entry == span.entry {
			last = place
			place = next
			continue
		}
		if span.entry {
			found = append(found, join(w, span))
			if !w.paired {
				w.paired = true
				p.cut(&p.alone, place)
				p.keep(w, place)
			}
			return found
		}
		found = append(found, join(span, w))
		span.paired = true
		p.unchain(span.key, last, place)
		p.cut(&p.alone, place)
		p.release(place)
		place = next
	}
	return p.wait(span, found)
}

// join makes the edge of a call and its entry. Only the first entry takes as long as the call. The lane is the one in which it was served; where that is none,
// the caller's, whose call then left its lane.
func join(call, entry *waiting) meeting {
	m := meeting{caller: call.self, callee: entry.self, protocol: call.protocol, lane: entry.lane, calleeType: toService, outcome: call.outcome,
		duration: call.duration, trace: call.trace}
	if call.paired {
		m.duration = entry.duration
	}
	if m.lane == nil {
		m.lane = call.lane
	}
	if m.protocol.text == unknown {
		m.protocol = entry.protocol
	}
	if entry.outcome == signal.Refused || call.outcome == signal.Success {
		m.outcome = entry.outcome
	}
	return m
}

// alone makes the edge of a span whose partner never came.
func (w *waiting) alone() meeting {
	m := meeting{caller: w.self, callee: w.peer, protocol: w.protocol, lane: w.lane, calleeType: w.peerType, outcome: w.outcome, duration: w.duration, trace: w.trace}
	if w.entry {
		m.caller, m.callee, m.calleeType = w.peer, w.self, toService
	}
	return m
}

// wait keeps a span. When there is no room, one that has met its partner goes, otherwise the oldest is given up as if its time were over.
func (p *pairs) wait(span *waiting, found []meeting) []meeting {
	if p.length() >= p.most {
		switch {
		case p.calls.length > 0:
			p.drop(&p.calls, p.calls.first)
		case p.producers.length > 0:
			p.drop(&p.producers, p.producers.first)
		default:
			found = append(found, p.at(p.alone.first).alone())
			p.evicted++
			p.drop(&p.alone, p.alone.first)
		}
	}
	var place int32
	if n := len(p.free); n > 0 {
		place, p.free = p.free[n-1], p.free[:n-1]
	} else {
		p.places = append(p.places, waiting{})
		place = int32(len(p.places))
	}
	w := p.at(place)
	*w = *span
	w.chain = p.byKey.find(span.key)
	p.byKey.put(span.key, place)
	if w.paired {
		p.keep(w, place)
	} else {
		p.push(&p.alone, place)
	}
	return found
}

// How much of the store those may fill that have met a partner. A producer's message is often read by several, some of them later. A call has
// several entries when the transport tried again or hedged: seldom, and soon.
const (
	producerShare = 4
	callShare     = 64
)

// keep holds a call that has met a partner, for another one, and lets go of the oldest such.
func (p *pairs) keep(w *waiting, place int32) {
	l, most := &p.calls, p.most/callShare
	if w.producer {
		l, most = &p.producers, p.most/producerShare
	}
	p.push(l, place)
	if l.length > max(most, 1) {
		p.drop(l, l.first)
	}
}

func (p *pairs) length() int { return p.alone.length + p.calls.length + p.producers.length }

// drop removes a place from its list and its chain.
func (p *pairs) drop(l *list, place int32) {
	key := p.at(place).key
	var last int32
	for at := p.byKey.find(key); at != 0 && at != place; at = p.at(at).chain {
		last = at
	}
	p.unchain(key, last, place)
	p.cut(l, place)
	p.release(place)
}

func (p *pairs) unchain(key uint64, last, place int32) {
	next := p.at(place).chain
	switch {
	case last != 0:
		p.at(last).chain = next
	case next != 0:
		p.byKey.put(key, next)
	default:
		p.byKey.remove(key)
	}
}

func (p *pairs) release(place int32) {
	*p.at(place) = waiting{}
	p.free = append(p.free, place)
}

// expire gives up those that arrived before a time.
func (p *pairs) expire(before int64, found []meeting) []meeting {
	for p.alone.first != 0 && p.at(p.alone.first).arrived < before {
		found = append(found, p.at(p.alone.first).alone())
		p.drop(&p.alone, p.alone.first)
	}
	for _, l := range [...]*list{&p.calls, &p.producers} {
		for l.first != 0 && p.at(l.first).arrived < before {
			p.drop(l, l.first)
		}
	}
	if p.length() == 0 && len(p.places) > 0 {
		p.places, p.free, p.byKey = nil, nil, index{} // memory follows the load down
	}
	return found
}
