package server

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"sync"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
)

// certificates serve the TLS of the client ports and follow their files, so that a renewal needs no restart.
type certificates struct {
	certificateFile, keyFile string
	clients                  *x509.CertPool

	mu      sync.Mutex
	current *tls.Certificate
	stamp   time.Time
	looked  time.Time
}

// lookInterval is how often the files are looked at, when connections come.
const lookInterval = 10 * time.Second

// loadCertificates returns nil when no TLS is set.
func loadCertificates(settings *Settings) (*certificates, error) {
	if settings.TLSCertificate == "" {
		if settings.TLSClientCA != "" {
			return nil, fault.New(fault.Invalid, "setting.incomplete", "client certificates are asked for without TLS").At("tls-client-ca").
				Hinted("set --tls-certificate and --tls-key too")
		}
		return nil, nil
	}
	c := &certificates{certificateFile: settings.TLSCertificate, keyFile: settings.TLSKey}
	if err := c.load(); err != nil {
		return nil, fault.New(fault.Invalid, "setting.bad_file", "cannot use the TLS certificate: %v", err).At("tls-certificate").Because(err)
	}
	if settings.TLSClientCA != "" {
		var err error
		if c.clients, err = readPool("tls-client-ca", settings.TLSClientCA); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *certificates) load() error {
	info, err := os.Stat(c.certificateFile)
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(c.certificateFile, c.keyFile)
	if err != nil {
		return err
	}
	c.current, c.stamp = &pair, info.ModTime()
	return nil
}

// get is the certificate for a connection. A pair that cannot be read, as in the middle of a renewal, leaves the old one in use.
func (c *certificates) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) > lookInterval {
		c.looked = time.Now()
		if info, err := os.Stat(c.certificateFile); err == nil && !info.ModTime().Equal(c.stamp) {
			_ = c.load()
		}
	}
	return c.current, nil
}

func (c *certificates) ends() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current.Leaf.NotAfter
}

func (c *certificates) config(protocols ...string) *tls.Config {
	config := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get, NextProtos: protocols}
	if c.clients != nil {
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, c.clients
	}
	return config
}

func (c *certificates) wrap(listener net.Listener, protocols ...string) net.Listener {
	return tls.NewListener(listener, c.config(protocols...))
}
