package gantrygrpc_test

import (
	"context"
	"log/slog"
	"net"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	gantry "github.com/gantry-platform/gantry/sdk"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
	"github.com/gantry-platform/gantry/sdk/gantrygrpc"
	"github.com/gantry-platform/gantry/sdk/internal/testserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a cluster and a client, with gRPC servers on real sockets.
type world struct {
	*testing.T
	*testserver.Cluster
	client *gantry.Client
}

func newWorld(t *testing.T) *world {
	w := &world{T: t, Cluster: testserver.NewCluster(10 * time.Second)}
	node := w.Start("a:9848")
	t.Cleanup(node.Stop)
	client, err := gantry.Connect(t.Context(), gantry.WithAddresses("a:9848"), gantry.WithPlaintext(), gantry.WithDialer(w.Dial),
		gantry.WithLogger(slog.New(slog.DiscardHandler)), gantry.WithWait())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	w.client = client
	return w
}

type health struct {
	grpc_health_v1.UnimplementedHealthServer
}

func (health) Check(context.Context, *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	return &grpc_health_v1.HealthCheckResponse{}, nil
}

// serve starts a gRPC server and returns its address.
func (w *world) serve() string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.Fatal(err)
	}
	server := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(server, health{})
	go server.Serve(listener)
	w.Cleanup(server.Stop)
	return listener.Addr().String()
}

// put registers an address as an instance of "fund": its port is named "grpc", the main port is wrong.
func (w *world) put(id, address string, weight float64, st gantryv1.Status) {
	host, port, _ := net.SplitHostPort(address)
	number, err := strconv.Atoi(port)
	if err != nil {
		w.Fatal(err)
	}
	w.Put(testserver.Ref("fund"), &gantryv1.Instance{
		Id: id, Address: host, Port: 1, Ports: map[string]uint32{"grpc": uint32(number)}, Weight: proto.Float64(weight), Status: st,
	})
}

func (w *world) dial(target string) *grpc.ClientConn {
	conn, err := grpc.NewClient(target, append(gantrygrpc.DialOptions(w.client), grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { conn.Close() })
	return conn
}

// call makes a call and returns who answered.
func (w *world) call(conn *grpc.ClientConn, options ...grpc.CallOption) (string, error) {
	ctx, cancel := context.WithTimeout(w.Context(), 10*time.Second)
	defer cancel()
	var who peer.Peer
	_, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{}, append(options, grpc.Peer(&who))...)
	if err != nil {
		return "", err
	}
	return who.Addr.String(), nil
}

// acknowledged waits until the resolver has taken up the newest revision.
func (w *world) acknowledged() {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), 10*time.Second)
	defer cancel()
	err := w.Wait(ctx, func() bool {
		least, _ := w.Acknowledged(testserver.Ref("fund"))
		return least == w.Revision(testserver.Ref("fund"))
	})
	if err != nil {
		w.Fatal("the resolver has not taken up the newest revision")
	}
}

func TestFollowsInstances(t *testing.T) {
	w := newWorld(t)
	one, two := w.serve(), w.serve()
	w.put("one", one, 1, gantryv1.Status_STATUS_UP)
	w.put("two", two, 1, gantryv1.Status_STATUS_UP)
	conn := w.dial("gantry:///fund")
	seen := map[string]int{}
	for range 10_000 {
		at, err := w.call(conn, grpc.WaitForReady(true))
		if err != nil {
			t.Fatal(err)
		}
		if seen[at]++; seen[one] > 20 && seen[two] > 20 {
			break
		}
	}
	if seen[one] <= 20 || seen[two] <= 20 {
		t.Errorf("calls went to %v, want both", seen)
	}
	w.put("one", one, 1, gantryv1.Status_STATUS_DRAINING)
	w.acknowledged()
	for range 50 {
		if at, err := w.call(conn); err != nil || at != two {
			t.Fatalf("while one drains: %q (%v)", at, err)
		}
	}
	w.Remove(testserver.Ref("fund"), "one")
	w.Remove(testserver.Ref("fund"), "two")
	w.acknowledged()
	if _, err := w.call(conn); status.Code(err) != codes.Unavailable {
		t.Errorf("without instances got %v, want Unavailable", err)
	}
	w.put("one", one, 1, gantryv1.Status_STATUS_UP)
	if at, err := w.call(conn, grpc.WaitForReady(true)); err != nil || at != one {
		t.Errorf("after it came back: %q (%v)", at, err)
	}
}

func TestFollowsWeights(t *testing.T) {
	w := newWorld(t)
	one, two := w.serve(), w.serve()
	w.put("one", one, 1, gantryv1.Status_STATUS_UP)
	w.put("two", two, 1, gantryv1.Status_STATUS_UP)
	conn := w.dial("gantry:///fund")
	// Both are connected once both have answered.
	for seen := map[string]bool{}; len(seen) < 2; {
		at, err := w.call(conn, grpc.WaitForReady(true))
		if err != nil {
			t.Fatal(err)
		}
		seen[at] = true
	}
	w.put("one", one, 99, gantryv1.Status_STATUS_UP)
	w.acknowledged()
	counts := map[string]int{}
	for range 500 {
		at, err := w.call(conn)
		if err != nil {
			t.Fatal(err)
		}
		counts[at]++
	}
	// Expected 5 with a standard deviation of 2.2.
	if counts[two] > 25 {
		t.Errorf("with weights 99 and 1: %v", counts)
	}
}

func TestBadTargets(t *testing.T) {
	w := newWorld(t)
	for _, target := range []string{"gantry://fund", "gantry:///", "gantry:///a/b/c", "gantry:///forbidden"} {
		conn := w.dial(target)
		if _, err := w.call(conn); status.Code(err) != codes.Unavailable {
			t.Errorf("%s gave %v, want Unavailable", target, err)
		}
	}
}
