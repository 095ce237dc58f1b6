package gantry

import (
	"fmt"
	"maps"
	"math"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// Status is what an instance says of itself, or an operator for it.
type Status int

// The statuses. Only an instance that is up takes traffic.
const (
	StatusUnknown  Status = Status(gantryv1.Status_STATUS_UNSPECIFIED)
	StatusStarting Status = Status(gantryv1.Status_STATUS_STARTING)
	StatusUp       Status = Status(gantryv1.Status_STATUS_UP)
	StatusDraining Status = Status(gantryv1.Status_STATUS_DRAINING)
	StatusDown     Status = Status(gantryv1.Status_STATUS_DOWN)
)

// String returns the status's word: "up".
func (s Status) String() string {
	switch s {
	case StatusStarting:
		return "starting"
	case StatusUp:
		return "up"
	case StatusDraining:
		return "draining"
	case StatusDown:
		return "down"
	}
	return "unknown"
}

const (
	// DefaultWeight is the weight of an instance that names none.
	DefaultWeight = 1
	// MaxWeight is the largest weight.
	MaxWeight = 10_000
	// maxInstanceSize bounds an encoded instance, in bytes: over what the server's own limits allow.
	maxInstanceSize = 256 << 10
	// DefaultNamespace and DefaultGroup are meant where none is named.
	DefaultNamespace = "default"
	DefaultGroup     = "default"
)

// Instance is one running process of a service. An instance that a client hands out is shared and must not be changed.
type Instance struct {
	// ID is unique in its service. Empty on registering: the identity's InstanceID when the
	// instance is of the identity's service and that id is not in use by this client, otherwise "address:port".
	ID string
	// Service is its name; Group is empty for "default". The namespace is the client's.
	Service string
	Group   string
	// Address is the IP address or host name that callers dial. Empty on registering: the identity's Address, or
	// else the local address that packets to the server leave from.
	Address string
	// Port is the main port, 1 to 65535.
	Port int
	// Ports are further ports by name. Well known: "http", "grpc", "metrics".
	Ports map[string]int
	// Weight is its share of traffic against its siblings, over 0 to [MaxWeight]. Zero takes no traffic; on registering,
	// zero stands for [DefaultWeight] (use [Registration.Update] to set zero).
	Weight float64
	// Labels are for selection. Well known: "version", "zone", "lane"; on registering, those that it lacks are taken
	// from the identity. At most 64.
	Labels map[string]string
	// Metadata is for people and foreign protocols.
	Metadata map[string]string
	// Status is what it says of itself. Unknown on registering stands for up.
	Status Status
	// TTL is how long the instance stays after its session broke. Zero: the server's default, 15 s. From 1 s to 1 h.
	TTL time.Duration

	// Healthy is what the server found. Set by the server, as is the rest.
	Healthy bool
	// Protected: lost, but kept since its service lost too many at once.
	Protected bool
	// Provisional: not committed yet, as the cluster has no quorum.
	Provisional bool

	endpoints []endpoint
	// load counts calls under way; versions of the same instance share it.
	load *atomic.Int64
}

// endpoint is where a named port is dialled.
type endpoint struct{ name, address string }

// Available reports whether the instance takes traffic: up, healthy, and of a weight above zero.
func (i *Instance) Available() bool {
	return i.Status == StatusUp && i.Healthy && i.Weight > 0
}

// Endpoint returns "address:port" of a named port, or of the main port when there is none of that name. For an
// instance that a client handed out, it does not allocate.
func (i *Instance) Endpoint(port string) string {
	for _, e := range i.endpoints {
		if e.name == port {
			return e.address
		}
	}
	if len(i.endpoints) > 0 {
		return i.endpoints[0].address
	}
	number := i.Port
	if named, ok := i.Ports[port]; ok {
		number = named
	}
	return net.JoinHostPort(i.Address, strconv.Itoa(number))
}

// Begin counts a call that starts on the instance, for [View.Pick] to compare. Each Begin is followed by one Done.
func (i *Instance) Begin() {
	if i.load != nil {
		i.load.Add(1)
	}
}

// Done counts a call that ended.
func (i *Instance) Done() {
	if i.load != nil {
		i.load.Add(-1)
	}
}

// InFlight is how many calls of this client are under way on the instance.
func (i *Instance) InFlight() int {
	if i.load == nil {
		return 0
	}
	return int(i.load.Load())
}

// clone copies what a caller may change later.
func (i Instance) clone() Instance {
	i.Ports, i.Labels, i.Metadata = maps.Clone(i.Ports), maps.Clone(i.Labels), maps.Clone(i.Metadata)
	return i
}

// validate finds what the server would refuse in any case, without asking it.
func (i *Instance) validate() error {
	refuse := func(field, hint, format string, args ...any) error {
		return &Error{Code: invalidArgument, Reason: "instance.invalid", Field: field, Hint: hint, Message: fmt.Sprintf(format, args...)}
	}
	if err := validName("service", i.Service); err != nil {
		return err
	}
	if err := validName("group", i.Group); err != nil {
		return err
	}
	if i.Port < 1 || i.Port > 65535 {
		return refuse("port", "register after listening, with the port that the listener has", "%d is not a port", i.Port)
	}
	for name, port := range i.Ports {
		if port < 1 || port > 65535 {
			return refuse("ports."+name, "name ports from 1 to 65535", "%d is not a port", port)
		}
	}
	if i.Weight < 0 || i.Weight > MaxWeight || math.IsNaN(i.Weight) {
		return refuse("weight", "use a weight from 0 to 10000", "%v is not a weight", i.Weight)
	}
	if i.TTL != 0 && (i.TTL < time.Second || i.TTL > time.Hour) {
		return refuse("ttl", "use a time from 1s to 1h, or zero for the default", "%s is out of range", i.TTL)
	}
	// What cannot be encoded, or is refused for its size, would break the session again and again.
	m := i.message()
	if size := proto.Size(m); size > maxInstanceSize {
		return refuse("instance", "keep labels and metadata small", "it takes %d bytes, at most %d are allowed", size, maxInstanceSize)
	}
	if _, err := proto.Marshal(m); err != nil {
		return refuse("instance", "use UTF-8 in names, labels and metadata", "it cannot be encoded: %v", err)
	}
	return nil
}

// message is the instance as it is registered.
func (i *Instance) message() *gantryv1.Instance {
	m := &gantryv1.Instance{
		Id: i.ID, Address: i.Address, Port: uint32(i.Port), Weight: proto.Float64(i.Weight),
		Labels: i.Labels, Metadata: i.Metadata, Status: gantryv1.Status(i.Status),
	}
	if len(i.Ports) > 0 {
		m.Ports = make(map[string]uint32, len(i.Ports))
		for name, port := range i.Ports {
			m.Ports[name] = uint32(port)
		}
	}
	if i.TTL > 0 {
		m.Ttl = durationpb.New(i.TTL)
	}
	return m
}

// newInstance reads what a server sent. An operator's override counts over what the instance says of itself.
func newInstance(service serviceKey, m *gantryv1.Instance, load *atomic.Int64) *Instance {
	i := &Instance{
		ID: m.GetId(), Service: service.name, Group: service.group, Address: m.GetAddress(), Port: int(m.GetPort()),
		Weight: DefaultWeight, Labels: m.GetLabels(), Metadata: m.GetMetadata(), Status: Status(m.GetStatus()),
		TTL: m.GetTtl().AsDuration(), Healthy: m.GetHealth() != gantryv1.Health_HEALTH_UNHEALTHY,
		Protected: m.GetProtected(), Provisional: m.GetProvisional(), load: load,
	}
	if m.Weight != nil {
		i.Weight = m.GetWeight()
	}
	if o := m.GetOverride(); o != nil {
		if o.Weight != nil {
			i.Weight = o.GetWeight()
		}
		if o.GetStatus() != gantryv1.Status_STATUS_UNSPECIFIED {
			i.Status = Status(o.GetStatus())
		}
	}
	if !(i.Weight >= 0 && i.Weight <= MaxWeight) {
		i.Weight = DefaultWeight
	}
	i.endpoints = append(i.endpoints, endpoint{"", net.JoinHostPort(i.Address, strconv.Itoa(i.Port))})
	if len(m.GetPorts()) > 0 {
		i.Ports = make(map[string]int, len(m.GetPorts()))
		for name, port := range m.GetPorts() {
			i.Ports[name] = int(port)
			i.endpoints = append(i.endpoints, endpoint{name, net.JoinHostPort(i.Address, strconv.Itoa(int(port)))})
		}
	}
	return i
}

// serviceKey names a service inside the client's namespace.
type serviceKey struct{ group, name string }

func (k serviceKey) String() string {
	if k.group == DefaultGroup {
		return k.name
	}
	return k.group + "/" + k.name
}

func (k serviceKey) ref(namespace string) *gantryv1.ServiceRef {
	return &gantryv1.ServiceRef{Namespace: namespace, Group: k.group, Service: k.name}
}

func keyOf(ref *gantryv1.ServiceRef) serviceKey {
	k := serviceKey{group: ref.GetGroup(), name: ref.GetService()}
	if k.group == "" {
		k.group = DefaultGroup
	}
	return k
}

// parseService reads "service" or "group/service".
func parseService(text string) (serviceKey, error) {
	k := serviceKey{group: DefaultGroup, name: text}
	if group, name, found := strings.Cut(text, "/"); found {
		k = serviceKey{group: group, name: name}
		if err := validName("group", group); err != nil {
			return k, err
		}
	}
	return k, validName("service", k.name)
}

// maxName is the longest name of a service, group, namespace or document, in bytes.
const maxName = 256

// validName finds names that no server would take. The server decides about the rest.
func validName(field, name string) error {
	hint := ""
	switch {
	case name == "":
		hint = "give it a name"
	case len(name) > maxName:
		hint = fmt.Sprintf("use at most %d bytes", maxName)
		name = name[:32] + "..."
	case !utf8.ValidString(name), strings.ContainsAny(name, "/\x00\n\r\t "):
		hint = "use letters, digits, '-', '_' and '.'"
	default:
		return nil
	}
	return &Error{Code: invalidArgument, Reason: "name.invalid", Field: field, Hint: hint, Message: fmt.Sprintf("%q is not a name", name)}
}
