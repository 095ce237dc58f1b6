// Package gantrygrpc finds services by name for grpc-go: a resolver for targets such as "gantry:///fund", and a balancer
// that spreads calls by weight and load.
//
//	conn, err := grpc.NewClient("gantry:///fund", append(gantrygrpc.DialOptions(client), grpc.WithTransportCredentials(...))...)
//
// It imports package gantry and grpc-go.
package gantrygrpc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/resolver"

	gantry "github.com/gantry-platform/gantry/sdk"
)

// Scheme is the scheme of targets.
const Scheme = "gantry"

// firstAnswer bounds how long calls wait to hear of their service for the first time, so that those without a deadline do not
// pile up while no server can be reached. It is over what the local snapshot takes by default.
const firstAnswer = 5 * time.Second

// DialOptions are what a grpc.ClientConn needs for targets of the form "gantry:///service" or "gantry:///group/service": the resolver, and
// the balancer of this package as the default.
func DialOptions(client *gantry.Client) []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithResolvers(NewBuilder(client)),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"` + BalancerName + `": {}}]}`),
	}
}

// NewBuilder returns a resolver builder for grpc.WithResolvers. It resolves a service to the instances that take traffic, and follows them.
// An instance is dialled on its port named "grpc", or its main port. While a service has no instance that takes traffic, or, after 5 s, nothing is known of it, calls fail with the status
// UNAVAILABLE, or wait if they were made with grpc.WaitForReady. [InstanceOf] gives the instance behind an address, with its labels.
func NewBuilder(client *gantry.Client) resolver.Builder { return &builder{client} }

type builder struct{ client *gantry.Client }

var _ resolver.AuthorityOverrider = (*builder)(nil)

// Scheme implements [resolver.Builder].
func (b *builder) Scheme() string { return Scheme }

// OverrideAuthority makes the service's name the authority, without its group.
func (b *builder) OverrideAuthority(target resolver.Target) string {
	name := target.Endpoint()
	return name[strings.LastIndexByte(name, '/')+1:]
}

// Build implements [resolver.Builder].
func (b *builder) Build(target resolver.Target, conn resolver.ClientConn, _ resolver.BuildOptions) (resolver.Resolver, error) {
	if target.URL.Host != "" {
		return nil, fmt.Errorf("gantrygrpc: the target %q names a host; write gantry:///service with three slashes", target.URL.String())
	}
	subscription, err := b.client.Subscribe(target.Endpoint())
	if err != nil {
		return nil, err
	}
	r := &follower{subscription: subscription, conn: conn, holders: map[string]*holder{}}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.running.Go(r.run)
	return r, nil
}

// follower gives a grpc.ClientConn the instances of a service.
type follower struct {
	subscription *gantry.Subscription
	conn         resolver.ClientConn
	ctx          context.Context
	cancel       context.CancelFunc
	running      sync.WaitGroup
	// holders belongs to run.
	holders map[string]*holder
}

// holder is the newest state of the instance behind an address. Addresses are equal as long as their holder is the same, so that a change of weight
// or labels breaks no connection.
type holder struct {
	instance atomic.Pointer[gantry.Instance]
}

// Equal is how gRPC compares attribute values.
func (h *holder) Equal(other any) bool { return any(h) == other }

type holderKey struct{}

// InstanceOf returns the instance behind an address that the resolver of this package gave; nil for others.
func InstanceOf(address resolver.Address) *gantry.Instance {
	if h, ok := address.Attributes.Value(holderKey{}).(*holder); ok {
		return h.instance.Load()
	}
	return nil
}

// ResolveNow implements [resolver.Resolver]. Changes come by themselves.
func (r *follower) ResolveNow(resolver.ResolveNowOptions) {}

// Close implements [resolver.Resolver].
func (r *follower) Close() {
	r.cancel()
	r.subscription.Close()
	r.running.Wait()
}

func (r *follower) run() {
	ctx, cancel := context.WithTimeout(r.ctx, firstAnswer)
	err := r.subscription.Ready(ctx)
	cancel()
	if err != nil {
		if r.ctx.Err() != nil {
			return
		}
		r.conn.ReportError(fmt.Errorf("gantrygrpc: %w", err))
	}
	for {
		// Asking for the next view says that the one before is in use: UpdateState returns after the balancer has it.
		view, err := r.subscription.Next(r.ctx)
		if errors.Is(err, gantry.ErrClosed) && r.ctx.Err() == nil {
			r.conn.ReportError(fmt.Errorf("gantrygrpc: %w", err))
		}
		if err != nil {
			return
		}
		available := view.Available()
		if len(available) == 0 {
			r.conn.ReportError(fmt.Errorf("%w: %s", gantry.ErrNoInstance, view.Service))
		}
		// An error means that the balancer has no address to use; it is told the next change like any other.
		_ = r.conn.UpdateState(resolver.State{Addresses: r.addresses(available)})
	}
}

// addresses makes one address an instance, with the same holder as before.
func (r *follower) addresses(available []*gantry.Instance) []resolver.Address {
	all := make([]resolver.Address, 0, len(available))
	current := make(map[string]*holder, len(available))
	for _, instance := range available {
		endpoint := instance.Endpoint("grpc")
		if current[endpoint] != nil {
			// Two registrations of one process share its connection.
			continue
		}
		h := r.holders[endpoint]
		if h == nil {
			h = &holder{}
		}
		h.instance.Store(instance)
		current[endpoint] = h
		all = append(all, resolver.Address{Addr: endpoint, Attributes: attributes.New(holderKey{}, h)})
	}
	r.holders = current
	return all
}
