package migrate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
	"github.com/gantry-platform/gantry/sdk/api/gantry/v1/gantryv1connect"
)

const (
	// gantryInterval is how often Gantry is asked what has changed: one list of services, with a revision each.
	gantryInterval = 500 * time.Millisecond
	// gantryTTL is how long a copy in Gantry outlives the mirror, and gantryBeat the time between its beats: three in a time to live, and
	// for 1,000 services 100 small requests a second.
	gantryTTL  = 30 * time.Second
	gantryBeat = 10 * time.Second
	// gantryWrites is how many registrations are under way at once: what comes together shares one commit there.
	gantryWrites = 64
	// gantryPage is the largest page that Gantry gives, and the largest batch of beats that it takes.
	gantryPage = 1000
)

// gantryRegistry is Gantry's side of a mirror, by the native API.
type gantryRegistry struct {
	instances gantryv1connect.InstanceServiceClient
	// kind is the source's: it stands in the ids of the copies.
	kind string
	// namespaces to read: those that the source has a counterpart of.
	namespaces []string

	// What Follow holds: services by name, as of a revision.
	held map[Service]heldService
}

type heldService struct {
	revision  int64
	instances []Instance
}

// NewGantry returns the Gantry side of a mirror of these namespaces with a source of a kind.
func NewGantry(instances gantryv1connect.InstanceServiceClient, kind string, namespaces []string) Registry {
	return &gantryRegistry{instances: instances, kind: kind, namespaces: namespaces, held: map[Service]heldService{}}
}

func (*gantryRegistry) Kind() string { return "gantry" }

func (*gantryRegistry) Close() {}

func (*gantryRegistry) BeatEvery() time.Duration { return gantryBeat }

// Follow implements [Registry].
func (g *gantryRegistry) Follow(ctx context.Context, show func(View)) error {
	for first := true; ; first = false {
		changed, err := g.poll(ctx)
		if err != nil {
			return err
		}
		if changed || first {
			view := make(View, len(g.held))
			for service, h := range g.held {
				if len(h.instances) > 0 {
					view[service] = h.instances
				}
			}
			show(view)
		}
		if err := pause(ctx, gantryInterval); err != nil {
			return err
		}
	}
}

// poll reads the services whose revision is another than the one it holds.
func (g *gantryRegistry) poll(ctx context.Context) (changed bool, err error) {
	listed := map[Service]int64{}
	for _, namespace := range g.namespaces {
		if err := g.list(ctx, namespace, listed); err != nil {
			return false, err
		}
	}
	var stale []Service
	for service, revision := range listed {
		if h, ok := g.held[service]; !ok || h.revision != revision {
			stale = append(stale, service)
		}
	}
	for service := range g.held {
		if _, ok := listed[service]; !ok {
			delete(g.held, service)
			changed = true
		}
	}
	var mu sync.Mutex
	err = atOnce(ctx, len(stale), func(ctx context.Context, i int) error {
		h, err := g.look(ctx, stale[i])
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			g.held[stale[i]] = h
			changed = true
		}
		return err
	})
	return changed, err
}

func (g *gantryRegistry) list(ctx context.Context, namespace string, into map[Service]int64) error {
	for token := ""; ; {
		page, err := g.instances.ListServices(ctx, &gantryv1.ListServicesRequest{Namespace: namespace, PageSize: gantryPage, PageToken: token})
		if err != nil {
			return err
		}
		for _, s := range page.GetServices() {
			into[serviceOf(s.GetRef())] = s.GetRevision()
		}
		if token = page.GetNextPageToken(); token == "" {
			return nil
		}
	}
}

func serviceOf(ref *gantryv1.ServiceRef) Service {
	return Service{ref.GetNamespace(), ref.GetGroup(), ref.GetService()}
}

func (s Service) ref() *gantryv1.ServiceRef {
	return &gantryv1.ServiceRef{Namespace: s.Namespace, Group: s.Group, Service: s.Name}
}

func (g *gantryRegistry) look(ctx context.Context, service Service) (heldService, error) {
	event, err := g.instances.Lookup(ctx, &gantryv1.LookupRequest{Service: service.ref()})
	if connect.CodeOf(err) == connect.CodeNotFound {
		return heldService{}, nil
	}
	if err != nil {
		return heldService{}, err
	}
	h := heldService{revision: event.GetRevision(), instances: make([]Instance, 0, len(event.GetInstances()))}
	available := false
	for _, i := range event.GetInstances() {
		h.instances = append(h.instances, fromGantry(i))
		available = available || h.instances[len(h.instances)-1].Available
	}
	if !available {
		// As for callers: where nothing else is left, what is protected counts.
		for n, i := range event.GetInstances() {
			h.instances[n].Available = i.GetProtected() && effectiveStatus(i) == gantryv1.Status_STATUS_UP
		}
	}
	return h, nil
}

func effectiveStatus(i *gantryv1.Instance) gantryv1.Status {
	if status := i.GetOverride().GetStatus(); status != gantryv1.Status_STATUS_UNSPECIFIED {
		return status
	}
	return i.GetStatus()
}

func fromGantry(i *gantryv1.Instance) Instance {
	weight := 1.0
	switch {
	case i.GetOverride() != nil && i.GetOverride().Weight != nil:
		weight = i.GetOverride().GetWeight()
	case i.Weight != nil:
		weight = i.GetWeight()
	}
	return Instance{ID: i.GetId(), Address: i.GetAddress(), Port: int(i.GetPort()), Ports: i.GetPorts(), Weight: weight, Labels: i.GetLabels(), Metadata: i.GetMetadata(),
		Available: effectiveStatus(i) == gantryv1.Status_STATUS_UP && i.GetHealth() != gantryv1.Health_HEALTH_UNHEALTHY && weight > 0}
}

