package eureka_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gantry-platform/gantry/internal/instance"
)

// reader is a client that holds the applications as Netflix's does: a full list once, then deltas, and the full list again
// when the hash is not what it has.
type reader struct {
	n            *node
	asJSON, gzip bool
	held         map[string]map[string]shown // by application and id
	fulls        int
}

func (r *reader) fetch() {
	r.held, r.fulls = map[string]map[string]shown{}, r.fulls+1
	all := r.n.get("/eureka/apps/", r.asJSON, r.gzip)
	for _, app := range all.Applications {
		r.take(app)
	}
	if r.hash() != all.Hash {
		r.n.t.Fatalf("the hash of everything is %s, want %s", all.Hash, r.hash())
	}
}

func (r *reader) take(app application) {
	held := map[string]shown{}
	for _, i := range app.Instances {
		held[i.ID] = i
	}
	r.held[app.Name] = held
}

// poll applies a delta.
func (r *reader) poll() {
	if r.held == nil {
		r.fetch()
		return
	}
	delta := r.n.get("/eureka/apps/delta", r.asJSON, r.gzip)
	for _, app := range delta.Applications {
		for _, i := range app.Instances {
			switch i.Action {
			case "ADDED", "MODIFIED":
				if r.held[app.Name] == nil {
					r.take(app) // all of it, also what follows in the list as deleted
				}
				r.held[app.Name][i.ID] = i
			case "DELETED":
				delete(r.held[app.Name], i.ID)
				if len(r.held[app.Name]) == 0 {
					delete(r.held, app.Name)
				}
			default:
				r.n.t.Fatalf("action %q", i.Action)
			}
		}
	}
	if r.hash() != delta.Hash {
		r.fetch()
	}
}

func (r *reader) hash() string {
	counts := map[string]int{}
	for _, app := range r.held {
		for _, i := range app {
			counts[i.Status]++
		}
	}
	var hash strings.Builder
	for _, status := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(&hash, "%s_%d_", status, counts[status])
	}
	return hash.String()
}

// states are what the instances say, for comparison.
func states(held map[string]map[string]shown) map[string]string {
	all := map[string]string{}
	for name, app := range held {
		for id, i := range app {
			all[name+"/"+id] = i.Status + " " + i.OverriddenStatus + " " + i.Metadata["step"] + " " + i.Updated
		}
	}
	return all
}

// truth is the server's state.
func (n *node) truth() map[string]string {
	r := &reader{n: n, asJSON: true}
	r.fetch()
	return states(r.held)
}

// check compares with the server.
func (r *reader) check(t *testing.T) {
	t.Helper()
	if truth := r.n.truth(); !maps.Equal(states(r.held), truth) {
		t.Fatalf("a client holds\n%v\nand the server\n%v", states(r.held), truth)
	}
}

// known lets the time go by after which the node knows all of the window.
func (n *node) known() { n.clock.jump(4 * time.Minute) }

func TestADeltaLeadsToTheServersState(t *testing.T) {
	n := start(t)
	n.known()
	n.register("loan", "l1", "UP")
	n.register("loan", "l2", "STARTING")
	readers := []*reader{{n: n, asJSON: true, gzip: true}, {n: n, asJSON: true}, {n: n, gzip: true}, {n: n}}
	for _, r := range readers {
		r.poll()
		r.check(t)
	}
	n.register("loan", "l2", "UP")
	n.register("risk", "r1", "UP")
	n.register("fund", "a1", "UP")
	n.register("fund", "f1", "UP")
	n.must(http.StatusOK, http.MethodDelete, "/eureka/apps/FUND/a1", "") // before f1 in the list, and never known
	n.must(http.StatusOK, http.MethodDelete, "/eureka/apps/LOAN/l1", "")
	n.must(http.StatusOK, http.MethodPut, "/eureka/apps/RISK/r1/status?value=OUT_OF_SERVICE", "")
	for _, r := range readers {
		r.poll()
		r.check(t)
		if r.fulls != 1 {
			t.Errorf("it read everything %d times: the delta was not right", r.fulls)
		}
	}
	delta := n.get("/eureka/apps/delta", true, false)
	if delta.Hash != "OUT_OF_SERVICE_1_UP_2_" || len(delta.Applications) != 3 {
		t.Errorf("%+v", delta)
	}
	n.clock.jump(4 * time.Minute)
	n.register("last", "x1", "UP")
	if delta := n.get("/eureka/apps/delta", true, false); len(delta.Applications) != 1 || delta.Applications[0].Name != "LAST" || delta.Applications[0].Instances[0].Action != "ADDED" {
		t.Errorf("what was long ago is no change any more: %+v", delta)
	}
}

func TestAfterAStartADeltaIsEverything(t *testing.T) {
	n := start(t)
	n.known()
	n.register("loan", "l1", "UP")
	n.register("risk", "r1", "UP")
	r := &reader{n: n, asJSON: true}
	r.poll()
	n.must(http.StatusOK, http.MethodDelete, "/eureka/apps/RISK/r1", "")
	n.register("fund", "f1", "UP") // as many as before
	n.restart()
	r.poll()
	r.check(t)
}

