// Package gantryhttp sends HTTP requests to services by name: [Transport] is an http.RoundTripper that finds an instance for each
// request.
//
//	httpClient := &http.Client{Transport: gantryhttp.New(client)}
//	response, err := httpClient.Get("http://fund/balance")
//
// It imports package gantry and the standard library.
package gantryhttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	gantry "github.com/gantry-platform/gantry/sdk"
)

const (
	// Suffix marks hosts that are services whatever they look like: "com.example.Fund.gantry".
	Suffix = ".gantry"
	// maxAttempts bounds how many instances one request is tried on: with one in ten broken, one request in a thousand fails.
	maxAttempts = 3
	// firstAnswer bounds how long a request waits to hear of its service for the first time, so that requests without a timeout do
	// not pile up while no server can be reached. It is over what the local snapshot takes by default.
	firstAnswer = 5 * time.Second
)

// Transport is an http.RoundTripper. A request to http://service/path goes to an instance of the service: one that takes
// traffic, chosen by weight and by how many requests this client has under way on it. Which hosts are services: those that end in [Suffix],
// and those without a dot and without a port, except "localhost". All other requests go to the base transport as they are.
//
// A new connection goes to the instance's port named "http" ("https" for https requests), or its main port. The Host header stays the
// service's name, and so does the name that a certificate is verified against when the base transport's TLS configuration says so.
//
// A request that could not be sent since no connection could be made is tried on another instance; one that may have been sent, only
// when its method is idempotent (RFC 9110, section 9.2.2) or it carries the header Idempotency-Key, and never after a timeout. At most three instances are
// tried, and only bodies that can be had again (http.Request.GetBody) are sent again.
//
// The error is [gantry.ErrNoInstance] in the chain when the service has no instance that takes traffic. The first request to a service waits for what
// the server (or the local snapshot) says of it, for 5 s at most, within the request's context. A Transport holds no resources of its own beside subscriptions; see [Transport.Close].
type Transport struct {
	client *gantry.Client
	base   http.RoundTripper
	group  string

	// subscriptions is copied on write, so that reading it takes no lock. It is bounded by the client's limit of services.
	subscriptions atomic.Pointer[map[string]*gantry.Subscription]
	mu            sync.Mutex
	closed        bool
}

var _ http.RoundTripper = (*Transport)(nil)

// Option changes how a [Transport] works.
type Option func(*Transport)

// WithBase sets the transport that sends requests. Default: one like [http.DefaultTransport] without proxies, with connect timeout
// 1 s (a neighbour that does not answer by then is tried elsewhere) and 256 idle connections an instance.
func WithBase(base http.RoundTripper) Option {
	return func(t *Transport) { t.base = base }
}

// WithGroup finds services in a group other than "default".
func WithGroup(group string) Option {
	return func(t *Transport) { t.group = group }
}

// New returns a transport that finds instances through a client.
func New(client *gantry.Client, options ...Option) *Transport {
	t := &Transport{client: client}
	t.subscriptions.Store(&map[string]*gantry.Subscription{})
	for _, option := range options {
		option(t)
	}
	if t.base == nil {
		t.base = newBase()
	}
	return t
}

