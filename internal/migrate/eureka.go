package migrate

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
)

const (
	// EurekaInterval is the default time between two looks at a Eureka server. Most servers answer from a cache of up to 30 s, so that a look
	// sees what was a while ago, however often it is taken.
	EurekaInterval = 2 * time.Second
	// eurekaLease is how long a copy outlives the mirror, and eurekaBeat the time between renewals: one request a copy.
	eurekaLease = 30 * time.Second
	eurekaBeat  = 10 * time.Second
	statusUp    = "UP"
)

// eurekaRegistry is the Eureka side of a mirror.
type eurekaRegistry struct {
	api       *endpoint
	namespace string
	interval  time.Duration
	// instances that Follow holds, by application and id; nil before the first answer.
	held map[eurekaID]eurekaInstance
}

type eurekaID struct{ app, id string }

// EurekaRegistry returns the Eureka side of a mirror. URL is what clients have as their defaultZone: with the path /eureka, which is added
// when there is none.
func EurekaRegistry(c Connection, namespace string, interval time.Duration) Registry {
	base := *c.URL
	if strings.Trim(base.Path, "/") == "" {
		base.Path = "/eureka"
	}
	c.URL = &base
	if interval <= 0 {
		interval = EurekaInterval
	}
	r := &eurekaRegistry{api: newEndpoint("eureka", c), namespace: namespace, interval: interval}
	r.api.sign = func(_ context.Context, request *http.Request) error {
		if c.User != "" {
			request.SetBasicAuth(c.User, c.Password)
		}
		return nil
	}
	return r
}

func (*eurekaRegistry) Kind() string { return "eureka" }

func (r *eurekaRegistry) Close() { r.api.close() }

func (*eurekaRegistry) BeatEvery() time.Duration { return eurekaBeat }

// eurekaInstance is an instance as it is written and read.
type eurekaInstance struct {
	ID         string         `json:"instanceId"`
	HostName   string         `json:"hostName"`
	App        string         `json:"app"`
	IP         string         `json:"ipAddr"`
	Status     string         `json:"status"`
	Overridden string         `json:"overriddenStatus,omitempty"`
	Port       *eurekaPort    `json:"port"`
	SecurePort *eurekaPort    `json:"securePort"`
	CountryID  int            `json:"countryId"`
	DataCenter eurekaData     `json:"dataCenterInfo"`
	Lease      *eurekaLeasing `json:"leaseInfo,omitempty"`
	Metadata   looseMap       `json:"metadata"`
	VIP        string         `json:"vipAddress"`
	SecureVIP  string         `json:"secureVipAddress,omitempty"`
	Dirty      looseText      `json:"lastDirtyTimestamp"`
	Action     string         `json:"actionType,omitempty"`
}

// eurekaPort is a port as Eureka's JSON has it: {"$": 8080, "@enabled": "true"}.
type eurekaPort struct {
	Number  looseText `json:"$"`
	Enabled looseText `json:"@enabled"`
}

func (p *eurekaPort) number() int {
	if p == nil || string(p.Enabled) != "true" {
		return 0
	}
	n, err := strconv.Atoi(string(p.Number))
	if err != nil || n < 0 || n > math.MaxUint16 {
		return 0
	}
	return n
}

type eurekaData struct {
	Class string `json:"@class"`
	Name  string `json:"name"`
}

type eurekaLeasing struct {
	Renewal  int `json:"renewalIntervalInSecs"`
	Duration int `json:"durationInSecs"`
}

// eurekaApps is the answer of apps and apps/delta.
type eurekaApps struct {
	Applications struct {
		Hash string                       `json:"apps__hashcode"`
		Apps oneOrMany[eurekaApplication] `json:"application"`
	} `json:"applications"`
}

type eurekaApplication struct {
	Name      string                    `json:"name"`
	Instances oneOrMany[eurekaInstance] `json:"instance"`
}

// Follow implements [Registry]: everything once, and then what changed. When what it holds has another hash than the server says, it
// reads everything again.
func (r *eurekaRegistry) Follow(ctx context.Context, show func(View)) error {
	for first := true; ; first = false {
		changed, err := r.poll(ctx, first)
		if err != nil {
			r.held = nil
			return Explained(err)
		}
		if changed || first {
			show(r.view())
		}
		if err := pause(ctx, r.interval); err != nil {
			return err
		}
	}
}

