package policy_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy"
)

// refusal is a document and what is wrong with it; an empty reason is a document that is taken.
type refusal struct {
	kind, content string
	sensitive     bool
	reason        string
	line, col     int
}

func (r refusal) check(t *testing.T, name string) {
	t.Helper()
	_, err := policy.Standard().Validate(policy.Document{Namespace: "default", Kind: r.kind, Name: "loan", Content: []byte(r.content), Sensitive: r.sensitive}, nil)
	f, _ := fault.As(err)
	switch {
	case r.reason == "" && err != nil:
		t.Errorf("%s: %v", name, err)
	case r.reason == "":
	case f == nil || f.Reason != r.reason || f.Line != r.line || f.Column != r.col:
		t.Errorf("%s: %v (%+v)", name, err, f)
	}
}

const route = policy.KindNotificationRoute

func TestAlertsAreChecked(t *testing.T) {
	for name, c := range map[string]refusal{
		"expr": {content: "expr: sum by (service) (rate(gantry_errors_total[5m])) > 1\nfor: 5m\nkeepFiringFor: 10m\nevery: 15s\nseverity: critical\n" +
			"labels: {team: credit}\nannotations: {summary: '{{ $labels.service }} fails {{ $value | humanize }} times a second'}\nservices: [loan]\n"},
		"absent":              {content: "absent: {selector: 'up{job=\"loan\"}', over: 10m}\n"},
		"baseline":            {content: "baseline: {expr: 'sum(rate(x[5m]))', direction: down, percent: 50, minimum: 2, weeks: 3, timeZone: Asia/Shanghai}\n"},
		"nothing":             {content: "for: 5m\n", reason: "alert.one_condition", line: 1, col: 1},
		"two":                 {content: "expr: up\nabsent: {selector: up, over: 5m}\n", reason: "alert.one_condition", line: 1, col: 1},
		"bad PromQL":          {content: "for: 1m\nexpr: sum(rate(x[5m])\n", reason: "promql.invalid", line: 2, col: 7},
		"empty PromQL":        {content: "expr: ''\n", reason: "promql.invalid", line: 1, col: 7},
		"a range":             {content: "expr: x[5m]\n", reason: "promql.wrong_type", line: 1, col: 7},
		"a scalar":            {content: "expr: '1 > bool 0'\n", reason: "promql.wrong_type", line: 1, col: 7},
		"long PromQL":         {content: "expr: " + strings.Repeat("x+", 5000) + "x\n", reason: "promql.too_long", line: 1, col: 7},
		"no duration":         {content: "expr: up\nfor: soon\n", reason: "document.invalid_value", line: 2, col: 6},
		"long for":            {content: "expr: up\nfor: 8d\n", reason: "alert.bad_duration", line: 2, col: 6},
		"too often":           {content: "expr: up\nevery: 1s\n", reason: "alert.bad_duration", line: 2, col: 8},
		"not at all":          {content: "expr: up\nevery: 0s\n", reason: "alert.bad_duration", line: 2, col: 8},
		"severity":            {content: "expr: up\nseverity: page\n", reason: "alert.bad_severity", line: 2, col: 11},
		"reserved label":      {content: "expr: up\nlabels:\n  alertname: x\n", reason: "alert.reserved_label", line: 3, col: 3},
		"label name":          {content: "expr: up\nlabels:\n  a-b: x\n", reason: "alert.bad_name", line: 3, col: 3},
		"template":            {content: "expr: up\nannotations:\n  summary: '{{ $labls.x }}'\n", reason: "alert.bad_template", line: 3, col: 12},
		"endless template":    {content: "expr: up\nannotations:\n  summary: '{{ range 1000000000 }}{{ end }}'\n", reason: "alert.bad_template", line: 3, col: 12},
		"commented selector":  {content: "absent: {selector: 'up # of all', over: 10m}\n"},
		"selector and offset": {content: "absent: {selector: up offset 5m, over: 10m}\n", reason: "alert.bad_selector", line: 1, col: 20},
		"selector":            {content: "absent:\n  selector: rate(up[5m])\n  over: 5m\n", reason: "alert.bad_selector", line: 2, col: 13},
		"no time of absence":  {content: "absent:\n  selector: up\n", reason: "document.missing_field", line: 2, col: 3},
		"direction":           {content: "baseline:\n  expr: up\n  factor: 2\n  direction: left\n", reason: "alert.bad_direction", line: 4, col: 14},
		"no deviation":        {content: "baseline:\n  expr: up\n", reason: "alert.one_deviation", line: 2, col: 3},
		"factor below one":    {content: "baseline:\n  expr: up\n  factor: 0.5\n", reason: "alert.bad_factor", line: 3, col: 11},
		"not a number":        {content: "baseline:\n  expr: up\n  factor: .nan\n", reason: "document.wrong_type", line: 3, col: 11},
		"all of it downwards": {content: "baseline:\n  expr: up\n  percent: 100\n  direction: down\n", reason: "alert.bad_percent", line: 3, col: 12},
		"weeks":               {content: "baseline:\n  expr: up\n  factor: 2\n  weeks: 5\n", reason: "alert.bad_weeks", line: 4, col: 10},
		"time zone":           {content: "baseline:\n  expr: up\n  factor: 2\n  timeZone: Mars\n", reason: "alert.bad_time_zone", line: 4, col: 13},
		"unknown field":       {content: "expr: up\nfro: 5m\n", reason: "document.unknown_field", line: 2, col: 1},
		"secret":              {content: "expr: up\n", sensitive: true, reason: "document.not_secret"},
	} {
		c.kind = policy.KindAlert
		c.check(t, name)
	}
}

