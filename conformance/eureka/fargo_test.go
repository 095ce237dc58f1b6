// Package eureka_test lets the clients of Eureka, unmodified, work with a gantry server: hudl/fargo here, Netflix's own in java_test.go,
// and Prometheus in prometheus_test.go.
package eureka_test

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hudl/fargo"
	"github.com/op/go-logging"

	"github.com/gantry-platform/gantry/conformance/harness"
)

func TestMain(m *testing.M) {
	for _, module := range []string{"fargo", "fargo.metadata", "fargo.marshal"} {
		logging.SetLevel(logging.CRITICAL, module) // what it says at other levels are errors that tests see anyway
	}
	os.Exit(m.Run())
}

// address is a service address with a token of a service in the place of the password.
func address(server *harness.Server, token string) string {
	return fmt.Sprintf("http://eureka:%s@%s/eureka", token, server.HTTP)
}

func instance(app, id string, port int) *fargo.Instance {
	i := &fargo.Instance{InstanceId: id, HostName: "127.0.0.1", App: strings.ToUpper(app), IPAddr: "127.0.0.1", VipAddress: app, SecureVipAddress: app,
		Status: fargo.UP, Overriddenstatus: fargo.UNKNOWN, Port: port, PortEnabled: true, SecurePort: 8443, CountryId: 86,
		HomePageUrl: fmt.Sprintf("http://127.0.0.1:%d/", port), DataCenterInfo: fargo.DataCenterInfo{Name: fargo.MyOwn},
		LeaseInfo: fargo.LeaseInfo{RenewalIntervalInSecs: 1, DurationInSecs: 5}}
	i.SetMetadataString("owner", "risk & credit")
	i.SetMetadataString("version", "v2")
	return i
}

func TestFargo(t *testing.T) {
	for _, useJSON := range []bool{false, true} {
		t.Run(map[bool]string{false: "XML", true: "JSON"}[useJSON], func(t *testing.T) {
			server := harness.Start(t)
			eureka := fargo.NewConn(address(server, server.Token("default", "ROLE_SERVICE")))
			eureka.UseJson = useJSON
			eureka.PollInterval = 100 * time.Millisecond
			fargoLife(t, server, &eureka)
		})
	}
}

// fargoLife is an instance's life by fargo.
func fargoLife(t *testing.T, server *harness.Server, eureka *fargo.EurekaConnection) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	loan := instance("loan-service", "loan-1", 8080)
	must(eureka.RegisterInstance(loan))
	must(eureka.RegisterInstance(instance("risk-service", "risk-1", 8081)))
	must(eureka.HeartBeatInstance(loan))
	if err := eureka.HeartBeatInstance(instance("loan-service", "loan-9", 1)); err == nil {
		t.Error("a heartbeat of an unknown instance was taken")
	} else if status, ok := fargo.HTTPResponseStatusCode(err); !ok || status != http.StatusNotFound {
		t.Errorf("it was refused with %v, want 404", err)
	}
	apps, err := eureka.GetApps()
	must(err)
	if len(apps) != 2 || len(apps["LOAN-SERVICE"].Instances) != 1 {
		t.Fatalf("the applications are %v", apps)
	}
	app, err := eureka.GetApp("LOAN-SERVICE")
	must(err)
	got := app.Instances[0]
	owner, _ := got.Metadata.GetString("owner")
	if got.Id() != "loan-1" || got.Port != 8080 || !got.PortEnabled || got.SecurePort != 8443 || got.SecurePortEnabled || got.VipAddress != "loan-service" ||
		got.HomePageUrl != "http://127.0.0.1:8080/" || got.CountryId != 86 || got.DataCenterInfo.Name != fargo.MyOwn || got.LeaseInfo.DurationInSecs != 5 || owner != "risk & credit" {
		t.Errorf("registered is %+v, owner %q", got, owner)
	}
	native(t, server, "loan-service", "loan-1", "UP")

	// An operator's status and metadata.
	must(eureka.UpdateInstanceStatus(loan, fargo.OUTOFSERVICE))
	got, err = eureka.GetInstance("LOAN-SERVICE", "loan-1")
	must(err)
	if got.Status != fargo.OUTOFSERVICE || got.Overriddenstatus != fargo.OUTOFSERVICE {
		t.Errorf("status %s, overridden %s", got.Status, got.Overriddenstatus)
	}
	if up, err := eureka.GetInstancesByVIPAddress("loan-service", false, fargo.ThatAreUp); err != nil || len(up) != 0 {
		t.Errorf("%d are up (%v)", len(up), err)
	}
	must(eureka.UpdateInstanceStatus(loan, fargo.UP))
	must(eureka.AddMetadataString(loan, "color", "blue"))
	got, err = eureka.GetInstance("LOAN-SERVICE", "loan-1")
	must(err)
	if color, err := got.Metadata.GetString("color"); err != nil || color != "blue" || got.Status != fargo.UP {
		t.Errorf("color %q, status %s (%v)", color, got.Status, err)
	}

	// Updates by virtual address.
	source, err := eureka.NewInstanceSetSourceForVIPAddress("loan-service", false, true, fargo.ThatAreUp)
	must(err)
	defer source.Stop()
	holds(t, source, "loan-1")
	must(eureka.RegisterInstance(instance("loan-service", "loan-2", 8082)))
	holds(t, source, "loan-1", "loan-2")
	must(eureka.DeregisterInstance(loan))
	must(eureka.DeregisterInstance(instance("risk-service", "risk-1", 8081)))
	holds(t, source, "loan-2")
	// loan-2 sends no heartbeats.
	holds(t, source)
	if _, err := eureka.GetApp("RISK-SERVICE"); err == nil {
		t.Error("an application without instances is still there")
	}
}

