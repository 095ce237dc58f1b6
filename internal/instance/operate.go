package instance

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/state"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// known returns the instance as readers see it, and the override stored for its id; both may be nil.
func (r *Registry) known(service Service, id string) (*Instance, *Override) {
	roster := r.table.find(service)
	if roster == nil {
		return nil, nil
	}
	roster.mu.RLock()
	defer roster.mu.RUnlock()
	return roster.current(id), roster.overrides[id]
}

func checkOperation(service Service, id, message string) *fault.Error {
	if f := checkService(service); f != nil {
		return f
	}
	if f := checkName("id", id, MaxIDBytes); f != nil {
		return f
	}
	return checkText("message", message, MaxMessageBytes)
}

// auditTarget names an instance in the audit log.
func auditTarget(service Service, id string) string {
	return state.Key(service.Group, service.Name, id)
}

// OverrideChange is what an operator sets over what an instance says of itself.
type OverrideChange struct {
	Service Service
	ID      string
	// Weight nil and Status STATUS_UNSPECIFIED leave it to the instance; both together clear the override.
	Weight *float64
	// Status may be UP, DOWN or DRAINING.
	Status  gantryv1.Status
	Message string
}

// SetOverride sets an operator's weight and status, which outlive the registration, and returns the instance as it is then; nil
// when an override was cleared whose instance is gone. The change is audited.
//
// Errors: Invalid; NotFound "instance.unknown"; Conflict when two operators change it at once; Unavailable.
func (r *Registry) SetOverride(ctx context.Context, change OverrideChange) (*Instance, error) {
	change.Service = change.Service.Normal()
	if f := checkOperation(change.Service, change.ID, change.Message); f != nil {
		return nil, f
	}
	if change.Weight != nil {
		if f := checkWeight("weight", *change.Weight); f != nil {
			return nil, f
		}
	}
	switch change.Status {
	case gantryv1.Status_STATUS_UNSPECIFIED, gantryv1.Status_STATUS_UP, gantryv1.Status_STATUS_DRAINING, gantryv1.Status_STATUS_DOWN:
	default:
		return nil, invalid("status", "an operator cannot set status %d", change.Status).Hinted("use UP, DOWN or DRAINING")
	}
	if _, err := r.setOverride(ctx, "instance.override", change); err != nil {
		return nil, err
	}
	i, _ := r.known(change.Service, change.ID)
	return i, nil
}

// setOverride commits an override with its audit record and awaits it.
func (r *Registry) setOverride(ctx context.Context, action string, set OverrideChange) (int64, error) {
	key := overrideKey(set.Service, set.ID)
	record, found, err := r.store.Get(ctx, key)
	if err != nil {
		return 0, err
	}
	if i, _ := r.known(set.Service, set.ID); i == nil && !found {
		return 0, errUnknownInstance(set.Service, set.ID)
	}
	entry := access.Entry{Action: action, Namespace: set.Service.Namespace, Target: auditTarget(set.Service, set.ID), Message: set.Message}
	if before, err := decodeOverride(record.Value); found && err == nil {
		entry.Before = before.proto()
	}
	change := state.Change{If: []state.Condition{state.Unchanged(key, record.Modified)}}
	if set.Weight == nil && set.Status == gantryv1.Status_STATUS_UNSPECIFIED {
		change.Delete = []string{key}
	} else {
		after := &gantryv1.Override{Weight: set.Weight, Status: set.Status, Author: access.FromContext(ctx).Actor,
			At: timestamppb.New(r.clock.Now())}
		value, err := proto.Marshal(after)
		if err != nil {
			return 0, fault.New(fault.Invalid, "instance.invalid", "the author's name is not valid UTF-8").Because(err)
		}
		change.Put = []state.Put{{Key: key, Value: value}}
		entry.After = after
	}
	return r.commitAudited(ctx, change, entry)
}

// commitAudited commits a change with its audit record and waits until this node sees it.
func (r *Registry) commitAudited(ctx context.Context, change state.Change, entry access.Entry) (int64, error) {
	put, err := access.Record(ctx, entry)
	if err != nil {
		return 0, err
	}
	change.Put = append(change.Put, put)
	revision, err := r.store.Commit(ctx, change)
	if errors.Is(err, state.ErrConflict) {
		return 0, fault.New(fault.Conflict, "instance.changed", "%s was changed by somebody else just now", quoted(entry.Target)).
			Hinted("look at it again, then decide")
	}
	if err != nil {
		return 0, err
	}
	return revision, r.store.Await(ctx, revision)
}

// DrainOptions say what to take out of traffic.
type DrainOptions struct {
	Service Service
	ID      string
	// Wait bounds the wait for subscribers. Default 10s, at most 5m.
	Wait time.Duration
	// Deregister removes the instance afterwards, with the drain's override: what registers under this id again takes traffic.
	Deregister bool
	Message    string
}

// DrainResult says how a drain went.
type DrainResult struct {
	// Following are those that held the service; those that have acknowledged use a state in which it drains.
	Following
	// Revision is that of the last step.
	Revision int64
}

