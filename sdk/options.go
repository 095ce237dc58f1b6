package gantry

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

const (
	// DefaultAddress is used where neither [WithAddresses] nor GANTRY_GRPC_ADDRESS names a server: the gRPC port of one
	// that runs on the same machine.
	DefaultAddress = "localhost:9848"
	// DefaultSnapshotWait is how long a start waits for the server's word before the local snapshot's counts. A server in
	// reach answers in milliseconds; a supervisor's start timeout is seldom under 10 s.
	DefaultSnapshotWait = 2 * time.Second
	// maxAddresses bounds the configured and the learned addresses, each. A cluster has three or five nodes.
	maxAddresses = 64
	// maxToken bounds a token file, in bytes.
	maxToken = 16 << 10
)

// Identity says who the client is. Cohorts of staged releases are matched against it, and what it applied is shown under it.
type Identity struct {
	// Service is the service's name; Group is empty for "default". An empty Service is for tools: nothing is shown
	// for them, and no local snapshot is kept.
	Service string
	Group   string
	// InstanceID is unique in the service. Default: host name, process id and six random characters.
	InstanceID string
	// Address is where the process is reached, without a port. Default for instances: the local address that
	// packets to the server leave from.
	Address string
	// Version, Zone and Lane become the labels "version", "zone" and "lane".
	Version string
	Zone    string
	Lane    string
	// Labels are further labels.
	Labels map[string]string
}

// labels joins the well-known labels and the others, which win.
func (i Identity) labels() map[string]string {
	labels := map[string]string{}
	for name, value := range map[string]string{"version": i.Version, "zone": i.Zone, "lane": i.Lane} {
		if value != "" {
			labels[name] = value
		}
	}
	maps.Copy(labels, i.Labels)
	return labels
}

func (i Identity) subject(namespace string) *gantryv1.Subject {
	s := &gantryv1.Subject{InstanceId: i.InstanceID, Address: i.Address, Labels: i.labels()}
	if i.Service != "" {
		s.Service = serviceKey{group: i.Group, name: i.Service}.ref(namespace)
	}
	return s
}

// Option changes how [Connect] works. An option counts over the environment, and a later one over an earlier one.
type Option func(*settings)

type settings struct {
	addresses    []string
	namespace    string
	identity     Identity
	token        string
	tokenFile    string
	tls          *tls.Config
	caFile       string
	plaintext    bool
	logger       *slog.Logger
	folder       string
	folderSet    bool
	snapshotKey  []byte
	snapshotWait time.Duration
	traceparent  func(context.Context) string
	dialer       func(ctx context.Context, address string) (net.Conn, error)
	wait         bool
	errs         []error
}

// WithAddresses names servers as host:port of their gRPC port. One is enough: the others are learned from it. Default:
// GANTRY_GRPC_ADDRESS, separated by commas, or else [DefaultAddress].
func WithAddresses(addresses ...string) Option {
	return func(s *settings) { s.addresses = addresses }
}

// WithNamespace sets the namespace of everything that the client does. Default: GANTRY_NAMESPACE, or else "default".
func WithNamespace(namespace string) Option {
	return func(s *settings) { s.namespace = namespace }
}

// WithIdentity says who the client is.
func WithIdentity(identity Identity) Option {
	return func(s *settings) { s.identity = identity }
}

// WithToken sets the token that authenticates the client. Default: GANTRY_TOKEN, or else the content of the file that
// GANTRY_TOKEN_FILE names. It is sent as a bearer token and never logged.
func WithToken(token string) Option {
	return func(s *settings) { s.token, s.tokenFile = token, "" }
}

// WithTokenFile names a file with the token. It is read again for every session, so a token can be rotated.
func WithTokenFile(path string) Option {
	return func(s *settings) { s.token, s.tokenFile = "", path }
}

// WithTLS sets the TLS configuration for all servers. Without this and the options below, servers on a loopback address are
// spoken to in plain text, and all others by TLS with the system's roots.
func WithTLS(config *tls.Config) Option {
	return func(s *settings) { s.tls = config.Clone() }
}

// WithCAFile trusts the certificates of a PEM file instead of the system's roots, and uses TLS for all servers. Default: GANTRY_CA_FILE.
func WithCAFile(path string) Option {
	return func(s *settings) { s.caFile = path }
}

// WithPlaintext uses no TLS for any server: the token and all configuration can then be read on the way.
// Default: GANTRY_PLAINTEXT, true or false.
func WithPlaintext() Option {
	return func(s *settings) { s.plaintext = true }
}

// WithLogger sets where the client logs. Default: [slog.Default].
func WithLogger(logger *slog.Logger) Option {
	return func(s *settings) { s.logger = logger }
}

// WithSnapshotFolder sets where the local snapshot is kept; empty keeps none. Default: GANTRY_SNAPSHOT_FOLDER, or else
// "gantry" in the user's cache folder. Services on one machine can share a folder.
func WithSnapshotFolder(path string) Option {
	return func(s *settings) { s.folder, s.folderSet = path, true }
}

// WithSnapshotKey sets the key that seals the local snapshot: 32 random bytes. Default: GANTRY_SNAPSHOT_KEY, in hexadecimal or
// base64; else it is derived from the token; else it is a random one in a file of mode 0600 beside the snapshot, which
// then protects against tampering by accident only. A key of one's own is needed where tokens are rotated.
func WithSnapshotKey(key []byte) Option {
	return func(s *settings) { s.snapshotKey = append([]byte(nil), key...) }
}

// WithSnapshotWait sets how long the first answer about a service or document is waited for before the local snapshot's
// counts. Default: [DefaultSnapshotWait]; from 0 to 1 minute.
func WithSnapshotWait(wait time.Duration) Option {
	return func(s *settings) { s.snapshotWait = wait }
}

