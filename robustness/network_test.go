//go:build linux

package robustness

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// namespacePrefix marks the network namespaces of these tests. The number of the process that made them follows, so
// that those of a run that crashed can be told from those of one that is under way.
const namespacePrefix = "gtry"

// network is a bridge in a namespace of its own with a namespace for each host on it. Nothing of it is connected to the
// machine's own network.
type network struct {
	t      *testing.T
	prefix string
	hosts  map[string]string // name -> address
}

// requireRoot skips a test that needs root, or fails it where such tests must run.
func requireRoot(t *testing.T, programs ...string) {
	t.Helper()
	reason := ""
	if os.Geteuid() != 0 {
		reason = "only root can do that"
	}
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			reason = program + " is not installed"
		}
	}
	if reason == "" {
		return
	}
	if os.Getenv("GANTRY_REQUIRE_NETNS") == "1" {
		t.Fatalf("cannot run, and GANTRY_REQUIRE_NETNS=1: %s", reason)
	}
	t.Skip(reason)
}

// newNetwork makes a network with hosts at 10.213.0.1 and on.
func newNetwork(t *testing.T, hosts ...string) *network {
	t.Helper()
	requireRoot(t, "ip")
	n := &network{t: t, prefix: fmt.Sprintf("%s%d-%d-", namespacePrefix, os.Getpid(), suite.numbers.Add(1)), hosts: map[string]string{}}
	if output, err := exec.Command("ip", "netns", "add", n.hub()).CombinedOutput(); err != nil {
		if os.Getenv("GANTRY_REQUIRE_NETNS") == "1" {
			t.Fatalf("no network namespaces here: %s", output)
		}
		t.Skipf("no network namespaces here: %s", output)
	}
	t.Cleanup(n.remove)
	n.ip("-n", n.hub(), "link", "add", "br0", "type", "bridge")
	n.ip("-n", n.hub(), "addr", "add", "10.213.0.254/24", "dev", "br0")
	n.ip("-n", n.hub(), "link", "set", "br0", "up")
	for i, host := range hosts {
		n.hosts[host] = fmt.Sprintf("10.213.0.%d", i+1)
		n.ip("netns", "add", n.of(host))
		n.ip("-n", n.hub(), "link", "add", n.port(host), "type", "veth", "peer", "name", "eth0", "netns", n.of(host))
		n.ip("-n", n.hub(), "link", "set", n.port(host), "master", "br0", "up")
		n.ip("-n", n.of(host), "addr", "add", n.hosts[host]+"/24", "dev", "eth0")
		n.ip("-n", n.of(host), "link", "set", "eth0", "up")
		n.ip("-n", n.of(host), "link", "set", "lo", "up")
	}
	return n
}

// hub is the namespace of the bridge, where clients are that lose a node when it is cut off.
func (n *network) hub() string { return n.prefix + "hub" }

// of is the namespace of a host, where clients are that are cut off together with it.
func (n *network) of(host string) string { return n.prefix + host }

func (n *network) port(host string) string { return "to-" + host }

func (n *network) ip(args ...string) {
	n.t.Helper()
	if output, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		n.t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, output)
	}
}

// cut takes a host off the bridge: packets to and from it vanish, and nobody is told.
func (n *network) cut(host string) {
	n.t.Helper()
	n.ip("-n", n.hub(), "link", "set", n.port(host), "nomaster")
}

func (n *network) heal(host string) {
	n.t.Helper()
	n.ip("-n", n.hub(), "link", "set", n.port(host), "master", "br0")
}

// cutPair keeps two hosts from each other, while both reach everybody else.
func (n *network) cutPair(a, b string) {
	n.t.Helper()
	n.ip("-n", n.of(a), "route", "add", "blackhole", n.hosts[b]+"/32")
	n.ip("-n", n.of(b), "route", "add", "blackhole", n.hosts[a]+"/32")
}

func (n *network) healPair(a, b string) {
	n.t.Helper()
	n.ip("-n", n.of(a), "route", "del", "blackhole", n.hosts[b]+"/32")
	n.ip("-n", n.of(b), "route", "del", "blackhole", n.hosts[a]+"/32")
}

func (n *network) remove() {
	for host := range n.hosts {
		removeNamespace(n.of(host))
	}
	removeNamespace(n.hub())
}

func removeNamespace(name string) {
	if output, err := exec.Command("ip", "netns", "del", name).CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "remove the namespace %s: %v: %s\n", name, err, output)
	}
}

// removeLeftovers removes what this process, and runs that are gone, have left.
func removeLeftovers() {
	if os.Geteuid() != 0 {
		return
	}
	alive := func(number string) bool {
		pid, err := strconv.Atoi(number)
		return err != nil || (pid != os.Getpid() && syscall.Kill(pid, 0) != syscall.ESRCH)
	}
	removeLeftDisks(alive)
	entries, err := os.ReadDir("/run/netns")
	if err != nil {
		return // there never was a namespace
	}
	for _, entry := range entries {
		rest, ours := strings.CutPrefix(entry.Name(), namespacePrefix)
		if number, _, found := strings.Cut(rest, "-"); ours && found && !alive(number) {
			removeNamespace(entry.Name())
		}
	}
}
