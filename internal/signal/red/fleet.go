package red

import (
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/gantry-platform/gantry/internal/signal"
)

// namespace holds what was observed of one environment.
type namespace struct {
	room *Room
	name string
	// seed and mix keep the identities of namespaces apart, and senders from making ones that collide.
	seed maphash.Seed
	mix  mix

	mu       sync.RWMutex
	services map[string]*service
	names    map[string]*name
	edges    map[edgeKey]*edge
	// lanes are the names of lanes; laned is how many edges are of one.
	lanes    map[string]*name
	laned    int
	excesses map[excessKey]*Excess

	ranking ranking
}

type excessKey struct{ service, what string }

// maxExcesses bounds the list of excesses a namespace.
const maxExcesses = 1000

// exceeded notes that a limit was reached. The caller holds n.mu.
func (n *namespace) exceeded(service, what string, limit int, example string, now int64) {
	n.room.figures.excess.WithLabelValues(what).Inc()
	key := excessKey{service, what}
	e := n.excesses[key]
	if e == nil {
		if len(n.excesses) >= maxExcesses {
			return
		}
		e = &Excess{Namespace: n.name, Service: service, What: what, Limit: limit, Example: clean(example, maxNameBytes)}
		n.excesses[key] = e
		n.room.log.Warn("a limit of distinct names is reached; the rest is counted under "+other, "namespace", n.name, "service", service,
			"what", what, "limit", limit, "example", e.Example)
	}
	e.Turned++
	e.Last = time.UnixMilli(now)
}

// service is one service of a namespace.
type service struct {
	namespace *namespace
	name      *name
	touched   atomic.Int64 // milliseconds

	mu sync.RWMutex
	// endpoints by kind: 0 server, 1 consumer.
	endpoints [2]map[string]*endpoint
	instances map[instanceKey]*instance
	codes     map[string]*counter
}

// service finds or makes a service.
func (n *namespace) service(text string, now int64) *service {
	n.mu.RLock()
	s := n.services[text]
	n.mu.RUnlock()
	if s == nil {
		s = n.addService(clean(text, maxNameBytes), now)
	}
	if s.touched.Load() < now {
		s.touched.Store(now)
	}
	if s.name.used.Load() < now {
		s.name.used.Store(now)
	}
	return s
}

func (n *namespace) addService(text string, now int64) *service {
	if text == "" {
		text = "unknown_service"
	}
	n.mu.Lock()
	if s := n.services[text]; s != nil {
		n.mu.Unlock()
		return s
	}
	if len(n.services) >= n.room.limits.Services {
		n.exceeded("", "services", n.room.limits.Services, text, now)
		text = other
		if s := n.services[text]; s != nil {
			n.mu.Unlock()
			return s
		}
	}
	n.mu.Unlock()
	name := n.intern([]byte(text), now)
	n.mu.Lock()
	defer n.mu.Unlock()
	if s := n.services[name.text]; s != nil {
		return s
	}
	s := &service{namespace: n, name: name, endpoints: [2]map[string]*endpoint{{}, {}}, instances: map[instanceKey]*instance{}, codes: map[string]*counter{}}
	n.services[name.text] = s
	return s
}

// endpoint is what a service serves or consumes under one name.
type endpoint struct {
	service *service
	name    string
	kind    signal.Kind
	outcomes
}

func kindIndex(k signal.Kind) int {
	if k == signal.KindConsumer {
		return 1
	}
	return 0
}

func (e *endpoint) labels(node string, outcome signal.Outcome) labels.Labels {
	return labels.FromStrings(model.MetricNameLabel, MetricRequests, "namespace", e.service.namespace.name, "service", e.service.name.text,
		"endpoint", e.name, "kind", e.kind.String(), "outcome", outcome.String(), "node", node)
}

// endpoint finds or makes an endpoint.
func (s *service) endpoint(kind signal.Kind, text []byte, now int64) *endpoint {
	k := kindIndex(kind)
	s.mu.RLock()
	e := s.endpoints[k][string(text)]
	s.mu.RUnlock()
	if e != nil {
		return e
	}
	if e, full := s.addEndpoint(kind, string(text)); !full {
		return e
	}
	n := s.namespace
	n.mu.Lock()
	n.exceeded(s.name.text, "endpoints", n.room.limits.Endpoints, string(text), now)
	n.mu.Unlock()
	e, _ = s.addEndpoint(kind, other)
	return e
}

func (s *service) addEndpoint(kind signal.Kind, text string) (e *endpoint, full bool) {
	k := kindIndex(kind)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.endpoints[k][text]; e != nil {
		return e, false
	}
	if len(s.endpoints[0])+len(s.endpoints[1]) >= s.namespace.room.limits.Endpoints && text != other {
		return nil, true
	}
	e = &endpoint{service: s, name: text, kind: kind}
	s.endpoints[k][text] = e
	return e, false
}

type instanceKey struct{ id, version, lane, release string }

