package signal

import (
	"encoding/hex"
	"time"
)

// TraceID names a trace: 16 bytes, not all zero (W3C Trace Context, OTLP). Ids of 8 bytes stand in the last eight.
type TraceID [16]byte

// String is 32 lower-case hexadecimal digits.
func (id TraceID) String() string { return hex.EncodeToString(id[:]) }

// IsZero tells an id that is not allowed.
func (id TraceID) IsZero() bool { return id == TraceID{} }

// SpanID names a span within its trace: 8 bytes, not all zero.
type SpanID [8]byte

// String is 16 lower-case hexadecimal digits.
func (id SpanID) String() string { return hex.EncodeToString(id[:]) }

// IsZero tells no span: the parent of a root.
func (id SpanID) IsZero() bool { return id == SpanID{} }

// ParseTraceID reads 1 to 32 hexadecimal digits; short ones are filled with zeros on the left, as Jaeger and Zipkin do.
func ParseTraceID(text string) (TraceID, bool) {
	var id TraceID
	ok := parseHex(id[:], text)
	return id, ok && !id.IsZero()
}

// ParseSpanID is [ParseTraceID] for 1 to 16 digits.
func ParseSpanID(text string) (SpanID, bool) {
	var id SpanID
	ok := parseHex(id[:], text)
	return id, ok && !id.IsZero()
}

func parseHex(to []byte, text string) bool {
	if text == "" || len(text) > 2*len(to) {
		return false
	}
	for i := len(text) - 1; i >= 0; i-- {
		var digit byte
		switch c := text[i]; {
		case c >= '0' && c <= '9':
			digit = c - '0'
		case c >= 'a' && c <= 'f':
			digit = c - 'a' + 10
		case c >= 'A' && c <= 'F':
			digit = c - 'A' + 10
		default:
			return false
		}
		place := len(text) - 1 - i
		to[len(to)-1-place/2] |= digit << (4 * (place % 2))
	}
	return true
}

// Kind is what a span stands for, in OTLP's numbers.
type Kind uint8

// The kinds of spans.
const (
	KindUnspecified Kind = iota
	KindInternal
	KindServer
	KindClient
	KindProducer
	KindConsumer
)

var kindNames = [...]string{"unspecified", "internal", "server", "client", "producer", "consumer"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return kindNames[0]
}

// ParseKind reads what String writes.
func ParseKind(text string) (Kind, bool) {
	for i, name := range kindNames {
		if name == text {
			return Kind(i), true
		}
	}
	return 0, false
}

// Status is what the instrumentation said of a span, in OTLP's numbers.
type Status uint8

// The statuses.
const (
	StatusUnset Status = iota
	StatusOK
	StatusError
)

func (s Status) String() string {
	switch s {
	case StatusOK:
		return "ok"
	case StatusError:
		return "error"
	default:
		return "unset"
	}
}

// ValueType is the type of an attribute's value.
type ValueType uint8

// The types. Lists and maps are kept as JSON.
const (
	TypeEmpty ValueType = iota
	TypeString
	TypeBool
	TypeInt
	TypeDouble
	TypeBytes
	TypeJSON
)

// Value is an attribute's value. Text holds strings, bytes and JSON; Number holds the rest: 0 or 1, an int64, or the bits of a float64.
type Value struct {
	Text   string
	Number uint64
	Type   ValueType
}

// Attribute is a key and a value.
type Attribute struct {
	Key   string
	Value Value
}

// Resource is who sent a span: an instance of a service. Its named fields are taken from attributes, which are kept whole beside them.
// A Resource is shared by many spans and never changed.
type Resource struct {
	// Service is service.name; "unknown_service" when there is none, as OpenTelemetry says.
	Service string
	// Instance is service.instance.id, else host.name, else empty.
	Instance string
	// Version is service.version.
	Version string
	// Lane and Release are gantry.lane and gantry.release: the lane of traffic, and the release that the instance runs.
	Lane    string
	Release string
	// Zone is cloud.availability_zone.
	Zone       string
	Attributes []Attribute
}

// Event is something that happened at a moment of a span, such as an exception.
type Event struct {
	Name       string
	Time       int64 // nanoseconds since 1970
	Attributes []Attribute
}

// Link points to a span of another trace.
type Link struct {
	TraceID    TraceID
	SpanID     SpanID
	TraceState string
	Attributes []Attribute
}

// Span is one operation of one service.
//
// Spans that were decoded from a [Batch] hold strings that point into its bytes: whoever keeps one longer than the call that it got
// it by must clone it.
type Span struct {
	TraceID TraceID
	ID      SpanID
	// Parent is zero for the root.
	Parent  SpanID
	Kind    Kind
	Status  Status
	Outcome Outcome
	Flags   uint32
	// Start is in nanoseconds since 1970, by the clock of the service.
	Start int64
	// Duration is in nanoseconds, never negative.
	Duration      int64
	Name          string
	StatusMessage string
	TraceState    string
	// Scope is the name of the instrumentation scope.
	Scope      string
	Resource   *Resource
	Attributes []Attribute
	Events     []Event
	Links      []Link
}

// End is when the span ended, in nanoseconds since 1970.
func (s *Span) End() int64 { return s.Start + s.Duration }

// Attribute finds an attribute of the span itself.
func (s *Span) Attribute(key string) (Value, bool) {
	for i := range s.Attributes {
		if s.Attributes[i].Key == key {
			return s.Attributes[i].Value, true
		}
	}
	return Value{}, false
}

// Batch is what one request brought.
type Batch struct {
	// Namespace isolates environments; it is the sender's.
	Namespace string
	// Arrived is when this cluster got it.
	Arrived time.Time
	// Raw is an OTLP ExportTraceServiceRequest in protobuf. Nobody changes it.
	Raw []byte
	// Spans is Raw decoded; Places are where they are in Raw, one a span, and Groups what their places share.
	Spans  []Span
	Groups []Group
	Places []Place
	// Clean: all texts of Raw are valid UTF-8, so that who decodes it again need not look.
	Clean bool
}

// Group is where the resource and the scope of some spans are in a request.
type Group struct {
	ResourceAt, ResourceEnd uint32
	ScopeAt, ScopeEnd       uint32
}

// Place is where a span is in a request.
type Place struct {
	Group   uint32
	At, End uint32
}
