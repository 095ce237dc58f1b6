package access_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/state/statetest"
)

func TestUserLife(t *testing.T) {
	m, _ := node(t)
	ctx := system(t)
	createUser(t, m, "root", grant("*", admin))
	createUser(t, m, "ann", grant("prod", viewer), grant("prod", viewer))

	users, err := m.ListUsers(ctx)
	if err != nil || len(users) != 2 || users[0].GetName() != "ann" || len(users[0].GetGrants()) != 1 {
		t.Fatalf("%v, %v", users, err)
	}
	identity := byToken(t, m, login(t, m, "ann", password))
	if identity.Actor != "user:ann" || identity.Source != "192.0.2.7:4711" || !identity.May(access.View, "prod") {
		t.Errorf("%+v", identity)
	}

	// Grants that change hold for who is already there.
	list := &gantryv1.GrantList{Grants: grants(grant("test", releaser))}
	if _, err := m.UpdateUser(ctx, "ann", access.UserUpdate{Grants: list}); err != nil {
		t.Fatal(err)
	}
	if identity.May(access.View, "prod") || !identity.May(access.Release, "test") {
		t.Error("the login does not follow the grants")
	}

	if err := m.DeleteUser(ctx, "ann"); err != nil {
		t.Fatal(err)
	}
	if identity.Active() {
		t.Error("the login outlives the user")
	}
	wantFault(t, m.DeleteUser(ctx, "ann"), fault.NotFound, "access.no_such_user")
}

func TestWhatEndsALogin(t *testing.T) {
	disabled, enabled, other := true, false, "battery staple"
	for name, end := range map[string]func(*access.Manager, context.Context) error{
		"disabled": func(m *access.Manager, ctx context.Context) error {
			_, err := m.UpdateUser(ctx, "ann", access.UserUpdate{Disabled: &disabled})
			return err
		},
		"disabled and enabled": func(m *access.Manager, ctx context.Context) error {
			if _, err := m.UpdateUser(ctx, "ann", access.UserUpdate{Disabled: &disabled}); err != nil {
				return err
			}
			_, err := m.UpdateUser(ctx, "ann", access.UserUpdate{Disabled: &enabled})
			return err
		},
		"new password": func(m *access.Manager, ctx context.Context) error {
			_, err := m.UpdateUser(ctx, "ann", access.UserUpdate{Password: &other})
			return err
		},
		"deleted": func(m *access.Manager, ctx context.Context) error { return m.DeleteUser(ctx, "ann") },
		"deleted and made again": func(m *access.Manager, ctx context.Context) error {
			if err := m.DeleteUser(ctx, "ann"); err != nil {
				return err
			}
			_, err := m.CreateUser(ctx, "ann", password, grants(grant("prod", viewer)))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, _ := node(t)
			createUser(t, m, "ann", grant("prod", viewer))
			secret := login(t, m, "ann", password)
			byLogin := byToken(t, m, secret)
			byPassword, err := m.Authenticate(t.Context(), access.Credential{User: "ann", Password: password})
			if err != nil {
				t.Fatal(err)
			}
			if err := end(m, system(t)); err != nil {
				t.Fatal(err)
			}
			if byLogin.Active() || byLogin.May(access.View, "prod") || byPassword.Active() {
				t.Error("an identity in use goes on")
			}
			_, err = m.Authenticate(t.Context(), access.Credential{Token: secret})
			wantFault(t, err, fault.Unauthenticated, "access.bad_token")
			if tokens, err := m.ListTokens(system(t)); err != nil || len(tokens) != 0 {
				t.Errorf("it is still listed: %v, %v", tokens, err)
			}
		})
	}
}

func TestChangePassword(t *testing.T) {
	m, _ := node(t)
	createUser(t, m, "ann", grant("prod", viewer))
	ctx := asUser(t, m, "ann")
	wantFault(t, m.ChangePassword(ctx, "not this one", "battery staple"), fault.Unauthenticated, "access.bad_credentials")
	wantFault(t, m.ChangePassword(ctx, password, "short"), fault.Invalid, "access.bad_password")
	if err := m.ChangePassword(ctx, password, "battery staple"); err != nil {
		t.Fatal(err)
	}
	if access.FromContext(ctx).Active() {
		t.Error("the login outlives the password")
	}
	_, _, err := m.Login(t.Context(), "ann", password)
	wantFault(t, err, fault.Unauthenticated, "access.bad_credentials")
	login(t, m, "ann", "battery staple")
	wantFault(t, m.ChangePassword(system(t), password, "battery staple"), fault.Precondition, "access.not_a_user")
}

