package trace

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/parquet-go/parquet-go"

	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/wire"
)

// readValues is how many values are read at once.
const readValues = 512

// scan calls each for the values of a column in the rows from to to of a row group, in order. Values point into a page: each clones what it keeps.
// It ends early when each returns false.
func (o *openBlock) scan(group, column int, from, to int64, each func(row int64, v parquet.Value) bool) (err error) {
	defer func() {
		if p := recover(); p != nil { // a damaged page must not end the process
			err = fmt.Errorf("trace: column %d of row group %d is damaged: %v", column, group, p)
		}
	}()
	chunk := o.parquet.RowGroups()[group].ColumnChunks()[column]
	if from > 0 {
		if _, err := chunk.OffsetIndex(); err != nil {
			return err
		}
	}
	pages := chunk.Pages()
	defer pages.Close()
	if from > 0 {
		if err := pages.SeekToRow(from); err != nil {
			return err
		}
	}
	row := from
	var buffer [readValues]parquet.Value
	for row < to {
		page, err := pages.ReadPage()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		values := page.Values()
		for row < to {
			n, err := values.ReadValues(buffer[:min(readValues, to-row)])
			for _, v := range buffer[:n] {
				if !each(row, v) {
					parquet.Release(page)
					return nil
				}
				row++
			}
			if errors.Is(err, io.EOF) || n == 0 && err == nil {
				break
			}
			if err != nil {
				parquet.Release(page)
				return err
			}
		}
		parquet.Release(page)
	}
	return nil
}

// readSpans decodes some rows of a row group, and keeps those of a namespace, or all when it is empty.
func (o *openBlock) readSpans(group int, r run, namespace string, brief bool) ([]signal.Span, error) {
	d, err := o.decodeRows(group, r, brief)
	if err != nil {
		return nil, err
	}
	kept := d.spans[:0]
	for i := range d.spans {
		if namespace == "" || d.namespaces[i] == namespace {
			kept = append(kept, d.spans[i])
		}
	}
	return kept, nil
}

func (o *openBlock) decodeRows(group int, r run, brief bool) (*spanDecoder, error) {
	d := &spanDecoder{spans: make([]signal.Span, r.to-r.from), namespaces: make([]string, r.to-r.from), from: r.from,
		words: map[string]string{}, resources: map[string]*signal.Resource{}, services: map[string]*signal.Resource{}, brief: brief}
	for name, column := range o.columns {
		fill, ok := d.filler(name)
		if !ok {
			continue // not needed, or a column of a version to come
		}
		if err := o.scan(group, column, r.from, r.to, fill); err != nil {
			return nil, err
		}
	}
	return d, d.err
}

// spanDecoder fills spans from columns.
type spanDecoder struct {
	spans      []signal.Span
	namespaces []string
	from       int64
	brief      bool
	// words, resources and services (resources that have no more than a name) are shared by the spans.
	words     map[string]string
	resources map[string]*signal.Resource
	services  map[string]*signal.Resource
	err       error
}

func (d *spanDecoder) word(v parquet.Value) string {
	b := v.ByteArray()
	if w, ok := d.words[string(b)]; ok {
		return w
	}
	w := string(b)
	d.words[w] = w
	return w
}

func (d *spanDecoder) failed(err error) bool {
	if err != nil && d.err == nil {
		d.err = err
	}
	return err == nil
}

// filler is what to do with the values of a column. The named fields of a resource are read from its attributes.
func (d *spanDecoder) filler(name string) (func(int64, parquet.Value) bool, bool) {
	at := func(row int64) *signal.Span { return &d.spans[row-d.from] }
	if key, ok := strings.CutPrefix(name, attributePrefix); ok {
		return func(row int64, v parquet.Value) bool {
			if !v.IsNull() {
				s := at(row)
				s.Attributes = append(s.Attributes, signal.Attribute{Key: key, Value: d.value(v)})
			}
			return true
		}, !d.brief
	}
	if name == columnNamespace.String() {
		return func(row int64, v parquet.Value) bool {
			d.namespaces[row-d.from] = d.word(v)
			return true
		}, true
	}
	fill, ok := d.briefFiller(name)
	if !ok && !d.brief {
		fill, ok = d.restFiller(name)
	}
	return func(row int64, v parquet.Value) bool { return v.IsNull() || d.failed(fill(at(row), v)) }, ok
}

type fillFunc func(s *signal.Span, v parquet.Value) error

// briefFiller fills what a summary needs.
func (d *spanDecoder) briefFiller(name string) (fillFunc, bool) {
	switch name {
	case columnTraceID.String():
		return func(s *signal.Span, v parquet.Value) error { copy(s.TraceID[:], v.ByteArray()); return nil }, true
	case columnSpanID.String():
		return func(s *signal.Span, v parquet.Value) error { copy(s.ID[:], v.ByteArray()); return nil }, true
	case columnParentID.String():
		return func(s *signal.Span, v parquet.Value) error { copy(s.Parent[:], v.ByteArray()); return nil }, true
	case columnName.String():
		return func(s *signal.Span, v parquet.Value) error { s.Name = d.word(v); return nil }, true
	case columnStart.String():
		return func(s *signal.Span, v parquet.Value) error { s.Start = v.Int64(); return nil }, true
	case columnDuration.String():
		return func(s *signal.Span, v parquet.Value) error { s.Duration = v.Int64(); return nil }, true
	case columnOutcome.String():
		return func(s *signal.Span, v parquet.Value) error { s.Outcome, _ = signal.ParseOutcome(d.word(v)); return nil }, true
	case columnService.String():
		return d.service, d.brief
	}
	return nil, false
}

