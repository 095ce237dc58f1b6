// Package trust makes the certificates with which the nodes of a cluster know each other, from one secret that
// all of them are given.
//
// The secret yields, by HKDF (RFC 5869), the key of a certificate authority that exists nowhere as a file that has to
// be copied: each node derives it and issues itself a short-lived certificate. Whoever holds the secret is a
// node; nobody else is. It imports nothing of the project but fault.
package trust

import (
	"context"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
)

// ServerName is the name in every node's certificate. Nodes verify it and the authority; addresses may change.
const ServerName = "node.gantry.internal"

const (
	// Certificates are renewed long before their end, so that a node may be off for weeks.
	certificateLife = 90 * 24 * time.Hour
	renewBefore     = 60 * 24 * time.Hour
	renewInterval   = time.Hour
	// Nodes whose clocks differ by up to this understand each other.
	clockTolerance = 24 * time.Hour

	minimumSecret = 16
	maximumSecret = 4096
)

// Authority is derived from a cluster's secret.
type Authority struct {
	secret      []byte
	key         ed25519.PrivateKey
	certificate *x509.Certificate
	pool        *x509.CertPool
}

// NewSecret makes a secret for a new cluster: 256 random bits, as text.
func NewSecret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails, see crypto/rand
	return base64.RawURLEncoding.EncodeToString(b)
}

// New derives the authority. The secret is used as it is, without white space at its ends; it must have 16 characters at least.
func New(secret string) (*Authority, error) {
	secret = strings.TrimSpace(secret)
	if len(secret) < minimumSecret || len(secret) > maximumSecret {
		return nil, fault.New(fault.Invalid, "cluster.weak_secret", "the cluster secret has %d characters", len(secret)).
			At("cluster-secret-file").Hinted("make one with `gantry cluster secret` and give the same file to every node")
	}
	a := &Authority{secret: []byte(secret)}
	seed, err := a.Derive("gantry node authority v1", ed25519.SeedSize)
	if err != nil {
		return nil, err
	}
	a.key = ed25519.NewKeyFromSeed(seed)
	// Every node must come to the same certificate, so nothing in it may depend on time or chance. Its long life is
	// that of the secret: a new secret is a new authority.
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "gantry cluster"},
		NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2120, 1, 1, 0, 0, 0, 0, time.UTC),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("trust: make the authority: %w", err)
	}
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		return nil, fmt.Errorf("trust: %w", err)
	}
	a.pool = x509.NewCertPool()
	a.pool.AddCert(a.certificate)
	return a, nil
}

// Derive makes another key from the secret; different purposes give unrelated keys.
func (a *Authority) Derive(purpose string, length int) ([]byte, error) {
	key, err := hkdf.Key(sha256.New, a.secret, nil, purpose, length)
	if err != nil {
		return nil, fmt.Errorf("trust: derive %q: %w", purpose, err)
	}
	return key, nil
}

// Node is this node's own certificate, kept fresh in memory and as files.
type Node struct {
	authority *Authority
	name      string
	current   atomic.Pointer[tls.Certificate]

	// Files in PEM for etcd, which reads them at each handshake.
	CAFile, CertificateFile, KeyFile string
}

// Issue makes a certificate for a node and writes it to a folder.
func (a *Authority) Issue(name, dir string) (*Node, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("trust: %w", err)
	}
	n := &Node{authority: a, name: name, CAFile: filepath.Join(dir, "cluster-ca.pem"),
		CertificateFile: filepath.Join(dir, "node.pem"), KeyFile: filepath.Join(dir, "node.key")}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
	if err := writeFile(n.CAFile, ca); err != nil {
		return nil, err
	}
	return n, n.renew(time.Now())
}

func (n *Node) renew(now time.Time) error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("trust: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return fmt.Errorf("trust: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: n.name}, DNSNames: []string{ServerName},
		NotBefore: now.Add(-clockTolerance), NotAfter: now.Add(certificateLife),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, n.authority.certificate, public, n.authority.key)
	if err != nil {
		return fmt.Errorf("trust: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return fmt.Errorf("trust: %w", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return fmt.Errorf("trust: %w", err)
	}
	// One file for both, so that a reader never sees a certificate beside the key of another.
	pair := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})...)
	n.KeyFile = n.CertificateFile
	if err := writeFile(n.CertificateFile, pair); err != nil {
		return err
	}
	n.current.Store(&tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private, Leaf: leaf})
	return nil
}

// Keep renews the certificate in time until ctx ends.
func (n *Node) Keep(ctx context.Context, log *slog.Logger) {
	ticker := time.NewTicker(renewInterval)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			if n.current.Load().Leaf.NotAfter.Sub(now) > renewBefore {
				continue
			}
			if err := n.renew(now); err != nil {
				log.Error("cannot renew this node's certificate", "error", err, "ends", n.current.Load().Leaf.NotAfter)
			}
		case <-ctx.Done():
			return
		}
	}
}

// ServerTLS demands a certificate of the same authority from whoever connects.
func (n *Node) ServerTLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: n.authority.pool,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return n.current.Load(), nil },
		NextProtos:     []string{"h2"},
	}
}

// ClientTLS shows this node's certificate and verifies the other's.
func (n *Node) ClientTLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: n.authority.pool, ServerName: ServerName,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return n.current.Load(), nil },
		NextProtos:           []string{"h2"},
	}
}

// writeFile writes a private file whole or not at all.
func writeFile(path string, data []byte) error {
	file, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("trust: %w", err)
	}
	_, err = file.Write(data)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("trust: %w", err)
	}
	return os.Rename(path+".new", path)
}
