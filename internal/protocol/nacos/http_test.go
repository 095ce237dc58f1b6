package nacos

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/instance"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// web is a node and its HTTP API.
type web struct {
	*node
	url string
	// token is sent with each call.
	token string
}

func serve(t testing.TB, guarded bool) *web {
	t.Helper()
	n := start(t, guarded)
	server := httptest.NewServer(n.Handler())
	t.Cleanup(server.Close)
	return &web{node: n, url: server.URL}
}

// answer is what came back.
type answer struct {
	status int
	body   string
	header http.Header
}

// call sends "METHOD /path?query" with a form, which goes into the body of POST and PUT and into the query otherwise.
func (s *web) call(line string, form ...string) answer {
	s.t.Helper()
	return s.callWith(nil, line, form...)
}

func (s *web) callWith(header http.Header, line string, form ...string) answer {
	s.t.Helper()
	method, path, _ := strings.Cut(line, " ")
	values := url.Values{}
	for n := 0; n < len(form); n += 2 {
		values.Set(form[n], form[n+1])
	}
	if s.token != "" && values.Get("accessToken") == "" {
		values.Set("accessToken", s.token)
	}
	var body io.Reader
	if method == http.MethodPost || method == http.MethodPut {
		body = strings.NewReader(values.Encode())
	} else if len(values) > 0 {
		path += "?" + values.Encode()
	}
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+"/nacos"+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded;charset=UTF-8")
	}
	for key, value := range header {
		r.Header[key] = value
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{response.StatusCode, string(data), response.Header}
}

// want fails unless the answer has that status and holds the parts.
func (s *web) want(a answer, status int, parts ...string) answer {
	s.t.Helper()
	if a.status != status {
		s.t.Errorf("status %d, want %d: %s", a.status, status, a.body)
	}
	for _, part := range parts {
		if !strings.Contains(a.body, part) {
			s.t.Errorf("no %s in %s", part, a.body)
		}
	}
	return a
}

// decoded reads an answer's JSON into a value of any form.
func decoded[T any](t testing.TB, a answer) T {
	t.Helper()
	var value T
	if err := json.Unmarshal([]byte(a.body), &value); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
	return value
}

// listed is a list as clients read it.
type listed struct {
	Name, GroupName          string
	CacheMillis, LastRefTime int64
	Hosts                    []host
	ReachProtectionThreshold bool
}

type host struct {
	InstanceID  string `json:"instanceId"`
	IP          string
	Port        int
	Weight      float64
	Healthy     bool
	Enabled     bool
	Ephemeral   bool
	ClusterName string
	ServiceName string
	Metadata    map[string]string
}

func (s *web) list(form ...string) listed {
	s.t.Helper()
	return decoded[listed](s.t, s.want(s.call("GET /v1/ns/instance/list", form...), 200))
}

var loan = instance.Service{Namespace: "default", Group: "default", Name: "loan"}

func TestAnInstanceIsRegisteredListedAndDeregistered(t *testing.T) {
	s := serve(t, false)
	s.want(s.call("POST /v1/ns/instance", "serviceName", "DEFAULT_GROUP@@loan", "groupName", "DEFAULT_GROUP", "ip", "10.0.0.1", "port", "8080", "weight", "2.5",
		"clusterName", "SH", "metadata", `{"version":"v2","owner":"risk\n","n":1,"preserved.heart.beat.interval":"1000","preserved.heart.beat.timeout":"3000","preserved.ip.delete.timeout":"6000"}`), 200, "ok")
	i := s.Instances.Lookup(loan).Instance("10.0.0.1#8080#SH#DEFAULT_GROUP@@loan")
	if i == nil {
		t.Fatalf("instances %v", s.Instances.Lookup(loan).Instances)
	}
	if i.Address != "10.0.0.1" || i.Port != 8080 || i.Weight != 2.5 || i.TTL != 3*time.Second || i.RemoveAfter != 6*time.Second || i.Persistent ||
		i.Labels.Get("version") != "v2" || i.Labels.Get("cluster") != "SH" || i.Metadata.Get("owner") != "risk\n" || i.Metadata.Get("n") != "1" || i.Protocol != "nacos" {
		t.Errorf("%+v", i)
	}
	got := s.list("serviceName", "loan")
	if got.Name != "DEFAULT_GROUP@@loan" || got.GroupName != "DEFAULT_GROUP" || got.CacheMillis != cachePolled || got.LastRefTime == 0 || len(got.Hosts) != 1 {
		t.Fatalf("%+v", got)
	}
	if h := got.Hosts[0]; h.InstanceID != "10.0.0.1#8080#SH#DEFAULT_GROUP@@loan" || h.IP != "10.0.0.1" || h.Port != 8080 || h.Weight != 2.5 || !h.Healthy || !h.Enabled ||
		!h.Ephemeral || h.ClusterName != "SH" || h.ServiceName != "DEFAULT_GROUP@@loan" || h.Metadata["owner"] != "risk\n" || len(h.Metadata) != 6 {
		t.Errorf("%+v", h)
	}
	for clusters, want := range map[string]int{"": 1, "SH": 1, "BJ,SH": 1, "BJ": 0, "S": 0} {
		if n := len(s.list("serviceName", "loan", "clusters", clusters).Hosts); n != want {
			t.Errorf("clusters %q: %d hosts, want %d", clusters, n, want)
		}
	}
	if n := len(s.list("serviceName", "loan", "groupName", "other").Hosts); n != 0 {
		t.Errorf("%d hosts in another group", n)
	}
	s.want(s.call("GET /v1/ns/instance", "serviceName", "loan", "ip", "10.0.0.1", "port", "8080", "cluster", "SH"), 200, `"service":"DEFAULT_GROUP@@loan"`, `"weight":2.5`)
	s.want(s.call("GET /v1/ns/instance", "serviceName", "loan", "ip", "10.0.0.2", "port", "8080"), 404, "caused: ", "no matched ip found!")
	s.want(s.call("GET /v2/ns/instance", "serviceName", "loan", "ip", "10.0.0.2", "port", "8080"), 404, `{"code":21003,`)
	for range 2 { // twice is no error
		s.want(s.call("DELETE /v1/ns/instance", "serviceName", "loan", "ip", "10.0.0.1", "port", "8080", "clusterName", "SH"), 200, "ok")
	}
	if n := len(s.list("serviceName", "loan").Hosts); n != 0 {
		t.Errorf("%d hosts after all were deregistered", n)
	}
}

