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
	l.awaitProgress(10 * time.Second)
	for _, victim := range c.leaderFirst() {
		victim.kill()
		l.awaitProgress(15 * time.Second)
		c.awaitNodes(c.without(victim)...)
		f.awaitSessions(20*time.Second, c.without(victim)...)
		l.awaitProgress(15 * time.Second)
		victim.start()
		victim.awaitReady()
		c.awaitNodes(c.nodes...)
	}
	l.awaitProgress(15 * time.Second)

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
	l.awaitProgress(15 * time.Second)

	l.end()
	c.awaitAgreement()
	l.check(c.nodes)
	f.check()
}
