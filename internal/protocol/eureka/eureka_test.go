package eureka_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gantry-platform/gantry/internal/instance"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// spring is what Spring Cloud Netflix sends.
func spring(app, id, status string) string {
	return fmt.Sprintf(`{"instance":{"instanceId":%q,"hostName":"loan-1.internal","app":%q,"ipAddr":"10.0.0.7","status":%q,
		"overriddenStatus":"UNKNOWN","port":{"$":8080,"@enabled":"true"},"securePort":{"$":443,"@enabled":"false"},"countryId":1,
		"dataCenterInfo":{"@class":"com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo","name":"MyOwn"},
		"leaseInfo":{"renewalIntervalInSecs":5,"durationInSecs":15,"registrationTimestamp":0,"lastRenewalTimestamp":0,"evictionTimestamp":0,"serviceUpTimestamp":0},
		"metadata":{"management.port":"8081","version":"v2","my_key":"<&>"},"homePageUrl":"http://loan-1.internal:8080/",
		"statusPageUrl":"http://loan-1.internal:8080/actuator/info","healthCheckUrl":"http://loan-1.internal:8080/actuator/health",
		"vipAddress":%q,"secureVipAddress":%q,"isCoordinatingDiscoveryServer":"false","lastUpdatedTimestamp":"1795646881500","lastDirtyTimestamp":"1795646921500"}}`,
		id, strings.ToUpper(app), status, strings.ToLower(app), strings.ToLower(app))
}

func (n *node) register(app, id, status string) {
	n.t.Helper()
	n.must(http.StatusNoContent, http.MethodPost, "/eureka/apps/"+strings.ToUpper(app), spring(app, id, status), "Content-Type", "application/json")
}

func TestWhatIsRegisteredComesBack(t *testing.T) {
	n := start(t)
	n.register("loan-service", "loan-1:loan-service:8080", "UP")
	service := instance.Service{Namespace: "default", Group: "default", Name: "loan-service"}
	snapshot := n.registry.Lookup(service)
	if snapshot == nil || len(snapshot.Instances) != 1 {
		t.Fatal("the service is not there under its real name")
	}
	i := snapshot.Instances[0]
	if i.Target() != "10.0.0.7:8080" || i.Protocol != "eureka" || i.TTL != 15*time.Second || i.Labels.Get("version") != "v2" || i.Metadata.Get("my_key") != "<&>" {
		t.Errorf("registered as %+v", i)
	}
	for _, path := range []string{"/eureka/apps/LOAN-SERVICE/loan-1:loan-service:8080", "/eureka/v2/apps/loan-Service/loan-1%3Aloan-service%3A8080",
		"/eureka/instances/loan-1:loan-service:8080", "/eureka/apps/LOAN-SERVICE/loan-1:loan-service:8080/"} {
		got := n.one(path)
		want := map[string]string{"management.port": "8081", "version": "v2", "my_key": "<&>"}
		if got.App != "LOAN-SERVICE" || got.HostName != "loan-1.internal" || got.IPAddr != "10.0.0.7" || got.Status != "UP" || got.OverriddenStatus != "UNKNOWN" ||
			got.Port != (portJSON{8080, "true"}) || got.SecurePort != (portJSON{443, "false"}) || got.VIP != "loan-service" || got.SecureVIP != "loan-service" ||
			got.HomePage != "http://loan-1.internal:8080/" || got.StatusPage != "http://loan-1.internal:8080/actuator/info" || got.Dirty != "1795646921500" ||
			got.Lease.Interval != 5 || got.Lease.Duration != 15 || !maps.Equal(got.Metadata, want) || got.DataCenter.Name != "MyOwn" || got.CountryID != 1 {
			t.Errorf("%s: %+v", path, got)
		}
	}
	for _, asJSON := range []bool{false, true} {
		for _, zipped := range []bool{false, true} {
			all := n.get("/eureka/apps/?regions=us-east-1", asJSON, zipped)
			if all.Hash != "UP_1_" || len(all.Applications) != 1 || all.Applications[0].Name != "LOAN-SERVICE" || all.Applications[0].Instances[0].HostName != "loan-1.internal" {
				t.Errorf("JSON %v, gzip %v: %+v", asJSON, zipped, all)
			}
		}
	}
}

