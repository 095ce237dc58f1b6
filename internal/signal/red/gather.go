package red

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/gantry-platform/gantry/internal/signal"
)

// gathered is what was counted, by name, before it becomes figures: first by one node, then by all of them together.
type gathered struct {
	window   Window
	counts   map[Names]*counted
	services map[string]bool
	lanes    map[string]bool
	errors   map[groupKey]ErrorGroup
	unlisted uint64
	excesses map[excessKey]Excess
}

// counted is a Count that can be added to.
type counted struct {
	tally
	// rate is the sum of the nodes' own: each may know a different time.
	rate                 float64
	instances, endpoints []uint64
	zone                 string
	first, last          time.Time
	behind               time.Duration
	spans, late          uint64
}

func gatheredOf(w Window) *gathered {
	return &gathered{window: w, counts: map[Names]*counted{}, services: map[string]bool{}, lanes: map[string]bool{}, errors: map[groupKey]ErrorGroup{}, excesses: map[excessKey]Excess{}}
}

// of finds or makes what is counted under some names.
func (g *gathered) of(names Names) *counted {
	c := g.counts[names]
	if c == nil {
		c = &counted{}
		g.counts[names] = c
	}
	return c
}

// rates works out the rates of one node.
func (g *gathered) rates() {
	seconds := max(g.window.seconds(), 1)
	for _, c := range g.counts {
		c.rate = float64(c.calls()) / seconds
	}
}

func (c *counted) figures() Figures { return c.tally.figures(c.rate) }

// gather asks this node and all others side by side. An error of this one is the question's; another that does not answer is named in the window.
func (r *Room) gather(ctx context.Context, q Question) (*gathered, error) {
	if _, err := r.windowOf(q); err != nil {
		return nil, err // nobody needs to be asked
	}
	var others map[string]Counter
	if r.others != nil {
		others = r.others()
	}
	names := make([]string, 0, len(others))
	for name := range others {
		names = append(names, name)
	}
	slices.Sort(names) // sums of fractions depend on their order
	parts := make([]*gathered, len(names))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() {
			part, err := others[name].Count(ctx, q)
			if err == nil {
				parts[i], err = part.gathered()
			}
			if err != nil {
				r.log.Debug("another node does not answer what it counted", "node", name, "error", err)
			}
		})
	}
	g, err := r.own(ctx, q)
	if err != nil {
		cancel()
	}
	all.Wait()
	if err != nil {
		return nil, err
	}
	for i, part := range parts {
		if part == nil {
			g.window.Missing = append(g.window.Missing, names[i])
			continue
		}
		g.merge(part)
	}
	g.window.Partial = g.window.Partial || len(g.window.Missing) > 0
	return g, nil
}

// Count implements [Counter]: what this node alone counted.
func (r *Room) Count(ctx context.Context, q Question) (Part, error) {
	g, err := r.own(ctx, q)
	if err != nil {
		return Part{}, err
	}
	return g.part(), nil
}

// own is what this node counted: what is in memory, and what is older from its own series.
func (r *Room) own(ctx context.Context, q Question) (*gathered, error) {
	w, err := r.windowOf(q)
	if err != nil {
		return nil, err
	}
	g := gatheredOf(w)
	if n := r.namespace(q.Namespace, false); n != nil {
		switch q.Subject {
		case AboutEdges:
			n.addEdges(q.Lane, g)
		case AboutServices, AboutEndpoints, AboutInstances:
			n.addServices(q, g)
		case AboutErrors:
			var all []ErrorGroup
			all, g.unlisted = n.ranking.top(q.Service, minuteOf(w.Until))
			for _, e := range all {
				g.errors[groupKey{e.Service, e.Code, e.Fingerprint}] = e
			}
		case AboutExcesses:
			n.addExcesses(g)
		}
	}
	if w.FromSeries {
		if err := r.addOlder(ctx, q, g); err != nil {
			return nil, err
		}
	}
	g.rates()
	return g, nil
}

// addEdges adds who called whom: in one lane, or in all when it is empty.
func (n *namespace) addEdges(asked string, g *gathered) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	for name := range n.services {
		g.services[name] = true
	}
	for key, e := range n.edges {
		lane := ""
		if key.lane != nil {
			lane = key.lane.text
		}
		c := &counted{}
		if n.room.recent(g.window, &e.outcomes, &c.tally); c.calls() > 0 {
			g.addEdge(Names{key.caller.text, key.callee.text, key.calleeType.String(), key.protocol.text}, lane, asked, &c.tally)
		}
	}
}

