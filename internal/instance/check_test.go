package instance_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"pgregory.net/rapid"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

const (
	passing  = gantryv1.CheckStatus_CHECK_STATUS_PASSING
	warning  = gantryv1.CheckStatus_CHECK_STATUS_WARNING
	critical = gantryv1.CheckStatus_CHECK_STATUS_CRITICAL
)

// ttl is a check that waits for reports.
func ttl(id string, after time.Duration, set ...func(*gantryv1.Check)) *gantryv1.Check {
	check := &gantryv1.Check{Id: id, Probe: &gantryv1.Check_Ttl{Ttl: &gantryv1.TTLProbe{Ttl: durationpb.New(after)}}}
	for _, s := range set {
		s(check)
	}
	return check
}

// reporting registers a persistent instance with checks, which a language that names instances alone has registered.
func (n *node) reporting(id string, checks ...*gantryv1.Check) {
	n.t.Helper()
	r := registration(loan, "10.0.0.1", func(m *gantryv1.Instance) { m.Id, m.Persistent, m.Checks = id, true, checks })
	r.Protocol = "consul"
	if _, err := n.Register(n.t.Context(), r); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) report(id, check string, status gantryv1.CheckStatus, output string) {
	n.t.Helper()
	if err := n.ReportCheck(n.t.Context(), instance.CheckReport{Service: loan, ID: id, Check: check, Status: status, Output: output}); err != nil {
		n.t.Fatalf("report: %v", err)
	}
}

// wantCheck compares what a check found with what it should have.
func (n *node) wantCheck(id, check string, status gantryv1.CheckStatus, output string) {
	n.t.Helper()
	i := n.get(loan, id)
	if i == nil {
		n.t.Fatalf("instance %s is gone", id)
	}
	for _, state := range i.CheckStates() {
		if state.ID == check {
			if state.Status != status || state.Output != output {
				n.t.Fatalf("check %s is %v %q, want %v %q", check, state.Status, state.Output, status, output)
			}
			return
		}
	}
	n.t.Fatalf("no check %s in %+v", check, i.CheckStates())
}

func TestReportsDecideTheHealth(t *testing.T) {
	n := single(t, nil)
	n.reporting("a", ttl("one", 15*time.Second), ttl("two", 0, func(c *gantryv1.Check) { c.Initial = passing }))
	n.wantHealth(loan, "a", "unhealthy")
	if reason := n.get(loan, "a").HealthReason; reason != "not checked yet" {
		t.Fatalf("reason %q", reason)
	}
	n.report("a", "one", warning, "slow")
	n.wantHealth(loan, "a", "healthy")
	n.wantCheck("a", "one", warning, "slow")
	n.report("a", "two", critical, "broken")
	n.wantHealth(loan, "a", "unhealthy")
	if reason := n.get(loan, "a").HealthReason; reason != "broken" {
		t.Fatalf("reason %q", reason)
	}
	n.report("a", "two", passing, "")
	n.report("a", "one", passing, "")
	n.wantHealth(loan, "a", "healthy")
	written := n.get(loan, "a").Modified
	for range 5 { // what says the same writes nothing and keeps it from falling silent
		n.advance(10 * time.Second)
		n.report("a", "one", passing, "")
	}
	if n.get(loan, "a").Modified != written {
		t.Fatal("a report that says the same was written")
	}
	n.advance(14 * time.Second)
	n.wantHealth(loan, "a", "healthy")
	n.advance(2 * time.Second)
	n.await(loan, "the end of its silence", func(s *instance.Snapshot) bool { return s.Instance("a").Health == gantryv1.Health_HEALTH_UNHEALTHY })
	n.wantCheck("a", "one", critical, "TTL expired: no report for 15s")
	n.wantCheck("a", "two", passing, "")
	n.report("a", "one", passing, "back")
	n.wantHealth(loan, "a", "healthy")
}

func TestAnotherOutputIsWrittenNowAndThen(t *testing.T) {
	n := single(t, nil)
	n.reporting("a", ttl("one", time.Hour))
	n.report("a", "one", passing, "at 1")
	n.advance(time.Minute)
	n.report("a", "one", passing, "at 2")
	n.wantCheck("a", "one", passing, "at 1")
	n.clock.step(5 * time.Minute)
	n.report("a", "one", passing, "at 3")
	n.wantCheck("a", "one", passing, "at 3")
	n.report("a", "one", critical, strings.Repeat("й", instance.MaxOutputBytes))
	if output := n.get(loan, "a").CheckStates()[0].Output; output != strings.Repeat("й", instance.MaxOutputBytes/2) {
		t.Fatalf("an output of %d bytes", len(output))
	}
	n.report("a", "one", passing, "\xff")
	n.wantCheck("a", "one", passing, "�")
}