// TestClientsAlwaysEndWithTheServersState does what comes in a cluster's life in any order, while clients poll now and then.
func TestClientsAlwaysEndWithTheServersState(t *testing.T) {
	n := start(t)
	step := 0
	rapid.Check(t, func(rt *rapid.T) {
		for _, service := range n.registry.Services("default") {
			for _, i := range n.registry.Lookup(service).Instances {
				if _, err := n.registry.SetOverride(context.Background(), instance.OverrideChange{Service: service, ID: i.ID}); err != nil {
					t.Fatal(err)
				}
				if _, err := n.registry.Deregister(context.Background(), service, i.ID); err != nil {
					t.Fatal(err)
				}
			}
		}
		n.known()
		readers := []*reader{{n: n, asJSON: true, gzip: true}, {n: n, asJSON: true}, {n: n, asJSON: true, gzip: true}}
		poll := func(r *reader) {
			// What fell silent, or is heard of again, goes its way meanwhile: compare when nothing moved.
			for moved := true; moved; {
				before := n.truth()
				r.poll()
				after := n.truth()
				if moved = !maps.Equal(before, after); !moved && !maps.Equal(states(r.held), after) {
					rt.Fatalf("a client holds\n%v\nand the server\n%v", states(r.held), after)
				}
			}
		}
		app, id := rapid.SampledFrom([]string{"loan", "risk", "Fund"}), rapid.SampledFrom([]string{"a", "b", "c", "d"})
		restarts := rapid.IntRange(0, 7).Draw(rt, "restarts") // it takes long
		rt.Repeat(map[string]func(*rapid.T){
			"register": func(rt *rapid.T) {
				step++
				name := app.Draw(rt, "app")
				body := strings.Replace(spring(name, id.Draw(rt, "id"), rapid.SampledFrom([]string{"UP", "DOWN", "STARTING", "OUT_OF_SERVICE"}).Draw(rt, "status")),
					`"version":"v2"`, fmt.Sprintf(`"step":"%d"`, step), 1)
				if rapid.Bool().Draw(rt, "other spelling") {
					body = strings.Replace(body, `"vipAddress":"`+strings.ToLower(name), `"vipAddress":"`+strings.ToUpper(name), 1)
				}
				n.must(http.StatusNoContent, http.MethodPost, "/eureka/apps/"+name, body)
			},
			"cancel": func(rt *rapid.T) {
				n.do(http.MethodDelete, "/eureka/apps/"+app.Draw(rt, "app")+"/"+id.Draw(rt, "id"), "")
			},
			"override": func(rt *rapid.T) {
				n.do(rapid.SampledFrom([]string{"PUT", "DELETE"}).Draw(rt, "method"), "/eureka/apps/"+app.Draw(rt, "app")+"/"+id.Draw(rt, "id")+"/status?value="+
					rapid.SampledFrom([]string{"UP", "DOWN", "OUT_OF_SERVICE"}).Draw(rt, "value"), "")
			},
			"expire": func(rt *rapid.T) {
				n.expire(app.Draw(rt, "app"), id.Draw(rt, "id"))
			},
			"poll": func(rt *rapid.T) {
				poll(rapid.SampledFrom(readers).Draw(rt, "reader"))
			},
			"wait": func(rt *rapid.T) { // clients poll several times within the window
				for _, r := range readers {
					poll(r)
				}
				n.clock.jump(time.Duration(rapid.IntRange(1, 170).Draw(rt, "seconds")) * time.Second)
			},
			"restart": func(rt *rapid.T) {
				if restarts++; restarts != 1 {
					return
				}
				n.restart()
				if rapid.Bool().Draw(rt, "later") {
					for _, r := range readers {
						poll(r)
					}
					n.known()
				}
			},
		})
		for _, r := range readers {
			poll(r)
		}
	})
}

// expire lets one instance fall silent while the others renew, until it is gone or kept by protection.
func (n *node) expire(app, id string) {
	for range 4 { // longer than the ttl of 15 s
		n.clock.step(4 * time.Second)
		n.renewAll(app, id)
	}
	eventually(n.t, "the silence has ended", func() bool {
		for _, service := range n.registry.Services("default") {
			if !strings.EqualFold(service.Name, app) {
				continue
			}
			if snapshot := n.registry.Lookup(service); snapshot != nil && snapshot.Instance(id) != nil && !snapshot.Instance(id).Protected {
				n.clock.step(100 * time.Millisecond)
				n.renewAll(app, id)
				return false
			}
		}
		return true
	})
}

func (n *node) renewAll(app, but string) {
	for _, service := range n.registry.Services("default") {
		snapshot := n.registry.Lookup(service)
		if snapshot == nil {
			continue // it has gone meanwhile
		}
		for _, i := range snapshot.Instances {
			if !strings.EqualFold(service.Name, app) || i.ID != but {
				n.do(http.MethodPut, "/eureka/apps/"+service.Name+"/"+i.ID, "")
			}
		}
	}
}