// addEdge adds calls in a lane, if that is asked for.
func (g *gathered) addEdge(names Names, lane, asked string, t *tally) {
	if lane != "" {
		g.lanes[lane] = true
	}
	if asked != "" && lane != asked {
		return
	}
	names[laneName] = asked
	c := g.of(names)
	for i := range t {
		c.tally[i].merge(&t[i])
	}
}

// laneName is which name of an edge is its lane.
const laneName = 4

func (n *namespace) addServices(q Question, g *gathered) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	for _, s := range n.services {
		if q.Subject != AboutServices && q.Service != "" && s.name.text != q.Service {
			continue
		}
		s.mu.RLock()
		switch q.Subject {
		case AboutServices:
			s.addFigures(g)
		case AboutEndpoints:
			s.addEndpoints(g)
		default:
			s.addInstances(g)
		}
		s.mu.RUnlock()
	}
}

// addFigures adds a service as a whole. The caller holds its lock.
func (s *service) addFigures(g *gathered) {
	c := g.of(Names{s.name.text})
	c.last = time.UnixMilli(s.touched.Load())
	for key, i := range s.instances {
		if i.touched.Load() >= g.window.Since.UnixMilli() {
			c.instances = append(c.instances, hashOf(key.id, key.version, key.lane, key.release))
		}
	}
	for _, endpoints := range s.endpoints {
		for _, e := range endpoints {
			c.endpoints = append(c.endpoints, hashOf(e.name, e.kind.String()))
			s.namespace.room.recent(g.window, &e.outcomes, &c.tally)
		}
	}
}

// hashOf is one number of some names, the same on all nodes.
func hashOf(names ...string) uint64 {
	var d xxhash.Digest
	d.Reset()
	for _, name := range names {
		_, _ = d.WriteString(name)
		_, _ = d.Write([]byte{0})
	}
	return d.Sum64()
}

func (s *service) addEndpoints(g *gathered) {
	for _, endpoints := range s.endpoints {
		for _, e := range endpoints {
			c := &counted{}
			if s.namespace.room.recent(g.window, &e.outcomes, &c.tally); c.calls() > 0 {
				g.counts[Names{s.name.text, e.name, e.kind.String()}] = c
			}
		}
	}
}

func (s *service) addInstances(g *gathered) {
	for _, i := range s.instances {
		c := g.of(Names{s.name.text, i.key.id, i.key.version, i.key.lane, i.key.release})
		c.zone, c.first, c.last = i.zone, time.UnixMilli(i.first), time.UnixMilli(i.touched.Load())
		c.spans, c.late, c.behind = i.spans.Load(), i.late.Load(), time.Duration(i.skew.Load())*time.Millisecond
		s.namespace.room.recent(g.window, &i.outcomes, &c.tally)
	}
}

func (n *namespace) addExcesses(g *gathered) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	for key, e := range n.excesses {
		g.excesses[key] = *e
	}
}

// addOlder adds what memory does not know.
func (r *Room) addOlder(ctx context.Context, q Question, g *gathered) error {
	metric, service, names := MetricRequests, "", []string{"service"}
	switch q.Subject {
	case AboutEdges:
		metric, names = MetricEdges, []string{"caller", "callee", "callee_type", "protocol"}
	case AboutEndpoints:
		service, names = q.Service, []string{"service", "endpoint", "kind"}
	}
	return r.increases(ctx, metric, q.Namespace, service, g.window, func(l labels.Labels, outcome signal.Outcome, d *durations) {
		var key Names
		for i, name := range names {
			key[i] = l.Get(name)
		}
		if q.Subject == AboutEdges {
			var t tally
			t[outcome].merge(d)
			g.addEdge(key, l.Get("lane"), q.Lane, &t)
			return
		}
		g.of(key).tally[outcome].merge(d)
	})
}

// merge adds what another node counted. It is used up.
func (g *gathered) merge(o *gathered) {
	if !o.window.Since.IsZero() && o.window.Since.Before(g.window.Since) {
		g.window.Since = o.window.Since
	}
	g.window.FromSeries = g.window.FromSeries || o.window.FromSeries
	g.window.Partial = g.window.Partial || o.window.Partial
	for names, c := range o.counts {
		if known := g.counts[names]; known != nil {
			known.merge(c)
		} else {
			g.counts[names] = c
		}
	}
	for name := range o.services {
		g.services[name] = true
	}
	for name := range o.lanes {
		g.lanes[name] = true
	}
	g.mergeErrors(o)
	for key, e := range o.excesses {
		if known, ok := g.excesses[key]; ok {
			if known.Last.After(e.Last) {
				e.Example, e.Last = known.Example, known.Last
			}
			e.Turned += known.Turned
			e.Limit = max(e.Limit, known.Limit)
		}
		g.excesses[key] = e
	}
}

