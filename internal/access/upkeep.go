package access

import (
	"context"
	"time"

	"github.com/gantry-platform/gantry/internal/state"
)

const (
	upkeepEvery = time.Minute
	countEvery  = time.Hour
	// sweepAfter is how long an expired token stays in the store: a clock that runs ahead for a while does no harm that lasts.
	sweepAfter = time.Hour
	// One step removes at most this much, in changes of this many keys: beside the work of users it must not show.
	removeKeys    = 90
	removeChanges = 20
)

// Run keeps things up until the context ends, and then returns nil. Call it once on every node, after the store's start.
func (m *Manager) Run(ctx context.Context) error {
	ticker := time.NewTicker(upkeepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if err := m.Upkeep(ctx); err != nil && ctx.Err() == nil {
				m.log.Warn("upkeep of access did not finish; it goes on in a minute", "error", err)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// Upkeep does one step of what [Run] does each minute. On every node it ends identities in use whose tokens have
// expired. On one, the live node of the lowest id, it removes from the store what has expired and what the
// audit log keeps no longer: some thousand records at most, the rest in the next steps.
func (m *Manager) Upkeep(ctx context.Context) error {
	m.upkeep.Lock()
	defer m.upkeep.Unlock()
	m.directory.expire(m.now())
	nodes := m.store.Nodes()
	if len(nodes) == 0 || nodes[0].ID != m.store.Self().ID || !m.store.Quorum() {
		return nil
	}
	if err := m.sweepTokens(ctx); err != nil {
		return err
	}
	if err := m.trimAuditByAge(ctx); err != nil {
		return err
	}
	return m.trimAuditByCount(ctx)
}

func (m *Manager) sweepTokens(ctx context.Context) error {
	ids := m.directory.deadTokens(m.now().Add(-sweepAfter), removeKeys*removeChanges)
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = tokenKey(id)
	}
	removed, err := m.remove(ctx, keys)
	m.metrics.sweptTokens.Add(float64(removed))
	return err
}

func (m *Manager) trimAuditByAge(ctx context.Context) error {
	_, err := m.trimAudit(ctx, auditKeyAt(m.now().Add(-m.auditAge)))
	return err
}

// trimAuditByCount walks over the keys of what stays, which etcd answers from memory, and removes what comes behind
// it. Once an hour, and again each minute while there is more to remove.
func (m *Manager) trimAuditByCount(ctx context.Context) error {
	now := m.now()
	if since := now.Sub(m.counted); since >= 0 && since < countEvery {
		return nil
	}
	last := ""
	for left := m.auditRecords; left > 0; {
		records, err := m.store.List(ctx, state.Prefix(auditRoom), state.ListOptions{After: last, Limit: min(left, 1000), KeysOnly: true})
		if err != nil {
			return err
		}
		if len(records) == 0 {
			m.counted = now
			return nil
		}
		left -= len(records)
		last = records[len(records)-1].Key
	}
	removed, err := m.trimAudit(ctx, last)
	if err == nil && removed < removeKeys*removeChanges {
		m.counted = now
	}
	return err
}

// trimAudit removes a bounded number of the records behind a key.
func (m *Manager) trimAudit(ctx context.Context, after string) (int, error) {
	records, err := m.store.List(ctx, state.Prefix(auditRoom), state.ListOptions{
		After: after, Limit: removeKeys * removeChanges, KeysOnly: true})
	if err != nil {
		return 0, err
	}
	keys := make([]string, len(records))
	for i, record := range records {
		keys[i] = record.Key
	}
	removed, err := m.remove(ctx, keys)
	m.metrics.trimmedAudit.Add(float64(removed))
	return removed, err
}

// remove deletes keys in changes of bounded size, and returns how many are gone when the node's mirror shows it.
func (m *Manager) remove(ctx context.Context, keys []string) (removed int, err error) {
	var revision int64
	for len(keys) > 0 {
		n := min(len(keys), removeKeys)
		if revision, err = m.store.Commit(ctx, state.Change{Delete: keys[:n]}); err != nil {
			return removed, err
		}
		keys, removed = keys[n:], removed+n
	}
	m.await(ctx, revision)
	return removed, nil
}
