package consul

import (
	"net/http"
	"slices"
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

func (c *call) healthService() error {
	all, nodes, revision, err := c.instances()
	if err != nil {
		return err
	}
	passing := c.given("passing")
	answer := make([]serviceEntry, 0, len(all))
	for _, e := range all {
		checks := nodes.checksOf(e)
		if passing && aggregate(checks) != statusPassing {
			continue
		}
		answer = append(answer, serviceEntry{Node: nodes.of(e), Service: &e.service, Checks: checks})
	}
	if answer, err = filter(c, answer); err != nil {
		return err
	}
	c.stamp(revision)
	return c.json(answer)
}
