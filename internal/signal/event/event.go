package event

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/signal"
)

// Limits of one event. An event says what happened; documents and pictures belong elsewhere.
const (
	// MaxEventBytes bounds an event as it is stored.
	MaxEventBytes = 16 << 10
	// MaxFields bounds the fields of one event.
	MaxFields = 64
	// MaxText bounds a field's text, and maxName a name (topic, field, service, instance, id).
	MaxText = 4 << 10
	maxName = 128
	// MaxBatch bounds the events of one call.
	MaxBatch = 1000
	// maxAhead is how far a time may lie in the future: more is a clock that is wrong.
	maxAhead = 10 * time.Minute
)

// Event is something that happened in the business, or a change.
type Event struct {
	// ID is unique; an event whose id was seen lately is not stored again, so that a sender may repeat what it is unsure of. Default: made up.
	ID string
	// Topic is what kind of thing happened, such as "loan.granted": letters, digits, dots, dashes and underscores.
	Topic string
	// Time is when it happened. Default: now.
	Time time.Time
	// Service and Instance say who noticed it.
	Service  string
	Instance string
	// Outcome is how it ended.
	Outcome signal.Outcome
	// TraceID and SpanID are zero when it is part of no trace.
	TraceID signal.TraceID
	SpanID  signal.SpanID
	// Fields are sorted by key; values are of type string, bool, int or double.
	Fields []signal.Attribute
}

// Fields of a change that have a meaning of their own: what was changed, by whom, and what they said.
const (
	TargetField  = "target"
	ActorField   = "actor"
	MessageField = "message"
)

// Stored is an event in the log.
type Stored struct {
	Event
	// Sequence is its place in this node's log, from 1.
	Sequence uint64
	// Namespace is the sender's.
	Namespace string
	// Arrived is when this node took it.
	Arrived time.Time
	// Node is the name of the node that took it. An answer says it; the log does not.
	Node string
}

// Field finds a field.
func (e *Event) Field(key string) (signal.Value, bool) {
	i, found := slices.BinarySearchFunc(e.Fields, key, func(a signal.Attribute, key string) int { return strings.Compare(a.Key, key) })
	if !found {
		return signal.Value{}, false
	}
	return e.Fields[i].Value, true
}

// Text, Bool, Int and Double make values.
func Text(v string) signal.Value { return signal.Value{Type: signal.TypeString, Text: v} }

// Bool makes a value.
func Bool(v bool) signal.Value {
	value := signal.Value{Type: signal.TypeBool}
	if v {
		value.Number = 1
	}
	return value
}

// Int makes a value.
func Int(v int64) signal.Value { return signal.Value{Type: signal.TypeInt, Number: uint64(v)} }

// Double makes a value.
func Double(v float64) signal.Value {
	return signal.Value{Type: signal.TypeDouble, Number: math.Float64bits(v)}
}

// Float is the number of a double.
func Float(v signal.Value) float64 { return math.Float64frombits(v.Number) }

// Words is a value as people write it, and as [Query] compares it: numbers in decimal, booleans as true and false.
func Words(v signal.Value) string {
	switch v.Type {
	case signal.TypeBool:
		return strconv.FormatBool(v.Number != 0)
	case signal.TypeInt:
		return strconv.FormatInt(int64(v.Number), 10)
	case signal.TypeDouble:
		return strconv.FormatFloat(math.Float64frombits(v.Number), 'g', -1, 64)
	default:
		return v.Text
	}
}

