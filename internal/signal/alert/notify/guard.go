package notify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// Bounds of a delivery.
const (
	dialTimeout = 5 * time.Second
	sendTimeout = 15 * time.Second
	// maxAnswer bounds what is read of an answer.
	maxAnswer = 16 << 10
)

// errRefused is a connection to where none may go.
var errRefused = errors.New("the address is of this machine, its link, or where clouds serve credentials")

// refused are networks beyond those that [netip.Addr] knows by itself: "this host", the metadata services of Alibaba Cloud, Oracle Cloud and AWS (IPv6), and ways to write
// an IPv4 address as an IPv6 one.
func refused() []netip.Prefix {
	var all []netip.Prefix
	for _, text := range []string{"0.0.0.0/8", "100.100.100.200/32", "192.0.0.0/24", "255.255.255.255/32", "fd00:ec2::254/128", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "::/96"} {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// guard decides where connections may go.
type guard struct {
	allow, refuse []netip.Prefix
}

func (g *guard) admits(address netip.Addr) bool {
	address = address.Unmap().WithZone("")
	holds := func(p netip.Prefix) bool { return p.Contains(address) }
	if slices.ContainsFunc(g.allow, holds) {
		return true
	}
	return !(address.IsLoopback() || address.IsLinkLocalUnicast() || address.IsLinkLocalMulticast() || address.IsMulticast() || address.IsInterfaceLocalMulticast() ||
		address.IsUnspecified() || slices.ContainsFunc(g.refuse, holds))
}

// dial opens a connection. The address is looked at after names were resolved, for each that is tried.
func (g *guard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout, ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
		parsed, err := netip.ParseAddrPort(address)
		if err != nil || !g.admits(parsed.Addr()) {
			return errRefused
		}
		return nil
	}}
	return d.DialContext(ctx, network, address)
}

// tlsFor trusts the system's authorities, or those that are given.
func tlsFor(host, ca string) *tls.Config {
	config := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if ca != "" {
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AppendCertsFromPEM([]byte(ca))
	}
	return config
}

// client makes requests for one delivery.
func (g *guard) client(ca string) *http.Client {
	return &http.Client{
		Timeout: sendTimeout,
		Transport: &http.Transport{DialContext: g.dial, TLSClientConfig: tlsFor("", ca), TLSHandshakeTimeout: dialTimeout, DisableKeepAlives: true,
			MaxResponseHeaderBytes: maxAnswer, ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
