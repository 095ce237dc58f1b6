package series

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// roomPerSeries is what a series may want of the disk when its chunks are moved out of memory, with room to spare: a chunk of floats has 200 bytes, one of
// histograms some hundreds.
const roomPerSeries = 512

// dropMemory is how long the list of dropped metrics remembers one that is dropped no more.
const dropMemory = time.Hour

// upkeep moves full chunks out of memory, cuts blocks, compacts them and removes those that are too old or too many, until ctx ends.
func (s *Store) upkeep(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		s.cardinality.forget(s.now().Add(-dropMemory))
		s.deltas.forget(s.now().Add(-deltaMemory))
		if err := s.maintain(ctx); err != nil && ctx.Err() == nil {
			s.metrics.upkeepFailed.Inc()
			s.log.Warn("the upkeep of metrics failed; it is tried again", "error", err)
		}
	}
}

// maintain does the upkeep once.
func (s *Store) maintain(ctx context.Context) (err error) {
	if s.sealed.Load() != nil {
		return nil
	}
	free, want := s.diskFree(), s.minimumFree+uint64(s.cardinality.size())*roomPerSeries
	if free < want {
		return fmt.Errorf("the disk has %d MiB left, and %d are wanted to cut a block", free>>20, want>>20)
	}
	defer func() {
		if v := recover(); v != nil {
			err = s.seal(fmt.Errorf("upkeep: %v", v))
		}
	}()
	s.db.ForceHeadMMap()
	if err := s.db.Compact(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// freeOf is the room on a folder's disk. When the system does not say, it is taken for endless: writing will tell.
func freeOf(dir string) uint64 {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(dir, &stat); err != nil {
		return 1 << 62
	}
	return stat.Bavail * uint64(stat.Bsize)
}
