package migrate

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
)

const (
	// NacosInterval is the default time between two looks at a Nacos server, which cannot be watched over HTTP.
	NacosInterval = 2 * time.Second
	// nacosListed is how many services are listed at once.
	nacosListed = 500
	// nacosLooks is how many services are looked at in each round though their counts have not changed: a change that leaves the counts as they are, such as of
	// metadata, is seen within services/nacosLooks rounds. 1,000 services are gone through in 10 s, with 100 requests a second.
	nacosLooks = 200
	// Beats of copies in Nacos, which lives by one request a copy: slower than its default of 5 s, and said so in their metadata.
	nacosBeat    = 10 * time.Second
	nacosTimeout = 30 * time.Second
	// maxServices bounds the services of a source.
	maxServices  = 50_000
	nacosCluster = "DEFAULT"
	// clusterLabel is where Gantry's Nacos protocol keeps an instance's cluster.
	clusterLabel = "cluster"
)

// Metadata by which an instance of Nacos says how it lives, in milliseconds.
const (
	nacosBeatKey    = "preserved.heart.beat.interval"
	nacosTimeoutKey = "preserved.heart.beat.timeout"
	nacosDeleteKey  = "preserved.ip.delete.timeout"
)

// nacosRegistry is the Nacos side of a mirror.
type nacosRegistry struct {
	api *nacosAPI
	// tenants by Gantry's namespace.
	tenants  map[string]string
	groups   []string
	interval time.Duration

	// What Follow holds.
	held  map[Service]nacosHeld
	turn  []Service
	noAll bool // the server does not list the services of all groups
}

type nacosHeld struct {
	counts    nacosCounts
	instances []Instance
}

// nacosCounts are what lists say of a service.
type nacosCounts struct{ instances, healthy int }

// NacosRegistry returns the Nacos side of a mirror, and the namespaces of Gantry that stand for its own: all of its namespaces, unless
// some are named. Groups are those to read from a server that does not list the services of all groups.
func NacosRegistry(ctx context.Context, c Connection, namespaces Namespaces, groups []string, interval time.Duration) (Registry, []string, error) {
	api := newNacos(c)
	places, err := api.places(ctx, namespaces)
	if err != nil {
		api.close()
		return nil, nil, Explained(err)
	}
	if interval <= 0 {
		interval = NacosInterval
	}
	r := &nacosRegistry{api: api, tenants: map[string]string{}, groups: groups, interval: interval, held: map[Service]nacosHeld{}}
	for _, p := range places {
		if other, ok := r.tenants[p.target]; ok {
			api.close()
			return nil, nil, fault.New(fault.Invalid, "migrate.two_into_one", "the namespaces %s and %s of nacos would both be %s", nacosShown(other), nacosShown(p.id), p.target).
				Hinted("instances are mirrored both ways, so each namespace needs one of its own")
		}
		r.tenants[p.target] = p.id
	}
	if len(r.groups) == 0 {
		r.groups = []string{nacosGroup}
	}
	return r, sortedKeys(r.tenants), nil
}

func (*nacosRegistry) Kind() string { return "nacos" }

func (r *nacosRegistry) Close() { r.api.close() }

func (*nacosRegistry) BeatEvery() time.Duration { return nacosBeat }

// Follow implements [Registry].
func (r *nacosRegistry) Follow(ctx context.Context, show func(View)) error {
	for first := true; ; first = false {
		changed, err := r.poll(ctx)
		if err != nil {
			return Explained(err)
		}
		if changed || first {
			view := make(View, len(r.held))
			for service, h := range r.held {
				if len(h.instances) > 0 {
					view[service] = h.instances
				}
			}
			show(view)
		}
		if err := pause(ctx, r.interval); err != nil {
			return err
		}
	}
}

