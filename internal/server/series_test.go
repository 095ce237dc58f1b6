package server_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/internal/server"
)

// metric is the value of a query's only sample at a node, by the Prometheus API.
func metric(t *testing.T, s *server.Server, prefix, query string) (string, error) {
	t.Helper()
	response, err := http.Get("http://" + s.HTTPAddress() + prefix + "/prometheus/api/v1/query?query=" + url.QueryEscape(query))
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	var answer struct {
		Data struct{ Result []struct{ Value [2]any } }
	}
	if err := json.Unmarshal(body, &answer); err != nil || len(answer.Data.Result) != 1 {
		return "", fmt.Errorf("%s: %s", query, body)
	}
	return fmt.Sprint(answer.Data.Result[0].Value[1]), nil
}

func soon(t *testing.T, s *server.Server, prefix, query, want string) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		got, err := metric(t, s, prefix, query)
		if err == nil && got == want {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%s is %q (%v), want %q", query, got, err, want)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestInstancesThatShowMetricsAreScraped(t *testing.T) {
	exporter := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "loans_granted_total{path=%q} 7\n", r.URL.Path)
	}))
	defer exporter.Close()
	host, port, _ := strings.Cut(strings.TrimPrefix(exporter.URL, "http://"), ":")
	s := start(t, map[string]string{"GANTRY_SCRAPE_INTERVAL": "1s"})
	for id, metadata := range map[string]string{"a": `"gantry.metrics.path":"/internal/metrics"`, "b": `"prometheus.io/scrape":"true","prometheus.io/port":"` + port + `"`,
		"silent": `"x":"y"`, "no": `"metrics_path":"/metrics","prometheus.io/scrape":"false"`} {
		own := port
		if id == "b" {
			own = "1"
		}
		if status, answer := call(t, s, "InstanceService/Register", fmt.Sprintf(`{"service":{"service":"loan"},"instance":{"id":%q,"address":%q,"port":%s,"metadata":{%s}}}`, id, host, own, metadata)); status != 200 {
			t.Fatalf("register %s: %d %s", id, status, answer)
		}
	}
	soon(t, s, "", `loans_granted_total{namespace="default",service="loan",instance="a",path="/internal/metrics"}`, "7")
	soon(t, s, "/ns/default", `up{instance="b"}`, "1")
	soon(t, s, "", `count(up)`, "2")
	soon(t, s, "", `gantry_instances{job="gantry",node="n1"}`, "4")
	if _, err := metric(t, s, "/ns/default", `gantry_instances`); err == nil {
		t.Error("the view of a namespace shows the server's own figures")
	}
	if status, answer := call(t, s, "InstanceService/Deregister", `{"service":{"service":"loan"},"id":"a"}`); status != 200 {
		t.Fatalf("deregister: %d %s", status, answer)
	}
	soon(t, s, "", `count(up)`, "1")
}
