package consul

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// Rights: a registrant serves; whoever reads serves or views.
const (
	mayServe = access.Serve
	mayRead  = access.View | access.Serve
)

// registrations are the agent's operations that change services.
func (h *Handler) registrations() []route {
	return []route{
		{http.MethodPut, "agent/service/register", (*call).registerService},
		{http.MethodPut, "agent/service/deregister/", (*call).deregisterService},
		{http.MethodPut, "agent/service/maintenance/", (*call).maintainService},
		{http.MethodPut, "agent/maintenance", func(*call) error {
			return refusal("The agent is the whole cluster: maintenance of its node would take every service out of traffic").
				Hinted("put single services into maintenance: /v1/agent/service/maintenance/<id>")
		}},
		{http.MethodPut, "agent/check/register", (*call).registerCheck},
		{http.MethodPut, "agent/check/deregister/", (*call).deregisterCheck},
		{http.MethodPut, "agent/check/pass/", func(c *call) error { return c.reportCheck(gantryv1.CheckStatus_CHECK_STATUS_PASSING) }},
		{http.MethodPut, "agent/check/warn/", func(c *call) error { return c.reportCheck(gantryv1.CheckStatus_CHECK_STATUS_WARNING) }},
		{http.MethodPut, "agent/check/fail/", func(c *call) error { return c.reportCheck(gantryv1.CheckStatus_CHECK_STATUS_CRITICAL) }},
		{http.MethodPut, "agent/check/update/", (*call).updateCheck},
	}
}

// body reads and decodes the request's body.
func (c *call) body(into any) error {
	body, err := edge.Body(c.w, c.r, maxBody)
	if err != nil {
		return err
	}
	return decodeBody(body, into)
}

// source is the host that calls.
func (c *call) source() string { return edge.Source(c.r) }

// found is an instance that was registered by the agent's API, and where it is.
type found struct {
	service instance.Service
	*entry
}

// named finds the instances that somebody's id means.
func (c *call) named(id string) []found {
	all := c.locate(c.handler.Instances.Named(c.namespace, id))
	if short, _, ok := cutLast(id, "@"); ok && len(all) == 0 { // the id with its address, as others see it
		all = slices.DeleteFunc(c.locate(c.handler.Instances.Named(c.namespace, short)), func(f found) bool { return f.instance.ID != id })
	}
	return slices.DeleteFunc(all, func(f found) bool { return !f.agent() || isNodes(f.service) })
}

func cutLast(s, separator string) (before, after string, found bool) {
	at := strings.LastIndex(s, separator)
	if at < 0 {
		return s, "", false
	}
	return s[:at], s[at+len(separator):], true
}

func (c *call) locate(named []instance.Named) []found {
	all := make([]found, 0, len(named))
	for _, at := range named {
		if i := c.handler.Instances.Instance(at.Service, at.ID); i != nil {
			all = append(all, found{at.Service, entryOf(at.Service, i, false)})
		}
	}
	return all
}

// one chooses, of several that are called the same, the caller's own.
func (c *call) one(all []found, what, name string) (found, error) {
	if len(all) == 1 {
		return all[0], nil
	}
	source := c.source()
	for _, own := range []func(found) bool{
		func(f found) bool { return f.instance.Address == source },
		func(f found) bool { return f.extra.Source == source },
	} {
		mine := slices.Collect(func(yield func(found) bool) {
			for _, f := range all {
				if own(f) && !yield(f) {
					return
				}
			}
		})
		if len(mine) == 1 {
			return mine[0], nil
		}
	}
	return found{}, fault.New(fault.Conflict, "consul.ambiguous", "%d instances at different addresses have the %s %q, and none or several are the caller's", len(all), what, cut(name)).
		At(what).Hinted("name the id with its address, such as %q, or ask from the host that registered it", all[0].instance.Name()+"@"+all[0].instance.Target())
}

// service finds the instance that an id means, or answers as Consul does.
func (c *call) service(id string) (found, error) {
	all := c.named(id)
	if len(all) == 0 {
		return found{}, fault.New(fault.NotFound, "instance.unknown", "Unknown service ID %q. Ensure that the service ID is passed, not the service name.", cut(id)).At("id")
	}
	return c.one(all, "service id", id)
}

// maxRetries bounds how often a registration is tried again that met another one of the same id.
const maxRetries = 8

func (c *call) registerService() error {
	if err := c.may(mayServe); err != nil {
		return err
	}
	var d serviceDefinition
	if err := c.body(&d); err != nil {
		return err
	}
	if d.Name == "" {
		return invalid("Name", "Missing service name").Hinted("name the service")
	}
	d.ID = cmp.Or(d.ID, d.Name)
	for n := 1; ; n++ {
		err := c.register(&d)
		if err == nil || !fault.Is(err, fault.Conflict) || n == maxRetries {
			return c.done(err)
		}
	}
}

