package gantry_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	gantry "github.com/gantry-platform/gantry/sdk"
	"github.com/gantry-platform/gantry/sdk/internal/testserver"
)

func TestMain(m *testing.M) {
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "GANTRY_") {
			os.Unsetenv(name)
		}
	}
	goleak.VerifyTestMain(m)
}

// journal collects what is logged.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func (j *journal) count(part string) int { return strings.Count(j.String(), part) }

// world is a cluster and what clients of it need, inside one bubble of synthetic time.
type world struct {
	*testing.T
	*testserver.Cluster
	journal *journal
	folder  string
}

// inBubble runs a test in synthetic time with nodes at the given addresses.
func inBubble(t *testing.T, addresses []string, test func(w *world, nodes []*testserver.Node)) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, Cluster: testserver.NewCluster(10 * time.Second), journal: &journal{}, folder: folder}
		var nodes []*testserver.Node
		for _, address := range addresses {
			node := w.Start(address)
			t.Cleanup(node.Stop)
			nodes = append(nodes, node)
		}
		test(w, nodes)
	})
}

var (
	oneNode    = []string{"a:9848"}
	threeNodes = []string{"a:9848", "b:9848", "c:9848"}
)

// options are what every client of the world has.
func (w *world) options(more ...gantry.Option) []gantry.Option {
	return append([]gantry.Option{
		gantry.WithAddresses("a:9848"), gantry.WithPlaintext(), gantry.WithDialer(w.Dial), gantry.WithSnapshotFolder(w.folder),
		gantry.WithLogger(slog.New(slog.NewTextHandler(w.journal, &slog.HandlerOptions{Level: slog.LevelDebug}))),
		gantry.WithIdentity(gantry.Identity{Service: "loan", InstanceID: "loan-1", Address: "10.0.0.1", Version: "1.4.2", Zone: "z1"}),
	}, more...)
}

// connect makes a client that is closed with the world.
func (w *world) connect(more ...gantry.Option) *gantry.Client {
	w.Helper()
	client, err := gantry.Connect(w.Context(), w.options(more...)...)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { client.Close() })
	return client
}

// eventually waits until the cluster's state fulfils a condition.
func (w *world) eventually(what string, condition func() bool) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), 2*time.Minute)
	defer cancel()
	if err := w.Wait(ctx, condition); err != nil {
		w.Fatalf("%s: %v\n%s", what, err, w.journal)
	}
}

// must fails the test on an error.
func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatalf("%v\n%s", err, w.journal)
	}
}

// ids lists instances for comparison.
func ids(instances []*gantry.Instance) string {
	var all []string
	for _, i := range instances {
		all = append(all, i.ID)
	}
	return strings.Join(all, " ")
}
