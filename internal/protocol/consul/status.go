package consul

import "net/http"

// status are the operations about the cluster itself. Anybody may ask, as in Consul: health checks of load balancers do.
func (h *Handler) status() []route {
	return []route{
		{http.MethodGet, "status/leader", func(c *call) error {
			if h.Instances.Stale() {
				return c.json("")
			}
			return c.json(h.Nodes()[0])
		}},
		{http.MethodGet, "status/peers", func(c *call) error { return c.json(h.Nodes()) }},
	}
}