func (r *eurekaRegistry) poll(ctx context.Context, full bool) (changed bool, err error) {
	if !full && r.held != nil {
		delta, err := r.get(ctx, "/apps/delta")
		switch {
		case gone(err), statusOf(err) == http.StatusForbidden: // servers may have it switched off
		case err != nil:
			return false, err
		default:
			changed = r.apply(delta)
			if delta.Applications.Hash == "" || delta.Applications.Hash == r.hash() {
				return changed, nil
			}
		}
	}
	all, err := r.get(ctx, "/apps")
	if err != nil {
		return false, err
	}
	held := map[eurekaID]eurekaInstance{}
	for _, app := range all.Applications.Apps {
		for _, i := range app.Instances {
			held[i.key(app.Name)] = i
		}
	}
	if len(held) > maxServices*20 {
		return false, fault.New(fault.TooLarge, "source.too_many", "eureka has %d instances", len(held))
	}
	changed = changed || !sameEureka(r.held, held)
	r.held = held
	return changed, nil
}

func sameEureka(a, b map[eurekaID]eurekaInstance) bool {
	if a == nil || len(a) != len(b) {
		return false
	}
	for id, i := range a {
		other, ok := b[id]
		if !ok || i.Status != other.Status || i.Dirty != other.Dirty || !mapsEqual(i.Metadata, other.Metadata) {
			return false
		}
	}
	return true
}

func mapsEqual(a, b looseMap) bool {
	if len(a) != len(b) {
		return false
	}
	for key, value := range a {
		if other, ok := b[key]; !ok || other != value {
			return false
		}
	}
	return true
}

// apply applies a delta. It says the same changes again for three minutes, so that most of them change nothing.
func (r *eurekaRegistry) apply(delta *eurekaApps) (changed bool) {
	for _, app := range delta.Applications.Apps {
		for _, i := range app.Instances {
			id := i.key(app.Name)
			before, known := r.held[id]
			switch {
			case i.Action == "DELETED":
				delete(r.held, id)
				changed = changed || known
			default:
				r.held[id] = i
				changed = changed || !known || !sameEureka(map[eurekaID]eurekaInstance{id: before}, map[eurekaID]eurekaInstance{id: i})
			}
		}
	}
	return changed
}

// hash is Eureka's digest of what is held: how many instances have each status.
func (r *eurekaRegistry) hash() string {
	counts := map[string]int{}
	for _, i := range r.held {
		counts[i.Status]++
	}
	var b strings.Builder
	for _, status := range sortedKeys(counts) {
		fmt.Fprintf(&b, "%s_%d_", status, counts[status])
	}
	return b.String()
}

func (r *eurekaRegistry) get(ctx context.Context, path string) (*eurekaApps, error) {
	got, err := r.api.do(ctx, request{method: http.MethodGet, path: path, header: http.Header{"Accept": {"application/json"}}})
	if err != nil {
		return nil, err
	}
	return decodeEureka(got.body)
}

func decodeEureka(body []byte) (*eurekaApps, error) {
	var apps eurekaApps
	if err := decodeJSON(body, &apps); err != nil {
		return nil, err
	}
	return &apps, nil
}

// key names an instance. One without an id goes by its host name.
func (i *eurekaInstance) key(app string) eurekaID {
	id := i.ID
	if id == "" {
		id = i.HostName
	}
	return eurekaID{strings.ToUpper(app), id}
}

func (r *eurekaRegistry) view() View {
	view := View{}
	for id, i := range r.held {
		service, ok := r.serviceOf(id.app, i.VIP)
		if ok && i.IP+i.HostName != "" {
			view[service] = append(view[service], fromEureka(id, i))
		}
	}
	for _, instances := range view {
		slices.SortFunc(instances, func(a, b Instance) int { return strings.Compare(a.ID, b.ID) })
	}
	return view
}

// serviceOf is the service of an application: as its vipAddress writes it when that is the same name, otherwise in small letters. A
// name in the form GROUP@@NAME brings its group.
func (r *eurekaRegistry) serviceOf(app, vip string) (Service, bool) {
	name := strings.ToLower(app)
	if strings.EqualFold(vip, app) {
		name = vip
	}
	if group, rest, found := strings.Cut(name, "@@"); found {
		if group == "" || rest == "" {
			return Service{}, false
		}
		return Service{r.namespace, group, rest}, true
	}
	return Service{r.namespace, gantryGroup, name}, name != ""
}

// appOf undoes serviceOf.
func appOf(service Service) (app, vip string) {
	vip = service.Name
	if service.Group != gantryGroup {
		vip = service.Group + "@@" + service.Name
	}
	return strings.ToUpper(vip), vip
}

