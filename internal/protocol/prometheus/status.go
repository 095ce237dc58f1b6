package prometheus

import (
	"context"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// Scope is what a caller may see: one namespace, or all.
type Scope struct {
	Namespace string
	All       bool
}

// Rules is who watches series: the rules with their alerts.
type Rules interface {
	Groups(ctx context.Context, scope Scope) []RuleGroup
}

// RuleGroup is some rules, in Prometheus's shape. Times of evaluation and intervals are in seconds.
type RuleGroup struct {
	Name           string    `json:"name"`
	File           string    `json:"file"`
	Rules          []Rule    `json:"rules"`
	Interval       float64   `json:"interval"`
	Limit          int       `json:"limit"`
	EvaluationTime float64   `json:"evaluationTime"`
	LastEvaluation time.Time `json:"lastEvaluation"`
}

// Rule is one rule. Its type is "alerting" or "recording"; its state "inactive", "pending" or "firing"; its health "ok", "err" or "unknown".
type Rule struct {
	Type           string            `json:"type"`
	State          string            `json:"state,omitempty"`
	Name           string            `json:"name"`
	Query          string            `json:"query"`
	Duration       float64           `json:"duration"`
	KeepFiringFor  float64           `json:"keepFiringFor"`
	Labels         map[string]string `json:"labels"`
	Annotations    map[string]string `json:"annotations"`
	Alerts         []Alert           `json:"alerts"`
	Health         string            `json:"health"`
	LastError      string            `json:"lastError,omitempty"`
	EvaluationTime float64           `json:"evaluationTime"`
	LastEvaluation time.Time         `json:"lastEvaluation"`
}

// Alert is one alert of a rule. Its value is a number as text.
type Alert struct {
	Labels          map[string]string `json:"labels"`
	Annotations     map[string]string `json:"annotations"`
	State           string            `json:"state"`
	ActiveAt        *time.Time        `json:"activeAt,omitempty"`
	KeepFiringSince *time.Time        `json:"keepFiringSince,omitempty"`
	Value           string            `json:"value"`
}

// Targets is who scrapes.
type Targets interface {
	Targets(scope Scope) []Target
}

// Target is one address that is scraped, in Prometheus's shape. Its health is "up", "down" or "unknown".
type Target struct {
	DiscoveredLabels   map[string]string `json:"discoveredLabels"`
	Labels             map[string]string `json:"labels"`
	ScrapePool         string            `json:"scrapePool"`
	ScrapeURL          string            `json:"scrapeUrl"`
	GlobalURL          string            `json:"globalUrl"`
	LastError          string            `json:"lastError"`
	LastScrape         time.Time         `json:"lastScrape"`
	LastScrapeDuration float64           `json:"lastScrapeDuration"`
	Health             string            `json:"health"`
	ScrapeInterval     string            `json:"scrapeInterval"`
	ScrapeTimeout      string            `json:"scrapeTimeout"`
}

func (q *question) scope() Scope {
	namespace, all := q.view.Namespace()
	return Scope{Namespace: namespace, All: all}
}

func (h *Handler) groups(q *question) []RuleGroup {
	if h.options.Rules == nil {
		return nil
	}
	return h.options.Rules.Groups(q.request.Context(), q.scope())
}

// rules answers /rules.
func (h *Handler) rules(q *question) (any, error) {
	kind := map[string]string{"": "", "alert": "alerting", "record": "recording"}
	wanted, known := kind[strings.ToLower(q.form("type"))]
	if !known {
		return nil, badParameter("type", "it is neither alert nor record")
	}
	groups := []RuleGroup{}
	for _, group := range h.groups(q) {
		rules := []Rule{}
		for _, rule := range group.Rules {
			if wanted != "" && rule.Type != wanted {
				continue
			}
			if q.form("exclude_alerts") == "true" || rule.Alerts == nil {
				rule.Alerts = []Alert{}
			}
			rules = append(rules, rule)
		}
		if len(rules) == 0 && len(group.Rules) > 0 {
			continue
		}
		group.Rules = rules
		groups = append(groups, group)
	}
	return map[string]any{"groups": groups}, nil
}

// alerts answers /alerts: what is pending or fires.
func (h *Handler) alerts(q *question) (any, error) {
	active := []Alert{}
	for _, group := range h.groups(q) {
		for _, rule := range group.Rules {
			active = append(active, rule.Alerts...)
		}
	}
	return map[string]any{"alerts": active}, nil
}

// targets answers /targets.
func (h *Handler) targets(q *question) (any, error) {
	active := []Target{}
	if h.options.Targets != nil && q.form("state") != "dropped" {
		active = append(active, h.options.Targets.Targets(q.scope())...)
	}
	return map[string]any{"activeTargets": active, "droppedTargets": []Target{}, "droppedTargetCounts": map[string]int{}}, nil
}

// buildInfo answers /status/buildinfo, by which Grafana learns what it may ask.
func (h *Handler) buildInfo(*question) (any, error) {
	return map[string]string{"version": libraryVersion(), "revision": h.options.Version, "branch": "gantry", "buildUser": "", "buildDate": "", "goVersion": runtime.Version()}, nil
}

// libraryVersion is Prometheus's version of the engine: its module v0.316.0 is its release 3.16.0.
func libraryVersion() string {
	const unknown = "3.0.0"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return unknown
	}
	for _, module := range info.Deps {
		if module.Path == "github.com/prometheus/prometheus" {
			if version, ok := release(module.Version); ok {
				return version
			}
		}
	}
	return unknown
}

// release makes of v0.316.0 3.16.0.
func release(module string) (string, bool) {
	minor, found := strings.CutPrefix(module, "v0.")
	if !found || len(minor) < 4 {
		return "", false
	}
	return minor[:1] + "." + strings.TrimPrefix(minor[1:], "0"), true
}

type count struct {
	Name  string `json:"name"`
	Value uint64 `json:"value"`
}

// drop is what was refused of a metric: an addition of ours to Prometheus's answer.
type drop struct {
	Namespace string    `json:"namespace"`
	Metric    string    `json:"metric"`
	Reason    string    `json:"reason"`
	Samples   uint64    `json:"samples"`
	Last      time.Time `json:"last"`
	Detail    string    `json:"detail"`
}

// statistics answers /status/tsdb: which metrics have most series, and what is dropped for having too many.
func statistics(q *question) (any, error) {
	const names = 10
	scope := q.scope()
	total, byName := 0, []count{}
	for _, p := range q.view.Populations(names) {
		total += p.Series
		for _, n := range p.Largest {
			byName = append(byName, count{n.Name, uint64(n.Series)})
		}
	}
	drops := []drop{}
	for _, d := range q.view.Drops() {
		drops = append(drops, drop(d))
	}
	answer := map[string]any{"headStats": map[string]any{"numSeries": total}, "seriesCountByMetricName": byName, "labelValueCountByLabelName": []count{},
		"memoryInBytesByLabelName": []count{}, "seriesCountByLabelValuePair": []count{}, "droppedSamplesByMetric": drops}
	if scope.All {
		whole := q.view.Stats(names)
		answer["headStats"] = map[string]any{"numSeries": whole.NumSeries, "numLabelPairs": whole.IndexPostingStats.NumLabelPairs,
			"minTime": whole.MinTime, "maxTime": whole.MaxTime}
	}
	return answer, nil
}
