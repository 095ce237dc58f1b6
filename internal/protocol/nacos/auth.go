package nacos

import (
	"context"
	"time"

	"github.com/gantry-platform/gantry/internal/access"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// offToken is what a client gets that logs in though authentication is off, and offLifetime for how long. It opens nothing.
const (
	offToken    = "authentication-is-off"
	offLifetime = 10 * 365 * 24 * time.Hour
)

// login is the answer to a user and password.
type login struct {
	token string
	// lifetime is what is left of it; clients log in again shortly before its end.
	lifetime time.Duration
	admin    bool
}

// logIn verifies a user and password that came from source. With authentication off every one is right.
//
// Errors: Invalid without a name; those of [access.Manager.Login].
func (a *API) logIn(ctx context.Context, user, password, source string) (*login, error) {
	if a.Access.Disabled() {
		return &login{token: offToken, lifetime: offLifetime, admin: true}, nil
	}
	if user == "" {
		return nil, missing("username")
	}
	nobody, err := a.Access.Authenticate(ctx, access.Credential{Source: source})
	if err != nil {
		return nil, err
	}
	secret, token, err := a.Access.Login(access.NewContext(ctx, nobody), user, password)
	if err != nil {
		return nil, err
	}
	answer := &login{token: secret, lifetime: access.LoginLifetime}
	for _, grant := range token.GetGrants() {
		if grant.GetNamespace() == "*" && grant.GetRole() == gantryv1.Role_ROLE_ADMIN {
			answer.admin = true
		}
	}
	return answer, nil
}

// What operations ask for.
const (
	mayRead   = access.View | access.Serve
	mayServe  = access.Serve
	mayChange = access.Serve | access.Operate
)
