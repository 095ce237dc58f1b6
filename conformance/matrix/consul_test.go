package matrix

import (
	"context"
	"net"
	"strconv"
	"time"

	consulapi "github.com/hashicorp/consul/api"
)

type consul struct{ client *consulapi.Client }

func newConsul(address, token string) (consul, error) {
	client, err := consulapi.NewClient(&consulapi.Config{Address: address, Token: token})
	return consul{client}, err
}

func (consul) name() string { return "consul" }

func (c consul) register(ctx context.Context, service, ip string, port int, metadata map[string]string) (registration, error) {
	id := service + "-" + strconv.Itoa(port)
	err := c.client.Agent().ServiceRegisterOpts(&consulapi.AgentServiceRegistration{ID: id, Name: service, Address: ip, Port: port, Meta: metadata,
		Check: &consulapi.AgentServiceCheck{TTL: "10s", Status: consulapi.HealthPassing}}, consulapi.ServiceRegisterOpts{}.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	beating, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				_ = c.client.Agent().PassTTL("service:"+id, "") // what is lost shows in what others discover
			case <-beating.Done():
				return
			}
		}
	}()
	return consulRegistration{c.client, id, func() { stop(); <-done }}, nil
}

func (c consul) discover(ctx context.Context, service string) (map[string]place, error) {
	entries, _, err := c.client.Health().Service(service, "", false, (&consulapi.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return nil, err
	}
	places := map[string]place{}
	for _, e := range entries {
		address := e.Service.Address
		if address == "" {
			address = e.Node.Address
		}
		places[net.JoinHostPort(address, strconv.Itoa(e.Service.Port))] = place{metadata: e.Service.Meta, takesTraffic: e.Checks.AggregatedStatus() == consulapi.HealthPassing}
	}
	return places, nil
}

type consulRegistration struct {
	client *consulapi.Client
	id     string
	stop   func()
}

func (r consulRegistration) fail(context.Context) error {
	r.stop()
	return r.client.Agent().FailTTL("service:"+r.id, "out of order")
}

func (r consulRegistration) deregister(context.Context) error {
	r.stop()
	return r.client.Agent().ServiceDeregister(r.id)
}
