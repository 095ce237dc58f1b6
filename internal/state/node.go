package state

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Node is a running server.
type Node struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Addresses are host:port as others reach them. PeerAddress is empty on a node that is alone.
	HTTPAddress string    `json:"http"`
	GRPCAddress string    `json:"grpc"`
	PeerAddress string    `json:"peer,omitempty"`
	Version     string    `json:"version"`
	Started     time.Time `json:"started"`
}

// Self is this node. It is the same before and after its lease was lost.
func (s *Store) Self() Node { return s.node.self }

// Nodes are the live nodes, by id. The slice is shared: do not change it.
func (s *Store) Nodes() []Node { return *s.node.nodes.Load() }

// NodesChanged is closed at the next change of [Store.Nodes]. Take the channel first, then look.
func (s *Store) NodesChanged() <-chan struct{} {
	s.node.mu.Lock()
	defer s.node.mu.Unlock()
	return s.node.changed
}

const (
	// goneFor is how long a node of an external etcd is missed that this node has seen: a restart or a repair is over by then, and in a fleet that grows and shrinks most
	// nodes never come back.
	goneFor = 24 * time.Hour
	// maxGone bounds those that are missed.
	maxGone = 100
)

// Absent are the nodes that belong to the cluster and are not live, by name: what they alone keep cannot be had, and whoever answers for all says so. On the
// embedded etcd they are its members that are not there, however long they have been away, until they are removed; of these only the name is known, and one that
// never started has none and is left out. An external etcd knows of live nodes alone: there they are those that this node has seen since it started and
// that went within the last day. Absent never waits.
func (s *Store) Absent() []Node { return s.absent(time.Now()) }

func (s *Store) absent(now time.Time) []Node {
	there := map[string]bool{s.node.self.Name: true}
	for _, node := range s.Nodes() {
		there[node.Name] = true
	}
	var absent []Node
	if s.etcd == nil {
		absent = s.node.missed(now)
	} else {
		for _, m := range s.etcd.Server.Cluster().Members() {
			absent = append(absent, Node{Name: m.Name})
		}
	}
	absent = slices.DeleteFunc(absent, func(n Node) bool { return n.Name == "" || there[n.Name] })
	slices.SortFunc(absent, func(a, b Node) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(absent, func(a, b Node) bool { return a.Name == b.Name })
}

// nodeKeeper keeps this node's record under a lease, the only lease it has, and mirrors the records of all.
type nodeKeeper struct {
	store *Store
	self  Node
	nodes atomic.Pointer[[]Node]

	mu      sync.Mutex
	known   map[string]Node
	gone    map[string]goneNode
	changed chan struct{}
	lease   clientv3.LeaseID
}

// goneNode is one that was live, and when it was seen to be gone.
type goneNode struct {
	node Node
	at   time.Time
}

func newNodeKeeper(s *Store) *nodeKeeper {
	self := s.options.Node
	self.ID = s.identity.NodeID
	self.Started = time.Now().UTC().Truncate(time.Millisecond)
	k := &nodeKeeper{store: s, self: self, known: map[string]Node{}, gone: map[string]goneNode{}, changed: make(chan struct{})}
	k.nodes.Store(&[]Node{})
	return k
}

// Reset implements [Mirrored].
func (k *nodeKeeper) Reset(records []Record, revision int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	before := maps.Clone(k.known)
	clear(k.known)
	for _, record := range records {
		k.put(record)
	}
	for key, node := range before {
		if _, live := k.known[key]; !live {
			k.miss(key, node)
		}
	}
	k.publish()
}

// Apply implements [Mirrored].
func (k *nodeKeeper) Apply(events []Event, revision int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, event := range events {
		if event.Deleted {
			if node, was := k.known[event.Key]; was {
				k.miss(event.Key, node)
			}
			delete(k.known, event.Key)
		} else {
			k.put(event.Record)
		}
	}
	k.publish()
}

func (k *nodeKeeper) put(record Record) {
	var node Node
	if err := json.Unmarshal(record.Value, &node); err != nil || node.ID == "" {
		k.store.log.Error("a stored node cannot be read", "key", record.Key, "error", err)
		return
	}
	k.known[record.Key] = node
	delete(k.gone, record.Key)
}

// miss notes that a node has gone; the caller holds mu.
func (k *nodeKeeper) miss(key string, node Node) {
	k.gone[key] = goneNode{node, time.Now()}
	if len(k.gone) <= maxGone {
		return
	}
	oldest := key
	for key, gone := range k.gone {
		if gone.at.Before(k.gone[oldest].at) {
			oldest = key
		}
	}
	delete(k.gone, oldest)
}

// missed are the nodes that went lately.
func (k *nodeKeeper) missed(now time.Time) []Node {
	k.mu.Lock()
	defer k.mu.Unlock()
	maps.DeleteFunc(k.gone, func(_ string, gone goneNode) bool { return now.Sub(gone.at) > goneFor })
	var nodes []Node
	for _, gone := range k.gone {
		nodes = append(nodes, gone.node)
	}
	return nodes
}

func (k *nodeKeeper) publish() {
	nodes := make([]Node, 0, len(k.known))
	for _, node := range k.known {
		nodes = append(nodes, node)
	}
	sort.Slice(nodes, func(i, j int) bool { return nodes[i].ID < nodes[j].ID })
	k.nodes.Store(&nodes)
	close(k.changed)
	k.changed = make(chan struct{})
}

// run keeps the lease, and gets a new one whenever it was lost.
func (k *nodeKeeper) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := k.hold(ctx); err != nil && ctx.Err() == nil {
			k.store.log.Warn("this node's lease", "error", err)
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// hold takes a lease, writes the node's record under it, and returns when the lease is gone.
func (k *nodeKeeper) hold(ctx context.Context) error {
	client := k.store.client
	seconds := int64(max(k.store.options.NodeTTL/time.Second, 2))
	grantCtx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	lease, err := client.Grant(grantCtx, seconds)
	if err != nil {
		return fmt.Errorf("state: grant: %w", err)
	}
	value, err := json.Marshal(k.self)
	if err != nil {
		return err
	}
	if _, err := client.Put(grantCtx, k.store.root+Key("node", k.self.ID), string(value), clientv3.WithLease(lease.ID)); err != nil {
		return fmt.Errorf("state: write the node's record: %w", err)
	}
	k.mu.Lock()
	k.lease = lease.ID
	k.mu.Unlock()
	alive, err := client.KeepAlive(ctx, lease.ID)
	if err != nil {
		return fmt.Errorf("state: keep alive: %w", err)
	}
	for range alive {
		// Each answer prolongs the lease; the channel closes when it is gone.
	}
	return nil
}

// registered waits until the node sees its own record.
func (k *nodeKeeper) registered(ctx context.Context) error {
	for {
		changed := k.store.NodesChanged()
		for _, node := range k.store.Nodes() {
			if node.ID == k.self.ID {
				return nil
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-k.store.closing:
			return errClosing()
		}
	}
}

// leave gives the lease back, so that the others need not wait for its end.
func (k *nodeKeeper) leave() {
	k.mu.Lock()
	lease := k.lease
	k.mu.Unlock()
	if lease == 0 || !k.store.Quorum() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if _, err := k.store.client.Revoke(ctx, lease); err != nil {
		k.store.log.Debug("could not give back the node's lease", "error", err)
	}
}
