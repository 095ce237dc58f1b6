package trace

import (
	"github.com/gantry-platform/gantry/internal/signal"
)

// merger reads several blocks in the order of their traces' starts.
type merger struct {
	streams []*stream
}

// stream is the spans of one block, some at a time.
type stream struct {
	block *block
	open  *openBlock
	group int
	row   int64
	// spans are what has been read; namespaces belong to them, and at is the next.
	spans      []signal.Span
	namespaces []string
	at         int
}

// mergeRows is how many spans of each block are in memory during a merge.
const mergeRows = 2048

func (m *merger) add(b *block, o *openBlock) {
	m.streams = append(m.streams, &stream{block: b, open: o})
}

// peek is the next span of a stream, nil at its end.
func (s *stream) peek() (*signal.Span, error) {
	for s.at == len(s.spans) {
		groups := s.open.parquet.RowGroups()
		if s.group == len(groups) {
			return nil, nil
		}
		r := run{s.row, min(s.row+mergeRows, groups[s.group].NumRows())}
		d, err := s.open.decodeRows(s.group, r, false)
		if err != nil {
			return nil, err
		}
		s.spans, s.namespaces, s.at = d.spans, d.namespaces, 0
		if s.row = r.to; s.row == groups[s.group].NumRows() {
			s.group, s.row = s.group+1, 0
		}
	}
	return &s.spans[s.at], nil
}

// each calls each for all spans: of the stream whose next trace began first, that whole trace. Traces that two blocks have parts of are not
// brought together, which costs a second look and nothing else.
func (m *merger) each(stopped func() error, each func(namespace string, s *signal.Span) error) error {
	for {
		var next *stream
		var first *signal.Span
		for _, s := range m.streams {
			span, err := s.peek()
			if err != nil {
				return err
			}
			if span != nil && (first == nil || span.Start < first.Start) {
				next, first = s, span
			}
		}
		if next == nil {
			return nil
		}
		if err := stopped(); err != nil {
			return err
		}
		for id := first.TraceID; ; {
			span, err := next.peek()
			if err != nil {
				return err
			}
			if span == nil || span.TraceID != id {
				break
			}
			if err := each(next.namespaces[next.at], span); err != nil {
				return err
			}
			next.at++
		}
	}
}

// census samples the first rows of each row group.
func (m *merger) census(c *census) error {
	for _, s := range m.streams {
		for group, rows := range s.open.parquet.RowGroups() {
			d, err := s.open.decodeRows(group, run{0, min(mergeRows, rows.NumRows())}, false)
			if err != nil {
				return err
			}
			for i := range d.spans {
				c.count(&d.spans[i])
			}
		}
	}
	return nil
}
