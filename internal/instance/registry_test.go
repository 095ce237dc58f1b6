package instance_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
	"github.com/gantry-platform/gantry/internal/state"
	"github.com/gantry-platform/gantry/internal/state/statetest"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

func TestRegisterIsVisibleAndReregisteringWritesNothing(t *testing.T) {
	n := single(t, nil)
	first := n.register(loan, "10.0.0.1")
	if first.ID != "10.0.0.1:8080" || first.Provisional || first.Revision == 0 || first.BeatInterval != 5*time.Second {
		t.Fatalf("result %+v", first)
	}
	i := n.get(loan, first.ID)
	if i == nil || !i.Available() || i.Weight != 1 || i.Labels.Get("zone") != "a" || i.TTL != 15*time.Second || i.RemoveAfter != 30*time.Second {
		t.Fatalf("instance %+v", i)
	}
	again := n.register(loan, "10.0.0.1")
	if again.Revision != first.Revision {
		t.Fatalf("registering the same again wrote revision %d", again.Revision)
	}
	changed := n.register(loan, "10.0.0.1", func(m *gantryv1.Instance) { m.Weight = proto.Float64(3) })
	if changed.Revision <= first.Revision || n.get(loan, first.ID).Weight != 3 {
		t.Fatalf("a changed registration: %+v, %+v", changed, n.get(loan, first.ID))
	}
	if !n.get(loan, first.ID).RegisteredAt.Equal(i.RegisteredAt) {
		t.Fatal("a changed registration changed the time of registration")
	}
}

func TestEmptyNamesMeanDefault(t *testing.T) {
	n := single(t, nil)
	n.register(instance.Service{Name: "loan"}, "10.0.0.1")
	if n.Lookup(loan) == nil || n.Lookup(instance.Service{Name: "loan"}) == nil {
		t.Fatal("not found under the default names")
	}
	if n.Lookup(instance.Service{Name: "other"}) != nil {
		t.Fatal("an unknown service was found")
	}
}

func TestSilenceOfBeats(t *testing.T) {
	n := single(t, nil)
	id := n.register(loan, "10.0.0.1").ID
	n.advance(14 * time.Second)
	n.wantHealth(loan, id, "healthy")
	if unknown := n.beat(loan, id, "10.9.9.9:1"); !cmp.Equal(unknown, []string{"10.9.9.9:1"}) {
		t.Fatalf("unknown %v", unknown)
	}
	n.advance(14 * time.Second)
	n.wantHealth(loan, id, "healthy")
	n.advance(2 * time.Second)
	n.wantHealth(loan, id, "unhealthy")
	if reason := n.get(loan, id).HealthReason; reason != "no beat for 15s" {
		t.Fatalf("reason %q", reason)
	}
	n.beat(loan, id)
	n.settle()
	n.wantHealth(loan, id, "healthy")
	n.advance(31 * time.Second)
	n.wantHealth(loan, id, "gone")
	if unknown := n.beat(loan, id); len(unknown) != 1 {
		t.Fatal("a removed instance is still known")
	}
}

func TestWallClockStepExpiresNobody(t *testing.T) {
	n := single(t, nil)
	id := n.register(loan, "10.0.0.1").ID
	for _, step := range []time.Duration{time.Hour, -48 * time.Hour} {
		n.clock.mu.Lock()
		n.clock.wall = n.clock.wall.Add(step)
		n.clock.mu.Unlock()
		n.advance(5 * time.Second)
		n.wantHealth(loan, id, "healthy")
		n.beat(loan, id)
	}
}

func TestStalledProcessExpiresNobody(t *testing.T) {
	n := single(t, nil)
	id := n.register(loan, "10.0.0.1").ID
	n.clock.step(10 * time.Minute) // as when the process was stopped and went on
	n.settle()
	n.wantHealth(loan, id, "healthy")
	n.advance(16 * time.Second)
	n.wantHealth(loan, id, "unhealthy")
}

