package native

import (
	"context"
	"time"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
)

// rightsInterval is how long a stream in which nothing moves outlives its right.
const rightsInterval = time.Second

// streaming is how a stream waits for news: until its caller goes, loses the right, or the node leaves.
type streaming struct {
	context.Context
	caller context.Context
	stop   func()
}

// wait begins to watch over a stream. allowed says whether its caller still may; it is asked once in a while, since nothing else may move. Close the stream.
func wait(caller context.Context, allowed func() error) *streaming {
	waiting, stopWaiting := edge.Waiting(caller)
	ctx, cancel := context.WithCancelCause(waiting)
	go func() {
		ticker := time.NewTicker(rightsInterval)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				if err := allowed(); err != nil {
					cancel(err)
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return &streaming{Context: ctx, caller: caller, stop: func() { cancel(nil); stopWaiting() }}
}

func (s *streaming) Close() { s.stop() }

// why says why waiting ended with an error.
func (s *streaming) why(err error) error {
	if s.Err() == nil || s.caller.Err() != nil {
		return err
	}
	if cause, ok := fault.As(context.Cause(s)); ok {
		return cause
	}
	return errLeaving()
}

func errLeaving() error {
	return fault.New(fault.Unavailable, "server.leaving", "the node is leaving").Hinted("open the stream again; another node goes on")
}

// uses are the rights that a stream lives by.
type uses map[use]struct{}

type use struct {
	namespace string
	right     access.Permission
}

// allowed says whether the caller still has all of them. An identity that is held follows the grants.
func (u uses) allowed(ctx context.Context) error {
	identity := access.FromContext(ctx)
	for one := range u {
		if !identity.May(one.right, one.namespace) {
			return access.Require(ctx, one.right, one.namespace)
		}
	}
	return nil
}
