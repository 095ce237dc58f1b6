package nacos

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

func (a *API) instanceRoutes() map[string]*route {
	one := &route{post: a.postInstance, put: a.putInstance, delete: a.deleteInstance, get: a.getInstance, patch: a.patchInstance}
	list, beat := &route{get: a.getInstances}, &route{put: a.putBeat, post: a.putBeat}
	batch := &route{put: a.putMetadata, delete: a.deleteMetadata}
	return map[string]*route{
		"/v1/ns/instance": one, "/v2/ns/instance": one,
		"/v1/ns/instance/list": list, "/v2/ns/instance/list": list,
		"/v1/ns/instance/beat": beat, "/v2/ns/instance/beat": beat,
		"/v1/ns/instance/metadata/batch": batch, "/v2/ns/instance/metadata/batch": batch,
		"/v1/ns/instance/statuses":      {get: a.getStatuses, post: a.getStatuses},
		"/v1/ns/health":                 {put: a.putHealth},
		"/v1/ns/health/instance":        {put: a.putHealth},
		"/v2/ns/health":                 {put: a.putHealth},
		"/v2/ns/health/instance":        {put: a.putHealth},
		"/v3/client/ns/instance":        {post: a.postInstance, delete: a.deleteInstance},
		"/v3/client/ns/instance/list":   {get: a.getHosts},
		"/v3/admin/ns/instance":         one,
		"/v3/admin/ns/instance/list":    {get: a.getHosts},
		"/v3/admin/ns/instance/partial": {put: a.patchInstance},
	}
}

// postInstance registers. v3 beats by it too.
func (a *API) postInstance(ctx context.Context, x *exchange) error {
	if x.results && x.flag("heartBeat", false) {
		return a.beatLight(ctx, x)
	}
	service, err := x.service(ctx, mayServe)
	if err != nil {
		return err
	}
	i, err := x.instance()
	if err != nil {
		return err
	}
	if err := a.register(ctx, service, &i); err != nil {
		return err
	}
	return x.done()
}

// register registers an instance that lives by beats, or by checks when it is persistent.
func (a *API) register(ctx context.Context, service instance.Service, i *Instance) error {
	var checks []*gantryv1.Check
	if !i.Ephemeral {
		checks = checksOf(a.Instances.Lookup(service), i.ClusterName)
	}
	registration, err := i.registration(service, checks)
	if err != nil {
		return err
	}
	result, err := a.Instances.Register(ctx, registration)
	if err != nil {
		return err
	}
	if !i.Ephemeral && len(checks) == 0 && !i.Healthy {
		_, err = a.Instances.SetHealth(ctx, service, result.ID, false, "registered as unhealthy")
	}
	return err
}

// deleteInstance deregisters what Nacos's protocol registered; that it is not there is no error.
func (a *API) deleteInstance(ctx context.Context, x *exchange) error {
	service, err := x.service(ctx, mayChange)
	if err != nil {
		return err
	}
	ip, port, cluster, err := x.address()
	if err != nil {
		return err
	}
	_, err = a.Instances.Deregister(ctx, service, string(appendInstanceID(nil, ip, port, cluster, service)))
	if fault.Is(err, fault.NotFound) {
		// Its client may have chosen the id.
		if i := find(a.Instances.Lookup(service), ip, port, cluster); i != nil && i.Protocol == protocol {
			_, err = a.Instances.Deregister(ctx, service, i.ID)
		}
	}
	if err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	return x.done()
}

// named finds the instance that a request names, whoever registered it.
func (a *API) named(ctx context.Context, x *exchange, may access.Permission) (*instance.Snapshot, *instance.Instance, error) {
	service, err := x.service(ctx, may)
	if err != nil {
		return nil, nil, err
	}
	ip, port, cluster, err := x.address()
	if err != nil {
		return nil, nil, err
	}
	snapshot := a.Instances.Lookup(service)
	if snapshot == nil || len(snapshot.Instances) == 0 {
		return nil, nil, fault.New(fault.NotFound, "instance.unknown", "no ips found for cluster %s in service %s", cluster, quoted(groupedName(service)))
	}
	i := find(snapshot, ip, port, cluster)
	if i == nil {
		return nil, nil, fault.New(fault.NotFound, "instance.unknown", "no matched ip found!").Hinted("list the instances of the service")
	}
	return snapshot, i, nil
}

