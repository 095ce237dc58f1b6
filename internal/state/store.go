package state

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
)

// Options say where the state is and who this node is. Exactly one of Embedded and External is set.
type Options struct {
	// Dir is the node's data folder: its identity, and the embedded etcd's files.
	Dir string
	// Prefix is the root of all keys. Default "/gantry/".
	Prefix   string
	Embedded *Embedded
	External *External

	// Node is what other nodes and clients learn of this one; its ID comes from the data folder.
	Node Node
	// NodeTTL is how long a node may be silent before the others take over its instances. Default 10s: longer than an
	// election and a long pause of a busy machine, short against a person's patience. At least 2s.
	NodeTTL time.Duration
	// StartWait is how long Start waits for a quorum before it goes on with what this node holds. Default 15s: the other nodes of
	// a cluster that starts as a whole are there by then.
	StartWait time.Duration
	// MinimumFree is the free space of the data folder's disk below which nothing is written any more, because etcd
	// ends the process when the disk is full. Default 256 MiB: two preallocated log segments and room to compact.
	MinimumFree uint64

	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Store is a node's hold on the state. Its methods may be called concurrently.
type Store struct {
	options Options
	root    string
	log     *slog.Logger
	client  *clientv3.Client
	etcd    *embed.Etcd // nil on an external etcd

	mirrors   mirrors
	committer *committer
	node      *nodeKeeper
	health    health
	disk      diskGuard
	identity  identity
	clusterID string

	stop      context.CancelFunc
	running   context.Context
	workers   sync.WaitGroup
	closing   chan struct{}
	closeOnce sync.Once
	failed    chan struct{}
	failure   atomic.Pointer[error]
}

// Open takes hold of the state. It does not wait for a quorum: [Store.Start] does, for a while.
//
// Errors are for the operator: a data folder that is not Gantry's, is in use, or comes from a newer version; an address in
// use; an etcd that cannot be reached.
func Open(ctx context.Context, options Options) (*Store, error) {
	if (options.Embedded == nil) == (options.External == nil) {
		return nil, errors.New("state: set either Embedded or External")
	}
	if options.Prefix == "" {
		options.Prefix = "/gantry/"
	}
	if !strings.HasSuffix(options.Prefix, "/") {
		options.Prefix += "/"
	}
	if options.NodeTTL == 0 {
		options.NodeTTL = 10 * time.Second
	}
	if options.StartWait == 0 {
		options.StartWait = 15 * time.Second
	}
	if options.MinimumFree == 0 {
		options.MinimumFree = 256 << 20
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	if options.Registerer == nil {
		options.Registerer = prometheus.NewRegistry()
	}
	identity, err := claimFolder(options.Dir)
	if err != nil {
		return nil, err
	}
	if err := options.roomToStart(); err != nil {
		identity.release()
		return nil, err
	}
	s := &Store{
		options: options, root: options.Prefix, log: options.Logger, identity: identity,
		closing: make(chan struct{}), failed: make(chan struct{}),
	}
	s.running, s.stop = context.WithCancel(context.Background())
	s.mirrors = mirrors{store: s, moved: make(chan struct{}), done: make(chan struct{})}
	s.health.changed = make(chan struct{})
	s.disk = diskGuard{dir: options.Dir, minimum: options.MinimumFree, free: freeBytes}
	if err := s.connect(); err != nil {
		s.stop()
		identity.release()
		return nil, err
	}
	s.committer = s.newCommitter()
	s.node = newNodeKeeper(s)
	s.Mirror(Prefix("node"), s.node)
	s.registerMetrics()
	s.health.observe(s.reachable(ctx))
	s.disk.check(s.log)
	return s, nil
}

func (s *Store) connect() error {
	if s.options.External != nil {
		client, err := s.options.External.dial(s.log)
		if err != nil {
			return err
		}
		s.client = client
		return nil
	}
	return s.startEmbedded(filepath.Join(s.options.Dir, etcdFolder))
}

func (s *Store) newCommitter() *committer {
	c := &committer{store: s, queue: make(chan *pendingChange, queueLength),
		operations: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "gantry_state_transaction_operations", Help: "Operations that shared one etcd transaction.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 7)}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "gantry_state_transaction_seconds", Help: "Time of one etcd transaction, durable.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14)}),
	}
	if s.etcd != nil {
		c.maxOperations, c.maxBytes = embeddedBatchOperations, embeddedBatchBytes
	} else {
		c.maxOperations, c.maxBytes = s.options.External.batchOperations(), externalBatchBytes
	}
	s.options.Registerer.MustRegister(c.operations, c.seconds)
	return c
}

// Start loads every mirror and begins to watch, registers this node, and keeps both alive until Close. With a quorum
// the mirrors are as new as the moment of the call. Without one it waits Options.StartWait and goes on with what this node's
// own copy holds: stale reads instead of none. A fresh cluster that never had a quorum has nothing to read; then it
// waits until ctx ends.
func (s *Store) Start(ctx context.Context) error {
	fresh, err := s.awaitQuorum(ctx)
	if err != nil {
		return err
	}
	s.workers.Go(s.committer.run)
	if fresh {
		if err := s.checkFormat(ctx); err != nil {
			return err
		}
		if err := s.announce(ctx); err != nil {
			return err
		}
	} else {
		s.log.Warn("no quorum: starting with what this node holds; reads may be stale and nothing can be written")
	}
	revision, err := s.mirrors.load(ctx)
	if err != nil {
		return err
	}
	s.workers.Go(func() { s.mirrors.run(s.running, revision) })
	s.workers.Go(func() { s.node.run(s.running) })
	s.workers.Go(func() { s.watchHealth(s.running) })
	s.workers.Go(func() { s.watchDisk(s.running) })
	if s.etcd != nil {
		s.workers.Go(func() { s.promoteLearners(s.running) })
		s.workers.Go(func() { s.watchAlarms(s.running) })
		s.workers.Go(func() { s.committer.watchLeader(s.running, s.etcd.Server.LeaderChangedNotify) })
	}
	if fresh {
		return s.node.registered(ctx)
	}
	return nil
}

