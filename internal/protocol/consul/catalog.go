package consul

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/gantry-platform/gantry/internal/instance"
)

// catalog are the catalog's operations that read.
func (h *Handler) catalog() []route {
	return []route{
		{http.MethodGet, "catalog/datacenters", func(c *call) error { return c.json([]string{Datacenter}) }},
		{http.MethodGet, "catalog/nodes", (*call).catalogNodes},
		{http.MethodGet, "catalog/services", (*call).catalogServices},
		{http.MethodGet, "catalog/service/", (*call).catalogService},
		{http.MethodGet, "catalog/node/", (*call).catalogNode},
		{http.MethodGet, "catalog/node-services/", (*call).catalogNodeServices},
		{http.MethodGet, "coordinate/datacenters", func(c *call) error {
			return c.json([]map[string]any{{"Datacenter": Datacenter, "AreaID": "wan", "Coordinates": []any{}}})
		}},
		{http.MethodGet, "coordinate/nodes", func(c *call) error { c.stamp(1); return c.json([]any{}) }},
		{http.MethodGet, "coordinate/node/", func(c *call) error { c.stamp(1); return c.jsonStatus(http.StatusNotFound, []any{}) }},
	}
}

func (c *call) catalogNodes() error {
	if err := c.may(mayRead); err != nil {
		return err
	}
	revision, err := c.blockOnNamespace()
	if err != nil {
		return err
	}
	all := slices.DeleteFunc(c.handler.nodes(c.namespace).sorted(), func(n *node) bool { return !c.matches(n) })
	if all, err = filter(c, all); err != nil {
		return err
	}
	c.stamp(revision)
	return c.json(all)
}

// serviceTags is what services are filtered by: the fields of one instance and its node.
type serviceTags struct {
	ServiceName string
	ServiceTags []string
	ServiceMeta map[string]string
	Node        string
	NodeMeta    map[string]string
	Address     string
	ServiceID   string
}

func (c *call) catalogServices() error {
	if err := c.may(mayRead); err != nil {
		return err
	}
	revision, err := c.blockOnNamespace()
	if err != nil {
		return err
	}
	matches, err := matcher[serviceTags](c)
	if err != nil {
		return err
	}
	nodes := c.handler.nodes(c.namespace)
	services := make(map[string][]string)
	var failure error
	c.handler.each(c.namespace, func(name string, all []*entry) {
		tags, found := []string{}, false
		for _, e := range all {
			n := nodes.of(e)
			if !c.matches(n) {
				continue
			}
			if matches != nil {
				s := serviceTags{name, e.service.Tags, e.service.Meta, n.Node, n.Meta, n.Address, e.service.ID}
				match, err := matches(s)
				if failure = cmp.Or(failure, err); !match {
					continue
				}
			}
			tags, found = append(tags, e.service.Tags...), true
		}
		if found {
			slices.Sort(tags)
			services[name] = slices.Compact(tags)
		}
	})
	if failure != nil {
		return failure
	}
	c.stamp(revision)
	return c.json(services)
}

// instances are those of the service that the path names, with the tags that the call asks for, after the call's wait.
func (c *call) instances() ([]*entry, *nodes, int64, error) {
	name, revision, err := c.awaitService()
	if err != nil {
		return nil, nil, 0, err
	}
	all, nodes := c.chosen(name)
	return all, nodes, revision, nil
}

// awaitService is the name of the service that the path names, after the call's wait, and its revision.
func (c *call) awaitService() (name string, revision int64, err error) {
	if err := c.may(mayRead); err != nil {
		return "", 0, err
	}
	if name, err = c.name("service name"); err != nil {
		return "", 0, err
	}
	if len(name) > instance.MaxNameBytes*2 {
		return "", 0, invalid("service", "a name of %d bytes", len(name))
	}
	revision, err = c.blockOnService(serviceOf(c.namespace, name))
	return name, revision, err
}

// chosen are the instances of a service that the call's tags and metadata of nodes leave.
func (c *call) chosen(name string) ([]*entry, *nodes) {
	all, nodes := c.handler.find(c.namespace, name), c.handler.nodes(c.namespace)
	tags := slices.DeleteFunc(slices.Clone(c.query["tag"]), func(tag string) bool { return tag == "" })
	if len(tags) > 0 || len(c.nodeMeta) > 0 {
		all = slices.DeleteFunc(slices.Clone(all), func(e *entry) bool { return !e.tagged(tags) || !c.matches(nodes.of(e)) })
	}
	return c.nearFirst(all), nodes
}

// everything reports whether the call asks for all of a service, in no order, so that its answer is the same for everybody who does.
func (c *call) everything() bool {
	return len(c.query["tag"]) == 0 && len(c.nodeMeta) == 0 && c.near == "" && c.filter == ""
}

// nearFirst puts what is on the caller's own host first when it asks for what is near; nothing else is known of distances.
func (c *call) nearFirst(all []*entry) []*entry {
	if c.near == "" {
		return all
	}
	source := c.source()
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b *entry) int {
		near := func(e *entry) int {
			if e.instance.Address == source || e.extra.Source == source || e.extra.Node != "" && e.extra.Node == c.near {
				return 0
			}
			return 1
		}
		return near(a) - near(b)
	})
	return all
}

func (c *call) catalogService() error {
	all, nodes, revision, err := c.instances()
	if err != nil {
		return err
	}
	services := make([]catalogService, 0, len(all))
	for _, e := range all {
		services = append(services, e.service.catalog(nodes.of(e)))
	}
	if services, err = filter(c, services); err != nil {
		return err
	}
	c.stamp(revision)
	return c.json(services)
}

// onNode are the services of the node that the path names, after the call's wait; no node when there is none.
func (c *call) onNode() (*node, []*agentService, int64, error) {
	if err := c.may(mayRead); err != nil {
		return nil, nil, 0, err
	}
	name, err := c.name("node name")
	if err != nil {
		return nil, nil, 0, err
	}
	revision, err := c.blockOnNamespace()
	if err != nil {
		return nil, nil, 0, err
	}
	nodes := c.handler.nodes(c.namespace)
	n := nodes.byName[name]
	if n == nil {
		return nil, nil, revision, nil
	}
	services := []*agentService{}
	c.handler.each(c.namespace, func(_ string, all []*entry) {
		for _, e := range all {
			if nodes.of(e).Node == n.Node {
				services = append(services, &e.service)
			}
		}
	})
	slices.SortFunc(services, func(a, b *agentService) int {
		return cmp.Or(strings.Compare(a.ID, b.ID), strings.Compare(a.Service, b.Service))
	})
	services, err = filter(c, services)
	return n, services, revision, err
}

func (c *call) catalogNode() error {
	n, services, revision, err := c.onNode()
	if err != nil {
		return err
	}
	c.stamp(revision)
	if n == nil {
		return c.json(nil)
	}
	byID := make(map[string]*agentService, len(services))
	for _, s := range services {
		id := s.ID
		if _, taken := byID[id]; taken { // an id is unique in its service; here it must be among all
			id = s.Service + "/" + id
		}
		byID[id] = s
	}
	return c.json(map[string]any{"Node": n, "Services": byID})
}

func (c *call) catalogNodeServices() error {
	n, services, revision, err := c.onNode()
	if err != nil {
		return err
	}
	c.stamp(revision)
	if n == nil {
		return c.json(map[string]any{"Node": nil, "Services": []any{}})
	}
	return c.json(map[string]any{"Node": n, "Services": services})
}
