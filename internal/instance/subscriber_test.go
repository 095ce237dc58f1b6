package instance_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// client holds a service as frames describe it.
type client struct {
	instances map[string]*gantryv1.Instance
	revision  int64
	full      int
}

func (c *client) take(t testing.TB, f *instance.Frame) {
	t.Helper()
	event := f.Event()
	if event.Full != f.Full || event.Revision != f.Revision || instance.ServiceOf(event.Service) != f.Service {
		t.Fatalf("the frame %+v says otherwise than its event %v", f, event)
	}
	if event.Full {
		c.full++
		c.instances = map[string]*gantryv1.Instance{}
		if len(event.Removed) > 0 {
			t.Fatal("a full event with removals")
		}
	}
	for _, i := range event.Instances {
		c.instances[i.Id] = i
	}
	for _, id := range event.Removed {
		delete(c.instances, id)
	}
	c.revision = f.Revision
}

func (c *client) sees(snapshot *instance.Snapshot) bool {
	want := map[string]*gantryv1.Instance{}
	if snapshot != nil {
		for _, i := range snapshot.Instances {
			want[i.ID] = i.Proto()
		}
	}
	return cmp.Equal(want, c.instances, protocmp.Transform())
}

func TestSubscriberGetsFullThenDeltas(t *testing.T) {
	n := single(t, nil)
	s := n.Subscribe(instance.Follower{})
	defer s.Close()
	if err := s.Add(loan, 0); err != nil {
		t.Fatal(err)
	}
	c := new(client)
	c.take(t, next(t, s, func(f *instance.Frame) bool { return true }))
	if len(c.instances) != 0 || c.full != 1 {
		t.Fatalf("an unknown service: %+v", c)
	}
	var last int64
	for k := range 40 {
		last = n.register(loan, fmt.Sprintf("10.0.0.%d", k+1)).Revision
	}
	next(t, s, func(f *instance.Frame) bool { c.take(t, f); return f.Revision >= last })
	if !c.sees(n.Lookup(loan)) {
		t.Fatal("the client sees something else than a reader")
	}
	full := c.full
	last, err := n.Deregister(t.Context(), loan, "10.0.0.7:8080")
	if err != nil {
		t.Fatal(err)
	}
	f := next(t, s, func(f *instance.Frame) bool { c.take(t, f); return f.Revision >= last })
	if c.full != full || !cmp.Equal(f.Event().Removed, []string{"10.0.0.7:8080"}) || !c.sees(n.Lookup(loan)) {
		t.Fatalf("after a removal: %v", f.Event())
	}
}

func TestResume(t *testing.T) {
	n := single(t, nil)
	for k := range 10 {
		n.register(loan, fmt.Sprintf("10.0.0.%d", k+1))
	}
	have := n.Lookup(loan).Revision
	n.register(loan, "10.0.1.1")
	if _, err := n.Deregister(t.Context(), loan, "10.0.0.3:8080"); err != nil {
		t.Fatal(err)
	}
	s := n.Subscribe(instance.Follower{})
	defer s.Close()
	add := func(have int64) *gantryv1.ServiceEvent {
		if err := s.Add(loan, have); err != nil {
			t.Fatal(err)
		}
		return next(t, s, func(*instance.Frame) bool { return true }).Event()
	}
	event := add(have)
	if event.Full || len(event.Instances) != 1 || event.Instances[0].Id != "10.0.1.1:8080" || !cmp.Equal(event.Removed, []string{"10.0.0.3:8080"}) {
		t.Fatalf("resumed: %v", event)
	}
	if event := add(event.Revision); event.Full || len(event.Instances)+len(event.Removed) != 0 {
		t.Fatalf("nothing changed, yet: %v", event)
	}
	if event := add(1); !event.Full || len(event.Instances) != 10 {
		t.Fatalf("a revision before the history: %v", event)
	}
	for k := range 200 { // more than the history of ten instances holds
		n.register(loan, "10.0.0.1", func(m *gantryv1.Instance) { m.Weight = proto.Float64(float64(k)) })
	}
	if event := add(event.Revision); !event.Full {
		t.Fatalf("the history is too short, yet: %v", event)
	}
}

