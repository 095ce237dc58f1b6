package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/gantry-platform/gantry/internal/fault"
)

const formatKey = "meta/format"

// format is what meta/format holds.
type format struct {
	Format  int    `json:"format"`
	Cluster string `json:"cluster"`
	// Restoring is set alone while a backup is being restored.
	Restoring bool `json:"restoring"`
}

// checkFormat reads the version of what is stored, or writes it into an empty state. Two nodes that start at once
// agree by the condition that the key is absent.
func (s *Store) checkFormat(ctx context.Context) error {
	for {
		record, found, err := s.Get(ctx, formatKey)
		if err != nil {
			return err
		}
		if !found {
			value, err := json.Marshal(format{Format: FormatVersion, Cluster: randomID()})
			if err != nil {
				return err
			}
			_, err = s.Commit(ctx, Change{If: []Condition{Unchanged(formatKey, 0)}, Put: []Put{{Key: formatKey, Value: value}}})
			if err != nil && !mayPass(err) {
				return err
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			continue
		}
		var stored format
		err = json.Unmarshal(record.Value, &stored)
		if stored.Restoring {
			return fault.New(fault.Precondition, "backup.cut_off", "a restore into this state was cut off").
				At("data").Hinted("remove it (the data folder, or what is under the etcd prefix) and restore again")
		}
		if err != nil || stored.Format < 1 {
			return fault.New(fault.Precondition, "state.foreign", "what is stored under %s is not Gantry's", strings.TrimSuffix(s.root, "/")).
				At("etcd-prefix").Hinted("choose another --etcd-prefix").Because(err)
		}
		if stored.Format > FormatVersion {
			return errNewer(fmt.Sprintf("the state of cluster %s", stored.Cluster), stored.Format)
		}
		s.clusterID = stored.Cluster
		return nil
	}
}

// mayPass reports whether a failed write of the format is worth another look: another node was first, or the quorum moves.
func mayPass(err error) bool {
	f, ok := fault.As(err)
	return errors.Is(err, ErrConflict) || ok && (f.Reason == reasonNoQuorum || f.Reason == reasonUnknown)
}
