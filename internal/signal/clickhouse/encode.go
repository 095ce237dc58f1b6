package clickhouse

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/wire"
)

// resourceColumns are of the sender; many rows have the same, side by side, which a reader makes use of.
const resourceColumns = `service, instance, version, lane, release, zone, resource_keys, resource_values, resource_types`

// spanColumns are of the span itself.
const spanColumns = `trace_id, span_id, parent_id, kind, status, outcome, flags, start, duration, name, status_message, trace_state, scope, attribute_keys, attribute_values, attribute_types, ` +
	`event_names, event_times, event_attributes, link_trace_ids, link_span_ids, link_states, link_attributes`

const insertSpans = `INSERT INTO gantry_spans (namespace, arrived, ` + resourceColumns + `, ` + spanColumns + `) FORMAT RowBinary`

// appendRow writes a span in the order of insertSpans. packed is the resource as [appendResource] wrote it.
func appendRow(to []byte, namespace string, arrived time.Time, packed []byte, s *signal.Span) []byte {
	to = appendText(to, namespace)
	to = binary.LittleEndian.AppendUint32(to, uint32(min(max(arrived.Unix(), 0), math.MaxUint32)))
	to = append(to, packed...)
	return appendSpan(to, s)
}

func appendResource(to []byte, r *signal.Resource) []byte {
	for _, text := range [...]string{r.Service, r.Instance, r.Version, r.Lane, r.Release, r.Zone} {
		to = appendText(to, text)
	}
	return appendAttributes(to, r.Attributes)
}

func appendSpan(to []byte, s *signal.Span) []byte {
	to = append(append(append(to, s.TraceID[:]...), s.ID[:]...), s.Parent[:]...)
	to = append(to, byte(s.Kind), byte(s.Status), byte(s.Outcome))
	to = binary.LittleEndian.AppendUint32(to, s.Flags)
	to = binary.LittleEndian.AppendUint64(to, uint64(s.Start))
	to = binary.LittleEndian.AppendUint64(to, uint64(s.Duration))
	for _, text := range [...]string{s.Name, s.StatusMessage, s.TraceState, s.Scope} {
		to = appendText(to, text)
	}
	to = appendAttributes(to, s.Attributes)
	return appendLinks(appendEvents(to, s.Events), s.Links)
}

func appendText(to []byte, text string) []byte {
	return append(binary.AppendUvarint(to, uint64(len(text))), text...)
}

// appendAttributes writes keys, texts and types.
func appendAttributes(to []byte, attributes []signal.Attribute) []byte {
	n := uint64(len(attributes))
	to = binary.AppendUvarint(to, n)
	for i := range attributes {
		to = appendText(to, attributes[i].Key)
	}
	to = binary.AppendUvarint(to, n)
	for i := range attributes {
		to = appendText(to, wire.Text(attributes[i].Value))
	}
	to = binary.AppendUvarint(to, n)
	for i := range attributes {
		to = append(to, byte(attributes[i].Value.Type))
	}
	return to
}

func appendEvents(to []byte, events []signal.Event) []byte {
	n := uint64(len(events))
	to = binary.AppendUvarint(to, n)
	for i := range events {
		to = appendText(to, events[i].Name)
	}
	to = binary.AppendUvarint(to, n)
	for i := range events {
		to = binary.LittleEndian.AppendUint64(to, uint64(events[i].Time))
	}
	to = binary.AppendUvarint(to, n)
	for i := range events {
		to = appendJSON(to, events[i].Attributes)
	}
	return to
}

func appendLinks(to []byte, links []signal.Link) []byte {
	n := uint64(len(links))
	to = binary.AppendUvarint(to, n)
	for i := range links {
		to = append(to, links[i].TraceID[:]...)
	}
	to = binary.AppendUvarint(to, n)
	for i := range links {
		to = append(to, links[i].SpanID[:]...)
	}
	to = binary.AppendUvarint(to, n)
	for i := range links {
		to = appendText(to, links[i].TraceState)
	}
	to = binary.AppendUvarint(to, n)
	for i := range links {
		to = appendJSON(to, links[i].Attributes)
	}
	return to
}

func appendJSON(to []byte, attributes []signal.Attribute) []byte {
	packed := wire.AppendAttributes(nil, attributes)
	return append(binary.AppendUvarint(to, uint64(len(packed))), packed...)
}
