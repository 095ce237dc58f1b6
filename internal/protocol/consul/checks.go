package consul

import (
	"slices"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

func errUnknownCheck(id string) error {
	return fault.New(fault.NotFound, "check.unknown", "Unknown check ID %q. Ensure that the check ID is passed, not the check name.", cut(id)).At("id")
}

// check finds the instance that has a check of the agent.
func (c *call) check(id string) (found, error) {
	all := slices.DeleteFunc(c.locate(c.handler.Instances.NamedByCheck(c.namespace, id)), func(f found) bool {
		return f.extra.Node != "" || isNodes(f.service) && f.instance.ID != c.handler.Node
	})
	if len(all) == 0 {
		return found{}, errUnknownCheck(id)
	}
	return c.one(all, "check id", id)
}

func (c *call) registerCheck() error {
	if err := c.may(mayServe); err != nil {
		return err
	}
	var d checkDefinition
	if err := c.body(&d); err != nil {
		return err
	}
	if d.Name == "" {
		return invalid("Name", "Missing check name").Hinted("name the check")
	}
	check, words, err := d.check(d.Name, d.Name)
	if err != nil {
		return err
	}
	add := func(m *gantryv1.Instance, x *extra) error {
		put(m, check)
		x.Checks[check.Id] = words
		return nil
	}
	if d.ServiceID == "" {
		return c.done(c.changeNode(c.handler.Node, c.handler.host(), add))
	}
	f, err := c.service(d.ServiceID)
	if err != nil {
		return err
	}
	return c.edit(f, add)
}

// put adds or replaces a check.
func put(m *gantryv1.Instance, check *gantryv1.Check) {
	at := slices.IndexFunc(m.Checks, func(c *gantryv1.Check) bool { return c.Id == check.Id })
	if at < 0 {
		m.Checks = append(m.Checks, check)
		return
	}
	m.Checks[at] = check
}

// changeNode changes the instance that stands for a node, and makes it when there is none.
func (c *call) changeNode(name, address string, change func(*gantryv1.Instance, *extra) error) error {
	service := nodesService(c.namespace)
	for n := 1; ; n++ {
		_, err := c.handler.Instances.Edit(c.ctx, service, name, func(m *gantryv1.Instance) error { return edit(m, change) })
		if !fault.Is(err, fault.NotFound) {
			return err
		}
		m := &gantryv1.Instance{Id: name, Address: address, Persistent: true}
		if err := edit(m, change); err != nil {
			return err
		}
		none := int64(0)
		_, err = c.handler.Instances.Register(c.ctx, instance.Registration{Service: service, Instance: m, Protocol: Protocol, Expect: &none})
		if !fault.Is(err, fault.Conflict) || n == maxRetries {
			return err
		}
	}
}

func (c *call) deregisterCheck() error {
	if err := c.may(access.Serve | access.Operate); err != nil {
		return err
	}
	id, err := c.name("check id")
	if err != nil {
		return err
	}
	f, err := c.check(id)
	if err != nil {
		return err
	}
	return c.edit(f, func(m *gantryv1.Instance, _ *extra) error { return dropCheck(m, id) })
}

func dropCheck(m *gantryv1.Instance, id string) error {
	m.Checks = slices.DeleteFunc(m.Checks, func(check *gantryv1.Check) bool { return check.Id == id })
	return nil
}

// reportCheck takes what a service says of itself.
func (c *call) reportCheck(status gantryv1.CheckStatus) error {
	return c.report(status, c.query.Get("note"))
}

func (c *call) updateCheck() error {
	var update struct{ Status, Output string }
	if err := c.body(&update); err != nil {
		return err
	}
	status, err := initial(update.Status)
	if err != nil || status == gantryv1.CheckStatus_CHECK_STATUS_UNSPECIFIED {
		return invalid("Status", "Invalid check status: %q", cut(update.Status)).Hinted("use \"passing\", \"warning\" or \"critical\"")
	}
	return c.report(status, update.Output)
}

func (c *call) report(status gantryv1.CheckStatus, output string) error {
	if err := c.may(mayServe); err != nil {
		return err
	}
	id, err := c.name("check id")
	if err != nil {
		return err
	}
	at, err := c.reporting(id)
	if err != nil {
		return err
	}
	err = c.handler.Instances.ReportCheck(c.ctx, instance.CheckReport{Service: at.Service, ID: at.ID, Check: id, Status: status, Output: output})
	if fault.Is(err, fault.NotFound) {
		return errUnknownCheck(id)
	}
	return c.done(err)
}

// reporting finds what a report is about without looking at it where there is but one: reports are what comes most often.
func (c *call) reporting(id string) (instance.Named, error) {
	if named := c.handler.Instances.NamedByCheck(c.namespace, id); len(named) == 1 && !isNodes(named[0].Service) {
		return named[0], nil
	}
	f, err := c.check(id)
	if err != nil {
		return instance.Named{}, err
	}
	return instance.Named{Service: f.service, ID: f.instance.ID}, nil
}
