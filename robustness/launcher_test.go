//go:build linux

package robustness

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// launcher starts all processes from one thread that lives as long as the tests do: the system kills the processes when that thread
// ends, however it ends. So nothing is left of a test that panics.
type launcher struct {
	requests chan launch
	done     chan struct{}
}

type launch struct {
	namespace string
	command   *exec.Cmd
	answer    chan error
}

func newLauncher() *launcher {
	l := &launcher{requests: make(chan launch), done: make(chan struct{})}
	go l.run()
	return l
}

func (l *launcher) run() {
	defer close(l.done)
	runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
	for request := range l.requests {
		request.answer <- inNamespace(request.namespace, request.command.Start)
	}
}

// start starts a process in a network namespace; empty is that of the tests.
func (l *launcher) start(namespace string, command *exec.Cmd) error {
	if command.SysProcAttr == nil {
		command.SysProcAttr = &syscall.SysProcAttr{}
	}
	command.SysProcAttr.Pdeathsig = syscall.SIGKILL
	answer := make(chan error)
	l.requests <- launch{namespace: namespace, command: command, answer: answer}
	return <-answer
}

func (l *launcher) close() {
	close(l.requests)
	<-l.done
}

// inNamespace runs f on a thread that is in a network namespace. Threads and sockets that f makes stay there.
func inNamespace(namespace string, f func() error) error {
	if namespace == "" {
		return f()
	}
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer home.Close()
	there, err := os.Open("/run/netns/" + namespace)
	if err != nil {
		return err
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter the namespace %s: %w", namespace, err)
	}
	failure := f()
	if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
		return err // the thread stays locked, and ends with its goroutine
	}
	runtime.UnlockOSThread()
	return failure
}

// dialTimeout bounds opening a connection: a node that is cut off does not answer at all.
const dialTimeout = time.Second

// dialFrom opens connections from a network namespace. A socket belongs to the namespace that it was made in.
func dialFrom(namespace string) func(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: dialTimeout}
	return func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		err = inNamespace(namespace, func() error {
			conn, err = dialer.DialContext(ctx, network, address)
			return err
		})
		return conn, err
	}
}
