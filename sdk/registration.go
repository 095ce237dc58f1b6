package gantry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

const (
	// registerWait bounds how long Register waits for the server by default: far over what a commit takes, and short
	// enough not to hold up a service's start when there is no server.
	registerWait = 3 * time.Second
	// DefaultDrainWait bounds how long Drain waits for subscribers when its context has no deadline.
	DefaultDrainWait = 10 * time.Second
)

// Registration is an instance that this client keeps registered: on every new session, it is registered again.
type Registration struct {
	client *Client
	// label is how the registration is called in messages.
	label string
	// first is closed when the instance is registered for the first time; changed when anything below changes.
	first chan struct{}

	// Client.mu guards the rest.
	instance Instance
	// wanted counts changes of the instance, and confirmed is the last that the server answered.
	wanted    uint64
	confirmed uint64
	changed   chan struct{}
	// answered is the link that answered last, with yes or no.
	answered *link
	state    RegistrationState
	// alone: it goes in a message of its own, since it was in one that was refused.
	alone   bool
	removed bool
	// orphaned: removed while a first request was under way, so its instance is to be removed when the answer names it.
	orphaned bool
	// trouble is why the server could not answer just now.
	trouble error
}

// RegistrationState says how a registration stands.
type RegistrationState struct {
	// Registered: the server has the instance as it is now.
	Registered bool
	// Provisional: accepted, but not committed, as the cluster has no quorum. It is as of the answer: a later commit is not told.
	Provisional bool
	// ID is the instance's id; empty before the server gave one.
	ID string
	// Revision is the service's revision with the instance in it.
	Revision int64
	// Err is why the server refuses it: an [*Error]. It is asked again every 30 s to 40 s.
	Err error
}

// RegisterOption changes how [Client.Register] works.
type RegisterOption func(*registerSettings)

type registerSettings struct {
	noWait   bool
	required bool
}

// WithoutWaiting makes Register return at once.
func WithoutWaiting() RegisterOption {
	return func(s *registerSettings) { s.noWait = true }
}

// Required makes Register wait until its context ends, and then fail and take the registration back.
func Required() RegisterOption {
	return func(s *registerSettings) { s.required = true }
}

// Register makes an instance known, and keeps it so until it is deregistered or the client is closed. Call it after
// listening: callers may come before it returns.
//
// It returns when the registration is durable (or provisional: see [RegistrationState]), and does not fail a service's start for want of
// a server: after 3 s, or when the context ends, it returns a registration that is still being tried for; [Registration.Registered]
// tells when it succeeds. The error is [ErrClosed], or an [*Error] when the instance is invalid or the server refuses it while Register
// waits: it is not tried again then.
func (c *Client) Register(ctx context.Context, instance Instance, options ...RegisterOption) (*Registration, error) {
	var s registerSettings
	for _, option := range options {
		option(&s)
	}
	r, err := c.newRegistration(ctx, instance)
	if err != nil || s.noWait {
		return r, err
	}
	wait := ctx
	if !s.required {
		var cancel context.CancelFunc
		wait, cancel = context.WithTimeout(ctx, registerWait)
		defer cancel()
	}
	err = r.wait(wait, 1)
	switch {
	case err == nil:
		return r, nil
	case isPermanent(err), errors.Is(err, ErrClosed):
		r.remove()
		return nil, err
	case s.required:
		r.remove()
		return nil, fmt.Errorf("gantry: %s is not registered: %w", r.label, err)
	}
	c.logger.Warn("not registered yet; going on and trying", "instance", r.label, "reason", err)
	return r, nil
}

// newRegistration fills in defaults, checks, and puts the registration to work.
func (c *Client) newRegistration(ctx context.Context, instance Instance) (*Registration, error) {
	i := instance.clone()
	identity := c.settings.identity
	if i.Service == "" {
		i.Service, i.Group = identity.Service, identity.Group
	}
	if i.Group == "" {
		i.Group = DefaultGroup
	}
	if i.Weight == 0 {
		i.Weight = DefaultWeight
	}
	if i.Status == StatusUnknown {
		i.Status = StatusUp
	}
	if labels := identity.labels(); len(labels) > 0 {
		maps.Copy(labels, i.Labels)
		i.Labels = labels
	}
	if err := i.validate(); err != nil {
		return nil, err
	}
	if i.Address == "" {
		if i.Address = identity.Address; i.Address == "" {
			address, err := localAddress(ctx, c.settings.addresses[0])
			if err != nil {
				return nil, invalid("address", "set Address in the instance or in the identity", "the local address cannot be found: %v", err)
			}
			i.Address = address
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrClosed
	}
	if len(c.registrations) >= maxRegistrations {
		return nil, invalid("instance", "use a second client", "this client has %d registrations, the most there can be", maxRegistrations)
	}
	if i.ID == "" && i.Service == identity.Service && i.Group == identity.Group && !c.inUse(i, identity.InstanceID) {
		i.ID = identity.InstanceID
	}
	if i.ID != "" && c.inUse(i, i.ID) {
		return nil, &Error{Code: invalidArgument, Reason: "instance.duplicate", Field: "id", Message: fmt.Sprintf("%s is registered by this client already", i.ID),
			Hint: "update that registration, or use another id"}
	}
	label := fmt.Sprintf("%s at %s:%d", serviceKey{i.Group, i.Service}, i.Address, i.Port)
	r := &Registration{client: c, label: label, instance: i, wanted: 1, first: make(chan struct{}), changed: make(chan struct{}), state: RegistrationState{ID: i.ID}}
	c.registrations[r] = struct{}{}
	c.outbox.registrations[r] = struct{}{}
	c.signal()
	return r, nil
}

// inUse reports whether this client registers the id in the instance's service. The caller holds mu.
func (c *Client) inUse(i Instance, id string) bool {
	for r := range c.registrations {
		if r.instance.Service == i.Service && r.instance.Group == i.Group && r.instance.ID == id {
			return true
		}
	}
	return false
}

// localAddress is the address that packets to a server leave from. Connecting a UDP socket sends none.
func localAddress(ctx context.Context, server string) (string, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "udp", server)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	host, _, err := net.SplitHostPort(conn.LocalAddr().String())
	return host, err
}

