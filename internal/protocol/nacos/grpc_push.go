package nacos

import (
	"slices"
	"strconv"
	"sync"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
)

// subscriptions are the services that a connection follows.
type subscriptions struct {
	subscriber *instance.Subscriber

	mu       sync.Mutex
	services map[instance.Service]*subscribed
}

// subscribed is how a connection follows one service.
type subscribed struct {
	// clusters are the lists of clusters that it was asked for with; as a rule one, the empty list, which is all.
	clusters []string
	// attempts counts the pushes in a row that were not acknowledged.
	attempts int
}

// maxClusterLists bounds the lists of one service, and maxClusterList the bytes of each.
const (
	maxClusterLists = 16
	maxClusterList  = 1024
)

func (k *call) subscribe(r *subscribeRequest) ([]byte, error) {
	service, err := k.mayRead(&r.serviceRequest)
	if err != nil {
		return nil, err
	}
	if len(r.Clusters) > maxClusterList {
		return nil, fault.New(fault.TooLarge, "nacos.clusters", "a list of clusters of %d bytes", len(r.Clusters)).At("clusters").
			Hinted("at most %d; leave it empty for all", maxClusterList)
	}
	service = service.Normal()
	if r.Subscribe {
		err = k.c.subscribe(service, r.Clusters)
	} else {
		k.c.unsubscribe(service, r.Clusters)
	}
	if err != nil {
		return nil, err
	}
	return k.serviceAnswer("SubscribeServiceResponse", r.RequestID, service, r.Clusters, selection{}), nil
}

// subscribe follows a service; the first push comes at once, as in Nacos.
func (c *connection) subscribe(service instance.Service, clusters string) error {
	c.mu.Lock()
	s := c.services
	if s == nil {
		s = &subscriptions{subscriber: c.server.api.Instances.Subscribe(instance.Follower{Address: c.ip, Protocol: protocol}), services: make(map[instance.Service]*subscribed)}
		c.services = s
		c.server.workers.Go(func() { c.pushServices(s) })
	}
	c.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.services[service]
	if one == nil {
		one = &subscribed{}
	}
	if !slices.Contains(one.clusters, clusters) {
		if len(one.clusters) >= maxClusterLists {
			return fault.New(fault.Exhausted, "nacos.clusters", "a service is followed with %d lists of clusters already", maxClusterLists).At("clusters").
				Hinted("leave clusters empty and choose among the instances")
		}
		one.clusters = append(slices.Clip(one.clusters), clusters)
	}
	if err := s.subscriber.Add(service, 0); err != nil {
		return err
	}
	s.services[service] = one
	return nil
}

func (c *connection) unsubscribe(service instance.Service, clusters string) {
	c.mu.Lock()
	s := c.services
	c.mu.Unlock()
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.services[service]
	if one == nil {
		return
	}
	one.clusters = slices.DeleteFunc(slices.Clone(one.clusters), func(other string) bool { return other == clusters })
	if len(one.clusters) == 0 {
		delete(s.services, service)
		s.subscriber.Remove(service)
	}
}

// lists are the lists of clusters that a service is followed with.
func (s *subscriptions) lists(service instance.Service) (lists []string, attempts int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if one := s.services[service]; one != nil {
		return one.clusters, one.attempts
	}
	return nil, 0
}

// pushServices tells a client what changed in the services that it follows, until the connection ends. Only the newest state of each is told, however slow
// the client is.
func (c *connection) pushServices(s *subscriptions) {
	for {
		snapshots, err := s.subscriber.NextSnapshots(c.ctx)
		if err != nil {
			return
		}
		for _, snapshot := range snapshots {
			if err := c.pushService(s, snapshot); err != nil {
				c.cancel(err)
				return
			}
		}
	}
}

func (c *connection) pushService(s *subscriptions, snapshot *instance.Snapshot) error {
	c.mu.Lock()
	identity := c.identity
	c.mu.Unlock()
	if !identity.May(mayRead, snapshot.Service.Namespace) {
		return access.Require(access.NewContext(c.ctx, identity), mayRead, snapshot.Service.Namespace)
	}
	lists, attempts := s.lists(snapshot.Service)
	for _, clusters := range lists {
		notice := c.server.noticeOf(snapshot, clusters)
		service, revision := snapshot.Service, snapshot.Revision
		c.expect(notice.number, &push{attempt: attempts, done: func() { s.acknowledged(service, revision) }, again: func() { s.again(service) }})
		if err := c.send(notice.encoded); err != nil {
			return err
		}
	}
	return nil
}

// acknowledged tells the registry that the client uses a revision, which is what a drain waits for.
func (s *subscriptions) acknowledged(service instance.Service, revision int64) {
	s.mu.Lock()
	if one := s.services[service]; one != nil {
		one.attempts = 0
	}
	s.mu.Unlock()
	s.subscriber.Acknowledge(service, revision)
}

// again has the service pushed as it is by now.
func (s *subscriptions) again(service instance.Service) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if one := s.services[service]; one != nil {
		one.attempts++
		_ = s.subscriber.Add(service, 0) // it fails only when the connection has ended
	}
}

// notice is a NotifySubscriberRequest, encoded once for all who follow the same.
type notice struct {
	number  uint64
	encoded []byte
}

// noticeForm is the key of a snapshot's notice for all clusters.
type noticeForm struct{}

func (s *Connections) noticeOf(snapshot *instance.Snapshot, clusters string) *notice {
	h := hostsOf(snapshot, clusters, selection{})
	if clusters != "" {
		return s.makeNotice(snapshot, clusters, h)
	}
	return snapshot.Form(noticeForm{}, func() any { return s.makeNotice(snapshot, "", h) }).(*notice)
}

func (s *Connections) makeNotice(snapshot *instance.Snapshot, clusters string, h *hosts) *notice {
	number, service := s.requestID.Add(1), snapshot.Service
	body := make([]byte, 0, len(h.array)+512)
	body = strconv.AppendUint(append(body, `{"requestId":"`...), number, 10)
	body = appendString(append(body, `","namespace":`...), namespaceIDOf(service.Namespace))
	body = appendString(append(body, `,"serviceName":`...), service.Name)
	body = appendString(append(body, `,"groupName":`...), groupNameOf(service.Group))
	body = infoOf(service, clusters, snapshot.Made, h).append(append(body, `,"serviceInfo":`...))
	return &notice{number: number, encoded: encodePayload("NotifySubscriberRequest", append(body, `,"module":"naming"}`...))}
}
