package prometheus_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/conformance/harness"
)

// start runs Debian's prometheus on a configuration.
func start(t *testing.T, config string) string {
	t.Helper()
	program, err := exec.LookPath("prometheus")
	if err != nil {
		t.Fatal("no prometheus: apt-get install prometheus")
	}
	dir, address := t.TempDir(), harness.FreeAddress(t)
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	harness.Run(t, program, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "tsdb"), "--web.listen-address="+address, "--log.level=warn")
	return address
}

// lender shows metrics of every kind that a text exposition has, all of which move.
func lender(t *testing.T) string {
	t.Helper()
	address := harness.FreeAddress(t)
	var scrapes atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
		n := float64(scrapes.Add(1))
		fmt.Fprintln(w, "# HELP loans_total Loans.\n# TYPE loans_total counter")
		for i, region := range []string{"east", "west", "north"} {
			fmt.Fprintf(w, "loans_total{region=%q,outcome=\"granted\"} %v\n", region, n*float64(i+1))
			fmt.Fprintf(w, "loans_total{region=%q,outcome=\"refused\"} %v\n", region, math.Floor(n/3)*float64(i+2))
		}
		fmt.Fprintf(w, "# TYPE queue_depth gauge\nqueue_depth %v\n", 50+40*math.Sin(n/3))
		fmt.Fprintln(w, "# TYPE decide_seconds histogram")
		total := 0.0
		for i, bound := range []string{"0.1", "0.5", "1", "+Inf"} {
			total += n * float64(4-i)
			fmt.Fprintf(w, "decide_seconds_bucket{le=%q} %v\n", bound, total)
		}
		fmt.Fprintf(w, "decide_seconds_sum %v\ndecide_seconds_count %v\n", total*0.3, total)
		fmt.Fprintf(w, "# TYPE pause_seconds summary\npause_seconds{quantile=\"0.5\"} %v\npause_seconds_sum %v\npause_seconds_count %v\n", 0.1+0.01*math.Cos(n), n*0.1, n)
	})
	server := &http.Server{Addr: address, Handler: mux}
	go server.ListenAndServe()
	t.Cleanup(func() { server.Close() })
	return address
}

// expressions use every kind of selector, function and operator whose meaning is the same in all versions of Prometheus since 2. Boundaries of ranges are not: since 3 the
// left one is open.
var expressions = []string{
	`loans_total`, `loans_total{region=~"e.*|w.*",outcome!="refused"}`, `{__name__=~"pause_.*"}`, `queue_depth`, `-queue_depth`, `up{job="lender"}`,
	`rate(loans_total[10s])`, `increase(loans_total[7s])`, `irate(loans_total[10s])`, `delta(queue_depth[9s])`, `deriv(queue_depth[9s])`, `predict_linear(queue_depth[9s], 60)`,
	`resets(queue_depth[9s])`, `changes(queue_depth[9s])`, `idelta(queue_depth[9s])`,
	`sum by (region) (rate(loans_total[10s]))`, `sum without (region) (loans_total)`, `avg(loans_total)`, `stddev(loans_total)`, `count by (outcome) (loans_total)`,
	`topk(2, loans_total)`, `bottomk(1, loans_total)`, `quantile(0.9, loans_total)`, `count_values("v", loans_total > bool 3)`, `group(loans_total)`,
	`histogram_quantile(0.9, rate(decide_seconds_bucket[10s]))`, `histogram_quantile(0.5, sum by (le) (decide_seconds_bucket))`,
	`sum_over_time(queue_depth[9s])`, `avg_over_time(queue_depth[9s])`, `min_over_time(queue_depth[9s])`, `max_over_time(queue_depth[9s])`, `quantile_over_time(0.4, queue_depth[9s])`,
	`count_over_time(queue_depth[9s])`, `last_over_time(queue_depth[9s])`, `present_over_time(queue_depth[9s])`, `stddev_over_time(queue_depth[9s])`,
	`loans_total / on (region) group_left sum by (region) (loans_total)`, `loans_total{outcome="refused"} / ignoring (outcome) loans_total{outcome="granted"}`,
	`loans_total and on (region) loans_total{region="east"}`, `loans_total unless loans_total{outcome="refused"}`, `queue_depth or pause_seconds_count`,
	`loans_total offset 2s`, `absent(nothing_at_all)`, `absent_over_time(queue_depth[9s])`, `label_replace(queue_depth, "a", "$1", "job", "(.*)er")`, `label_join(queue_depth, "a", "-", "job", "job")`,
	`max_over_time(rate(loans_total[5s])[8s:1s])`, `sort_desc(loans_total)`, `clamp(queue_depth, 20, 60)`, `round(queue_depth, 5)`, `ln(queue_depth) + sqrt(queue_depth) ^ 2 % 7`,
	`queue_depth > 30`, `queue_depth > bool 30`, `scalar(queue_depth)`, `vector(1)`, `day_of_week(vector(1000))`, `1 + 2 * 3`, `"text"`, `timestamp(queue_depth)`, `time()`,
	`sgn(queue_depth - 50)`, `queue_depth atan2 on () vector(2)`,
}

