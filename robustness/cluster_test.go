//go:build linux

package robustness

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// nodeTTL is how long a node may be silent in these tests before the others take over.
const nodeTTL = 3 * time.Second

// cluster is three nodes that know each other.
type cluster struct {
	t      *testing.T
	nodes  []*node
	secret string // file
	// network is nil on loopback.
	network *network
	// token is what services come with; empty without authentication.
	token string
}

func secretFile(t *testing.T) string {
	t.Helper()
	secret := make([]byte, 32)
	rand.Read(secret)
	path := filepath.Join(t.TempDir(), "cluster.secret")
	if err := os.WriteFile(path, []byte(hex.EncodeToString(secret)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// newCluster starts three nodes on loopback, without authentication.
func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, secret: secretFile(t)}
	for i := range 3 {
		c.nodes = append(c.nodes, newNode(t, fmt.Sprintf("n%d", i+1), c.settings("--authentication", "off")...))
	}
	c.bringUp()
	c.awaitNodes(c.nodes...)
	return c
}

// newNetworkCluster starts three nodes in network namespaces, with authentication.
func newNetworkCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, secret: secretFile(t), network: newNetwork(t, "n1", "n2", "n3")}
	for _, name := range []string{"n1", "n2", "n3"} {
		c.nodes = append(c.nodes, newNodeAt(t, name, c.network.of(name), c.network.hosts[name], c.settings()...))
	}
	c.bringUp()
	c.signIn()
	c.awaitNodes(c.nodes...)
	return c
}

// settings are what all nodes of the cluster are started with.
func (c *cluster) settings(more ...string) []string {
	return append([]string{"--cluster-secret-file", c.secret, "--node-ttl", nodeTTL.String(), "--minimum-free", "32MiB"}, more...)
}

func (c *cluster) bringUp() {
	c.t.Helper()
	var members []string
	for _, n := range c.nodes {
		members = append(members, n.name+"="+n.peer)
	}
	for _, n := range c.nodes {
		n.args = append(n.args, "--cluster", strings.Join(members, ","))
		n.start()
	}
	for _, n := range c.nodes {
		n.awaitReady()
	}
}

// signIn takes the first administrator's password from wherever the first start left it, and makes a token for the tests' clients.
func (c *cluster) signIn() {
	c.t.Helper()
	var login *gantryv1.LoginResponse
	eventually(c.t, 20*time.Second, func(ctx context.Context) error {
		failure := errors.New("no node has made an administrator")
		for _, n := range c.nodes {
			password, err := os.ReadFile(filepath.Join(n.data, "admin-password"))
			if err != nil {
				continue
			}
			if login, failure = c.nodes[0].api.access.Login(ctx, &gantryv1.LoginRequest{User: "admin", Password: strings.TrimSpace(string(password))}); failure == nil {
				return nil
			}
		}
		return failure
	})
	for _, n := range c.nodes {
		n.api.token.Store(&login.Token)
	}
	made, err := c.nodes[0].api.access.CreateToken(c.t.Context(), &gantryv1.CreateTokenRequest{Description: "robustness",
		Grants:   []*gantryv1.Grant{{Namespace: "*", Role: gantryv1.Role_ROLE_ADMIN}, {Namespace: "*", Role: gantryv1.Role_ROLE_SERVICE}},
		Lifetime: durationpb.New(time.Hour)})
	if err != nil {
		c.t.Fatal(err)
	}
	c.token = made.Secret
	for _, n := range c.nodes {
		n.api.token.Store(&c.token)
		eventually(c.t, 10*time.Second, func(ctx context.Context) error {
			_, err := n.api.status(ctx)
			return err
		})
	}
}

// leaderFirst returns the nodes, the one that leads first.
func (c *cluster) leaderFirst() []*node {
	c.t.Helper()
	var ordered []*node
	eventually(c.t, 20*time.Second, func(ctx context.Context) error {
		status, err := c.nodes[0].api.status(ctx)
		if err != nil {
			return err
		}
		ordered = nil
		for _, member := range status.Members {
			if n := c.node(member.Name); n != nil && member.Leader {
				ordered = append(ordered, n)
			}
		}
		if len(ordered) != 1 {
			return fmt.Errorf("%d leaders", len(ordered))
		}
		return nil
	})
	for _, n := range c.nodes {
		if n != ordered[0] {
			ordered = append(ordered, n)
		}
	}
	return ordered
}

func (c *cluster) node(name string) *node {
	for _, n := range c.nodes {
		if n.name == name {
			return n
		}
	}
	return nil
}

// without returns the other nodes.
func (c *cluster) without(gone *node) []*node {
	var others []*node
	for _, n := range c.nodes {
		if n != gone {
			others = append(others, n)
		}
	}
	return others
}

// awaitNodes waits until each of the nodes sees exactly these nodes.
func (c *cluster) awaitNodes(nodes ...*node) {
	c.t.Helper()
	for _, n := range nodes {
		eventually(c.t, 30*time.Second, func(ctx context.Context) error {
			status, err := n.api.status(ctx)
			if err != nil {
				return err
			}
			return sameNodes(n, status, nodes)
		})
	}
}

func sameNodes(asked *node, status *gantryv1.StatusResponse, nodes []*node) error {
	seen := map[string]bool{}
	for _, node := range status.Nodes {
		seen[node.Name] = true
	}
	for _, want := range nodes {
		if !seen[want.name] {
			return fmt.Errorf("%s does not see %s", asked.name, want.name)
		}
	}
	if len(status.Nodes) != len(nodes) {
		return fmt.Errorf("%s sees %d nodes, not %d", asked.name, len(status.Nodes), len(nodes))
	}
	return nil
}

// awaitAgreement waits until all nodes have the same state, the same services and the same documents. Nobody may write meanwhile.
func (c *cluster) awaitAgreement() {
	c.t.Helper()
	c.awaitNodes(c.nodes...)
	eventually(c.t, 30*time.Second, func(ctx context.Context) error {
		first, err := c.nodes[0].picture(ctx)
		if err != nil {
			return err
		}
		for _, n := range c.nodes[1:] {
			other, err := n.picture(ctx)
			if err != nil {
				return err
			}
			if other != first {
				return fmt.Errorf("%s and %s differ:\n%s\n---\n%s", c.nodes[0].name, n.name, first, other)
			}
		}
		return nil
	})
}

// picture is all that the node knows which every other node should know too, as text.
func (n *node) picture(ctx context.Context) (string, error) {
	status, err := n.api.status(ctx)
	if err != nil {
		return "", err
	}
	if !status.Quorum || status.Provisional > 0 || status.MirroredRevision != status.Revision {
		return "", fmt.Errorf("%s: quorum %v, %d provisional, revision %d of %d", n.name, status.Quorum, status.Provisional, status.MirroredRevision, status.Revision)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "revision %d\n", status.Revision)
	instances, err := n.api.instances.ListInstances(ctx, &gantryv1.ListInstancesRequest{Service: &gantryv1.ServiceRef{Namespace: "default"}, PageSize: 1000})
	if err != nil {
		return "", err
	}
	for _, i := range instances.Instances {
		fmt.Fprintf(&text, "instance %s/%s %v %v %s\n", i.Service.GetService(), i.Id, i.Status, i.Health, i.Owner)
	}
	documents, err := n.api.releases.List(ctx, &gantryv1.ListRequest{PageSize: 1000})
	if err != nil {
		return "", err
	}
	for _, d := range documents.Documents {
		fmt.Fprintf(&text, "document %s latest %d released %d revision %d\n", d.Ref.Name, d.LatestVersion, d.ReleasedVersion, d.Revision)
	}
	return text.String(), nil
}
