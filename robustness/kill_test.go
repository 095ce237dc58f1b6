//go:build linux

package robustness

import (
	"testing"
	"time"
)

// TestKill kills each node, the leader first, while everything runs, and in the end all at once.
func TestKill(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	f := startFleet(t, c, 6, 3)
	l := startLoad(t, c.nodes)
	l.awaitProgress(10*time.Second, c.nodes...)
	for round, victim := range c.leaderFirst() {
		if round == 0 {
			killWithServices(f, victim)
		}
		victim.kill()
		l.awaitProgress(15*time.Second, c.without(victim)...)
		c.awaitNodes(c.without(victim)...)
		f.awaitSessions(20*time.Second, c.without(victim)...)
		victim.start()
		victim.awaitReady()
		c.awaitNodes(c.nodes...)
	}
	l.awaitProgress(15*time.Second, c.nodes...)

	for _, n := range c.nodes {
		n.kill()
	}
	for _, n := range c.nodes {
		n.start()
	}
	for _, n := range c.nodes {
		n.awaitReady()
	}
	f.awaitSessions(30*time.Second, c.nodes...)
	l.awaitProgress(15*time.Second, c.nodes...)

	l.end()
	c.awaitAgreement()
	l.check(c.nodes)
	f.check()
}

// killWithServices kills a node together with services that live on it: the others must forget them, and only them.
func killWithServices(f *fleet, victim *node) {
	const ttl = 3 * time.Second
	doomed := []*member{f.addSession("loan-doomed", f.home(), ttl, victim), f.addBeats("risk-doomed", ttl)}
	f.settle()
	victim.kill()
	f.die(nodeTTL+2*ttl+settleBound+margin, doomed...)
}
