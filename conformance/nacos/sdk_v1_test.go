// Package nacos_test runs Nacos's own client libraries against a live server.
package nacos_test

import (
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nacos-group/nacos-sdk-go/clients"
	"github.com/nacos-group/nacos-sdk-go/clients/config_client"
	"github.com/nacos-group/nacos-sdk-go/clients/naming_client"
	"github.com/nacos-group/nacos-sdk-go/common/constant"
	"github.com/nacos-group/nacos-sdk-go/model"
	"github.com/nacos-group/nacos-sdk-go/vo"

	"github.com/gantry-platform/gantry/conformance/harness"
)

const (
	user     = "fleet"
	password = "correct horse battery staple"
	// patience bounds what a client does by itself: it asks again every 10 s, and waits 5 s after an error.
	patience = 40 * time.Second
)

// start runs a server with authentication on and a user that registers, reads and publishes in the default namespace.
func start(t *testing.T) *harness.Server {
	t.Helper()
	s := harness.Start(t)
	s.Call("AccessService/CreateUser", map[string]any{"name": user, "password": password, "grants": []map[string]any{
		{"namespace": "default", "role": "ROLE_SERVICE"}, {"namespace": "default", "role": "ROLE_RELEASER"}}}, nil)
	return s
}

// v1Param points a client of the SDK's version 1 to a server.
func v1Param(t *testing.T, s *harness.Server) vo.NacosClientParam {
	t.Helper()
	host, port, err := net.SplitHostPort(s.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	return vo.NacosClientParam{
		ClientConfig: constant.NewClientConfig(constant.WithTimeoutMs(5000), constant.WithUsername(user), constant.WithPassword(password),
			constant.WithNotLoadCacheAtStart(true), constant.WithUpdateCacheWhenEmpty(true), constant.WithLogDir(t.TempDir()), constant.WithCacheDir(t.TempDir()), constant.WithLogLevel("warn")),
		ServerConfigs: []constant.ServerConfig{*constant.NewServerConfig(host, number, constant.WithContextPath("/nacos"))},
	}
}

func v1Naming(t *testing.T, s *harness.Server) naming_client.INamingClient {
	t.Helper()
	client, err := clients.NewNamingClient(v1Param(t, s))
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func v1Config(t *testing.T, s *harness.Server) config_client.IConfigClient {
	t.Helper()
	client, err := clients.NewConfigClient(v1Param(t, s))
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// quick are the times of an instance that is missed soon.
var quick = map[string]string{"preserved.heart.beat.interval": "1000", "preserved.heart.beat.timeout": "3000", "preserved.ip.delete.timeout": "6000", "version": "v1"}

func register(t *testing.T, client naming_client.INamingClient, service, ip string) {
	t.Helper()
	ok, err := client.RegisterInstance(vo.RegisterInstanceParam{ServiceName: service, GroupName: "RISK", ClusterName: "SH", Ip: ip, Port: 8080, Weight: 2.5, Enable: true,
		Healthy: true, Ephemeral: true, Metadata: quick})
	if !ok || err != nil {
		t.Fatalf("register %s: %v", ip, err)
	}
}

// seen are the instances as the native API has them.
func seen(s *harness.Server, service string) map[string]string {
	var answer struct {
		Instances []struct {
			Address, Health string
			Labels          map[string]string
		}
	}
	s.Call("InstanceService/ListInstances", map[string]any{"service": map[string]any{"namespace": "default", "group": "RISK"}}, &answer)
	all := map[string]string{}
	for _, i := range answer.Instances {
		all[i.Address] = strings.TrimPrefix(i.Health, "HEALTH_") + " " + i.Labels["cluster"] + " " + i.Labels["version"]
	}
	return all
}

// addresses are the healthy instances that a client selects.
func addresses(client naming_client.INamingClient, service string) (string, error) {
	instances, err := client.SelectInstances(vo.SelectInstancesParam{ServiceName: service, GroupName: "RISK", HealthyOnly: true})
	if err != nil && !strings.Contains(err.Error(), "instance list is empty") {
		return "", err
	}
	return joined(instances), nil
}

func joined(instances []model.Instance) string {
	byAddress := map[string]bool{}
	for _, i := range instances {
		byAddress[i.Ip] = true
	}
	var all []string
	for n := range 10 {
		if ip := fmt.Sprintf("10.0.0.%d", n); byAddress[ip] {
			all = append(all, ip)
		}
	}
	return strings.Join(all, " ")
}

func wantAddresses(t *testing.T, client naming_client.INamingClient, service, want string) {
	t.Helper()
	harness.Eventually(t, patience, "the client selects "+want, func() error {
		got, err := addresses(client, service)
		if err == nil && got != want {
			err = fmt.Errorf("it selects %q", got)
		}
		return err
	})
}

// TestSDKVersion1Naming is the SDK of Nacos 1.x over HTTP: register, beat, list, subscribe by UDP, deregister, through a crash of the server.
func TestSDKVersion1Naming(t *testing.T) {
	s := start(t)
	provider, consumer := v1Naming(t, s), v1Naming(t, s)
	register(t, provider, "loan", "10.0.0.1")
	if got := seen(s, "loan")["10.0.0.1"]; got != "HEALTHY SH v1" {
		t.Fatalf("the server has it as %q", got)
	}
	updates := make(chan string, 100)
	if err := consumer.Subscribe(&vo.SubscribeParam{ServiceName: "loan", GroupName: "RISK", SubscribeCallback: func(services []model.SubscribeService, err error) {
		var instances []model.Instance
		for _, service := range services {
			instances = append(instances, model.Instance{Ip: service.Ip})
		}
		updates <- joined(instances)
	}}); err != nil {
		t.Fatal(err)
	}
	awaitUpdate(t, updates, "10.0.0.1", patience)
	wantAddresses(t, consumer, "loan", "10.0.0.1")

	// The client asks every 10 s: what is sooner came by a push.
	asked := time.Now()
	register(t, provider, "loan", "10.0.0.2")
	awaitUpdate(t, updates, "10.0.0.1 10.0.0.2", 8*time.Second)
	t.Logf("pushed after %v", time.Since(asked).Round(time.Millisecond))

	list, err := consumer.GetAllServicesInfo(vo.GetAllServiceInfoParam{GroupName: "RISK", PageNo: 1, PageSize: 10})
	if err != nil || list.Count != 1 || list.Doms[0] != "loan" {
		t.Errorf("the services are %+v, %v", list, err)
	}
	// What somebody else takes away while its client lives comes back with the next beat.
	s.Call("InstanceService/Deregister", map[string]any{"service": map[string]any{"group": "RISK", "service": "loan"}, "id": "10.0.0.2#8080#SH#RISK@@loan"}, nil)
	wantSeen(t, s, "10.0.0.2", "HEALTHY SH v1")

	// A crash: beats go on afterwards, and keep the instance for longer than its patience.
	s.Kill()
	s.Restart()
	staysFor(t, s, "10.0.0.1", 8*time.Second)
	register(t, provider, "loan", "10.0.0.3")
	awaitUpdate(t, updates, "10.0.0.1 10.0.0.2 10.0.0.3", patience)

	for n := range 3 {
		ok, err := provider.DeregisterInstance(vo.DeregisterInstanceParam{ServiceName: "loan", GroupName: "RISK", Cluster: "SH", Ip: fmt.Sprintf("10.0.0.%d", n+1), Port: 8080, Ephemeral: true})
		if !ok || err != nil {
			t.Errorf("deregister: %v", err)
		}
	}
	awaitUpdate(t, updates, "", patience)
	wantSeen(t, s, "10.0.0.1", "")
}

func wantSeen(t *testing.T, s *harness.Server, address, want string) {
	t.Helper()
	harness.Eventually(t, patience, address+" is "+want, func() error {
		if got := seen(s, "loan")[address]; got != want {
			return fmt.Errorf("it is %q", got)
		}
		return nil
	})
}

// staysFor fails when an instance is anything but healthy within a time.
func staysFor(t *testing.T, s *harness.Server, address string, span time.Duration) {
	t.Helper()
	until := time.After(span)
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		if got := seen(s, "loan")[address]; got != "HEALTHY SH v1" {
			t.Fatalf("%s is %q", address, got)
		}
		select {
		case <-ticker.C:
		case <-until:
			return
		}
	}
}

func awaitUpdate(t *testing.T, updates <-chan string, want string, atMost time.Duration) {
	t.Helper()
	timeout := time.After(atMost)
	for {
		select {
		case got := <-updates:
			if got == want {
				return
			}
		case <-timeout:
			t.Fatalf("no update with %q within %v", want, atMost)
		}
	}
}

// TestSDKVersion1Config is the SDK of Nacos 1.x over HTTP: publish, get, search, listen, delete, through a crash of the server.
func TestSDKVersion1Config(t *testing.T) {
	s := start(t)
	client := v1Config(t, s)
	param := vo.ConfigParam{DataId: "app.yaml", Group: "RISK", Content: "limit: 1", Type: "yaml"}
	publish := func(content string) {
		t.Helper()
		param.Content = content
		if ok, err := client.PublishConfig(param); !ok || err != nil {
			t.Fatalf("publish: %v", err)
		}
	}
	publish("limit: 1 # ä&+=")
	if content, err := client.GetConfig(vo.ConfigParam{DataId: "app.yaml", Group: "RISK"}); err != nil || content != "limit: 1 # ä&+=" {
		t.Fatalf("get: %q, %v", content, err)
	}
	var document struct{ Version struct{ Content []byte } }
	s.Call("ReleaseService/Get", map[string]any{"ref": map[string]any{"kind": "Config", "name": "RISK/app.yaml"}}, &document)
	if string(document.Version.Content) != "limit: 1 # ä&+=" {
		t.Errorf("the document holds %q", document.Version.Content)
	}
	heard := make(chan string, 100)
	if err := client.ListenConfig(vo.ConfigParam{DataId: "app.yaml", Group: "RISK", OnChange: func(_, _, _, content string) { heard <- content }}); err != nil {
		t.Fatal(err)
	}
	publish("limit: 2")
	awaitUpdate(t, heard, "limit: 2", patience)
	page, err := client.SearchConfig(vo.SearchConfigParam{Search: "blur", DataId: "app", Group: "RISK", PageNo: 1, PageSize: 10})
	if err != nil || page.TotalCount != 1 || page.PageItems[0].Content != "limit: 2" {
		t.Errorf("search: %+v, %v", page, err)
	}

	s.Kill()
	s.Restart()
	publish("limit: 3")
	awaitUpdate(t, heard, "limit: 3", patience)
	if ok, err := client.DeleteConfig(vo.ConfigParam{DataId: "app.yaml", Group: "RISK"}); !ok || err != nil {
		t.Fatalf("delete: %v", err)
	}
	awaitUpdate(t, heard, "", patience)
}

// TestSDKVersion1WithoutRights: who may only look is told so.
func TestSDKVersion1WithoutRights(t *testing.T) {
	s := start(t)
	s.Call("AccessService/CreateUser", map[string]any{"name": "looker", "password": password, "grants": []map[string]any{{"namespace": "default", "role": "ROLE_VIEWER"}}}, nil)
	param := v1Param(t, s)
	param.ClientConfig.Username = "looker"
	naming, err := clients.NewNamingClient(param)
	if err != nil {
		t.Fatal(err)
	}
	_, err = naming.RegisterInstance(vo.RegisterInstanceParam{ServiceName: "loan", Ip: "10.0.0.1", Port: 1, Weight: 1, Enable: true, Healthy: true, Ephemeral: true})
	if err == nil || !strings.Contains(err.Error(), strconv.Itoa(http.StatusForbidden)) {
		t.Errorf("a viewer registers: %v", err)
	}
}
