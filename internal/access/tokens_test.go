package access_test

import (
	"context"
	"strings"
	"testing"
	"time"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/state"
	"github.com/gantry-platform/gantry/internal/state/statetest"
)

func TestTokenLife(t *testing.T) {
	m, c := node(t)
	id, secret := createToken(t, m, time.Hour, grant("prod", service))
	if !strings.HasPrefix(secret, "gty_"+id+"_") || len(secret) != 64 {
		t.Errorf("a token of %d characters, id %s", len(secret), id)
	}
	identity := byToken(t, m, secret)
	if identity.Actor != "token:"+id || !identity.May(access.Serve, "prod") {
		t.Errorf("%+v", identity)
	}
	// One character of the secret, or all of it, is wrong.
	last := secret[:len(secret)-1]
	for _, wrong := range []string{last + "~", last, secret + "A", "gty_" + id + "_" + strings.Repeat("A", 43), "gty_", " " + secret, strings.ToUpper(secret)} {
		_, err := m.Authenticate(t.Context(), access.Credential{Token: wrong})
		wantFault(t, err, fault.Unauthenticated, "access.bad_token")
	}
	if err := m.RevokeToken(system(t), id); err != nil {
		t.Fatal(err)
	}
	if identity.Active() {
		t.Error("an identity in use outlives its token")
	}
	_, err := m.Authenticate(t.Context(), access.Credential{Token: secret})
	wantFault(t, err, fault.Unauthenticated, "access.bad_token")
	c.step(-24 * time.Hour)
	_, err = m.Authenticate(t.Context(), access.Credential{Token: secret})
	wantFault(t, err, fault.Unauthenticated, "access.bad_token")
	wantFault(t, m.RevokeToken(system(t), id), fault.NotFound, "access.no_such_token")
}

func TestTokenExpiry(t *testing.T) {
	m, c := node(t)
	id, secret := createToken(t, m, time.Hour, grant("prod", service))
	_, forever := createToken(t, m, 0, grant("prod", service))
	identity := byToken(t, m, secret)

	c.step(time.Hour)
	_, err := m.Authenticate(t.Context(), access.Credential{Token: secret})
	wantFault(t, err, fault.Unauthenticated, "access.token_expired")
	if !strings.Contains(err.Error(), id) {
		t.Errorf("%q does not say which", err)
	}
	upkeep(t, m)
	if identity.Active() {
		t.Error("an identity in use outlives the expiry")
	}

	// The clock ran ahead and is put right: nothing was lost.
	c.step(-30 * time.Minute)
	upkeep(t, m)
	if !identity.Active() {
		t.Error("the identity does not come back with the clock")
	}
	byToken(t, m, secret)

	// Long after, it is removed, and no clock brings it back.
	c.step(3 * time.Hour)
	upkeep(t, m)
	c.step(-3 * time.Hour)
	upkeep(t, m)
	_, err = m.Authenticate(t.Context(), access.Credential{Token: secret})
	wantFault(t, err, fault.Unauthenticated, "access.bad_token")
	if identity.Active() {
		t.Error("the identity of a swept token came back")
	}
	c.step(100 * 365 * 24 * time.Hour)
	byToken(t, m, forever)
}