func TestDeregister(t *testing.T) {
	n := single(t, nil)
	id := n.register(loan, "10.0.0.1").ID
	if _, err := n.Deregister(t.Context(), loan, id); err != nil {
		t.Fatal(err)
	}
	n.wantHealth(loan, id, "gone")
	if n.Lookup(loan) != nil {
		t.Fatal("an empty service without settings is still known")
	}
	_, err := n.Deregister(t.Context(), loan, id)
	wantFault(t, err, fault.NotFound, "instance.unknown")
}

func wantFault(t testing.TB, err error, code fault.Code, reason string) *fault.Error {
	t.Helper()
	f, ok := fault.As(err)
	if !ok || f.Code != code || reason != "" && f.Reason != reason {
		t.Fatalf("error %v, want %v %s", err, code, reason)
	}
	if f.Hint == "" {
		t.Fatalf("error %v has no hint", err)
	}
	return f
}

func TestInvalidRegistrationsNameTheField(t *testing.T) {
	n := single(t, nil)
	many := map[string]string{}
	for r := range instance.MaxLabels + 1 {
		many[strings.Repeat("k", r+1)] = ""
	}
	check := func(c *gantryv1.Check) func(*instance.Registration) {
		return func(r *instance.Registration) { r.Instance.Persistent, r.Instance.Checks = true, []*gantryv1.Check{c} }
	}
	for field, spoil := range map[string]func(*instance.Registration){
		"instance":                func(r *instance.Registration) { r.Instance = nil },
		"instance.address":        func(r *instance.Registration) { r.Instance.Address = "http://10.0.0.1" },
		"instance.port":           func(r *instance.Registration) { r.Instance.Port = 70000 },
		"instance.id":             func(r *instance.Registration) { r.Instance.Id = strings.Repeat("x", instance.MaxIDBytes+1) },
		"instance.weight":         func(r *instance.Registration) { r.Instance.Weight = proto.Float64(math.NaN()) },
		"instance.status":         func(r *instance.Registration) { r.Instance.Status = 77 },
		"instance.labels":         func(r *instance.Registration) { r.Instance.Labels = many },
		`instance.labels["zone"]`: func(r *instance.Registration) { r.Instance.Labels["zone"] = strings.Repeat("x", 513) },
		`instance.labels["a\n"]`:  func(r *instance.Registration) { r.Instance.Labels["a\n"] = "" },
		`instance.metadata["big"]`: func(r *instance.Registration) {
			r.Instance.Metadata = map[string]string{"big": strings.Repeat("x", 17<<10)}
		},
		`instance.metadata["k"]`:     func(r *instance.Registration) { r.Instance.Metadata = map[string]string{"k": "\xff"} },
		`instance.ports["grpc"]`:     func(r *instance.Registration) { r.Instance.Ports = map[string]uint32{"grpc": 0} },
		"instance.ttl":               func(r *instance.Registration) { r.Instance.Ttl = durationpb.New(2 * time.Hour) },
		"instance.removeAfter":       func(r *instance.Registration) { r.Instance.RemoveAfter = durationpb.New(time.Second) },
		"instance.checks":            func(r *instance.Registration) { r.Instance.Checks = []*gantryv1.Check{{}} },
		"instance.checks[0]":         check(&gantryv1.Check{}),
		"instance.checks[0].timeout": check(&gantryv1.Check{Timeout: durationpb.New(time.Minute)}),
		"instance.checks[0].http.path": check(&gantryv1.Check{Probe: &gantryv1.Check_Http{
			Http: &gantryv1.HTTPProbe{Path: "//evil.example/"}}}),
		`instance.checks[0].http.headers["X\nY"]`: check(&gantryv1.Check{Probe: &gantryv1.Check_Http{
			Http: &gantryv1.HTTPProbe{Headers: map[string]string{"X\nY": "1"}}}}),
		"service.service":   func(r *instance.Registration) { r.Service.Name = "" },
		"service.group":     func(r *instance.Registration) { r.Service.Group = " x" },
		"service.namespace": func(r *instance.Registration) { r.Service.Namespace = "*" },
	} {
		t.Run(field, func(t *testing.T) {
			r := registration(loan, "10.0.0.1")
			spoil(&r)
			_, err := n.Register(t.Context(), r)
			if f := wantFault(t, err, fault.Invalid, "instance.invalid"); f.Field != field {
				t.Fatalf("field %s, want %s: %v", f.Field, field, err)
			}
		})
	}
	if n.Lookup(loan) != nil {
		t.Fatal("something invalid was registered")
	}
	session := n.OpenSession(instance.SessionOptions{})
	defer session.Close(t.Context(), true)
	bad := registration(loan, "10.0.0.2")
	bad.Instance.Port = 70000
	_, err := session.Register(t.Context(), []instance.Registration{registration(loan, "10.0.0.1"), bad})
	if f := wantFault(t, err, fault.Invalid, ""); f.Field != "registrations[1].instance.port" {
		t.Fatalf("field %s", f.Field)
	}
}

