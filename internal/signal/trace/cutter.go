package trace

import (
	"os"
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
			if err := s.cut(h); err != nil {
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
