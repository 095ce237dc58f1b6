package series

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/gantry-platform/gantry/internal/fault"
)

// maxSteps of a range query: what a screen shows, twice. Prometheus has the same limit, which Grafana knows.
const maxSteps = 11_000

// maxQuery is the longest query in bytes. Dashboards' are below ten thousand.
const maxQuery = 64 << 10

// Instant is [View.Instant] over all namespaces.
func (s *Store) Instant(ctx context.Context, query string, at time.Time) (promql.Vector, []string, error) {
	return s.Whole().Instant(ctx, query, at)
}

// Range is [View.Range] over all namespaces.
func (s *Store) Range(ctx context.Context, query string, since, until time.Time, step time.Duration) (promql.Matrix, []string, error) {
	return s.Whole().Range(ctx, query, since, until, step)
}

// Instant works out a query at a time. A scalar becomes one sample without labels. The strings are warnings: the answer may lack something.
//
// Errors: Invalid "query.invalid", "query.failed" and "query.wrong_type", TooLarge "query.too_large", DeadlineExceeded "query.timeout", Exhausted "query.too_many".
func (v *View) Instant(ctx context.Context, query string, at time.Time) (promql.Vector, []string, error) {
	run, err := v.NewInstant(ctx, query, at, nil)
	if err != nil {
		return nil, nil, err
	}
	defer run.Close()
	result := run.Exec(ctx)
	if result.Err != nil {
		return nil, nil, v.store.queryFault(result.Err)
	}
	warnings, _ := result.Warnings.AsStrings(query, 0, 0)
	switch value := result.Value.(type) {
	case promql.Vector:
		v.store.metrics.queries.WithLabelValues("success").Inc()
		return slices.Clone(value), warnings, nil
	case promql.Scalar:
		v.store.metrics.queries.WithLabelValues("success").Inc()
		return promql.Vector{{T: value.T, F: value.V}}, warnings, nil
	default:
		return nil, nil, wrongType(value, "a vector or a number")
	}
}

// Range works out a query at every step of a time, ends included. Errors are those of Instant, and Invalid "query.bad_range".
func (v *View) Range(ctx context.Context, query string, since, until time.Time, step time.Duration) (promql.Matrix, []string, error) {
	run, err := v.NewRange(ctx, query, since, until, step, nil)
	if err != nil {
		return nil, nil, err
	}
	defer run.Close()
	result := run.Exec(ctx)
	if result.Err != nil {
		return nil, nil, v.store.queryFault(result.Err)
	}
	warnings, _ := result.Warnings.AsStrings(query, 0, 0)
	matrix, ok := result.Value.(promql.Matrix)
	if !ok {
		return nil, nil, wrongType(result.Value, "numbers over time")
	}
	v.store.metrics.queries.WithLabelValues("success").Inc()
	// The engine uses the points' memory again.
	owned := make(promql.Matrix, len(matrix))
	for i, series := range matrix {
		owned[i] = promql.Series{Metric: series.Metric, Floats: slices.Clone(series.Floats), Histograms: slices.Clone(series.Histograms)}
		for j := range owned[i].Histograms {
			owned[i].Histograms[j].H = owned[i].Histograms[j].H.Copy()
		}
	}
	return owned, warnings, nil
}

func wrongType(value parser.Value, want string) error {
	return fault.New(fault.Invalid, "query.wrong_type", "the query gives a %s, and %s is wanted", value.Type(), want).At("query").Hinted("take [range] or quotes off it")
}

// NewInstant prepares a query for protocols that give answers in Prometheus's own shapes. The caller executes and closes it; errors of its execution go through
// [View.Fault]. Options may be nil.
func (v *View) NewInstant(ctx context.Context, query string, at time.Time, options promql.QueryOpts) (promql.Query, error) {
	if err := v.store.askable(query); err != nil {
		return nil, err
	}
	run, err := v.store.engine.NewInstantQuery(ctx, v, options, query, at)
	if err != nil {
		return nil, v.store.queryFault(err)
	}
	return run, nil
}

// NewRange is NewInstant for every step of a time.
func (v *View) NewRange(ctx context.Context, query string, since, until time.Time, step time.Duration, options promql.QueryOpts) (promql.Query, error) {
	if err := v.store.askable(query); err != nil {
		return nil, err
	}
	bad := func(field, format string, args ...any) error {
		v.store.metrics.queries.WithLabelValues("invalid").Inc()
		return fault.New(fault.Invalid, "query.bad_range", format, args...).At(field).Hinted("choose a step for which at most %d points remain", maxSteps)
	}
	switch {
	case until.Before(since):
		return nil, bad("end", "the end is before the start")
	case step < time.Millisecond:
		return nil, bad("step", "a step of %s is below a millisecond", step)
	case until.Sub(since)/step > maxSteps:
		return nil, bad("step", "a step of %s gives more than %d points over %s", step, maxSteps, until.Sub(since))
	}
	run, err := v.store.engine.NewRangeQuery(ctx, v, options, query, since, until, step)
	if err != nil {
		return nil, v.store.queryFault(err)
	}
	return run, nil
}

