package columnar

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"slices"
	"unsafe"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/bloom"
	"github.com/parquet-go/parquet-go/bloom/xxhash"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/compress/uncompressed"
	"github.com/parquet-go/parquet-go/encoding"
	"github.com/parquet-go/parquet-go/encoding/plain"
	"github.com/parquet-go/parquet-go/encoding/rle"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// Column takes the values of one column, in the order of their rows, which are counted from the row group's first. A row of an optional column that is
// passed over is null; a required column has a value in every row.
type Column struct {
	writer     *Writer
	name       string
	kind       parquet.Type
	optional   bool
	encoding   encoding.Encoding
	codec      compress.Codec
	dictionary *dictionary
	bloomBits  uint

	// next is the row behind the last one, and first the first of the page at work.
	next, first int64
	// levels tell of the page's rows which have a value, if the column is optional.
	levels []byte
	// The values of the page: one of these, by the kind of the column.
	indexes []int32
	numbers []int64
	text    []byte
	ends    []uint32

	// done is the row group's pages, compressed, and where they begin; nulls counts their rows without a value.
	done         [][]byte
	locations    []format.PageLocation
	nulls        int64
	uncompressed int64
	// least and most bound the numbers of the row group.
	least, most int64
	// hashes are of the distinct values, for the filter; last is the one before.
	hashes []uint64
	last   []byte
}

// levelEncoding is of levels that are 0 or 1.
var levelEncoding = rle.Encoding{BitWidth: 1}

func newColumn(w *Writer, field parquet.Field) (*Column, error) {
	if !field.Leaf() || field.Repeated() {
		return nil, errSchema
	}
	c := &Column{writer: w, name: field.Name(), kind: field.Type(), optional: field.Optional(), encoding: field.Encoding(), codec: w.options.Codec, bloomBits: w.options.BloomBits[field.Name()]}
	if w.options.Uncompressed[c.name] {
		c.codec = &uncompressed.Codec{}
	}
	switch {
	case c.encoding == nil:
		c.encoding = &plain.Encoding{}
	case c.encoding.Encoding() == format.RLEDictionary:
		c.dictionary = newDictionary()
	}
	c.reset()
	return c, nil
}

func (c *Column) reset() {
	c.next, c.first = 0, 0
	clear(c.done)
	c.done, c.locations, c.nulls, c.uncompressed = c.done[:0], nil, 0, 0
	c.least, c.most = math.MaxInt64, math.MinInt64
	c.hashes, c.last = c.hashes[:0], c.last[:0]
	if c.dictionary != nil {
		c.dictionary.reset()
	}
	c.clearPage()
}

func (c *Column) clearPage() {
	c.levels, c.indexes, c.numbers, c.text = c.levels[:0], c.indexes[:0], c.numbers[:0], c.text[:0]
	c.ends = append(c.ends[:0], 0)
}

// at makes way for a value in a row.
func (c *Column) at(row int64) {
	if c.optional {
		if row > c.next {
			c.levels = append(c.levels, make([]byte, row-c.next)...)
			c.nulls += row - c.next
		}
		c.levels = append(c.levels, 1)
	}
	c.next = row + 1
}

// Word is the number of a text within the column's dictionary, for [Column.Index]. It holds until the end of the row group.
func (c *Column) Word(text string) int32 { return c.dictionary.word(text) }

// Index adds a value by its number.
func (c *Column) Index(row int64, index int32) {
	c.at(row)
	c.indexes = append(c.indexes, index)
	if len(c.indexes)*4 >= c.writer.options.PageBytes {
		c.cut()
	}
}

// Text adds a text, which is copied.
func (c *Column) Text(row int64, text string) {
	if c.dictionary != nil {
		c.Index(row, c.dictionary.word(text))
		return
	}
	c.at(row)
	c.text = append(c.text, text...)
	c.ends = append(c.ends, uint32(len(c.text)))
	if c.bloomBits > 0 {
		c.hash(unsafe.Slice(unsafe.StringData(text), len(text)))
	}
	if len(c.text)+4*len(c.ends) >= c.writer.options.PageBytes {
		c.cut()
	}
}

