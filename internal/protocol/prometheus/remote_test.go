package prometheus_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/gogo/protobuf/proto"
	"github.com/klauspost/compress/snappy"
	config_util "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/storage/remote"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/gantry-platform/gantry/internal/protocol/prometheus"
	"github.com/gantry-platform/gantry/internal/signal/series"
)

// reader is Prometheus's own client of remote read.
func (n *node) reader(prefix string) storage.Querier {
	n.t.Helper()
	address, err := url.Parse(n.http.URL + prefix + prometheus.Prefix + "read")
	if err != nil {
		n.t.Fatal(err)
	}
	client, err := remote.NewReadClient("test", &remote.ClientConfig{URL: &config_util.URL{URL: address}, Timeout: model.Duration(10 * time.Second), ChunkedReadLimit: 1 << 20})
	if err != nil {
		n.t.Fatal(err)
	}
	queryable := remote.NewSampleAndChunkQueryableClient(client, labels.EmptyLabels(), nil, true, func() (int64, error) { return math.MaxInt64, nil })
	querier, err := queryable.Querier(0, n.now.Add(time.Hour).UnixMilli())
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { querier.Close() })
	return querier
}

func TestRemoteReadBySeveralSelectors(t *testing.T) {
	n := start(t, true, series.Options{})
	for prefix, want := range map[string]int{"": 3, "/ns/staging": 1, "/ns/nowhere": 0} {
		set := n.reader(prefix).Select(context.Background(), true, nil, labels.MustNewMatcher(labels.MatchEqual, "__name__", "loans_total"))
		found := 0
		for set.Next() {
			found++
			samples, it := 0, set.At().Iterator(nil)
			for it.Next() != chunkenc.ValNone {
				samples++
			}
			if samples != 11 {
				t.Errorf("%s of %q: %d samples, want 11", set.At().Labels(), prefix, samples)
			}
			if prefix != "" && set.At().Labels().Get("namespace") != "staging" {
				t.Errorf("%q shows %s", prefix, set.At().Labels())
			}
		}
		if set.Err() != nil || found != want {
			t.Errorf("%q: %d series, %v; want %d", prefix, found, set.Err(), want)
		}
	}
	n.http.CloseClientConnections()
	http.DefaultClient.CloseIdleConnections()
}

func (n *node) write(prefix string, body []byte, headers ...string) answer {
	return n.do(http.MethodPost, prefix+prometheus.Prefix+"write", string(snappy.Encode(nil, body)),
		append([]string{"Content-Encoding", "snappy"}, headers...)...)
}

func marshal(t testing.TB, message proto.Message) []byte {
	t.Helper()
	encoded, err := proto.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

func TestRemoteWriteOfBothVersions(t *testing.T) {
	n := start(t, true, series.Options{})
	now := n.now.UnixMilli()
	first := &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{{
		Labels:  []prompb.Label{{Name: "__name__", Value: "pods"}, {Name: "namespace", Value: "kube-system"}},
		Samples: []prompb.Sample{{Value: 7, Timestamp: now}}}}}
	if a := n.write("/ns/staging", marshal(t, first), "Content-Type", "application/x-protobuf", "X-Prometheus-Remote-Write-Version", "0.1.0"); a.status != http.StatusNoContent {
		t.Fatalf("version 1: %d %s", a.status, a.body)
	}
	if a := n.write("/ns/nowhere", marshal(t, first), "Content-Type", "application/x-protobuf"); a.status != http.StatusNotFound {
		t.Errorf("into a namespace that is not there: %d %s", a.status, a.body)
	}
	second := &writev2.Request{Symbols: []string{"", "__name__", "nodes", "Nodes there are."}, Timeseries: []writev2.TimeSeries{{
		LabelsRefs: []uint32{1, 2}, Samples: []writev2.Sample{{Value: 3, Timestamp: now}}, Metadata: writev2.Metadata{Type: writev2.Metadata_METRIC_TYPE_GAUGE, HelpRef: 3}}}}
	a := n.write("", marshal(t, second), "Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request", "X-Prometheus-Remote-Write-Version", "2.0.0")
	if a.status != http.StatusNoContent || a.header.Get("X-Prometheus-Remote-Write-Samples-Written") != "1" {
		t.Fatalf("version 2: %d %s %v", a.status, a.body, a.header)
	}
	for _, c := range []struct{ query, want string }{
		{"pods", `{"resultType":"vector","result":[{"metric":{"__name__":"pods","exported_namespace":"kube-system","namespace":"staging"},"value":[` + n.at(0) + `,"7"]}]}`},
		{"nodes", `{"resultType":"vector","result":[{"metric":{"__name__":"nodes","namespace":"default"},"value":[` + n.at(0) + `,"3"]}]}`},
	} {
		if got := n.ask("", "query", "query", c.query, "time", n.at(0)).data(t); got != c.want {
			t.Errorf("%s: %s", c.query, got)
		}
	}
	if got := n.ask("", "metadata", "metric", "nodes").data(t); got != `{"nodes":[{"type":"gauge","unit":"","help":"Nodes there are."}]}` {
		t.Errorf("metadata: %s", got)
	}
}

