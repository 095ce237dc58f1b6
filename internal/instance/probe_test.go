package instance_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gantry-platform/gantry/internal/instance"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// checked registers a persistent instance on loopback.
func (n *node) checked(port int, check *gantryv1.Check) string {
	n.t.Helper()
	check.Interval = durationpb.New(time.Second)
	return n.register(loan, "127.0.0.1", func(m *gantryv1.Instance) {
		m.Port, m.Persistent, m.Checks = uint32(port), true, []*gantryv1.Check{check}
	}).ID
}

// probeUntil lets intervals go by until the instance looks as wanted.
func (n *node) probeUntil(id, want, reason string) {
	n.t.Helper()
	deadline := time.Now().Add(patience)
	for n.health(loan, id) != want || !strings.Contains(n.get(loan, id).HealthReason, reason) {
		if time.Now().After(deadline) {
			n.t.Fatalf("never %s because of %q: %+v", want, reason, n.get(loan, id))
		}
		n.advance(instance.Tick)
	}
}

func portOf(t testing.TB, address string) int {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return number
}

func TestHTTPCheck(t *testing.T) {
	n := single(t, nil)
	var status, elsewhere atomic.Int32
	status.Store(http.StatusOK)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/live" || r.Header.Get("X-Probe") != "yes" || r.Host != "loan.example" {
			elsewhere.Add(1)
		}
		if status.Load() == http.StatusFound {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
			return
		}
		w.WriteHeader(int(status.Load()))
	}))
	defer server.Close()
	id := n.checked(portOf(t, server.Listener.Addr().String()), &gantryv1.Check{Failures: 2, Successes: 2, Probe: &gantryv1.Check_Http{
		Http: &gantryv1.HTTPProbe{Path: "/live?full=1", Headers: map[string]string{"X-Probe": "yes", "Host": "loan.example"}}}})
	n.wantHealth(loan, id, "unhealthy")
	if reason := n.get(loan, id).HealthReason; reason != "not checked yet" {
		t.Fatalf("reason %q", reason)
	}
	n.probeUntil(id, "healthy", "")
	status.Store(http.StatusServiceUnavailable)
	n.probeUntil(id, "unhealthy", "status 503")
	status.Store(http.StatusFound) // not followed, and it counts as life
	n.probeUntil(id, "healthy", "")
	if elsewhere.Load() != 0 {
		t.Fatalf("%d probes went elsewhere", elsewhere.Load())
	}
}

func TestHTTPSCheckOfAnUnknownCertificate(t *testing.T) {
	n := single(t, nil)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
	defer server.Close()
	id := n.checked(portOf(t, server.Listener.Addr().String()), &gantryv1.Check{Probe: &gantryv1.Check_Http{Http: &gantryv1.HTTPProbe{Tls: true}}})
	n.probeUntil(id, "healthy", "")
}

func TestTCPCheckCountsBeforeItDecides(t *testing.T) {
	n := single(t, nil)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	id := n.checked(portOf(t, listener.Addr().String()), &gantryv1.Check{Failures: 3, Probe: &gantryv1.Check_Tcp{Tcp: &gantryv1.TCPProbe{}}})
	n.probeUntil(id, "healthy", "")
	written := n.get(loan, id).Modified
	n.advance(5 * time.Second)
	if n.get(loan, id).Modified != written {
		t.Fatal("a check that passes again was written")
	}
	listener.Close()
	n.probeUntil(id, "unhealthy", "connection refused")
	if _, err := n.Deregister(t.Context(), loan, id); err != nil {
		t.Fatal(err)
	}
	n.advance(3 * time.Second)
	n.wantHealth(loan, id, "gone")
}

func TestGRPCCheck(t *testing.T) {
	n := single(t, nil)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	states := health.NewServer()
	states.SetServingStatus("loan", healthv1.HealthCheckResponse_NOT_SERVING)
	healthv1.RegisterHealthServer(server, states)
	go server.Serve(listener)
	defer server.Stop()
	id := n.checked(portOf(t, listener.Addr().String()), &gantryv1.Check{Probe: &gantryv1.Check_Grpc{Grpc: &gantryv1.GRPCProbe{Service: "loan"}}})
	n.probeUntil(id, "unhealthy", "NOT_SERVING")
	states.SetServingStatus("loan", healthv1.HealthCheckResponse_SERVING)
	n.probeUntil(id, "healthy", "")
}

func TestAllChecksMustPass(t *testing.T) {
	n := single(t, nil)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	tcp := func(l net.Listener) *gantryv1.Check {
		return &gantryv1.Check{Interval: durationpb.New(time.Second), Probe: &gantryv1.Check_Tcp{
			Tcp: &gantryv1.TCPProbe{Port: uint32(portOf(t, l.Addr().String()))}}}
	}
	id := n.register(loan, "127.0.0.1", func(m *gantryv1.Instance) {
		m.Persistent, m.Checks = true, []*gantryv1.Check{tcp(listener), tcp(closed)}
	}).ID
	n.probeUntil(id, "unhealthy", "refused")
	n.register(loan, "127.0.0.1", func(m *gantryv1.Instance) {
		m.Persistent, m.Checks = true, []*gantryv1.Check{tcp(listener)}
	})
	n.probeUntil(id, "healthy", "")
}
