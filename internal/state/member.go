package state

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/gantry-platform/gantry/internal/fault"
)

// Member is a member of the embedded etcd cluster.
type Member struct {
	ID       string
	Name     string
	PeerURLs []string
	// Learner: it receives the log and does not vote yet.
	Learner bool
	Leader  bool
}

func errExternal() error {
	return fault.New(fault.Precondition, "state.external", "the state is on an external etcd").
		Hinted("its members are managed with etcd's own tools")
}

// Members lists the members of the embedded cluster; empty on an external etcd.
func (s *Store) Members(ctx context.Context) ([]Member, error) {
	if s.etcd == nil {
		return nil, nil
	}
	members := []Member{}
	leader := uint64(s.etcd.Server.Leader())
	for _, m := range s.etcd.Server.Cluster().Members() {
		members = append(members, Member{
			ID: strconv.FormatUint(uint64(m.ID), 16), Name: m.Name, PeerURLs: m.PeerURLs, Learner: m.IsLearner,
			Leader: uint64(m.ID) == leader,
		})
	}
	return members, nil
}

// addRetry is how often a member is offered again to a cluster that does not feel healthy yet.
const addRetry = 500 * time.Millisecond

// AddMember adds a member as a learner, which becomes a voter by itself once it has caught up, and answers the
// members that the new one starts with. While the cluster is not healthy enough for a change it tries again until ctx ends.
func (s *Store) AddMember(ctx context.Context, name string, peerURLs []string) (map[string]string, error) {
	if s.etcd == nil {
		return nil, errExternal()
	}
	listed, err := s.client.MemberList(ctx)
	if err != nil {
		return nil, s.translate(err)
	}
	for _, member := range listed.Members {
		if member.Name == name {
			return nil, fault.New(fault.AlreadyExists, "cluster.member_exists", "a member %q is in the cluster", name).
				At("name").Hinted("remove it first with `gantry cluster remove %s`, or start the new node with another --name", name)
		}
	}
	added, err := s.client.MemberAddAsLearner(ctx, peerURLs)
	for errors.Is(err, rpctypes.ErrUnhealthy) && ctx.Err() == nil {
		// etcd wants its members to have been connected for 5 s before it changes them.
		select {
		case <-time.After(addRetry):
			added, err = s.client.MemberAddAsLearner(ctx, peerURLs)
		case <-ctx.Done():
		}
	}
	switch {
	case errors.Is(err, rpctypes.ErrPeerURLExist):
		// A start that was cut off before: the same member may go on.
		return s.initialMembers(listed.Members, name, peerURLs)
	case errors.Is(err, rpctypes.ErrTooManyLearners), errors.Is(err, rpctypes.ErrUnhealthy):
		return nil, fault.New(fault.Unavailable, "cluster.busy", "the cluster cannot take another member now: %v", err).
			Hinted("wait until the last one has joined and every member is up, then try again").Because(err)
	case err != nil:
		return nil, s.translate(err)
	}
	s.log.Info("a member joins", "name", name, "id", strconv.FormatUint(added.Member.ID, 16), "peer_urls", peerURLs)
	return s.initialMembers(added.Members, name, peerURLs)
}

// initialMembers is what a joining member must be told: every member by name, itself included.
func (s *Store) initialMembers(members []*etcdserverpb.Member, name string, peerURLs []string) (map[string]string, error) {
	all := map[string]string{}
	for _, member := range members {
		key := member.Name
		if key == "" && strings.Join(member.PeerURLs, ",") == strings.Join(peerURLs, ",") {
			key = name
		}
		if key == "" {
			return nil, fault.New(fault.Unavailable, "cluster.busy", "another member (%s) is joining and has not started yet", strings.Join(member.PeerURLs, ",")).
				Hinted("start it, or remove it with `gantry cluster remove %x`", member.ID)
		}
		for _, raw := range member.PeerURLs {
			parsed, err := url.Parse(raw)
			if err != nil {
				return nil, fmt.Errorf("state: member %s: %w", key, err)
			}
			all[key] = parsed.Host
		}
	}
	return all, nil
}