func TestVersion2AnswersResults(t *testing.T) {
	s := serve(t, false)
	s.want(s.call("POST /v2/ns/instance", "serviceName", "loan", "groupName", "RISK", "ip", "::1", "port", "80"), 200, `{"code":0,"message":"success","data":"ok"}`)
	s.want(s.call("GET /v2/ns/instance/list", "serviceName", "loan", "groupName", "RISK"), 200, `{"code":0,"message":"success","data":{"name":"RISK@@loan"`, `"ip":"::1"`)
	s.want(s.call("GET /v3/client/ns/instance/list", "serviceName", "loan", "groupName", "RISK"), 200, `"data":[{"instanceId":"::1#80#DEFAULT#RISK@@loan"`)
	s.want(s.call("GET /v2/ns/instance", "serviceName", "loan", "groupName", "RISK", "ip", "[::1]", "port", "80"), 200, `"serviceName":"RISK@@loan"`)
	s.want(s.call("POST /v2/ns/instance", "ip", "10.0.0.1", "port", "80"), 400, `{"code":10000,"message":"parameter missing","data":"`, "serviceName")
	s.want(s.call("POST /v2/ns/instance", "serviceName", "a", "ip", "10.0.0.1", "port", "80", "weight", "-1"), 400, `{"code":20002,`)
	s.want(s.call("POST /v2/ns/instance", "serviceName", "a", "ip", "10.0.0.1", "port", "80", "namespaceId", "nowhere"), 404, `{"code":22001,`)
}

func TestBeats(t *testing.T) {
	s := serve(t, false)
	light := []string{"serviceName", "DEFAULT_GROUP@@loan", "ip", "10.0.0.1", "port", "8080"}
	s.want(s.call("PUT /v1/ns/instance/beat", light...), 200, `"code":20404`, `"clientBeatInterval":5000`, `"lightBeatEnabled":true`)
	// A full beat brings the instance back.
	full := `{"ip":"10.0.0.1","port":8080,"cluster":"DEFAULT","weight":3,"serviceName":"DEFAULT_GROUP@@loan","scheduled":true,"metadata":{"preserved.heart.beat.interval":"2000"}}`
	s.want(s.call("PUT /v1/ns/instance/beat", "serviceName", "DEFAULT_GROUP@@loan", "beat", full), 200, `"code":10200`, `"clientBeatInterval":2000`)
	if i := s.Instances.Lookup(loan).Instance("10.0.0.1#8080#DEFAULT#DEFAULT_GROUP@@loan"); i == nil || i.Weight != 3 {
		t.Fatalf("%+v", i)
	}
	s.want(s.call("PUT /v1/ns/instance/beat", light...), 200, `"code":10200`, `"clientBeatInterval":2000`)
	s.want(s.call("PUT /v2/ns/instance/beat", light...), 200, `{"code":10200,"clientBeatInterval":2000`)
	s.want(s.call("PUT /v1/ns/instance/beat", "serviceName", "loan", "beat", `{"ip":`), 400, "caused: ")
	// v3 beats by registering.
	s.want(s.call("POST /v3/client/ns/instance", append([]string{"heartBeat", "true"}, light...)...), 200, `{"code":0,`)
	s.want(s.call("POST /v3/client/ns/instance", "heartBeat", "true", "serviceName", "loan", "ip", "10.0.0.9", "port", "1"), 200, `{"code":21003,`)
}

