//go:build linux

package robustness

import (
	"testing"
	"time"
)

// TestRollingRestart stops and starts each node in order, as an operator does for an upgrade. Sessions are sent to other nodes before,
// and nobody waits for a lease to end.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	f := startFleet(t, c, 6, 3)
	l := startLoad(t, c.nodes)
	l.awaitProgress(10*time.Second, c.nodes...)
	for _, n := range c.leaderFirst() {
		others := c.without(n)
		n.terminate()
		f.awaitSessions(5*time.Second, others...)
		l.awaitProgress(15*time.Second, others...)
		n.start()
		n.awaitReady()
		c.awaitNodes(c.nodes...)
	}
	l.awaitProgress(15*time.Second, c.nodes...)
	l.end()
	c.awaitAgreement()
	l.check(c.nodes)
	f.check()
}
