package access

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/state"
)

// grant is a role on a namespace as stored: {"namespace":"prod","role":"releaser"}.
type grant struct {
	Namespace string `json:"namespace"`
	Role      string `json:"role"`
}

// userRecord is the stored form of a user.
type userRecord struct {
	Name     string  `json:"name"`
	Grants   []grant `json:"grants,omitempty"`
	Disabled bool    `json:"disabled,omitempty"`
	// Password is a PHC string; see passwordHash.
	Password string `json:"password"`
	// Session is a random word, new with each password, when the user is disabled, and when enabled again. Login tokens
	// carry it and end with it.
	Session string    `json:"session"`
	Created time.Time `json:"created"`
	Changed time.Time `json:"changed"`
}

// tokenRecord is the stored form of a token. It is written once. With a user it is a login and has that user's rights;
// without, it has grants of its own.
type tokenRecord struct {
	ID          string    `json:"id"`
	Hash        []byte    `json:"hash"`
	User        string    `json:"user,omitempty"`
	Session     string    `json:"session,omitempty"`
	Description string    `json:"description,omitempty"`
	Grants      []grant   `json:"grants,omitempty"`
	Author      string    `json:"author"`
	Created     time.Time `json:"created"`
	// Expires is zero for never.
	Expires time.Time `json:"expires,omitzero"`
}

const (
	userRoom  = "user"
	tokenRoom = "token"
)

func userKey(name string) string { return state.Key(userRoom, name) }
func tokenKey(id string) string  { return state.Key(tokenRoom, id) }

// encode cannot fail: the records hold nothing that JSON has no form for, but for years beyond 9999, which
// lifetimes exclude.
func encode(record any) ([]byte, error) { return json.Marshal(record) }

func decodeUser(key string, value []byte) (userRecord, passwordHash, error) {
	var u userRecord
	if err := json.Unmarshal(value, &u); err != nil {
		return userRecord{}, passwordHash{}, fmt.Errorf("access: %s: %w", key, err)
	}
	if userKey(u.Name) != key || u.Session == "" {
		return userRecord{}, passwordHash{}, fmt.Errorf("access: %s is not the record of a user", key)
	}
	hash, err := parsePasswordHash(u.Password)
	if err != nil {
		return userRecord{}, passwordHash{}, fmt.Errorf("%s: %w", key, err)
	}
	return u, hash, nil
}

func decodeToken(key string, value []byte) (tokenRecord, error) {
	var t tokenRecord
	if err := json.Unmarshal(value, &t); err != nil {
		return tokenRecord{}, fmt.Errorf("access: %s: %w", key, err)
	}
	if tokenKey(t.ID) != key || len(t.ID) != tokenIDLength || len(t.Hash) != sha256.Size {
		return tokenRecord{}, fmt.Errorf("access: %s is not the record of a token", key)
	}
	if t.User != "" && (t.Session == "" || t.Expires.IsZero() || len(t.Grants) != 0) {
		return tokenRecord{}, errors.New("access: " + key + " is not the record of a login")
	}
	return t, nil
}

// administrator reports whether the user can mend everything: enabled, and admin of all namespaces.
func (u *userRecord) administrator() bool {
	return !u.Disabled && newRights(u.Grants).has(Administer, everywhere)
}

func (u *userRecord) toAPI() *gantryv1.User {
	return &gantryv1.User{
		Name: u.Name, Grants: grantsToAPI(u.Grants), Disabled: u.Disabled,
		CreatedAt: timestamppb.New(u.Created), ChangedAt: timestamppb.New(u.Changed),
	}
}

func (t *tokenRecord) toAPI() *gantryv1.Token {
	api := &gantryv1.Token{
		Id: t.ID, Description: t.Description, Grants: grantsToAPI(t.Grants), Author: t.Author, User: t.User,
		CreatedAt: timestamppb.New(t.Created),
	}
	if !t.Expires.IsZero() {
		api.ExpiresAt = timestamppb.New(t.Expires)
	}
	return api
}

func (t *tokenRecord) expired(now time.Time) bool {
	return !t.Expires.IsZero() && !now.Before(t.Expires)
}