func TestInstancesOfOtherProtocolsAreReadAndLeftAlone(t *testing.T) {
	s := serve(t, false)
	weight := 4.0
	for _, m := range []*gantryv1.Instance{
		{Id: "mine", Address: "10.0.0.1", Port: 8080, Weight: &weight, Labels: map[string]string{"zone": "a"}, Metadata: map[string]string{"k": "v"}},
		{Id: "down", Address: "10.0.0.2", Port: 8080, Status: gantryv1.Status_STATUS_DOWN},
	} {
		if _, err := s.Instances.Register(t.Context(), instance.Registration{Service: loan, Instance: m, Protocol: "eureka"}); err != nil {
			t.Fatal(err)
		}
	}
	hosts := s.list("serviceName", "loan").Hosts
	if len(hosts) != 1 || hosts[0].InstanceID != "mine" || hosts[0].Weight != 4 || hosts[0].Metadata["zone"] != "a" || hosts[0].Metadata["k"] != "v" || hosts[0].ClusterName != "DEFAULT" {
		t.Errorf("%+v", hosts)
	}
	s.want(s.call("GET /v1/ns/catalog/instances", "serviceName", "loan", "pageNo", "1", "pageSize", "10"), 200, `"count":2`, `"enabled":false`)
	s.want(s.call("DELETE /v1/ns/instance", "serviceName", "loan", "ip", "10.0.0.1", "port", "8080"), 200, "ok")
	if len(s.list("serviceName", "loan").Hosts) != 1 {
		t.Error("another protocol's instance was deregistered")
	}
	s.want(s.call("PUT /v1/ns/instance/beat", "serviceName", "loan", "ip", "10.0.0.1", "port", "8080"), 200, `"code":20404`)
}

// TestIDsThatClientsChose: other ways in let clients choose an id; by HTTP they are named by address, port and cluster.
func TestIDsThatClientsChose(t *testing.T) {
	s := serve(t, false)
	i := newInstance()
	i.InstanceID, i.IP, i.Port, i.ClusterName = "mine-1", "10.0.0.1", 8080, "SH"
	if err := s.register(t.Context(), loan, &i); err != nil {
		t.Fatal(err)
	}
	at := []string{"serviceName", "loan", "ip", "10.0.0.1", "port", "8080", "clusterName", "SH"}
	s.want(s.call("GET /v1/ns/instance", at...), 200, `"instanceId":"mine-1"`)
	s.want(s.call("PUT /v1/ns/instance/beat", at...), 200, `"code":10200`)
	s.want(s.call("PUT /v1/ns/instance/beat", "serviceName", "loan", "ip", "10.0.0.1", "port", "8080"), 200, `"code":20404`)
	s.want(s.call("DELETE /v1/ns/instance", at...), 200, "ok")
	if len(s.list("serviceName", "loan").Hosts) != 0 {
		t.Error("it is still there")
	}
}

// TestProtectedInstancesAreHandedOut: when nothing else is left, the lost read as healthy.
func TestProtectedInstancesAreHandedOut(t *testing.T) {
	s := serve(t, false)
	for n := range 3 {
		i := newInstance()
		i.IP, i.Port, i.Metadata = "10.0.0."+strconv.Itoa(n+1), 8080, metadata{beatIntervalKey: "500", beatTimeoutKey: "1000", deleteTimeoutKey: "1000"}
		if err := s.register(t.Context(), loan, &i); err != nil {
			t.Fatal(err)
		}
	}
	// Nobody beats: all are lost at once, which the service survives.
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for revision := s.Instances.Lookup(loan).Revision; ; {
		got := s.list("serviceName", "loan", "healthyOnly", "true")
		if got.ReachProtectionThreshold && len(got.Hosts) > 0 {
			break
		}
		var err error
		if _, revision, err = s.Instances.AwaitChange(ctx, loan, revision); err != nil {
			t.Fatalf("%v; the list is %+v", err, got)
		}
	}
	for _, h := range s.list("serviceName", "loan").Hosts {
		if i := s.Instances.Lookup(loan).Instance(h.InstanceID); i != nil && i.Protected && !h.Healthy {
			t.Errorf("%+v", h)
		}
	}
}

