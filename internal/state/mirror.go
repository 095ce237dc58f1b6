package state

import (
	"bytes"
	"context"
	"fmt"

	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Record is a stored value. Its bytes are never changed after it was handed out.
type Record struct {
	Key   string
	Value []byte
	// Created and Modified are revisions of the state.
	Created, Modified int64
}

// Event is a record that was written, or deleted: then Value is nil and Modified is the revision of the
// deletion.
type Event struct {
	Record
	Deleted bool
}

// Mirrored is a part that keeps what lies under a prefix in memory. Calls come from one goroutine, in
// revision order, and hold up every other mirror of the node while they last.
type Mirrored interface {
	// Reset replaces everything: at the start, and again when the history in between was compacted away.
	Reset(records []Record, revision int64)
	// Apply takes changes in order. All changes of one revision arrive in one call.
	Apply(events []Event, revision int64)
}

// mirrors is the one watch of a node.
type mirrors struct {
	store *Store
	parts []mirroredPart
	done  chan struct{}

	mu       sync.Mutex
	revision int64
	// moved is closed and replaced when revision grows, if somebody waits.
	moved   chan struct{}
	waiting bool
}

type mirroredPart struct {
	prefix string
	part   Mirrored
	events []Event // reused between calls of Apply
}

// pageSize bounds one read of a load: large enough to be few, small enough to stay under message limits.
const pageSize = 1000

// Mirror feeds a part with what lies under a prefix. Call it before [Store.Start].
func (s *Store) Mirror(prefix string, part Mirrored) {
	s.mirrors.parts = append(s.mirrors.parts, mirroredPart{prefix: prefix, part: part})
}

// Revision is the newest revision that all mirrors have applied.
func (s *Store) Revision() int64 {
	s.mirrors.mu.Lock()
	defer s.mirrors.mu.Unlock()
	return s.mirrors.revision
}

// Await returns once the mirrors have applied a revision: after it, this node reads what it wrote.
func (s *Store) Await(ctx context.Context, revision int64) error {
	m := &s.mirrors
	for {
		m.mu.Lock()
		if m.revision >= revision {
			m.mu.Unlock()
			return nil
		}
		m.waiting = true
		moved := m.moved
		m.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.closing:
			return errClosing()
		}
	}
}

func (m *mirrors) advance(revision int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if revision <= m.revision {
		return
	}
	m.revision = revision
	if m.waiting {
		close(m.moved)
		m.moved = make(chan struct{})
		m.waiting = false
	}
}

// load fills all mirrors at one revision. It reads the node's own copy, which answers without quorum too.
func (m *mirrors) load(ctx context.Context) (int64, error) {
	var revision int64
	for i := range m.parts {
		part := &m.parts[i]
		var records []Record
		from, until := m.store.root+part.prefix, end(m.store.root+part.prefix)
		for {
			options := []clientv3.OpOption{clientv3.WithRange(until), clientv3.WithLimit(pageSize), clientv3.WithSerializable()}
			if revision > 0 {
				options = append(options, clientv3.WithRev(revision))
			}
			answer, err := m.store.client.Get(ctx, from, options...)
			if err != nil {
				return 0, fmt.Errorf("state: load %q: %w", part.prefix, err)
			}
			if revision == 0 {
				revision = answer.Header.Revision
			}
			for _, kv := range answer.Kvs {
				records = append(records, m.store.record(kv))
			}
			if !answer.More || len(answer.Kvs) == 0 {
				break
			}
			from = string(answer.Kvs[len(answer.Kvs)-1].Key) + "\x00"
		}
		part.part.Reset(records, revision)
	}
	m.advance(revision)
	return revision, nil
}

// run watches behind a loaded revision until the store closes. When the watch cannot go on, because what it missed
// was compacted away, everything is loaded again.
func (m *mirrors) run(ctx context.Context, revision int64) {
	defer close(m.done)
	for ctx.Err() == nil {
		err := m.watch(ctx, revision)
		if ctx.Err() != nil {
			return
		}
		m.store.log.Warn("the watch on the state broke; loading everything again", "error", err)
		for {
			if revision, err = m.load(ctx); err == nil || ctx.Err() != nil {
				break
			}
			m.store.log.Error("cannot load the state", "error", err)
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
	}
}

func (m *mirrors) watch(ctx context.Context, revision int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := m.store.client.Watch(ctx, m.store.root, clientv3.WithPrefix(), clientv3.WithRev(revision+1))
	for answer := range answers {
		if err := answer.Err(); err != nil {
			return err
		}
		// The header may be ahead of the events while a slow watch catches up: only events count.
		m.apply(answer.Events)
	}
	return context.Cause(ctx)
}

func (m *mirrors) apply(events []*clientv3.Event) {
	if len(events) == 0 {
		return
	}
	last := events[len(events)-1].Kv.ModRevision
	for i := range m.parts {
		part := &m.parts[i]
		prefix := []byte(m.store.root + part.prefix)
		part.events = part.events[:0]
		for _, event := range events {
			if bytes.HasPrefix(event.Kv.Key, prefix) {
				part.events = append(part.events, Event{Record: m.store.record(event.Kv), Deleted: event.Type == clientv3.EventTypeDelete})
			}
		}
		if len(part.events) > 0 {
			part.part.Apply(part.events, last)
			clear(part.events)
		}
	}
	m.advance(last)
}

func (s *Store) record(kv *mvccpb.KeyValue) Record {
	return Record{Key: string(kv.Key[len(s.root):]), Value: kv.Value, Created: kv.CreateRevision, Modified: kv.ModRevision}
}
