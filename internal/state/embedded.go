package state

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"sort"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.uber.org/zap"

	"github.com/gantry-platform/gantry/internal/fault"
)

// Embedded runs etcd in this process.
type Embedded struct {
	// Name of the member. Default: the node's name.
	Name string
	// PeerListen and PeerAdvertise are host:port for the other members. Empty for a node that stays alone: then no
	// port is opened for members at all.
	PeerListen, PeerAdvertise string
	// Members are the first members of a new cluster: name -> advertised host:port. Empty: this one alone. Only looked at when the
	// data folder is new.
	Members map[string]string
	// Joining says that Members is an existing cluster that has already added this one.
	Joining bool
	// Token keeps clusters apart that start from the same names and addresses.
	Token string
	// TLS of the members among themselves; nil is plain text, for tests and for loopback.
	TLS *PeerTLS
	// Quota bounds the size of the state in bytes. Default 4 GiB.
	Quota int64
	// Socket is the path of a unix socket on which etcd's own API is served, for etcdctl. Empty: none. Whoever may open it
	// may read and change everything, so it belongs into a folder of this user alone.
	Socket string
	// NoSync leaves out fsync. Data is lost when the machine fails: for tests alone.
	NoSync bool
}

// PeerTLS are files in PEM. Members verify each other's certificate against CA and Name.
type PeerTLS struct {
	CA, Certificate, Key string
	// Name is the host name that every member's certificate carries.
	Name string
}

// etcdFolder is where etcd keeps its files, below the data folder.
const etcdFolder = "etcd"

// Limits of one shared transaction on the embedded etcd. Measured: throughput stops growing at about 256 operations, and
// each transaction stays in the memory of the raft log for a while, so that larger is not better.
const (
	embeddedBatchOperations = 512
	embeddedBatchBytes      = 512 << 10
	// A request may hold a full batch and, on top of it, the largest change.
	embeddedRequestBytes = 4 << 20
)

// The raft log is kept in memory until a snapshot, so its length times the size of a transaction is memory. With 500
// entries of at most 0.5 MiB, and usually 0.1, a busy node stays within some tens of MiB. A follower that is
// further behind than the catch-up entries gets the whole state, which is small.
const (
	snapshotEntries = 500
	catchUpEntries  = 200
	// A member that is alone has nobody who could be behind.
	aloneSnapshotEntries = 100
	aloneCatchUpEntries  = 1
)

// retainedRevisions is the history that etcd keeps for watches that resume: at a thousand transactions a
// second it is ten seconds, on a quiet cluster days.
const retainedRevisions = "10000"

func (s *Store) startEmbedded(dir string) error {
	config, err := s.embedConfig(dir)
	if err != nil {
		return err
	}
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		return explainStart(err, s.options.Embedded)
	}
	s.etcd = etcd
	s.client = v3client.New(etcd.Server)
	go func() {
		select {
		case err := <-etcd.Err():
			if err == nil {
				return
			}
			s.fail(fmt.Errorf("state: the embedded etcd ended: %w", err))
		case <-etcd.Server.StopNotify():
			select {
			case <-s.closing:
			default:
				s.fail(errors.New("state: the embedded etcd stopped: this member was removed from the cluster; " +
					"start it with an empty data folder and --join to come back"))
			}
		case <-s.running.Done():
		}
	}()
	return nil
}

func (s *Store) stopEmbedded() {
	s.etcd.Close()
}

