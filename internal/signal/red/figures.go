package red

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"

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

func (t *tally) figures(seconds float64) Figures {
	var all durations
	for i := range t {
		all.merge(&t[i])
	}
	f := Figures{Calls: all.total, Refused: t[signal.Refused].total, Failed: t[signal.Failed].total, P50: inTime(all.quantile(0.5)), P95: inTime(all.quantile(0.95)),
		P99: inTime(all.quantile(0.99)), Max: inTime(all.highest())}
	if all.total > 0 {
		f.Mean = inTime(all.sum / float64(all.total))
		f.Rate = float64(all.total) / max(seconds, 1)
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
	// Partial says that the answer begins later than asked for, at Since: nothing older is known.
	Partial bool

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
	case minute <= minuteOf(since):
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
	w, err := r.window(since, until)
	if err != nil {
		return nil, w, err
	}
	all := map[string]*ServiceFigures{}
	tallies := map[string]*tally{}
	n := r.namespace(namespace, false)
	if n != nil {
		n.mu.RLock()
		for _, s := range n.services {
			f := &ServiceFigures{Service: s.name.text, Last: time.UnixMilli(s.touched.Load())}
			t := &tally{}
			s.mu.RLock()
			f.Endpoints = len(s.endpoints[0]) + len(s.endpoints[1])
			for _, i := range s.instances {
				if i.touched.Load() >= w.Since.UnixMilli() {
					f.Instances++
				}
			}
			for _, endpoints := range s.endpoints {
				for _, e := range endpoints {
					r.recent(w, &e.outcomes, t)
				}
			}
			s.mu.RUnlock()
			all[f.Service], tallies[f.Service] = f, t
		}
		n.mu.RUnlock()
	}
	if w.FromSeries {
		err := r.increases(ctx, MetricRequests, namespace, "", w, func(l labels.Labels, outcome signal.Outcome, d *durations) {
			name := l.Get("service")
			if all[name] == nil {
				all[name], tallies[name] = &ServiceFigures{Service: name}, &tally{}
			}
			tallies[name][outcome].merge(d)
		})
		if err != nil {
			return nil, w, err
		}
	}
	answer := make([]ServiceFigures, 0, len(all))
	for name, f := range all {
		f.Figures = tallies[name].figures(w.seconds())
		answer = append(answer, *f)
	}
	slices.SortFunc(answer, func(a, b ServiceFigures) int { return cmp.Compare(a.Service, b.Service) })
	return answer, w, nil
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
	w, err := r.window(since, until)
	if err != nil {
		return nil, w, err
	}
	type key struct {
		service, endpoint string
		kind              signal.Kind
	}
	tallies := map[key]*tally{}
	if w.FromSeries {
		err := r.increases(ctx, MetricRequests, namespace, service, w, func(l labels.Labels, outcome signal.Outcome, d *durations) {
			kind, _ := signal.ParseKind(l.Get("kind"))
			k := key{l.Get("service"), l.Get("endpoint"), kind}
			if tallies[k] == nil {
				tallies[k] = &tally{}
			}
			tallies[k][outcome].merge(d)
		})
		if err != nil {
			return nil, w, err
		}
	}
	if n := r.namespace(namespace, false); n != nil {
		n.mu.RLock()
		for _, s := range n.services {
			if service != "" && s.name.text != service {
				continue
			}
			s.mu.RLock()
			for _, endpoints := range s.endpoints {
				for _, e := range endpoints {
					k := key{s.name.text, e.name, e.kind}
					t := tallies[k]
					if t == nil {
						t = &tally{}
					}
					if r.recent(w, &e.outcomes, t); t.calls() > 0 {
						tallies[k] = t
					}
				}
			}
			s.mu.RUnlock()
		}
		n.mu.RUnlock()
	}
	answer := make([]EndpointFigures, 0, len(tallies))
	for k, t := range tallies {
		answer = append(answer, EndpointFigures{Service: k.service, Endpoint: k.endpoint, Kind: k.kind, Figures: t.figures(w.seconds())})
	}
	slices.SortFunc(answer, func(a, b EndpointFigures) int { return compareEndpoints(order, &a, &b) })
	if limit > 0 && len(answer) > limit {
		answer = answer[:limit]
	}
	return answer, w, nil
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
func (r *Room) Instances(namespace, service string, since, until time.Time) ([]InstanceFigures, Window, error) {
	w, err := r.window(since, until)
	if err != nil {
		return nil, w, err
	}
	n := r.namespace(namespace, false)
	if n == nil {
		return nil, w, nil
	}
	if w.FromSeries {
		w.Since, w.FromSeries, w.Partial = w.seam, false, true
	}
	var answer []InstanceFigures
	n.mu.RLock()
	for _, s := range n.services {
		if service != "" && s.name.text != service {
			continue
		}
		s.mu.RLock()
		for _, i := range s.instances {
			t := &tally{}
			r.recent(w, &i.outcomes, t)
			answer = append(answer, InstanceFigures{Service: s.name.text, Instance: i.key.id, Version: i.key.version, Lane: i.key.lane, Release: i.key.release,
				Zone: i.zone, First: time.UnixMilli(i.first), Last: time.UnixMilli(i.touched.Load()), Spans: i.spans.Load(), Late: i.late.Load(),
				Behind: time.Duration(i.skew.Load()) * time.Millisecond, Figures: t.figures(w.seconds())})
		}
		s.mu.RUnlock()
	}
	n.mu.RUnlock()
	slices.SortFunc(answer, func(a, b InstanceFigures) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Instance, b.Instance), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Lane, b.Lane), cmp.Compare(a.Release, b.Release))
	})
	return answer, w, nil
}
