package gantry_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/credentials"

	gantry "github.com/gantry-platform/gantry/sdk"
	"github.com/gantry-platform/gantry/sdk/internal/testserver"
)

func TestWrongOptions(t *testing.T) {
	tests := map[string]struct {
		options []gantry.Option
		env     map[string]string
		field   string
	}{
		"address without port": {[]gantry.Option{gantry.WithAddresses("localhost")}, nil, "addresses"},
		"address of the web":   {nil, map[string]string{"GANTRY_GRPC_ADDRESS": "http://localhost:9848"}, "addresses"},
		"namespace":            {[]gantry.Option{gantry.WithNamespace("a/b")}, nil, "namespace"},
		"service":              {[]gantry.Option{gantry.WithIdentity(gantry.Identity{Service: "a b"})}, nil, "identity.service"},
		"label":                {[]gantry.Option{gantry.WithIdentity(gantry.Identity{Labels: map[string]string{"a": "\xff"}})}, nil, "identity"},
		"two kinds of TLS":     {[]gantry.Option{gantry.WithPlaintext(), gantry.WithTLS(&tls.Config{})}, nil, "tls"},
		"short key":            {[]gantry.Option{gantry.WithSnapshotKey([]byte("short"))}, nil, "snapshot key"},
		"key that is none":     {nil, map[string]string{"GANTRY_SNAPSHOT_KEY": "hunter2"}, "GANTRY_SNAPSHOT_KEY"},
		"plain that is none":   {nil, map[string]string{"GANTRY_PLAINTEXT": "perhaps"}, "GANTRY_PLAINTEXT"},
		"token of two lines":   {[]gantry.Option{gantry.WithToken("hunter2\nhunter2")}, nil, "token"},
		"endless wait":         {[]gantry.Option{gantry.WithSnapshotWait(time.Hour)}, nil, "snapshot wait"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for key, value := range test.env {
				t.Setenv(key, value)
			}
			client, err := gantry.Connect(t.Context(), test.options...)
			if err == nil {
				client.Close()
			}
			var invalid *gantry.Error
			if !errors.As(err, &invalid) || invalid.Field != test.field || invalid.Hint == "" {
				t.Fatalf("got %v, want field %q and a hint", err, test.field)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}

func TestEnvironment(t *testing.T) {
	cluster := testserver.NewCluster(10 * time.Second)
	cluster.SetToken("from-a-file")
	node := cluster.Start("node:1")
	defer node.Stop()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("from-a-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for key, value := range map[string]string{
		"GANTRY_GRPC_ADDRESS": "gone:1, node:1", "GANTRY_NAMESPACE": "test", "GANTRY_TOKEN_FILE": file, "GANTRY_PLAINTEXT": "true",
		"GANTRY_SNAPSHOT_FOLDER": "", "GANTRY_SNAPSHOT_KEY": strings.Repeat("ab", 32),
	} {
		t.Setenv(key, value)
	}
	client, err := gantry.Connect(t.Context(), gantry.WithDialer(cluster.Dial), gantry.WithWait(),
		gantry.WithLogger(slog.New(slog.DiscardHandler)), gantry.WithIdentity(gantry.Identity{Service: "loan"}))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if client.Namespace() != "test" || client.Connection().Address != "node:1" || client.Identity().InstanceID == "" {
		t.Errorf("namespace %s, address %s, instance %q", client.Namespace(), client.Connection().Address, client.Identity().InstanceID)
	}
}

// A token file is read for every session, so that a token can be rotated.
func TestTokenFileIsReadAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	write := func(token string) {
		if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	inBubble(t, oneNode, func(w *world, nodes []*testserver.Node) {
		write("first")
		w.SetToken("first")
		client := w.connect(gantry.WithTokenFile(file), gantry.WithWait())
		write("second")
		w.SetToken("second")
		nodes[0].Stop()
		nodes[0].Start()
		w.must(waitOpen(w, client))
		w.eventually("second session", func() bool { return w.Opened() == 2 })
	})
}

// certificate makes one for 127.0.0.1 that signs itself, and writes it to a file.
func certificate(t *testing.T) (tls.Certificate, string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "gantry"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

func TestTLS(t *testing.T) {
	own, file := certificate(t)
	_, other := certificate(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cluster := testserver.NewCluster(10 * time.Second)
	node := cluster.Listen(listener, credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS12}))
	defer node.Stop()
	address := gantry.WithAddresses(listener.Addr().String())
	client, err := gantry.Connect(t.Context(), address, gantry.WithCAFile(file), gantry.WithWait(), gantry.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatalf("with its own CA: %v", err)
	}
	client.Close()
	for name, test := range map[string]struct {
		option gantry.Option
		want   string
	}{
		"another CA":         {gantry.WithCAFile(other), "certificate"},
		"the system's roots": {gantry.WithTLS(&tls.Config{MinVersion: tls.VersionTLS12}), "certificate"},
		"plain text":         {gantry.WithPlaintext(), "error"},
	} {
		// Each failed attempt is logged with its reason.
		reasons := make(reasons, 100)
		client, err := gantry.Connect(t.Context(), address, test.option, gantry.WithLogger(slog.New(reasons)))
		if err != nil {
			t.Fatal(err)
		}
		select {
		case reason := <-reasons:
			if !strings.Contains(reason, test.want) {
				t.Errorf("with %s: %s", name, reason)
			}
		case <-time.After(time.Minute):
			t.Errorf("with %s: no attempt failed", name)
		}
		if client.Connection().Open {
			t.Errorf("with %s: connected", name)
		}
		client.Close()
	}
	missing := filepath.Join(t.TempDir(), "none")
	if _, err := gantry.Connect(t.Context(), address, gantry.WithCAFile(missing)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("with no CA file: %v", err)
	}
}

// reasons is a log handler that passes on why there is no session.
type reasons chan string

func (r reasons) Enabled(context.Context, slog.Level) bool { return true }
func (r reasons) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r reasons) WithGroup(string) slog.Handler            { return r }
func (r reasons) Handle(_ context.Context, record slog.Record) error {
	record.Attrs(func(a slog.Attr) bool {
		if a.Key == "reason" {
			select {
			case r <- a.Value.String():
			default:
			}
		}
		return true
	})
	return nil
}

// Only loopback addresses are spoken to in plain text without being asked to.
func TestOtherHostsNeedTLS(t *testing.T) {
	inBubble(t, oneNode, func(w *world, _ []*testserver.Node) {
		ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
		defer cancel()
		_, err := gantry.Connect(ctx, gantry.WithAddresses("a:9848"), gantry.WithDialer(w.Dial), gantry.WithToken("hunter2"), gantry.WithWait(),
			gantry.WithLogger(slog.New(slog.NewTextHandler(w.journal, nil))))
		if err == nil || w.Opened() != 0 {
			w.Errorf("got %v after %d sessions, want none in plain text", err, w.Opened())
		}
	})
}
