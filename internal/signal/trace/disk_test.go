package trace_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/trace"
)

// TestDiskFillsAndEmpties takes the room away and gives it back: nothing is written that would take what is left to others, nothing is lost, and all goes on by
// itself.
func TestDiskFillsAndEmpties(t *testing.T) {
	const plenty, minimum = 1 << 30, 1 << 20
	var free atomic.Int64
	free.Store(plenty)
	dir := t.TempDir()
	s := open(t, trace.Options{Dir: dir, MinFree: minimum, DiskFree: func() (int64, error) { return free.Load(), nil }})
	f := newFleet(11, noon)
	var batches []*signal.Batch
	more := func() {
		batches = append(batches, batch(t, "default", noon, f.trace()))
		write(t, s, batches[len(batches)-1])
	}
	for range 4 {
		more()
		flush(t, s)
	}
	// Merging wants the size of the blocks for a moment.
	free.Store(minimum + 1)
	before := files(t, filepath.Join(dir, "blocks"))
	if err := s.Compact(); err == nil {
		t.Error("blocks are merged on a full disk")
	}
	if after := files(t, filepath.Join(dir, "blocks")); !slices.Equal(before, after) {
		t.Errorf("there were %v, now %v", before, after)
	}
	free.Store(plenty)
	more()
	// A head is sealed, and its block would not fit.
	free.Store(0)
	if err := s.Write(t.Context(), batch(t, "default", noon, f.trace())); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a write to a full disk: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := s.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a block on a full disk: %v", err)
	}
	check(t, s, "default", expected(batches...))
	// Below the minimum a block is cut all the same: its log goes by that.
	free.Store(minimum - 1)
	flush(t, s)
	if after := files(t, filepath.Join(dir, "blocks")); len(after) != len(before)+1 {
		t.Errorf("there were %v, now %v", before, after)
	}
	free.Store(plenty)
	more()
	if err := s.Compact(); err != nil {
		t.Error(err)
	}
	check(t, s, "default", expected(batches...))
}
