package trace

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/wire"
)

// waiter is a batch that waits to be durable.
type waiter struct {
	entry *entry
	frame []byte
	done  chan error
}

// queue holds what gathers while the committer syncs. It is bounded by the store's memory.
type queue struct {
	mu      sync.Mutex
	waiting []*waiter
	closed  bool
	ready   chan struct{}
}

func (q *queue) put(w *waiter) error {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return errClosed
	}
	q.waiting = append(q.waiting, w)
	q.mu.Unlock()
	select {
	case q.ready <- struct{}{}:
	default:
	}
	return nil
}

func (q *queue) take(into []*waiter) []*waiter {
	q.mu.Lock()
	defer q.mu.Unlock()
	into = append(into[:0], q.waiting...)
	clear(q.waiting)
	q.waiting = q.waiting[:0]
	return into
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
}

// frames are used again from batch to batch.
type frames struct{ pool sync.Pool }

func (f *frames) get() []byte {
	if b, ok := f.pool.Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return nil
}

func (f *frames) put(b []byte) {
	if cap(b) <= 1<<20 {
		f.pool.Put(&b)
	}
}

// commitLoop is the committer: it alone writes the log and fills heads.
func (s *Store) commitLoop() {
	var waiting []*waiter
	var out []byte
	age := time.NewTicker(max(time.Second, s.options.HeadAge/10))
	defer age.Stop()
	for {
		var flushed chan struct{}
		stopping := false
		select {
		case <-s.queue.ready:
		case <-age.C:
		case flushed = <-s.flush:
		case <-s.stop:
			stopping = true
		}
		waiting = s.queue.take(waiting)
		out = s.commit(waiting, out[:0])
		clear(waiting)
		if stopping {
			return
		}
		s.rotate(flushed != nil)
		if flushed != nil {
			close(flushed)
		}
	}
}

// commit makes some batches durable with one sync, and answers them. The buffer is returned for the next time.
func (s *Store) commit(waiting []*waiter, out []byte) []byte {
	if len(waiting) == 0 {
		return out
	}
	for _, w := range waiting {
		out = append(out, w.frame...)
		s.frames.put(w.frame)
		w.frame = nil
	}
	started := s.options.Clock()
	err := s.writeLog(out)
	s.metrics.sync.Observe(s.options.Clock().Sub(started).Seconds())
	if err != nil {
		err = s.cannotWrite(err)
	}
	head := s.current()
	for _, w := range waiting {
		if err != nil {
			s.memory.Add(-w.entry.size())
		} else {
			head.add(w.entry)
			s.metrics.spans.Add(float64(len(w.entry.places)))
		}
		w.done <- err
	}
	if cap(out) > 16<<20 {
		return nil // one burst must not be remembered for ever
	}
	return out
}

func (s *Store) current() *head {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.heads[len(s.heads)-1]
}

func (s *Store) writeLog(frames []byte) error {
	if s.segment == nil || s.segment.broken {
		if err := s.nextSegment(); err != nil {
			return err
		}
	}
	if free, err := s.options.DiskFree(); err == nil && free < s.options.MinFree+int64(len(frames)) {
		return syscall.ENOSPC
	}
	return s.segment.write(frames)
}

// cannotWrite makes of a disk's error what senders are told.
func (s *Store) cannotWrite(err error) error {
	reason, hint := "disk", "see the server's log"
	if diskFull(err) {
		reason, hint = "disk_full", "make room on the disk of --data, or lower --traces-retention or --traces-retention-size"
	}
	s.metrics.refused.WithLabelValues(reason).Inc()
	s.metrics.logOnce(s.log, reason, "spans cannot be written to the log; senders are told to wait", err)
	return fault.New(fault.Unavailable, "traces."+reason, "spans cannot be made durable").Hinted("%s", hint).Because(err)
}

func diskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// rotate seals the head when it is full, old, or when that is asked for, and begins the next. If the next log cannot be made the head goes on.
func (s *Store) rotate(asked bool) {
	h := s.current()
	spans, bytes := h.size()
	if spans == 0 {
		return
	}
	if !asked && spans < s.options.HeadSpans && bytes < s.options.Memory/headShare && s.options.Clock().Sub(h.opened) < s.options.HeadAge {
		return
	}
	if err := s.nextSegment(); err != nil {
		s.metrics.logOnce(s.log, "segment", "a log segment cannot be made; the last one grows on", err)
	}
}

// nextSegment makes a new segment with its head. The head before it is sealed by that; an empty one is taken away.
func (s *Store) nextSegment() error {
	s.mu.RLock()
	number := uint64(1)
	if n := len(s.heads); n > 0 {
		number = s.heads[n-1].number + 1
	} else if n := len(s.blocks); n > 0 {
		number = s.blocks[n-1].last + 1
	}
	s.mu.RUnlock()
	next, err := createSegment(s.logDir, number)
	if err != nil {
		return err
	}
	if s.segment != nil {
		if err := s.segment.close(); err != nil {
			s.log.Warn("closing a log segment", "error", err)
		}
	}
	s.segment = next
	s.mu.Lock()
	s.heads = append(s.heads, newHead(number, s.options.Clock()))
	s.mu.Unlock()
	select {
	case s.sealed <- struct{}{}:
	default:
	}
	return nil
}

// replay reads the segments that a stop or a crash left into heads, which the cutter then makes blocks of.
func (s *Store) replay() error {
	files, err := os.ReadDir(s.logDir)
	if err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	var numbers []uint64
	for _, file := range files {
		text, ok := strings.CutSuffix(file.Name(), segmentSuffix)
		number, err := strconv.ParseUint(text, 10, 64)
		if !ok || err != nil {
			s.log.Warn("this is no log segment", "path", filepath.Join(s.logDir, file.Name()))
			continue
		}
		if slices.ContainsFunc(s.blocks, func(b *block) bool { return b.first <= number && number <= b.last }) {
			if err := os.Remove(segmentPath(s.logDir, number)); err != nil {
				return fmt.Errorf("trace: %w", err)
			}
			continue
		}
		numbers = append(numbers, number)
	}
	slices.Sort(numbers)
	highest := uint64(0)
	if n := len(s.blocks); n > 0 {
		highest = s.blocks[n-1].last
	}
	for _, number := range numbers {
		if err := s.replaySegment(number); err != nil {
			return err
		}
		highest = max(highest, number)
	}
	if segment, err := createSegment(s.logDir, highest+1); err == nil {
		s.segment = segment
	} else if !diskFull(err) {
		return fmt.Errorf("trace: %w", err)
	} else {
		s.log.Error("the disk is full: spans are refused until there is room", "error", err)
	}
	s.heads = append(s.heads, newHead(highest+1, s.options.Clock()))
	return nil
}

func (s *Store) replaySegment(number uint64) error {
	path := segmentPath(s.logDir, number)
	h := newHead(number, s.options.Clock())
	d := &wire.Decoder{}
	batches := 0
	damage, err := readSegment(path, func(r record) error {
		spans, err := d.Decode(r.raw)
		if err != nil {
			return nil // it was decoded before it was written: its bytes are what was acknowledged, and its checksum holds
		}
		e := newEntry(&signal.Batch{Namespace: r.namespace, Arrived: r.arrived, Raw: r.raw, Spans: spans, Groups: d.Groups, Places: d.Places, Clean: d.Mended == 0})
		s.memory.Add(e.size())
		h.add(e)
		batches++
		return nil
	})
	if err != nil {
		return fmt.Errorf("trace: reading the log: %w", err)
	}
	if damage.places > 0 {
		s.log.Warn("a log segment is damaged; what can be read is kept. The last bytes of a segment are torn when the machine or the process died while it wrote: they were not acknowledged",
			"path", path, "places", damage.places, "bytes", damage.bytes, "torn_end", damage.torn)
	}
	if batches == 0 {
		return os.Remove(path)
	}
	s.heads = append(s.heads, h)
	return nil
}
