//go:build linux

package robustness

import (
	"testing"
	"time"
)

// TestPause stops nodes where they stand, the leader and another one, for longer than their lease. To the others such a node is
// gone; itself it knows nothing of that.
func TestPause(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	f := startFleet(t, c, 6, 3)
	l := startLoad(t, c.nodes)
	l.awaitProgress(10*time.Second, c.nodes...)
	for _, victim := range c.leaderFirst()[:2] {
		others := c.without(victim)
		victim.pause()
		c.awaitNodes(others...)
		l.awaitProgress(20*time.Second, others...)
		victim.resume()
		victim.awaitReady()
		c.awaitNodes(c.nodes...)
		l.awaitProgress(15*time.Second, c.nodes...)
	}
	l.end()
	c.awaitAgreement()
	l.check(c.nodes)
	f.check()
}