func grantsToAPI(grants []grant) []*gantryv1.Grant {
	api := make([]*gantryv1.Grant, len(grants))
	for i, g := range grants {
		api[i] = &gantryv1.Grant{Namespace: g.Namespace, Role: roleNamed(g.Role)}
	}
	return api
}

// Limits of what is stored.
const (
	maxGrants      = 256
	maxNamespace   = 128 // bytes
	maxUserName    = 64
	maxDescription = 256 // bytes
	maxUsers       = 10_000
	// Tokens take some 600 bytes of memory each on every node. The bounds are checked against the
	// mirror and may be passed by as many as are made at the same moment.
	maxTokens = 100_000
	// One user's logins must not use up everybody's tokens. A fleet whose instances all log in as one user fits.
	maxLogins = 20_000
)

// checkGrants returns the grants in stored form, sorted and without repetitions.
func checkGrants(api []*gantryv1.Grant) ([]grant, error) {
	if len(api) > maxGrants {
		return nil, fault.New(fault.TooLarge, "access.too_many_grants", "%d grants", len(api)).
			At("grants").Hinted("at most %d; a grant on \"*\" holds for all namespaces", maxGrants)
	}
	grants := make([]grant, 0, len(api))
	for i, g := range api {
		field := fmt.Sprintf("grants[%d]", i)
		if permissionsOf(g.GetRole()) == 0 {
			return nil, fault.New(fault.Invalid, "access.bad_role", "there is no role %s", g.GetRole()).
				At(field + ".role").Hinted("use viewer, developer, releaser, admin or service")
		}
		if !validNamespace(g.GetNamespace()) {
			return nil, fault.New(fault.Invalid, "access.bad_namespace", "%s is not a namespace", quoted(g.GetNamespace())).
				At(field + ".namespace").Hinted("use the name of a namespace, or \"*\" for all of them")
		}
		grants = append(grants, grant{Namespace: g.GetNamespace(), Role: roleName(g.GetRole())})
	}
	slices.SortFunc(grants, func(a, b grant) int {
		if c := strings.Compare(a.Namespace, b.Namespace); c != 0 {
			return c
		}
		return strings.Compare(a.Role, b.Role)
	})
	return slices.Compact(grants), nil
}

// validNamespace keeps out what could not be one; whether it is there does not matter, since a grant may be given
// before its namespace is made.
func validNamespace(name string) bool {
	if name == everywhere {
		return true
	}
	return name != "" && len(name) <= maxNamespace && utf8.ValidString(name) &&
		!strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '*' || r == '/' })
}

// checkUserName wants 1 to 64 of a-z 0-9 . _ @ -, a letter or digit first. No capitals, so that "Admin"
// cannot pass for "admin".
func checkUserName(name string) error {
	good := name != "" && len(name) <= maxUserName
	for i := 0; good && i < len(name); i++ {
		c := name[i]
		letter := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		good = letter || i > 0 && (c == '.' || c == '_' || c == '@' || c == '-')
	}
	if good {
		return nil
	}
	return fault.New(fault.Invalid, "access.bad_name", "%s is not a user's name", quoted(name)).At("name").
		Hinted("use 1 to %d of a-z, 0-9, \".\", \"_\", \"@\" and \"-\", a letter or digit first", maxUserName)
}

// joined turns joined faults into one that carries the others; other errors come back as they are.
func joined(err error) error {
	all, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	var faults []*fault.Error
	for _, each := range all.Unwrap() {
		f, ok := fault.As(each)
		if !ok {
			return err
		}
		faults = append(faults, f)
	}
	return fault.Join(faults...)
}

// quoted is a value for a message: quoted, and cut so that the message stays readable.
func quoted(value string) string {
	const most = 128
	if len(value) > most {
		return fmt.Sprintf("%q...", cut(value, most))
	}
	return fmt.Sprintf("%q", value)
}

// cut returns valid UTF-8 of at most that many bytes, without splitting a character.
func cut(value string, most int) string {
	value = strings.ToValidUTF8(value, "\uFFFD")
	if len(value) <= most {
		return value
	}
	for most > 0 && !utf8.RuneStart(value[most]) {
		most--
	}
	return value[:most]
}
