package columnar_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"slices"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
	"pgregory.net/rapid"

	"github.com/gantry-platform/gantry/internal/signal/trace/columnar"
)

// field is one way a column can be.
type field struct {
	name string
	node parquet.Node
	// draw makes a value, and add hands it over.
	draw func(t *rapid.T) parquet.Value
	add  func(c *columnar.Column, row int64, v parquet.Value)
}

func texts(t *rapid.T) parquet.Value {
	return parquet.ByteArrayValue([]byte(rapid.OneOf(rapid.SampledFrom([]string{"", "a", "loan", "loan"}), rapid.StringN(0, 20, 80)).Draw(t, "text")))
}

func ints(t *rapid.T) parquet.Value {
	return parquet.Int64Value(rapid.OneOf(rapid.Int64Range(0, 3), rapid.Int64()).Draw(t, "int"))
}

func doubles(t *rapid.T) parquet.Value {
	return parquet.DoubleValue(rapid.OneOf(rapid.SampledFrom([]float64{0, 1.5, math.Inf(1)}), rapid.Float64()).Draw(t, "double"))
}

func fixed(size int) func(t *rapid.T) parquet.Value {
	return func(t *rapid.T) parquet.Value {
		return parquet.FixedLenByteArrayValue(rapid.SliceOfN(rapid.Byte(), size, size).Draw(t, "bytes"))
	}
}

func addText(c *columnar.Column, row int64, v parquet.Value)   { c.Text(row, string(v.ByteArray())) }
func addFixed(c *columnar.Column, row int64, v parquet.Value)  { c.Fixed(row, v.ByteArray()) }
func addInt(c *columnar.Column, row int64, v parquet.Value)    { c.Int(row, v.Int64()) }
func addDouble(c *columnar.Column, row int64, v parquet.Value) { c.Double(row, v.Double()) }
func addWord(c *columnar.Column, row int64, v parquet.Value) {
	c.Index(row, c.Word(string(v.ByteArray())))
}

// fields are all ways, by name, which is the order of a schema.
var fields = []field{
	{"a_words", parquet.Encoded(parquet.String(), &parquet.RLEDictionary), texts, addText},
	{"b_indexes", parquet.Optional(parquet.Encoded(parquet.String(), &parquet.RLEDictionary)), texts, addWord},
	{"c_texts", parquet.Optional(parquet.Encoded(parquet.String(), &parquet.DeltaLengthByteArray)), texts, addText},
	{"d_ids", parquet.Encoded(parquet.Leaf(parquet.FixedLenByteArrayType(16)), &parquet.DeltaByteArray), fixed(16), addFixed},
	{"d_traces", parquet.Encoded(parquet.Leaf(parquet.FixedLenByteArrayType(2)), &parquet.RLEDictionary), fixed(2), addFixed},
	{"e_ids", parquet.Optional(parquet.Leaf(parquet.FixedLenByteArrayType(8))), fixed(8), addFixed},
	{"f_times", parquet.Encoded(parquet.Timestamp(parquet.Nanosecond), &parquet.DeltaBinaryPacked), ints, addInt},
	{"g_ints", parquet.Optional(parquet.Encoded(parquet.Int(64), &parquet.RLEDictionary)), ints, addInt},
	{"h_doubles", parquet.Optional(parquet.Leaf(parquet.DoubleType)), doubles, addDouble},
	{"i_doubles", parquet.Optional(parquet.Encoded(parquet.Leaf(parquet.DoubleType), &parquet.RLEDictionary)), doubles, addDouble},
	{"j_bools", parquet.Optional(parquet.Leaf(parquet.BooleanType)), func(t *rapid.T) parquet.Value { return parquet.BooleanValue(rapid.Bool().Draw(t, "bool")) },
		func(c *columnar.Column, row int64, v parquet.Value) { c.Bool(row, v.Boolean()) }},
}

func schema() *parquet.Schema {
	group := parquet.Group{}
	for _, f := range fields {
		group[f.name] = f.node
	}
	return parquet.NewSchema("row", group)
}

// What is written is what parquet-go reads, whatever the values, the nulls, the pages and the row groups.
func TestRowsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var out bytes.Buffer
		w, err := columnar.New(&out, schema(), columnar.Options{Codec: &zstd.Codec{}, Uncompressed: map[string]bool{"d_traces": true, "e_ids": true}, PageBytes: rapid.SampledFrom([]int{1, 40, 1 << 20}).Draw(t, "page"),
			BloomBits: map[string]uint{"a_words": 10, "c_texts": 10, "d_ids": 10, "d_traces": 10, "g_ints": 10}, Metadata: map[string]string{"one": "1"}, CreatedBy: "test version 1 (build 1)"})
		if err != nil {
			t.Fatal(err)
		}
		var groups [][][]parquet.Value
		for range rapid.IntRange(0, 2).Draw(t, "groups") {
			rows := int64(rapid.IntRange(1, 40).Draw(t, "rows"))
			group := make([][]parquet.Value, len(fields))
			for i, f := range fields {
				for row := range rows {
					v := parquet.NullValue()
					if !f.node.Optional() || rapid.IntRange(0, 2).Draw(t, "there") > 0 {
						v = f.draw(t)
						f.add(w.Columns()[i], row, v)
					}
					group[i] = append(group[i], v)
				}
			}
			if err := w.EndGroup(rows); err != nil {
				t.Fatal(err)
			}
			groups = append(groups, group)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		checkFile(t, out.Bytes(), groups)
	})
}

