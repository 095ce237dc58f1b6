package nacos

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
)

// The types of requests about instances.
const (
	typeRegister        = "registerInstance"
	typeDeregister      = "deregisterInstance"
	typeBatchRegister   = "batchRegisterInstance"
	typeBatchDeregister = "batchDeregisterInstance"
)

func (r *serviceRequest) service() (instance.Service, error) {
	return serviceOf(r.Namespace, r.GroupName, r.ServiceName)
}

// maxPageSize bounds one page of a list of services.
const maxPageSize = 5_000

func (k *call) instance(r *instanceRequest) ([]byte, error) {
	service, err := k.mayServe(&r.serviceRequest)
	if err != nil {
		return nil, err
	}
	sent := r.instance()
	if sent == nil {
		return nil, missing("instance")
	}
	switch r.Type {
	case typeRegister:
		err = k.c.register(k.ctx, service, []Instance{*sent})
	case typeDeregister:
		err = k.c.deregister(k.ctx, service, []Instance{*sent})
	default:
		err = errUnsupportedType(r.Type)
	}
	if err != nil {
		return nil, err
	}
	return encodeJSON("InstanceResponse", instanceResponse{good(r.RequestID), r.Type}), nil
}

func (k *call) batchInstance(r *batchInstanceRequest) ([]byte, error) {
	service, err := k.mayServe(&r.serviceRequest)
	if err != nil {
		return nil, err
	}
	if len(r.Instances) > instance.MaxBatch {
		return nil, fault.New(fault.TooLarge, "instance.batch_too_large", "%d instances at once", len(r.Instances)).At("instances").
			Hinted("at most %d", instance.MaxBatch)
	}
	switch r.Type {
	case typeBatchRegister:
		err = k.c.register(k.ctx, service, r.Instances)
	case typeBatchDeregister:
		err = k.c.deregister(k.ctx, service, r.Instances)
	default:
		err = errUnsupportedType(r.Type)
	}
	if err != nil {
		return nil, err
	}
	return encodeJSON("BatchInstanceResponse", instanceResponse{good(r.RequestID), r.Type}), nil
}

func (k *call) mayServe(r *serviceRequest) (instance.Service, error) {
	service, err := r.service()
	if err != nil {
		return service, err
	}
	return service, access.Require(k.ctx, mayServe, service.Namespace)
}

func (k *call) mayRead(r *serviceRequest) (instance.Service, error) {
	service, err := r.service()
	if err != nil {
		return service, err
	}
	return service, access.Require(k.ctx, mayRead, service.Namespace)
}

// register puts instances in the place of what this connection registered of the service before, as in Nacos: a client has one instance of a
// service, or one batch. The new ones come before the old ones go.
func (c *connection) register(ctx context.Context, service instance.Service, instances []Instance) error {
	registrations := make([]instance.Registration, len(instances))
	for n := range instances {
		if !instances[n].Ephemeral {
			return invalid("instance.ephemeral", "a persistent instance in a request for ephemeral ones").
				Hinted("send a PersistentInstanceRequest")
		}
		var err error
		if registrations[n], err = instances[n].registration(service, nil); err != nil {
			return err
		}
	}
	free, err := c.claim(ctx, service)
	if err != nil {
		return err
	}
	defer free()
	session, held := c.held(service)
	if len(registrations) > 0 {
		fresh := make([]string, len(registrations))
		for n := range registrations {
			fresh[n] = registrations[n].Instance.Id
		}
		c.hold(service, append(slices.Clone(held), fresh...)) // whatever comes of it: those that are not held are left out by their removal
		results, err := session.Register(ctx, registrations)
		if err != nil {
			return err
		}
		for n := range results {
			fresh[n] = results[n].ID
		}
		held = slices.DeleteFunc(slices.Clone(held), func(id string) bool { return slices.Contains(fresh, id) })
		c.hold(service, append(fresh, held...))
	}
	return c.leave(ctx, service, held)
}

// deregister removes instances that this connection registered, found by address, port and cluster. A client that has one instance of the service means that one
// whatever it names, as in Nacos. What is not this connection's is not removed, and that is no error.
func (c *connection) deregister(ctx context.Context, service instance.Service, instances []Instance) error {
	free, err := c.claim(ctx, service)
	if err != nil {
		return err
	}
	defer free()
	_, held := c.held(service)
	snapshot := c.server.api.Instances.Lookup(service)
	var leaving []string
	for n := range instances {
		named := &instances[n]
		named.normal()
		if id := named.id(service); slices.Contains(held, id) {
			leaving = append(leaving, id)
		} else if found := find(snapshot, named.IP, named.Port, named.ClusterName); found != nil && slices.Contains(held, found.ID) {
			leaving = append(leaving, strings.Clone(found.ID))
		}
	}
	if len(held) == 1 {
		leaving = held
	}
	return c.leave(ctx, service, slices.Clone(leaving))
}

// leave removes instances that the connection holds. The service is claimed.
func (c *connection) leave(ctx context.Context, service instance.Service, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	session, held := c.held(service)
	for _, id := range ids {
		if _, err := session.Deregister(ctx, service, id); err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
		held = slices.DeleteFunc(slices.Clone(held), func(other string) bool { return other == id })
		c.hold(service, held)
	}
	return nil
}

