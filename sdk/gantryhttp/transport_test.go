package gantryhttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	gantry "github.com/gantry-platform/gantry/sdk"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
	"github.com/gantry-platform/gantry/sdk/gantryhttp"
	"github.com/gantry-platform/gantry/sdk/internal/testserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a cluster, a client and a transport over real sockets.
type world struct {
	testing.TB
	*testserver.Cluster
	client    *gantry.Client
	transport *gantryhttp.Transport
	http      *http.Client
}

func newWorld(t testing.TB, options ...gantryhttp.Option) *world {
	w := &world{TB: t, Cluster: testserver.NewCluster(10 * time.Second)}
	node := w.Start("a:9848")
	t.Cleanup(node.Stop)
	client, err := gantry.Connect(t.Context(), gantry.WithAddresses("a:9848"), gantry.WithPlaintext(), gantry.WithDialer(w.Dial),
		gantry.WithLogger(slog.New(slog.DiscardHandler)), gantry.WithWait())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	w.client = client
	w.transport = gantryhttp.New(client, options...)
	t.Cleanup(w.transport.Close)
	w.http = &http.Client{Transport: w.transport, Timeout: 10 * time.Second}
	return w
}

// serve starts an HTTP server that answers its id, and registers it as an instance of "fund".
func (w *world) serve(id string, handler http.HandlerFunc) *httptest.Server {
	if handler == nil {
		handler = func(rw http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			fmt.Fprintf(rw, "%s %s %s", id, r.Host, body)
		}
	}
	server := httptest.NewServer(handler)
	w.Cleanup(server.Close)
	w.put(id, server.Listener.Addr().String(), 1)
	return server
}

func (w *world) put(id, address string, weight float64) {
	w.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		w.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		w.Fatal(err)
	}
	w.Put(testserver.Ref("fund"), &gantryv1.Instance{Id: id, Address: host, Port: uint32(number), Weight: proto.Float64(weight)})
}

// refused is an address where nobody listens.
func (w *world) refused() string {
	w.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func (w *world) get(url string) (string, error) {
	response, err := w.http.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

func TestFindsInstances(t *testing.T) {
	w := newWorld(t)
	w.serve("one", nil)
	for url, want := range map[string]string{
		"http://fund/balance":        "one fund ",
		"http://fund.gantry/balance": "one fund.gantry ",
	} {
		if got, err := w.get(url); err != nil || got != want {
			t.Errorf("%s gave %q (%v), want %q", url, got, err, want)
		}
	}
	plain := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "plain") }))
	defer plain.Close()
	for _, url := range []string{plain.URL, strings.Replace(plain.URL, "127.0.0.1", "localhost", 1)} {
		if got, err := w.get(url); err != nil || got != "plain" {
			t.Errorf("%s gave %q (%v), want it untouched", url, got, err)
		}
	}
	if _, err := w.get("http://nobody/"); !errors.Is(err, gantry.ErrNoInstance) {
		t.Errorf("a service without instances gave %v", err)
	}
	var invalid *gantry.Error
	if _, err := w.get("http://.gantry/"); !errors.As(err, &invalid) {
		t.Errorf("an empty name gave %v", err)
	}
	w.transport.Close()
	if _, err := w.get("http://fund/"); !errors.Is(err, gantry.ErrClosed) {
		t.Errorf("after Close got %v", err)
	}
}

func TestSpreadsByWeightAndLeavesOutDraining(t *testing.T) {
	w := newWorld(t)
	one, two := w.serve("one", nil), w.serve("two", nil)
	w.put("one", one.Listener.Addr().String(), 3)
	counts := map[string]int{}
	const requests = 400
	for range requests {
		got, err := w.get("http://fund/")
		if err != nil {
			t.Fatal(err)
		}
		id, _, _ := strings.Cut(got, " ")
		counts[id]++
	}
	// Expected 300 with a standard deviation of 9.
	if counts["one"] < 240 || counts["one"] > 360 || counts["two"] == 0 {
		t.Errorf("with weights 3 and 1: %v", counts)
	}
	host, port, _ := net.SplitHostPort(two.Listener.Addr().String())
	number, _ := strconv.Atoi(port)
	w.Put(testserver.Ref("fund"), &gantryv1.Instance{
		Id: "two", Address: host, Port: uint32(number), Status: gantryv1.Status_STATUS_DRAINING,
	})
	err := w.Wait(t.Context(), func() bool {
		least, _ := w.Acknowledged(testserver.Ref("fund"))
		return least == w.Revision(testserver.Ref("fund"))
	})
	if err != nil {
		t.Fatal(err)
	}
	// What is acknowledged is in use.
	for range 50 {
		if got, err := w.get("http://fund/"); err != nil || !strings.HasPrefix(got, "one") {
			t.Fatalf("while two drains: %q (%v)", got, err)
		}
	}
}

