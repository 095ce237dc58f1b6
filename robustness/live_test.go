//go:build linux

package robustness

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	gantry "github.com/gantry-platform/gantry/sdk"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
	"github.com/gantry-platform/gantry/sdk/api/gantry/v1/gantryv1connect"
)

// looker follows what moves at one node, as a page of the console does.
type looker struct {
	t    *testing.T
	node *node

	mu     sync.Mutex
	heard  chan struct{} // closed at the next event
	hello  *gantryv1.LiveHello
	hint   *gantryv1.LiveHint
	change map[string]time.Time // when it came, by kind and what it is of
	ended  error
}

// look opens a stream at a node and waits for its hello.
func look(t *testing.T, n *node) *looker {
	t.Helper()
	l := &looker{t: t, node: n, heard: make(chan struct{}), change: map[string]time.Time{}}
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := gantryv1connect.NewLiveServiceClient(n.api.http, n.api.base).Watch(ctx, &gantryv1.LiveWatchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		defer stream.Close()
		for stream.Receive() {
			l.take(stream.Msg())
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.ended = stream.Err(); l.ended == nil {
			l.ended = errors.New("the stream ended")
		}
		l.tell()
	}()
	l.until("hello", func() bool { return l.hello != nil })
	if l.hello.Node != n.name {
		t.Errorf("%s says that it is %s", n.name, l.hello.Node)
	}
	return l
}

func (l *looker) take(e *gantryv1.LiveEvent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch of := e.Event.(type) {
	case *gantryv1.LiveEvent_Hello:
		l.hello, l.hint = of.Hello, of.Hello.At
	case *gantryv1.LiveEvent_Hint:
		l.hint = of.Hint
	case *gantryv1.LiveEvent_Change:
		if key := of.Change.Kind + " " + of.Change.Instance + of.Change.Target; l.change[key].IsZero() {
			l.change[key] = time.Now()
		}
	}
	l.tell()
}

func (l *looker) tell() {
	close(l.heard)
	l.heard = make(chan struct{})
}

// until waits until something holds of what was heard.
func (l *looker) until(what string, holds func() bool) {
	l.t.Helper()
	limit := time.After(30 * time.Second)
	for {
		l.mu.Lock()
		held, ended, heard := holds(), l.ended, l.heard
		l.mu.Unlock()
		if held {
			return
		}
		if ended != nil {
			l.t.Fatalf("the stream at %s ended before %s: %v", l.node.name, what, ended)
		}
		select {
		case <-heard:
		case <-limit:
			l.t.Fatalf("%s did not tell of %s within 30 s", l.node.name, what)
		}
	}
}

// numbers are those of the newest hint.
func (l *looker) numbers() *gantryv1.LiveHint {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hint
}

// told waits for a change and answers how long after began it came.
func (l *looker) told(change string, began time.Time) time.Duration {
	l.t.Helper()
	l.until(change, func() bool { return !l.change[change].IsZero() })
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.change[change].Sub(began)
}

func (l *looker) end() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended
}

func (n *node) register(t *testing.T, service, id string) {
	t.Helper()
	if _, err := n.api.instances.Register(t.Context(), &gantryv1.RegisterRequest{Service: &gantryv1.ServiceRef{Service: service},
		Instance: &gantryv1.Instance{Id: id, Address: "10.0.0.9", Port: 80, Persistent: true}}); err != nil {
		t.Fatal(err)
	}
}

func (n *node) release(t *testing.T, ref *gantryv1.DocumentRef, content string) {
	t.Helper()
	if _, err := n.api.releases.Publish(t.Context(), &gantryv1.PublishRequest{Ref: ref, Format: "yaml", Content: []byte(content), Release: true}); err != nil {
		t.Fatal(err)
	}
}

