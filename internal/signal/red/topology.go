package red

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"
)

// Graph is who called whom.
type Graph struct {
	Window
	// Nodes and Edges are sorted by name.
	Nodes []Node
	Edges []Edge
	// Lanes are all in which something was called within the time, sorted, whichever was asked for.
	Lanes []string
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

// Topology answers who called whom within a time. Zero times are now and five minutes before.
func (r *Room) Topology(ctx context.Context, namespace string, since, until time.Time) (Graph, error) {
	return r.Lane(ctx, namespace, "", since, until)
}

// Lane answers who called whom in one lane of traffic; in all of them, and outside, when it is empty. A call is in the lane of the instance that served it. Where that
// is in none, or sends no spans, it is in the caller's.
func (r *Room) Lane(ctx context.Context, namespace, lane string, since, until time.Time) (Graph, error) {
	g, err := r.gather(ctx, Question{Subject: AboutEdges, Namespace: namespace, Lane: lane, Since: since, Until: until})
	if err != nil {
		return Graph{}, err
	}
	return g.graph(lane), nil
}

// graph draws the graph of a lane. A name is a node once for each type that it was called as.
func (g *gathered) graph(lane string) Graph {
	type nodeKey struct{ name, kind string }
	// A node that knows nothing of lanes answers with calls of all of them.
	maps.DeleteFunc(g.counts, func(names Names, _ *counted) bool { return names[laneName] != lane })
	drawn := Graph{Window: g.window, Lanes: slices.Sorted(maps.Keys(g.lanes))}
	nodes := map[nodeKey]*counted{}
	callees := map[string]string{} // a type for each name that was called
	for names, c := range g.counts {
		callee, kind := names[1], names[2]
		drawn.Edges = append(drawn.Edges, Edge{Caller: names[0], Callee: callee, CalleeType: kind, Protocol: names[3], Figures: c.figures()})
		node := nodeKey{callee, kind}
		if nodes[node] == nil {
			nodes[node] = &counted{}
		}
		nodes[node].merge(c)
		if callees[callee] == "" || kind == toService.String() {
			callees[callee] = kind
		}
	}
	for names := range g.counts {
		kind := callerType(names[0], callees, g.services)
		if node := (nodeKey{names[0], kind}); nodes[node] == nil {
			nodes[node] = &counted{}
		}
	}
	for key, c := range nodes {
		drawn.Nodes = append(drawn.Nodes, Node{Name: key.name, Type: key.kind, Figures: c.figures()})
	}
	slices.SortFunc(drawn.Nodes, func(a, b Node) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Type, b.Type)) })
	slices.SortFunc(drawn.Edges, func(a, b Edge) int {
		return cmp.Or(cmp.Compare(a.Caller, b.Caller), cmp.Compare(a.Callee, b.Callee), cmp.Compare(a.CalleeType, b.CalleeType), cmp.Compare(a.Protocol, b.Protocol))
	})
	return drawn
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
