package nacos_test

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nacos-group/nacos-sdk-go/v2/clients"
	"github.com/nacos-group/nacos-sdk-go/v2/clients/config_client"
	"github.com/nacos-group/nacos-sdk-go/v2/clients/naming_client"
	"github.com/nacos-group/nacos-sdk-go/v2/common/constant"
	"github.com/nacos-group/nacos-sdk-go/v2/model"
	"github.com/nacos-group/nacos-sdk-go/v2/vo"

	"github.com/gantry-platform/gantry/conformance/harness"
)

const (
	grpcUser     = "payments"
	grpcPassword = "correct horse battery staple"
	// recovery bounds what a client does by itself after the server was away.
	recovery = time.Minute
)

// startForGRPC runs a server with authentication on and a user that registers, reads and publishes in the default namespace.
func startForGRPC(t *testing.T) *harness.Server {
	t.Helper()
	s := harness.Start(t)
	s.Call("AccessService/CreateUser", map[string]any{"name": grpcUser, "password": grpcPassword, "grants": []map[string]any{
		{"namespace": "default", "role": "ROLE_SERVICE"}, {"namespace": "default", "role": "ROLE_RELEASER"}}}, nil)
	return s
}

func portOf(t *testing.T, address string) uint64 {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	return number
}

// v2Param points a client of the SDK's version 2 to a server.
func v2Param(t *testing.T, s *harness.Server) vo.NacosClientParam {
	t.Helper()
	return vo.NacosClientParam{
		ClientConfig: constant.NewClientConfig(constant.WithTimeoutMs(5000), constant.WithUsername(grpcUser), constant.WithPassword(grpcPassword),
			constant.WithNotLoadCacheAtStart(true), constant.WithUpdateCacheWhenEmpty(true), constant.WithDisableUseSnapShot(true),
			constant.WithLogDir(t.TempDir()), constant.WithCacheDir(t.TempDir()), constant.WithLogLevel("warn")),
		ServerConfigs: []constant.ServerConfig{*constant.NewServerConfig("127.0.0.1", portOf(t, s.HTTP), constant.WithContextPath("/nacos"),
			constant.WithGrpcPort(portOf(t, s.GRPC)))},
	}
}

