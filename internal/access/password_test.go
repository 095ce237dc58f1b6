package access_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/state"
	"github.com/gantry-platform/gantry/internal/state/statetest"
)

func byPassword(t testing.TB, m *access.Manager, name, password, source string) error {
	t.Helper()
	_, err := m.Authenticate(t.Context(), access.Credential{User: name, Password: password, Source: source})
	return err
}

func TestPasswords(t *testing.T) {
	m, _ := node(t)
	createUser(t, m, "ann", grant("prod", viewer))
	identity, err := m.Authenticate(t.Context(), access.Credential{User: "ann", Password: password, Source: "192.0.2.1:80"})
	if err != nil || identity.Actor != "user:ann" || identity.Source != "192.0.2.1:80" || !identity.May(access.View, "prod") {
		t.Fatalf("%+v, %v", identity, err)
	}
	for _, wrong := range []access.Credential{
		{User: "ann", Password: password + "!"}, {User: "ann"}, {Password: password}, {User: "bob", Password: password},
		{User: "ann", Password: strings.Repeat("x", 1<<20)}, {User: strings.Repeat("x", 1<<20), Password: password},
		{User: "ann", Password: "\xff"},
	} {
		identity, err := m.Authenticate(t.Context(), wrong)
		wantFault(t, err, fault.Unauthenticated, "access.bad_credentials")
		if identity != nil {
			t.Errorf("an identity beside the error: %+v", identity)
		}
	}
	// Nothing at all is nobody, which is no error.
	if identity, err := m.Authenticate(t.Context(), access.Credential{}); err != nil || identity.Active() || identity.Actor != "anonymous" {
		t.Errorf("%+v, %v", identity, err)
	}
	// Unknown, wrong and disabled cannot be told apart.
	disabled := true
	createUser(t, m, "eve", grant("prod", viewer))
	if _, err := m.UpdateUser(system(t), "eve", access.UserUpdate{Disabled: &disabled}); err != nil {
		t.Fatal(err)
	}
	unknown, wrong, off := byPassword(t, m, "nobody", "wrong wrong", ""), byPassword(t, m, "ann", "wrong wrong", ""), byPassword(t, m, "eve", password, "")
	if unknown.Error() != wrong.Error() || wrong.Error() != off.Error() {
		t.Errorf("%q, %q, %q", unknown, wrong, off)
	}
}

func TestGuessingIsThrottled(t *testing.T) {
	m, c := node(t)
	createUser(t, m, "ann", grant("prod", viewer))
	createUser(t, m, "bob", grant("prod", viewer))
	guess := func(name string, n int, source string) error {
		return byPassword(t, m, name, fmt.Sprintf("guess number %d", n), source)
	}
	for n := range 10 {
		wantFault(t, guess("ann", n, fmt.Sprintf("192.0.2.%d:1", n)), fault.Unauthenticated, "access.bad_credentials")
	}
	wantFault(t, guess("ann", 10, "192.0.2.99:1"), fault.Exhausted, "access.throttled")
	wantFault(t, byPassword(t, m, "ann", password, "192.0.2.99:1"), fault.Exhausted, "access.throttled")
	if err := byPassword(t, m, "bob", password, "192.0.2.99:1"); err != nil {
		t.Errorf("another user: %v", err)
	}
	c.step(6 * time.Second)
	if err := byPassword(t, m, "ann", password, "192.0.2.99:1"); err != nil {
		t.Errorf("after a wait: %v", err)
	}

	// Unknown names are throttled as known ones are, and one source over all names; an IPv6 source is its /64.
	for n := range 30 {
		wantFault(t, guess(fmt.Sprintf("user%d", n), n, fmt.Sprintf("[2001:db8::%x]:1", n)), fault.Unauthenticated, "access.bad_credentials")
	}
	wantFault(t, guess("user30", 0, "[2001:db8::ffff]:1"), fault.Exhausted, "access.throttled")
	wantFault(t, guess("user30", 0, "[2001:db8:0:1::1]:1"), fault.Unauthenticated, "access.bad_credentials")
}

