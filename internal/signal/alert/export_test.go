package alert

import (
	"context"
	"time"
)

// Reconcile is one look at documents and nodes; nothing begins to run by itself.
func (e *Engine) Reconcile(ctx context.Context) { e.reconcile(ctx, false) }

// StartDelivery starts the workers of the queue.
func (e *Engine) StartDelivery() { e.queue.start() }

// Evaluate evaluates all rules of this node once, and waits until the mirror shows what was written.
func (e *Engine) Evaluate(ctx context.Context, at time.Time) {
	e.mu.Lock()
	var all []*runner
	for _, r := range e.runners {
		all = append(all, r)
	}
	e.mu.Unlock()
	for _, r := range all {
		r.evaluate(ctx, at)
		_ = e.Store.Await(ctx, r.modified)
	}
}

// Tell looks at the groups of all namespaces of this node once, and waits until what is due was delivered or given up.
func (e *Engine) Tell(ctx context.Context, at time.Time) {
	e.mu.Lock()
	var all []*teller
	for _, t := range e.tellers {
		all = append(all, t)
	}
	e.mu.Unlock()
	for _, t := range all {
		t.tell(at)
		t.upkeep(ctx, at)
	}
	for ctx.Err() == nil {
		e.queue.mu.Lock()
		busy := len(e.queue.busy)
		e.queue.mu.Unlock()
		if busy == 0 {
			break
		}
		time.Sleep(time.Millisecond) // the condition is looked at again, not assumed
	}
	if figures, err := e.Store.Figures(ctx); err == nil {
		_ = e.Store.Await(ctx, figures.Revision)
	}
}

// Owned are the documents that this node evaluates.
func (e *Engine) Owned() (refs []Ref) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for ref := range e.runners {
		refs = append(refs, ref)
	}
	return refs
}

// TrimHistory trims the history of a namespace.
func (e *Engine) TrimHistory(ctx context.Context, namespace string, now time.Time) error {
	return e.trimHistory(ctx, namespace, now)
}

// Slot is the first moment of a rule's grid after a time.
func Slot(ref Ref, every time.Duration, after time.Time) time.Time { return slot(ref, every, after) }

// Expectation is what a baseline expects of values of 1, 2, 3 and 4 weeks ago; NaN stands for none.
func Expectation(weeks ...float64) float64 {
	var history []past
	for i, value := range weeks {
		if value == value {
			history = append(history, past{i + 1, value})
		}
	}
	return expectation(history)
}

// Tells reports whether this node tells of the alerts of a namespace.
func (e *Engine) Tells(namespace string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.tellers[namespace] != nil
}