// TestSubscribersConverge: whatever happens, and wherever a client resumes, it comes to see what a reader sees.
func TestSubscribersConverge(t *testing.T) {
	n := single(t, nil)
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		service := instance.Service{Name: fmt.Sprintf("converge-%d", run)}.Normal()
		c := &client{instances: map[string]*gantryv1.Instance{}}
		s := n.Subscribe(instance.Follower{})
		defer func() { s.Close() }()
		if err := s.Add(service, 0); err != nil {
			rt.Fatal(err)
		}
		id := rapid.IntRange(1, 60)
		written := int64(0)
		rt.Repeat(map[string]func(*rapid.T){
			"register": func(rt *rapid.T) {
				weight := float64(rapid.IntRange(1, 5).Draw(rt, "weight"))
				result := n.register(service, fmt.Sprintf("10.0.0.%d", id.Draw(rt, "id")), func(m *gantryv1.Instance) { m.Weight = &weight })
				written = max(written, result.Revision)
			},
			"many": func(rt *rapid.T) {
				for k := range rapid.IntRange(1, 60).Draw(rt, "count") {
					written = max(written, n.register(service, fmt.Sprintf("10.0.0.%d", k+1)).Revision)
				}
			},
			"deregister": func(rt *rapid.T) {
				revision, err := n.Deregister(t.Context(), service, fmt.Sprintf("10.0.0.%d:8080", id.Draw(rt, "id")))
				if err != nil && !fault.Is(err, fault.NotFound) {
					rt.Fatal(err)
				}
				written = max(written, revision)
			},
			"override": func(rt *rapid.T) {
				_, err := n.SetOverride(t.Context(), instance.OverrideChange{Service: service,
					ID: fmt.Sprintf("10.0.0.%d:8080", id.Draw(rt, "id")), Weight: proto.Float64(float64(rapid.IntRange(1, 9).Draw(rt, "weight")))})
				if err != nil && !fault.Is(err, fault.NotFound) {
					rt.Fatal(err)
				}
			},
			"take": func(rt *rapid.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
				defer cancel()
				frames, err := s.Next(ctx)
				if err != nil && !errors.Is(err, context.DeadlineExceeded) {
					rt.Fatal(err)
				}
				for _, f := range frames {
					c.take(t, f)
				}
			},
			"resume": func(rt *rapid.T) {
				s.Close()
				s = n.Subscribe(instance.Follower{})
				if err := s.Add(service, c.revision); err != nil {
					rt.Fatal(err)
				}
			},
			"startOver": func(rt *rapid.T) {
				if err := s.Add(service, c.revision); err != nil {
					rt.Fatal(err)
				}
			},
			"leave": func(rt *rapid.T) {
				s.Remove(service)
				if err := s.Add(service, c.revision); err != nil {
					rt.Fatal(err)
				}
			},
		})
		n.settle()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		for !c.sees(n.Lookup(service)) {
			frames, err := s.Next(ctx)
			if err != nil {
				rt.Fatalf("the client never sees what a reader sees: %v\n%v\n%v", err, c.instances, n.Lookup(service))
			}
			for _, f := range frames {
				c.take(t, f)
			}
		}
	})
}

func TestSlowSubscriberSkipsWhatIsOutdated(t *testing.T) {
	n := single(t, nil)
	slow, quick := n.Subscribe(instance.Follower{}), n.Subscribe(instance.Follower{})
	defer slow.Close()
	defer quick.Close()
	for _, s := range []*instance.Subscriber{slow, quick} {
		if err := s.Add(loan, 0); err != nil {
			t.Fatal(err)
		}
		next(t, s, func(*instance.Frame) bool { return true })
	}
	var last int64
	for k := range 30 {
		last = n.register(loan, "10.0.0.1", func(m *gantryv1.Instance) { m.Weight = proto.Float64(float64(k)) }).Revision
	}
	next(t, quick, func(f *instance.Frame) bool { return f.Revision >= last })
	frames := 0
	next(t, slow, func(f *instance.Frame) bool { frames++; return f.Revision >= last })
	if frames > 2 {
		t.Fatalf("a slow subscriber got %d frames of one service", frames)
	}
}

func TestFramesAreShared(t *testing.T) {
	n := single(t, nil)
	subscribers := make([]*instance.Subscriber, 3)
	for k := range subscribers {
		subscribers[k] = n.Subscribe(instance.Follower{})
		defer subscribers[k].Close()
		if err := subscribers[k].Add(loan, 0); err != nil {
			t.Fatal(err)
		}
		next(t, subscribers[k], func(*instance.Frame) bool { return true })
	}
	last := n.register(loan, "10.0.0.1").Revision
	var first *instance.Frame
	for _, s := range subscribers {
		f := next(t, s, func(f *instance.Frame) bool { return f.Revision >= last })
		if first == nil {
			first = f
		}
		if &f.Encoded[0] != &first.Encoded[0] {
			t.Fatal("the same change was encoded twice")
		}
	}
}

func TestClosedSubscriber(t *testing.T) {
	n := single(t, nil)
	s := n.Subscribe(instance.Follower{})
	if err := s.Add(loan, 0); err != nil {
		t.Fatal(err)
	}
	got := make(chan error)
	next(t, s, func(*instance.Frame) bool { return true })
	go func() {
		_, err := s.Next(context.Background())
		got <- err
	}()
	s.Close()
	s.Close()
	if err := <-got; !errors.Is(err, instance.ErrClosed) {
		t.Fatal(err)
	}
	if err := s.Add(loan, 0); !errors.Is(err, instance.ErrClosed) {
		t.Fatal(err)
	}
	if f := n.Figures(); f.Subscribers != 0 {
		t.Fatalf("%+v", f)
	}
}