// request is what the server is asked. The caller holds mu.
func (r *Registration) request(namespace string) *gantryv1.RegisterRequest {
	return &gantryv1.RegisterRequest{
		Service:  serviceKey{r.instance.Group, r.instance.Service}.ref(namespace),
		Instance: r.instance.message(),
	}
}

// accept notes the server's yes to what was wanted as of sent. The caller holds mu.
func (r *Registration) accept(l *link, sent uint64, answer *gantryv1.RegisterResponse) {
	if r.instance.ID == "" {
		r.instance.ID = answer.GetId()
	}
	r.confirmed, r.answered, r.alone, r.trouble = sent, l, false, nil
	if r.orphaned {
		r.orphaned = false
		l.request(deregisterMessage([]*gantryv1.DeregisterRequest{r.goodbye()}), func(*gantryv1.Reply, error) {})
	}
	r.state = RegistrationState{
		Registered: sent == r.wanted, Provisional: answer.GetProvisional(), ID: r.instance.ID, Revision: answer.GetRevision(),
	}
	select {
	case <-r.first:
	default:
		close(r.first)
		r.client.logger.Info("registered", "instance", r.label, "id", r.instance.ID, "provisional", answer.GetProvisional())
	}
	r.notify()
}

// refuse notes the server's no. The caller holds mu.
func (r *Registration) refuse(l *link, err error) {
	r.answered = l
	if r.state.Err == nil || r.state.Err.Error() != err.Error() {
		r.client.logger.Error("the server refuses the registration; asking again slowly", "instance", r.label, "reason", err)
	}
	r.state.Registered, r.state.Err = false, err
	r.notify()
}

func (r *Registration) notify() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// wait waits until what was wanted at a count is registered, or refused.
func (r *Registration) wait(ctx context.Context, wanted uint64) error {
	c := r.client
	for {
		c.mu.Lock()
		confirmed, state, removed, changed := r.confirmed, r.state, r.removed, r.changed
		linkChanged, reason := c.linkChanged, c.connection.Err
		if reason == nil {
			reason = r.trouble
		}
		closed := c.closed
		c.mu.Unlock()
		switch {
		case confirmed >= wanted:
			return nil
		case state.Err != nil:
			return state.Err
		case removed || closed:
			return ErrClosed
		}
		select {
		case <-changed:
		case <-linkChanged:
		case <-ctx.Done():
			if reason != nil {
				return fmt.Errorf("%w: %w", ctx.Err(), reason)
			}
			return ctx.Err()
		}
	}
}

// Registered is closed when the instance is registered for the first time.
func (r *Registration) Registered() <-chan struct{} { return r.first }

// State says how the registration stands.
func (r *Registration) State() RegistrationState {
	r.client.mu.Lock()
	defer r.client.mu.Unlock()
	state := r.state
	state.Registered = state.Registered && r.client.link != nil && r.answered == r.client.link
	return state
}

// Instance returns the instance as it is to be registered. Its maps are copies.
func (r *Registration) Instance() Instance {
	r.client.mu.Lock()
	defer r.client.mu.Unlock()
	return r.instance.clone()
}