func TestAddresses(t *testing.T) {
	n := single(t, nil)
	for address, valid := range map[string]bool{
		"10.0.0.1": true, "fe80::1": true, "::ffff:10.0.0.1": true, "loan-1.internal": true, "host_1": true, "a.b.": true,
		"0.0.0.0": false, "::": false, "224.0.0.1": false, "[::1]": false, "10.0.0.1:80": false, "a b": false, "-a": false, "a..b": false,
		"": false, strings.Repeat("a", 64): false,
	} {
		_, err := n.Register(t.Context(), registration(loan, address))
		if (err == nil) != valid {
			t.Errorf("address %q: %v", address, err)
		}
	}
}

func TestLimits(t *testing.T) {
	n := single(t, func(o *instance.Options) {
		o.Limits = instance.Limits{ServiceInstances: 2, NamespaceInstances: 4, Instances: 6, Services: 4, SessionInstances: 2, Subscriptions: 1, Namespaces: 1}
	})
	n.register(loan, "10.0.0.1")
	n.register(loan, "10.0.0.2")
	_, err := n.Register(t.Context(), registration(loan, "10.0.0.3"))
	wantFault(t, err, fault.Exhausted, "instance.limit")
	n.register(loan, "10.0.0.2", func(m *gantryv1.Instance) { m.Weight = proto.Float64(2) }) // no new one
	risk := instance.Service{Name: "risk"}
	n.register(risk, "10.0.0.1")
	n.register(risk, "10.0.0.2")
	_, err = n.Register(t.Context(), registration(instance.Service{Name: "fund"}, "10.0.0.1"))
	wantFault(t, err, fault.Exhausted, "instance.limit")
	if _, err := n.Deregister(t.Context(), risk, "10.0.0.1:8080"); err != nil {
		t.Fatal(err)
	}
	n.register(instance.Service{Name: "fund"}, "10.0.0.1")

	session := n.OpenSession(instance.SessionOptions{})
	defer session.Close(t.Context(), true)
	_, err = session.Register(t.Context(), []instance.Registration{registration(risk, "1.1.1.1"), registration(risk, "1.1.1.2"), registration(risk, "1.1.1.3")})
	wantFault(t, err, fault.Exhausted, "session.limit")

	s := n.Subscribe(instance.Follower{})
	defer s.Close()
	if err := s.Add(loan, 0); err != nil {
		t.Fatal(err)
	}
	if err := s.Add(loan, 0); err != nil {
		t.Fatalf("adding again: %v", err)
	}
	wantFault(t, s.Add(risk, 0), fault.Exhausted, "instance.subscription_limit")

	if err := n.CreateNamespace(t.Context(), "prod", ""); err != nil {
		t.Fatal(err)
	}
	wantFault(t, n.CreateNamespace(t.Context(), "test", ""), fault.Exhausted, "namespace.limit")
}

