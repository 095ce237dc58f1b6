package gantry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

const (
	// moveTimeout bounds how long a session that was asked to leave waits for the registrations to be answered on the new one.
	moveTimeout = 10 * time.Second
	// closeTimeout bounds deregistering when a client is closed.
	closeTimeout = 2 * time.Second
	// maxServices, maxDocuments and maxRegistrations bound what one client holds; the session is shared by all of it.
	maxServices      = 1000
	maxDocuments     = 1000
	maxRegistrations = 10_000
)

// clientName is what the server is told about this library.
var clientName = func() string {
	version := "devel"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == "github.com/gantry-platform/gantry/sdk" {
				version = module.Version
			}
		}
	}
	return "gantry-go/" + version
}()

// Client is a service's connection to Gantry. Make one for a process, and close it last.
type Client struct {
	settings *settings
	logger   *slog.Logger
	ctx      context.Context
	cancel   context.CancelFunc
	running  sync.WaitGroup
	saver    *saver
	events   events

	mu     sync.Mutex
	closed bool
	// link is the session that is in use; nil when there is none. linkChanged is closed and replaced when it changes.
	link        *link
	connection  Connection
	linkChanged chan struct{}

	registrations map[*Registration]struct{}
	services      map[serviceKey]*service
	documents     map[documentKey]*document
	// outbox is what the current link has not been told yet.
	outbox outbox
}

// Connection says how the session stands.
type Connection struct {
	// Open: a session is open.
	Open bool
	// Address is the server's address, Node its id, and ServerVersion its version, of the open session or the last one.
	Address       string
	Node          string
	ServerVersion string
	// Since is when the state began.
	Since time.Time
	// Err is why there is no session, or the last attempt failed; nil when it is open.
	Err error
}

// Connect makes a client and starts to open its session. It does not fail when no server can be reached: the client keeps trying,
// with random waits of up to 10 s (after a refusal that only a person can lift, such as a wrong token, of 30 s to 40 s), until it is closed. With
// [WithWait] it returns after the session is open. The context bounds that wait, not the client's life.
//
// The error is an [*Error] when an option is wrong.
func Connect(ctx context.Context, options ...Option) (*Client, error) {
	s, err := newSettings(options)
	if err != nil {
		return nil, err
	}
	// A token that is wrong in form, a missing file: said at once, not by a session that never opens.
	if _, err := s.currentToken(); err != nil {
		return nil, err
	}
	c := &Client{
		settings: s, logger: s.logger.With("component", "gantry"),
		linkChanged: make(chan struct{}), connection: Connection{Since: time.Now(), Err: errors.New("gantry: not connected yet")},
		registrations: map[*Registration]struct{}{}, services: map[serviceKey]*service{}, documents: map[documentKey]*document{},
	}
	if _, err := c.credentials(s.addresses[0]); err != nil {
		return nil, err
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.outbox.reset()
	c.events.init(c)
	c.saver = openSaver(c)
	c.running.Go(c.run)
	if s.wait {
		if err := c.WaitConnected(ctx); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

// Namespace is the namespace of everything that the client does.
func (c *Client) Namespace() string { return c.settings.namespace }

// Identity is who the client is, with defaults filled in. Its labels must not be changed.
func (c *Client) Identity() Identity { return c.settings.identity }

// Connection says how the session stands.
func (c *Client) Connection() Connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.connection
}

// WaitConnected returns when a session is open. It fails with [ErrClosed], with an [*Error] when the server refuses
// the client and only a person can lift that, and when the context ends, saying why there is no session.
func (c *Client) WaitConnected(ctx context.Context) error {
	for {
		c.mu.Lock()
		closed, connection, changed := c.closed, c.connection, c.linkChanged
		c.mu.Unlock()
		switch {
		case closed:
			return ErrClosed
		case connection.Open:
			return nil
		case isPermanent(connection.Err):
			return connection.Err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), connection.Err)
		}
	}
}

