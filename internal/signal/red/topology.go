package red

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/gantry-platform/gantry/internal/signal"
)

// Graph is who called whom.
type Graph struct {
	Window
	// Nodes and Edges are sorted by name.
	Nodes []Node
	Edges []Edge
}

// Node is a service, something that services call, or a caller outside.
type Node struct {
	Name string
	// Type is "service", "database", "cache", "queue", "external", "user" or "unknown".
	Type string
	// Figures are of the calls to it; callers outside have none.
	Figures
}

// Edge is the calls of one caller to one callee over one protocol, as the caller saw them.
type Edge struct {
	Caller, Callee string
	// CalleeType is the type of the callee's node.
	CalleeType string
	Protocol   string
	Figures
}

// graphKey is an edge in texts.
type graphKey struct{ caller, callee, calleeType, protocol string }

// Topology answers who called whom within a time. Zero times are now and five minutes before.
func (r *Room) Topology(ctx context.Context, namespace string, since, until time.Time) (Graph, error) {
	w, err := r.window(since, until)
	if err != nil {
		return Graph{}, err
	}
	tallies := map[graphKey]*tally{}
	services := map[string]bool{}
	if n := r.namespace(namespace, false); n != nil {
		n.mu.RLock()
		for name := range n.services {
			services[name] = true
		}
		for key, e := range n.edges {
			t := &tally{}
			if r.recent(w, &e.outcomes, t); t.calls() > 0 {
				tallies[graphKey{key.caller.text, key.callee.text, key.calleeType.String(), key.protocol.text}] = t
			}
		}
		n.mu.RUnlock()
	}
	if w.FromSeries {
		err := r.increases(ctx, MetricEdges, namespace, "", w, func(l labels.Labels, outcome signal.Outcome, d *durations) {
			key := graphKey{l.Get("caller"), l.Get("callee"), l.Get("callee_type"), l.Get("protocol")}
			if tallies[key] == nil {
				tallies[key] = &tally{}
			}
			tallies[key][outcome].merge(d)
		})
		if err != nil {
			return Graph{}, err
		}
	}
	return graphOf(w, tallies, services), nil
}

// graphOf draws the graph. A name is a node once for each type that it was called as.
func graphOf(w Window, tallies map[graphKey]*tally, services map[string]bool) Graph {
	g := Graph{Window: w}
	type nodeKey struct{ name, kind string }
	nodes := map[nodeKey]*tally{}
	callees := map[string]string{} // a type for each name that was called
	for key, t := range tallies {
		g.Edges = append(g.Edges, Edge{Caller: key.caller, Callee: key.callee, CalleeType: key.calleeType, Protocol: key.protocol, Figures: t.figures(w.seconds())})
		node := nodeKey{key.callee, key.calleeType}
		if nodes[node] == nil {
			nodes[node] = &tally{}
		}
		for i := range t {
			nodes[node][i].merge(&t[i])
		}
		if callees[key.callee] == "" || key.calleeType == toService.String() {
			callees[key.callee] = key.calleeType
		}
	}
	for key := range tallies {
		kind := callerType(key.caller, callees, services)
		if node := (nodeKey{key.caller, kind}); nodes[node] == nil {
			nodes[node] = &tally{}
		}
	}
	for key, t := range nodes {
		g.Nodes = append(g.Nodes, Node{Name: key.name, Type: key.kind, Figures: t.figures(w.seconds())})
	}
	slices.SortFunc(g.Nodes, func(a, b Node) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Type, b.Type)) })
	slices.SortFunc(g.Edges, func(a, b Edge) int {
		return cmp.Or(cmp.Compare(a.Caller, b.Caller), cmp.Compare(a.Callee, b.Callee), cmp.Compare(a.CalleeType, b.CalleeType), cmp.Compare(a.Protocol, b.Protocol))
	})
	return g
}

// callerType is what a caller is: its label has no type.
func callerType(caller string, callees map[string]string, services map[string]bool) string {
	switch {
	case services[caller]:
		return toService.String()
	case callees[caller] != "":
		return callees[caller]
	case caller == user || caller == unknown:
		return caller
	case strings.Contains(caller, "/"):
		return toQueue.String() // a consumer's destination, whose producers send no spans
	default:
		return toService.String()
	}
}