func TestObjectivesAreChecked(t *testing.T) {
	for name, c := range map[string]refusal{
		"availability":  {content: "target: 99.9%\nservice: loan\nendpoint: POST /applications\navailability: {}\nlabels: {team: credit}\n"},
		"latency":       {content: "target: 99%\nwindow: 4w\nservice: loan\nlatency: {threshold: 300ms}\n"},
		"ratio":         {content: "target: 99%\nratio: {good: 'sum(rate(a[$window]))', total: 'sum(rate(b[$window]))'}\n"},
		"a number":      {content: "target: 99.9\nservice: loan\navailability: {}\n", reason: "document.wrong_type", line: 1, col: 9},
		"all":           {content: "target: 100%\nservice: loan\navailability: {}\n", reason: "objective.bad_target", line: 1, col: 9},
		"no percent":    {content: "target: '99'\nservice: loan\navailability: {}\n", reason: "document.invalid_value", line: 1, col: 9},
		"short window":  {content: "target: 99%\nwindow: 1d\nservice: loan\navailability: {}\n", reason: "alert.bad_duration", line: 2, col: 9},
		"no indicator":  {content: "target: 99%\nservice: loan\n", reason: "objective.one_indicator", line: 1, col: 1},
		"no service":    {content: "target: 99%\navailability: {}\n", reason: "document.missing_field", line: 1, col: 1},
		"no window":     {content: "target: 99%\nratio:\n  good: sum(rate(a[5m]))\n  total: 'sum(rate(b[$window]))'\n", reason: "objective.no_window", line: 3, col: 9},
		"bad PromQL":    {content: "target: 99%\nratio:\n  good: 'sum(rate(a[$window])'\n  total: 'sum(rate(b[$window]))'\n", reason: "promql.invalid", line: 3, col: 9},
		"own severity":  {content: "target: 99%\nservice: loan\navailability: {}\nlabels: {severity: x}\n", reason: "alert.reserved_label", line: 4, col: 10},
		"own burn rate": {content: "target: 99%\nservice: loan\navailability: {}\nlabels: {burn: x}\n", reason: "alert.reserved_label", line: 4, col: 10},
	} {
		c.kind = policy.KindObjective
		c.check(t, name)
	}
}

