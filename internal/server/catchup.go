package server

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gantry-platform/gantry/internal/protocol/peer"
	"github.com/gantry-platform/gantry/internal/signal/event"
)

const (
	// catchUpBack is how far before the moment up to which the feed was complete others are asked: their clocks may differ, and what was under way at that moment
	// may not have been written. What is known already is not written again.
	catchUpBack = 2 * time.Minute
	// catchUpFor is how long nodes that do not answer are asked again.
	catchUpFor = 10 * time.Minute
	// catchUpPause grows from the first to the second between two rounds.
	catchUpPause, catchUpMostPause = time.Second, 30 * time.Second
	// catchUpMost bounds what is taken from one node for a namespace: below the number of changes whose ids are remembered, so that the next node's are known.
	catchUpMost = 50_000
	// completeEvery is between two notes of how far the feed is complete.
	completeEvery = time.Minute
)

// catchUp asks the other nodes for what the feed of changes lacks. Each node writes what it sees happen into a feed of its own; what happened while it was away,
// or while it fell behind, the others saw.
type catchUp struct {
	room *event.Room
	// others are the feeds of the other nodes, by name.
	others     func() map[string]peer.ChangeFeed
	namespaces func() []string
	// path is of a file whose time of change says up to when the feed is complete.
	path string
	log  *slog.Logger
	// lacking is told that changes were missed.
	lacking chan struct{}
	// behind counts the feeds that wait for the disk.
	behind atomic.Int32
	// since is up to when the feed is complete; newest stands in for it by namespace on a node that has no note of that.
	since  time.Time
	newest map[string]time.Time
}

// newCatchUp looks how far the feed goes: before anything is written into it again.
func (s *Server) newCatchUp(ctx context.Context) *catchUp {
	c := &catchUp{room: s.events.room, path: filepath.Join(s.dataDir, "events", "changes-complete"), log: s.log.With("part", "events"), lacking: make(chan struct{}, 1),
		newest: map[string]time.Time{}}
	c.namespaces = func() (all []string) {
		for _, namespace := range s.instances.Namespaces() {
			all = append(all, namespace.GetName())
		}
		return all
	}
	if s.peers != nil {
		c.others = s.peers.ChangeFeeds
	}
	if info, err := os.Stat(c.path); err == nil {
		c.since = info.ModTime()
		return c
	}
	for _, namespace := range c.namespaces() {
		// A feed that cannot be read is asked for whole.
		if found, err := c.room.Changes(ctx, event.Query{Namespace: namespace, Limit: 1}); err == nil && len(found.Events) > 0 {
			c.newest[namespace] = found.Events[0].Arrived
		}
	}
	return c
}

// lacks says that changes were missed; it never waits.
func (c *catchUp) lacks() {
	select {
	case c.lacking <- struct{}{}:
	default:
	}
}

// run asks now, and whenever something was missed, until the context ends.
func (c *catchUp) run(ctx context.Context) {
	if c.others == nil {
		return
	}
	for more := true; more; {
		c.gather(ctx)
		more = c.follow(ctx)
	}
}

// follow notes from time to time that nothing is missing, until something is. It answers false at the end.
func (c *catchUp) follow(ctx context.Context) bool {
	if ctx.Err() != nil {
		return false // not all were asked
	}
	ticker := time.NewTicker(completeEvery)
	defer ticker.Stop()
	for {
		if len(c.lacking) == 0 {
			c.complete()
		}
		select {
		case <-ticker.C:
		case <-c.lacking:
			return true
		case <-ctx.Done():
			if len(c.lacking) == 0 {
				c.complete()
			}
			return false
		}
	}
}

// complete notes that nothing up to now is missing, unless something waits to be written.
func (c *catchUp) complete() {
	if c.behind.Load() > 0 {
		return
	}
	now := time.Now()
	err := os.Chtimes(c.path, now, now)
	if errors.Is(err, os.ErrNotExist) {
		err = os.WriteFile(c.path, nil, 0o600)
	}
	if err != nil {
		c.log.Warn("how far the feed of changes is complete cannot be noted; after a start more is asked for than is needed", "file", c.path, "reason", err)
		return
	}
	c.since = now
}

// gather asks every other node, again and again those that do not answer.
func (c *catchUp) gather(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, catchUpFor)
	defer cancel()
	answered := map[string]bool{}
	for pause := catchUpPause; ; pause = min(2*pause, catchUpMostPause) {
		feeds := c.others()
		var silent []string
		for _, name := range slices.Sorted(maps.Keys(feeds)) {
			if answered[name] {
				continue
			}
			err := c.take(ctx, name, feeds[name])
			if answered[name] = err == nil || errors.Is(err, errors.ErrUnsupported); !answered[name] {
				silent = append(silent, name)
				c.log.Debug("a node does not tell its changes yet", "node", name, "reason", err)
			}
		}
		if len(silent) == 0 {
			return
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			c.log.Info("changes that only these nodes know of are missing in the feed: they did not answer", "nodes", strings.Join(silent, ", "))
			return
		}
	}
}

// take writes what one node knows into the feed, oldest first.
func (c *catchUp) take(ctx context.Context, name string, feed peer.ChangeFeed) error {
	for _, namespace := range c.namespaces() {
		q := event.Query{Namespace: namespace, Since: c.since, After: new(uint64), Limit: event.MaxLimit}
		if q.Since.IsZero() {
			q.Since = c.newest[namespace]
		}
		if !q.Since.IsZero() {
			q.Since = q.Since.Add(-catchUpBack)
		}
		for taken := 0; ; {
			found, err := feed.Changes(ctx, q)
			if err != nil {
				return err
			}
			changes := make([]event.Event, 0, len(found.Events))
			for i := range found.Events {
				changes = append(changes, found.Events[i].Event)
			}
			if err := c.room.Record(ctx, namespace, changes); err != nil {
				return err
			}
			if taken += len(changes); taken >= catchUpMost {
				c.log.Warn("changes are missing in the feed: too many happened while this node was away", "namespace", namespace, "node", name, "taken", taken)
				break
			}
			if len(changes) < q.Limit && !found.Truncated || found.Next <= *q.After {
				break
			}
			*q.After = found.Next
		}
	}
	return nil
}
