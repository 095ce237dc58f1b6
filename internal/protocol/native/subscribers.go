package native

import (
	"cmp"
	"context"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// protocolNative names this protocol among those that subscribers speak.
const protocolNative = "native"

// defaultSubscribers is how many subscribers are named when nobody says.
const defaultSubscribers = 100

// followerOf is who a session says that it is.
func followerOf(subject *gantryv1.Subject) instance.Follower {
	who := instance.Follower{Instance: subject.InstanceId, Address: subject.Address, Protocol: protocolNative}
	if subject.GetService().GetService() != "" {
		who.Service = instance.ServiceOf(subject.Service).Normal()
	}
	return who
}

func (s *instanceService) ListSubscribers(ctx context.Context, r *gantryv1.ListSubscribersRequest) (*gantryv1.ListSubscribersResponse, error) {
	service := instance.ServiceOf(r.Service).Normal()
	if _, err := s.api.may(ctx, access.View, service.Namespace); err != nil {
		return nil, err
	}
	if r.Limit > instance.MaxFollowers {
		return nil, fault.New(fault.Invalid, "request.out_of_range", "%d is more than %d", r.Limit, instance.MaxFollowers).At("limit").Hinted("the answer says how many there are in all")
	}
	answer := &gantryv1.ListSubscribersResponse{}
	switch snapshot := s.api.Instances.Lookup(service); {
	case r.Instance != "":
		if answer.Revision = s.api.Instances.LastChange(service, r.Instance); answer.Revision == 0 && snapshot == nil {
			return nil, errUnknownService(service)
		}
	case snapshot != nil:
		answer.Revision = snapshot.Revision
	}
	f := s.api.Instances.AllFollowing(ctx, service, answer.Revision, int(cmp.Or(r.Limit, defaultSubscribers)))
	answer.Subscribers, answer.Total, answer.Acknowledged, answer.MissingNodes = f.Who, uint32(f.Subscribers), uint32(f.Acknowledged), f.Missing
	return answer, nil
}
