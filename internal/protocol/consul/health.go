package consul

import (
	"net/http"
	"slices"

	"github.com/gantry-platform/gantry/internal/instance"
)

// health are the operations about health.
func (h *Handler) health() []route {
	return []route{
		{http.MethodGet, "health/node/", (*call).healthNode},
		{http.MethodGet, "health/checks/", (*call).healthChecks},
		{http.MethodGet, "health/service/", (*call).healthService},
		{http.MethodGet, "health/state/", (*call).healthState},
	}
}

// answerChecks answers with the checks that the call's filter leaves.
func (c *call) answerChecks(checks []healthCheck, revision int64) error {
	checks, err := filter(c, checks)
	if err != nil {
		return err
	}
	if checks == nil {
		checks = []healthCheck{}
	}
	c.stamp(revision)
	return c.json(checks)
}

func (c *call) healthNode() error {
	if err := c.may(mayRead); err != nil {
		return err
	}
	name, err := c.name("node name")
	if err != nil {
		return err
	}
	revision, err := c.blockOnNamespace()
	if err != nil {
		return err
	}
	nodes := c.handler.nodes(c.namespace)
	checks := slices.Clone(nodes.checks[name])
	c.handler.each(c.namespace, func(_ string, all []*entry) {
		for _, e := range all {
			if nodes.of(e).Node == name {
				checks = append(checks, nodes.own(e)...)
			}
		}
	})
	return c.answerChecks(checks, revision)
}

func (c *call) healthChecks() error {
	all, nodes, revision, err := c.instances()
	if err != nil {
		return err
	}
	var checks []healthCheck
	for _, e := range all {
		checks = append(checks, nodes.own(e)...)
	}
	return c.answerChecks(checks, revision)
}

func (c *call) healthState() error {
	if err := c.may(mayRead); err != nil {
		return err
	}
	state, err := c.name("check state")
	if err != nil {
		return err
	}
	if !slices.Contains([]string{"any", statusPassing, statusWarning, statusCritical}, state) {
		return invalid("state", "there is no state %q", cut(state)).Hinted("use any, passing, warning or critical")
	}
	revision, err := c.blockOnNamespace()
	if err != nil {
		return err
	}
	nodes := c.handler.nodes(c.namespace)
	var checks []healthCheck
	add := func(all []healthCheck) {
		for _, check := range all {
			if state == "any" || check.Status == state {
				checks = append(checks, check)
			}
		}
	}
	for _, n := range nodes.sorted() {
		if c.matches(n) {
			add(nodes.checks[n.Node])
		}
	}
	c.handler.each(c.namespace, func(_ string, all []*entry) {
		for _, e := range all {
			if c.matches(nodes.of(e)) {
				add(nodes.own(e))
			}
		}
	})
	return c.answerChecks(checks, revision)
}

// healthForm is the key of a service's encoded health, which hangs on the service, on what is known of nodes, and on where this one is.
type healthForm struct {
	passing bool
	host    string
	nodes   *instance.Snapshot
}

func (c *call) healthService() error {
	name, revision, err := c.awaitService()
	if err != nil {
		return err
	}
	passing := c.given("passing")
	encoded, err := c.sharedHealth(serviceOf(c.namespace, name), passing)
	if encoded == nil && err == nil {
		all, nodes := c.chosen(name)
		encoded, err = c.encodeHealth(all, nodes, passing)
	}
	if err != nil {
		return err
	}
	c.stamp(revision)
	return c.encoded(http.StatusOK, encoded)
}

// sharedHealth is the encoded health of a service for all who ask for all of it; nil for other calls, and where there is no instance.
func (c *call) sharedHealth(service instance.Service, passing bool) ([]byte, error) {
	snapshot := c.handler.Instances.Lookup(service)
	all := entries(snapshot) // made before the form: both are of the same snapshot
	if len(all) == 0 || isNodes(service) || !c.everything() {
		return nil, nil
	}
	form := healthForm{passing: passing, host: c.handler.host(), nodes: c.handler.Instances.Lookup(nodesService(c.namespace))}
	made := snapshot.Form(form, func() any {
		encoded, err := c.encodeHealth(all, c.handler.nodes(c.namespace), passing)
		if err != nil {
			return err
		}
		return encoded
	})
	if err, failed := made.(error); failed {
		return nil, err
	}
	return made.([]byte), nil
}

func (c *call) encodeHealth(all []*entry, nodes *nodes, passing bool) (encoded []byte, err error) {
	answer := make([]serviceEntry, 0, len(all))
	for _, e := range all {
		checks := nodes.checksOf(e)
		if passing && aggregate(checks) != statusPassing {
			continue
		}
		answer = append(answer, serviceEntry{Node: nodes.of(e), Service: &e.service, Checks: checks})
	}
	if answer, err = filter(c, answer); err != nil {
		return nil, err
	}
	return encode(answer)
}