func TestOperatorsChangeInstances(t *testing.T) {
	s := serve(t, false)
	at := []string{"serviceName", "loan", "ip", "10.0.0.1", "port", "8080"}
	with := func(more ...string) []string { return append(append([]string{}, at...), more...) }
	s.want(s.call("POST /v1/ns/instance", with("metadata", "a=1,b=2")...), 200, "ok")
	s.want(s.call("PUT /v1/ns/instance", with("weight", "7", "enabled", "false", "metadata", `{"b":"3","version":"v9"}`)...), 200, "ok")
	hosts := decoded[struct{ List []host }](t, s.call("GET /v1/ns/catalog/instances", "serviceName", "loan")).List
	if len(hosts) != 1 || hosts[0].Weight != 7 || hosts[0].Enabled || hosts[0].Metadata["a"] != "1" || hosts[0].Metadata["b"] != "3" {
		t.Errorf("%+v", hosts)
	}
	if len(s.list("serviceName", "loan").Hosts) != 0 {
		t.Error("a disabled instance is listed")
	}
	s.want(s.call("GET /v2/ns/catalog/instances", "serviceName", "loan", "enabledOnly", "true"), 200, `{"instances":[],"count":0}`)
	s.want(s.call("GET /v2/ns/catalog/instances", "serviceName", "loan", "healthyOnly", "true"), 200, `"count":1`)
	if i := s.Instances.Lookup(loan).Instances[0]; i.Labels.Get("version") != "v9" {
		t.Errorf("labels %v", i.Labels)
	}
	s.want(s.call("PATCH /v1/ns/instance", with("enabled", "true")...), 200, "ok")
	if hosts := s.list("serviceName", "loan").Hosts; len(hosts) != 1 || hosts[0].Weight != 7 {
		t.Errorf("%+v", hosts)
	}
	s.want(s.call("PUT /v1/ns/instance/metadata/batch", "serviceName", "loan", "metadata", `{"c":"4"}`, "instances", `[{"ip":"10.0.0.1","port":8080},{"ip":"10.0.0.9","port":1}]`),
		200, `{"updated":["10.0.0.1:8080:unknown:DEFAULT:ephemeral"]}`)
	s.want(s.call("DELETE /v1/ns/instance/metadata/batch", "serviceName", "loan", "metadata", `{"a":""}`), 200, `10.0.0.1:8080`)
	if m := s.list("serviceName", "loan").Hosts[0].Metadata; m["c"] != "4" || m["a"] != "" {
		t.Errorf("metadata %v", m)
	}
	s.want(s.call("PUT /v1/ns/health/instance", with("healthy", "false")...), 400, "caused: ")
	s.want(s.call("GET /v1/ns/instance/statuses", "key", "public##DEFAULT_GROUP@@loan"), 200, `{"ips":["10.0.0.1:8080_true"]}`)
}

func TestPersistentInstancesAreChecked(t *testing.T) {
	s := serve(t, false)
	s.want(s.call("POST /v1/ns/instance", "serviceName", "loan", "ip", "127.0.0.1", "port", "1", "ephemeral", "false"), 200, "ok")
	i := s.Instances.Lookup(loan).Instances[0]
	if !i.Persistent || len(i.Checks) != 1 || i.Checks[0].GetTcp().GetPort() != 1 {
		t.Fatalf("%+v", i)
	}
	// The cluster's checker decides, for those that are there and those that come.
	s.want(s.call("PUT /v1/ns/cluster", "serviceName", "loan", "clusterName", "DEFAULT", "checkPort", "80", "useInstancePort4Check", "true", "healthChecker", `{"type":"NONE"}`), 200, "ok")
	s.want(s.call("POST /v1/ns/instance", "serviceName", "loan", "ip", "127.0.0.2", "port", "1", "ephemeral", "false", "healthy", "false"), 200, "ok")
	for _, i := range s.Instances.Lookup(loan).Instances {
		if len(i.Checks) != 0 {
			t.Errorf("%s is checked", i.ID)
		}
	}
	healthy := func() (n int) {
		for _, h := range s.list("serviceName", "loan").Hosts {
			if h.IP == "127.0.0.2" && h.Healthy {
				n++
			}
		}
		return n
	}
	if healthy() != 0 {
		t.Error("what registered as unhealthy is healthy")
	}
	s.want(s.call("PUT /v1/ns/health/instance", "serviceName", "loan", "ip", "127.0.0.2", "port", "1", "healthy", "true"), 200, "ok")
	if healthy() != 1 {
		t.Error("the health that was set is not there")
	}
	s.want(s.call("GET /v1/ns/service", "serviceName", "loan"), 200, `"healthChecker":{"type":"NONE"}`, `"metadata":{}`)
}

