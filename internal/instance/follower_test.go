package instance_test

import (
	"testing"
	"time"

	"github.com/gantry-platform/gantry/internal/instance"
)

// Of a drain it is told who knows of it, on all nodes: those first that do not.
func TestWhoFollowsAService(t *testing.T) {
	a, b, _ := pair(t)
	registered := a.register(loan, "10.0.0.1")
	revision := registered.Revision
	if err := b.store.Await(t.Context(), revision); err != nil {
		t.Fatal(err)
	}
	follow := func(n *node, id string) *instance.Subscriber {
		t.Helper()
		s := n.Subscribe(instance.Follower{Service: instance.Service{Name: "teller"}.Normal(), Instance: id, Address: "10.0.0.2", Protocol: "native"})
		t.Cleanup(s.Close)
		if err := s.Add(loan, 0); err != nil {
			t.Fatal(err)
		}
		return s
	}
	follow(a, "silent")
	knows := follow(b, "knows")
	knows.Acknowledge(loan, revision)

	f := a.AllFollowing(t.Context(), loan, revision, 10)
	if f.Subscribers != 2 || f.Acknowledged != 1 || len(f.Who) != 2 || f.Who[0].Instance != "silent" || f.Who[1].Instance != "knows" {
		t.Fatalf("%+v", f)
	}
	silent, other := f.Who[0], f.Who[1]
	if silent.Revision != 0 || silent.AcknowledgedAt != nil || silent.Service.GetService() != "teller" || silent.Address != "10.0.0.2" || silent.Protocol != "native" || silent.Since == nil || silent.Node != a.store.Self().Name {
		t.Errorf("silent: %v", silent)
	}
	if other.Revision != revision || other.AcknowledgedAt == nil || other.Node != b.store.Self().Name {
		t.Errorf("knows: %v", other)
	}
	if f := a.AllFollowing(t.Context(), loan, revision, 1); f.Subscribers != 2 || len(f.Who) != 1 || f.Who[0].Instance != "silent" {
		t.Errorf("bounded: %+v", f)
	}

	drained, err := a.Drain(t.Context(), instance.DrainOptions{Service: loan, ID: registered.ID, Wait: 50 * time.Millisecond})
	if err != nil || drained.Subscribers != 2 || drained.Acknowledged != 0 || len(drained.Who) != 2 || drained.Who[0].Revision >= drained.Revision {
		t.Fatalf("%+v, %v", drained, err)
	}
	if last := a.LastChange(loan, registered.ID); last != drained.Revision {
		t.Errorf("the drain is revision %d, not %d", last, drained.Revision)
	}
	knows.Acknowledge(loan, drained.Revision)
	if f := a.AllFollowing(t.Context(), loan, drained.Revision, 10); f.Acknowledged != 1 || f.Who[0].Instance != "silent" {
		t.Errorf("after the drain: %+v", f)
	}
	if f := a.AllFollowing(t.Context(), instance.Service{Name: "nobody"}.Normal(), 0, 10); f.Subscribers != 0 || len(f.Who) != 0 {
		t.Errorf("%+v", f)
	}
}
