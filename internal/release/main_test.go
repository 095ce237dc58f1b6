package release_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy"
	"github.com/gantry-platform/gantry/internal/release"
	"github.com/gantry-platform/gantry/internal/state"
	"github.com/gantry-platform/gantry/internal/state/statetest"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, statetest.LeakOptions()...) }

// clock is a time that the test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func root(b byte) []byte {
	key := make([]byte, release.RootKeySize)
	for i := range key {
		key[i] = b
	}
	return key
}

func keyring(t testing.TB, roots ...[]byte) *release.Keyring {
	t.Helper()
	k, err := release.NewKeyring(roots...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// over makes a releaser over a store that is not started, and starts both.
func over(t testing.TB, s *state.Store, o release.Options) *release.Releaser {
	t.Helper()
	r := attach(t, s, o)
	statetest.Start(t, s)
	start(t, r)
	return r
}

func attach(t testing.TB, s *state.Store, o release.Options) *release.Releaser {
	t.Helper()
	o.Store = s
	if o.Policy == nil {
		o.Policy = policy.Standard()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	r, err := release.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func start(t testing.TB, r *release.Releaser) {
	t.Helper()
	r.Start()
	t.Cleanup(func() { r.Close() })
}

// open gives a releaser of its own state.
func open(t testing.TB, o release.Options) *release.Releaser {
	t.Helper()
	return over(t, statetest.New(t), o)
}

// asSystem is who may everything.
func asSystem(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return access.NewContext(ctx, access.System("test"))
}

func config(name string) release.Ref {
	return release.Ref{Namespace: "default", Kind: "Config", Name: name}
}

func publish(t testing.TB, r *release.Releaser, d release.Draft) *release.Published {
	t.Helper()
	if d.Format == "" {
		d.Format = "text"
	}
	p, err := r.Publish(asSystem(t), d)
	if err != nil {
		t.Fatalf("publish %s: %v", d.Ref, err)
	}
	return p
}

// released publishes and releases a text.
func released(t testing.TB, r *release.Releaser, ref release.Ref, text string) *release.Published {
	t.Helper()
	return publish(t, r, release.Draft{Ref: ref, Content: []byte(text), Release: true})
}

// content is what an instance without properties gets; "" when nothing is released.
func content(t testing.TB, r *release.Releaser, ref release.Ref, subject release.Subject) string {
	t.Helper()
	frame, err := r.Resolve(asSystem(t), ref, subject)
	if err != nil {
		t.Fatalf("resolve %s: %v", ref, err)
	}
	return string(frame.Event().GetVersion().GetContent())
}

func instance(id string, labels map[string]string) release.Subject {
	return release.SubjectOf(&gantryv1.Subject{InstanceId: id, Labels: labels})
}

// want fails unless an error has a reason and, as every error for users, a hint.
func want(t testing.TB, err error, code fault.Code, reason string) *fault.Error {
	t.Helper()
	f, ok := fault.As(err)
	if !ok || f.Code != code || f.Reason != reason {
		t.Fatalf("got %v, want %s %q", err, code, reason)
	}
	if f.Hint == "" {
		t.Errorf("%q has no hint", f.Message)
	}
	return f
}

func pointer[T any](v T) *T { return &v }

func name(i int) string { return fmt.Sprintf("loan/%04d", i) }