func TestServices(t *testing.T) {
	s := serve(t, false)
	s.want(s.call("GET /v1/ns/service", "serviceName", "loan"), 404, "caused: service not found")
	s.want(s.call("POST /v1/ns/service", "serviceName", "loan", "protectThreshold", "0.8", "metadata", `{"team":"risk"}`), 200, "ok")
	if threshold := s.Instances.Lookup(loan).Settings.GetProtectThreshold(); threshold != 0.2 {
		t.Errorf("threshold %v", threshold)
	}
	s.want(s.call("GET /v1/ns/service", "serviceName", "loan"), 200, `"protectThreshold":0.8`, `"metadata":{"team":"risk"}`, `"groupName":"DEFAULT_GROUP"`)
	for value, want := range map[string]string{"": `"protectThreshold":0.5`, "0": `"protectThreshold":0,`, "1": `"protectThreshold":0.999`, "0.25F": `"protectThreshold":0.25`} {
		s.want(s.call("POST /v1/ns/service", "serviceName", "t"+value, "protectThreshold", value), 200, "ok")
		s.want(s.call("GET /v1/ns/service", "serviceName", "t"+value), 200, want)
		s.want(s.call("DELETE /v1/ns/service", "serviceName", "t"+value), 200, "ok")
	}
	s.want(s.call("POST /v1/ns/service", "serviceName", "t", "protectThreshold", "2"), 400, "caused: ")
	s.want(s.call("PUT /v2/ns/service", "serviceName", "loan", "metadata", `{"team":"core"}`), 200, `"data":"ok"`)
	s.want(s.call("GET /v2/ns/service", "serviceName", "loan"), 200, `"protectThreshold":0.8`, `"metadata":{"team":"core"}`, `"namespace":"public"`)
	for _, name := range []string{"a", "b", "c"} {
		s.want(s.call("POST /v1/ns/instance", "serviceName", name, "ip", "10.0.0.1", "port", "1"), 200)
	}
	s.want(s.call("GET /v1/ns/service/list", "pageNo", "2", "pageSize", "2"), 200, `{"count":4,"doms":["c","loan"]}`)
	s.want(s.call("GET /v2/ns/service/list", "pageNo", "9", "pageSize", "2"), 200, `{"count":4,"services":[]}`)
	s.want(s.call("GET /v1/ns/service/list", "pageNo", "1", "pageSize", "10", "groupName", "other"), 200, `{"count":0,"doms":[]}`)
	s.want(s.call("DELETE /v1/ns/service", "serviceName", "a"), 400, "is not empty")
	s.want(s.call("DELETE /v1/ns/service", "serviceName", "loan"), 200, "ok")
	s.want(s.call("DELETE /v1/ns/service", "serviceName", "loan"), 404, "caused: ")
	s.want(s.call("POST /v1/ns/service", "serviceName", "x", "selector", `{"type":"label","expression":"x"}`), 400, "caused: ")
	s.want(s.call("GET /v1/ns/catalog/services", "pageNo", "1", "pageSize", "2", "withInstances", "false"), 200, `"count":3`, `"healthyInstanceCount":1`)
}

