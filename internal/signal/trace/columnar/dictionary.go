package columnar

import (
	"encoding/binary"
	"slices"
	"unsafe"

	"github.com/parquet-go/parquet-go/bloom/xxhash"
)

// dictionary numbers the distinct values of a column in a row group.
type dictionary struct {
	words   map[string]int32
	numbers map[int64]int32
	// texts are the words by their numbers.
	texts []string
	count int32
	// plain is the dictionary as its page has it: each word behind its length, or each number.
	plain []byte
	// chunk is where the keys of words are copied to; when it is full, another one follows.
	chunk []byte
	// The value before and its number: values that follow each other are often equal.
	last       string
	lastNumber int64
	lastIndex  int32
}

const chunkBytes = 32 << 10

func newDictionary() *dictionary {
	return &dictionary{words: map[string]int32{}, numbers: map[int64]int32{}}
}

func (d *dictionary) reset() {
	clear(d.words)
	clear(d.numbers)
	clear(d.texts)
	d.texts, d.count, d.plain, d.chunk = d.texts[:0], 0, d.plain[:0], nil
	d.last, d.lastNumber, d.lastIndex = "", 0, -1
}

func (d *dictionary) word(text string) int32 {
	index, again := d.lookUp(text)
	if !again {
		d.plain = append(binary.LittleEndian.AppendUint32(d.plain, uint32(len(text))), text...)
	}
	return index
}

// fixed is word of bytes whose length the column knows.
func (d *dictionary) fixed(value []byte) int32 {
	index, again := d.lookUp(unsafe.String(unsafe.SliceData(value), len(value)))
	if !again {
		d.plain = append(d.plain, value...)
	}
	return index
}

// lookUp numbers a word, and tells whether it had been.
func (d *dictionary) lookUp(text string) (index int32, again bool) {
	if d.lastIndex >= 0 && text == d.last {
		return d.lastIndex, true
	}
	index, again = d.words[text]
	if !again {
		index, text = d.count, d.keep(text)
		d.words[text] = index
		d.texts = append(d.texts, text)
		d.count++
	}
	d.last, d.lastIndex = d.texts[index], index
	return index, again
}

// keep copies a text to where it stays as long as the dictionary.
func (d *dictionary) keep(text string) string {
	if len(text) == 0 {
		return ""
	}
	if cap(d.chunk)-len(d.chunk) < len(text) {
		d.chunk = make([]byte, 0, max(len(text), chunkBytes))
	}
	start := len(d.chunk)
	d.chunk = append(d.chunk, text...)
	return unsafe.String(&d.chunk[start], len(text))
}

func (d *dictionary) number(value int64) int32 {
	if d.lastIndex >= 0 && value == d.lastNumber {
		return d.lastIndex
	}
	index, ok := d.numbers[value]
	if !ok {
		index = d.count
		d.numbers[value] = index
		d.count++
		d.plain = binary.LittleEndian.AppendUint64(d.plain, uint64(value))
	}
	d.lastNumber, d.lastIndex = value, index
	return index
}

// bounds are the least and the greatest word; nil when there are none, or one is too long to be told.
func (d *dictionary) bounds() (least, most []byte) {
	if len(d.texts) == 0 || slices.ContainsFunc(d.texts, func(word string) bool { return len(word) > longestBound }) {
		return nil, nil
	}
	return []byte(slices.Min(d.texts)), []byte(slices.Max(d.texts))
}

// hashes appends those of all values, as a filter wants them.
func (d *dictionary) hashes(to []uint64) []uint64 {
	for _, word := range d.texts {
		to = append(to, xxhash.Sum64(unsafe.Slice(unsafe.StringData(word), len(word))))
	}
	for number := range d.numbers {
		to = append(to, xxhash.Sum64Uint64(uint64(number)))
	}
	return to
}
