package prometheus_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gantry-platform/gantry/internal/protocol/prometheus"
	"github.com/gantry-platform/gantry/internal/signal/series"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

func TestAnswersHavePrometheusesShapes(t *testing.T) {
	n := start(t, true, series.Options{})
	at := n.at(0)
	for _, c := range []struct {
		path   string
		values []string
		want   string // %[1]s is the time
	}{
		{"query", []string{"query", `rate(loans_total{namespace="default"}[5m])`, "time", at},
			`{"resultType":"vector","result":[{"metric":{"namespace":"default","service":"loan"},"value":[%[1]s,"1"]}]}`},
		{"query", []string{"query", `1 + 1`, "time", at}, `{"resultType":"scalar","result":[%[1]s,"2"]}`},
		{"query", []string{"query", `"a"`, "time", at}, `{"resultType":"string","result":[%[1]s,"a"]}`},
		{"query", []string{"query", `nothing`, "time", at}, `{"resultType":"vector","result":[]}`},
		{"query", []string{"query", `nothing[5m]`, "time", at}, `{"resultType":"matrix","result":[]}`},
		{"query", []string{"query", `1 / vector(0)`, "time", at}, `{"resultType":"vector","result":[{"metric":{},"value":[%[1]s,"+Inf"]}]}`},
		{"query_range", []string{"query", `loans_total{namespace="default"}`, "start", n.at(-1), "end", at, "step", "1m"},
			`{"resultType":"matrix","result":[{"metric":{"__name__":"loans_total","namespace":"default","service":"loan"},"values":[[` + n.at(-1) + `,"540"],[%[1]s,"600"]]}]}`},
		{"query", []string{"query", `loan_seconds{namespace="default"}`, "time", at},
			`{"resultType":"vector","result":[{"metric":{"__name__":"loan_seconds","namespace":"default","service":"loan"},"histogram":[%[1]s,{"count":"11","sum":"11","buckets":[[0,"0.5","1","11"]]}]}]}`},
		{"query_exemplars", []string{"query", `rate(loan_seconds{namespace="staging"}[5m])`, "start", n.at(-5), "end", at},
			`[{"seriesLabels":{"__name__":"loan_seconds","namespace":"staging","service":"loan"},"exemplars":[{"labels":{"trace_id":"staging-trace"},"value":"0.25","timestamp":%[1]s}]}]`},
		{"query_exemplars", []string{"query", `1`}, `[]`},
		{"series", []string{"match[]", `loans_total{namespace="default"}`, "match[]", `{namespace="default",__name__=~"loans.*"}`},
			`[{"__name__":"loans_total","namespace":"default","service":"loan"}]`},
		{"labels", nil, `["__name__","namespace","service"]`},
		{"labels", []string{"match[]", `loans_total{namespace=""}`}, `["__name__","service"]`},
		{"label/namespace/values", nil, `["default","staging"]`},
		{"label/__name__/values", []string{"match[]", `{service="loan"}`, "limit", "1"}, `["loan_seconds"]`},
		{"label/nothing/values", nil, `[]`},
		{"metadata", []string{"metric", "loans_total"}, `{"loans_total":[{"type":"counter","unit":"","help":"Loans of ."},{"type":"counter","unit":"","help":"Loans of default."},{"type":"counter","unit":"","help":"Loans of staging."}]}`},
		{"format_query", []string{"query", `sum  by(service)(loans_total)`}, `"sum by (service) (loans_total)"`},
		{"targets", nil, `{"activeTargets":[],"droppedTargetCounts":{},"droppedTargets":[]}`},
		{"alerts", nil, `{"alerts":[{"labels":{"alertname":"Slow"},"annotations":null,"state":"firing","value":"1e+00"}]}`},
	} {
		want := c.want
		if strings.Contains(want, "%[1]s") {
			want = fmt.Sprintf(want, at)
		}
		if got := n.ask("", c.path, c.values...).data(t); got != want {
			t.Errorf("%s %v:\n%s, want\n%s", c.path, c.values, got, want)
		}
	}
	var build struct{ Version string }
	if err := json.Unmarshal([]byte(n.ask("", "status/buildinfo").data(t)), &build); err != nil || !strings.HasPrefix(build.Version, "3.") {
		t.Errorf("version %q, %v", build.Version, err)
	}
	if got := n.ask("", "rules", "type", "alert").data(t); strings.Contains(got, "recording") || !strings.Contains(got, `"name":"Slow"`) {
		t.Errorf("rules: %s", got)
	}
	if got := n.ask("", "query", "query", "loans_total", "time", at, "stats", "all").data(t); !strings.Contains(got, `"totalQueryableSamples":3`) {
		t.Errorf("stats: %s", got)
	}
	if got := n.ask("", "query", "query", "loans_total", "time", at, "limit", "2"); strings.Count(got.data(t), `"metric"`) != 2 || !strings.Contains(got.body, "truncated") {
		t.Errorf("limit: %s", got.body)
	}
	if got := n.ask("", "status/tsdb").data(t); !strings.Contains(got, `"numSeries":6`) {
		t.Errorf("statistics: %s", got)
	}
}