// Fault makes of the error of a query one for users, and counts it.
func (v *View) Fault(err error) error { return v.store.queryFault(err) }

// Succeeded counts a query that was answered.
func (v *View) Succeeded() { v.store.metrics.queries.WithLabelValues("success").Inc() }

func (s *Store) askable(query string) error {
	if s.closed.Load() {
		return fault.New(fault.Unavailable, "series.closed", "the store of metrics is closed").Hinted("the server is stopping; ask another node")
	}
	if len(query) > maxQuery {
		s.metrics.queries.WithLabelValues("invalid").Inc()
		return fault.New(fault.TooLarge, "query.too_large", "the query has %d bytes, and %d are allowed", len(query), maxQuery).At("query").Hinted("ask in parts")
	}
	return nil
}

func (s *Store) queryFault(err error) error {
	outcome, f := s.classify(err)
	s.metrics.queries.WithLabelValues(outcome).Inc()
	return f
}

func (s *Store) classify(err error) (outcome string, f error) {
	var (
		known    *fault.Error
		parse    parser.ParseErrors
		one      *parser.ParseErr
		samples  promql.ErrTooManySamples
		timeout  promql.ErrQueryTimeout
		canceled promql.ErrQueryCanceled
		stored   promql.ErrStorage
	)
	switch {
	case errors.As(err, &known):
		if known.Code == fault.Exhausted {
			return "refused", known
		}
		return "invalid", known
	case errors.As(err, &parse), errors.As(err, &one):
		return "invalid", fault.New(fault.Invalid, "query.invalid", "%v", err).At("query").Hinted("see https://prometheus.io/docs/prometheus/latest/querying/basics/")
	case errors.As(err, &samples):
		return "too_large", fault.New(fault.TooLarge, "query.too_large", "%v", err).At("query").Hinted("ask for fewer series, a shorter time or a longer step")
	case errors.As(err, &timeout), errors.Is(err, context.DeadlineExceeded):
		return "timeout", fault.New(fault.DeadlineExceeded, "query.timeout", "%v", err).At("query").Hinted("ask for fewer series, a shorter time or a longer step")
	case errors.As(err, &canceled), errors.Is(err, context.Canceled):
		return "canceled", fault.New(fault.DeadlineExceeded, "request.canceled", "the caller gave up")
	case errors.As(err, &stored):
		return "failed", fmt.Errorf("series: %w", err)
	default:
		// What the engine finds while it works: labels that match twice, types that do not go together.
		return "invalid", fault.New(fault.Invalid, "query.failed", "%v", err).At("query").Hinted("see https://prometheus.io/docs/prometheus/latest/querying/operators/")
	}
}

// gate lets so many queries through at once and so many wait. It is the engine's tracker.
type gate struct {
	turns chan struct{}
	queue chan struct{}
	count atomic.Int64
}

func newGate(running, waiting int) *gate {
	return &gate{turns: make(chan struct{}, running), queue: make(chan struct{}, running+waiting)}
}

// Insert implements promql.QueryTracker.
func (g *gate) Insert(ctx context.Context, _ string) (int, error) {
	select {
	case g.queue <- struct{}{}:
	default:
		return 0, fault.New(fault.Exhausted, "query.too_many", "%d queries are under way or waiting", cap(g.queue)).Hinted("try again in a few seconds")
	}
	select {
	case g.turns <- struct{}{}:
		g.count.Add(1)
		return 0, nil
	case <-ctx.Done():
		<-g.queue
		return 0, ctx.Err()
	}
}

// Delete implements promql.QueryTracker.
func (g *gate) Delete(int) {
	g.count.Add(-1)
	<-g.turns
	<-g.queue
}

// GetMaxConcurrent implements promql.QueryTracker.
func (g *gate) GetMaxConcurrent() int { return cap(g.turns) }

// Close implements promql.QueryTracker.
func (g *gate) Close() error { return nil }

func (g *gate) running() int { return int(g.count.Load()) }
func (g *gate) waiting() int { return max(len(g.queue)-len(g.turns), 0) }
