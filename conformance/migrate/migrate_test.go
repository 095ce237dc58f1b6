// Package migrate_test moves from real servers: gantry migrate runs between a Gantry server and Spring's Eureka server, or rnacos.
package migrate_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/conformance/harness"
)

// migration is a running gantry migrate.
type migration struct {
	*harness.Process
	t *testing.T
}

func tokenFile(t *testing.T, server *harness.Server) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(server.AdminToken), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// mirror starts gantry migrate from a source.
func mirror(t *testing.T, server *harness.Server, kind, address string, args ...string) *migration {
	t.Helper()
	full := append([]string{"migrate", "from", kind, "--url", address, "--address", "http://" + server.HTTP, "--token-file", tokenFile(t, server)}, args...)
	return &migration{harness.Run(t, harness.Binary(t), full...), t}
}

// end stops it as a person would, and waits for its word that nothing is left.
func (m *migration) end() {
	m.t.Helper()
	m.Signal(syscall.SIGTERM)
	m.Wait()
	if !strings.Contains(m.Output(), "the copies are taken back") {
		m.t.Fatalf("it ended otherwise:\n%s", m.Output())
	}
}

// instance is what both sides are compared by.
type instance struct {
	address, from string
	metadata      map[string]string
}

// inGantry are the instances of a service.
func inGantry(server *harness.Server, service, group string) []instance {
	var answer struct {
		Instances []struct {
			Address  string
			Port     int
			Metadata map[string]string
			Service  struct{ Service, Group string }
		}
	}
	server.Call("InstanceService/ListInstances", map[string]any{"service": map[string]string{"namespace": "default"}}, &answer)
	var all []instance
	for _, i := range answer.Instances {
		if i.Service.Service != service || i.Service.Group != group {
			continue
		}
		all = append(all, instance{fmt.Sprintf("%s:%d", i.Address, i.Port), i.Metadata["gantry.mirrored-from"], i.Metadata})
	}
	return all
}

// provide registers an instance in Gantry that needs no beats.
func provide(server *harness.Server, service, address string, port int, metadata map[string]string) {
	server.Call("InstanceService/Register", map[string]any{"service": map[string]string{"service": service}, "instance": map[string]any{
		"address": address, "port": port, "persistent": true, "metadata": metadata, "labels": map[string]string{"version": "v7"}}}, nil)
}

// want waits until a side has exactly these instances, each "address:port" or "address:port from kind".
func want(t *testing.T, what string, read func() ([]instance, error), instances ...string) {
	t.Helper()
	slices.Sort(instances)
	harness.Eventually(t, 20*time.Second, fmt.Sprintf("%s are %v", what, instances), func() error {
		got, err := read()
		if err != nil {
			return err
		}
		var names []string
		for _, i := range got {
			name := i.address
			if i.from != "" {
				name += " from " + i.from
			}
			names = append(names, name)
		}
		slices.Sort(names)
		if !slices.Equal(names, instances) {
			return fmt.Errorf("they are %v", names)
		}
		return nil
	})
}

// ask calls a foreign system.
func ask(method, address string, header http.Header, body string, into any) error {
	request, err := http.NewRequest(method, address, bytes.NewBufferString(body))
	if err != nil {
		return err
	}
	request.Header = header
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s %s", method, address, response.Status, data)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(data, into)
}

// java skips the test where there is no Java to run a server with, unless it is demanded.
func java(t *testing.T) {
	t.Helper()
	for _, program := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("GANTRY_REQUIRE_JAVA") == "1" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
}

// eureka is a Spring Cloud Netflix Eureka server.
type eureka struct{ address string }

func startEureka(t *testing.T) *eureka {
	t.Helper()
	java(t)
	if _, err := os.Stat("eureka/target/eureka-server.jar"); err != nil {
		command := exec.Command("mvn", "-q", "-B", "-DskipTests", "package")
		command.Dir = "eureka"
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("building the Eureka server: %v\n%s", err, out)
		}
	}
	listen := harness.FreeAddress(t)
	_, port, _ := strings.Cut(listen, ":")
	harness.Run(t, "java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-jar", "eureka/target/eureka-server.jar", "--server.address=127.0.0.1", "--server.port="+port,
		"--eureka.client.register-with-eureka=false", "--eureka.client.fetch-registry=false", "--eureka.server.response-cache-update-interval-ms=500",
		"--eureka.server.eviction-interval-timer-in-ms=1000", "--eureka.server.enable-self-preservation=false", "--logging.level.root=warn")
	e := &eureka{"http://" + listen + "/eureka"}
	harness.Eventually(t, 90*time.Second, "the Eureka server is ready", func() error { return ask(http.MethodGet, e.address+"/apps", nil, "", nil) })
	return e
}

