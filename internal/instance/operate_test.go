package instance_test

import (
	"context"
	"math"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
	"github.com/gantry-platform/gantry/internal/state"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

func TestOverrideOutlivesTheRegistration(t *testing.T) {
	n := single(t, nil)
	id := n.register(loan, "10.0.0.1").ID
	ctx := access.NewContext(t.Context(), access.System("test"))
	i, err := n.SetOverride(ctx, instance.OverrideChange{Service: loan, ID: id, Weight: proto.Float64(7), Status: gantryv1.Status_STATUS_DOWN, Message: "look"})
	if err != nil || i.EffectiveWeight() != 7 || i.Available() || i.Override.Author != access.System("test").Actor {
		t.Fatalf("%+v, %v", i, err)
	}
	if i.Weight != 1 || i.Status != gantryv1.Status_STATUS_UP || i.Proto().GetOverride().GetWeight() != 7 {
		t.Fatalf("%+v", i)
	}
	if _, err := n.Deregister(t.Context(), loan, id); err != nil {
		t.Fatal(err)
	}
	n.register(loan, "10.0.0.1")
	if n.get(loan, id).EffectiveWeight() != 7 {
		t.Fatal("the override is gone")
	}
	i, err = n.SetOverride(ctx, instance.OverrideChange{Service: loan, ID: id})
	if err != nil || i.Override != nil || !i.Available() {
		t.Fatalf("%+v, %v", i, err)
	}
	audit, err := n.store.List(t.Context(), state.Prefix("audit"), state.ListOptions{})
	if err != nil || len(audit) != 2 {
		t.Fatalf("%d audit records, %v", len(audit), err)
	}
}

func TestInvalidOperations(t *testing.T) {
	n := single(t, nil)
	id := n.register(loan, "10.0.0.1").ID
	set := func(change instance.OverrideChange) error {
		_, err := n.SetOverride(t.Context(), change)
		return err
	}
	wantFault(t, set(instance.OverrideChange{Service: loan, ID: "nobody", Weight: proto.Float64(1)}), fault.NotFound, "instance.unknown")
	wantFault(t, set(instance.OverrideChange{Service: loan, ID: id, Weight: proto.Float64(math.Inf(1))}), fault.Invalid, "")
	wantFault(t, set(instance.OverrideChange{Service: loan, ID: id, Status: gantryv1.Status_STATUS_STARTING}), fault.Invalid, "")
	wantFault(t, set(instance.OverrideChange{Service: loan, ID: ""}), fault.Invalid, "")
	_, err := n.Drain(t.Context(), instance.DrainOptions{Service: loan, ID: "nobody"})
	wantFault(t, err, fault.NotFound, "instance.unknown")
	_, err = n.Drain(t.Context(), instance.DrainOptions{Service: loan, ID: id, Wait: time.Hour})
	wantFault(t, err, fault.Invalid, "")
	wantFault(t, n.ConfigureService(t.Context(), loan, &gantryv1.ServiceSettings{ProtectThreshold: proto.Float64(1.5)}), fault.Invalid, "")
	wantFault(t, n.ConfigureService(t.Context(), instance.Service{Namespace: "nowhere", Name: "x"},
		&gantryv1.ServiceSettings{ProtectThreshold: proto.Float64(0.5)}), fault.NotFound, "namespace.unknown")
}

func TestServiceSettingsMakeAServiceKnown(t *testing.T) {
	n := single(t, nil)
	if err := n.ConfigureService(t.Context(), loan, &gantryv1.ServiceSettings{Metadata: map[string]string{"team": "credit"}}); err != nil {
		t.Fatal(err)
	}
	if s := n.Lookup(loan); s == nil || s.Settings.GetMetadata()["team"] != "credit" {
		t.Fatalf("%+v", s)
	}
	if err := n.ConfigureService(t.Context(), loan, nil); err != nil {
		t.Fatal(err)
	}
	if n.Lookup(loan) != nil {
		t.Fatal("the service is still known")
	}
}

func TestDrainWaitsForSubscribers(t *testing.T) {
	n := single(t, nil)
	id := n.register(loan, "10.0.0.1").ID
	quick, slow := n.Subscribe(instance.Follower{}), n.Subscribe(instance.Follower{})
	defer quick.Close()
	defer slow.Close()
	for _, s := range []*instance.Subscriber{quick, slow} {
		if err := s.Add(loan, 0); err != nil {
			t.Fatal(err)
		}
	}
	type outcome struct {
		result instance.DrainResult
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		result, err := n.Drain(context.Background(), instance.DrainOptions{Service: loan, ID: id, Wait: instance.MaxDrainWait, Deregister: true})
		done <- outcome{result, err}
	}()
	drains := func(f *instance.Frame) bool {
		for _, i := range f.Event().Instances {
			if i.GetOverride().GetStatus() == gantryv1.Status_STATUS_DRAINING {
				return true
			}
		}
		return false
	}
	quick.Acknowledge(loan, next(t, quick, drains).Revision)
	f := next(t, slow, drains)
	select {
	case o := <-done:
		t.Fatalf("it did not wait for everybody: %+v", o)
	default:
	}
	n.wantHealth(loan, id, "healthy")
	slow.Acknowledge(loan, f.Revision)
	o := <-done
	if o.err != nil || o.result.Subscribers != 2 || o.result.Acknowledged != 2 || o.result.Revision <= f.Revision {
		t.Fatalf("%+v", o)
	}
	n.wantHealth(loan, id, "gone")
	n.register(loan, "10.0.0.1")
	if !n.get(loan, id).Available() {
		t.Fatal("what registers under the id of a drained instance drains too")
	}
}

func TestDrainIsBounded(t *testing.T) {
	n := single(t, nil)
	id := n.register(loan, "10.0.0.1").ID
	s := n.Subscribe(instance.Follower{})
	if err := s.Add(loan, 0); err != nil {
		t.Fatal(err)
	}
	result, err := n.Drain(t.Context(), instance.DrainOptions{Service: loan, ID: id, Wait: time.Millisecond})
	if err != nil || result.Subscribers != 1 || result.Acknowledged != 0 {
		t.Fatalf("%+v, %v", result, err)
	}
	if i := n.get(loan, id); i.Available() || i.EffectiveStatus() != gantryv1.Status_STATUS_DRAINING {
		t.Fatalf("%+v", i)
	}
	// A drain undoes nothing that an operator set before, and who leaves is not waited for.
	if _, err := n.SetOverride(t.Context(), instance.OverrideChange{Service: loan, ID: id, Weight: proto.Float64(2)}); err != nil {
		t.Fatal(err)
	}
	done := make(chan instance.DrainResult, 1)
	go func() {
		result, _ := n.Drain(context.Background(), instance.DrainOptions{Service: loan, ID: id, Wait: instance.MaxDrainWait, Deregister: true})
		done <- result
	}()
	n.await(loan, "the drain", func(s *instance.Snapshot) bool { return s == nil || !s.Instances[0].Available() })
	s.Close()
	if result := <-done; result.Subscribers != 0 {
		t.Fatalf("%+v", result)
	}
	n.register(loan, "10.0.0.1")
	if i := n.get(loan, id); !i.Available() || i.EffectiveWeight() != 2 {
		t.Fatalf("%+v", i)
	}
}
