package red

import (
	"context"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/storage"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/signal"
)

// Room counts spans. Its methods may be called concurrently.
type Room struct {
	node       string
	clock      Clock
	appendable storage.Appendable
	queryable  func(namespace string) storage.Queryable
	others     func() map[string]Counter
	interval   time.Duration
	log        *slog.Logger
	limits     Limits
	figures    *figures

	shards  []shard
	scratch sync.Pool
	began   time.Time
	// lastFlush is when series were written last, in milliseconds: the zero of series that began since.
	lastFlush atomic.Int64

	mu         sync.RWMutex
	namespaces map[string]*namespace
	// seams are when the minutes that are in memory began, in milliseconds, by minute: what was counted before is in the series that were written until then.
	seams map[int64]int64

	// flushing is held while series are written: one at a time.
	flushing sync.Mutex
	swept    int64
	// minute is the one that is not over, as far as the last flush knows.
	minute atomic.Int64
}

// maxShards spreads the locks; few enough that each gets several spans of a chunk.
const maxShards = 16

// New makes the room. It counts at once; Run writes.
func New(o Options) (*Room, error) {
	if o.Node == "" {
		return nil, fault.New(fault.Internal, "red.no_node", "the room needs the id of its node")
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Interval <= 0 {
		o.Interval = 5 * time.Second
	}
	r := &Room{node: o.Node, clock: o.Clock, appendable: o.Appendable, queryable: o.Queryable, others: o.Others, interval: max(o.Interval, time.Second), log: o.Logger,
		limits: o.Limits.withDefaults(), figures: newFigures(o.Registerer), namespaces: map[string]*namespace{}}
	shards := 1
	for shards < maxShards && shards*2*256 <= r.limits.Waiting {
		shards *= 2
	}
	r.shards = make([]shard, shards)
	now := o.Clock()
	for i := range r.shards {
		r.shards[i].pairs.most = max(1, r.limits.Waiting/shards)
		r.shards[i].recent.most = max(1, r.limits.Recent/2/shards)
		r.shards[i].recent.turned = now.UnixMilli()
	}
	r.scratch.New = func() any { return &scratch{text: make([]byte, 0, 2*maxEndpointBytes)} }
	r.began = now
	r.lastFlush.Store(now.UnixMilli())
	r.minute.Store(minuteOf(now))
	r.seams = map[int64]int64{minuteOf(now): now.UnixMilli()}
	r.swept = now.UnixMilli()
	return r, nil
}

// Run writes the series every interval until ctx ends, and once more then.
func (r *Room) Run(ctx context.Context) {
	ticker := time.NewTicker(r.interval)
	defer ticker.Stop()
	var warned time.Time
	write := func(ctx context.Context) {
		// A store that is full says so each time: once a minute is enough.
		if err := r.Flush(ctx); err != nil && time.Since(warned) >= time.Minute {
			warned = time.Now()
			r.log.Warn("figures of services could not be written to the store of series; they are kept and written with the next", "error", err)
		}
	}
	for {
		select {
		case <-ticker.C:
			write(ctx)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			write(last)
			return
		}
	}
}

// Observe counts spans that arrived. It keeps nothing of them, and does not block on anything but short locks.
func (r *Room) Observe(namespace string, arrived time.Time, spans []signal.Span) {
	if len(spans) == 0 {
		return
	}
	n := r.namespace(namespace, true)
	if n == nil {
		r.figures.lost.Add(float64(len(spans)))
		return
	}
	w := r.scratch.Get().(*scratch)
	o := observation{room: r, namespace: n, scratch: w, arrived: arrived.UnixMilli()}
	o.all(spans)
	o.endResource()
	o.count()
	w.call = call{}
	clear(w.chunk[:min(len(spans), chunkSpans)]) // it points into the request
	r.scratch.Put(w)
}

// namespace finds a namespace, or makes it; nil when there are too many.
func (r *Room) namespace(text string, create bool) *namespace {
	r.mu.RLock()
	n := r.namespaces[text]
	r.mu.RUnlock()
	if n != nil || !create {
		return n
	}
	text = cloned(text)
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := r.namespaces[text]; n != nil {
		return n
	}
	if len(r.namespaces) >= r.limits.Namespaces {
		return nil
	}
	n = &namespace{room: r, name: text, seed: maphash.MakeSeed(), services: map[string]*service{}, names: map[string]*name{}, edges: map[edgeKey]*edge{}, lanes: map[string]*name{}, excesses: map[excessKey]*Excess{}}
	n.mix = newMix(n.seed)
	n.ranking.most = r.limits.Errors
	r.namespaces[text] = n
	return n
}

// Excesses lists the limits that were exceeded in a namespace, with the service that did.
func (r *Room) Excesses(ctx context.Context, namespace string) ([]Excess, Window, error) {
	g, err := r.gather(ctx, Question{Subject: AboutExcesses, Namespace: namespace})
	if err != nil {
		return nil, Window{}, err
	}
	all := make([]Excess, 0, len(g.excesses))
	for _, e := range g.excesses {
		all = append(all, e)
	}
	sortExcesses(all)
	return all, g.window, nil
}
