package series_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gantry-platform/gantry/internal/signal/series"
)

// fleet is what a test says there is to scrape.
type fleet struct {
	mu      sync.Mutex
	targets []series.Target
	changed chan struct{} // has an element when Next has not seen the targets
}

func newFleet(targets ...series.Target) *fleet {
	f := &fleet{changed: make(chan struct{}, 1)}
	f.set(targets...)
	return f
}

func (f *fleet) set(targets ...series.Target) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.targets = targets
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

func (f *fleet) Next(ctx context.Context) ([]series.Target, error) {
	select {
	case <-f.changed:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]series.Target(nil), f.targets...), nil
}

func target(server *httptest.Server, instance string) series.Target {
	return series.Target{Namespace: "staging", Group: "g", Service: "loan", Instance: instance, Scheme: "http",
		Address: strings.TrimPrefix(server.URL, "http://"), Path: "/metrics"}
}

// serve is a target that answers as a function says.
func serve(t testing.TB, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}

func scraper(t testing.TB, s *series.Store, o series.ScrapeOptions) *series.Scraper {
	t.Helper()
	if o.Interval == 0 {
		o.Interval = 100 * time.Millisecond
	}
	r, err := s.Scrape(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// soon waits until a query has one sample of a value.
func soon(t testing.TB, s *series.Store, query string, want float64) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s is %v", query, want), func() bool {
		v, _, err := s.Instant(context.Background(), query, time.Now())
		return err == nil && len(v) == 1 && v[0].F == want
	})
}

func TestTargetsAreScrapedWhileTheyAreThere(t *testing.T) {
	s, f := open(t, series.Options{}), newFleet()
	one := serve(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "# HELP loans_total Loans.\n# TYPE loans_total counter\nloans_total{namespace=\"kube\",service=\"own\"} 7\n")
	})
	r := scraper(t, s, series.ScrapeOptions{Discovery: f, Loopback: true, DefaultGroup: "default"})
	f.set(target(one, "i-1"))
	soon(t, s, `loans_total{namespace="staging",service="loan",instance="i-1",job="loan",group="g",exported_namespace="kube",exported_service="own"}`, 7)
	soon(t, s, `up{namespace="staging",instance="i-1"}`, 1)
	eventually(t, "the target is known to be up", func() bool {
		targets := r.Targets("staging", false)
		return len(targets) == 1 && targets[0].Health == "up" && targets[0].Labels["service"] == "loan" && len(r.Targets("default", false)) == 0
	})
	if families := s.In("staging").Families(); len(families) == 0 || families[0].Help != "Loans." {
		t.Errorf("what the metric means: %v", families)
	}
	f.set(target(one, "i-2"))
	soon(t, s, `up{instance="i-2"}`, 1)
	eventually(t, "the series of what left have ended", func() bool {
		v, _, err := s.Instant(context.Background(), `up{instance="i-1"}`, time.Now())
		return err == nil && len(v) == 0
	})
}

func TestATargetCannotHarm(t *testing.T) {
	s, f := open(t, series.Options{}), newFleet()
	var reached atomic.Int64
	secret := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		reached.Add(1)
		fmt.Fprint(w, "secret 1\n")
	})
	for name, handler := range map[string]http.HandlerFunc{
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, secret.URL+"/metrics", http.StatusTemporaryRedirect)
		},
		"too-large": func(w http.ResponseWriter, _ *http.Request) {
			for i := range 20_000 {
				fmt.Fprintf(w, "large{i=\"%d\"} 1\n", i)
			}
		},
		"too-many": func(w http.ResponseWriter, _ *http.Request) {
			for i := range 30 {
				fmt.Fprintf(w, "many{i=\"%d\"} 1\n", i)
			}
		},
		"nonsense": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>}{\xff\n") },
		"slow":     func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"labels": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, "labels{i=%q} 1\n", strings.Repeat("x", 5000))
		},
	} {
		f.targets = append(f.targets, target(serve(t, handler), name))
	}
	fine := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "fine 1\n") })
	f.targets = append(f.targets, target(fine, "fine"))
	f.set(f.targets...)
	r := scraper(t, s, series.ScrapeOptions{Discovery: f, Loopback: true, Body: 100 << 10, Samples: 20, Interval: 200 * time.Millisecond})
	soon(t, s, `fine{instance="fine"}`, 1)
	soon(t, s, `count(up == 0)`, 6)
	if v := instant(t, s, `{__name__=~"secret|large|many|labels"}`, time.Now()); len(v) != 0 {
		t.Errorf("kept: %v", v)
	}
	if reached.Load() != 0 {
		t.Error("a redirect was followed")
	}
	// The good one may be late once on a busy machine: its scrapes have 133 ms.
	eventually(t, "each target's error is its own", func() bool {
		for _, one := range r.Targets("", true) {
			if (one.Labels["instance"] == "fine") != (one.LastError == "") {
				return false
			}
		}
		return true
	})
}

func TestLoopbackIsNotScrapedUnlessItIsUs(t *testing.T) {
	s, f := open(t, series.Options{}), newFleet()
	var reached atomic.Int64
	private := serve(t, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	f.set(target(private, "i-1"))
	scraper(t, s, series.ScrapeOptions{Discovery: f})
	soon(t, s, `up{instance="i-1"}`, 0)
	if reached.Load() != 0 {
		t.Error("loopback was reached")
	}
}

func TestAddressesThatAreNotScraped(t *testing.T) {
	for address, want := range map[string]bool{"10.0.0.1:80": true, "192.168.1.1:9090": true, "[2001:db8::1]:80": true, "8.8.8.8:80": true,
		"169.254.169.254:80": false, "[fe80::1]:80": false, "[fe80::1%eth0]:80": false, "0.0.0.0:80": false, "[::]:80": false, "224.0.0.1:80": false, "127.0.0.1:80": false, "[::1]:80": false,
		"[::ffff:169.254.169.254]:80": false, "[::ffff:127.0.0.1]:80": false, "[fd00:ec2::254]:80": false, "255.255.255.255:80": false, "nonsense": false} {
		if got := series.Scrapeable(address, false); got != want {
			t.Errorf("%s: %v, want %v", address, got, want)
		}
	}
}

func TestTheServersOwnFiguresAreKept(t *testing.T) {
	s := open(t, series.Options{Node: "n1"})
	registry := prometheus.NewRegistry()
	counter := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gantry_things_total", Help: "Things."}, []string{"kind"})
	histogram := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "gantry_seconds", Buckets: []float64{1, 2}})
	registry.MustRegister(counter, histogram)
	counter.WithLabelValues("a").Add(3)
	histogram.Observe(1.5)
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { s.Record(ctx, registry, 20*time.Millisecond) })
	defer done.Wait()
	defer cancel()
	soon(t, s, `gantry_things_total{job="gantry",node="n1",kind="a"}`, 3)
	soon(t, s, `gantry_seconds_bucket{le="2.0"}`, 1)
	soon(t, s, `gantry_seconds_bucket{le="1.0"}`, 0)
	soon(t, s, `gantry_seconds_bucket{le="+Inf"}`, 1)
	soon(t, s, `gantry_seconds_sum`, 1.5)
	counter.WithLabelValues("a").Add(1)
	soon(t, s, `gantry_things_total`, 4)
	if v, _, err := s.In("default").Instant(ctx, "gantry_things_total", time.Now()); err != nil || len(v) != 0 {
		t.Errorf("a namespace sees the server's own: %v, %v", v, err)
	}
}
