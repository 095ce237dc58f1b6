package trace

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/parquet-go/parquet-go"

	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/wire"
)

// matches tells whether a span meets a query, whose namespace is met.
func matches(q *signal.TraceQuery, s *signal.Span) bool {
	r := s.Resource
	if s.Start < q.Since.UnixNano() || s.Start > q.Until.UnixNano() || s.Duration < int64(q.MinDuration) || q.MaxDuration > 0 && s.Duration > int64(q.MaxDuration) {
		return false
	}
	if q.Kind != signal.KindUnspecified && q.Kind != s.Kind || len(q.Outcomes) > 0 && !slices.Contains(q.Outcomes, s.Outcome) {
		return false
	}
	for _, pair := range [...][2]string{{q.Service, r.Service}, {q.Endpoint, s.Name}, {q.Instance, r.Instance}, {q.Version, r.Version}, {q.Lane, r.Lane}, {q.Release, r.Release}} {
		if pair[0] != "" && pair[0] != pair[1] {
			return false
		}
	}
	for _, m := range q.Attributes {
		if !has(s.Attributes, m) && !has(r.Attributes, m) {
			return false
		}
	}
	return true
}

func has(attributes []signal.Attribute, m signal.Match) bool {
	for i := range attributes {
		if attributes[i].Key == m.Key && wire.Text(attributes[i].Value) == m.Text {
			return true
		}
	}
	return false
}

// needles are texts of which each must be somewhere in a request for it to have a span that meets the query.
func needles(q *signal.TraceQuery) [][]byte {
	var out [][]byte
	for _, text := range []string{q.Service, q.Endpoint, q.Instance, q.Version, q.Lane, q.Release} {
		if text != "" && text != "unknown_service" {
			out = append(out, []byte(text))
		}
	}
	for _, m := range q.Attributes {
		out = append(out, []byte(m.Key))
		if _, err := strconv.ParseFloat(m.Text, 64); err != nil && m.Text != "true" && m.Text != "false" && json.Valid([]byte(`"`+m.Text+`"`)) {
			// It can only be a string, bytes (in base64), or JSON, of which the last two are not searched for by their text.
			out = append(out, []byte(m.Text))
		}
	}
	return out
}

// condition is a test of one column.
type condition struct {
	column int
	test   func(parquet.Value) bool
	// bloom is the value that must be there, if the column has a filter.
	bloom *parquet.Value
}

// clause is conditions of which one must hold.
type clause []condition

func textIs(text string) func(parquet.Value) bool {
	return func(v parquet.Value) bool { return !v.IsNull() && string(v.ByteArray()) == text }
}

// clauses are a query's tests of a block's columns, all of which must hold. ok is false when the block cannot have a match.
func (o *openBlock) clauses(q *signal.TraceQuery) []clause {
	var out []clause
	word := func(c column, text string) {
		if text != "" {
			out = append(out, clause{{column: o.columns[c.String()], test: textIs(text)}})
		}
	}
	for _, m := range q.Attributes {
		out = append(out, o.attributeClause(m))
	}
	word(columnNamespace, q.Namespace)
	word(columnService, q.Service)
	word(columnName, q.Endpoint)
	word(columnInstance, q.Instance)
	word(columnVersion, q.Version)
	word(columnLane, q.Lane)
	word(columnRelease, q.Release)
	if q.Kind != signal.KindUnspecified {
		word(columnKind, q.Kind.String())
	}
	if len(q.Outcomes) > 0 {
		var any clause
		for _, outcome := range q.Outcomes {
			any = append(any, condition{column: o.columns[columnOutcome.String()], test: textIs(outcome.String())})
		}
		out = append(out, any)
	}
	if q.MinDuration > 0 || q.MaxDuration > 0 {
		out = append(out, clause{{column: o.columns[columnDuration.String()], test: func(v parquet.Value) bool {
			return v.Int64() >= int64(q.MinDuration) && (q.MaxDuration == 0 || v.Int64() <= int64(q.MaxDuration))
		}}})
	}
	since, until := q.Since.UnixNano(), q.Until.UnixNano()
	return append(out, clause{{column: o.columns[columnStart.String()], test: func(v parquet.Value) bool { return v.Int64() >= since && v.Int64() <= until }}})
}

// attributeClause looks for an attribute in its own column, in the packed ones, and in the resource.
func (o *openBlock) attributeClause(m signal.Match) clause {
	var out clause
	if i, ok := o.columns[attributePrefix+m.Key]; ok {
		switch o.parquet.Schema().Fields()[i].Type().Kind() {
		case parquet.Boolean:
			out = append(out, condition{column: i, test: func(v parquet.Value) bool { return !v.IsNull() && strconv.FormatBool(v.Boolean()) == m.Text }})
		case parquet.Int64:
			if n, err := strconv.ParseInt(m.Text, 10, 64); err == nil {
				out = append(out, condition{column: i, test: func(v parquet.Value) bool { return !v.IsNull() && v.Int64() == n }})
			}
		case parquet.Double:
			out = append(out, condition{column: i, test: func(v parquet.Value) bool {
				return !v.IsNull() && wire.Text(signal.Value{Type: signal.TypeDouble, Number: v.Uint64()}) == m.Text
			}})
		default:
			value := parquet.ByteArrayValue([]byte(m.Text))
			out = append(out, condition{column: i, test: textIs(m.Text), bloom: &value})
		}
	}
	test := packedHas(m)
	return append(out, condition{column: o.columns[columnAttributes.String()], test: test}, condition{column: o.columns[columnResource.String()], test: test})
}

// packedHas looks for a member in JSON that [wire.AppendAttributes] wrote. Only what has the key somewhere is decoded.
func packedHas(m signal.Match) func(parquet.Value) bool {
	key := wire.AppendAttribute(nil, m.Key, signal.Value{})
	key = key[:len(key)-len("null")]
	return func(v parquet.Value) bool {
		text := v.ByteArray()
		if !bytes.Contains(text, key) {
			return false
		}
		attributes, err := wire.ParseAttributes(string(text))
		return err == nil && has(attributes, m)
	}
}
