package wire

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gantry-platform/gantry/internal/signal"
)

// readSpan fills a span whose resource and scope are set. It is written out, not made of closures: it runs for every span.
func (d *Decoder) readSpan(b []byte, s *signal.Span) error {
	firstAttribute, firstEvent, firstLink := len(d.attributes), len(d.events), len(d.links)
	var end uint64
	for len(b) > 0 {
		number, kind, n := nextTag(b)
		if n < 0 {
			return errTorn
		}
		b = b[n:]
		switch kind {
		case protowire.BytesType:
			value, n := nextBytes(b)
			if n < 0 {
				return errTorn
			}
			b = b[n:]
			if err := d.spanBytes(number, value, s, firstAttribute, firstEvent, firstLink); err != nil {
				return err
			}
		case protowire.Fixed64Type:
			value, n := protowire.ConsumeFixed64(b)
			if n < 0 {
				return errTorn
			}
			b = b[n:]
			switch number {
			case 7:
				s.Start = instant(value)
			case 8:
				end = value
			}
		case protowire.VarintType:
			value, n := nextVarint(b)
			if n < 0 {
				return errTorn
			}
			b = b[n:]
			if number == 6 && value <= uint64(signal.KindConsumer) {
				s.Kind = signal.Kind(value)
			}
		case protowire.Fixed32Type:
			value, n := protowire.ConsumeFixed32(b)
			if n < 0 {
				return errTorn
			}
			b = b[n:]
			if number == 16 {
				s.Flags = value
			}
		default:
			n := protowire.ConsumeFieldValue(number, kind, b)
			if n < 0 {
				return errTorn
			}
			b = b[n:]
		}
	}
	s.Duration = max(0, instant(end)-s.Start)
	s.Attributes, s.Events, s.Links = tail(d.attributes, firstAttribute), tail(d.events, firstEvent), tail(d.links, firstLink)
	s.Outcome = signal.OutcomeOf(s)
	return nil
}

// tail is what has been appended since first, nil when that is nothing.
func tail[T any](all []T, first int) []T {
	if first == len(all) {
		return nil
	}
	return all[first:len(all):len(all)]
}

// instant reads a time of OTLP, which is unsigned; what does not fit is the latest that does.
func instant(v uint64) int64 { return int64(min(v, math.MaxInt64)) }

func (d *Decoder) spanBytes(number protowire.Number, value []byte, s *signal.Span, firstAttribute, firstEvent, firstLink int) error {
	switch number {
	case 1:
		if len(value) == len(s.TraceID) {
			s.TraceID = signal.TraceID(value)
		}
	case 2:
		if len(value) == len(s.ID) {
			s.ID = signal.SpanID(value)
		}
	case 3:
		s.TraceState = d.text(value)
	case 4:
		if len(value) == len(s.Parent) {
			s.Parent = signal.SpanID(value)
		}
	case 5:
		s.Name = d.text(value)
	case 9:
		if len(d.attributes)-firstAttribute == MaxAttributes {
			d.Cut++
			return nil
		}
		var err error
		d.attributes, err = d.appendAttribute(d.attributes, value)
		return err
	case 11:
		if len(d.events)-firstEvent == MaxEvents {
			d.Cut++
			return nil
		}
		return d.event(value)
	case 13:
		if len(d.links)-firstLink == MaxLinks {
			d.Cut++
			return nil
		}
		return d.link(value)
	case 15:
		return fields(value, func(number protowire.Number, value []byte, scalar uint64) error {
			switch {
			case number == 2 && value != nil:
				s.StatusMessage = d.text(value)
			case number == 3 && scalar <= uint64(signal.StatusError):
				s.Status = signal.Status(scalar)
			}
			return nil
		})
	}
	return nil
}

// event and link keep their attributes apart from the span's, whose run in the arena must not be broken: both are rare.
func (d *Decoder) event(message []byte) error {
	var e signal.Event
	err := fields(message, func(number protowire.Number, value []byte, scalar uint64) error {
		switch {
		case number == 1:
			e.Time = instant(scalar)
		case number == 2 && value != nil:
			e.Name = d.text(value)
		case number == 3 && value != nil:
			return d.own(&e.Attributes, value)
		}
		return nil
	})
	d.events = append(d.events, e)
	return err
}

func (d *Decoder) link(message []byte) error {
	var l signal.Link
	err := fields(message, func(number protowire.Number, value []byte, _ uint64) error {
		switch {
		case number == 1 && len(value) == len(l.TraceID):
			l.TraceID = signal.TraceID(value)
		case number == 2 && len(value) == len(l.SpanID):
			l.SpanID = signal.SpanID(value)
		case number == 3 && value != nil:
			l.TraceState = d.text(value)
		case number == 4 && value != nil:
			return d.own(&l.Attributes, value)
		}
		return nil
	})
	d.links = append(d.links, l)
	return err
}

func (d *Decoder) own(to *[]signal.Attribute, message []byte) error {
	if len(*to) == MaxAttributes {
		d.Cut++
		return nil
	}
	var err error
	*to, err = d.appendAttribute(*to, message)
	return err
}
