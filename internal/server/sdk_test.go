package server_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gantry "github.com/gantry-platform/gantry/sdk"

	"github.com/gantry-platform/gantry/internal/server"
)

// connect opens a client of the SDK that is ready when it returns.
func connect(t *testing.T, s *server.Server, options ...gantry.Option) *gantry.Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	client, err := gantry.Connect(ctx, append([]gantry.Option{gantry.WithAddresses(s.GRPCAddress()), gantry.WithWait(),
		gantry.WithSnapshotFolder("")}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

type limits struct {
	Limit int `json:"limit"`
}

// TestAServicesLife is what the platform is for, once through: register, be found, be configured, report, drain.
func TestAServicesLife(t *testing.T) {
	s, admin := startGuarded(t)
	bearer := []string{"Authorization", "Bearer " + admin}
	token := tokenFor(t, s, admin, "default", "ROLE_SERVICE")
	if status, answer := call(t, s, "ReleaseService/Publish", `{"ref":{"kind":"Config","name":"loan.yaml"},"content":"bGltaXQ6IDEw","release":true}`, bearer...); status != http.StatusOK {
		t.Fatal(answer)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	loan := connect(t, s, gantry.WithToken(token), gantry.WithIdentity(gantry.Identity{Service: "loan", Version: "v1"}))
	binding, err := gantry.Bind(loan, "loan.yaml", limits{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	changed := make(chan int, 10)
	binding.OnChange(func(_, now limits) { changed <- now.Limit })
	await(t, func() bool { return binding.Get().Limit == 10 }, "the released limit is bound")
	registration, err := loan.Register(ctx, gantry.Instance{Address: "127.0.0.1", Port: 8080})
	if err != nil {
		t.Fatal(err)
	}
	<-registration.Registered()

	portal := connect(t, s, gantry.WithToken(token), gantry.WithIdentity(gantry.Identity{Service: "portal"}))
	subscription, err := portal.Subscribe("loan")
	if err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { return len(subscription.View().Available()) == 1 }, "the portal sees the loan service")

	if status, answer := call(t, s, "ReleaseService/Publish", `{"ref":{"kind":"Config","name":"loan.yaml"},"content":"bGltaXQ6IDIw","release":true}`, bearer...); status != http.StatusOK {
		t.Fatal(answer)
	}
	await(t, func() bool { return binding.Get().Limit == 20 }, "the new limit is bound")
	await(t, func() bool {
		_, answer := call(t, s, "ReleaseService/Applied", `{"ref":{"kind":"Config","name":"loan.yaml"}}`, bearer...)
		var applied struct {
			Reports []struct{ Version, WantedVersion string }
		}
		if err := json.Unmarshal([]byte(answer), &applied); err != nil {
			t.Fatal(err)
		}
		return len(applied.Reports) == 1 && applied.Reports[0].Version == "2" && applied.Reports[0].WantedVersion == "2"
	}, "the server knows that version 2 is applied")

	if err := registration.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { return len(subscription.View().Instances) == 0 }, "the drained instance is gone")
}

func await(t *testing.T, holds func() bool, what string) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for !holds() {
		select {
		case <-ticker.C:
		case <-deadline.C:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// selfSigned writes a certificate for 127.0.0.1 and its key.
func selfSigned(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(24 * time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certificate, key = filepath.Join(dir, "tls.pem"), filepath.Join(dir, "tls.key")
	for path, block := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certificate, key
}

func httpsClient(t *testing.T, ca string, certificates ...tls.Certificate) *http.Client {
	t.Helper()
	data, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(data)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: certificates}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func TestTLSOnBothPorts(t *testing.T) {
	certificate, key := selfSigned(t)
	s := start(t, map[string]string{"GANTRY_TLS_CERTIFICATE": certificate, "GANTRY_TLS_KEY": key})
	response, err := httpsClient(t, certificate).Get("https://" + s.HTTPAddress() + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response, err := http.Get("http://" + s.HTTPAddress() + "/readyz"); err == nil {
		response.Body.Close()
		if response.StatusCode == http.StatusOK {
			t.Error("plain HTTP was answered")
		}
	}
	client := connect(t, s, gantry.WithCAFile(certificate), gantry.WithIdentity(gantry.Identity{Service: "loan"}))
	registration, err := client.Register(context.Background(), gantry.Instance{Address: "127.0.0.1", Port: 1})
	if err != nil {
		t.Fatal(err)
	}
	<-registration.Registered()
}

func TestClientCertificatesAreDemanded(t *testing.T) {
	certificate, key := selfSigned(t)
	s := start(t, map[string]string{"GANTRY_TLS_CERTIFICATE": certificate, "GANTRY_TLS_KEY": key, "GANTRY_TLS_CLIENT_CA": certificate})
	if response, err := httpsClient(t, certificate).Get("https://" + s.HTTPAddress() + "/readyz"); err == nil {
		response.Body.Close()
		t.Error("a client without a certificate was let in")
	} else if !strings.Contains(err.Error(), "certificate") {
		t.Errorf("refused with %v, want it to be about the certificate", err)
	}
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	response, err := httpsClient(t, certificate, pair).Get("https://" + s.HTTPAddress() + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
}
