package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestUsersTokensAndRoles(t *testing.T) {
	o := newOperator(t)
	namespace := o.env["GANTRY_NAMESPACE"]
	o.typing("correct horse battery\n").must("user", "create", "ann", "--grant", namespace+"=viewer")
	t.Cleanup(func() { o.runIn(context.Background(), "user", "delete", "ann", "-y") })
	wantWords(t, o.must("user", "list"), "ann", "enabled", namespace+"=viewer")
	o.fails(exitConflict, []string{"ann"}, "user", "create", "ann", "--password-file", file(t, "p", "correct horse battery"))
	o.fails(exitInvalid, []string{"no password", "--password-file"}, "user", "create", "bob")
	o.fails(exitInvalid, []string{"grant", "viewer, developer"}, "user", "create", "bob", "--grant", "default=king")

	ann := o.typing("correct horse battery\n")
	delete(ann.env, "GANTRY_TOKEN")
	ann.fails(exitForbidden, nil, "services")
	ann.must("login", "--user", "ann")
	wantWords(t, ann.must("whoami"), "user:ann", namespace+"=viewer")
	ann.must("services")
	ann.fails(exitForbidden, []string{"ann"}, "apply", "-f", file(t, "a.yaml", config("a.yaml", "a: 1")))

	o.must("user", "update", "ann", "--grant", namespace+"=releaser")
	ann.must("apply", "-f", file(t, "a.yaml", config("a.yaml", "a: 1")))
	wantWords(t, o.must("audit", "--actor", "user:ann", "--limit", "10", "-o", "wide"), "user:ann", "Config/a.yaml")

	ann.typing("correct horse battery\nanother horse battery\n").must("user", "password")
	ann.typing("correct horse battery\n").fails(exitForbidden, nil, "login", "-u", "ann")
	ann.typing("another horse battery\n").must("login", "-u", "ann")
	o.typing("a third horse battery\n").must("user", "password", "ann")
	ann.typing("a third horse battery\n").must("login", "-u", "ann")
	o.must("user", "update", "ann", "--disable")
	ann.fails(exitForbidden, nil, "services")
	wantWords(t, o.must("user", "list"), "disabled")
	o.fails(exitInvalid, []string{"--yes"}, "user", "delete", "ann")
}

func TestLoginIsKeptForItsServerAlone(t *testing.T) {
	o := newOperator(t)
	password, err := os.ReadFile(filepath.Join(real.server.DataDir(), "admin-password"))
	if err != nil {
		t.Fatal(err)
	}
	person := &operator{t: t, env: map[string]string{"HOME": t.TempDir()}}
	r := person.typing(string(password)).run("login", real.address, "-u", "admin", "-n", o.env["GANTRY_NAMESPACE"])
	if r.code != 0 || r.out != "" {
		t.Fatalf("exit code %d: %s%s", r.code, r.out, r.err)
	}
	path := filepath.Join(person.env["HOME"], ".config", "gantry", "config.yaml")
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", info, err)
	}
	kept, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	token := strings.TrimSpace(strings.SplitAfter(strings.Split(string(kept), "\nnamespace")[0], "token: ")[1])
	wantNoWords(t, r.err, token, strings.TrimSpace(string(password)))
	wantWords(t, person.must("whoami"), "user:admin", real.address)
	person.must("get") // in the namespace that login kept

	// Another server does not get the token.
	given := make(chan string, 1)
	other := pretendToken(t, given)
	person.with("GANTRY_ADDRESS", other).run("services")
	if token := <-given; token != "" {
		t.Fatal("the token went to another server")
	}
	person.with("GANTRY_ADDRESS", other, "GANTRY_TOKEN", "mine").run("services")
	if token := <-given; token != "Bearer mine" {
		t.Fatalf("the token of the environment did not go out: %q", token)
	}

	person.must("logout")
	person.fails(exitForbidden, nil, "whoami", "--token", token)
	person.fails(exitConflict, []string{"no login"}, "logout")
	if left, _ := os.ReadFile(path); strings.Contains(string(left), token) {
		t.Fatal("the token is still kept")
	}
}

func TestTokenSecretStandsAlone(t *testing.T) {
	o := newOperator(t)
	r := o.run("token", "create", "--grant", o.env["GANTRY_NAMESPACE"]+"=service", "--description", "loan", "--lifetime", "1h")
	secret, ok := strings.CutSuffix(r.out, "\n")
	if !ok || !strings.HasPrefix(secret, "gty_") || strings.ContainsAny(secret, " \n") || strings.Contains(r.err, secret) {
		t.Fatalf("out %q, err %q", r.out, r.err)
	}
	service := o.with("GANTRY_TOKEN", "", "GANTRY_TOKEN_FILE", file(t, "token", secret+"\n"))
	wantWords(t, service.must("whoami"), "token:")
	list := o.must("token", "list")
	wantWords(t, list, "loan", o.env["GANTRY_NAMESPACE"]+"=service")
	wantNoWords(t, list, secret)
	type shape struct{ ID, Description string }
	for _, token := range decode[[]shape](t, o.must("token", "list", "-o", "json")) {
		if token.Description == "loan" {
			o.must("token", "revoke", token.ID)
		}
	}
	service.fails(exitForbidden, nil, "whoami")
	o.fails(exitInvalid, []string{"--grant"}, "token", "create")
	o.fails(exitInvalid, []string{"lifetime"}, "token", "create", "--grant", "default=viewer", "--lifetime", "-1h")
}

func TestTokenOfAWrongFileIsNotShown(t *testing.T) {
	o := &operator{t: t, env: map[string]string{"HOME": t.TempDir()}}
	secret := "two words of a secret"
	r := o.fails(exitInvalid, []string{"token"}, "services", "--token-file", file(t, "t", secret))
	wantNoWords(t, r.err, "secret")
	o.fails(exitInvalid, []string{"larger than"}, "services", "--token-file", file(t, "t", strings.Repeat("x", maxTokenFile+1)))
	o.fails(exitInvalid, []string{"both given"}, "services", "--token", "a", "--token-file", "b")
	broken := file(t, "config.yaml", "token: [gty_very, secret]\n")
	r = o.with("GANTRY_CLI_CONFIG", broken).fails(exitInvalid, []string{broken, "gantry login"}, "services")
	wantNoWords(t, r.err, "gty_very")
}
