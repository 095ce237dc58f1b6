package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/state"
)

const (
	// maxRecord bounds the alerts of a rule in the state, and maxHistoryBytes the entries that are written beside them: both fit one change.
	maxRecord       = 768 << 10
	maxHistoryBytes = 256 << 10
	// maxBacklog bounds the entries of the history that wait for the state.
	maxBacklog = 1_000
)

// runner evaluates one rule on this node. All but rule and shown belong to whoever calls evaluate, one at a time.
type runner struct {
	engine *Engine
	rule   atomic.Pointer[rule]
	// changed wakes run when the rule is another.
	changed chan struct{}
	ctx     context.Context
	cancel  context.CancelFunc
	shown   atomic.Pointer[shown]

	alerts   map[string]*Alert
	health   Health
	modified int64
	// backlog waits to be written; dirty says that the record does, too.
	backlog []Transition
	dirty   bool
	last    time.Time
	missed  int
	out     *output
}

func newRunner(e *Engine, first *rule) *runner {
	r := &runner{engine: e, changed: make(chan struct{}, 1), out: newOutput(e, first.ref.Namespace)}
	r.ctx, r.cancel = context.WithCancel(e.running)
	r.rule.Store(first)
	r.takeUp()
	return r
}

// takeUp goes on from what is written.
func (r *runner) takeUp() {
	ref := r.rule.Load().ref
	r.alerts, r.health, r.modified, r.dirty, r.backlog = map[string]*Alert{}, Health{}, 0, false, nil
	if rec := r.engine.records.get(ref); rec != nil {
		r.alerts, r.health, r.modified = rec.byID(), rec.Health, rec.modified
	}
	r.show(time.Time{}, 0)
}

func (r *runner) show(at time.Time, took time.Duration) {
	s := &shown{ref: r.rule.Load().ref, health: r.health, node: r.engine.Store.Self().Name, own: true, evaluated: at, took: took, missed: r.missed}
	for _, a := range r.alerts {
		s.alerts = append(s.alerts, a)
	}
	slices.SortFunc(s.alerts, func(a, b *Alert) int { return a.ActiveAt.Compare(b.ActiveAt) })
	r.shown.Store(s)
}