func TestWhatKeepsNotificationsBackIsChecked(t *testing.T) {
	for name, c := range map[string]refusal{
		"silence":          {kind: "Silence", content: "matchers: ['service=\"loan\"', 'severity=~\"a|b\"', 'zone!=\"\"', 'x=\"\"']\nstartsAt: 2026-11-26T08:00:00+08:00\nendsAt: '2026-11-26T10:00:00+08:00'\ncomment: work on the network\n"},
		"silence all":      {kind: "Silence", content: "matchers: []\nendsAt: 2026-11-26T08:00:00Z\ncomment: x\n", reason: "silence.no_matcher", line: 1, col: 11},
		"matcher":          {kind: "Silence", content: "matchers: [service]\nendsAt: 2026-11-26T08:00:00Z\ncomment: x\n", reason: "matcher.invalid", line: 1, col: 12},
		"two in one":       {kind: "Silence", content: "matchers: ['a=\"b\",c=\"d\"']\nendsAt: 2026-11-26T08:00:00Z\ncomment: x\n", reason: "matcher.invalid", line: 1, col: 12},
		"broken out":       {kind: "Silence", content: "matchers: ['a=\"b\"} or {c=\"d\"']\nendsAt: 2026-11-26T08:00:00Z\ncomment: x\n", reason: "matcher.invalid", line: 1, col: 12},
		"backwards":        {kind: "Silence", content: "matchers: ['a=\"b\"']\nstartsAt: 2026-11-26T08:00:00Z\nendsAt: 2026-11-26T08:00:00Z\ncomment: x\n", reason: "silence.bad_time", line: 3, col: 9},
		"years":            {kind: "Silence", content: "matchers: ['a=\"b\"']\nstartsAt: 2026-11-26T08:00:00Z\nendsAt: 2028-11-26T08:00:00Z\ncomment: x\n", reason: "silence.too_long", line: 3, col: 9},
		"no time":          {kind: "Silence", content: "matchers: ['a=\"b\"']\nendsAt: tomorrow\ncomment: x\n", reason: "document.invalid_value", line: 2, col: 9},
		"no comment":       {kind: "Silence", content: "matchers: ['a=\"b\"']\nendsAt: 2026-11-26T08:00:00Z\ncomment: ''\n", reason: "silence.bad_comment", line: 3, col: 10},
		"inhibition":       {kind: "Inhibition", content: "source: ['severity=\"critical\"']\ntarget: ['severity=\"warning\"']\nequal: [service]\n"},
		"no source":        {kind: "Inhibition", content: "source: []\ntarget: ['severity=\"warning\"']\n", reason: "inhibition.no_matcher", line: 1, col: 9},
		"equal":            {kind: "Inhibition", content: "source: ['a=\"b\"']\ntarget: ['a=\"c\"']\nequal: ['a b']\n", reason: "alert.bad_name", line: 3, col: 9},
		"route":            {kind: route, content: "order: 10\nmatchers: ['team=\"credit\"']\nreceivers: [credit]\ngroupBy: [alertname, service]\ngroupWait: 0s\ngroupInterval: 1m\nrepeatInterval: 1h\ncontinue: true\n"},
		"route to all":     {kind: route, content: "receivers: [everyone]\ngroupBy: ['...']\n"},
		"no receiver":      {kind: route, content: "receivers: []\n", reason: "route.bad_receivers", line: 1, col: 12},
		"repeats too soon": {kind: route, content: "receivers: [a]\nrepeatInterval: 1m\n", reason: "alert.bad_duration", line: 2, col: 17},
		"order":            {kind: route, content: "receivers: [a]\norder: 10000000\n", reason: "route.bad_order", line: 2, col: 8},
	} {
		c.check(t, name)
	}
}