func v2Naming(t *testing.T, s *harness.Server) naming_client.INamingClient {
	t.Helper()
	client, err := clients.NewNamingClient(v2Param(t, s))
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func v2Config(t *testing.T, s *harness.Server) config_client.IConfigClient {
	t.Helper()
	client, err := clients.NewConfigClient(v2Param(t, s))
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// followed is the newest that a subscription was told.
type followed struct {
	mu   sync.Mutex
	last string
}

func (f *followed) told(instances []model.Instance, _ error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last = v2Addresses(instances)
}

func (f *followed) want(t *testing.T, want string) {
	t.Helper()
	harness.Eventually(t, recovery, "the subscriber is told "+want, func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.last != want {
			return fmt.Errorf("told %q", f.last)
		}
		return nil
	})
}

func v2Addresses(instances []model.Instance) string {
	var all []string
	for _, i := range instances {
		all = append(all, i.Ip)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func done(t *testing.T, what string, ok bool, err error) {
	t.Helper()
	if !ok || err != nil {
		t.Fatalf("%s: %v, %v", what, ok, err)
	}
}

// inRegistry are the addresses of a service of the group RISK as the native API has them.
func inRegistry(s *harness.Server, service string) string {
	request, err := http.NewRequest(http.MethodPost, "http://"+s.HTTP+"/gantry.v1.InstanceService/ListInstances",
		strings.NewReader(fmt.Sprintf(`{"service":{"namespace":"default","group":"RISK","service":%q}}`, service)))
	if err != nil {
		return err.Error()
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+s.AdminToken)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	var answer struct {
		Instances []struct{ Address string }
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || response.StatusCode != http.StatusOK && response.StatusCode != http.StatusNotFound {
		return fmt.Sprint(response.Status, " ", err)
	}
	var all []string
	for _, i := range answer.Instances {
		all = append(all, i.Address)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func TestNamingByTheGoSDK2(t *testing.T) {
	s := startForGRPC(t)
	provider, batch, consumer := v2Naming(t, s), v2Naming(t, s), v2Naming(t, s)
	defer consumer.CloseClient()
	var loan, bulk followed
	for service, f := range map[string]*followed{"loan": &loan, "bulk": &bulk} {
		if err := consumer.Subscribe(&vo.SubscribeParam{ServiceName: service, GroupName: "RISK", SubscribeCallback: f.told}); err != nil {
			t.Fatal(err)
		}
	}
	register := func(ip string) {
		t.Helper()
		ok, err := provider.RegisterInstance(vo.RegisterInstanceParam{ServiceName: "loan", GroupName: "RISK", Ip: ip, Port: 8080, Weight: 2.5, Enable: true, Healthy: true,
			Ephemeral: true, Metadata: map[string]string{"version": "v1"}})
		done(t, "register "+ip, ok, err)
	}
	register("10.0.0.1")
	loan.want(t, "10.0.0.1")
	instances, err := consumer.SelectInstances(vo.SelectInstancesParam{ServiceName: "loan", GroupName: "RISK", HealthyOnly: true})
	if err != nil || len(instances) != 1 || instances[0].Port != 8080 || instances[0].Weight != 2.5 || instances[0].Metadata["version"] != "v1" || !instances[0].Healthy {
		t.Fatalf("%+v, %v", instances, err)
	}
	bulkOf := func(ips ...string) vo.BatchRegisterInstanceParam {
		p := vo.BatchRegisterInstanceParam{ServiceName: "bulk", GroupName: "RISK"}
		for _, ip := range ips {
			p.Instances = append(p.Instances, vo.RegisterInstanceParam{Ip: ip, Port: 80, Weight: 1, Enable: true, Healthy: true, Ephemeral: true})
		}
		return p
	}
	ok, err := batch.BatchRegisterInstance(bulkOf("10.0.1.1", "10.0.1.2", "10.0.1.3"))
	done(t, "register a batch", ok, err)
	bulk.want(t, "10.0.1.1 10.0.1.2 10.0.1.3")
	ok, err = batch.BatchRegisterInstance(bulkOf("10.0.1.2", "10.0.1.4"))
	done(t, "register another batch", ok, err)
	bulk.want(t, "10.0.1.2 10.0.1.4")
	persistent := func() *vo.RegisterInstanceParam {
		return &vo.RegisterInstanceParam{ServiceName: "ledger", GroupName: "RISK", Ip: "127.0.0.1", Port: portOf(t, s.HTTP), Weight: 1, Enable: true, Healthy: true}
	}
	ok, err = provider.RegisterInstance(*persistent())
	done(t, "register a persistent one", ok, err)
	list, err := consumer.GetAllServicesInfo(vo.GetAllServiceInfoParam{GroupName: "RISK", PageNo: 1, PageSize: 10})
	if err != nil || list.Count != 3 || len(list.Doms) != 3 {
		t.Errorf("services: %+v, %v", list, err)
	}

	// The server is killed under all of them.
	s.Kill()
	s.Restart()
	harness.Eventually(t, recovery, "the registrations are back", func() error {
		if got := inRegistry(s, "loan") + ", " + inRegistry(s, "bulk"); got != "10.0.0.1, 10.0.1.2 10.0.1.4" {
			return fmt.Errorf("registered are %s", got)
		}
		return nil
	})
	time.Sleep(20 * time.Second) // past their ttl, which nothing but their connections extends
	if got := inRegistry(s, "loan") + ", " + inRegistry(s, "bulk") + ", " + inRegistry(s, "ledger"); got != "10.0.0.1, 10.0.1.2 10.0.1.4, 127.0.0.1" {
		t.Fatalf("after a while %s", got)
	}
	ok, err = provider.DeregisterInstance(vo.DeregisterInstanceParam{ServiceName: "loan", GroupName: "RISK", Ip: "10.0.0.1", Port: 8080, Ephemeral: true})
	done(t, "deregister", ok, err)
	loan.want(t, "")
	register("10.0.0.2")
	loan.want(t, "10.0.0.2")
	// They go with their connections.
	provider.CloseClient()
	batch.CloseClient()
	loan.want(t, "")
	bulk.want(t, "")
	if got := inRegistry(s, "ledger"); got != "127.0.0.1" {
		t.Errorf("of the persistent ones there is %q", got)
	}
}

func md5Hex(content string) string {
	sum := md5.Sum([]byte(content))
	return hex.EncodeToString(sum[:])
}

func TestConfigurationByTheGoSDK2(t *testing.T) {
	s := startForGRPC(t)
	author, listener := v2Config(t, s), v2Config(t, s)
	defer author.CloseClient()
	defer listener.CloseClient()
	publish := func(content, cas string) (bool, error) {
		return author.PublishConfig(vo.ConfigParam{DataId: "loan.yaml", Group: "RISK", Content: content, Type: "yaml", CasMd5: cas})
	}
	ok, err := publish("limit: 1", "")
	done(t, "publish", ok, err)
	get := func() string {
		t.Helper()
		content, err := author.GetConfig(vo.ConfigParam{DataId: "loan.yaml", Group: "RISK"})
		if err != nil && !strings.Contains(err.Error(), "config data not exist") {
			t.Fatalf("get: %v", err)
		}
		return content
	}
	if got := get(); got != "limit: 1" {
		t.Fatalf("got %q", got)
	}
	if ok, _ := publish("limit: 2", md5Hex("something else")); ok {
		t.Error("a lost compare-and-set was taken")
	}
	ok, err = publish("limit: 2", md5Hex("limit: 1"))
	done(t, "compare and set", ok, err)

	news := make(chan string, 100)
	if err := listener.ListenConfig(vo.ConfigParam{DataId: "loan.yaml", Group: "RISK", OnChange: func(namespace, group, dataID, content string) { news <- content }}); err != nil {
		t.Fatal(err)
	}
	told := func(want string) {
		t.Helper()
		timer := time.NewTimer(recovery)
		defer timer.Stop()
		for last := ""; ; {
			select {
			case last = <-news:
				if last == want {
					return
				}
			case <-timer.C:
				t.Fatalf("told %q, want %q", last, want)
			}
		}
	}
	told("limit: 2")
	ok, err = publish("limit: 3", "")
	done(t, "publish", ok, err)
	told("limit: 3")

	s.Kill()
	s.Restart()
	harness.Eventually(t, recovery, "publishing works again", func() error {
		if ok, err := publish("limit: 4", ""); !ok || err != nil {
			return fmt.Errorf("%v, %v", ok, err)
		}
		return nil
	})
	told("limit: 4")
	ok, err = publish("limit: 5", "")
	done(t, "publish", ok, err)
	told("limit: 5")
	ok, err = author.DeleteConfig(vo.ConfigParam{DataId: "loan.yaml", Group: "RISK"})
	done(t, "delete", ok, err)
	if got := get(); got != "" {
		t.Errorf("after it was deleted %q", got)
	}
}
