package release

import (
	"context"
	"sync"

	"github.com/gantry-platform/gantry/internal/access"
)

// kinds wakes who follows all documents of a kind in a namespace. The zero value is ready.
type kinds struct {
	mu      sync.Mutex
	waiting map[group]*topic
}

func (k *kinds) await(g group) (changed <-chan struct{}, stop func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	t := k.waiting[g]
	if t == nil {
		if k.waiting == nil {
			k.waiting = make(map[group]*topic)
		}
		t = &topic{changed: make(chan struct{})}
		k.waiting[g] = t
	}
	t.waiting++
	return t.changed, sync.OnceFunc(func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if t.waiting--; t.waiting == 0 && k.waiting[g] == t {
			delete(k.waiting, g)
		}
	})
}

func (k *kinds) changed(ref Ref) {
	k.mu.Lock()
	defer k.mu.Unlock()
	g := group{ref.Namespace, ref.Kind}
	if t := k.waiting[g]; t != nil {
		delete(k.waiting, g)
		close(t.changed)
	}
}

// KindChanged returns a channel that is closed at the next change of any document of a kind in a namespace, as this node sees it, and a
// function that ends the waiting, to be called in any case. Take the channel first, then read, then wait.
func (r *Releaser) KindChanged(namespace, kind string) (changed <-chan struct{}, stop func()) {
	return r.kinds.await(group{Ref{Namespace: namespace}.normal().Namespace, kind})
}

// InForce answers the names of the documents of a kind in a namespace of which a version is in force for anybody, in order. Who may only serve may ask,
// because they may read each. Errors are of rights.
func (r *Releaser) InForce(ctx context.Context, namespace, kind string) ([]string, error) {
	namespace = Ref{Namespace: namespace}.normal().Namespace
	if err := access.Require(ctx, access.View|access.Serve, namespace); err != nil {
		return nil, err
	}
	var names []string
	for d := range r.index.walk(group{namespace, kind}, "") {
		if d.head.Released != 0 || d.head.Rollout != nil {
			names = append(names, d.ref.Name)
		}
	}
	return names, nil
}
