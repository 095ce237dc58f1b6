//go:build linux

package robustness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// node is one server as a process. Its methods belong to the test's goroutine.
type node struct {
	t    *testing.T
	name string
	// data is its folder, args what it is started with beside its name, folder and addresses.
	data string
	args []string
	// namespace is the network namespace that it runs in; empty is that of the tests.
	namespace string

	http, grpc, peer, cluster, otlp string // host:port

	logPath string
	process *exec.Cmd
	// exited is closed when the process has ended, and outcome is then how.
	exited  chan struct{}
	outcome error
	api     *api
}

// newNode makes a node on an address of its own on loopback.
func newNode(t *testing.T, name string, args ...string) *node {
	t.Helper()
	return newNodeAt(t, name, "", loopbackHost(), args...)
}

// newNodeAt makes a node on an address in a network namespace, with the usual ports.
func newNodeAt(t *testing.T, name, namespace, host string, args ...string) *node {
	t.Helper()
	dir := t.TempDir()
	n := &node{t: t, name: name, namespace: namespace, args: args, data: filepath.Join(dir, "data"), logPath: filepath.Join(dir, "log")}
	n.http, n.grpc = net.JoinHostPort(host, "8848"), net.JoinHostPort(host, "9848")
	n.peer, n.cluster = net.JoinHostPort(host, "2380"), net.JoinHostPort(host, "7848")
	n.otlp = net.JoinHostPort(host, "4317")
	n.api = newAPI(t, n.http, namespace)
	t.Cleanup(func() {
		if t.Failed() {
			n.dump()
		}
		n.kill()
		n.checkLog()
		if t.Failed() {
			n.keepLog()
		}
	})
	return n
}

// checkLog fails the test for what only a defect makes a server say, whatever happens to it.
func (n *node) checkLog() {
	data, err := os.ReadFile(n.logPath)
	if err != nil {
		return // it was never started
	}
	count := 0
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "SIGQUIT") {
			return // we asked for what follows
		}
		if strings.Contains(line, `msg="a request failed"`) || strings.Contains(line, `msg="a request panicked"`) || strings.HasPrefix(line, "panic:") {
			if count++; count <= 5 {
				n.t.Errorf("%s: %s", n.name, line)
			}
		}
	}
}

// dump ends the process with all its goroutines in the log.
func (n *node) dump() {
	if !n.running() {
		return
	}
	n.resume()
	n.signal(syscall.SIGQUIT)
	select {
	case <-n.exited:
	case <-time.After(3 * time.Second):
	}
}

// keepLog puts the log of a failed test where it can be read afterwards.
func (n *node) keepLog() {
	path := filepath.Join(os.TempDir(), "gantry-"+strings.ReplaceAll(n.t.Name(), "/", "-")+"-"+n.name+".log")
	data, err := os.ReadFile(n.logPath)
	if err == nil {
		err = os.WriteFile(path, data, 0o600)
	}
	n.t.Logf("the log of %s is in %s (error %v); its last lines:\n%s", n.name, path, err, n.tail(5))
}

// loopbackHost is an address of this machine that no other node of these tests has, whatever else runs here. All of 127.0.0.0/8 is loopback.
func loopbackHost() string {
	pid, number := os.Getpid(), int(suite.numbers.Add(1))
	return fmt.Sprintf("127.%d.%d.%d", 1+pid/250%250, 1+pid%250, 1+number%250)
}

// arguments are the whole command line of the server.
func (n *node) arguments() []string {
	host, _, _ := net.SplitHostPort(n.http)
	return append([]string{"server", "--name", n.name, "--data", n.data, "--advertise", host,
		"--http-listen", n.http, "--grpc-listen", n.grpc, "--peer-listen", n.peer, "--cluster-listen", n.cluster,
		"--otlp-grpc-listen", n.otlp, "--otlp-http-listen", net.JoinHostPort(host, "4318")}, n.args...)
}