func checkFile(t *rapid.T, data []byte, groups [][][]parquet.Value) {
	f, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if value, _ := f.Lookup("one"); value != "1" || len(f.RowGroups()) != len(groups) {
		t.Fatalf("%d row groups, not %d; metadata %q", len(f.RowGroups()), len(groups), value)
	}
	for g, rows := range f.RowGroups() {
		for i, chunk := range rows.ColumnChunks() {
			want := groups[g][i]
			got := read(t, chunk, 0)
			if !slices.EqualFunc(got, want, same) {
				t.Fatalf("column %s of group %d is %v, not %v", fields[i].name, g, got, want)
			}
			from := rapid.Int64Range(0, int64(len(want))-1).Draw(t, "from")
			if got := read(t, chunk, from); !slices.EqualFunc(got, want[from:], same) {
				t.Fatalf("column %s of group %d from row %d is %v, not %v", fields[i].name, g, from, got, want[from:])
			}
			for _, v := range want {
				if filter := chunk.BloomFilter(); filter != nil && !v.IsNull() {
					if has, err := filter.Check(v); err != nil || !has {
						t.Fatalf("the filter of %s has no %v, %v", fields[i].name, v, err)
					}
				}
			}
			checkBounds(t, chunk.(*parquet.FileColumnChunk), want)
		}
	}
}

// checkBounds: what readers skip row groups by must hold for every value.
func checkBounds(t *rapid.T, chunk *parquet.FileColumnChunk, values []parquet.Value) {
	least, most, ok := chunk.Bounds()
	nulls := 0
	for _, v := range values {
		if v.IsNull() {
			nulls++
		} else if kind := chunk.Type(); ok && (kind.Compare(v, least) < 0 || kind.Compare(v, most) > 0) {
			t.Fatalf("%v is not within %v and %v", v, least, most)
		}
	}
	if got := chunk.NullCount(); got != int64(nulls) {
		t.Fatalf("%d nulls, not %d", got, nulls)
	}
}

func same(a, b parquet.Value) bool {
	if a.IsNull() || b.IsNull() {
		return a.IsNull() && b.IsNull()
	}
	if a.Kind() == parquet.Double {
		return math.Float64bits(a.Double()) == math.Float64bits(b.Double())
	}
	return parquet.Equal(a, b)
}

func read(t *rapid.T, chunk parquet.ColumnChunk, from int64) []parquet.Value {
	pages := chunk.Pages()
	defer pages.Close()
	if err := pages.SeekToRow(from); err != nil {
		t.Fatal(err)
	}
	var out []parquet.Value
	for {
		page, err := pages.ReadPage()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		buffer := make([]parquet.Value, page.NumValues())
		n, err := page.Values().ReadValues(buffer)
		if err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		for _, v := range buffer[:n] {
			out = append(out, v.Clone())
		}
		parquet.Release(page)
	}
}

// full is a writer that fails after some bytes.
type full struct{ left int }

func (f *full) Write(b []byte) (int, error) {
	if len(b) > f.left {
		return 0, io.ErrShortWrite
	}
	f.left -= len(b)
	return len(b), nil
}

func TestAFullDiskIsTold(t *testing.T) {
	s := parquet.NewSchema("row", parquet.Group{"a": parquet.Encoded(parquet.String(), &parquet.RLEDictionary)})
	for _, room := range []int{0, 4, 60, 200} {
		w, err := columnar.New(&full{room}, s, columnar.Options{Codec: &zstd.Codec{}})
		if err == nil {
			w.Columns()[0].Text(0, "loan")
			err = errors.Join(w.EndGroup(1), w.Close())
		}
		if !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("with room for %d bytes: %v", room, err)
		}
	}
}

func TestARequiredColumnThatLacksRowsIsTold(t *testing.T) {
	s := parquet.NewSchema("row", parquet.Group{"a": parquet.Encoded(parquet.String(), &parquet.RLEDictionary)})
	w, err := columnar.New(io.Discard, s, columnar.Options{Codec: &zstd.Codec{}})
	if err != nil {
		t.Fatal(err)
	}
	w.Columns()[0].Text(0, "loan")
	if err := w.EndGroup(2); err == nil {
		t.Error("a row without a value is taken")
	}
	nested := parquet.NewSchema("row", parquet.Group{"a": parquet.Group{"b": parquet.String()}})
	if _, err := columnar.New(io.Discard, nested, columnar.Options{Codec: &zstd.Codec{}}); err == nil {
		t.Error("a schema of groups is taken")
	}
}
