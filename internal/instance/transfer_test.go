package instance_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/gantry-platform/gantry/internal/instance"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// A client connects anew and registers again while its old stream, which it closed, is being cleaned up. What the new session was told
// is registered stays registered.
func TestTheNewSessionWinsOverTheOldOnesEnd(t *testing.T) {
	n := single(t, nil)
	for _, changed := range []bool{false, true} {
		for round := range 150 {
			address := fmt.Sprintf("10.0.%d.1", round)
			old, fresh := n.OpenSession(instance.SessionOptions{}), n.OpenSession(instance.SessionOptions{})
			if _, err := old.Register(t.Context(), []instance.Registration{registration(loan, address)}); err != nil {
				t.Fatal(err)
			}
			again := registration(loan, address, func(m *gantryv1.Instance) {
				if changed {
					m.Metadata = map[string]string{"again": "yes"}
				}
			})
			var both sync.WaitGroup
			both.Go(func() {
				if err := old.Close(t.Context(), true); err != nil {
					t.Error(err)
				}
			})
			both.Go(func() {
				if _, err := fresh.Register(t.Context(), []instance.Registration{again}); err != nil {
					t.Error(err)
				}
			})
			both.Wait()
			n.settle()
			if n.get(loan, address+":8080") == nil {
				t.Fatalf("round %d, changed %v: what the new session registered is gone", round, changed)
			}
			if err := fresh.Close(t.Context(), true); err != nil {
				t.Fatal(err)
			}
			if n.get(loan, address+":8080") != nil {
				t.Fatalf("round %d, changed %v: the new session did not hold it", round, changed)
			}
		}
	}
}

func TestNewerSnapshotsHaveLaterStamps(t *testing.T) {
	n := single(t, nil)
	var last int64
	for round := range 5 {
		n.register(loan, fmt.Sprintf("10.0.0.%d", round+1))
		made := n.Lookup(loan).Made
		if made <= last {
			t.Fatalf("round %d: %d after %d", round, made, last)
		}
		if n.Lookup(loan).Made != made {
			t.Fatal("it changes by looking")
		}
		last = made
		n.clock.mu.Lock()
		n.clock.wall = n.clock.wall.Add(-time.Hour)
		n.clock.mu.Unlock()
	}
}
