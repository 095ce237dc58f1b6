package nodes_test

import (
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/internal/migrate"
)

// BenchmarkThousandServices tells how long 1,000 services of 5 instances take to be mirrored, and to be taken back. The nodes and the mirror share the
// process.
func BenchmarkThousandServices(b *testing.B) {
	const services, each = 1000, 5
	there, here := startNode(b), startNode(b)
	gate := make(chan struct{}, 64)
	var all sync.WaitGroup
	for n := range services * each {
		gate <- struct{}{}
		all.Go(func() {
			values := url.Values{"serviceName": {fmt.Sprintf("s%d", n/each)}, "ip": {fmt.Sprintf("10.1.%d.%d", n/250, n%250+1)}, "port": {"8080"}, "ephemeral": {"false"}}
			there.call(http.MethodPost, "/nacos/v1/ns/instance?"+values.Encode(), "")
			<-gate
		})
	}
	all.Wait()
	for b.Loop() {
		source, namespaces, err := migrate.NacosRegistry(b.Context(), there.connection(), migrate.NewNamespaces(map[string]string{"public": "default"}), nil, 0)
		if err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		m, stop := runMirror(b, source, migrate.NewGantry(here.instances, "nacos", namespaces), "nacos:8848")
		eventually(b, func() bool { return m.Status().ToGantry == services*each }, func() string { return fmt.Sprintf("%+v", m.Status()) })
		b.ReportMetric(time.Since(began).Seconds(), "s/mirrored")
		began = time.Now()
		stop()
		b.ReportMetric(time.Since(began).Seconds(), "s/takenback")
	}
}
