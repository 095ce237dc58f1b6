package trace

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/gantry-platform/gantry/internal/signal"
)

const (
	upkeepEvery = time.Minute
	// idleFile is how long the file of a block stays open after it was read.
	idleFile = 5 * time.Minute
	// smallBlock is what is worth merging, and mergedBlock about how large blocks become by that, in spans. A busy node writes larger ones at
	// once, and pays nothing for merging.
	smallBlock  = 256 << 10
	mergedBlock = 1 << 20
	// mergeFrom is how many small neighbours make a merge.
	mergeFrom = 4
)

func (s *Store) blockPath(n blockName) string { return filepath.Join(s.blockDir, n.day, n.file()) }

// upkeepLoop removes what is old, closes idle files, and merges small blocks.
func (s *Store) upkeepLoop() {
	ticker := time.NewTicker(upkeepEvery)
	defer ticker.Stop()
	for {
		s.retain()
		s.closeIdleFiles()
		if err := s.compact(); err != nil {
			s.metrics.logOnce(s.log, "merge", "blocks cannot be merged; they stay as they are", err)
		}
		select {
		case <-ticker.C:
		case <-s.stop:
			return
		}
	}
}

func (s *Store) closeIdleFiles() {
	s.mu.RLock()
	blocks := slices.Clone(s.blocks)
	s.mu.RUnlock()
	for _, b := range blocks {
		b.rest(s.options.Clock().Add(-idleFile))
	}
}

// retain removes days that are over the retention, and then the oldest blocks until the rest fits the size.
func (s *Store) retain() {
	s.merging.Lock()
	defer s.merging.Unlock()
	oldest := s.options.Clock().Add(-s.options.Retention).UTC().Format(dayFormat)
	s.mu.Lock()
	total := int64(0)
	for _, b := range s.blocks {
		total += b.size
	}
	byDay := slices.Clone(s.blocks)
	slices.SortStableFunc(byDay, func(a, b *block) int {
		if a.day != b.day {
			return map[bool]int{true: -1, false: 1}[a.day < b.day]
		}
		return byNumber(a, b)
	})
	reasons := map[*block]string{}
	for _, b := range byDay {
		switch {
		case b.day < oldest:
			reasons[b] = "age"
		case s.options.RetentionSize > 0 && total > s.options.RetentionSize:
			reasons[b] = "size"
		default:
			continue
		}
		total -= b.size
	}
	s.blocks = slices.DeleteFunc(s.blocks, func(b *block) bool { return reasons[b] != "" })
	s.mu.Unlock()
	for b, reason := range reasons {
		if err := b.remove(); err != nil {
			s.log.Warn("an old block cannot be removed", "path", b.path, "error", err)
			continue
		}
		s.metrics.removed.WithLabelValues(reason).Inc()
	}
}

// compact merges runs of small neighbours of one day, so that a small fleet does not end with thousands of little files.
func (s *Store) compact() error {
	s.merging.Lock()
	defer s.merging.Unlock()
	for {
		merge := s.mergeable()
		if merge == nil {
			return nil
		}
		err := s.roomToMerge(merge)
		if err == nil {
			err = s.merge(merge)
		}
		for _, b := range merge {
			b.release()
		}
		if err != nil {
			return err
		}
		select {
		case <-s.stop:
			return nil
		default:
		}
	}
}

// roomToMerge keeps merging, which for a moment needs as much again, from taking what is left to others.
func (s *Store) roomToMerge(blocks []*block) error {
	want := s.options.MinFree
	for _, b := range blocks {
		want += b.size
	}
	if free, err := s.options.DiskFree(); err == nil && free < want {
		return fmt.Errorf("the disk has %d MiB left, and merging wants %d", free>>20, want>>20)
	}
	return nil
}

// mergeable pins some blocks that are worth merging.
func (s *Store) mergeable() []*block {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var run []*block
	spans := 0
	today := s.options.Clock().UTC().Format(dayFormat)
	for i, b := range s.blocks {
		fits := b.spans <= smallBlock && spans+b.spans <= mergedBlock && (len(run) == 0 || run[0].day == b.day)
		if fits {
			run, spans = append(run, b), spans+b.spans
		}
		// A day that is over is merged down to the last two.
		enough := len(run) >= mergeFrom || len(run) >= 2 && run[0].day < today
		if enough && (!fits || i == len(s.blocks)-1 || spans >= smallBlock) {
			for _, b := range run {
				b.pin()
			}
			return run
		}
		if !fits {
			run, spans = nil, 0
			if b.spans <= smallBlock {
				run, spans = []*block{b}, b.spans
			}
		}
	}
	return nil
}

func (s *Store) merge(blocks []*block) error {
	n := blockName{day: blocks[0].day, first: blocks[0].first, last: blocks[len(blocks)-1].last, earliest: blocks[0].earliest, latest: blocks[0].latest}
	h := newHead(0, s.options.Clock())
	c := newCensus()
	m := &merger{}
	for _, b := range blocks {
		n.earliest, n.latest, n.spans = min(n.earliest, b.earliest), max(n.latest, b.latest), n.spans+b.spans
		o, err := b.open(s.options.Clock())
		if err != nil {
			return err
		}
		m.add(b, o)
		for one := range o.names {
			h.names.add(one)
		}
	}
	if err := m.census(c); err != nil {
		return err
	}
	schema := newSchema(c.columns())
	err := writeBlock(s.blockDir, n, schema, h.names, s.codec, func(each func(string, *signal.Span) error) error { return m.each(s.stopped, each) })
	if err != nil {
		return err
	}
	merged, err := s.loadBlock(s.blockPath(n), n)
	if err != nil {
		return err
	}
	s.mu.Lock()
	at := slices.Index(s.blocks, blocks[0])
	if at < 0 || at+len(blocks) > len(s.blocks) || s.blocks[at+len(blocks)-1] != blocks[len(blocks)-1] {
		s.mu.Unlock() // retention took one meanwhile
		return merged.remove()
	}
	s.blocks = slices.Replace(s.blocks, at, at+len(blocks), merged)
	s.mu.Unlock()
	for _, b := range blocks {
		if err := b.remove(); err != nil {
			s.log.Warn("a merged block cannot be removed", "path", b.path, "error", err)
			continue
		}
		s.metrics.removed.WithLabelValues("merged").Inc()
	}
	return nil
}

func (s *Store) stopped() error {
	select {
	case <-s.stop:
		return fmt.Errorf("trace: %w", context.Canceled)
	default:
		return nil
	}
}