// TestLiveOfACluster has people look at each of three nodes: whatever is done at one is told at all; who looks at a node that stops is told so and goes on at another,
// which knows what was done meanwhile; a node that comes back tells what is done from then on.
func TestLiveOfACluster(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	var all []*looker
	for _, n := range c.nodes {
		all = append(all, look(t, n))
	}
	// A tick comes every five seconds: what comes well before it was told because it moved.
	soon := func(l *looker, change string, began time.Time) {
		t.Helper()
		took := l.told(change, began)
		t.Logf("%s told of %s after %v", l.node.name, change, took.Round(time.Millisecond))
		if took > 5*time.Second {
			t.Errorf("%s told of %s after %v", l.node.name, change, took)
		}
	}
	for round, n := range c.nodes {
		service, config := fmt.Sprint("s", round), fmt.Sprintf("c%d.yaml", round)
		before := make([]*gantryv1.LiveHint, len(all))
		for i, l := range all {
			before[i] = l.numbers()
		}
		began := time.Now()
		n.register(t, service, service+"-1")
		for _, l := range all {
			soon(l, fmt.Sprintf("instance.registered %s-1default/%s/%s-1", service, service, service), began)
		}
		began = time.Now()
		n.release(t, configRef(config), "rate: 1\n")
		for i, l := range all {
			soon(l, "release.released Config/"+config, began)
			l.until("numbers of instances and documents", func() bool {
				return l.hint.Services > before[i].Services && l.hint.Documents > before[i].Documents
			})
		}
	}
	c.watchAnAlert(t, all)

	leaving, other := all[0], all[1]
	leaving.node.terminate()
	leaving.mu.Lock()
	for leaving.ended == nil {
		heard := leaving.heard
		leaving.mu.Unlock()
		<-heard
		leaving.mu.Lock()
	}
	leaving.mu.Unlock()
	if code := connect.CodeOf(leaving.end()); code != connect.CodeUnavailable {
		t.Errorf("a node that stops ends a stream with %v", leaving.end())
	}
	// What happens before the other node is asked is not told by its stream, but by what is asked after its hello.
	other.node.register(t, "late", "late-1")
	again := look(t, c.nodes[2])
	wantChange(t, c.nodes[2], "instance.registered", "late-1")
	c.nodes[2].register(t, "later", "later-1")
	again.told("instance.registered later-1default/later/later-1", time.Now())
	other.told("instance.registered later-1default/later/later-1", time.Now())

	// It comes back.
	leaving.node.start()
	leaving.node.awaitReady()
	c.awaitNodes(c.nodes...)
	returned := look(t, leaving.node)
	other.node.register(t, "last", "last-1")
	returned.told("instance.registered last-1default/last/last-1", time.Now())
	// A node's feed of changes of instances begins anew when it starts: what was done without it stands in the feeds of the others.
	for _, n := range c.nodes[1:] {
		for _, id := range []string{"s0-1", "late-1", "later-1", "last-1"} {
			wantChange(t, n, "instance.registered", id)
		}
	}
	for _, id := range []string{"s0-1", "last-1"} {
		wantChange(t, leaving.node, "instance.registered", id)
	}
}

// watchAnAlert makes an alert that fires, on whichever node it is evaluated, and expects each node to tell that alerts moved.
func (c *cluster) watchAnAlert(t *testing.T, all []*looker) {
	t.Helper()
	before := make([]*gantryv1.LiveHint, len(all))
	for i, l := range all {
		before[i] = l.numbers()
	}
	c.nodes[1].release(t, &gantryv1.DocumentRef{Kind: "Alert", Name: "gone"}, "absent: {selector: 'up{service=\"nobody\"}', over: 10m}\nevery: 5s\n")
	alerts := gantryv1connect.NewAlertServiceClient
	for i, l := range all {
		seen := before[i].Alerts
		for firing := false; !firing; {
			l.until("an alert that moved", func() bool { return l.hint.Alerts > seen })
			seen = l.numbers().Alerts
			answer, err := alerts(l.node.api.http, l.node.api.base).ListAlerts(t.Context(), &gantryv1.ListAlertsRequest{States: []gantryv1.AlertState{gantryv1.AlertState_ALERT_STATE_FIRING}})
			if err != nil {
				t.Fatal(err)
			}
			firing = slices.ContainsFunc(answer.Rules, func(r *gantryv1.AlertRule) bool { return len(r.Alerts) > 0 })
		}
	}
}