// putInstance sets weight and enabled, and adds to the metadata, over what the instance says of itself.
func (a *API) putInstance(ctx context.Context, x *exchange) error {
	_, i, err := a.named(ctx, x, mayChange)
	if err != nil {
		return err
	}
	wanted, err := x.instance()
	if err != nil {
		return err
	}
	return a.edit(ctx, x, i.ID, func(m *gantryv1.Instance) {
		m.Weight, m.Status = &wanted.Weight, statusOf(wanted.Enabled)
		for key, value := range wanted.Metadata {
			setMetadata(m, key, value)
		}
	})
}

// patchInstance changes what is given.
func (a *API) patchInstance(ctx context.Context, x *exchange) error {
	_, i, err := a.named(ctx, x, mayChange)
	if err != nil {
		return err
	}
	weight, err := x.weight(-1)
	if err != nil {
		return err
	}
	added, err := parseMetadata(x.get("metadata"))
	if err != nil {
		return err
	}
	return a.edit(ctx, x, i.ID, func(m *gantryv1.Instance) {
		if weight >= 0 {
			m.Weight = &weight
		}
		if x.get("enabled") != "" {
			m.Status = statusOf(x.flag("enabled", true))
		}
		for key, value := range added {
			setMetadata(m, key, value)
		}
	})
}

// edit changes an instance and says that it is done.
func (a *API) edit(ctx context.Context, x *exchange, id string, change func(*gantryv1.Instance)) error {
	service, err := x.service(ctx, mayChange)
	if err != nil {
		return err
	}
	if err := a.editInstance(ctx, service, id, change); err != nil {
		return err
	}
	return x.done()
}

func (a *API) editInstance(ctx context.Context, service instance.Service, id string, change func(*gantryv1.Instance)) error {
	_, err := a.Instances.Edit(ctx, service, id, func(m *gantryv1.Instance) error {
		change(m)
		labels := edge.Labels(m.Metadata)
		for key, value := range labels {
			if m.Labels == nil {
				m.Labels = map[string]string{}
			}
			m.Labels[key] = value
		}
		return nil
	})
	return err
}

func setMetadata(m *gantryv1.Instance, key, value string) {
	if m.Metadata == nil {
		m.Metadata = map[string]string{}
	}
	m.Metadata[key] = value
}

// getInstance answers one instance.
func (a *API) getInstance(ctx context.Context, x *exchange) error {
	snapshot, i, err := a.named(ctx, x, mayRead)
	if err != nil {
		return err
	}
	name := "service"
	if x.results {
		name = "serviceName"
	}
	b := appendString(append(appendString([]byte{'{'}, name), ':'), groupedName(snapshot.Service))
	b = appendString(append(b, `,"ip":`...), i.Address)
	b = strconv.AppendUint(append(b, `,"port":`...), uint64(i.Port), 10)
	b = appendString(append(b, `,"clusterName":`...), clusterOf(i))
	b = appendFloat(append(b, `,"weight":`...), i.EffectiveWeight())
	b = strconv.AppendBool(append(b, `,"healthy":`...), isHealthy(i, false))
	b = strconv.AppendBool(append(b, `,"enabled":`...), isEnabled(i))
	b = strconv.AppendBool(append(b, `,"ephemeral":`...), !i.Persistent)
	b = appendString(append(b, `,"instanceId":`...), i.ID)
	b = appendMetadata(append(b, `,"metadata":`...), i)
	return x.answer(append(b, '}'))
}

// getInstances answers the enabled instances of a service, and subscribes to pushes when it brings a port for them.
func (a *API) getInstances(ctx context.Context, x *exchange) error {
	service, err := x.service(ctx, mayRead)
	if err != nil {
		return err
	}
	udp, err := x.number("udpPort", 0, 0, 65535)
	if err != nil {
		return err
	}
	clusters := x.first("clusters", "clusterName")
	info := serviceInfo{name: groupedName(service), groupName: groupNameOf(service.Group), clusters: clusters, cacheMillis: cachePolled, lastRefTime: nowMillis()}
	if udp > 0 && a.pushes.want(ctx, service, clusters, edge.Source(x.request), udp, x.request.UserAgent()) {
		info.cacheMillis = cachePushed
	}
	info.hosts = hostsOf(a.Instances.Lookup(service), clusters, selection{healthyOnly: x.flag("healthyOnly", false)})
	begin, end := make([]byte, 0, 512), make([]byte, 0, 128)
	if x.results {
		begin = append(begin, success...)
	}
	begin, end = info.appendBegin(begin), info.appendEnd(end)
	if x.results {
		end = append(end, successEnd...)
	}
	x.json(http.StatusOK, begin, info.hosts.array, end)
	return nil
}