func TestXMLAsXStreamWritesIt(t *testing.T) {
	n := start(t)
	n.must(http.StatusNoContent, http.MethodPost, "/eureka/v2/apps/RISK", `<?xml version="1.0" encoding="UTF-8"?><instance><instanceId>r1</instanceId><hostName>r1</hostName>
		<app>RISK</app><ipAddr>10.0.0.8</ipAddr><vipAddress>risk.internal</vipAddress><secureVipAddress>srisk</secureVipAddress><status>STARTING</status>
		<port enabled="false">80</port><securePort enabled="true">8443</securePort><sid>na</sid><countryId>86</countryId>
		<dataCenterInfo class="com.netflix.appinfo.AmazonInfo"><name>Amazon</name><metadata><instance-id>i-1</instance-id><ami-id>ami&amp;1</ami-id></metadata></dataCenterInfo>
		<leaseInfo><renewalIntervalInSecs>10</renewalIntervalInSecs><durationInSecs>30</durationInSecs></leaseInfo>
		<metadata><my__key>v</my__key><a_-b>d</a_-b><_.0031st>one</_.0031st></metadata><lastDirtyTimestamp>7</lastDirtyTimestamp></instance>`,
		"Content-Type", "application/xml")
	got := n.one("/eureka/apps/risk/r1")
	if got.Status != "STARTING" || got.Port != (portJSON{80, "false"}) || got.SecurePort != (portJSON{8443, "true"}) || got.VIP != "risk.internal" ||
		got.CountryID != 86 || got.DataCenter.Class != "com.netflix.appinfo.AmazonInfo" || got.DataCenter.Metadata["ami-id"] != "ami&1" ||
		!maps.Equal(got.Metadata, map[string]string{"my_key": "v", "a$b": "d", "1st": "one"}) {
		t.Errorf("%+v", got)
	}
	i := n.registry.Lookup(instance.Service{Name: "risk"}).Instances[0]
	if i.Port != 8443 || len(i.Ports) != 1 || i.Ports[0] != (instance.Port{Name: "secure", Number: 8443}) {
		t.Errorf("ports %d %v", i.Port, i.Ports)
	}
	body := n.must(http.StatusOK, http.MethodGet, "/eureka/apps/RISK/r1", "")
	for _, part := range []string{"<my__key>v</my__key>", "<a_-b>d</a_-b>", "<_.0031st>one</_.0031st>", `<securePort enabled="true">8443</securePort>`,
		"<ami-id>ami&amp;1</ami-id>", "<overriddenstatus>UNKNOWN</overriddenstatus>"} {
		if !strings.Contains(body, part) {
			t.Errorf("no %s in %s", part, body)
		}
	}
}

func TestCompactAnswersAreShort(t *testing.T) {
	n := start(t)
	n.register("loan", "l1", "UP")
	for _, accept := range []string{"application/json", "application/xml"} {
		body := n.must(http.StatusOK, http.MethodGet, "/eureka/apps/", "", "Accept", accept, "X-Eureka-Accept", "compact")
		if strings.Contains(body, "metadata") || strings.Contains(body, "leaseInfo") || strings.Contains(body, "homePageUrl") ||
			!strings.Contains(body, "10.0.0.7") || !strings.Contains(body, "vipAddress") {
			t.Errorf("%s: %s", accept, body)
		}
	}
}

