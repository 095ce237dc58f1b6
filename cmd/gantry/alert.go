package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

func (c *cli) alertCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "alert",
		Short: "See what alerts, silence it, and try alerts out",
		Long: `See what alerts, silence it, and try alerts out. What alerts when, and who hears of it, is said by documents of the
kinds Alert, Objective, NotificationRoute, Receiver, Silence and Inhibition: publish them with "gantry apply".`,
		Example: `  gantry alert list
  gantry alert silence 'service="loan"' --for 2h --comment "database move"
  gantry alert preview -f error-rate.yaml --since 24h`,
	}, c.alertListCommand(), c.alertHistoryCommand(), c.alertSilenceCommand(), c.alertTestCommand(), c.alertPreviewCommand())
}

// alertStateWords are the states as the command line has them.
var alertStateWords = []string{"pending", "firing", "resolved"}

func alertStateOf(text string) (gantryv1.AlertState, error) {
	if value, ok := gantryv1.AlertState_value["ALERT_STATE_"+strings.ToUpper(text)]; ok && value != 0 {
		return gantryv1.AlertState(value), nil
	}
	return 0, fault.New(fault.Invalid, "cli.usage", "%q is no state of an alert", text).At("state").Hinted("use pending, firing or resolved")
}

func alertStateText(state gantryv1.AlertState) string { return word(state, "ALERT_STATE_") }

func (c *cli) alertListCommand() *cobra.Command {
	var states []string
	var rules bool
	cmd := &cobra.Command{
		Use:   "list [MATCHER...]",
		Short: "Show alerts that wait, fire, or fired until a while ago",
		Long: `Show alerts that wait, fire, or fired until a while ago. MATCHER is a condition on a label, such as 'severity="critical"'.
Rules that cannot be evaluated and receivers that cannot be reached are said below.`,
		Example: `  gantry alert list
  gantry alert list 'service="loan"' --state firing
  gantry alert list --rules
  gantry alert list -o json`,
		Args: arguments(0, 32),
	}
	cmd.Flags().StringSliceVar(&states, "state", nil, "only alerts in this `state`: pending, firing or resolved; may be repeated")
	cmd.Flags().BoolVar(&rules, "rules", false, "show the rules, whether or not they alert")
	complete(cmd, "state", cobra.FixedCompletions(alertStateWords, cobra.ShellCompDirectiveNoFileComp))
	cmd.RunE = action(func(ctx context.Context, args []string) error {
		request := &gantryv1.ListAlertsRequest{Matchers: args}
		var err error
		if request.Namespace, err = c.namespace(); err != nil {
			return err
		}
		for _, text := range states {
			state, err := alertStateOf(text)
			if err != nil {
				return err
			}
			request.States = append(request.States, state)
		}
		r, err := c.connect()
		if err != nil {
			return err
		}
		listed, err := r.alerts.ListAlerts(ctx, request)
		if err != nil {
			return err
		}
		return c.answer(listed, func() error { return c.printAlerts(listed, rules) })
	})
	return cmd
}

func (c *cli) printAlerts(listed *gantryv1.ListAlertsResponse, rules bool) error {
	t := c.alertTable(listed)
	if rules {
		t = c.ruleTable(listed)
	}
	if err := c.printTable(t); err != nil {
		return err
	}
	for _, rule := range listed.GetRules() {
		if text := rule.GetFailing(); text != "" {
			fmt.Fprintln(c.errOut, printable(fmt.Sprintf("%s %s %s", rule.GetKind(), rule.GetName(), text)))
		} else if text := rule.GetWaiting(); text != "" && rules {
			fmt.Fprintln(c.errOut, printable(fmt.Sprintf("%s %s: %s", rule.GetKind(), rule.GetName(), text)))
		}
	}
	for _, f := range listed.GetFailures() {
		fmt.Fprintln(c.errOut, printable(fmt.Sprintf("receiver %s was not told by %s at %s: %s", f.GetReceiver(), f.GetChannel(), clock(f.GetAt()), f.GetError())))
	}
	return nil
}

