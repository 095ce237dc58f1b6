package gantrygrpc

import (
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/base"

	gantry "github.com/gantry-platform/gantry/sdk"
)

// BalancerName is the name of the balancer in a service configuration. Of two connected instances drawn at random by weight, it takes the
// one with fewer calls under way for its weight.
const BalancerName = "gantry_weighted"

// grpc-go knows balancers by a registry of the process that must be filled before the first connection; the builder holds no state.
func init() {
	balancer.Register(base.NewBalancerBuilder(BalancerName, pickers{}, base.Config{HealthCheck: true}))
}

type pickers struct{}

// Build implements [base.PickerBuilder]: it is called for each change of the instances or of which of them are connected.
func (pickers) Build(info base.PickerBuildInfo) balancer.Picker {
	if len(info.ReadySCs) == 0 {
		return base.NewErrPicker(balancer.ErrNoSubConnAvailable)
	}
	p := &picker{connections: make(map[string]connection, len(info.ReadySCs))}
	instances := make([]*gantry.Instance, 0, len(info.ReadySCs))
	for conn, state := range info.ReadySCs {
		instance := InstanceOf(state.Address)
		if instance == nil {
			// Addresses of another resolver count alike.
			instance = &gantry.Instance{ID: state.Address.Addr, Weight: gantry.DefaultWeight}
		}
		p.connections[instance.ID] = connection{conn, func(balancer.DoneInfo) { instance.Done() }}
		instances = append(instances, instance)
	}
	p.set = gantry.NewSet(instances)
	return p
}

type picker struct {
	set         *gantry.Set
	connections map[string]connection
}

type connection struct {
	conn balancer.SubConn
	done func(balancer.DoneInfo)
}

// Pick implements [balancer.Picker]. It does not allocate.
func (p *picker) Pick(balancer.PickInfo) (balancer.PickResult, error) {
	instance := p.set.Pick()
	instance.Begin()
	c := p.connections[instance.ID]
	return balancer.PickResult{SubConn: c.conn, Done: c.done}, nil
}
