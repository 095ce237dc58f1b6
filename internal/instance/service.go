package instance

import (
	"cmp"
	"net"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// Default is the name of the namespace and of the group that empty names mean.
const Default = "default"

// Service names a service. Two are equal when they are == after [Service.Normal].
type Service struct{ Namespace, Group, Name string }

// Normal fills an empty namespace and group with [Default].
func (s Service) Normal() Service {
	s.Namespace = cmp.Or(s.Namespace, Default)
	s.Group = cmp.Or(s.Group, Default)
	return s
}

// String is "namespace/group/name", for people.
func (s Service) String() string { return s.Namespace + "/" + s.Group + "/" + s.Name }

// Ref is the service's name in the native API.
func (s Service) Ref() *gantryv1.ServiceRef {
	return &gantryv1.ServiceRef{Namespace: s.Namespace, Group: s.Group, Service: s.Name}
}

// ServiceOf reads a name of the native API; nil is the empty name.
func ServiceOf(ref *gantryv1.ServiceRef) Service {
	return Service{Namespace: ref.GetNamespace(), Group: ref.GetGroup(), Name: ref.GetService()}.Normal()
}

func compareServices(a, b Service) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Group, b.Group), cmp.Compare(a.Name, b.Name))
}

// Label is a name and its value.
type Label struct{ Key, Value string }

// Labels are sorted by key, each key once. They are shared: do not change them.
type Labels []Label

// Get returns the value of a key, or "".
func (l Labels) Get(key string) string {
	value, _ := l.Lookup(key)
	return value
}

// Lookup returns the value of a key and whether it is there.
func (l Labels) Lookup(key string) (string, bool) {
	for i := range l {
		if l[i].Key == key {
			return l[i].Value, true
		}
	}
	return "", false
}

// Match reports whether all of the wanted labels are carried with just those values.
func (l Labels) Match(wanted map[string]string) bool {
	for key, value := range wanted {
		if have, ok := l.Lookup(key); !ok || have != value {
			return false
		}
	}
	return true
}

// Map copies the labels into a map.
func (l Labels) Map() map[string]string {
	m := make(map[string]string, len(l))
	for i := range l {
		m[l[i].Key] = l[i].Value
	}
	return m
}

// Port is a further port of an instance by name.
type Port struct {
	Name   string
	Number uint16
}

// Instance is one running process of a service, as of one moment: it is immutable and shared.
//
// Its strings share memory with its encoded form. Whoever keeps one of them for long clones it.
type Instance struct {
	ID      string
	Address string
	// Ports are further ports, sorted by name.
	Ports    []Port
	Labels   Labels
	Metadata Labels
	// Weight is what the instance says; see [Instance.EffectiveWeight].
	Weight float64
	Checks []*gantryv1.Check
	// ProtocolData is what the registering protocol keeps for itself.
	ProtocolData string
	// TTL and RemoveAfter bound its silence; see the native API.
	TTL, RemoveAfter time.Duration

	// HealthReason says why it is not healthy.
	HealthReason string
	// Protocol is the language that registered it, such as "native" or "nacos".
	Protocol string
	// Owner is the node that holds its session; empty for instances that live by beats or checks.
	Owner        string
	RegisteredAt time.Time
	ChangedAt    time.Time
	// Override is what an operator set, or nil.
	Override *Override
	// Modified is the revision of its record; 0 for a provisional one that has none yet.
	Modified int64

	// wire is the instance as subscribers get it: the first stored bytes are its record, of which the first content
	// bytes are what the registrant said. What this node adds comes after them.
	wire []byte
	// life goes with a committed instance from version to version; nil in others.
	life *life
	// states are what the checks found; nil for instances without checks, which are most.
	states *[]CheckState

	// What is small stands together, without gaps: there are many instances.
	content, stored int32

	Health gantryv1.Health
	// Status is what the instance says; see [Instance.EffectiveStatus].
	Status gantryv1.Status
	Port   uint16
	// Persistent instances stay until they are deregistered.
	Persistent bool
	// Protected: lost, and kept because too many were lost at once.
	Protected bool
	// Provisional: not committed, because there is no quorum.
	Provisional bool
}

// Override is what an operator set over what an instance says of itself.
type Override struct {
	// Weight is nil when it is left to the instance.
	Weight *float64
	// Status is STATUS_UNSPECIFIED when it is left to the instance.
	Status gantryv1.Status
	Author string
	At     time.Time

	// modified is the revision of its record.
	modified int64
}

// EffectiveStatus is the operator's status if there is one, else the instance's own.
func (i *Instance) EffectiveStatus() gantryv1.Status {
	if i.Override != nil && i.Override.Status != gantryv1.Status_STATUS_UNSPECIFIED {
		return i.Override.Status
	}
	return i.Status
}

// EffectiveWeight is the operator's weight if there is one, else the instance's own.
func (i *Instance) EffectiveWeight() float64 {
	if i.Override != nil && i.Override.Weight != nil {
		return *i.Override.Weight
	}
	return i.Weight
}

// Available reports whether it takes traffic: up and not unhealthy. Weight 0 is for the balancer to judge.
// See [Snapshot.Available] for what holds under protection.
func (i *Instance) Available() bool {
	return i.Health != gantryv1.Health_HEALTH_UNHEALTHY && i.EffectiveStatus() == gantryv1.Status_STATUS_UP
}

// Target is "address:port", fit for a dialer.
func (i *Instance) Target() string { return net.JoinHostPort(i.Address, strconv.Itoa(int(i.Port))) }

// Proto decodes the instance for the native API. The caller owns the message.
func (i *Instance) Proto() *gantryv1.Instance {
	message := new(gantryv1.Instance)
	// The bytes were made or checked by this package: they decode.
	_ = proto.Unmarshal(i.wire, message)
	return message
}

// Registration is what a registrant says of one instance.
type Registration struct {
	Service Service
	// Instance in the words of the native API. What only the server sets is ignored. It is read, not kept.
	Instance *gantryv1.Instance
	// Protocol is the language it came by. Default "native".
	Protocol string
	// Expect is the revision of the instance's record that it replaces, 0 for one that is not there; with another one there it is a Conflict
	// "instance.changed". Nil replaces whatever is there. It is for [Registry.Register] alone.
	Expect *int64
}

// Result answers a registration.
type Result struct {
	ID string
	// Revision is that of the instance's record; 0 when provisional.
	Revision int64
	// Provisional: nothing can be written, as without quorum. This node shows the instance, and commits it when it can.
	Provisional bool
	// BeatInterval is how often to beat: a third of the ttl. 0 for persistent instances and sessions.
	BeatInterval time.Duration
}