func (c *cli) alertTable(listed *gantryv1.ListAlertsResponse) *table {
	t := newTable("There are no such alerts.", col("ALERT"), col("STATE"), col("SEVERITY"), number("VALUE"), col("SINCE"), col("LABELS"), col("NOTE"), wide("RECEIVERS"), wide("SUMMARY"))
	for _, rule := range listed.GetRules() {
		for _, a := range rule.GetAlerts() {
			labels := map[string]string{}
			for name, value := range a.GetLabels() {
				if name != "alertname" && name != "namespace" && name != "severity" {
					labels[name] = value
				}
			}
			t.add(rule.GetName(), c.paintState(a.GetState()), dash(a.GetLabels()["severity"]), alertValue(a.GetValue(), a.Expected), c.age(a.GetActiveAt()), dash(pairs(labels)), alertNote(a),
				dash(strings.Join(a.GetReceivers(), ",")), dash(a.GetAnnotations()["summary"]))
		}
	}
	return t
}

func (c *cli) paintState(state gantryv1.AlertState) cell {
	p := c.painter()
	switch state {
	case gantryv1.AlertState_ALERT_STATE_FIRING:
		return cell{alertStateText(state), p.red}
	case gantryv1.AlertState_ALERT_STATE_PENDING:
		return cell{alertStateText(state), p.yellow}
	default:
		return cell{text: alertStateText(state)}
	}
}

func alertValue(value float64, expected *float64) string {
	text := fmt.Sprintf("%.4g", value)
	if expected != nil {
		text += fmt.Sprintf(" (expected %.4g)", *expected)
	}
	return text
}

// alertNote says why nobody hears of it, and what changed before.
func alertNote(a *gantryv1.Alert) string {
	var notes []string
	if by := a.GetSilencedBy(); len(by) > 0 {
		notes = append(notes, "silenced by "+strings.Join(by, ", "))
	}
	if by := a.GetInhibitedBy(); len(by) > 0 {
		notes = append(notes, "inhibited by "+strings.Join(by, ", "))
	}
	if len(a.GetReceivers()) == 0 {
		notes = append(notes, "no route")
	}
	if changes := a.GetChanges(); len(changes) > 0 {
		notes = append(notes, fmt.Sprintf("after: %s", first(changes[0].GetSummary(), changes[0].GetKind())))
	}
	return dash(strings.Join(notes, "; "))
}

func (c *cli) ruleTable(listed *gantryv1.ListAlertsResponse) *table {
	t := newTable("There are no rules.", col("KIND"), col("NAME"), col("STATE"), number("ALERTS"), col("EVERY"), col("FOR"), col("EVALUATED"), col("HEALTH"), wide("NODE"), wide("EXPRESSION"))
	for _, rule := range listed.GetRules() {
		health := cell{text: "ok"}
		switch {
		case rule.GetFailing() != "":
			health = cell{"failing", c.painter().red}
		case rule.GetWaiting() != "":
			health = cell{text: "waits for history"}
		case rule.GetMissed() > 0:
			health = cell{text: fmt.Sprintf("missed %d", rule.GetMissed())}
		}
		t.add(rule.GetKind(), rule.GetName(), c.paintState(rule.GetState()), len(rule.GetAlerts()), rule.GetEvery().AsDuration(), rule.GetHold().AsDuration(), c.age(rule.GetEvaluatedAt()), health,
			dash(rule.GetNode()), dash(strings.Join(rule.GetExpressions(), " | ")))
	}
	return t
}

