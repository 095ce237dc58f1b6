package alert

import (
	"context"
	"slices"
	"time"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy"
	"github.com/gantry-platform/gantry/internal/signal/alert/notify"
	"github.com/gantry-platform/gantry/internal/state"
)

// RuleView is a document of kind Alert or Objective as people see it.
type RuleView struct {
	Ref     Ref
	Version int64
	Every   time.Duration
	For     time.Duration
	// KeepFiringFor is how long it fires beyond its end, and Severity that of an Alert.
	KeepFiringFor time.Duration
	Severity      string
	// Expressions are what is asked.
	Expressions []string
	Health      Health
	// State is the furthest of its alerts: firing, pending or inactive.
	State State
	// Node evaluates it. Evaluated, Took and Missed are known on that node alone.
	Node      string
	Evaluated time.Time
	Took      time.Duration
	Missed    int
	Alerts    []AlertView
}

// AlertView is an alert and what becomes of it.
type AlertView struct {
	*Alert
	Ref         Ref
	SilencedBy  []string
	InhibitedBy []string
	// Receivers hear of it; none means that no route takes it.
	Receivers []string
}

// ReceiverFailure is a channel whose newest notification could not be delivered.
type ReceiverFailure struct {
	Receiver, Channel, Group, Error string
	At                              time.Time
}

// Overview is the alerts of a namespace.
type Overview struct {
	Rules    []RuleView
	Failures []ReceiverFailure
}

// List answers the rules of a namespace and their alerts. It needs the right to view.
func (e *Engine) List(ctx context.Context, namespace string) (Overview, error) {
	if err := access.Require(ctx, access.View, namespace); err != nil {
		return Overview{}, err
	}
	return e.overview(namespace, e.Now()), nil
}

func (e *Engine) overview(namespace string, now time.Time) Overview {
	c := e.config(namespace)
	if c == nil {
		return Overview{}
	}
	current := e.current(namespace, now)
	var all []*Alert
	known := map[Ref]*shown{}
	for _, s := range current {
		all = append(all, s.alerts...)
		known[s.ref] = s
	}
	for ref := range c.rules {
		if known[ref] == nil {
			known[ref] = &shown{ref: ref}
		}
	}
	var o Overview
	for ref, s := range known {
		view := RuleView{Ref: ref, Health: s.health, Node: s.node, Evaluated: s.evaluated, Took: s.took, Missed: s.missed, State: Inactive}
		if r := c.rules[ref]; r != nil {
			view.Version, view.Every, view.For, view.KeepFiringFor = r.version, r.every, r.hold, r.keep
			for _, condition := range r.conditions {
				view.Expressions = append(view.Expressions, condition.expr)
				view.Severity = string(condition.severity)
			}
			if r.broken != "" && view.Health.Failing == "" {
				view.Health.Failing = "cannot be evaluated: " + r.broken
			}
		}
		for _, a := range s.alerts {
			view.Alerts = append(view.Alerts, e.view(c, ref, a, all, now))
			if a.State == Firing || a.State == Pending && view.State != Firing {
				view.State = a.State
			}
		}
		if len(view.Alerts) > 0 || c.rules[ref] != nil {
			o.Rules = append(o.Rules, view)
		}
	}
	slices.SortFunc(o.Rules, func(a, b RuleView) int { return compareRefs(a.Ref, b.Ref) })
	for of, n := range e.notified.failing(namespace) {
		o.Failures = append(o.Failures, ReceiverFailure{Receiver: of[0], Channel: of[1], Group: n.Group, Error: n.Failed, At: n.FailedAt})
	}
	slices.SortFunc(o.Failures, func(a, b ReceiverFailure) int { return b.At.Compare(a.At) })
	return o
}

func (e *Engine) view(c *config, ref Ref, a *Alert, all []*Alert, now time.Time) AlertView {
	view := AlertView{Alert: a, Ref: ref, SilencedBy: c.silencedBy(a, now), InhibitedBy: c.inhibitedBy(a, all)}
	for _, r := range c.routesOf(a) {
		for _, name := range r.Receivers {
			if !slices.Contains(view.Receivers, name) {
				view.Receivers = append(view.Receivers, name)
			}
		}
	}
	return view
}

// TestResult is what came of a test of one channel.
type TestResult struct {
	Channel string
	// Error is empty when it was delivered.
	Error string
}

// Test sends a message to all channels of a receiver, once each, and says what came of it. It needs the right to operate.
func (e *Engine) Test(ctx context.Context, namespace, name string) ([]TestResult, error) {
	if err := access.Require(ctx, access.Operate, namespace); err != nil {
		return nil, err
	}
	var r *receiver
	if c := e.config(namespace); c != nil {
		r = c.receivers[name]
	}
	if r == nil {
		return nil, unknownReceiver(name)
	}
	select {
	case e.tests <- struct{}{}:
		defer func() { <-e.tests }()
	default:
		return nil, fault.New(fault.Exhausted, "receiver.busy", "other tests of receivers are under way").Hinted("try again in a few seconds")
	}
	if err := e.auditTest(ctx, namespace, name); err != nil {
		return nil, err
	}
	labels := map[string]string{"alertname": "Test", "namespace": namespace, "severity": string(policy.Info)}
	annotations := map[string]string{"summary": "A test of the receiver " + name, "description": "Asked for by " + access.FromContext(ctx).Actor + "."}
	m := &notify.Message{Receiver: name, GroupKey: namespace + "/test", Status: notify.Firing, GroupLabels: labels, CommonLabels: labels, CommonAnnotations: annotations,
		ExternalURL: e.ExternalURL, Test: true,
		Alerts: []notify.Alert{{Status: notify.Firing, Labels: labels, Annotations: annotations, StartsAt: e.Now(), Fingerprint: fingerprint(labels), GeneratorURL: e.ExternalURL}}}
	var results []TestResult
	for _, channel := range notify.Channels(r.Receiver) {
		result := TestResult{Channel: channel}
		if err := e.Sender.Send(ctx, r.Receiver, channel, m); err != nil {
			result.Error = err.Error()
		}
		results = append(results, result)
	}
	return results, nil
}

// auditTest notes who sent a message to the outside.
func (e *Engine) auditTest(ctx context.Context, namespace, name string) error {
	put, err := access.Record(ctx, access.Entry{Action: "receiver.test", Namespace: namespace, Target: policy.KindReceiver + "/" + name})
	if err != nil {
		return err
	}
	_, err = e.Store.Commit(ctx, state.Change{Put: []state.Put{put}})
	return err
}
