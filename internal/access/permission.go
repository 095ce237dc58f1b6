package access

import (
	"strings"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// Permission is what a request needs. Permissions can be joined by |; whoever asks for several asks for any one of
// them: View|Serve is "a viewer or a service".
type Permission uint8

// The permissions. Their numbers are not stored or sent.
const (
	View          Permission = 1 << iota // see services, instances, documents and history, without sensitive content
	Publish                              // publish versions
	Release                              // release, promote, abort, roll back
	ReadSensitive                        // see the content of sensitive documents
	Operate                              // drain, override
	Serve                                // register, discover, read what is released, report what is applied
	Administer                           // users, tokens, namespaces, members, keys, backups
)

const everything = View | Publish | Release | ReadSensitive | Operate | Serve | Administer

// everywhere is the namespace of grants and questions that are about all namespaces.
const everywhere = "*"

// String returns the verbs, as they stand in errors: "view or serve".
func (p Permission) String() string {
	verbs := [...]string{"view", "publish", "release", "read sensitive content", "operate", "serve", "administer"}
	var words []string
	for i, verb := range verbs {
		if p&(1<<i) != 0 {
			words = append(words, verb)
		}
	}
	if len(words) == 0 {
		return "do nothing"
	}
	return strings.Join(words, " or ")
}

// permissionsOf is what a role may do. Whoever grants must have what they grant, so that an administrator
// has what services have too.
func permissionsOf(role gantryv1.Role) Permission {
	const (
		viewer    = View
		developer = viewer | Publish
		releaser  = developer | Release | ReadSensitive | Operate
	)
	switch role {
	case gantryv1.Role_ROLE_VIEWER:
		return viewer
	case gantryv1.Role_ROLE_DEVELOPER:
		return developer
	case gantryv1.Role_ROLE_RELEASER:
		return releaser
	case gantryv1.Role_ROLE_ADMIN:
		return everything
	case gantryv1.Role_ROLE_SERVICE:
		return Serve
	default:
		return 0
	}
}

// roleFor is the least role that has any of p.
func roleFor(p Permission) gantryv1.Role {
	for _, role := range [...]gantryv1.Role{
		gantryv1.Role_ROLE_VIEWER, gantryv1.Role_ROLE_DEVELOPER, gantryv1.Role_ROLE_RELEASER, gantryv1.Role_ROLE_SERVICE,
	} {
		if permissionsOf(role)&p != 0 {
			return role
		}
	}
	return gantryv1.Role_ROLE_ADMIN
}

// roleName is the word for a role in the store and in messages.
func roleName(role gantryv1.Role) string {
	return strings.ToLower(strings.TrimPrefix(role.String(), "ROLE_"))
}

// roleNamed undoes roleName; a word of a newer version is ROLE_UNSPECIFIED, which may nothing.
func roleNamed(name string) gantryv1.Role {
	return gantryv1.Role(gantryv1.Role_value["ROLE_"+strings.ToUpper(name)])
}

// rights are grants in the form that questions are asked of. Immutable.
type rights struct {
	everywhere Permission
	namespaces map[string]Permission
	grants     []grant
}

func newRights(grants []grant) *rights {
	r := &rights{grants: grants}
	for _, g := range grants {
		p := permissionsOf(roleNamed(g.Role))
		if g.Namespace == everywhere {
			r.everywhere |= p
			continue
		}
		if r.namespaces == nil {
			r.namespaces = make(map[string]Permission, len(grants))
		}
		r.namespaces[g.Namespace] |= p
	}
	return r
}

func (r *rights) has(p Permission, namespace string) bool {
	return r.everywhere&p != 0 || r.namespaces[namespace]&p != 0
}

// somewhere reports whether any namespace at all gives any of p.
func (r *rights) somewhere(p Permission) bool {
	if r.everywhere&p != 0 {
		return true
	}
	for _, has := range r.namespaces {
		if has&p != 0 {
			return true
		}
	}
	return false
}
