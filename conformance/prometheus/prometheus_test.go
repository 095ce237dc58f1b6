// Package prometheus_test lets the real Prometheus discover and scrape a fleet through /prometheus/sd.
package prometheus_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/conformance/harness"
)

// prometheus starts Debian's prometheus on a configuration and returns its address.
func prometheus(t *testing.T, server *harness.Server, token, job string) string {
	t.Helper()
	program, err := exec.LookPath("prometheus")
	if err != nil {
		t.Fatal("no prometheus: apt-get install prometheus")
	}
	dir, address := t.TempDir(), harness.FreeAddress(t)
	tokenFile := filepath.Join(dir, "token")
	if err := os.WriteFile(tokenFile, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`
global: {scrape_interval: 500ms}
scrape_configs:
  - job_name: gantry
    authorization: {credentials_file: %q}
    static_configs: [{targets: [%q]}]
  - job_name: fleet
    http_sd_configs:
      - url: "http://%s/prometheus/sd?%s"
        refresh_interval: 500ms
        authorization: {credentials_file: %q}
    relabel_configs:
      - {source_labels: [__meta_gantry_label_version], target_label: version}
      - {source_labels: [__meta_gantry_health], target_label: health}
`, tokenFile, server.HTTP, server.HTTP, job, tokenFile)
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	harness.Run(t, program, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "tsdb"), "--web.listen-address="+address, "--log.level=warn")
	return address
}

type sample struct {
	Metric map[string]string
	Value  [2]any
}

func query(address, expression string) ([]sample, error) {
	response, err := http.Get("http://" + address + "/api/v1/query?query=" + url.QueryEscape(expression))
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var answer struct {
		Status string
		Data   struct{ Result []sample }
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return nil, err
	}
	if answer.Status != "success" {
		return nil, fmt.Errorf("query %s: %s", expression, answer.Status)
	}
	return answer.Data.Result, nil
}

// up waits until exactly these services and versions are scraped with success.
func up(t *testing.T, address string, want ...string) {
	t.Helper()
	sort.Strings(want)
	harness.Eventually(t, 30*time.Second, fmt.Sprintf("prometheus scrapes %v", want), func() error {
		samples, err := query(address, `up{job="fleet"} == 1`)
		if err != nil {
			return err
		}
		var got []string
		for _, s := range samples {
			got = append(got, s.Metric["service"]+"/"+s.Metric["version"])
		}
		sort.Strings(got)
		if strings.Join(got, " ") != strings.Join(want, " ") {
			return fmt.Errorf("it scrapes %v", got)
		}
		return nil
	})
}

// exporter answers /metrics, or another path, with one gauge.
func exporter(t *testing.T, path string) string {
	t.Helper()
	address := harness.FreeAddress(t)
	mux := http.NewServeMux()
	mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "loans_granted_total 7") })
	server := &http.Server{Addr: address, Handler: mux}
	go server.ListenAndServe()
	t.Cleanup(func() { server.Close() })
	return address
}

func register(t *testing.T, server *harness.Server, service, version, metricsAddress string, metadata map[string]string) string {
	t.Helper()
	host, port, _ := strings.Cut(metricsAddress, ":")
	var answer struct{ ID string }
	server.Call("InstanceService/Register", map[string]any{"service": map[string]any{"service": service}, "instance": map[string]any{
		"id": service + "-" + version, "address": host, "port": 1, "ports": map[string]any{"metrics": json.Number(port)}, "metadata": metadata,
		"labels": map[string]string{"version": version}, "persistent": true}}, &answer)
	return answer.ID
}

func TestPrometheusDiscoversAndScrapes(t *testing.T) {
	server := harness.Start(t)
	address := prometheus(t, server, server.Token("default", "ROLE_VIEWER"), "only=advertised")
	up(t, address)
	register(t, server, "loan", "v1", exporter(t, "/metrics"), nil)
	register(t, server, "risk", "v2", exporter(t, "/actuator/prometheus"), map[string]string{"metrics_path": "/actuator/prometheus"})
	up(t, address, "loan/v1", "risk/v2")
	samples, err := query(address, `loans_granted_total`)
	if err != nil || len(samples) != 2 {
		t.Fatalf("%d samples of the fleet's own metric (%v), want 2", len(samples), err)
	}
	// The server's own metrics, by the same token.
	harness.Eventually(t, 20*time.Second, "prometheus scrapes the server", func() error {
		samples, err := query(address, `gantry_state_quorum{job="gantry"} == 1`)
		if err != nil {
			return err
		}
		if len(samples) != 1 {
			return fmt.Errorf("%d samples", len(samples))
		}
		return nil
	})
	server.Call("InstanceService/Deregister", map[string]any{"service": map[string]any{"service": "risk"}, "id": "risk-v2"}, nil)
	up(t, address, "loan/v1")
	// Prometheus keeps its targets while the server is away, and goes on when it is back.
	server.Kill()
	up(t, address, "loan/v1")
	server.Restart()
	register(t, server, "fund", "v1", exporter(t, "/metrics"), nil)
	up(t, address, "fund/v1", "loan/v1")
}

func TestPrometheusWithAWrongTokenSeesNothing(t *testing.T) {
	server := harness.Start(t)
	register(t, server, "loan", "v1", exporter(t, "/metrics"), nil)
	for name, token := range map[string]string{"none": "gty_wrong", "another namespace": otherNamespace(server)} {
		request, err := http.NewRequest(http.MethodGet, "http://"+server.HTTP+"/prometheus/sd", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+token)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusUnauthorized && response.StatusCode != http.StatusForbidden {
			t.Errorf("token of %s: %s, want it refused", name, response.Status)
		}
	}
}

func otherNamespace(server *harness.Server) string {
	server.Call("InstanceService/CreateNamespace", map[string]any{"namespace": map[string]any{"name": "staging"}}, nil)
	return server.Token("staging", "ROLE_VIEWER")
}
