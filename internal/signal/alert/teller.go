package alert

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gantry-platform/gantry/internal/policy"
	"github.com/gantry-platform/gantry/internal/signal/alert/notify"
	"github.com/gantry-platform/gantry/internal/state"
)

// tellEvery is the time between two looks at the groups: a group wait is in seconds.
const tellEvery = time.Second

// teller groups the alerts of a namespace and says when a group is due. All of it belongs to whoever calls tell, one at a time.
type teller struct {
	engine    *Engine
	namespace string
	ctx       context.Context
	cancel    context.CancelFunc
	// next is when a group is looked at again, by its key.
	next     map[string]time.Time
	swept    time.Time
	trimmed  time.Time
	endCheck time.Time
	// crowded is when it was said last that there are too many groups.
	crowded time.Time
}

func newTeller(e *Engine, namespace string) *teller {
	t := &teller{engine: e, namespace: namespace, next: map[string]time.Time{}}
	t.ctx, t.cancel = context.WithCancel(e.running)
	return t
}

func (t *teller) run() {
	ticker := time.NewTicker(tellEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			now := t.engine.Now()
			t.tell(now)
			t.upkeep(t.ctx, now)
		case <-t.ctx.Done():
			return
		}
	}
}

// group is the alerts of one route with the same values of its labels.
type group struct {
	key    string
	route  *route
	labels map[string]string
	alerts []*Alert
}

// groups sorts alerts into groups.
func groups(c *config, alerts []*Alert) map[string]*group {
	all := map[string]*group{}
	for _, a := range alerts {
		if a.State != Firing && a.State != Resolved {
			continue
		}
		for _, r := range c.routesOf(a) {
			labels := groupLabels(r, a)
			key := groupKey(r, labels)
			g := all[key]
			if g == nil && len(all) >= maxGroups {
				continue
			}
			if g == nil {
				g = &group{key: key, route: r, labels: labels}
				all[key] = g
			}
			g.alerts = append(g.alerts, a)
		}
	}
	return all
}

func groupLabels(r *route, a *Alert) map[string]string {
	if len(r.GroupBy) == 1 && r.GroupBy[0] == "..." {
		return maps.Clone(a.Labels)
	}
	labels := map[string]string{}
	for _, name := range r.GroupBy {
		if value, ok := a.Labels[name]; ok {
			labels[name] = value
		}
	}
	return labels
}

func groupKey(r *route, labels map[string]string) string {
	var b strings.Builder
	b.WriteString(r.name)
	b.WriteString(":{")
	for i, name := range slices.Sorted(maps.Keys(labels)) {
		if i > 0 {
			b.WriteString(", ")
		}
		value, _ := json.Marshal(labels[name])
		b.WriteString(name + "=" + string(value))
	}
	b.WriteString("}")
	return b.String()
}

