package release_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/release"
	"github.com/gantry-platform/gantry/internal/state"
	"github.com/gantry-platform/gantry/internal/state/statetest"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

const secret = "correct-horse-battery-staple"

// stored returns everything in the state as one text.
func stored(t testing.TB, s *state.Store) string {
	t.Helper()
	records, err := s.List(context.Background(), "", state.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, record := range records {
		fmt.Fprintf(&all, "%s=%s\n", record.Key, record.Value)
	}
	return all.String()
}

func dataKeys(t testing.TB, s *state.Store) []string {
	t.Helper()
	records, err := s.List(context.Background(), state.Prefix("datakey"), state.ListOptions{KeysOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	keys := []string{}
	for _, record := range records {
		keys = append(keys, record.Key)
	}
	return keys
}

func sensitive(t testing.TB, r *release.Releaser, ref release.Ref, text string) {
	t.Helper()
	publish(t, r, release.Draft{Ref: ref, Content: []byte(text), Sensitive: true, Release: true})
}

// syncBuffer collects a log that several goroutines write.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestASecretStandsNowhereInTheClear(t *testing.T) {
	s := statetest.New(t)
	var log syncBuffer
	r := over(t, s, release.Options{Keys: keyring(t, root(1)), Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	ctx := asSystem(t)
	ref := config("database.yaml")
	draft := release.Draft{Ref: ref, Content: []byte("password: " + secret + "\n"), Sensitive: true, Release: true}
	if _, err := r.Publish(ctx, draft); err != nil {
		t.Fatal(err)
	}
	if p, err := r.Publish(ctx, draft); err != nil || !p.Unchanged {
		t.Fatalf("the same secret again: %+v %v", p, err)
	}
	_, err := r.Publish(ctx, release.Draft{Ref: ref, Content: []byte("password: [" + secret), Sensitive: true})
	if err == nil || strings.Contains(err.Error(), secret) {
		t.Fatalf("the error shows the secret, or there is none: %v", err)
	}
	if got := content(t, r, ref, release.Subject{}); !strings.Contains(got, secret) {
		t.Fatalf("it does not open: %q", got)
	}
	_, v, err := r.Get(ctx, ref, 1)
	if err != nil || v.Checksum == "" {
		t.Fatalf("get: %v %v", v, err)
	}
	if err := r.RotateKeys(ctx, nil); err != nil {
		t.Fatal(err)
	}
	all := stored(t, s) + log.String()
	for _, forbidden := range []string{secret, v.Checksum} {
		if strings.Contains(all, forbidden) {
			t.Errorf("%q is in the state or the log", forbidden)
		}
	}
}

func TestAContentOpensOnlyInItsPlace(t *testing.T) {
	s := statetest.New(t)
	r := over(t, s, release.Options{Keys: keyring(t, root(1)), CacheBytes: 1})
	ctx := asSystem(t)
	sensitive(t, r, config("b"), "other")
	sensitive(t, r, config("a"), secret) // which takes b out of the cache
	get := func(name string) state.Record {
		record, found, err := s.Get(ctx, state.Key("content", "default", "Config", name, "0000000000000001"))
		if err != nil || !found {
			t.Fatal(found, err)
		}
		return record
	}
	a, b := get("a"), get("b")
	if _, err := s.Commit(ctx, state.Change{Put: []state.Put{{Key: b.Key, Value: a.Value}}}); err != nil {
		t.Fatal(err)
	}
	_, _, err := r.Get(ctx, config("b"), 1)
	want(t, err, fault.Internal, "document.damaged")
	if strings.Contains(err.Error(), secret) {
		t.Error("the error shows the secret")
	}
}

// roles gives identities with one role each in the default namespace, and the audit log.
func roles(t *testing.T, s *state.Store) (*access.Manager, func(role gantryv1.Role) context.Context) {
	t.Helper()
	m, err := access.New(access.Options{Store: s, Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return m, func(role gantryv1.Role) context.Context {
		t.Helper()
		_, token, err := m.CreateToken(asSystem(t), role.String(), []*gantryv1.Grant{{Namespace: "default", Role: role}}, 0)
		if err != nil {
			t.Fatal(err)
		}
		identity, err := m.Authenticate(context.Background(), access.Credential{Token: token, Source: "10.0.0.1"})
		if err != nil {
			t.Fatal(err)
		}
		return access.NewContext(asSystem(t), identity)
	}
}

func TestWhoSeesWhat(t *testing.T) {
	s := statetest.New(t)
	_, as := roles(t, s)
	r := over(t, s, release.Options{Keys: keyring(t, root(1))})
	ref := config("db")
	sensitive(t, r, ref, secret)
	publish(t, r, release.Draft{Ref: ref, Content: []byte(secret + "2"), Sensitive: true})
	viewer, developer := as(gantryv1.Role_ROLE_VIEWER), as(gantryv1.Role_ROLE_DEVELOPER)
	releaser, service := as(gantryv1.Role_ROLE_RELEASER), as(gantryv1.Role_ROLE_SERVICE)

	for name, c := range map[string]struct {
		ctx     context.Context
		version int64
		sees    bool
		refused bool
	}{
		"a viewer":                        {viewer, 0, false, false},
		"a developer":                     {developer, 2, false, false},
		"a releaser":                      {releaser, 2, true, false},
		"a service, what is in force":     {service, 0, true, false},
		"a service, what is not in force": {service, 2, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			_, v, err := r.Get(c.ctx, ref, c.version)
			if c.refused {
				want(t, err, fault.NotFound, "document.not_released")
				return
			}
			if err != nil || v.Withheld == c.sees || strings.Contains(v.String(), secret) != c.sees || (v.Checksum != "") != c.sees {
				t.Fatalf("got %v, %v", v, err)
			}
		})
	}
	_, err := r.Diff(viewer, ref, 1, 2, nil)
	want(t, err, fault.Forbidden, "document.withheld")
	if d, err := r.Diff(releaser, ref, 1, 2, nil); err != nil || !strings.Contains(d.Unified, "+"+secret+"2") {
		t.Fatalf("diff: %v %v", d, err)
	}
	for who, sees := range map[context.Context]bool{viewer: false, service: true} {
		w, err := r.Watch(who, release.Subject{})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		if err := w.Add(ref); err != nil {
			t.Fatal(err)
		}
		if f := next(t, w); bytes.Contains(f[0].Encoded, []byte(secret)) != sees {
			t.Errorf("watching, sees must be %v: %v", sees, f[0].Event())
		}
	}
	for _, who := range []context.Context{viewer, releaser} {
		_, documents, err := r.Export(who, "default", "", who == viewer)
		if err != nil {
			t.Fatal(err)
		}
		for d, err := range documents {
			if err != nil || !d.Version.Withheld {
				t.Errorf("an export shows a secret that was not asked for or may not be seen: %v", err)
			}
		}
	}
	for who, tells := range map[context.Context]bool{developer: false, releaser: true} {
		p, err := r.Publish(who, release.Draft{Ref: ref, Format: "text", Content: []byte(secret + "2"), Sensitive: true})
		if err != nil || p.Unchanged != tells {
			t.Errorf("a right guess at the secret, told must be %v: %+v %v", tells, p, err)
		}
	}
	_, err = r.Publish(viewer, release.Draft{Ref: ref})
	want(t, err, fault.Forbidden, "access.forbidden")
	_, err = r.Publish(developer, release.Draft{Ref: ref, Release: true})
	want(t, err, fault.Forbidden, "access.forbidden")
	_, err = r.Delete(developer, release.Step{Ref: ref})
	want(t, err, fault.Forbidden, "access.forbidden")
	want(t, r.RotateKeys(releaser, nil), fault.Forbidden, "access.forbidden")
	_, _, err = r.Get(releaser, release.Ref{Namespace: "other", Kind: "Config", Name: "db"}, 0)
	want(t, err, fault.Forbidden, "access.forbidden")
}

func TestWithoutTheRootKeyTheRestWorks(t *testing.T) {
	s := statetest.New(t)
	r := over(t, s, release.Options{Keys: keyring(t, root(1))})
	sensitive(t, r, config("secret"), secret)
	released(t, r, config("plain"), "open")
	r.Close()

	s = statetest.Reopen(t, s)
	r = over(t, s, release.Options{Keys: keyring(t, root(2))})
	ctx := asSystem(t)
	_, _, err := r.Get(ctx, config("secret"), 0)
	want(t, err, fault.Precondition, "secret.root_key_missing")
	_, err = r.Publish(ctx, release.Draft{Ref: config("more"), Format: "text", Sensitive: true})
	want(t, err, fault.Precondition, "secret.root_key_missing")
	if content(t, r, config("plain"), release.Subject{}) != "open" {
		t.Fatal("what is not sensitive cannot be read")
	}
	released(t, r, config("plain"), "still")

	// A rotation lets the new root key seal, and keeps what the old one holds.
	want(t, r.RotateKeys(ctx, nil), fault.Precondition, "secret.not_all_sealed")
	sensitive(t, r, config("more"), secret)
	first := dataKeys(t, s)
	want(t, r.RotateKeys(ctx, nil), fault.Precondition, "secret.not_all_sealed")
	if second := dataKeys(t, s); len(first) != 2 || len(second) != 2 || first[0] != second[0] || first[1] == second[1] {
		t.Fatalf("what cannot be opened keeps the key from rotating: %v, then %v", first, second)
	}
	// Nor does it keep a schema from being published; that is checked against what can be read.
	p, err := r.Publish(ctx, release.Draft{Ref: release.Ref{Kind: "Schema", Name: "s"}, Content: []byte("appliesTo: [\"*.yaml\"]\nschema: {type: object}\n")})
	if err != nil || len(p.Warnings) != 1 || p.Warnings[0].Reason != "document.not_checked" {
		t.Fatalf("a schema beside what cannot be opened: %+v %v", p, err)
	}
	r.Close()

	s = statetest.Reopen(t, s)
	r = over(t, s, release.Options{Keys: keyring(t, root(2), root(1))})
	if err := r.RotateKeys(ctx, nil); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"secret", "more"} {
		if content(t, r, config(name), release.Subject{}) != secret {
			t.Errorf("%s is lost", name)
		}
	}
	if keys := dataKeys(t, s); len(keys) != 1 {
		t.Errorf("data keys left: %v", keys)
	}
}

func TestChangingTheRootKey(t *testing.T) {
	s := statetest.New(t)
	r := over(t, s, release.Options{Keys: keyring(t, root(1))})
	sensitive(t, r, config("s"), secret)
	r.Close()
	s = statetest.Reopen(t, s)
	r = over(t, s, release.Options{Keys: keyring(t, root(2), root(1))})
	if err := r.RotateKeys(asSystem(t), nil); err != nil {
		t.Fatal(err)
	}
	r.Close()
	s = statetest.Reopen(t, s)
	r = over(t, s, release.Options{Keys: keyring(t, root(2))})
	if content(t, r, config("s"), release.Subject{}) != secret {
		t.Fatal("the new root key alone does not open it")
	}
}

// The state goes away in the middle of a rotation, as in a crash. Everything can be read afterwards, and rotating again
// finishes the work instead of beginning another.
func TestARotationThatIsBrokenOff(t *testing.T) {
	s := statetest.New(t)
	options := release.Options{Keys: keyring(t, root(1))}
	r := over(t, s, options)
	const documents = 40
	for i := range documents {
		sensitive(t, r, config(name(i)), fmt.Sprintf("%s %d", secret, i))
	}
	before := dataKeys(t, s)
	ctx, crash := context.WithCancel(asSystem(t))
	err := r.RotateKeys(ctx, func(p release.Progress) {
		if p.Done == documents/4 {
			crash()
		}
	})
	if err == nil {
		t.Fatal("the rotation was not broken off")
	}
	r.Close()

	s = statetest.Reopen(t, s)
	r = over(t, s, options)
	if keys := dataKeys(t, s); len(keys) != 2 {
		t.Fatalf("data keys after the crash: %v", keys)
	}
	check := func() {
		t.Helper()
		for i := range documents {
			if got := content(t, r, config(name(i)), release.Subject{}); got != fmt.Sprintf("%s %d", secret, i) {
				t.Fatalf("%s holds %q", name(i), got)
			}
		}
	}
	check()
	var last release.Progress
	if err := r.RotateKeys(asSystem(t), func(p release.Progress) { last = p }); err != nil {
		t.Fatal(err)
	}
	if last.Done != last.Total || last.Total == 0 || last.Total >= documents {
		t.Errorf("it went on with %+v", last)
	}
	after := dataKeys(t, s)
	if len(after) != 1 || after[0] == before[0] || !strings.HasSuffix(after[0], last.KeyID) {
		t.Errorf("data keys %v before, %v after, told %s", before, after, last.KeyID)
	}
	r.Close()
	s = statetest.Reopen(t, s)
	r = over(t, s, options)
	check()
}

// A sweep finishes what was broken off, too.
func TestASweepFinishesARotation(t *testing.T) {
	s := statetest.New(t)
	r := over(t, s, release.Options{Keys: keyring(t, root(1))})
	for i := range 10 {
		sensitive(t, r, config(name(i)), secret)
	}
	ctx, crash := context.WithCancel(asSystem(t))
	if err := r.RotateKeys(ctx, func(release.Progress) { crash() }); err == nil {
		t.Fatal("the rotation was not broken off")
	}
	if err := r.Sweep(asSystem(t)); err != nil {
		t.Fatal(err)
	}
	if keys := dataKeys(t, s); len(keys) != 1 {
		t.Fatalf("data keys after the sweep: %v", keys)
	}
}

// Publishing on two nodes while keys rotate, again and again: nothing is sealed by a key that is gone.
func TestPublishingDuringRotations(t *testing.T) {
	s := statetest.New(t)
	options := release.Options{Keys: keyring(t, root(1)), CacheBytes: 1}
	r := over(t, s, options)
	other := over(t, statetest.Second(t, s), options)
	ctx := asSystem(t)
	var stop atomic.Bool
	var publishers sync.WaitGroup
	for i, node := range []*release.Releaser{r, other} {
		publishers.Go(func() {
			for n := 0; !stop.Load(); n++ {
				if _, err := node.Publish(ctx, release.Draft{Ref: config(name(i)), Format: "text", Sensitive: true, Content: fmt.Appendf(nil, "%s %d", secret, n+1)}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 5 {
		if err := r.RotateKeys(ctx, nil); err != nil {
			t.Error(err)
		}
	}
	stop.Store(true)
	publishers.Wait()
	if keys := dataKeys(t, s); len(keys) != 1 {
		t.Errorf("data keys left: %v", keys)
	}
	for i := range 2 {
		d, _, _, err := r.History(ctx, config(name(i)), 1)
		if err != nil {
			t.Fatal(err)
		}
		for version := range d.LatestVersion {
			_, v, err := r.Get(ctx, config(name(i)), version+1)
			if err != nil || string(v.Content) != fmt.Sprintf("%s %d", secret, version+1) {
				t.Fatalf("version %d of %s: %v %v", version+1, name(i), v, err)
			}
		}
	}
}

func TestRootKeysAreRead(t *testing.T) {
	good := release.GenerateRootKey()
	for name, c := range map[string]struct {
		text  string
		valid bool
	}{
		"hex":            {good, true},
		"lines":          {"# new\n" + good + "\n\n  " + release.GenerateRootKey() + "\n", true},
		"commas":         {good + "," + good, true},
		"base64":         {"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", true},
		"short":          {good[:62], false},
		"a password":     {secret, false},
		"one of several": {good + "\n" + good[1:], false},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := release.ParseRootKeys(c.text)
			if c.valid != (err == nil) {
				t.Fatal(err)
			}
			if err != nil {
				f := want(t, err, fault.Invalid, "secret.root_key_invalid")
				if strings.Contains(f.Error(), c.text) {
					t.Error("the error shows the key")
				}
			}
		})
	}
	if _, err := release.NewKeyring([]byte("short")); !fault.Is(err, fault.Invalid) {
		t.Errorf("a short key: %v", err)
	}
}
