package series

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/wlog"
)

// asideDir holds what could not be read. Its name is no ULID, so that readers of blocks pass over it.
const asideDir = "set-aside"

// maxAside is how many things are kept there: enough to look into one bad day, too few to fill a disk.
const maxAside = 8

// openRepairing opens the TSDB. Beforehand it sets aside blocks and checkpoints that cannot be read and closes gaps in the log, because the TSDB's own repair
// of a torn record does not help with them, and would delete the log behind a bad checkpoint. If the TSDB cannot be opened still, what stops it goes
// aside as a whole.
func (s *Store) openRepairing(options Options) error {
	s.checkBlocks()
	s.checkLog()
	steps := []struct {
		what  string
		names func() []string
	}{
		{"the log of late samples cannot be read", func() []string { return []string{"wbl"} }},
		{"the log of metrics cannot be read", func() []string { return []string{"wal", "wbl", "chunks_head"} }},
		{"the blocks of metrics cannot be opened", s.blockDirs},
	}
	for i := 0; ; i++ {
		err := s.openTSDB(options)
		if err == nil {
			return nil
		}
		if i == len(steps) || !worthRepairing(err) {
			return fmt.Errorf("series: opening %s: %w", s.dir, err)
		}
		s.log.Error(steps[i].what+"; it is set aside", "error", err, "folder", filepath.Join(s.dir, asideDir))
		for _, name := range steps[i].names() {
			s.setAside(name)
		}
	}
}

// worthRepairing tells trouble with contents from trouble with the machine, for which nothing may be set aside.
func worthRepairing(err error) bool {
	for _, machine := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EACCES, syscall.EPERM, syscall.EROFS, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM,
		syscall.EWOULDBLOCK} {
		if errors.Is(err, machine) {
			return false
		}
	}
	return true
}

// checkBlocks opens each block once and sets aside the ones that cannot be.
func (s *Store) checkBlocks() {
	for _, name := range s.blockDirs() {
		if err := checkBlock(filepath.Join(s.dir, name)); err != nil && worthRepairing(err) {
			s.log.Error("a block of metrics cannot be read; it is set aside", "block", name, "error", err, "folder", filepath.Join(s.dir, asideDir))
			s.setAside(name)
		}
	}
}

func checkBlock(dir string) (err error) {
	defer func() {
		if v := recover(); v != nil { // the decoder of an index is not made for torn ones
			err = fmt.Errorf("%v", v)
		}
	}()
	block, err := tsdb.OpenBlock(nil, dir, nil, nil)
	if err != nil {
		return err
	}
	return block.Close()
}

// blockDirs are the folders named like blocks.
func (s *Store) blockDirs() []string {
	return s.entries(s.dir, func(name string) bool { _, err := ulid.ParseStrict(name); return err == nil })
}

func (*Store) entries(dir string, wanted func(string) bool) []string {
	var names []string
	for _, e := range readDir(dir) {
		if e.IsDir() && wanted(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names
}

// checkpointPrefix begins the names of checkpoints, which stand for the segments of the log up to the number that follows.
const checkpointPrefix = "checkpoint."

// checkLog makes the log such that it can be replayed: its newest checkpoint is readable, and its segments follow it and each other.
func (s *Store) checkLog() {
	wal := filepath.Join(s.dir, "wal")
	covered := -1 // the last segment that a checkpoint stands for
	for _, name := range s.entries(wal, func(name string) bool { return strings.HasPrefix(name, checkpointPrefix) }) {
		n, err := strconv.Atoi(strings.TrimPrefix(name, checkpointPrefix))
		if err != nil {
			continue // an unfinished one, which the TSDB removes
		}
		if err := checkCheckpoint(filepath.Join(wal, name)); err != nil && worthRepairing(err) {
			s.log.Error("a checkpoint of the log of metrics cannot be read; it is set aside", "checkpoint", name, "error", err, "folder", filepath.Join(s.dir, asideDir))
			s.setAside(filepath.Join("wal", name))
			continue
		}
		covered = max(covered, n)
	}
	var segments []int
	for _, e := range readDir(wal) {
		if n, err := strconv.Atoi(e.Name()); err == nil && n > covered {
			segments = append(segments, n)
		}
	}
	slices.Sort(segments)
	for i := 1; i < len(segments); i++ {
		if segments[i] != segments[i-1]+1 {
			s.log.Error("the log of metrics has a gap; what is behind it is set aside", "after", segments[i-1], "next", segments[i])
			for _, n := range segments[i:] {
				s.setAside(filepath.Join("wal", fmt.Sprintf("%08d", n)))
			}
			segments = segments[:i]
			break
		}
	}
	// Replay begins behind a checkpoint, or at segment 0: an empty one stands for what is lost.
	if len(segments) > 0 && segments[0] != covered+1 {
		s.log.Error("the log of metrics begins late; what was before it is lost", "first", segments[0])
		if err := os.Mkdir(filepath.Join(wal, fmt.Sprintf("%s%08d", checkpointPrefix, segments[0]-1)), 0o777); err != nil {
			s.log.Error("an empty checkpoint could not be made", "error", err)
		}
	}
}

// checkCheckpoint reads a checkpoint through: its checksums say whether it is whole.
func checkCheckpoint(dir string) error {
	segments, err := wlog.NewSegmentsReader(dir)
	if err != nil {
		return err
	}
	defer segments.Close()
	records := wlog.NewReader(segments)
	for records.Next() {
	}
	return records.Err()
}

func readDir(dir string) []os.DirEntry {
	entries, _ := os.ReadDir(dir) // what cannot be read is found by the TSDB
	return entries
}

// setAside moves something out of the TSDB's way.
func (s *Store) setAside(name string) {
	aside := filepath.Join(s.dir, asideDir)
	to := filepath.Join(aside, fmt.Sprintf("%s.%s", filepath.Base(name), s.now().UTC().Format("20060102T150405.000000000")))
	err := os.MkdirAll(aside, 0o750)
	if err == nil {
		err = os.Rename(filepath.Join(s.dir, name), to)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Error("what cannot be read could not be set aside either", "what", name, "error", err)
	}
	s.pruneAside(aside)
}

func (s *Store) pruneAside(aside string) {
	type thing struct {
		path string
		time time.Time
	}
	var things []thing
	for _, e := range readDir(aside) {
		if info, err := e.Info(); err == nil {
			things = append(things, thing{filepath.Join(aside, e.Name()), info.ModTime()})
		}
	}
	slices.SortFunc(things, func(a, b thing) int { return cmp.Or(a.time.Compare(b.time), cmp.Compare(a.path, b.path)) })
	for len(things) > maxAside {
		if err := os.RemoveAll(things[0].path); err != nil {
			s.log.Warn("what was set aside long ago could not be removed", "path", things[0].path, "error", err)
		}
		things = things[1:]
	}
}