func (c *counted) merge(o *counted) {
	for i := range c.tally {
		c.tally[i].merge(&o.tally[i])
	}
	c.rate += o.rate
	c.instances, c.endpoints = append(c.instances, o.instances...), append(c.endpoints, o.endpoints...)
	c.spans, c.late = c.spans+o.spans, c.late+o.late
	if c.first.IsZero() || !o.first.IsZero() && o.first.Before(c.first) {
		c.first = o.first
	}
	// The latest span says where the instance is and how far behind it is now. Of two at once the order of nodes must not decide.
	if newer := o.last.Compare(c.last); newer > 0 || newer == 0 && cmp.Or(cmp.Compare(o.behind, c.behind), cmp.Compare(o.zone, c.zone)) > 0 {
		c.last, c.behind, c.zone = o.last, o.behind, cmp.Or(o.zone, c.zone)
	}
}

// distinct is how many hashes there are.
func distinct(hashes []uint64) int {
	slices.Sort(hashes)
	return len(slices.Compact(hashes))
}

// mergeErrors adds up groups of the same name. A group that one side does not list may have had errors there all the same, if there are that many groups (Agarwal et al.:
// Mergeable summaries, 2012).
func (g *gathered) mergeErrors(o *gathered) {
	for key, known := range g.errors {
		if _, both := o.errors[key]; !both {
			known.Count, known.Uncertain = known.Count+o.unlisted, known.Uncertain+o.unlisted
			g.errors[key] = known
		}
	}
	for key, e := range o.errors {
		known, both := g.errors[key]
		if !both {
			e.Count, e.Uncertain = e.Count+g.unlisted, e.Uncertain+g.unlisted
			g.errors[key] = e
			continue
		}
		latest, earlier := e, known
		if known.Last.After(e.Last) {
			latest, earlier = known, e
		}
		latest.Count, latest.Uncertain = known.Count+e.Count, known.Uncertain+e.Uncertain
		if earlier.First.Before(latest.First) {
			latest.First = earlier.First
		}
		if latest.Trace.IsZero() {
			latest.Trace = earlier.Trace
		}
		g.errors[key] = latest
	}
	g.unlisted += o.unlisted
}

// part is what was gathered, for another node.
func (g *gathered) part() Part {
	p := Part{Window: g.window, Unlisted: g.unlisted}
	for names, c := range g.counts {
		one := Count{Names: names, Instances: c.instances, Endpoints: c.endpoints, Zone: c.zone, First: c.first, Last: c.last, Behind: c.behind, Spans: c.spans, Late: c.late}
		for i := range c.tally {
			one.Outcomes[i] = c.tally[i].buckets()
		}
		p.Counts = append(p.Counts, one)
	}
	for name := range g.services {
		p.Services = append(p.Services, name)
	}
	for name := range g.lanes {
		p.Lanes = append(p.Lanes, name)
	}
	for _, e := range g.errors {
		p.Errors = append(p.Errors, e)
	}
	for _, e := range g.excesses {
		p.Excesses = append(p.Excesses, e)
	}
	return p
}

// gathered is what another node sent. It is refused as a whole when something in it cannot be.
func (p *Part) gathered() (*gathered, error) {
	g := gatheredOf(p.Window)
	g.unlisted = p.Unlisted
	for i := range p.Counts {
		one := &p.Counts[i]
		c := g.of(one.Names)
		for j := range one.Outcomes {
			if err := c.tally[j].addBuckets(&one.Outcomes[j]); err != nil {
				return nil, err
			}
		}
		c.instances, c.endpoints, c.zone, c.first, c.last = one.Instances, one.Endpoints, one.Zone, one.First, one.Last
		c.behind, c.spans, c.late = one.Behind, one.Spans, one.Late
	}
	for _, name := range p.Services {
		g.services[name] = true
	}
	for _, name := range p.Lanes {
		g.lanes[name] = true
	}
	for _, e := range p.Errors {
		g.errors[groupKey{e.Service, e.Code, e.Fingerprint}] = e
	}
	for _, e := range p.Excesses {
		g.excesses[excessKey{e.Service, e.What}] = e
	}
	g.rates()
	return g, nil
}
