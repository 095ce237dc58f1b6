package trace

import (
	"cmp"
	"slices"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/trace/columnar"
)

// The columns that every block has. Readers outside (DuckDB, Spark) know them by these names: they may be added to, never changed.
type column int

const (
	columnNamespace column = iota
	columnTraceID
	columnSpanID
	columnParentID
	columnTraceState
	columnFlags
	columnName
	columnKind
	columnStart
	columnDuration
	columnStatus
	columnStatusMessage
	columnOutcome
	columnService
	columnInstance
	columnVersion
	columnLane
	columnRelease
	columnScope
	columnResource
	columnAttributes
	columnEvents
	columnLinks
	fixedColumns
)

func (c column) String() string {
	return [...]string{"namespace", "trace_id", "span_id", "parent_span_id", "trace_state", "flags", "name", "kind", "start_time", "duration", "status", "status_message", "outcome", "service", "instance", "version", "lane", "release", "scope", "resource", "attributes", "events", "links"}[c]
}

const attributePrefix = "attr."

// columnType is a type of value and how it is encoded.
type columnType struct {
	value signal.ValueType
	// many: the values differ so much that a dictionary would be larger than they are.
	many bool
	// bloom: a filter tells which row groups do not have a value.
	bloom bool
}

// attributeColumn is an attribute that a block has a column of its own for.
type attributeColumn struct {
	key string
	columnType
}

// schema is the columns of one block.
type schema struct {
	parquet    *parquet.Schema
	attributes []attributeColumn
	// index is where an attribute is in attributes; places are the columns of those, and fixed of the fixed ones, among all columns.
	index  map[string]int
	places []int
	fixed  [fixedColumns]int
	// bloom is the bits per value of columns with a filter.
	bloom map[string]uint
}

// bloomBits is the size of a bloom filter per distinct value: 10 bits give 1% of needless reads.
const bloomBits = 10

// newSchema makes the columns of a block.
func newSchema(attributes []attributeColumn) *schema {
	s := &schema{attributes: attributes, index: map[string]int{}, places: make([]int, len(attributes)), bloom: map[string]uint{columnTraceID.String(): bloomBits}}
	word := parquet.Encoded(parquet.String(), &parquet.RLEDictionary)
	group := parquet.Group{
		columnNamespace.String():     word,
		columnTraceID.String():       parquet.Encoded(parquet.Leaf(parquet.FixedLenByteArrayType(16)), &parquet.RLEDictionary),
		columnSpanID.String():        parquet.Leaf(parquet.FixedLenByteArrayType(8)),
		columnParentID.String():      parquet.Optional(parquet.Leaf(parquet.FixedLenByteArrayType(8))),
		columnTraceState.String():    parquet.Optional(word),
		columnFlags.String():         parquet.Encoded(parquet.Int(64), &parquet.RLEDictionary),
		columnName.String():          word,
		columnKind.String():          word,
		columnStart.String():         parquet.Encoded(parquet.Timestamp(parquet.Nanosecond), &parquet.DeltaBinaryPacked),
		columnDuration.String():      parquet.Encoded(parquet.Int(64), &parquet.DeltaBinaryPacked),
		columnStatus.String():        word,
		columnStatusMessage.String(): parquet.Optional(word),
		columnOutcome.String():       word,
		columnService.String():       word,
		columnInstance.String():      word,
		columnVersion.String():       word,
		columnLane.String():          word,
		columnRelease.String():       word,
		columnScope.String():         word,
		columnResource.String():      word,
		columnAttributes.String():    parquet.Optional(parquet.Encoded(parquet.String(), &parquet.DeltaLengthByteArray)),
		columnEvents.String():        parquet.Optional(parquet.Encoded(parquet.String(), &parquet.DeltaLengthByteArray)),
		columnLinks.String():         parquet.Optional(parquet.Encoded(parquet.String(), &parquet.DeltaLengthByteArray)),
	}
	for i, a := range attributes {
		s.index[a.key] = i
		group[attributePrefix+a.key] = parquet.Optional(a.node())
		if a.bloom {
			s.bloom[attributePrefix+a.key] = bloomBits
		}
	}
	s.parquet = parquet.NewSchema("span", group)
	places := map[string]int{}
	for i, path := range s.parquet.Columns() {
		places[path[0]] = i
	}
	for c := range fixedColumns {
		s.fixed[c] = places[c.String()]
	}
	for i, a := range attributes {
		s.places[i] = places[attributePrefix+a.key]
	}
	return s
}