func TestFormsArePostedToo(t *testing.T) {
	n := start(t, true, series.Options{})
	form := url.Values{"query": {"count(loans_total)"}, "time": {n.at(0)}}.Encode()
	a := n.do(http.MethodPost, prometheus.Prefix+"query", form, "Content-Type", "application/x-www-form-urlencoded")
	if got := a.data(t); !strings.Contains(got, `"3"`) {
		t.Error(got)
	}
	a = n.do(http.MethodPost, prometheus.Prefix+"query", "query="+strings.Repeat("1%2B", 200_000)+"1", "Content-Type", "application/x-www-form-urlencoded")
	if a.status != http.StatusBadRequest {
		t.Errorf("a form too large: %d", a.status)
	}
}

func TestErrorsHavePrometheusesShapes(t *testing.T) {
	n := start(t, true, series.Options{Query: series.QueryLimits{Samples: 20}})
	for _, c := range []struct {
		path   string
		values []string
		status int
		kind   string
	}{
		{"query", []string{"query", "sum("}, 400, "bad_data"},
		{"query", []string{"query", ""}, 400, "bad_data"},
		{"query", []string{"query", "1", "time", "yesterday"}, 400, "bad_data"},
		{"query", []string{"query", "1", "time", "1e300"}, 400, "bad_data"},
		{"query", []string{"query", "1", "timeout", "-1"}, 400, "bad_data"},
		{"query", []string{"query", "1", "limit", "many"}, 400, "bad_data"},
		{"query", []string{"query", `loans_total + on(service) loans_total`, "time", n.at(0)}, 422, "execution"},
		{"query", []string{"query", `loans_total[10m]`, "time", n.at(0)}, 422, "execution"},
		{"query", []string{"query", `sum_over_time(loans_total[10m:1s])`, "time", n.at(0), "timeout", "0.000000001"}, 503, "timeout"},
		{"query_range", []string{"query", "1", "start", "0", "end", "100", "step", "0"}, 400, "bad_data"},
		{"query_range", []string{"query", "1", "start", "0", "end", "100"}, 400, "bad_data"},
		{"query_range", []string{"query", "1", "start", "0", "end", "100000", "step", "1"}, 400, "bad_data"},
		{"query_range", []string{"query", "1", "start", "100", "end", "0", "step", "1"}, 400, "bad_data"},
		{"series", nil, 400, "bad_data"},
		{"series", []string{"match[]", "{}"}, 400, "bad_data"},
		{"labels", []string{"start", "2", "end", "1"}, 400, "bad_data"},
		{"rules", []string{"type", "x"}, 400, "bad_data"},
		{"admin/tsdb/snapshot", nil, 404, "not_found"},
		{"status/config", nil, 404, "not_found"},
		{"read", nil, 405, "bad_data"},
	} {
		a := n.ask("", c.path, c.values...)
		var envelope struct{ Status, ErrorType, Error string }
		if err := json.Unmarshal([]byte(a.body), &envelope); err != nil {
			t.Errorf("%s %v: %v in %s", c.path, c.values, err, a.body)
			continue
		}
		if a.status != c.status || envelope.Status != "error" || envelope.ErrorType != c.kind || envelope.Error == "" {
			t.Errorf("%s %v: %d %s, want %d %s", c.path, c.values, a.status, a.body, c.status, c.kind)
		}
	}
}