// tell hands due groups to the queue.
func (t *teller) tell(now time.Time) {
	e := t.engine
	c := e.config(t.namespace)
	if c == nil {
		return
	}
	var alerts []*Alert
	for _, s := range e.current(t.namespace, now) {
		alerts = append(alerts, s.alerts...)
	}
	all := groups(c, alerts)
	if len(all) >= maxGroups && now.Sub(t.crowded) >= time.Hour {
		t.crowded = now
		e.log.Warn("there are too many groups of alerts; nobody is told of those beyond", "namespace", t.namespace, "groups", maxGroups)
	}
	for key := range t.next {
		if all[key] == nil {
			delete(t.next, key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		g := all[key]
		due, known := t.next[key]
		if !known {
			due = t.first(c, g)
			t.next[key] = due
		}
		if now.Before(due) {
			continue
		}
		t.next[key] = now.Add(time.Duration(g.route.GroupInterval))
		t.flush(c, g, alerts, now)
	}
}

// first is when a group is due that this node has not seen before: after the group wait of its oldest alert, or an interval after another node has told of it.
func (t *teller) first(c *config, g *group) time.Time {
	var due time.Time
	for _, a := range g.alerts {
		if at := a.FiredAt.Add(time.Duration(*g.route.GroupWait)); due.IsZero() || at.Before(due) {
			due = at
		}
	}
	for _, key := range t.destinations(c, g) {
		if told := t.engine.notified.get(key); told != nil && !told.At.IsZero() {
			if at := told.At.Add(time.Duration(g.route.GroupInterval)); at.After(due) {
				due = at
			}
		}
	}
	return due
}

// destinations are the channels of a group's receivers.
func (t *teller) destinations(c *config, g *group) []noticeKey {
	var keys []noticeKey
	for _, name := range g.route.Receivers {
		if r := c.receivers[name]; r != nil {
			for _, channel := range notify.Channels(r.Receiver) {
				keys = append(keys, noticeKey{t.namespace, g.key, name, channel})
			}
		}
	}
	return keys
}

// flush looks at one group: what is kept back, and who has to be told of the rest.
func (t *teller) flush(c *config, g *group, all []*Alert, now time.Time) {
	e := t.engine
	var told []*Alert
	var firing, resolved []string
	for _, a := range g.alerts {
		if len(c.silencedBy(a, now)) > 0 || len(c.inhibitedBy(a, all)) > 0 {
			e.metrics.suppressed.Inc()
			continue
		}
		told = append(told, a)
		if a.State == Firing {
			firing = append(firing, a.ID())
		} else {
			resolved = append(resolved, a.ID())
		}
	}
	if len(told) == 0 {
		return // all of it is kept back: nothing is told, and nothing is taken for told
	}
	slices.Sort(firing)
	slices.Sort(resolved)
	firing, resolved = firing[:min(len(firing), maxNoted)], resolved[:min(len(resolved), maxNoted)]
	for _, key := range t.destinations(c, g) {
		r := c.receivers[key.receiver]
		quiet := r.SendResolved != nil && !*r.SendResolved
		last := e.notified.get(key)
		if last != nil && e.claimed(last, now) {
			t.next[g.key] = now.Add(tellEvery) // another delivery is under way; its outcome decides
			continue
		}
		about := resolved
		if quiet {
			about = nil
		}
		if !last.owed(firing, about, time.Duration(g.route.RepeatInterval), now) {
			continue
		}
		job := &delivery{key: key, group: g, receiver: r, alerts: told, firing: firing, resolved: resolved, last: last, quiet: quiet && len(firing) == 0}
		if !e.queue.put(job) {
			t.next[g.key] = now.Add(10 * time.Second)
		}
	}
}

// upkeep ends the alerts of documents that are gone, and takes out of the state what nobody needs any more.
func (t *teller) upkeep(ctx context.Context, now time.Time) {
	e := t.engine
	if now.Sub(t.endCheck) >= 10*time.Second {
		t.endCheck = now
		t.endGone(ctx, now)
	}
	if now.Sub(t.swept) >= time.Minute {
		t.swept = now
		t.forgetEnded(ctx, now)
		if keys := e.notified.expired(t.namespace, now, 100); len(keys) > 0 {
			if _, err := e.Store.Commit(ctx, state.Change{Delete: keys}); err != nil {
				e.log.Warn("old notifications cannot be taken out of the state now", "namespace", t.namespace, "error", err)
			}
		}
	}
	if now.Sub(t.trimmed) >= trimEvery {
		t.trimmed = now
		if err := e.trimHistory(ctx, t.namespace, now); err != nil && ctx.Err() == nil {
			e.log.Warn("the history of alerts cannot be trimmed now", "namespace", t.namespace, "error", err)
		}
		t.retireSilences(ctx, now)
	}
}

// retireSilences takes out of force what has silenced nothing for so long that nobody looks for it any more: people make silences and forget them, and each is
// a document. One that was brought back or is being prepared anew is somebody's business.
func (t *teller) retireSilences(ctx context.Context, now time.Time) {
	e := t.engine
	c := e.config(t.namespace)
	if c == nil || !e.Store.Quorum() {
		return
	}
	before, retired := now.Add(-silenceKept), 0
	for _, s := range c.silences {
		if retired == maxRetired || ctx.Err() != nil {
			return
		}
		if !s.EndsAt.Before(before) {
			continue
		}
		ref := Ref{t.namespace, policy.KindSilence, s.name}
		done, err := e.Documents.Retire(ctx, ref, s.version, before, "the silence ended at "+s.EndsAt.UTC().Format(time.RFC3339)+", more than 5 days ago")
		switch {
		case err != nil && ctx.Err() == nil:
			e.log.Warn("a silence that has ended cannot be taken out of force now", "name", s.name, "namespace", t.namespace, "error", err)
		case done:
			retired++
			e.log.Info("a silence that has ended is taken out of force", "name", s.name, "namespace", t.namespace, "ended", s.EndsAt.Time)
		}
	}
}

// endGone resolves the alerts of documents that are not in force any more, and removes their records when that was told.
func (t *teller) endGone(ctx context.Context, now time.Time) {
	e := t.engine
	c := e.config(t.namespace)
	for ref, rec := range e.records.in(t.namespace) {
		if c == nil || c.listed[ref] {
			continue
		}
		after, happened := endAll(rec.byID(), c.resolved, now)
		change := state.Change{If: []state.Condition{state.Unchanged(ref.key(), rec.modified)}}
		if len(after) == 0 {
			change.Delete = []string{ref.key()}
		} else if len(happened) > 0 {
			next := record{Node: e.Store.Self().Name, At: now, Alerts: slices.Collect(maps.Values(after))}
			value, err := json.Marshal(next)
			if err != nil {
				continue
			}
			change.Put = []state.Put{{Key: ref.key(), Value: value}}
		} else {
			continue
		}
		for _, entry := range happened[:min(len(happened), maxTransitions)] {
			entry.Kind, entry.Name, entry.Node, entry.Message = ref.Kind, ref.Name, e.Store.Self().Name, "the document is not in force any more"
			if put, err := e.historyPut(ref.Namespace, entry); err == nil {
				change.Put = append(change.Put, put)
			}
		}
		if _, err := e.Store.Commit(ctx, change); err != nil && ctx.Err() == nil {
			e.log.Warn("the alerts of a document that is gone cannot be ended now", "kind", ref.Kind, "name", ref.Name, "namespace", ref.Namespace, "error", err)
		}
	}
}

// forgetEnded takes out of the notification log that alerts fire which nobody knows any more: their end could not be told in time, and when they fire again that is news.
func (t *teller) forgetEnded(ctx context.Context, now time.Time) {
	e := t.engine
	c := e.config(t.namespace)
	if c == nil {
		return
	}
	var alerts []*Alert
	for _, s := range e.current(t.namespace, now) {
		alerts = append(alerts, s.alerts...)
	}
	all := groups(c, alerts)
	for path, n := range e.notified.firing(t.namespace) {
		if all[n.Group] != nil || e.claimed(n, now) {
			continue
		}
		ended := *n
		ended.Firing, ended.Resolved = nil, nil
		value, err := json.Marshal(ended)
		if err != nil {
			continue
		}
		change := state.Change{If: []state.Condition{state.Unchanged(path, n.modified)}, Put: []state.Put{{Key: path, Value: value}}}
		if _, err := e.Store.Commit(ctx, change); err != nil && ctx.Err() == nil {
			e.log.Debug("a notification cannot be ended now", "namespace", t.namespace, "error", err)
		}
	}
}