// Close deregisters what is registered and sends the events that wait (both bounded by 2 s; without a session instances are left to end by their ttl, and events are dropped), ends the session, saves the local
// snapshot and stops everything. Subscriptions, documents and bindings keep their last values. Closing twice does nothing.
// It must not be called from an OnChange or Watch function of the same client, which it waits for.
func (c *Client) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		c.running.Wait()
		return nil
	}
	var registrations []*Registration
	for r := range c.registrations {
		registrations = append(registrations, r)
	}
	open := c.link != nil
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(c.ctx, closeTimeout)
	if open && len(registrations) > 0 {
		c.deregister(ctx, registrations)
	}
	if !open {
		cancel() // nobody is there to send events to
	}
	c.events.close(ctx)
	cancel()

	c.mu.Lock()
	c.closed = true
	link := c.link
	if link != nil {
		// What is known is right as of now: so says the local snapshot then.
		c.saver.mark()
	}
	for _, s := range c.services {
		s.notify()
	}
	for _, d := range c.documents {
		d.notify()
	}
	c.linkMoved(nil, ErrClosed)
	c.mu.Unlock()
	if link != nil {
		link.leave()
	}
	c.cancel()
	c.running.Wait()
	return nil
}

// run keeps a session open until the client is closed.
func (c *Client) run() {
	addresses := &pool{configured: c.settings.addresses}
	var l *link
	last := ""
	for {
		if l == nil {
			if l = c.open(addresses, last, nil); l == nil {
				return
			}
			if !c.adopt(l) {
				l.leave()
				return
			}
		}
		addresses.learn(l.welcome.GetNodes())
		last = l.address
		select {
		case <-l.done:
			l = c.lost(l, addresses)
		case nodes := <-l.goAway:
			l = c.move(l, nodes, addresses)
		}
		if c.ctx.Err() != nil {
			if l != nil {
				l.leave()
			}
			return
		}
	}
}

// lost notes that a session ended. It returns nil, the session that is left.
func (c *Client) lost(l *link, addresses *pool) *link {
	if time.Since(l.opened) >= provenAfter {
		addresses.failures = 0
	} else {
		addresses.failures++
	}
	c.mu.Lock()
	closed := c.closed
	if c.link == l {
		c.linkMoved(nil, l.err)
	}
	c.mu.Unlock()
	if !closed {
		c.logger.Warn("session lost; reconnecting", "address", l.address, "node", l.welcome.GetNodeId(), "reason", l.err)
	}
	return nil
}

// open tries addresses until one gives a session, first another than avoid; with a link to replace, never that one. It returns nil when the client is closed, or the link that is to be
// replaced, if one is given, has ended.
func (c *Client) open(addresses *pool, avoid string, replaced *link) *link {
	var gone <-chan struct{}
	if replaced != nil {
		gone = replaced.done
	}
	var last error
	said := map[string]bool{}
	for {
		wait := time.Duration(0)
		if addresses.failures > 0 {
			wait = addresses.wait(last)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-gone:
			timer.Stop()
			return nil
		case <-c.ctx.Done():
			timer.Stop()
			return nil
		}
		address := addresses.pick(avoid)
		if replaced == nil {
			// A node that was lost is tried last at first, and like all others then.
			avoid = ""
		}
		if replaced != nil && address == avoid {
			// Elsewhere is what was asked for. Should there be nowhere else, the old session's end comes first.
			addresses.failures++
			continue
		}
		l, err := c.connect(address)
		if err == nil {
			l.start()
			return l
		}
		if c.ctx.Err() != nil {
			return nil
		}
		last = err
		addresses.failures++
		if replaced == nil {
			c.noteFailure(err)
		}
		c.logFailure(address, err, said)
	}
}

// logFailure says each reason once in an outage.
func (c *Client) logFailure(address string, err error, said map[string]bool) {
	// Bounded: beyond this, an outage has shown what it has to show.
	const limit = 64
	if said[err.Error()] || len(said) >= limit {
		c.logger.Debug("no session", "address", address, "reason", err)
		return
	}
	said[err.Error()] = true
	if isPermanent(err) {
		c.logger.Error("the server refuses the session; retrying slowly", "address", address, "reason", err)
		return
	}
	c.logger.Warn("no session; retrying", "address", address, "reason", err)
}

