// Package testserver is a small registry that speaks the session protocol in memory, for the tests and examples of the client
// library: instances, subscriptions with deltas, documents, applied reports, several nodes over one truth. It keeps nothing
// and checks little; the server itself is another module.
package testserver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// history is how many changes of a service can be resumed from.
const history = 8

// Cluster is the truth that nodes share.
type Cluster struct {
	// Token is what sessions must carry; empty lets all in. Set it before nodes start, or by SetToken.
	token        string
	pingInterval time.Duration

	mu        sync.Mutex
	changed   chan struct{}
	noQuorum  bool
	revision  int64
	services  map[string]*service
	documents map[string]*document
	applied   map[string]map[string]*gantryv1.AppliedReport
	nodes     map[string]*Node
	sessions  map[*session]struct{}
	opened    int

	emitted map[string]*gantryv1.BusinessEvent
	emits   int
	emitErr error
	refused []string
}

type service struct {
	ref       *gantryv1.ServiceRef
	revision  int64
	instances map[string]*record
	log       []change
}

// record is an instance and the session that keeps it.
type record struct {
	instance *gantryv1.Instance
	owner    *session
}

// change is one step of a service's revision.
type change struct {
	from, to int64
	changed  *gantryv1.Instance
	removed  string
}

type document struct {
	ref     *gantryv1.DocumentRef
	version *gantryv1.Version
	latest  int64
}

// NewCluster returns a cluster without nodes. Sessions are asked to ping that often.
func NewCluster(pingInterval time.Duration) *Cluster {
	return &Cluster{
		pingInterval: pingInterval, changed: make(chan struct{}), services: map[string]*service{}, documents: map[string]*document{},
		applied: map[string]map[string]*gantryv1.AppliedReport{}, nodes: map[string]*Node{}, sessions: map[*session]struct{}{},
	}
}

// SetToken sets what new sessions must carry.
func (c *Cluster) SetToken(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.token = token
}

// SetQuorum says whether the cluster has a quorum. Without one, events are stale and cannot be resumed from.
func (c *Cluster) SetQuorum(quorum bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noQuorum = !quorum
	for s := range c.sessions {
		for _, sub := range s.services {
			sub.again = true
		}
	}
	c.notify()
}

// notify wakes waiters and sessions. The caller holds mu.
func (c *Cluster) notify() {
	close(c.changed)
	c.changed = make(chan struct{})
	for s := range c.sessions {
		s.signal()
	}
}