// wantChange waits until the feed of a node has a change.
func wantChange(t *testing.T, n *node, kind, instance string) {
	t.Helper()
	eventually(t, 20*time.Second, func(ctx context.Context) error {
		answer, err := n.api.events.Changes(ctx, &gantryv1.ChangesRequest{Kind: kind, Limit: 1000})
		if err != nil {
			return err
		}
		count := 0
		for _, change := range answer.Changes {
			if change.Instance == instance {
				count++
			}
		}
		if count != 1 {
			return fmt.Errorf("%s has %d changes %s of %s among %d", n.name, count, kind, instance, len(answer.Changes))
		}
		return nil
	})
}

// TestAppliedByOfACluster has instances of a service on each of three nodes, one of them on a node that dies: who asks any node is told of all, each once.
func TestAppliedByOfACluster(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	ref := configRef("loan.yaml")
	c.nodes[0].release(t, ref, "rate: 1\n")
	var ids []string
	for i := range c.nodes {
		for j := range 2 {
			id := fmt.Sprintf("loan-%d-%d", i, j)
			ids = append(ids, id)
			follow(t, id, c.nodes[i].grpc)
		}
	}
	expect := func(version int64, nodes ...*node) {
		t.Helper()
		for _, n := range nodes {
			eventually(t, 60*time.Second, func(ctx context.Context) error { return appliedBy(ctx, n, version, ids) })
		}
	}
	expect(1, c.nodes...)
	c.nodes[1].release(t, ref, "rate: 2\n")
	expect(2, c.nodes...)
	c.nodes[2].kill()
	expect(2, c.nodes[:2]...)
	c.nodes[0].release(t, ref, "rate: 3\n")
	expect(3, c.nodes[:2]...)
}

// follow runs an instance that reads the configuration, at a node: it learns of the others there, for when that one goes. Of several addresses it would take any.
func follow(t *testing.T, id, address string) {
	t.Helper()
	client, err := gantry.Connect(t.Context(), gantry.WithAddresses(address), gantry.WithSnapshotFolder(""), gantry.WithPlaintext(),
		gantry.WithIdentity(gantry.Identity{Service: sessionService, InstanceID: id, Address: "10.0.0.1"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	document, err := client.Document(gantry.KindConfig, "loan.yaml")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		document.Watch(t.Context(), func(*gantry.Content) error { return nil })
	}()
	t.Cleanup(func() { document.Close(); <-done })
}

// appliedBy is nil when a node tells of each instance once, and that it runs a version.
func appliedBy(ctx context.Context, n *node, version int64, ids []string) error {
	answer, err := n.api.releases.AppliedBy(ctx, &gantryv1.AppliedByRequest{Service: &gantryv1.ServiceRef{Service: sessionService}})
	if err != nil {
		return err
	}
	var found []string
	nodes := map[string]bool{}
	for _, report := range answer.Reports {
		if report.Version == version && report.WantedVersion == version && report.Error == "" {
			found = append(found, report.Subject.InstanceId)
		}
		nodes[report.Node] = true
	}
	slices.Sort(found)
	if !slices.Equal(found, ids) || len(answer.Reports) != len(ids) || len(nodes) < 2 || len(answer.MissingNodes) > 0 {
		return fmt.Errorf("%s: version %d runs on %v of %d reports, on %d nodes, without %v", n.name, version, found, len(answer.Reports), len(nodes), answer.MissingNodes)
	}
	return nil
}
