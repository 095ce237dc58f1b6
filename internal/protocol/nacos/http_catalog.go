package nacos

import (
	"context"
	"strings"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/instance"
)

// getCatalogServices answers a page of services with counts, for consoles.
func (a *API) getCatalogServices(ctx context.Context, x *exchange) error {
	namespace := namespaceOf(x.get("namespaceId"))
	if err := access.Require(ctx, mayRead, namespace); err != nil {
		return err
	}
	p, err := x.page(20)
	if err != nil {
		return err
	}
	name, group := strings.ToLower(x.get("serviceNameParam")), x.get("groupNameParam")
	var services []instance.Service
	for _, service := range a.Instances.Services(namespace) {
		if strings.Contains(strings.ToLower(service.Name), name) && strings.Contains(groupNameOf(service.Group), group) {
			services = append(services, service)
		}
	}
	from, until := p.of(len(services))
	list := []any{}
	for _, service := range services[from:until] {
		snapshot := a.Instances.Lookup(service)
		if snapshot == nil {
			continue
		}
		healthy := 0
		for _, i := range snapshot.Instances {
			if isHealthy(i, false) {
				healthy++
			}
		}
		list = append(list, map[string]any{"name": service.Name, "groupName": groupNameOf(service.Group), "clusterCount": len(clustersOf(snapshot)),
			"ipCount": len(snapshot.Instances), "healthyInstanceCount": healthy, "triggerFlag": snapshot.Protected})
	}
	return x.value(map[string]any{"count": len(services), "serviceList": list})
}

// getCatalogService answers a service and its clusters.
func (a *API) getCatalogService(ctx context.Context, x *exchange) error {
	service, err := x.service(ctx, mayRead)
	if err != nil {
		return err
	}
	snapshot := a.Instances.Lookup(service)
	if snapshot == nil {
		return errNoService(service)
	}
	clusters := []any{}
	for _, name := range clustersOf(snapshot) {
		clusters = append(clusters, map[string]any{"name": name, "serviceName": groupedName(service), "healthChecker": checkerOf(snapshot.Settings, name),
			"metadata": map[string]string{}, "defaultPort": 80, "defaultCheckPort": 80, "useIPPort4Check": true})
	}
	return x.value(map[string]any{"clusters": clusters, "service": map[string]any{"name": service.Name, "groupName": groupNameOf(service.Group),
		"protectThreshold": nacosThreshold(snapshot.Settings), "metadata": ownMetadata(snapshot.Settings), "selector": noSelector}})
}

// getCatalogInstances answers a page of a service's instances, those that are disabled too.
func (a *API) getCatalogInstances(ctx context.Context, x *exchange) error {
	service, err := x.service(ctx, mayRead)
	if err != nil {
		return err
	}
	p, err := x.page(20)
	if err != nil {
		return err
	}
	snapshot := a.Instances.Lookup(service)
	if snapshot == nil {
		return errNoService(service)
	}
	cluster := x.get("clusterName")
	var chosen []*instance.Instance
	for _, i := range snapshot.Instances {
		if (cluster == "" || clusterOf(i) == cluster) && x.flag("healthyOnly", isHealthy(i, false)) == isHealthy(i, false) &&
			x.flag("enabledOnly", isEnabled(i)) == isEnabled(i) {
			chosen = append(chosen, i)
		}
	}
	from, until := p.of(len(chosen))
	name := "list"
	if x.results {
		name = "instances"
	}
	b := appendString([]byte{'{'}, name)
	b = append(b, `:[`...)
	for n, i := range chosen[from:until] {
		if n > 0 {
			b = append(b, ',')
		}
		b = appendHost(b, i, groupedName(service), isHealthy(i, false))
	}
	return x.answer(appendInt(append(b, `],"count":`...), len(chosen), '}'))
}

// getSubscribers answers who follows a service by UDP on this node.
func (a *API) getSubscribers(ctx context.Context, x *exchange) error {
	service, err := x.service(ctx, mayRead)
	if err != nil {
		return err
	}
	p, err := x.page(maxPage)
	if err != nil {
		return err
	}
	all := a.pushes.subscribers(service)
	from, until := p.of(len(all))
	list := []any{}
	for _, r := range all[from:until] {
		list = append(list, map[string]any{"addrStr": r.address.String(), "ip": r.address.Addr().String(), "port": r.address.Port(), "agent": r.agent,
			"namespaceId": namespaceIDOf(service.Namespace), "serviceName": groupedName(service), "cluster": r.clusters})
	}
	return x.value(map[string]any{"count": len(all), "subscribers": list})
}

// getPublishers answers the clients that registered a service's instances, and getSubscribingClients those that follow it by UDP.
func (a *API) getPublishers(ctx context.Context, x *exchange) error {
	service, err := x.service(ctx, mayRead)
	if err != nil {
		return err
	}
	list := []any{}
	if snapshot := a.Instances.Lookup(service); snapshot != nil {
		for _, i := range snapshot.Instances {
			if wanted := x.get("ip"); wanted == "" || wanted == i.Address {
				list = append(list, map[string]any{"clientId": i.Target() + "#true", "ip": i.Address, "port": i.Port})
			}
		}
	}
	return x.value(list)
}

func (a *API) getSubscribingClients(ctx context.Context, x *exchange) error {
	service, err := x.service(ctx, mayRead)
	if err != nil {
		return err
	}
	list := []any{}
	for _, r := range a.pushes.subscribers(service) {
		list = append(list, map[string]any{"clientId": r.address.String() + "#true", "ip": r.address.Addr().String(), "port": r.address.Port()})
	}
	return x.value(list)
}
