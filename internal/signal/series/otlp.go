package series

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/storage/remote/otlptranslator/prometheusremotewrite"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/gantry-platform/gantry/internal/fault"
)

// serviceLabel is the service that a series is of; from OTLP it is the resource's service.name.
const serviceLabel = "service"

// promoted is the resource attribute that every series carries. The others are on target_info, to join with: on every series they would multiply it.
const promoted, promotedLabel = "service.name", "service_name"

// oldest is how far before now a point may lie at all. The head refuses what is older than about an hour in any case; and the series target_info is made for all the
// time between a request's oldest and newest point.
const oldest = 2 * time.Hour

// WriteOTLP takes metrics of OpenTelemetry into a namespace, named as Prometheus's own translation names them: http.server.duration in seconds
// becomes http_server_duration_seconds, sums end in _total, explicit histograms are classic ones, exponential histograms native ones. The resource's service.name
// becomes the label service, service.instance.id instance, and target_info has all its attributes. Deltas are summed up to series with the label node; see
// [deltas].
//
// Rejected counts data points that were not taken, with a reason for the first kinds of them; the rest is kept. The error is for the whole: nothing is kept, and fault.Unavailable may be
// tried again. The metrics are the store's: it removes points from them.
func (s *Store) WriteOTLP(ctx context.Context, namespace string, metrics pmetric.Metrics) (rejected int, why string, err error) {
	if err := s.Writable(); err != nil {
		s.metrics.dropped(reasonDisk, metrics.DataPointCount())
		return 0, "", err
	}
	sieve := &sieve{now: s.now(), future: s.limits.Future, deltas: pmetric.NewMetrics()}
	sieve.metrics(metrics)
	for reason, n := range sieve.counts {
		s.metrics.dropped(reason, n)
	}
	rejectable := metrics.DataPointCount() + sieve.deltas.DataPointCount() + sieve.rejected
	appender := &otlpAppender{builder: labels.NewBuilder(labels.EmptyLabels())}
	appender.inletAppender = s.Into(namespace).Passing(func(err error) { sieve.reject(1, err.Error()) }).AppenderV2(ctx).(*inletAppender)
	converted := convert(ctx, appender, metrics)
	if sieve.deltas.MetricCount() > 0 {
		s.deltas.mu.Lock()
		defer s.deltas.mu.Unlock()
		appender.totals = s.deltas.accumulate(s.node)
		converted = append(converted, convert(ctx, appender, sieve.deltas)...)
	}
	if fatal := appender.fatal; fatal != nil || ctx.Err() != nil {
		err = errors.Join(appender.Rollback(), ctx.Err(), fatal)
		if f, ok := fault.As(fatal); ok {
			return 0, "", f
		}
		return 0, "", err
	}
	for _, e := range converted {
		s.metrics.dropped(reasonInvalid, 1)
		sieve.reject(1, e.Error())
	}
	if err := appender.Commit(); err != nil {
		if f, ok := fault.As(err); ok {
			return 0, "", f
		}
		return 0, "", fault.New(fault.Unavailable, "series.not_written", "the metrics could not be written").Hinted("send them again; the server's log says why").Because(err)
	}
	if appender.totals != nil {
		appender.totals.keep()
	}
	// A histogram is several samples and one point.
	return min(sieve.rejected, rejectable), sieve.why, nil
}

// convert runs Prometheus's translation and gives what it could not translate.
func convert(ctx context.Context, to storage.AppenderV2, metrics pmetric.Metrics) (problems []error) {
	defer func() {
		if v := recover(); v != nil { // what is malformed in a way that nobody thought of must not end the process
			problems = append(problems, fmt.Errorf("the metrics are malformed: %v", v))
		}
	}()
	_, err := prometheusremotewrite.NewPrometheusConverter(to).FromMetrics(ctx, metrics, prometheusremotewrite.Settings{AddMetricSuffixes: true,
		PromoteResourceAttributes:         prometheusremotewrite.NewPromoteResourceAttributes(config.OTLPConfig{PromoteResourceAttributes: []string{promoted}}),
		KeepIdentifyingResourceAttributes: true, LookbackDelta: 5 * time.Minute, LabelNameUnderscoreSanitization: true})
	return flatten(err)
}

func flatten(err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range joined.Unwrap() {
			all = append(all, flatten(e)...)
		}
		return all
	}
	return []error{err}
}

// otlpAppender renames the service and keeps errors from the translation, which would leave the rest of a metric.
type otlpAppender struct {
	*inletAppender
	builder *labels.Builder
	// totals is set while what is appended are deltas.
	totals *accumulator
	fatal  error
}

