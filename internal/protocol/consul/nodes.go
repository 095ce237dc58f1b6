package consul

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/gantry-platform/gantry/internal/instance"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
)

// The service whose instances stand for nodes: the external ones, and the agent's own when something is said of it.
const (
	nodesGroup = "consul"
	nodesName  = "node"
)

func nodesService(namespace string) instance.Service {
	return instance.Service{Namespace: namespace, Group: nodesGroup, Name: nodesName}
}

// nodes are the nodes of a namespace by name, and their own checks, as of one moment.
type nodes struct {
	agent  *node
	byName map[string]*node
	checks map[string][]healthCheck
}

func (h *Handler) nodes(namespace string) *nodes {
	all := &nodes{byName: make(map[string]*node), checks: make(map[string][]healthCheck)}
	all.agent = h.agentNode()
	all.byName[h.Node] = all.agent
	all.checks[h.Node] = []healthCheck{{Node: h.Node, CheckID: "serfHealth", Name: "Serf Health Status", Status: statusPassing,
		Output: "Agent alive and reachable", ServiceTags: []string{}, CreateIndex: 1, ModifyIndex: 1}}
	for _, e := range entries(h.Instances.Lookup(nodesService(namespace))) {
		i := e.instance
		n := &node{ID: e.extra.NodeID, Node: e.service.ID, Address: i.Address, Datacenter: Datacenter, TaggedAddresses: e.extra.NodeAddresses,
			Meta: edge.Metadata(i), Locality: e.extra.Locality, CreateIndex: index(i.Modified), ModifyIndex: index(i.Modified)}
		if n.Node == h.Node {
			// What was said of the agent's node beside what it is.
			for key, value := range n.Meta {
				all.agent.Meta[key] = value
			}
			all.agent.ID = cmp.Or(n.ID, all.agent.ID)
			all.agent.ModifyIndex = n.ModifyIndex
		} else {
			all.byName[n.Node] = n
		}
		for _, check := range e.checks {
			check.Node, check.ServiceID, check.ServiceName, check.ServiceTags = n.Node, "", "", []string{}
			all.checks[n.Node] = append(all.checks[n.Node], check)
		}
	}
	return all
}

// agentNode is the one node that everything registered by the agent is on.
func (h *Handler) agentNode() *node {
	host := h.host()
	n := &node{ID: uuid.NewSHA1(uuid.NameSpaceDNS, []byte(h.Node+".node.consul")).String(), Node: h.Node, Address: host, Datacenter: Datacenter,
		TaggedAddresses: map[string]string{"lan": host, "wan": host},
		Meta:            map[string]string{"consul-network-segment": "", "consul-version": Version}, CreateIndex: 1, ModifyIndex: 1}
	if address, err := netip.ParseAddr(host); err == nil {
		family := "_ipv4"
		if address.Is6() && !address.Is4In6() {
			family = "_ipv6"
		}
		n.TaggedAddresses["lan"+family], n.TaggedAddresses["wan"+family] = host, host
	}
	return n
}

// host and port are where this node is reached by HTTP.
func (h *Handler) host() string {
	host, _ := splitAddress(h.Nodes()[0])
	return host
}

func (h *Handler) port() int {
	_, port := splitAddress(h.Nodes()[0])
	return port
}

func splitAddress(address string) (string, int) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address, 0
	}
	number, _ := strconv.Atoi(port) // a listener's port is a number
	return host, number
}

// of is the node of an instance. An external one whose record is gone has its name alone.
func (n *nodes) of(e *entry) *node {
	if e.extra.Node == "" {
		return n.agent
	}
	if found := n.byName[e.extra.Node]; found != nil {
		return found
	}
	return &node{Node: e.extra.Node, Datacenter: Datacenter, Address: e.instance.Address}
}

// checksOf are the checks that decide about an instance: its own, and those of its node when that is an external one. The
// agent's node stands for the whole cluster: what somebody registers for it says nothing about everybody's services.
func (n *nodes) checksOf(e *entry) []healthCheck {
	name := n.of(e).Node
	checks := make([]healthCheck, 0, len(e.checks)+1)
	if e.extra.Node == "" || name == n.agent.Node {
		checks = append(checks, n.checks[n.agent.Node][0])
	} else {
		checks = append(checks, n.checks[name]...)
	}
	return append(checks, n.own(e)...)
}

// own are an instance's own checks with its node.
func (n *nodes) own(e *entry) []healthCheck {
	checks := slices.Clone(e.checks)
	for at := range checks {
		checks[at].Node = n.of(e).Node
	}
	return checks
}

// sorted are the nodes by name.
func (n *nodes) sorted() []*node {
	all := make([]*node, 0, len(n.byName))
	for _, node := range n.byName {
		all = append(all, node)
	}
	slices.SortFunc(all, func(a, b *node) int { return strings.Compare(a.Node, b.Node) })
	return all
}

// matches reports whether a node has all of the metadata that the call asks for.
func (c *call) matches(n *node) bool {
	for key, value := range c.nodeMeta {
		if has, ok := n.Meta[key]; !ok || has != value {
			return false
		}
	}
	return true
}

// consulService is the service that every Consul has: its own servers.
func (h *Handler) consulService() *entry {
	return &entry{instance: &instance.Instance{Address: h.host()}, extra: new(extra), status: statusPassing,
		service: agentService{ID: "consul", Service: "consul", Tags: []string{}, Meta: map[string]string{"version": Version, "gantry": h.Version},
			Port: h.port(), Address: h.host(), Weights: weights{1, 1}, CreateIndex: 1, ModifyIndex: 1}}
}

// find returns the instances of a service by its name in Consul.
func (h *Handler) find(namespace, name string) []*entry {
	service := serviceOf(namespace, name)
	if isNodes(service) {
		return nil
	}
	found := entries(h.Instances.Lookup(service))
	if len(found) == 0 && service.Group == instance.Default && service.Name == "consul" {
		return []*entry{h.consulService()}
	}
	return found
}

// each visits the services of a namespace, Consul's own first, with their instances.
func (h *Handler) each(namespace string, visit func(name string, all []*entry)) {
	own := true
	for _, service := range h.Instances.Services(namespace) {
		if isNodes(service) {
			continue
		}
		found := entries(h.Instances.Lookup(service))
		if len(found) == 0 {
			continue // it has settings alone
		}
		if nameOf(service) == "consul" {
			own = false
		}
		visit(nameOf(service), found)
	}
	if own {
		visit("consul", []*entry{h.consulService()})
	}
}
