package access

import (
	"context"
	"time"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/state"
)

// LoginLifetime is how long a login token lasts: a working day with room.
const LoginLifetime = 12 * time.Hour

// Login verifies a password and returns a token with the text that stands for it. The token has
// the user's rights as they are at each moment, and ends when the user is disabled or deleted or gets another password.
// Where the attempt comes from is read from the context's identity.
//
// Errors are those of [Manager.Authenticate], and Exhausted with reason "access.too_many_tokens". With authentication
// off it is Precondition with "access.authentication_off": there is nothing to log in to.
func (m *Manager) Login(ctx context.Context, name, password string) (secret string, made *gantryv1.Token, err error) {
	if m.disabled {
		return "", nil, fault.New(fault.Precondition, "access.authentication_off", "the server runs without authentication").
			Hinted("leave out user and password")
	}
	u, err := m.verifier.verify(ctx, name, password, FromContext(ctx).Source)
	m.metrics.password.count(err)
	if err != nil {
		who := name
		if m.directory.user(name) == nil {
			who = "(unknown)" // people type passwords into the wrong field
		}
		m.log.Warn("login refused", "user", who, "source", FromContext(ctx).Source, "error", err)
		return "", nil, err
	}
	if m.directory.loginsOf(name) >= maxLogins {
		return "", nil, fault.New(fault.Exhausted, "access.too_many_tokens", "%s has %d logins open", "user:"+name, maxLogins).
			Hinted("log out when done, or give services tokens of their own")
	}
	if err := m.roomForToken(); err != nil {
		return "", nil, err
	}
	now := m.now()
	id, secret, hash := newToken()
	record := tokenRecord{
		ID: id, Hash: hash[:], User: u.Name, Session: u.Session, Author: "user:" + u.Name, Created: now, Expires: now.Add(LoginLifetime),
	}
	value, err := encode(record)
	if err != nil {
		return "", nil, err
	}
	err = m.commit(ctx, func() (state.Change, error) {
		return state.Change{
			If:  []state.Condition{state.Unchanged(tokenKey(id), 0)},
			Put: []state.Put{{Key: tokenKey(id), Value: value}},
		}, nil
	})
	if err != nil {
		return "", nil, err
	}
	m.log.Info("login", "user", u.Name, "source", FromContext(ctx).Source, "token", id)
	made = record.toAPI()
	made.Grants = grantsToAPI(u.Grants)
	return secret, made, nil
}

// Logout ends the login token that the context's identity came with. Other identities have none: Precondition with
// reason "access.not_a_login".
func (m *Manager) Logout(ctx context.Context) error {
	i := FromContext(ctx)
	if i.login == "" {
		return fault.New(fault.Precondition, "access.not_a_login", "%s did not log in", i.Actor).
			Hinted("tokens that services use are ended by revoking them")
	}
	return m.commit(ctx, func() (state.Change, error) {
		return state.Change{Delete: []string{tokenKey(i.login)}}, nil
	})
}

// roomForToken bounds how many tokens there are.
func (m *Manager) roomForToken() error {
	if _, tokens := m.directory.counts(); tokens >= maxTokens {
		return fault.New(fault.Exhausted, "access.too_many_tokens", "there are %d tokens", tokens).
			Hinted("revoke those that are not used, and give them lifetimes")
	}
	return nil
}
