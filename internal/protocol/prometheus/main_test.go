package prometheus_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	metrics "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"go.uber.org/goleak"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
	"github.com/gantry-platform/gantry/internal/protocol/prometheus"
	"github.com/gantry-platform/gantry/internal/signal/series"
	"github.com/gantry-platform/gantry/internal/state/statetest"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, statetest.LeakOptions()...) }

// node is the rooms that the protocol stands on, and the protocol on an HTTP port.
type node struct {
	t      testing.TB
	access *access.Manager
	series *series.Store
	http   *httptest.Server
	now    time.Time
}

type rules struct{}

func (rules) Groups(_ context.Context, scope prometheus.Scope) []prometheus.RuleGroup {
	if scope.Namespace == "staging" {
		return nil
	}
	return []prometheus.RuleGroup{{Name: "loans", Rules: []prometheus.Rule{
		{Type: "alerting", State: "firing", Name: "Slow", Alerts: []prometheus.Alert{{State: "firing", Value: "1e+00", Labels: map[string]string{"alertname": "Slow"}}}},
		{Type: "recording", Name: "rate"}}}}
}

// start runs the protocol with or without authentication, over some minutes of samples in the namespaces default and staging and in none.
func start(t testing.TB, open bool, options series.Options) *node {
	t.Helper()
	s := statetest.New(t)
	n := &node{t: t, now: time.Now().Truncate(time.Second)}
	var err error
	if n.access, err = access.New(access.Options{Store: s, Registerer: metrics.NewRegistry(), Disabled: open}); err != nil {
		t.Fatal(err)
	}
	statetest.Start(t, s)
	options.Dir = t.TempDir()
	if n.series, err = series.Open(options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.series.Close(); err != nil {
			t.Error(err)
		}
	})
	n.http = httptest.NewServer(edge.Namespaces(prometheus.New(prometheus.Options{Series: n.series, Access: n.access, Rules: rules{}, HasNamespace: func(name string) bool { return name != "nowhere" }, Version: "test"})))
	t.Cleanup(n.http.Close)
	n.fill()
	return n
}

func (n *node) fill() {
	n.t.Helper()
	a := n.series.Appender(context.Background())
	for i, namespace := range []string{"default", "staging", ""} {
		l := labels.FromStrings("__name__", "loans_total", "service", "loan", "namespace", namespace).WithoutEmpty()
		h := labels.FromStrings("__name__", "loan_seconds", "service", "loan", "namespace", namespace).WithoutEmpty()
		for minute := -10; minute <= 0; minute++ {
			at := n.now.Add(time.Duration(minute) * time.Minute).UnixMilli()
			if _, err := a.Append(0, l, at, float64((i+1)*60*(minute+10))); err != nil {
				n.t.Fatal(err)
			}
			count := uint64(minute + 11)
			if _, err := a.AppendHistogram(0, h, at, &histogram.Histogram{Count: count, Sum: float64(count), PositiveSpans: []histogram.Span{{Length: 1}}, PositiveBuckets: []int64{int64(count)}}, nil); err != nil {
				n.t.Fatal(err)
			}
		}
		if _, err := a.AppendExemplar(0, h, exemplar.Exemplar{Labels: labels.FromStrings("trace_id", namespace+"-trace"), Value: 0.25, Ts: n.now.UnixMilli(), HasTs: true}); err != nil {
			n.t.Fatal(err)
		}
		if _, err := a.UpdateMetadata(0, l, metadata.Metadata{Type: "counter", Help: "Loans of " + namespace + "."}); err != nil {
			n.t.Fatal(err)
		}
	}
	if err := a.Commit(); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) token(namespace string, role gantryv1.Role) string {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, token, err := n.access.CreateToken(access.NewContext(ctx, access.System("test")), "test", []*gantryv1.Grant{{Namespace: namespace, Role: role}}, 0)
	if err != nil {
		n.t.Fatal(err)
	}
	return token
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (n *node) do(method, path, body string, headers ...string) answer {
	n.t.Helper()
	request, err := http.NewRequest(method, n.http.URL+path, strings.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := n.http.Client().Do(request)
	if err != nil {
		n.t.Fatal(err)
	}
	defer response.Body.Close()
	all, err := io.ReadAll(response.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(all)}
}

// ask gets a path of the API below a prefix such as "/ns/staging"; values are names and values in turn.
func (n *node) ask(prefix, path string, values ...string) answer {
	n.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(values); i += 2 {
		form.Add(values[i], values[i+1])
	}
	return n.do(http.MethodGet, prefix+prometheus.Prefix+path+"?"+form.Encode(), "")
}

// data is the data of a success, as JSON.
func (a answer) data(t testing.TB) string {
	t.Helper()
	var envelope struct {
		Status string
		Data   json.RawMessage
	}
	if err := json.Unmarshal([]byte(a.body), &envelope); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
	if a.status != http.StatusOK || envelope.Status != "success" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	return string(envelope.Data)
}

func (n *node) at(minutes int) string {
	return fmt.Sprint(n.now.Add(time.Duration(minutes) * time.Minute).Unix())
}
