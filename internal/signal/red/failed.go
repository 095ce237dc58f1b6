package red

import (
	"hash/maphash"

	"github.com/gantry-platform/gantry/internal/signal"
)

// failed counts a failed span: for the codes of its service if it is an entry or a root, and in the ranking of errors. A failed call, and a failed step inside the
// service, count in the ranking only when they bring an exception: otherwise the entry that failed with them says the same once more.
func (o *observation) failed(p *prepared) {
	s := p.source
	c := &o.scratch.call
	*c = call{}
	c.read(s.Attributes)
	e := occurrence{service: p.service.name.text, endpoint: s.Name, trace: s.TraceID, message: s.StatusMessage}
	stack := ""
	for i := len(s.Events) - 1; i >= 0; i-- { // the last exception is the one that got out
		if s.Events[i].Name == "exception" {
			stack = e.exception(s.Events[i].Attributes)
			break
		}
	}
	entry := isEntry(s.Kind) || s.Parent.IsZero()
	e.code = c.code(e.kind)
	if entry {
		counter := p.service.code(e.code, o.arrived)
		counter.value.Add(1)
		counter.touched.Store(o.arrived)
	}
	switch {
	case e.kind != "" || stack != "":
		e.fingerprint, e.frame = o.namespace.fingerprint(e.kind, stack)
	case !entry:
		return
	}
	if o.firstOf(s.TraceID, &e) {
		o.namespace.ranking.count(&e, o.arrived)
	}
}

func counts(k signal.Kind) bool { return k >= signal.KindServer && k <= signal.KindConsumer }

// exception reads the attributes of an exception, and answers its stack.
func (e *occurrence) exception(attributes []signal.Attribute) (stack string) {
	for i := range attributes {
		a := &attributes[i]
		switch a.Key {
		case "exception.type":
			e.kind = a.Value.Text
		case "exception.message":
			e.message = a.Value.Text
		case "exception.stacktrace":
			stack = a.Value.Text
		}
	}
	return stack
}

// firstOf tells whether an error is the first of its kind in its trace and service: one exception is recorded by each span that it passes, and by
// the log.
func (o *observation) firstOf(trace signal.TraceID, e *occurrence) bool {
	if e.fingerprint == 0 || trace.IsZero() {
		return true
	}
	var h maphash.Hash
	h.SetSeed(o.namespace.seed)
	_, _ = h.Write(trace[:])
	_, _ = h.WriteString(e.service)
	maphash.WriteComparable(&h, e.fingerprint)
	home := &o.room.shards[o.room.shardOf(trace)]
	home.mu.Lock()
	defer home.mu.Unlock()
	return !home.recent.seen(h.Sum64())
}

// stacks remember what the fingerprint of a stack is: a fleet in trouble sends the same few stacks again and again.
type stackOf struct {
	fingerprint uint64
	frame       string
}

// maxStacks bounds the memory for that. When it is full it begins anew.
const maxStacks = 4096

func (n *namespace) fingerprint(kind, stack string) (uint64, string) {
	var h maphash.Hash
	h.SetSeed(n.seed)
	_, _ = h.WriteString(kind)
	_ = h.WriteByte(0)
	_, _ = h.WriteString(stack)
	id := h.Sum64()
	r := &n.ranking
	r.mu.Lock()
	known, ok := r.stacks[id]
	r.mu.Unlock()
	if ok {
		return known.fingerprint, known.frame
	}
	known.fingerprint, known.frame = fingerprint(kind, stack)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stacks == nil || len(r.stacks) >= maxStacks {
		r.stacks = map[uint64]stackOf{}
	}
	r.stacks[id] = known
	return known.fingerprint, known.frame
}
