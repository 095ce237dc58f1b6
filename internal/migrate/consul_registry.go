package migrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gantry-platform/gantry/internal/fault"
)

const (
	// consulWait is how long a question waits for news; a Consul adds a sixteenth.
	consulWait = 30 * time.Second
	// consulGap is the least time between two rounds, so that a fleet that changes all the time is read at most so often.
	consulGap = 300 * time.Millisecond
	// consulTTL is how long a copy is healthy without the mirror, and consulBeat the time between the updates of its check: one request a copy. A Consul
	// removes it a minute after that at the earliest.
	consulTTL    = 30 * time.Second
	consulBeat   = 10 * time.Second
	consulRemove = "1m"
	// Bounds of Consul on metadata.
	maxConsulMeta      = 64
	maxConsulMetaKey   = 128
	maxConsulMetaValue = 512
)

// Marks in Consul, whose metadata has no dots in its keys.
const (
	consulMarkFrom = "gantry-mirrored-from"
	consulMarkBy   = "gantry-mirrored-by"
)

// consulRegistry is the Consul side of a mirror.
type consulRegistry struct {
	api       *endpoint
	namespace string

	mu   sync.Mutex
	held map[Service][]Instance
}

// ConsulRegistry returns the Consul side of a mirror. The address is that of an agent, which the copies of Gantry's instances are registered
// with; all services of the catalogue are read.
func ConsulRegistry(c Connection, namespace string) Registry {
	return &consulRegistry{api: newConsul(c), namespace: namespace}
}

func (*consulRegistry) Kind() string { return "consul" }

func (r *consulRegistry) Close() { r.api.close() }

func (*consulRegistry) BeatEvery() time.Duration { return consulBeat }

// consulEntry is an instance as health gives it.
type consulEntry struct {
	Node    struct{ Node, Address string }
	Service struct {
		ID, Service, Address string
		Port                 int
		Tags                 []string
		Meta                 looseMap
		Weights              struct{ Passing int }
		Kind                 string
	}
	Checks []struct{ Status string }
}

// consulCheck is a check as the list of all gives it.
type consulCheck struct {
	Node, CheckID, Status, ServiceID, ServiceName string
}

// Follow implements [Registry]. It waits for two kinds of news: of the catalogue, upon which all services are read again, and of checks, which say whose they
// are.
func (r *consulRegistry) Follow(ctx context.Context, show func(View)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	names, index, err := r.services(ctx, 0)
	if err != nil {
		return Explained(err)
	}
	checks, checkIndex, err := r.checks(ctx, 0)
	if err != nil {
		return Explained(err)
	}
	r.mu.Lock()
	r.held = map[Service][]Instance{}
	r.mu.Unlock()
	if err := r.read(ctx, names, true); err != nil {
		return Explained(err)
	}
	show(r.view())
	group, inner := errgroup.WithContext(ctx)
	group.Go(func() error { return r.followServices(inner, index, show) })
	group.Go(func() error { return r.followChecks(inner, checks, checkIndex, show) })
	return Explained(group.Wait())
}

func (r *consulRegistry) followServices(ctx context.Context, index uint64, show func(View)) error {
	for {
		names, next, err := r.services(ctx, index)
		if err != nil {
			return err
		}
		if next != index {
			if err := r.read(ctx, names, true); err != nil {
				return err
			}
			r.mu.Lock()
			show(r.viewLocked())
			r.mu.Unlock()
		}
		index = next
		if err := pause(ctx, consulGap); err != nil {
			return err
		}
	}
}

func (r *consulRegistry) followChecks(ctx context.Context, before []consulCheck, index uint64, show func(View)) error {
	for {
		checks, next, err := r.checks(ctx, index)
		if err != nil {
			return err
		}
		if names := changedChecks(before, checks); len(names) > 0 {
			if err := r.read(ctx, names, false); err != nil {
				return err
			}
			r.mu.Lock()
			show(r.viewLocked())
			r.mu.Unlock()
		}
		before, index = checks, next
		if err := pause(ctx, consulGap); err != nil {
			return err
		}
	}
}

