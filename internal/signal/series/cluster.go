package series

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/storage/remote"
	"github.com/prometheus/prometheus/util/annotations"
)

// Bounds of questions between nodes.
const (
	// peerTimeout is how long another node may take for one selector. Shorter than a query, so that a node that hangs costs its part of the answer alone.
	peerTimeout = 15 * time.Second
	// peerFrame is how many bytes of chunks stand in one frame; a single series may have more, up to peerFrameLimit.
	peerFrame, peerFrameLimit = 1 << 20, 64 << 20
	// peerAnswers is how many selectors are answered to others at once; more wait.
	peerAnswers = 16
)

// Selection is what one node asks another for. The asker has checked the rights.
type Selection struct {
	// Namespace is the one that may be seen; with Whole it is all.
	Namespace string
	Whole     bool
	// Since and Until are in milliseconds, both included.
	Since, Until int64
	Matchers     []*labels.Matcher
}

// Peer is another node of the cluster.
type Peer struct {
	ID, Name string
	// Absent: it is not there, and need not be asked. What it keeps is missing.
	Absent bool
}

// Peers are the other nodes of the cluster, each with series of its own.
type Peers interface {
	// Others are the other nodes. It is called for every query and must not wait.
	Others() []Peer
	// SelectSeries asks a node; what comes is what [Store.AnswerSelect] writes there. It must be closed, which ends the question.
	SelectSeries(ctx context.Context, id string, selection Selection) (io.ReadCloser, error)
	// ListSeriesLabels asks a node for [Store.AnswerLabels].
	ListSeriesLabels(ctx context.Context, id string, selection Selection, name string, limit int) ([]string, error)
}

// local is the view of this node's series alone.
func (s *Store) local(selection Selection) *View {
	return &View{store: s, namespace: selection.Namespace, whole: selection.Whole, alone: true}
}

// AnswerSelect writes this node's own series that match, for another node, as the frames of Prometheus's streamed remote read, by label set.
func (s *Store) AnswerSelect(ctx context.Context, selection Selection, to io.Writer) error {
	select {
	case s.answers <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.answers }()
	querier, err := s.local(selection).ChunkQuerier(selection.Since, selection.Until)
	if err != nil {
		return err
	}
	defer querier.Close()
	set := querier.Select(ctx, true, &storage.SelectHints{Start: selection.Since, End: selection.Until}, selection.Matchers...)
	_, err = remote.StreamChunkedReadResponses(remote.NewChunkedWriter(to, noFlusher{}), 0, set, nil, peerFrame, &sync.Pool{})
	return err
}

// noFlusher is for writers that do not gather.
type noFlusher struct{}

func (noFlusher) Flush() {}

// AnswerLabels answers the names of labels of this node's own series that match, or the values of one, sorted.
func (s *Store) AnswerLabels(ctx context.Context, selection Selection, name string, limit int) ([]string, error) {
	querier, err := s.local(selection).Querier(selection.Since, selection.Until)
	if err != nil {
		return nil, err
	}
	defer querier.Close()
	hints := &storage.LabelHints{Limit: limit}
	var found []string
	if name == "" {
		found, _, err = querier.LabelNames(ctx, hints, selection.Matchers...)
	} else {
		found, _, err = querier.LabelValues(ctx, name, hints, selection.Matchers...)
	}
	return cloned(found), err
}

// peerQuerier asks one other node. Whatever it cannot learn is a warning beside the answer and never an error.
type peerQuerier struct {
	peers        Peers
	peer         Peer
	view         *View
	since, until int64
}

func (p *peerQuerier) selection(matchers []*labels.Matcher) Selection {
	return Selection{Namespace: p.view.namespace, Whole: p.view.whole, Since: p.since, Until: p.until, Matchers: matchers}
}

func (p *peerQuerier) warning(err error) annotations.Annotations {
	p.view.store.metrics.peersFailed.Inc()
	p.view.store.log.Debug("another node's series could not be read", "node", p.peer.Name, "error", err)
	return annotations.New().Add(fmt.Errorf("the series of node %s are missing: it does not answer", p.peer.Name))
}

// absent is the warning about a node that is not there. No question to it has failed.
func (p *peerQuerier) absent() annotations.Annotations {
	return annotations.New().Add(fmt.Errorf("the series of node %s are missing: it is not there", p.peer.Name))
}

// Select implements storage.Querier. The answer streams while it is read.
func (p *peerQuerier) Select(ctx context.Context, _ bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	if p.peer.Absent {
		return &peerSet{SeriesSet: storage.EmptySeriesSet(), warnings: p.absent()}
	}
	ctx, cancel := context.WithTimeout(ctx, peerTimeout)
	stream, err := p.peers.SelectSeries(ctx, p.peer.ID, p.selection(matchers))
	if err != nil {
		cancel()
		return &peerSet{SeriesSet: storage.EmptySeriesSet(), warnings: p.warning(err)}
	}
	set := remote.NewChunkedSeriesSet(remote.NewChunkedReader(stream, peerFrameLimit, nil), stream, p.since, p.until, func(error) { cancel() })
	// Whoever stops reading in the middle has ended its context, and with it the stream.
	return &peerSet{SeriesSet: set, warn: p.warning}
}

func (p *peerQuerier) LabelValues(ctx context.Context, name string, hints *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return p.labels(ctx, name, hints, matchers)
}

func (p *peerQuerier) LabelNames(ctx context.Context, hints *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return p.labels(ctx, "", hints, matchers)
}

func (p *peerQuerier) labels(ctx context.Context, name string, hints *storage.LabelHints, matchers []*labels.Matcher) ([]string, annotations.Annotations, error) {
	if p.peer.Absent {
		return nil, p.absent(), nil
	}
	ctx, cancel := context.WithTimeout(ctx, peerTimeout)
	defer cancel()
	limit := 0
	if hints != nil {
		limit = hints.Limit
	}
	found, err := p.peers.ListSeriesLabels(ctx, p.peer.ID, p.selection(matchers), name, limit)
	if err != nil {
		return nil, p.warning(err), nil
	}
	return found, nil, nil
}

func (p *peerQuerier) Close() error { return nil }

// peerSet ends where the stream breaks off, with a warning.
type peerSet struct {
	storage.SeriesSet
	warn     func(error) annotations.Annotations
	warnings annotations.Annotations
}

func (s *peerSet) Next() bool {
	if s.SeriesSet.Next() {
		return true
	}
	if err := s.SeriesSet.Err(); err != nil && s.warnings == nil {
		s.warnings = s.warn(err)
	}
	return false
}

func (s *peerSet) Err() error                        { return nil }
func (s *peerSet) Warnings() annotations.Annotations { return s.warnings }

// peerChunkQuerier is peerQuerier in chunks.
type peerChunkQuerier struct{ *peerQuerier }

func (p peerChunkQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.ChunkSeriesSet {
	return storage.NewSeriesSetToChunkSet(p.peerQuerier.Select(ctx, sorted, hints, matchers...))
}

// queriers ask all other nodes.
func (v *View) queriers(since, until int64) []*peerQuerier {
	if v.alone || v.store.peers == nil {
		return nil
	}
	var all []*peerQuerier
	for _, peer := range v.store.peers.Others() {
		if peer.Absent && v.live {
			continue
		}
		all = append(all, &peerQuerier{peers: v.store.peers, peer: peer, view: v, since: since, until: until})
	}
	return all
}
