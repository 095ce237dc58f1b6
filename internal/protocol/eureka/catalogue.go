package eureka

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gantry-platform/gantry/internal/instance"
)

// maxCatalogues bounds the namespaces whose documents are kept. Beyond it one of them is made again when it is asked for.
const maxCatalogues = 64

// catalogues are the applications of each namespace that somebody asks for.
type catalogues struct {
	registry *instance.Registry
	costly   time.Duration
	mu       sync.Mutex
	all      map[string]*catalogue
}

func (c *catalogues) of(namespace string) *catalogue {
	c.mu.Lock()
	defer c.mu.Unlock()
	if found := c.all[namespace]; found != nil {
		return found
	}
	for other := range c.all {
		if len(c.all) < maxCatalogues {
			break
		}
		delete(c.all, other)
	}
	made := &catalogue{registry: c.registry, costly: c.costly, namespace: strings.Clone(namespace)}
	if c.all == nil {
		c.all = make(map[string]*catalogue)
	}
	c.all[made.namespace] = made
	return made
}

// catalogue is a namespace's applications. It goes from edition to edition as the registry changes.
type catalogue struct {
	registry  *instance.Registry
	costly    time.Duration
	namespace string
	mu        sync.Mutex
	latest    *edition
}

// edition is the applications as of one moment. It is immutable but for what is worked out at most once.
type edition struct {
	// sequence is the newest change that is in it. Later ones may be in it too.
	sequence     uint64
	born         time.Time
	applications []*application // by name
	counts       counts
	// spent is what putting together its documents took, in nanoseconds.
	spent     atomic.Int64
	documents [formats]lazyDocument
	deltas    [formats]deltaCache
}

// Documents that took longer than costly are made again at most a tenth of the time.
const (
	costly = 5 * time.Millisecond
	rest   = 10
)

// current is the newest edition: the one for those who look for one application or instance.
func (c *catalogue) current() *edition { return c.edition(false) }

// affordable is the newest edition that has not cost too much: the one for those who get everything, again and again.
func (c *catalogue) affordable() *edition { return c.edition(true) }

func (c *catalogue) edition(affordable bool) *edition {
	sequence := c.registry.ChangesFromNow()
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.latest
	switch {
	case e == nil:
		c.latest = c.build(sequence)
		return c.latest
	case e.sequence >= sequence:
		return e
	}
	if spent := time.Duration(e.spent.Load()); affordable && spent > c.costly && time.Since(e.born) < rest*spent {
		return e
	}
	changes, next, complete := c.registry.ChangesSince(e.sequence)
	if complete {
		c.latest = c.follow(e, changes, next)
	} else {
		c.latest = c.build(next)
	}
	return c.latest
}

// build reads everything. What changes after sequence may be in it or not, and is followed later.
func (c *catalogue) build(sequence uint64) *edition {
	e := &edition{sequence: sequence, born: time.Now()}
	byName := make(map[string][]instance.Service)
	for _, service := range c.registry.Services(c.namespace) {
		name := applicationOf(service)
		byName[name] = append(byName[name], service)
	}
	for name, services := range byName {
		if a := c.application(name, services); a != nil {
			e.applications = append(e.applications, a)
			e.counts.add(&a.counts)
		}
	}
	slices.SortFunc(e.applications, func(a, b *application) int { return cmp.Compare(a.name, b.name) })
	return e
}

// follow is the edition after some changes.
func (c *catalogue) follow(e *edition, changes []instance.Change, sequence uint64) *edition {
	touched := make(map[instance.Service]struct{})
	for i := range changes {
		if changes[i].Service.Namespace == c.namespace {
			touched[changes[i].Service] = struct{}{}
		}
	}
	if len(touched) == 0 { // another namespace's: the documents stay good
		e.sequence = sequence
		return e
	}
	next := &edition{sequence: sequence, born: time.Now(), applications: slices.Clone(e.applications), counts: e.counts}
	for service := range touched {
		name := applicationOf(service)
		services := []instance.Service{service}
		at, found := next.find(name)
		if found {
			before := next.applications[at]
			next.counts.subtract(&before.counts)
			services = append(services, before.services...)
		}
		after := c.application(name, services)
		switch {
		case after == nil && found:
			next.applications = slices.Delete(next.applications, at, at+1)
		case after == nil:
		case found:
			next.applications[at] = after
		default:
			next.applications = slices.Insert(next.applications, at, after)
		}
		if after != nil {
			next.counts.add(&after.counts)
		}
	}
	return next
}

