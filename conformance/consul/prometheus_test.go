package consul_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/gantry-platform/gantry/conformance/harness"
)

// prometheus starts Debian's prometheus with consul_sd_configs on a server, and returns its address.
func prometheus(t *testing.T, server *harness.Server) string {
	t.Helper()
	program, err := exec.LookPath("prometheus")
	if err != nil {
		t.Fatal("no prometheus: apt-get install prometheus")
	}
	dir, address := t.TempDir(), harness.FreeAddress(t)
	config := fmt.Sprintf(`
global: {scrape_interval: 500ms}
scrape_configs:
  - job_name: fleet
    consul_sd_configs:
      - {server: %q, token: %q, refresh_interval: 500ms}
    relabel_configs:
      - {source_labels: [__meta_consul_service], regex: consul, action: drop}
      - {source_labels: [__meta_consul_service], target_label: service}
      - {source_labels: [__meta_consul_tags], target_label: tags}
      - {source_labels: [__meta_consul_service_metadata_version], target_label: version}
      - {source_labels: [__meta_consul_health], target_label: health}
      - {source_labels: [__meta_consul_dc], target_label: dc}
`, server.HTTP, server.Token("default", "ROLE_VIEWER"))
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	harness.Run(t, program, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "tsdb"), "--web.listen-address="+address, "--log.level=warn")
	return address
}

// scraped waits until exactly these targets are up.
func scraped(t *testing.T, address string, want ...string) {
	t.Helper()
	sort.Strings(want)
	harness.Eventually(t, 40*time.Second, fmt.Sprintf("prometheus scrapes %v", want), func() error {
		response, err := http.Get("http://" + address + "/api/v1/query?query=" + url.QueryEscape(`up{job="fleet"} == 1`))
		if err != nil {
			return err
		}
		defer response.Body.Close()
		var answer struct {
			Data struct {
				Result []struct{ Metric map[string]string }
			}
		}
		if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
			return err
		}
		var got []string
		for _, r := range answer.Data.Result {
			m := r.Metric
			got = append(got, m["service"]+" "+m["version"]+" "+m["tags"]+" "+m["health"]+" "+m["dc"])
		}
		sort.Strings(got)
		if strings.Join(got, "; ") != strings.Join(want, "; ") {
			return fmt.Errorf("it scrapes %v", got)
		}
		return nil
	})
}

// exporter answers /metrics.
func exporter(t *testing.T) (host string, port int) {
	t.Helper()
	address := harness.FreeAddress(t)
	server := &http.Server{Addr: address, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "loans_granted_total 7") })}
	go server.ListenAndServe()
	t.Cleanup(func() { server.Close() })
	host, text, _ := strings.Cut(address, ":")
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return host, port
}

// TestPrometheusDiscoversByConsul: what a Consul client registers and what others register is scraped, over a restart too.
func TestPrometheusDiscoversByConsul(t *testing.T) {
	server := harness.Start(t)
	c := client(t, server)
	host, port := exporter(t)
	registration := &api.AgentServiceRegistration{Name: "loan", ID: "loan-1", Address: host, Port: port, Tags: []string{"blue", "v1"}, Meta: map[string]string{"version": "v1"},
		Check: &api.AgentServiceCheck{TTL: "10m", Status: api.HealthPassing}}
	if err := c.Agent().ServiceRegister(registration); err != nil {
		t.Fatal(err)
	}
	host, port = exporter(t)
	server.Call("InstanceService/Register", map[string]any{"service": map[string]any{"service": "risk"}, "instance": map[string]any{"address": host, "port": port,
		"labels": map[string]any{"version": "v2"}, "persistent": true}}, nil)
	address := prometheus(t, server)
	loan, risk := "loan v1 ,blue,v1, passing dc1", "risk v2 ,version=v2, passing dc1"
	scraped(t, address, loan, risk)
	if err := c.Agent().WarnTTL("service:loan-1", "slow"); err != nil {
		t.Fatal(err)
	}
	scraped(t, address, "loan v1 ,blue,v1, warning dc1", risk)
	server.Kill()
	server.Restart()
	if err := c.Agent().PassTTL("service:loan-1", ""); err != nil {
		t.Fatal(err)
	}
	scraped(t, address, loan, risk)
	if err := c.Agent().ServiceDeregister("loan-1"); err != nil {
		t.Fatal(err)
	}
	scraped(t, address, risk)
}