func TestReceiversAreCheckedAndTellNothing(t *testing.T) {
	for name, c := range map[string]refusal{
		"all": {content: "webhook: {url: 'https://a.example/x', bearerToken: hunter2, headers: {X-Team: hunter2}}\nslack: {url: 'https://a.example/x'}\n" +
			"dingTalk: {url: 'https://a.example/x', secret: hunter2}\nweCom: {url: 'https://a.example/x'}\nfeishu: {url: 'https://a.example/x', secret: hunter2}\n" +
			"email: {server: 'smtp.example:587', from: Gantry <g@a.example>, to: [ann@a.example], username: u, password: hunter2}\nsendResolved: false\n"},
		"nothing":       {content: "sendResolved: true\n", reason: "receiver.no_channel", line: 1, col: 1},
		"scheme":        {content: "slack:\n  url: file:///hunter2\n", reason: "receiver.bad_url", line: 2, col: 8},
		"user":          {content: "slack:\n  url: https://u:hunter2@a.example/\n", reason: "receiver.bad_url", line: 2, col: 8},
		"broken URL":    {content: "slack:\n  url: 'https://[hunter2'\n", reason: "receiver.bad_url", line: 2, col: 8},
		"two lines":     {content: "webhook:\n  url: https://a.example\n  bearerToken: \"hunter2\\nX: y\"\n", reason: "receiver.bad_secret", line: 3, col: 16},
		"header":        {content: "webhook:\n  url: https://a.example\n  headers:\n    Host: hunter2\n", reason: "receiver.bad_header", line: 4, col: 5},
		"server":        {content: "email:\n  server: hunter2\n  from: a@b.example\n  to: [a@b.example]\n", reason: "receiver.bad_server", line: 2, col: 11},
		"from":          {content: "email:\n  server: a:25\n  from: hunter2\n  to: [a@b.example]\n", reason: "receiver.bad_address", line: 3, col: 9},
		"clear":         {content: "email:\n  server: a:25\n  from: a@b.example\n  to: [a@b.example]\n  tls: none\n  username: u\n  password: hunter2\n", reason: "receiver.password_in_clear", line: 7, col: 13},
		"half":          {content: "email:\n  server: a:25\n  from: a@b.example\n  to: [a@b.example]\n  password: hunter2\n", reason: "receiver.half_credentials", line: 2, col: 3},
		"CA":            {content: "slack:\n  url: https://a.example\n  ca: hunter2\n", reason: "receiver.bad_ca", line: 3, col: 7},
		"no signature":  {content: "weCom:\n  url: https://a.example\n  secret: hunter2\n", reason: "receiver.no_signature", line: 3, col: 11},
		"wrong type":    {content: "slack:\n  url: [hunter2]\n", reason: "document.wrong_type", line: 2, col: 8},
		"broken syntax": {content: "slack: {url: hunter2\n", reason: "document.syntax", line: 1, col: 1},
	} {
		c.kind, c.sensitive = policy.KindReceiver, true
		c.check(t, name)
		_, err := policy.Standard().Validate(policy.Document{Namespace: "default", Kind: c.kind, Name: "loan", Content: []byte(c.content), Sensitive: true}, nil)
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error tells a secret: %v", name, err)
		}
	}
	refusal{kind: policy.KindReceiver, content: "slack: {url: 'https://a.example'}\n", reason: "receiver.not_sensitive"}.check(t, "in the clear")
}

