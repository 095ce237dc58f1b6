package access_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/state"
	"github.com/gantry-platform/gantry/internal/state/statetest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, statetest.LeakOptions()...)
}

const (
	viewer    = gantryv1.Role_ROLE_VIEWER
	developer = gantryv1.Role_ROLE_DEVELOPER
	releaser  = gantryv1.Role_ROLE_RELEASER
	admin     = gantryv1.Role_ROLE_ADMIN
	service   = gantryv1.Role_ROLE_SERVICE
)

// clock is a wall clock that moves when told.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Now()} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) step(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(by)
}

// start returns a manager over a store that it starts.
func start(t testing.TB, store *state.Store, options access.Options) *access.Manager {
	t.Helper()
	m := manage(t, store, options)
	statetest.Start(t, store)
	return m
}

// manage returns a manager over a store that is not started yet.
func manage(t testing.TB, store *state.Store, options access.Options) *access.Manager {
	t.Helper()
	options.Store, options.Registerer = store, prometheus.NewRegistry()
	if options.Logger == nil {
		options.Logger = statetest.Logger(t)
	}
	m, err := access.New(options)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// node is a manager over a store of its own.
func node(t testing.TB) (*access.Manager, *clock) {
	t.Helper()
	c := newClock()
	return start(t, statetest.New(t), access.Options{Now: c.now}), c
}

func system(t testing.TB) context.Context {
	return access.NewContext(t.Context(), access.System("test"))
}

func grant(namespace string, role gantryv1.Role) *gantryv1.Grant {
	return &gantryv1.Grant{Namespace: namespace, Role: role}
}

func grants(list ...*gantryv1.Grant) []*gantryv1.Grant { return list }

const password = "correct horse"

func createUser(t testing.TB, m *access.Manager, name string, list ...*gantryv1.Grant) {
	t.Helper()
	if _, err := m.CreateUser(system(t), name, password, list); err != nil {
		t.Fatal(err)
	}
}

func createToken(t testing.TB, m *access.Manager, lifetime time.Duration, list ...*gantryv1.Grant) (id, secret string) {
	t.Helper()
	made, secret, err := m.CreateToken(system(t), "test", list, lifetime)
	if err != nil {
		t.Fatal(err)
	}
	return made.GetId(), secret
}

func login(t testing.TB, m *access.Manager, name, password string) string {
	t.Helper()
	secret, _, err := m.Login(t.Context(), name, password)
	if err != nil {
		t.Fatalf("login as %s: %v", name, err)
	}
	return secret
}

func byToken(t testing.TB, m *access.Manager, secret string) *access.Identity {
	t.Helper()
	identity, err := m.Authenticate(t.Context(), access.Credential{Token: secret, Source: "192.0.2.7:4711"})
	if err != nil {
		t.Fatal(err)
	}
	return identity
}

// as is the context of a new token with these grants.
func as(t testing.TB, m *access.Manager, list ...*gantryv1.Grant) context.Context {
	t.Helper()
	_, secret := createToken(t, m, 0, list...)
	return access.NewContext(t.Context(), byToken(t, m, secret))
}

// asUser is the context of a user's new login.
func asUser(t testing.TB, m *access.Manager, name string) context.Context {
	t.Helper()
	return access.NewContext(t.Context(), byToken(t, m, login(t, m, name, password)))
}

func wantFault(t testing.TB, err error, code fault.Code, reason string) {
	t.Helper()
	f, ok := fault.As(err)
	if !ok {
		t.Fatalf("got %v, want %s %s", err, code, reason)
	}
	if f.Code != code || f.Reason != reason {
		t.Fatalf("got %s %s (%v), want %s %s", f.Code, f.Reason, err, code, reason)
	}
	if f.Hint == "" {
		t.Errorf("%s says not what to do next", reason)
	}
}