func (s *Store) embedConfig(dir string) (*embed.Config, error) {
	o := s.options.Embedded
	name := o.Name
	if name == "" {
		name = s.options.Node.Name
	}
	if name == "" {
		name = "gantry"
	}
	c := embed.NewConfig()
	c.Name = name
	c.Dir = dir
	c.ListenClientUrls, c.AdvertiseClientUrls = nil, nil // the client is in this process
	if o.Socket != "" {
		socket := []url.URL{{Scheme: "unix", Path: o.Socket}}
		c.ListenClientUrls, c.AdvertiseClientUrls = socket, socket
	}
	c.ListenPeerUrls = nil
	c.SnapshotCount, c.SnapshotCatchUpEntries = snapshotEntries, catchUpEntries
	c.MaxTxnOps = 2 * embeddedBatchOperations
	c.MaxRequestBytes = embeddedRequestBytes
	c.AutoCompactionMode, c.AutoCompactionRetention = embed.CompactorModeRevision, retainedRevisions
	c.QuotaBackendBytes = o.Quota
	if c.QuotaBackendBytes == 0 {
		c.QuotaBackendBytes = 4 << 30
	}
	c.BackendFreelistType = "map"
	// A start gives back what deletions have freed, when it is worth the time.
	c.BootstrapDefragThresholdMegabytes = 128
	c.PreVote = true
	c.UnsafeNoFsync = o.NoSync
	c.EnableGRPCGateway = false
	c.WarningApplyDuration = 500 * time.Millisecond
	c.InitialClusterToken = o.Token
	if c.InitialClusterToken == "" {
		c.InitialClusterToken = "gantry"
	}
	c.Logger = "zap"
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.New(newZapCore(s.log.With("part", "etcd"))))
	return c, s.configurePeers(c, name)
}

// configurePeers says who the members are. The tick is 100 ms, as etcd advises for one region; a member that is alone
// elects itself at the first tick, so it ticks faster to be ready sooner.
func (s *Store) configurePeers(c *embed.Config, name string) error {
	o := s.options.Embedded
	scheme := "http"
	if o.TLS != nil {
		scheme = "https"
		c.PeerTLSInfo = transport.TLSInfo{
			CertFile: o.TLS.Certificate, KeyFile: o.TLS.Key, TrustedCAFile: o.TLS.CA, ClientCertAuth: true,
			// Who holds a certificate of this CA is a member, wherever it calls from.
			SkipClientSANVerify: true, ServerName: o.TLS.Name,
		}
	}
	members := o.Members
	if o.PeerListen == "" {
		c.TickMs, c.ElectionMs = 20, 200
		c.SnapshotCount, c.SnapshotCatchUpEntries = aloneSnapshotEntries, aloneCatchUpEntries
		advertise := url.URL{Scheme: "http", Host: "localhost:2380"}
		c.AdvertisePeerUrls = []url.URL{advertise}
		c.InitialCluster = name + "=" + advertise.String()
		return nil
	}
	c.TickMs, c.ElectionMs = 100, 1000
	c.ListenPeerUrls = []url.URL{{Scheme: scheme, Host: o.PeerListen}}
	advertise := o.PeerAdvertise
	if advertise == "" {
		advertise = o.PeerListen
	}
	c.AdvertisePeerUrls = []url.URL{{Scheme: scheme, Host: advertise}}
	if len(members) == 0 {
		members = map[string]string{name: advertise}
	}
	if members[name] == "" {
		return fault.New(fault.Invalid, "state.unknown_member", "this node %q is not among the members %s", name, memberNames(members)).
			At("name").Hinted("start it with --name set to one of them")
	}
	var all []string
	for member, address := range members {
		all = append(all, member+"="+scheme+"://"+address)
	}
	sort.Strings(all)
	c.InitialCluster = strings.Join(all, ",")
	if o.Joining {
		c.ClusterState = embed.ClusterStateFlagExisting
	}
	return nil
}

func memberNames(members map[string]string) string {
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	sort.Strings(names)
	return strings.Join(names, ", ")
}

// explainStart turns what stops etcd from starting into what an operator can do about it.
func explainStart(err error, o *Embedded) error {
	var operation *net.OpError
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fault.New(fault.Precondition, "state.address_in_use", "the address %s for other nodes is in use", o.PeerListen).
			At("peer-listen").Hinted("stop what listens there, or choose another with --peer-listen").Because(err)
	case errors.As(err, &operation):
		return fault.New(fault.Precondition, "state.cannot_listen", "cannot listen on %s for other nodes: %v", o.PeerListen, operation.Err).
			At("peer-listen").Because(err)
	case errors.Is(err, os.ErrPermission):
		return fault.New(fault.Precondition, "state.folder_not_writable", "the data folder cannot be written: %v", err).At("data")
	default:
		return fmt.Errorf("state: start the embedded etcd: %w", err)
	}
}

// TokenOf makes a cluster token from a secret, so that nodes with other secrets never mix.
func TokenOf(secret []byte) string {
	sum := sha256.Sum256(append([]byte("gantry cluster token\x00"), secret...))
	return hex.EncodeToString(sum[:8])
}