// awaitQuorum reports whether a linearizable read was answered.
func (s *Store) awaitQuorum(ctx context.Context) (bool, error) {
	deadline := time.Now().Add(s.options.StartWait)
	for {
		err := s.reachable(ctx)
		s.health.observe(err)
		if err == nil {
			return true, nil
		}
		if ctx.Err() != nil {
			return false, fmt.Errorf("state: no quorum: %w", context.Cause(ctx))
		}
		select {
		case <-s.failed:
			return false, s.Err()
		default:
		}
		if time.Now().After(deadline) {
			answer, err := s.client.Get(ctx, s.root+formatKey, clientv3.WithSerializable())
			if err == nil && len(answer.Kvs) > 0 {
				return false, nil
			}
			deadline = time.Now().Add(s.options.StartWait)
			s.log.Warn("waiting for the other nodes: no quorum yet")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Get reads a record as of now, by agreement of the quorum.
func (s *Store) Get(ctx context.Context, key string) (Record, bool, error) {
	return s.get(ctx, key)
}

// GetLocal reads a record from this node's own copy, which answers without quorum and may be behind. On an
// external etcd it is the copy of the member that answers.
func (s *Store) GetLocal(ctx context.Context, key string) (Record, bool, error) {
	return s.get(ctx, key, clientv3.WithSerializable())
}

func (s *Store) get(ctx context.Context, key string, options ...clientv3.OpOption) (Record, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	answer, err := s.client.Get(ctx, s.root+key, options...)
	if err != nil {
		return Record{}, false, s.translateRead(err)
	}
	if len(answer.Kvs) == 0 {
		return Record{}, false, nil
	}
	return s.record(answer.Kvs[0]), true, nil
}

// ListOptions bound a [Store.List].
type ListOptions struct {
	// After and Before leave out keys up to and including After, and from Before on. Both are whole keys.
	After, Before string
	// Limit is how many records to answer at most; 0 is all.
	Limit      int
	Descending bool
	KeysOnly   bool
}

// List reads records under a prefix in key order, as of now. Long answers are read in pages of one revision.
func (s *Store) List(ctx context.Context, prefix string, o ListOptions) ([]Record, error) {
	from, until := s.root+prefix, end(s.root+prefix)
	if o.After != "" && s.root+o.After+"\x00" > from {
		from = s.root + o.After + "\x00"
	}
	if o.Before != "" && s.root+o.Before < until {
		until = s.root + o.Before
	}
	var records []Record
	var revision int64
	for from < until {
		page := pageSize
		if o.Limit > 0 {
			page = min(page, o.Limit-len(records))
		}
		options := []clientv3.OpOption{clientv3.WithRange(until), clientv3.WithLimit(int64(page))}
		if o.Descending {
			options = append(options, clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend))
		}
		if o.KeysOnly {
			options = append(options, clientv3.WithKeysOnly())
		}
		if revision > 0 {
			options = append(options, clientv3.WithRev(revision))
		}
		answer, err := s.client.Get(ctx, from, options...)
		if err != nil {
			return nil, s.translateRead(err)
		}
		revision = answer.Header.Revision
		for _, kv := range answer.Kvs {
			records = append(records, s.record(kv))
		}
		if len(answer.Kvs) < page || (o.Limit > 0 && len(records) >= o.Limit) {
			break
		}
		last := string(answer.Kvs[len(answer.Kvs)-1].Key)
		if o.Descending {
			until = last
		} else {
			from = last + "\x00"
		}
	}
	return records, nil
}

// translateRead is translate for reads, where an open outcome is no danger.
func (s *Store) translateRead(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	if !s.Quorum() {
		return errNoQuorum().Because(err)
	}
	return s.translate(err)
}

// ClusterID names the cluster that this state belongs to; empty until Start has seen a quorum once.
func (s *Store) ClusterID() string { return s.clusterID }

// Embedded reports whether etcd runs inside this process.
func (s *Store) Embedded() bool { return s.etcd != nil }

// Failed is closed when the state can never work again in this process, as when the member was removed
// from the cluster; [Store.Err] says why.
func (s *Store) Failed() <-chan struct{} { return s.failed }

// Err is why the store failed, or nil.
func (s *Store) Err() error {
	if p := s.failure.Load(); p != nil {
		return *p
	}
	return nil
}

func (s *Store) fail(err error) {
	if s.failure.CompareAndSwap(nil, &err) {
		close(s.failed)
	}
}

// Close ends the watch, gives up the node's lease, so that others take over at once, and stops the embedded etcd.
// Changes that wait are answered with Unavailable. It is safe to call again.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.node.leave()
		close(s.closing)
		s.stop()
		s.workers.Wait()
		if s.etcd != nil {
			s.stopEmbedded()
		}
		if err := s.client.Close(); err != nil && !errors.Is(err, context.Canceled) {
			s.log.Warn("closing the state", "error", err)
		}
		s.identity.release()
	})
	return nil
}

func freeBytes(dir string) (uint64, error) {
	if _, err := os.Stat(dir); err != nil {
		return 0, err
	}
	return statfs(dir)
}

// Options are what the store was opened with, defaults filled in.
func (s *Store) Options() Options { return s.options }
