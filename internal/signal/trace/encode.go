package trace

import (
	"math"
	"unsafe"

	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/trace/columnar"
	"github.com/gantry-platform/gantry/internal/signal/wire"
)

// encoder turns spans into values of the columns of a row group.
type encoder struct {
	schema *schema
	fixed  [fixedColumns]*columnar.Column
	// attributes are the columns of schema.attributes.
	attributes []*columnar.Column
	row        int64
	// packed is of the span at work, and done tells of each attribute column the row, plus one, that has a value.
	packed []byte
	done   []int64
	// follows guesses the column of an attribute by that of the one before it, plus one: spans of one kind have theirs in one order, and comparing
	// with a guess costs less than looking up.
	follows []int

	// The words of what many spans share, by number.
	kinds, statuses, outcomes enumeration
	instances                 map[*signal.Resource]*instance
	resource                  *signal.Resource
	instance                  *instance
}

// instance is a resource in the words of its columns.
type instance struct{ service, instance, version, lane, release, resource int32 }

// enumeration is the words of a column that has few: their numbers, plus one.
type enumeration [8]int32

func newEncoder(s *schema, columns []*columnar.Column) *encoder {
	e := &encoder{schema: s, done: make([]int64, len(s.attributes)), follows: make([]int, len(s.attributes)+1), instances: map[*signal.Resource]*instance{}}
	for c := range fixedColumns {
		e.fixed[c] = columns[s.fixed[c]]
	}
	for _, place := range s.places {
		e.attributes = append(e.attributes, columns[place])
	}
	return e
}

// next begins the next row group: words have no numbers any more.
func (e *encoder) next() {
	e.row = 0
	clear(e.done)
	clear(e.instances)
	e.resource, e.instance = nil, nil
	e.kinds, e.statuses, e.outcomes = enumeration{}, enumeration{}, enumeration{}
}

// add encodes one span.
func (e *encoder) add(namespace string, s *signal.Span) {
	row, f := e.row, &e.fixed
	f[columnTraceID].Fixed(row, s.TraceID[:])
	f[columnSpanID].Fixed(row, s.ID[:])
	if !s.Parent.IsZero() {
		f[columnParentID].Fixed(row, s.Parent[:])
	}
	f[columnNamespace].Text(row, namespace)
	f[columnFlags].Int(row, int64(s.Flags))
	f[columnName].Text(row, s.Name)
	f[columnStart].Int(row, s.Start)
	f[columnDuration].Int(row, s.Duration)
	f[columnScope].Text(row, s.Scope)
	e.kinds.add(f[columnKind], row, int(s.Kind), s.Kind.String)
	e.statuses.add(f[columnStatus], row, int(s.Status), s.Status.String)
	e.outcomes.add(f[columnOutcome], row, int(s.Outcome), s.Outcome.String)
	if s.Resource != e.resource {
		e.look(s.Resource)
	}
	f[columnService].Index(row, e.instance.service)
	f[columnInstance].Index(row, e.instance.instance)
	f[columnVersion].Index(row, e.instance.version)
	f[columnLane].Index(row, e.instance.lane)
	f[columnRelease].Index(row, e.instance.release)
	f[columnResource].Index(row, e.instance.resource)
	if s.TraceState != "" {
		f[columnTraceState].Text(row, s.TraceState)
	}
	if s.StatusMessage != "" {
		f[columnStatusMessage].Text(row, s.StatusMessage)
	}
	e.addAttributes(row, s.Attributes)
	if len(s.Events) > 0 {
		e.packed = appendEvents(e.packed[:0], s.Events)
		f[columnEvents].Text(row, textOf(e.packed))
	}
	if len(s.Links) > 0 {
		e.packed = appendLinks(e.packed[:0], s.Links)
		f[columnLinks].Text(row, textOf(e.packed))
	}
	e.row++
}