// WithDialer sets how connections to servers are made, for tunnels and tests. Default: a [net.Dialer]; proxies of the
// environment are not used.
func WithDialer(dial func(ctx context.Context, address string) (net.Conn, error)) Option {
	return func(s *settings) { s.dialer = dial }
}

// WithWait makes [Connect] wait until a session is open, and fail when its context ends first or the server refuses the client.
func WithWait() Option {
	return func(s *settings) { s.wait = true }
}

// newSettings joins defaults, environment and options, and checks the outcome.
func newSettings(options []Option) (*settings, error) {
	s := &settings{snapshotWait: DefaultSnapshotWait}
	s.fromEnvironment()
	for _, option := range options {
		option(s)
	}
	if len(s.errs) > 0 {
		return nil, s.errs[0]
	}
	s.complete()
	return s, s.check()
}

func (s *settings) fromEnvironment() {
	for address := range strings.SplitSeq(os.Getenv("GANTRY_GRPC_ADDRESS"), ",") {
		if address = strings.TrimSpace(address); address != "" {
			s.addresses = append(s.addresses, address)
		}
	}
	s.namespace = os.Getenv("GANTRY_NAMESPACE")
	s.token = os.Getenv("GANTRY_TOKEN")
	if s.token == "" {
		s.tokenFile = os.Getenv("GANTRY_TOKEN_FILE")
	}
	s.caFile = os.Getenv("GANTRY_CA_FILE")
	if text := os.Getenv("GANTRY_PLAINTEXT"); text != "" {
		plaintext, err := strconv.ParseBool(text)
		if err != nil {
			s.errs = append(s.errs, invalid("GANTRY_PLAINTEXT", "set it to true or false", "%q is not a boolean", text))
		}
		s.plaintext = plaintext
	}
	s.folder, s.folderSet = os.LookupEnv("GANTRY_SNAPSHOT_FOLDER")
	if text := os.Getenv("GANTRY_SNAPSHOT_KEY"); text != "" {
		key, err := parseKey(text)
		if err != nil {
			s.errs = append(s.errs, err)
		}
		s.snapshotKey = key
	}
}

// parseKey reads 32 bytes in hexadecimal or base64. The key is never part of the error.
func parseKey(text string) ([]byte, error) {
	if key, err := hex.DecodeString(text); err == nil && len(key) == 32 {
		return key, nil
	}
	if key, err := base64.StdEncoding.DecodeString(text); err == nil && len(key) == 32 {
		return key, nil
	}
	return nil, invalid("GANTRY_SNAPSHOT_KEY", "make one with: openssl rand -hex 32", "not 32 bytes in hexadecimal or base64")
}

func (s *settings) complete() {
	if len(s.addresses) == 0 {
		s.addresses = []string{DefaultAddress}
	}
	if s.namespace == "" {
		s.namespace = DefaultNamespace
	}
	if s.logger == nil {
		s.logger = slog.Default()
	}
	if s.identity.Group == "" {
		s.identity.Group = DefaultGroup
	}
	s.identity.Labels = maps.Clone(s.identity.Labels)
	if s.identity.InstanceID == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "unknown"
		}
		s.identity.InstanceID = fmt.Sprintf("%s-%d-%s", host, os.Getpid(), strings.ToLower(rand.Text()[:6]))
	}
	if !s.folderSet && s.identity.Service != "" {
		// Without a cache folder (no HOME) there is no snapshot; a folder that was asked for must work.
		if cache, err := os.UserCacheDir(); err == nil {
			s.folder = filepath.Join(cache, "gantry")
		}
	}
	if s.identity.Service == "" {
		s.folder = ""
	}
}

func (s *settings) check() error {
	if err := validName("namespace", s.namespace); err != nil {
		return err
	}
	if s.identity.Service != "" {
		if err := validName("identity.service", s.identity.Service); err != nil {
			return err
		}
		if err := validName("identity.group", s.identity.Group); err != nil {
			return err
		}
	}
	if _, err := proto.Marshal(s.identity.subject(s.namespace)); err != nil {
		return invalid("identity", "use UTF-8", "it cannot be encoded: %v", err)
	}
	if len(s.addresses) > maxAddresses {
		return invalid("addresses", "name a few nodes; the others are learned", "%d addresses, at most %d are allowed", len(s.addresses), maxAddresses)
	}
	for _, address := range s.addresses {
		if !validAddress(address) {
			return invalid("addresses", "write host:port with the server's gRPC port, such as localhost:9848", "%q is not an address", address)
		}
	}
	if s.plaintext && (s.tls != nil || s.caFile != "") {
		return invalid("tls", "choose one of the two", "TLS is configured and plain text is asked for")
	}
	if s.tls != nil && s.caFile != "" {
		return invalid("tls", "put the roots into the TLS configuration", "a TLS configuration and a CA file are given")
	}
	if s.snapshotKey != nil && len(s.snapshotKey) != 32 {
		return invalid("snapshot key", "use 32 random bytes", "%d bytes", len(s.snapshotKey))
	}
	if s.snapshotWait < 0 || s.snapshotWait > time.Minute {
		return invalid("snapshot wait", "use a time up to 1m", "%s is out of range", s.snapshotWait)
	}
	return nil
}

func invalid(field, hint, format string, args ...any) error {
	return &Error{Code: invalidArgument, Reason: "option.invalid", Field: field, Hint: hint, Message: fmt.Sprintf(format, args...)}
}

// validAddress reports whether an address is host:port.
func validAddress(address string) bool {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || len(address) > maxName {
		return false
	}
	number, err := strconv.Atoi(port)
	return err == nil && number > 0 && number <= 65535
}
