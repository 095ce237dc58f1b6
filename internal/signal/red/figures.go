package red

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/signal"
)

// Figures are rate, errors, refusals and durations of something within a time.
type Figures struct {
	// Calls is all of them; Refused and Failed are among them.
	Calls, Refused, Failed uint64
	// Rate is in calls a second.
	Rate float64
	// Durations are estimates from exponential buckets, within 4.4% of the truth; Max is the upper bound of the highest bucket.
	Mean, P50, P95, P99, Max time.Duration
}

// tally is the histograms of the three outcomes.
type tally [3]durations

func (t *tally) figures(rate float64) Figures {
	var all durations
	for i := range t {
		all.merge(&t[i])
	}
	f := Figures{Calls: all.total, Refused: t[signal.Refused].total, Failed: t[signal.Failed].total, Rate: rate, P50: inTime(all.quantile(0.5)), P95: inTime(all.quantile(0.95)),
		P99: inTime(all.quantile(0.99)), Max: inTime(all.highest())}
	if all.total > 0 {
		f.Mean = inTime(all.sum / float64(all.total))
	}
	return f
}

func inTime(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }

func (t *tally) calls() uint64 { return t[0].total + t[1].total + t[2].total }

// Window is the time that an answer is about.
type Window struct {
	Since, Until time.Time
	// FromSeries says that what is older than memory knows was read from the store of series.
	FromSeries bool
	// Partial says that something is missing: the answer begins later than asked for, because nothing older is known, or nodes are Missing.
	Partial bool
	// Missing are the names of the nodes that did not answer, sorted.
	Missing []string

	// minute is the first one that is read from memory; what is older is read from series, until seam.
	minute int64
	seam   time.Time
}

func (w Window) seconds() float64 { return w.Until.Sub(w.Since).Seconds() }

const (
	// defaultWindow is asked for when no beginning is given.
	defaultWindow = 5 * time.Minute
	// maxWindow bounds how much one question reads.
	maxWindow = 31 * 24 * time.Hour
)

// windowOf decides where this node reads for a question.
func (r *Room) windowOf(q Question) (Window, error) {
	switch q.Subject {
	case AboutEdges, AboutServices, AboutEndpoints:
		return r.window(q.Since, q.Until)
	case AboutInstances:
		w, err := r.window(q.Since, q.Until)
		if w.FromSeries { // no series tells which instances sent signals
			w.Since, w.FromSeries, w.Partial = w.seam, false, true
		}
		return w, err
	case AboutErrors, AboutExcesses:
		now := r.clock()
		_, at := r.seam(minuteOf(now) - keptMinutes + 1)
		return Window{Since: time.UnixMilli(at), Until: now}, nil
	default:
		return Window{}, fault.New(fault.Invalid, "topology.bad_subject", "there is no subject %d", q.Subject)
	}
}

// window decides where to read. What the process has seen from its beginning, in the recent hour, is in memory, in whole minutes.
func (r *Room) window(since, until time.Time) (Window, error) {
	now := r.clock()
	if until.IsZero() || until.After(now) {
		until = now
	}
	if since.IsZero() {
		since = until.Add(-defaultWindow)
	}
	if !since.Before(until) {
		return Window{}, fault.New(fault.Invalid, "topology.bad_time", "the time ends at %s, before it begins at %s", until.UTC().Format(time.RFC3339), since.UTC().Format(time.RFC3339)).
			At("since").Hinted("give a beginning before the end")
	}
	if until.Sub(since) > maxWindow {
		return Window{}, fault.New(fault.Invalid, "topology.bad_time", "%s is more than %d days at once", until.Sub(since).Round(time.Hour), int(maxWindow.Hours()/24)).
			At("since").Hinted("ask for less")
	}
	w := Window{Since: since.Truncate(time.Minute), Until: until}
	minute, at := r.seam(max(minuteOf(since), minuteOf(now)-keptMinutes+1))
	w.minute, w.seam = minute, time.UnixMilli(at)
	switch {
	// Of the minute in which the process began, memory knows only the rest.
	case minute <= minuteOf(since) && (minute > minuteOf(r.began) || !since.Before(r.began)):
	case r.queryable != nil:
		w.Since, w.FromSeries = since, true
		if w.seam.After(until) {
			w.seam = until
		}
	default:
		w.Since, w.Partial = w.seam, true
		if w.Since.After(until) {
			w.Since = until
		}
	}
	return w, nil
}

// recent adds what is in memory.
func (r *Room) recent(w Window, o *outcomes, to *tally) {
	for i := range o {
		if s := o[i].Load(); s != nil {
			s.within(w.minute, minuteOf(w.Until)+1, r.minute.Load(), &to[i])
		}
	}
}