func TestARightPasswordIsNotThrottledWhileItIsKnown(t *testing.T) {
	m, c := node(t)
	createUser(t, m, "ann", grant("prod", viewer))
	if err := byPassword(t, m, "ann", password, "192.0.2.1:1"); err != nil {
		t.Fatal(err)
	}
	for n := range 10 {
		wantFault(t, byPassword(t, m, "ann", fmt.Sprintf("guess number %d", n), "198.51.100.1:1"), fault.Unauthenticated, "access.bad_credentials")
	}
	wantFault(t, byPassword(t, m, "ann", "another guess", "198.51.100.1:1"), fault.Exhausted, "access.throttled")
	if err := byPassword(t, m, "ann", password, "192.0.2.1:1"); err != nil {
		t.Errorf("a client that is known is held up by another one's guesses: %v", err)
	}
	// A clock that is set back must not make what is known last.
	c.step(-time.Hour)
	wantFault(t, byPassword(t, m, "ann", password, "192.0.2.1:1"), fault.Exhausted, "access.throttled")
}

func TestAFleetWithAnOldPasswordLocksNobodyOut(t *testing.T) {
	m, _ := node(t)
	createUser(t, m, "fleet", grant("prod", service))
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if err := byPassword(t, m, "fleet", "the old password", "192.0.2.1:1"); !fault.Is(err, fault.Unauthenticated) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if err := byPassword(t, m, "fleet", password, "192.0.2.1:1"); err != nil {
		t.Errorf("the new password: %v", err)
	}
	// And the old one, if it is set again, is known to be right at once.
	old := "the old password"
	if _, err := m.UpdateUser(system(t), "fleet", access.UserUpdate{Password: &old}); err != nil {
		t.Fatal(err)
	}
	if err := byPassword(t, m, "fleet", old, "192.0.2.1:1"); err != nil {
		t.Error(err)
	}
	wantFault(t, byPassword(t, m, "fleet", password, "192.0.2.1:1"), fault.Unauthenticated, "access.bad_credentials")
}