// add adds one of a few values.
func (n *enumeration) add(c *columnar.Column, row int64, value int, word func() string) {
	index := n[value%len(n)]
	if index == 0 {
		index = c.Word(word()) + 1
		n[value%len(n)] = index
	}
	c.Index(row, index-1)
}

// look makes a resource the one at work.
func (e *encoder) look(r *signal.Resource) {
	e.resource = r
	known, ok := e.instances[r]
	if !ok {
		word := func(c column, text string) int32 { return e.fixed[c].Word(text) }
		known = &instance{word(columnService, r.Service), word(columnInstance, r.Instance), word(columnVersion, r.Version), word(columnLane, r.Lane), word(columnRelease, r.Release),
			word(columnResource, string(wire.AppendAttributes(nil, r.Attributes)))}
		e.instances[r] = known
	}
	e.instance = known
}

// addAttributes fills the columns of attributes and packs what has none.
func (e *encoder) addAttributes(row int64, attributes []signal.Attribute) {
	packed, before := e.packed[:0], -1
	for i := range attributes {
		a := &attributes[i]
		own, ok := e.column(before, a.Key)
		before = own
		if ok && e.done[own] != row+1 && e.schema.attributes[own].value == a.Value.Type {
			put(e.attributes[own], row, &a.Value)
			e.done[own] = row + 1
			continue
		}
		if len(packed) == 0 {
			packed = append(packed, '{')
		} else {
			packed = append(packed, ',')
		}
		packed = wire.AppendAttribute(packed, a.Key, a.Value)
	}
	if len(packed) > 0 {
		packed = append(packed, '}')
		e.fixed[columnAttributes].Text(row, textOf(packed))
	}
	e.packed = packed
}

// column finds the attribute column of a key, which comes behind that of column before (-1: none); -1 and false when it has none.
func (e *encoder) column(before int, key string) (int, bool) {
	guess := &e.follows[before+1]
	if *guess < len(e.schema.attributes) && e.schema.attributes[*guess].key == key {
		return *guess, true
	}
	own, ok := e.schema.index[key]
	if !ok {
		return -1, false
	}
	*guess = own
	return own, true
}

// textOf is bytes as a text for the moment of a call.
func textOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func put(c *columnar.Column, row int64, v *signal.Value) {
	switch v.Type {
	case signal.TypeBool:
		c.Bool(row, v.Number != 0)
	case signal.TypeInt:
		c.Int(row, int64(v.Number))
	case signal.TypeDouble:
		c.Double(row, math.Float64frombits(v.Number))
	default:
		c.Text(row, v.Text)
	}
}
func appendEvents(to []byte, events []signal.Event) []byte {
	if len(events) == 0 {
		return to
	}
	to = append(to, '[')
	for i := range events {
		if i > 0 {
			to = append(to, ',')
		}
		event := &events[i]
		to = append(to, '{')
		to = wire.AppendAttribute(to, "name", signal.Value{Type: signal.TypeString, Text: event.Name})
		to = append(to, ',')
		to = wire.AppendAttribute(to, "time", signal.Value{Type: signal.TypeInt, Number: uint64(event.Time)})
		to = append(to, `,"attributes":`...)
		to = append(wire.AppendAttributes(to, event.Attributes), '}')
	}
	return append(to, ']')
}

func appendLinks(to []byte, links []signal.Link) []byte {
	if len(links) == 0 {
		return to
	}
	to = append(to, '[')
	for i := range links {
		if i > 0 {
			to = append(to, ',')
		}
		link := &links[i]
		to = append(to, `{"trace_id":"`...)
		to = append(append(to, link.TraceID.String()...), `","span_id":"`...)
		to = append(append(to, link.SpanID.String()...), `",`...)
		to = wire.AppendAttribute(to, "trace_state", signal.Value{Type: signal.TypeString, Text: link.TraceState})
		to = append(to, `,"attributes":`...)
		to = append(wire.AppendAttributes(to, link.Attributes), '}')
	}
	return append(to, ']')
}
