//go:build linux

package robustness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// etcdFolder and etcdAddress, in the environment, make the test binary an etcd: one that is not Gantry's, and that can be killed.
const (
	etcdFolder  = "ROBUSTNESS_ETCD_FOLDER"
	etcdAddress = "ROBUSTNESS_ETCD_ADDRESS"
)

// runEtcd runs an etcd of one member with its usual settings until it is told to stop.
func runEtcd() error {
	config := embed.NewConfig()
	config.Dir = os.Getenv(etcdFolder)
	config.LogLevel = "error"
	client := url.URL{Scheme: "http", Host: os.Getenv(etcdAddress)}
	peer := url.URL{Scheme: "unix", Path: filepath.Join(config.Dir, "peer.sock")}
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		return err
	}
	defer etcd.Close()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, os.Interrupt)
	select {
	case <-stop:
		return nil
	case err := <-etcd.Err():
		return err
	}
}

// externalEtcd is an etcd that the user runs.
type externalEtcd struct {
	t       *testing.T
	address string
	folder  string
	process *exec.Cmd
}

func newExternalEtcd(t *testing.T) *externalEtcd {
	e := &externalEtcd{t: t, address: net.JoinHostPort(loopbackHost(), "2379"), folder: t.TempDir()}
	t.Cleanup(e.kill)
	return e
}

func (e *externalEtcd) start() {
	e.t.Helper()
	self, err := os.Executable()
	if err != nil {
		e.t.Fatal(err)
	}
	e.process = exec.Command(self)
	e.process.Env = append(cleanEnvironment(), etcdFolder+"="+e.folder, etcdAddress+"="+e.address)
	e.process.Stderr = os.Stderr
	if err := suite.launcher.start("", e.process); err != nil {
		e.t.Fatal(err)
	}
}

func (e *externalEtcd) kill() {
	if e.process == nil {
		return
	}
	_ = e.process.Process.Kill()
	var status *exec.ExitError
	if err := e.process.Wait(); err != nil && !errors.As(err, &status) {
		e.t.Errorf("etcd: %v", err)
	}
	e.process = nil
}

// TestExternal runs two nodes on an etcd that is not theirs, and kills first one of them and then the etcd.
func TestExternal(t *testing.T) {
	t.Parallel()
	etcd := newExternalEtcd(t)
	etcd.start()
	c := &cluster{t: t, secret: secretFile(t)}
	for i := range 2 {
		n := newNode(t, fmt.Sprintf("n%d", i+1), c.settings("--authentication", "off", "--etcd-endpoints", "http://"+etcd.address)...)
		c.nodes = append(c.nodes, n)
		n.start()
	}
	for _, n := range c.nodes {
		n.awaitReady()
	}
	c.awaitNodes(c.nodes...)
	f := startFleet(t, c, 4, 3)
	l := startLoad(t, c.nodes)
	l.awaitProgress(10*time.Second, c.nodes...)

	victim := c.nodes[0]
	victim.kill()
	l.awaitProgress(15*time.Second, c.nodes[1])
	c.awaitNodes(c.nodes[1])
	f.awaitSessions(20*time.Second, c.nodes[1])
	victim.start()
	victim.awaitReady()
	c.awaitNodes(c.nodes...)

	etcd.kill()
	for _, n := range c.nodes {
		awaitNoQuorum(t, n)
	}
	etcd.start()
	for _, n := range c.nodes {
		n.awaitReady()
	}
	l.awaitProgress(20*time.Second, c.nodes...)

	l.end()
	c.awaitAgreement()
	l.check(c.nodes)
	f.check()
}

// awaitNoQuorum waits until a node says that it has lost the state, and looks at what it still answers.
func awaitNoQuorum(t *testing.T, n *node) {
	t.Helper()
	eventually(t, 15*time.Second, func(ctx context.Context) error {
		answer, err := n.api.readiness(ctx)
		if err == nil && (!answer.Ready || answer.Quorum) {
			err = fmt.Errorf("%s: %+v", n.name, answer)
		}
		return err
	})
	eventually(t, 5*time.Second, func(ctx context.Context) error {
		known, stale, err := n.api.lookup(ctx, sessionService)
		if err == nil && (len(known) == 0 || !stale) {
			err = fmt.Errorf("%s answers with %d instances, stale %v", n.name, len(known), stale)
		}
		return err
	})
	_, err := n.api.releases.Publish(t.Context(), &gantryv1.PublishRequest{Ref: configRef("nobody.txt"), Format: "text", Content: []byte("x"), Release: true})
	if reasonOf(err) != "state.no_quorum" {
		t.Errorf("%s has no etcd and answers a publish with %v", n.name, err)
	}
}
