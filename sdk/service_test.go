package gantry_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	gantry "github.com/gantry-platform/gantry/sdk"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
	"github.com/gantry-platform/gantry/sdk/internal/testserver"
)

// fund is an instance of the service that tests look for.
func fund(id string) *gantryv1.Instance {
	return &gantryv1.Instance{Id: id, Address: "10.0.1." + id, Port: 9000, Ports: map[string]uint32{"grpc": 9001}}
}

func TestDiscover(t *testing.T) {
	inBubble(t, oneNode, func(w *world, _ []*testserver.Node) {
		client := w.connect()
		none, err := client.Discover(w.Context(), "fund")
		w.must(err)
		if len(none) != 0 {
			w.Errorf("an unknown service has %s", ids(none))
		}
		w.Put(testserver.Ref("fund"), fund("1"))
		down := fund("2")
		down.Status = gantryv1.Status_STATUS_DOWN
		w.Put(testserver.Ref("fund"), down)
		sick := fund("3")
		sick.Health = gantryv1.Health_HEALTH_UNHEALTHY
		w.Put(testserver.Ref("fund"), sick)
		held := fund("4")
		held.Override = &gantryv1.Override{Status: gantryv1.Status_STATUS_DRAINING}
		w.Put(testserver.Ref("fund"), held)
		idle := fund("5")
		idle.Override = &gantryv1.Override{Weight: proto.Float64(0)}
		w.Put(testserver.Ref("fund"), idle)
		synctest.Wait()
		found, err := client.Discover(w.Context(), "fund")
		w.must(err)
		if ids(found) != "1" {
			w.Errorf("found %q, want the one that is up, healthy, not held back by an operator and has a weight", ids(found))
		}
		if at, named := found[0].Endpoint(""), found[0].Endpoint("grpc"); at != "10.0.1.1:9000" || named != "10.0.1.1:9001" {
			w.Errorf("endpoints %s and %s", at, named)
		}
	})
}

func TestDiscoverErrors(t *testing.T) {
	inBubble(t, oneNode, func(w *world, nodes []*testserver.Node) {
		client := w.connect()
		for _, name := range []string{"", "a b", "group/", "/name", "a/b/c"} {
			var invalid *gantry.Error
			if _, err := client.Discover(w.Context(), name); !errors.As(err, &invalid) || invalid.Code != codes.InvalidArgument || invalid.Hint == "" {
				w.Errorf("%q gave %v, want an invalid name with a hint", name, err)
			}
		}
		var refused *gantry.Error
		if _, err := client.Discover(w.Context(), "forbidden"); !errors.As(err, &refused) || refused.Code != codes.PermissionDenied {
			w.Errorf("got %v, want the refusal", err)
		}
		// One that is refused does not take others with it, in the same batch or later.
		nodes[0].Stop()
		synctest.Wait()
		other, err := client.Subscribe("fund")
		w.must(err)
		nodes[0].Start()
		w.must(other.Ready(w.Context()))
		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		nodes[0].Stop()
		if _, err := client.Discover(ctx, "late"); !errors.Is(err, context.DeadlineExceeded) {
			w.Errorf("got %v, want the deadline", err)
		}
	})
}

func TestProtectedInstancesAreUsedWhenNothingElseIs(t *testing.T) {
	inBubble(t, oneNode, func(w *world, _ []*testserver.Node) {
		lost := fund("1")
		lost.Health, lost.Protected = gantryv1.Health_HEALTH_UNHEALTHY, true
		w.Put(testserver.Ref("fund"), lost)
		w.Put(testserver.Ref("fund"), fund("2"))
		client := w.connect()
		found, err := client.Discover(w.Context(), "fund")
		w.must(err)
		if ids(found) != "2" {
			w.Errorf("found %q, want the healthy one only", ids(found))
		}
		w.Remove(testserver.Ref("fund"), "2")
		synctest.Wait()
		if found, err = client.Discover(w.Context(), "fund"); err != nil || ids(found) != "1" {
			w.Errorf("found %q (%v), want the protected one", ids(found), err)
		}
	})
}

