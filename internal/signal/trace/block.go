package trace

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parquet-go/parquet-go"
)

const (
	blockSuffix     = ".parquet"
	temporarySuffix = ".tmp"
	dayFormat       = "2006-01-02"
	// keyNames is the block's list of endpoints, in the metadata of the file.
	keyNames = "gantry.names"
	// maxFiles is how many blocks stay open after they were read: some 100 KiB of memory each.
	maxFiles = 512
	// keyBlock tells the version of the format to readers to come.
	keyBlock = "gantry.block"
)

// blockName is what a block's file name says, so that a start reads folders, not files: the log segments it holds, when its spans began, and how many
// they are. A block of segments 3 to 7 makes blocks and segments within that range obsolete.
type blockName struct {
	day         string
	first, last uint64
	// earliest and latest bound the starts of its spans, in nanoseconds since 1970.
	earliest, latest int64
	spans            int
}

func (n blockName) file() string {
	return fmt.Sprintf("%016d-%016d_%d_%d_%d%s", n.first, n.last, n.earliest, n.latest, n.spans, blockSuffix)
}

func parseBlockName(day, file string) (blockName, bool) {
	n := blockName{day: day}
	text, ok := strings.CutSuffix(file, blockSuffix)
	parts := strings.Split(text, "_")
	if _, err := time.Parse(dayFormat, day); err != nil || !ok || len(parts) != 4 {
		return n, false
	}
	first, last, ok := strings.Cut(parts[0], "-")
	var errs [5]error
	n.first, errs[0] = strconv.ParseUint(first, 10, 64)
	n.last, errs[1] = strconv.ParseUint(last, 10, 64)
	n.earliest, errs[2] = strconv.ParseInt(parts[1], 10, 64)
	n.latest, errs[3] = strconv.ParseInt(parts[2], 10, 64)
	n.spans, errs[4] = strconv.Atoi(parts[3])
	for _, err := range errs {
		ok = ok && err == nil
	}
	return n, ok && n.first <= n.last && n.earliest <= n.latest && n.file() == file
}

// holds tells whether a block makes another obsolete.
func (n blockName) holds(o blockName) bool {
	return n.first <= o.first && o.last <= n.last && (n.first != o.first || n.last != o.last)
}

// block is a file of spans. It is never changed.
type block struct {
	blockName
	path string
	size int64

	// files counts the open files of all blocks.
	files *atomic.Int64

	mu sync.Mutex
	// users have the block pinned. The file of a block that is gone is deleted by the last of them.
	users  int
	opened *openBlock
	used   time.Time
	gone   bool
}

// openBlock is a block ready to be read.
type openBlock struct {
	file    *os.File
	parquet *parquet.File
	names   names
	// columns are the places of columns by name.
	columns map[string]int
}

func (s *Store) loadBlock(path string, n blockName) (*block, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	return &block{blockName: n, path: path, size: info.Size(), files: &s.files}, nil
}

// pin keeps the block readable until release. It is called with Store.mu held, while the block is in the list.
func (b *block) pin() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.users++
}

func (b *block) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.users--
	switch {
	case b.users > 0:
	case b.gone:
		_ = b.discard() // the next start sees what could not be deleted
	case b.files.Load() > maxFiles:
		b.closeFile()
	}
}

// open is a pinned block ready to be read.
func (b *block) open(now time.Time) (*openBlock, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used = now
	if b.opened == nil {
		opened, err := openFile(b.path, b.size)
		if err != nil {
			return nil, fmt.Errorf("trace: block %s: %w", filepath.Base(b.path), err)
		}
		b.opened = opened
		b.files.Add(1)
	}
	return b.opened, nil
}

// closeFile is called with b.mu held.
func (b *block) closeFile() {
	if b.opened != nil {
		b.opened.file.Close()
		b.opened = nil
		b.files.Add(-1)
	}
}

// rest closes a file that was not used lately.
func (b *block) rest(before time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.users == 0 && b.used.Before(before) {
		b.closeFile()
	}
}

// remove deletes the file, when the last reader is done. The block is not in the list any more.
func (b *block) remove() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gone = true
	if b.users > 0 {
		return nil
	}
	return b.discard()
}

// discard is called with b.mu held.
func (b *block) discard() error {
	b.closeFile()
	return os.Remove(b.path)
}

// close ends the use of the block, when nobody reads any more.
func (b *block) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closeFile()
}

func openFile(path string, size int64) (opened *openBlock, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if p := recover(); p != nil { // a damaged footer must not end the process
			err = fmt.Errorf("the file is damaged: %v", p)
		}
		if err != nil {
			file.Close()
		}
	}()
	f, err := parquet.OpenFile(file, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true), parquet.FileReadMode(parquet.ReadModeSync), parquet.ReadBufferSize(16<<10))
	if err != nil {
		return nil, err
	}
	opened = &openBlock{file: file, parquet: f, columns: map[string]int{}}
	for i, path := range f.Schema().Columns() {
		opened.columns[path[0]] = i
	}
	for c := range fixedColumns {
		if _, ok := opened.columns[c.String()]; !ok {
			return nil, fmt.Errorf("the file has no column %s", c)
		}
	}
	text, _ := f.Lookup(keyNames)
	if opened.names, err = decodeNames(text); err != nil {
		return nil, fmt.Errorf("the file's list of names is damaged: %w", err)
	}
	return opened, nil
}
