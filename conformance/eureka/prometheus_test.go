package eureka_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hudl/fargo"

	"github.com/gantry-platform/gantry/conformance/harness"
)

func TestPrometheusDiscoversByEureka(t *testing.T) {
	program, err := exec.LookPath("prometheus")
	if err != nil {
		t.Fatal("no prometheus: apt-get install prometheus")
	}
	server := harness.Start(t)
	target := exporter(t)
	_, portText, _ := strings.Cut(target, ":")
	port, err := strconv.Atoi(portText)
	if err != nil {
		t.Fatal(err)
	}
	eureka := fargo.NewConn(address(server, server.Token("default", "ROLE_SERVICE")))
	loan := instance("loan-service", "loan-1", port)
	loan.LeaseInfo.DurationInSecs = 300
	loan.SetMetadataString("my_team", "loans")
	if err := eureka.RegisterInstance(loan); err != nil {
		t.Fatal(err)
	}
	dir, listen := t.TempDir(), harness.FreeAddress(t)
	file := filepath.Join(dir, "prometheus.yml")
	config := fmt.Sprintf(`
global: {scrape_interval: 500ms}
scrape_configs:
  - job_name: fleet
    eureka_sd_configs:
      - server: http://%s/eureka
        refresh_interval: 500ms
        basic_auth: {username: prometheus, password: %s}
    relabel_configs:
      - {source_labels: [__meta_eureka_app_name], target_label: app}
      - {source_labels: [__meta_eureka_app_instance_id], target_label: id}
      - {source_labels: [__meta_eureka_app_instance_vip_address], target_label: vip}
      - {source_labels: [__meta_eureka_app_instance_status], target_label: status}
      - {source_labels: [__meta_eureka_app_instance_metadata_owner], target_label: owner}
      - {source_labels: [__meta_eureka_app_instance_metadata_my__team], target_label: team}
      - {source_labels: [__meta_eureka_app_instance_country_id], target_label: country}
`, server.HTTP, server.Token("default", "ROLE_VIEWER"))
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	harness.Run(t, program, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "tsdb"), "--web.listen-address="+listen, "--log.level=warn")
	expect := func(query string, want int) {
		t.Helper()
		harness.Eventually(t, 60*time.Second, fmt.Sprintf("%d series are %s", want, query), func() error {
			response, err := http.Get("http://" + listen + "/api/v1/query?query=" + url.QueryEscape(query))
			if err != nil {
				return err
			}
			defer response.Body.Close()
			var answer struct{ Data struct{ Result []any } }
			if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
				return err
			}
			if len(answer.Data.Result) != want {
				return fmt.Errorf("there are %v", answer.Data.Result)
			}
			return nil
		})
	}
	// Prometheus takes the text of metadata as it stands in the XML, with its entities.
	expect(`up{app="LOAN-SERVICE",id="loan-1",vip="loan-service",status="UP",owner="risk &amp; credit",team="loans",country="86"} == 1`, 1)
	if err := eureka.DeregisterInstance(loan); err != nil {
		t.Fatal(err)
	}
	expect(`up{id="loan-1"}`, 0)
}

// exporter answers /metrics with one gauge.
func exporter(t *testing.T) string {
	t.Helper()
	address := harness.FreeAddress(t)
	mux := http.NewServeMux()
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "loans_granted_total 7") })
	server := &http.Server{Addr: address, Handler: mux}
	go server.ListenAndServe()
	t.Cleanup(func() { server.Close() })
	return address
}