// done answers a change that has nothing to say but whether it was made.
func (c *call) done(err error) error {
	if err != nil {
		return err
	}
	return c.write(http.StatusOK, nil)
}

// register adds or replaces a service of the agent. Which record that is, is looked up first; when another registration came between, it is a
// Conflict and is tried again.
func (c *call) register(d *serviceDefinition) error {
	service := serviceOf(c.namespace, d.Name)
	address := cmp.Or(d.Address, c.source())
	m := &gantryv1.Instance{Id: d.ID, Address: address}
	x := &extra{Source: c.source(), NoAddress: d.Address == ""}
	if err := d.fill(m, x); err != nil {
		return err
	}
	m.Labels = edge.Labels(d.Meta)
	checks, words, err := d.definitions(d.ID, d.Name)
	if err != nil {
		return err
	}
	m.Checks, x.Checks = checks, words
	var before *found
	for _, f := range c.named(d.ID) {
		if f.instance.Address == address {
			before = &f
		}
	}
	if plain := c.handler.Instances.Instance(service, d.ID); plain != nil && (plain.Address != address || plain.Protocol != Protocol) {
		m.Id = d.ID + "@" + target(address, d.Port) // somebody else is called the same
	}
	expect := int64(0)
	if i := c.handler.Instances.Instance(service, m.Id); i != nil {
		expect = i.Modified
	}
	if before != nil && !c.given("replace-existing-checks") {
		keepChecks(m, x, before.entry)
	}
	if err := x.keep(m); err != nil {
		return err
	}
	if _, err := c.handler.Instances.Register(c.ctx, instance.Registration{Service: service, Instance: m, Protocol: Protocol, Expect: &expect}); err != nil {
		return err
	}
	if before == nil || before.service == service && before.instance.ID == m.Id {
		return nil
	}
	// It has another name or port now.
	_, err = c.handler.Instances.Deregister(c.ctx, before.service, before.instance.ID)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

func target(address string, port int) string {
	return (&instance.Instance{Address: address, Port: uint16(port)}).Target()
}

// keepChecks adds the checks that were registered before and are not now. Maintenance is kept in any case: only its end ends it.
func keepChecks(m *gantryv1.Instance, x *extra, before *entry) {
	for _, check := range before.instance.Checks {
		if hasCheck(m, check.GetId()) {
			continue
		}
		m.Checks = append(m.Checks, check)
		if words, ok := before.extra.Checks[check.GetId()]; ok {
			x.Checks[check.GetId()] = words
		}
	}
}

func (c *call) deregisterService() error {
	if err := c.may(access.Serve | access.Operate); err != nil {
		return err
	}
	id, err := c.name("service id")
	if err != nil {
		return err
	}
	f, err := c.service(id)
	if err != nil {
		return err
	}
	if _, err := c.handler.Instances.Deregister(c.ctx, f.service, f.instance.ID); err != nil {
		return err
	}
	return c.write(http.StatusOK, nil)
}

// maintainService adds or removes the check that takes a service out of traffic.
func (c *call) maintainService() error {
	if err := c.may(access.Serve | access.Operate); err != nil {
		return err
	}
	id, err := c.name("service id")
	if err != nil {
		return err
	}
	if c.query.Get("enable") == "" {
		return invalid("enable", "Missing value for enable").Hinted("send enable=true or enable=false")
	}
	f, err := c.service(id)
	if err != nil {
		return err
	}
	checkID := maintenancePrefix + f.shownID()
	return c.edit(f, func(m *gantryv1.Instance, x *extra) error {
		m.Checks = slices.DeleteFunc(m.Checks, func(check *gantryv1.Check) bool { return check.Id == checkID })
		if !c.given("enable") {
			return nil
		}
		m.Checks = append(m.Checks, &gantryv1.Check{Id: checkID, Probe: &gantryv1.Check_Ttl{Ttl: &gantryv1.TTLProbe{}},
			Initial: gantryv1.CheckStatus_CHECK_STATUS_CRITICAL})
		reason := "Maintenance mode is enabled for this service, but no reason was provided. This is a default message."
		x.Checks[checkID] = checkWords{Name: "Service Maintenance Mode", Type: typeMaintenance, Notes: cmp.Or(c.query.Get("reason"), reason)}
		return nil
	})
}

// shownID is the id as clients know it.
func (f found) shownID() string { return f.entry.service.ID }

// edit changes an instance and answers that it is done.
func (c *call) edit(f found, change func(*gantryv1.Instance, *extra) error) error {
	_, err := c.handler.Instances.Edit(c.ctx, f.service, f.instance.ID, func(m *gantryv1.Instance) error { return edit(m, change) })
	if err != nil {
		return err
	}
	return c.write(http.StatusOK, nil)
}
