package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/gantry-platform/gantry/internal/access/trust"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/protocol/peer"
	"github.com/gantry-platform/gantry/internal/release"
	"github.com/gantry-platform/gantry/internal/state"
)

// cluster is what a node needs to be one of several.
type cluster struct {
	authority *trust.Authority
	node      *trust.Node
	token     string
}

// openState takes hold of etcd, as a node alone, as one of several, or on an etcd that the user runs.
func (s *Server) openState(ctx context.Context) error {
	if err := s.openCluster(); err != nil {
		return err
	}
	host, err := s.advertised()
	if err != nil {
		return err
	}
	options := state.Options{
		Dir: s.dataDir, Prefix: s.settings.EtcdPrefix, NodeTTL: s.settings.NodeTTL, MinimumFree: uint64(s.settings.MinimumFree),
		Logger: s.log.With("part", "state"), Registerer: s.metrics,
		Node: state.Node{Name: s.settings.Name, Version: s.version,
			HTTPAddress: net.JoinHostPort(host, portOf(s.listeners.http[0].Addr())),
			GRPCAddress: net.JoinHostPort(host, portOf(s.listeners.grpc.Addr()))},
	}
	if s.cluster != nil {
		options.Node.PeerAddress = net.JoinHostPort(host, portOf(s.listeners.peers.Addr()))
	}
	if len(s.settings.EtcdEndpoints) > 0 {
		options.External, err = s.external()
	} else {
		options.Embedded, err = s.embedded(ctx, host)
	}
	if err != nil {
		return err
	}
	s.store, err = state.Open(ctx, options)
	return err
}

// openCluster makes this node's certificate and opens its port for the others, if it has a secret.
func (s *Server) openCluster() error {
	secret, err := secretOf("cluster-secret-file", s.settings.ClusterSecret, s.settings.ClusterSecretFile)
	if err != nil {
		return err
	}
	if secret == "" {
		if len(s.settings.Cluster) > 0 || s.settings.Join != "" {
			return fault.New(fault.Invalid, "cluster.no_secret", "nodes of a cluster need a secret in common").At("cluster-secret-file").
				Hinted("make one with `gantry cluster secret > cluster.secret` and give that file to every node")
		}
		return nil
	}
	authority, err := trust.New(secret)
	if err != nil {
		return err
	}
	node, err := authority.Issue(s.settings.Name, filepath.Join(s.dataDir, "tls"))
	if err != nil {
		return err
	}
	s.cluster = &cluster{authority: authority, node: node, token: state.TokenOf([]byte(secret))}
	s.listeners.peers, err = listen("cluster-listen", s.settings.ClusterListen)
	return err
}

func (s *Server) embedded(ctx context.Context, host string) (*state.Embedded, error) {
	e := &state.Embedded{Name: s.settings.Name, Quota: int64(s.settings.StateQuota)}
	if s.settings.EtcdSocket {
		e.Socket = filepath.Join(s.dataDir, "etcd.sock")
	}
	if s.cluster == nil {
		return e, nil
	}
	peerHost, peerPort, err := net.SplitHostPort(s.settings.PeerListen)
	if err != nil {
		return nil, fault.New(fault.Invalid, "setting.bad_value", "%q is not host:port", s.settings.PeerListen).At("peer-listen")
	}
	if peerHost == "" {
		peerHost = "0.0.0.0"
	}
	e.PeerListen = net.JoinHostPort(peerHost, peerPort)
	e.PeerAdvertise = net.JoinHostPort(host, peerPort)
	e.Token = s.cluster.token
	e.TLS = &state.PeerTLS{CA: s.cluster.node.CAFile, Certificate: s.cluster.node.CertificateFile, Key: s.cluster.node.KeyFile, Name: trust.ServerName}
	if len(s.settings.Cluster) > 0 {
		if e.Members, err = parseMembers(s.settings.Cluster, peerPort); err != nil {
			return nil, err
		}
		if mine := e.Members[s.settings.Name]; mine != "" {
			e.PeerAdvertise = mine
		}
	}
	return e, s.join(ctx, e)
}

// join asks a running node for membership, unless this node has been a member before.
func (s *Server) join(ctx context.Context, e *state.Embedded) error {
	if s.settings.Join == "" {
		return nil
	}
	if _, err := os.Stat(filepath.Join(s.dataDir, "etcd", "member")); err == nil {
		return nil
	}
	address := s.settings.Join
	if _, _, err := net.SplitHostPort(address); err != nil {
		_, port, _ := net.SplitHostPort(s.settings.ClusterListen)
		address = net.JoinHostPort(strings.Trim(address, "[]"), port)
	}
	members, token, err := peer.Join(ctx, address, s.cluster.node.ClientTLS(), s.settings.Name, "https://"+e.PeerAdvertise, s.version)
	if err != nil {
		return err
	}
	e.Members, e.Token, e.Joining = members, token, true
	s.log.Info("joining the cluster", "members", len(members))
	return nil
}

