package release

import (
	"context"
	"sync"
)

// once lets callers who want the same thing at the same time share the work of one.
type once struct {
	mu      sync.Mutex
	running map[cacheKey]*call
}

type call struct {
	done  chan struct{}
	value any
	err   error
}

// do runs work unless the same is under way, and returns its outcome. The work is bound to no caller's context, so that one
// who leaves does not take it from the others; what it calls bounds its own time.
func (o *once) do(ctx context.Context, key cacheKey, work func(context.Context) (any, error)) (any, error) {
	o.mu.Lock()
	c, running := o.running[key]
	if !running {
		c = &call{done: make(chan struct{})}
		if o.running == nil {
			o.running = map[cacheKey]*call{}
		}
		o.running[key] = c
	}
	o.mu.Unlock()
	if !running {
		defer func() {
			o.mu.Lock()
			delete(o.running, key)
			o.mu.Unlock()
			close(c.done)
		}()
		c.value, c.err = work(context.WithoutCancel(ctx))
		return c.value, c.err
	}
	select {
	case <-c.done:
		return c.value, c.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