// poll lists the services and looks at those whose counts have changed, and at some others in turn.
func (r *nacosRegistry) poll(ctx context.Context) (changed bool, err error) {
	listed := map[Service]nacosCounts{}
	for _, namespace := range sortedKeys(r.tenants) {
		if err := r.list(ctx, namespace, listed); err != nil {
			return false, err
		}
		if len(listed) > maxServices {
			return false, fault.New(fault.TooLarge, "source.too_many", "nacos has more than %d services", maxServices).Hinted("mirror it namespace by namespace")
		}
	}
	for service := range r.held {
		if _, ok := listed[service]; !ok {
			delete(r.held, service)
			changed = true
		}
	}
	due := r.due(listed)
	var mu sync.Mutex
	err = atOnce(ctx, len(due), func(ctx context.Context, i int) error {
		instances, err := r.look(ctx, due[i])
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		before, known := r.held[due[i]]
		r.held[due[i]] = nacosHeld{counts: listed[due[i]], instances: instances}
		changed = changed || !known || !reflect.DeepEqual(before.instances, instances)
		return nil
	})
	return changed, err
}

// due are the services to look at in this round.
func (r *nacosRegistry) due(listed map[Service]nacosCounts) []Service {
	var due []Service
	chosen := map[Service]bool{}
	for service, counts := range listed {
		if h, ok := r.held[service]; !ok || h.counts != counts {
			due, chosen[service] = append(due, service), true
		}
	}
	looks := min(nacosLooks, len(listed))
	for refilled := false; looks > 0; {
		if len(r.turn) == 0 {
			if refilled {
				break
			}
			refilled = true
			for service := range listed {
				r.turn = append(r.turn, service)
			}
		}
		next := r.turn[len(r.turn)-1]
		r.turn = r.turn[:len(r.turn)-1]
		if _, ok := listed[next]; ok && !chosen[next] {
			due, chosen[next] = append(due, next), true
			looks--
		}
	}
	return due
}

// nacosServices is a page of services: v1 says serviceList, v3 pageItems.
type nacosServices struct {
	Count int            `json:"count"`
	Total int            `json:"totalCount"`
	List  []nacosService `json:"serviceList"`
	Items []nacosService `json:"pageItems"`
}

type nacosService struct {
	Name    string `json:"name"`
	Group   string `json:"groupName"`
	IPs     int    `json:"ipCount"`
	Healthy int    `json:"healthyInstanceCount"`
}

// list adds the services of a namespace.
func (r *nacosRegistry) list(ctx context.Context, namespace string, into map[Service]nacosCounts) error {
	tenant := nacosShown(r.tenants[namespace])
	if !r.noAll {
		err := r.listAll(ctx, namespace, tenant, into)
		if !gone(err) {
			return err
		}
		r.noAll = true
	}
	for _, group := range r.groups {
		if err := r.listGroup(ctx, namespace, tenant, group, into); err != nil {
			return err
		}
	}
	return nil
}

func (r *nacosRegistry) listAll(ctx context.Context, namespace, tenant string, into map[Service]nacosCounts) error {
	for number, seen := 1, 0; ; number++ {
		var page nacosServices
		query := url.Values{"pageNo": {strconv.Itoa(number)}, "pageSize": {strconv.Itoa(nacosListed)}, "namespaceId": {tenant}, "serviceNameParam": {""}, "groupNameParam": {""}}
		err := r.api.either("services", func() error {
			got, err := r.api.do(ctx, request{method: http.MethodGet, path: "/v1/ns/catalog/services", query: cloned(query, "hasIpCount", "true", "withInstances", "false")})
			if err != nil {
				return err
			}
			return decodeJSON(got.body, &page)
		}, func() error {
			const path = "/v3/admin/ns/service/list"
			got, err := r.api.do(ctx, request{method: http.MethodGet, path: path, query: cloned(query, "ignoreEmptyService", "true")})
			if err != nil {
				return err
			}
			return r.api.unwrap(got.body, path, &page)
		})
		if err != nil {
			return err
		}
		services := slices.Concat(page.List, page.Items)
		for _, s := range services {
			if name, group := nacosName(s.Name, s.Group); name != "" {
				into[Service{namespace, groupOfNacos(group), name}] = nacosCounts{s.IPs, s.Healthy}
			}
		}
		seen += len(services)
		if len(services) == 0 || seen >= max(page.Count, page.Total) || seen > maxServices {
			return nil
		}
	}
}