func (d *spanDecoder) restFiller(name string) (fillFunc, bool) {
	switch name {
	case columnTraceState.String():
		return func(s *signal.Span, v parquet.Value) error { s.TraceState = d.word(v); return nil }, true
	case columnFlags.String():
		return func(s *signal.Span, v parquet.Value) error { s.Flags = uint32(v.Int64()); return nil }, true
	case columnStatusMessage.String():
		return func(s *signal.Span, v parquet.Value) error { s.StatusMessage = d.word(v); return nil }, true
	case columnScope.String():
		return func(s *signal.Span, v parquet.Value) error { s.Scope = d.word(v); return nil }, true
	case columnKind.String():
		return func(s *signal.Span, v parquet.Value) error { s.Kind, _ = signal.ParseKind(d.word(v)); return nil }, true
	case columnStatus.String():
		return func(s *signal.Span, v parquet.Value) error { s.Status = status(d.word(v)); return nil }, true
	case columnResource.String():
		return d.resource, true
	case columnAttributes.String():
		return func(s *signal.Span, v parquet.Value) error {
			attributes, err := wire.ParseAttributes(string(v.ByteArray()))
			s.Attributes = append(s.Attributes, attributes...)
			return err
		}, true
	case columnEvents.String():
		return func(s *signal.Span, v parquet.Value) (err error) {
			s.Events, err = parseEvents(v.ByteArray())
			return err
		}, true
	case columnLinks.String():
		return func(s *signal.Span, v parquet.Value) (err error) {
			s.Links, err = parseLinks(v.ByteArray())
			return err
		}, true
	}
	return nil, false
}

func (d *spanDecoder) service(s *signal.Span, v parquet.Value) error {
	name := d.word(v)
	r := d.services[name]
	if r == nil {
		r = &signal.Resource{Service: name}
		d.services[name] = r
	}
	s.Resource = r
	return nil
}

func (d *spanDecoder) resource(s *signal.Span, v parquet.Value) error {
	text := v.ByteArray()
	if r, ok := d.resources[string(text)]; ok {
		s.Resource = r
		return nil
	}
	r := &signal.Resource{}
	var err error
	if r.Attributes, err = wire.ParseAttributes(string(text)); err != nil {
		return err
	}
	wire.NameResource(r)
	d.resources[string(text)] = r
	s.Resource = r
	return nil
}

func (d *spanDecoder) value(v parquet.Value) signal.Value {
	switch v.Kind() {
	case parquet.Boolean:
		if v.Boolean() {
			return signal.Value{Type: signal.TypeBool, Number: 1}
		}
		return signal.Value{Type: signal.TypeBool}
	case parquet.Int64:
		return signal.Value{Type: signal.TypeInt, Number: v.Uint64()}
	case parquet.Double:
		return signal.Value{Type: signal.TypeDouble, Number: v.Uint64()}
	default:
		return signal.Value{Type: signal.TypeString, Text: d.word(v)}
	}
}

func status(text string) signal.Status {
	switch text {
	case "ok":
		return signal.StatusOK
	case "error":
		return signal.StatusError
	default:
		return signal.StatusUnset
	}
}

func parseEvents(text []byte) ([]signal.Event, error) {
	var stored []struct {
		Name       string          `json:"name"`
		Time       int64           `json:"time"`
		Attributes json.RawMessage `json:"attributes"`
	}
	if err := json.Unmarshal(text, &stored); err != nil {
		return nil, err
	}
	events := make([]signal.Event, len(stored))
	for i, e := range stored {
		attributes, err := wire.ParseAttributes(string(e.Attributes))
		if err != nil {
			return nil, err
		}
		events[i] = signal.Event{Name: e.Name, Time: e.Time, Attributes: attributes}
	}
	return events, nil
}

func parseLinks(text []byte) ([]signal.Link, error) {
	var stored []struct {
		TraceID    string          `json:"trace_id"`
		SpanID     string          `json:"span_id"`
		TraceState string          `json:"trace_state"`
		Attributes json.RawMessage `json:"attributes"`
	}
	if err := json.Unmarshal(text, &stored); err != nil {
		return nil, err
	}
	links := make([]signal.Link, len(stored))
	for i, l := range stored {
		attributes, err := wire.ParseAttributes(string(l.Attributes))
		if err != nil {
			return nil, err
		}
		links[i] = signal.Link{TraceState: l.TraceState, Attributes: attributes}
		links[i].TraceID, _ = signal.ParseTraceID(l.TraceID)
		links[i].SpanID, _ = signal.ParseSpanID(l.SpanID)
	}
	return links, nil
}

// run is some rows that follow each other.
type run struct{ from, to int64 }

// trace finds the spans of a trace: the bloom filter tells which row groups may have it, and within one its rows stand together.
// A brief look reads only what a [signal.TraceSummary] needs.
func (o *openBlock) trace(namespace string, id signal.TraceID, brief bool) ([]signal.Span, error) {
	var out []signal.Span
	wanted := parquet.FixedLenByteArrayValue(id[:])
	is := func(v parquet.Value) bool { return string(v.ByteArray()) == string(id[:]) }
	for group := range o.parquet.RowGroups() {
		rows, err := o.matching(group, []clause{{{column: o.columns[columnTraceID.String()], test: is, bloom: &wanted}}})
		if err != nil {
			return nil, err
		}
		for _, r := range rows.runs() {
			spans, err := o.readSpans(group, r, namespace, brief)
			if err != nil {
				return nil, err
			}
			out = append(out, spans...)
		}
	}
	return out, nil
}

// mayHave asks the bloom filter of a chunk; without one everything may be there.
func mayHave(chunk parquet.ColumnChunk, v parquet.Value) (bool, error) {
	filter := chunk.BloomFilter()
	if filter == nil {
		return true, nil
	}
	return filter.Check(v)
}
