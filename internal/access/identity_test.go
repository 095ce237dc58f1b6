package access_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/state/statetest"
)

func TestRolesMayWhatTheySay(t *testing.T) {
	m, _ := node(t)
	all := []access.Permission{access.View, access.Publish, access.Release, access.ReadSensitive, access.Operate, access.Serve, access.Administer}
	for role, may := range map[gantryv1.Role][]access.Permission{
		viewer:    {access.View},
		developer: {access.View, access.Publish},
		releaser:  {access.View, access.Publish, access.Release, access.ReadSensitive, access.Operate},
		admin:     all,
		service:   {access.Serve},
	} {
		_, secret := createToken(t, m, 0, grant("prod", role))
		identity := byToken(t, m, secret)
		for _, p := range all {
			want := false
			for _, has := range may {
				want = want || has == p
			}
			if got := identity.May(p, "prod"); got != want {
				t.Errorf("%s may %s: %t", role, p, got)
			}
			for _, elsewhere := range []string{"test", "", "*", "Prod"} {
				if identity.May(p, elsewhere) {
					t.Errorf("%s of prod may %s in %q", role, p, elsewhere)
				}
			}
		}
	}
}

func TestGrantOnStarHoldsEverywhere(t *testing.T) {
	m, _ := node(t)
	_, secret := createToken(t, m, 0, grant("*", viewer), grant("prod", service))
	identity := byToken(t, m, secret)
	for _, namespace := range []string{"prod", "test", "*"} {
		if !identity.May(access.View, namespace) || identity.May(access.Publish, namespace) {
			t.Errorf("a viewer of all in %q", namespace)
		}
	}
	if !identity.May(access.Serve, "prod") || identity.May(access.Serve, "test") {
		t.Error("a service of prod")
	}
	if !identity.May(access.Publish|access.Serve, "prod") || identity.May(access.Publish|access.Serve, "test") {
		t.Error("any one of the permissions suffices, and one is needed")
	}
	want := grants(grant("*", viewer), grant("prod", service))
	if diff := cmp.Diff(want, identity.Grants(), protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
}

func TestRequire(t *testing.T) {
	m, c := node(t)
	wantFault(t, access.Require(t.Context(), access.View, "prod"), fault.Unauthenticated, "access.unauthenticated")

	ctx := as(t, m, grant("prod", developer))
	if err := access.Require(ctx, access.Publish, "prod"); err != nil {
		t.Error(err)
	}
	err := access.Require(ctx, access.Release, "prod")
	wantFault(t, err, fault.Forbidden, "access.forbidden")
	for _, want := range []string{access.FromContext(ctx).Actor, "release", `"prod"`, "releaser"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %s", err, want)
		}
	}
	wantFault(t, access.Require(ctx, access.Administer, "*"), fault.Forbidden, "access.forbidden")
	if err := access.Require(ctx, access.View, strings.Repeat("x", 1<<20)); len(err.Error()) > 1000 {
		t.Error("a long namespace makes a long message")
	}

	_, secret := createToken(t, m, time.Hour, grant("prod", developer))
	ctx = access.NewContext(t.Context(), byToken(t, m, secret))
	c.step(2 * time.Hour)
	if err := m.Upkeep(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantFault(t, access.Require(ctx, access.Publish, "prod"), fault.Unauthenticated, "access.unauthenticated")
}

func TestSystemMayEverything(t *testing.T) {
	identity := access.System("drain of a lost node")
	if identity.Actor != "system" || identity.Source != "drain of a lost node" || !identity.Active() {
		t.Errorf("%+v", identity)
	}
	if !identity.May(access.Administer, "*") || !identity.May(access.Serve, "prod") {
		t.Error("the system may not")
	}
}

func TestContextWithoutIdentityIsAnonymous(t *testing.T) {
	for _, ctx := range []*access.Identity{access.FromContext(t.Context()), access.FromContext(access.NewContext(t.Context(), nil))} {
		if ctx.Actor != "anonymous" || ctx.Active() || ctx.May(access.View, "prod") || len(ctx.Grants()) != 0 {
			t.Errorf("%+v", ctx)
		}
	}
}

func TestMayDoesNotAllocate(t *testing.T) {
	m, _ := node(t)
	_, secret := createToken(t, m, 0, grant("prod", service), grant("test", viewer))
	identity := byToken(t, m, secret)
	if n := testing.AllocsPerRun(1000, func() {
		if !identity.May(access.Serve, "prod") || identity.May(access.View, "prod") {
			t.Error("wrong answer")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestParseAuthorization(t *testing.T) {
	for header, want := range map[string]access.Credential{
		"":                           {},
		"Bearer gty_x":               {Token: "gty_x"},
		"bearer  gty_x ":             {Token: "gty_x"},
		"gty_x":                      {Token: "gty_x"},
		"Basic YW5uOnBhc3M6d29yZA==": {User: "ann", Password: "pass:word"},
		"BASIC OnBhc3M=":             {Password: "pass"},
	} {
		if got, err := access.ParseAuthorization(header); err != nil || got != want {
			t.Errorf("%q: %+v, %v", header, got, err)
		}
	}
	for _, header := range []string{"Bearer", "Bearer ", "Basic !", "Basic YW5u", "Digest x", "gty_x y", " ", "Bearer " + strings.Repeat("x", 5000)} {
		_, err := access.ParseAuthorization(header)
		wantFault(t, err, fault.Unauthenticated, "access.bad_authorization")
		if len(header) > 7 && strings.Contains(err.Error(), header[7:]) {
			t.Errorf("%q tells the secret", err)
		}
	}
}

func TestDisabledLetsEverybodyDoEverything(t *testing.T) {
	store, options := statetest.New(t), access.Options{Disabled: true}
	m := start(t, store, options)
	identity, err := m.Authenticate(t.Context(), access.Credential{Token: "nonsense", Source: "127.0.0.1:5"})
	if err != nil {
		t.Fatal(err)
	}
	if !m.Disabled() || identity.Actor != "anonymous" || identity.Source != "127.0.0.1:5" || !identity.May(access.Administer, "*") {
		t.Errorf("%+v", identity)
	}
	_, _, err = m.Login(t.Context(), "ann", password)
	wantFault(t, err, fault.Precondition, "access.authentication_off")
	if created, err := m.Bootstrap(t.Context(), t.TempDir()+"/password"); created || err != nil {
		t.Errorf("bootstrap: %t, %v", created, err)
	}
}

func TestAServiceThatAnEdgeKnows(t *testing.T) {
	i := access.Serving("apollo:loan", "10.0.0.1", "staging")
	if !i.Active() || !i.May(access.Serve, "staging") {
		t.Error("it may not serve in its namespace")
	}
	for _, p := range []access.Permission{access.View, access.Publish, access.Release, access.ReadSensitive, access.Operate, access.Administer} {
		if i.May(p, "staging") {
			t.Errorf("it may %v", p)
		}
	}
	if i.May(access.Serve, "default") || i.May(access.Serve, "*") {
		t.Error("it may serve elsewhere")
	}
}