// RemoveMember takes a member out, by name or id. The one that leads may be removed too.
func (s *Store) RemoveMember(ctx context.Context, nameOrID string) error {
	if s.etcd == nil {
		return errExternal()
	}
	listed, err := s.client.MemberList(ctx)
	if err != nil {
		return s.translate(err)
	}
	var names []string
	for _, member := range listed.Members {
		id := strconv.FormatUint(member.ID, 16)
		if member.Name != nameOrID && id != nameOrID {
			names = append(names, member.Name)
			continue
		}
		if len(listed.Members) == 1 {
			return fault.New(fault.Precondition, "cluster.last_member", "%q is the only member", nameOrID).
				Hinted("a cluster keeps at least one; stop the server instead")
		}
		_, err := s.client.MemberRemove(ctx, member.ID)
		if errors.Is(err, rpctypes.ErrUnhealthy) {
			return fault.New(fault.Unavailable, "cluster.would_lose_quorum", "without %q the cluster would have no quorum: %v", nameOrID, err).
				Hinted("bring back the members that are down first").Because(err)
		}
		return s.translate(err)
	}
	return fault.New(fault.NotFound, "cluster.unknown_member", "no member %q", nameOrID).
		At("member").Hinted("members are: %s", strings.Join(names, ", "))
}

// announce tells the cluster this member's address when it is another than before: a node that was alone had none, and hosts move.
func (s *Store) announce(ctx context.Context) error {
	if s.etcd == nil || s.options.Embedded.PeerListen == "" {
		return nil
	}
	server := s.etcd.Server
	mine := server.Cluster().Member(server.MemberID())
	wanted := s.etcd.Config().AdvertisePeerUrls
	urls := make([]string, len(wanted))
	for i := range wanted {
		urls[i] = wanted[i].String()
	}
	if mine == nil || strings.Join(mine.PeerURLs, ",") == strings.Join(urls, ",") {
		return nil
	}
	s.log.Info("this member has another address than before", "before", mine.PeerURLs, "now", urls)
	if _, err := s.client.MemberUpdate(ctx, uint64(server.MemberID()), urls); err != nil {
		return s.translate(err)
	}
	return nil
}

const promoteInterval = time.Second

// promoteLearners makes voters of learners that have caught up. Only the leader knows that, so only it tries.
func (s *Store) promoteLearners(ctx context.Context) {
	ticker := time.NewTicker(promoteInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		server := s.etcd.Server
		if server.Leader() != server.MemberID() {
			continue
		}
		for _, member := range server.Cluster().Members() {
			if !member.IsLearner {
				continue
			}
			callCtx, cancel := context.WithTimeout(ctx, commitTimeout)
			_, err := s.client.MemberPromote(callCtx, uint64(member.ID))
			cancel()
			switch {
			case err == nil:
				s.log.Info("a member votes now", "name", member.Name)
			case errors.Is(err, rpctypes.ErrMemberLearnerNotReady):
			default:
				s.log.Warn("cannot make a voter of a member", "name", member.Name, "error", err)
			}
		}
	}
}

// Figures describe the state for operators.
type Figures struct {
	DatabaseBytes, QuotaBytes int64
	// Revision is the newest of this node's etcd, Mirrored the newest that its memory shows.
	Revision, Mirrored int64
}

// Figures answers this node's figures; it asks etcd.
func (s *Store) Figures(ctx context.Context) (Figures, error) {
	f := Figures{Mirrored: s.Revision()}
	if s.etcd != nil {
		f.Revision = s.etcd.Server.KV().Rev()
		f.DatabaseBytes = s.etcd.Server.Backend().Size()
		f.QuotaBytes = s.options.Embedded.Quota
		if f.QuotaBytes == 0 {
			f.QuotaBytes = 4 << 30
		}
		return f, nil
	}
	status, err := s.client.Status(ctx, s.client.Endpoints()[0])
	if err != nil {
		return f, s.translateRead(err)
	}
	f.Revision, f.DatabaseBytes, f.QuotaBytes = status.Header.Revision, status.DbSize, status.DbSizeQuota
	return f, nil
}