// Update changes the instance (labels, weight, status, metadata) and waits until the server has the change. It cannot change
// what names the instance: ID, service and group. When the context ends first, the change stays wanted
// and is made as soon as possible.
func (r *Registration) Update(ctx context.Context, change func(*Instance)) error {
	c := r.client
	c.mu.Lock()
	next, count := r.instance.clone(), r.wanted
	c.mu.Unlock()
	change(&next)
	if err := next.validate(); err != nil {
		return err
	}
	c.mu.Lock()
	switch {
	case r.removed || c.closed:
		c.mu.Unlock()
		return ErrClosed
	case r.wanted != count:
		// Another update came between: make this one on top of it.
		c.mu.Unlock()
		return r.Update(ctx, change)
	}
	next.ID, next.Service, next.Group = r.instance.ID, r.instance.Service, r.instance.Group
	r.instance = next
	r.wanted++
	wanted := r.wanted
	r.state.Registered, r.state.Err = false, nil
	c.outbox.registrations[r] = struct{}{}
	c.signal()
	c.mu.Unlock()
	return r.wait(ctx, wanted)
}

// Drain takes the instance out of traffic in order: its status becomes draining, its subscribers are told and
// waited for until all of them have acknowledged (or the context's deadline, or [DefaultDrainWait]), and then it is
// deregistered. Afterwards no caller that follows the registry starts a new call on it; stop the server then. When it
// fails, the registration is no longer kept, and ends by its ttl at the latest.
func (r *Registration) Drain(ctx context.Context) error {
	wait := DefaultDrainWait
	if deadline, ok := ctx.Deadline(); ok {
		// The last tenth is for deregistering.
		wait = time.Until(deadline) * 9 / 10
	} else {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, DefaultDrainWait+registerWait)
		defer cancel()
	}
	c := r.client
	c.mu.Lock()
	if r.removed {
		c.mu.Unlock()
		return ErrClosed
	}
	// On a new session it is registered as draining, not as up.
	r.instance.Status = StatusDraining
	r.wanted++
	ref, id, known := serviceKey{r.instance.Group, r.instance.Service}.ref(c.settings.namespace), r.instance.ID, r.known()
	c.mu.Unlock()
	if !known {
		// No caller can know it.
		r.remove()
		return nil
	}
	reply, err := c.call(ctx, func() *gantryv1.ClientMessage {
		return &gantryv1.ClientMessage{Message: &gantryv1.ClientMessage_SetStatus{SetStatus: &gantryv1.SetStatus{
			Service: ref, Id: id, Status: gantryv1.Status_STATUS_DRAINING, Wait: durationpb.New(max(wait, 0)),
		}}}
	})
	if err == nil {
		c.logger.Info("drained", "instance", r.label, "subscribers", reply.GetDrained().GetSubscribers(),
			"acknowledged", reply.GetDrained().GetAcknowledged())
	}
	if left := c.deregister(ctx, []*Registration{r}); err == nil {
		err = left
	}
	if err != nil {
		return fmt.Errorf("gantry: draining %s: %w", r.label, err)
	}
	return nil
}

// known reports whether the server may have the instance. The caller holds mu.
func (r *Registration) known() bool {
	select {
	case <-r.first:
		return true
	default:
		// A request may be under way whose answer is not here yet.
		return r.instance.ID != "" && r.client.link != nil
	}
}

// Deregister removes the instance at once; callers may still be on their way: use [Registration.Drain] before a service stops. When the context
// ends first, the registration is no longer kept, and ends by its ttl.
func (r *Registration) Deregister(ctx context.Context) error {
	if err := r.client.deregister(ctx, []*Registration{r}); err != nil {
		return fmt.Errorf("gantry: deregistering %s: %w", r.label, err)
	}
	return nil
}

// goodbye is what the server is told at the end. The caller holds mu.
func (r *Registration) goodbye() *gantryv1.DeregisterRequest {
	return &gantryv1.DeregisterRequest{
		Service: serviceKey{r.instance.Group, r.instance.Service}.ref(r.client.settings.namespace), Id: r.instance.ID,
	}
}

// remove stops keeping the registration, and returns what the server is to be told; nil when it needs to know nothing.
func (r *Registration) remove() *gantryv1.DeregisterRequest {
	c := r.client
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.removed {
		return nil
	}
	r.removed = true
	delete(c.registrations, r)
	delete(c.outbox.registrations, r)
	r.state.Registered = false
	r.notify()
	c.checkSettled()
	if !r.known() {
		r.orphaned = true
		return nil
	}
	return r.goodbye()
}

// deregister stops keeping registrations, and tells the server. An instance that the server does not know is as good as gone.
func (c *Client) deregister(ctx context.Context, all []*Registration) error {
	var requests []*gantryv1.DeregisterRequest
	for _, r := range all {
		if request := r.remove(); request != nil {
			requests = append(requests, request)
		}
	}
	for part := range slices.Chunk(requests, maxBatch) {
		_, err := c.call(ctx, func() *gantryv1.ClientMessage { return deregisterMessage(part) })
		var answer *Error
		if errors.As(err, &answer) && answer.Code == codes.NotFound {
			err = nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func deregisterMessage(requests []*gantryv1.DeregisterRequest) *gantryv1.ClientMessage {
	return &gantryv1.ClientMessage{Message: &gantryv1.ClientMessage_Deregister{
		Deregister: &gantryv1.Deregister{Registrations: requests}}}
}