func TestViewStaysWhenConnectionIsLost(t *testing.T) {
	inBubble(t, oneNode, func(w *world, nodes []*testserver.Node) {
		w.Put(testserver.Ref("fund"), fund("1"))
		client := w.connect()
		sub, err := client.Subscribe("fund")
		w.must(err)
		w.must(sub.Ready(w.Context()))
		nodes[0].Stop()
		time.Sleep(time.Hour)
		if view := sub.View(); !view.Stale || ids(view.Available()) != "1" {
			w.Errorf("without a server: stale %t, %q; want the last known, marked", view.Stale, ids(view.Available()))
		}
		nodes[0].Start()
		w.must(client.WaitConnected(w.Context()))
		synctest.Wait()
		if view := sub.View(); view.Stale || ids(view.Available()) != "1" {
			w.Errorf("after reconnecting: stale %t, %q; want it confirmed", view.Stale, ids(view.Available()))
		}
	})
}

func TestFollowsWithoutQuorum(t *testing.T) {
	inBubble(t, oneNode, func(w *world, nodes []*testserver.Node) {
		ref := testserver.Ref("fund")
		w.Put(ref, fund("1"))
		client := w.connect()
		sub, err := client.Subscribe("fund")
		w.must(err)
		w.must(sub.Ready(w.Context()))
		w.SetQuorum(false)
		for _, id := range []string{"2", "3"} {
			w.Put(ref, fund(id))
			synctest.Wait()
		}
		if view := sub.View(); !view.Stale || ids(view.Available()) != "1 2 3" {
			w.Errorf("without quorum: stale %t, %q", view.Stale, ids(view.Available()))
		}
		nodes[0].Stop()
		w.Remove(ref, "1")
		nodes[0].Start()
		w.eventually("reconnected", func() bool { return w.Opened() == 2 })
		synctest.Wait()
		if view := sub.View(); !view.Stale || ids(view.Available()) != "2 3" {
			w.Errorf("after reconnecting without quorum: stale %t, %q", view.Stale, ids(view.Available()))
		}
		w.SetQuorum(true)
		synctest.Wait()
		if view := sub.View(); view.Stale || view.Revision != w.Revision(ref) {
			w.Errorf("with quorum again: stale %t, revision %d", view.Stale, view.Revision)
		}
		if doubts := w.journal.count("does not fit"); doubts != 0 {
			w.Errorf("%d changes were not understood", doubts)
		}
	})
}

func TestSubscriptionAcknowledgesWhatIsInUse(t *testing.T) {
	inBubble(t, oneNode, func(w *world, _ []*testserver.Node) {
		ref := testserver.Ref("fund")
		w.Put(ref, fund("1"))
		client := w.connect()
		sub, err := client.Subscribe("fund")
		w.must(err)
		first, err := sub.Next(w.Context())
		w.must(err)
		w.Put(ref, fund("2"))
		synctest.Wait()
		if least, _ := w.Acknowledged(ref); least >= w.Revision(ref) {
			w.Errorf("revision %d is acknowledged before the reader has taken it", least)
		}
		second, err := sub.Next(w.Context())
		w.must(err)
		synctest.Wait()
		if least, _ := w.Acknowledged(ref); least != first.Revision {
			w.Errorf("acknowledged %d, want %d, which the reader has finished with", least, first.Revision)
		}
		go sub.Next(w.Context())
		synctest.Wait()
		if least, _ := w.Acknowledged(ref); least != second.Revision {
			w.Errorf("acknowledged %d, want %d", least, second.Revision)
		}
		sub.Close()
		synctest.Wait()
		if _, subscribers := w.Acknowledged(ref); subscribers != 0 {
			w.Error("still subscribed after Close")
		}
	})
}