// check fills defaults, sorts the fields, and refuses what is over a limit or malformed.
func (e *Event) check(now time.Time) *fault.Error {
	if e.ID == "" {
		e.ID = rand.Text()
	}
	if e.Time.IsZero() {
		e.Time = now
	}
	if f := checkName("topic", e.Topic, true); f != nil {
		return f
	}
	for _, named := range []struct{ field, value string }{{"id", e.ID}, {"service", e.Service}, {"instance", e.Instance}} {
		if len(named.value) > maxName || !utf8.ValidString(named.value) || strings.ContainsFunc(named.value, func(c rune) bool { return c < ' ' || c == 0x7f }) {
			return fault.New(fault.Invalid, "event.bad_name", "%.140q is over %d bytes or has characters that cannot be printed", named.value, maxName).At(named.field)
		}
	}
	switch {
	case e.Time.Year() < 1970 || e.Time.Year() > 9999:
		return fault.New(fault.Invalid, "event.bad_time", "the time %s is none of an event", e.Time.Format(time.RFC3339)).At("time")
	case e.Time.After(now.Add(maxAhead)):
		return fault.New(fault.Invalid, "event.future", "the time %s is in the future", e.Time.Format(time.RFC3339)).At("time").
			Hinted("set the clock of the sender; up to %s ahead is taken", maxAhead)
	case len(e.Fields) > MaxFields:
		return fault.New(fault.TooLarge, "event.too_many_fields", "%d fields", len(e.Fields)).At("fields").Hinted("at most %d", MaxFields)
	case e.Outcome > signal.Failed:
		return fault.New(fault.Invalid, "event.bad_outcome", "%d is no outcome", e.Outcome).At("outcome").Hinted("success, refused or failed")
	}
	return e.checkFields()
}

func (e *Event) checkFields() *fault.Error {
	slices.SortFunc(e.Fields, func(a, b signal.Attribute) int { return strings.Compare(a.Key, b.Key) })
	for i, field := range e.Fields {
		at := "fields." + field.Key
		if f := checkName("fields", field.Key, false); f != nil {
			return f
		}
		if i > 0 && e.Fields[i-1].Key == field.Key {
			return fault.New(fault.Invalid, "event.field_twice", "the field is there twice").At(at)
		}
		switch v := field.Value; v.Type {
		case signal.TypeString:
			if len(v.Text) > MaxText {
				return fault.New(fault.TooLarge, "event.field_too_long", "the text has %d bytes", len(v.Text)).At(at).Hinted("at most %d", MaxText)
			}
			if !utf8.ValidString(v.Text) {
				return fault.New(fault.Invalid, "event.bad_text", "the text is not UTF-8").At(at)
			}
		case signal.TypeDouble:
			if d := math.Float64frombits(v.Number); math.IsNaN(d) || math.IsInf(d, 0) {
				return fault.New(fault.Invalid, "event.bad_number", "%v is no number that can be stored", d).At(at)
			}
		case signal.TypeBool, signal.TypeInt:
		default:
			return fault.New(fault.Invalid, "event.bad_type", "a field is a text, a number or a boolean").At(at).
				Hinted("write lists and objects as several fields, or as a text")
		}
	}
	return nil
}