func TestEmptyAndUnknown(t *testing.T) {
	n := start(t)
	if all := n.get("/eureka/apps/", true, true); all.Hash != "" || all.Applications == nil || len(all.Applications) != 0 {
		t.Errorf("%+v, want an empty list", all)
	}
	if found := n.get("/eureka/vips/nothing", true, false); len(found.Applications) != 0 {
		t.Errorf("%+v", found)
	}
	for _, path := range []string{"/eureka/apps/nothing", "/eureka/apps/nothing/n1", "/eureka/instances/n1", "/eureka/", "/eureka/status", "/eureka/apps//x",
		"/eureka/apps/a/b/c", "/eureka/apps/a/b/status/d", "/eureka/vips", "/eureka/vips/a/b"} {
		n.must(http.StatusNotFound, http.MethodGet, path, "")
	}
	for _, c := range [][2]string{{"POST", "/eureka/apps"}, {"POST", "/eureka/apps/a/b"}, {"GET", "/eureka/peerreplication/batch"}, {"PUT", "/eureka/vips/a"},
		{"POST", "/eureka/apps/a/b/metadata"}} {
		n.must(http.StatusMethodNotAllowed, c[0], c[1], "")
	}
}

func TestARenewalOfTheUnknownAsksForRegistration(t *testing.T) {
	n := start(t)
	const path = "/eureka/apps/LOAN/l1"
	if w := n.do(http.MethodPut, path+"?status=UP&lastDirtyTimestamp=1", ""); w.Code != http.StatusNotFound || w.Body.Len() > 0 || w.Header().Get("X-Gantry-Error") == "" {
		t.Errorf("%d %q, %v: want 404, the reason in a header, and no body, which clients would read as an instance", w.Code, w.Body, w.Header())
	}
	n.register("loan", "l1", "UP")
	n.must(http.StatusOK, http.MethodPut, path, "")
	n.must(http.StatusOK, http.MethodPut, path+"?status=UP&lastDirtyTimestamp=1795646921500", "")
	n.must(http.StatusOK, http.MethodPut, path+"?status=UP&lastDirtyTimestamp=5", "")
	n.must(http.StatusNotFound, http.MethodPut, path+"?status=UP&lastDirtyTimestamp=1795646921501", "")
	n.must(http.StatusBadRequest, http.MethodPut, path+"?lastDirtyTimestamp=soon", "")
	if body := n.must(http.StatusConflict, http.MethodPut, path+"?lastDirtyTimestamp=5", "", "x-netflix-discovery-replication", "true", "Accept", "application/json"); !strings.Contains(body, `"lastDirtyTimestamp":"1795646921500"`) {
		t.Errorf("a server that is behind gets %s", body)
	}
	n.must(http.StatusOK, http.MethodDelete, path, "")
	n.must(http.StatusNotFound, http.MethodDelete, path, "")
	n.must(http.StatusNotFound, http.MethodPut, path, "")
}

func TestSilenceEndsInGoneAndRenewalsKeep(t *testing.T) {
	n := start(t)
	n.register("loan", "l1", "UP")
	n.register("loan", "l2", "UP")
	for range 5 {
		n.clock.step(10 * time.Second)
		n.must(http.StatusOK, http.MethodPut, "/eureka/apps/LOAN/l1", "")
	}
	eventually(t, "the silent one is gone", func() bool {
		n.clock.step(time.Second)
		n.must(http.StatusOK, http.MethodPut, "/eureka/apps/LOAN/l1", "")
		return n.do(http.MethodGet, "/eureka/apps/LOAN/l2", "").Code == http.StatusNotFound
	})
	if all := n.get("/eureka/apps/", true, true); all.Hash != "UP_1_" {
		t.Errorf("hash %s", all.Hash)
	}
}

func TestProtectionIsSelfPreservation(t *testing.T) {
	n := start(t)
	for i := range 4 {
		n.register("loan", fmt.Sprintf("l%d", i), "UP")
	}
	eventually(t, "all are protected", func() bool {
		n.clock.step(time.Second)
		snapshot := n.registry.Lookup(instance.Service{Name: "loan"})
		return snapshot != nil && !slices.ContainsFunc(snapshot.Instances, func(i *instance.Instance) bool { return !i.Protected })
	})
	if all := n.get("/eureka/apps/", true, true); all.Hash != "UP_4_" {
		t.Errorf("hash %s: what is kept although it was lost is shown as it was", all.Hash)
	}
}

