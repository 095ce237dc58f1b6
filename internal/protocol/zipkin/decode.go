package zipkin

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"github.com/go-faster/jx"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/signal"
)

// Bounds of one request. Zipkin's reporters send 500 KB at most by default.
const (
	maxBytes = 16 << 20
	maxSpans = 50_000
	// maxList bounds tags and annotations of one span.
	maxList = 1000
)

// span is a span in Zipkin's JSON. Its texts are good until the next one is read.
type span struct {
	traceID, id, parentID string
	name, kind            string
	timestamp, duration   micros
	shared                bool
	local, remote         *endpoint
	annotations           []annotation
	// tags are by key, each once.
	tags []tag

	trace        signal.TraceID
	span, parent signal.SpanID
	ends         [2]endpoint
	text         []byte
	tooMany      bool
}

type endpoint struct {
	serviceName, ipv4, ipv6 string
	port                    int
}

func (e *endpoint) address() string { return cmp.Or(e.ipv4, e.ipv6) }

type annotation struct {
	timestamp micros
	value     string
}

// tag's value is a string, though some reporters write numbers and booleans.
type tag struct{ key, value string }

// tag is the value of a key, or of the next key if there is none.
func (s *span) tag(keys ...string) string {
	for _, key := range keys {
		if i, ok := slices.BinarySearchFunc(s.tags, key, func(t tag, key string) int { return cmp.Compare(t.key, key) }); ok {
			return s.tags[i].value
		}
	}
	return ""
}

// micros are microseconds. Some reporters write them as a string or with a point.
type micros int64

func parseMicros(text string) (micros, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		f, floatErr := strconv.ParseFloat(text, 64)
		if floatErr != nil || f != f || f < -1<<62 || f > 1<<62 {
			return 0, fmt.Errorf("%q is no number of microseconds", clip(text))
		}
		n = int64(f)
	}
	// What does not fit into nanoseconds is no time.
	const most = 1<<63/1000 - 1
	return micros(min(max(n, 0), most)), nil
}

func (m micros) nanoseconds() int64 { return int64(m) * 1000 }

// clip shortens what is repeated in an error.
func clip(text string) string {
	const most = 64
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}

// decode reads a list of spans one by one, and hands each on.
func decode(body []byte, each func(*span)) error {
	d := jx.GetDecoder()
	defer jx.PutDecoder(d)
	d.ResetBytes(body)
	if d.Next() != jx.Array {
		return malformed(0, "the body is no list of spans in JSON", nil)
	}
	n := 0
	s := &span{}
	err := d.Arr(func(d *jx.Decoder) error {
		if n++; n > maxSpans {
			return fault.New(fault.TooLarge, "zipkin.too_many", "the list has more than %d spans", maxSpans).Hinted("send fewer at once")
		}
		if err := s.read(d); err != nil {
			return malformed(n, "is none in Zipkin's JSON, version 2", err)
		}
		if err := s.check(n); err != nil {
			return err
		}
		each(s)
		return nil
	})
	if _, told := fault.As(err); err == nil || told {
		return err
	}
	return malformed(n+1, "is none in Zipkin's JSON, version 2, or the list is cut off", err)
}

// read reads one span. Fields that are not Zipkin's are passed over.
func (s *span) read(d *jx.Decoder) error {
	*s = span{annotations: s.annotations[:0], tags: s.tags[:0], text: s.text[:0]}
	err := d.ObjBytes(func(d *jx.Decoder, key []byte) (err error) {
		if d.Next() == jx.Null {
			return d.Null()
		}
		switch string(key) {
		case "traceId":
			s.traceID, err = s.string(d)
		case "id":
			s.id, err = s.string(d)
		case "parentId":
			s.parentID, err = s.string(d)
		case "name":
			s.name, err = s.string(d)
		case "kind":
			s.kind, err = s.string(d)
		case "timestamp":
			s.timestamp, err = s.micros(d)
		case "duration":
			s.duration, err = s.micros(d)
		case "shared":
			s.shared, err = d.Bool()
		case "localEndpoint":
			s.local = &s.ends[0]
			err = s.endpoint(d, s.local)
		case "remoteEndpoint":
			s.remote = &s.ends[1]
			err = s.endpoint(d, s.remote)
		case "annotations":
			err = d.Arr(s.annotation)
		case "tags":
			err = d.ObjBytes(s.readTag)
		default:
			err = d.Skip()
		}
		return err
	})
	s.sortTags()
	return err
}

