package clickhouse

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"math"
	"strconv"

	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/wire"
)

var errTorn = errors.New("clickhouse: the rows of an answer are not as they should be")

// rows reads RowBinary. After the first thing that is wrong it gives zeros, and err says so.
type rows struct {
	rest []byte
	err  error
	// resources are those met so far, by their bytes: spans share them.
	resources map[string]*signal.Resource
	// words are short texts that come again and again.
	words map[string]string
}

func newRows(answer []byte) *rows {
	return &rows{rest: answer, resources: map[string]*signal.Resource{}, words: map[string]string{}}
}

// more tells whether another row follows.
func (r *rows) more() bool { return r.err == nil && len(r.rest) > 0 }

func (r *rows) fail() { r.err, r.rest = errTorn, nil }

func (r *rows) take(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.fail()
		return nil
	}
	out := r.rest[:n]
	r.rest = r.rest[n:]
	return out
}

func (r *rows) length() int {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 || n > uint64(len(r.rest)) {
		r.fail()
		return 0
	}
	r.rest = r.rest[size:]
	return int(n)
}

func (r *rows) text() string { return string(r.take(r.length())) }

// word is a text that is kept once.
func (r *rows) word() string {
	b := r.take(r.length())
	if known, ok := r.words[string(b)]; ok {
		return known
	}
	text := string(b)
	r.words[text] = text
	return text
}

func (r *rows) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *rows) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *rows) int64() int64 {
	if b := r.take(8); b != nil {
		return int64(binary.LittleEndian.Uint64(b))
	}
	return 0
}

func (r *rows) traceID() (id signal.TraceID) { copy(id[:], r.take(len(id))); return id }
func (r *rows) spanID() (id signal.SpanID)   { copy(id[:], r.take(len(id))); return id }

// count reads the length of an array that must be as long as another.
func (r *rows) count(want int) {
	if r.length() != want {
		r.fail()
	}
}

// resource reads resourceColumns.
func (r *rows) resource() *signal.Resource {
	before := r.rest
	service := r.word()
	out := signal.Resource{Service: service, Instance: r.word(), Version: r.word(), Lane: r.word(), Release: r.word(), Zone: r.word()}
	// The attributes are skipped first: most rows have a resource that is known.
	for range 2 {
		for range r.length() {
			r.take(r.length())
		}
	}
	r.take(r.length())
	if r.err != nil {
		return nil
	}
	packed := before[:len(before)-len(r.rest)]
	if known, ok := r.resources[string(packed)]; ok {
		return known
	}
	again := &rows{rest: packed, words: r.words}
	for range 6 {
		again.word()
	}
	out.Attributes = again.attributes()
	if again.err != nil {
		r.fail()
		return nil
	}
	r.resources[string(packed)] = &out
	return &out
}

// span reads spanColumns.
func (r *rows) span(resource *signal.Resource) signal.Span {
	s := signal.Span{Resource: resource, TraceID: r.traceID(), ID: r.spanID(), Parent: r.spanID(), Kind: signal.Kind(r.byte()), Status: signal.Status(r.byte()),
		Outcome: signal.Outcome(r.byte()), Flags: r.uint32(), Start: r.int64(), Duration: r.int64(), Name: r.word(), StatusMessage: r.text(), TraceState: r.text(), Scope: r.word()}
	s.Attributes = r.attributes()
	s.Events = r.events()
	s.Links = r.links()
	return s
}

// spans reads whole rows.
func (r *rows) spans() ([]signal.Span, error) {
	var out []signal.Span
	for r.more() {
		out = append(out, r.span(r.resource()))
	}
	return out, r.err
}

func (r *rows) attributes() []signal.Attribute {
	n := r.length()
	if n == 0 {
		r.count(0)
		r.count(0)
		return nil
	}
	out := make([]signal.Attribute, 0, min(n, len(r.rest)))
	for range n {
		if r.err != nil {
			return nil
		}
		out = append(out, signal.Attribute{Key: r.word()})
	}
	r.count(n)
	texts := make([]string, len(out))
	for i := range texts {
		texts[i] = r.text()
	}
	r.count(n)
	for i := range out {
		value, err := valueOf(signal.ValueType(r.byte()), texts[i])
		if err != nil {
			r.fail()
		}
		out[i].Value = value
	}
	if r.err != nil {
		return nil
	}
	return out
}

// valueOf reads what [wire.Text] wrote.
func valueOf(kind signal.ValueType, text string) (signal.Value, error) {
	out := signal.Value{Type: kind}
	switch kind {
	case signal.TypeEmpty:
	case signal.TypeString, signal.TypeJSON:
		out.Text = text
	case signal.TypeBytes:
		b, err := base64.StdEncoding.DecodeString(text)
		out.Text = string(b)
		return out, err
	case signal.TypeBool:
		if text == "true" {
			out.Number = 1
		}
	case signal.TypeInt:
		n, err := strconv.ParseInt(text, 10, 64)
		out.Number = uint64(n)
		return out, err
	case signal.TypeDouble:
		f, err := strconv.ParseFloat(text, 64)
		out.Number = math.Float64bits(f)
		return out, err
	default:
		return out, errTorn
	}
	return out, nil
}

func (r *rows) events() []signal.Event {
	n := r.length()
	var out []signal.Event
	for range n {
		if r.err != nil {
			return nil
		}
		out = append(out, signal.Event{Name: r.word()})
	}
	r.count(n)
	for i := range out {
		out[i].Time = r.int64()
	}
	r.count(n)
	for i := range out {
		out[i].Attributes = r.json()
	}
	return out
}

func (r *rows) links() []signal.Link {
	n := r.length()
	var out []signal.Link
	for range n {
		if r.err != nil {
			return nil
		}
		out = append(out, signal.Link{TraceID: r.traceID()})
	}
	r.count(n)
	for i := range out {
		out[i].SpanID = r.spanID()
	}
	r.count(n)
	for i := range out {
		out[i].TraceState = r.text()
	}
	r.count(n)
	for i := range out {
		out[i].Attributes = r.json()
	}
	return out
}

func (r *rows) json() []signal.Attribute {
	text := r.text()
	if r.err != nil {
		return nil
	}
	out, err := wire.ParseAttributes(text)
	if err != nil {
		r.fail()
	}
	return out
}