func upkeep(t testing.TB, m *access.Manager) {
	t.Helper()
	if err := m.Upkeep(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestBadTokensAreRefused(t *testing.T) {
	m, _ := node(t)
	for _, c := range []struct {
		description string
		grants      []*gantryv1.Grant
		lifetime    time.Duration
		reason      string
	}{
		{"", nil, 0, "access.no_grants"},
		{"", grants(grant("prod", 7)), 0, "access.bad_role"},
		{"", grants(grant("prod", service)), -1, "access.bad_lifetime"},
		{"", grants(grant("prod", service)), 1 << 62, "access.bad_lifetime"},
		{strings.Repeat("x", 257), grants(grant("prod", service)), 0, "access.bad_description"},
		{"\xff", grants(grant("prod", service)), 0, "access.bad_description"},
	} {
		_, _, err := m.CreateToken(system(t), c.description, c.grants, c.lifetime)
		wantFault(t, err, fault.Invalid, c.reason)
	}
}

func TestWhoAdministersTokens(t *testing.T) {
	m, _ := node(t)
	createUser(t, m, "root", grant("*", admin))
	createUser(t, m, "ann", grant("prod", admin))
	createUser(t, m, "bob", grant("*", releaser))
	root, ann, bob := asUser(t, m, "root"), asUser(t, m, "ann"), asUser(t, m, "bob")
	create := func(ctx context.Context, list ...*gantryv1.Grant) (string, error) {
		made, _, err := m.CreateToken(ctx, "", list, 0)
		return made.GetId(), err
	}
	ids := func(ctx context.Context) map[string]bool {
		tokens, err := m.ListTokens(ctx)
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]bool{}
		for _, token := range tokens {
			all[token.GetId()] = true
		}
		return all
	}
	ofProd, err := create(ann, grant("prod", service))
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range [][]*gantryv1.Grant{grants(grant("test", service)), grants(grant("*", viewer)), grants(grant("prod", service), grant("test", viewer))} {
		_, err := create(ann, list...)
		wantFault(t, err, fault.Forbidden, "access.forbidden")
	}
	_, err = create(bob, grant("prod", viewer))
	wantFault(t, err, fault.Forbidden, "access.forbidden")
	_, err = create(t.Context(), grant("prod", viewer))
	wantFault(t, err, fault.Unauthenticated, "access.unauthenticated")
	both, err := create(root, grant("prod", service), grant("test", service))
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := create(root, grant("test", service))
	if err != nil {
		t.Fatal(err)
	}

	if all := ids(root); len(all) != 6 { // three logins, three tokens
		t.Errorf("the administrator sees %v", all)
	}
	if all := ids(ann); len(all) != 3 || !all[ofProd] || !all[both] || all[elsewhere] {
		t.Errorf("ann sees %v", all)
	}
	if all := ids(bob); len(all) != 1 {
		t.Errorf("bob sees %v", all)
	}
	_, err = m.ListTokens(t.Context())
	wantFault(t, err, fault.Unauthenticated, "access.unauthenticated")

	wantFault(t, m.RevokeToken(ann, both), fault.Forbidden, "access.forbidden")
	wantFault(t, m.RevokeToken(bob, ofProd), fault.Forbidden, "access.forbidden")
	wantFault(t, m.RevokeToken(t.Context(), ofProd), fault.Unauthenticated, "access.unauthenticated")
	if err := m.RevokeToken(ann, ofProd); err != nil {
		t.Error(err)
	}
	for id := range ids(bob) {
		wantFault(t, m.RevokeToken(ann, id), fault.Forbidden, "access.forbidden") // somebody's login
		if err := m.RevokeToken(bob, id); err != nil {
			t.Errorf("bob's own login: %v", err)
		}
	}
	if access.FromContext(bob).Active() {
		t.Error("bob revoked his login and is still there")
	}
	if err := m.RevokeToken(root, both); err != nil {
		t.Error(err)
	}
}

func TestLoginAndLogout(t *testing.T) {
	m, c := node(t)
	createUser(t, m, "ann", grant("prod", viewer))
	secret, made, err := m.Login(t.Context(), "ann", password)
	if err != nil {
		t.Fatal(err)
	}
	if made.GetUser() != "ann" || len(made.GetGrants()) != 1 || !made.GetExpiresAt().AsTime().Equal(c.now().Add(12*time.Hour)) {
		t.Errorf("%v", made)
	}
	other := byToken(t, m, login(t, m, "ann", password))
	ctx := access.NewContext(t.Context(), byToken(t, m, secret))
	if err := m.Logout(ctx); err != nil {
		t.Fatal(err)
	}
	if access.FromContext(ctx).Active() || !other.Active() {
		t.Error("logout ends that login and no other")
	}
	_, err = m.Authenticate(t.Context(), access.Credential{Token: secret})
	wantFault(t, err, fault.Unauthenticated, "access.bad_token")
	wantFault(t, m.Logout(as(t, m, grant("prod", service))), fault.Precondition, "access.not_a_login")
	wantFault(t, m.Logout(t.Context()), fault.Precondition, "access.not_a_login")

	c.step(12 * time.Hour)
	upkeep(t, m)
	if other.Active() {
		t.Error("a login lasts longer than 12 hours")
	}
}

func TestNodesShareUsersAndTokens(t *testing.T) {
	first := statetest.New(t)
	a := start(t, first, access.Options{})
	second := statetest.Second(t, first)
	b := start(t, second, access.Options{})
	createUser(t, a, "ann", grant("prod", viewer))
	id, secret := createToken(t, a, 0, grant("prod", service))
	loggedIn := login(t, a, "ann", password)
	catchUp(t, first, second)
	identity, person := byToken(t, b, secret), byToken(t, b, loggedIn)
	if !identity.May(access.Serve, "prod") || !person.May(access.View, "prod") {
		t.Error("the other node knows them not")
	}
	if err := a.RevokeToken(system(t), id); err != nil {
		t.Fatal(err)
	}
	if err := a.DeleteUser(system(t), "ann"); err != nil {
		t.Fatal(err)
	}
	catchUp(t, first, second)
	if identity.Active() || person.Active() {
		t.Error("they go on on the other node")
	}
}

// catchUp waits until the second store has mirrored what the first has.
func catchUp(t testing.TB, first, second *state.Store) {
	t.Helper()
	if err := second.Await(t.Context(), first.Revision()); err != nil {
		t.Fatal(err)
	}
}

func TestRestartKeepsEverything(t *testing.T) {
	store := statetest.New(t)
	m := start(t, store, access.Options{})
	createUser(t, m, "ann", grant("prod", viewer))
	_, secret := createToken(t, m, 0, grant("prod", service))
	loggedIn := login(t, m, "ann", password)
	revoked, gone := createToken(t, m, 0, grant("prod", service))
	if err := m.RevokeToken(system(t), revoked); err != nil {
		t.Fatal(err)
	}

	m = start(t, statetest.Reopen(t, store), access.Options{})
	byToken(t, m, secret)
	if identity := byToken(t, m, loggedIn); identity.Actor != "user:ann" || !identity.May(access.View, "prod") {
		t.Errorf("%+v", identity)
	}
	login(t, m, "ann", password)
	_, err := m.Authenticate(t.Context(), access.Credential{Token: gone})
	wantFault(t, err, fault.Unauthenticated, "access.bad_token")
}

func TestWithoutQuorumTokensStillWork(t *testing.T) {
	t.Parallel() // it waits for elections and timeouts
	stores := statetest.Cluster(t, 3)
	managers := make([]*access.Manager, len(stores))
	for i, store := range stores {
		managers[i] = manage(t, store, access.Options{})
	}
	statetest.StartAll(t, stores)
	m := managers[0]
	createUser(t, m, "ann", grant("prod", viewer))
	id, secret := createToken(t, m, 0, grant("prod", service))
	stores[1].Close()
	stores[2].Close()
	for stores[0].Quorum() {
		changed := stores[0].QuorumChanged()
		if !stores[0].Quorum() {
			break
		}
		<-changed
	}
	byToken(t, m, secret)
	if _, err := m.Authenticate(t.Context(), access.Credential{User: "ann", Password: password}); err != nil {
		t.Errorf("a password without quorum: %v", err)
	}
	_, _, err := m.Login(t.Context(), "ann", password)
	wantFault(t, err, fault.Unavailable, "state.no_quorum")
	// To revoke, the token must be read first; it may not pass for done.
	if err := m.RevokeToken(system(t), id); !fault.Is(err, fault.Unavailable) {
		t.Errorf("revoke without quorum: %v", err)
	}
	upkeep(t, m)
}