func TestConfigurationsOverHTTP(t *testing.T) {
	s := serve(t, false)
	name := []string{"dataId", "app.yaml", "group", "DEFAULT_GROUP"}
	with := func(more ...string) []string { return append(append([]string{}, name...), more...) }
	if a := s.want(s.call("GET /v1/cs/configs", name...), 404); a.body != "config data not exist" {
		t.Errorf("%q", a.body)
	}
	s.want(s.call("GET /v2/cs/config", name...), 404, `{"code":20004,"message":"resource not found","data":"config data not exist"}`)
	if a := s.want(s.call("POST /v1/cs/configs", with("content", "a: \"ä&+ 1\"\n", "type", "yaml", "encryptedDataKey", "kk")...), 200); a.body != "true" {
		t.Errorf("%q", a.body)
	}
	a := s.want(s.call("GET /v1/cs/configs", name...), 200)
	if a.body != "a: \"ä&+ 1\"\n" || a.header.Get("Config-Type") != "yaml" || a.header.Get("Content-MD5") != md5Of([]byte(a.body)) || a.header.Get("Encrypted-Data-Key") != "kk" {
		t.Errorf("%q %v", a.body, a.header)
	}
	s.want(s.call("GET /v2/cs/config", name...), 200, `{"code":0,"message":"success","data":"a: \"ä&+ 1\"\n"}`)
	s.want(s.call("GET /v3/client/cs/config", "dataId", "app.yaml", "groupName", "DEFAULT_GROUP"), 200, `"content":"a: \"ä&+ 1\"\n","md5":"`, `"contentType":"yaml"`)
	s.want(s.call("GET /v3/client/cs/config", "dataId", "none", "groupName", "DEFAULT_GROUP"), 200, `{"code":20004,`)
	// Compare-and-set, by header or parameter.
	if a := s.callWith(http.Header{"casMd5": {"00"}}, "POST /v1/cs/configs", with("content", "b: 1")...); a.status != 500 || a.body != "false" {
		t.Errorf("%+v", a)
	}
	s.want(s.call("POST /v2/cs/config", with("content", "b: 1", "casMd5", "00")...), 500, `{"code":20005,`)
	s.want(s.call("POST /v2/cs/config", with("content", "b: 1", "casMd5", a.header.Get("Content-MD5"))...), 200, `"data":true`)
	// Beta: this test comes from 127.0.0.1.
	s.want(s.callWith(http.Header{"betaIps": {"127.0.0.1"}}, "POST /v1/cs/configs", with("content", "beta: 1")...), 200, "true")
	if a := s.want(s.call("GET /v1/cs/configs", name...), 200); a.body != "beta: 1" || a.header.Get("isBeta") != "true" {
		t.Errorf("%+v", a)
	}
	s.want(s.call("GET /v1/cs/configs", with("beta", "true")...), 200, `"betaIps":"127.0.0.1"`, `"content":"beta: 1"`)
	s.want(s.call("DELETE /v1/cs/configs", with("beta", "true")...), 200, `"data":true`)
	s.want(s.call("GET /v1/cs/configs", name...), 200, "b: 1")
	// History.
	page := decoded[struct{ PageItems []entry }](t, s.want(s.call("GET /v1/cs/history", with("search", "accurate", "pageNo", "1", "pageSize", "2")...), 200, `"totalCount":3`, `"pagesAvailable":2`))
	if len(page.PageItems) != 2 || page.PageItems[0].ID != "3" {
		t.Errorf("%+v", page)
	}
	s.want(s.call("GET /v1/cs/history", with("nid", "1")...), 200, `"content":"a: \"ä\u0026+ 1\"\n"`)
	s.want(s.call("GET /v2/cs/history/previous", with("id", "2")...), 200, `"id":"1"`)
	s.want(s.call("GET /v1/cs/history/previous", with("id", "1")...), 404)
	// Lists.
	for _, dataID := range []string{"app-risk.json", "other.txt"} {
		s.want(s.call("POST /v1/cs/configs", "dataId", dataID, "group", "RISK", "content", "{}"), 200, "true")
	}
	for _, c := range []struct{ search, dataID, group, want string }{
		{"accurate", "app.yaml", "DEFAULT_GROUP", `"totalCount":1`}, {"accurate", "", "RISK", `"totalCount":2`}, {"accurate", "app", "", `"totalCount":0`},
		{"blur", "app", "", `"totalCount":2`}, {"blur", "app*json", "", `"totalCount":1`}, {"blur", "*app*", "R*K", `"totalCount":1`}, {"blur", "", "", `"totalCount":3`}, {"blur", "p*", "", `"totalCount":0`},
	} {
		s.want(s.call("GET /v1/cs/configs", "search", c.search, "dataId", c.dataID, "group", c.group, "pageNo", "1", "pageSize", "10"), 200, c.want)
	}
	s.want(s.call("GET /v1/cs/history/configs", "tenant", ""), 200, `"dataId":"app-risk.json","group":"RISK"`)
	if a := s.want(s.call("DELETE /v1/cs/configs", name...), 200); a.body != "true" {
		t.Errorf("%q", a.body)
	}
	s.want(s.call("GET /v1/cs/configs", name...), 404)
}