func TestRetries(t *testing.T) {
	broken := func(rw http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(rw).Hijack()
		if err == nil {
			conn.Close()
		}
	}
	body := func() io.Reader { return strings.NewReader("text") }
	tests := []struct {
		name   string
		method string
		header string
		body   io.Reader
		dead   bool
		want   bool
	}{
		{"get, refused", "GET", "", nil, true, true},
		{"get, broken", "GET", "", nil, false, true},
		{"put, broken", "PUT", "", body(), false, true},
		{"put without a second body, broken", "PUT", "", io.MultiReader(body()), false, false},
		{"post, refused", "POST", "", body(), true, true},
		{"post, broken", "POST", "", body(), false, false},
		{"post with a key, broken", "POST", "Idempotency-Key", body(), false, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.serve("good", nil)
			// So heavy that it is drawn first.
			if test.dead {
				w.put("bad", w.refused(), 10_000)
			} else {
				bad := w.serve("bad", broken)
				w.put("bad", bad.Listener.Addr().String(), 10_000)
			}
			request, err := http.NewRequestWithContext(t.Context(), test.method, "http://fund/", test.body)
			if err != nil {
				t.Fatal(err)
			}
			if test.header != "" {
				request.Header.Set(test.header, "7")
			}
			response, err := w.http.Do(request)
			if (err == nil) != test.want {
				t.Fatalf("got error %v, want success: %t", err, test.want)
			}
			if err != nil {
				return
			}
			defer response.Body.Close()
			got, err := io.ReadAll(response.Body)
			want := "good fund "
			if test.body != nil {
				want += "text"
			}
			if err != nil || string(got) != want {
				t.Errorf("got %q (%v), want %q", got, err, want)
			}
		})
	}
}

func TestDoesNotRetryForEver(t *testing.T) {
	w := newWorld(t)
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		w.put(id, w.refused(), 1)
	}
	if _, err := w.get("http://fund/"); err == nil {
		t.Error("nobody listens, and yet there is an answer")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	request, err := http.NewRequestWithContext(ctx, "GET", "http://fund/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.http.Do(request); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the cancellation", err)
	}
}

func TestCountsCallsUntilTheBodyIsDone(t *testing.T) {
	w := newWorld(t)
	w.serve("one", nil)
	subscription, err := w.client.Subscribe("fund")
	if err != nil {
		t.Fatal(err)
	}
	if err := subscription.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	instance := subscription.View().Instances[0]
	first, err := w.http.Get("http://fund/")
	if err != nil {
		t.Fatal(err)
	}
	second, err := w.http.Get("http://fund/")
	if err != nil {
		t.Fatal(err)
	}
	if n := instance.InFlight(); n != 2 {
		t.Errorf("%d under way, want 2", n)
	}
	if _, err := io.Copy(io.Discard, first.Body); err != nil {
		t.Fatal(err)
	}
	first.Body.Close()
	second.Body.Close()
	second.Body.Close()
	if n := instance.InFlight(); n != 0 {
		t.Errorf("%d under way, want none", n)
	}
}

func TestDoesNotWaitForEverForTheFirstAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := testserver.NewCluster(10 * time.Second)
		client, err := gantry.Connect(t.Context(), gantry.WithAddresses("a:9848"), gantry.WithPlaintext(), gantry.WithDialer(cluster.Dial),
			gantry.WithLogger(slog.New(slog.DiscardHandler)))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		transport := gantryhttp.New(client)
		defer transport.Close()
		start := time.Now()
		_, err = (&http.Client{Transport: transport}).Get("http://fund/")
		if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took != 5*time.Second {
			t.Errorf("without a server: %v after %s", err, took)
		}
		node := cluster.Start("a:9848")
		defer node.Stop()
		if err := client.WaitConnected(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err = (&http.Client{Transport: transport}).Get("http://fund/"); !errors.Is(err, gantry.ErrNoInstance) {
			t.Errorf("with a server: %v", err)
		}
	})
}

// fixed answers at once, to measure what is above it.
type fixed struct{ response http.Response }

func (f *fixed) RoundTrip(*http.Request) (*http.Response, error) {
	response := f.response
	return &response, nil
}

// BenchmarkRoundTrip measures what finding an instance adds to a request: everything but the base transport.
func BenchmarkRoundTrip(b *testing.B) {
	w := newWorld(b, gantryhttp.WithBase(&fixed{http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(""))}}))
	for _, id := range []string{"1", "2", "3"} {
		w.put(id, "127.0.0.1:80", 1)
	}
	request, err := http.NewRequestWithContext(b.Context(), "GET", "http://fund/", nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		response, err := w.transport.RoundTrip(request)
		if err != nil {
			b.Fatal(err)
		}
		response.Body.Close()
	}
}