// Fixed adds bytes of the column's length, which are copied.
func (c *Column) Fixed(row int64, value []byte) {
	if c.dictionary != nil {
		c.Index(row, c.dictionary.fixed(value))
		return
	}
	c.at(row)
	c.text = append(c.text, value...)
	if c.bloomBits > 0 {
		c.hash(value)
	}
	if len(c.text) >= c.writer.options.PageBytes {
		c.cut()
	}
}

// Int adds a number.
func (c *Column) Int(row int64, value int64) {
	c.least, c.most = min(c.least, value), max(c.most, value)
	c.number(row, value)
}

// Double adds a number.
func (c *Column) Double(row int64, value float64) { c.number(row, int64(math.Float64bits(value))) }

func (c *Column) number(row int64, bits int64) {
	if c.dictionary != nil {
		c.Index(row, c.dictionary.number(bits))
		return
	}
	c.at(row)
	c.numbers = append(c.numbers, bits)
	if len(c.numbers)*8 >= c.writer.options.PageBytes {
		c.cut()
	}
}

// Bool adds a truth value.
func (c *Column) Bool(row int64, value bool) {
	c.at(row)
	bit := byte(0)
	if value {
		bit = 1
	}
	c.text = append(c.text, bit) // packed when the page is cut
	if len(c.text) >= c.writer.options.PageBytes {
		c.cut()
	}
}

// hash remembers a value for the filter. Equal ones that follow each other count once.
func (c *Column) hash(value []byte) {
	if len(c.hashes) > 0 && string(value) == string(c.last) {
		return
	}
	c.hashes = append(c.hashes, xxhash.Sum64(value))
	c.last = append(c.last[:0], value...)
}

// encode appends the values of the page at work.
func (c *Column) encode(to []byte) ([]byte, error) {
	switch kind := c.kind.Kind(); {
	case c.dictionary != nil:
		return c.encoding.EncodeInt32(to, c.indexes)
	case kind == parquet.Boolean:
		packed := make([]byte, (len(c.text)+7)/8)
		for i, bit := range c.text {
			packed[i/8] |= bit << (i % 8)
		}
		return c.encoding.EncodeBoolean(to, packed)
	case kind == parquet.Int64:
		return c.encoding.EncodeInt64(to, c.numbers)
	case kind == parquet.Double:
		return c.encoding.EncodeDouble(to, unsafe.Slice((*float64)(unsafe.Pointer(unsafe.SliceData(c.numbers))), len(c.numbers)))
	case kind == parquet.FixedLenByteArray:
		return c.encoding.EncodeFixedLenByteArray(to, c.text, c.kind.Length())
	default:
		return c.encoding.EncodeByteArray(to, c.text, c.ends)
	}
}

// cut ends the page at work (https://parquet.apache.org/docs/file-format/data-pages/): levels, which are not compressed, and values.
func (c *Column) cut() {
	rows := c.next - c.first
	if rows == 0 {
		return
	}
	w := c.writer
	var err error
	levels, nulls := w.levels[:0], 0
	if c.optional {
		for _, level := range c.levels {
			nulls += int(1 - level)
		}
		levels, err = levelEncoding.EncodeLevels(levels, c.levels)
		w.failed(err)
	}
	w.levels = levels
	w.encoded, err = c.encode(w.encoded[:0])
	w.failed(err)
	w.compressed, err = c.codec.Encode(w.compressed[:0], w.encoded)
	w.failed(err)
	header := format.PageHeader{Type: format.DataPageV2, UncompressedPageSize: int32(len(levels) + len(w.encoded)), CompressedPageSize: int32(len(levels) + len(w.compressed)),
		CRC: int32(crc32.Update(crc32.ChecksumIEEE(levels), crc32.IEEETable, w.compressed))}
	header.DataPageHeaderV2.Set(format.DataPageHeaderV2{NumValues: int32(rows), NumNulls: int32(nulls), NumRows: int32(rows), Encoding: c.encoding.Encoding(),
		DefinitionLevelsByteLength: int32(len(levels)), IsCompressed: thrift.New(c.codec.CompressionCodec() != format.Uncompressed)})
	head := w.thrift(&header)
	page := slices.Concat(head, levels, w.compressed)
	c.done = append(c.done, page)
	c.uncompressed += int64(len(head)) + int64(header.UncompressedPageSize)
	c.locations = append(c.locations, format.PageLocation{CompressedPageSize: int32(len(page)), FirstRowIndex: c.first})
	c.first = c.next
	c.clearPage()
}

