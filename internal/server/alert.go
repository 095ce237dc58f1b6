package server

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/promql"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy"
	"github.com/gantry-platform/gantry/internal/protocol/prometheus"
	"github.com/gantry-platform/gantry/internal/release"
	"github.com/gantry-platform/gantry/internal/signal/alert"
	"github.com/gantry-platform/gantry/internal/signal/alert/notify"
	"github.com/gantry-platform/gantry/internal/signal/live"
	"github.com/gantry-platform/gantry/internal/signal/series"
)

// buildAlerts makes the room that alerts.
func (s *Server) buildAlerts(changes alert.Changes) error {
	networks, err := alertNetworks(s.settings.AlertAllowNetworks)
	if err != nil {
		return err
	}
	s.alerts, err = alert.New(alert.Options{Store: s.store, Documents: &alertDocuments{server: s}, Series: alertSeries{s.series}, Appendable: s.series, Changes: changes,
		Sender: notify.NewSender(networks, nil), ExternalURL: s.externalURL(), Observe: func(namespace string) { s.live.Moved(namespace, live.Alerts) }, Logger: s.log.With("part", "alert"), Registerer: s.metrics})
	return err
}

// externalURL is where people reach this server.
func (s *Server) externalURL() string {
	if s.settings.ExternalURL != "" {
		return s.settings.ExternalURL
	}
	scheme := "http://"
	if s.tls != nil {
		scheme = "https://"
	}
	return scheme + s.store.Self().HTTPAddress
}

// alertNetworks reads the networks that notifications may go to although they are of this machine, its link or a cloud's.
func alertNetworks(texts []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, text := range texts {
		prefix, err := netip.ParsePrefix(text)
		if address, single := netip.ParseAddr(text); single == nil {
			prefix, err = netip.PrefixFrom(address, address.BitLen()), nil
		}
		if err != nil {
			return nil, fault.New(fault.Invalid, "setting.bad_value", "%q is neither an address nor a network", text).At("alert-allow-networks").Hinted("such as 127.0.0.0/8")
		}
		all = append(all, prefix.Masked())
	}
	return all, nil
}

// completeAlerts refuses what is no network and no URL.
func (s *Settings) completeAlerts() error {
	if _, err := alertNetworks(s.AlertAllowNetworks); err != nil {
		return err
	}
	if s.ExternalURL == "" {
		return nil
	}
	u, err := url.Parse(s.ExternalURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return fault.New(fault.Invalid, "setting.bad_value", "%q is no URL of http or https", s.ExternalURL).At("external-url").Hinted("such as https://gantry.example.com")
	}
	return nil
}

// alertSeries answers PromQL over the metrics of one namespace. A node that is not there does not keep rules from being evaluated; one that does not answer does.
type alertSeries struct{ store *series.Store }

func (a alertSeries) Instant(ctx context.Context, namespace, query string, at time.Time) (promql.Vector, []string, error) {
	return a.store.In(namespace).Live().Instant(ctx, query, at)
}

// alertDocuments are the documents that alerting reads. It asks as the server itself: a Receiver is sealed to everybody else.
type alertDocuments struct{ server *Server }

func (d *alertDocuments) context(ctx context.Context) context.Context {
	return access.NewContext(ctx, access.System("alerts"))
}

func (d *alertDocuments) Namespaces() []string {
	var names []string
	for _, namespace := range d.server.instances.Namespaces() {
		names = append(names, namespace.GetName())
	}
	return names
}

// Versions are those for who is in no cohort: alerts are evaluated for the fleet, and not by an instance that could be in one.
func (d *alertDocuments) Versions(namespace, kind string) map[string]int64 {
	names, err := d.server.releases.InForce(d.context(context.Background()), namespace, kind)
	if err != nil {
		return nil // the server itself may do everything
	}
	versions := make(map[string]int64, len(names))
	for _, name := range names {
		if version, _ := d.server.releases.Wanted(release.Ref{Namespace: namespace, Kind: kind, Name: name}, &release.Subject{}); version != 0 {
			versions[name] = version
		}
	}
	return versions
}

func (d *alertDocuments) Read(ctx context.Context, ref alert.Ref, version int64) (alert.Document, error) {
	_, v, err := d.server.releases.Get(d.context(ctx), release.Ref{Namespace: ref.Namespace, Kind: ref.Kind, Name: ref.Name}, version)
	if err != nil {
		return alert.Document{}, err
	}
	return alert.Document{Format: v.GetFormat(), Content: v.GetContent(), Author: v.GetAuthor()}, nil
}