func TestOverrides(t *testing.T) {
	n := start(t)
	n.register("loan", "l1", "UP")
	const path = "/eureka/apps/LOAN/l1"
	want := func(status, overridden string) {
		t.Helper()
		if got := n.one(path); got.Status != status || got.OverriddenStatus != overridden {
			t.Errorf("%s/%s, want %s/%s", got.Status, got.OverriddenStatus, status, overridden)
		}
	}
	n.must(http.StatusOK, http.MethodPut, path+"/status?value=OUT_OF_SERVICE&lastDirtyTimestamp=1", "")
	want("OUT_OF_SERVICE", "OUT_OF_SERVICE")
	if i := n.registry.Lookup(instance.Service{Name: "loan"}).Instances[0]; i.EffectiveStatus() != gantryv1.Status_STATUS_DRAINING {
		t.Errorf("to others it is %s", i.EffectiveStatus())
	}
	n.register("loan", "l1", "UP") // does not undo it
	want("OUT_OF_SERVICE", "OUT_OF_SERVICE")
	n.must(http.StatusOK, http.MethodPut, path+"/status?value=UP", "")
	want("UP", "UNKNOWN")
	n.register("loan", "l1", "DOWN") // an instance can still say that it is down
	want("DOWN", "UNKNOWN")
	n.register("loan", "l1", "OUT_OF_SERVICE")
	n.must(http.StatusOK, http.MethodPut, path+"/status?value=UP", "")
	want("UP", "UP")
	n.must(http.StatusOK, http.MethodDelete, path+"/status?value=UP", "")
	want("OUT_OF_SERVICE", "UNKNOWN")
	n.register("loan", "l1", "UNKNOWN")
	want("UNKNOWN", "UNKNOWN")
	n.must(http.StatusBadRequest, http.MethodPut, path+"/status?value=WRONG", "")
	n.must(http.StatusNotFound, http.MethodPut, "/eureka/apps/LOAN/l9/status?value=DOWN", "")
	// An operator's weight is not touched.
	weight := 3.0
	if _, err := n.registry.SetOverride(context.Background(), instance.OverrideChange{Service: instance.Service{Name: "loan"}, ID: "l1", Weight: &weight}); err != nil {
		t.Fatal(err)
	}
	n.must(http.StatusOK, http.MethodPut, path+"/status?value=DOWN", "")
	if i := n.registry.Lookup(instance.Service{Name: "loan"}).Instances[0]; i.EffectiveWeight() != 3 {
		t.Errorf("weight %v", i.EffectiveWeight())
	}
}

func TestMetadataIsAdded(t *testing.T) {
	n := start(t)
	n.register("loan", "l1", "UP")
	n.must(http.StatusOK, http.MethodPut, "/eureka/apps/LOAN/l1/metadata?owner=risk%26credit&lane=blue", "")
	if got := n.one("/eureka/apps/LOAN/l1"); got.Metadata["owner"] != "risk&credit" || got.Metadata["version"] != "v2" || got.HostName != "loan-1.internal" {
		t.Errorf("%+v", got)
	}
	if i := n.registry.Lookup(instance.Service{Name: "loan"}).Instances[0]; i.Labels.Get("lane") != "blue" {
		t.Errorf("labels %v", i.Labels)
	}
	n.must(http.StatusNotFound, http.MethodPut, "/eureka/apps/LOAN/l2/metadata?a=b", "")
}

func TestVirtualAddresses(t *testing.T) {
	n := start(t)
	body := strings.NewReplacer(`"vipAddress":"loan"`, `"vipAddress":"loan.internal,loans"`, `"secureVipAddress":"loan"`, `"secureVipAddress":"sloan"`).Replace(spring("loan", "l1", "UP"))
	n.must(http.StatusNoContent, http.MethodPost, "/eureka/apps/LOAN", body)
	n.register("loan", "l2", "DOWN")
	for path, want := range map[string]string{"vips/loan.internal": "UP_1_", "vips/loans": "UP_1_", "vips/loan": "DOWN_1_", "svips/sloan": "UP_1_", "svips/loan": "DOWN_1_", "vips/sloan": "", "vips/LOAN": ""} {
		for _, zipped := range []bool{true, false} {
			got := n.get("/eureka/"+path, true, zipped)
			if got.Hash != want || want != "" && (len(got.Applications) != 1 || len(got.Applications[0].Instances) != 1) {
				t.Errorf("%s: %+v", path, got)
			}
		}
	}
}

