//go:build linux

package robustness

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// TestMembership adds a fourth node while everything runs, takes the leader out, and brings it back with an empty
// folder under its old name and address.
func TestMembership(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	f := startFleet(t, c, 5, 3)
	l := startLoad(t, c.nodes)
	l.awaitProgress(10*time.Second, c.nodes...)

	fourth := newNode(t, "n4", c.settings("--authentication", "off", "--join", c.nodes[1].cluster)...)
	fourth.start()
	fourth.awaitReady()
	c.nodes = append(c.nodes, fourth)
	c.awaitVoters("n1", "n2", "n3", "n4")
	c.awaitNodes(c.nodes...)
	f.settle()
	f.observe(fourth)
	l.awaitProgress(15*time.Second, c.loaded(c.nodes)...)

	victim := c.leaderFirst()[0]
	others := c.without(victim)
	removeMember(t, others[0], victim.name)
	code, said := victim.awaitExit(20 * time.Second)
	if code == 0 || !strings.Contains(said, "removed from the cluster") {
		t.Errorf("%s was removed, and ended with %d and:\n%s", victim.name, code, said)
	}
	c.nodes = others
	c.awaitVoters(names(others)...)
	c.awaitNodes(others...)
	f.awaitSessions(20*time.Second, others...)
	l.awaitProgress(15*time.Second, c.loaded(others)...)

	// Its folder is of no use any more, and the server says so.
	victim.start()
	if code, said := victim.awaitExit(30 * time.Second); code == 0 || !strings.Contains(said, "removed") {
		t.Errorf("%s started on the folder of a removed member, and ended with %d and:\n%s", victim.name, code, said)
	}

	if err := os.Rename(victim.data, victim.data+".old"); err != nil {
		t.Fatal(err)
	}
	victim.args = c.settings("--authentication", "off", "--join", others[0].cluster)
	victim.start()
	victim.awaitReady()
	c.nodes = append(c.nodes, victim)
	c.awaitVoters(names(c.nodes)...)
	c.awaitNodes(c.nodes...)
	l.awaitProgress(15*time.Second, c.loaded(c.nodes)...)

	// After the first start --join has done its work: a restart needs nobody.
	victim.kill()
	l.awaitProgress(15*time.Second, c.loaded(others)...)
	victim.start()
	victim.awaitReady()

	l.end()
	c.awaitAgreement()
	l.check(c.nodes)
	f.check()
}

func names(nodes []*node) []string {
	var all []string
	for _, n := range nodes {
		all = append(all, n.name)
	}
	return all
}

func removeMember(t *testing.T, through *node, name string) {
	t.Helper()
	eventually(t, 20*time.Second, func(ctx context.Context) error {
		_, err := through.api.cluster.RemoveMember(ctx, &gantryv1.RemoveMemberRequest{Member: name})
		if reasonOf(err) == "cluster.unknown_member" {
			return nil // an earlier try, whose answer was lost
		}
		return err
	})
}

// loaded are those of the nodes that clients of the load are on: all but the fourth.
func (c *cluster) loaded(nodes []*node) []*node {
	var all []*node
	for _, n := range nodes {
		if n.name != "n4" {
			all = append(all, n)
		}
	}
	return all
}

// awaitVoters waits until these are the members of the state, and all of them vote.
func (c *cluster) awaitVoters(want ...string) {
	c.t.Helper()
	for _, n := range c.nodes {
		eventually(c.t, 30*time.Second, func(ctx context.Context) error {
			status, err := n.api.status(ctx)
			if err != nil {
				return err
			}
			voters := map[string]bool{}
			for _, member := range status.Members {
				voters[member.Name] = !member.Learner
			}
			for _, name := range want {
				if !voters[name] {
					return fmt.Errorf("%s: %s does not vote: %v", n.name, name, status.Members)
				}
			}
			if len(voters) != len(want) {
				return fmt.Errorf("%s: members %v, not %v", n.name, voters, want)
			}
			return nil
		})
	}
}

// TestJoinRefused tries to join where that cannot work.
func TestJoinRefused(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	refused := func(what, reason string, n *node) {
		t.Helper()
		n.start()
		code, said := n.awaitExit(45 * time.Second)
		if code == 0 || !strings.Contains(said, reason) {
			t.Errorf("%s: ended with %d and:\n%s", what, code, said)
		}
	}
	refused("a name that is taken", "cluster remove", newNode(t, "n2", c.settings("--authentication", "off", "--join", c.nodes[0].cluster)...))

	other := &cluster{t: t, secret: secretFile(t)}
	refused("another secret", "secret", newNode(t, "n5", other.settings("--authentication", "off", "--join", c.nodes[0].cluster)...))

	status, err := c.nodes[0].api.status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(status.Members) != 3 {
		t.Errorf("members after two that were refused: %v", status.Members)
	}
}