func (c *cli) alertHistoryCommand() *cobra.Command {
	var kind, since, until string
	var limit int
	cmd := &cobra.Command{
		Use:   "history [NAME]",
		Short: "Show what alerted, failed and was told, newest first",
		Example: `  gantry alert history --since 24h
  gantry alert history error-rate
  gantry alert history --kind Receiver -o json`,
		Args: arguments(0, 1),
	}
	f := cmd.Flags()
	f.StringVar(&kind, "kind", "", "only of this `kind`: Alert, Objective or Receiver")
	f.StringVar(&since, "since", "", "not before this `time`: how long ago (90m), a date, or RFC 3339")
	f.StringVar(&until, "until", "", "before this `time`")
	f.IntVar(&limit, "limit", 100, "at most so many `entries`; 0 for all")
	cmd.RunE = action(func(ctx context.Context, args []string) error {
		if limit < 0 {
			return usage(cmd, "a limit of %d", limit)
		}
		request := &gantryv1.ListAlertHistoryRequest{Kind: kind}
		if len(args) > 0 {
			request.Name = args[0]
		}
		var err error
		if request.Namespace, err = c.namespace(); err != nil {
			return err
		}
		if request.Since, err = c.parseMoment("since", since); err != nil {
			return err
		}
		if request.Until, err = c.parseMoment("until", until); err != nil {
			return err
		}
		entries, err := c.alertHistory(ctx, request, limit)
		if err != nil {
			return err
		}
		return answerList(c, entries, func() *table { return c.alertHistoryTable(entries) })
	})
	return cmd
}

// alertHistory asks for pages until there are enough; most 0 is all.
func (c *cli) alertHistory(ctx context.Context, request *gantryv1.ListAlertHistoryRequest, most int) ([]*gantryv1.AlertTransition, error) {
	r, err := c.connect()
	if err != nil {
		return nil, err
	}
	var entries []*gantryv1.AlertTransition
	for {
		request.PageSize = pageSize
		if left := most - len(entries); most > 0 {
			request.PageSize = uint32(min(left, pageSize))
		}
		page, err := r.alerts.ListAlertHistory(ctx, request)
		if err != nil {
			return nil, err
		}
		entries = append(entries, page.GetEntries()...)
		if most > 0 && len(entries) >= most {
			return entries[:most], nil
		}
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			return entries, nil
		}
	}
}

func (c *cli) alertHistoryTable(entries []*gantryv1.AlertTransition) *table {
	t := newTable("Nothing has happened.", col("TIME"), col("KIND"), col("NAME"), col("WHAT"), number("VALUE"), col("LABELS"), wide("CHANGES"), wide("NODE"))
	for _, e := range entries {
		what, value := e.GetMessage(), ""
		if e.GetTo() != gantryv1.AlertState_ALERT_STATE_UNSPECIFIED {
			what, value = alertStateText(e.GetFrom())+" -> "+alertStateText(e.GetTo()), alertValue(e.GetValue(), e.Expected)
			if text := e.GetMessage(); text != "" {
				what += ": " + text
			}
		}
		labels := map[string]string{}
		for name, text := range e.GetLabels() {
			if name != "alertname" && name != "namespace" {
				labels[name] = text
			}
		}
		var changes []string
		for _, change := range e.GetChanges() {
			changes = append(changes, clock(change.GetAt())+" "+first(change.GetSummary(), change.GetKind()))
		}
		t.add(clock(e.GetAt()), e.GetKind(), e.GetName(), what, dash(value), dash(pairs(labels)), dash(strings.Join(changes, "; ")), dash(e.GetNode()))
	}
	return t
}

