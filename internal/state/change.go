package state

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/raft/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gantry-platform/gantry/internal/fault"
)

// Change happens whole, when all of If hold, or not at all. It may name a key once.
type Change struct {
	If     []Condition
	Put    []Put
	Delete []string
}

// Put writes a value.
type Put struct {
	Key   string
	Value []byte
}

// Condition is about one key, or all under a prefix; make it with [Unchanged], [Exists], [NoneUnder] or [NothingNewUnder].
type Condition struct {
	key      string
	modified int64
	exists   bool
	prefix   bool
}

// Unchanged holds while the key's Modified revision is this; 0 means that the key is absent.
func Unchanged(key string, modified int64) Condition {
	return Condition{key: key, modified: modified}
}

// Exists holds while the key is there, in whatever state.
func Exists(key string) Condition { return Condition{key: key, exists: true} }

// NoneUnder holds while there is no key under a prefix.
func NoneUnder(prefix string) Condition { return Condition{key: prefix, prefix: true} }

// NothingNewUnder holds while no key under a prefix has been written after a revision: with the newest Modified of a [Store.List] of the
// prefix, and [Unchanged] of each record that it answered, it holds while the list would answer the same.
func NothingNewUnder(prefix string, revision int64) Condition {
	return Condition{key: prefix, prefix: true, modified: revision}
}

// ErrConflict answers a change whose conditions did not hold. Nothing of it happened.
var ErrConflict = errors.New("state: a condition of the change does not hold")

// Limits of one change. A document of 1 MiB, its head, its history entry and its audit record must fit.
const (
	maxChangeBytes = 1<<20 + 128<<10
	// maxChangeKeys bounds what a change writes, and its conditions too. The largest is a transaction of 64 keys, each of which writes its
	// head, a version with its content and two history entries, and removes up to eight of what retention does not keep any more.
	// It stays below what the embedded etcd takes in one transaction (MaxTxnOps).
	maxChangeKeys = 1000
	// maxPlainKeys bounds changes without conditions: their writes stand in the shared transaction itself and come on top of a batch.
	maxPlainKeys = 100
)

// commitTimeout bounds one etcd transaction. Longer than an election (1-2 s), so that a change survives
// the loss of a leader; shorter than what callers usually wait.
const commitTimeout = 6 * time.Second

// Commit makes a change and answers with its revision after it is durable.
//
// Changes that arrive while another transaction is on its way share the next one, in which each
// stands or falls by its own conditions. Changes that touch the same keys never share one, so that they are as
// serial as they would be alone. Without load nothing waits for company.
//
// Errors: [ErrConflict]; a *fault.Error of code Unavailable with reason "state.no_quorum", "state.disk_full",
// "state.closing", or "state.outcome_unknown" when time ran out and the change may or may not have happened;
// of code TooLarge for more than about 1 MiB, or for more keys than an external etcd takes in one transaction. If ctx ends first its
// error is returned and the outcome is unknown.
func (s *Store) Commit(ctx context.Context, change Change) (int64, error) {
	if err := s.checkChange(change); err != nil {
		return 0, err
	}
	if err := s.Writable(); err != nil {
		return 0, err
	}
	p := &pendingChange{change: change, done: make(chan struct{})}
	select {
	case s.committer.queue <- p:
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-s.closing:
		return 0, errClosing()
	}
	select {
	case <-p.done:
		return p.revision, p.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (s *Store) checkChange(change Change) error {
	size := 0
	for _, put := range change.Put {
		size += len(put.Key) + len(put.Value)
	}
	if size > maxChangeBytes {
		return fault.New(fault.TooLarge, "state.change_too_large", "the change holds %d bytes", size).
			Hinted("at most %d bytes can be stored in one step; split the content", maxChangeBytes)
	}
	limit := maxChangeKeys
	if len(change.If) == 0 {
		limit = maxPlainKeys
	}
	// etcd counts conditions and writes apart.
	n := max(len(change.Put)+len(change.Delete), len(change.If))
	if external := s.options.External; external != nil && n > external.transactionOperations() {
		return fault.New(fault.TooLarge, "state.transaction_too_large", "the change has %d operations, more than the %d that the external etcd takes in one transaction", n, external.transactionOperations()).
			Hinted("start etcd with a larger --max-txn-ops (%d is enough for everything) and Gantry with the same --etcd-max-txn-ops; or make the change in smaller steps", maxChangeKeys)
	}
	if n > limit {
		return fault.New(fault.TooLarge, "state.change_too_large", "the change has %d operations", n).
			Hinted("at most %d can be made in one step; make several", limit)
	}
	return nil
}

// Reasons that code of this package looks at.
const (
	reasonNoQuorum = "state.no_quorum"
	reasonUnknown  = "state.outcome_unknown"
)

func errClosing() error {
	return fault.New(fault.Unavailable, "state.closing", "the server is shutting down").
		Hinted("try again on another node")
}

func errNoQuorum() *fault.Error {
	return fault.New(fault.Unavailable, reasonNoQuorum, "the cluster has no quorum: nothing can be written").
		Hinted("bring back a majority of the nodes; reads go on meanwhile and nothing is lost")
}

func errUnknown(cause error) error {
	return fault.New(fault.Unavailable, reasonUnknown, "no answer in time: the change may or may not have been made").
		Hinted("read again before repeating it").Because(cause)
}

// translate turns an etcd error into what callers can act on.
func (s *Store) translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, rpctypes.ErrNoSpace):
		return fault.New(fault.Unavailable, "state.disk_full", "the state has reached its size limit").
			Hinted("raise --state-quota and restart; or, without a higher limit, restart so that free pages are given back").Because(err)
	case errors.Is(err, rpctypes.ErrNoLeader), isRaft(err, raft.ErrProposalDropped):
		// Dropped, as while leadership moves: it was not even proposed.
		return errNoQuorum().Because(err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.Is(err, rpctypes.ErrTimeout),
		errors.Is(err, rpctypes.ErrTimeoutDueToLeaderFail), errors.Is(err, rpctypes.ErrTimeoutDueToConnectionLost),
		errors.Is(err, rpctypes.ErrLeaderChanged), errors.Is(err, rpctypes.ErrGRPCTimeout),
		// This member stopped, or the connection to an external etcd broke, with the change on its way.
		errors.Is(err, rpctypes.ErrStopped), isRaft(err, raft.ErrStopped), status.Code(err) == codes.Unavailable:
		return errUnknown(err)
	default:
		return fmt.Errorf("state: %w", err)
	}
}

// isRaft reports whether an error is one of raft's, which etcd passes on as a status with nothing but its text.
func isRaft(err, target error) bool { return status.Convert(err).Message() == target.Error() }

// compare turns a condition into etcd's.
func (s *Store) compare(c Condition) clientv3.Cmp {
	switch {
	case c.prefix:
		// Nothing under the prefix counts as one key that was never written.
		return clientv3.Compare(clientv3.ModRevision(s.root+c.key), "<", c.modified+1).WithPrefix()
	case c.exists:
		return clientv3.Compare(clientv3.CreateRevision(s.root+c.key), ">", 0)
	default:
		return clientv3.Compare(clientv3.ModRevision(s.root+c.key), "=", c.modified)
	}
}

func (s *Store) operations(change Change, into []clientv3.Op) []clientv3.Op {
	for _, put := range change.Put {
		into = append(into, clientv3.OpPut(s.root+put.Key, string(put.Value)))
	}
	for _, key := range change.Delete {
		into = append(into, clientv3.OpDelete(s.root+key))
	}
	return into
}