func TestDefaults(t *testing.T) {
	doc := func(kind, content string) policy.Document {
		return policy.Document{Kind: kind, Format: "yaml", Content: []byte(content)}
	}
	alert, err := policy.ParseAlert(doc(policy.KindAlert, "baseline: {expr: up, factor: 2}"))
	if err != nil || time.Duration(alert.Every) != 30*time.Second || alert.Severity != policy.Warning || alert.Baseline.Weeks != 2 || alert.Baseline.Direction != policy.Both {
		t.Errorf("%+v, %v", alert, err)
	}
	r, err := policy.ParseNotificationRoute(doc(route, "receivers: [a]"))
	if err != nil || time.Duration(*r.GroupWait) != 30*time.Second || time.Duration(r.GroupInterval) != 5*time.Minute || time.Duration(r.RepeatInterval) != 4*time.Hour || r.GroupBy[0] != "alertname" {
		t.Errorf("%+v, %v", r, err)
	}
	s, err := policy.ParseSilence(doc(policy.KindSilence, "matchers: ['a=\"b\"']\nendsAt: 2026-11-26T08:00:00Z\ncomment: x\n"))
	if err != nil || !s.Active(time.Date(2026, 11, 26, 7, 59, 0, 0, time.UTC)) || s.Active(time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC)) {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestErrorRatiosArePromQL(t *testing.T) {
	for _, content := range []string{"target: 99.9%\nservice: 'loan\"x'\nendpoint: 'GET /\\d'\navailability: {}\n", "target: 99%\nservice: loan\nlatency: {threshold: 300ms}\n",
		"target: 99%\nratio: {good: 'sum(rate(a[$window])) # good', total: 'sum(rate(b[$window])) # all'}\n"} {
		o, err := policy.ParseObjective(policy.Document{Kind: policy.KindObjective, Format: "yaml", Content: []byte(content)})
		if err != nil {
			t.Fatal(err)
		}
		text := o.ErrorRatio(6 * time.Hour)
		expr, err := parser.NewParser(parser.Options{}).ParseExpr(text)
		if err != nil || expr.Type() != parser.ValueTypeVector || !strings.Contains(text, "[6h]") {
			t.Errorf("%s: %v", text, err)
		}
	}
	o, _ := policy.ParseObjective(policy.Document{Kind: policy.KindObjective, Format: "yaml", Content: []byte("target: 99.9%\nservice: loan\navailability: {}\n")})
	if math.Abs(o.Budget()-0.001) > 1e-12 || time.Duration(o.Window) != 28*24*time.Hour {
		t.Errorf("%+v", o)
	}
}

func FuzzMatcher(f *testing.F) {
	for _, text := range []string{`service="loan"`, `a=~"b|c"`, `a!~""`, `"a b"="c"`, `a="b"} or {c="d"`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		matcher, err := policy.ParseMatcher(text)
		if err != nil {
			return
		}
		again, err := policy.ParseMatcher(matcher.String())
		if err != nil || again.String() != matcher.String() {
			t.Fatalf("%q is written as %q: %v", text, matcher.String(), err)
		}
	})
}

// FuzzAlertDocuments reads documents that anybody may send: they are refused in order, and what is taken can be used.
func FuzzAlertDocuments(f *testing.F) {
	kinds := []string{policy.KindAlert, policy.KindObjective, route, policy.KindReceiver, policy.KindSilence, policy.KindInhibition}
	for i, content := range []string{"expr: up > 1\nlabels: {a: '{{ $value }}'}\n", "target: 99%\nservice: a\navailability: {}\n", "receivers: [a]\nmatchers: ['a=\"b\"']\n", "slack: {url: 'https://a.example'}\n",
		"matchers: ['a=\"b\"']\nendsAt: 2026-11-26T08:00:00Z\ncomment: x\n", "source: ['a=\"b\"']\ntarget: ['a=\"c\"']\n", "baseline: {expr: up, factor: 2}\n", "absent: {selector: up, over: 5m}\n"} {
		f.Add(uint8(i), content)
	}
	f.Fuzz(func(t *testing.T, kind uint8, content string) {
		doc := policy.Document{Namespace: "default", Kind: kinds[int(kind)%len(kinds)], Name: "a", Format: "yaml", Content: []byte(content)}
		doc.Sensitive = doc.Kind == policy.KindReceiver
		if _, err := policy.Standard().Validate(doc, nil); err != nil {
			if _, ok := fault.As(err); !ok {
				t.Fatalf("no fault: %v", err)
			}
			return
		}
		switch doc.Kind {
		case policy.KindObjective:
			o, err := policy.ParseObjective(doc)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parser.NewParser(parser.Options{}).ParseExpr(o.ErrorRatio(time.Hour)); err != nil {
				t.Fatalf("%s: %v", o.ErrorRatio(time.Hour), err)
			}
		case policy.KindAlert:
			a, err := policy.ParseAlert(doc)
			if err != nil {
				t.Fatal(err)
			}
			if a.Absent != nil {
				if _, err := parser.NewParser(parser.Options{}).ParseExpr(a.Absent.Expr()); err != nil {
					t.Fatalf("%s: %v", a.Absent.Expr(), err)
				}
			}
		}
	})
}
