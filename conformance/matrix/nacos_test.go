package matrix

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"

	clients1 "github.com/nacos-group/nacos-sdk-go/clients"
	naming1 "github.com/nacos-group/nacos-sdk-go/clients/naming_client"
	constant1 "github.com/nacos-group/nacos-sdk-go/common/constant"
	clients2 "github.com/nacos-group/nacos-sdk-go/v2/clients"
	naming2 "github.com/nacos-group/nacos-sdk-go/v2/clients/naming_client"
	constant2 "github.com/nacos-group/nacos-sdk-go/v2/common/constant"
	vo2 "github.com/nacos-group/nacos-sdk-go/v2/vo"
	vo1 "github.com/nacos-group/nacos-sdk-go/vo"
)

// nacosGRPC is the SDK of Nacos 2 and 3, which speaks gRPC.
type nacosGRPC struct{ client naming2.INamingClient }

func newNacosGRPC(host string, http, grpc int, user, password, dir string) (nacosGRPC, error) {
	client, err := clients2.NewNamingClient(vo2.NacosClientParam{
		// Without UpdateCacheWhenEmpty the SDK keeps the last instance of a service for ever, whatever the server says.
		ClientConfig:  &constant2.ClientConfig{UpdateCacheWhenEmpty: true, Username: user, Password: password, CacheDir: dir, LogDir: dir, NotLoadCacheAtStart: true, LogLevel: "warn"},
		ServerConfigs: []constant2.ServerConfig{{IpAddr: host, Port: uint64(http), GrpcPort: uint64(grpc)}},
	})
	return nacosGRPC{client}, err
}

func (nacosGRPC) name() string { return "nacos by gRPC" }

func (n nacosGRPC) register(_ context.Context, service, ip string, port int, metadata map[string]string) (registration, error) {
	ok, err := n.client.RegisterInstance(vo2.RegisterInstanceParam{Ip: ip, Port: uint64(port), Weight: 1, Enable: true, Healthy: true, Ephemeral: true,
		ServiceName: service, Metadata: metadata})
	if err == nil && !ok {
		err = fmt.Errorf("refused")
	}
	return nacosGRPCRegistration{n.client, service, ip, port, metadata}, err
}

func (n nacosGRPC) discover(_ context.Context, service string) (map[string]place, error) {
	instances, err := n.client.SelectAllInstances(vo2.SelectAllInstancesParam{ServiceName: service})
	if err != nil && !emptyList(err) {
		return nil, err
	}
	places := map[string]place{}
	for _, i := range instances {
		places[net.JoinHostPort(i.Ip, strconv.Itoa(int(i.Port)))] = place{metadata: i.Metadata, takesTraffic: i.Healthy && i.Enable && i.Weight > 0}
	}
	return places, nil
}

type nacosGRPCRegistration struct {
	client   naming2.INamingClient
	service  string
	ip       string
	port     int
	metadata map[string]string
}

func (r nacosGRPCRegistration) fail(context.Context) error {
	_, err := r.client.UpdateInstance(vo2.UpdateInstanceParam{Ip: r.ip, Port: uint64(r.port), Weight: 1, Enable: false, Healthy: true, Ephemeral: true,
		ServiceName: r.service, Metadata: r.metadata})
	return err
}

func (r nacosGRPCRegistration) deregister(context.Context) error {
	_, err := r.client.DeregisterInstance(vo2.DeregisterInstanceParam{Ip: r.ip, Port: uint64(r.port), ServiceName: r.service, Ephemeral: true})
	return err
}

// nacosHTTP is the SDK of Nacos 1, which speaks HTTP and beats.
type nacosHTTP struct{ client naming1.INamingClient }

func newNacosHTTP(host string, http int, user, password, dir string) (nacosHTTP, error) {
	client, err := clients1.NewNamingClient(vo1.NacosClientParam{
		ClientConfig:  &constant1.ClientConfig{UpdateCacheWhenEmpty: true, Username: user, Password: password, CacheDir: dir, LogDir: dir, NotLoadCacheAtStart: true, LogLevel: "warn", TimeoutMs: 5000},
		ServerConfigs: []constant1.ServerConfig{{IpAddr: host, Port: uint64(http), ContextPath: "/nacos"}},
	})
	return nacosHTTP{client}, err
}

func (nacosHTTP) name() string { return "nacos by HTTP" }

func (n nacosHTTP) register(_ context.Context, service, ip string, port int, metadata map[string]string) (registration, error) {
	ok, err := n.client.RegisterInstance(vo1.RegisterInstanceParam{Ip: ip, Port: uint64(port), Weight: 1, Enable: true, Healthy: true, Ephemeral: true,
		ServiceName: service, Metadata: metadata})
	if err == nil && !ok {
		err = fmt.Errorf("refused")
	}
	return nacosHTTPRegistration{n.client, service, ip, port, metadata}, err
}

func (n nacosHTTP) discover(_ context.Context, service string) (map[string]place, error) {
	instances, err := n.client.SelectAllInstances(vo1.SelectAllInstancesParam{ServiceName: service})
	if err != nil && !emptyList(err) {
		return nil, err
	}
	places := map[string]place{}
	for _, i := range instances {
		places[net.JoinHostPort(i.Ip, strconv.Itoa(int(i.Port)))] = place{metadata: i.Metadata, takesTraffic: i.Healthy && i.Enable && i.Weight > 0}
	}
	return places, nil
}

type nacosHTTPRegistration struct {
	client   naming1.INamingClient
	service  string
	ip       string
	port     int
	metadata map[string]string
}

func (r nacosHTTPRegistration) fail(context.Context) error {
	_, err := r.client.UpdateInstance(vo1.UpdateInstanceParam{Ip: r.ip, Port: uint64(r.port), Weight: 1, Enable: false, Ephemeral: true,
		ServiceName: r.service, Metadata: r.metadata})
	return err
}

func (r nacosHTTPRegistration) deregister(context.Context) error {
	_, err := r.client.DeregisterInstance(vo1.DeregisterInstanceParam{Ip: r.ip, Port: uint64(r.port), ServiceName: r.service, Ephemeral: true})
	return err
}

// emptyList tells the SDKs' error for a service without instances.
func emptyList(err error) bool { return strings.Contains(err.Error(), "instance list is empty") }