func TestDrainWaitsForSubscribers(t *testing.T) {
	inBubble(t, oneNode, func(w *world, _ []*testserver.Node) {
		server := w.connect()
		registration, err := server.Register(w.Context(), gantry.Instance{Port: 8080})
		w.must(err)
		caller := w.connect(gantry.WithIdentity(gantry.Identity{Service: "portal", InstanceID: "portal-1"}))
		sub, err := caller.Subscribe("loan")
		w.must(err)
		view, err := sub.Next(w.Context())
		w.must(err)
		if len(view.Available()) != 1 {
			w.Fatalf("the caller sees %d instances", len(view.Available()))
		}
		drained := make(chan error, 1)
		go func() { drained <- registration.Drain(w.Context()) }()
		view, err = sub.Next(w.Context())
		w.must(err)
		if len(view.Available()) != 0 || view.Instances[0].Status != gantry.StatusDraining {
			w.Errorf("the caller sees %v", view.Instances[0])
		}
		synctest.Wait()
		select {
		case err := <-drained:
			w.Errorf("drained (%v) before the caller had taken it up", err)
		default:
		}
		start := time.Now()
		view, err = sub.Next(w.Context())
		w.must(err)
		w.must(<-drained)
		if len(view.Instances) != 0 || time.Since(start) != 0 {
			w.Errorf("after %s the caller sees %d instances, want none at once", time.Since(start), len(view.Instances))
		}
		if err := registration.Drain(w.Context()); !errors.Is(err, gantry.ErrClosed) {
			w.Errorf("draining twice gave %v", err)
		}
	})
}

func TestDrainIsBounded(t *testing.T) {
	inBubble(t, oneNode, func(w *world, _ []*testserver.Node) {
		server := w.connect()
		registration, err := server.Register(w.Context(), gantry.Instance{Port: 8080})
		w.must(err)
		// A reader that never asks for the next view.
		caller := w.connect(gantry.WithIdentity(gantry.Identity{Service: "portal", InstanceID: "portal-1"}))
		sub, err := caller.Subscribe("loan")
		w.must(err)
		_, err = sub.Next(w.Context())
		w.must(err)
		start := time.Now()
		w.must(registration.Drain(w.Context()))
		if took := time.Since(start); took != gantry.DefaultDrainWait {
			w.Errorf("draining took %s, want the bound of %s", took, gantry.DefaultDrainWait)
		}
		if left := w.Instances(testserver.Ref("loan")); len(left) != 0 {
			w.Errorf("left behind: %v", left)
		}
	})
}

func TestDrainWithoutServer(t *testing.T) {
	inBubble(t, oneNode, func(w *world, nodes []*testserver.Node) {
		server := w.connect()
		registration, err := server.Register(w.Context(), gantry.Instance{Port: 8080})
		w.must(err)
		nodes[0].Stop()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(w.Context(), 5*time.Second)
		defer cancel()
		if err := registration.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
			w.Errorf("draining gave %v, want the deadline", err)
		}
		nodes[0].Start()
		w.must(server.WaitConnected(w.Context()))
		synctest.Wait()
		if w.Owned(testserver.Ref("loan")) != 0 {
			w.Error("registered again after draining")
		}
	})
}

func TestRegister(t *testing.T) {
	inBubble(t, oneNode, func(w *world, nodes []*testserver.Node) {
		client := w.connect()
		var refused *gantry.Error
		_, err := client.Register(w.Context(), gantry.Instance{Service: "forbidden", Port: 8080})
		if !errors.As(err, &refused) || refused.Code != codes.PermissionDenied || refused.Hint == "" {
			w.Errorf("got %v, want the server's refusal with its hint", err)
		}
		for field, instance := range map[string]gantry.Instance{
			"port":       {Port: 0},
			"ports.grpc": {Port: 80, Ports: map[string]int{"grpc": 70000}},
			"weight":     {Port: 80, Weight: math.NaN()},
			"ttl":        {Port: 80, TTL: time.Millisecond},
			"service":    {Port: 80, Service: "a/b"},
			"group":      {Port: 80, Service: "a", Group: "b c"},
			"instance":   {Port: 80, Labels: map[string]string{"zone": "\xff"}},
		} {
			var invalid *gantry.Error
			if _, err := client.Register(w.Context(), instance); !errors.As(err, &invalid) || invalid.Field != field || invalid.Hint == "" {
				w.Errorf("got %v, want field %s and a hint", err, field)
			}
		}
		registration, err := client.Register(w.Context(), gantry.Instance{Port: 8080})
		w.must(err)
		if state := registration.State(); !state.Registered || state.ID != "loan-1" || state.Revision == 0 {
			w.Errorf("state %+v", state)
		}
		if _, err := client.Register(w.Context(), gantry.Instance{ID: "loan-1", Port: 8081}); err == nil {
			w.Error("the same id twice was accepted")
		}
		w.must(registration.Update(w.Context(), func(i *gantry.Instance) { i.Weight = 0; i.Labels["lane"] = "green" }))
		now := w.Instances(testserver.Ref("loan"))["loan-1"]
		if now.GetWeight() != 0 || now.GetLabels()["lane"] != "green" || now.GetLabels()["zone"] != "z1" {
			w.Errorf("after the update: %v", now)
		}
		w.must(registration.Deregister(w.Context()))
		if left := w.Instances(testserver.Ref("loan")); len(left) != 0 {
			w.Errorf("left behind: %v", left)
		}
		if err := registration.Update(w.Context(), func(*gantry.Instance) {}); !errors.Is(err, gantry.ErrClosed) {
			w.Errorf("updating gave %v, want ErrClosed", err)
		}
	})
}

