package migrate

import (
	"context"
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