var jsonHeader = http.Header{"Accept": {"application/json"}, "Content-Type": {"application/json"}}

func (e *eureka) register(t *testing.T, app, address string, port int, metadata string) {
	t.Helper()
	body := fmt.Sprintf(`{"instance":{"instanceId":"%[2]s:%[1]s:%[3]d","app":"%[1]s","hostName":"%[2]s","ipAddr":"%[2]s","status":"UP","port":{"$":%[3]d,"@enabled":"true"},
		"securePort":{"$":443,"@enabled":"false"},"vipAddress":"%[5]s","dataCenterInfo":{"@class":"com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo","name":"MyOwn"},
		"leaseInfo":{"renewalIntervalInSecs":30,"durationInSecs":600},"metadata":%[4]s}}`, app, address, port, metadata, strings.ToLower(app))
	if err := ask(http.MethodPost, e.address+"/apps/"+app, jsonHeader, body, nil); err != nil {
		t.Fatal(err)
	}
}

func (e *eureka) cancel(t *testing.T, app, address string, port int) {
	t.Helper()
	if err := ask(http.MethodDelete, fmt.Sprintf("%s/apps/%s/%s:%s:%d", e.address, app, address, app, port), nil, "", nil); err != nil {
		t.Fatal(err)
	}
}

// instances of an application, as a client reads them.
func (e *eureka) instances(app string) ([]instance, error) {
	var answer struct {
		Applications struct {
			Application []struct {
				Name     string
				Instance []struct {
					IPAddr   string `json:"ipAddr"`
					Status   string
					VIP      string `json:"vipAddress"`
					Port     map[string]any
					Metadata map[string]string
				}
			}
		}
	}
	if err := ask(http.MethodGet, e.address+"/apps", jsonHeader, "", &answer); err != nil {
		return nil, err
	}
	var all []instance
	for _, a := range answer.Applications.Application {
		for _, i := range a.Instance {
			if a.Name == app && i.Status == "UP" {
				all = append(all, instance{fmt.Sprintf("%s:%v", i.IPAddr, i.Port["$"]), i.Metadata["gantry.mirrored-from"], i.Metadata})
			}
		}
	}
	return all, nil
}

func TestMirrorWithEureka(t *testing.T) {
	e := startEureka(t)
	server := harness.Start(t)
	here := func(service string) func() ([]instance, error) {
		return func() ([]instance, error) { return inGantry(server, service, "default"), nil }
	}
	there := func(app string) func() ([]instance, error) {
		return func() ([]instance, error) { return e.instances(app) }
	}
	e.register(t, "LOAN", "10.0.0.1", 8080, `{"version":"v1","zone":"north"}`)
	e.register(t, "LOAN", "10.0.0.2", 8080, `{}`)
	provide(server, "risk", "10.0.1.1", 9090, map[string]string{"owner": "ann"})
	m := mirror(t, server, "eureka", e.address, "--mirror", "--interval", "500ms")
	want(t, "loan in gantry", here("loan"), "10.0.0.1:8080 from eureka", "10.0.0.2:8080 from eureka")
	want(t, "risk in eureka", there("RISK"), "10.0.1.1:9090 from gantry")
	risk, err := e.instances("RISK")
	if err != nil || len(risk) != 1 || risk[0].metadata["owner"] != "ann" || risk[0].metadata["version"] != "v7" {
		t.Errorf("risk in eureka is %+v, %v", risk, err)
	}
	if loan := inGantry(server, "loan", "default"); loan[0].metadata["version"] == "" && loan[1].metadata["version"] == "" {
		t.Errorf("loan in gantry is %+v", loan)
	}

	// One goes, and one moves over.
	e.cancel(t, "LOAN", "10.0.0.2", 8080)
	want(t, "loan in gantry", here("loan"), "10.0.0.1:8080 from eureka")
	provide(server, "loan", "10.0.0.1", 8080, nil)
	want(t, "loan in gantry", here("loan"), "10.0.0.1:8080")
	e.cancel(t, "LOAN", "10.0.0.1", 8080)
	want(t, "loan in eureka", there("LOAN"), "10.0.0.1:8080 from gantry")

	m.end()
	want(t, "risk in eureka", there("RISK"))
	want(t, "loan in eureka", there("LOAN"))
	want(t, "loan in gantry", here("loan"), "10.0.0.1:8080")
}

