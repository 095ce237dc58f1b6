package migrate

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/gantry-platform/gantry/internal/fault"
)

// Connection says where a foreign system is and as whom to ask it.
type Connection struct {
	// URL is its address: scheme, host, port, and a path where the system stands under one. No user or password in it.
	URL *url.URL
	// User and Password, or Token: what the system wants. They are sent to it alone.
	User, Password, Token string
	// CA are the certificates to trust; nil: the system's.
	CA *x509.CertPool
	// Timeout bounds one request that does not wait for news. Default 15 s.
	Timeout time.Duration
}

const (
	defaultTimeout = 15 * time.Second
	// connections to the foreign system: what the mirror asks at once.
	maxConnections = parallel
	// parallel is how much is asked of a side at once: enough to hide a network's latency, few enough to leave the rest to others.
	parallel = 16
	// readAttempts is how often a read is tried before copying gives up, and the waits between are firstWait, twice that, and so on.
	readAttempts = 4
	firstWait    = 250 * time.Millisecond
)

// endpoint asks a foreign system over HTTP.
type endpoint struct {
	system  string // for messages: "nacos"
	base    *url.URL
	client  *http.Client
	timeout time.Duration
	// sign puts the credential into a request; nil for none.
	sign func(ctx context.Context, r *http.Request) error
}

func newEndpoint(system string, c Connection) *endpoint {
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		TLSHandshakeTimeout: 5 * time.Second,
		MaxIdleConnsPerHost: maxConnections,
		IdleConnTimeout:     time.Minute,
	}
	if c.CA != nil {
		transport.TLSClientConfig = &tls.Config{RootCAs: c.CA}
	}
	timeout := c.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	base := *c.URL
	base.Path = strings.TrimRight(base.Path, "/")
	return &endpoint{system: system, base: &base, timeout: timeout, client: &http.Client{
		Transport: transport,
		// A redirect would carry the credential elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// close lets go of idle connections.
func (e *endpoint) close() { e.client.CloseIdleConnections() }

// request is one question.
type request struct {
	method string
	// path below the base; already escaped.
	path  string
	query url.Values
	body  []byte
	// contentType of the body.
	contentType string
	// wait is how much longer than the usual timeout the answer may take: for questions that wait for news.
	wait   time.Duration
	header http.Header
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// statusError is an answer that was not 2xx.
type statusError struct {
	system, method, path string
	status               int
	body                 string
}

func (e *statusError) Error() string {
	text := fmt.Sprintf("%s answers %s %s with %d", e.system, e.method, e.path, e.status)
	if e.body != "" {
		text += ": " + e.body
	}
	return text
}

// statusOf is the status of an error that is an answer; 0 when it is none.
func statusOf(err error) int {
	var status *statusError
	if errors.As(err, &status) {
		return status.status
	}
	return 0
}

// gone reports whether a server does not have an operation (any more).
func gone(err error) bool {
	switch statusOf(err) {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusGone, http.StatusNotImplemented:
		return true
	default:
		return false
	}
}

// do asks once. A status that is not 2xx is a *statusError.
func (e *endpoint) do(ctx context.Context, q request) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, e.timeout+q.wait)
	defer cancel()
	target := *e.base
	full, err := url.PathUnescape(q.path)
	if err != nil {
		return nil, err
	}
	target.RawPath = target.EscapedPath() + q.path
	target.Path += full
	target.RawQuery = q.query.Encode()
	r, err := http.NewRequestWithContext(ctx, q.method, target.String(), bytes.NewReader(q.body))
	if err != nil {
		return nil, err
	}
	for name, values := range q.header {
		r.Header[name] = values
	}
	r.Header.Set("User-Agent", "gantry-migrate")
	if q.contentType != "" {
		r.Header.Set("Content-Type", q.contentType)
	}
	if e.sign != nil {
		if err := e.sign(ctx, r); err != nil {
			return nil, err
		}
	}
	response, err := e.client.Do(r)
	if err != nil {
		return nil, e.unreachable(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, e.unreachable(err)
	case len(body) > maxAnswer:
		return nil, fault.New(fault.TooLarge, "source.too_large", "%s answers %s with more than %d bytes", e.system, q.path, maxAnswer)
	case response.StatusCode < 200 || response.StatusCode > 299:
		// What it says may quote a document: only the beginning of plain error texts is kept, and nothing of pages.
		said := ""
		if response.StatusCode >= 400 && !bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) {
			said = short(strings.ToValidUTF8(string(bytes.TrimSpace(body)), "?"))
		}
		return nil, &statusError{system: e.system, method: q.method, path: q.path, status: response.StatusCode, body: said}
	}
	return &answer{status: response.StatusCode, header: response.Header, body: body}, nil
}

// read asks for what only looks, and again where later it may work.
func (e *endpoint) read(ctx context.Context, q request) (*answer, error) {
	q.method = http.MethodGet
	wait := firstWait
	for attempt := 1; ; attempt++ {
		got, err := e.do(ctx, q)
		if err == nil || attempt == readAttempts || !passing(err) || ctx.Err() != nil {
			return got, err
		}
		if pause(ctx, wait) != nil {
			return got, err
		}
		wait *= 2
	}
}

// passing reports whether an error may be over soon.
func passing(err error) bool {
	if status := statusOf(err); status != 0 {
		return status == http.StatusTooManyRequests || status >= 500 && status != http.StatusNotImplemented
	}
	return fault.Is(err, fault.Unavailable)
}

// unreachable explains why there was no answer. The error of net/http names the URL, and a query is not for logs.
func (e *endpoint) unreachable(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	f := fault.New(fault.Unavailable, "source.unreachable", "cannot reach %s at %s: %v", e.system, e.base.Redacted(), err).Because(err)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fault.New(fault.Unavailable, "source.timeout", "%s at %s did not answer in time", e.system, e.base.Redacted()).Because(err).
			Hinted("see that it is well, or give it more with --timeout")
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return f.Hinted("name the certificate that signed its own with --source-ca")
	default:
		return f.Hinted("see that --url is right and that the system runs")
	}
}

// Explained makes a fault of what a foreign system answered; other errors stay as they are.
func Explained(err error) error {
	status := statusOf(err)
	if _, done := fault.As(err); done || status == 0 {
		return err
	}
	code, reason, hint := fault.Unavailable, "source.failed", "see its log"
	switch {
	case status == http.StatusUnauthorized:
		code, reason, hint = fault.Unauthenticated, "source.unauthenticated", "give its user by --source-user and GANTRY_SOURCE_PASSWORD, or its token by GANTRY_SOURCE_TOKEN"
	case status == http.StatusForbidden:
		code, reason, hint = fault.Forbidden, "source.forbidden", "give credentials that may read it: --source-user and GANTRY_SOURCE_PASSWORD, or GANTRY_SOURCE_TOKEN"
	case status == http.StatusNotFound:
		code, reason, hint = fault.NotFound, "source.not_found", "see that --url is the address of the system's API, with its path where it has one"
	case status < 500:
		code, reason, hint = fault.Invalid, "source.refused", "see that the address and the kind of source are right"
	}
	return fault.New(code, reason, "%v", err).Hinted("%s", hint).Because(err)
}

// pause waits, or returns ctx's error when that ends first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// unreached reports whether there was no answer at all, so that the next question would get none either.
func unreached(err error) bool {
	var answered *connect.Error
	if errors.As(err, &answered) {
		return !connect.IsWireError(err)
	}
	return err != nil && statusOf(err) == 0 && fault.Is(err, fault.Unavailable)
}
