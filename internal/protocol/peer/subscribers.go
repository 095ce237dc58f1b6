package peer

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gantry-platform/gantry/internal/instance"
	"github.com/gantry-platform/gantry/internal/protocol/peer/peerv1"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// maxWait bounds how long another node may let this one wait.
const maxWait = instance.MaxDrainWait + 5*time.Second

// AwaitAcknowledged implements the service.
func (s *Service) AwaitAcknowledged(ctx context.Context, r *peerv1.AwaitAcknowledgedRequest) (*peerv1.AwaitAcknowledgedResponse, error) {
	if !s.Started() {
		return nil, errStarting
	}
	ctx, cancel := context.WithTimeout(ctx, min(max(r.Wait.AsDuration(), 0), maxWait))
	defer cancel()
	service := instance.ServiceOf(r.Service)
	subscribers, acknowledged := s.Instances.AwaitAcknowledged(ctx, service, r.Revision)
	return &peerv1.AwaitAcknowledgedResponse{Subscribers: uint32(subscribers), Acknowledged: uint32(acknowledged),
		Who: s.Instances.Following(service, r.Revision, named(r.Limit)).Who}, nil
}

// ListSubscribers implements the service.
func (s *Service) ListSubscribers(_ context.Context, r *peerv1.ListSubscribersRequest) (*peerv1.ListSubscribersResponse, error) {
	if !s.Started() {
		return nil, errStarting
	}
	f := s.Instances.Following(instance.ServiceOf(r.Service), r.Revision, named(r.Limit))
	return &peerv1.ListSubscribersResponse{Subscribers: uint32(f.Subscribers), Acknowledged: uint32(f.Acknowledged), Who: f.Who}, nil
}

// named is how many subscribers an answer names.
func named(limit uint32) int { return int(min(limit, instance.MaxFollowers)) }

// AwaitAcknowledged implements instance.Peers.
func (c *Client) AwaitAcknowledged(ctx context.Context, service instance.Service, revision int64, wait time.Duration, limit int) instance.Following {
	answers, missing := each(ctx, c, wait+callTimeout, func(ctx context.Context, client peerv1.PeerServiceClient) (*peerv1.AwaitAcknowledgedResponse, error) {
		return client.AwaitAcknowledged(ctx, &peerv1.AwaitAcknowledgedRequest{Service: service.Ref(), Revision: revision, Wait: durationpb.New(wait), Limit: uint32(limit)})
	})
	return together(answers, missing)
}

// Following implements instance.Peers.
func (c *Client) Following(ctx context.Context, service instance.Service, revision int64, limit int) instance.Following {
	answers, missing := each(ctx, c, callTimeout, func(ctx context.Context, client peerv1.PeerServiceClient) (*peerv1.ListSubscribersResponse, error) {
		return client.ListSubscribers(ctx, &peerv1.ListSubscribersRequest{Service: service.Ref(), Revision: revision, Limit: uint32(limit)})
	})
	return together(answers, missing)
}

// together sums up what nodes answered.
func together[A interface {
	GetSubscribers() uint32
	GetAcknowledged() uint32
	GetWho() []*gantryv1.Subscriber
}](answers map[string]A, missing []string) instance.Following {
	f := instance.Following{Missing: missing}
	for _, answer := range answers {
		f.Subscribers += int(answer.GetSubscribers())
		f.Acknowledged += int(answer.GetAcknowledged())
		f.Who = append(f.Who, answer.GetWho()...)
	}
	return f
}
