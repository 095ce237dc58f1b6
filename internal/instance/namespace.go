package instance

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/state"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// namespaces mirror the namespaces of the cluster. The default one is always there, with or without a record.
type namespaces struct {
	current atomic.Pointer[map[string]*gantryv1.Namespace]
}

func (n *namespaces) init() { n.current.Store(&map[string]*gantryv1.Namespace{}) }

func (n *namespaces) has(name string) bool {
	_, ok := (*n.current.Load())[name]
	return ok || name == Default
}

func (r *Registry) namespaceKeys(yield func(string)) {
	for name := range *r.namespaces.current.Load() {
		yield(namespaceKey(name))
	}
}

func (r *Registry) applyNamespace(event state.Event) {
	split, err := state.Split(event.Key)
	if err != nil || len(split) != 2 {
		return
	}
	changed := maps.Clone(*r.namespaces.current.Load())
	if event.Deleted {
		delete(changed, split[1])
	} else {
		namespace := new(gantryv1.Namespace)
		if err := proto.Unmarshal(event.Value, namespace); err != nil {
			r.metrics.malformed.Inc()
			r.log.Error("a stored namespace cannot be read and is left out", "key", event.Key, "error", err)
			return
		}
		changed[split[1]] = namespace
	}
	r.namespaces.current.Store(&changed)
}

func errNamespace(name string) error {
	return fault.New(fault.NotFound, "namespace.unknown", "there is no namespace %s", quoted(name)).At("service.namespace").
		Hinted("create it first, or use %q", Default)
}

// HasNamespace reports whether a namespace exists, as far as this node knows.
func (r *Registry) HasNamespace(name string) bool { return r.namespaces.has(name) }

// Namespaces lists all namespaces by name, the default one included. Do not change them.
func (r *Registry) Namespaces() []*gantryv1.Namespace {
	current := *r.namespaces.current.Load()
	list := slices.Collect(maps.Values(current))
	if _, ok := current[Default]; !ok {
		list = append(list, &gantryv1.Namespace{Name: Default})
	}
	slices.SortFunc(list, func(a, b *gantryv1.Namespace) int { return strings.Compare(a.GetName(), b.GetName()) })
	return list
}

// CreateNamespace makes a namespace. Who made it and when is set by the server. The change is audited.
//
// Errors: Invalid; AlreadyExists "namespace.exists"; Exhausted; Unavailable.
func (r *Registry) CreateNamespace(ctx context.Context, name, description string) error {
	if f := checkNamespace("namespace.name", name); f != nil {
		return f
	}
	if f := checkText("namespace.description", description, MaxMessageBytes); f != nil {
		return f
	}
	if len(*r.namespaces.current.Load()) >= r.limits.Namespaces {
		return fault.New(fault.Exhausted, "namespace.limit", "the cluster already has %d namespaces", r.limits.Namespaces).
			Hinted("delete those that are not used any more; use groups to divide one")
	}
	namespace := &gantryv1.Namespace{Name: name, Description: description, CreatedAt: timestamppb.New(r.clock.Now())}
	value, err := proto.Marshal(namespace)
	if err != nil {
		return err
	}
	key := namespaceKey(name)
	exists := fault.New(fault.AlreadyExists, "namespace.exists", "there is a namespace %s already", quoted(name)).
		At("namespace.name").Hinted("choose another name, or use it as it is")
	if name == Default {
		return exists
	}
	_, err = r.commitAudited(ctx, state.Change{If: []state.Condition{state.Unchanged(key, 0)}, Put: []state.Put{{Key: key, Value: value}}},
		access.Entry{Action: "namespace.create", Namespace: name, Target: name, After: namespace})
	if fault.Is(err, fault.Conflict) {
		return exists
	}
	return err
}

// DeleteNamespace removes an empty namespace, with the overrides and settings left in it. Registrations are refused
// from its first step on; if something came in just before that, the namespace is put back. The change is audited.
//
// Errors: NotFound "namespace.unknown"; Precondition "namespace.in_use", saying by what; Unavailable.
func (r *Registry) DeleteNamespace(ctx context.Context, name string) error {
	if name == Default {
		return fault.New(fault.Precondition, "namespace.in_use", "namespace %q cannot be deleted", Default).At("name").
			Hinted("what names no namespace lives there")
	}
	if f := checkNamespace("name", name); f != nil {
		return f
	}
	key := namespaceKey(name)
	record, found, err := r.store.Get(ctx, key)
	if err != nil {
		return err
	}
	if !found {
		return errNamespace(name)
	}
	if err := r.checkEmpty(ctx, name); err != nil {
		return err
	}
	before := new(gantryv1.Namespace)
	if err := proto.Unmarshal(record.Value, before); err != nil {
		return err
	}
	_, err = r.commitAudited(ctx, state.Change{If: []state.Condition{state.Unchanged(key, record.Modified)}, Delete: []string{key}},
		access.Entry{Action: "namespace.delete", Namespace: name, Target: name, Before: before})
	if err != nil {
		return err
	}
	// From here on nothing can come in; see whether something did just before.
	if refused := r.checkEmpty(ctx, name); refused != nil {
		_, err := r.store.Commit(ctx, state.Change{If: []state.Condition{state.Unchanged(key, 0)}, Put: []state.Put{{Key: key, Value: record.Value}}})
		if err != nil && !errors.Is(err, state.ErrConflict) {
			return errors.Join(refused, err)
		}
		return refused
	}
	return r.sweep(ctx, name)
}

// checkEmpty refuses while something lives in a namespace.
func (r *Registry) checkEmpty(ctx context.Context, name string) error {
	instances, err := r.store.List(ctx, state.Prefix(spaceInstance, name), state.ListOptions{Limit: 1, KeysOnly: true})
	if err != nil {
		return err
	}
	if len(instances) > 0 || r.pendingIn(name) {
		example := ""
		if len(instances) > 0 {
			if service, id, ok := splitKey(instances[0].Key, 5); ok {
				example = ", such as " + quoted(id) + " of " + quoted(service.String())
			}
		}
		return fault.New(fault.Precondition, "namespace.in_use", "instances live in namespace %s%s", quoted(name), example).At("name").
			Hinted("stop or deregister them first")
	}
	if r.namespaceInUse != nil {
		return r.namespaceInUse(ctx, name)
	}
	return nil
}

func (r *Registry) pendingIn(namespace string) bool {
	if r.provisionals.count.Load() == 0 {
		return false
	}
	found := false
	r.eachRoster(func(roster *roster) {
		found = found || roster.service.Namespace == namespace && len(roster.pending) > 0
	})
	return found
}

// sweepBatch is how many leftovers are removed in one change.
const sweepBatch = 64

// sweep removes what operators left in a namespace.
func (r *Registry) sweep(ctx context.Context, name string) error {
	for _, prefix := range []string{state.Prefix(spaceOverride, name), state.Prefix(spaceService, name)} {
		left, err := r.store.List(ctx, prefix, state.ListOptions{KeysOnly: true})
		if err != nil {
			return err
		}
		for batch := range slices.Chunk(left, sweepBatch) {
			change := state.Change{}
			for _, record := range batch {
				change.Delete = append(change.Delete, record.Key)
			}
			revision, err := r.store.Commit(ctx, change)
			if err != nil {
				return err
			}
			if err := r.store.Await(ctx, revision); err != nil {
				return err
			}
		}
	}
	return nil
}