func TestANamespaceSeesOnlyItself(t *testing.T) {
	n := start(t, true, series.Options{})
	at := n.at(0)
	for _, c := range []struct {
		path   string
		values []string
	}{
		{"query", []string{"query", `{__name__=~".+"}`, "time", at}},
		{"query", []string{"query", `loans_total{namespace="default"} or loans_total{namespace=~".*"} or loans_total{namespace=""}`, "time", at}},
		{"query_range", []string{"query", `loans_total`, "start", n.at(-5), "end", at, "step", "60"}},
		{"query_exemplars", []string{"query", `loan_seconds or loan_seconds{namespace="default"}`}},
		{"series", []string{"match[]", `{__name__=~".+"}`, "match[]", `{namespace="default"}`}},
		{"label/namespace/values", nil},
		{"label/trace_id/values", nil},
		{"metadata", nil},
		{"rules", nil},
		{"alerts", nil},
		{"status/tsdb", nil},
	} {
		got := n.ask("/ns/staging", c.path, c.values...).data(t)
		if strings.Contains(got, "default") || strings.Contains(got, "Loans of .") || strings.Contains(got, `"metric":{"__name__":"loans_total","service":"loan"}`) || strings.Contains(got, "Slow") {
			t.Errorf("%s %v shows another namespace: %s", c.path, c.values, got)
		}
		if c.path == "query" && !strings.Contains(got, "staging") {
			t.Errorf("%s %v shows nothing: %s", c.path, c.values, got)
		}
	}
}

func TestRights(t *testing.T) {
	n := start(t, false, series.Options{})
	everything, staging, service := n.token("*", gantryv1.Role_ROLE_VIEWER), n.token("staging", gantryv1.Role_ROLE_VIEWER), n.token("staging", gantryv1.Role_ROLE_SERVICE)
	for _, path := range []string{"query?query=up", "labels", "series?match[]=up", "label/x/values", "metadata", "targets", "rules", "alerts", "status/tsdb", "status/buildinfo",
		"query_range?query=1&start=1&end=2&step=1", "query_exemplars?query=up", "format_query?query=up"} {
		for _, c := range []struct {
			prefix, token string
			want          int
		}{
			{"", "", 401}, {"", "gty_wrong", 401}, {"", staging, 403}, {"", everything, 200},
			{"/ns/staging", "", 401}, {"/ns/staging", staging, 200}, {"/ns/staging", service, 403}, {"/ns/default", staging, 403}, {"/ns/default", everything, 200},
		} {
			a := n.do(http.MethodGet, c.prefix+prometheus.Prefix+path, "", "Authorization", "Bearer "+c.token)
			if a.status != c.want {
				t.Errorf("%s%s: %d %s, want %d", c.prefix, path, a.status, a.body, c.want)
			}
			if a.status == 401 && a.header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s%s: no WWW-Authenticate", c.prefix, path)
			}
		}
	}
	for _, c := range []struct {
		path, token string
		want        int
	}{
		{"/ns/staging" + prometheus.Prefix + "read", service, 403}, {prometheus.Prefix + "read", staging, 403},
		{"/ns/staging" + prometheus.Prefix + "write", staging, 403}, {prometheus.Prefix + "write", service, 403}, {prometheus.Prefix + "write", "", 401},
	} {
		if a := n.do(http.MethodPost, c.path, "x", "Authorization", "Bearer "+c.token); a.status != c.want {
			t.Errorf("%s: %d %s, want %d", c.path, a.status, a.body, c.want)
		}
	}
}
