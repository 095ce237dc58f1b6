package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy"
	"github.com/gantry-platform/gantry/internal/signal/alert/notify"
	"github.com/gantry-platform/gantry/internal/state"
)

// delivery is one message to one channel, until it is delivered or given up.
type delivery struct {
	key      noticeKey
	group    *group
	receiver *receiver
	alerts   []*Alert
	// firing and resolved are what is noted as told.
	firing, resolved []string
	last             *notice
	// quiet notes without telling: of the end, to a receiver that does not want to hear of it.
	quiet bool
}

// deliveryQueue bounds what waits for delivery on a node, and delivers with a few workers.
type deliveryQueue struct {
	engine *Engine
	jobs   chan *delivery
	mu     sync.Mutex
	// busy are the channels for which a delivery waits or is under way: one a group, so that none overtakes another.
	busy map[noticeKey]bool
}

func newDeliveryQueue(e *Engine) *deliveryQueue {
	return &deliveryQueue{engine: e, jobs: make(chan *delivery, queueLength), busy: map[noticeKey]bool{}}
}

func (q *deliveryQueue) start() {
	for range deliverers {
		q.engine.workers.Go(func() {
			for {
				select {
				case job := <-q.jobs:
					q.deliver(q.engine.running, job)
				case <-q.engine.running.Done():
					return
				}
			}
		})
	}
}

// put queues a delivery. It answers false when there is no room, or one of the same kind is under way: the group is looked at again soon.
func (q *deliveryQueue) put(job *delivery) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.busy[job.key] {
		return false
	}
	select {
	case q.jobs <- job:
		q.busy[job.key] = true
		return true
	default:
		q.engine.metrics.refused.Inc()
		q.engine.log.Warn("a notification waits: too many are being delivered", "receiver", job.key.receiver, "channel", job.key.channel, "namespace", job.key.namespace)
		return false
	}
}

func (q *deliveryQueue) done(key noticeKey) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.busy, key)
}

// deliver claims a notification, sends it with retries, and notes what came of it.
func (q *deliveryQueue) deliver(ctx context.Context, job *delivery) {
	defer q.done(job.key)
	e := q.engine
	within := min(deliverFor, time.Duration(job.group.route.GroupInterval))
	claim := notice{Claimed: e.claimant(), ClaimedUntil: e.Now().Add(within + claimFor)}
	if job.last != nil {
		mine := claim
		claim = *job.last
		claim.Claimed, claim.ClaimedUntil = mine.Claimed, mine.ClaimedUntil
	}
	if !q.write(ctx, job, &claim, nil) {
		return
	}
	message := e.message(job)
	job.quiet = job.quiet || len(message.Alerts) == 0
	var err error
	if !job.quiet {
		sendCtx, cancel := context.WithTimeout(ctx, within)
		err = q.send(sendCtx, job, message)
		cancel()
		if ctx.Err() != nil {
			return // the claim ends by itself
		}
	}
	next := claim
	next.Claimed, next.ClaimedUntil = "", time.Time{}
	entry := Transition{At: e.Now(), Kind: policy.KindReceiver, Name: job.key.receiver, What: aboutNotification, Labels: job.group.labels, Node: e.Store.Self().Name}
	if err == nil {
		next.Firing, next.Resolved, next.At, next.Failed, next.FailedAt = job.firing, job.resolved, e.Now(), "", time.Time{}
		entry.Message = fmt.Sprintf("told by %s: %d firing, %d resolved", job.key.channel, len(job.firing), len(job.resolved))
	} else {
		next.Failed, next.FailedAt = err.Error(), e.Now()
		entry.Message = fmt.Sprintf("not told by %s: %s", job.key.channel, err)
	}
	if job.quiet {
		q.write(ctx, job, &next, nil)
		return
	}
	e.metrics.notified(job.key.channel, err == nil)
	q.write(ctx, job, &next, &entry)
}

