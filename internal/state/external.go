package state

import (
	"crypto/tls"
	"log/slog"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/gantry-platform/gantry/internal/fault"
)

// External is an etcd cluster that the user runs.
type External struct {
	// Endpoints are URLs or host:port.
	Endpoints          []string
	Username, Password string
	TLS                *tls.Config
	// TransactionOperations is the cluster's --max-txn-ops. Default 128, etcd's own.
	TransactionOperations int
}

// externalBatchBytes keeps a transaction, with the largest change on top of it, under etcd's default limit of 1.5 MiB
// for a request.
const externalBatchBytes = 256 << 10

func (e *External) transactionOperations() int {
	if e.TransactionOperations == 0 {
		return 128
	}
	return e.TransactionOperations
}

// batchOperations leaves room for one change on top: one with conditions counts once, whatever it writes.
func (e *External) batchOperations() int { return max(e.transactionOperations()-8, 1) }

func (e *External) dial(log *slog.Logger) (*clientv3.Client, error) {
	client, err := clientv3.New(clientv3.Config{
		Endpoints: e.Endpoints, Username: e.Username, Password: e.Password, TLS: e.TLS,
		DialTimeout: 5 * time.Second, DialKeepAliveTime: 5 * time.Second, DialKeepAliveTimeout: 3 * time.Second,
		Logger:             zap.New(newZapCore(log.With("part", "etcd client"))),
		MaxCallSendMsgSize: 4 << 20, MaxCallRecvMsgSize: 64 << 20,
	})
	if err != nil {
		return nil, fault.New(fault.Unavailable, "state.etcd_unreachable", "cannot use etcd at %s: %v", strings.Join(e.Endpoints, ","), err).
			At("etcd-endpoints").Hinted("check that the addresses and credentials are right and that etcd is running").Because(err)
	}
	return client, nil
}