// end writes the column's part of a row group of so many rows, and tells where its pages are.
func (c *Column) end(rows int64, meta *format.ColumnMetaData) []format.PageLocation {
	w := c.writer
	if c.next < rows {
		if !c.optional {
			w.failed(errSchema)
		}
		c.levels = append(c.levels, make([]byte, rows-c.next)...)
		c.nulls += rows - c.next
		c.next = rows
	}
	c.cut()
	*meta = format.ColumnMetaData{Type: *c.kind.PhysicalType(), PathInSchema: []string{c.name}, Codec: c.codec.CompressionCodec(), NumValues: rows,
		Encoding: []format.Encoding{format.RLE, c.encoding.Encoding()}, TotalUncompressedSize: c.uncompressed, Statistics: c.statistics()}
	start := w.written
	if c.dictionary != nil {
		meta.Encoding = append(meta.Encoding, format.Plain)
		meta.DictionaryPageOffset = start
		meta.TotalUncompressedSize += c.writeDictionary()
		meta.EncodingStats = append(meta.EncodingStats, format.PageEncodingStats{PageType: format.DictionaryPage, Encoding: format.Plain, Count: 1})
	}
	meta.EncodingStats = append(meta.EncodingStats, format.PageEncodingStats{PageType: format.DataPageV2, Encoding: c.encoding.Encoding(), Count: int32(len(c.locations))})
	meta.DataPageOffset = w.written
	for i, page := range c.done {
		c.locations[i].Offset = w.written
		w.write(page)
	}
	meta.TotalCompressedSize = w.written - start
	return c.locations
}

// writeDictionary writes the page of the words, and returns its size before compression.
func (c *Column) writeDictionary() int64 {
	w, d := c.writer, c.dictionary
	var err error
	w.compressed, err = c.codec.Encode(w.compressed[:0], d.plain)
	w.failed(err)
	header := format.PageHeader{Type: format.DictionaryPage, UncompressedPageSize: int32(len(d.plain)), CompressedPageSize: int32(len(w.compressed)), CRC: int32(crc32.ChecksumIEEE(w.compressed))}
	header.DictionaryPageHeader.Set(format.DictionaryPageHeader{NumValues: d.count, Encoding: format.Plain})
	head := w.thrift(&header)
	w.write(head)
	w.write(w.compressed)
	return int64(len(head) + len(d.plain))
}

// longestBound is the longest text that is told as a bound of a row group.
const longestBound = 64

// statistics are what readers skip row groups by.
func (c *Column) statistics() format.Statistics {
	s := format.Statistics{NullCount: c.nulls}
	switch c.kind.Kind() {
	case parquet.Int64:
		if c.least <= c.most {
			s.MinValue, s.MaxValue = binary.LittleEndian.AppendUint64(nil, uint64(c.least)), binary.LittleEndian.AppendUint64(nil, uint64(c.most))
		}
	case parquet.ByteArray:
		if c.dictionary != nil {
			s.MinValue, s.MaxValue = c.dictionary.bounds()
		}
	}
	return s
}

// writeBloom writes the filter of the row group, if the column has one.
func (c *Column) writeBloom(meta *format.ColumnMetaData) {
	if c.bloomBits == 0 {
		return
	}
	if c.dictionary != nil {
		c.hashes = c.dictionary.hashes(c.hashes[:0])
	}
	filter := make(bloom.SplitBlockFilter, bloom.NumSplitBlocksOf(int64(len(c.hashes)), c.bloomBits))
	filter.InsertBulk(c.hashes)
	w := c.writer
	meta.BloomFilterOffset = w.written
	bits := filter.Bytes()
	header := format.BloomFilterHeader{NumBytes: int32(len(bits))}
	header.Algorithm.Value, header.Hash.Value, header.Compression.Value = &format.SplitBlockAlgorithm{}, &format.XxHash{}, &format.BloomFilterUncompressed{}
	w.encode(&header)
	w.write(bits)
	meta.BloomFilterLength = int32(w.written - meta.BloomFilterOffset)
}