// write stores a notice with an entry of the history. It answers false when another node was faster. Without quorum it answers true: twice is better than never.
func (q *deliveryQueue) write(ctx context.Context, job *delivery, n *notice, entry *Transition) bool {
	e := q.engine
	n.Group, n.Receiver, n.Channel = job.key.group, job.key.receiver, job.key.channel
	n.Expires = e.Now().Add(time.Duration(job.group.route.RepeatInterval) + 24*time.Hour)
	value, err := json.Marshal(n)
	if err != nil {
		e.log.Error("a notification cannot be noted", "error", err)
		return true
	}
	path := job.key.path()
	change := state.Change{If: []state.Condition{state.Unchanged(path, n.modified)}, Put: []state.Put{{Key: path, Value: value}}}
	if entry != nil {
		if put, err := e.historyPut(job.key.namespace, *entry); err == nil {
			change.Put = append(change.Put, put)
		}
	}
	var modified int64
	if !e.Store.Quorum() {
		err = errors.New("no quorum")
	} else {
		modified, err = e.Store.Commit(ctx, change)
	}
	switch {
	case err == nil:
		n.modified = modified
	case errors.Is(err, state.ErrConflict):
		return false
	default:
		e.log.Warn("a notification cannot be noted now; another node may repeat it", "receiver", job.key.receiver, "namespace", job.key.namespace, "error", err)
	}
	written := *n
	e.notified.learn(path, &written)
	return true
}

// Retries of one delivery: a second, then twice as long each time, up to a minute, each by chance a little longer.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
)

// send tries until it is delivered, fails for good, or time is over.
func (q *deliveryQueue) send(ctx context.Context, job *delivery, message *notify.Message) error {
	wait := firstRetry
	for tries := 1; ; tries++ {
		err := q.engine.Sender.Send(ctx, job.receiver.Receiver, job.key.channel, message)
		if err == nil {
			return nil
		}
		var failed *notify.Error
		if errors.As(err, &failed) && !failed.Temporary {
			return err
		}
		q.engine.metrics.retries.Inc()
		timer := time.NewTimer(wait + rand.N(wait/2))
		select {
		case <-timer.C:
			wait = min(2*wait, lastRetry)
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w (after %d tries)", err, tries)
		}
	}
}

// message makes what is told of a group.
func (e *Engine) message(job *delivery) *notify.Message {
	m := &notify.Message{Receiver: job.key.receiver, GroupKey: job.key.namespace + "/" + job.key.group, Status: notify.Resolved, GroupLabels: job.group.labels,
		ExternalURL: e.ExternalURL, CommonLabels: common(job.alerts, func(a *Alert) map[string]string { return a.Labels }),
		CommonAnnotations: common(job.alerts, func(a *Alert) map[string]string { return a.Annotations })}
	alerts := slices.Clone(job.alerts)
	slices.SortStableFunc(alerts, func(a, b *Alert) int {
		if (a.State == Firing) != (b.State == Firing) {
			if a.State == Firing {
				return -1
			}
			return 1
		}
		return a.FiredAt.Compare(b.FiredAt)
	})
	silent := job.receiver.SendResolved != nil && !*job.receiver.SendResolved
	for _, a := range alerts {
		if a.State == Firing {
			m.Status = notify.Firing
		} else if silent || job.last == nil || !slices.Contains(job.last.Firing, a.ID()) {
			continue // of its beginning nobody was told
		}
		if len(m.Alerts) == maxPerNotification {
			m.Truncated++
			continue
		}
		m.Alerts = append(m.Alerts, e.told(a))
	}
	return m
}

func (e *Engine) told(a *Alert) notify.Alert {
	t := notify.Alert{Status: notify.Firing, Labels: a.Labels, Annotations: a.Annotations, StartsAt: a.FiredAt, Fingerprint: a.ID(), GeneratorURL: e.ExternalURL, Value: number(float64(a.Value))}
	if expected := number(float64(a.Expected)); expected != "-" {
		t.Value += " (expected " + expected + ")"
	}
	if a.State == Resolved {
		t.Status, t.EndsAt = notify.Resolved, a.ResolvedAt
	}
	for _, c := range a.Changes {
		t.Changes = append(t.Changes, changeText(c))
	}
	return t
}

func changeText(c Change) string {
	text := c.At.UTC().Format("15:04:05Z")
	for _, part := range []string{c.Service, c.Kind, c.Summary} {
		if part != "" {
			text += " " + part
		}
	}
	if c.Actor != "" {
		text += " (" + c.Actor + ")"
	}
	return text
}

// common are the texts that all alerts have.
func common(alerts []*Alert, of func(*Alert) map[string]string) map[string]string {
	out := map[string]string{}
	if len(alerts) == 0 {
		return out
	}
	for name, value := range of(alerts[0]) {
		if !slices.ContainsFunc(alerts, func(a *Alert) bool { return of(a)[name] != value }) {
			out[name] = value
		}
	}
	return out
}

// unknownReceiver is what a test of a receiver answers that is not there.
func unknownReceiver(name string) error {
	return fault.New(fault.NotFound, "receiver.unknown", "no Receiver %q is in force in this namespace", name).At("receiver").Hinted("publish and release it; `gantry get Receiver` lists them")
}