// ServiceFigures are a service's, over what it serves and consumes.
type ServiceFigures struct {
	Service string
	Figures
	// Instances sent signals within the time, or the recent hour when that is longer ago.
	Instances int
	// Endpoints are known by name.
	Endpoints int
	Last      time.Time
}

// Services are the figures of all services of a namespace, by name. Zero times are now and five minutes before.
func (r *Room) Services(ctx context.Context, namespace string, since, until time.Time) ([]ServiceFigures, Window, error) {
	g, err := r.gather(ctx, Question{Subject: AboutServices, Namespace: namespace, Since: since, Until: until})
	if err != nil {
		return nil, Window{}, err
	}
	answer := make([]ServiceFigures, 0, len(g.counts))
	for names, c := range g.counts {
		answer = append(answer, ServiceFigures{Service: names[0], Figures: c.figures(), Instances: distinct(c.instances), Endpoints: distinct(c.endpoints), Last: c.last})
	}
	slices.SortFunc(answer, func(a, b ServiceFigures) int { return cmp.Compare(a.Service, b.Service) })
	return answer, g.window, nil
}

// Order is what a list of endpoints begins with.
type Order int

// The orders.
const (
	Slowest Order = iota // by the 95th percentile
	Busiest              // by calls
	Failing              // by failed calls
)

// EndpointFigures are an endpoint's.
type EndpointFigures struct {
	Service, Endpoint string
	Kind              signal.Kind
	Figures
}

// Endpoints are the figures of endpoints that were called within the time, in an order; of one service, or of all when it is empty. At most limit, when
// that is above 0.
func (r *Room) Endpoints(ctx context.Context, namespace, service string, since, until time.Time, order Order, limit int) ([]EndpointFigures, Window, error) {
	g, err := r.gather(ctx, Question{Subject: AboutEndpoints, Namespace: namespace, Service: service, Since: since, Until: until})
	if err != nil {
		return nil, Window{}, err
	}
	answer := make([]EndpointFigures, 0, len(g.counts))
	for names, c := range g.counts {
		kind, _ := signal.ParseKind(names[2])
		answer = append(answer, EndpointFigures{Service: names[0], Endpoint: names[1], Kind: kind, Figures: c.figures()})
	}
	slices.SortFunc(answer, func(a, b EndpointFigures) int { return compareEndpoints(order, &a, &b) })
	if limit > 0 && len(answer) > limit {
		answer = answer[:limit]
	}
	return answer, g.window, nil
}

func compareEndpoints(order Order, a, b *EndpointFigures) int {
	first := 0
	switch order {
	case Busiest:
		first = cmp.Compare(b.Calls, a.Calls)
	case Failing:
		first = cmp.Compare(b.Failed, a.Failed)
	}
	return cmp.Or(first, cmp.Compare(b.P95, a.P95), cmp.Compare(a.Service, b.Service), cmp.Compare(a.Endpoint, b.Endpoint), cmp.Compare(a.Kind, b.Kind))
}

// InstanceFigures are an instance's: that it sends at all, and what it served.
type InstanceFigures struct {
	Service, Instance, Version, Lane, Release, Zone string
	// First and Last are when signals of it arrived.
	First, Last time.Time
	// Spans arrived since First. Late ones among them came so long after their end that they were kept out of the figures.
	Spans, Late uint64
	// Behind is how long before its arrival the latest span ended: some seconds for a healthy exporter. More, or less than nothing, is a clock
	// that is wrong or an exporter that cannot keep up.
	Behind time.Duration
	Figures
}

// Instances are those that sent signals in the recent hour; of one service, or of all when it is empty. Their figures are of the time, as far as it is in the
// recent hour.
func (r *Room) Instances(ctx context.Context, namespace, service string, since, until time.Time) ([]InstanceFigures, Window, error) {
	g, err := r.gather(ctx, Question{Subject: AboutInstances, Namespace: namespace, Service: service, Since: since, Until: until})
	if err != nil {
		return nil, Window{}, err
	}
	answer := make([]InstanceFigures, 0, len(g.counts))
	for names, c := range g.counts {
		answer = append(answer, InstanceFigures{Service: names[0], Instance: names[1], Version: names[2], Lane: names[3], Release: names[4], Zone: c.zone,
			First: c.first, Last: c.last, Spans: c.spans, Late: c.late, Behind: c.behind, Figures: c.figures()})
	}
	slices.SortFunc(answer, func(a, b InstanceFigures) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Instance, b.Instance), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Lane, b.Lane), cmp.Compare(a.Release, b.Release))
	})
	return answer, g.window, nil
}
