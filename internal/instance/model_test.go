package instance_test

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"pgregory.net/rapid"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// modelInstance is what one instance should be.
type modelInstance struct {
	weight      float64
	ttl, remove int64 // ticks
	silent      int64 // ticks
	held        bool  // by an open session
	session     bool  // lives by a session
	marked      bool
}

// model is the registry as a reader of its documentation would build it. Protection is off.
type model struct {
	*node
	service  instance.Service
	all      map[string]*modelInstance
	override map[string]float64
	session  *instance.Session
}

func (m *model) advance(t *rapid.T, n int64) {
	m.node.advance(time.Duration(n) * instance.Tick)
	settle := int64(instance.SessionSettle / instance.Tick)
	for id, i := range m.all {
		if i.held {
			continue
		}
		i.silent += n
		limit := i.remove
		if i.session {
			limit = i.ttl + settle
		}
		i.marked = i.marked || i.silent >= i.ttl
		if i.silent >= limit {
			delete(m.all, id)
		}
	}
}

func (m *model) check(t *rapid.T) {
	m.settle()
	snapshot := m.Lookup(m.service)
	if snapshot == nil {
		t.Fatal("the service is configured and so it is known")
	}
	if len(snapshot.Instances) != len(m.all) {
		t.Fatalf("%d instances, want %d", len(snapshot.Instances), len(m.all))
	}
	for id, want := range m.all {
		i := snapshot.Instance(id)
		if i == nil {
			t.Fatalf("%s is gone, want %+v", id, want)
		}
		weight := want.weight
		if set, ok := m.override[id]; ok {
			weight = set
		}
		if got := i.Health != gantryv1.Health_HEALTH_HEALTHY; got != want.marked {
			t.Fatalf("%s unhealthy: %v, want %+v", id, got, want)
		}
		if i.EffectiveWeight() != weight {
			t.Fatalf("%s has weight %v, want %v", id, i.EffectiveWeight(), weight)
		}
		if i.Protected || i.Provisional {
			t.Fatalf("%s is %+v", id, i)
		}
	}
}

// TestRegistryFollowsItsModel drives the registry by random operations and compares it with the model after each.
func TestRegistryFollowsItsModel(t *testing.T) {
	n := single(t, nil)
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		m := &model{node: n, service: instance.Service{Namespace: "default", Group: "default", Name: fmt.Sprintf("model-%d", run)},
			all: map[string]*modelInstance{}, override: map[string]float64{}, session: n.OpenSession(instance.SessionOptions{})}
		if err := n.ConfigureService(n.t.Context(), m.service, &gantryv1.ServiceSettings{ProtectThreshold: proto.Float64(0)}); err != nil {
			t.Fatal(err)
		}
		defer func() { m.session.Close(n.t.Context(), true) }()
		id := rapid.SampledFrom([]string{"10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080", "10.0.0.4:8080"})
		t.Repeat(map[string]func(*rapid.T){
			"register":        func(t *rapid.T) { m.add(t, id.Draw(t, "id"), false) },
			"registerSession": func(t *rapid.T) { m.add(t, id.Draw(t, "id"), true) },
			"beat":            func(t *rapid.T) { m.beats(t, id.Draw(t, "id")) },
			"advance":         func(t *rapid.T) { m.advance(t, rapid.Int64Range(1, 40).Draw(t, "ticks")) },
			"deregister":      func(t *rapid.T) { m.remove(t, id.Draw(t, "id")) },
			"override":        func(t *rapid.T) { m.overrides(t, id.Draw(t, "id")) },
			"drain":           func(t *rapid.T) { m.drain(t, id.Draw(t, "id")) },
			"breakSession": func(t *rapid.T) {
				m.session.Close(n.t.Context(), false)
				for _, i := range m.all {
					if i.held {
						i.held, i.silent = false, 0
					}
				}
				m.session = n.OpenSession(instance.SessionOptions{})
			},
			"": m.check,
		})
	})
}

func (m *model) add(t *rapid.T, id string, session bool) {
	want := &modelInstance{weight: float64(rapid.IntRange(1, 2).Draw(t, "weight")),
		ttl: rapid.SampledFrom([]int64{10, 20}).Draw(t, "ttl"), session: session, held: session}
	want.remove = 2 * want.ttl
	r := registration(m.service, id[:len(id)-len(":8080")], func(i *gantryv1.Instance) {
		i.Weight = &want.weight
		i.Ttl = durationpb.New(time.Duration(want.ttl) * instance.Tick)
	})
	var err error
	if session {
		_, err = m.session.Register(m.t.Context(), []instance.Registration{r})
	} else {
		_, err = m.Register(m.t.Context(), r)
	}
	if err != nil {
		t.Fatal(err)
	}
	m.all[id] = want
}

func (m *model) beats(t *rapid.T, id string) {
	unknown, err := m.Beat(m.t.Context(), m.service, []string{id})
	if err != nil {
		t.Fatal(err)
	}
	i := m.all[id]
	if (len(unknown) == 1) != (i == nil) {
		t.Fatalf("unknown %v, want %+v", unknown, i)
	}
	if i != nil {
		i.silent, i.marked = 0, false
	}
}

func (m *model) remove(t *rapid.T, id string) {
	_, err := m.Deregister(m.t.Context(), m.service, id)
	if m.all[id] == nil {
		if !fault.Is(err, fault.NotFound) {
			t.Fatalf("deregistering nobody: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	delete(m.all, id)
}

func (m *model) overrides(t *rapid.T, id string) {
	change := instance.OverrideChange{Service: m.service, ID: id}
	clear := rapid.Bool().Draw(t, "clear")
	if !clear {
		change.Weight = proto.Float64(float64(rapid.IntRange(0, 3).Draw(t, "weight")))
	}
	_, err := m.SetOverride(m.t.Context(), change)
	_, set := m.override[id]
	if m.all[id] == nil && !set {
		if !fault.Is(err, fault.NotFound) {
			t.Fatalf("overriding nobody: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if clear {
		delete(m.override, id)
	} else {
		m.override[id] = *change.Weight
	}
}

func (m *model) drain(t *rapid.T, id string) {
	result, err := m.Drain(m.t.Context(), instance.DrainOptions{Service: m.service, ID: id, Deregister: true})
	if m.all[id] == nil {
		if !fault.Is(err, fault.NotFound) {
			t.Fatalf("draining nobody: %v", err)
		}
		return
	}
	if err != nil || result.Subscribers != 0 {
		t.Fatalf("%+v, %v", result, err)
	}
	delete(m.all, id)
}
