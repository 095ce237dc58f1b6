package consul

import (
	"context"
	"math/rand/v2"
	"sync/atomic"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
)

// maxWaiters bounds the blocking queries of one node, each with a goroutine and a connection.
const maxWaiters = 20_000

// waiters counts the blocking queries that wait.
type waiters struct{ count atomic.Int64 }

// block holds a query that names an index until there is something newer, the wait is over, or the server leaves, and returns the
// revision to answer with. current is what there is now; next waits until something may have changed after a revision, and may wake for
// nothing. When a call names no index it does not wait.
//
// The wait is longer by up to a sixteenth, so that clients that began together do not come back together.
//
// Errors: Exhausted when too many wait already.
func (c *call) block(current func() int64, next func(ctx context.Context, after int64) error) (int64, error) {
	revision := current()
	if c.index == 0 || revision > c.index {
		return revision, nil
	}
	waiters := &c.handler.waiters.count
	if waiters.Add(1) > maxWaiters {
		waiters.Add(-1)
		return 0, fault.New(fault.Exhausted, "consul.waiters", "this node already holds %d blocking queries", maxWaiters).
			Hinted("ask another node, or ask without an index")
	}
	defer waiters.Add(-1)
	leaving, cancel := edge.Waiting(c.ctx)
	defer cancel()
	ctx, over := context.WithTimeout(leaving, c.wait+rand.N(c.wait/16+1))
	defer over()
	for revision <= c.index && next(ctx, c.index) == nil {
		revision = current()
	}
	return max(revision, current()), c.ctx.Err()
}

// blockOnNamespace is block for queries about all services of the call's namespace.
func (c *call) blockOnNamespace() (int64, error) {
	registry := c.handler.Instances
	return c.block(func() int64 { return registry.Revision(c.namespace) }, c.anyChange())
}

// anyChange waits for changes of any service.
func (c *call) anyChange() func(context.Context, int64) error {
	changed := c.handler.Instances.Changed()
	return func(ctx context.Context, _ int64) error {
		select {
		case <-changed:
			changed = c.handler.Instances.Changed()
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// blockOnService is block for queries about one service.
func (c *call) blockOnService(service instance.Service) (int64, error) {
	registry := c.handler.Instances
	current := func() int64 {
		if snapshot := registry.Lookup(service); snapshot != nil {
			return snapshot.Revision
		}
		return registry.Revision(c.namespace) // it may have gone at any of the changes up to here
	}
	anyChange := c.anyChange()
	return c.block(current, func(ctx context.Context, after int64) error {
		if registry.Lookup(service) == nil {
			return anyChange(ctx, after)
		}
		_, _, err := registry.AwaitChange(ctx, service, after)
		return err
	})
}
