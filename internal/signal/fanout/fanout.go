// Package fanout reads the traces and the business events of a whole cluster: each node keeps a part, and [Reader] and [Events] ask all of them side by side.
//
// A node that does not answer is named in the answer, and makes no error: what the others know is worth having.
//
// It imports signal and signal/event.
package fanout

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/gantry-platform/gantry/internal/signal"
)

// Reader is a [signal.TraceReader] over this node and the others.
type Reader struct {
	// Local is this node's own store.
	Local signal.TraceReader
	// Others are those of the other nodes of the cluster, by their names; one that is not there answers with an error at once. It may be called concurrently.
	Others func() map[string]signal.TraceReader
}

var _ signal.TraceReader = (*Reader)(nil)

// all asks this node and the others. What did not answer is named in missing.
func all[T any](ctx context.Context, r *Reader, f func(context.Context, signal.TraceReader) (T, error)) (answers []T, missing []string, err error) {
	own, others, missing, err := ask(ctx, r.Local, r.Others(), f)
	if err != nil {
		return nil, nil, err
	}
	for i := range missing {
		missing[i] = "node " + missing[i]
	}
	return append(slices.Collect(maps.Values(others)), own), missing, nil
}

// Trace implements [signal.TraceReader]. A trace is on one node, but for what came while that one was away.
func (r *Reader) Trace(ctx context.Context, namespace string, id signal.TraceID, within signal.Range) (signal.Trace, error) {
	answers, missing, err := all(ctx, r, func(ctx context.Context, one signal.TraceReader) (signal.Trace, error) {
		return one.Trace(ctx, namespace, id, within)
	})
	out := signal.Trace{Partial: missing}
	for _, a := range answers {
		out.Spans = append(out.Spans, a.Spans...)
		out.Partial = append(out.Partial, a.Partial...)
	}
	out.Spans = signal.Ordered(out.Spans)
	return out, err
}

// Search implements [signal.TraceReader].
func (r *Reader) Search(ctx context.Context, q signal.TraceQuery) (signal.SearchResult, error) {
	answers, missing, err := all(ctx, r, func(ctx context.Context, one signal.TraceReader) (signal.SearchResult, error) {
		return one.Search(ctx, q)
	})
	out := signal.SearchResult{Partial: missing}
	found := map[signal.TraceID]signal.TraceSummary{}
	for _, a := range answers {
		out.Partial = append(out.Partial, a.Partial...)
		out.Truncated = out.Truncated || a.Truncated
		for _, t := range a.Traces {
			// Parts of one trace on two nodes: the larger speaks for it.
			if known, ok := found[t.TraceID]; !ok || t.Spans > known.Spans {
				found[t.TraceID] = t
			}
		}
	}
	for _, t := range found {
		out.Traces = append(out.Traces, t)
	}
	slices.SortFunc(out.Traces, func(a, b signal.TraceSummary) int {
		return cmp.Or(b.Start.Compare(a.Start), slices.Compare(a.TraceID[:], b.TraceID[:]))
	})
	limit := cmp.Or(q.Limit, signal.DefaultTraces)
	out.Traces = out.Traces[:min(len(out.Traces), limit)]
	return out, err
}

// Services implements [signal.TraceReader].
func (r *Reader) Services(ctx context.Context, namespace string, within signal.Range) ([]string, error) {
	return r.union(ctx, func(ctx context.Context, one signal.TraceReader) ([]string, error) {
		return one.Services(ctx, namespace, within)
	})
}

// Endpoints implements [signal.TraceReader].
func (r *Reader) Endpoints(ctx context.Context, namespace, service string, kind signal.Kind, within signal.Range) ([]string, error) {
	return r.union(ctx, func(ctx context.Context, one signal.TraceReader) ([]string, error) {
		return one.Endpoints(ctx, namespace, service, kind, within)
	})
}

// Attributes implements [signal.TraceReader].
func (r *Reader) Attributes(ctx context.Context, q signal.AttributeQuery) (signal.AttributeResult, error) {
	if err := q.Complete(); err != nil {
		return signal.AttributeResult{}, err
	}
	answers, missing, err := all(ctx, r, func(ctx context.Context, one signal.TraceReader) (signal.AttributeResult, error) {
		return one.Attributes(ctx, q)
	})
	out := signal.AttributeResult{Partial: missing}
	counts := map[string]int{}
	for _, a := range answers {
		out.Spans += a.Spans
		out.Partial = append(out.Partial, a.Partial...)
		out.Truncated = out.Truncated || a.Truncated
		for _, found := range a.Attributes {
			counts[found.Text] += found.Spans
		}
	}
	var cut bool
	out.Attributes, cut = signal.CountAttributes(counts, q.Limit)
	out.Truncated = out.Truncated || cut
	return out, err
}

func (r *Reader) union(ctx context.Context, f func(context.Context, signal.TraceReader) ([]string, error)) ([]string, error) {
	answers, _, err := all(ctx, r, f)
	var names []string
	for _, a := range answers {
		names = append(names, a...)
	}
	slices.Sort(names)
	return slices.Compact(names), err
}