func TestManyAtOnceShareOneCheck(t *testing.T) {
	m, _ := node(t)
	createUser(t, m, "fleet", grant("prod", service))
	// More than may wait for a check of their own.
	var all sync.WaitGroup
	for i := range 1000 {
		all.Go(func() {
			if _, err := m.Authenticate(t.Context(), access.Credential{User: "fleet", Password: password, Source: fmt.Sprintf("192.0.2.%d:1", i%250)}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// weakHash is the password under the least cost there is.
func weakHash() string {
	salt := []byte("some salt")
	return "$argon2id$v=19$m=8,t=1,p=1$" + base64.RawStdEncoding.EncodeToString(salt) + "$" +
		base64.RawStdEncoding.EncodeToString(argon2.IDKey([]byte(password), salt, 1, 8, 1, 32))
}

// storeUser writes a user's record as an earlier version could have.
func storeUser(t *testing.T, store *state.Store, name, hash string) {
	t.Helper()
	record := fmt.Sprintf(`{"name":%q,"grants":[{"namespace":"prod","role":"viewer"},{"namespace":"prod","role":"of a newer version"}],`+
		`"password":%q,"session":"s1","created":"2026-01-02T03:04:05Z","changed":"2026-01-02T03:04:05Z"}`, name, hash)
	put(t, store, state.Key("user", name), []byte(record))
}

func put(t *testing.T, store *state.Store, key string, value []byte) {
	t.Helper()
	revision, err := store.Commit(t.Context(), state.Change{Put: []state.Put{{Key: key, Value: value}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Await(t.Context(), revision); err != nil {
		t.Fatal(err)
	}
}

func storedPassword(t *testing.T, store *state.Store, name string) string {
	t.Helper()
	record, _, err := store.Get(t.Context(), state.Key("user", name))
	if err != nil {
		t.Fatal(err)
	}
	var stored struct{ Password string }
	if err := json.Unmarshal(record.Value, &stored); err != nil {
		t.Fatal(err)
	}
	return stored.Password
}

func TestAWeakHashIsMadeStronger(t *testing.T) {
	store := statetest.New(t)
	m := start(t, store, access.Options{})
	storeUser(t, store, "ann", weakHash())
	wantFault(t, byPassword(t, m, "ann", "wrong wrong", ""), fault.Unauthenticated, "access.bad_credentials")
	if storedPassword(t, store, "ann") != weakHash() {
		t.Error("a wrong password changed the record")
	}
	identity := byToken(t, m, login(t, m, "ann", password))
	if !identity.May(access.View, "prod") || identity.May(access.Publish, "prod") {
		t.Errorf("%v", identity.Grants())
	}
	if now := storedPassword(t, store, "ann"); now == weakHash() || !strings.HasPrefix(now, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("stored as %s", now)
	}
	if err := store.Await(t.Context(), revision(t, store, "ann")); err != nil {
		t.Fatal(err)
	}
	if !identity.Active() {
		t.Error("that ended the login")
	}
	login(t, m, "ann", password)
}

func revision(t *testing.T, store *state.Store, name string) int64 {
	t.Helper()
	record, _, err := store.Get(t.Context(), state.Key("user", name))
	if err != nil {
		t.Fatal(err)
	}
	return record.Modified
}

func TestPasswordsAreStoredAsHashes(t *testing.T) {
	store := statetest.New(t)
	m := start(t, store, access.Options{})
	createUser(t, m, "ann", grant("prod", viewer))
	createUser(t, m, "bob", grant("prod", viewer))
	_, secret := createToken(t, m, 0, grant("prod", service))
	loggedIn := login(t, m, "ann", password)
	records, err := store.List(t.Context(), "", state.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, record := range records {
		for _, plain := range []string{password, secret, secret[len(secret)-43:], loggedIn, loggedIn[len(loggedIn)-43:]} {
			if strings.Contains(string(record.Value), plain) {
				t.Errorf("%s holds a secret", record.Key)
			}
		}
	}
	if storedPassword(t, store, "ann") == storedPassword(t, store, "bob") {
		t.Error("the same password has the same hash")
	}
}

func TestDamagedRecordsDenyAndDoNotSpread(t *testing.T) {
	store := statetest.New(t)
	m := start(t, store, access.Options{})
	createUser(t, m, "ann", grant("prod", viewer))
	createUser(t, m, "root", grant("*", admin))
	id, secret := createToken(t, m, 0, grant("prod", service))
	_, other := createToken(t, m, 0, grant("prod", service))
	person, process := byToken(t, m, login(t, m, "ann", password)), byToken(t, m, secret)

	put(t, store, state.Key("user", "ann"), []byte(`{"name":"root"`))
	put(t, store, state.Key("user", "eve"), []byte(`{"name":"root","password":"`+weakHash()+`","session":"x","grants":[{"namespace":"*","role":"admin"}]}`))
	put(t, store, state.Key("token", id), []byte("\x00"))
	put(t, store, state.Key("audit", "nonsense"), []byte("\xff\xff"))
	if person.Active() || process.Active() {
		t.Error("who has no record any more goes on")
	}
	wantFault(t, byPassword(t, m, "ann", password, ""), fault.Unauthenticated, "access.bad_credentials")
	wantFault(t, byPassword(t, m, "eve", password, ""), fault.Unauthenticated, "access.bad_credentials")
	byToken(t, m, other)
	login(t, m, "root", password)
	if err := m.RevokeToken(system(t), id); err != nil {
		t.Errorf("a damaged token cannot be removed: %v", err)
	}
	if err := m.DeleteUser(system(t), "ann"); err != nil {
		t.Errorf("a damaged user cannot be removed: %v", err)
	}
	createUser(t, m, "ann")
	if _, _, err := m.ListAudit(system(t), nil); err != nil {
		t.Errorf("a damaged audit record hides the others: %v", err)
	}
}