func TestBadUsersAreRefused(t *testing.T) {
	m, _ := node(t)
	for _, c := range []struct {
		name, password string
		grant          *gantryv1.Grant
		reason, field  string
	}{
		{"", password, nil, "access.bad_name", "name"},
		{"Ann", password, nil, "access.bad_name", "name"},
		{"-ann", password, nil, "access.bad_name", "name"},
		{"a/b", password, nil, "access.bad_name", "name"},
		{"a\x00", password, nil, "access.bad_name", "name"},
		{strings.Repeat("a", 65), password, nil, "access.bad_name", "name"},
		{"ann", "1234567", nil, "access.bad_password", "password"},
		{"ann", strings.Repeat("ü", 257), nil, "access.bad_password", "password"},
		{"ann", "12345678\xff", nil, "access.bad_password", "password"},
		{"ann", password, grant("prod", 0), "access.bad_role", "grants[0].role"},
		{"ann", password, grant("prod", 99), "access.bad_role", "grants[0].role"},
		{"ann", password, grant("", viewer), "access.bad_namespace", "grants[0].namespace"},
		{"ann", password, grant("pr*", viewer), "access.bad_namespace", "grants[0].namespace"},
		{"ann", password, grant("a b", viewer), "access.bad_namespace", "grants[0].namespace"},
		{"ann", password, grant("a\xff", viewer), "access.bad_namespace", "grants[0].namespace"},
	} {
		list := []*gantryv1.Grant{}
		if c.grant != nil {
			list = append(list, c.grant)
		}
		_, err := m.CreateUser(system(t), c.name, c.password, list)
		wantFault(t, err, fault.Invalid, c.reason)
		if f, _ := fault.As(err); f.Field != c.field {
			t.Errorf("%s at %q, want %q", c.reason, f.Field, c.field)
		}
		if strings.Contains(err.Error(), c.password) {
			t.Errorf("%q tells the password", err)
		}
	}
	// All that is wrong is said at once.
	_, err := m.CreateUser(system(t), "Ann", "short", nil)
	if f, _ := fault.As(err); f == nil || len(f.Others) != 1 {
		t.Errorf("%v", err)
	}
	_, err = m.CreateUser(system(t), "ann", password, make([]*gantryv1.Grant, 1000))
	wantFault(t, err, fault.TooLarge, "access.too_many_grants")

	createUser(t, m, "ann")
	_, err = m.CreateUser(system(t), "ann", password, nil)
	wantFault(t, err, fault.AlreadyExists, "access.user_exists")
	_, err = m.UpdateUser(system(t), "ann", access.UserUpdate{})
	wantFault(t, err, fault.Invalid, "access.nothing_to_change")
	_, err = m.UpdateUser(system(t), "bob", access.UserUpdate{Grants: &gantryv1.GrantList{}})
	wantFault(t, err, fault.NotFound, "access.no_such_user")
}

func TestAdministratorOfOneNamespace(t *testing.T) {
	m, _ := node(t)
	createUser(t, m, "root", grant("*", admin))
	createUser(t, m, "ann", grant("test", developer))
	ctx := as(t, m, grant("prod", admin))
	update := func(list ...*gantryv1.Grant) error {
		_, err := m.UpdateUser(ctx, "ann", access.UserUpdate{Grants: &gantryv1.GrantList{Grants: list}})
		return err
	}
	if err := update(grant("test", developer), grant("prod", admin)); err != nil {
		t.Errorf("grant on the own namespace: %v", err)
	}
	wantFault(t, update(grant("prod", admin)), fault.Forbidden, "access.forbidden")                         // takes test away
	wantFault(t, update(grant("test", admin), grant("prod", admin)), fault.Forbidden, "access.forbidden")   // more on test
	wantFault(t, update(grant("test", developer), grant("*", viewer)), fault.Forbidden, "access.forbidden") // everywhere
	if err := update(grant("test", developer)); err != nil {
		t.Errorf("take the own namespace away: %v", err)
	}
	disabled, other := true, "battery staple"
	_, err := m.UpdateUser(ctx, "ann", access.UserUpdate{Disabled: &disabled})
	wantFault(t, err, fault.Forbidden, "access.forbidden")
	_, err = m.UpdateUser(ctx, "ann", access.UserUpdate{Password: &other})
	wantFault(t, err, fault.Forbidden, "access.forbidden")
	_, err = m.CreateUser(ctx, "bob", password, grants(grant("prod", viewer)))
	wantFault(t, err, fault.Forbidden, "access.forbidden")
	wantFault(t, m.DeleteUser(ctx, "ann"), fault.Forbidden, "access.forbidden")
	if users, err := m.ListUsers(ctx); err != nil || len(users) != 2 {
		t.Errorf("%v, %v", users, err)
	}

	for _, nobody := range []context.Context{as(t, m, grant("*", releaser)), as(t, m, grant("*", service))} {
		_, err = m.UpdateUser(nobody, "ann", access.UserUpdate{Grants: &gantryv1.GrantList{Grants: grants(grant("test", developer))}})
		wantFault(t, err, fault.Forbidden, "access.forbidden")
		_, err = m.ListUsers(nobody)
		wantFault(t, err, fault.Forbidden, "access.forbidden")
	}
	_, err = m.ListUsers(t.Context())
	wantFault(t, err, fault.Unauthenticated, "access.unauthenticated")
}

