package wire

import (
	"errors"
	"math"
	"strings"
	"unicode/utf8"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gantry-platform/gantry/internal/signal"
)

// Limits of one span: what is beyond is left out and counted in [Decoder.Cut]. They are those of OpenTelemetry's SDKs (128 each) with room.
const (
	MaxAttributes = 256
	MaxEvents     = 256
	MaxLinks      = 256
	// MaxText bounds one string in bytes: a stack trace fits, a request body does not.
	MaxText = 32 << 10
	// maxDepth bounds lists in maps in lists.
	maxDepth = 8
)

var errTorn = errors.New("wire: the bytes are no ExportTraceServiceRequest")

// Rejected counts spans that cannot be kept, by reason.
type Rejected struct {
	// NoTraceID and NoSpanID count ids that are missing, of another length, or all zero.
	NoTraceID, NoSpanID int
}

// Total is the sum.
func (r Rejected) Total() int { return r.NoTraceID + r.NoSpanID }

// Decoder decodes requests one after another with the same memory. It must not be used concurrently.
type Decoder struct {
	// Groups and Places belong to the spans of the last Decode, one place a span.
	Groups []signal.Group
	Places []signal.Place
	// Rejected counts the spans of the last Decode that were left out.
	Rejected Rejected
	// Cut counts attributes, events and links over a limit, and texts that were shortened.
	Cut int
	// Mended counts texts of the last Decode that were no valid UTF-8.
	Mended int
	// Trusted leaves out the look at UTF-8: what is decoded has been decoded before, and nothing was mended.
	Trusted bool

	spans      []signal.Span
	attributes []signal.Attribute
	events     []signal.Event
	links      []signal.Link
	resource   *signal.Resource
	scope      string
}

// Decode reads an ExportTraceServiceRequest. The spans are valid until the next Decode or Reset; their strings point into raw, which must not
// change. Broken UTF-8 is replaced by U+FFFD. An error means that raw is not such a message: nothing of it is used.
func (d *Decoder) Decode(raw []byte) ([]signal.Span, error) {
	d.Reset()
	if uint64(len(raw)) > math.MaxUint32 {
		return nil, errTorn
	}
	base := raw
	err := fields(raw, func(number protowire.Number, value []byte, _ uint64) error {
		if number == 1 && value != nil {
			return d.resourceSpans(base, value)
		}
		return nil
	})
	if err != nil {
		d.Reset()
		return nil, err
	}
	return d.spans, nil
}

// Reset lets go of the last request.
func (d *Decoder) Reset() {
	clear(d.spans)
	clear(d.attributes)
	clear(d.events)
	clear(d.links)
	d.spans, d.attributes, d.events, d.links = d.spans[:0], d.attributes[:0], d.events[:0], d.links[:0]
	d.Groups, d.Places = d.Groups[:0], d.Places[:0]
	d.resource, d.scope = nil, ""
	d.Rejected, d.Cut, d.Mended = Rejected{}, 0, 0
}

// Resource decodes the resource of a group.
func (d *Decoder) Resource(raw []byte, g signal.Group) (*signal.Resource, error) {
	return d.readResource(raw[g.ResourceAt:g.ResourceEnd])
}

// Scope decodes the name of a group's scope.
func (d *Decoder) Scope(raw []byte, g signal.Group) (string, error) {
	return d.readScope(raw[g.ScopeAt:g.ScopeEnd])
}

// Span decodes the span at a place into s, whose resource and scope are set: nothing else of it may be. It is valid until the next Decode or Reset.
func (d *Decoder) Span(raw []byte, p signal.Place, s *signal.Span) error {
	return d.readSpan(raw[p.At:p.End], s)
}

// fields calls f for each field of a message: with the bytes of a length-delimited one, otherwise with its number.
func fields(b []byte, f func(number protowire.Number, value []byte, scalar uint64) error) error {
	for len(b) > 0 {
		number, kind, n := nextTag(b)
		if n < 0 {
			return errTorn
		}
		b = b[n:]
		var value []byte
		var scalar uint64
		switch kind {
		case protowire.BytesType:
			value, n = nextBytes(b)
			if n >= 0 && value == nil {
				value = b[:0]
			}
		case protowire.VarintType:
			scalar, n = nextVarint(b)
		case protowire.Fixed64Type:
			scalar, n = protowire.ConsumeFixed64(b)
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(b)
			scalar = uint64(v)
		default:
			n = protowire.ConsumeFieldValue(number, kind, b)
		}
		if n < 0 {
			return errTorn
		}
		b = b[n:]
		if err := f(number, value, scalar); err != nil {
			return err
		}
	}
	return nil
}