func TestRemoteWriteBeyondTheLimits(t *testing.T) {
	n := start(t, true, series.Options{Limits: series.Limits{NameSeries: 5}})
	request := &prompb.WriteRequest{}
	for i := range 8 {
		request.Timeseries = append(request.Timeseries, prompb.TimeSeries{
			Labels:  []prompb.Label{{Name: "__name__", Value: "flood"}, {Name: "i", Value: fmt.Sprint(i)}},
			Samples: []prompb.Sample{{Value: 1, Timestamp: n.now.UnixMilli()}}})
	}
	// 400 tells Prometheus not to send it again; what fits is kept.
	if a := n.write("", marshal(t, request), "Content-Type", "application/x-protobuf"); a.status != http.StatusBadRequest {
		t.Errorf("%d %s, want 400", a.status, a.body)
	}
	if got := n.ask("", "query", "query", "count(flood)", "time", n.at(0)).data(t); !bytes.Contains([]byte(got), []byte(`"5"`)) {
		t.Error(got)
	}
	if got := n.ask("", "status/tsdb").data(t); !bytes.Contains([]byte(got), []byte(`"metric":"flood","reason":"name_limit","samples":3`)) {
		t.Error(got)
	}
	for name, body := range map[string][]byte{"no snappy": []byte("nonsense"), "a bomb": snappyBomb()} {
		a := n.do(http.MethodPost, prometheus.Prefix+"write", string(body), "Content-Type", "application/x-protobuf", "Content-Encoding", "snappy")
		if a.status < 400 || a.status >= 500 {
			t.Errorf("%s: %d %s, want it refused", name, a.status, a.body)
		}
		a = n.do(http.MethodPost, prometheus.Prefix+"read", string(body), "Content-Type", "application/x-protobuf", "Content-Encoding", "snappy")
		if a.status < 400 || a.status >= 500 {
			t.Errorf("%s: %d %s, want it refused", name, a.status, a.body)
		}
	}
}

// snappyBomb says that it holds 4 GiB.
func snappyBomb() []byte { return []byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0} }

// Whatever is sent, the server answers and does not fail inside.
func FuzzRequests(f *testing.F) {
	n := start(f, true, series.Options{})
	f.Add("query", "query=up&time=1", []byte(""))
	f.Add("query_range", "query=up&start=1&end=2&step=1s&timeout=1h", []byte(""))
	f.Add("series", "match[]={a=~\"b\"}&start=-1&end=1e9&limit=1", []byte(""))
	f.Add("label/U__a_2e_b/values", "match[]=up", []byte(""))
	f.Add("write", "", snappy.Encode(nil, marshal(f, &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{{
		Labels: []prompb.Label{{Name: "__name__", Value: "a"}}, Samples: []prompb.Sample{{Value: 1, Timestamp: n.now.UnixMilli()}}}}})))
	f.Add("read", "", snappy.Encode(nil, marshal(f, &prompb.ReadRequest{Queries: []*prompb.Query{{EndTimestampMs: 1, Matchers: []*prompb.LabelMatcher{{Name: "a", Value: "b"}}}}})))
	handler := prometheus.New(prometheus.Options{Series: n.series, Access: n.access})
	f.Fuzz(func(t *testing.T, path, query string, body []byte) {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			r := (&http.Request{Method: method, URL: &url.URL{Path: prometheus.Prefix + path, RawQuery: query}, Header: http.Header{"Content-Type": {"application/x-protobuf"}, "Content-Encoding": {"snappy"}},
				Body: http.NoBody, Host: "localhost"}).WithContext(context.Background())
			if method == http.MethodPost {
				r.Body = readCloser{bytes.NewReader(body)}
			}
			w := &recorder{header: http.Header{}}
			handler.ServeHTTP(w, r)
			if w.status == http.StatusInternalServerError {
				t.Errorf("%s %s?%s %x: %s", method, path, query, body, w.body.String())
			}
		}
	})
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }

type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header { return r.header }
func (r *recorder) WriteHeader(s int)   { r.status = s }
func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.body.Write(p)
}

// Flush implements http.Flusher, which streams of remote read need.
func (r *recorder) Flush() {}
