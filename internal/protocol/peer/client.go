package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
	"github.com/gantry-platform/gantry/internal/protocol/peer/peerv1"
	"github.com/gantry-platform/gantry/internal/state"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// callTimeout bounds a question to another node. A node that takes longer is as good as gone for the asker.
const callTimeout = 3 * time.Second

// Client asks the other nodes of the cluster. Safe for concurrent use.
type Client struct {
	store  *state.Store
	config *tls.Config
	log    *slog.Logger

	mu          sync.Mutex
	connections map[string]*grpc.ClientConn // by address
}

// NewClient makes a client that finds the nodes in the store.
func NewClient(store *state.Store, config *tls.Config, log *slog.Logger) *Client {
	return &Client{store: store, config: config, log: log, connections: map[string]*grpc.ClientConn{}}
}

func dial(address string, config *tls.Config) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(credentials.NewTLS(config)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 5 * time.Second, Timeout: 3 * time.Second, PermitWithoutStream: true}),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: 2 * time.Second,
			Backoff: backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second}}))
}

func (c *Client) to(address string) (peerv1.PeerServiceClient, error) {
	connection, err := c.connection(address)
	if err != nil {
		return nil, err
	}
	return peerv1.NewPeerServiceClient(connection), nil
}

// connection is the one to a node, made when it is first needed.
func (c *Client) connection(address string) (*grpc.ClientConn, error) {
	if address == "" {
		return nil, fault.New(fault.Unavailable, "cluster.node_absent", "the node is a member of the cluster and is not there")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	connection := c.connections[address]
	if connection == nil {
		var err error
		if connection, err = dial(address, c.config); err != nil {
			return nil, err
		}
		c.connections[address] = connection
	}
	return connection, nil
}

// Close ends the connections.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for address, connection := range c.connections {
		connection.Close()
		delete(c.connections, address)
	}
}

