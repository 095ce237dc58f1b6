package instance

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// ServiceBeats are beats of instances of one service.
type ServiceBeats struct {
	Service Service
	// IDs of instances; or of an instance and one of its checks that wait for reports, with a zero byte between them.
	IDs []string
}

// Beat keeps instances alive, at most [MaxBatch] at once, and returns the ids that nobody knows: they must be registered
// again. Beats for instances of other nodes are handed on, and answered when their owner has.
//
// Errors: TooLarge; Unavailable "instance.owner_unreachable" when the owner of some cannot be reached though there is a quorum:
// beat again.
func (r *Registry) Beat(ctx context.Context, service Service, ids []string) (unknown []string, err error) {
	if len(ids) > MaxBatch {
		return nil, fault.New(fault.TooLarge, "instance.batch_too_large", "%d beats at once", len(ids)).
			At("ids").Hinted("send at most %d in one request", MaxBatch)
	}
	service = service.Normal()
	unknown, elsewhere := r.take(service, ids)
	for node, theirs := range elsewhere {
		answer, err := r.forwards.send(ctx, node, ServiceBeats{Service: service, IDs: theirs})
		if err != nil {
			r.metrics.unforwarded.Add(float64(len(theirs)))
			if r.stale.Load() && ctx.Err() == nil {
				continue // who can expire them gives grace when the quorum is back
			}
			return nil, err
		}
		unknown = append(unknown, answer...)
	}
	return unknown, nil
}

// AcceptBeats takes beats that another node handed on. What this node does not own, by what it knows of the cluster, is not handed
// on again. It answers the unknown ids of each.
func (r *Registry) AcceptBeats(beats []ServiceBeats) [][]string {
	answers := make([][]string, len(beats))
	for n, b := range beats {
		answers[n], _ = r.take(b.Service.Normal(), b.IDs)
	}
	return answers
}

// take notes the beats of this node's instances, and sorts out the others.
func (r *Registry) take(service Service, ids []string) (unknown []string, elsewhere map[string][]string) {
	roster := r.table.find(service)
	if roster == nil {
		return ids, nil
	}
	members := r.ownership.members()
	now := r.now()
	roster.mu.RLock()
	defer roster.mu.RUnlock()
	for _, beat := range ids {
		id, check, ofCheck := strings.Cut(beat, checkBeat)
		i := roster.find(id)
		switch {
		case i == nil && roster.pending[id] != nil:
		case i == nil:
			unknown = append(unknown, beat)
		case i.life.owned && ofCheck:
			r.metrics.beats.Inc()
			if !i.life.hear(check, now) {
				unknown = append(unknown, beat)
			}
		case i.life.owned:
			r.metrics.beats.Inc()
			i.life.heard.Store(now)
			if i.Health == gantryv1.Health_HEALTH_UNHEALTHY && !i.Persistent {
				r.settleLater(i.life)
			}
		default:
			if owner := members.ownerOf(roster, i); owner != r.self {
				if elsewhere == nil {
					elsewhere = make(map[string][]string)
				}
				elsewhere[owner] = append(elsewhere[owner], beat)
			}
		}
	}
	return unknown, elsewhere
}

const (
	// maxForwards bounds the calls that wait for one node; beyond it the node is too slow, and callers are told.
	maxForwards = 16384
	// forwardDelay is how long the first beat of a batch waits for company.
	forwardDelay = 3 * time.Millisecond
	// maxForwardBatch bounds the calls that one message carries.
	maxForwardBatch = 2048
	// forwardTimeout bounds one message to another node.
	forwardTimeout = 3 * time.Second
)

// forwards hands beats to other nodes: one message at a time to each node, which carries all that came in meanwhile.
type forwards struct {
	registry *Registry
	mu       sync.Mutex
	nodes    map[string]*forwarder
}

type forwarder struct {
	node    string
	waiting []*forward
	sending bool
}

// forward is one caller's beats.
type forward struct {
	beats   ServiceBeats
	unknown []string
	err     error
	done    chan struct{}
}

func (f *forwards) init(r *Registry) { f.registry, f.nodes = r, make(map[string]*forwarder) }

// keep forgets the nodes that are gone and have nothing waiting.
func (f *forwards) keep(m *members) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for node, forwarder := range f.nodes {
		if !m.live(node) && !forwarder.sending {
			delete(f.nodes, node)
		}
	}
}

func errUnreachable(node string) *fault.Error {
	return fault.New(fault.Unavailable, "instance.owner_unreachable", "node %s, which keeps these instances alive, does not answer", node).
		Hinted("beat again; if the node is gone, the others take over within seconds")
}

// send hands beats to a node and waits for its answer.
func (f *forwards) send(ctx context.Context, node string, beats ServiceBeats) ([]string, error) {
	if f.registry.peers == nil {
		return nil, errUnreachable(node)
	}
	w := &forward{beats: beats, done: make(chan struct{})}
	f.mu.Lock()
	to := f.nodes[node]
	if to == nil {
		to = &forwarder{node: node}
		f.nodes[node] = to
	}
	if len(to.waiting) >= maxForwards || f.registry.lifetime.Err() != nil {
		f.mu.Unlock()
		return nil, errUnreachable(node)
	}
	to.waiting = append(to.waiting, w)
	if !to.sending {
		to.sending = true
		f.registry.workers.Go(func() { f.run(to) })
	}
	f.mu.Unlock()
	select {
	case <-w.done:
		return w.unknown, w.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// run sends to one node until nothing waits.
func (f *forwards) run(to *forwarder) {
	delay := time.NewTimer(forwardDelay)
	defer delay.Stop()
	select {
	case <-delay.C:
	case <-f.registry.lifetime.Done():
	}
	for {
		f.mu.Lock()
		n := min(len(to.waiting), maxForwardBatch)
		if n == 0 {
			to.sending, to.waiting = false, nil
			f.mu.Unlock()
			return
		}
		batch := to.waiting[:n:n]
		to.waiting = to.waiting[n:]
		f.mu.Unlock()
		f.deliver(to.node, batch)
	}
}

func (f *forwards) deliver(node string, batch []*forward) {
	ctx, cancel := context.WithTimeout(f.registry.lifetime, forwardTimeout)
	defer cancel()
	beats := make([]ServiceBeats, len(batch))
	count := 0
	for n, w := range batch {
		beats[n] = w.beats
		count += len(w.beats.IDs)
	}
	answers, err := f.registry.peers.Beats(ctx, node, beats)
	if err == nil && len(answers) != len(batch) {
		err = fault.New(fault.Internal, "instance.bad_peer", "node %s answered %d of %d beats", node, len(answers), len(batch))
	}
	if err == nil {
		f.registry.metrics.forwarded.Add(float64(count))
	}
	for n, w := range batch {
		if err != nil {
			w.err = errUnreachable(node).Because(err)
		} else {
			w.unknown = answers[n]
		}
		close(w.done)
	}
}