// changedChecks are the services of which a check came, went or changed its status.
func changedChecks(before, after []consulCheck) []string {
	type key struct{ node, id string }
	states := make(map[key]consulCheck, len(before))
	for _, c := range before {
		states[key{c.Node, c.CheckID}] = c
	}
	changed := map[string]bool{}
	for _, c := range after {
		k := key{c.Node, c.CheckID}
		if old, ok := states[k]; !ok || old.Status != c.Status || old.ServiceName != c.ServiceName {
			changed[c.ServiceName] = true
			changed[old.ServiceName] = true
		}
		delete(states, k)
	}
	for _, c := range states {
		changed[c.ServiceName] = true
	}
	delete(changed, "") // checks of whole nodes; the catalogue has news of nodes that go
	return sortedKeys(changed)
}

// waiting asks and waits for news after an index; 0 does not wait.
func (r *consulRegistry) waiting(ctx context.Context, path string, index uint64, into any) (uint64, error) {
	q := request{method: http.MethodGet, path: path}
	if index > 0 {
		q.query = url.Values{"index": {strconv.FormatUint(index, 10)}, "wait": {consulWait.String()}}
		q.wait = consulWait + consulWait/16
	}
	got, err := r.api.do(ctx, q)
	if err != nil {
		return 0, err
	}
	next, err := strconv.ParseUint(got.header.Get("X-Consul-Index"), 10, 64)
	if err != nil || next == 0 {
		return 0, fault.New(fault.Invalid, "source.unreadable", "consul answers %s without an index", path).Hinted("see that the address is that of a Consul agent")
	}
	if next < index {
		next = 1 // it went back, as after a restore: everything is news
	}
	return next, decodeJSON(got.body, into)
}

func (r *consulRegistry) services(ctx context.Context, index uint64) ([]string, uint64, error) {
	var listed map[string]json.RawMessage
	next, err := r.waiting(ctx, "/v1/catalog/services", index, &listed)
	if len(listed) > maxServices {
		return nil, 0, fault.New(fault.TooLarge, "source.too_many", "consul has %d services", len(listed))
	}
	return sortedKeys(listed), next, err
}

func (r *consulRegistry) checks(ctx context.Context, index uint64) ([]consulCheck, uint64, error) {
	var listed []consulCheck
	next, err := r.waiting(ctx, "/v1/health/state/any", index, &listed)
	return listed, next, err
}

// read reads services. With all, what is not among them is gone.
func (r *consulRegistry) read(ctx context.Context, names []string, all bool) error {
	results := make([][]Instance, len(names))
	err := atOnce(ctx, len(names), func(ctx context.Context, i int) (err error) {
		results[i], err = r.look(ctx, names[i])
		return err
	})
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if all {
		r.held = map[Service][]Instance{}
	}
	for i, name := range names {
		if service, ok := r.serviceOf(name); ok {
			r.held[service] = results[i]
		}
	}
	return nil
}

func (r *consulRegistry) look(ctx context.Context, name string) ([]Instance, error) {
	got, err := r.api.do(ctx, request{method: http.MethodGet, path: "/v1/health/service/" + url.PathEscape(name)})
	if err != nil {
		return nil, err
	}
	var entries []consulEntry
	if err := decodeJSON(got.body, &entries); err != nil {
		return nil, err
	}
	var instances []Instance
	for _, e := range entries {
		if e.Service.Kind != "" || e.Service.Port < 0 || e.Service.Port > math.MaxUint16 {
			continue // proxies and gateways of its mesh are no services
		}
		if i := fromConsul(e); i.Address != "" {
			instances = append(instances, i)
		}
	}
	slices.SortFunc(instances, func(a, b Instance) int { return strings.Compare(a.ID, b.ID) })
	return instances, nil
}

func (r *consulRegistry) view() View {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.viewLocked()
}

func (r *consulRegistry) viewLocked() View {
	view := make(View, len(r.held))
	for service, instances := range r.held {
		if len(instances) > 0 {
			view[service] = instances
		}
	}
	return view
}

// consulOwn is the service that a Consul is itself. It stays there.
const consulOwn = "consul"

// serviceOf is the service of a name; "group@@name" is one of another group.
func (r *consulRegistry) serviceOf(name string) (Service, bool) {
	if group, rest, found := strings.Cut(name, "@@"); found {
		return Service{r.namespace, group, rest}, group != "" && rest != ""
	}
	return Service{r.namespace, gantryGroup, name}, name != "" && name != consulOwn
}