func fromEureka(id eurekaID, e eurekaInstance) Instance {
	i := Instance{ID: id.id, Address: e.IP, Weight: 1, Labels: labelsOf(e.Metadata), Metadata: map[string]string{}, Available: e.Status == statusUp}
	if i.Address == "" {
		i.Address = e.HostName
	}
	for key, value := range e.Metadata {
		if key != "@class" {
			i.Metadata[key] = value
		}
	}
	port, secure := e.Port.number(), e.SecurePort.number()
	i.Port = port
	if port == 0 {
		i.Port = secure
	}
	if secure != 0 {
		i.Ports = map[string]uint32{"secure": uint32(secure)}
	}
	return i
}

// toEureka makes the instance that a copy is in Eureka. Its id is none that a client makes of its host and port.
func toEureka(c Copy, now time.Time) eurekaInstance {
	app, vip := appOf(c.Service)
	e := eurekaInstance{ID: eurekaCopyID(c), HostName: c.Instance.Address, App: app, IP: c.Instance.Address, Status: statusUp, Overridden: "UNKNOWN", CountryID: 1,
		Port: &eurekaPort{Number: looseText(strconv.Itoa(c.Instance.Port)), Enabled: "true"}, SecurePort: &eurekaPort{Number: "443", Enabled: "false"},
		DataCenter: eurekaData{Class: "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo", Name: "MyOwn"},
		Lease:      &eurekaLeasing{Renewal: int(eurekaBeat / time.Second), Duration: int(eurekaLease / time.Second)},
		Metadata:   merged(&c.Instance), VIP: vip, SecureVIP: vip, Dirty: looseText(strconv.FormatInt(now.UnixMilli(), 10))}
	if secure := c.Instance.Ports["secure"]; secure != 0 {
		e.SecurePort = &eurekaPort{Number: looseText(strconv.Itoa(int(secure))), Enabled: "true"}
		if int(secure) == c.Instance.Port {
			e.Port = &eurekaPort{Number: "80", Enabled: "false"}
		}
	}
	return e
}

func eurekaCopyID(c Copy) string {
	return fmt.Sprintf("mirror:gantry:%s:%d", c.Instance.Address, c.Instance.Port)
}

// MarshalJSON writes the number as one, as Eureka's decoder wants it.
func (p *eurekaPort) MarshalJSON() ([]byte, error) {
	number, err := strconv.Atoi(string(p.Number))
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{"$": number, "@enabled": string(p.Enabled)})
}

func eurekaPath(c Copy) string {
	app, _ := appOf(c.Service)
	return "/apps/" + url.PathEscape(app) + "/" + url.PathEscape(eurekaCopyID(c))
}

// Register implements [Registry].
func (r *eurekaRegistry) Register(ctx context.Context, copies []Copy) []error {
	return eachCopy(ctx, copies, func(ctx context.Context, c Copy) error {
		e := toEureka(c, time.Now())
		body, err := json.Marshal(map[string]any{"instance": e})
		if err != nil {
			return err
		}
		_, err = r.api.do(ctx, request{method: http.MethodPost, path: "/apps/" + url.PathEscape(e.App), body: body, contentType: "application/json"})
		return Explained(err)
	})
}

// Beat implements [Registry]: one renewal a copy.
func (r *eurekaRegistry) Beat(ctx context.Context, copies []Copy) (unknown []int, err error) {
	return beatEach(ctx, copies, func(ctx context.Context, c Copy) error {
		_, err := r.api.do(ctx, request{method: http.MethodPut, path: eurekaPath(c), query: url.Values{"status": {statusUp}}})
		return err
	})
}

// beatEach beats for each copy by a request of its own. 404 is the answer for one that is not known.
func beatEach(ctx context.Context, copies []Copy, beat func(context.Context, Copy) error) (unknown []int, err error) {
	index := make(map[spot]int, len(copies))
	for n, c := range copies {
		index[spot{c.Service, c.Instance.place()}] = n
	}
	var mu sync.Mutex
	errs := eachCopy(ctx, copies, func(ctx context.Context, c Copy) error {
		err := beat(ctx, c)
		if statusOf(err) == http.StatusNotFound {
			mu.Lock()
			unknown = append(unknown, index[spot{c.Service, c.Instance.place()}])
			mu.Unlock()
			return nil
		}
		return Explained(err)
	})
	for _, failed := range errs {
		if failed != nil {
			err = failed
		}
	}
	return unknown, err
}

// Remove implements [Registry].
func (r *eurekaRegistry) Remove(ctx context.Context, copies []Copy) []error {
	return eachCopy(ctx, copies, func(ctx context.Context, c Copy) error {
		_, err := r.api.do(ctx, request{method: http.MethodDelete, path: eurekaPath(c)})
		if statusOf(err) == http.StatusNotFound {
			return nil
		}
		return Explained(err)
	})
}