// start starts the process. It does not wait until it serves; see [node.awaitReady].
func (n *node) start() {
	n.t.Helper()
	log, err := os.OpenFile(n.logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		n.t.Fatal(err)
	}
	defer log.Close()
	process := exec.Command(suite.binary, n.arguments()...)
	process.Stdout, process.Stderr = log, log
	process.Env = cleanEnvironment()
	if err := suite.launcher.start(n.namespace, process); err != nil {
		n.t.Fatalf("start %s: %v", n.name, err)
	}
	n.process, n.exited = process, make(chan struct{})
	go func(exited chan struct{}) {
		n.outcome = process.Wait()
		close(exited)
	}(n.exited)
}

// cleanEnvironment is the environment without settings of a server that happens to be there.
func cleanEnvironment() []string {
	var environment []string
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "GANTRY_") {
			environment = append(environment, variable)
		}
	}
	return environment
}

func (n *node) running() bool {
	if n.process == nil {
		return false
	}
	select {
	case <-n.exited:
		return false
	default:
		return true
	}
}

func (n *node) signal(signal syscall.Signal) {
	if n.running() {
		if err := n.process.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
			n.t.Errorf("signal %v to %s: %v", signal, n.name, err)
		}
	}
}

// kill ends the process as a power cut would, and waits until it is gone.
func (n *node) kill() {
	if n.process != nil {
		n.signal(syscall.SIGKILL)
		<-n.exited
	}
}

// terminate asks the process to stop, and expects it to do so without an error.
func (n *node) terminate() {
	n.t.Helper()
	n.signal(syscall.SIGTERM)
	select {
	case <-n.exited:
		if n.outcome != nil {
			n.t.Errorf("%s did not stop cleanly: %v", n.name, n.outcome)
		}
	case <-time.After(20 * time.Second):
		n.t.Errorf("%s did not stop within 20 s", n.name)
		n.kill()
	}
}

// awaitExit waits for the end of a process that is expected to end by itself, and returns its exit code and last lines.
func (n *node) awaitExit(within time.Duration) (code int, lines string) {
	n.t.Helper()
	select {
	case <-n.exited:
	case <-time.After(within):
		n.t.Fatalf("%s still runs after %v", n.name, within)
	}
	return n.process.ProcessState.ExitCode(), n.tail(20)
}

// pause stops the process where it stands, and resume lets it go on.
func (n *node) pause() {
	n.t.Helper()
	n.signal(syscall.SIGSTOP)
	// On a busy machine threads of it may run on for a while.
	eventually(n.t, 10*time.Second, func(context.Context) error {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", n.process.Process.Pid))
		for _, thread := range threads {
			stat, failure := os.ReadFile(thread)
			if _, state, found := bytes.Cut(stat, []byte(") ")); failure == nil && found && state[0] != 'T' {
				err = errors.Join(err, fmt.Errorf("%s is %c", thread, state[0]))
			}
		}
		return err
	})
}

func (n *node) resume() { n.signal(syscall.SIGCONT) }

// awaitReady waits until the node serves and can write.
func (n *node) awaitReady() {
	n.t.Helper()
	eventually(n.t, 40*time.Second, func(ctx context.Context) error {
		if !n.running() {
			n.t.Fatalf("%s has ended: %v", n.name, n.outcome)
		}
		return n.api.ready(ctx)
	})
}

// tail returns the last lines of the log.
func (n *node) tail(count int) string {
	data, err := os.ReadFile(n.logPath)
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimRight(data, "\n"), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-count):], []byte("\n")))
}

// eventually asks again and again until there is no error, and fails the test when that takes too long.
func eventually(t *testing.T, within time.Duration, ask func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	pause := time.NewTicker(50 * time.Millisecond)
	defer pause.Stop()
	last := errors.New("never asked")
	for ctx.Err() == nil {
		one, cancelOne := context.WithTimeout(ctx, 3*time.Second)
		err := ask(one)
		cancelOne()
		if err == nil {
			return
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
	}
	t.Fatal(fmt.Errorf("not within %v: %w", within, last))
}