// replace gives the runner another version of its rule.
func (r *runner) replace(next *rule) {
	if r.rule.Load() == next {
		return
	}
	r.rule.Store(next)
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// run evaluates at the moments of the rule's grid until the runner is cancelled.
func (r *runner) run() {
	defer r.out.close()
	for {
		rule := r.rule.Load()
		next := slot(rule.ref, rule.every, r.engine.Now())
		timer := time.NewTimer(next.Sub(r.engine.Now()))
		select {
		case <-timer.C:
			r.evaluate(r.ctx, next)
		case <-r.changed:
			timer.Stop()
			r.last = time.Time{} // another grid: nothing was missed
		case <-r.ctx.Done():
			timer.Stop()
			return
		}
	}
}

// evaluate is one evaluation, from the question to what is written and shown.
func (r *runner) evaluate(ctx context.Context, at time.Time) {
	e, rule := r.engine, r.rule.Load()
	began := time.Now()
	found, err := r.ask(ctx, rule, at)
	if ctx.Err() != nil {
		return
	}
	happened := r.notice(rule, at)
	changed := false
	if err != nil {
		happened = append(happened, r.failing(failure(err), at)...)
	} else {
		if r.health.Failing != "" {
			happened = append(happened, Transition{At: at, What: aboutEvaluation, Message: "it can be evaluated again"})
		}
		after, moved := step(r.alerts, found.alerts, timing{hold: rule.hold, keep: rule.keep, resolved: r.resolvedFor()}, at)
		changed = r.health.Waiting != found.waiting || differs(r.alerts, after, moved)
		r.health, r.alerts = Health{Waiting: found.waiting}, after
		r.nameChanges(ctx, rule, moved, at)
		happened = append(happened, moved...)
	}
	changed = changed || len(happened) > 0
	r.persist(ctx, rule.ref, at, happened, changed)
	r.out.alerts(ctx, r.alerts, at)
	took := time.Since(began)
	e.metrics.evaluated(err == nil, took)
	r.show(at, took)
	if changed {
		e.Observe(rule.ref.Namespace)
	}
}

// ask asks what the rule is about, in its turn.
func (r *runner) ask(ctx context.Context, rule *rule, at time.Time) (found, error) {
	e := r.engine
	select {
	case e.turns <- struct{}{}:
		defer func() { <-e.turns }()
	case <-ctx.Done():
		return found{}, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	answer, err := rule.evaluate(ctx, e.ask(rule.ref.Namespace), at)
	if err == nil {
		r.record(ctx, rule, at)
	}
	return answer, err
}

func (r *runner) resolvedFor() time.Duration {
	if c := r.engine.config(r.rule.Load().ref.Namespace); c != nil {
		return c.resolved
	}
	return resolvedFor
}

// failure says in a line why an evaluation failed.
func failure(err error) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	if f, ok := fault.As(err); ok {
		text = f.Message
	} else if errors.Is(err, context.DeadlineExceeded) {
		text = fmt.Sprintf("no answer of the metrics store within %s", queryTimeout)
	}
	return "cannot be evaluated: " + shorten(text, 512)
}

// failing notes that the rule cannot be evaluated. Its alerts stay as they are: nothing is known of them.
func (r *runner) failing(why string, at time.Time) []Transition {
	first := r.health.Failing == ""
	r.health.Failing = why
	if !first {
		return nil
	}
	r.health.FailingSince = at
	ref := r.rule.Load().ref
	r.engine.log.Warn("a rule cannot be evaluated; its alerts stay as they were", "kind", ref.Kind, "name", ref.Name, "namespace", ref.Namespace, "error", why)
	return []Transition{{At: at, What: aboutEvaluation, Message: why}}
}

// notice says which evaluations did not happen: because the one before took too long, or the process stood still.
func (r *runner) notice(rule *rule, at time.Time) []Transition {
	last := r.last
	r.last = at
	if last.IsZero() || at.Sub(last) <= rule.every {
		return nil
	}
	n := int(at.Sub(last)/rule.every) - 1
	if n <= 0 {
		return nil
	}
	r.missed += n
	r.engine.metrics.missed.Add(float64(n))
	r.engine.log.Warn("evaluations were missed", "kind", rule.ref.Kind, "name", rule.ref.Name, "namespace", rule.ref.Namespace, "count", n, "since", last)
	return []Transition{{At: at, What: aboutMissed, Message: fmt.Sprintf("%d evaluations were missed since %s: the one before took long, or the node stood still", n, last.UTC().Format(time.RFC3339))}}
}

// nameChanges tells alerts that begin to fire what was changed in the minutes before.
func (r *runner) nameChanges(ctx context.Context, rule *rule, moved []Transition, at time.Time) {
	e := r.engine
	if e.Changes == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, changesTimeout)
	defer cancel()
	for i := range moved {
		if moved[i].To != Firing {
			continue
		}
		id := fingerprint(moved[i].Labels)
		a := r.alerts[id].clone()
		changes, err := e.Changes.Changes(ctx, rule.ref.Namespace, rule.servicesOf(a.Labels), a.ActiveAt.Add(-changesBefore), at)
		if err != nil {
			e.log.Warn("the changes before an alert are not known", "name", rule.ref.Name, "namespace", rule.ref.Namespace, "error", err)
			return
		}
		changes = slices.Clone(changes[:min(len(changes), maxChanges)])
		for j := range changes {
			changes[j].Summary = shorten(changes[j].Summary, 256)
		}
		a.Changes, moved[i].Changes = changes, changes
		r.alerts[id] = a
	}
}

