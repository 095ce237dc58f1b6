package trace

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/wire"
)

const (
	// attributeTime and attributeSpans bound a look at attributes, which is asked while somebody types.
	attributeTime  = 2 * time.Second
	attributeSpans = 20_000
	// attributeTexts bounds the texts that are counted: of a key with more values than this nobody can choose among those.
	attributeTexts = 20_000
	// attributeRows is how many rows of a block are looked at together.
	attributeRows = 2048
)

// Attributes implements [signal.TraceReader]. It looks at the newest spans: those in memory, and then those of blocks, the latest first.
func (s *Store) Attributes(ctx context.Context, q signal.AttributeQuery) (signal.AttributeResult, error) {
	if err := q.Complete(); err != nil {
		return signal.AttributeResult{}, err
	}
	looking, cancel := context.WithTimeout(ctx, attributeTime)
	defer cancel()
	t := &tally{q: &q, counts: map[string]int{}}
	var out signal.AttributeResult
	heads, blocks := s.sources(q.Within)
	for _, h := range slices.Backward(heads) {
		t.head(looking, h)
	}
	for _, b := range blocks {
		if !t.full() && looking.Err() == nil {
			if err := t.block(looking, s, b); err != nil {
				s.metrics.logOnce(s.log, "read", "a block of spans cannot be read", err)
				out.Partial = append(out.Partial, filepath.Base(b.path))
			}
		} else {
			t.truncated = true
		}
		b.release()
	}
	if ctx.Err() != nil {
		return out, ctx.Err()
	}
	var cut bool
	out.Attributes, cut = signal.CountAttributes(t.counts, q.Limit)
	out.Spans, out.Truncated = t.spans, cut || t.truncated || looking.Err() != nil
	return out, nil
}

// tally counts keys or values.
type tally struct {
	q      *signal.AttributeQuery
	counts map[string]int
	// spans were counted, and seen were looked at, those of other services included.
	spans, seen int
	truncated   bool
}

func (t *tally) full() bool { return t.seen >= attributeSpans }

func (t *tally) within(start int64) bool {
	w := t.q.Within
	return (w.Since.IsZero() || start >= w.Since.UnixNano()) && (w.Until.IsZero() || start <= w.Until.UnixNano())
}

// add counts a span. A key that the span and its resource have counts once.
func (t *tally) add(s *signal.Span) {
	t.spans++
	for i := range s.Attributes {
		t.count(&s.Attributes[i])
	}
	for i := range s.Resource.Attributes {
		if a := &s.Resource.Attributes[i]; t.q.Key != "" || !slices.ContainsFunc(s.Attributes, func(own signal.Attribute) bool { return own.Key == a.Key }) {
			t.count(a)
		}
	}
}

func (t *tally) count(a *signal.Attribute) {
	text := a.Key
	if t.q.Key != "" {
		if a.Key != t.q.Key {
			return
		}
		// What a search does not compare by its text is not offered.
		if a.Value.Type == signal.TypeBytes || a.Value.Type == signal.TypeJSON || a.Value.Type == signal.TypeEmpty {
			return
		}
		text = wire.Text(a.Value)
	}
	if !t.q.Wants(text) {
		return
	}
	if _, known := t.counts[text]; !known {
		if len(t.counts) >= attributeTexts {
			t.truncated = true
			return
		}
		text = strings.Clone(text) // it points into a request or a page
	}
	t.counts[text]++
}

// head looks at what is in memory, the latest batches first.
func (t *tally) head(ctx context.Context, h *head) {
	h.mu.RLock()
	batches, spans := h.batches, h.spans
	h.mu.RUnlock()
	var decoder wire.Decoder
	var span signal.Span
	for _, b := range slices.Backward(batches) {
		if b.namespace != t.q.Namespace {
			continue
		}
		if t.full() || ctx.Err() != nil {
			t.truncated = true
			return
		}
		for i := b.end - 1; i >= b.first && !t.full(); i-- {
			p := &spans[i]
			if service := b.sources[p.group].resource.Service; t.q.Service != "" && service != t.q.Service || !t.within(p.start) {
				continue
			}
			t.seen++
			decoder.Reset()
			if err := b.decode(&decoder, p, &span); err == nil { // it was decoded when it came
				t.add(&span)
			}
		}
	}
}

// block looks at the end of a block's row groups first.
func (t *tally) block(ctx context.Context, s *Store, b *block) error {
	o, err := b.open(s.options.Clock())
	if err != nil {
		return err
	}
	for group := len(o.parquet.RowGroups()) - 1; group >= 0; group-- {
		for to := o.parquet.RowGroups()[group].NumRows(); to > 0; to -= attributeRows {
			if t.full() || ctx.Err() != nil {
				t.truncated = true
				return nil
			}
			r := run{max(0, to-attributeRows), to}
			if err := t.rows(o, group, r); err != nil {
				return err
			}
		}
	}
	return nil
}

// rows reads the columns that attributes are in.
func (t *tally) rows(o *openBlock, group int, r run) error {
	d := &spanDecoder{spans: make([]signal.Span, r.to-r.from), namespaces: make([]string, r.to-r.from), from: r.from,
		words: map[string]string{}, resources: map[string]*signal.Resource{}, services: map[string]*signal.Resource{}}
	for name, column := range o.columns {
		key, own := strings.CutPrefix(name, attributePrefix)
		switch {
		case own && (t.q.Key == "" || t.q.Key == key):
		case name == columnNamespace.String() || name == columnStart.String() || name == columnResource.String() || name == columnAttributes.String():
		default:
			continue
		}
		fill, ok := d.filler(name)
		if !ok {
			continue
		}
		if err := o.scan(group, column, r.from, r.to, fill); err != nil {
			return err
		}
	}
	if d.err != nil {
		return d.err
	}
	for i := range d.spans {
		span := &d.spans[i]
		t.seen++
		if d.namespaces[i] == t.q.Namespace && span.Resource != nil && (t.q.Service == "" || span.Resource.Service == t.q.Service) && t.within(span.Start) {
			t.add(span)
		}
	}
	return nil
}
