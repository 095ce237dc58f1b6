//go:build linux

package robustness

import (
	"context"
	"fmt"
	"testing"
	"time"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// localTTL is longer than any of the partitions, so that who is cut off together with its node is waited for.
const localTTL = time.Minute

// TestPartition cuts each node off in turn, the leader first, for longer than its lease, with services on both sides.
func TestPartition(t *testing.T) {
	t.Parallel()
	c := newNetworkCluster(t)
	f := startFleet(t, c, 5, 3)
	for _, n := range c.nodes {
		f.addSession("loan-beside-"+n.name, n.namespace, localTTL, n)
	}
	f.settle()
	l := startLoad(t, c.nodes)
	l.awaitProgress(10*time.Second, c.nodes...)
	for round, victim := range c.leaderFirst() {
		others := c.without(victim)
		c.network.cut(victim.name)
		l.awaitProgress(20*time.Second, others...)
		c.awaitNodes(others...)
		late := checkCutOff(t, f, victim, fmt.Sprintf("loan-late-%d", round))
		if round == 0 {
			// Once for as long as the SDK needs to find out by itself that nobody answers any more.
			f.awaitSessions(30*time.Second, others...)
		}
		c.network.heal(victim.name)
		victim.awaitReady()
		c.awaitNodes(c.nodes...)
		f.add(late)
		f.settle()
		l.awaitProgress(15*time.Second, c.nodes...)
	}
	l.end()
	c.awaitAgreement()
	l.check(c.nodes)
	f.check()
}

// checkCutOff looks at a node without quorum: it answers from memory and says so, takes registrations
// provisionally, and refuses releases. It returns a service that has registered there.
func checkCutOff(t *testing.T, f *fleet, victim *node, id string) *member {
	t.Helper()
	eventually(t, 10*time.Second, func(ctx context.Context) error {
		known, stale, err := victim.api.lookup(ctx, sessionService)
		if err == nil && (!stale || len(known) == 0) {
			err = fmt.Errorf("%s is cut off and answers with %d instances, stale %v", victim.name, len(known), stale)
		}
		return err
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := victim.api.releases.Get(ctx, &gantryv1.GetRequest{Ref: configRef(documentName(0))}); err != nil {
		t.Errorf("%s is cut off and cannot read what is in force: %v", victim.name, err)
	}
	_, err := victim.api.releases.Publish(ctx, &gantryv1.PublishRequest{Ref: configRef("cut-off.txt"), Format: "text", Content: []byte(id), Release: true})
	if reasonOf(err) != "state.no_quorum" {
		t.Errorf("%s is cut off and answers a publish with %v", victim.name, err)
	}
	late := f.start(id, victim.namespace, localTTL, victim)
	eventually(t, 15*time.Second, func(context.Context) error {
		if state := late.registration.State(); !state.Registered || !state.Provisional {
			return fmt.Errorf("%s registered at %s, which is cut off: %+v, %+v", id, victim.name, state, late.client.Connection())
		}
		return nil
	})
	return late
}

// TestPartitionOfTwo keeps the leader and another node from each other, while both reach the third.
func TestPartitionOfTwo(t *testing.T) {
	t.Parallel()
	c := newNetworkCluster(t)
	f := startFleet(t, c, 5, 3)
	l := startLoad(t, c.nodes)
	l.awaitProgress(10*time.Second, c.nodes...)
	ordered := c.leaderFirst()
	leader, follower, third := ordered[0], ordered[1], ordered[2]
	c.network.cutPair(leader.name, follower.name)
	c.awaitNodes(leader, third)
	l.awaitProgress(20*time.Second, leader, third)
	c.network.healPair(leader.name, follower.name)
	follower.awaitReady()
	c.awaitNodes(c.nodes...)
	l.awaitProgress(15*time.Second, c.nodes...)
	l.end()
	c.awaitAgreement()
	l.check(c.nodes)
	f.check()
}

// TestSessionsLeaveMinority keeps a node from the leader, but not from its clients, for as long as it takes. To the others the sessions on
// it are lost after their ttl, so clients that reach another node must go there, although theirs answers.
func TestSessionsLeaveMinority(t *testing.T) {
	t.Parallel()
	c := newNetworkCluster(t)
	f := startFleet(t, c, 8, 0)
	ordered := c.leaderFirst()
	leader, follower, third := ordered[0], ordered[1], ordered[2]
	stranded := f.addSession("loan-stranded", f.home(), 0, follower)
	f.settle()
	if on := stranded.client.Connection().Address; on != follower.grpc {
		t.Fatalf("the session is on %s, not on %s", on, follower.grpc)
	}
	c.network.cutPair(leader.name, follower.name)
	c.awaitNodes(leader, third)
	f.awaitSessions(sessionTTL, leader, third)
	c.network.healPair(leader.name, follower.name)
	follower.awaitReady()
	c.awaitAgreement()
	f.check()
}
