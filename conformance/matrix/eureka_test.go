package matrix

import (
	"context"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/hudl/fargo"
)

// eureka is hudl/fargo, a client of Eureka in Go.
type eureka struct {
	connection *fargo.EurekaConnection
	beat       time.Duration
}

func newEureka(url string) eureka {
	connection := fargo.NewConn(url)
	connection.UseJson = true
	return eureka{connection: &connection, beat: time.Second}
}

func (eureka) name() string { return "eureka" }

func (e eureka) register(ctx context.Context, service, ip string, port int, metadata map[string]string) (registration, error) {
	i := &fargo.Instance{InstanceId: service + ":" + ip, HostName: ip, App: strings.ToUpper(service), IPAddr: ip, VipAddress: service, Port: port, PortEnabled: true,
		Status: fargo.UP, DataCenterInfo: fargo.DataCenterInfo{Name: fargo.MyOwn}, LeaseInfo: fargo.LeaseInfo{RenewalIntervalInSecs: 1, DurationInSecs: 10}}
	for key, value := range metadata {
		i.SetMetadataString(key, value)
	}
	if err := e.connection.RegisterInstance(i); err != nil {
		return nil, err
	}
	beating, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(e.beat)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				_ = e.connection.HeartBeatInstance(i) // what is lost shows in what others discover
			case <-beating.Done():
				return
			}
		}
	}()
	return eurekaRegistration{e.connection, i, func() { stop(); <-done }}, nil
}

func (e eureka) discover(_ context.Context, service string) (map[string]place, error) {
	app, err := e.connection.GetApp(strings.ToUpper(service))
	if err != nil {
		if _, unknown := err.(fargo.AppNotFoundError); unknown {
			return map[string]place{}, nil
		}
		return nil, err
	}
	places := map[string]place{}
	for _, i := range app.Instances {
		metadata := map[string]string{}
		for _, key := range []string{"owner", "version"} {
			value, err := i.Metadata.GetString(key)
			if err == nil && value != "" {
				metadata[key] = value
			}
		}
		places[net.JoinHostPort(i.IPAddr, strconv.Itoa(i.Port))] = place{metadata: metadata, takesTraffic: i.Status == fargo.UP}
	}
	return places, nil
}

type eurekaRegistration struct {
	connection *fargo.EurekaConnection
	instance   *fargo.Instance
	stop       func()
}

func (r eurekaRegistration) fail(context.Context) error {
	return r.connection.UpdateInstanceStatus(r.instance, fargo.DOWN)
}

func (r eurekaRegistration) deregister(context.Context) error {
	r.stop()
	return r.connection.DeregisterInstance(r.instance)
}
