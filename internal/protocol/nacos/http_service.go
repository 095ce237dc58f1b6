package nacos

import (
	"context"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

func (a *API) serviceRoutes() map[string]*route {
	one := &route{post: a.postService, put: a.postService, delete: a.deleteService, get: a.getService}
	list := &route{get: a.getServices}
	return map[string]*route{
		"/v1/ns/service": one, "/v2/ns/service": one, "/v3/admin/ns/service": one,
		"/v1/ns/service/list": list, "/v2/ns/service/list": list,
		"/v1/ns/service/names":                  {get: a.getServiceNames, post: a.getServiceNames},
		"/v1/ns/service/subscribers":            {get: a.getSubscribers},
		"/v1/ns/service/selector/types":         {get: a.getSelectorTypes},
		"/v1/ns/cluster":                        {put: a.putCluster},
		"/v3/admin/ns/cluster":                  {put: a.putCluster},
		"/v1/ns/catalog/services":               {get: a.getCatalogServices},
		"/v1/ns/catalog/service":                {get: a.getCatalogService},
		"/v1/ns/catalog/instances":              {get: a.getCatalogInstances},
		"/v2/ns/catalog/instances":              {get: a.getCatalogInstances},
		"/v2/ns/client/service/publisher/list":  {get: a.getPublishers},
		"/v2/ns/client/service/subscriber/list": {get: a.getSubscribingClients},
	}
}

// errNoService answers who asks for a service that is not there.
func errNoService(service instance.Service) *fault.Error {
	return fault.New(fault.NotFound, "service.unknown", "service not found, namespace: %s, serviceName: %s", namespaceIDOf(service.Namespace), quoted(groupedName(service))).
		Hinted("create it, or register an instance")
}

// thresholdOf is our share of losses for Nacos's share of healthy instances at which a service is protected; thresholdFor undoes it. Nacos's 0, its default, is off.
func thresholdOf(healthy float64) float64 {
	if healthy <= 0 {
		return 0
	}
	// 1 is "always": the smallest loss protects.
	return max(round(1-healthy), 0.001)
}

func thresholdFor(lost float64) float64 {
	if lost <= 0 {
		return 0
	}
	return round(1 - lost)
}

// round keeps a share from showing binary dust.
func round(share float64) float64 { return math.Round(share*1000) / 1000 }

// postService creates or changes a service. What is not said of an existing one stays.
func (a *API) postService(ctx context.Context, x *exchange) error {
	service, err := x.service(ctx, access.Operate)
	if err != nil {
		return err
	}
	settings := &gantryv1.ServiceSettings{Metadata: map[string]string{}}
	if snapshot := a.Instances.Lookup(service); snapshot != nil {
		settings.ProtectThreshold = protectThreshold(snapshot.Settings)
		maps.Copy(settings.Metadata, snapshot.Settings.GetMetadata())
	}
	if text := x.get("protectThreshold"); text != "" {
		healthy, err := strconv.ParseFloat(strings.TrimRight(text, "Ff"), 64)
		if err != nil || !(healthy >= 0 && healthy <= 1) {
			return invalid("protectThreshold", "%s is no share", quoted(text)).Hinted("use 0 to 1")
		}
		lost := thresholdOf(healthy)
		settings.ProtectThreshold = &lost
	} else if settings.ProtectThreshold == nil {
		byDefault := instance.ProtectThreshold // written down, so that there is something to find the service by
		settings.ProtectThreshold = &byDefault
	}
	if text := x.get("metadata"); text != "" {
		entries, err := parseMetadata(text)
		if err != nil {
			return err
		}
		maps.DeleteFunc(settings.Metadata, func(key, _ string) bool { return !strings.HasPrefix(key, checkerKey("")) })
		maps.Copy(settings.Metadata, entries)
	}
	if err := checkSelector(x.get("selector")); err != nil {
		return err
	}
	if err := a.Instances.ConfigureService(ctx, service, settings); err != nil {
		return err
	}
	return x.done()
}

// checkSelector refuses selectors that choose, rather than to hand out what they should have kept back.
func checkSelector(text string) error {
	var selector struct{ Type string }
	if text == "" || json.Unmarshal([]byte(text), &selector) == nil && (selector.Type == "" || strings.EqualFold(selector.Type, "none")) {
		return nil
	}
	return invalid("selector", "not match any type of selector!").Hinted("only the selector none is served; use a Route to choose instances by label")
}

// deleteService forgets the settings of a service without instances.
func (a *API) deleteService(ctx context.Context, x *exchange) error {
	service, err := x.service(ctx, access.Operate)
	if err != nil {
		return err
	}
	snapshot := a.Instances.Lookup(service)
	if snapshot == nil {
		return errNoService(service)
	}
	if len(snapshot.Instances) > 0 {
		return invalid("serviceName", "Service %s is not empty, can't be delete. Please unregister instance first", quoted(groupedName(service)))
	}
	if err := a.Instances.ConfigureService(ctx, service, nil); err != nil {
		return err
	}
	return x.done()
}

// ownMetadata is the metadata of a service without what the protocol keeps there.
func ownMetadata(settings *gantryv1.ServiceSettings) map[string]string {
	own := map[string]string{}
	for key, value := range settings.GetMetadata() {
		if !strings.HasPrefix(key, checkerKey("")) {
			own[key] = value
		}
	}
	return own
}

func nacosThreshold(settings *gantryv1.ServiceSettings) float64 {
	if settings == nil || settings.ProtectThreshold == nil {
		return thresholdFor(instance.ProtectThreshold)
	}
	return thresholdFor(settings.GetProtectThreshold())
}

// clustersOf are the clusters of a service's instances, sorted.
func clustersOf(snapshot *instance.Snapshot) []string {
	seen := map[string]struct{}{}
	for _, i := range snapshot.Instances {
		seen[clusterOf(i)] = struct{}{}
	}
	return slices.Sorted(maps.Keys(seen))
}

func checkerOf(settings *gantryv1.ServiceSettings, cluster string) json.RawMessage {
	if kept := settings.GetMetadata()[checkerKey(cluster)]; kept != "" && json.Valid([]byte(kept)) {
		return json.RawMessage(kept)
	}
	return json.RawMessage(`{"type":"TCP"}`)
}

var noSelector = json.RawMessage(`{"type":"none","contextType":"NONE"}`)

// getService answers a service's settings and clusters.
func (a *API) getService(ctx context.Context, x *exchange) error {
	service, err := x.service(ctx, mayRead)
	if err != nil {
		return err
	}
	snapshot := a.Instances.Lookup(service)
	if snapshot == nil {
		return errNoService(service)
	}
	answer := map[string]any{"groupName": groupNameOf(service.Group), "protectThreshold": nacosThreshold(snapshot.Settings),
		"metadata": ownMetadata(snapshot.Settings), "selector": noSelector}
	if x.results {
		answer["namespace"], answer["serviceName"], answer["ephemeral"] = namespaceIDOf(service.Namespace), service.Name, true
		clusters := map[string]any{}
		for _, name := range clustersOf(snapshot) {
			clusters[name] = map[string]any{"clusterName": name, "healthChecker": checkerOf(snapshot.Settings, name), "metadata": map[string]string{}}
		}
		answer["clusterMap"] = clusters
		return x.value(answer)
	}
	answer["namespaceId"], answer["name"] = namespaceIDOf(service.Namespace), service.Name
	clusters := []any{}
	for _, name := range clustersOf(snapshot) {
		clusters = append(clusters, map[string]any{"name": name, "healthChecker": checkerOf(snapshot.Settings, name), "metadata": map[string]string{}})
	}
	answer["clusters"] = clusters
	return x.value(answer)
}

// servicesIn are the services of a namespace and group, or of all groups when that is empty.
func (a *API) servicesIn(namespace, group string) []instance.Service {
	services := a.Instances.Services(namespace)
	if group == "" {
		return services
	}
	return slices.DeleteFunc(services, func(s instance.Service) bool { return s.Group != group })
}

// getServices answers a page of the names of a group's services.
func (a *API) getServices(ctx context.Context, x *exchange) error {
	namespace := namespaceOf(x.get("namespaceId"))
	if err := access.Require(ctx, mayRead, namespace); err != nil {
		return err
	}
	if err := checkSelector(x.get("selector")); err != nil {
		return err
	}
	p, err := x.page(20)
	if err != nil {
		return err
	}
	services := a.servicesIn(namespace, groupOf(x.get("groupName")))
	from, until := p.of(len(services))
	names := make([]string, 0, until-from)
	for _, service := range services[from:until] {
		names = append(names, service.Name)
	}
	key := "doms"
	if x.results {
		key = "services"
	}
	return x.value(map[string]any{"count": len(services), key: names})
}

// getServiceNames answers the names of services by namespace, those that hold an expression.
func (a *API) getServiceNames(ctx context.Context, x *exchange) error {
	namespace, expression := namespaceOf(x.get("namespaceId")), x.get("expr")
	if err := access.Require(ctx, mayRead, namespace); err != nil {
		return err
	}
	names := []string{}
	for _, service := range a.Instances.Services(namespace) {
		if strings.Contains(service.Name, expression) {
			names = append(names, groupedName(service))
		}
	}
	return x.value(map[string]any{"services": map[string]any{namespaceIDOf(namespace): names}, "count": len(names)})
}

func (a *API) getSelectorTypes(_ context.Context, x *exchange) error {
	return x.rest([]string{"none"})
}

// putCluster sets the health checker of a cluster, for the persistent instances that are there and those that come.
func (a *API) putCluster(ctx context.Context, x *exchange) error {
	service, err := x.service(ctx, access.Operate)
	if err != nil {
		return err
	}
	cluster := x.get("clusterName")
	if !isClusterName(cluster) {
		return invalid("clusterName", "%s is no name of a cluster", quoted(cluster)).Hinted("use 0-9, a-z, A-Z and \"-\"")
	}
	var wanted checker
	if err := json.Unmarshal([]byte(x.get("healthChecker")), &wanted); err != nil || len(wanted.Path) > instance.MaxCheckBytes/2 {
		return invalid("healthChecker", "it is no JSON of a health checker").Hinted(`send {"type":"TCP"}, {"type":"HTTP","path":"/"} or {"type":"NONE"}`)
	}
	switch wanted.Type = strings.ToUpper(wanted.Type); wanted.Type {
	case "TCP", "HTTP", checkerNone:
	default:
		return invalid("healthChecker.type", "%s is no checker that is served", quoted(wanted.Type)).Hinted("use TCP, HTTP or NONE")
	}
	if !x.flag("useInstancePort4Check", true) {
		port, err := x.number("checkPort", 80, 1, 65535)
		if err != nil {
			return err
		}
		wanted.CheckPort = uint32(port)
	}
	kept, err := json.Marshal(wanted)
	if err != nil {
		return err
	}
	settings := &gantryv1.ServiceSettings{Metadata: map[string]string{}}
	snapshot := a.Instances.Lookup(service)
	if snapshot != nil {
		settings.ProtectThreshold = protectThreshold(snapshot.Settings)
		maps.Copy(settings.Metadata, snapshot.Settings.GetMetadata())
	}
	settings.Metadata[checkerKey(cluster)] = string(kept)
	if err := a.Instances.ConfigureService(ctx, service, settings); err != nil {
		return err
	}
	if err := a.recheck(ctx, a.Instances.Lookup(service), cluster); err != nil {
		return err
	}
	return x.done()
}

// recheck gives the persistent instances of a cluster, of those that Nacos's protocol registered, the checks of its checker.
func (a *API) recheck(ctx context.Context, snapshot *instance.Snapshot, cluster string) error {
	if snapshot == nil {
		return nil
	}
	for _, i := range snapshot.Instances {
		if !i.Persistent || i.Protocol != protocol || clusterOf(i) != cluster {
			continue
		}
		err := a.editInstance(ctx, snapshot.Service, i.ID, func(m *gantryv1.Instance) { m.Checks = checksOf(snapshot, cluster) })
		if err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
	}
	return nil
}

func protectThreshold(settings *gantryv1.ServiceSettings) *float64 {
	if settings == nil {
		return nil
	}
	return settings.ProtectThreshold
}