func TestNamesAndCase(t *testing.T) {
	n := start(t)
	register := func(app, vip, id string) {
		t.Helper()
		body := strings.Replace(spring(app, id, "UP"), fmt.Sprintf(`"vipAddress":%q,"secure`, strings.ToLower(app)), fmt.Sprintf(`"vipAddress":%q,"secure`, vip), 1)
		n.must(http.StatusNoContent, http.MethodPost, "/eureka/apps/"+app, body)
	}
	has := func(name, id string, want bool) {
		t.Helper()
		snapshot := n.registry.Lookup(instance.Service{Name: name})
		if got := snapshot != nil && snapshot.Instance(id) != nil; got != want {
			t.Errorf("%s in service %s: %v, want %v", id, name, got, want)
		}
	}
	register("LOAN", "Loan", "l1")
	has("Loan", "l1", true)
	n.must(http.StatusOK, http.MethodPut, "/eureka/apps/LOAN/l1", "")
	register("LOAN", "loan", "l1") // another spelling: the instance is not there twice
	has("loan", "l1", true)
	has("Loan", "l1", false)
	register("LOAN", "Loan", "l2")
	register("LOAN", "loan.example.com:80", "l3")
	has("loan", "l3", true)
	all := n.get("/eureka/apps/", true, false)
	if all.Hash != "UP_3_" || len(all.Applications) != 1 || len(all.Applications[0].Instances) != 3 {
		t.Errorf("both spellings are one application: %+v", all)
	}
	n.must(http.StatusOK, http.MethodDelete, "/eureka/apps/loan/l2", "")
	has("Loan", "l2", false)

	native(t, n, instance.Service{Group: "orders", Name: "Book"}, &gantryv1.Instance{Id: "b1", Address: "10.1.1.1", Port: 80})
	native(t, n, instance.Service{Name: "LOAN"}, &gantryv1.Instance{Id: "l1", Address: "10.1.1.2", Port: 80}) // the same id in the same application
	all = n.get("/eureka/apps/", true, true)
	if all.Hash != "UP_3_" || len(all.Applications) != 2 || all.Applications[1].Name != "ORDERS@@BOOK" || all.Applications[1].Instances[0].VIP != "orders@@Book" {
		t.Errorf("%+v", all)
	}
	if got := n.one("/eureka/apps/ORDERS@@BOOK/b1"); got.App != "ORDERS@@BOOK" {
		t.Errorf("%+v", got)
	}
}

func native(t *testing.T, n *node, service instance.Service, i *gantryv1.Instance) {
	t.Helper()
	if _, err := n.registry.Register(context.Background(), instance.Registration{Service: service, Instance: i}); err != nil {
		t.Fatal(err)
	}
}