// Retire implements [alert.Documents].
func (d *alertDocuments) Retire(ctx context.Context, ref alert.Ref, version int64, unchangedSince time.Time, why string) (bool, error) {
	ctx = d.context(ctx)
	document := release.Ref{Namespace: ref.Namespace, Kind: ref.Kind, Name: ref.Name}
	head, _, err := d.server.releases.Get(ctx, document, version)
	if fault.Is(err, fault.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if head.GetDeleted() || head.GetReleasedVersion() != version || head.GetLatestVersion() != version || head.GetRollout() != nil || head.GetUpdatedAt().AsTime().After(unchangedSince) {
		return false, nil
	}
	revision := head.GetRevision()
	_, err = d.server.releases.Delete(ctx, release.Step{Ref: document, Message: why, ExpectedRevision: &revision})
	if fault.Is(err, fault.Conflict) || fault.Is(err, fault.NotFound) {
		return false, nil
	}
	return err == nil, err
}

// alertRules are the rules in the shape of Prometheus's API: a namespace is a file, and a document a group.
type alertRules struct{ server *Server }

// Groups implements [prometheus.Rules].
func (a alertRules) Groups(ctx context.Context, scope prometheus.Scope) []prometheus.RuleGroup {
	namespaces := []string{scope.Namespace}
	if scope.All {
		namespaces = (&alertDocuments{server: a.server}).Namespaces()
	}
	groups := []prometheus.RuleGroup{}
	for _, namespace := range namespaces {
		// Whether the caller may was asked where the scope comes from, by rights that this room does not know.
		overview, err := a.server.alerts.List(access.NewContext(ctx, access.System("alerts")), namespace)
		if err != nil {
			continue
		}
		for i := range overview.Rules {
			groups = append(groups, ruleGroup(namespace, &overview.Rules[i]))
		}
	}
	return groups
}

func ruleGroup(namespace string, v *alert.RuleView) prometheus.RuleGroup {
	group := prometheus.RuleGroup{Name: v.Ref.Kind + "/" + v.Ref.Name, File: namespace, Interval: v.Every.Seconds(), Limit: alert.MaxAlerts,
		EvaluationTime: v.Took.Seconds(), LastEvaluation: v.Evaluated}
	rule := prometheus.Rule{Type: "alerting", State: string(v.State), Name: v.Ref.Name, Query: strings.Join(v.Expressions, " or "), Duration: v.For.Seconds(), KeepFiringFor: v.KeepFiringFor.Seconds(),
		Labels: map[string]string{}, Annotations: map[string]string{}, Health: "ok", LastError: v.Health.Failing, EvaluationTime: v.Took.Seconds(), LastEvaluation: v.Evaluated}
	if v.Ref.Kind == policy.KindAlert && v.Severity != "" {
		rule.Labels["severity"] = v.Severity
	}
	switch {
	case v.Health.Failing != "":
		rule.Health = "err"
	case v.Evaluated.IsZero() && v.Node == "":
		rule.Health = "unknown"
	}
	for i := range v.Alerts {
		a := &v.Alerts[i]
		if a.State != alert.Pending && a.State != alert.Firing {
			continue
		}
		active := a.ActiveAt
		shown := prometheus.Alert{Labels: a.Labels, Annotations: a.Annotations, State: string(a.State), ActiveAt: &active, Value: strconv.FormatFloat(float64(a.Value), 'e', -1, 64)}
		if !a.CeasedAt.IsZero() {
			ceased := a.CeasedAt
			shown.KeepFiringSince = &ceased
		}
		rule.Alerts = append(rule.Alerts, shown)
	}
	group.Rules = []prometheus.Rule{rule}
	return group
}

// counted says how many: "1 rule", "2 rules".
func counted(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// alertWarnings are what an operator should look at. Whoever is somebody may see them, so that they name nothing of a namespace.
func (s *Server) alertWarnings() []string {
	failing, untold := 0, 0
	for _, namespace := range (&alertDocuments{server: s}).Namespaces() {
		overview, err := s.alerts.List(access.NewContext(context.Background(), access.System("alerts")), namespace)
		if err != nil {
			continue
		}
		for i := range overview.Rules {
			if overview.Rules[i].Health.Failing != "" {
				failing++
			}
		}
		untold += len(overview.Failures)
	}
	var warnings []string
	if failing > 0 {
		warnings = append(warnings, counted(failing, "rule")+" of alerts cannot be evaluated: see `gantry alert list`")
	}
	if untold > 0 {
		warnings = append(warnings, counted(untold, "channel")+" could not be told of alerts: see `gantry alert list`")
	}
	return warnings
}
