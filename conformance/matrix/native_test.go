package matrix

import (
	"context"
	"net"
	"strconv"

	gantry "github.com/gantry-platform/gantry/sdk"
)

type native struct{ client *gantry.Client }

func (native) name() string { return "native" }

func (n native) register(ctx context.Context, service, ip string, port int, metadata map[string]string) (registration, error) {
	// Labels are what the SDK selects by; foreign readers find them in the metadata.
	r, err := n.client.Register(ctx, gantry.Instance{Service: service, Address: ip, Port: port,
		Labels: map[string]string{"version": metadata["version"]}, Metadata: map[string]string{"owner": metadata["owner"]}}, gantry.Required())
	return nativeRegistration{r}, err
}

func (n native) discover(ctx context.Context, service string) (map[string]place, error) {
	instances, err := n.client.Discover(ctx, service)
	if err != nil {
		return nil, err
	}
	places := map[string]place{}
	for _, i := range instances {
		metadata := map[string]string{}
		for key, value := range i.Metadata {
			metadata[key] = value
		}
		for key, value := range i.Labels {
			metadata[key] = value
		}
		places[net.JoinHostPort(i.Address, strconv.Itoa(i.Port))] = place{metadata: metadata, takesTraffic: i.Available()}
	}
	return places, nil
}

type nativeRegistration struct{ *gantry.Registration }

func (r nativeRegistration) fail(ctx context.Context) error {
	return r.Update(ctx, func(i *gantry.Instance) { i.Status = gantry.StatusDown })
}

func (r nativeRegistration) deregister(ctx context.Context) error { return r.Deregister(ctx) }
