package nodes_test

import (
	"fmt"
	"testing"

	"github.com/gantry-platform/gantry/internal/migrate"
)

func TestMirrorWithANodeThatSpeaksConsul(t *testing.T) {
	there, here := startNode(t), startNode(t)
	register := func(id, name, address, check string) {
		there.call("PUT", "/v1/agent/service/register", fmt.Sprintf(`{"ID":%q,"Name":%q,"Address":%q,"Port":8080,"Meta":{"version":"v1"},"Weights":{"Passing":3,"Warning":1}%s}`, id, name, address, check))
	}
	register("loan-1", "loan", "10.0.0.1", "")
	register("loan-2", "loan", "10.0.0.2", `,"Check":{"CheckID":"c2","TTL":"60s","Status":"passing"}`)
	register("rules-1", "RISK@@rules", "10.0.0.3", "")
	here.provide("fund", "10.0.1.1", 9090, map[string]string{"owner": "ann", "a.b": "dots"})
	_, stop := runMirror(t, migrate.ConsulRegistry(there.connection(), "default"), migrate.NewGantry(here.instances, "consul", []string{"default"}), "consul:8500")
	here.shows("here", "fund 10.0.1.1:9090", "loan 10.0.0.1:8080 from consul", "loan 10.0.0.2:8080 from consul", "RISK/rules 10.0.0.3:8080 from consul")
	for _, i := range here.all() {
		if i.GetService().GetService() == "loan" && (i.GetWeight() != 3 || i.GetLabels()["version"] != "v1") {
			t.Errorf("loan became %v", i)
		}
	}
	// In Consul a key has no dots, so that its mark is another there.
	eventually(t, func() bool {
		for _, i := range there.all() {
			if i.GetService().GetService() == "fund" && i.GetMetadata()["gantry-mirrored-from"] == "gantry" && i.GetMetadata()["owner"] == "ann" && i.GetMetadata()["lane"] == "blue" {
				return true
			}
		}
		return false
	}, func() string { return fmt.Sprintf("fund does not come: %v", there.all()) })

	// A check that fails, one that goes, and one that moves over.
	there.call("PUT", "/v1/agent/check/fail/c2", "")
	here.shows("here", "fund 10.0.1.1:9090", "loan 10.0.0.1:8080 from consul", "RISK/rules 10.0.0.3:8080 from consul")
	there.call("PUT", "/v1/agent/check/pass/c2", "")
	here.shows("here", "fund 10.0.1.1:9090", "loan 10.0.0.1:8080 from consul", "loan 10.0.0.2:8080 from consul", "RISK/rules 10.0.0.3:8080 from consul")
	there.call("PUT", "/v1/agent/service/deregister/rules-1", "")
	here.shows("here", "fund 10.0.1.1:9090", "loan 10.0.0.1:8080 from consul", "loan 10.0.0.2:8080 from consul")
	here.provide("loan", "10.0.0.1", 8080, nil)
	here.shows("here", "fund 10.0.1.1:9090", "loan 10.0.0.1:8080", "loan 10.0.0.2:8080 from consul")
	stop()
	here.shows("here after the end", "fund 10.0.1.1:9090", "loan 10.0.0.1:8080")
	there.shows("there after the end", "loan 10.0.0.1:8080", "loan 10.0.0.2:8080")
}
