package peer

import (
	"context"
	"crypto/tls"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
	"github.com/gantry-platform/gantry/internal/protocol/peer/peerv1"
	"github.com/gantry-platform/gantry/internal/release"
	"github.com/gantry-platform/gantry/internal/signal/ingest"
	"github.com/gantry-platform/gantry/internal/signal/series"
	"github.com/gantry-platform/gantry/internal/state"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// Service answers other nodes.
type Service struct {
	peerv1.UnimplementedPeerServiceServer

	Store     *state.Store
	Instances *instance.Registry
	Releases  *release.Releaser
	// Series are this node's own metrics.
	Series *series.Store
	// Self answers this node's own figures.
	Self func() *gantryv1.Node
	// Started reports whether this node has read what it is asked about. Until then it only lets others join.
	Started func() bool
	// Token of the embedded cluster, handed to those who join.
	Token string
}

// NewServer makes the gRPC server for other nodes.
func NewServer(service *Service, traces *TraceService, figures *FiguresService, events *EventService, config *tls.Config) *grpc.Server {
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(config)), grpc.MaxRecvMsgSize(ingest.MaxRequest+64<<10),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 2 * time.Second, PermitWithoutStream: true}))
	peerv1.RegisterPeerServiceServer(server, service)
	peerv1.RegisterTracePeerServiceServer(server, traces)
	peerv1.RegisterFiguresPeerServiceServer(server, figures)
	peerv1.RegisterEventPeerServiceServer(server, events)
	return server
}

// Join implements the service.
func (s *Service) Join(ctx context.Context, r *peerv1.JoinRequest) (*peerv1.JoinResponse, error) {
	if r.Name == "" || len(r.PeerUrls) == 0 {
		return nil, status.Error(codes.InvalidArgument, "a name and a peer URL are needed to join")
	}
	members, err := s.Store.AddMember(ctx, r.Name, r.PeerUrls)
	if err != nil {
		return nil, wireError(err)
	}
	return &peerv1.JoinResponse{Members: members, ClusterToken: s.Token}, nil
}

var errStarting = status.Error(codes.Unavailable, "this node is starting")

// Beats implements the service.
func (s *Service) Beats(_ context.Context, r *peerv1.BeatsRequest) (*peerv1.BeatsResponse, error) {
	// It would take every instance for unknown.
	if !s.Started() {
		return nil, errStarting
	}
	beats := make([]instance.ServiceBeats, len(r.Beats))
	for i, beat := range r.Beats {
		beats[i] = instance.ServiceBeats{Service: instance.ServiceOf(beat.Service), IDs: beat.Ids}
	}
	answer := &peerv1.BeatsResponse{}
	for _, unknown := range s.Instances.AcceptBeats(beats) {
		answer.Answers = append(answer.Answers, &gantryv1.BeatResponse{Unknown: unknown})
	}
	return answer, nil
}

// Applied implements the service.
func (s *Service) Applied(_ context.Context, r *peerv1.AppliedRequest) (*peerv1.AppliedResponse, error) {
	if !s.Started() {
		return nil, errStarting
	}
	answer := &peerv1.AppliedResponse{}
	if r.Ref != nil {
		answer.Reports = s.Releases.Applied(release.RefOf(r.Ref))
	} else {
		answer.Reports = s.Releases.AppliedBy(r.Service, r.Instance)
	}
	for _, report := range answer.Reports {
		report.Node = s.Store.Self().ID
	}
	return answer, nil
}

// CountApplied implements the service.
func (s *Service) CountApplied(_ context.Context, r *peerv1.CountAppliedRequest) (*peerv1.CountAppliedResponse, error) {
	if !s.Started() {
		return nil, errStarting
	}
	if len(r.Refs) > release.MaxPage {
		return nil, status.Errorf(codes.InvalidArgument, "%d documents, at most %d", len(r.Refs), release.MaxPage)
	}
	refs := make([]release.Ref, len(r.Refs))
	for i, ref := range r.Refs {
		refs[i] = release.RefOf(ref)
	}
	return &peerv1.CountAppliedResponse{Applied: s.Releases.CountApplied(refs)}, nil
}

// Describe implements the service.
func (s *Service) Describe(context.Context, *peerv1.DescribeRequest) (*peerv1.DescribeResponse, error) {
	return &peerv1.DescribeResponse{Node: s.Self()}, nil
}

// wireError keeps what an operator needs across the wire.
func wireError(err error) error {
	f, ok := fault.As(err)
	if !ok {
		return status.Error(codes.Internal, err.Error())
	}
	code := codes.FailedPrecondition
	if f.Code == fault.Unavailable {
		code = codes.Unavailable
	}
	return status.Error(code, f.Error())
}