// getHosts answers the instances alone, as v3 has it.
func (a *API) getHosts(ctx context.Context, x *exchange) error {
	service, err := x.service(ctx, mayRead)
	if err != nil {
		return err
	}
	return x.answer(hostsOf(a.Instances.Lookup(service), x.first("clusterName", "clusters"), selection{healthyOnly: x.flag("healthyOnly", false)}).array)
}

// getStatuses answers addresses with their health, for old clients. Its key is "namespace##group@@service".
func (a *API) getStatuses(ctx context.Context, x *exchange) error {
	namespace, name := "", x.get("key")
	if before, after, found := cutLast(name, "##"); found {
		namespace, name = before, after
	}
	service, err := serviceOf(namespace, "", name)
	if err != nil {
		return err
	}
	if err := access.Require(ctx, mayRead, service.Namespace); err != nil {
		return err
	}
	ips := []string{}
	if snapshot := a.Instances.Lookup(service); snapshot != nil {
		for _, i := range snapshot.Instances {
			ips = append(ips, i.Target()+"_"+strconv.FormatBool(isHealthy(i, false)))
		}
	}
	return x.value(map[string]any{"ips": ips})
}

// putHealth sets the health of a persistent instance that nobody checks.
func (a *API) putHealth(ctx context.Context, x *exchange) error {
	snapshot, i, err := a.named(ctx, x, mayChange)
	if err != nil {
		return err
	}
	if x.first("healthy", "valid") == "" {
		return missing("healthy")
	}
	healthy := x.flag("healthy", x.flag("valid", true))
	if _, err := a.Instances.SetHealth(ctx, snapshot.Service, i.ID, healthy, "set by Nacos's protocol"); err != nil {
		return err
	}
	return x.done()
}

// putMetadata adds metadata to some or all instances of a service, deleteMetadata takes entries away.
func (a *API) putMetadata(ctx context.Context, x *exchange) error {
	return a.batchMetadata(ctx, x, func(m *gantryv1.Instance, entries metadata) {
		for key, value := range entries {
			setMetadata(m, key, value)
		}
	})
}

func (a *API) deleteMetadata(ctx context.Context, x *exchange) error {
	return a.batchMetadata(ctx, x, func(m *gantryv1.Instance, entries metadata) {
		for key := range entries {
			delete(m.Metadata, key)
			if key != clusterLabel {
				delete(m.Labels, key)
			}
		}
	})
}

func (a *API) batchMetadata(ctx context.Context, x *exchange, change func(*gantryv1.Instance, metadata)) error {
	service, err := x.service(ctx, mayChange)
	if err != nil {
		return err
	}
	entries, err := parseMetadata(x.get("metadata"))
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		return missing("metadata")
	}
	chosen, err := a.chosen(x, a.Instances.Lookup(service))
	if err != nil {
		return err
	}
	updated := []string{}
	for _, i := range chosen {
		err := a.editInstance(ctx, service, i.ID, func(m *gantryv1.Instance) { change(m, entries) })
		if fault.Is(err, fault.NotFound) {
			continue // gone meanwhile
		}
		if err != nil {
			return err
		}
		kind := "ephemeral"
		if i.Persistent {
			kind = "persist"
		}
		updated = append(updated, i.Target()+":unknown:"+clusterOf(i)+":"+kind)
	}
	return x.value(map[string]any{"updated": updated})
}

// chosen are the instances that a batch names; without names all of the wanted life.
func (a *API) chosen(x *exchange, snapshot *instance.Snapshot) ([]*instance.Instance, error) {
	persistent := x.get("consistencyType") == "persist"
	if snapshot == nil {
		return nil, nil
	}
	var found []*instance.Instance
	list := x.get("instances")
	if list == "" {
		for _, i := range snapshot.Instances {
			if i.Persistent == persistent {
				found = append(found, i)
			}
		}
	}
	var named []Instance
	if list != "" && json.Unmarshal([]byte(list), &named) != nil {
		return nil, invalid("instances", "it is no JSON array of instances")
	}
	if len(named) > instance.MaxBatch || len(found) > instance.MaxBatch {
		return nil, fault.New(fault.TooLarge, "nacos.too_large", "%d instances at once", max(len(named), len(found))).At("instances").
			Hinted("name at most %d in one request", instance.MaxBatch)
	}
	for n := range named {
		named[n].normal()
		if i := find(snapshot, named[n].IP, named[n].Port, named[n].ClusterName); i != nil {
			found = append(found, i)
		}
	}
	return found, nil
}