func holds(t *testing.T, source *fargo.InstanceSetSource, want ...string) {
	t.Helper()
	harness.Eventually(t, 30*time.Second, fmt.Sprintf("fargo holds %v", want), func() error {
		var got []string
		for _, i := range source.Latest() {
			got = append(got, i.Id())
		}
		slices.Sort(got)
		if source.Latest() == nil || !slices.Equal(got, want) {
			return fmt.Errorf("it holds %v", got)
		}
		return nil
	})
}

// native looks an instance up by the native API.
func native(t *testing.T, server *harness.Server, service, id, status string) {
	t.Helper()
	var answer struct {
		Instances []struct {
			ID, Status, Protocol string
			Metadata, Labels     map[string]string
		}
	}
	server.Call("InstanceService/Lookup", map[string]any{"service": map[string]any{"service": service}}, &answer)
	for _, i := range answer.Instances {
		if i.ID == id && i.Status == "STATUS_"+status && i.Protocol == "eureka" && i.Labels["version"] != "" && i.Metadata["owner"] != "" {
			return
		}
	}
	t.Errorf("the native API does not see %s of %s: %+v", id, service, answer)
}

func TestFargoRecoversAfterARestart(t *testing.T) {
	server := harness.Start(t)
	eureka := fargo.NewConn(address(server, server.Token("default", "ROLE_SERVICE")))
	eureka.PollInterval = 100 * time.Millisecond
	loan := instance("loan-service", "loan-1", 8080)
	loan.LeaseInfo.DurationInSecs = 30
	if err := eureka.RegisterInstance(loan); err != nil {
		t.Fatal(err)
	}
	source, err := eureka.NewInstanceSetSourceForApp("LOAN-SERVICE", true)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Stop()
	holds(t, source, "loan-1")
	server.Kill()
	harness.Eventually(t, 10*time.Second, "fargo has noticed", func() error {
		if source.Latest() != nil {
			return fmt.Errorf("it still holds %d", len(source.Latest()))
		}
		return nil
	})
	server.Restart()
	holds(t, source, "loan-1") // without another registration
	if err := eureka.HeartBeatInstance(loan); err != nil {
		t.Error(err)
	}
}

func TestFargoWithoutRights(t *testing.T) {
	server := harness.Start(t)
	for name, where := range map[string]string{"nobody": "http://" + server.HTTP + "/eureka", "a wrong password": "http://x:wrong@" + server.HTTP + "/eureka",
		"a viewer": address(server, server.Token("default", "ROLE_VIEWER"))} {
		eureka := fargo.NewConn(where)
		if err := eureka.ReregisterInstance(instance("loan-service", "loan-1", 8080)); err == nil {
			t.Errorf("%s could register", name)
		}
	}
}
