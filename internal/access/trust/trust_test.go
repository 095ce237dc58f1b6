package trust_test

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"testing"

	"github.com/gantry-platform/gantry/internal/access/trust"
	"github.com/gantry-platform/gantry/internal/fault"
)

func node(t *testing.T, secret, name string) *trust.Node {
	t.Helper()
	authority, err := trust.New(secret)
	if err != nil {
		t.Fatal(err)
	}
	n, err := authority.Issue(name, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// talk lets one node call another and reports both ends' errors.
func talk(t *testing.T, server, client *tls.Config) (serverErr, clientErr error) {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	done := make(chan error, 1)
	go func() {
		s := tls.Server(a, server)
		_, err := io.ReadFull(s, make([]byte, 1))
		a.Close()
		done <- err
	}()
	c := tls.Client(b, client)
	_, clientErr = c.Write([]byte("x"))
	if clientErr != nil {
		b.Close()
	}
	serverErr = <-done
	b.Close()
	return serverErr, clientErr
}

func TestNodesOfOneSecretTrustEachOther(t *testing.T) {
	secret := trust.NewSecret()
	a, b := node(t, secret, "a"), node(t, " "+secret+"\n", "b")
	if serverErr, clientErr := talk(t, a.ServerTLS(), b.ClientTLS()); serverErr != nil || clientErr != nil {
		t.Fatalf("server %v, client %v; want a connection", serverErr, clientErr)
	}
}

func TestAnotherSecretIsRefused(t *testing.T) {
	a, b := node(t, trust.NewSecret(), "a"), node(t, trust.NewSecret(), "b")
	if serverErr, clientErr := talk(t, a.ServerTLS(), b.ClientTLS()); serverErr == nil || clientErr == nil {
		t.Fatalf("server %v, client %v; both must refuse", serverErr, clientErr)
	}
	noCertificate := b.ClientTLS()
	noCertificate.GetClientCertificate = nil
	noCertificate.InsecureSkipVerify = true
	if serverErr, _ := talk(t, a.ServerTLS(), noCertificate); serverErr == nil {
		t.Fatal("a caller without certificate was let in")
	}
}

func TestFilesArePrivateAndLoad(t *testing.T) {
	n := node(t, trust.NewSecret(), "a")
	if _, err := tls.LoadX509KeyPair(n.CertificateFile, n.KeyFile); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{n.CAFile, n.CertificateFile, n.KeyFile} {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", file, info.Mode().Perm())
		}
	}
}

func TestWeakSecretIsRefused(t *testing.T) {
	for _, secret := range []string{"", "short", "   fifteen-chars   "} {
		if _, err := trust.New(secret); !fault.Is(err, fault.Invalid) {
			t.Errorf("New(%q) = %v, want Invalid", secret, err)
		}
	}
}
