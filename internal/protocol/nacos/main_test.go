package nacos

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/instance"
	"github.com/gantry-platform/gantry/internal/policy"
	"github.com/gantry-platform/gantry/internal/release"
	"github.com/gantry-platform/gantry/internal/state"
	"github.com/gantry-platform/gantry/internal/state/statetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, statetest.LeakOptions()...) }

// patience bounds what a test waits for on a busy machine.
const patience = 30 * time.Second

// node is the protocol over a real state.
type node struct {
	*API
	t     testing.TB
	store *state.Store
}

// start runs a node; with authentication off unless guarded.
func start(t testing.TB, guarded bool) *node {
	t.Helper()
	store := statetest.New(t)
	metrics := prometheus.NewRegistry()
	guard, err := access.New(access.Options{Store: store, Registerer: metrics, Disabled: !guarded})
	if err != nil {
		t.Fatal(err)
	}
	instances := instance.New(instance.Options{Store: store, Logger: statetest.Logger(t)})
	keys, err := release.NewKeyring(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	releases, err := release.New(release.Options{Store: store, Policy: policy.Standard(), Keys: keys, Logger: statetest.Logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	statetest.Start(t, store)
	if err := instances.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	releases.Start()
	n := &node{t: t, store: store, API: New(Options{Access: guard, Instances: instances, Releases: releases, Logger: statetest.Logger(t)})}
	t.Cleanup(func() {
		releases.Close()
		if err := instances.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// system is a context that may everything.
func system(t testing.TB) context.Context {
	return access.NewContext(t.Context(), access.System("test"))
}

// key names a configuration of the default namespace and group.
func key(t testing.TB, dataID string) configKey {
	t.Helper()
	k, err := configKeyOf("", defaultGroup, dataID)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (n *node) publishText(p publication) {
	n.t.Helper()
	if err := n.publish(system(n.t), &p); err != nil {
		n.t.Fatalf("publish %s: %v", p.key.dataID, err)
	}
}

// content is what a caller at an address gets; "" for nothing.
func (n *node) content(k configKey, address string) string {
	n.t.Helper()
	c, err := n.read(system(n.t), k, subjectAt(address))
	if err != nil {
		n.t.Fatal(err)
	}
	if c == nil {
		return ""
	}
	if c.md5 != md5Of(c.content) {
		n.t.Errorf("md5 %s is not that of %q", c.md5, c.content)
	}
	return string(c.content)
}
