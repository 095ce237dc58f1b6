package consul

import (
	"cmp"

	"github.com/gantry-platform/gantry/internal/release/keyvalue"
)

// sessionChecks finds the checks that sessions lean on among the instances.
type sessionChecks struct{ handler *Handler }

var _ keyvalue.Checks = (*sessionChecks)(nil)

// SessionChecks are the checks of nodes and services as sessions want them. Of the options Instances and Node count.
func SessionChecks(options Options) keyvalue.Checks {
	return &sessionChecks{&Handler{Options: options}}
}

// Node implements keyvalue.Checks.
func (s *sessionChecks) Node(namespace, node string) bool {
	return node == s.handler.Node || s.handler.Instances.Instance(nodesService(namespace), node) != nil
}

// Check implements keyvalue.Checks. The one node stands for all hosts, so that several instances may have a check of the same id: one that is
// not critical is enough.
func (s *sessionChecks) Check(namespace, node, id string) keyvalue.Health {
	if node == s.handler.Node && id == keyvalue.NodeCheck {
		return keyvalue.Healthy
	}
	found := keyvalue.Missing
	for _, named := range s.handler.Instances.NamedByCheck(namespace, id) {
		i := s.handler.Instances.Instance(named.Service, named.ID)
		if i == nil {
			continue
		}
		e := entryOf(named.Service, i, false)
		on := cmp.Or(e.extra.Node, s.handler.Node)
		if isNodes(named.Service) {
			on = named.ID
		}
		if on != node {
			continue
		}
		for _, check := range e.checks {
			switch {
			case check.CheckID != id:
			case check.Status != statusCritical:
				return keyvalue.Healthy
			default:
				found = keyvalue.Critical
			}
		}
	}
	return found
}

// Changed implements keyvalue.Checks.
func (s *sessionChecks) Changed() <-chan struct{} { return s.handler.Instances.Changed() }
