package consul

import (
	"net/http"

	"github.com/gantry-platform/gantry/internal/fault"
)

// notServed is the reason of what Consul does and Gantry does not. It is answered with 501.
const notServed = "consul.not_served"

func refusal(text string) *fault.Error {
	return fault.New(fault.Precondition, notServed, "%s", text)
}

// refusals are the parts of Consul's API that are not served, so that a client is told so and not that the path is wrong.
func (h *Handler) refusals() []route {
	const (
		mesh   = "Connect is not served: Gantry runs no service mesh"
		acl    = "ACLs are not served: tokens, users and roles are Gantry's own (gantry token create)"
		gossip = "There is no gossip: nodes join and leave a cluster by `gantry cluster`"
	)
	var all []route
	add := func(text string, paths ...string) {
		for _, path := range paths {
			for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodPost, http.MethodDelete} {
				all = append(all, route{method, path, func(*call) error { return refusal(text).Hinted("docs/protocols/consul.md says what is served") }})
			}
		}
	}
	add(mesh, "agent/connect/", "connect/", "catalog/connect/", "health/connect/", "health/ingress/", "catalog/gateway-services/", "discovery-chain/",
		"internal/", "exported-services", "imported-services", "peering", "peering/", "peerings")
	add(mesh+"; configuration is documents (gantry apply)", "config", "config/")
	add(acl, "acl/", "agent/token/")
	add(gossip, "agent/join/", "agent/leave", "agent/force-leave/")
	add("Prepared queries are not served", "query", "query/")
	add("User events are not served", "event/")
	add("The server's settings are read at its start", "agent/reload")
	add("The server's log goes to its standard error", "agent/monitor")
	add("Operators use `gantry status`, `gantry cluster` and `gantry backup`", "operator/", "snapshot")
	add("Network coordinates are not kept", "coordinate/update")
	return all
}