// id is what a copy is registered under. It is none that a provider registers itself under, so that one which moves over and its copy
// never take each other's place.
func (g *gantryRegistry) id(c Copy) string {
	return fmt.Sprintf("mirror:%s:%s:%d", g.kind, c.Instance.Address, c.Instance.Port)
}

// Register implements [Registry].
func (g *gantryRegistry) Register(ctx context.Context, copies []Copy) []error {
	return eachCopyOf(ctx, gantryWrites, copies, func(ctx context.Context, c Copy) error {
		i := &c.Instance
		weight := i.Weight
		_, err := g.instances.Register(ctx, &gantryv1.RegisterRequest{Service: c.Service.ref(), Instance: &gantryv1.Instance{Id: g.id(c), Address: i.Address,
			Port: uint32(min(max(i.Port, 0), math.MaxUint16+1)), Ports: i.Ports, Weight: &weight, Labels: i.Labels, Metadata: i.Metadata, Status: gantryv1.Status_STATUS_UP,
			Ttl: durationpb.New(gantryTTL), RemoveAfter: durationpb.New(gantryTTL)}})
		return err
	})
}

// Beat implements [Registry]: one request a service.
func (g *gantryRegistry) Beat(ctx context.Context, copies []Copy) (unknown []int, err error) {
	type beats struct {
		service Service
		ids     []string
	}
	index := map[Service]map[string]int{}
	var all []beats
	open := map[Service]int{}
	for n, c := range copies {
		if index[c.Service] == nil {
			index[c.Service] = map[string]int{}
		}
		id := g.id(c)
		index[c.Service][id] = n
		at, ok := open[c.Service]
		if !ok || len(all[at].ids) == gantryPage {
			at = len(all)
			open[c.Service] = at
			all = append(all, beats{service: c.Service})
		}
		all[at].ids = append(all[at].ids, id)
	}
	var mu sync.Mutex
	err = atOnce(ctx, len(all), func(ctx context.Context, i int) error {
		answer, err := g.instances.Beat(ctx, &gantryv1.BeatRequest{Service: all[i].service.ref(), Ids: all[i].ids})
		mu.Lock()
		defer mu.Unlock()
		for _, id := range answer.GetUnknown() {
			if n, ok := index[all[i].service][id]; ok {
				unknown = append(unknown, n)
			}
		}
		return err
	})
	return unknown, err
}

// Remove implements [Registry].
func (g *gantryRegistry) Remove(ctx context.Context, copies []Copy) []error {
	return eachCopyOf(ctx, gantryWrites, copies, func(ctx context.Context, c Copy) error {
		_, err := g.instances.Deregister(ctx, &gantryv1.DeregisterRequest{Service: c.Service.ref(), Id: g.id(c)})
		if connect.CodeOf(err) == connect.CodeNotFound {
			return nil
		}
		return err
	})
}

// eachCopy does something for each copy, [parallel] at once, and answers an error for each. When the side cannot be reached, the rest is not tried.
func eachCopy(ctx context.Context, copies []Copy, do func(context.Context, Copy) error) []error {
	return eachCopyOf(ctx, parallel, copies, do)
}

func eachCopyOf(ctx context.Context, limit int, copies []Copy, do func(context.Context, Copy) error) []error {
	errs := make([]error, len(copies))
	tried := make([]bool, len(copies))
	var mu sync.Mutex
	var away error
	err := someAtOnce(ctx, limit, len(copies), func(ctx context.Context, i int) error {
		mu.Lock()
		errs[i], tried[i] = away, true
		mu.Unlock()
		if errs[i] != nil {
			return nil
		}
		errs[i] = do(ctx, copies[i])
		if unreached(errs[i]) {
			mu.Lock()
			away = errs[i]
			mu.Unlock()
		}
		return nil
	})
	for i := range errs {
		if !tried[i] {
			errs[i] = err
		}
	}
	return errs
}

// merged is an instance's metadata with the labels that it lacks, which is how systems with one map see it.
func merged(i *Instance, without ...string) map[string]string {
	out := maps.Clone(i.Labels)
	if out == nil {
		out = map[string]string{}
	}
	for _, key := range without {
		delete(out, key)
	}
	maps.Copy(out, i.Metadata)
	return out
}

// labelsOf are the labels that stand in foreign metadata: the well-known ones, where Gantry takes them.
func labelsOf(metadata map[string]string) map[string]string {
	labels := map[string]string{}
	for _, key := range [...]string{"version", "zone", "lane"} {
		if value := metadata[key]; value != "" && len(value) <= maxLabelValue {
			labels[key] = value
		}
	}
	return labels
}

// maxLabelValue is the longest value of a label that Gantry takes.
const maxLabelValue = 512

// EnsureNamespaces makes the namespaces of Gantry that a mirror needs, where they are missing.
func EnsureNamespaces(ctx context.Context, instances gantryv1connect.InstanceServiceClient, kind string, names []string) error {
	listed, err := instances.ListNamespaces(ctx, &gantryv1.ListNamespacesRequest{})
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, n := range listed.GetNamespaces() {
		there[n.GetName()] = true
	}
	for _, name := range names {
		if there[name] {
			continue
		}
		_, err := instances.CreateNamespace(ctx, &gantryv1.CreateNamespaceRequest{Namespace: &gantryv1.Namespace{Name: name, Description: ours + kind}})
		var answered *connect.Error
		if errors.As(err, &answered) && answered.Code() == connect.CodeAlreadyExists {
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}