func TestAnInstanceThatIsCriticalForLongIsRemoved(t *testing.T) {
	n := single(t, nil)
	n.reporting("a", ttl("one", 10*time.Second, func(c *gantryv1.Check) { c.DeregisterAfter = durationpb.New(time.Minute) }))
	n.advance(50 * time.Second)
	n.report("a", "one", passing, "")
	n.advance(9 * time.Second)
	n.wantHealth(loan, "a", "healthy")
	n.advance(2 * time.Second)
	n.await(loan, "the end of its silence", func(s *instance.Snapshot) bool { return s.Instance("a").Health == gantryv1.Health_HEALTH_UNHEALTHY })
	n.advance(40 * time.Second)
	n.report("a", "one", critical, "TTL expired: no report for 10s") // no reason to wait longer
	n.advance(18 * time.Second)
	n.wantHealth(loan, "a", "unhealthy")
	n.advance(2 * time.Second)
	n.await(loan, "its removal", func(s *instance.Snapshot) bool { return s == nil })
	if n.Named("default", "a") != nil || n.NamedByCheck("default", "one") != nil {
		t.Fatal("it is still found by its name")
	}
}

func TestAnActiveCheckRemovesToo(t *testing.T) {
	n := single(t, nil)
	id := n.checked(1, &gantryv1.Check{DeregisterAfter: durationpb.New(time.Minute), Probe: &gantryv1.Check_Tcp{Tcp: &gantryv1.TCPProbe{}}})
	n.advance(30 * time.Second)
	n.wantHealth(loan, id, "unhealthy")
	deadline := time.Now().Add(patience)
	for n.health(loan, id) != "gone" {
		if time.Now().After(deadline) {
			t.Fatal("it stays")
		}
		n.advance(time.Second)
	}
}

func TestRegisteringAgainKeepsWhatChecksFound(t *testing.T) {
	n := single(t, nil)
	n.reporting("a", ttl("one", 10*time.Second), ttl("two", 0, func(c *gantryv1.Check) { c.Initial = warning }))
	n.report("a", "one", passing, "fine")
	n.report("a", "two", critical, "x")
	n.reporting("a", ttl("three", 0, func(c *gantryv1.Check) { c.Initial = passing }), ttl("one", 10*time.Second),
		ttl("two", 0, func(c *gantryv1.Check) { c.Initial = warning }))
	n.wantCheck("a", "one", passing, "fine")
	n.wantCheck("a", "two", warning, "") // without a ttl it is what its registrant says
	n.wantHealth(loan, "a", "healthy")
	n.advance(11 * time.Second)
	n.await(loan, "the end of its silence", func(s *instance.Snapshot) bool { return s.Instance("a").Health == gantryv1.Health_HEALTH_UNHEALTHY })
	if _, err := n.Edit(t.Context(), loan, "a", func(m *gantryv1.Instance) error { m.Checks = m.Checks[:1]; return nil }); err != nil {
		t.Fatal(err)
	}
	n.wantHealth(loan, "a", "healthy")
	n.reporting("a")
	if states := n.get(loan, "a").CheckStates(); len(states) != 0 || n.health(loan, "a") != "healthy" {
		t.Fatalf("%+v", n.get(loan, "a"))
	}
}

