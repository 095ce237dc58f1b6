package trace

import (
	"fmt"
	"os"
	"syscall"
	"time"
)

// cutLoop is the cutter: it makes blocks of sealed heads, one after another.
func (s *Store) cutLoop() {
	const pause = 5 * time.Second // between tries when a block cannot be written; the head stays in memory and in the log meanwhile
	for {
		for {
			h := s.oldestSealed()
			if h == nil {
				break
			}
			err := s.roomToCut(h)
			if err == nil {
				err = s.cut(h)
			}
			if err != nil {
				s.metrics.logOnce(s.log, "block", "a block cannot be written; its spans stay in memory and in the log", err)
				select {
				case <-time.After(pause):
				case <-s.stop:
					return
				}
			}
			select {
			case <-s.stop:
				return
			default:
			}
		}
		select {
		case <-s.sealed:
		case <-s.stop:
			return
		}
	}
}

func (s *Store) oldestSealed() *head {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.heads) < 2 {
		return nil
	}
	return s.heads[0]
}

// roomToCut spares the work for a block that would not fit on the disk. A block is smaller than its log, which goes when it is there: below the minimum, too,
// cutting makes room.
func (s *Store) roomToCut(h *head) error {
	log, err := os.Stat(segmentPath(s.logDir, h.number))
	if err != nil {
		return nil // the first head after a start on a full disk has none
	}
	if free, err := s.options.DiskFree(); err == nil && free < log.Size() {
		return fmt.Errorf("the disk has %d MiB left, and the block may want %d: %w", free>>20, log.Size()>>20, syscall.ENOSPC)
	}
	return nil
}

func (s *Store) cut(h *head) error {
	started := time.Now()
	var keep func(*head, *traceOrder) bool
	if s.sampler != nil {
		keep = s.sampler.keep
	}
	n, err := writeHead(s.blockDir, h, keep, s.codec)
	if err != nil {
		return err
	}
	var b *block
	if n.spans > 0 {
		if b, err = s.loadBlock(s.blockPath(n), n); err != nil {
			return err
		}
		s.metrics.blockBytes.Add(float64(b.size))
		s.metrics.blockSpans.Add(float64(n.spans))
	}
	spans, bytes := h.size()
	s.mu.Lock()
	s.heads = s.heads[1:]
	if b != nil {
		s.blocks = append(s.blocks, b)
	}
	s.mu.Unlock()
	s.memory.Add(-bytes)
	if err := os.Remove(segmentPath(s.logDir, h.number)); err != nil && !os.IsNotExist(err) {
		s.log.Warn("a log segment that is in a block cannot be removed", "error", err)
	}
	s.metrics.cut.Observe(time.Since(started).Seconds())
	if b != nil {
		s.log.Debug("wrote a block", "spans", n.spans, "of", spans, "bytes", b.size, "bytes_per_span", float64(b.size)/float64(n.spans), "took", time.Since(started))
	}
	return nil
}
