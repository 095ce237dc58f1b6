package trace

import (
	"bufio"
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/trace/columnar"
	"github.com/gantry-platform/gantry/internal/signal/wire"
)

const (
	// rowGroupSpans is the most rows of a row group: what a look-up of one trace has to scan.
	rowGroupSpans = 128 << 10
	// censusSpans is how many spans are looked at to choose columns.
	censusSpans = 4096
)

// traceOrder is the traces of a head in the order of a block: by the start of their earliest span.
type traceOrder struct {
	earliest int64
	key      traceKey
	spans    []int32
}

// order sorts a sealed head's spans: traces by their start, the spans of one by theirs. Spans that came twice are left out.
func (h *head) order() []traceOrder {
	all := make([]int32, 0, len(h.spans))
	traces := make([]traceOrder, 0, len(h.byTrace))
	d := &wire.Decoder{}
	for key, last := range h.byTrace {
		first := len(all)
		for i := last - 1; i >= 0; i = h.spans[i].previous {
			all = append(all, i)
		}
		spans := all[first:len(all):len(all)]
		// The chain leads backwards; of equal starts what came first stays first.
		slices.Reverse(spans)
		slices.SortStableFunc(spans, func(a, b int32) int { return cmp.Compare(h.spans[a].start, h.spans[b].start) })
		spans = h.withoutRepeats(d, spans)
		traces = append(traces, traceOrder{earliest: h.spans[spans[0]].start, key: key, spans: spans})
	}
	slices.SortFunc(traces, func(a, b traceOrder) int {
		return cmp.Or(cmp.Compare(a.earliest, b.earliest), slices.Compare(a.key.id[:], b.key.id[:]), cmp.Compare(a.key.namespace, b.key.namespace))
	})
	return traces
}

// withoutRepeats drops spans that an exporter sent again after an answer got lost: equal bytes of equal starts, which stand beside each other.
func (h *head) withoutRepeats(d *wire.Decoder, spans []int32) []int32 {
	kept := spans[:1]
	for _, i := range spans[1:] {
		p := &h.spans[i]
		repeated := false
		for k := len(kept) - 1; k >= 0 && h.spans[kept[k]].start == p.start && !repeated; k-- {
			q := &h.spans[kept[k]]
			repeated = p.end-p.at == q.end-q.at && string(h.batches[p.batch].raw[p.at:p.end]) == string(h.batches[q.batch].raw[q.at:q.end])
		}
		if !repeated {
			kept = append(kept, i)
		}
	}
	return kept
}

// each calls a function for the spans of traces, decoded one at a time: the span is valid during the call, its strings as long as the head.
func (h *head) each(traces []traceOrder, each func(namespace string, s *signal.Span) error) error {
	d, s := &wire.Decoder{}, signal.Span{}
	for t := range traces {
		for n, i := range traces[t].spans {
			if n%touchSpans == 0 {
				h.touch(traces[t].spans[n:min(n+touchSpans, len(traces[t].spans))])
			}
			d.Reset()
			if err := h.decode(d, &h.spans[i], &s); err != nil {
				return err
			}
			if err := each(h.namespaces[h.spans[i].namespace], &s); err != nil {
				return err
			}
		}
	}
	return nil
}

// touchSpans are brought near together.
const touchSpans = 32

// touch brings spans near that are worked on next. Those of one trace came in many requests and lie far apart in memory; to ask for all of them at once is what hides
// how long each takes.
func (h *head) touch(spans []int32) {
	touched := uint64(0)
	for _, i := range spans {
		touched += uint64(h.spans[i].batch)
	}
	for _, i := range spans {
		p := &h.spans[i]
		raw := h.batches[p.batch].raw[p.at:p.end]
		for at := 0; at < len(raw); at += cacheLine {
			touched += uint64(raw[at])
		}
	}
	h.touched = touched // so that the loops are not for nothing
}

const cacheLine = 64

// census samples the spans of traces evenly.
func (h *head) census(traces []traceOrder) (*census, int, error) {
	total := 0
	for i := range traces {
		total += len(traces[i].spans)
	}
	c, d, s := newCensus(), &wire.Decoder{}, signal.Span{}
	step, at := max(1, total/censusSpans), 0
	for t := range traces {
		for _, i := range traces[t].spans {
			if at++; at%step != 0 {
				continue
			}
			if err := h.decode(d, &h.spans[i], &s); err != nil {
				return nil, 0, err
			}
			c.count(&s)
		}
	}
	return c, total, nil
}

// writeHead writes a sealed head as a block and returns its name; a head whose traces are all sampled away makes none.
func writeHead(dir string, h *head, keep func(*head, *traceOrder) bool, codec *zstd.Codec) (blockName, error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	n := blockName{day: h.opened.UTC().Format(dayFormat), first: h.number, last: h.number, earliest: h.earliest, latest: h.latest}
	traces := h.order()
	if keep != nil {
		traces = slices.DeleteFunc(traces, func(t traceOrder) bool { return !keep(h, &t) })
	}
	census, total, err := h.census(traces)
	if err != nil || total == 0 {
		return n, err
	}
	n.spans = total
	s := newSchema(census.columns())
	return n, writeBlock(dir, n, s, h.names, codec, func(each func(string, *signal.Span) error) error { return h.each(traces, each) })
}

// writeBlock writes a file and puts it in its place when it is whole and on disk.
func writeBlock(dir string, n blockName, s *schema, endpoints names, codec *zstd.Codec, rows func(each func(string, *signal.Span) error) error) (err error) {
	day := filepath.Join(dir, n.day)
	if err := os.MkdirAll(day, 0o700); err != nil {
		return err
	}
	path := filepath.Join(day, n.file())
	file, err := os.OpenFile(path+temporarySuffix, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close(), os.Remove(file.Name()))
		}
	}()
	buffered := bufio.NewWriterSize(file, 256<<10)
	w, err := columnar.New(buffered, s.parquet, s.options(codec, map[string]string{keyNames: endpoints.encode(), keyBlock: "1"}))
	if err != nil {
		return err
	}
	if err := writeRows(w, s, rows); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	return errors.Join(syncDir(day), syncDir(dir))
}

func writeRows(w *columnar.Writer, s *schema, rows func(each func(string, *signal.Span) error) error) error {
	e := newEncoder(s, w.Columns())
	finish := func() error {
		if e.row == 0 {
			return nil
		}
		defer e.next()
		return w.EndGroup(e.row)
	}
	err := rows(func(namespace string, span *signal.Span) error {
		e.add(namespace, span)
		if e.row == rowGroupSpans {
			return finish()
		}
		return nil
	})
	if err != nil {
		return err
	}
	return finish()
}