func TestChecksAndReportsThatAreRefused(t *testing.T) {
	n := single(t, nil)
	for field, checks := range map[string][]*gantryv1.Check{
		"instance.checks[1].id":              {ttl("same", 0), ttl("same", time.Minute)},
		"instance.checks[0].ttl.ttl":         {ttl("a", time.Millisecond)},
		"instance.checks[0].deregisterAfter": {ttl("a", 0, func(c *gantryv1.Check) { c.DeregisterAfter = durationpb.New(time.Second) })},
		"instance.checks[0].initial":         {ttl("a", 0, func(c *gantryv1.Check) { c.Initial = 9 })},
		"instance.checks[0].id":              {ttl("a\x00b", 0)},
		"instance.checks":                    slices.Repeat([]*gantryv1.Check{ttl("", 0)}, instance.MaxChecks+1),
	} {
		_, err := n.Register(t.Context(), registration(loan, "10.0.0.1", func(m *gantryv1.Instance) { m.Persistent, m.Checks = true, checks }))
		if f, ok := fault.As(err); !ok || f.Code != fault.Invalid || f.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	n.reporting("a", ttl("", 0), &gantryv1.Check{Id: "tcp", Probe: &gantryv1.Check_Tcp{Tcp: &gantryv1.TCPProbe{}}})
	for reason, report := range map[string]instance.CheckReport{
		"instance.unknown": {Service: loan, ID: "b", Check: "1", Status: passing},
		"check.unknown":    {Service: loan, ID: "a", Check: "2", Status: passing},
		"check.is_probed":  {Service: loan, ID: "a", Check: "tcp", Status: passing},
		"instance.invalid": {Service: loan, ID: "a", Check: "1"},
	} {
		if f, ok := fault.As(n.ReportCheck(t.Context(), report)); !ok || f.Reason != reason {
			t.Errorf("%s: %v", reason, f)
		}
	}
	if err := n.ReportCheck(t.Context(), instance.CheckReport{Service: instance.Service{Name: "nobody"}, Status: passing}); !fault.Is(err, fault.NotFound) {
		t.Errorf("a report of nobody: %v", err)
	}
}

func TestTooManyRequestsIsAWarning(t *testing.T) {
	n := single(t, nil)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTooManyRequests) }))
	defer server.Close()
	id := n.checked(portOf(t, server.Listener.Addr().String()), &gantryv1.Check{Probe: &gantryv1.Check_Http{Http: &gantryv1.HTTPProbe{}}})
	n.probeUntil(id, "healthy", "")
	if state := n.get(loan, id).CheckStates()[0]; state.Status != warning || !strings.Contains(state.Output, "429") {
		t.Fatalf("%+v", state)
	}
}

func TestReportsReachTheOwner(t *testing.T) {
	a, b, p := pair(t)
	var names []string
	for _, suffix := range "abcdefgh" {
		id := "loan-" + string(suffix)
		a.reporting(id, ttl("service:"+id, 10*time.Second))
		a.report(id, "service:"+id, passing, "")
		names = append(names, id)
	}
	b.settle()
	if owned := owners(a, loan); len(owned) != 2 {
		t.Fatalf("shared out as %v", owned)
	}
	for range 4 { // everybody reports at the first node
		a.advance(6 * time.Second)
		b.advance(6 * time.Second)
		for _, id := range names {
			a.report(id, "service:"+id, passing, "")
		}
	}
	a.settle()
	for _, id := range names {
		a.wantHealth(loan, id, "healthy")
	}
	p.mu.Lock()
	calls := p.calls
	p.mu.Unlock()
	if calls == 0 {
		t.Fatal("no report was handed on")
	}
	b.advance(11 * time.Second)
	a.advance(11 * time.Second)
	for _, id := range names {
		a.await(loan, id+" to fall silent", func(s *instance.Snapshot) bool { return s.Instance(id).Health == gantryv1.Health_HEALTH_UNHEALTHY })
		b.report(id, "service:"+id, passing, "") // any node writes what is new
		b.wantHealth(loan, id, "healthy")
	}
}

func TestReportsOfProvisionalInstances(t *testing.T) {
	n := single(t, nil)
	r := registration(loan, "10.0.0.1", func(m *gantryv1.Instance) {
		m.Id, m.Persistent, m.Checks = "a", true, []*gantryv1.Check{ttl("one", time.Minute)}
	})
	r.Protocol = "consul"
	if err := n.TakeProvisionally(r, nil); err != nil {
		t.Fatal(err)
	}
	if found := n.NamedByCheck("default", "one"); len(found) != 1 {
		t.Fatalf("found %v", found)
	}
	n.report("a", "one", passing, "")
	n.wantHealth(loan, "a", "healthy")
	n.await(loan, "its record", func(s *instance.Snapshot) bool { return s.Instance("a") != nil && !s.Instance("a").Provisional })
	n.wantHealth(loan, "a", "healthy")
	if found := n.NamedByCheck("default", "one"); len(found) != 1 {
		t.Fatalf("found %v after it was written", found)
	}
}

