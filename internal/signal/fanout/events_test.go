package fanout_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/event"
	"github.com/gantry-platform/gantry/internal/signal/fanout"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cluster is some nodes with rooms of their own, by one clock, as the first sees them.
type cluster struct {
	clock  time.Time
	rooms  []*event.Room
	silent map[string]bool
	events *fanout.Events
}

// silence is a node that does not answer.
type silence struct{}

func (silence) Query(context.Context, event.Query) (event.Result, error) {
	return event.Result{}, errors.New("no answer")
}

func (silence) Topics(context.Context, string) ([]event.Topic, error) {
	return nil, errors.New("no answer")
}

func newCluster(t *testing.T, nodes int) *cluster {
	t.Helper()
	c := &cluster{clock: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), silent: map[string]bool{}}
	for i := range nodes {
		room, err := event.Open(event.Options{Folder: t.TempDir(), Node: fmt.Sprintf("n%d", i+1), Now: func() time.Time { return c.clock }, Rate: 1e6})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { room.Close() })
		c.rooms = append(c.rooms, room)
	}
	c.events = &fanout.Events{Local: c.node(0), Now: func() time.Time { return c.clock }, Others: func() map[string]fanout.EventNode {
		others := map[string]fanout.EventNode{}
		for i := 1; i < nodes; i++ {
			node := c.node(i)
			if c.silent[node.Name] {
				node.Events = silence{}
			}
			others[node.ID] = node
		}
		return others
	}}
	return c
}

func (c *cluster) node(i int) fanout.EventNode {
	return fanout.EventNode{ID: fmt.Sprintf("id%d", i+1), Name: fmt.Sprintf("n%d", i+1), Events: c.rooms[i]}
}

// emit has a node take an event, a second after the last one.
func (c *cluster) emit(t require, node int, e event.Event) {
	t.Helper()
	c.clock = c.clock.Add(time.Second)
	receipt, err := c.rooms[node].Emit(context.Background(), "prod", []event.Event{e})
	if err != nil || receipt.Stored != 1 {
		t.Fatalf("%+v, %v", receipt, err)
	}
}

// require is what helpers need of a test.
type require interface {
	Helper()
	Fatalf(format string, args ...any)
}

func (c *cluster) find(t require, q event.Query, follow *fanout.Cursor) ([]string, fanout.Found) {
	t.Helper()
	q.Namespace = "prod"
	found, err := c.events.Query(context.Background(), q, follow)
	if err != nil {
		t.Fatalf("%v", err)
	}
	ids := []string{}
	for _, e := range found.Events {
		ids = append(ids, e.Node+":"+e.ID)
	}
	return ids, found
}

func TestEventsOfAllNodesComeInOrder(t *testing.T) {
	c := newCluster(t, 3)
	for i, node := range []int{0, 1, 2, 1, 1, 0} {
		c.emit(t, node, event.Event{ID: fmt.Sprint(i), Topic: "loan"})
	}
	c.emit(t, 2, event.Event{ID: "3", Topic: "loan"}) // repeated by a sender that was not sure
	for _, want := range []struct {
		limit int
		ids   []string
	}{{0, []string{"n3:3", "n1:5", "n2:4", "n3:2", "n2:1", "n1:0"}}, {3, []string{"n3:3", "n1:5", "n2:4"}}, {1, []string{"n3:3"}}} {
		ids, found := c.find(t, event.Query{Limit: want.limit}, nil)
		if diff := cmp.Diff(want.ids, ids); diff != "" || len(found.Missing)+len(found.Partial) > 0 || found.Truncated {
			t.Errorf("%+v\n%s", found, diff)
		}
	}
	c.silent["n2"], c.silent["n3"] = true, true
	ids, found := c.find(t, event.Query{}, nil)
	if diff := cmp.Diff([]string{"n1:5", "n1:0"}, ids); diff != "" || !slices.Equal(found.Missing, []string{"n2", "n3"}) {
		t.Errorf("%+v\n%s", found, diff)
	}
	if _, err := c.events.Query(t.Context(), event.Query{Namespace: "prod", Limit: 1001}, nil); !fault.Is(err, fault.Invalid) {
		t.Errorf("%v", err)
	}
}

