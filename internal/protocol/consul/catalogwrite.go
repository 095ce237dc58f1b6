package consul

import (
	"cmp"
	"errors"
	"maps"
	"net/http"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// catalogWrites are the operations of tools that register what has no agent: external nodes and their services. They are persistent instances
// whose checks are what the tool says of them.
func (h *Handler) catalogWrites() []route {
	return []route{
		{http.MethodPut, "catalog/register", (*call).catalogRegister},
		{http.MethodPut, "catalog/deregister", (*call).catalogDeregister},
	}
}

// nodeDefinition is what the catalog registers at once.
type nodeDefinition struct {
	ID, Node, Address, Datacenter string
	TaggedAddresses               map[string]string
	NodeMeta                      map[string]string
	Locality                      *locality
	Service                       *serviceDefinition
	Check                         *checkDefinition
	Checks                        []*checkDefinition
	SkipNodeUpdate                bool
	ServiceID, CheckID            string // of a deregistration
}

func (c *call) node() (*nodeDefinition, error) {
	if err := c.may(access.Serve | access.Operate); err != nil {
		return nil, err
	}
	d := new(nodeDefinition)
	if err := c.body(d); err != nil {
		return nil, err
	}
	if d.Node == "" {
		return nil, invalid("Node", "Must provide node").Hinted("name the node")
	}
	if d.Datacenter != "" && d.Datacenter != Datacenter {
		return nil, fault.New(fault.Unavailable, "consul.datacenter", "No path to datacenter").At("Datacenter").Hinted("there is %q alone", Datacenter)
	}
	return d, nil
}

// externalID is the id of the instance that stands for a service on a node: neither is unique without the other.
func externalID(node, service string) string { return node + "/" + service }

func (c *call) catalogRegister() error {
	d, err := c.node()
	if err != nil {
		return err
	}
	if d.SkipNodeUpdate && d.Address == "" { // the node is there already, or comes later
		if i := c.handler.Instances.Instance(nodesService(c.namespace), d.Node); i != nil {
			d.Address = i.Address
		} else if d.Node == c.handler.Node {
			d.Address = c.handler.host()
		}
	}
	if d.Address == "" && !d.SkipNodeUpdate {
		return invalid("Address", "Must provide node and address").Hinted("send the node's address")
	}
	if d.Check != nil {
		d.Checks = append([]*checkDefinition{d.Check}, d.Checks...)
	}
	ofNode, ofService := []*checkDefinition{}, map[string][]*checkDefinition{}
	for _, check := range d.Checks {
		switch {
		case check == nil:
		case check.ServiceID == "":
			ofNode = append(ofNode, check)
		default:
			ofService[check.ServiceID] = append(ofService[check.ServiceID], check)
		}
	}
	if err := c.registerNode(d, ofNode); err != nil {
		return err
	}
	if d.Service != nil {
		d.Service.ID = cmp.Or(d.Service.ID, d.Service.Service, d.Service.Name)
		if err := c.registerExternal(d, ofService[d.Service.ID]); err != nil {
			return err
		}
		delete(ofService, d.Service.ID)
	}
	for id, checks := range ofService {
		if err := c.registerExternalChecks(d.Node, id, checks); err != nil {
			return err
		}
	}
	return c.json(true)
}

// registerNode adds or changes a node with its own checks.
func (c *call) registerNode(d *nodeDefinition, checks []*checkDefinition) error {
	known := c.handler.Instances.Instance(nodesService(c.namespace), d.Node) != nil || d.Node == c.handler.Node
	if d.SkipNodeUpdate && (known || d.Address == "") && len(checks) == 0 {
		return nil
	}
	reported, words, err := external(checks)
	if err != nil {
		return err
	}
	err = c.changeNode(d.Node, d.Address, func(m *gantryv1.Instance, x *extra) error {
		for _, check := range reported {
			put(m, check)
		}
		maps.Copy(x.Checks, words)
		if d.SkipNodeUpdate && known {
			return nil
		}
		m.Address, m.Metadata = d.Address, d.NodeMeta
		x.NodeID, x.NodeAddresses, x.Locality = d.ID, d.TaggedAddresses, d.Locality
		return nil
	})
	if err != nil {
		return err
	}
	return c.reportAll(nodesService(c.namespace), d.Node, checks)
}

// external makes checks that have the status that they are registered with.
func external(checks []*checkDefinition) ([]*gantryv1.Check, map[string]checkWords, error) {
	all, words := make([]*gantryv1.Check, 0, len(checks)), make(map[string]checkWords, len(checks))
	for _, d := range checks {
		id := d.checkID()
		status, err := initial(cmp.Or(d.Status, statusCritical))
		if err != nil {
			return nil, nil, err
		}
		if id == "" {
			return nil, nil, invalid("Check.CheckID", "Missing check id").Hinted("send CheckID or Name")
		}
		all = append(all, &gantryv1.Check{Id: id, Initial: status, Probe: &gantryv1.Check_Ttl{Ttl: &gantryv1.TTLProbe{}}})
		words[id] = checkWords{Name: cmp.Or(d.Name, id), Notes: d.Notes}
	}
	return all, words, nil
}

func (d *checkDefinition) checkID() string { return cmp.Or(d.CheckID, d.ID, d.Name) }

// reportAll brings the checks of an instance to what a registration says of them, where they are not there yet.
func (c *call) reportAll(service instance.Service, id string, checks []*checkDefinition) error {
	for _, d := range checks {
		status, err := initial(cmp.Or(d.Status, statusCritical))
		if err != nil {
			return err
		}
		report := instance.CheckReport{Service: service, ID: id, Check: d.checkID(), Status: status, Output: d.Output}
		if d.Output == "" && hasStatus(c.handler.Instances.Instance(service, id), report) {
			continue
		}
		if err := c.handler.Instances.ReportCheck(c.ctx, report); err != nil {
			return err
		}
	}
	return nil
}

func hasStatus(i *instance.Instance, report instance.CheckReport) bool {
	if i == nil {
		return false
	}
	for _, state := range i.CheckStates() {
		if state.ID == report.Check {
			return state.Status == report.Status
		}
	}
	return false
}

// registerExternal adds or replaces a service on a node.
func (c *call) registerExternal(d *nodeDefinition, checks []*checkDefinition) error {
	name := cmp.Or(d.Service.Service, d.Service.Name)
	if name == "" {
		return invalid("Service.Service", "Must provide service name").Hinted("name the service")
	}
	service := serviceOf(c.namespace, name)
	m := &gantryv1.Instance{Id: externalID(d.Node, d.Service.ID), Address: cmp.Or(d.Service.Address, d.Address)}
	x := &extra{ID: d.Service.ID, Node: d.Node, Source: c.source(), NoAddress: d.Service.Address == ""}
	if err := d.Service.fill(m, x); err != nil {
		return err
	}
	m.Labels = edge.Labels(d.Service.Meta)
	var err error
	if m.Checks, x.Checks, err = external(checks); err != nil {
		return err
	}
	for _, before := range c.externals(d.Node, d.Service.ID) {
		if before.service == service {
			keepChecks(m, x, before.entry)
		} else if _, err := c.handler.Instances.Deregister(c.ctx, before.service, before.instance.ID); err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
	}
	if err := x.keep(m); err != nil {
		return err
	}
	if _, err := c.handler.Instances.Register(c.ctx, instance.Registration{Service: service, Instance: m, Protocol: Protocol}); err != nil {
		return err
	}
	return c.reportAll(service, m.Id, checks)
}

// externals are the services of an id on a node: one, but for a moment.
func (c *call) externals(node, id string) []found {
	return c.locate(c.handler.Instances.Named(c.namespace, externalID(node, id)))
}

func (c *call) registerExternalChecks(node, id string, checks []*checkDefinition) error {
	all := c.externals(node, id)
	if len(all) == 0 {
		return invalid("Check.ServiceID", "there is no service %q on node %q", cut(id), cut(node)).Hinted("register the service first, or with its checks")
	}
	reported, words, err := external(checks)
	if err != nil {
		return err
	}
	f := all[0]
	_, err = c.handler.Instances.Edit(c.ctx, f.service, f.instance.ID, func(m *gantryv1.Instance) error {
		return edit(m, func(m *gantryv1.Instance, x *extra) error {
			for _, check := range reported {
				put(m, check)
			}
			maps.Copy(x.Checks, words)
			return nil
		})
	})
	if err != nil {
		return err
	}
	return c.reportAll(f.service, f.instance.ID, checks)
}

// catalogDeregister removes a check, a service with its checks, or a node with everything on it. What is not there is no error.
func (c *call) catalogDeregister() error {
	d, err := c.node()
	if err != nil {
		return err
	}
	switch {
	case d.ServiceID != "":
		err = c.removeAll(c.externals(d.Node, d.ServiceID))
		if d.Node == c.handler.Node { // what the agent registered is on its node as well
			err = errors.Join(err, c.removeAll(c.named(d.ServiceID)))
		}
	case d.CheckID != "":
		err = c.removeCheck(d.Node, d.CheckID)
	default:
		err = c.removeNode(d.Node)
	}
	if err != nil {
		return err
	}
	return c.json(true)
}

func (c *call) removeAll(all []found) error {
	for _, f := range all {
		if _, err := c.handler.Instances.Deregister(c.ctx, f.service, f.instance.ID); err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
	}
	return nil
}

func (c *call) removeCheck(node, id string) error {
	for _, f := range c.locate(c.handler.Instances.NamedByCheck(c.namespace, id)) {
		if f.extra.Node != node && (!isNodes(f.service) || f.instance.ID != node) {
			continue
		}
		_, err := c.handler.Instances.Edit(c.ctx, f.service, f.instance.ID, func(m *gantryv1.Instance) error {
			return edit(m, func(m *gantryv1.Instance, _ *extra) error { return dropCheck(m, id) })
		})
		if err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
	}
	return nil
}

func (c *call) removeNode(name string) error {
	if name == c.handler.Node {
		return invalid("Node", "%q is the agent's own node, which stands for the whole cluster", cut(name)).Hinted("deregister single services")
	}
	var on []found
	c.handler.each(c.namespace, func(service string, all []*entry) {
		for _, e := range all {
			if e.extra.Node == name {
				on = append(on, found{serviceOf(c.namespace, service), e})
			}
		}
	})
	if err := c.removeAll(on); err != nil {
		return err
	}
	_, err := c.handler.Instances.Deregister(c.ctx, nodesService(c.namespace), name)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}
