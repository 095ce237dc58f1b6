package eureka

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
)

// maxBatch bounds the operations of one batch; Eureka's servers send at most 250.
const maxBatch = 1000

// replication is one operation of another server.
type replication struct {
	AppName            string        `json:"appName"`
	ID                 string        `json:"id"`
	LastDirtyTimestamp text          `json:"lastDirtyTimestamp"`
	OverriddenStatus   string        `json:"overriddenStatus"`
	Status             string        `json:"status"`
	InstanceInfo       *jsonInstance `json:"instanceInfo"`
	Action             string        `json:"action"`
}

func decodeBatch(body []byte) ([]replication, error) {
	var batch struct {
		ReplicationList []replication `json:"replicationList"`
	}
	if err := json.Unmarshal(body, &batch); err != nil {
		return nil, errBody(err)
	}
	if len(batch.ReplicationList) > maxBatch {
		return nil, fault.New(fault.TooLarge, "eureka.batch_too_large", "%d operations at once", len(batch.ReplicationList)).
			At("replicationList").Hinted("send at most %d", maxBatch)
	}
	return batch.ReplicationList, nil
}

// batch does what another Eureka server replicates, in order, and answers each operation with a status of its own.
func (op *operation) batch(ctx context.Context) (answer, error) {
	if err := access.Require(ctx, access.Serve, op.namespace); err != nil {
		return answer{}, err
	}
	body, err := op.read(maxBatchBytes)
	if err != nil {
		return answer{}, err
	}
	list, err := decodeBatch(body)
	if err != nil {
		return answer{}, err
	}
	// Entities are instances without the envelope that a document of their own has.
	op.replicated, op.format = true, formatJSON
	b := []byte(`{"responseList":[`)
	for n := range list {
		status, entity := op.replicate(ctx, &list[n])
		if err := ctx.Err(); err != nil {
			return answer{}, err
		}
		if n > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"statusCode":`...)
		b = strconv.AppendInt(b, int64(status), 10)
		if entity != nil {
			b = append(b, `,"responseEntity":`...)
			b = append(b, entity...)
		}
		b = append(b, '}')
	}
	return op.document(append(b, "]}"...), false), nil
}

// replicate does one operation. The entity is what we have, where the other server has something older.
func (op *operation) replicate(ctx context.Context, r *replication) (status int, entity []byte) {
	var err error
	switch r.Action {
	case "Register":
		if r.InstanceInfo == nil {
			err = invalid("instanceInfo", "is missing").Hinted("send the instance that registers")
			break
		}
		err = op.accept(ctx, r.AppName, r.InstanceInfo.info(), true)
	case "Heartbeat":
		return op.replicateRenewal(ctx, r)
	case "Cancel":
		err = op.cancel(ctx, r.AppName, r.ID)
	case "StatusUpdate":
		err = op.setStatus(ctx, r.AppName, r.ID, r.Status)
	case "DeleteStatusOverride":
		err = op.clearStatus(ctx, r.AppName, r.ID)
	default:
		err = invalid("action", "there is no action %q", cut(r.Action)).Hinted("use Register, Heartbeat, Cancel, StatusUpdate or DeleteStatusOverride")
	}
	return op.statusOf(err, r), nil
}

func (op *operation) statusOf(err error, r *replication) int {
	if err == nil {
		return http.StatusOK
	}
	if !fault.Is(err, fault.NotFound) {
		op.log.Warn("a replicated operation failed", "action", r.Action, "application", cut(r.AppName), "instance", cut(r.ID), "error", err)
	}
	return edge.Status(err)
}

// replicateRenewal is a heartbeat that another server had. Upon 404 it sends the whole instance.
func (op *operation) replicateRenewal(ctx context.Context, r *replication) (status int, entity []byte) {
	a, err := op.renew(ctx, r.AppName, r.ID, string(r.LastDirtyTimestamp))
	if err != nil {
		return op.statusOf(err, r), nil
	}
	if a.status == http.StatusConflict {
		if m := op.resolve(r.AppName, r.ID); m != nil {
			entity = op.format.appendMember(nil, *m, actionAdded)
		}
	}
	return a.status, entity
}
