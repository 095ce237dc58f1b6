package release_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gantry-platform/gantry/internal/release"
	"github.com/gantry-platform/gantry/internal/state/statetest"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// Every change leaves an audit record that names who, what and both states, in the same step.
func TestChangesAreAudited(t *testing.T) {
	s := statetest.New(t)
	m, as := roles(t, s)
	r := over(t, s, release.Options{Keys: keyring(t, root(1))})
	ctx := as(gantryv1.Role_ROLE_RELEASER)
	ref := config("a")
	step := release.Step{Ref: ref, Message: "because"}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := r.Publish(ctx, release.Draft{Ref: ref, Format: "text", Content: []byte(secret), Sensitive: true, Release: true})
	check(err)
	_, err = r.Publish(ctx, release.Draft{Ref: ref, Format: "text", Content: []byte(secret + "2"), Sensitive: true})
	check(err)
	_, err = r.Release(ctx, step, 2, percent(5))
	check(err)
	_, err = r.Promote(ctx, step)
	check(err)
	_, err = r.Rollback(ctx, step, 0)
	check(err)
	_, err = r.Delete(ctx, step)
	check(err)
	check(r.RotateKeys(asSystem(t), nil))

	records, _, err := m.ListAudit(asSystem(t), &gantryv1.ListAuditRequest{Action: "document."})
	check(err)
	var actions []string
	for _, record := range records {
		actions = append(actions, strings.TrimPrefix(record.Action, "document."))
		if !strings.HasPrefix(record.Actor, "token:") || record.Source != "10.0.0.1" || record.Namespace != "default" || record.Target != "Config/a" || record.After == "" {
			t.Errorf("audited %v", record)
		}
		if strings.Contains(record.String(), secret) {
			t.Errorf("the audit log holds the secret: %v", record)
		}
	}
	if got := strings.Join(actions, " "); got != "delete rollback promote stage publish release" {
		t.Errorf("audited, newest first: %s", got)
	}
	if first := records[len(records)-1]; first.Before != "" || !strings.Contains(first.After, `"released":1`) {
		t.Errorf("the first change: %v", first)
	}
	if records, _, err = m.ListAudit(asSystem(t), &gantryv1.ListAuditRequest{Action: "key."}); err != nil || len(records) != 1 {
		t.Errorf("rotations audited: %v %v", records, err)
	}
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	r := open(t, release.Options{Registerer: registry})
	released(t, r, config("a"), "1")
	released(t, r, config("b"), "1")
	if _, err := r.Delete(asSystem(t), release.Step{Ref: config("b")}); err != nil {
		t.Fatal(err)
	}
	next(t, watch(t, r, release.Subject{}, config("a")))
	if err := r.Report("s", release.Subject{}, report(config("a"), 1)); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.Metric {
			key := family.GetName()
			for _, label := range metric.Label {
				key += " " + label.GetValue()
			}
			got[key] = metric.GetGauge().GetValue() + metric.GetCounter().GetValue()
		}
	}
	for key, value := range map[string]float64{
		"gantry_documents": 1, "gantry_documents_deleted": 1, "gantry_document_watchers": 1, "gantry_document_applied_reports": 1,
		"gantry_document_events_total": 1, "gantry_document_changes_total publish": 2, "gantry_document_changes_total release": 2,
		"gantry_document_changes_total delete": 1, "gantry_document_seals_total": 0,
	} {
		if have, there := got[key]; !there || have != value {
			t.Errorf("%s is %v, want %v", key, have, value)
		}
	}
	if got["gantry_document_cache_bytes"] <= 0 {
		t.Error("the cache seems empty")
	}
}