func TestInstancesOfOtherLanguages(t *testing.T) {
	n := start(t)
	native(t, n, instance.Service{Name: "fund"}, &gantryv1.Instance{Id: "f1", Address: "10.1.1.1", Port: 9090, Ports: map[string]uint32{"secure": 9443},
		Labels: map[string]string{"zone": "sh-1"}, Metadata: map[string]string{"owner": "risk"}, Ttl: durationpb.New(30 * time.Second)})
	native(t, n, instance.Service{Name: "fund"}, &gantryv1.Instance{Id: "f2", Address: "10.1.1.2", Port: 9090, Persistent: true,
		Checks: []*gantryv1.Check{{Probe: &gantryv1.Check_Tcp{Tcp: &gantryv1.TCPProbe{Port: 1}}}}})
	got := n.one("/eureka/apps/FUND/f1")
	if got.HostName != "10.1.1.1" || got.IPAddr != "10.1.1.1" || got.Port != (portJSON{9090, "true"}) || got.SecurePort != (portJSON{9443, "true"}) || got.VIP != "fund" ||
		got.SecureVIP != "fund" || got.HomePage != "http://10.1.1.1:9090/" || got.DataCenter.Name != "MyOwn" || got.Lease.Duration != 30 || got.Lease.Interval != 10 ||
		!maps.Equal(got.Metadata, map[string]string{"zone": "sh-1", "owner": "risk"}) {
		t.Errorf("%+v", got)
	}
	if got := n.one("/eureka/apps/FUND/f2"); got.Status != "DOWN" {
		t.Errorf("unhealthy elsewhere is %s", got.Status)
	}
	if all := n.get("/eureka/apps/", true, false); all.Hash != "DOWN_1_UP_1_" {
		t.Errorf("hash %s", all.Hash)
	}
	n.must(http.StatusOK, http.MethodPut, "/eureka/apps/FUND/f1?lastDirtyTimestamp=99999999999999", "")
}

func TestNamespacesAreApart(t *testing.T) {
	n := start(t)
	if err := n.registry.CreateNamespace(context.Background(), "staging", ""); err != nil {
		t.Fatal(err)
	}
	n.register("loan", "l1", "UP")
	n.must(http.StatusNoContent, http.MethodPost, "/ns/staging/eureka/apps/RISK", spring("risk", "r1", "UP"))
	if all := n.get("/eureka/apps/", true, false); len(all.Applications) != 1 || all.Applications[0].Name != "LOAN" {
		t.Errorf("default: %+v", all)
	}
	if all := n.get("/ns/staging/eureka/apps/", true, false); len(all.Applications) != 1 || all.Applications[0].Name != "RISK" {
		t.Errorf("staging: %+v", all)
	}
	n.must(http.StatusNotFound, http.MethodPut, "/eureka/apps/RISK/r1", "")
	n.must(http.StatusNotFound, http.MethodPost, "/ns/nowhere/eureka/apps/RISK", spring("risk", "r1", "UP"))
}

func TestWhoMay(t *testing.T) {
	n := start(t)
	n.register("loan", "l1", "UP")
	for _, c := range [][3]string{{"GET", "apps"}, {"GET", "apps/delta"}, {"GET", "apps/LOAN"}, {"GET", "apps/LOAN/l1"}, {"GET", "instances/l1"}, {"GET", "vips/loan"},
		{"POST", "apps/LOAN", spring("loan", "l2", "UP")}, {"PUT", "apps/LOAN/l1"}, {"DELETE", "apps/LOAN/l1"}, {"PUT", "apps/LOAN/l1/status?value=DOWN"},
		{"DELETE", "apps/LOAN/l1/status"}, {"PUT", "apps/LOAN/l1/metadata?a=b"}, {"POST", "peerreplication/batch/", `{"replicationList":[]}`}} {
		w := n.do(c[0], "/eureka/"+c[1], c[2], "Authorization", "Basic bm9ib2R5Ong=")
		if w.Code != http.StatusUnauthorized || !strings.Contains(w.Header().Get("WWW-Authenticate"), "Basic") {
			t.Errorf("a wrong password: %s %s: %d", c[0], c[1], w.Code)
		}
		if w := n.do(c[0], "/eureka/"+c[1], c[2], "Authorization", "Basic c3RyYW5nZXI6eA=="); w.Code != http.StatusUnauthorized && w.Code != http.StatusForbidden {
			t.Errorf("somebody without rights: %s %s: %d", c[0], c[1], w.Code)
		}
	}
	if got := n.one("/eureka/apps/LOAN/l1"); got.Status != "UP" {
		t.Errorf("%+v", got)
	}
	// A token in the place of the password, with the same user.
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("stranger:gty_token"))
	n.must(http.StatusOK, http.MethodGet, "/eureka/apps/LOAN/l1", "", "Authorization", basic)
}