// offset is where part, a piece of base, begins.
func offset(base, part []byte) uint32 {
	return uint32(uintptr(unsafe.Pointer(unsafe.SliceData(part))) - uintptr(unsafe.Pointer(unsafe.SliceData(base))))
}

func (d *Decoder) resourceSpans(base, message []byte) error {
	var group signal.Group
	// The resource may stand behind its spans.
	resource := message[:0]
	err := fields(message, func(number protowire.Number, value []byte, _ uint64) error {
		if number == 1 && value != nil {
			resource = value
		}
		return nil
	})
	if err != nil {
		return err
	}
	if d.resource, err = d.readResource(resource); err != nil {
		return err
	}
	group.ResourceAt = offset(base, resource)
	group.ResourceEnd = group.ResourceAt + uint32(len(resource))
	return fields(message, func(number protowire.Number, value []byte, _ uint64) error {
		if number == 2 && value != nil {
			return d.scopeSpans(base, value, group)
		}
		return nil
	})
}

func (d *Decoder) scopeSpans(base, message []byte, group signal.Group) error {
	scope := message[:0]
	err := fields(message, func(number protowire.Number, value []byte, _ uint64) error {
		if number == 1 && value != nil {
			scope = value
		}
		return nil
	})
	if err != nil {
		return err
	}
	if d.scope, err = d.readScope(scope); err != nil {
		return err
	}
	group.ScopeAt = offset(base, scope)
	group.ScopeEnd = group.ScopeAt + uint32(len(scope))
	d.Groups = append(d.Groups, group)
	return fields(message, func(number protowire.Number, value []byte, _ uint64) error {
		if number != 2 || value == nil {
			return nil
		}
		d.spans = append(d.spans, signal.Span{Resource: d.resource, Scope: d.scope})
		span := &d.spans[len(d.spans)-1]
		if err := d.readSpan(value, span); err != nil {
			return err
		}
		switch {
		case span.TraceID.IsZero():
			d.Rejected.NoTraceID++
		case span.ID.IsZero():
			d.Rejected.NoSpanID++
		default:
			at := offset(base, value)
			d.Places = append(d.Places, signal.Place{Group: uint32(len(d.Groups) - 1), At: at, End: at + uint32(len(value))})
			return nil
		}
		d.spans = d.spans[:len(d.spans)-1]
		return nil
	})
}

func (d *Decoder) readResource(message []byte) (*signal.Resource, error) {
	r := &signal.Resource{}
	err := fields(message, func(number protowire.Number, value []byte, _ uint64) error {
		if number != 1 || value == nil {
			return nil
		}
		if len(r.Attributes) == MaxAttributes {
			d.Cut++
			return nil
		}
		var err error
		r.Attributes, err = d.appendAttribute(r.Attributes, value)
		return err
	})
	if err != nil {
		return nil, err
	}
	NameResource(r)
	return r, nil
}

// NameResource fills the named fields of a resource from its attributes.
func NameResource(r *signal.Resource) {
	var host string
	for i := range r.Attributes {
		text := r.Attributes[i].Value.Text
		switch r.Attributes[i].Key {
		case "service.name":
			r.Service = text
		case "service.instance.id":
			r.Instance = text
		case "host.name":
			host = text
		case "service.version":
			r.Version = text
		case "gantry.lane":
			r.Lane = text
		case "gantry.release":
			r.Release = text
		case "cloud.availability_zone":
			r.Zone = text
		}
	}
	if r.Service == "" {
		r.Service = "unknown_service"
	}
	if r.Instance == "" {
		r.Instance = host
	}
}

func (d *Decoder) readScope(message []byte) (string, error) {
	var name string
	err := fields(message, func(number protowire.Number, value []byte, _ uint64) error {
		if number == 1 && value != nil {
			name = d.text(value)
		}
		return nil
	})
	return name, err
}

// text makes a string of bytes without copying them, unless they have to be mended.
func (d *Decoder) text(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if len(b) > MaxText {
		d.Cut++
		end := MaxText
		for end > MaxText-utf8.UTFMax && !utf8.RuneStart(b[end]) {
			end--
		}
		b = b[:end]
	}
	s := unsafe.String(unsafe.SliceData(b), len(b))
	if d.Trusted || utf8.ValidString(s) {
		return s
	}
	d.Mended++
	return strings.ToValidUTF8(s, "\ufffd")
}
