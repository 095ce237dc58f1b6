package migrate

import (
	"context"

	"golang.org/x/sync/errgroup"
)

// atOnce does something for so many, [parallel] of them at once, and stops at the first error or when ctx ends.
func atOnce(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	return someAtOnce(ctx, parallel, n, do)
}

// someAtOnce is atOnce with another number at once.
func someAtOnce(ctx context.Context, limit, n int, do func(ctx context.Context, i int) error) error {
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(limit)
	for i := range n {
		if inner.Err() != nil {
			break
		}
		group.Go(func() error { return do(inner, i) })
	}
	err := group.Wait()
	if err == nil {
		err = ctx.Err()
	}
	return err
}