func TestInstancesAreFoundByName(t *testing.T) {
	n := single(t, nil)
	at := func(id, address, protocol string, checks ...*gantryv1.Check) {
		r := registration(loan, address, func(m *gantryv1.Instance) { m.Id, m.Persistent, m.Checks = id, true, checks })
		r.Protocol = protocol
		if _, err := n.Register(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	at("app-8080", "10.0.0.1", "consul", ttl("service:app-8080", 0))
	at("app-8080@10.0.0.2:8080", "10.0.0.2", "consul", ttl("service:app-8080", 0))
	at("app-8080", "10.0.0.1", "consul", ttl("service:app-8080", 0), ttl("further", 0))
	at("other", "10.0.0.3", "nacos", ttl("service:other", 0))
	ids := func(found []instance.Named) (ids []string) {
		for _, f := range found {
			if f.Service != loan {
				t.Errorf("found in %v", f.Service)
			}
			ids = append(ids, f.ID)
		}
		slices.Sort(ids)
		return ids
	}
	both := []string{"app-8080", "app-8080@10.0.0.2:8080"}
	for what, c := range map[string]struct {
		found []instance.Named
		want  []string
	}{
		"name":               {n.Named("default", "app-8080"), both},
		"check":              {n.NamedByCheck("default", "service:app-8080"), both},
		"further check":      {n.NamedByCheck("default", "further"), both[:1]},
		"other namespace":    {n.Named("staging", "app-8080"), nil},
		"other language":     {n.Named("default", "other"), nil},
		"check as name":      {n.Named("default", "service:app-8080"), nil},
		"id with an address": {n.Named("default", "app-8080@10.0.0.2:8080"), nil},
	} {
		if got := ids(c.found); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", what, got, c.want)
		}
	}
	if _, err := n.Deregister(t.Context(), loan, "app-8080"); err != nil {
		t.Fatal(err)
	}
	if got := ids(n.Named("default", "app-8080")); !slices.Equal(got, both[1:]) {
		t.Errorf("after a deregistration: %v", got)
	}
}

// TestCheckStatesAreNativeMessages: what the hand-written encoder makes of states, protobuf reads, and the decoder reads it back.
func TestCheckStatesAreNativeMessages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &gantryv1.Instance{Address: "10.0.0.1", Port: 1, Persistent: true}
		for range rapid.IntRange(1, 4).Draw(t, "checks") {
			m.Checks = append(m.Checks, ttl("", 0))
		}
		i, err := instance.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		content := string(i.Content())
		for range rapid.IntRange(1, 6).Draw(t, "reports") {
			at := time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "at"), rapid.Int64Range(0, 999999999).Draw(t, "nanos")).UTC()
			i = i.WithCheck(rapid.IntRange(0, len(m.Checks)-1).Draw(t, "check"), gantryv1.CheckStatus(rapid.IntRange(1, 3).Draw(t, "status")),
				rapid.String().Draw(t, "output"), at)
		}
		back, err := instance.Decode(i.Stored())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(i.CheckStates(), back.CheckStates()); diff != "" {
			t.Fatalf("decoded: %s", diff)
		}
		if string(back.Content()) != content {
			t.Fatal("a report changed the content")
		}
		native := i.Proto()
		if diff := cmp.Diff(native, back.Proto(), protocmp.Transform()); diff != "" {
			t.Fatal(diff)
		}
		for n, state := range native.CheckStates {
			if want := i.CheckStates()[n]; state.Id != want.ID || state.Status != want.Status || state.Output != want.Output || !state.At.AsTime().Equal(want.At) && !want.At.IsZero() {
				t.Fatalf("protobuf reads %v of %+v", state, want)
			}
		}
	})
}

func TestARegistrationMayExpectWhatIsThere(t *testing.T) {
	n := single(t, nil)
	expecting := func(address string, revision int64) error {
		r := registration(loan, address, func(m *gantryv1.Instance) { m.Id, m.Persistent = "a", true })
		r.Expect = &revision
		_, err := n.Register(t.Context(), r)
		return err
	}
	if err := expecting("10.0.0.1", 0); err != nil {
		t.Fatal(err)
	}
	if err := expecting("10.0.0.2", 0); !fault.Is(err, fault.Conflict) {
		t.Fatalf("a second one took its place: %v", err)
	}
	if err := expecting("10.0.0.2", n.get(loan, "a").Modified); err != nil || n.get(loan, "a").Address != "10.0.0.2" {
		t.Fatalf("%v, %+v", err, n.get(loan, "a"))
	}
	revision := int64(0)
	r := registration(instance.Service{Namespace: "nowhere", Name: "loan"}, "10.0.0.1")
	r.Expect = &revision
	if _, err := n.Register(t.Context(), r); !fault.Is(err, fault.NotFound) {
		t.Fatalf("in no namespace: %v", err)
	}
}