func (c *cli) alertSilenceCommand() *cobra.Command {
	var name, comment, from, expire string
	var last time.Duration
	cmd := &cobra.Command{
		Use:   "silence MATCHER...",
		Short: "Keep notifications back for a while, or end that",
		Long: `Keep notifications back for a while, or end that. All matchers must match. Silenced alerts fire nevertheless, and are shown. A
silence is a document of kind Silence: its history says who made it, and it can be rolled back.`,
		Example: `  gantry alert silence 'service="loan"' 'severity=~"warning|info"' --for 2h --comment "database move"
  gantry alert silence 'alertname="disk-full"' --from 2026-12-01T22:00:00+08:00 --for 4h --comment "maintenance"
  gantry alert silence --expire loan-20261126-101500`,
		Args: arguments(0, 32),
	}
	f := cmd.Flags()
	f.StringVar(&name, "name", "", "`name` of the document; default: made of the time")
	f.StringVarP(&comment, "comment", "m", "", "`why` nobody needs to hear of it")
	f.StringVar(&from, "from", "", "when it begins, a `time` by RFC 3339 or a date; default: now")
	f.DurationVar(&last, "for", time.Hour, "how `long` it lasts")
	f.StringVar(&expire, "expire", "", "end the silence of this `name`")
	cmd.RunE = action(func(ctx context.Context, args []string) error {
		switch {
		case expire != "" && len(args) > 0:
			return usage(cmd, "--expire takes no matcher")
		case expire != "":
			return c.expireSilence(ctx, expire)
		case len(args) == 0:
			return usage(cmd, "a silence has at least one matcher")
		case comment == "":
			return usage(cmd, "say why with --comment")
		case last <= 0:
			return usage(cmd, "a silence of %s", last)
		}
		begin := c.now()
		if from != "" {
			moment, err := c.parseMoment("from", from)
			if err != nil {
				return err
			}
			begin = moment.AsTime()
		}
		if name == "" {
			name = "silence-" + c.now().UTC().Format("20060102-150405")
		}
		return c.silence(ctx, name, args, begin, begin.Add(last), comment)
	})
	return cmd
}

func (c *cli) silence(ctx context.Context, name string, matchers []string, from, until time.Time, comment string) error {
	content, err := yaml.Marshal(map[string]any{"matchers": matchers, "startsAt": from.UTC().Format(time.RFC3339), "endsAt": until.UTC().Format(time.RFC3339), "comment": comment})
	if err != nil {
		return err
	}
	namespace, err := c.namespace()
	if err != nil {
		return err
	}
	r, err := c.connect()
	if err != nil {
		return err
	}
	ref := &gantryv1.DocumentRef{Namespace: namespace, Kind: policy.KindSilence, Name: name}
	// A name that is taken is another silence: it is not replaced.
	none := int64(0)
	published, err := r.releases.Publish(ctx, &gantryv1.PublishRequest{Ref: ref, Format: "yaml", Content: content, Message: comment, Release: true, ExpectedVersion: &none})
	if err != nil {
		return err
	}
	return c.answer(published.GetDocument(), func() error {
		return c.say("silence %s until %s; end it with: gantry alert silence --expire %s", name, until.Local().Format(time.DateTime), name)
	})
}

func (c *cli) expireSilence(ctx context.Context, name string) error {
	namespace, err := c.namespace()
	if err != nil {
		return err
	}
	r, err := c.connect()
	if err != nil {
		return err
	}
	deleted, err := r.releases.Delete(ctx, &gantryv1.DeleteRequest{Ref: &gantryv1.DocumentRef{Namespace: namespace, Kind: policy.KindSilence, Name: name}, Message: "silence ended"})
	if err != nil {
		return err
	}
	return c.answer(deleted.GetDocument(), func() error { return c.say("silence %s ended", name) })
}

// testTimeout is for a test of all channels of a receiver, each of which may take a quarter of a minute.
const testTimeout = 2 * time.Minute

func (c *cli) alertTestCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "test RECEIVER",
		Short: "Send a test message to a receiver, and say what came of it",
		Example: `  gantry alert test credit-team
  gantry alert test credit-team -o json`,
		Args: arguments(1, 1),
	}
	cmd.RunE = action(func(ctx context.Context, args []string) error {
		namespace, err := c.namespace()
		if err != nil {
			return err
		}
		r, err := c.connect()
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, testTimeout)
		defer cancel()
		tested, err := r.alerts.TestReceiver(ctx, &gantryv1.TestReceiverRequest{Namespace: namespace, Receiver: args[0]})
		if err != nil {
			return err
		}
		failed := 0
		t := newTable("The receiver has no channel.", col("CHANNEL"), col("RESULT"))
		for _, one := range tested.GetTests() {
			result := cell{"delivered", c.painter().green}
			if one.GetError() != "" {
				result = cell{one.GetError(), c.painter().red}
				failed++
			}
			t.add(one.GetChannel(), result)
		}
		if err := c.answer(tested, func() error { return c.printTable(t) }); err != nil {
			return err
		}
		if failed > 0 {
			return fault.New(fault.Precondition, "receiver.not_reached", "%s of the receiver %s could not be reached", plural(failed, "channel", "channels"), args[0])
		}
		return nil
	})
	return cmd
}

