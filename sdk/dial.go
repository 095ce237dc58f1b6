package gantry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

const (
	// handshakeTimeout bounds the way from dialling to the server's Welcome. It is far above any
	// network's round trips, and short enough to try three dead nodes in a start timeout.
	handshakeTimeout = 5 * time.Second
	// backoffBase and backoffCap bound the random wait before the next attempt: under the base at first, so that the clients
	// of a lost node spread; doubling with each round over all addresses, up to the cap, so that a thousand clients
	// of a dead cluster make about 200 attempts a second, and find it a few seconds after it returns.
	backoffBase = 100 * time.Millisecond
	backoffCap  = 10 * time.Second
	// refusedWait is the least wait after a refusal that only a person can lift, such as a wrong token.
	refusedWait = 30 * time.Second
	// provenAfter is how long a session lasts before the waits start over: one that breaks at once is no better than none.
	provenAfter = backoffCap
	// maxMessage bounds a message from the server, in bytes. The largest is a whole service: 20,000 instances
	// of 1 KiB, with room to spare.
	maxMessage = 64 << 20
)

// pool is the addresses of servers: configured ones, and those that servers named. It belongs to the session's goroutine.
type pool struct {
	configured []string
	learned    []string
	// next are the addresses that this round has not tried.
	next []string
	// failures counts attempts since a session proved itself.
	failures int
}

// learn replaces the learned addresses. What is not an address is left out.
func (p *pool) learn(nodes []string) {
	var learned []string
	for _, node := range nodes {
		if validAddress(node) && !slices.Contains(learned, node) && len(learned) < maxAddresses {
			learned = append(learned, node)
		}
	}
	if len(learned) > 0 {
		p.learned = learned
		p.next = nil
	}
}

// all returns every address once.
func (p *pool) all() []string {
	all := slices.Clone(p.learned)
	for _, address := range p.configured {
		if !slices.Contains(all, address) {
			all = append(all, address)
		}
	}
	return all
}

// pick returns the next address of a round in random order, other than avoid if there is another.
func (p *pool) pick(avoid string) string {
	if all := p.all(); len(p.next) == 0 || (len(all) > 1 && len(p.next) == 1 && p.next[0] == avoid) {
		p.next = all
		rand.Shuffle(len(p.next), func(i, j int) { p.next[i], p.next[j] = p.next[j], p.next[i] })
	}
	at := 0
	if p.next[0] == avoid && len(p.next) > 1 {
		at = 1
	}
	address := p.next[at]
	p.next = slices.Delete(p.next, at, at+1)
	return address
}

// wait is how long to wait before the next attempt: full jitter under an exponential bound (Brooker, "Exponential Backoff And
// Jitter", AWS, 2015).
func (p *pool) wait(last error) time.Duration {
	rounds := min(p.failures/max(len(p.all()), 1), 16)
	bound := min(backoffBase<<rounds, backoffCap)
	wait := rand.N(bound)
	// Another node may think otherwise: only a whole round of refusals counts.
	if isPermanent(last) && len(p.next) == 0 {
		wait += refusedWait
	}
	return wait
}

// connect opens a session on one server: connection, stream, Hello, Welcome.
func (c *Client) connect(address string) (*link, error) {
	transport, err := c.credentials(address)
	if err != nil {
		return nil, err
	}
	token, err := c.settings.currentToken()
	if err != nil {
		return nil, err
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(transport), grpc.WithNoProxy(), grpc.WithDisableServiceConfig(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithUserAgent(clientName),
	}
	if c.settings.dialer != nil {
		options = append(options, grpc.WithContextDialer(c.settings.dialer))
	}
	// The address goes to the dialer as it is: a name with several addresses is one server.
	conn, err := grpc.NewClient("passthrough:///"+address, options...)
	if err != nil {
		return nil, fmt.Errorf("gantry: %s: %w", address, err)
	}
	l, err := c.handshake(conn, address, token)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return l, nil
}

// handshake opens the stream and waits for the server's Welcome, within a bound.
func (c *Client) handshake(conn *grpc.ClientConn, address, token string) (*link, error) {
	ctx, cancel := context.WithCancelCause(c.ctx)
	timer := time.AfterFunc(handshakeTimeout, func() { cancel(errNoWelcome) })
	stream, welcome, err := c.greet(ctx, conn, token)
	if !timer.Stop() && err == nil {
		err = errNoWelcome
	}
	if err != nil {
		// When the stream was cancelled here, the reason is more telling than "canceled".
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		cancel(err)
		return nil, fmt.Errorf("%s: %w", address, fromStatus(err))
	}
	return newLink(c, ctx, cancel, conn, stream, address, welcome), nil
}

var errNoWelcome = fmt.Errorf("the server did not answer within %s", handshakeTimeout)

func (c *Client) greet(ctx context.Context, conn *grpc.ClientConn, token string) (gantryv1.SessionService_OpenClient, *gantryv1.Welcome, error) {
	if token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	}
	stream, err := gantryv1.NewSessionServiceClient(conn).Open(ctx)
	if err != nil {
		return nil, nil, err
	}
	hello := &gantryv1.Hello{Client: clientName, Subject: c.settings.identity.subject(c.settings.namespace)}
	err = stream.Send(&gantryv1.ClientMessage{Message: &gantryv1.ClientMessage_Hello{Hello: hello}})
	// After io.EOF, Recv knows why.
	if err != nil && err != io.EOF {
		return nil, nil, err
	}
	first, err := stream.Recv()
	if err != nil {
		return nil, nil, err
	}
	if first.GetWelcome() == nil {
		return nil, nil, fmt.Errorf("%w: its first message is not a welcome", errNonsense)
	}
	return stream, first.GetWelcome(), nil
}

// credentials decides how an address is spoken to.
func (c *Client) credentials(address string) (credentials.TransportCredentials, error) {
	s := c.settings
	switch {
	case s.plaintext, s.tls == nil && s.caFile == "" && isLoopback(address):
		return insecure.NewCredentials(), nil
	case s.tls != nil:
		return credentials.NewTLS(s.tls), nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.caFile != "" {
		pem, err := os.ReadFile(s.caFile)
		if err != nil {
			return nil, fmt.Errorf("gantry: CA file: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, invalid("CA file", "give it certificates in PEM form", "%s holds no certificate", s.caFile)
		}
	}
	return credentials.NewTLS(config), nil
}

// isLoopback reports whether an address stays on this machine.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || (ip != nil && ip.IsLoopback())
}

// currentToken returns the token, read anew when it is in a file.
func (s *settings) currentToken() (string, error) {
	token := s.token
	if s.tokenFile != "" {
		file, err := os.Open(s.tokenFile)
		if err != nil {
			return "", fmt.Errorf("gantry: token file: %w", err)
		}
		defer file.Close()
		content, err := io.ReadAll(io.LimitReader(file, maxToken+1))
		if err != nil {
			return "", fmt.Errorf("gantry: token file: %w", err)
		}
		if len(content) > maxToken {
			return "", fmt.Errorf("gantry: token file %s: over %d bytes", s.tokenFile, maxToken)
		}
		token = strings.TrimSpace(string(content))
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", invalid("token", "copy it whole and on one line", "it holds characters that no token has")
	}
	return token, nil
}
