package consul

import (
	"encoding/json"
)

// The shapes of Consul's answers. Filter expressions name their fields, so that these are as Consul has them; what cannot be filtered by is
// marked as there.

// Statuses of checks.
const (
	statusPassing  = "passing"
	statusWarning  = "warning"
	statusCritical = "critical"
	statusMaint    = "maintenance"
)

type serviceAddress struct {
	Address string
	Port    int
}

type weights struct {
	Passing int
	Warning int
}

type locality struct {
	Region string
	Zone   string
}

// agentService is a service in the answers of the agent, and in those about health.
type agentService struct {
	Kind              string `json:",omitempty"`
	ID                string
	Service           string
	Tags              []string
	Meta              map[string]string
	Port              int
	Address           string
	SocketPath        string                    `json:",omitempty"`
	TaggedAddresses   map[string]serviceAddress `json:",omitempty"`
	Weights           weights
	EnableTagOverride bool
	ContentHash       string          `json:",omitempty" bexpr:"-"`
	Proxy             json.RawMessage `json:",omitempty" bexpr:"-"`
	Connect           json.RawMessage `json:",omitempty" bexpr:"-"`
	Datacenter        string          `json:",omitempty" bexpr:"-"`
	Locality          *locality       `json:",omitempty" bexpr:"-"`
	CreateIndex       uint64          `json:",omitempty" bexpr:"-"`
	ModifyIndex       uint64          `json:",omitempty" bexpr:"-"`
}

// healthCheck is a check in all answers.
type healthCheck struct {
	Node        string
	CheckID     string
	Name        string
	Status      string
	Notes       string
	Output      string
	ServiceID   string
	ServiceName string
	ServiceTags []string
	Type        string
	Interval    string
	Timeout     string
	ExposedPort int
	Definition  struct{} `bexpr:"-"`
	CreateIndex uint64   `bexpr:"-"`
	ModifyIndex uint64   `bexpr:"-"`
}

// node is a node of the catalog.
type node struct {
	ID              string
	Node            string
	Address         string
	Datacenter      string
	TaggedAddresses map[string]string
	Meta            map[string]string
	Locality        *locality `json:",omitempty" bexpr:"-"`
	CreateIndex     uint64    `bexpr:"-"`
	ModifyIndex     uint64    `bexpr:"-"`
}

// serviceEntry is an instance in the answers about health.
type serviceEntry struct {
	Node    *node
	Service *agentService
	Checks  []healthCheck
}

// catalogService is an instance in the answers of the catalog.
type catalogService struct {
	ID                       string
	Node                     string
	Address                  string
	Datacenter               string
	TaggedAddresses          map[string]string
	NodeMeta                 map[string]string
	ServiceKind              string
	ServiceID                string
	ServiceName              string
	ServiceTags              []string
	ServiceAddress           string
	ServiceTaggedAddresses   map[string]serviceAddress `json:",omitempty"`
	ServiceWeights           weights
	ServiceMeta              map[string]string
	ServicePort              int
	ServiceSocketPath        string
	ServiceEnableTagOverride bool
	ServiceProxy             json.RawMessage `bexpr:"-"`
	ServiceConnect           json.RawMessage `bexpr:"-"`
	ServiceLocality          *locality       `json:",omitempty" bexpr:"-"`
	CreateIndex              uint64          `bexpr:"-"`
	ModifyIndex              uint64          `bexpr:"-"`
}

// catalog brings a service into the catalog's shape.
func (s *agentService) catalog(n *node) catalogService {
	c := catalogService{ID: n.ID, Node: n.Node, Address: n.Address, Datacenter: Datacenter, TaggedAddresses: n.TaggedAddresses, NodeMeta: n.Meta,
		ServiceKind: s.Kind, ServiceID: s.ID, ServiceName: s.Service, ServiceTags: s.Tags, ServiceAddress: s.Address,
		ServiceTaggedAddresses: s.TaggedAddresses, ServiceWeights: s.Weights, ServiceMeta: s.Meta, ServicePort: s.Port,
		ServiceSocketPath: s.SocketPath, ServiceEnableTagOverride: s.EnableTagOverride, ServiceProxy: s.Proxy, ServiceConnect: s.Connect,
		ServiceLocality: s.Locality, CreateIndex: s.CreateIndex, ModifyIndex: s.ModifyIndex}
	if c.ServiceProxy == nil {
		c.ServiceProxy = json.RawMessage("{}")
	}
	if c.ServiceConnect == nil {
		c.ServiceConnect = json.RawMessage("{}")
	}
	return c
}