// sortTags puts the tags in order; of equal keys the last holds, as in any reading of JSON.
func (s *span) sortTags() {
	byKey := func(a, b tag) int { return cmp.Compare(a.key, b.key) }
	if !slices.IsSortedFunc(s.tags, byKey) {
		slices.SortStableFunc(s.tags, byKey)
	}
	kept := s.tags[:0]
	for _, t := range s.tags {
		if n := len(kept); n > 0 && kept[n-1].key == t.key {
			kept[n-1] = t
			continue
		}
		kept = append(kept, t)
	}
	s.tags = kept
}

// keep copies what the decoder will overwrite.
func (s *span) keep(b []byte) string {
	start := len(s.text)
	s.text = append(s.text, b...)
	return unsafe.String(unsafe.SliceData(s.text[start:]), len(b))
}

func (s *span) string(d *jx.Decoder) (string, error) {
	b, err := d.StrBytes()
	return s.keep(b), err
}

func (s *span) micros(d *jx.Decoder) (micros, error) {
	if d.Next() == jx.String {
		text, err := d.StrBytes()
		if err != nil || len(text) == 0 {
			return 0, err
		}
		return parseMicros(string(text))
	}
	n, err := d.Num()
	if err != nil {
		return 0, err
	}
	return parseMicros(string(n))
}

func (s *span) endpoint(d *jx.Decoder, e *endpoint) error {
	*e = endpoint{}
	return d.ObjBytes(func(d *jx.Decoder, key []byte) (err error) {
		if d.Next() == jx.Null {
			return d.Null()
		}
		switch string(key) {
		case "serviceName":
			e.serviceName, err = s.string(d)
		case "ipv4":
			e.ipv4, err = s.string(d)
		case "ipv6":
			e.ipv6, err = s.string(d)
		case "port":
			e.port, err = d.Int()
		default:
			err = d.Skip()
		}
		return err
	})
}

func (s *span) annotation(d *jx.Decoder) error {
	var a annotation
	err := d.ObjBytes(func(d *jx.Decoder, key []byte) (err error) {
		if d.Next() == jx.Null {
			return d.Null()
		}
		switch string(key) {
		case "timestamp":
			a.timestamp, err = s.micros(d)
		case "value":
			a.value, err = s.string(d)
		default:
			err = d.Skip()
		}
		return err
	})
	if len(s.annotations) == maxList {
		s.tooMany = true
		return err
	}
	s.annotations = append(s.annotations, a)
	return err
}

func (s *span) readTag(d *jx.Decoder, key []byte) error {
	t := tag{key: s.keep(key)}
	switch d.Next() {
	case jx.String:
		text, err := s.string(d)
		if err != nil {
			return err
		}
		t.value = text
	case jx.Array, jx.Object:
		return errors.New("a tag's value is a string")
	case jx.Null:
		if err := d.Null(); err != nil {
			return err
		}
	default:
		raw, err := d.Raw()
		if err != nil {
			return err
		}
		t.value = s.keep(raw)
	}
	if len(s.tags) == maxList {
		s.tooMany = true
		return nil
	}
	s.tags = append(s.tags, t)
	return nil
}

// check reads the ids.
func (s *span) check(n int) error {
	var ok bool
	if s.trace, ok = signal.ParseTraceID(s.traceID); !ok {
		return malformed(n, fmt.Sprintf("has the traceId %q", clip(s.traceID)), nil)
	}
	if s.span, ok = signal.ParseSpanID(s.id); !ok {
		return malformed(n, fmt.Sprintf("has the id %q", clip(s.id)), nil)
	}
	if parent := strings.TrimLeft(s.parentID, "0"); parent != "" {
		if s.parent, ok = signal.ParseSpanID(s.parentID); !ok {
			return malformed(n, fmt.Sprintf("has the parentId %q", clip(s.parentID)), nil)
		}
	}
	if s.tooMany {
		return fault.New(fault.TooLarge, "zipkin.too_many", "span %d has more than %d tags or annotations", n, maxList).Hinted("leave some out")
	}
	return nil
}

func malformed(n int, what string, cause error) error {
	if n > 0 {
		what = fmt.Sprintf("span %d %s", n, what)
	}
	// The decoder's own words say where; they hold no more of the body than a field's name and a character.
	if cause != nil && !errors.Is(cause, io.EOF) {
		what += ": " + clip(cause.Error())
	}
	return fault.New(fault.Invalid, "zipkin.malformed", "%s", what).Hinted("ids are 1 to 16 hexadecimal digits, of traces up to 32, and not all zero").Because(cause)
}