func TestSessionKeepsInstances(t *testing.T) {
	n := single(t, nil)
	s := n.OpenSession(instance.SessionOptions{Protocol: "nacos"})
	results, err := s.Register(t.Context(), []instance.Registration{registration(loan, "10.0.0.1"), registration(loan, "10.0.0.2")})
	if err != nil || len(results) != 2 || results[1].ID != "10.0.0.2:8080" {
		t.Fatalf("%+v, %v", results, err)
	}
	if i := n.get(loan, "10.0.0.1:8080"); i.Protocol != "nacos" || i.Owner != n.store.Self().ID {
		t.Fatalf("%+v", i)
	}
	n.advance(time.Minute)
	n.wantHealth(loan, "10.0.0.1:8080", "healthy")
	if _, err := s.SetStatus(t.Context(), loan, "10.0.0.1:8080", gantryv1.Status_STATUS_DRAINING); err != nil {
		t.Fatal(err)
	}
	if n.get(loan, "10.0.0.1:8080").Available() {
		t.Fatal("a draining instance is available")
	}
	if _, err := s.Deregister(t.Context(), loan, "10.0.0.1:8080"); err != nil {
		t.Fatal(err)
	}
	n.wantHealth(loan, "10.0.0.1:8080", "gone")

	// The stream breaks: the ttl goes by, and a little for the others to mark theirs.
	if err := s.Close(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	n.advance(14 * time.Second)
	n.wantHealth(loan, "10.0.0.2:8080", "healthy")
	n.advance(time.Second + instance.Tick)
	n.wantHealth(loan, "10.0.0.2:8080", "unhealthy")
	n.advance(instance.SessionSettle + time.Second)
	n.wantHealth(loan, "10.0.0.2:8080", "gone")
	_, err = s.Register(t.Context(), []instance.Registration{registration(loan, "10.0.0.3")})
	wantFault(t, err, fault.Precondition, "session.closed")
}

func TestSessionThatComesBackLosesNothing(t *testing.T) {
	n := single(t, nil)
	old := n.OpenSession(instance.SessionOptions{})
	all := []instance.Registration{registration(loan, "10.0.0.1")}
	first, err := old.Register(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	old.Close(t.Context(), false)
	n.advance(10 * time.Second)
	fresh := n.OpenSession(instance.SessionOptions{})
	again, err := fresh.Register(t.Context(), all)
	if err != nil || again[0].Revision != first[0].Revision {
		t.Fatalf("%+v, %v: want nothing written after %+v", again, err, first)
	}
	n.advance(time.Minute)
	n.wantHealth(loan, "10.0.0.1:8080", "healthy")

	// A session that was thought open, whose peer is on another one by now, takes nothing with it.
	newest := n.OpenSession(instance.SessionOptions{})
	if _, err := newest.Register(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	if err := fresh.Close(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	n.wantHealth(loan, "10.0.0.1:8080", "healthy")
	n.advance(time.Minute)
	n.wantHealth(loan, "10.0.0.1:8080", "healthy")
	_, err = fresh.Deregister(t.Context(), loan, "10.0.0.1:8080")
	wantFault(t, err, fault.NotFound, "instance.unknown")
	if err := newest.Close(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	n.wantHealth(loan, "10.0.0.1:8080", "gone")
}

func TestPersistentOutlivesSessionAndSilence(t *testing.T) {
	n := single(t, nil)
	s := n.OpenSession(instance.SessionOptions{})
	if _, err := s.Register(t.Context(), []instance.Registration{
		registration(loan, "10.0.0.1", func(m *gantryv1.Instance) { m.Persistent = true })}); err != nil {
		t.Fatal(err)
	}
	s.Close(t.Context(), true)
	n.advance(3 * time.Minute)
	n.wantHealth(loan, "10.0.0.1:8080", "healthy")
}

func TestRestartKeepsRegistrationsAndGivesGrace(t *testing.T) {
	store := statetest.New(t)
	n := open(t, store, nil)
	statetest.Start(t, store)
	n.run()
	id := n.register(loan, "10.0.0.1").ID
	s := n.OpenSession(instance.SessionOptions{})
	if _, err := s.Register(t.Context(), []instance.Registration{registration(loan, "10.0.0.2")}); err != nil {
		t.Fatal(err)
	}
	n.advance(10 * time.Second)
	n.Close()

	store = statetest.Reopen(t, store)
	n = open(t, store, nil)
	statetest.Start(t, store)
	n.run()
	n.wantHealth(loan, id, "healthy")
	n.advance(14 * time.Second)
	n.wantHealth(loan, id, "healthy")
	n.wantHealth(loan, "10.0.0.2:8080", "healthy")
	n.beat(loan, id)
	n.advance(5 * time.Second)
	n.wantHealth(loan, id, "healthy")
	n.wantHealth(loan, "10.0.0.2:8080", "gone")
}

func TestNamespaces(t *testing.T) {
	inUse := error(nil)
	n := single(t, func(o *instance.Options) {
		o.NamespaceInUse = func(context.Context, string) error { return inUse }
	})
	prod := instance.Service{Namespace: "prod", Name: "loan"}
	_, err := n.Register(t.Context(), registration(prod, "10.0.0.1"))
	wantFault(t, err, fault.NotFound, "namespace.unknown")
	if err := n.CreateNamespace(t.Context(), "prod", "production"); err != nil {
		t.Fatal(err)
	}
	wantFault(t, n.CreateNamespace(t.Context(), "prod", ""), fault.AlreadyExists, "namespace.exists")
	wantFault(t, n.CreateNamespace(t.Context(), "default", ""), fault.AlreadyExists, "namespace.exists")
	wantFault(t, n.CreateNamespace(t.Context(), "a/b", ""), fault.Invalid, "")
	n.register(prod, "10.0.0.1")
	wantFault(t, n.DeleteNamespace(t.Context(), "prod"), fault.Precondition, "namespace.in_use")
	if _, err := n.SetOverride(t.Context(), instance.OverrideChange{Service: prod, ID: "10.0.0.1:8080", Weight: proto.Float64(2)}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Deregister(t.Context(), prod, "10.0.0.1:8080"); err != nil {
		t.Fatal(err)
	}
	inUse = fault.New(fault.Precondition, "namespace.in_use", "documents").Hinted("remove them")
	wantFault(t, n.DeleteNamespace(t.Context(), "prod"), fault.Precondition, "namespace.in_use")
	inUse = nil
	if err := n.DeleteNamespace(t.Context(), "prod"); err != nil {
		t.Fatal(err)
	}
	wantFault(t, n.DeleteNamespace(t.Context(), "prod"), fault.NotFound, "namespace.unknown")
	wantFault(t, n.DeleteNamespace(t.Context(), "default"), fault.Precondition, "namespace.in_use")
	_, err = n.Register(t.Context(), registration(prod, "10.0.0.1"))
	wantFault(t, err, fault.NotFound, "namespace.unknown")
	names := []string{}
	for _, namespace := range n.Namespaces() {
		names = append(names, namespace.GetName())
	}
	if !cmp.Equal(names, []string{"default"}) {
		t.Fatalf("namespaces %v", names)
	}
	// What operators left there is gone with it.
	if err := n.CreateNamespace(t.Context(), "prod", ""); err != nil {
		t.Fatal(err)
	}
	n.register(prod, "10.0.0.1")
	if n.get(prod, "10.0.0.1:8080").EffectiveWeight() != 1 {
		t.Fatal("an override of the deleted namespace came back")
	}
}

func TestServicesAndSummary(t *testing.T) {
	n := single(t, nil)
	n.register(loan, "10.0.0.1")
	n.register(loan, "10.0.0.2", func(m *gantryv1.Instance) { m.Labels["version"] = "2"; m.Status = gantryv1.Status_STATUS_STARTING })
	n.register(instance.Service{Name: "a"}, "10.0.0.1")
	services := n.Services("default")
	if len(services) != 2 || services[0].Name != "a" || services[1] != loan || len(n.Services("other")) != 0 {
		t.Fatalf("services %v", services)
	}
	got := n.Summary(loan)
	if got.Instances != 2 || got.Available != 1 || !cmp.Equal(got.Versions, []string{"1", "2"}) || !cmp.Equal(got.Protocols, []string{"native"}) {
		t.Fatalf("summary %v", got)
	}
	if f := n.Figures(); f.Instances != 3 || f.Services != 2 || f.Owned != 3 {
		t.Fatalf("figures %+v", f)
	}
}

func TestOneBatchMayNameAnInstanceTwice(t *testing.T) {
	n := single(t, nil)
	s := n.OpenSession(instance.SessionOptions{})
	defer s.Close(t.Context(), true)
	weigh := func(w float64) func(*gantryv1.Instance) { return func(m *gantryv1.Instance) { m.Weight = &w } }
	results, err := s.Register(t.Context(), []instance.Registration{
		registration(loan, "10.0.0.1", weigh(1)), registration(loan, "10.0.0.2"), registration(loan, "10.0.0.1", weigh(2))})
	if err != nil || results[2].Revision <= results[0].Revision {
		t.Fatalf("%+v, %v", results, err)
	}
	if w := n.get(loan, "10.0.0.1:8080").Weight; w != 2 {
		t.Fatalf("weight %v: the last one counts", w)
	}
}

func TestLargeBatches(t *testing.T) {
	n := single(t, nil)
	s := n.OpenSession(instance.SessionOptions{})
	batch := make([]instance.Registration, instance.MaxBatch)
	for k := range batch {
		batch[k] = registration(instance.Service{Name: fmt.Sprintf("s%d", k%7)}, fmt.Sprintf("10.0.%d.%d", k/250, k%250+1), func(m *gantryv1.Instance) {
			m.Metadata = map[string]string{"large": strings.Repeat("x", 10<<10)}
		})
	}
	results, err := s.Register(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	for k, result := range results {
		if result.Revision == 0 || n.get(batch[k].Service.Normal(), result.ID) == nil {
			t.Fatalf("registration %d: %+v", k, result)
		}
	}
	_, err = s.Register(t.Context(), append(batch, batch[0]))
	wantFault(t, err, fault.TooLarge, "instance.batch_too_large")
	_, err = n.Beat(t.Context(), loan, make([]string, instance.MaxBatch+1))
	wantFault(t, err, fault.TooLarge, "instance.batch_too_large")
	if err := s.Close(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	n.settle()
	if f := n.Figures(); f.Instances != 0 || f.Services != 0 {
		t.Fatalf("%+v", f)
	}
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	n := single(t, func(o *instance.Options) { o.Registerer = registry })
	n.register(loan, "10.0.0.1")
	n.register(loan, "10.0.0.1")
	n.advance(16 * time.Second)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			name := family.GetName()
			for _, label := range metric.GetLabel() {
				name += "," + label.GetValue()
			}
			got[name] = metric.GetGauge().GetValue() + metric.GetCounter().GetValue()
		}
	}
	for name, want := range map[string]float64{"gantry_instances": 1, "gantry_services": 1, "gantry_instance_registrations_total,written": 1,
		"gantry_instance_registrations_total,unchanged": 1, "gantry_instance_transitions_total,unhealthy": 1, "gantry_instance_provisional": 0} {
		if value, there := got[name]; value != want || !there && want > 0 {
			t.Errorf("%s is %v, want %v", name, value, want)
		}
	}
}

func TestUnreadableRecordsAreLeftOut(t *testing.T) {
	n := single(t, nil)
	n.register(loan, "10.0.0.1")
	for _, key := range []string{
		state.Key("instance", "default", "default", "loan", "broken"), state.Key("instance", "short"), "instance/default/default/loan/%zz",
		state.Key("override", "default", "default", "loan", "10.0.0.1:8080"), state.Key("service", "default", "default", "loan"), state.Key("namespace", "x"),
	} {
		if _, err := n.store.Commit(t.Context(), state.Change{Put: []state.Put{{Key: key, Value: []byte{0xff, 0xff}}}}); err != nil {
			t.Fatal(err)
		}
	}
	n.settle()
	if s := n.Lookup(loan); len(s.Instances) != 1 || s.Settings != nil || s.Instances[0].Override != nil || n.HasNamespace("x") {
		t.Fatalf("%+v", s)
	}
}
