package native

import (
	"context"
	"math"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy"
	"github.com/gantry-platform/gantry/internal/signal/alert"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// alertService leaves rights to the engine, which asks for them itself.
type alertService struct{ api *API }

// maxAlertMatchers bounds the conditions of a list.
const maxAlertMatchers = 32

func (s *alertService) engine() (*alert.Engine, error) {
	if s.api.Alerts == nil {
		return nil, fault.New(fault.Precondition, "alert.off", "this node evaluates no alerts")
	}
	return s.api.Alerts, nil
}

func (s *alertService) ListAlerts(ctx context.Context, r *gantryv1.ListAlertsRequest) (*gantryv1.ListAlertsResponse, error) {
	namespace, err := s.api.viewed(ctx, r.Namespace)
	if err != nil {
		return nil, err
	}
	engine, err := s.engine()
	if err != nil {
		return nil, err
	}
	overview, err := engine.List(ctx, namespace)
	if err != nil {
		return nil, err
	}
	matchers, err := alertMatchers(r.Matchers)
	if err != nil {
		return nil, err
	}
	answer := &gantryv1.ListAlertsResponse{}
	for i := range overview.Rules {
		rule := alertRule(&overview.Rules[i])
		for j := range overview.Rules[i].Alerts {
			a := alertMessage(&overview.Rules[i].Alerts[j])
			wanted := len(r.States) == 0 || slices.Contains(r.States, a.State)
			if wanted && matchers.Match(func(name string) string { return a.Labels[name] }) {
				rule.Alerts = append(rule.Alerts, a)
			}
		}
		answer.Rules = append(answer.Rules, rule)
	}
	for _, f := range overview.Failures {
		answer.Failures = append(answer.Failures, &gantryv1.ReceiverFailure{Receiver: f.Receiver, Channel: f.Channel, Group: f.Group, Error: f.Error, At: timestamp(f.At)})
	}
	return answer, nil
}

func alertMatchers(texts []string) (policy.Matchers, error) {
	if len(texts) > maxAlertMatchers {
		return nil, fault.New(fault.Invalid, "matcher.too_many", "there are %d matchers", len(texts)).At("matchers").Hinted("at most %d are allowed", maxAlertMatchers)
	}
	var matchers policy.Matchers
	for _, text := range texts {
		matcher, err := policy.ParseMatcher(text)
		if err != nil {
			return nil, fault.New(fault.Invalid, "matcher.invalid", "%s", err).At("matchers")
		}
		matchers = append(matchers, matcher)
	}
	return matchers, nil
}

// alertState is a state in the API's words.
func alertState(s alert.State) gantryv1.AlertState {
	switch s {
	case alert.Inactive:
		return gantryv1.AlertState_ALERT_STATE_INACTIVE
	case alert.Pending:
		return gantryv1.AlertState_ALERT_STATE_PENDING
	case alert.Firing:
		return gantryv1.AlertState_ALERT_STATE_FIRING
	case alert.Resolved:
		return gantryv1.AlertState_ALERT_STATE_RESOLVED
	default:
		return gantryv1.AlertState_ALERT_STATE_UNSPECIFIED
	}
}

func alertRule(v *alert.RuleView) *gantryv1.AlertRule {
	return &gantryv1.AlertRule{Kind: v.Ref.Kind, Name: v.Ref.Name, Version: v.Version, Every: durationpb.New(v.Every), Hold: durationpb.New(v.For), Expressions: v.Expressions,
		State: alertState(v.State), Failing: v.Health.Failing, FailingSince: timestamp(v.Health.FailingSince), Waiting: v.Health.Waiting, Node: v.Node,
		EvaluatedAt: timestamp(v.Evaluated), EvaluationTime: durationpb.New(v.Took), Missed: uint32(min(v.Missed, math.MaxUint32))}
}

func alertMessage(v *alert.AlertView) *gantryv1.Alert {
	return &gantryv1.Alert{Id: v.ID(), State: alertState(v.State), Labels: v.Labels, Annotations: v.Annotations, Value: float64(v.Value), Expected: expected(float64(v.Expected)),
		ActiveAt: timestamp(v.ActiveAt), FiredAt: timestamp(v.FiredAt), ResolvedAt: timestamp(v.ResolvedAt), SilencedBy: v.SilencedBy, InhibitedBy: v.InhibitedBy,
		Receivers: v.Receivers, Changes: alertChanges(v.Changes)}
}

// expected is nothing where no baseline compares.
func expected(f float64) *float64 {
	if math.IsNaN(f) {
		return nil
	}
	return &f
}

func alertChanges(changes []alert.Change) []*gantryv1.AlertChange {
	var all []*gantryv1.AlertChange
	for _, c := range changes {
		all = append(all, &gantryv1.AlertChange{At: timestamp(c.At), Service: c.Service, Kind: c.Kind, Summary: c.Summary, Actor: c.Actor, Target: c.Target})
	}
	return all
}

func (s *alertService) ListAlertHistory(ctx context.Context, r *gantryv1.ListAlertHistoryRequest) (*gantryv1.ListAlertHistoryResponse, error) {
	namespace, err := s.api.viewed(ctx, r.Namespace)
	if err != nil {
		return nil, err
	}
	engine, err := s.engine()
	if err != nil {
		return nil, err
	}
	q := alert.HistoryQuery{Namespace: namespace, Kind: r.Kind, Name: r.Name, Limit: int(r.PageSize), Before: r.PageToken}
	if r.Since != nil {
		q.Since = r.Since.AsTime()
	}
	if r.Until != nil {
		q.Until = r.Until.AsTime()
	}
	entries, next, err := engine.History(ctx, q)
	if err != nil {
		return nil, err
	}
	answer := &gantryv1.ListAlertHistoryResponse{NextPageToken: next}
	for _, t := range entries {
		entry := &gantryv1.AlertTransition{At: timestamp(t.At), Kind: t.Kind, Name: t.Name, What: t.What, From: alertState(t.From), To: alertState(t.To), Labels: t.Labels,
			Value: float64(t.Value), Changes: alertChanges(t.Changes), Message: t.Message, Node: t.Node}
		if t.To != "" {
			entry.Expected = expected(float64(t.Expected))
		}
		answer.Entries = append(answer.Entries, entry)
	}
	return answer, nil
}

func (s *alertService) TestReceiver(ctx context.Context, r *gantryv1.TestReceiverRequest) (*gantryv1.TestReceiverResponse, error) {
	engine, err := s.engine()
	if err != nil {
		return nil, err
	}
	results, err := engine.Test(ctx, namespaceOr(r.Namespace), r.Receiver)
	if err != nil {
		return nil, err
	}
	answer := &gantryv1.TestReceiverResponse{}
	for _, result := range results {
		answer.Tests = append(answer.Tests, &gantryv1.ReceiverTest{Channel: result.Channel, Error: result.Error})
	}
	return answer, nil
}

func (s *alertService) PreviewAlert(ctx context.Context, r *gantryv1.PreviewAlertRequest) (*gantryv1.PreviewAlertResponse, error) {
	namespace := namespaceOr(r.Namespace)
	// Asked before the draft is looked at.
	if _, err := s.api.viewed(ctx, namespace); err != nil {
		return nil, err
	}
	engine, err := s.engine()
	if err != nil {
		return nil, err
	}
	draft := alert.Draft{Namespace: namespace, Kind: r.Kind, Name: r.Name, Format: r.Format, Content: r.Content}
	if draft.Kind == "" {
		draft.Kind = policy.KindAlert
	}
	if r.Since != nil {
		draft.Since = r.Since.AsTime()
	}
	if r.Until != nil {
		draft.Until = r.Until.AsTime()
	}
	p, err := engine.Preview(ctx, draft)
	if err != nil {
		return nil, err
	}
	answer := &gantryv1.PreviewAlertResponse{Since: timestamp(p.Since), Until: timestamp(p.Until), Step: durationpb.New(p.Step.Round(time.Millisecond)), Evaluations: uint32(p.Evaluations),
		Failed: uint32(p.Failed), Error: p.Error, Waiting: p.Waiting, Cut: p.Cut}
	for i := range p.Episodes {
		e := &p.Episodes[i]
		answer.Episodes = append(answer.Episodes, &gantryv1.AlertEpisode{Labels: e.Labels, Annotations: e.Annotations, ActiveAt: timestamp(e.ActiveAt), FiredAt: timestamp(e.FiredAt),
			EndedAt: timestamp(e.EndedAt), Peak: e.Peak, Expected: expected(e.Expected)})
	}
	return answer, nil
}
