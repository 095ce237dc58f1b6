//go:build linux

// Package robustness breaks real clusters and looks at what is left. Nodes are processes of the real binary; they are killed, stopped,
// cut off from each other, given full disks and replaced, while clients publish documents and services live on them.
//
// What is asked of a cluster, whatever happens to it:
//
//   - the history of compare-and-set publishes and reads of each document is linearizable;
//   - every acknowledged release is there afterwards, with its content, on every node;
//   - no node ever answers without an instance that lives, and no instance outlives its ttl and its node's;
//   - when the fault is over, all nodes agree.
//
// Where things are:
//
//	main_test.go      the binary under test; what runs once
//	launcher_test.go  processes and connections in network namespaces
//	network_test.go   namespaces with a bridge, and how a node is taken off it
//	node_test.go      one node as a process
//	cluster_test.go   several nodes, and waiting for what they have in common
//	api_test.go       the native API of a node
//	history_test.go   the model of a document, and what was seen of it
//	load_test.go      clients that publish and read
//	fleet_test.go     services that live on the cluster, and what nodes say of them
//	the rest          the faults, a file each
//
// Faults of the network and of the disk need root and iproute2; without them those tests are skipped, or fail
// if GANTRY_REQUIRE_NETNS=1. The package imports, of the product, the SDK and the generated API alone.
package robustness

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
)

// suite is what all tests share. TestMain sets it.
var suite struct {
	// binary is the path of gantry.
	binary   string
	launcher *launcher
	// numbers make names of what is made on the machine unique.
	numbers atomic.Int32
}

func TestMain(m *testing.M) {
	if os.Getenv(etcdFolder) != "" {
		if err := runEtcd(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	flag.Parse()
	// The tests wait most of the time, for elections, leases and ttls; two at once would leave the machine idle.
	if err := flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0))); err != nil {
		panic(err)
	}
	os.Exit(runSuite(m))
}

func runSuite(m *testing.M) int {
	dir, err := os.MkdirTemp("", "gantry-robustness-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	suite.binary = filepath.Join(dir, "gantry")
	build := exec.Command("go", "build", "-o", suite.binary, "../cmd/gantry")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build gantry: %v\n%s", err, output)
		return 1
	}
	removeLeftovers()
	defer removeLeftovers()
	suite.launcher = newLauncher()
	code := m.Run()
	suite.launcher.close() // and with it whatever process a failed test left
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}