func TestBadRequestsHaveNacosErrors(t *testing.T) {
	s := serve(t, false)
	long := strings.Repeat("x", 300)
	for _, c := range []struct {
		line   string
		form   []string
		status int
	}{
		{"GET /v1/cs/configs", []string{"dataId", "a/b", "group", "g"}, 400},
		{"GET /v1/cs/configs", []string{"dataId", "a", "group", long}, 400},
		{"GET /v1/cs/configs", []string{"dataId", "a"}, 400},
		{"GET /v1/cs/configs", []string{"dataId", "a", "group", "g", "tenant", "a b"}, 400},
		{"POST /v1/cs/configs", []string{"dataId", "a", "group", "g"}, 400},
		{"POST /v1/cs/configs", []string{"dataId", "a", "group", "g", "content", strings.Repeat("x", 1<<20+1)}, 413},
		{"POST /v1/cs/configs", []string{"dataId", "a", "group", "g", "content", strings.Repeat("x", 5<<20)}, 413},
		{"POST /v1/cs/configs", []string{"dataId", "a", "group", "g", "content", "x", "tenant", "nowhere"}, 404},
		{"POST /v1/cs/configs/listener", []string{"Listening-Configs", "nonsense"}, 400},
		{"POST /v1/cs/configs/listener", nil, 400},
		{"POST /v1/ns/instance", []string{"serviceName", "a", "ip", "10.0.0.1"}, 400},
		{"POST /v1/ns/instance", []string{"serviceName", "@@a", "ip", "10.0.0.1", "port", "1"}, 400},
		{"POST /v1/ns/instance", []string{"serviceName", "a", "ip", "0.0.0.0", "port", "1"}, 400},
		{"POST /v1/ns/instance", []string{"serviceName", "a", "ip", "10.0.0.1", "port", "70000"}, 400},
		{"POST /v1/ns/instance", []string{"serviceName", "a", "ip", "10.0.0.1", "port", "1", "clusterName", "a,b"}, 400},
		{"POST /v1/ns/instance", []string{"serviceName", "a", "ip", "10.0.0.1", "port", "1", "metadata", "{"}, 400},
		{"POST /v1/ns/instance", []string{"serviceName", "a", "ip", "10.0.0.1", "port", "1", "metadata", strings.Repeat("x", 400<<10)}, 413},
		{"POST /v1/ns/instance", []string{"serviceName", "a", "ip", "10.0.0.1", "port", "1", "metadata", `{"preserved.heart.beat.interval":"60000"}`}, 400},
		{"GET /v1/ns/instance/list", []string{"serviceName", "a", "udpPort", "x"}, 400},
		{"GET /v1/ns/nothing", nil, 404},
		{"POST /v1/ns/instance/list", nil, 405},
	} {
		a := s.call(c.line, c.form...)
		if a.status != c.status || c.status != 405 && !strings.HasPrefix(a.body, "caused: ") {
			t.Errorf("%s %.100q: %d %.200s; want %d", c.line, c.form, a.status, a.body, c.status)
		}
	}
	r, err := http.Get(s.url + "/nacos/v1/ns/instance/list?serviceName=%zz")
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != 400 {
		t.Errorf("a bad escape: %s", r.Status)
	}
}

func TestWhoMayWhat(t *testing.T) {
	s := serve(t, true)
	ctx := system(t)
	token := func(role gantryv1.Role) string {
		_, secret, err := s.Access.CreateToken(ctx, "test", []*gantryv1.Grant{{Namespace: "default", Role: role}}, 0)
		if err != nil {
			t.Fatal(err)
		}
		return secret
	}
	callers := map[string]string{"nobody": "", "unknown": "gty_nonsense", "service": token(gantryv1.Role_ROLE_SERVICE), "viewer": token(gantryv1.Role_ROLE_VIEWER),
		"developer": token(gantryv1.Role_ROLE_DEVELOPER), "releaser": token(gantryv1.Role_ROLE_RELEASER)}
	at, name := []string{"serviceName", "loan", "ip", "10.0.0.1", "port", "1"}, []string{"dataId", "a", "group", "g"}
	with := func(form []string, more ...string) []string { return append(append([]string{}, form...), more...) }
	for _, c := range []struct {
		line    string
		form    []string
		allowed string
	}{
		{"POST /v1/ns/instance", at, "service"},
		{"PUT /v1/ns/instance/beat", at, "service"},
		{"GET /v1/ns/instance/list", at, "service viewer developer releaser"},
		{"GET /v1/ns/instance", at, "service viewer developer releaser"},
		{"PUT /v1/ns/instance", at, "service releaser"},
		{"POST /v2/ns/service", at, "releaser"},
		{"POST /v1/cs/configs", with(name, "content", "x"), "releaser"},
		{"GET /v1/cs/configs", name, "service viewer developer releaser"},
		{"POST /v1/cs/configs/listener", []string{"Listening-Configs", "a\x02g\x02\x01"}, "service viewer developer releaser"},
		{"GET /v1/cs/history", name, "viewer developer releaser"},
		{"GET /v1/cs/configs", with(name, "search", "blur"), "viewer developer releaser"},
		{"DELETE /v1/cs/configs", name, "releaser"},
		{"POST /v1/console/namespaces", []string{"customNamespaceId", "x", "namespaceName", "x"}, ""},
		{"GET /v1/console/namespaces", nil, "service viewer developer releaser"},
		{"DELETE /v1/ns/instance", at, "service releaser"},
	} {
		if c.line == "GET /v1/cs/configs" { // it must be there for all who may
			if err := s.publish(ctx, &publication{key: configKey{"default", "g", "a"}, content: "x"}); err != nil {
				t.Fatal(err)
			}
		}
		if c.line == "PUT /v1/ns/instance" || c.line == "GET /v1/ns/instance" {
			i := newInstance()
			i.IP, i.Port = "10.0.0.1", 1
			if err := s.register(ctx, loan, &i); err != nil {
				t.Fatal(err)
			}
		}
		for caller, secret := range callers {
			s.token = secret
			a := s.call(c.line, c.form...)
			allowed := strings.Contains(" "+c.allowed+" ", " "+caller+" ")
			if allowed != (a.status == 200) || !allowed && a.status != 403 {
				t.Errorf("%s by %s: %d %s; allowed should be %v", c.line, caller, a.status, a.body, allowed)
			}
			if strings.Contains(a.body, "gty_") {
				t.Errorf("%s by %s: the answer holds a token: %s", c.line, caller, a.body)
			}
		}
	}
}

