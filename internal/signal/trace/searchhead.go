package trace

import (
	"bytes"
	"context"
	"runtime"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/wire"
)

// searchHeads looks through what is in memory, the latest batches first.
func searchHeads(ctx context.Context, q *signal.TraceQuery, heads []*head, c *collector) {
	texts := needles(q)
	for _, h := range slices.Backward(heads) {
		h.mu.RLock()
		batches, spans := h.batches, h.spans
		h.mu.RUnlock()
		var next atomic.Int64
		next.Store(int64(len(batches)))
		var workers errgroup.Group
		for range runtime.GOMAXPROCS(0) {
			workers.Go(func() error {
				s := &headSearch{q: q, texts: texts, spans: spans, c: c}
				for {
					i := next.Add(-1)
					// The batches before this one began no later than it says.
					if i < 0 || ctx.Err() != nil || c.satisfied(batches[i].latest) {
						return nil
					}
					if batches[i].namespace == q.Namespace {
						s.batch(&batches[i])
					}
				}
			})
		}
		_ = workers.Wait() // they report nothing
	}
}

// headSearch looks through batches with the same memory.
type headSearch struct {
	q       *signal.TraceQuery
	texts   [][]byte
	spans   []place
	c       *collector
	decoder wire.Decoder
	span    signal.Span
	// missing are, for each group of a batch, the texts that its resource does not have: they must be in the span.
	missing [][][]byte
}

// batch looks at each span as bytes first: decoding costs a hundred times more than finding that a text is not there.
func (s *headSearch) batch(b *held) {
	s.missing = s.missing[:0]
	for _, group := range b.groups {
		resource := b.raw[group.ResourceAt:group.ResourceEnd]
		var missing [][]byte
		for _, text := range s.texts {
			if !bytes.Contains(resource, text) {
				missing = append(missing, text)
			}
		}
		s.missing = append(s.missing, missing)
	}
	since, until := s.q.Since.UnixNano(), s.q.Until.UnixNano()
	for i := b.first; i < b.end; i++ {
		p := &s.spans[i]
		if p.start < since || p.start > until || p.duration < int64(s.q.MinDuration) || s.q.MaxDuration > 0 && p.duration > int64(s.q.MaxDuration) {
			continue
		}
		raw := b.raw[p.at:p.end]
		if slices.ContainsFunc(s.missing[p.group], func(text []byte) bool { return !bytes.Contains(raw, text) }) {
			continue
		}
		s.decoder.Reset()
		if err := b.decode(&s.decoder, p, &s.span); err == nil && matches(s.q, &s.span) { // it was decoded when it came
			s.c.add(s.span.TraceID, s.span.ID, s.span.Start)
		}
	}
}
