package server_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestNacosMeetsTheOthers registers in Nacos's words and finds it in ours, on a whole node.
func TestNacosMeetsTheOthers(t *testing.T) {
	s := start(t, nil)
	form := url.Values{"serviceName": {"loan"}, "ip": {"10.0.0.1"}, "port": {"8080"}, "metadata": {`{"version":"v2"}`}}
	response, err := http.PostForm("http://"+s.HTTPAddress()+"/nacos/v1/ns/instance", form)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || response.StatusCode != http.StatusOK || string(body) != "ok" {
		t.Fatalf("register: %s %s %v", response.Status, body, err)
	}
	status, answer := call(t, s, "InstanceService/Lookup", `{"service":{"service":"loan"}}`)
	for _, part := range []string{`"protocol":"nacos"`, `"address":"10.0.0.1"`, `"version":"v2"`} {
		if status != http.StatusOK || !strings.Contains(answer, part) {
			t.Errorf("look up: %d, no %s in %s", status, part, answer)
		}
	}
	nodes, err := http.Get("http://" + s.HTTPAddress() + "/nacos/v1/core/cluster/nodes")
	if err != nil {
		t.Fatal(err)
	}
	defer nodes.Body.Close()
	if body, err := io.ReadAll(nodes.Body); err != nil || !strings.Contains(string(body), `"address":"`+s.HTTPAddress()+`"`) {
		t.Errorf("nodes: %s %v", body, err)
	}
}
