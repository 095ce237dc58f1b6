package trace

import (
	"math"
	"unsafe"

	"github.com/parquet-go/parquet-go"

	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/wire"
)

// encoder turns spans into column values and hands them to a block's writer, some rows at a time.
type encoder struct {
	schema  *schema
	columns []*parquet.ColumnWriter
	// values are the rows not yet written, a slice a column, and rows their number.
	values [][]parquet.Value
	rows   int
	// arena holds the ids and the JSON of those rows. Values point into it: when it is full, another one follows.
	arena []byte
	// packed and done are of the span at work.
	packed []byte
	done   []bool
	// follows guesses the column of an attribute by that of the one before it, plus one: spans of one kind have theirs in one order, and comparing
	// with a guess costs less than looking up.
	follows []int
	// resources remembers the JSON of resources, which many spans share.
	resources map[*signal.Resource]string
}

// encodeRows is how many rows are handed over at once: few enough that the values of all columns stay in the processor's cache.
const encodeRows = 128

func newEncoder(s *schema, columns []*parquet.ColumnWriter) *encoder {
	e := &encoder{schema: s, columns: columns, values: make([][]parquet.Value, len(columns)), done: make([]bool, len(s.attributes)), follows: make([]int, len(s.attributes)+1),
		resources: map[*signal.Resource]string{}}
	for i := range e.values {
		e.values[i] = make([]parquet.Value, 0, encodeRows)
	}
	return e
}

func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// put adds the value of a required column, or a null.
func (e *encoder) put(column int, v parquet.Value) {
	e.values[column] = append(e.values[column], v)
}

// putOptional adds a value that is there of an optional column.
func (e *encoder) putOptional(column int, v parquet.Value) {
	e.values[column] = append(e.values[column], v.Level(0, 1, column))
}

func (e *encoder) text(c column, s string) {
	column := e.schema.fixed[c]
	e.put(column, parquet.ByteArrayValue(bytesOf(s)))
}

func (e *encoder) optionalText(c column, s string) {
	column := e.schema.fixed[c]
	if s == "" {
		e.put(column, parquet.NullValue())
		return
	}
	e.putOptional(column, parquet.ByteArrayValue(bytesOf(s)))
}

func (e *encoder) number(c column, n int64) {
	column := e.schema.fixed[c]
	e.put(column, parquet.Int64Value(n))
}

// keep copies bytes of the moment to where they stay until the rows are written.
func (e *encoder) keep(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if cap(e.arena)-len(e.arena) < len(b) {
		e.arena = make([]byte, 0, max(len(b), 256<<10))
	}
	start := len(e.arena)
	e.arena = append(e.arena, b...)
	kept := e.arena[start:]
	return unsafe.String(unsafe.SliceData(kept), len(kept))
}

// add encodes one span. Its strings must last until flush.
func (e *encoder) add(namespace string, s *signal.Span) error {
	trace, id := e.keep(s.TraceID[:]), e.keep(s.ID[:])
	e.put(e.schema.fixed[columnTraceID], parquet.FixedLenByteArrayValue(bytesOf(trace)))
	e.put(e.schema.fixed[columnSpanID], parquet.FixedLenByteArrayValue(bytesOf(id)))
	if parent := e.schema.fixed[columnParentID]; s.Parent.IsZero() {
		e.put(parent, parquet.NullValue())
	} else {
		e.putOptional(parent, parquet.FixedLenByteArrayValue(bytesOf(e.keep(s.Parent[:]))))
	}
	e.text(columnNamespace, namespace)
	e.optionalText(columnTraceState, s.TraceState)
	e.number(columnFlags, int64(s.Flags))
	e.text(columnName, s.Name)
	e.text(columnKind, s.Kind.String())
	e.number(columnStart, s.Start)
	e.number(columnDuration, s.Duration)
	e.text(columnStatus, s.Status.String())
	e.optionalText(columnStatusMessage, s.StatusMessage)
	e.text(columnOutcome, s.Outcome.String())
	r := s.Resource
	e.text(columnService, r.Service)
	e.text(columnInstance, r.Instance)
	e.text(columnVersion, r.Version)
	e.text(columnLane, r.Lane)
	e.text(columnRelease, r.Release)
	e.text(columnScope, s.Scope)
	packed, ok := e.resources[r]
	if !ok {
		packed = string(wire.AppendAttributes(nil, r.Attributes))
		e.resources[r] = packed
	}
	e.text(columnResource, packed)
	e.attributes(s.Attributes)
	e.packed = appendEvents(e.packed[:0], s.Events)
	e.optionalText(columnEvents, e.keep(e.packed))
	e.packed = appendLinks(e.packed[:0], s.Links)
	e.optionalText(columnLinks, e.keep(e.packed))
	if e.rows++; e.rows == encodeRows {
		return e.flush()
	}
	return nil
}

// attributes fills the columns of attributes and packs what has none.
func (e *encoder) attributes(attributes []signal.Attribute) {
	packed, before := e.packed[:0], -1
	for i := range attributes {
		a := &attributes[i]
		own, ok := e.column(before, a.Key)
		before = own
		if ok && !e.done[own] && e.schema.attributes[own].value == a.Value.Type {
			e.putOptional(e.schema.places[own], value(a.Value))
			e.done[own] = true
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
	}
	for own, done := range e.done {
		if !done {
			e.put(e.schema.places[own], parquet.NullValue())
		}
		e.done[own] = false
	}
	e.optionalText(columnAttributes, e.keep(packed))
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

// value is a value as its column has it.
func value(v signal.Value) parquet.Value {
	switch v.Type {
	case signal.TypeBool:
		return parquet.BooleanValue(v.Number != 0)
	case signal.TypeInt:
		return parquet.Int64Value(int64(v.Number))
	case signal.TypeDouble:
		return parquet.DoubleValue(math.Float64frombits(v.Number))
	default:
		return parquet.ByteArrayValue(bytesOf(v.Text))
	}
}

// flush hands the rows over. The writer copies what it keeps.
func (e *encoder) flush() error {
	for i, column := range e.columns {
		if _, err := column.WriteRowValues(e.values[i]); err != nil {
			return err
		}
		e.values[i] = e.values[i][:0]
	}
	e.rows, e.arena = 0, e.arena[:0]
	return nil
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