func TestWhatASilentNodeTookComesWhenItAnswersAgain(t *testing.T) {
	c := newCluster(t, 3)
	c.emit(t, 1, event.Event{ID: "long-ago", Topic: "loan"})
	c.emit(t, 2, event.Event{ID: "long-ago", Topic: "fund"})
	c.clock = c.clock.Add(time.Second)
	c.silent["n3"] = true
	_, found := c.find(t, event.Query{Limit: 1}, nil)
	c.emit(t, 2, event.Event{ID: "unseen", Topic: "loan"})
	c.emit(t, 0, event.Event{ID: "seen", Topic: "loan"})
	ids, found := c.find(t, event.Query{}, again(t, found.Next))
	if diff := cmp.Diff([]string{"n1:seen"}, ids); diff != "" || !slices.Equal(found.Missing, []string{"n3"}) {
		t.Errorf("%+v\n%s", found, diff)
	}
	c.silent["n3"], c.silent["n2"] = false, true
	c.emit(t, 1, event.Event{ID: "late", Topic: "loan"})
	ids, found = c.find(t, event.Query{}, again(t, found.Next))
	if diff := cmp.Diff([]string{"n3:unseen"}, ids); diff != "" {
		t.Error(diff)
	}
	c.silent["n2"] = false
	if ids, found = c.find(t, event.Query{}, again(t, found.Next)); !slices.Equal(ids, []string{"n2:late"}) {
		t.Errorf("%+v", ids)
	}
	if ids, _ = c.find(t, event.Query{}, again(t, found.Next)); len(ids) > 0 {
		t.Errorf("%+v", ids)
	}
	// From the beginning there is everything.
	if ids, _ = c.find(t, event.Query{}, &fanout.Cursor{}); !slices.Equal(ids, []string{"n2:long-ago", "n3:unseen", "n1:seen", "n2:late"}) {
		t.Errorf("%+v", ids)
	}
}

// again is a cursor as it comes back from who follows.
func again(t require, c fanout.Cursor) *fanout.Cursor {
	t.Helper()
	read, err := fanout.ParseCursor(c.String())
	if err != nil {
		t.Fatalf("%v", err)
	}
	return &read
}

// TestFollowersMissNothing: whichever nodes take events and whichever are silent meanwhile, who follows gets each event once, and those of a node in their order.
func TestFollowersMissNothing(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		c := newCluster(t, 3)
		cursor := fanout.Cursor{}
		var emitted, got []string
		ask := func() int {
			ids, found := c.find(r, event.Query{Limit: rapid.IntRange(1, 4).Draw(r, "limit")}, again(r, cursor))
			cursor, got = found.Next, append(got, ids...)
			return len(ids)
		}
		for i := range rapid.IntRange(1, 20).Draw(r, "steps") {
			switch node := rapid.IntRange(0, 2).Draw(r, "node"); rapid.IntRange(0, 2).Draw(r, "act") {
			case 0:
				c.emit(r, node, event.Event{ID: fmt.Sprint(i), Topic: "loan"})
				emitted = append(emitted, fmt.Sprintf("n%d:%d", node+1, i))
			case 1:
				ask()
			case 2:
				name := fmt.Sprintf("n%d", node+1)
				c.silent[name] = !c.silent[name]
			}
		}
		clear(c.silent)
		for ask() > 0 {
		}
		ofNode := func(ids []string, node string) (all []string) {
			for _, id := range ids {
				if id[:2] == node {
					all = append(all, id)
				}
			}
			return all
		}
		for _, node := range []string{"n1", "n2", "n3"} {
			if diff := cmp.Diff(ofNode(emitted, node), ofNode(got, node)); diff != "" {
				r.Fatalf("%s", diff)
			}
		}
	})
}

func TestTopicsOfAllNodesAreAddedUp(t *testing.T) {
	c := newCluster(t, 3)
	took := func(node int, topic string, value signal.Value) {
		t.Helper()
		c.emit(t, node, event.Event{Topic: topic, Fields: []signal.Attribute{{Key: "amount", Value: value}}})
	}
	first := c.clock.Add(time.Second)
	took(1, "loan", event.Int(1))
	took(0, "loan", event.Double(1))
	took(2, "fund", event.Text("much"))
	took(1, "fund", event.Int(1))
	took(2, "fund", event.Text("more"))
	found, err := c.events.Topics(t.Context(), "prod")
	want := fanout.Topics{Topics: []fanout.Topic{{Name: "fund", Fields: map[string]string{"amount": "int|string"}, First: first.Add(2 * time.Second), Last: first.Add(4 * time.Second), Events: 3},
		{Name: "loan", Fields: map[string]string{"amount": "double"}, First: first, Last: first.Add(time.Second), Events: 2}}}
	if diff := cmp.Diff(want, found); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	c.silent["n2"] = true
	if found, err = c.events.Topics(t.Context(), "prod"); err != nil || !slices.Equal(found.Missing, []string{"n2"}) || found.Topics[1].Events != 1 {
		t.Errorf("%+v, %v", found, err)
	}
}

func FuzzCursor(f *testing.F) {
	f.Add("")
	f.Add("17")
	f.Add(fanout.Cursor{Began: time.Now(), Places: map[string]uint64{"a": 1, "b": 1 << 63}}.String())
	f.Add("eyJwIjp7ImEiOi0xfX0")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := fanout.ParseCursor(text)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatal(err)
			}
			return
		}
		read, err := fanout.ParseCursor(c.String())
		if err != nil || read.String() != c.String() {
			t.Fatalf("%q: %+v, %v", text, read, err)
		}
	})
}
