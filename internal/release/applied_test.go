package release_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/release"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

func report(ref release.Ref, version int64) *gantryv1.AppliedReport {
	return &gantryv1.AppliedReport{Ref: ref.Proto(), Version: version, Checksum: "sum"}
}

func TestAppliedReports(t *testing.T) {
	c := newClock()
	r := open(t, release.Options{Now: c.Now})
	ref := config("loan.yaml")
	released(t, r, ref, "a: 1")
	publish(t, r, release.Draft{Ref: ref, Content: []byte("a: 2")})
	if _, err := r.Release(asSystem(t), release.Step{Ref: ref}, 2, &gantryv1.Cohort{Labels: map[string]string{"lane": "canary"}}); err != nil {
		t.Fatal(err)
	}
	canary, other := instance("b-canary", map[string]string{"lane": "canary"}), instance("a-other", nil)
	future := report(ref, 1)
	future.AppliedAt = timestamppb.New(c.Now().Add(time.Hour))
	future.Error = strings.Repeat("ü", 1000) + "\xff"
	if err := r.Report("s1", canary, report(ref, 2), future); err != nil {
		t.Fatal(err)
	}
	if err := r.Report("s2", other, report(ref, 1), report(config("loan.xml"), 4)); err != nil {
		t.Fatal(err)
	}

	reports := r.Applied(ref)
	if len(reports) != 2 || reports[0].Subject.InstanceId != "a-other" {
		t.Fatalf("applied: %v", reports)
	}
	a, b := reports[0], reports[1]
	if a.Version != 1 || a.WantedVersion != 1 || a.Checksum != "sum" || a.Node == "" || !a.AppliedAt.AsTime().Equal(c.Now()) {
		t.Errorf("outside the cohort: %v", a)
	}
	if b.Version != 1 || b.WantedVersion != 2 || b.AppliedAt.AsTime().After(c.Now()) || len(b.Error) > 1024 || !utf8.ValidString(b.Error) {
		t.Errorf("in the cohort: %v", b)
	}
	if len(r.Applied(config("loan.xml"))) != 1 {
		t.Error("the other document's report is lost")
	}
	// The canary refused what it should run; the other one runs what it should.
	counts := r.CountApplied([]release.Ref{config("nobody"), ref})
	if len(counts) != 2 || counts[0].Instances != 0 || counts[1].Instances != 2 || counts[1].Current != 1 || counts[1].Failed != 1 {
		t.Errorf("counts: %v", counts)
	}
	r.Forget("s2")
	if reports := r.Applied(ref); len(reports) != 1 || reports[0].Subject.InstanceId != "b-canary" {
		t.Errorf("after a session ended: %v", reports)
	}
	r.Forget("s2")
	r.Forget("s1")
	if len(r.Applied(ref)) != 0 {
		t.Error("a session that ended still reports")
	}
}

func TestAppliedReportsAreBounded(t *testing.T) {
	r := open(t, release.Options{})
	for i := range release.MaxReports {
		if err := r.Report("s", release.Subject{}, report(config(name(i)), 1)); err != nil {
			t.Fatal(err)
		}
	}
	want(t, r.Report("s", release.Subject{}, report(config("one more"), 1)), fault.TooLarge, "applied.too_many")
	if err := r.Report("s", release.Subject{}, report(config(name(0)), 2)); err != nil {
		t.Errorf("a report cannot be replaced: %v", err)
	}
	want(t, r.Report("s", release.Subject{}, &gantryv1.AppliedReport{}), fault.Invalid, "document.ref_incomplete")
	bad := report(config("x"), -1)
	want(t, r.Report("t", release.Subject{}, bad), fault.Invalid, "applied.invalid")
	for session := range release.MaxNodeReports/release.MaxReports - 1 {
		reports := make([]*gantryv1.AppliedReport, release.MaxReports)
		for i := range reports {
			reports[i] = report(config(name(i)), 1)
		}
		if err := r.Report(fmt.Sprint(session), release.Subject{}, reports...); err != nil {
			t.Fatal(err)
		}
	}
	want(t, r.Report("too many", release.Subject{}, report(config("x"), 1)), fault.Exhausted, "applied.node_full")
	r.Forget("s")
	if err := r.Report("too many", release.Subject{}, report(config("x"), 1)); err != nil {
		t.Errorf("room that was given back is not used: %v", err)
	}
}

// A checksum of a secret would let a short one be found.
func TestReportsOfSecretsHaveNoChecksum(t *testing.T) {
	r := open(t, release.Options{Keys: keyring(t, root(1))})
	ref := config("db")
	sensitive(t, r, ref, secret)
	publish(t, r, release.Draft{Ref: ref, Content: []byte("plain now"), Release: true})
	if err := r.Report("s", instance("i", nil), report(ref, 1)); err != nil {
		t.Fatal(err)
	}
	if got := r.Applied(ref); len(got) != 1 || got[0].Checksum != "" {
		t.Errorf("reported: %v", got)
	}
}

func TestWhatAServiceApplied(t *testing.T) {
	r := open(t, release.Options{})
	a, b := config("a.yaml"), config("b.yaml")
	released(t, r, a, "a: 1")
	of := func(namespace, service, id string) release.Subject {
		return release.SubjectOf(&gantryv1.Subject{InstanceId: id, Service: &gantryv1.ServiceRef{Namespace: namespace, Service: service}})
	}
	for session, subject := range map[string]release.Subject{"s1": of("", "loan", "i2"), "s2": of("default", "loan", "i1"), "s3": of("", "fund", "i1"), "s4": of("staging", "loan", "i1"), "s5": of("", "", "i1")} {
		if err := r.Report(session, subject, report(b, 1), report(a, 1)); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(namespace, service, id string) (all []string) {
		for _, p := range r.AppliedBy(&gantryv1.ServiceRef{Namespace: namespace, Service: service}, id) {
			all = append(all, fmt.Sprintf("%s %s %d/%d", p.Subject.InstanceId, p.Ref.Name, p.Version, p.WantedVersion))
		}
		return all
	}
	for _, c := range []struct{ namespace, service, instance, want string }{
		{"", "loan", "", "[i1 a.yaml 1/1 i1 b.yaml 1/0 i2 a.yaml 1/1 i2 b.yaml 1/0]"},
		{"default", "loan", "i2", "[i2 a.yaml 1/1 i2 b.yaml 1/0]"},
		{"staging", "loan", "", "[i1 a.yaml 1/1 i1 b.yaml 1/0]"},
		{"", "loan", "i9", "[]"},
		{"", "", "", "[]"},
	} {
		if got := fmt.Sprint(ask(c.namespace, c.service, c.instance)); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}