// rnacos is a Nacos server of another make.
type rnacos struct{ address string }

func startRnacos(t *testing.T) *rnacos {
	t.Helper()
	program := os.Getenv("GANTRY_RNACOS")
	if program == "" {
		t.Skip("GANTRY_RNACOS does not name an rnacos binary")
	}
	// It listens for gRPC and its console beside the HTTP port.
	listen, grpc, console := harness.FreeAddress(t), harness.FreeAddress(t), harness.FreeAddress(t)
	port := func(address string) string { return address[strings.LastIndex(address, ":")+1:] }
	for name, value := range map[string]string{"RNACOS_HTTP_PORT": port(listen), "RNACOS_GRPC_PORT": port(grpc), "RNACOS_HTTP_CONSOLE_PORT": port(console),
		"RNACOS_CONFIG_DB_DIR": t.TempDir(), "RNACOS_DATA_DIR": t.TempDir(), "RNACOS_RAFT_NODE_ADDR": "127.0.0.1:" + port(grpc), "RUST_LOG": "warn"} {
		t.Setenv(name, value)
	}
	harness.Run(t, program)
	n := &rnacos{"http://127.0.0.1:" + port(listen)}
	harness.Eventually(t, 30*time.Second, "rnacos is ready", func() error {
		return ask(http.MethodPost, n.address+"/nacos/v1/cs/configs?"+url.Values{"dataId": {"probe"}, "group": {"DEFAULT_GROUP"}, "content": {"x"}}.Encode(), nil, "", nil)
	})
	return n
}

func (n *rnacos) call(t *testing.T, method, path string, values ...string) {
	t.Helper()
	query := url.Values{}
	for i := 0; i+1 < len(values); i += 2 {
		query.Set(values[i], values[i+1])
	}
	if err := ask(method, n.address+"/nacos"+path+"?"+query.Encode(), nil, "", nil); err != nil {
		t.Fatal(err)
	}
}

// publish publishes a configuration until it is there: what comes before rnacos has elected itself is lost.
func (n *rnacos) publish(t *testing.T, group, dataID, content string) {
	t.Helper()
	name := url.Values{"dataId": {dataID}, "group": {group}}
	harness.Eventually(t, 30*time.Second, dataID+" is in rnacos", func() error {
		n.call(t, http.MethodPost, "/v1/cs/configs", "dataId", dataID, "group", group, "content", content)
		response, err := http.Get(n.address + "/nacos/v1/cs/configs?" + name.Encode())
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("it answers %s", response.Status)
		}
		return nil
	})
}

func (n *rnacos) instances(group, service string) ([]instance, error) {
	var answer struct {
		Hosts []struct {
			IP       string
			Port     int
			Healthy  bool
			Metadata map[string]string
		}
	}
	err := ask(http.MethodGet, n.address+"/nacos/v1/ns/instance/list?"+url.Values{"serviceName": {group + "@@" + service}}.Encode(), nil, "", &answer)
	var all []instance
	for _, h := range answer.Hosts {
		all = append(all, instance{fmt.Sprintf("%s:%d", h.IP, h.Port), h.Metadata["gantry.mirrored-from"], h.Metadata})
	}
	return all, err
}

