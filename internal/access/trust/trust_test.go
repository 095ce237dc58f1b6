package trust_test

import (
	"crypto/tls"
	"errors"
	"io"
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
	listener, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	done := make(chan error, 1)
	go func() {
		connection, err := listener.Accept()
		if err == nil {
			_, err = io.ReadFull(connection, make([]byte, 1))
			connection.Close()
		}
		done <- err
	}()
	connection, clientErr := tls.Dial("tcp", listener.Addr().String(), client)
	if clientErr == nil {
		_, clientErr = connection.Write([]byte("x"))
		if clientErr == nil {
			_, clientErr = connection.Read(make([]byte, 1)) // the server's verdict on our certificate comes with the first read
		}
		connection.Close()
	}
	if errors.Is(clientErr, io.EOF) {
		clientErr = nil
	}
	return <-done, clientErr
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
