package nodes_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/internal/migrate"
)

func TestMirrorWithANodeThatSpeaksEureka(t *testing.T) {
	there, here := startNode(t), startNode(t)
	register := func(app, address string, metadata string) {
		there.call("POST", "/eureka/apps/"+app, fmt.Sprintf(`{"instance":{"instanceId":"%[2]s:%[1]s:8080","app":"%[1]s","hostName":"host-%[2]s","ipAddr":"%[2]s","status":"UP",
			"port":{"$":8080,"@enabled":"true"},"securePort":{"$":8443,"@enabled":"true"},"vipAddress":"Loan","dataCenterInfo":{"@class":"com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo",
			"name":"MyOwn"},"leaseInfo":{"renewalIntervalInSecs":30,"durationInSecs":600},"metadata":%[3]s}}`, app, address, metadata))
	}
	register("LOAN", "10.0.0.1", `{"version":"v1","team":"a"}`)
	register("LOAN", "10.0.0.2", `{}`)
	here.provide("fund", "10.0.1.1", 9090, map[string]string{"owner": "ann"})
	_, stop := runMirror(t, migrate.EurekaRegistry(there.connection(), "default", 200*time.Millisecond), migrate.NewGantry(here.instances, "eureka", []string{"default"}), "eureka:8761")
	here.shows("here", "fund 10.0.1.1:9090", "Loan 10.0.0.1:8080 from eureka", "Loan 10.0.0.2:8080 from eureka")
	there.shows("there", "fund 10.0.1.1:9090 from gantry", "Loan 10.0.0.1:8080", "Loan 10.0.0.2:8080")
	for _, i := range here.all() {
		if i.GetAddress() == "10.0.0.1" && (i.GetPorts()["secure"] != 8443 || i.GetLabels()["version"] != "v1" || i.GetMetadata()["team"] != "a") {
			t.Errorf("loan became %v", i)
		}
	}
	there.call("PUT", "/eureka/apps/LOAN/10.0.0.2:LOAN:8080/status?value=OUT_OF_SERVICE", "")
	here.shows("here", "fund 10.0.1.1:9090", "Loan 10.0.0.1:8080 from eureka")
	there.call("DELETE", "/eureka/apps/LOAN/10.0.0.1:LOAN:8080", "")
	here.shows("here", "fund 10.0.1.1:9090")
	here.withdraw("fund", "10.0.1.1:9090")
	there.shows("there", "Loan 10.0.0.2:8080")
	here.provide("risk", "10.0.1.2", 9090, nil)
	there.shows("there", "Loan 10.0.0.2:8080", "risk 10.0.1.2:9090 from gantry")
	stop()
	there.shows("there after the end", "Loan 10.0.0.2:8080")
	here.shows("here after the end", "risk 10.0.1.2:9090")
}