// nacosName takes the group off a name that brings it.
func nacosName(name, group string) (string, string) {
	if before, after, found := strings.Cut(name, "@@"); found {
		return after, before
	}
	return name, group
}

// listGroup lists a group by the operation that even small servers have. It says names alone.
func (r *nacosRegistry) listGroup(ctx context.Context, namespace, tenant, group string, into map[Service]nacosCounts) error {
	for number, seen := 1, 0; ; number++ {
		query := url.Values{"pageNo": {strconv.Itoa(number)}, "pageSize": {strconv.Itoa(nacosListed)}, "namespaceId": {tenant}, "groupName": {group}}
		got, err := r.api.do(ctx, request{method: http.MethodGet, path: "/v1/ns/service/list", query: query})
		if err != nil {
			return err
		}
		var page struct {
			Count int      `json:"count"`
			Names []string `json:"doms"`
		}
		if err := decodeJSON(got.body, &page); err != nil {
			return err
		}
		for _, full := range page.Names {
			if name, group := nacosName(full, group); name != "" {
				into[Service{namespace, groupOfNacos(group), name}] = nacosCounts{-1, -1}
			}
		}
		seen += len(page.Names)
		if len(page.Names) == 0 || seen >= page.Count || seen > maxServices {
			return nil
		}
	}
}

// nacosInstance is an instance as lists give it.
type nacosInstance struct {
	IP       string   `json:"ip"`
	Port     int      `json:"port"`
	Weight   float64  `json:"weight"`
	Healthy  bool     `json:"healthy"`
	Enabled  *bool    `json:"enabled"`
	Cluster  string   `json:"clusterName"`
	Metadata looseMap `json:"metadata"`
}

// look reads the instances of a service.
func (r *nacosRegistry) look(ctx context.Context, service Service) ([]Instance, error) {
	var hosts []nacosInstance
	group := nacosGroupOf(service.Group)
	err := r.api.either("instances", func() error {
		query := url.Values{"serviceName": {group + "@@" + service.Name}, "groupName": {group}, "namespaceId": {nacosShown(r.tenants[service.Namespace])}, "healthyOnly": {"false"}}
		got, err := r.api.do(ctx, request{method: http.MethodGet, path: "/v1/ns/instance/list", query: query})
		if err != nil {
			return err
		}
		var list struct {
			Hosts []nacosInstance `json:"hosts"`
		}
		err = decodeJSON(got.body, &list)
		hosts = list.Hosts
		return err
	}, func() error {
		const path = "/v3/client/ns/instance/list"
		query := url.Values{"serviceName": {service.Name}, "groupName": {group}, "namespaceId": {nacosShown(r.tenants[service.Namespace])}, "healthyOnly": {"false"}}
		got, err := r.api.do(ctx, request{method: http.MethodGet, path: path, query: query})
		if err != nil {
			return err
		}
		return r.api.unwrap(got.body, path, &hosts)
	})
	if err != nil {
		return nil, err
	}
	instances := make([]Instance, 0, len(hosts))
	for _, h := range hosts {
		if h.IP != "" && h.Port >= 0 && h.Port <= math.MaxUint16 {
			instances = append(instances, fromNacos(h))
		}
	}
	// Some servers list in another order each time.
	slices.SortStableFunc(instances, func(a, b Instance) int { return strings.Compare(a.ID, b.ID) })
	return instances, nil
}

func fromNacos(h nacosInstance) Instance {
	cluster := h.Cluster
	if cluster == "" {
		cluster = nacosCluster
	}
	i := Instance{ID: fmt.Sprintf("%s#%d#%s", h.IP, h.Port, cluster), Address: h.IP, Port: h.Port, Weight: h.Weight, Labels: labelsOf(h.Metadata),
		Metadata: maps.Clone(map[string]string(h.Metadata)), Available: h.Healthy && (h.Enabled == nil || *h.Enabled) && h.Weight > 0}
	if cluster != nacosCluster {
		i.Labels[clusterLabel] = cluster
	}
	// How it beats in Nacos says nothing of how its copy lives here.
	for _, key := range [...]string{nacosBeatKey, nacosTimeoutKey, nacosDeleteKey} {
		delete(i.Metadata, key)
	}
	return i
}

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