// noteFailure keeps why there is no session, and tells who waits for one.
func (c *Client) noteFailure(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.connection.Err = err
		c.linkSignal()
	}
}

// move opens a session elsewhere, has everything registered there, and then ends the old one, which serves until then.
func (c *Client) move(old *link, nodes []string, addresses *pool) *link {
	c.logger.Info("the node is going away; moving the session", "address", old.address)
	addresses.learn(nodes)
	// Not a failure: the first attempt comes at once, unless nodes send the client round and round.
	if addresses.failures++; time.Since(old.opened) >= provenAfter {
		addresses.failures = 0
	}
	next := c.open(addresses, old.address, old)
	if next == nil {
		if c.ctx.Err() != nil {
			return old
		}
		return c.lost(old, addresses)
	}
	if !c.adopt(next) {
		next.leave()
		return old
	}
	timer := time.NewTimer(moveTimeout)
	defer timer.Stop()
	select {
	case <-next.settled:
	case <-next.done:
	case <-old.done:
	case <-timer.C:
	case <-c.ctx.Done():
	}
	old.leave()
	return next
}

// adopt makes a session the one in use: everything is told to it anew. It reports whether the client is still open.
func (c *Client) adopt(l *link) bool {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return false
	}
	c.linkMoved(l, nil)
	c.mu.Unlock()
	c.logger.Info("session open", "address", l.address, "node", l.welcome.GetNodeId(), "server", l.welcome.GetServerVersion())
	l.signal()
	return true
}

// linkMoved changes the session in use. The caller holds mu.
func (c *Client) linkMoved(l *link, err error) {
	c.link = l
	c.outbox.reset()
	c.connection.Since = time.Now()
	c.connection.Open, c.connection.Err = l != nil, err
	if l != nil {
		c.connection.Address, c.connection.Node = l.address, l.welcome.GetNodeId()
		c.connection.ServerVersion = l.welcome.GetServerVersion()
		c.retell()
	} else {
		for _, s := range c.services {
			s.disconnected()
		}
	}
	c.linkSignal()
}

// linkSignal wakes who waits for a session. The caller holds mu.
func (c *Client) linkSignal() {
	close(c.linkChanged)
	c.linkChanged = make(chan struct{})
}

// call sends a request and waits for its reply, again on the next session when one breaks.
func (c *Client) call(ctx context.Context, build func() *gantryv1.ClientMessage) (*gantryv1.Reply, error) {
	type outcome struct {
		reply *gantryv1.Reply
		err   error
	}
	for {
		if err := c.waitLink(ctx); err != nil {
			return nil, err
		}
		c.mu.Lock()
		l := c.link
		c.mu.Unlock()
		if l == nil {
			continue
		}
		answer := make(chan outcome, 1)
		l.request(build(), func(reply *gantryv1.Reply, err error) { answer <- outcome{reply, err} })
		select {
		case o := <-answer:
			if errors.Is(o.err, errBroken) {
				// The link is done or about to be replaced; wait for the next one.
				select {
				case <-l.done:
				case <-ctx.Done():
				}
				c.forget(l)
				continue
			}
			return o.reply, o.err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// forget takes a link that ended out of use, in case the session's goroutine has not done so yet.
func (c *Client) forget(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link == l {
		c.linkMoved(nil, l.err)
	}
}

// waitLink waits for a session, refused or not: unlike [Client.WaitConnected], it does not give up.
func (c *Client) waitLink(ctx context.Context) error {
	for {
		c.mu.Lock()
		closed, link, changed, reason := c.closed, c.link, c.linkChanged, c.connection.Err
		c.mu.Unlock()
		if closed {
			return ErrClosed
		}
		if link != nil {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), reason)
		}
	}
}

// later runs a function with mu held, unless the client is closed by then, and wakes the writer.
func (c *Client) later(wait time.Duration, do func()) *time.Timer {
	return time.AfterFunc(wait, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.closed {
			do()
			c.signal()
		}
	})
}

// signal wakes the writer of the session in use. The caller holds mu.
func (c *Client) signal() {
	if c.link != nil {
		c.link.signal()
	}
}
