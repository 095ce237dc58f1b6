package migrate

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// parameters name a copy in Nacos's words.
func (r *nacosRegistry) parameters(c Copy, v3 bool) url.Values {
	group := nacosGroupOf(c.Service.Group)
	name := group + "@@" + c.Service.Name
	if v3 {
		name = c.Service.Name
	}
	return url.Values{"serviceName": {name}, "groupName": {group}, "namespaceId": {nacosShown(r.tenants[c.Service.Namespace])}, "ip": {c.Instance.Address},
		"port": {strconv.Itoa(c.Instance.Port)}, "clusterName": {clusterOf(c)}, "ephemeral": {"true"}}
}

// clusterOf is the cluster that a copy goes into. What no cluster of Nacos can be called is the default one.
func clusterOf(c Copy) string {
	cluster := c.Instance.Labels[clusterLabel]
	if cluster == "" || strings.ContainsFunc(cluster, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-'
	}) {
		return nacosCluster
	}
	return cluster
}

func form(values url.Values) request {
	return request{method: http.MethodPost, body: []byte(values.Encode()), contentType: "application/x-www-form-urlencoded"}
}

// described adds what is registered.
func described(values url.Values, c Copy) (url.Values, error) {
	metadata := merged(&c.Instance, clusterLabel)
	millis := func(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
	metadata[nacosBeatKey], metadata[nacosTimeoutKey], metadata[nacosDeleteKey] = millis(nacosBeat), millis(nacosTimeout), millis(nacosTimeout)
	text, err := json.Marshal(metadata)
	if err != nil {
		return nil, err
	}
	values.Set("metadata", string(text))
	values.Set("weight", strconv.FormatFloat(c.Instance.Weight, 'f', -1, 64))
	values.Set("enabled", "true")
	values.Set("healthy", "true")
	return values, nil
}

// Register implements [Registry]. It would replace a provider that has come to a copy's place since the last look, so it looks at the services
// before; what such a provider holds is left to it.
func (r *nacosRegistry) Register(ctx context.Context, copies []Copy) []error {
	taken, err := r.taken(ctx, copies)
	return eachCopy(ctx, copies, func(ctx context.Context, c Copy) error {
		if err != nil {
			return Explained(err)
		}
		if taken[c.Service][c.Instance.place()] {
			return nil
		}
		register := func(path string, v3 bool) func() error {
			return func() error {
				values, err := described(r.parameters(c, v3), c)
				if err != nil {
					return err
				}
				q := form(values)
				q.path = path
				got, err := r.api.do(ctx, q)
				if err != nil || !v3 {
					return err
				}
				return r.api.unwrap(got.body, path, nil)
			}
		}
		return Explained(r.api.either("instance", register("/v1/ns/instance", false), register("/v3/client/ns/instance", true)))
	})
}

// taken are the places that providers of the copies' services hold.
func (r *nacosRegistry) taken(ctx context.Context, copies []Copy) (map[Service]map[place]bool, error) {
	taken := map[Service]map[place]bool{}
	var services []Service
	for _, c := range copies {
		if _, known := taken[c.Service]; !known {
			taken[c.Service] = nil
			services = append(services, c.Service)
		}
	}
	var mu sync.Mutex
	err := atOnce(ctx, len(services), func(ctx context.Context, i int) error {
		instances, err := r.look(ctx, services[i])
		mu.Lock()
		defer mu.Unlock()
		taken[services[i]] = ownPlaces(instances)
		return err
	})
	return taken, err
}

// codeUnknown is Nacos's answer to a beat of an instance that it does not know.
const codeUnknown = 20404

// Beat implements [Registry]: one request a copy, which is how Nacos's HTTP clients live.
func (r *nacosRegistry) Beat(ctx context.Context, copies []Copy) (unknown []int, err error) {
	return beatEach(ctx, copies, func(ctx context.Context, c Copy) error {
		known, err := r.beat(ctx, c)
		if err == nil && !known {
			return &statusError{system: "nacos", method: http.MethodPut, path: "/v1/ns/instance/beat", status: http.StatusNotFound}
		}
		return err
	})
}

func (r *nacosRegistry) beat(ctx context.Context, c Copy) (known bool, err error) {
	known = true
	err = r.api.either("instance", func() error {
		q := form(r.parameters(c, false))
		q.method, q.path = http.MethodPut, "/v1/ns/instance/beat"
		got, err := r.api.do(ctx, q)
		if err != nil {
			return err
		}
		var answered struct {
			Code int `json:"code"`
		}
		if err := decodeJSON(got.body, &answered); err != nil {
			return err
		}
		known = answered.Code != codeUnknown
		return nil
	}, func() error {
		values, err := described(r.parameters(c, true), c)
		if err != nil {
			return err
		}
		values.Set("heartBeat", "true")
		q := form(values)
		q.path = "/v3/client/ns/instance"
		got, err := r.api.do(ctx, q)
		if err != nil {
			return err
		}
		return r.api.unwrap(got.body, q.path, nil)
	})
	return known, err
}

// Remove implements [Registry]. In Nacos address, port and cluster are the instance, so a provider that has moved to the copy's place is the
// same one: the service is looked at before.
func (r *nacosRegistry) Remove(ctx context.Context, copies []Copy) []error {
	return eachCopy(ctx, copies, func(ctx context.Context, c Copy) error {
		instances, err := r.look(ctx, c.Service)
		if err != nil {
			return Explained(err)
		}
		ours := false
		for n := range instances {
			i := &instances[n]
			if i.place() != c.Instance.place() {
				continue
			}
			if i.Metadata[MarkBy] != c.Instance.Metadata[MarkBy] {
				return nil
			}
			ours = true
		}
		if !ours {
			return nil
		}
		remove := func(path string, v3 bool) func() error {
			return func() error {
				_, err := r.api.do(ctx, request{method: http.MethodDelete, path: path, query: r.parameters(c, v3)})
				return err
			}
		}
		return Explained(r.api.either("instance", remove("/v1/ns/instance", false), remove("/v3/client/ns/instance", true)))
	})
}
