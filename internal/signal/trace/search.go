package trace

import (
	"cmp"
	"context"
	"math"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/parquet-go/parquet-go"
	"golang.org/x/sync/errgroup"

	"github.com/gantry-platform/gantry/internal/signal"
)

const (
	// searchTime bounds a search; what it has found by then is answered as truncated.
	searchTime = 10 * time.Second
	// around is how far from a found span the rest of its trace is looked for.
	around = time.Hour
	// matchedSpans is how many spans of a trace are named as matches.
	matchedSpans = 3
)

// candidate is a trace that has a match.
type candidate struct {
	id      signal.TraceID
	latest  int64 // start of its latest match
	matched []signal.SpanID
}

// collector gathers the newest candidates.
type collector struct {
	limit int
	mu    sync.Mutex
	found map[signal.TraceID]*candidate
}

func (c *collector) add(id signal.TraceID, span signal.SpanID, start int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.found[id]
	if f == nil {
		f = &candidate{id: id, latest: start}
		c.found[id] = f
	}
	f.latest = max(f.latest, start)
	if len(f.matched) < matchedSpans && !slices.Contains(f.matched, span) {
		f.matched = append(f.matched, span)
	}
	if len(c.found) > 4*c.limit {
		c.prune()
	}
}

// prune forgets what cannot come among the newest any more. c.mu is held.
func (c *collector) prune() {
	newest := c.sorted()
	clear(c.found)
	for _, f := range newest[:c.limit] {
		c.found[f.id] = f
	}
}

// sorted are the candidates, the newest first. c.mu is held.
func (c *collector) sorted() []*candidate {
	all := make([]*candidate, 0, len(c.found))
	for _, f := range c.found {
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b *candidate) int {
		return cmp.Or(cmp.Compare(b.latest, a.latest), slices.Compare(a.id[:], b.id[:]))
	})
	return all
}

// newest are the candidates to answer with.
func (c *collector) newest() []*candidate {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.sorted()
	return all[:min(len(all), c.limit)]
}

// satisfied tells that what began by then at the latest cannot come among the newest any more.
func (c *collector) satisfied(latest int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	newer := 0
	for _, f := range c.found {
		if f.latest > latest {
			newer++
		}
	}
	return newer >= c.limit
}

// Search implements [signal.TraceReader]. What is newest goes by the latest span that matched.
func (s *Store) Search(ctx context.Context, q signal.TraceQuery) (signal.SearchResult, error) {
	var out signal.SearchResult
	if err := q.Complete(s.options.Clock()); err != nil {
		return out, err
	}
	looking, cancel := context.WithTimeout(ctx, searchTime)
	defer cancel()
	heads, blocks := s.sources(signal.Range{Since: q.Since, Until: q.Until})
	c := &collector{limit: q.Limit, found: map[signal.TraceID]*candidate{}}
	searchHeads(looking, &q, heads, c)
	out.Partial = s.searchBlocks(looking, &q, blocks, c)
	for _, f := range c.newest() {
		if looking.Err() != nil {
			break
		}
		at := time.Unix(0, f.latest)
		spans, partial := s.spans(looking, q.Namespace, f.id, signal.Range{Since: at.Add(-around), Until: at.Add(around)}, true)
		out.Partial = append(out.Partial, partial...)
		if len(spans) > 0 {
			out.Traces = append(out.Traces, signal.Summarize(spans, f.matched))
		}
	}
	slices.SortFunc(out.Traces, func(a, b signal.TraceSummary) int { return b.Start.Compare(a.Start) })
	slices.Sort(out.Partial)
	out.Partial = slices.Compact(out.Partial)
	if ctx.Err() != nil {
		return out, ctx.Err()
	}
	out.Truncated = looking.Err() != nil
	return out, nil
}

