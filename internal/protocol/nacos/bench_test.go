package nacos

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// discard is an answer that nobody reads.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

func request(method, path, form string) *http.Request {
	if method == http.MethodGet {
		return httptest.NewRequest(method, "/nacos"+path+"?"+form, nil)
	}
	r := httptest.NewRequest(method, "/nacos"+path, strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

func benchmark(b *testing.B, prepare func(h http.Handler), each func(n int64) *http.Request) {
	h := start(b, false).Handler()
	if prepare != nil {
		prepare(h)
	}
	var count atomic.Int64
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		w := &discard{header: http.Header{}}
		for pb.Next() {
			clear(w.header)
			h.ServeHTTP(w, each(count.Add(1)))
		}
	})
}

const someMetadata = "metadata=%7B%22version%22%3A%22v1%22%2C%22owner%22%3A%22risk%22%7D"

func register(n int64) *http.Request {
	return request(http.MethodPost, "/v1/ns/instance", fmt.Sprintf("serviceName=DEFAULT_GROUP%%40%%40s%d&groupName=DEFAULT_GROUP&ip=10.%d.%d.%d&port=8080&weight=1&enable=true&healthy=true&ephemeral=true&%s",
		n%1000, n>>16&255, n>>8&255, n&255, someMetadata))
}

func BenchmarkRegister(b *testing.B) { benchmark(b, nil, register) }

func BenchmarkBeat(b *testing.B) {
	benchmark(b, func(h http.Handler) { h.ServeHTTP(httptest.NewRecorder(), register(1)) }, func(int64) *http.Request {
		return request(http.MethodPut, "/v1/ns/instance/beat", "serviceName=DEFAULT_GROUP%40%40s1&ip=10.0.0.1&port=8080&beat=%7B%22ip%22%3A%2210.0.0.1%22%2C%22port%22%3A8080%2C%22cluster%22%3A%22DEFAULT%22%2C%22weight%22%3A1%7D")
	})
}

func BenchmarkList(b *testing.B) {
	benchmark(b, func(h http.Handler) {
		for n := range int64(100) {
			h.ServeHTTP(httptest.NewRecorder(), register(1+n*1000))
		}
	}, func(int64) *http.Request {
		return request(http.MethodGet, "/v1/ns/instance/list", "serviceName=DEFAULT_GROUP%40%40s1&healthyOnly=false")
	})
}

func BenchmarkGetConfig(b *testing.B) {
	benchmark(b, func(h http.Handler) {
		h.ServeHTTP(httptest.NewRecorder(), request(http.MethodPost, "/v1/cs/configs", "dataId=a&group=g&content="+strings.Repeat("x", 1000)))
	}, func(int64) *http.Request { return request(http.MethodGet, "/v1/cs/configs", "dataId=a&group=g") })
}
