package consul

import (
	"encoding/json"
	"net/http"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
	"github.com/gantry-platform/gantry/internal/release"
	"github.com/gantry-platform/gantry/internal/release/keyvalue"
)

// maxTransaction bounds the body of a transaction: what one change of the state can hold, as base64, and the words around it.
const maxTransaction = 2 << 20

// transactionOp is one element of a transaction's body. Of the kinds that are not served nothing is read.
type transactionOp struct {
	KV      *keyOp
	Node    *json.RawMessage
	Service *json.RawMessage
	Check   *json.RawMessage
	Session *json.RawMessage
}

type keyOp struct {
	Verb      string
	Key       string
	Value     []byte // base64 in JSON
	Flags     uint64
	Index     uint64
	Session   string
	Namespace string
}

// transactionResult and transactionError are what a transaction answers.
type transactionResult struct{ KV *pair }

type transactionError struct {
	OpIndex int
	What    string
}

type transactionAnswer struct {
	Results []transactionResult
	Errors  []transactionError
}

// verbs are those of Consul's transactions.
func verbOf(name string) (keyvalue.Verb, bool) {
	switch name {
	case "set":
		return keyvalue.Set, true
	case "cas":
		return keyvalue.CompareAndSet, true
	case "lock":
		return keyvalue.Lock, true
	case "unlock":
		return keyvalue.Unlock, true
	case "get":
		return keyvalue.Get, true
	case "get-or-empty":
		return keyvalue.GetOrEmpty, true
	case "get-tree":
		return keyvalue.GetTree, true
	case "check-index":
		return keyvalue.CheckIndex, true
	case "check-session":
		return keyvalue.CheckSession, true
	case "check-not-exists":
		return keyvalue.CheckNotExists, true
	case "delete":
		return keyvalue.Delete, true
	case "delete-tree":
		return keyvalue.DeleteTree, true
	case "delete-cas":
		return keyvalue.DeleteCompare, true
	}
	return 0, false
}

// transact answers PUT /v1/txn.
func (c *call) transact() error {
	body, err := edge.Body(c.w, c.r, maxTransaction)
	if err != nil {
		return err
	}
	ops, unknown, err := readTransaction(body, c.namespace)
	if err != nil {
		return err
	}
	answer := transactionAnswer{Errors: unknown}
	if len(unknown) == 0 && len(ops) > 0 {
		outcome, err := c.handler.Keys.Apply(c.ctx, c.namespace, ops)
		if err != nil {
			return err
		}
		for _, failure := range outcome.Failures {
			answer.Errors = append(answer.Errors, transactionError{OpIndex: failure.Operation, What: failure.Err.Message})
		}
		answer.Results = results(outcome.Keys)
	}
	c.stamp(0)
	if len(answer.Errors) > 0 {
		return c.jsonStatus(http.StatusConflict, answer)
	}
	return c.json(answer)
}

func results(keys []*release.Key) []transactionResult {
	all := make([]transactionResult, len(keys))
	for i, key := range keys {
		p := pairOf(key)
		all[i].KV = &p
	}
	return all
}

// readTransaction reads the body of a transaction in a namespace. unknown are operations whose verb is none, which Consul answers as
// conflicts.
func readTransaction(body []byte, namespace string) (ops []keyvalue.Operation, unknown []transactionError, err error) {
	var all []transactionOp
	if err := json.Unmarshal(body, &all); err != nil {
		return nil, nil, fault.New(fault.Invalid, "consul.body", "Failed to parse body: %v", err).At("body").
			Hinted("send a list of operations, such as [{\"KV\":{\"Verb\":\"set\",\"Key\":\"a\",\"Value\":\"eA==\"}}]")
	}
	if len(all) > keyvalue.MaxOperations {
		return nil, nil, fault.New(fault.TooLarge, "key.too_many_operations", "Transaction contains too many operations (%d > %d)", len(all), keyvalue.MaxOperations).
			At("body").Hinted("make several transactions")
	}
	for i, op := range all {
		if op.KV == nil || op.Node != nil || op.Service != nil || op.Check != nil || op.Session != nil {
			return nil, nil, fault.New(fault.Invalid, "consul.operation", "operation %d is none on a key", i).At("body").
				Hinted("transactions are about keys here; register nodes, services and checks by /v1/catalog and /v1/agent")
		}
		if ns := op.KV.Namespace; ns != "" && ns != namespace {
			return nil, nil, fault.New(fault.Invalid, "consul.namespace", "operation %d is of namespace %.64q, the transaction of %q", i, ns, namespace).At("Namespace").
				Hinted("make a transaction for each namespace")
		}
		if len(op.KV.Value) > release.MaxKeyValue {
			return nil, nil, fault.New(fault.TooLarge, "document.too_large", "Value for key %.64q is too large (%d > %d bytes)", op.KV.Key, len(op.KV.Value), release.MaxKeyValue).
				At("Value").Hinted("split it into several keys")
		}
		verb, known := verbOf(op.KV.Verb)
		if !known {
			unknown = append(unknown, transactionError{OpIndex: i, What: "unknown KV verb \"" + cut(op.KV.Verb) + "\""})
		}
		ops = append(ops, keyvalue.Operation{Verb: verb, Key: op.KV.Key, Value: op.KV.Value, Flags: op.KV.Flags, Index: op.KV.Index, Session: op.KV.Session})
	}
	return ops, unknown, nil
}
