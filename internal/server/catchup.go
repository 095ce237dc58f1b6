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
	// catchUpMost bounds what is taken from one node, the newest of it: fewer than the changes whose ids are remembered, so that those of the next node are known.
	catchUpMost = 50_000
	// catchUpAge bounds how far a node looks back that was away for long, or never there.
	catchUpAge = 30 * 24 * time.Hour
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
	// most is [catchUpMost]; tests take less.
	most int
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
	c := &catchUp{room: s.events.room, path: filepath.Join(s.dataDir, "events", "changes-complete"), log: s.log.With("part", "events"), most: catchUpMost, lacking: make(chan struct{}, 1),
		newest: map[string]time.Time{}}
	c.namespaces = func() (all []string) {
		for _, namespace := range s.instances.Namespaces() {
			all = append(all, namespace.GetName())
		}
		return all
	}
	if s.peers == nil {
		return c // nobody can be asked
	}
	c.others = s.peers.ChangeFeeds
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

// missed is a change that another node tells.
type missed struct {
	namespace string
	event     event.Event
}

// take writes what one node knows into the feed, the oldest first: who asks for the newest gets what was written last.
func (c *catchUp) take(ctx context.Context, name string, feed peer.ChangeFeed) error {
	var all []missed
	dropped := 0
	for _, namespace := range c.namespaces() {
		told, passed, err := c.read(ctx, feed, namespace)
		if err != nil {
			return err
		}
		all, dropped = append(all, told...), dropped+passed
		slices.SortStableFunc(all, func(a, b missed) int { return a.event.Time.Compare(b.event.Time) })
		if over := len(all) - c.most; over > 0 {
			dropped += over
			all = slices.Delete(all, 0, over)
		}
	}
	if dropped > 0 {
		c.log.Warn("changes are missing in the feed: too many happened while this node was away; the newest are there", "node", name, "there", len(all), "missing", dropped)
	}
	byNamespace := map[string][]event.Event{}
	for _, one := range all {
		byNamespace[one.namespace] = append(byNamespace[one.namespace], one.event)
	}
	return recordAll(ctx, c.room, byNamespace)
}

// read reads what a node tells of a namespace since the feed was complete; of very much, the newest, and how many it passed over.
func (c *catchUp) read(ctx context.Context, feed peer.ChangeFeed, namespace string) (all []missed, passed int, err error) {
	since := c.since
	if since.IsZero() {
		since = c.newest[namespace]
	}
	since = since.Add(-catchUpBack)
	if longest := time.Now().Add(-catchUpAge); since.Before(longest) {
		since = longest
	}
	q := event.Query{Namespace: namespace, Since: since, After: new(uint64), Limit: event.MaxLimit}
	for {
		found, err := feed.Changes(ctx, q)
		if err != nil {
			return nil, 0, err
		}
		for i := range found.Events {
			all = append(all, missed{namespace, found.Events[i].Event})
		}
		if over := len(all) - c.most; over > c.most {
			all, passed = slices.Delete(all, 0, over), passed+over
		}
		if len(found.Events) < q.Limit && !found.Truncated || found.Next <= *q.After {
			return all, passed, nil
		}
		*q.After = found.Next
	}
}