func consulName(service Service) string {
	if service.Group != gantryGroup {
		return service.Group + "@@" + service.Name
	}
	return service.Name
}

func fromConsul(e consulEntry) Instance {
	i := Instance{ID: e.Node.Node + "/" + e.Service.ID, Address: e.Service.Address, Port: e.Service.Port, Weight: 1, Labels: labelsOf(e.Service.Meta), Metadata: map[string]string{},
		Available: true}
	if i.Address == "" {
		i.Address = e.Node.Address
	}
	if e.Service.Weights.Passing > 0 {
		i.Weight = float64(e.Service.Weights.Passing)
	}
	for key, value := range e.Service.Meta {
		switch key {
		case consulMarkFrom:
			key = MarkFrom
		case consulMarkBy:
			key = MarkBy
		}
		i.Metadata[key] = value
	}
	for _, check := range e.Checks {
		// A warning takes traffic, as in Consul's DNS.
		if check.Status != "passing" && check.Status != "warning" {
			i.Available = false
		}
	}
	return i
}

// consulService is a registration with an agent.
type consulService struct {
	ID, Name, Address string
	Port              int
	Meta              map[string]string
	Weights           map[string]int
	Check             map[string]string
}

func consulCopyID(c Copy) string {
	return fmt.Sprintf("mirror:gantry:%s:%s:%d", consulName(c.Service), c.Instance.Address, c.Instance.Port)
}

// toConsul makes the registration of a copy. Metadata that a Consul does not take is left out.
func toConsul(c Copy) consulService {
	s := consulService{ID: consulCopyID(c), Name: consulName(c.Service), Address: c.Instance.Address, Port: c.Instance.Port, Meta: map[string]string{},
		Weights: map[string]int{"Passing": int(min(max(math.Round(c.Instance.Weight), 1), 65535)), "Warning": 1},
		Check:   map[string]string{"TTL": consulTTL.String(), "Status": "passing", "DeregisterCriticalServiceAfter": consulRemove, "Notes": "held by gantry migrate"}}
	metadata := merged(&c.Instance)
	s.Meta[consulMarkFrom], s.Meta[consulMarkBy] = metadata[MarkFrom], metadata[MarkBy]
	for _, key := range sortedKeys(metadata) {
		value := metadata[key]
		if len(s.Meta) < maxConsulMeta && isConsulKey(key) && len(value) <= maxConsulMetaValue {
			s.Meta[key] = value
		}
	}
	return s
}

func isConsulKey(key string) bool {
	return key != "" && len(key) <= maxConsulMetaKey && !strings.HasPrefix(key, "consul-") && !strings.ContainsFunc(key, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}

// Register implements [Registry].
func (r *consulRegistry) Register(ctx context.Context, copies []Copy) []error {
	return eachCopy(ctx, copies, func(ctx context.Context, c Copy) error {
		body, err := json.Marshal(toConsul(c))
		if err != nil {
			return err
		}
		_, err = r.api.do(ctx, request{method: http.MethodPut, path: "/v1/agent/service/register", body: body, contentType: "application/json"})
		return Explained(err)
	})
}

// Beat implements [Registry]: one update of a check a copy. An agent that does not know the check answers 404, and older ones 500.
func (r *consulRegistry) Beat(ctx context.Context, copies []Copy) (unknown []int, err error) {
	return beatEach(ctx, copies, func(ctx context.Context, c Copy) error {
		_, err := r.api.do(ctx, request{method: http.MethodPut, path: "/v1/agent/check/pass/" + url.PathEscape("service:"+consulCopyID(c))})
		var status *statusError
		if errors.As(err, &status) && status.status == http.StatusInternalServerError && strings.Contains(status.body, "does not have associated TTL") {
			status.status = http.StatusNotFound
		}
		return err
	})
}

// Remove implements [Registry].
func (r *consulRegistry) Remove(ctx context.Context, copies []Copy) []error {
	return eachCopy(ctx, copies, func(ctx context.Context, c Copy) error {
		_, err := r.api.do(ctx, request{method: http.MethodPut, path: "/v1/agent/service/deregister/" + url.PathEscape(consulCopyID(c))})
		if statusOf(err) == http.StatusNotFound {
			return nil
		}
		return Explained(err)
	})
}