// persist writes what has changed, with the entries of the history, whole or not at all. What cannot be written now is written later.
func (r *runner) persist(ctx context.Context, ref Ref, at time.Time, happened []Transition, changed bool) {
	r.note(ref, happened)
	if r.dirty = r.dirty || changed; !r.dirty {
		return
	}
	e := r.engine
	if !e.Store.Quorum() {
		return // waiting for the quorum would hold up the next evaluation
	}
	value, err := r.encode(at)
	if err != nil {
		r.health.Failing = "cannot be evaluated: " + err.Error()
		return
	}
	change := state.Change{If: []state.Condition{state.Unchanged(ref.key(), r.modified)}, Put: []state.Put{{Key: ref.key(), Value: value}}}
	written, size := 0, 0
	for _, entry := range r.backlog {
		put, err := e.historyPut(ref.Namespace, entry)
		if err != nil {
			e.log.Error("an entry of the history is lost", "error", err)
		} else if size += len(put.Value); size > maxHistoryBytes && written > 0 {
			break
		} else {
			change.Put = append(change.Put, put)
		}
		written++
	}
	modified, err := e.Store.Commit(ctx, change)
	switch {
	case err == nil:
		r.modified, r.backlog = modified, r.backlog[written:]
		r.dirty = len(r.backlog) > 0
	case errors.Is(err, state.ErrConflict):
		// Another node evaluates it, or did until a moment ago, or an answer was lost: what is written counts.
		e.log.Info("alerts were written by another node; going on from there", "kind", ref.Kind, "name", ref.Name, "namespace", ref.Namespace)
		r.reload(ctx, ref)
	default:
		e.log.Warn("transitions of alerts cannot be written now", "kind", ref.Kind, "name", ref.Name, "namespace", ref.Namespace, "error", err)
	}
}

// reload goes on from what is written, as the quorum knows it.
func (r *runner) reload(ctx context.Context, ref Ref) {
	stored, there, err := r.engine.Store.Get(ctx, ref.key())
	if err != nil {
		return // the next evaluation meets the same conflict
	}
	rec := &record{}
	if there {
		rec.modified = stored.Modified
		if err := json.Unmarshal(stored.Value, rec); err != nil {
			r.engine.log.Error("stored alerts cannot be read; the rule begins anew", "key", stored.Key, "error", err)
		}
	}
	r.alerts, r.health, r.modified, r.dirty, r.backlog = rec.byID(), rec.Health, rec.modified, false, nil
}

// note puts entries into the backlog, with what all of them have.
func (r *runner) note(ref Ref, happened []Transition) {
	if most := maxTransitions; len(happened) > most {
		rest := len(happened) - most
		happened = append(slices.Clone(happened[:most]), Transition{At: happened[0].At, What: aboutState, Message: fmt.Sprintf("and %d more transitions at the same time", rest)})
	}
	for _, t := range happened {
		t.Kind, t.Name, t.Node = ref.Kind, ref.Name, r.engine.Store.Self().Name
		r.backlog = append(r.backlog, t)
	}
	if beyond := len(r.backlog) - maxBacklog; beyond > 0 {
		r.engine.log.Warn("entries of the history are lost: the state cannot be written", "count", beyond, "name", ref.Name, "namespace", ref.Namespace)
		r.backlog = slices.Clone(r.backlog[beyond:])
	}
}

// encode makes the record. When it is too large it goes without annotations and changes.
func (r *runner) encode(at time.Time) ([]byte, error) {
	rec := record{Health: r.health, Node: r.engine.Store.Self().Name, At: at}
	for _, a := range r.alerts {
		rec.Alerts = append(rec.Alerts, a)
	}
	slices.SortFunc(rec.Alerts, func(a, b *Alert) int { return a.ActiveAt.Compare(b.ActiveAt) })
	value, err := json.Marshal(rec)
	if err != nil || len(value) <= maxRecord {
		return value, err
	}
	for i, a := range rec.Alerts {
		bare := a.clone()
		bare.Annotations, bare.Changes = nil, nil
		rec.Alerts[i] = bare
	}
	if value, err = json.Marshal(rec); err != nil {
		return nil, err
	}
	if len(value) > maxRecord {
		return nil, fmt.Errorf("its %d alerts have %d bytes and do not fit into the state; aggregate the expression, or drop labels", len(rec.Alerts), len(value))
	}
	return value, nil
}
