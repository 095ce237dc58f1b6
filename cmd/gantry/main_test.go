package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gantry-platform/gantry/internal/server"
	"github.com/gantry-platform/gantry/sdk/api/gantry/v1/gantryv1connect"
)

// real is a server with authentication on, shared by the tests of this package; each works in a namespace of its own.
var real realServer

type realServer struct {
	start   sync.Once
	err     error
	server  *server.Server
	folder  string
	address string
	admin   string // token
}

func TestMain(m *testing.M) {
	code := m.Run()
	if real.server != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		real.server.Shutdown(ctx)
		cancel()
	}
	os.RemoveAll(real.folder)
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func (r *realServer) run() error {
	var err error
	if r.folder, err = os.MkdirTemp("", "gantry-cli"); err != nil {
		return err
	}
	settings := map[string]string{"GANTRY_DATA": filepath.Join(r.folder, "data"), "GANTRY_HTTP_LISTEN": "127.0.0.1:0", "GANTRY_GRPC_LISTEN": "127.0.0.1:0",
		"GANTRY_MINIMUM_FREE": "1", "GANTRY_NAME": "n1", "GANTRY_ADVERTISE": "127.0.0.1"}
	loaded, err := server.Load("", func(name string) string { return settings[name] }, nil)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if r.server, err = server.Start(ctx, loaded, server.Options{Version: "test", Log: io.Discard}); err != nil {
		return err
	}
	r.address = "http://" + r.server.HTTPAddress()
	config := filepath.Join(r.folder, "config.yaml")
	env := map[string]string{"GANTRY_ADDRESS": r.address, "GANTRY_CLI_CONFIG": config}
	var errOut bytes.Buffer
	if code := run(ctx, []string{"login", "-u", "admin", "--password-file", filepath.Join(r.server.DataDir(), "admin-password")}, strings.NewReader(""), &errOut, &errOut,
		func(name string) string { return env[name] }); code != 0 {
		panic(errOut.String())
	}
	data, err := os.ReadFile(config)
	if err != nil {
		return err
	}
	r.admin = regexp.MustCompile(`token: (\S+)`).FindStringSubmatch(string(data))[1]
	return nil
}

// operator is a person with an environment.
type operator struct {
	t   *testing.T
	env map[string]string
	in  string
}

type result struct {
	code     int
	out, err string
}

// newOperator is an administrator of the real server in a namespace of the test's own.
func newOperator(t *testing.T) *operator {
	t.Helper()
	real.start.Do(func() { real.err = real.run() })
	if real.err != nil {
		t.Fatal(real.err)
	}
	namespace := strings.ToLower(regexp.MustCompile(`[^A-Za-z0-9]`).ReplaceAllString(t.Name(), ""))
	namespace = namespace[:min(len(namespace), 60)]
	o := &operator{t: t, env: map[string]string{"GANTRY_ADDRESS": real.address, "GANTRY_TOKEN": real.admin, "GANTRY_NAMESPACE": namespace, "HOME": t.TempDir()}}
	o.must("namespace", "create", namespace)
	return o
}

// of is the same person in a different environment.
func (o *operator) with(pairs ...string) *operator {
	other := &operator{t: o.t, env: map[string]string{}, in: o.in}
	for name, value := range o.env {
		other.env[name] = value
	}
	for i := 0; i < len(pairs); i += 2 {
		other.env[pairs[i]] = pairs[i+1]
	}
	return other
}

func (o *operator) typing(in string) *operator {
	other := o.with()
	other.in = in
	return other
}

func (o *operator) run(args ...string) result {
	o.t.Helper()
	return o.runIn(o.t.Context(), args...)
}

func (o *operator) runIn(ctx context.Context, args ...string) result {
	var out, errOut bytes.Buffer
	code := run(ctx, args, strings.NewReader(o.in), &out, &errOut, func(name string) string { return o.env[name] })
	return result{code, out.String(), errOut.String()}
}

// must runs a command that has to succeed and returns its answer.
func (o *operator) must(args ...string) string {
	o.t.Helper()
	r := o.run(args...)
	if r.code != exitDone {
		o.t.Fatalf("gantry %s: exit code %d\n%s%s", strings.Join(args, " "), r.code, r.out, r.err)
	}
	return r.out
}

// fails runs a command that has to end with a code and to say some words on errOut.
func (o *operator) fails(code int, words []string, args ...string) result {
	o.t.Helper()
	r := o.run(args...)
	if r.code != code {
		o.t.Fatalf("gantry %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), r.code, code, r.out, r.err)
	}
	wantWords(o.t, r.err, words...)
	return r
}

func wantWords(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Fatalf("%q is missing in:\n%s", word, text)
		}
	}
}

func wantNoWords(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, word := range words {
		if strings.Contains(text, word) {
			t.Fatalf("%q stands in:\n%s", word, text)
		}
	}
}

// decode reads what -o json printed.
func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var value T
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	return value
}

// file writes a file of the test and returns its path.
func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// pretend serves handlers that misbehave in a way that a real server would not on demand.
func pretend(t *testing.T, instances gantryv1connect.InstanceServiceHandler, releases gantryv1connect.ReleaseServiceHandler) *operator {
	t.Helper()
	mux := newMux(instances, releases)
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return &operator{t: t, env: map[string]string{"GANTRY_ADDRESS": s.URL, "HOME": t.TempDir()}}
}
