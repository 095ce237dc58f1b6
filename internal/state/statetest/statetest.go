// Package statetest gives tests a real embedded state: one node, another node over the same etcd, or a
// cluster whose members can be stopped.
package statetest

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gantry-platform/gantry/internal/state"
)

// startTimeout bounds a start on a busy machine.
const startTimeout = time.Minute

// New opens a store on an embedded etcd in a folder of its own. Register mirrors, then call [Start]. It is closed with
// the test.
func New(t testing.TB) *state.Store {
	t.Helper()
	// Not t.TempDir: the path of a unix socket must be short.
	dir, err := os.MkdirTemp("", "gantry")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return Open(t, state.Options{Dir: dir, Node: state.Node{Name: "n1"},
		Embedded: &state.Embedded{NoSync: true, Socket: filepath.Join(dir, "etcd.sock")}})
}

// Open opens a store with the test's log and closes it with the test.
func Open(t testing.TB, options state.Options) *state.Store {
	t.Helper()
	if options.Logger == nil {
		options.Logger = Logger(t)
	}
	if options.NodeTTL == 0 {
		options.NodeTTL = 2 * time.Second
	}
	if options.MinimumFree == 0 {
		options.MinimumFree = 1
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	s, err := state.Open(ctx, options)
	if err != nil {
		t.Fatalf("open the state: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// Start starts a store and fails the test when it cannot.
func Start(t testing.TB, s *state.Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := s.Start(ctx); err != nil {
		t.Fatalf("start the state: %v", err)
	}
}

// Reopen closes a store of [New] and opens the same folder again; register the mirrors again, then [Start].
func Reopen(t testing.TB, s *state.Store) *state.Store {
	t.Helper()
	s.Close()
	options := s.Options()
	options.Registerer = nil
	return Open(t, options)
}

// Second opens the store of another node over the etcd of a store of [New], which must have been started.
func Second(t testing.TB, s *state.Store) *state.Store {
	t.Helper()
	return Open(t, state.Options{Dir: t.TempDir(), Node: state.Node{Name: "second"},
		External: &state.External{Endpoints: []string{"unix://" + s.Options().Embedded.Socket}}})
}

// Cluster opens n stores that form one cluster. Register mirrors on each, then call [StartAll].
// Stop a member with its Close; with fewer than a majority left there is no quorum.
func Cluster(t testing.TB, n int) []*state.Store {
	t.Helper()
	members := map[string]string{}
	for i := range n {
		members[fmt.Sprintf("n%d", i+1)] = FreeAddress(t)
	}
	stores := make([]*state.Store, n)
	for i := range n {
		name := fmt.Sprintf("n%d", i+1)
		stores[i] = Open(t, state.Options{Dir: t.TempDir(), Node: state.Node{Name: name}, Embedded: &state.Embedded{
			Name: name, PeerListen: members[name], PeerAdvertise: members[name], Members: members, NoSync: true}})
	}
	return stores
}

// StartAll starts the stores of a cluster side by side, as they need each other.
func StartAll(t testing.TB, stores []*state.Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	errs := make([]error, len(stores))
	var all sync.WaitGroup
	for i, s := range stores {
		all.Go(func() { errs[i] = s.Start(ctx) })
	}
	all.Wait()
	for i, err := range errs {
		if err != nil {
			t.Fatalf("start member %d: %v", i+1, err)
		}
	}
}

// FreeAddress finds a loopback port that was free a moment ago.
func FreeAddress(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// Logger writes to the test's log, at level info, until the test ends.
func Logger(t testing.TB) *slog.Logger {
	w := &testWriter{t: t}
	t.Cleanup(w.end)
	return slog.New(slog.NewTextHandler(w, nil))
}

type testWriter struct {
	mu    sync.Mutex
	t     testing.TB
	ended bool
}

func (w *testWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ended {
		w.t.Log(strings.TrimSuffix(string(line), "\n"))
	}
	return len(line), nil
}

func (w *testWriter) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
}

// LeakOptions are for goleak where a test stops members of a [Cluster]: etcd leaves the idle connections between
// members to time out by themselves. Everything else must still be gone.
func LeakOptions() []goleak.Option {
	return []goleak.Option{
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
		goleak.IgnoreAnyFunction("net/http.(*conn).serve"),
		goleak.IgnoreAnyFunction("net/http.(*connReader).backgroundRead"),
	}
}