func (t columnType) node() parquet.Node {
	switch t.value {
	case signal.TypeBool:
		return parquet.Leaf(parquet.BooleanType)
	case signal.TypeInt:
		if t.many {
			return parquet.Encoded(parquet.Int(64), &parquet.DeltaBinaryPacked)
		}
		return parquet.Encoded(parquet.Int(64), &parquet.RLEDictionary)
	case signal.TypeDouble:
		if t.many {
			return parquet.Leaf(parquet.DoubleType)
		}
		return parquet.Encoded(parquet.Leaf(parquet.DoubleType), &parquet.RLEDictionary)
	default:
		if t.many {
			return parquet.Encoded(parquet.String(), &parquet.DeltaLengthByteArray)
		}
		return parquet.Encoded(parquet.String(), &parquet.RLEDictionary)
	}
}

const (
	// maxAttributeColumns bounds the columns of a block: each costs some hundred bytes a row group and a moment a read.
	maxAttributeColumns = 64
	// rareAttribute is the share of spans under which an attribute stays in the packed column.
	rareAttribute = 0.005
	// manyValues is the share of distinct values among those sampled from which on a dictionary does not pay.
	manyValues = 0.3
	// maxColumnKey keeps odd keys out of the schema.
	maxColumnKey = 128
)

// census counts the attributes of a sample of spans, to choose the columns of a block.
type census struct {
	spans int
	keys  map[string]*keyCount
}

type keyCount struct {
	types  [signal.TypeJSON + 1]int
	values map[signal.Value]struct{}
	count  int
}

func newCensus() *census { return &census{keys: map[string]*keyCount{}} }

func (c *census) count(s *signal.Span) {
	c.spans++
	for i := range s.Attributes {
		a := &s.Attributes[i]
		k := c.keys[a.Key]
		if k == nil {
			if len(c.keys) == 4*maxAttributeColumns || len(a.Key) > maxColumnKey || a.Key == "" {
				continue
			}
			k = &keyCount{values: map[signal.Value]struct{}{}}
			c.keys[a.Key] = k
		}
		k.count++
		k.types[a.Value.Type]++
		k.values[a.Value] = struct{}{}
	}
}

// columns chooses. An attribute gets a column of the type that most of its values have; the others are packed.
func (c *census) columns() []attributeColumn {
	var out []attributeColumn
	for key, k := range c.keys {
		kind := signal.TypeString
		for t, n := range k.types {
			if n > k.types[kind] {
				kind = signal.ValueType(t)
			}
		}
		if float64(k.count) < rareAttribute*float64(c.spans) || kind == signal.TypeEmpty || kind == signal.TypeBytes || kind == signal.TypeJSON {
			continue
		}
		many := float64(len(k.values)) > manyValues*float64(k.count) && len(k.values) > 16
		// Numbers are rarely asked for by equality, and a filter of theirs costs a byte a span.
		out = append(out, attributeColumn{key, columnType{value: kind, many: many, bloom: many && kind == signal.TypeString}})
	}
	slices.SortFunc(out, func(a, b attributeColumn) int {
		return cmp.Or(cmp.Compare(c.keys[b.key].count, c.keys[a.key].count), cmp.Compare(a.key, b.key))
	})
	return out[:min(len(out), maxAttributeColumns)]
}

// pageBytes is the size of a page before compression: small enough that one span is read in a moment, large enough to compress well.
const pageBytes = 64 << 10

// noise is the columns of ids, which are drawn at random.
var noise = map[string]bool{columnTraceID.String(): true, columnSpanID.String(): true}

func (s *schema) options(codec *zstd.Codec, metadata map[string]string) columnar.Options {
	return columnar.Options{Codec: codec, PageBytes: pageBytes, BloomBits: s.bloom, Uncompressed: noise, Metadata: metadata, CreatedBy: "gantry version 1 (build trace)"}
}