// Whatever somebody may, and whatever they try, they never give more than they have.
func TestNobodyGrantsMoreThanTheyHave(t *testing.T) {
	m, _ := node(t)
	createUser(t, m, "root", grant("*", admin))
	createUser(t, m, "ann")
	anyGrants := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) *gantryv1.Grant {
		return grant(rapid.SampledFrom([]string{"*", "a", "b", "c"}).Draw(t, "namespace"),
			rapid.SampledFrom([]gantryv1.Role{viewer, developer, releaser, admin, admin, service}).Draw(t, "role"))
	}), 1, 3)
	rapid.Check(t, func(r *rapid.T) {
		ctx := as(t, m, anyGrants.Draw(r, "own")...)
		own, given := access.FromContext(ctx), anyGrants.Draw(r, "given")
		before, err := m.UpdateUser(system(t), "ann", access.UserUpdate{Grants: &gantryv1.GrantList{Grants: anyGrants.Draw(r, "before")}})
		if err != nil {
			r.Fatal(err)
		}
		had := map[string]bool{}
		for _, g := range before.GetGrants() {
			had[fmt.Sprint(g.GetNamespace(), g.GetRole())] = true
		}
		exceeds := func(list []*gantryv1.Grant) bool {
			for _, g := range list {
				if had[fmt.Sprint(g.GetNamespace(), g.GetRole())] {
					continue
				}
				for p := access.View; p <= access.Administer; p <<= 1 {
					_, gives, _ := m.CreateToken(system(t), "", grants(g), 0)
					if byToken(t, m, gives).May(p, g.GetNamespace()) && !own.May(p, g.GetNamespace()) {
						return true
					}
				}
			}
			return false
		}
		if after, err := m.UpdateUser(ctx, "ann", access.UserUpdate{Grants: &gantryv1.GrantList{Grants: given}}); err == nil && exceeds(after.GetGrants()) {
			r.Fatalf("%v gave a user %v", own.Grants(), given)
		}
		clear(had)
		if _, _, err := m.CreateToken(ctx, "", given, 0); err == nil && exceeds(given) {
			r.Fatalf("%v made a token with %v", own.Grants(), given)
		} else if err != nil && own.May(access.Administer, "*") {
			r.Fatalf("an administrator of everything could not: %v", err)
		}
	})
}

func TestTheLastAdministratorStays(t *testing.T) {
	m, _ := node(t)
	createUser(t, m, "root", grant("*", admin), grant("prod", viewer))
	createUser(t, m, "ann", grant("prod", admin))
	disabled := true
	demote := func(name string, list ...*gantryv1.Grant) error {
		_, err := m.UpdateUser(system(t), name, access.UserUpdate{Grants: &gantryv1.GrantList{Grants: list}})
		return err
	}
	disable := func(name string) error {
		_, err := m.UpdateUser(system(t), name, access.UserUpdate{Disabled: &disabled})
		return err
	}
	wantFault(t, m.DeleteUser(system(t), "root"), fault.Precondition, "access.last_administrator")
	wantFault(t, disable("root"), fault.Precondition, "access.last_administrator")
	wantFault(t, demote("root", grant("prod", admin)), fault.Precondition, "access.last_administrator")
	if err := demote("root", grant("*", admin)); err != nil {
		t.Errorf("it may lose what does not matter: %v", err)
	}

	if err := demote("ann", grant("*", admin)); err != nil {
		t.Fatal(err)
	}
	if err := disable("ann"); err != nil {
		t.Fatal(err)
	}
	wantFault(t, m.DeleteUser(system(t), "root"), fault.Precondition, "access.last_administrator") // ann is disabled
}

// Administrators on two nodes remove one another as fast as they can; one is always left.
func TestTheLastAdministratorStaysUnderConcurrency(t *testing.T) {
	first := statetest.New(t)
	nodes := []*access.Manager{start(t, first, access.Options{})}
	nodes = append(nodes, start(t, statetest.Second(t, first), access.Options{}))
	disabled := true
	for round := range 6 {
		for i := range 5 {
			createUser(t, nodes[0], fmt.Sprintf("root%d-%d", round, i), grant("*", admin))
		}
		var all sync.WaitGroup
		for i, name := range administrators(t, nodes[0]) {
			all.Go(func() {
				m, err := nodes[i%2], error(nil)
				switch (i + round) % 3 {
				case 0:
					err = m.DeleteUser(system(t), name)
				case 1:
					_, err = m.UpdateUser(system(t), name, access.UserUpdate{Disabled: &disabled})
				default:
					_, err = m.UpdateUser(system(t), name, access.UserUpdate{Grants: &gantryv1.GrantList{}})
				}
				if err != nil && !fault.Is(err, fault.Precondition) && !fault.Is(err, fault.Conflict) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		left := administrators(t, nodes[0])
		if len(left) == 0 {
			t.Fatalf("round %d: nobody is left", round)
		}
		if len(left) == 5 {
			t.Fatalf("round %d: nobody was removed", round)
		}
	}
}

// administrators returns the enabled users who may administer everything.
func administrators(t *testing.T, m *access.Manager) (names []string) {
	t.Helper()
	users, err := m.ListUsers(system(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range users {
		for _, g := range u.GetGrants() {
			if !u.GetDisabled() && g.GetNamespace() == "*" && g.GetRole() == admin {
				names = append(names, u.GetName())
			}
		}
	}
	return names
}
