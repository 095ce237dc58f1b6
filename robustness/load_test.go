//go:build linux

package robustness

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

const (
	// documents are few, so that clients meet on them.
	documents = 3
	// clientsPerNode publish and read on one node.
	clientsPerNode = 2
	// clientPace is the time between two operations of one client: enough to meet every fault, few enough to check.
	clientPace = 60 * time.Millisecond
	// requestTimeout is longer than an election, so that most outcomes get known.
	requestTimeout = 5 * time.Second
)

// load is clients that publish and read the same documents on all nodes.
type load struct {
	t       *testing.T
	history *history
	stop    context.CancelFunc
	clients sync.WaitGroup

	mu       sync.Mutex
	complain []string
	// failures are the last of what went wrong, with when it was, for the log of a test that waits for long.
	failures []string
}

func documentName(n int) string { return fmt.Sprintf("load-%d.txt", n) }

// startLoad makes the documents and starts clients on the nodes.
func startLoad(t *testing.T, nodes []*node) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{t: t, history: newHistory(), stop: cancel}
	t.Cleanup(l.end)
	client := l.history.client()
	for n := range documents {
		w := &writer{load: l, api: nodes[0].api, id: client}
		eventually(t, 10*time.Second, func(ctx context.Context) error {
			return w.publish(ctx, documentName(n), 0)
		})
	}
	for _, node := range nodes {
		// A read finds a document when the node has heard of it.
		eventually(t, 10*time.Second, func(ctx context.Context) error {
			for n := range documents {
				if _, err := node.api.releases.Get(ctx, &gantryv1.GetRequest{Ref: configRef(documentName(n))}); err != nil {
					return err
				}
			}
			return nil
		})
		for range clientsPerNode {
			l.run(ctx, node.api)
		}
	}
	return l
}

// run starts a client on a node.
func (l *load) run(ctx context.Context, to *api) {
	w := &writer{load: l, api: to, id: l.history.client()}
	l.clients.Go(func() {
		pace := time.NewTicker(clientPace)
		defer pace.Stop()
		for n := w.id; ; n++ {
			select {
			case <-pace.C:
			case <-ctx.Done():
				return
			}
			w.step(ctx, n)
		}
	})
}

// end stops the clients, each after the operation it is about.
func (l *load) end() {
	l.stop()
	l.clients.Wait()
}

func (l *load) violated(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.complain) < 20 {
		l.complain = append(l.complain, fmt.Sprintf(format, args...))
	}
}

// failed keeps what went wrong lately.
func (l *load) failed(base, what string, began time.Time, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.failures) == 30 {
		l.failures = l.failures[1:]
	}
	l.failures = append(l.failures, fmt.Sprintf("%s %s: %s for %v: %v", time.Now().Format("15:04:05.000"), base, what,
		time.Since(began).Round(time.Millisecond), err))
}

// awaitProgress waits until each of these nodes has acknowledged some more releases.
func (l *load) awaitProgress(within time.Duration, nodes ...*node) {
	l.t.Helper()
	began := time.Now()
	want := map[string]int{}
	for _, n := range nodes {
		want[n.api.base] = l.history.progressOf(n.api.base) + 5
	}
	eventually(l.t, within, func(context.Context) error {
		for base, count := range want {
			if have := l.history.progressOf(base); have < count {
				return fmt.Errorf("%s has acknowledged %d releases, not %d", base, have, count)
			}
		}
		return nil
	})
	if took := time.Since(began); took > 3*time.Second {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.t.Logf("it took %v until all of %v acknowledged releases; before that:\n%s", took.Round(10*time.Millisecond), names(nodes),
			strings.Join(l.failures, "\n"))
	}
}

// check looks at everything that the clients saw, and at what the nodes have of it now.
func (l *load) check(nodes []*node) {
	l.t.Helper()
	l.end()
	for _, complaint := range l.complain {
		l.t.Error(complaint)
	}
	l.history.check(l.t)
	for _, node := range nodes {
		l.checkReleases(node.api)
	}
}

// checkReleases looks for every acknowledged release on a node.
func (l *load) checkReleases(a *api) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), 30*time.Second)
	defer cancel()
	total := 0
	for name, versions := range l.history.released {
		answered, err := a.releases.History(ctx, &gantryv1.HistoryRequest{Ref: configRef(name), Limit: 1000})
		if err != nil {
			l.t.Errorf("history of %s on %s: %v", name, a.base, err)
			continue
		}
		stored := map[int64]string{}
		for _, v := range answered.Versions {
			stored[v.Version] = v.Checksum
		}
		for number, content := range versions {
			total++
			if sum := checksum(content); stored[number] != sum {
				l.t.Errorf("%s: version %d of %s was acknowledged with checksum %.8s, and is there with %.8q", a.base, number, name, sum, stored[number])
			}
		}
		l.checkContents(ctx, a, name, versions)
	}
	if total == 0 {
		l.t.Errorf("no release was acknowledged: nothing was tested")
	}
}