// sources are the heads and blocks that may have spans of a time, blocks with the latest first. The blocks are pinned: each must be
// released when it has been looked at.
func (s *Store) sources(within signal.Range) (heads []*head, blocks []*block) {
	since, until := int64(math.MinInt64), int64(math.MaxInt64)
	if !within.Since.IsZero() {
		since = within.Since.UnixNano()
	}
	if !within.Until.IsZero() {
		until = within.Until.UnixNano()
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	heads = slices.Clone(s.heads)
	for _, b := range s.blocks {
		if b.latest >= since && b.earliest <= until {
			b.pin()
			blocks = append(blocks, b)
		}
	}
	slices.SortFunc(blocks, func(a, b *block) int { return cmp.Compare(b.latest, a.latest) })
	return heads, blocks
}

// searchBlocks looks through blocks, the latest first, until nothing newer can come. It names blocks that cannot be read.
func (s *Store) searchBlocks(ctx context.Context, q *signal.TraceQuery, blocks []*block, c *collector) (partial []string) {
	var mu sync.Mutex
	var workers errgroup.Group
	workers.SetLimit(max(1, runtime.GOMAXPROCS(0)))
	for _, b := range blocks {
		if ctx.Err() != nil || c.satisfied(b.latest) {
			b.release()
			continue
		}
		workers.Go(func() error {
			defer b.release()
			if err := s.searchBlock(ctx, q, b, c); err != nil && ctx.Err() == nil {
				s.metrics.logOnce(s.log, "read", "a block of spans cannot be read", err)
				mu.Lock()
				defer mu.Unlock()
				partial = append(partial, filepath.Base(b.path))
			}
			return nil
		})
	}
	_ = workers.Wait() // each names its own error
	return partial
}

func (s *Store) searchBlock(ctx context.Context, q *signal.TraceQuery, b *block, c *collector) error {
	o, err := b.open(s.options.Clock())
	if err != nil {
		return err
	}
	clauses := o.clauses(q)
	// Traces of later row groups began later.
	for group := len(o.parquet.RowGroups()) - 1; group >= 0; group-- {
		if err := ctx.Err(); err != nil {
			return err
		}
		rows, err := o.matching(group, clauses)
		if err != nil {
			return err
		}
		if rows == nil {
			continue
		}
		if enough, err := o.collect(group, rows, q, c); err != nil || enough {
			return err
		}
	}
	return nil
}

// collectRows is how many rows are looked at together, from the end of a row group on.
const collectRows = 4096

// collect adds matching rows from the end of a row group on. It tells when the block alone has filled the answer.
func (o *openBlock) collect(group int, rows rowSet, q *signal.TraceQuery, c *collector) (bool, error) {
	own := map[signal.TraceID]struct{}{}
	total := o.parquet.RowGroups()[group].NumRows()
	for to := total; to > 0; to -= collectRows {
		r := run{max(0, to-collectRows), to}
		if !slices.ContainsFunc(rows[r.from/64:(r.to+63)/64], func(word uint64) bool { return word != 0 }) {
			continue
		}
		ids := make([]signal.TraceID, r.to-r.from)
		spans := make([]signal.SpanID, r.to-r.from)
		starts := make([]int64, r.to-r.from)
		for column, fill := range map[column]func(i int64, v parquet.Value){
			columnTraceID: func(i int64, v parquet.Value) { copy(ids[i][:], v.ByteArray()) },
			columnSpanID:  func(i int64, v parquet.Value) { copy(spans[i][:], v.ByteArray()) },
			columnStart:   func(i int64, v parquet.Value) { starts[i] = v.Int64() },
		} {
			err := o.scan(group, o.columns[column.String()], r.from, r.to, func(row int64, v parquet.Value) bool {
				fill(row-r.from, v)
				return true
			})
			if err != nil {
				return false, err
			}
		}
		for row := r.to - 1; row >= r.from; row-- {
			if !rows.has(row) {
				continue
			}
			i := row - r.from
			c.add(ids[i], spans[i], starts[i])
			own[ids[i]] = struct{}{}
		}
		if len(own) >= q.Limit {
			return true, nil
		}
	}
	return false, nil
}

// Trace implements [signal.TraceReader].
func (s *Store) Trace(ctx context.Context, namespace string, id signal.TraceID, within signal.Range) (signal.Trace, error) {
	spans, partial := s.spans(ctx, namespace, id, within, false)
	if ctx.Err() != nil {
		return signal.Trace{}, ctx.Err()
	}
	return signal.Trace{Spans: spans, Partial: partial}, nil
}

// spans finds the spans of a trace, by start, each once.
func (s *Store) spans(ctx context.Context, namespace string, id signal.TraceID, within signal.Range, brief bool) (out []signal.Span, partial []string) {
	heads, blocks := s.sources(within)
	for _, h := range heads {
		var err error
		if out, err = h.trace(namespace, id, out); err != nil {
			partial = append(partial, "spans in memory")
		}
	}
	var mu sync.Mutex
	var workers errgroup.Group
	workers.SetLimit(max(1, runtime.GOMAXPROCS(0)))
	for _, b := range blocks {
		workers.Go(func() error {
			defer b.release()
			if ctx.Err() != nil {
				return nil
			}
			spans, err := s.blockTrace(b, namespace, id, brief)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				s.metrics.logOnce(s.log, "read", "a block of spans cannot be read", err)
				partial = append(partial, filepath.Base(b.path))
			}
			out = append(out, spans...)
			return nil
		})
	}
	_ = workers.Wait() // each names its own error
	return signal.Ordered(out), partial
}

func (s *Store) blockTrace(b *block, namespace string, id signal.TraceID, brief bool) ([]signal.Span, error) {
	o, err := b.open(s.options.Clock())
	if err != nil {
		return nil, err
	}
	return o.trace(namespace, id, brief)
}
