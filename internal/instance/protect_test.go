package instance_test

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/gantry-platform/gantry/internal/instance"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// tally counts a service's instances by how they are.
func (n *node) tally(service instance.Service) map[string]int {
	counts := map[string]int{}
	if snapshot := n.Lookup(service); snapshot != nil {
		for _, i := range snapshot.Instances {
			counts[n.health(service, i.ID)]++
		}
	}
	return counts
}

func ids(from, to int) []string {
	var list []string
	for k := from; k <= to; k++ {
		list = append(list, fmt.Sprintf("10.0.0.%d:8080", k))
	}
	return list
}

func (n *node) fleet(service instance.Service, size int) {
	n.t.Helper()
	for k := range size {
		n.register(service, fmt.Sprintf("10.0.0.%d", k+1))
	}
}

// live lets time go by while some instances beat.
func (n *node) live(d time.Duration, service instance.Service, beating ...string) {
	n.t.Helper()
	for ; d > 0; d -= 5 * time.Second {
		if len(beating) > 0 {
			n.beat(service, beating...)
		}
		n.advance(min(d, 5*time.Second))
	}
}

func TestSmallLossIsRemoved(t *testing.T) {
	n := single(t, nil)
	n.fleet(loan, 10)
	n.live(35*time.Second, loan, ids(6, 10)...) // half is not more than half
	if got := n.tally(loan); got["healthy"] != 5 || len(got) != 1 {
		t.Fatalf("%v", got)
	}
}

// TestLossesInARow: who was removed a moment ago counts in the whole as well as in the losses.
func TestLossesInARow(t *testing.T) {
	n := single(t, nil)
	n.fleet(loan, 10)
	n.live(10*time.Second, loan, ids(4, 10)...)
	n.live(40*time.Second, loan, ids(5, 10)...) // four of ten
	if got := n.tally(loan); got["healthy"] != 6 || len(got) != 1 {
		t.Fatalf("%v", got)
	}
}

func TestGreatLossIsProtected(t *testing.T) {
	n := single(t, nil)
	n.fleet(loan, 10)
	n.live(20*time.Second, loan, ids(7, 10)...)
	if got := n.tally(loan); got["healthy"] != 4 || got["protected"] == 0 || got["gone"] != 0 {
		t.Fatalf("after the ttl: %v", got)
	}
	n.live(40*time.Second, loan, ids(7, 10)...)
	if got := n.tally(loan); got["healthy"] != 4 || got["protected"] != 6 {
		t.Fatalf("after the time of removal: %v", got)
	}
	snapshot := n.Lookup(loan)
	if !snapshot.Protected || !n.Summary(loan).Protected || len(snapshot.Available()) != 4 {
		t.Fatalf("snapshot %+v", snapshot)
	}
	n.live(20*time.Minute, loan, ids(7, 10)...)
	if got := n.tally(loan); got["protected"] != 6 {
		t.Fatalf("after a while: %v", got)
	}
	// Most come back: they are as before, and the rest is removed once the limit is over.
	n.live(2*time.Hour, loan, ids(2, 10)...)
	if got := n.tally(loan); got["healthy"] != 9 || len(got) != 1 {
		t.Fatalf("after most came back: %v", got)
	}
	if n.Lookup(loan).Protected {
		t.Fatal("still under protection")
	}
}

func TestAllLostAreStillFound(t *testing.T) {
	n := single(t, nil)
	s := n.OpenSession(instance.SessionOptions{})
	for k := range 4 {
		if _, err := s.Register(t.Context(), []instance.Registration{registration(loan, fmt.Sprintf("10.0.0.%d", k+1))}); err != nil {
			t.Fatal(err)
		}
	}
	s.Close(t.Context(), false)
	n.advance(30 * time.Second)
	if got := n.tally(loan); got["protected"] != 4 {
		t.Fatalf("%v", got)
	}
	if available := n.Lookup(loan).Available(); len(available) != 4 {
		t.Fatalf("%d available", len(available))
	}
	for _, id := range ids(1, 4) { // an operator knows better
		if _, err := n.Deregister(t.Context(), loan, id); err != nil {
			t.Fatal(err)
		}
	}
	if n.Lookup(loan) != nil {
		t.Fatal("still there")
	}
}

func TestDeregisteredAndDrainedAreNoLosses(t *testing.T) {
	n := single(t, nil)
	n.fleet(loan, 10)
	for _, id := range ids(1, 4) {
		if _, err := n.Deregister(t.Context(), loan, id); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range ids(5, 7) {
		if _, err := n.Drain(t.Context(), instance.DrainOptions{Service: loan, ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	n.live(35*time.Second, loan, ids(9, 10)...) // of the six that are left, one is lost and three stop after a drain
	if got := n.tally(loan); got["healthy"] != 2 || len(got) != 1 {
		t.Fatalf("%v", got)
	}
}

func TestThresholdOfTheService(t *testing.T) {
	for threshold, want := range map[float64]map[string]int{
		0:   {"healthy": 1},
		0.2: {"healthy": 1, "protected": 3},
		1:   {"healthy": 1},
	} {
		t.Run(fmt.Sprint(threshold), func(t *testing.T) {
			n := single(t, nil)
			n.fleet(loan, 4)
			if err := n.ConfigureService(t.Context(), loan, &gantryv1.ServiceSettings{ProtectThreshold: &threshold}); err != nil {
				t.Fatal(err)
			}
			n.live(40*time.Second, loan, ids(1, 1)...)
			if got := n.tally(loan); got["healthy"] != want["healthy"] || got["protected"] != want["protected"] || got["unhealthy"] != 0 {
				t.Fatalf("%v, want %v", got, want)
			}
		})
	}
}

func TestSmallServicesAreNotProtected(t *testing.T) {
	n := single(t, nil)
	n.fleet(loan, 2)
	n.live(35*time.Second, loan)
	if got := n.tally(loan); len(got) != 0 {
		t.Fatalf("%v", got)
	}
}

func TestProtectionEndsByRegistration(t *testing.T) {
	n := single(t, nil)
	n.fleet(loan, 3)
	n.live(40*time.Second, loan)
	if got := n.tally(loan); got["protected"] != 3 {
		t.Fatalf("%v", got)
	}
	n.register(loan, "10.0.0.1")
	n.beat(loan, ids(2, 2)...)
	n.settle()
	n.wantHealth(loan, ids(1, 1)[0], "healthy")
	n.wantHealth(loan, ids(2, 2)[0], "healthy")
	n.wantHealth(loan, ids(3, 3)[0], "protected")
	if !proto.Equal(n.Lookup(loan).Event().GetInstances()[2], n.get(loan, ids(3, 3)[0]).Proto()) || !n.get(loan, ids(3, 3)[0]).Proto().GetProtected() {
		t.Fatal("the event does not say it")
	}
}
