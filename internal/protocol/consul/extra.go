package consul

import (
	"encoding/json"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// extra is what Consul's language says of an instance beyond what Gantry knows: it is kept as JSON with the instance, where it may only grow.
type extra struct {
	// ID is the service id where it is not the instance's name: of external nodes.
	ID string `json:"id,omitempty"`
	// Node is set for what was registered by the catalog and not by the agent.
	Node string `json:"node,omitempty"`
	// Source is the host that registered it.
	Source string `json:"source,omitempty"`
	// NoAddress: the registration had no address, and the instance's is where it came from.
	NoAddress         bool                      `json:"noAddress,omitempty"`
	Tags              []string                  `json:"tags,omitempty"`
	TaggedAddresses   map[string]serviceAddress `json:"taggedAddresses,omitempty"`
	WarningWeight     *int                      `json:"warningWeight,omitempty"`
	EnableTagOverride bool                      `json:"enableTagOverride,omitempty"`
	Kind              string                    `json:"kind,omitempty"`
	SocketPath        string                    `json:"socketPath,omitempty"`
	Proxy             json.RawMessage           `json:"proxy,omitempty"`
	Connect           json.RawMessage           `json:"connect,omitempty"`
	Locality          *locality                 `json:"locality,omitempty"`
	// NodeID and NodeAddresses are of instances that stand for nodes.
	NodeID        string            `json:"nodeId,omitempty"`
	NodeAddresses map[string]string `json:"nodeAddresses,omitempty"`
	// Checks by id.
	Checks map[string]checkWords `json:"checks,omitempty"`
}

// checkWords are what people read of a check.
type checkWords struct {
	Name  string `json:"name,omitempty"`
	Notes string `json:"notes,omitempty"`
	// Type is set where the probe does not say it.
	Type string `json:"type,omitempty"`
}

// typeMaintenance is the type of the checks of maintenance mode.
const typeMaintenance = "maintenance"

// extraOf reads what is kept with an instance; nothing for other languages' instances.
func extraOf(i *instance.Instance) *extra {
	x := new(extra)
	if i.Protocol == Protocol && i.ProtocolData != "" {
		_ = json.Unmarshal([]byte(i.ProtocolData), x) // this package wrote it
	}
	return x
}

// keep writes it into a registration.
func (x *extra) keep(m *gantryv1.Instance) error {
	for id := range x.Checks {
		if !hasCheck(m, id) {
			delete(x.Checks, id)
		}
	}
	encoded, err := json.Marshal(x)
	if err != nil {
		return err
	}
	if len(encoded) > instance.MaxProtocolData {
		return fault.New(fault.TooLarge, "consul.too_large", "tags, addresses, proxy and names of checks have %d bytes together", len(encoded)).At("Tags").
			Hinted("use at most %d", instance.MaxProtocolData)
	}
	m.ProtocolData = encoded
	return nil
}

func hasCheck(m *gantryv1.Instance, id string) bool {
	for _, check := range m.Checks {
		if check.Id == id {
			return true
		}
	}
	return false
}

// edit changes an instance together with what is kept with it.
func edit(m *gantryv1.Instance, change func(m *gantryv1.Instance, x *extra) error) error {
	x := new(extra)
	if len(m.ProtocolData) > 0 {
		if err := json.Unmarshal(m.ProtocolData, x); err != nil {
			return err
		}
	}
	if x.Checks == nil {
		x.Checks = make(map[string]checkWords)
	}
	if err := change(m, x); err != nil {
		return err
	}
	return x.keep(m)
}
