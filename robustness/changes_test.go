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

// changes are what a node tells was changed, by id, in order.
func (n *node) changes(ctx context.Context) (ids, kinds []string, err error) {
	answer, err := n.api.events.Changes(ctx, &gantryv1.ChangesRequest{Limit: 1000})
	for _, change := range answer.GetChanges() {
		ids, kinds = append(ids, change.Id), append(kinds, change.Kind)
	}
	slices.Sort(ids)
	return ids, kinds, err
}

// TestChangesOfACluster has a node miss what happens while it is not there: it tells of it when it is back, once and in order, as do the others.
func TestChangesOfACluster(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	away, there := c.nodes[2], c.nodes[0]
	there.register(t, "loan", "before")
	agree := func(want int) {
		t.Helper()
		eventually(t, 60*time.Second, func(ctx context.Context) error {
			first, kinds, err := there.changes(ctx)
			if err != nil || len(first) != want {
				return fmt.Errorf("%s tells of %d changes, not %d: %v, %v", there.name, len(first), want, kinds, err)
			}
			for _, n := range c.nodes[1:] {
				ids, kinds, err := n.changes(ctx)
				if err != nil || !slices.Equal(ids, first) {
					return fmt.Errorf("%s tells of %d changes, not %d: %v, %v", n.name, len(ids), len(first), kinds, err)
				}
			}
			return nil
		})
	}
	agree(1)
	away.kill()
	there.register(t, "loan", "meanwhile")
	there.register(t, "loan", "gone")
	if _, err := there.api.instances.Deregister(t.Context(), &gantryv1.DeregisterRequest{Service: &gantryv1.ServiceRef{Service: "loan"}, Id: "gone"}); err != nil {
		t.Fatal(err)
	}
	there.release(t, &gantryv1.DocumentRef{Kind: "Config", Name: "loan.yaml"}, "limit: 1\n")
	away.start()
	away.awaitReady()
	there.register(t, "loan", "afterwards")
	// One before, three instances and a release of two while it was away, one afterwards.
	agree(1 + 3 + 2 + 1)
	_, first, err := there.changes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, kinds, err := away.changes(t.Context()); err != nil || !slices.Equal(kinds, first) {
		t.Errorf("%s tells %v, %s %v, %v", there.name, first, away.name, kinds, err)
	}
}
