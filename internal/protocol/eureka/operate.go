package eureka

import (
	"context"
	"maps"
	"net/http"
	"strconv"
	"strings"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/instance"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// resolve finds an instance by application and id, or returns nil. Nearly always its service is the application in lower case; otherwise the
// catalogue knows.
func (op *operation) resolve(app, id string) *member {
	service := serviceOf(op.namespace, app, "")
	if snapshot := op.registry.Lookup(service); snapshot != nil {
		if i := snapshot.Instance(id); i != nil {
			return &member{service: service, instance: i}
		}
	}
	if a := op.catalogues.of(op.namespace).current().application(app); a != nil {
		return a.member(id)
	}
	return nil
}

// register adds or replaces an instance.
func (op *operation) register(ctx context.Context, app string) (answer, error) {
	if err := access.Require(ctx, access.Serve, op.namespace); err != nil {
		return answer{}, err
	}
	body, err := op.read(maxRegistrationBytes)
	if err != nil {
		return answer{}, err
	}
	registrant, err := decodeRegistration(body)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, op.accept(ctx, app, registrant, op.replicated)
}

// accept takes a registration. One that a server replicates does not replace what is newer here, and brings its override along, as
// between Eureka's servers.
func (op *operation) accept(ctx context.Context, app string, registrant *info, replicated bool) error {
	if err := registrant.check(app); err != nil {
		return err
	}
	id := registrant.id()
	before := op.resolve(app, id)
	if before != nil && replicated {
		if dirty, known := lastDirtyOf(before.instance); known && dirty > registrant.lastDirty {
			_, err := op.registry.Beat(ctx, before.service, []string{id})
			return err
		}
	}
	service := serviceOf(op.namespace, app, registrant.vip)
	if _, err := op.registry.Register(ctx, registrant.registration(service)); err != nil {
		return err
	}
	if before != nil && before.service != service {
		// The same instance under another spelling of its name.
		if _, err := op.registry.Deregister(ctx, before.service, id); err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
	}
	if replicated && registrant.overridden != statusUnknown && (before == nil || before.instance.Override == nil) {
		return op.setStatus(ctx, app, id, registrant.overridden.String())
	}
	return nil
}

// renew is a heartbeat. What is not known, or has changed at the client since it registered, is to be registered again: 404. What
// another server has in an older state than we is answered with ours: 409.
func (op *operation) renew(ctx context.Context, app, id, lastDirty string) (answer, error) {
	m := op.resolve(app, id)
	if m == nil {
		return answer{}, errUnknown("instance", id)
	}
	unknown, err := op.registry.Beat(ctx, m.service, []string{id})
	if err != nil {
		return answer{}, err
	}
	if len(unknown) > 0 {
		return answer{}, errUnknown("instance", id)
	}
	ours, known := lastDirtyOf(m.instance)
	if lastDirty == "" || lastDirty == "null" || !known {
		return answer{status: http.StatusOK}, nil
	}
	theirs, err := strconv.ParseInt(lastDirty, 10, 64)
	switch {
	case err != nil:
		return answer{}, invalid("lastDirtyTimestamp", "%q is no time", cut(lastDirty)).Hinted("send milliseconds since 1970")
	case theirs > ours:
		return answer{}, fault.New(fault.NotFound, "eureka.changed", "instance %q has changed since it was registered", cut(id)).
			Hinted("register it again")
	case theirs < ours && op.replicated:
		conflict := op.envelope("instance", op.format.appendMember(nil, *m, actionAdded))
		conflict.status = http.StatusConflict
		return conflict, nil
	}
	return answer{status: http.StatusOK}, nil
}

func (op *operation) cancel(ctx context.Context, app, id string) error {
	m := op.resolve(app, id)
	if m == nil {
		return errUnknown("instance", id)
	}
	_, err := op.registry.Deregister(ctx, m.service, id)
	return err
}

// setStatus sets an override. The package comment says why UP takes it off.
func (op *operation) setStatus(ctx context.Context, app, id, value string) error {
	wanted, known := statusNamed(value)
	if !known || wanted == statusStarting {
		return invalid("value", "an override cannot be %q", cut(value)).Hinted("use UP, DOWN, OUT_OF_SERVICE or UNKNOWN")
	}
	m := op.resolve(app, id)
	if m == nil {
		return errUnknown("instance", id)
	}
	set := wanted.gantry()
	if wanted == statusUnknown || wanted == statusUp && m.instance.Status != gantryv1.Status_STATUS_DRAINING {
		set = gantryv1.Status_STATUS_UNSPECIFIED
	}
	return op.override(ctx, m, set)
}

func (op *operation) clearStatus(ctx context.Context, app, id string) error {
	m := op.resolve(app, id)
	if m == nil {
		return errUnknown("instance", id)
	}
	return op.override(ctx, m, gantryv1.Status_STATUS_UNSPECIFIED)
}

// override changes the status alone: an operator's weight stays. What is so already is not written again, as servers replicate often.
func (op *operation) override(ctx context.Context, m *member, set gantryv1.Status) error {
	change := instance.OverrideChange{Service: m.service, ID: m.instance.ID, Status: set, Message: "by Eureka's status operation"}
	before := gantryv1.Status_STATUS_UNSPECIFIED
	if o := m.instance.Override; o != nil {
		change.Weight, before = o.Weight, o.Status
	}
	if before == set {
		return nil
	}
	_, err := op.registry.SetOverride(ctx, change)
	return err
}

// setMetadata adds the query's parameters to the metadata, until the next registration.
func (op *operation) setMetadata(ctx context.Context, app, id string) error {
	m := op.resolve(app, id)
	if m == nil {
		return errUnknown("instance", id)
	}
	added := make(map[string]string, len(op.query))
	for key, values := range op.query {
		added[key] = values[0]
	}
	_, err := op.registry.Edit(ctx, m.service, id, func(i *gantryv1.Instance) error {
		if i.Metadata == nil {
			i.Metadata = make(map[string]string, len(added))
		}
		maps.Copy(i.Metadata, added)
		if labels := edge.Labels(added); len(labels) > 0 {
			if i.Labels == nil {
				i.Labels = make(map[string]string, len(labels))
			}
			maps.Copy(i.Labels, labels)
		}
		return nil
	})
	return err
}

func hasAddress(m member, vip string, secure bool) bool {
	for name := range strings.SplitSeq(vipOf(m, secure), ",") {
		if name == vip {
			return true
		}
	}
	return false
}