// previewTimeout is longer than the server's own bound.
const previewTimeout = 90 * time.Second

func (c *cli) alertPreviewCommand() *cobra.Command {
	var files []string
	var since, until string
	cmd := &cobra.Command{
		Use:   "preview -f FILE",
		Short: "Say when a draft of an alert would have fired",
		Long: `Say when a draft of an alert would have fired: a manifest of kind Alert or Objective is evaluated over the last hours, and nothing
is stored or told. At most seven days; beyond 1,000 evaluations the steps are longer.`,
		Example: `  gantry alert preview -f error-rate.yaml
  gantry alert preview -f error-rate.yaml --since 24h -o json
  gantry get Alert error-rate | sed 's/> 0.05/> 0.02/' | gantry alert preview -f -`,
		Args: arguments(0, 0),
	}
	filesFlag(cmd, &files)
	cmd.Flags().StringVar(&since, "since", "6h", "from this `time` on: how long ago (90m), a date, or RFC 3339")
	cmd.Flags().StringVar(&until, "until", "", "until this `time`; default: now")
	cmd.RunE = action(func(ctx context.Context, _ []string) error {
		manifests, err := c.readManifests(ctx, files)
		if err != nil {
			return err
		}
		if len(manifests) != 1 {
			return usage(cmd, "a preview is of one document, and there are %d", len(manifests))
		}
		m := manifests[0]
		request := &gantryv1.PreviewAlertRequest{Namespace: m.Namespace, Kind: m.Kind, Name: m.Name, Format: m.Format, Content: m.Content}
		if request.Since, err = c.parseMoment("since", since); err != nil {
			return err
		}
		if request.Until, err = c.parseMoment("until", until); err != nil {
			return err
		}
		r, err := c.connect()
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, previewTimeout)
		defer cancel()
		p, err := r.alerts.PreviewAlert(ctx, request)
		if err != nil {
			return c.locate(m, err)
		}
		return c.answer(p, func() error { return c.printAlertPreview(p) })
	})
	return cmd
}

func (c *cli) printAlertPreview(p *gantryv1.PreviewAlertResponse) error {
	t := newTable("It would not have alerted.", col("ACTIVE"), col("FIRED"), col("ENDED"), number("PEAK"), col("LABELS"), wide("SUMMARY"))
	for _, e := range p.GetEpisodes() {
		labels := map[string]string{}
		for name, value := range e.GetLabels() {
			if name != "alertname" && name != "namespace" {
				labels[name] = value
			}
		}
		t.add(clock(e.GetActiveAt()), clock(e.GetFiredAt()), clock(e.GetEndedAt()), alertValue(e.GetPeak(), e.Expected), dash(pairs(labels)), dash(e.GetAnnotations()["summary"]))
	}
	if err := c.printTable(t); err != nil {
		return err
	}
	fmt.Fprintf(c.errOut, "%s from %s to %s, every %s\n", plural(int(p.GetEvaluations()), "evaluation", "evaluations"), clock(p.GetSince()), clock(p.GetUntil()), p.GetStep().AsDuration())
	if n := p.GetFailed(); n > 0 {
		fmt.Fprintln(c.errOut, printable(fmt.Sprintf("%d of them failed: %s", n, p.GetError())))
	}
	if text := p.GetWaiting(); text != "" {
		fmt.Fprintln(c.errOut, printable(text))
	}
	if p.GetCut() {
		fmt.Fprintln(c.errOut, "the preview ended early: look at a shorter time")
	}
	return nil
}
