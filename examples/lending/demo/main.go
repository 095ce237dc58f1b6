// Demo starts a Gantry server in development mode and the sample fleet beside it, says what to look at and what to try, shows
// what the load sees, and stops everything on Ctrl-C.
//
//	demo -gantry bin/gantry -bin bin
//
// It is a program of its own rather than a script so that nothing it starts outlives it, however it ends.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	gantry    string
	bin       string
	lending   string // the program in bin
	manifests string
	try       string
	http      string
	grpc      string
	otlp      string
	length    time.Duration
}

func main() {
	// On Linux, what is started dies with the thread that started it: so one thread does that, and it lasts as long as
	// the program.
	runtime.LockOSThread()
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is the whole program: 0 for done, 1 for failed, 2 for wrong usage.
func run(args []string, out, errOut io.Writer) int {
	var o options
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(errOut)
	flags.StringVar(&o.gantry, "gantry", "bin/gantry", "the gantry `program`")
	flags.StringVar(&o.bin, "bin", "bin", "`folder` of the lending program")
	flags.StringVar(&o.manifests, "manifests", "examples/lending/config", "`folder` of the manifests to apply")
	flags.StringVar(&o.try, "try", "examples/lending/try", "`folder` of the manifests to try")
	flags.StringVar(&o.http, "http-listen", "127.0.0.1:8848", "the server's HTTP `address`; port 0 is any free one")
	flags.StringVar(&o.grpc, "grpc-listen", "127.0.0.1:9848", "the server's gRPC `address`; port 0 is any free one")
	flags.StringVar(&o.otlp, "otlp-listen", "127.0.0.1:4317", "the server's `address` for OTLP over gRPC, where the fleet sends its traces and metrics; port 0 is any free one")
	flags.DurationVar(&o.length, "for", 0, "end after this `time` of load; exits with 0 if loans were granted, none failed, and nothing died")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case flags.NArg() > 0 || o.length < 0:
		flags.Usage()
		return 2
	}
	ctx, signalled := interruptible(errOut)
	defer signalled.close()
	if err := demonstrate(ctx, o, out, signalled.again); err != nil {
		fmt.Fprintf(errOut, "demo: %v\n", err)
		return 1
	}
	return 0
}

// signals tells one Ctrl-C from two.
type signals struct {
	caught chan os.Signal
	// again is closed by a second signal: the stop is then no longer orderly.
	again chan struct{}
}

// patience is how long after the first signal another still counts as the same: make, timeout and shells send several.
const patience = time.Second

func interruptible(errOut io.Writer) (context.Context, *signals) {
	ctx, cancel := context.WithCancel(context.Background())
	s := &signals{caught: make(chan os.Signal, 1), again: make(chan struct{})}
	signal.Notify(s.caught, os.Interrupt, syscall.SIGTERM)
	go func() {
		var first time.Time
		for range s.caught {
			switch {
			case first.IsZero():
				first = time.Now()
				cancel()
			case time.Since(first) > patience:
				fmt.Fprintln(errOut, "killing everything")
				close(s.again)
				return
			}
		}
		cancel()
	}()
	return ctx, s
}

func (s *signals) close() {
	signal.Stop(s.caught)
	close(s.caught)
}

// demonstrate runs the demo until ctx ends or its time is over.
func demonstrate(ctx context.Context, o options, out io.Writer, kill <-chan struct{}) (err error) {
	forgetEnvironment()
	if err := o.check(); err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "gantry-demo-")
	if err != nil {
		return err
	}
	f := newFleet(o, folder, out, kill)
	err = f.run(ctx)
	if left := f.stop(); err == nil {
		err = left
	}
	if err != nil {
		return fmt.Errorf("%w\n  the logs stay in %s", err, f.logs())
	}
	return os.RemoveAll(folder)
}

// forgetEnvironment makes the demo independent of how this machine otherwise uses Gantry: its settings, tokens and addresses.
func forgetEnvironment() {
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "GANTRY_") {
			os.Unsetenv(name)
		}
	}
}
