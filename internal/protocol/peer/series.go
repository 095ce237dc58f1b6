package peer

import (
	"context"
	"io"

	"github.com/prometheus/prometheus/model/labels"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/protocol/peer/peerv1"
	"github.com/gantry-platform/gantry/internal/signal/series"
)

// maxSeriesFrame is the most bytes of one message of a stream: well below gRPC's 4 MiB.
const maxSeriesFrame = 1 << 20

// wireSelection: the types of matchers have the same numbers here and in Prometheus.
func wireSelection(s series.Selection) *peerv1.SeriesSelection {
	selection := &peerv1.SeriesSelection{Namespace: s.Namespace, Whole: s.Whole, Since: s.Since, Until: s.Until}
	for _, m := range s.Matchers {
		selection.Matchers = append(selection.Matchers, &peerv1.SeriesMatcher{Type: peerv1.SeriesMatcher_Type(m.Type), Name: m.Name, Value: m.Value})
	}
	return selection
}

func selectionOf(wire *peerv1.SeriesSelection) (series.Selection, error) {
	selection := series.Selection{Namespace: wire.GetNamespace(), Whole: wire.GetWhole(), Since: wire.GetSince(), Until: wire.GetUntil()}
	for _, m := range wire.GetMatchers() {
		if m.Type < 0 || m.Type > peerv1.SeriesMatcher_TYPE_NOT_REGEXP {
			return selection, status.Errorf(codes.InvalidArgument, "there are no matchers of type %d", m.Type)
		}
		matcher, err := labels.NewMatcher(labels.MatchType(m.Type), m.Name, m.Value)
		if err != nil {
			return selection, status.Errorf(codes.InvalidArgument, "a matcher: %v", err)
		}
		selection.Matchers = append(selection.Matchers, matcher)
	}
	return selection, nil
}

// SelectSeries implements the service.
func (s *Service) SelectSeries(r *peerv1.SelectSeriesRequest, stream grpc.ServerStreamingServer[peerv1.SelectSeriesResponse]) error {
	selection, err := selectionOf(r.Selection)
	if err != nil {
		return err
	}
	if s.Series == nil || !s.Started() {
		return errStarting
	}
	if err := s.Series.AnswerSelect(stream.Context(), selection, frames{stream}); err != nil {
		return wireError(err)
	}
	return nil
}

// frames sends what is written.
type frames struct {
	stream grpc.ServerStreamingServer[peerv1.SelectSeriesResponse]
}

// Write implements io.Writer.
func (f frames) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		part := p[:min(len(p), maxSeriesFrame)]
		// gRPC has encoded the message when Send returns, so that the caller may use p again.
		if err := f.stream.Send(&peerv1.SelectSeriesResponse{Frames: part}); err != nil {
			return n, err
		}
		n += len(part)
		p = p[len(part):]
	}
	return n, nil
}

// ListSeriesLabels implements the service.
func (s *Service) ListSeriesLabels(ctx context.Context, r *peerv1.ListSeriesLabelsRequest) (*peerv1.ListSeriesLabelsResponse, error) {
	selection, err := selectionOf(r.Selection)
	if err != nil {
		return nil, err
	}
	if s.Series == nil || !s.Started() {
		return nil, errStarting
	}
	texts, err := s.Series.AnswerLabels(ctx, selection, r.Name, int(r.Limit))
	if err != nil {
		return nil, wireError(err)
	}
	return &peerv1.ListSeriesLabelsResponse{Texts: texts}, nil
}

// Others implements series.Peers.
func (c *Client) Others() []series.Peer {
	var peers []series.Peer
	for _, node := range c.keepers() {
		peers = append(peers, series.Peer{ID: node.ID, Name: node.Name, Absent: node.PeerAddress == ""})
	}
	return peers
}

// node is a client of one other node.
func (c *Client) node(id string) (peerv1.PeerServiceClient, error) {
	for _, node := range c.others() {
		if node.ID == id {
			return c.to(node.PeerAddress)
		}
	}
	return nil, fault.New(fault.Unavailable, "cluster.node_gone", "the node %s is not there any more", id)
}

// SelectSeries implements series.Peers.
func (c *Client) SelectSeries(ctx context.Context, id string, selection series.Selection) (io.ReadCloser, error) {
	client, err := c.node(id)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	stream, err := client.SelectSeries(ctx, &peerv1.SelectSeriesRequest{Selection: wireSelection(selection)})
	if err != nil {
		cancel()
		return nil, err
	}
	return &frameReader{stream: stream, cancel: cancel}, nil
}

// frameReader reads a stream's frames one behind the other.
type frameReader struct {
	stream grpc.ServerStreamingClient[peerv1.SelectSeriesResponse]
	cancel context.CancelFunc
	rest   []byte
}

// Read implements io.Reader.
func (f *frameReader) Read(p []byte) (int, error) {
	for len(f.rest) == 0 {
		answer, err := f.stream.Recv()
		if err != nil {
			return 0, err // io.EOF when all is there
		}
		f.rest = answer.Frames
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

// Close implements io.Closer.
func (f *frameReader) Close() error {
	f.cancel()
	return nil
}

// ListSeriesLabels implements series.Peers.
func (c *Client) ListSeriesLabels(ctx context.Context, id string, selection series.Selection, name string, limit int) ([]string, error) {
	client, err := c.node(id)
	if err != nil {
		return nil, err
	}
	answer, err := client.ListSeriesLabels(ctx, &peerv1.ListSeriesLabelsRequest{Selection: wireSelection(selection), Name: name, Limit: uint32(max(limit, 0))})
	if err != nil {
		return nil, err
	}
	return answer.Texts, nil
}