// forget closes connections to nodes that are gone.
func (c *Client) forget(nodes []state.Node) {
	live := map[string]bool{}
	for _, node := range nodes {
		live[node.PeerAddress] = true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for address, connection := range c.connections {
		if !live[address] {
			connection.Close()
			delete(c.connections, address)
		}
	}
}

// others are the live nodes but this one.
func (c *Client) others() []state.Node {
	nodes := c.store.Nodes()
	c.forget(nodes)
	others := make([]state.Node, 0, len(nodes))
	for _, node := range nodes {
		if node.ID != c.store.Self().ID && node.PeerAddress != "" {
			others = append(others, node)
		}
	}
	return others
}

// keepers are the other nodes of the cluster that keep something of their own, the live ones and those that are not there: whoever asks all of them names the
// latter among those that do not answer, however long they have been away. They have no address, and a question to them fails at once.
func (c *Client) keepers() []state.Node {
	keepers := c.others()
	for _, node := range c.store.Absent() {
		node.PeerAddress = ""
		if node.ID == "" {
			node.ID = "absent:" + node.Name
		}
		keepers = append(keepers, node)
	}
	return keepers
}

// each asks all other live nodes side by side. missing are the names of those that did not answer.
func each[T any](ctx context.Context, c *Client, timeout time.Duration, ask func(context.Context, peerv1.PeerServiceClient) (T, error)) (answers map[string]T, missing []string) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	answers = map[string]T{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, node := range c.others() {
		all.Go(func() {
			client, err := c.to(node.PeerAddress)
			var answer T
			if err == nil {
				answer, err = ask(ctx, client)
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				c.log.Debug("another node does not answer", "node", node.Name, "address", node.PeerAddress, "error", err)
				missing = append(missing, node.Name)
				return
			}
			answers[node.ID] = answer
		})
	}
	all.Wait()
	return answers, missing
}

// Beats implements instance.Peers.
func (c *Client) Beats(ctx context.Context, nodeID string, beats []instance.ServiceBeats) ([][]string, error) {
	for _, node := range c.others() {
		if node.ID != nodeID {
			continue
		}
		client, err := c.to(node.PeerAddress)
		if err != nil {
			return nil, err
		}
		request := &peerv1.BeatsRequest{}
		for _, beat := range beats {
			request.Beats = append(request.Beats, &gantryv1.BeatRequest{Service: beat.Service.Ref(), Ids: beat.IDs})
		}
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		answer, err := client.Beats(ctx, request)
		if err != nil {
			return nil, err
		}
		if len(answer.Answers) != len(beats) {
			return nil, fmt.Errorf("peer: %d answers to %d beats", len(answer.Answers), len(beats))
		}
		unknown := make([][]string, len(beats))
		for i := range unknown {
			unknown[i] = answer.Answers[i].Unknown
		}
		return unknown, nil
	}
	return nil, fault.New(fault.Unavailable, "cluster.node_gone", "the node %s is not there any more", nodeID)
}

// Applied implements native.Peers.
func (c *Client) Applied(ctx context.Context, ref *gantryv1.DocumentRef) (reports []*gantryv1.AppliedReport, missing []string) {
	return c.applied(ctx, &peerv1.AppliedRequest{Ref: ref})
}

// AppliedBy implements native.Peers.
func (c *Client) AppliedBy(ctx context.Context, service *gantryv1.ServiceRef, instance string) (reports []*gantryv1.AppliedReport, missing []string) {
	return c.applied(ctx, &peerv1.AppliedRequest{Service: service, Instance: instance})
}

func (c *Client) applied(ctx context.Context, r *peerv1.AppliedRequest) (reports []*gantryv1.AppliedReport, missing []string) {
	answers, missing := each(ctx, c, callTimeout, func(ctx context.Context, client peerv1.PeerServiceClient) (*peerv1.AppliedResponse, error) {
		return client.Applied(ctx, r)
	})
	for _, answer := range answers {
		reports = append(reports, answer.Reports...)
	}
	return reports, missing
}

// CountApplied implements native.Peers.
func (c *Client) CountApplied(ctx context.Context, refs []*gantryv1.DocumentRef) (counts []*gantryv1.AppliedSummary, missing []string) {
	answers, missing := each(ctx, c, callTimeout, func(ctx context.Context, client peerv1.PeerServiceClient) (*peerv1.CountAppliedResponse, error) {
		answer, err := client.CountApplied(ctx, &peerv1.CountAppliedRequest{Refs: refs})
		if err == nil && len(answer.Applied) != len(refs) {
			err = fmt.Errorf("peer: %d answers about %d documents", len(answer.Applied), len(refs))
		}
		return answer, err
	})
	counts = make([]*gantryv1.AppliedSummary, len(refs))
	for i := range counts {
		counts[i] = &gantryv1.AppliedSummary{}
		for _, answer := range answers {
			one := answer.Applied[i]
			counts[i].Instances += one.GetInstances()
			counts[i].Current += one.GetCurrent()
			counts[i].Failed += one.GetFailed()
		}
	}
	return counts, missing
}

// Describe implements native.Peers.
func (c *Client) Describe(ctx context.Context) map[string]*gantryv1.Node {
	answers, _ := each(ctx, c, callTimeout, func(ctx context.Context, client peerv1.PeerServiceClient) (*peerv1.DescribeResponse, error) {
		return client.Describe(ctx, &peerv1.DescribeRequest{})
	})
	nodes := map[string]*gantryv1.Node{}
	for id, answer := range answers {
		nodes[id] = answer.Node
	}
	return nodes
}

// joinRetry is how often a node that does not answer is asked again.
const joinRetry = 500 * time.Millisecond

// refusedSecret reports whether the two ends do not trust each other's certificates. gRPC tells it in words alone.
func refusedSecret(err error) bool {
	message := status.Convert(err).Message()
	return strings.Contains(message, "x509:") || strings.Contains(message, "tls: ")
}

// Join asks a running node to add this one, and answers the members that its etcd starts with.
func Join(ctx context.Context, address string, config *tls.Config, name string, peerURL, version string) (members map[string]string, token string, err error) {
	connection, err := dial(address, config)
	if err != nil {
		return nil, "", err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	client, request := peerv1.NewPeerServiceClient(connection), &peerv1.JoinRequest{Name: name, PeerUrls: []string{peerURL}, Version: version}
	answer, err := client.Join(ctx, request)
	for status.Code(err) == codes.Unavailable && !refusedSecret(err) && ctx.Err() == nil {
		select {
		case <-time.After(joinRetry):
			answer, err = client.Join(ctx, request)
		case <-ctx.Done():
		}
	}
	if err != nil {
		if refusedSecret(err) {
			return nil, "", fault.New(fault.Precondition, "cluster.other_secret", "the node at %s has another cluster secret", address).At("cluster-secret-file").
				Hinted("give this node the secret file of that cluster").Because(err)
		}
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return nil, "", fault.New(fault.Unavailable, "cluster.unreachable", "no node of a cluster answers at %s", address).At("join").
				Hinted("name the cluster address (--cluster-listen) of a running node, and give both the same cluster secret").Because(err)
		}
		return nil, "", fault.New(fault.Precondition, "cluster.join_refused", "cannot join: %s", status.Convert(err).Message()).At("join").Because(err)
	}
	return answer.Members, answer.ClusterToken, nil
}
