package state

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// pendingChange waits for its transaction. done is closed once revision and err are set.
type pendingChange struct {
	change   Change
	revision int64
	err      error
	done     chan struct{}
}

func (p *pendingChange) finish(revision int64, err error) {
	p.revision, p.err = revision, err
	close(p.done)
}

// committer puts concurrent changes into shared transactions. One transaction is on its way at a time: while
// it is, the next one fills. That alone adapts the size of transactions to the load, and keeps the order in which
// one caller's changes happen.
type committer struct {
	store *Store
	queue chan *pendingChange
	// held are changes that met a key of the transaction before them; they go first into the next one.
	held []*pendingChange

	// batch is used again for every transaction: only one is on its way.
	batch batch

	maxOperations int
	maxBytes      int

	// underway ends the transaction that is on its way; nil when there is none.
	underway atomic.Pointer[context.CancelFunc]

	operations prometheus.Histogram
	seconds    prometheus.Histogram
}

// queueLength bounds what waits for a transaction; behind it callers block, which is the back-pressure.
const queueLength = 4096

// leaderGrace is how long a transaction that was on its way when the leader changed may still take: what the old leader passed on is
// there within a round trip or two, and what it did not is lost. Waiting for that until commitTimeout would hold up all changes behind it.
const leaderGrace = 500 * time.Millisecond

// watchLeader gives up transactions that were lost with their leader.
func (c *committer) watchLeader(ctx context.Context, changed func() <-chan struct{}) {
	next := changed()
	for {
		select {
		case <-next:
		case <-ctx.Done():
			return
		}
		// Taken before the wait, so that a change of leader during it is not missed.
		next = changed()
		before := c.underway.Load()
		select {
		case <-time.After(leaderGrace):
		case <-ctx.Done():
			return
		}
		if before != nil && c.underway.Load() == before {
			(*before)()
		}
	}
}

func (c *committer) run() {
	for {
		var first *pendingChange
		if len(c.held) == 0 {
			select {
			case first = <-c.queue:
			case <-c.store.closing:
				c.drain()
				return
			}
		}
		c.commit(c.gather(first))
	}
}

// drain answers what is left when the store closes.
func (c *committer) drain() {
	for {
		select {
		case p := <-c.queue:
			p.finish(0, errClosing())
		default:
			return
		}
	}
}

// batch is what one transaction will hold.
type batch struct {
	changes    []*pendingChange
	reads      map[string]struct{}
	writes     map[string]struct{}
	prefixes   []string // that conditions read
	operations int
	bytes      int
}

func (b *batch) reset() {
	if b.reads == nil {
		b.reads, b.writes = map[string]struct{}{}, map[string]struct{}{}
	}
	clear(b.reads)
	clear(b.writes)
	clear(b.changes)
	b.prefixes = b.prefixes[:0]
	b.changes = b.changes[:0]
	b.operations, b.bytes = 0, 0
}

// admits reports whether a change can join without touching a key that another one writes, or writing one that
// another one's condition reads: etcd evaluates all conditions of a transaction before any of its writes.
func (b *batch) admits(change Change) bool {
	for _, condition := range change.If {
		if _, met := b.writes[condition.key]; met {
			return false
		}
		// Conditions on prefixes are rare, so the look at all keys is too.
		if condition.prefix && anyUnder(b.writes, condition.key) {
			return false
		}
	}
	free := func(key string) bool {
		_, written := b.writes[key]
		_, read := b.reads[key]
		return !written && !read && !slices.ContainsFunc(b.prefixes, func(prefix string) bool { return strings.HasPrefix(key, prefix) })
	}
	for _, put := range change.Put {
		if !free(put.Key) {
			return false
		}
	}
	for _, key := range change.Delete {
		if !free(key) {
			return false
		}
	}
	return true
}

func anyUnder(keys map[string]struct{}, prefix string) bool {
	for key := range keys {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}

func (b *batch) add(p *pendingChange) {
	for _, condition := range p.change.If {
		if condition.prefix {
			b.prefixes = append(b.prefixes, condition.key)
		} else {
			b.reads[condition.key] = struct{}{}
		}
	}
	for _, put := range p.change.Put {
		b.writes[put.Key] = struct{}{}
		b.bytes += len(put.Key) + len(put.Value) + 16
	}
	for _, key := range p.change.Delete {
		b.writes[key] = struct{}{}
	}
	b.operations += len(p.change.Put) + len(p.change.Delete) + len(p.change.If)
	b.changes = append(b.changes, p)
}

// gather takes what waits, up to the limits of a transaction.
func (c *committer) gather(first *pendingChange) *batch {
	b := &c.batch
	b.reset()
	waiting := c.held
	c.held = nil
	if first != nil {
		waiting = append(waiting, first)
	}
	for _, p := range waiting {
		if c.full(b) || !b.admits(p.change) {
			c.held = append(c.held, p)
			continue
		}
		b.add(p)
	}
	// A bounded number of misfits is set aside; beyond that they wait in the queue, in order.
	for !c.full(b) && len(c.held) < queueLength {
		select {
		case p := <-c.queue:
			if !b.admits(p.change) {
				c.held = append(c.held, p)
				continue
			}
			b.add(p)
		default:
			return b
		}
	}
	return b
}

func (c *committer) full(b *batch) bool {
	return b.operations >= c.maxOperations || b.bytes >= c.maxBytes
}

func (c *committer) commit(b *batch) {
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	c.underway.Store(&cancel)
	defer c.underway.Store(nil)
	timer := prometheus.NewTimer(c.seconds)
	defer timer.ObserveDuration()
	c.operations.Observe(float64(b.operations))

	if len(b.changes) == 1 {
		c.commitOne(ctx, b.changes[0])
		return
	}
	all := make([]clientv3.Op, 0, b.operations)
	for _, p := range b.changes {
		if len(p.change.If) == 0 {
			all = c.store.operations(p.change, all)
			continue
		}
		conditions := make([]clientv3.Cmp, len(p.change.If))
		for i, condition := range p.change.If {
			conditions[i] = c.store.compare(condition)
		}
		all = append(all, clientv3.OpTxn(conditions, c.store.operations(p.change, nil), nil))
	}
	answer, err := c.store.client.Txn(ctx).Then(all...).Commit()
	if err != nil {
		err = c.store.translate(err)
		for _, p := range b.changes {
			p.finish(0, err)
		}
		return
	}
	at := 0
	for _, p := range b.changes {
		if len(p.change.If) == 0 {
			at += len(p.change.Put) + len(p.change.Delete)
			p.finish(answer.Header.Revision, nil)
			continue
		}
		if answer.Responses[at].GetResponseTxn().GetSucceeded() {
			p.finish(answer.Header.Revision, nil)
		} else {
			p.finish(0, ErrConflict)
		}
		at++
	}
}

func (c *committer) commitOne(ctx context.Context, p *pendingChange) {
	conditions := make([]clientv3.Cmp, len(p.change.If))
	for i, condition := range p.change.If {
		conditions[i] = c.store.compare(condition)
	}
	answer, err := c.store.client.Txn(ctx).If(conditions...).Then(c.store.operations(p.change, nil)...).Commit()
	switch {
	case err != nil:
		p.finish(0, c.store.translate(err))
	case !answer.Succeeded:
		p.finish(0, ErrConflict)
	default:
		p.finish(answer.Header.Revision, nil)
	}
}