// parseMembers reads name=host[:port].
func parseMembers(all []string, defaultPort string) (map[string]string, error) {
	members := map[string]string{}
	for _, text := range all {
		name, address, found := strings.Cut(text, "=")
		if !found || name == "" || address == "" {
			return nil, fault.New(fault.Invalid, "setting.bad_value", "%q is not name=host[:port]", text).At("cluster")
		}
		if _, _, err := net.SplitHostPort(address); err != nil {
			address = net.JoinHostPort(strings.Trim(address, "[]"), defaultPort)
		}
		if _, twice := members[name]; twice {
			return nil, fault.New(fault.Invalid, "setting.bad_value", "the member %q is named twice", name).At("cluster")
		}
		members[name] = address
	}
	if len(members)%2 == 0 {
		return nil, fault.New(fault.Invalid, "cluster.even", "a new cluster of %d members", len(members)).At("cluster").
			Hinted("start with one, three or five: an even number bears no more failures than one less")
	}
	return members, nil
}

func (s *Server) external() (*state.External, error) {
	password, err := secretOf("etcd-password-file", s.settings.EtcdPassword, s.settings.EtcdPasswordFile)
	if err != nil {
		return nil, err
	}
	e := &state.External{Endpoints: s.settings.EtcdEndpoints, Username: s.settings.EtcdUsername, Password: password,
		TransactionOperations: s.settings.EtcdMaxTxnOps}
	secure := s.settings.EtcdCA != "" || s.settings.EtcdCertificate != ""
	for _, endpoint := range e.Endpoints {
		secure = secure || strings.HasPrefix(endpoint, "https://")
	}
	if !secure {
		return e, nil
	}
	e.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	if s.settings.EtcdCA != "" {
		if e.TLS.RootCAs, err = readPool("etcd-ca", s.settings.EtcdCA); err != nil {
			return nil, err
		}
	}
	if s.settings.EtcdCertificate != "" {
		pair, err := tls.LoadX509KeyPair(s.settings.EtcdCertificate, s.settings.EtcdKey)
		if err != nil {
			return nil, fault.New(fault.Invalid, "setting.bad_file", "cannot use the certificate for etcd: %v", err).At("etcd-certificate").Because(err)
		}
		e.TLS.Certificates = []tls.Certificate{pair}
	}
	return e, nil
}

func readPool(setting, file string) (*x509.CertPool, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fault.New(fault.Invalid, "setting.no_file", "cannot read %s: %v", file, err).At(setting).Because(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fault.New(fault.Invalid, "setting.bad_file", "%s holds no certificate in PEM", file).At(setting)
	}
	return pool, nil
}

// rootKeys are the keys that seal the data keys: those given, the cluster's, which is derived from its secret, and the node's own,
// which is made at the first start where there is no other. The first one there is seals; all open. Nodes that share an external etcd
// without a secret have none in common, so they are given none.
func (s *Server) rootKeys() (*release.Keyring, error) {
	keys, err := secretOf("root-key-file", s.settings.RootKey, s.settings.RootKeyFile)
	if err != nil {
		return nil, err
	}
	// Behind the first stand the others that may have sealed before: they open, until the keys are rotated.
	if s.cluster != nil {
		derived, err := s.cluster.authority.Derive("gantry root key v1", release.RootKeySize)
		if err != nil {
			return nil, err
		}
		keys += "\n" + hex.EncodeToString(derived)
	}
	own, err := s.ownRootKey(keys == "" && len(s.settings.EtcdEndpoints) == 0)
	if err != nil {
		return nil, err
	}
	return release.ParseRootKeys(keys + "\n" + own)
}

// ownRootKey reads root.key from the data folder, and makes it if it may.
func (s *Server) ownRootKey(make bool) (string, error) {
	path := filepath.Join(s.dataDir, "root.key")
	data, err := os.ReadFile(path)
	if err == nil {
		return strings.TrimSpace(string(data)), nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", fault.New(fault.Precondition, "secret.root_key_unreadable", "cannot read %s: %v", path, err).At("root-key-file").Because(err)
	}
	if !make {
		return "", nil
	}
	key := release.GenerateRootKey()
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", fault.New(fault.Precondition, "state.folder_not_writable", "cannot write %s: %v", path, err).At("data").Because(err)
	}
	_, err = file.WriteString(key + "\n")
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return "", fault.New(fault.Precondition, "state.folder_not_writable", "cannot write %s: %v", path, err).At("data").Because(err)
	}
	return key, nil
}