func newBase() http.RoundTripper {
	return &http.Transport{
		DialContext:           (&net.Dialer{Timeout: time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   256,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   5 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
}

// Close ends the subscriptions and closes idle connections. Requests under way go on; later ones to services fail with [gantry.ErrClosed].
func (t *Transport) Close() {
	t.mu.Lock()
	t.closed = true
	subscriptions := *t.subscriptions.Swap(&map[string]*gantry.Subscription{})
	t.mu.Unlock()
	for _, subscription := range subscriptions {
		subscription.Close()
	}
	t.CloseIdleConnections()
}

// CloseIdleConnections closes the idle connections of the base transport, if it can; http.Client.CloseIdleConnections calls it.
func (t *Transport) CloseIdleConnections() {
	if base, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}

// serviceOf returns the service that a host names, and whether it names one.
func serviceOf(host string) (name string, ok bool) {
	if name, ok = strings.CutSuffix(host, Suffix); ok {
		return name, true
	}
	return host, host != "" && host != "localhost" && !strings.ContainsAny(host, ".:")
}

// RoundTrip implements [http.RoundTripper].
func (t *Transport) RoundTrip(request *http.Request) (*http.Response, error) {
	name, ok := serviceOf(request.URL.Host)
	if !ok {
		return t.base.RoundTrip(request)
	}
	subscription, err := t.subscription(request.Context(), name)
	if err != nil {
		closeBody(request)
		return nil, err
	}
	var tried [maxAttempts]*gantry.Instance
	for attempt := 0; ; attempt++ {
		// A new view each time: it may know by now that the instance is gone.
		instance := subscription.View().Pick(tried[:attempt]...)
		if instance == nil {
			if err == nil {
				closeBody(request)
			}
			return nil, noInstance(name, err)
		}
		if attempt > 0 && contains(tried[:attempt], instance) {
			return nil, err
		}
		tried[attempt] = instance
		var response *http.Response
		if response, err = t.send(request, instance, attempt > 0); err == nil {
			return response, nil
		}
		if attempt+1 == maxAttempts || !retriable(request, err) {
			return nil, err
		}
	}
}

func noInstance(name string, last error) error {
	if last != nil {
		return fmt.Errorf("%w: %s (after %w)", gantry.ErrNoInstance, name, last)
	}
	return fmt.Errorf("%w: %s", gantry.ErrNoInstance, name)
}

func contains(all []*gantry.Instance, one *gantry.Instance) bool {
	for _, i := range all {
		if i.ID == one.ID {
			return true
		}
	}
	return false
}

// call is one attempt: what is sent, and what counts its end, in one allocation.
type call struct {
	request  http.Request
	url      url.URL
	instance *gantry.Instance
	body     io.ReadCloser
	done     atomic.Bool
}

// send sends a request to an instance. The instance counts the call until the response's body is closed or read to its end.
func (t *Transport) send(request *http.Request, instance *gantry.Instance, again bool) (*http.Response, error) {
	c := &call{request: *request, url: *request.URL, instance: instance}
	c.request.URL = &c.url
	c.url.Host = instance.Endpoint(request.URL.Scheme)
	if c.request.Host == "" {
		c.request.Host = request.URL.Host
	}
	if again && request.GetBody != nil {
		body, err := request.GetBody()
		if err != nil {
			return nil, err
		}
		c.request.Body = body
	}
	instance.Begin()
	response, err := t.base.RoundTrip(&c.request)
	if err != nil {
		c.finish()
		return nil, err
	}
	// Callers see the request that they made.
	response.Request = request
	if response.StatusCode == http.StatusSwitchingProtocols || response.Body == nil || response.Body == http.NoBody {
		// An upgraded connection is no call any more, and its body is more than a reader.
		c.finish()
		return response, nil
	}
	c.body = response.Body
	response.Body = c
	return response, nil
}

// Read reads the response's body.
func (c *call) Read(p []byte) (int, error) {
	n, err := c.body.Read(p)
	if err != nil {
		c.finish()
	}
	return n, err
}

// Close closes the response's body.
func (c *call) Close() error {
	c.finish()
	return c.body.Close()
}

func (c *call) finish() {
	if c.done.CompareAndSwap(false, true) {
		c.instance.Done()
	}
}

// retriable reports whether a request may be tried again after an error.
func retriable(request *http.Request, err error) bool {
	if request.Context().Err() != nil || (request.Body != nil && request.Body != http.NoBody && request.GetBody == nil) {
		return false
	}
	var operation *net.OpError
	if errors.As(err, &operation) && operation.Op == "dial" {
		// Nothing was sent.
		return true
	}
	if !idempotent(request) {
		return false
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		// It may still be at work: asking another instance would only add to the load.
		return false
	}
	return operation != nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func idempotent(request *http.Request) bool {
	switch request.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	// The same headers that net/http takes for this.
	return request.Header["Idempotency-Key"] != nil || request.Header["X-Idempotency-Key"] != nil
}

func closeBody(request *http.Request) {
	if request.Body != nil {
		request.Body.Close()
	}
}

// subscription finds or makes a service's subscription, and waits until something is known of it.
func (t *Transport) subscription(ctx context.Context, name string) (*gantry.Subscription, error) {
	subscription := (*t.subscriptions.Load())[name]
	if subscription == nil {
		var err error
		if subscription, err = t.subscribe(name); err != nil {
			return nil, err
		}
	}
	if subscription.View().Known {
		return subscription, nil
	}
	ctx, cancel := context.WithTimeout(ctx, firstAnswer)
	defer cancel()
	return subscription, subscription.Ready(ctx)
}

func (t *Transport) subscribe(name string) (*gantry.Subscription, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := *t.subscriptions.Load()
	if subscription := old[name]; subscription != nil {
		return subscription, nil
	}
	if t.closed {
		return nil, gantry.ErrClosed
	}
	full := name
	if t.group != "" {
		full = t.group + "/" + name
	}
	subscription, err := t.client.Subscribe(full)
	if err != nil {
		return nil, err
	}
	next := make(map[string]*gantry.Subscription, len(old)+1)
	for key, value := range old {
		next[key] = value
	}
	next[name] = subscription
	t.subscriptions.Store(&next)
	return subscription, nil
}
