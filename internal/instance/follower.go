package instance

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// MaxFollowers bounds the subscribers that one answer names.
const MaxFollowers = 1000

// Follower is who a subscriber says that it is. It is for people alone.
type Follower struct {
	// Service and Instance are empty when it does not say.
	Service  Service
	Instance string
	// Address is where it is, and Protocol the language that it speaks.
	Address, Protocol string
}

// Following is who follows a service.
type Following struct {
	// Subscribers are all of them, and Acknowledged those that use a revision or a later one.
	Subscribers, Acknowledged int
	// Who names some of them: first those that have not acknowledged.
	Who []*gantryv1.Subscriber
	// Missing are the nodes that did not answer, by name. Their subscribers are not counted.
	Missing []string
}

// Following answers who follows a service on this node, naming at most limit of them.
func (r *Registry) Following(service Service, revision int64, limit int) Following {
	roster := r.table.find(service.Normal())
	if roster == nil {
		return Following{}
	}
	roster.mu.RLock()
	all := make([]*subscription, 0, len(roster.subscriptions))
	for item := range roster.subscriptions {
		all = append(all, item)
	}
	roster.mu.RUnlock()
	f := Following{Subscribers: len(all)}
	node := r.store.Self().Name
	for _, item := range all {
		if item.acked.Load() >= revision {
			f.Acknowledged++
		}
		f.Who = append(f.Who, item.proto(node))
	}
	f.cut(revision, limit)
	return f
}

func (s *subscription) proto(node string) *gantryv1.Subscriber {
	who := s.subscriber.who
	m := &gantryv1.Subscriber{Instance: who.Instance, Address: who.Address, Protocol: who.Protocol, Since: timestamppb.New(s.joined), Revision: s.acked.Load(), Node: node}
	if who.Service.Name != "" {
		m.Service = who.Service.Ref()
	}
	if at := s.ackedAt.Load(); at > 0 {
		m.AcknowledgedAt = timestamppb.New(time.UnixMilli(at))
	}
	return m
}

// add takes in what another node answered.
func (f *Following) add(other Following) {
	f.Subscribers += other.Subscribers
	f.Acknowledged += other.Acknowledged
	f.Who = append(f.Who, other.Who...)
	f.Missing = append(f.Missing, other.Missing...)
}

// cut puts those first that have not acknowledged, and keeps limit.
func (f *Following) cut(revision int64, limit int) {
	has := func(s *gantryv1.Subscriber) int {
		if s.Revision >= revision {
			return 1
		}
		return 0
	}
	slices.SortFunc(f.Who, func(a, b *gantryv1.Subscriber) int {
		return cmp.Or(cmp.Compare(has(a), has(b)), strings.Compare(a.GetService().GetService(), b.GetService().GetService()), strings.Compare(a.Instance, b.Instance),
			strings.Compare(a.Address, b.Address), a.Since.AsTime().Compare(b.Since.AsTime()))
	})
	f.Who = f.Who[:min(len(f.Who), limit)]
	slices.Sort(f.Missing)
}

// AllFollowing is [Registry.Following] over all nodes.
func (r *Registry) AllFollowing(ctx context.Context, service Service, revision int64, limit int) Following {
	f := r.Following(service, revision, limit)
	if r.peers != nil {
		f.add(r.peers.Following(ctx, service, revision, limit))
		f.cut(revision, limit)
	}
	return f
}

// LastChange is the revision of an instance's last change, an operator's included; 0 when it is not known.
func (r *Registry) LastChange(service Service, id string) int64 {
	i, override := r.known(service.Normal(), id)
	if i == nil {
		return 0
	}
	if override != nil {
		return max(i.Modified, override.modified)
	}
	return i.Modified
}
