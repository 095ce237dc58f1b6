package fanout

import (
	"context"
	"slices"
	"sync"
)

// ask calls f for this node and, side by side, for the others. An error of this one is the question's; of another, its key is in missing, sorted.
func ask[K ~string, R, T any](ctx context.Context, local R, others map[K]R, f func(context.Context, R) (T, error)) (own T, answers map[K]T, missing []K, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers = make(map[K]T, len(others))
	var mu sync.Mutex
	var all sync.WaitGroup
	for key, other := range others {
		all.Go(func() {
			answer, err := f(ctx, other)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				missing = append(missing, key)
				return
			}
			answers[key] = answer
		})
	}
	if own, err = f(ctx, local); err != nil {
		cancel() // nobody needs the others' answers
	}
	all.Wait()
	if err != nil {
		return own, nil, nil, err
	}
	slices.Sort(missing)
	return own, answers, missing, nil
}
