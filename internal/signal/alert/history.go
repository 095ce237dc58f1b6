package alert

import (
	"context"
	"encoding/json"
	"time"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/state"
)

// HistoryQuery chooses entries of the history. Empty fields match all.
type HistoryQuery struct {
	Namespace, Kind, Name string
	// Since is included, Until is not.
	Since, Until time.Time
	// Limit is at most 1,000; 0 is 100.
	Limit int
	// Before goes on where an answer ended: its Next.
	Before string
}

const (
	defaultPage = 100
	// historyBatch is how many records are read at a time, and maxScanned in all: a filter that few pass must not hold up the state.
	historyBatch = 500
	maxScanned   = 5_000
)

// History answers what happened, newest first, and where to go on; next is empty at the end. It needs the right to view.
func (e *Engine) History(ctx context.Context, q HistoryQuery) (entries []Transition, next string, err error) {
	if err := access.Require(ctx, access.View, q.Namespace); err != nil {
		return nil, "", err
	}
	if q.Limit <= 0 {
		q.Limit = defaultPage
	}
	q.Limit = min(q.Limit, maxPage)
	if !q.Since.IsZero() && !q.Until.IsZero() && q.Until.Before(q.Since) {
		return nil, "", fault.New(fault.Invalid, "alert.bad_period", "the end is before the beginning").At("until")
	}
	prefix := state.Prefix(transitionRoom, q.Namespace)
	options := state.ListOptions{Descending: true, Limit: historyBatch}
	if !q.Since.IsZero() {
		// What is after the greatest key before that time.
		options.After = prefix + historyID(q.Since)
	}
	if !q.Until.IsZero() {
		options.Before = prefix + historyID(q.Until)
	}
	if q.Before != "" {
		if len(q.Before) > 64 {
			return nil, "", fault.New(fault.Invalid, "alert.bad_page_token", "not a token of this list").At("page_token")
		}
		options.Before = min(prefix+q.Before, or(options.Before, prefix+"~"))
	}
	for scanned := 0; scanned < maxScanned; {
		found, err := e.Store.List(ctx, prefix, options)
		if err != nil {
			return nil, "", err
		}
		for _, stored := range found {
			options.Before, next = stored.Key, stored.Key[len(prefix):]
			var t Transition
			if err := json.Unmarshal(stored.Value, &t); err != nil {
				e.log.Error("an entry of the history cannot be read", "key", stored.Key, "error", err)
				continue
			}
			if q.Kind != "" && t.Kind != q.Kind || q.Name != "" && t.Name != q.Name {
				continue
			}
			if entries = append(entries, t); len(entries) == q.Limit {
				return entries, next, nil
			}
		}
		if len(found) < historyBatch {
			return entries, "", nil
		}
		scanned += len(found)
	}
	return entries, next, nil
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// trimBatch is how many entries are removed in one change.
const trimBatch = 100

// trimHistory removes what is older than [HistoryAge] or beyond [MaxHistory].
func (e *Engine) trimHistory(ctx context.Context, namespace string, now time.Time) error {
	prefix := state.Prefix(transitionRoom, namespace)
	keys, err := e.Store.List(ctx, prefix, state.ListOptions{KeysOnly: true})
	if err != nil {
		return err
	}
	oldest := prefix + historyID(now.Add(-HistoryAge))
	beyond := max(len(keys)-MaxHistory, 0)
	var gone []string
	for i, record := range keys {
		if i >= beyond && record.Key >= oldest {
			break
		}
		gone = append(gone, record.Key)
	}
	for len(gone) > 0 {
		n := min(len(gone), trimBatch)
		if _, err := e.Store.Commit(ctx, state.Change{Delete: gone[:n]}); err != nil {
			return err
		}
		gone = gone[n:]
	}
	return nil
}