func checkName(field, name string, required bool) *fault.Error {
	if name == "" && (required || field == "fields") {
		return fault.New(fault.Invalid, "event.no_name", "a name is missing").At(field)
	}
	if len(name) > maxName {
		return fault.New(fault.Invalid, "event.bad_name", "%.40q... has %d bytes", name, len(name)).At(field).Hinted("at most %d", maxName)
	}
	for i := range len(name) {
		c := name[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (i == 0 || c != '.' && c != '-' && (c < '0' || c > '9')) {
			return fault.New(fault.Invalid, "event.bad_name", "%q is no name of a topic or field", name).At(field).
				Hinted("a letter first, then letters, digits, dots, dashes and underscores")
		}
	}
	return nil
}

// line is an event as it is stored: one JSON object on a line. Names may be added, and never change their meaning.
type line struct {
	Sequence  uint64          `json:"sequence"`
	ID        string          `json:"id"`
	Namespace string          `json:"namespace"`
	Topic     string          `json:"topic"`
	Time      time.Time       `json:"time"`
	Arrived   time.Time       `json:"arrived"`
	Service   string          `json:"service,omitempty"`
	Instance  string          `json:"instance,omitempty"`
	Outcome   string          `json:"outcome"`
	TraceID   string          `json:"trace_id,omitempty"`
	SpanID    string          `json:"span_id,omitempty"`
	Fields    json.RawMessage `json:"fields,omitempty"`
}

// Encode is the event as one line of JSON without an end of line: how it is stored, and how it is forwarded.
func (s *Stored) Encode() ([]byte, error) {
	l := line{Sequence: s.Sequence, ID: s.ID, Namespace: s.Namespace, Topic: s.Topic, Time: s.Time.UTC(), Arrived: s.Arrived.UTC(), Service: s.Service,
		Instance: s.Instance, Outcome: s.Outcome.String()}
	if !s.TraceID.IsZero() {
		l.TraceID = s.TraceID.String()
	}
	if !s.SpanID.IsZero() {
		l.SpanID = s.SpanID.String()
	}
	if len(s.Fields) > 0 {
		fields, err := encodeFields(s.Fields)
		if err != nil {
			return nil, err
		}
		l.Fields = fields
	}
	return json.Marshal(&l)
}

func encodeFields(fields []signal.Attribute) ([]byte, error) {
	b := []byte{'{'}
	for i, field := range fields {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(strconv.AppendQuote(b, field.Key), ':') // names are plain ASCII
		switch v := field.Value; v.Type {
		case signal.TypeBool:
			b = strconv.AppendBool(b, v.Number != 0)
		case signal.TypeInt:
			b = strconv.AppendInt(b, int64(v.Number), 10)
		case signal.TypeDouble:
			at := len(b)
			b = strconv.AppendFloat(b, math.Float64frombits(v.Number), 'g', -1, 64)
			if !bytes.ContainsAny(b[at:], ".e") {
				b = append(b, ".0"...) // or it would come back as an integer
			}
		default:
			text, err := json.Marshal(v.Text)
			if err != nil {
				return nil, err
			}
			b = append(b, text...)
		}
	}
	return append(b, '}'), nil
}

// Decode reads what [Stored.Encode] wrote.
func Decode(encoded []byte) (Stored, error) {
	var l line
	if err := json.Unmarshal(encoded, &l); err != nil {
		return Stored{}, fmt.Errorf("event: a stored event cannot be read: %w", err)
	}
	s := Stored{Sequence: l.Sequence, Namespace: l.Namespace, Arrived: l.Arrived,
		Event: Event{ID: l.ID, Topic: l.Topic, Time: l.Time, Service: l.Service, Instance: l.Instance}}
	s.Outcome, _ = signal.ParseOutcome(l.Outcome)
	s.TraceID, _ = signal.ParseTraceID(l.TraceID)
	s.SpanID, _ = signal.ParseSpanID(l.SpanID)
	var err error
	s.Fields, err = DecodeFields(l.Fields)
	return s, err
}

// DecodeFields reads a JSON object of texts, numbers and booleans, sorted by key. A number with neither point nor exponent is an integer. Nothing is an empty
// object. Names and lengths are not checked.
func DecodeFields(object []byte) ([]signal.Attribute, error) {
	if len(object) == 0 {
		return nil, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(object))
	decoder.UseNumber()
	var values map[string]any
	if err := decoder.Decode(&values); err != nil {
		return nil, fmt.Errorf("event: the fields cannot be read: %w", err)
	}
	fields := make([]signal.Attribute, 0, len(values))
	for key, v := range values {
		value, err := valueOf(v)
		if err != nil {
			return nil, fmt.Errorf("event: field %.140q: %w", key, err)
		}
		fields = append(fields, signal.Attribute{Key: key, Value: value})
	}
	slices.SortFunc(fields, func(a, b signal.Attribute) int { return strings.Compare(a.Key, b.Key) })
	return fields, nil
}

func valueOf(v any) (signal.Value, error) {
	switch v := v.(type) {
	case string:
		return Text(v), nil
	case bool:
		return Bool(v), nil
	case json.Number:
		if text := v.String(); !strings.ContainsAny(text, ".eE") {
			if n, err := strconv.ParseInt(text, 10, 64); err == nil {
				return Int(n), nil
			}
		}
		d, err := v.Float64()
		if err != nil {
			return signal.Value{}, fmt.Errorf("%s is a number too large", v)
		}
		return Double(d), nil
	default:
		return signal.Value{}, fmt.Errorf("%T is neither a text nor a number nor a boolean", v)
	}
}
