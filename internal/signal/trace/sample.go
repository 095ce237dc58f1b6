package trace

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/wire"
)

// Sampling decides per trace, when its spans go from memory into a block: by then the trace has mostly ended, and what went wrong is known.
type Sampling struct {
	// Share of the traces that are neither failed nor slow that is kept, from 0 to 1, chosen by trace id, so that every node decides alike.
	Share float64
	// Slow traces, with a span of this duration or more, are all kept. 0 has none.
	Slow time.Duration
}

type sampler struct {
	Sampling
	mu sync.Mutex
	// kept are traces of the last heads that were kept for what they are: spans that come later belong to them. Two generations.
	kept, before map[signal.TraceID]struct{}
}

// maxKept bounds a generation: 16 MiB or so.
const maxKept = 1 << 18

func newSampler(s *Sampling) *sampler {
	if s == nil {
		return nil
	}
	return &sampler{Sampling: *s, kept: map[signal.TraceID]struct{}{}}
}

func (s *sampler) keep(h *head, t *traceOrder) bool {
	// The last 8 bytes of an id are random also where the first tell the time (W3C Trace Context, level 2).
	if float64(binary.BigEndian.Uint64(t.key.id[8:])>>11)/(1<<53) < s.Share {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.kept[t.key.id]; ok {
		return true
	}
	if _, ok := s.before[t.key.id]; ok {
		return true
	}
	if !s.remarkable(h, t) {
		return false
	}
	if len(s.kept) == maxKept {
		s.kept, s.before = map[signal.TraceID]struct{}{}, s.kept
	}
	s.kept[t.key.id] = struct{}{}
	return true
}

func (s *sampler) remarkable(h *head, t *traceOrder) bool {
	d, span := &wire.Decoder{}, signal.Span{}
	for _, i := range t.spans {
		p := &h.spans[i]
		if s.Slow > 0 && p.duration >= int64(s.Slow) {
			return true
		}
		d.Reset()
		if err := h.decode(d, p, &span); err != nil || span.Outcome == signal.Failed {
			return true
		}
	}
	return false
}