// point is a time and a value, of which the last digits are dropped: versions sum up in different orders.
type point string

func (p *point) UnmarshalJSON(data []byte) error {
	var pair [2]any
	if err := json.Unmarshal(data, &pair); err != nil {
		return err
	}
	value, err := strconv.ParseFloat(fmt.Sprint(pair[1]), 64)
	*p = point(fmt.Sprintf("%.3f %.12g", pair[0], value))
	return err
}

// ask gets the data of a query, with the label that the server gives taken off and in an order that is always the same.
func ask(address, token, path string, values url.Values) (string, error) {
	request, err := http.NewRequest(http.MethodGet, "http://"+address+path+"?"+values.Encode(), nil)
	if err != nil {
		return "", err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	var answer struct {
		Status string
		Data   struct {
			ResultType string
			Result     json.RawMessage
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Status != "success" {
		return "", fmt.Errorf("%s: %s", response.Status, body)
	}
	if answer.Data.ResultType != "vector" && answer.Data.ResultType != "matrix" {
		return answer.Data.ResultType + string(answer.Data.Result), nil
	}
	var result []struct {
		Metric map[string]string
		Value  *point
		Values []point
	}
	if err := json.Unmarshal(answer.Data.Result, &result); err != nil {
		return "", err
	}
	var lines []string
	for _, r := range result {
		delete(r.Metric, "namespace")
		labels, _ := json.Marshal(r.Metric)
		if r.Value != nil {
			r.Values = append(r.Values, *r.Value)
		}
		lines = append(lines, fmt.Sprint(string(labels), r.Values))
	}
	sort.Strings(lines)
	return answer.Data.ResultType + "\n" + strings.Join(lines, "\n"), nil
}

// same waits until two askers give the same to a query, which takes as long as the newest samples need from one to the other.
func same(t *testing.T, expression string, one, other func() (string, error)) {
	t.Helper()
	harness.Eventually(t, 20*time.Second, expression, func() error {
		a, err := one()
		if err != nil {
			return err
		}
		b, err := other()
		if err != nil {
			return err
		}
		if a != b {
			return fmt.Errorf("prometheus answers\n%s\nand gantry\n%s", a, b)
		}
		return nil
	})
}

// One prometheus scrapes, evaluates for itself, and writes to the server; another has nothing of its own and reads from the server. All three
// must answer the same.
func TestAnswersAreThoseOfPrometheus(t *testing.T) {
	server := harness.Start(t)
	exporter := lender(t)
	secrets := t.TempDir()
	file := func(name, token string) string {
		path := filepath.Join(secrets, name)
		if err := os.WriteFile(path, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	viewer := server.Token("default", "ROLE_VIEWER")
	writes, reads := file("writes", server.Token("default", "ROLE_SERVICE")), file("reads", viewer)
	began := time.Now()
	scraping := start(t, fmt.Sprintf(`
global: {scrape_interval: 500ms}
scrape_configs:
  - {job_name: lender, static_configs: [{targets: [%q]}]}
remote_write:
  - url: "http://%s/prometheus/api/v1/write"
    authorization: {credentials_file: %q}
    queue_config: {batch_send_deadline: 200ms}
`, exporter, server.HTTP, writes))
	reading := start(t, fmt.Sprintf(`
remote_read:
  - url: "http://%s/ns/default/prometheus/api/v1/read"
    read_recent: true
    authorization: {credentials_file: %q}
`, server.HTTP, reads))
	harness.Eventually(t, 40*time.Second, "25 seconds of samples have come", func() error {
		got, err := ask(server.HTTP, viewer, "/ns/default/prometheus/api/v1/query", url.Values{"query": {`count_over_time(queue_depth[1m]) > 50`}})
		if err == nil && got == "vector\n" {
			err = fmt.Errorf("not yet, after %s", time.Since(began))
		}
		return err
	})
	// No range reaches back to the first sample: how rates are drawn out to where a counter began is not the same in all versions either.
	// Scrapes are every half second at the same millisecond: everything is asked a quarter of a second beside them.
	newest, err := query(scraping, `timestamp(queue_depth)`)
	if err != nil || len(newest) != 1 {
		t.Fatalf("the time of the newest sample: %v, %v", newest, err)
	}
	scraped, err := strconv.ParseFloat(fmt.Sprint(newest[0].Value[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	at, since := fmt.Sprintf("%.3f", scraped-1.25), fmt.Sprintf("%.3f", scraped-10.25)
	for _, expression := range expressions {
		for path, values := range map[string]url.Values{
			"query":       {"query": {expression}, "time": {at}},
			"query_range": {"query": {expression}, "start": {since}, "end": {at}, "step": {"1.5"}},
		} {
			// A range of text there is not, and subqueries are at whole seconds, wherever scrapes are.
			if path == "query_range" && expression == `"text"` || strings.Contains(expression, ":1s]") && math.Mod(scraped, 0.5) < 0.002 {
				continue
			}
			same(t, path+" "+expression,
				func() (string, error) { return ask(scraping, "", "/api/v1/"+path, values) },
				func() (string, error) {
					return ask(server.HTTP, viewer, "/ns/default/prometheus/api/v1/"+path, values)
				})
			same(t, "remote read: "+path+" "+expression,
				func() (string, error) { return ask(scraping, "", "/api/v1/"+path, values) },
				func() (string, error) { return ask(reading, "", "/api/v1/"+path, values) })
		}
	}
}

// promtool is a client of the API too.
func TestPromtoolAsks(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatal("no promtool: apt-get install prometheus")
	}
	server := harness.Start(t, "--authentication", "off", "--scrape-interval", "1s")
	host, port, _ := strings.Cut(lender(t), ":")
	server.Call("InstanceService/Register", map[string]any{"service": map[string]any{"service": "loan"}, "instance": map[string]any{
		"id": "loan-1", "address": host, "port": json.Number(port), "metadata": map[string]string{"prometheus.io/scrape": "true"}, "persistent": true}}, nil)
	run := func(arguments ...string) (string, error) {
		output, err := exec.Command(promtool, arguments...).CombinedOutput()
		return string(output), err
	}
	address := "http://" + server.HTTP + "/ns/default/prometheus"
	for _, c := range []struct {
		want      string
		arguments []string
	}{
		{`instance="loan-1"`, []string{"query", "instant", address, `loans_total{region="east"}`}},
		{`service="loan"`, []string{"query", "range", "--step=1s", "--start=" + fmt.Sprint(time.Now().Unix()), address, `up`}},
		{`queue_depth`, []string{"query", "series", "--match=queue_depth", address}},
		{`north`, []string{"query", "labels", address, "region"}},
	} {
		harness.Eventually(t, 20*time.Second, strings.Join(c.arguments, " "), func() error {
			output, err := run(c.arguments...)
			if err != nil || !strings.Contains(output, c.want) {
				return fmt.Errorf("%v: %s", err, output)
			}
			return nil
		})
	}
}