func TestLogin(t *testing.T) {
	s := serve(t, true)
	ctx := system(t)
	if _, err := s.Access.CreateUser(ctx, "ann", "correct horse battery", []*gantryv1.Grant{{Namespace: "*", Role: gantryv1.Role_ROLE_ADMIN}}); err != nil {
		t.Fatal(err)
	}
	s.want(s.call("POST /v1/auth/login", "username", "ann", "password", "wrong horse battery"), 403, "caused: ")
	s.want(s.call("POST /v1/auth/login"), 400, "caused: ")
	for _, path := range []string{"/v1/auth/login", "/v1/auth/users/login", "/v3/auth/user/login"} {
		l := decoded[struct {
			AccessToken string
			TokenTTL    int64 `json:"tokenTtl"`
			GlobalAdmin bool
		}](t, s.want(s.call("POST "+path, "username", "ann", "password", "correct horse battery"), 200))
		if l.TokenTTL != int64(access.LoginLifetime.Seconds()) || !l.GlobalAdmin {
			t.Errorf("%s: %+v", path, l)
		}
		// By parameter, header and bearer.
		s.want(s.call("GET /v1/ns/instance/list", "serviceName", "a", "accessToken", l.AccessToken), 200)
		s.want(s.callWith(http.Header{"Accesstoken": {l.AccessToken}}, "GET /v1/ns/instance/list", "serviceName", "a"), 200)
		s.want(s.callWith(http.Header{"Authorization": {"Bearer " + l.AccessToken}}, "GET /v1/ns/instance/list", "serviceName", "a"), 200)
	}
	s.want(s.call("GET /v1/ns/instance/list", "serviceName", "a", "username", "ann", "password", "correct horse battery"), 200)
	s.want(s.call("GET /v1/ns/instance/list", "serviceName", "a", "accessToken", offToken), 403)
}

func TestLoginWithoutAuthentication(t *testing.T) {
	s := serve(t, false)
	s.want(s.call("POST /v1/auth/users/login", "username", "nacos", "password", "nacos"), 200, `"accessToken":"`+offToken+`"`, `"tokenTtl":315360000`)
	s.want(s.call("GET /v1/ns/instance/list", "serviceName", "a", "accessToken", offToken), 200)
}

func TestNamespaces(t *testing.T) {
	s := serve(t, false)
	s.want(s.call("POST /v1/console/namespaces", "customNamespaceId", "staging", "namespaceName", "Staging", "namespaceDesc", "before release"), 200, "true")
	s.want(s.call("POST /v2/console/namespace", "namespaceId", "staging", "namespaceName", "Staging"), 400, `{"code":22002,`)
	s.want(s.call("GET /v1/console/namespaces"), 200, `"code":200`, `{"namespace":"","namespaceShowName":"public"`, `{"namespace":"staging","namespaceShowName":"staging","namespaceDesc":"Staging: before release"`)
	s.want(s.call("GET /v2/console/namespace", "namespaceId", "staging"), 200, `"data":{"namespace":"staging"`)
	s.want(s.call("GET /v2/console/namespace", "namespaceId", "nowhere"), 404, `{"code":22001,`)
	s.want(s.call("POST /v1/ns/instance", "namespaceId", "staging", "serviceName", "loan", "ip", "10.0.0.1", "port", "1"), 200, "ok")
	s.want(s.call("DELETE /v1/console/namespaces", "namespaceId", "staging"), 400, "caused: ")
	s.want(s.call("DELETE /v1/ns/instance", "namespaceId", "staging", "serviceName", "loan", "ip", "10.0.0.1", "port", "1"), 200, "ok")
	s.want(s.call("DELETE /v1/console/namespaces", "namespaceId", "staging"), 200, "true")
	s.want(s.call("GET /v1/console/server/state"), 200, `"version":"2.5.1"`)
	s.want(s.call("GET /v1/ns/operator/metrics"), 200, `{"status":"UP"}`)
	s.want(s.call("GET /v1/ns/operator/metrics", "onlyStatus", "false"), 200, `"serviceCount":`)
	s.want(s.call("GET /v1/ns/operator/switches"), 200, `"clientBeatInterval":5000`)
	s.want(s.call("GET /v1/console/health/readiness"), 200, "OK")
}
