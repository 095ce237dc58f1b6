package zipkin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

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

// span is a span in Zipkin's JSON.
type span struct {
	TraceID        string          `json:"traceId"`
	ID             string          `json:"id"`
	ParentID       string          `json:"parentId"`
	Name           string          `json:"name"`
	Kind           string          `json:"kind"`
	Timestamp      micros          `json:"timestamp"`
	Duration       micros          `json:"duration"`
	Shared         bool            `json:"shared"`
	LocalEndpoint  *endpoint       `json:"localEndpoint"`
	RemoteEndpoint *endpoint       `json:"remoteEndpoint"`
	Annotations    []annotation    `json:"annotations"`
	Tags           map[string]text `json:"tags"`
}

type endpoint struct {
	ServiceName string `json:"serviceName"`
	IPv4        string `json:"ipv4"`
	IPv6        string `json:"ipv6"`
	Port        int32  `json:"port"`
}

func (e *endpoint) address() string {
	if e.IPv4 != "" {
		return e.IPv4
	}
	return e.IPv6
}

type annotation struct {
	Timestamp micros `json:"timestamp"`
	Value     string `json:"value"`
}

// micros are microseconds. Some reporters write them as a string or with a point.
type micros int64

func (m *micros) UnmarshalJSON(data []byte) error {
	text := string(bytes.Trim(data, `"`))
	if text == "null" || text == "" {
		return nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		f, floatErr := strconv.ParseFloat(text, 64)
		if floatErr != nil || f != f || f < -1<<62 || f > 1<<62 {
			return fmt.Errorf("%q is no number of microseconds", clip(text))
		}
		n = int64(f)
	}
	// What does not fit into nanoseconds is no time.
	const most = 1<<63/1000 - 1
	*m = micros(min(max(n, 0), most))
	return nil
}

func (m micros) nanoseconds() int64 { return int64(m) * 1000 }

// text is a tag's value: a string, though some reporters write numbers and booleans.
type text string

func (t *text) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, (*string)(t))
	}
	if len(data) > 0 && (data[0] == '{' || data[0] == '[') {
		return errors.New("a tag's value is a string")
	}
	if string(data) == "null" {
		data = nil
	}
	*t = text(data)
	return nil
}

// clip shortens what is repeated in an error.
func clip(text string) string {
	const most = 64
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}

// decoded is a span whose ids were read.
type decoded struct {
	span
	trace      signal.TraceID
	id, parent signal.SpanID
}

// decode reads a list of spans one by one, and hands each on; it is good until the next one. The body is in memory as a whole: a decoder that reads from
// the network looks at long runs of blanks again with each packet.
func decode(body []byte, each func(*decoded)) error {
	d := json.NewDecoder(bytes.NewReader(body))
	first, err := d.Token()
	if err != nil || first != json.Delim('[') {
		return malformed(0, "the body is no list of spans in JSON", err)
	}
	for n := 1; d.More(); n++ {
		if n > maxSpans {
			return fault.New(fault.TooLarge, "zipkin.too_many", "the list has more than %d spans", maxSpans).Hinted("send fewer at once")
		}
		var s decoded
		if err := d.Decode(&s.span); err != nil {
			return malformed(n, "is none in Zipkin's JSON, version 2", err)
		}
		if err := s.check(n); err != nil {
			return err
		}
		each(&s)
	}
	if _, err := d.Token(); err != nil {
		return malformed(0, "the list of spans is cut off", err)
	}
	return nil
}

// check reads the ids.
func (s *decoded) check(n int) error {
	var ok bool
	if s.trace, ok = signal.ParseTraceID(s.TraceID); !ok {
		return malformed(n, fmt.Sprintf("has the traceId %q", clip(s.TraceID)), nil)
	}
	if s.id, ok = signal.ParseSpanID(s.ID); !ok {
		return malformed(n, fmt.Sprintf("has the id %q", clip(s.ID)), nil)
	}
	if parent := strings.TrimLeft(s.ParentID, "0"); parent != "" {
		if s.parent, ok = signal.ParseSpanID(s.ParentID); !ok {
			return malformed(n, fmt.Sprintf("has the parentId %q", clip(s.ParentID)), nil)
		}
	}
	if len(s.Tags) > maxList || len(s.Annotations) > maxList {
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
