package trace

import (
	"errors"
	"fmt"
	"io"
	"math/bits"

	"github.com/parquet-go/parquet-go"
)

// rowSet is a set of the rows of a row group.
type rowSet []uint64

func newRowSet(rows int64) rowSet { return make(rowSet, (rows+63)/64) }

func (r rowSet) add(row int64)      { r[row/64] |= 1 << (row % 64) }
func (r rowSet) has(row int64) bool { return r[row/64]&(1<<(row%64)) != 0 }

func (r rowSet) empty() bool {
	for _, word := range r {
		if word != 0 {
			return false
		}
	}
	return true
}

// runs are the rows as runs that follow each other: those of a trace are one, but when the same id comes in two namespaces.
func (r rowSet) runs() []run {
	var out []run
	for i, word := range r {
		for ; word != 0; word &= word - 1 {
			row := int64(i)*64 + int64(bits.TrailingZeros64(word))
			if n := len(out); n > 0 && out[n-1].to == row {
				out[n-1].to++
				continue
			}
			out = append(out, run{row, row + 1})
		}
	}
	return out
}

func (r rowSet) and(o rowSet) {
	for i := range r {
		r[i] &= o[i]
	}
}

// matching finds the rows of a row group that meet all clauses; nil when there are none.
func (o *openBlock) matching(group int, clauses []clause) (rowSet, error) {
	rows := o.parquet.RowGroups()[group].NumRows()
	var all rowSet
	for _, c := range clauses {
		some := newRowSet(rows)
		for _, condition := range c {
			if err := o.test(group, condition, some); err != nil {
				return nil, err
			}
		}
		if all == nil {
			all = some
		} else {
			all.and(some)
		}
		if all.empty() {
			return nil, nil
		}
	}
	return all, nil
}

// test adds the rows that meet a condition.
func (o *openBlock) test(group int, c condition, into rowSet) error {
	chunk := o.parquet.RowGroups()[group].ColumnChunks()[c.column]
	if c.bloom != nil {
		if may, err := mayHave(chunk, *c.bloom); err != nil || !may {
			return err
		}
	}
	return testChunk(chunk, c.test, into)
}

func testChunk(chunk parquet.ColumnChunk, test func(parquet.Value) bool, into rowSet) (err error) {
	defer func() {
		if p := recover(); p != nil { // a damaged page must not end the process
			err = fmt.Errorf("trace: a column is damaged: %v", p)
		}
	}()
	pages := chunk.Pages()
	defer pages.Close()
	var verdicts []bool
	row := int64(0)
	for {
		page, err := pages.ReadPage()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		dictionary := page.Dictionary()
		if dictionary == nil {
			err = testValues(page, test, row, into)
		} else {
			if verdicts == nil {
				var some bool
				if verdicts, some = judge(dictionary, test); !some {
					parquet.Release(page)
					return nil // the words of a chunk are all in its dictionary
				}
			}
			testIndexes(page, verdicts, row, into)
		}
		row += page.NumRows()
		parquet.Release(page)
		if err != nil {
			return err
		}
	}
}

// judge tests the words of a dictionary, so that rows are only looked up.
func judge(dictionary parquet.Dictionary, test func(parquet.Value) bool) (verdicts []bool, some bool) {
	verdicts = make([]bool, dictionary.Len())
	for i := range verdicts {
		verdicts[i] = test(dictionary.Index(int32(i)))
		some = some || verdicts[i]
	}
	return verdicts, some
}

// testIndexes adds the rows whose word passed. Rows without a value have no index.
func testIndexes(page parquet.Page, verdicts []bool, row int64, into rowSet) {
	data := page.Data()
	indexes := data.Int32()
	levels := page.DefinitionLevels()
	if len(levels) == 0 {
		for i, index := range indexes {
			if verdicts[index] {
				into.add(row + int64(i))
			}
		}
		return
	}
	next := 0
	for i, level := range levels {
		if level == 0 {
			continue
		}
		if verdicts[indexes[next]] {
			into.add(row + int64(i))
		}
		next++
	}
}

func testValues(page parquet.Page, test func(parquet.Value) bool, row int64, into rowSet) error {
	values := page.Values()
	var buffer [readValues]parquet.Value
	for {
		n, err := values.ReadValues(buffer[:])
		for i, v := range buffer[:n] {
			if test(v) {
				into.add(row + int64(i))
			}
		}
		row += int64(n)
		if errors.Is(err, io.EOF) || n == 0 && err == nil {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
