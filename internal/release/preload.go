package release

import (
	"context"
	"sync"

	"github.com/gantry-platform/gantry/internal/fault"
)

// preloader remembers which documents changed, so that what is in force is in memory before it is asked for: watchers
// need not wait for it, and a lost quorum finds it there.
type preloader struct {
	mu    sync.Mutex
	refs  map[Ref]struct{}
	woken chan struct{}
}

func newPreloader() *preloader {
	return &preloader{refs: map[Ref]struct{}{}, woken: make(chan struct{}, 1)}
}

func (p *preloader) add(ref Ref) {
	p.mu.Lock()
	p.refs[ref] = struct{}{}
	p.mu.Unlock()
	select {
	case p.woken <- struct{}{}:
	default:
	}
}

func (p *preloader) take() map[Ref]struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := p.refs
	p.refs = map[Ref]struct{}{}
	return taken
}

// runPreload loads what came into force until ctx ends.
func (r *Releaser) runPreload(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.preload.woken:
		}
		for ref := range r.preload.take() {
			if ctx.Err() != nil {
				return
			}
			r.preloadOne(ctx, ref)
		}
	}
}

// preloadOne loads what is in force of a document, as long as nothing else must leave the cache for it.
// A failure is not repeated: whoever wants the content reads it.
func (r *Releaser) preloadOne(ctx context.Context, ref Ref) {
	d := r.index.get(ref)
	if d == nil {
		return
	}
	wanted := []int64{d.head.Released}
	if d.head.Rollout != nil {
		wanted = append(wanted, d.head.Rollout.Version)
	}
	for _, version := range wanted {
		if version == 0 || r.cache.has(cacheKey{ref: ref, born: d.born(), version: version}) || !r.cache.room(0) {
			continue
		}
		if _, err := r.loadVersion(ctx, d, version); err != nil && !fault.Is(err, fault.NotFound) && ctx.Err() == nil {
			r.log.Warn("what is in force cannot be read", "document", ref.String(), "version", version, "error", err)
		}
	}
}
