package peer

import (
	"context"
	"math"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gantry-platform/gantry/internal/protocol/peer/peerv1"
	"github.com/gantry-platform/gantry/internal/signal"
	"github.com/gantry-platform/gantry/internal/signal/red"
)

const (
	// maxFiguresAnswer bounds what a node answers of what it counted: some 500,000 endpoints.
	maxFiguresAnswer = 128 << 20
	// olderTimeout is for questions about more than memory holds: another node reads its series for them.
	olderTimeout = 15 * time.Second
	// inMemory is how far back the figures of a node that has run for long are in memory.
	inMemory = time.Hour
)

// FiguresService answers other nodes what this one counted.
type FiguresService struct {
	peerv1.UnimplementedFiguresPeerServiceServer

	Red red.Counter
	// Started is as of [Service].
	Started func() bool
}

// Count implements the service. The subjects have the same numbers here and in the room, which refuses those that it does not know.
func (s *FiguresService) Count(ctx context.Context, r *peerv1.CountRequest) (*peerv1.CountResponse, error) {
	if !s.Started() {
		return nil, errStarting
	}
	part, err := s.Red.Count(ctx, red.Question{Subject: red.Subject(r.Subject), Namespace: r.Namespace, Service: r.Service, Lane: r.Lane, Since: momentOf(r.Since), Until: momentOf(r.Until)})
	if err != nil {
		return nil, wireError(err)
	}
	return wirePart(&part), nil
}

// Counters are what the other nodes counted, by the nodes' names.
func (c *Client) Counters() map[string]red.Counter {
	counters := map[string]red.Counter{}
	for _, node := range c.keepers() {
		counters[node.Name] = &counter{client: c, address: node.PeerAddress}
	}
	return counters
}

// counter asks one node.
type counter struct {
	client  *Client
	address string
}

// Count implements [red.Counter].
func (c *counter) Count(ctx context.Context, q red.Question) (red.Part, error) {
	connection, err := c.client.connection(c.address)
	if err != nil {
		return red.Part{}, err
	}
	timeout := callTimeout
	if !q.Since.IsZero() && time.Since(q.Since) > inMemory {
		timeout = olderTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	answer, err := peerv1.NewFiguresPeerServiceClient(connection).Count(ctx, &peerv1.CountRequest{Subject: peerv1.FiguresSubject(q.Subject), Namespace: q.Namespace, Service: q.Service, Lane: q.Lane,
		Since: bound(q.Since), Until: bound(q.Until)}, grpc.MaxCallRecvMsgSize(maxFiguresAnswer))
	if err != nil {
		return red.Part{}, err
	}
	return partOf(q.Namespace, answer)
}

// momentOf is the zero time for none.
func momentOf(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

func wirePart(p *red.Part) *peerv1.CountResponse {
	wire := &peerv1.CountResponse{Since: bound(p.Since), Until: bound(p.Until), FromSeries: p.FromSeries, Partial: p.Partial, Services: p.Services, Lanes: p.Lanes, Unlisted: p.Unlisted}
	for i := range p.Counts {
		c := &p.Counts[i]
		wire.Counts = append(wire.Counts, &peerv1.Count{Names: c.Names[:], Success: wireBuckets(&c.Outcomes[signal.Success]), Refused: wireBuckets(&c.Outcomes[signal.Refused]),
			Failed: wireBuckets(&c.Outcomes[signal.Failed]), Instances: c.Instances, Endpoints: c.Endpoints, Zone: c.Zone, First: bound(c.First), Last: bound(c.Last),
			Behind: durationpb.New(c.Behind), Spans: c.Spans, Late: c.Late})
	}
	for i := range p.Errors {
		e := &p.Errors[i]
		one := &peerv1.CountedError{Service: e.Service, Code: e.Code, Fingerprint: e.Fingerprint, Type: e.Type, Message: e.Message, Frame: e.Frame, Endpoint: e.Endpoint,
			Count: e.Count, Uncertain: e.Uncertain, First: bound(e.First), Last: bound(e.Last)}
		if !e.Trace.IsZero() {
			one.TraceId = e.Trace[:]
		}
		wire.Errors = append(wire.Errors, one)
	}
	for i := range p.Excesses {
		e := &p.Excesses[i]
		wire.Excesses = append(wire.Excesses, &peerv1.CountedExcess{Service: e.Service, What: e.What, Limit: uint32(e.Limit), Turned: e.Turned, Example: e.Example, Last: bound(e.Last)})
	}
	return wire
}

// wireBuckets leaves out a histogram that holds nothing.
func wireBuckets(b *red.Buckets) *peerv1.DurationBuckets {
	if len(b.Counts) == 0 && b.Zeros == 0 {
		return nil
	}
	return &peerv1.DurationBuckets{Schema: b.Schema, First: b.First, Counts: b.Counts, Zeros: b.Zeros, Sum: b.Sum}
}

// partOf reads an answer. What its numbers may be is the room's to check.
func partOf(namespace string, wire *peerv1.CountResponse) (red.Part, error) {
	p := red.Part{Window: red.Window{Since: momentOf(wire.Since), Until: momentOf(wire.Until), FromSeries: wire.FromSeries, Partial: wire.Partial},
		Services: wire.Services, Lanes: wire.Lanes, Unlisted: wire.Unlisted}
	for _, c := range wire.Counts {
		one := red.Count{Outcomes: [3]red.Buckets{signal.Success: bucketsOf(c.Success), signal.Refused: bucketsOf(c.Refused), signal.Failed: bucketsOf(c.Failed)},
			Instances: c.Instances, Endpoints: c.Endpoints, Zone: c.Zone, First: momentOf(c.First), Last: momentOf(c.Last), Behind: c.Behind.AsDuration(), Spans: c.Spans, Late: c.Late}
		if len(c.Names) > len(one.Names) {
			return red.Part{}, status.Errorf(codes.Internal, "a count with %d names", len(c.Names))
		}
		copy(one.Names[:], c.Names)
		p.Counts = append(p.Counts, one)
	}
	for _, e := range wire.Errors {
		one := red.ErrorGroup{Service: e.Service, Code: e.Code, Fingerprint: e.Fingerprint, Type: e.Type, Message: e.Message, Frame: e.Frame, Endpoint: e.Endpoint,
			Count: e.Count, Uncertain: min(e.Uncertain, e.Count), First: momentOf(e.First), Last: momentOf(e.Last)}
		copy(one.Trace[:], e.TraceId)
		p.Errors = append(p.Errors, one)
	}
	for _, e := range wire.Excesses {
		p.Excesses = append(p.Excesses, red.Excess{Namespace: namespace, Service: e.Service, What: e.What, Limit: int(min(e.Limit, math.MaxInt32)), Turned: e.Turned,
			Example: e.Example, Last: momentOf(e.Last)})
	}
	return p, nil
}

func bucketsOf(wire *peerv1.DurationBuckets) red.Buckets {
	if wire == nil {
		return red.Buckets{}
	}
	return red.Buckets{Schema: wire.Schema, First: wire.First, Counts: wire.Counts, Zeros: wire.Zeros, Sum: wire.Sum}
}