// Drain takes an instance out of traffic by an override, waits until the subscribers on all nodes have acknowledged that or the bound
// is over, and then removes it if asked. It is no loss to protection, and it is audited. If ctx ends meanwhile the
// instance stays draining.
//
// Errors: Invalid; NotFound "instance.unknown"; Conflict; Unavailable.
func (r *Registry) Drain(ctx context.Context, options DrainOptions) (DrainResult, error) {
	options.Service = options.Service.Normal()
	if f := checkOperation(options.Service, options.ID, options.Message); f != nil {
		return DrainResult{}, f
	}
	if options.Wait < 0 || options.Wait > MaxDrainWait {
		return DrainResult{}, invalid("wait", "a wait of %v", options.Wait).Hinted("use at most %v", MaxDrainWait)
	}
	if options.Wait == 0 {
		options.Wait = DefaultDrainWait
	}
	i, before := r.known(options.Service, options.ID)
	if i == nil {
		return DrainResult{}, errUnknownInstance(options.Service, options.ID)
	}
	set := OverrideChange{Service: options.Service, ID: options.ID, Status: gantryv1.Status_STATUS_DRAINING, Message: options.Message}
	if before != nil {
		set.Weight = before.Weight
	}
	revision, err := r.setOverride(ctx, "instance.drain", set)
	if err != nil {
		return DrainResult{}, err
	}
	result := DrainResult{Revision: revision}
	result.Following, err = r.AwaitAllAcknowledged(ctx, options.Service, revision, options.Wait)
	if err != nil || !options.Deregister {
		return result, err
	}
	result.Revision, err = r.removeDrained(ctx, options, before)
	return result, err
}

// removeDrained removes a drained instance, and puts back the override that it had before the drain.
func (r *Registry) removeDrained(ctx context.Context, options DrainOptions, before *Override) (int64, error) {
	r.withdraw(options.Service, options.ID)
	change := state.Change{Delete: []string{instanceKey(options.Service, options.ID)}}
	override := overrideKey(options.Service, options.ID)
	if before == nil || before.Status == gantryv1.Status_STATUS_DRAINING {
		change.Delete = append(change.Delete, override)
	} else {
		value, err := proto.Marshal(before.proto())
		if err != nil {
			return 0, err
		}
		change.Put = []state.Put{{Key: override, Value: value}}
	}
	return r.commitAudited(ctx, change, access.Entry{Action: "instance.deregister", Namespace: options.Service.Namespace,
		Target: auditTarget(options.Service, options.ID), Message: options.Message})
}

// AwaitAllAcknowledged is [Registry.AwaitAcknowledged] over the subscribers of all nodes, for at most wait, and says who they are. Other nodes that cannot be
// asked are left out, named and logged. Its error is ctx's.
func (r *Registry) AwaitAllAcknowledged(ctx context.Context, service Service, revision int64, wait time.Duration) (Following, error) {
	bounded, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	others := make(chan Following, 1)
	if r.peers != nil {
		go func() { others <- r.peers.AwaitAcknowledged(bounded, service, revision, wait, MaxFollowers) }()
	} else {
		others <- Following{}
	}
	subscribers, acknowledged := r.AwaitAcknowledged(bounded, service, revision)
	// Who comes or goes from here on is not counted, and may be named.
	f := r.Following(service, revision, MaxFollowers)
	f.Subscribers, f.Acknowledged = subscribers, acknowledged
	f.add(<-others) // bounded by wait
	f.cut(revision, MaxFollowers)
	if len(f.Missing) > 0 && ctx.Err() == nil {
		r.log.Warn("could not ask all other nodes for acknowledgements", "service", service.String(), "nodes", f.Missing)
	}
	return f, ctx.Err()
}

// ConfigureService sets what holds for a whole service, which need not have instances; nil or empty settings clear it. The change is
// audited.
//
// Errors: Invalid; NotFound "namespace.unknown"; Conflict; Unavailable.
func (r *Registry) ConfigureService(ctx context.Context, service Service, settings *gantryv1.ServiceSettings) error {
	service = service.Normal()
	if f := checkService(service); f != nil {
		return f
	}
	if t := settings.GetProtectThreshold(); t < 0 || t > 1 || t != t {
		return invalid("settings.protectThreshold", "a share of %v", t).Hinted("use 0 to 1; 0 turns protection off")
	}
	if f := fillMetadata(new(Instance), &gantryv1.Instance{Metadata: settings.GetMetadata()}); f != nil {
		return f.At("settings." + f.Field[len("instance."):])
	}
	if r.table.find(service) == nil && r.table.size.Load() >= int64(r.limits.Services) {
		return fault.New(fault.Exhausted, "instance.limit", "the cluster already has %d services", r.limits.Services).
			Hinted("remove what is not used any more")
	}
	key := serviceKey(service)
	record, found, err := r.store.Get(ctx, key)
	if err != nil {
		return err
	}
	entry := access.Entry{Action: "service.configure", Namespace: service.Namespace, Target: state.Key(service.Group, service.Name)}
	if found {
		before := new(gantryv1.ServiceSettings)
		if proto.Unmarshal(record.Value, before) == nil {
			entry.Before = before
		}
	}
	change := state.Change{If: []state.Condition{state.Unchanged(key, record.Modified)}}
	if settings == nil || settings.ProtectThreshold == nil && len(settings.Metadata) == 0 {
		change.Delete = []string{key}
	} else {
		if service.Namespace != Default && !r.namespaces.has(service.Namespace) {
			return errNamespace(service.Namespace)
		}
		change.If = namespaceConditions(change.If, service.Namespace)
		value, err := proto.Marshal(settings)
		if err != nil {
			return err
		}
		change.Put = []state.Put{{Key: key, Value: value}}
		entry.After = settings
	}
	_, err = r.commitAudited(ctx, change, entry)
	return err
}
