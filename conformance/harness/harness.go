// Package harness starts a real gantry server, and other programs beside it, for conformance tests.
package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Server is a running gantry process.
type Server struct {
	// HTTP and GRPC are host:port.
	HTTP, GRPC string
	// OTLPGRPC and OTLPHTTP are host:port of its receivers of telemetry.
	OTLPGRPC, OTLPHTTP string
	// Data is its folder; it survives Restart.
	Data string
	// AdminToken may everything; empty when authentication is off.
	AdminToken string

	t       testing.TB
	args    []string
	process *Process
}

// Binary is the gantry binary: GANTRY_BINARY, or bin/gantry of the checkout.
func Binary(t testing.TB) string {
	t.Helper()
	path := os.Getenv("GANTRY_BINARY")
	if path == "" {
		path = filepath.Join("..", "..", "bin", "gantry")
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(absolute); err != nil {
		t.Fatalf("no gantry binary: %v; run make build, or set GANTRY_BINARY", err)
	}
	return absolute
}

// Start runs a server with authentication on, on loopback, with further flags.
func Start(t testing.TB, flags ...string) *Server {
	t.Helper()
	s := &Server{HTTP: FreeAddress(t), GRPC: FreeAddress(t), OTLPGRPC: FreeAddress(t), OTLPHTTP: FreeAddress(t), Data: t.TempDir(), t: t}
	s.args = append([]string{"server", "--data", s.Data, "--http-listen", s.HTTP, "--grpc-listen", s.GRPC, "--advertise", "127.0.0.1",
		"--otlp-grpc-listen", s.OTLPGRPC, "--otlp-http-listen", s.OTLPHTTP,
		"--minimum-free", "1MiB"}, flags...)
	s.run()
	password, err := os.ReadFile(filepath.Join(s.Data, "admin-password"))
	if err == nil {
		var answer struct{ Token string }
		s.Call("AccessService/Login", map[string]any{"user": "admin", "password": strings.TrimSpace(string(password))}, &answer)
		s.AdminToken = answer.Token
	}
	return s
}

func (s *Server) run() {
	s.t.Helper()
	s.process = Run(s.t, Binary(s.t), s.args...)
	Eventually(s.t, 30*time.Second, "the server is ready", func() error {
		response, err := http.Get("http://" + s.HTTP + "/readyz")
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("readyz answers %s", response.Status)
		}
		return nil
	})
}

// Kill ends the server at once, as a crash would.
func (s *Server) Kill() { s.process.Signal(syscall.SIGKILL); s.process.Wait() }

// Output is what the server has printed since it was started last.
func (s *Server) Output() string { return s.process.Output() }

// Restart runs it again on the same data and ports.
func (s *Server) Restart() { s.t.Helper(); s.run() }

// Call calls the native API by JSON, as the administrator, and fails the test when it fails.
func (s *Server) Call(method string, request, answer any) {
	s.t.Helper()
	body, err := json.Marshal(request)
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := http.NewRequest(http.MethodPost, "http://"+s.HTTP+"/gantry.v1."+method, bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if s.AdminToken != "" {
		r.Header.Set("Authorization", "Bearer "+s.AdminToken)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %s %s", method, response.Status, data)
	}
	if answer != nil {
		if err := json.Unmarshal(data, answer); err != nil {
			s.t.Fatalf("%s: %v in %s", method, err, data)
		}
	}
}

// Token makes a token with a role in a namespace.
func (s *Server) Token(namespace, role string) string {
	s.t.Helper()
	var answer struct{ Secret string }
	s.Call("AccessService/CreateToken", map[string]any{"description": "conformance",
		"grants": []map[string]any{{"namespace": namespace, "role": role}}}, &answer)
	return answer.Secret
}

// Process is a program that runs for a test. Its output is shown when the test fails.
type Process struct {
	command *exec.Cmd
	done    chan struct{}
	mu      sync.Mutex
	output  bytes.Buffer
}

// Run starts a program and ends it with the test.
func Run(t testing.TB, name string, args ...string) *Process {
	t.Helper()
	p := &Process{command: exec.Command(name, args...), done: make(chan struct{})}
	p.command.Stdout, p.command.Stderr = p, p
	p.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.command.Wait() // how it ended is seen in its output
		close(p.done)
	}()
	t.Cleanup(func() {
		p.Signal(syscall.SIGTERM)
		select {
		case <-p.done:
		case <-time.After(20 * time.Second):
			t.Errorf("%s does not stop", filepath.Base(name))
			p.Signal(syscall.SIGKILL)
			<-p.done
		}
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(name), p.Output())
		}
	})
	return p
}

// maxOutput bounds what is kept of a program's output.
const maxOutput = 256 << 10

// Write keeps output.
func (p *Process) Write(data []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.output.Len() < maxOutput {
		p.output.Write(data)
	}
	return len(data), nil
}

// Output is what the program has printed.
func (p *Process) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

// Signal sends a signal, if the program still runs.
func (p *Process) Signal(signal syscall.Signal) { _ = p.command.Process.Signal(signal) }

// Wait returns when the program has ended.
func (p *Process) Wait() { <-p.done }

// given are the addresses that were handed out: the system may name one again before who got it listens there.
var given sync.Map

// FreeAddress is a loopback address that was free a moment ago, and that nobody else in this process was given.
func FreeAddress(t testing.TB) string {
	t.Helper()
	for {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := listener.Addr().String()
		listener.Close()
		if _, twice := given.LoadOrStore(address, true); !twice {
			return address
		}
	}
}

// Eventually asks again until there is no error, at most for a time.
func Eventually(t testing.TB, atMost time.Duration, what string, ask func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), atMost)
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := ask()
		if err == nil {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatalf("waited %v in vain until %s: %v", atMost, what, err)
		}
	}
}