// Wait waits until a condition holds, looking again after each change.
func (c *Cluster) Wait(ctx context.Context, condition func() bool) error {
	for {
		c.mu.Lock()
		changed := c.changed
		c.mu.Unlock()
		if condition() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func key(ref *gantryv1.ServiceRef) string {
	return ref.GetNamespace() + "/" + ref.GetGroup() + "/" + ref.GetService()
}

// Ref names a service of the default namespace and group.
func Ref(name string) *gantryv1.ServiceRef {
	return &gantryv1.ServiceRef{Namespace: "default", Group: "default", Service: name}
}

// service finds or makes a service. The caller holds mu.
func (c *Cluster) service(ref *gantryv1.ServiceRef) *service {
	s := c.services[key(ref)]
	if s == nil {
		c.revision++
		s = &service{ref: ref, revision: c.revision, instances: map[string]*record{}}
		c.services[key(ref)] = s
	}
	return s
}

// step records a change of a service. The caller holds mu.
func (c *Cluster) step(s *service, changed *gantryv1.Instance, removed string) int64 {
	c.revision++
	s.log = append(s.log, change{s.revision, c.revision, changed, removed})
	if len(s.log) > history {
		s.log = s.log[len(s.log)-history:]
	}
	s.revision = c.revision
	c.notify()
	return s.revision
}

// event is what a subscriber that holds a revision is sent; nil when there is nothing new, unless it is sent again.
func (s *service) event(held int64, again bool) *gantryv1.ServiceEvent {
	event := &gantryv1.ServiceEvent{Service: s.ref, Revision: s.revision}
	if held == s.revision {
		if !again {
			return nil
		}
		return event
	}
	start := slices.IndexFunc(s.log, func(c change) bool { return c.from == held })
	if held == 0 || start < 0 {
		event.Full = true
		for _, id := range slices.Sorted(maps.Keys(s.instances)) {
			event.Instances = append(event.Instances, s.instances[id].instance)
		}
		return event
	}
	touched := map[string]bool{}
	for _, c := range s.log[start:] {
		if c.changed != nil {
			touched[c.changed.GetId()] = true
		} else {
			touched[c.removed] = true
		}
	}
	for _, id := range slices.Sorted(maps.Keys(touched)) {
		if r := s.instances[id]; r != nil {
			event.Instances = append(event.Instances, r.instance)
		} else {
			event.Removed = append(event.Removed, id)
		}
	}
	return event
}

// put adds or replaces an instance. The caller holds mu.
func (c *Cluster) put(ref *gantryv1.ServiceRef, instance *gantryv1.Instance, owner *session) int64 {
	s := c.service(ref)
	if was := s.instances[instance.GetId()]; was != nil && proto.Equal(was.instance, instance) {
		was.owner = owner
		c.notify()
		return s.revision
	}
	s.instances[instance.GetId()] = &record{instance, owner}
	return c.step(s, instance, "")
}

// Put adds or replaces an instance that no session keeps.
func (c *Cluster) Put(ref *gantryv1.ServiceRef, instance *gantryv1.Instance) {
	c.mu.Lock()
	defer c.mu.Unlock()
	instance = proto.CloneOf(instance)
	if instance.Status == gantryv1.Status_STATUS_UNSPECIFIED {
		instance.Status = gantryv1.Status_STATUS_UP
	}
	c.put(ref, instance, nil)
}

// Remove removes an instance.
func (c *Cluster) Remove(ref *gantryv1.ServiceRef, id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(ref, id)
}

func (c *Cluster) remove(ref *gantryv1.ServiceRef, id string) {
	s := c.service(ref)
	if s.instances[id] != nil {
		delete(s.instances, id)
		c.step(s, nil, id)
	}
}

// Instances returns the instances of a service by id.
func (c *Cluster) Instances(ref *gantryv1.ServiceRef) map[string]*gantryv1.Instance {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := map[string]*gantryv1.Instance{}
	if s := c.services[key(ref)]; s != nil {
		for id, r := range s.instances {
			all[id] = r.instance
		}
	}
	return all
}

// Owned counts instances of a service that are kept by an open session.
func (c *Cluster) Owned(ref *gantryv1.ServiceRef) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	count := 0
	if s := c.services[key(ref)]; s != nil {
		for _, r := range s.instances {
			if _, open := c.sessions[r.owner]; open {
				count++
			}
		}
	}
	return count
}

// Release puts content in force under a name, and returns its version.
func (c *Cluster) Release(kind, name, format, content string) int64 {
	return c.ReleaseVersion(kind, name, &gantryv1.Version{Format: format, Content: []byte(content)})
}

// ReleaseVersion puts a version in force. Number and checksum are filled in; a checksum that is given stays.
func (c *Cluster) ReleaseVersion(kind, name string, version *gantryv1.Version) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	ref := &gantryv1.DocumentRef{Namespace: "default", Kind: kind, Name: name}
	d := c.documents[kind+"/"+name]
	if d == nil {
		d = &document{ref: ref}
		c.documents[kind+"/"+name] = d
	}
	d.latest++
	d.version = proto.CloneOf(version)
	d.version.Version = d.latest
	if d.version.Checksum == "" {
		sum := sha256.Sum256(version.Content)
		d.version.Checksum = hex.EncodeToString(sum[:])
	}
	c.notify()
	return d.latest
}

// Delete takes a document out of force.
func (c *Cluster) Delete(kind, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := c.documents[kind+"/"+name]; d != nil {
		d.version = nil
	}
	c.notify()
}

// Applied returns what an instance reported last about a document; nil for nothing.
func (c *Cluster) Applied(kind, name, instance string) *gantryv1.AppliedReport {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.applied[kind+"/"+name][instance]
}

// ForgetApplied forgets all reports, as nodes do when they restart.
func (c *Cluster) ForgetApplied() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.applied)
}

// Opened counts sessions since the start, and Open those that are open.
func (c *Cluster) Opened() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.opened
}

// Open counts sessions that are open.
func (c *Cluster) Open() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.sessions)
}

// Acknowledged returns the least revision of a service that any subscriber acknowledged, and how many subscribe.
func (c *Cluster) Acknowledged(ref *gantryv1.ServiceRef) (least int64, subscribers int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.acknowledgedLocked(ref)
}

func (c *Cluster) acknowledgedLocked(ref *gantryv1.ServiceRef) (least int64, subscribers int) {
	for s := range c.sessions {
		if sub := s.services[key(ref)]; sub != nil {
			if subscribers == 0 || sub.acknowledged < least {
				least = sub.acknowledged
			}
			subscribers++
		}
	}
	return least, subscribers
}

// Revision is a service's revision.
func (c *Cluster) Revision(ref *gantryv1.ServiceRef) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.service(ref).revision
}

func (c *Cluster) addresses() []string {
	var all []string
	for address, node := range c.nodes {
		if node.server != nil && !node.leaving {
			all = append(all, address)
		}
	}
	slices.SortFunc(all, strings.Compare)
	return all
}
