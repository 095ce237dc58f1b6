package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/sdk/api/gantry/v1/gantryv1connect"
)

const (
	defaultAddress = "http://127.0.0.1:8848"
	// maxAnswer bounds one message from the server: a page of 1000 instances with all their labels
	// stays below it.
	maxAnswer = 64 << 20
	// maxTokenFile is far above any token, so that the wrong file is told.
	maxTokenFile = 4 << 10
	// dialTimeout bounds the opening of a connection. Streams have no other bound.
	dialTimeout = 5 * time.Second
	// pageSize is the largest page that the server gives.
	pageSize = 1000
)

// remote is the server that the commands talk to.
type remote struct {
	address   string
	instances gantryv1connect.InstanceServiceClient
	releases  gantryv1connect.ReleaseServiceClient
	access    gantryv1connect.AccessServiceClient
	cluster   gantryv1connect.ClusterServiceClient
	traces    gantryv1connect.TraceServiceClient
	topology  gantryv1connect.TopologyServiceClient
	events    gantryv1connect.EventServiceClient
	alerts    gantryv1connect.AlertServiceClient
	// close lets go of connections that are not in use.
	close func()
}

// target is where to connect, and as whom.
type target struct {
	url   *url.URL
	token string
	ca    string
}

// connect makes the clients once; nothing is dialled before the first request.
func (c *cli) connect() (*remote, error) {
	if c.remote != nil {
		return c.remote, nil
	}
	to, err := c.target()
	if err != nil {
		return nil, err
	}
	c.remote, err = newRemote(to, c.flags.timeout)
	return c.remote, err
}

// target finds out where to connect: by flags, environment and what was saved, in this order.
func (c *cli) target() (target, error) {
	saved, err := c.load()
	if err != nil {
		return target{}, err
	}
	var to target
	if to.url, err = parseAddress(first(c.flags.address, c.env("GANTRY_ADDRESS"), saved.Address, defaultAddress)); err != nil {
		return target{}, err
	}
	to.ca = first(c.flags.ca, c.env("GANTRY_CA"), saved.CA)
	to.token, err = c.givenToken()
	if err != nil {
		return target{}, err
	}
	if to.token == "" && saved.Token != "" {
		// A token is for the server that gave it, and for no other.
		if home, err := parseAddress(first(saved.Address, defaultAddress)); err == nil && home.String() == to.url.String() {
			to.token = saved.Token
		}
	}
	return to, nil
}

// givenToken is the token of the flags or the environment; empty for none.
func (c *cli) givenToken() (string, error) {
	token, file := c.flags.token, c.flags.tokenFile
	if token != "" && file != "" {
		return "", fault.New(fault.Invalid, "cli.usage", "--token and --token-file are both given").Hinted("give one of them")
	}
	if token == "" && file == "" {
		token, file = c.env("GANTRY_TOKEN"), c.env("GANTRY_TOKEN_FILE")
	}
	if token == "" && file != "" {
		text, err := readSecretFile(file, maxTokenFile)
		if err != nil {
			return "", err
		}
		token = strings.TrimSpace(text)
	}
	for _, r := range token {
		if r <= ' ' || r > '~' {
			return "", fault.New(fault.Invalid, "cli.invalid_token", "the token holds a space or a character that no token has").
				Hinted("look for a line that was cut, or for a wrong file")
		}
	}
	return token, nil
}

// readSecretFile reads a small file. Its content is in no error.
func readSecretFile(path string, limit int64) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fileFault(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return "", fileFault(err)
	}
	if int64(len(data)) > limit {
		return "", fault.New(fault.Invalid, "cli.secret_too_large", "%s is larger than %d bytes", path, limit).Hinted("it seems to be another file")
	}
	return string(data), nil
}

func parseAddress(address string) (*url.URL, error) {
	invalid := func(problem string) error {
		return fault.New(fault.Invalid, "cli.invalid_address", "the address %q %s", address, problem).At("address").
			Hinted("write it as http://host:8848, or https:// with TLS")
	}
	full := address
	if !strings.Contains(full, "://") {
		full = "http://" + full
	}
	u, err := url.Parse(full)
	switch {
	case err != nil:
		return nil, invalid("is no URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, invalid("is neither http nor https")
	case u.Host == "" || strings.ContainsAny(u.Host, ", "):
		return nil, invalid("does not name one host")
	case u.User != nil:
		return nil, fault.New(fault.Invalid, "cli.invalid_address", "the address holds a user or a password").At("address").Hinted("use gantry login")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, invalid("has more than host, port and path")
	}
	u.Path = strings.TrimRight(u.Path, "/")
	return u, nil
}

func newRemote(to target, timeout time.Duration) (*remote, error) {
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSHandshakeTimeout: dialTimeout,
		// Applying many documents sends a few requests at once to the one host, and mirroring a fleet some dozens.
		MaxIdleConnsPerHost: 64,
		ForceAttemptHTTP2:   true,
	}
	if to.ca != "" {
		pool, err := readCertificates(to.ca)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	client := &http.Client{
		Transport: transport,
		// A redirect would carry the token elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	options := connect.WithClientOptions(
		connect.WithReadMaxBytes(maxAnswer),
		connect.WithInterceptors(&caller{token: to.token, timeout: timeout}),
	)
	base := to.url.String()
	return &remote{
		address:   base,
		close:     transport.CloseIdleConnections,
		instances: gantryv1connect.NewInstanceServiceClient(client, base, options),
		releases:  gantryv1connect.NewReleaseServiceClient(client, base, options),
		access:    gantryv1connect.NewAccessServiceClient(client, base, options),
		cluster:   gantryv1connect.NewClusterServiceClient(client, base, options),
		traces:    gantryv1connect.NewTraceServiceClient(client, base, options),
		topology:  gantryv1connect.NewTopologyServiceClient(client, base, options),
		events:    gantryv1connect.NewEventServiceClient(client, base, options),
		alerts:    gantryv1connect.NewAlertServiceClient(client, base, options),
	}, nil
}

func readCertificates(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fileFault(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fault.New(fault.Invalid, "cli.invalid_ca", "%s holds no certificate", path).At("ca").Hinted("give a file in PEM format")
	}
	return pool, nil
}

// caller signs requests and bounds those that are no streams, unless they have a bound of their own.
type caller struct {
	token   string
	timeout time.Duration
}

func (a *caller) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		a.sign(request.Header())
		if _, bounded := ctx.Deadline(); !bounded && a.timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, a.timeout)
			defer cancel()
		}
		return next(ctx, request)
	}
}

func (a *caller) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		a.sign(conn.RequestHeader())
		return conn
	}
}

func (a *caller) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

func (a *caller) sign(header http.Header) {
	if a.token != "" {
		header.Set("Authorization", "Bearer "+a.token)
	}
}

// namespace is the one to work in.
func (c *cli) namespace() (string, error) {
	saved, err := c.load()
	if err != nil {
		return "", err
	}
	return first(c.flags.namespace, c.env("GANTRY_NAMESPACE"), saved.Namespace, "default"), nil
}

// first is the first that is not empty.
func first(values ...string) string {
	for _, value := range values {
		if value != "" {
			return value
		}
	}
	return ""
}