// held answers the connection's session, opened when it is first needed, and what it registered of a service. The ids are shared: nobody changes them.
func (c *connection) held(service instance.Service) (*instance.Session, []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session == nil {
		c.session = c.server.api.Instances.OpenSession(instance.SessionOptions{Protocol: protocol})
	}
	return c.session, c.holding[service]
}

func (c *connection) hold(service instance.Service, ids []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(ids) == 0 {
		delete(c.holding, service)
		return
	}
	if c.holding == nil {
		c.holding = make(map[instance.Service][]string)
	}
	c.holding[service] = ids
}

// claim keeps the requests of a connection about one service in order: two at once would undo each other's replacement.
func (c *connection) claim(ctx context.Context, service instance.Service) (free func(), err error) {
	for {
		c.mu.Lock()
		busy := c.busy[service]
		if busy == nil {
			if c.busy == nil {
				c.busy = make(map[instance.Service]chan struct{})
			}
			mine := make(chan struct{})
			c.busy[service] = mine
			c.mu.Unlock()
			return func() {
				c.mu.Lock()
				if delete(c.busy, service); len(c.busy) == 0 {
					c.busy = nil
				}
				c.mu.Unlock()
				close(mine)
			}, nil
		}
		c.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// persistentInstance registers what stays beyond the connection.
func (k *call) persistentInstance(r *instanceRequest) ([]byte, error) {
	service, err := k.mayServe(&r.serviceRequest)
	if err != nil {
		return nil, err
	}
	sent := r.instance()
	if sent == nil {
		return nil, missing("instance")
	}
	instances, i := k.api.Instances, sent
	i.Ephemeral = false
	i.normal()
	switch r.Type {
	case typeRegister:
		var registration instance.Registration
		if registration, err = i.registration(service, checksOf(instances.Lookup(service), i.ClusterName)); err == nil {
			_, err = instances.Register(k.ctx, registration)
		}
	case typeDeregister:
		// Ephemeral ones are their connections' to remove.
		if found := find(instances.Lookup(service), i.IP, i.Port, i.ClusterName); found != nil && found.Persistent {
			if _, err = instances.Deregister(k.ctx, service, found.ID); fault.Is(err, fault.NotFound) {
				err = nil
			}
		}
	default:
		err = errUnsupportedType(r.Type)
	}
	if err != nil {
		return nil, err
	}
	return encodeJSON("InstanceResponse", instanceResponse{good(r.RequestID), r.Type}), nil
}

// serviceAnswer writes an answer that holds a service: as it is now, in the clusters of the list.
func (k *call) serviceAnswer(kind, id string, service instance.Service, clusters string, s selection) []byte {
	snapshot := k.api.Instances.Lookup(service)
	answer := good(id)
	if kind == "SubscribeServiceResponse" {
		answer.Message = "success"
	}
	h := hostsOf(snapshot, clusters, s)
	body := append(answer.append(make([]byte, 0, len(h.array)+512)), `,"serviceInfo":`...)
	body = infoOf(service, clusters, stampOf(snapshot), h).append(body)
	return encodePayload(kind, append(body, '}'))
}

// infoOf is a service for clients that hold a connection.
func infoOf(service instance.Service, clusters string, stamp int64, h *hosts) *serviceInfo {
	return &serviceInfo{name: service.Name, groupName: groupNameOf(service.Group), clusters: clusters, cacheMillis: cachePushed, lastRefTime: stamp, hosts: h}
}

// stampOf orders what a client is told of a service. A service that is not there is older than whatever comes.
func stampOf(snapshot *instance.Snapshot) int64 {
	if snapshot == nil {
		return time.Now().UnixMilli() - 1
	}
	return snapshot.Made
}

func (k *call) queryService(r *serviceQueryRequest) ([]byte, error) {
	service, err := k.mayRead(&r.serviceRequest)
	if err != nil {
		return nil, err
	}
	return k.serviceAnswer("QueryServiceResponse", r.RequestID, service, r.Cluster, selection{healthyOnly: r.HealthyOnly}), nil
}

func (k *call) listServices(r *serviceListRequest) ([]byte, error) {
	namespace := namespaceOf(r.Namespace)
	if err := access.Require(k.ctx, mayRead, namespace); err != nil {
		return nil, err
	}
	if r.PageSize < 0 || r.PageSize > maxPageSize {
		return nil, invalid("pageSize", "a page of %d services", r.PageSize).Hinted("ask for at most %d at once", maxPageSize)
	}
	group, names := groupOf(r.GroupName), []string{}
	for _, service := range k.api.Instances.Services(namespace) {
		if service.Group == group {
			names = append(names, service.Name)
		}
	}
	from := min(max(r.PageNo-1, 0)*r.PageSize, len(names))
	page := names[from:min(from+r.PageSize, len(names))]
	return encodeJSON("ServiceListResponse", serviceListResponse{response: good(r.RequestID), Count: len(names), ServiceNames: page}), nil
}
