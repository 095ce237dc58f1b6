package instance

import (
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/gantry-platform/gantry/internal/state"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// Key spaces.
const (
	spaceInstance  = "instance"
	spaceOverride  = "override"
	spaceService   = "service"
	spaceNamespace = "namespace"
)

func instanceKey(s Service, id string) string {
	return state.Key(spaceInstance, s.Namespace, s.Group, s.Name, id)
}

func overrideKey(s Service, id string) string {
	return state.Key(spaceOverride, s.Namespace, s.Group, s.Name, id)
}

func serviceKey(s Service) string { return state.Key(spaceService, s.Namespace, s.Group, s.Name) }

func namespaceKey(name string) string { return state.Key(spaceNamespace, name) }

// splitKey reads the service, and the id when there is one.
func splitKey(key string, parts int) (Service, string, bool) {
	if !strings.Contains(key, "%") && strings.Count(key, "/") == parts-1 { // nothing is escaped: spare the slice
		_, rest, _ := strings.Cut(key, "/")
		namespace, rest, _ := strings.Cut(rest, "/")
		group, rest, _ := strings.Cut(rest, "/")
		name, id, _ := strings.Cut(rest, "/")
		return Service{Namespace: namespace, Group: group, Name: name}, id, true
	}
	split, err := state.Split(key)
	if err != nil || len(split) != parts {
		return Service{}, "", false
	}
	service := Service{Namespace: split[1], Group: split[2], Name: split[3]}
	if parts == 5 {
		return service, split[4], true
	}
	return service, "", true
}

// mirrored feeds one key space into the registry. It turns a reset into the events that lead to the same, so that
// subscribers need not know of it.
type mirrored struct {
	registry *Registry
	apply    func(event state.Event)
	// finish is called after the events of a call.
	finish func(revision int64)
	// keys of what is held, to tell what a reset takes away.
	keys func(yield func(key string))
}

// Reset implements state.Mirrored.
func (m *mirrored) Reset(records []state.Record, revision int64) {
	m.registry.applied.Store(revision)
	m.registry.refreshMembers()
	m.registry.resetting = true
	defer func() {
		m.registry.resetting = false
		m.registry.journal.restart(m.registry.clock.Now(), revision)
	}()
	kept := make(map[string]struct{}, len(records))
	for _, record := range records {
		kept[record.Key] = struct{}{}
	}
	var lost []string
	m.keys(func(key string) {
		if _, still := kept[key]; !still {
			lost = append(lost, key)
		}
	})
	for _, key := range lost {
		m.apply(state.Event{Record: state.Record{Key: key, Modified: revision}, Deleted: true})
	}
	for _, record := range records {
		m.apply(state.Event{Record: record})
	}
	m.finish(revision)
}

// Apply implements state.Mirrored.
func (m *mirrored) Apply(events []state.Event, revision int64) {
	m.registry.applied.Store(revision)
	for _, event := range events {
		m.apply(event)
	}
	m.finish(revision)
}

func (r *Registry) registerMirrors() {
	notify := func(int64) { r.notifier.flush() }
	r.store.Mirror(state.Prefix(spaceNamespace), &mirrored{registry: r, apply: r.applyNamespace, finish: notify,
		keys: r.namespaceKeys})
	r.store.Mirror(state.Prefix(spaceService), &mirrored{registry: r, apply: r.applySettings, finish: notify,
		keys: func(yield func(string)) {
			r.eachRoster(func(roster *roster) {
				if roster.settings != nil {
					yield(serviceKey(roster.service))
				}
			})
		}})
	r.store.Mirror(state.Prefix(spaceOverride), &mirrored{registry: r, apply: r.applyOverride, finish: notify,
		keys: func(yield func(string)) {
			r.eachRoster(func(roster *roster) {
				for id := range roster.overrides {
					yield(overrideKey(roster.service, id))
				}
			})
		}})
	r.store.Mirror(state.Prefix(spaceInstance), &mirrored{registry: r, apply: r.applyInstance, finish: notify,
		keys: func(yield func(string)) {
			r.eachRoster(func(roster *roster) {
				for _, i := range roster.committed {
					yield(instanceKey(roster.service, i.ID))
				}
			})
		}})
}

func (r *Registry) eachRoster(visit func(*roster)) {
	r.table.all(func(roster *roster) bool {
		roster.mu.RLock()
		defer roster.mu.RUnlock()
		visit(roster)
		return true
	})
}

// lock finds or makes the roster of a service and locks it. unlock afterwards with [Registry.unlock].
func (r *Registry) lock(service Service) *roster {
	for {
		roster := r.table.obtain(service, func() *roster { return newRoster(cloneService(service), r.applied.Load(), r.clock.Now) })
		roster.mu.Lock()
		if !roster.gone {
			return roster
		}
		roster.mu.Unlock()
	}
}

// unlock unlocks a roster, and forgets it when it is empty.
func (r *Registry) unlock(roster *roster) {
	if roster.empty() {
		roster.gone = true
	}
	gone := roster.gone
	roster.mu.Unlock()
	if gone {
		r.table.remove(roster)
	}
}

func cloneService(s Service) Service {
	return Service{Namespace: strings.Clone(s.Namespace), Group: strings.Clone(s.Group), Name: strings.Clone(s.Name)}
}

func (r *Registry) applyInstance(event state.Event) {
	service, id, ok := splitKey(event.Key, 5)
	if !ok {
		r.log.Error("a record of an instance has a key that is none", "key", event.Key)
		return
	}
	if event.Deleted {
		if r.table.find(service) == nil {
			return
		}
		roster := r.lock(service)
		defer r.unlock(roster)
		r.dropInstance(roster, id, event.Modified)
		return
	}
	i, err := decodeInstance(event.Value, event.Modified)
	if err != nil || i.ID != id {
		r.metrics.malformed.Inc()
		r.log.Error("a stored instance cannot be read and is left out", "key", event.Key, "error", err)
		return
	}
	roster := r.lock(service)
	defer r.unlock(roster)
	before, known := roster.put(i)
	if known {
		return
	}
	if before == nil {
		r.counts.add(service.Namespace, 1)
	}
	r.noteLoss(roster, before, i)
	r.adopt(roster, before, i)
	r.names.change(roster.service, before, i)
	roster.changed(i.Modified, i.life.id)
	r.notifier.add(roster)
	r.record(roster.service, before, i, i.Modified)
}

// record notes a change in the journal. A reset is none: whoever follows reads everything again.
func (r *Registry) record(service Service, before, after *Instance, revision int64) {
	if !r.resetting {
		r.journal.add(r.clock.Now(), service, before, after, revision)
	}
}

// dropInstance takes a deleted instance out of its roster.
func (r *Registry) dropInstance(roster *roster, id string, revision int64) {
	before := roster.take(id)
	if before == nil {
		return
	}
	r.counts.add(roster.service.Namespace, -1)
	session := r.release(before)
	r.names.change(roster.service, before, nil)
	roster.changed(revision, before.life.id)
	r.notifier.add(roster)
	r.record(roster.service, before, nil, revision)
	// Others mark what they take for lost before they remove it; who deregisters does not. After a reset nobody can tell.
	lost := before.Health == gantryv1.Health_HEALTH_UNHEALTHY || r.resetting
	if session != nil && lost && r.holdPending(roster, before.revived(), session, 0) == nil {
		r.log.Warn("an instance whose session is here was removed while this node was away: registering it again",
			"service", roster.service.String(), "instance", id)
	}
}

func (r *Registry) applyOverride(event state.Event) {
	service, id, ok := splitKey(event.Key, 5)
	if !ok {
		return
	}
	var override *Override
	if !event.Deleted {
		decoded, err := decodeOverride(event.Value)
		if err != nil {
			r.metrics.malformed.Inc()
			r.log.Error("a stored override cannot be read and is left out", "key", event.Key, "error", err)
			return
		}
		if override = decoded; override != nil {
			override.modified = event.Modified
		}
	} else if r.table.find(service) == nil {
		return
	}
	roster := r.lock(service)
	defer r.unlock(roster)
	if override == nil {
		delete(roster.overrides, id)
	} else {
		if roster.overrides == nil {
			roster.overrides = make(map[string]*Override)
		}
		roster.overrides[strings.Clone(id)] = override
	}
	before := roster.current(id)
	if p := roster.pending[id]; p != nil {
		p.instance = p.instance.overridden(override)
	}
	if at, found := search(roster.committed, id); found {
		roster.committed[at] = roster.committed[at].overridden(override)
	}
	if before != nil {
		roster.changed(event.Modified, strings.Clone(id))
		r.notifier.add(roster)
		r.record(roster.service, before, roster.current(id), event.Modified)
	}
}

// revived is a copy in good health.
func (i *Instance) revived() *Instance {
	return i.withState(func(c *Instance) {
		c.Health, c.HealthReason, c.Protected = gantryv1.Health_HEALTH_HEALTHY, "", false
	})
}

// overridden is a copy under another override.
func (i *Instance) overridden(override *Override) *Instance {
	c := *i
	c.Override = override
	c.dress()
	return &c
}

func (r *Registry) applySettings(event state.Event) {
	service, _, ok := splitKey(event.Key, 4)
	if !ok {
		return
	}
	var settings *gantryv1.ServiceSettings
	if !event.Deleted {
		settings = new(gantryv1.ServiceSettings)
		if err := proto.Unmarshal(event.Value, settings); err != nil {
			r.metrics.malformed.Inc()
			r.log.Error("stored settings of a service cannot be read and are left out", "key", event.Key, "error", err)
			return
		}
	} else if r.table.find(service) == nil {
		return
	}
	roster := r.lock(service)
	defer r.unlock(roster)
	if !r.resetting && !proto.Equal(roster.settings, settings) {
		r.observe(SettingsChange{Service: service, Before: roster.settings, After: settings, Revision: event.Modified})
	}
	roster.settings = settings
	roster.changed(event.Modified)
	r.notifier.add(roster)
	r.journal.touch(service.Namespace, event.Modified)
}