func TestBadRegistrations(t *testing.T) {
	n := start(t)
	good := spring("loan", "l1", "UP")
	for name, body := range map[string]string{
		"empty": "", "cut": good[:80], "no envelope": `{"a":1}`, "array": `[]`, "null": `{"instance":null}`,
		"no host":        strings.Replace(good, `"hostName":"loan-1.internal",`, "", 1),
		"no address":     strings.Replace(good, `"ipAddr":"10.0.0.7",`, "", 1),
		"no app":         strings.Replace(good, `"app":"LOAN",`, "", 1),
		"another app":    strings.Replace(good, `"app":"LOAN"`, `"app":"RISK"`, 1),
		"no data centre": strings.Replace(good, `"name":"MyOwn"`, `"x":1`, 1),
		"odd centre":     strings.Replace(good, `"MyOwn"`, `"Moon"`, 1),
		"odd address":    strings.Replace(good, "10.0.0.7", "http://x", 1),
		"odd port":       strings.Replace(good, `"$":8080`, `"$":99999`, 1),
		"no number":      strings.Replace(good, `"$":8080`, `"$":"x"`, 1),
		"long text":      strings.Replace(good, "10.0.0.7", strings.Repeat("1", 3000), 1),
		"control":        strings.Replace(good, "loan-1.internal", `a\u0001`, 1),
		"much metadata":  strings.Replace(good, "<&>", strings.Repeat("m", 17<<10), 1),
		"nested":         strings.Replace(good, `"<&>"`, `{"a":{}}`, 1),
		"deep":           `{"instance":{"metadata":` + strings.Repeat(`{"a":`, 11000) + "1" + strings.Repeat("}", 11000) + `}}`,
		"xml cut":        "<instance><app>",
		"xml entity":     `<!DOCTYPE i [<!ENTITY e "x">]><instance><app>&e;</app></instance>`,
		"xml bomb":       `<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><instance>&b;</instance>`,
		"xml deep":       strings.Repeat("<a>", 9000) + strings.Repeat("</a>", 9000),
		"xml wide":       "<instance>" + strings.Repeat("<a/>", 5000) + "</instance>",
		"xml other":      "<application/>",
		"xml two":        "<instance/><instance/>",
		"xml number":     "<instance><port>x</port></instance>",
	} {
		w := n.do(http.MethodPost, "/eureka/apps/LOAN", body)
		if w.Code != http.StatusBadRequest || w.Body.Len() == 0 || w.Body.Len() > 1000 {
			t.Errorf("%s: %d, %d bytes: %.200s", name, w.Code, w.Body.Len(), w.Body)
		}
	}
	n.must(http.StatusRequestEntityTooLarge, http.MethodPost, "/eureka/apps/LOAN", strings.Repeat(" ", 200<<10)+good)
	if all := n.get("/eureka/apps/", true, false); len(all.Applications) != 0 {
		t.Errorf("something was registered: %+v", all)
	}
}

func TestLooseJSONOfOtherClients(t *testing.T) {
	n := start(t)
	n.must(http.StatusNoContent, http.MethodPost, "/eureka/apps/loan", `{"instance":{"hostName":"l1","app":"loan","ipAddr":"10.0.0.7","vipAddress":null,"port":{"$":"8080","@enabled":true},
		"securePort":{"$":"0","@enabled":false},"countryId":"1","dataCenterInfo":{"@class":"com.netflix.appinfo.MyDataCenterInfo","name":"MyOwn"},"metadata":{"weight":3,"canary":true,"none":null},
		"leaseInfo":null,"overriddenstatus":"UNKNOWN","status":"up","extra":{"a":[1]}}}`)
	if got := n.one("/eureka/apps/loan/l1"); got.ID != "l1" || got.Port != (portJSON{8080, "true"}) || got.Status != "UP" || got.Metadata["weight"] != "3" || got.Metadata["canary"] != "true" || got.VIP != "" || len(got.Metadata) != 2 {
		t.Errorf("%+v", got)
	}
}
