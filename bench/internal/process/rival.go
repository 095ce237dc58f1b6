package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Rival is another project's server, run for comparison.
type Rival struct {
	// HTTP and GRPC are the addresses of its ports; a server that has no such port leaves it empty.
	HTTP, GRPC string
	// Version is what the program says of itself; empty when it was not asked.
	Version string

	command *exec.Cmd
	log     string
	exited  chan struct{}
}

// launch runs a rival's program, which prints into the file name.log in folder, and returns when its ports take connections.
func (r *Rival) launch(ctx context.Context, name, folder string, command *exec.Cmd) error {
	r.command, r.log, r.exited = command, filepath.Join(folder, name+".log"), make(chan struct{})
	log, err := os.OpenFile(r.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the process has its own
	command.Dir = folder
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		return err
	}
	go func() {
		_ = command.Wait() // a rival that ends shows in what is measured
		close(r.exited)
	}()
	for _, address := range []string{r.HTTP, r.GRPC} {
		if address == "" {
			continue
		}
		if err := r.awaitPort(ctx, address); err != nil {
			r.Kill()
			return fmt.Errorf("%s: %w\n%s", name, err, tail(r.log))
		}
	}
	return nil
}

// StartRnacos runs rnacos, a server of Nacos's protocols written in Rust, as it comes: with its own defaults, but its ports and its
// folder, and without the console. It returns when both ports take connections.
func StartRnacos(ctx context.Context, binary, folder string) (*Rival, error) {
	addresses, err := freeAddresses(2)
	if err != nil {
		return nil, err
	}
	r := &Rival{HTTP: addresses[0], GRPC: addresses[1]}
	_, http, err := net.SplitHostPort(r.HTTP)
	if err != nil {
		return nil, err
	}
	_, grpc, err := net.SplitHostPort(r.GRPC)
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, binary)
	command.Env = append(os.Environ(), "RNACOS_HTTP_PORT="+http, "RNACOS_GRPC_PORT="+grpc, "RNACOS_SDK_HOST=127.0.0.1", "RNACOS_HTTP_CONSOLE_PORT=0",
		"RNACOS_DATA_DIR="+filepath.Join(folder, "rnacos"), "RNACOS_RAFT_NODE_ADDR="+r.GRPC)
	if err := r.launch(ctx, "rnacos", folder, command); err != nil {
		return nil, err
	}
	// It opens its ports before it has elected itself; what is published before that is lost.
	select {
	case <-time.After(rivalElection):
	case <-ctx.Done():
		r.Kill()
		return nil, context.Cause(ctx)
	}
	return r, nil
}

// rivalElection is how long a rival is left alone after it has opened its ports.
const rivalElection = 2 * time.Second

func (r *Rival) awaitPort(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-poll.C:
		case <-r.exited:
			return errors.New("it ended while it started")
		case <-ctx.Done():
			return err
		}
	}
}

// Memory reads what it holds now.
func (r *Rival) Memory() (Memory, error) { return memoryOf(r.command.Process.Pid) }

// CPUTime is how long it has computed so far.
func (r *Rival) CPUTime() (time.Duration, error) { return cpuTimeOf(r.command.Process.Pid) }

// Kill ends it and waits until it is gone.
func (r *Rival) Kill() {
	_ = r.command.Process.Kill() // it may have ended by itself
	<-r.exited
}