// checkContents reads the content of some of the acknowledged versions: checksums are stored beside it, not made from it.
func (l *load) checkContents(ctx context.Context, a *api, name string, versions map[int64]string) {
	l.t.Helper()
	left := 25
	for number, content := range versions {
		if left--; left < 0 {
			return
		}
		got, err := a.releases.Get(ctx, &gantryv1.GetRequest{Ref: configRef(name), Version: number})
		if err != nil {
			l.t.Errorf("%s: read version %d of %s: %v", a.base, number, name, err)
			return
		}
		if string(got.Version.Content) != content {
			l.t.Errorf("%s: version %d of %s holds %q, not %q", a.base, number, name, got.Version.Content, content)
		}
	}
}

func checksum(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}

// writer is one client. It does one thing after another.
type writer struct {
	load *load
	api  *api
	id   int
	// seen are the latest versions that this node has shown or acknowledged to this client without an error since.
	seen  map[string]int64
	count int
}

// step does the n-th operation.
func (w *writer) step(ctx context.Context, n int) {
	// What was begun is carried to its end when the load stops: an operation that is cut off has an unknown outcome for no reason.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
	defer cancel()
	name := documentName(n % documents)
	began, what := time.Now(), "read"
	latest, err := w.read(ctx, name)
	if err == nil {
		w.look(ctx, name)
		what = "publish"
		err = w.publish(ctx, name, latest)
	}
	if err != nil && reasonOf(err) != "document.version_conflict" {
		clear(w.seen)
		if !notSent(err) {
			w.load.failed(w.api.base, what, began, err)
		}
	}
}

// read asks for the latest version by agreement of the quorum.
func (w *writer) read(ctx context.Context, name string) (int64, error) {
	called := w.load.history.now()
	answered, err := w.api.releases.History(ctx, &gantryv1.HistoryRequest{Ref: configRef(name), Limit: 1})
	if err != nil {
		return 0, err // says nothing of the document
	}
	if len(answered.Versions) != 1 {
		w.load.violated("%s: the history of %s has %d versions", w.api.base, name, len(answered.Versions))
		return 0, fmt.Errorf("no version of %s", name)
	}
	latest := answered.Versions[0]
	w.load.history.add(w.id, called, operation{document: name}, answer{version: latest.Version, checksum: latest.Checksum}, "")
	return latest.Version, nil
}

// look asks for what this node has in memory. It may be behind others, but not behind what the node itself has said.
func (w *writer) look(ctx context.Context, name string) {
	answered, err := w.api.releases.Get(ctx, &gantryv1.GetRequest{Ref: configRef(name)})
	if err != nil {
		return
	}
	if seen := w.seen[name]; answered.Document.LatestVersion < seen {
		w.load.violated("%s: %s went back from version %d to %d", w.api.base, name, seen, answered.Document.LatestVersion)
	}
	w.note(name, answered.Document.LatestVersion)
}

func (w *writer) note(name string, version int64) {
	if w.seen == nil {
		w.seen = map[string]int64{}
	}
	w.seen[name] = version
}

// publish releases a new version on top of the one that it expects, and returns why it did not.
func (w *writer) publish(ctx context.Context, name string, expected int64) error {
	w.count++
	content := fmt.Sprintf("client %d, publish %d\n", w.id, w.count)
	asked := operation{document: name, publish: true, expected: expected, checksum: checksum(content)}
	called := w.load.history.now()
	published, err := w.api.releases.Publish(ctx, &gantryv1.PublishRequest{Ref: configRef(name), Format: "text", Content: []byte(content),
		ExpectedVersion: &expected, Release: true})
	switch reason := reasonOf(err); {
	case err == nil:
		w.load.history.add(w.id, called, asked, answer{version: published.Version}, content)
		w.load.history.progressed(w.api.base)
		w.note(name, published.Version)
	case reason == "document.version_conflict":
		w.load.history.add(w.id, called, asked, answer{outcome: conflict}, "")
	case notSent(err), reason == "state.no_quorum", reason == "state.disk_full":
		// Nothing happened, says the server; if something did, a read finds a version that nobody made.
	default:
		w.load.history.add(w.id, called, asked, answer{outcome: unknown}, "")
		w.load.history.doubt(cmp.Or(reason, "no answer"))
		w.id = w.load.history.client() // the operation may last, and a client does one thing at a time
	}
	return err
}
