//go:build linux

package robustness

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// TestSubscribersOfACluster has one client that follows a service at each of three nodes, one of which dies: who asks any node is told of all that are left, and of
// the node whose subscribers are not counted.
func TestSubscribersOfACluster(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	service := &gantryv1.ServiceRef{Service: "followed"}
	c.nodes[0].register(t, service.Service, "f1")
	for _, n := range c.nodes {
		ctx, cancel := context.WithCancel(t.Context())
		stream, err := n.api.instances.Watch(ctx, &gantryv1.WatchRequest{Subscriptions: []*gantryv1.Subscription{{Service: service}}})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		t.Cleanup(func() { cancel(); <-done })
		go func() {
			defer close(done)
			defer stream.Close()
			for stream.Receive() {
			}
		}()
	}
	expect := func(missing []string, all ...*node) {
		t.Helper()
		for _, n := range all {
			eventually(t, 30*time.Second, func(ctx context.Context) error {
				answer, err := n.api.instances.ListSubscribers(ctx, &gantryv1.ListSubscribersRequest{Service: service})
				if err != nil {
					return err
				}
				at := map[string]bool{}
				for _, s := range answer.Subscribers {
					at[s.Node] = true
				}
				if int(answer.Total) != len(all) || len(at) != len(all) || !slices.Equal(answer.MissingNodes, missing) {
					return fmt.Errorf("%s knows of %d subscribers, at %v, without %v", n.name, answer.Total, at, answer.MissingNodes)
				}
				return nil
			})
		}
	}
	expect(nil, c.nodes...)
	c.nodes[2].kill()
	expect([]string{c.nodes[2].name}, c.nodes[:2]...)
}
