package columnar

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/compress/uncompressed"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

const magic = "PAR1"

// Options of a file.
type Options struct {
	// Codec compresses pages, but for those of the columns in Uncompressed, whose values are noise.
	Codec        compress.Codec
	Uncompressed map[string]bool
	// PageBytes is the size of a page before it is encoded. Default 64 KiB.
	PageBytes int
	// BloomBits are the columns that get a bloom filter, and its bits for each distinct value.
	BloomBits map[string]uint
	// Metadata is kept in the file's footer.
	Metadata map[string]string
	// CreatedBy names the program, as "name version 1 (build x)".
	CreatedBy string
}

// Writer writes one file: rows into its columns, row groups one after another. It must not be used concurrently.
type Writer struct {
	out     io.Writer
	options Options
	schema  *parquet.Schema
	columns []*Column
	written int64
	rows    int64
	groups  []format.RowGroup
	pages   [][][]format.PageLocation
	err     error

	// The rest is used again from page to page.
	levels, encoded, compressed []byte
	header                      bytes.Buffer
	protocol                    thrift.CompactProtocol
}

// New begins a file. The fields of the schema must be leaves, required or optional.
func New(out io.Writer, schema *parquet.Schema, options Options) (*Writer, error) {
	options.PageBytes = cmp.Or(options.PageBytes, 64<<10)
	options.Codec = cmp.Or[compress.Codec](options.Codec, &uncompressed.Codec{})
	w := &Writer{out: out, options: options, schema: schema}
	for _, field := range schema.Fields() {
		c, err := newColumn(w, field)
		if err != nil {
			return nil, err
		}
		w.columns = append(w.columns, c)
	}
	w.write([]byte(magic))
	return w, w.err
}

// Columns are the columns in the order of the schema.
func (w *Writer) Columns() []*Column { return w.columns }

// EndGroup ends a row group of so many rows and writes it. Optional columns that have fewer are filled with nulls.
//
// Errors: what the writer below and the codec say, also of pages before.
func (w *Writer) EndGroup(rows int64) error {
	group := format.RowGroup{NumRows: rows, FileOffset: w.written, Ordinal: int16(len(w.groups)), Columns: make([]format.ColumnChunk, len(w.columns))}
	locations := make([][]format.PageLocation, len(w.columns))
	for i, c := range w.columns {
		locations[i] = c.end(rows, &group.Columns[i].MetaData)
		group.TotalByteSize += group.Columns[i].MetaData.TotalUncompressedSize
		group.TotalCompressedSize += group.Columns[i].MetaData.TotalCompressedSize
	}
	for i, c := range w.columns {
		c.writeBloom(&group.Columns[i].MetaData)
		c.reset()
	}
	w.rows += rows
	w.groups, w.pages = append(w.groups, group), append(w.pages, locations)
	return w.err
}

// Close writes the indexes and the footer. It does not close the writer below.
func (w *Writer) Close() error {
	for g := range w.groups {
		for i := range w.columns {
			chunk := &w.groups[g].Columns[i]
			chunk.OffsetIndexOffset = w.written
			w.encode(&format.OffsetIndex{PageLocations: w.pages[g][i]})
			chunk.OffsetIndexLength = int32(w.written - chunk.OffsetIndexOffset)
		}
	}
	footer := format.FileMetaData{Version: 2, Schema: schemaElements(w.schema), NumRows: w.rows, RowGroups: w.groups, CreatedBy: w.options.CreatedBy}
	for key, value := range w.options.Metadata {
		footer.KeyValueMetadata = append(footer.KeyValueMetadata, format.KeyValue{Key: key, Value: value})
	}
	slices.SortFunc(footer.KeyValueMetadata, func(a, b format.KeyValue) int { return cmp.Compare(a.Key, b.Key) })
	for _, c := range w.columns {
		footer.ColumnOrders = append(footer.ColumnOrders, *c.kind.ColumnOrder())
	}
	start := w.written
	w.encode(&footer)
	w.write(binary.LittleEndian.AppendUint32(nil, uint32(w.written-start)))
	w.write([]byte(magic))
	return w.err
}

func (w *Writer) write(b []byte) {
	if w.err != nil {
		return
	}
	n, err := w.out.Write(b)
	w.written += int64(n)
	w.failed(err)
}

func (w *Writer) encode(structure any) {
	w.write(w.thrift(structure))
}

// thrift encodes a structure of the format; the bytes are valid until the next.
func (w *Writer) thrift(structure any) []byte {
	w.header.Reset()
	w.failed(thrift.NewEncoder(w.protocol.NewWriter(&w.header)).Encode(structure))
	return w.header.Bytes()
}

func (w *Writer) failed(err error) {
	if err != nil && w.err == nil {
		w.err = fmt.Errorf("columnar: %w", err)
	}
}

var errSchema = errors.New("columnar: a schema of leaves that are required or optional is wanted")

func schemaElements(schema *parquet.Schema) []format.SchemaElement {
	root := format.SchemaElement{Name: schema.Name()}
	root.NumChildren.Set(int32(len(schema.Fields())))
	elements := []format.SchemaElement{root}
	for _, field := range schema.Fields() {
		kind := field.Type()
		e := format.SchemaElement{Name: field.Name(), FieldID: int32(field.ID())}
		e.RepetitionType.Set(format.Required)
		if field.Optional() {
			e.RepetitionType.Set(format.Optional)
		}
		e.Type.Set(*kind.PhysicalType())
		if logical := kind.LogicalType(); logical != nil {
			e.LogicalType = *logical
		}
		if converted := kind.ConvertedType(); converted != nil {
			e.ConvertedType.Set(*converted)
		}
		if kind.Kind() == parquet.FixedLenByteArray {
			e.TypeLength.Set(int32(kind.Length()))
		}
		elements = append(elements, e)
	}
	return elements
}
