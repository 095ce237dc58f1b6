package trace

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/signal"
)

// Store keeps the spans of one node. It is a [signal.TraceWriter] and a [signal.TraceReader].
type Store struct {
	options Options
	log     *slog.Logger
	metrics *metrics
	codec   *zstd.Codec
	sampler *sampler

	logDir, blockDir string
	// files counts the open files of blocks.
	files atomic.Int64

	queue  queue
	frames frames
	// memory is the bytes of all heads and of what is queued.
	memory atomic.Int64

	mu sync.RWMutex
	// heads are in the order of their segments; the last is being filled, the others wait for the cutter.
	heads []*head
	// blocks are in the order of their segments.
	blocks []*block

	// merging is held during a merge and while old blocks go, before mu.
	merging sync.Mutex
	// segment is the committer's alone.
	segment *segment
	sealed  chan struct{}
	flush   chan chan struct{}
	stop    chan struct{}
	workers sync.WaitGroup
	closed  sync.Once
}

var (
	_ signal.TraceWriter = (*Store)(nil)
	_ signal.TraceReader = (*Store)(nil)
)

// Open opens or makes a store. What a crash left is mended: torn files are cut, and said.
func Open(options Options) (*Store, error) {
	options = options.withDefaults()
	s := &Store{options: options, log: options.Logger, codec: &zstd.Codec{Level: zstd.SpeedFastest, Concurrency: 1}, logDir: filepath.Join(options.Dir, "wal"),
		blockDir: filepath.Join(options.Dir, "blocks"), sealed: make(chan struct{}, 1), flush: make(chan chan struct{}), stop: make(chan struct{})}
	s.queue.ready = make(chan struct{}, 1)
	s.sampler = newSampler(options.Sampling)
	for _, dir := range []string{s.logDir, s.blockDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("trace: %w", err)
		}
	}
	if err := s.loadBlocks(); err != nil {
		return nil, err
	}
	if err := s.replay(); err != nil {
		return nil, err
	}
	s.metrics = newMetrics(s, options.Registerer)
	s.workers.Go(s.commitLoop)
	s.workers.Go(s.cutLoop)
	s.workers.Go(s.upkeepLoop)
	return s, nil
}

// Close makes what is acknowledged durable, which it is already, and ends the store. Heads stay in the log and are read at the next start.
func (s *Store) Close() error {
	var err error
	s.closed.Do(func() {
		s.queue.close()
		close(s.stop)
		s.workers.Wait()
		if s.segment != nil {
			err = s.segment.close()
		}
		for _, b := range s.blocks {
			b.close()
		}
		s.metrics.unregister()
	})
	return err
}

// Pressure is the share of the memory that is taken: at 1 writes are refused.
func (s *Store) Pressure() float64 { return float64(s.memory.Load()) / float64(s.options.Memory) }

// Write implements [signal.TraceWriter].
func (s *Store) Write(ctx context.Context, batch *signal.Batch) error {
	if len(batch.Spans) == 0 {
		return nil
	}
	e := newEntry(batch)
	size := e.size()
	if taken := s.memory.Add(size); taken > s.options.Memory {
		s.memory.Add(-size)
		s.metrics.refused.WithLabelValues("memory").Inc()
		return fault.New(fault.Exhausted, "traces.too_fast", "%d MiB of spans wait to be written to blocks", taken>>20).
			Hinted("send again in some seconds; raise --traces-memory, or sample, when it comes often")
	}
	w := &waiter{entry: e, frame: appendFrame(s.frames.get(), record{arrived: e.arrived, namespace: e.namespace, raw: e.raw}), done: make(chan error, 1)}
	if err := s.queue.put(w); err != nil {
		s.memory.Add(-size)
		return err
	}
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		return ctx.Err() // it may still become durable: the sender sends it again, and repeats are left out
	}
}

// size is what an entry takes of the memory.
func (e *entry) size() int64 { return int64(len(e.raw) + placeBytes*len(e.places)) }

// Flush makes blocks of all that has been acknowledged, and returns when they are there: for tests, benchmarks, and before a copy of the folder is taken.
func (s *Store) Flush(ctx context.Context) error {
	done := make(chan struct{})
	select {
	case s.flush <- done:
	case <-s.stop:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	<-done
	for {
		s.mu.RLock()
		waiting := len(s.heads) - 1
		s.mu.RUnlock()
		if waiting == 0 {
			return nil
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-s.stop:
			return errClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

var errClosed = fault.New(fault.Unavailable, "traces.closing", "the trace store is closing").Hinted("send to another node")

// loadBlocks reads the folder of blocks. Left-overs of a crash go: unfinished files, and blocks that a merged one holds.
func (s *Store) loadBlocks() error {
	days, err := os.ReadDir(s.blockDir)
	if err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	for _, day := range days {
		files, err := os.ReadDir(filepath.Join(s.blockDir, day.Name()))
		if err != nil {
			s.log.Warn("this is no folder of blocks", "path", filepath.Join(s.blockDir, day.Name()), "error", err)
			continue
		}
		for _, file := range files {
			path := filepath.Join(s.blockDir, day.Name(), file.Name())
			n, ok := parseBlockName(day.Name(), file.Name())
			switch {
			case filepath.Ext(path) == temporarySuffix:
				s.log.Info("removing a block that was not finished; its spans are in the log", "path", path)
				err = os.Remove(path)
			case !ok:
				s.log.Warn("this is no block of spans", "path", path)
			default:
				var b *block
				if b, err = s.loadBlock(path, n); err == nil {
					s.blocks = append(s.blocks, b)
				}
			}
			if err != nil {
				return fmt.Errorf("trace: %w", err)
			}
		}
	}
	slices.SortFunc(s.blocks, byNumber)
	s.blocks = slices.DeleteFunc(s.blocks, func(b *block) bool {
		obsolete := slices.ContainsFunc(s.blocks, func(o *block) bool { return o.holds(b.blockName) })
		if obsolete {
			err = errors.Join(err, os.Remove(b.path))
		}
		return obsolete
	})
	return err
}

func byNumber(a, b *block) int {
	if a.first != b.first {
		if a.first < b.first {
			return -1
		}
		return 1
	}
	return int(b.last) - int(a.last)
}
