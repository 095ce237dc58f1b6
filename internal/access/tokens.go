package access

import (
	"context"
	"errors"
	"time"
	"unicode/utf8"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/state"
)

// maxLifetime bounds the lifetime of a token that has one.
const maxLifetime = 10 * 365 * 24 * time.Hour

// CreateToken makes a token and returns it with the text that stands for it, which is shown this once. A lifetime of 0
// is for ever; the longest is ten years. It needs [Administer] on each namespace that it grants
// something on, so that nobody gives what they do not have.
//
// Errors: Invalid with reason "access.bad_role", "access.bad_namespace", "access.no_grants", "access.bad_lifetime" or
// "access.bad_description"; Exhausted with "access.too_many_tokens" beyond 100,000.
func (m *Manager) CreateToken(ctx context.Context, description string, api []*gantryv1.Grant, lifetime time.Duration) (
	made *gantryv1.Token, secret string, err error) {
	if !FromContext(ctx).somewhere(Administer) {
		return nil, "", Require(ctx, Administer, tokenScope(api))
	}
	grants, err := checkToken(description, api, lifetime)
	if err != nil {
		return nil, "", err
	}
	if err := requireGrants(ctx, nil, grants); err != nil {
		return nil, "", err
	}
	if err := m.roomForToken(); err != nil {
		return nil, "", err
	}
	id, secret, hash := newToken()
	record := tokenRecord{
		ID: id, Hash: hash[:], Description: description, Grants: grants, Author: FromContext(ctx).Actor, Created: m.now(),
	}
	if lifetime > 0 {
		record.Expires = record.Created.Add(lifetime)
	}
	value, err := encode(record)
	if err != nil {
		return nil, "", err
	}
	err = m.commit(ctx, func() (state.Change, error) {
		audit, err := Record(ctx, Entry{Action: "token.create", Namespace: scope(grants), Target: id, After: record.toAPI()})
		return state.Change{
			If:  []state.Condition{state.Unchanged(tokenKey(id), 0)},
			Put: []state.Put{{Key: tokenKey(id), Value: value}, audit},
		}, err
	})
	if err != nil {
		return nil, "", err
	}
	return record.toAPI(), secret, nil
}

func checkToken(description string, api []*gantryv1.Grant, lifetime time.Duration) ([]grant, error) {
	var errs []error
	if len(description) > maxDescription || !utf8.ValidString(description) {
		errs = append(errs, fault.New(fault.Invalid, "access.bad_description", "the description is %d bytes long or not UTF-8", len(description)).
			At("description").Hinted("at most %d bytes", maxDescription))
	}
	if lifetime < 0 || lifetime > maxLifetime {
		errs = append(errs, fault.New(fault.Invalid, "access.bad_lifetime", "a lifetime of %s", lifetime).
			At("lifetime").Hinted("leave it out for ever, or use up to ten years (87600h)"))
	}
	if len(api) == 0 {
		errs = append(errs, fault.New(fault.Invalid, "access.no_grants", "a token without grants may do nothing").
			At("grants").Hinted("grant a role on a namespace, such as service on \"default\""))
	}
	grants, err := checkGrants(api)
	return grants, joined(errors.Join(append(errs, err)...))
}

// scope is the namespace that a token's audit record belongs to: the one it is about, or the cluster.
func scope(grants []grant) string {
	for _, g := range grants {
		if g.Namespace != grants[0].Namespace {
			return everywhere
		}
	}
	if len(grants) == 0 {
		return everywhere
	}
	return grants[0].Namespace
}

// tokenScope is scope before anything is checked, for the error.
func tokenScope(api []*gantryv1.Grant) string {
	if len(api) == 1 {
		return api[0].GetNamespace()
	}
	return everywhere
}

// ListTokens returns the tokens that can be used now, oldest first: to administrators of everything all; to those of a
// namespace the ones with a grant on it; and to everybody the ones they made, their own logins included.
func (m *Manager) ListTokens(ctx context.Context) ([]*gantryv1.Token, error) {
	i := FromContext(ctx)
	if !i.Active() {
		return nil, Require(ctx, View, everywhere)
	}
	var tokens []*gantryv1.Token
	for _, t := range m.directory.goodTokens(m.now()) {
		shown := i.May(Administer, everywhere) || t.Author == i.Actor
		for _, g := range t.Grants {
			shown = shown || i.May(Administer, g.Namespace)
		}
		if !shown {
			continue
		}
		api := t.toAPI()
		if u := m.directory.user(t.User); u != nil {
			api.Grants = grantsToAPI(u.Grants)
		}
		tokens = append(tokens, api)
	}
	return tokens, nil
}

// RevokeToken ends a token: at once here, and on the other nodes when their mirrors have it, milliseconds later. It needs
// [Administer] on each of the token's namespaces, everywhere for somebody's login; everybody may revoke what
// they made, their own logins included. Errors: NotFound with reason "access.no_such_token".
func (m *Manager) RevokeToken(ctx context.Context, id string) error {
	i := FromContext(ctx)
	if !i.Active() {
		return Require(ctx, Administer, everywhere)
	}
	return m.commit(ctx, func() (state.Change, error) {
		record, found, err := m.store.Get(ctx, tokenKey(id))
		if err != nil {
			return state.Change{}, err
		}
		if !found {
			return state.Change{}, fault.New(fault.NotFound, "access.no_such_token", "there is no token %s", quoted(id)).At("id").
				Hinted("it may be revoked or expired already; `gantry token list` shows them")
		}
		t, err := decodeToken(record.Key, record.Value)
		if err != nil {
			// What cannot be read must still be removable.
			t = tokenRecord{ID: id, Grants: []grant{{Namespace: everywhere}}}
		}
		if err := requireRevoke(ctx, t); err != nil {
			return state.Change{}, err
		}
		audit, err := Record(ctx, Entry{Action: "token.revoke", Namespace: scope(t.Grants), Target: id, Before: t.toAPI()})
		return state.Change{
			If:     []state.Condition{state.Unchanged(record.Key, record.Modified)},
			Put:    []state.Put{audit},
			Delete: []string{record.Key},
		}, err
	})
}

func requireRevoke(ctx context.Context, t tokenRecord) error {
	if FromContext(ctx).Actor == t.Author {
		return nil
	}
	if t.User != "" {
		return Require(ctx, Administer, everywhere)
	}
	return requireGrants(ctx, t.Grants, nil)
}