// instance is a running copy of a service, with one version in one lane.
type instance struct {
	service *service
	key     instanceKey
	zone    string
	first   int64
	// touched is when it sent anything, spans the number of spans, late those that came too late; skew is how far behind the end of the last span
	// was when it arrived, in milliseconds, which shows a clock that is wrong.
	touched, skew atomic.Int64
	spans, late   atomic.Uint64
	outcomes
}

func (i *instance) labels(node string, outcome signal.Outcome) labels.Labels {
	// A label without value is none: what is not known is left out, as Prometheus does.
	return labels.NewBuilder(labels.EmptyLabels()).Set(model.MetricNameLabel, MetricInstances).Set("namespace", i.service.namespace.name).
		Set("service", i.service.name.text).Set("instance", i.key.id).Set("version", i.key.version).Set("lane", i.key.lane).
		Set("release", i.key.release).Set("outcome", outcome.String()).Set("node", node).Labels()
}

func (s *service) instance(r *signal.Resource, now int64) *instance {
	key := instanceKey{r.Instance, r.Version, r.Lane, r.Release}
	s.mu.RLock()
	i := s.instances[key]
	s.mu.RUnlock()
	if i == nil {
		i = s.addInstance(key, r.Zone, now)
	}
	if i.touched.Load() < now {
		i.touched.Store(now)
	}
	return i
}

func (s *service) addInstance(key instanceKey, zone string, now int64) *instance {
	key = instanceKey{cloned(key.id), cloned(key.version), cloned(key.lane), cloned(key.release)}
	s.mu.Lock()
	i, full := s.instances[key], false
	if i == nil && len(s.instances) >= s.namespace.room.limits.Instances {
		full = true
		i = s.instances[instanceKey{id: other}]
	}
	if i == nil {
		excess := key.id
		if full {
			key, zone = instanceKey{id: other}, ""
		}
		i = &instance{service: s, key: key, zone: cloned(zone), first: now}
		s.instances[key] = i
		key.id = excess
	}
	s.mu.Unlock()
	if full {
		n := s.namespace
		n.mu.Lock()
		n.exceeded(s.name.text, "instances", n.room.limits.Instances, key.id, now)
		n.mu.Unlock()
	}
	return i
}

// edgeKey is who calls whom, in which lane.
type edgeKey struct {
	caller, callee, protocol *name
	lane                     *name // nil for none, as for all calls of a fleet without lanes
	calleeType               calleeType
}

// edge counts the calls of one caller to one callee.
type edge struct {
	namespace *namespace
	key       edgeKey
	outcomes
}

func (e *edge) labels(node string, outcome signal.Outcome) labels.Labels {
	words := []string{model.MetricNameLabel, MetricEdges, "namespace", e.namespace.name, "caller", e.key.caller.text, "callee", e.key.callee.text,
		"callee_type", e.key.calleeType.String(), "protocol", e.key.protocol.text, "outcome", outcome.String(), "node", node}
	if e.key.lane != nil { // without one the series is the same as if there were no lanes
		words = append(words, "lane", e.key.lane.text)
	}
	return labels.FromStrings(words...)
}

// lanedShare is the part of the limit of edges that those of lanes may fill: many lanes must not push out who calls whom.
const lanedShare = 2

// lane is the kept name of a lane; nil for none. Lanes beyond the limit share one.
func (n *namespace) lane(text string, now int64) *name {
	if text == "" {
		return nil
	}
	n.mu.RLock()
	known := n.lanes[text]
	n.mu.RUnlock()
	if known == nil {
		known = n.addLane(clean(strings.Clone(text), maxNameBytes), now)
	}
	if known.used.Load() < now {
		known.used.Store(now)
	}
	return known
}

func (n *namespace) addLane(text string, now int64) *name {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.lanes[text] == nil && len(n.lanes) >= n.room.limits.Lanes && text != other {
		n.exceeded("", "lanes", n.room.limits.Lanes, text, now)
		text = other
	}
	known := n.lanes[text]
	if known == nil {
		known = &name{namespace: n, text: text}
		n.lanes[text] = known
	}
	return known
}

func (n *namespace) edge(key edgeKey, now int64) *edge {
	n.mu.RLock()
	e := n.edges[key]
	n.mu.RUnlock()
	if e != nil {
		return e
	}
	n.mu.Lock()
	if most := n.room.limits.Edges / lanedShare; key.lane != nil && key.lane.text != other && n.edges[key] == nil && n.laned >= most {
		n.exceeded("", "edges in lanes", most, key.lane.text, now)
		n.mu.Unlock()
		key.lane = n.addLane(other, now)
		return n.edge(key, now)
	}
	full := n.edges[key] == nil && len(n.edges) >= n.room.limits.Edges
	if full {
		n.exceeded(key.caller.text, "edges", n.room.limits.Edges, key.callee.text, now)
	}
	n.mu.Unlock()
	if full {
		o := n.intern([]byte(other), now)
		key = edgeKey{caller: o, callee: o, protocol: o, calleeType: key.calleeType}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if e := n.edges[key]; e != nil {
		return e
	}
	e = &edge{namespace: n, key: key}
	n.edges[key] = e
	if key.lane != nil {
		n.laned++
	}
	return e
}