func (a *otlpAppender) Append(ref storage.SeriesRef, l labels.Labels, st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, opts storage.AppendV2Options) (storage.SeriesRef, error) {
	if service := l.Get(promotedLabel); service != "" {
		a.builder.Reset(l)
		if own := l.Get(serviceLabel); own != "" && own != service {
			a.builder.Set(exportedPrefix+serviceLabel, own)
		}
		l = a.builder.Del(promotedLabel).Set(serviceLabel, service).Labels()
	}
	var err error
	if a.totals != nil && l.Get(model.MetricNameLabel) != targetInfo {
		ref, err = a.totals.append(a, l, st, t, v, h, opts)
	} else {
		ref, err = a.inletAppender.Append(ref, l, st, t, v, h, fh, opts)
	}
	var partial *storage.AppendPartialError
	switch {
	case err == nil, errors.As(err, &partial): // the sample was taken; its exemplars are counted
		return ref, nil
	case fault.Is(err, fault.Unavailable):
		a.fatal = err
		return 0, err
	default: // one sample that is malformed, such as a histogram whose counts do not add up
		a.inlet.refused(err)
		return 0, nil
	}
}

// sieve takes off a request what the translation must not see, and counts it.
type sieve struct {
	now      time.Time
	future   time.Duration
	rejected int
	reasons  int
	why      string
	counts   map[string]int
	// deltas are the metrics that are to be summed up, with their resources and scopes. scope is where the next one belongs, made when there is one.
	deltas pmetric.Metrics
	scope  func() pmetric.MetricSlice
}

// maxReasons are the reasons that an answer gives.
const maxReasons = 3

func (s *sieve) reject(n int, why string) {
	s.rejected += n
	if s.reasons < maxReasons {
		if s.reasons++; s.why != "" {
			s.why += "; "
		}
		s.why += shorten(why)
	}
}

func (s *sieve) drop(n int, reason, why string) {
	if n == 0 {
		return
	}
	if s.counts == nil {
		s.counts = map[string]int{}
	}
	s.counts[reason] += n
	s.reject(n, why)
}

func (s *sieve) metrics(all pmetric.Metrics) {
	for i := range all.ResourceMetrics().Len() {
		resource := all.ResourceMetrics().At(i)
		scopes := resource.ScopeMetrics()
		for j := range scopes.Len() {
			s.scope = sync.OnceValue(func() pmetric.MetricSlice { return s.scopeLike(resource, scopes.At(j)) })
			scopes.At(j).Metrics().RemoveIf(s.metric)
		}
	}
}

// scopeLike makes a place for deltas.
func (s *sieve) scopeLike(resource pmetric.ResourceMetrics, scope pmetric.ScopeMetrics) pmetric.MetricSlice {
	ours := s.deltas.ResourceMetrics().AppendEmpty()
	resource.Resource().CopyTo(ours.Resource())
	ours.SetSchemaUrl(resource.SchemaUrl())
	like := ours.ScopeMetrics().AppendEmpty()
	scope.Scope().CopyTo(like.Scope())
	like.SetSchemaUrl(scope.SchemaUrl())
	return like.Metrics()
}

// metric tells whether a metric goes as a whole, after its points of impossible times went.
func (s *sieve) metric(m pmetric.Metric) bool {
	var points int
	temporality := pmetric.AggregationTemporalityCumulative
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		sift(s, m, m.Gauge().DataPoints().RemoveIf)
	case pmetric.MetricTypeSum:
		temporality, points = m.Sum().AggregationTemporality(), m.Sum().DataPoints().Len()
		if temporality == pmetric.AggregationTemporalityCumulative {
			sift(s, m, m.Sum().DataPoints().RemoveIf)
		}
	case pmetric.MetricTypeHistogram:
		temporality, points = m.Histogram().AggregationTemporality(), m.Histogram().DataPoints().Len()
		if temporality == pmetric.AggregationTemporalityCumulative {
			sift(s, m, m.Histogram().DataPoints().RemoveIf)
		}
	case pmetric.MetricTypeExponentialHistogram:
		temporality, points = m.ExponentialHistogram().AggregationTemporality(), m.ExponentialHistogram().DataPoints().Len()
		if temporality == pmetric.AggregationTemporalityCumulative {
			sift(s, m, m.ExponentialHistogram().DataPoints().RemoveIf)
		}
	case pmetric.MetricTypeSummary:
		sift(s, m, m.Summary().DataPoints().RemoveIf)
	default:
		return true // a metric without data
	}
	switch temporality {
	case pmetric.AggregationTemporalityCumulative:
		return false
	case pmetric.AggregationTemporalityDelta:
		s.takeDelta(m)
	default:
		s.drop(points, reasonDelta, fmt.Sprintf("metric %s does not say whether it is cumulative or delta", shorten(m.Name())))
	}
	return true
}

// sift removes the points of a metric that are of the far past or the future.
func sift[P interface{ Timestamp() pcommon.Timestamp }](s *sieve, m pmetric.Metric, removeIf func(func(P) bool)) {
	var late, future int
	earliest, latest := pcommon.NewTimestampFromTime(s.now.Add(-oldest)), pcommon.NewTimestampFromTime(s.now.Add(s.future))
	removeIf(func(p P) bool {
		switch t := p.Timestamp(); {
		case t < earliest:
			late++
		case t > latest:
			future++
		default:
			return false
		}
		return true
	})
	s.drop(late, reasonLate, fmt.Sprintf("metric %s has points older than %s", shorten(m.Name()), oldest))
	s.drop(future, reasonFuture, fmt.Sprintf("metric %s has points of the future; set the sender's clock", shorten(m.Name())))
}