func TestRegisterWithoutServer(t *testing.T) {
	inBubble(t, oneNode, func(w *world, nodes []*testserver.Node) {
		nodes[0].Stop()
		client := w.connect()
		start := time.Now()
		registration, err := client.Register(w.Context(), gantry.Instance{Port: 8080})
		w.must(err)
		if took := time.Since(start); took != 3*time.Second || registration.State().Registered {
			w.Errorf("took %s, state %+v; want a pending one after 3s", took, registration.State())
		}
		start = time.Now()
		if _, err = client.Register(w.Context(), gantry.Instance{Service: "audit", Port: 8081}, gantry.WithoutWaiting()); err != nil || time.Since(start) != 0 {
			w.Errorf("without waiting: %v after %s", err, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
		defer cancel()
		_, err = client.Register(ctx, gantry.Instance{Service: "strict", Port: 8082}, gantry.Required())
		if !errors.Is(err, context.DeadlineExceeded) {
			w.Errorf("required: got %v, want the deadline", err)
		}
		// Withdrawn while nobody knows it.
		gone, err := client.Register(w.Context(), gantry.Instance{Service: "gone", Port: 8083}, gantry.WithoutWaiting())
		w.must(err)
		w.must(gone.Drain(w.Context()))
		nodes[0].Start()
		<-registration.Registered()
		w.eventually("audit too", func() bool { return w.Owned(testserver.Ref("audit")) == 1 })
		if w.Owned(testserver.Ref("strict")) != 0 || w.Owned(testserver.Ref("gone")) != 0 {
			w.Error("a registration that was taken back was made")
		}
	})
}

func TestManyLargeRegistrations(t *testing.T) {
	inBubble(t, oneNode, func(w *world, nodes []*testserver.Node) {
		nodes[0].Stop()
		client := w.connect()
		const many = 200
		for n := range many {
			_, err := client.Register(w.Context(), gantry.Instance{
				Service: "bulk", Port: 1 + n, Metadata: map[string]string{"note": strings.Repeat("x", 100<<10)},
			}, gantry.WithoutWaiting())
			w.must(err)
		}
		// Together far over what a message may hold; one that is refused does not take the others with it.
		bad, err := client.Register(w.Context(), gantry.Instance{Service: "forbidden", Port: 1}, gantry.WithoutWaiting())
		w.must(err)
		_, err = client.Register(w.Context(), gantry.Instance{Service: "bulk", Port: 9999, Metadata: map[string]string{"note": strings.Repeat("x", 1<<20)}})
		if err == nil {
			w.Error("an instance of 1 MiB was accepted")
		}
		nodes[0].Start()
		w.eventually("all registered", func() bool { return w.Owned(testserver.Ref("bulk")) == many })
		var refused *gantry.Error
		w.eventually("one refused", func() bool { return errors.As(bad.State().Err, &refused) })
		if w.Opened() != 1 {
			w.Errorf("it took %d sessions", w.Opened())
		}
	})
}

// What a subscriber sees converges to what the cluster has, whatever happens to instances, nodes and sessions between.
func TestViewsConverge(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		steps := rapid.SliceOfN(rapid.IntRange(0, 99), 1, 40).Draw(r, "steps")
		synctest.Test(t, func(t *testing.T) {
			w := &world{T: t, Cluster: testserver.NewCluster(10 * time.Second), journal: &journal{}}
			nodes := []*testserver.Node{w.Start("a:9848"), w.Start("b:9848")}
			client := w.connect(gantry.WithAddresses("a:9848", "b:9848"))
			sub, err := client.Subscribe("fund")
			w.must(err)
			down := -1
			for _, step := range steps {
				switch {
				case step < 40:
					i := fund(fmt.Sprint(step % 10))
					i.Weight = proto.Float64(float64(step))
					w.Put(testserver.Ref("fund"), i)
				case step < 70:
					w.Remove(testserver.Ref("fund"), fmt.Sprint(step%10))
				case step < 80 && down < 0:
					down = step % 2
					nodes[down].Stop()
				case step < 90 && down >= 0:
					nodes[down].Start()
					down = -1
				case step < 95:
					time.Sleep(time.Duration(step%10) * time.Second)
				default:
					synctest.Wait()
				}
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			want, view := w.Instances(testserver.Ref("fund")), sub.View()
			if len(want) != len(view.Instances) || view.Stale {
				t.Errorf("after %v: stale %t, sees %q; the cluster has %d\n%s", steps, view.Stale, ids(view.Instances), len(want), w.journal)
			}
			for _, i := range view.Instances {
				if want[i.ID] == nil || want[i.ID].GetWeight() != i.Weight {
					t.Errorf("sees %s with weight %v; the cluster has %v", i.ID, i.Weight, want[i.ID])
				}
			}
			if least, _ := w.Acknowledged(testserver.Ref("fund")); least != w.Revision(testserver.Ref("fund")) {
				t.Errorf("acknowledged %d of %d", least, w.Revision(testserver.Ref("fund")))
			}
			client.Close()
			for i, node := range nodes {
				if i != down {
					node.Stop()
				}
			}
		})
	})
}

func TestPickFollowsWeights(t *testing.T) {
	inBubble(t, oneNode, func(w *world, _ []*testserver.Node) {
		weights := map[string]float64{"1": 1, "2": 2, "3": 5, "4": 0, "5": 0.5}
		for id, weight := range weights {
			i := fund(id)
			i.Weight = proto.Float64(weight)
			w.Put(testserver.Ref("fund"), i)
		}
		client := w.connect()
		sub, err := client.Subscribe("fund")
		w.must(err)
		w.must(sub.Ready(w.Context()))
		const draws = 50_000
		counts := map[string]int{}
		// Calls that never end pile up, so that load evens out what chance does not.
		for range draws {
			i := sub.View().Pick()
			i.Begin()
			counts[i.ID]++
		}
		for id, weight := range weights {
			if got, want := float64(counts[id])/draws, weight/8.5; math.Abs(got-want) > 0.01 {
				w.Errorf("instance %s of weight %v got a share of %.3f, want %.3f", id, weight, got, want)
			}
		}
		// Load counts live on when an instance changes.
		changed := fund("3")
		changed.Weight, changed.Labels = proto.Float64(5), map[string]string{"lane": "blue"}
		w.Put(testserver.Ref("fund"), changed)
		synctest.Wait()
		for _, i := range sub.View().Instances {
			if i.InFlight() != counts[i.ID] {
				w.Errorf("instance %s has %d calls under way, want %d", i.ID, i.InFlight(), counts[i.ID])
			}
		}
	})
}

func TestPickLeavesOutWhatWasTried(t *testing.T) {
	inBubble(t, oneNode, func(w *world, _ []*testserver.Node) {
		for _, id := range []string{"1", "2", "3"} {
			w.Put(testserver.Ref("fund"), fund(id))
		}
		client := w.connect()
		sub, err := client.Subscribe("fund")
		w.must(err)
		w.must(sub.Ready(w.Context()))
		view := sub.View()
		for range 1000 {
			first := view.Pick()
			second := view.Pick(first)
			third := view.Pick(first, second)
			if first == second || second == third || third == first {
				w.Fatalf("picked %s, %s and %s", first.ID, second.ID, third.ID)
			}
			if view.Pick(first, second, third) == nil {
				w.Fatal("nothing picked although all were tried")
			}
		}
		if allocations := testing.AllocsPerRun(100, func() { view.Pick(view.Instances[0]) }); allocations != 0 {
			w.Errorf("a pick allocates %v times", allocations)
		}
	})
}