func TestMirrorWithRnacos(t *testing.T) {
	n := startRnacos(t)
	server := harness.Start(t)
	here := func(group, service string) func() ([]instance, error) {
		return func() ([]instance, error) { return inGantry(server, service, group), nil }
	}
	there := func(group, service string) func() ([]instance, error) {
		return func() ([]instance, error) { return n.instances(group, service) }
	}
	n.call(t, http.MethodPost, "/v1/ns/instance", "serviceName", "loan", "ip", "10.0.0.1", "port", "8080", "ephemeral", "false", "metadata", `{"version":"v1"}`)
	n.call(t, http.MethodPost, "/v1/ns/instance", "serviceName", "RISK@@rules", "groupName", "RISK", "ip", "10.0.0.2", "port", "8081", "ephemeral", "false")
	provide(server, "fund", "10.0.1.1", 9090, map[string]string{"owner": "ann"})
	m := mirror(t, server, "nacos", n.address, "--mirror-only", "--namespace", "public", "--interval", "500ms")
	want(t, "loan in gantry", here("default", "loan"), "10.0.0.1:8080 from nacos")
	want(t, "rules in gantry", here("RISK", "rules"), "10.0.0.2:8081 from nacos")
	want(t, "fund in nacos", there("DEFAULT_GROUP", "fund"), "10.0.1.1:9090 from gantry")
	fund, err := n.instances("DEFAULT_GROUP", "fund")
	if err != nil || len(fund) != 1 || fund[0].metadata["owner"] != "ann" || fund[0].metadata["version"] != "v7" {
		t.Errorf("fund in nacos is %+v, %v", fund, err)
	}

	// The copy lives by beats for longer than it would without, with its metadata.
	harness.Eventually(t, 60*time.Second, "35 s are over", elapsed(35*time.Second))
	fund, err = n.instances("DEFAULT_GROUP", "fund")
	if err != nil || len(fund) != 1 || fund[0].metadata["owner"] != "ann" || fund[0].from != "gantry" {
		t.Errorf("after many beats fund in nacos is %+v, %v", fund, err)
	}

	// A provider of Gantry moves back, to the very place of its copy: stopping the mirror leaves it alone.
	n.call(t, http.MethodPost, "/v1/ns/instance", "serviceName", "fund", "ip", "10.0.1.1", "port", "9090", "ephemeral", "true", "metadata", `{"own":"yes"}`)
	want(t, "fund in nacos", there("DEFAULT_GROUP", "fund"), "10.0.1.1:9090")
	m.end()
	want(t, "fund in nacos", there("DEFAULT_GROUP", "fund"), "10.0.1.1:9090")
	want(t, "loan in gantry", here("default", "loan"))
}

// elapsed is no error when a time is over since it was made.
func elapsed(d time.Duration) func() error {
	until := time.Now().Add(d)
	return func() error {
		if left := time.Until(until); left > 0 {
			return fmt.Errorf("%v are left", left)
		}
		return nil
	}
}

func TestCopyFromRnacos(t *testing.T) {
	n := startRnacos(t)
	server := harness.Start(t)
	n.publish(t, "DEFAULT_GROUP", "loan.yaml", "limit: 5\n")
	n.publish(t, "RISK", "rules.json", `{"max": 3}`)
	command := exec.Command(harness.Binary(t), "migrate", "from", "nacos", "--url", n.address, "--address", "http://"+server.HTTP, "--token-file", tokenFile(t, server),
		"--namespace", "public", "--config", "loan.yaml", "--config", "RISK/rules.json", "--config", "RISK/none", "--release", "-o", "json")
	out, err := command.Output()
	if code := command.ProcessState.ExitCode(); code != 8 {
		t.Fatalf("exit code %d, want 8 as one is not there: %v\n%s", code, err, out)
	}
	var report struct {
		Counts   map[string]int
		NotTaken []struct{ Origin, Reason string }
	}
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatal(err)
	}
	if report.Counts["created"] != 2 || len(report.NotTaken) != 1 || report.NotTaken[0].Reason != "source.not_found" {
		t.Fatalf("%s", out)
	}
	var got struct{ Version struct{ Content []byte } }
	server.Call("ReleaseService/Get", map[string]any{"ref": map[string]string{"kind": "Config", "name": "RISK/rules.json"}}, &got)
	if string(got.Version.Content) != `{"max": 3}` {
		t.Errorf("rules.json is %q", got.Version.Content)
	}
}