func (e *edition) find(name string) (int, bool) {
	return slices.BinarySearchFunc(e.applications, name, func(a *application, name string) int { return cmp.Compare(a.name, name) })
}

// application finds one by its name in any case, or returns nil.
func (e *edition) application(name string) *application {
	if at, found := e.find(strings.ToUpper(name)); found {
		return e.applications[at]
	}
	return nil
}

// application is one name's instances as of one moment. It is shared by the editions in which it is the same.
type application struct {
	name     string
	services []instance.Service // that have instances, sorted
	members  []member           // by id
	counts   counts
	pieces   [formats]lazyDocument
	vips     [2]lazyNames
}

type member struct {
	service  instance.Service
	instance *instance.Instance
}

func compareServices(a, b instance.Service) int {
	return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Name, b.Name))
}

// application looks services up that are one application; nil when it has no instances. It takes the slice.
func (c *catalogue) application(name string, services []instance.Service) *application {
	slices.SortFunc(services, compareServices)
	services = slices.Compact(services)
	a := &application{name: name}
	for _, service := range services {
		snapshot := c.registry.Lookup(service)
		if snapshot == nil || len(snapshot.Instances) == 0 {
			continue
		}
		a.services = append(a.services, service)
		for _, i := range snapshot.Instances {
			a.members = append(a.members, member{service: service, instance: i})
		}
	}
	if len(a.members) == 0 {
		return nil
	}
	if len(a.services) > 1 { // clients know an id once in an application
		slices.SortStableFunc(a.members, func(a, b member) int { return cmp.Compare(a.instance.ID, b.instance.ID) })
		a.members = slices.CompactFunc(a.members, func(a, b member) bool { return a.instance.ID == b.instance.ID })
	}
	for _, m := range a.members {
		a.counts[shownStatus(m.instance)]++
	}
	return a
}

// member finds an instance, or returns nil.
func (a *application) member(id string) *member {
	at, found := slices.BinarySearchFunc(a.members, id, func(m member, id string) int { return cmp.Compare(m.instance.ID, id) })
	if !found {
		return nil
	}
	return &a.members[at]
}

// lazyNames is worked out when it is first asked for.
type lazyNames struct {
	once  sync.Once
	names []string
}

// answersTo reports whether some instance has the virtual address, or the secure one.
func (a *application) answersTo(vip string, secure bool) bool {
	lazy := &a.vips[0]
	if secure {
		lazy = &a.vips[1]
	}
	lazy.once.Do(func() {
		for _, m := range a.members {
			lazy.names = append(lazy.names, strings.Split(vipOf(m, secure), ",")...)
		}
		slices.Sort(lazy.names)
		lazy.names = slices.Compact(lazy.names)
	})
	_, found := slices.BinarySearch(lazy.names, vip)
	return found
}

func vipOf(m member, secure bool) string {
	shown := show(m.service, m.instance, actionAdded)
	if secure {
		return shown.secureVIP
	}
	return shown.vip
}

// counts are numbers of instances by status.
type counts [statuses]int

func (c *counts) add(other *counts) {
	for s, n := range other {
		c[s] += n
	}
}

func (c *counts) subtract(other *counts) {
	for s, n := range other {
		c[s] -= n
	}
}

// hash is the apps__hashcode: UP_2_ and the like, in the order of the names.
func (c *counts) hash() string {
	var b []byte
	for s, n := range c {
		if n > 0 {
			b = append(b, status(s).String()...)
			b = append(b, '_')
			b = strconv.AppendInt(b, int64(n), 10)
			b = append(b, '_')
		}
	}
	return string(b)
}
