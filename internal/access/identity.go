package access

import (
	"context"
	"sync/atomic"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"

	"github.com/gantry-platform/gantry/internal/fault"
)

// Identity is who makes a request. It may be held as long as a stream lives: what it may do follows the current
// grants, and is nothing once its token is revoked or expired, or its user is disabled, deleted or has
// another password. Safe for concurrent use.
type Identity struct {
	// Actor is "user:<name>", "token:<id>", "system", "anonymous", or an edge's word for a service, see [Serving].
	Actor string
	// Source is where the request came from: an address, or for the system the reason.
	Source string

	fixed   Permission   // everywhere, whatever the store says
	subject *subject     // whose rights; nil is nobody's
	ended   *atomic.Bool // set when the token is over; nil without a token
	user    string       // the user behind it, if there is one
	login   string       // the id of the login token, if it is one
}

// subject is a user, or a token that has grants of its own, as long as its identities are good.
// No rights at all (nil) is the end of it.
type subject struct{ rights atomic.Pointer[rights] }

// current returns the rights of now, nil if there are none any more.
func (i *Identity) current() *rights {
	if i.subject == nil || (i.ended != nil && i.ended.Load()) {
		return nil
	}
	return i.subject.rights.Load()
}

// May reports whether it has any of the permissions p in a namespace. The namespace "*" asks for the right to all
// of them, which only grants for "*" give. An empty namespace is not taken for "default": callers
// fill it in before they ask.
func (i *Identity) May(p Permission, namespace string) bool {
	if i.fixed&p != 0 {
		return true
	}
	r := i.current()
	return r != nil && r.has(p, namespace)
}

// Active reports whether it is somebody, still. Streams end when theirs is not any more.
func (i *Identity) Active() bool { return i.fixed != 0 || i.current() != nil }

// Grants returns what it may do, as granted. The caller may keep it.
func (i *Identity) Grants() []*gantryv1.Grant {
	if i.fixed != 0 {
		return []*gantryv1.Grant{{Namespace: everywhere, Role: gantryv1.Role_ROLE_ADMIN}}
	}
	if r := i.current(); r != nil {
		return grantsToAPI(r.grants)
	}
	return nil
}

// somewhere reports whether it has any of p in at least one namespace.
func (i *Identity) somewhere(p Permission) bool {
	if i.fixed&p != 0 {
		return true
	}
	r := i.current()
	return r != nil && r.somewhere(p)
}

// System is the server itself, for changes that nobody asked for. It may everything. The reason
// stands in the audit log as the source: "drain of a lost node".
func System(reason string) *Identity {
	return &Identity{Actor: "system", Source: reason, fixed: everything}
}

// Serving is a service that an edge knows by a proof of its own, such as a signature with a key that both have: it may what the role
// service may in one namespace, and the edge sees to it that it asks for nothing but its own. The actor
// is "<edge>:<name>". It is good for as long as it is held, so that an edge makes one for each request.
func Serving(actor, source, namespace string) *Identity {
	i := &Identity{Actor: actor, Source: source, subject: new(subject)}
	i.subject.rights.Store(newRights([]grant{{Namespace: namespace, Role: roleName(gantryv1.Role_ROLE_SERVICE)}}))
	return i
}

type contextKey struct{}

// NewContext returns a context that carries an identity.
func NewContext(ctx context.Context, identity *Identity) context.Context {
	return context.WithValue(ctx, contextKey{}, identity)
}

// FromContext returns the identity of a request. It is never nil: without one it is anonymous and may nothing.
func FromContext(ctx context.Context) *Identity {
	if identity, ok := ctx.Value(contextKey{}).(*Identity); ok && identity != nil {
		return identity
	}
	return &Identity{Actor: "anonymous"}
}

// Require returns nil if the identity of the context has any of the permissions p in a namespace ("*": all of them).
// Otherwise a *fault.Error: Unauthenticated with reason "access.unauthenticated" for nobody and for
// what has ended, Forbidden with reason "access.forbidden" for everybody else.
func Require(ctx context.Context, p Permission, namespace string) error {
	i := FromContext(ctx)
	if i.May(p, namespace) {
		return nil
	}
	if !i.Active() {
		message := "nobody is logged in"
		if i.subject != nil {
			message = "the login or token of " + i.Actor + " has ended"
		}
		return fault.New(fault.Unauthenticated, "access.unauthenticated", "%s", message).
			Hinted("log in, or send a valid token as \"Authorization: Bearer <token>\"")
	}
	where, on := "namespace "+quoted(namespace), quoted(namespace)
	if namespace == everywhere {
		where, on = "all namespaces", "\"*\" (all namespaces)"
	}
	return fault.New(fault.Forbidden, "access.forbidden", "%s may not %s in %s", i.Actor, p, where).
		Hinted("ask an administrator for the role %s on %s", roleName(roleFor(p)), on)
}
