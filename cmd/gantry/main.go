// Command gantry is the whole product: the server, and the commands by which people operate it.
//
// A file holds a family of commands. All of them hang on [newRoot] and share a [cli]: the streams, the
// environment and the settings of one invocation, so that tests drive whole commands through [run].
// The operator's commands speak the native API over Connect and import, of the server, only
// internal/policy (to read and write manifests) and internal/fault (the errors that users see); gantry migrate is internal/migrate.
//
// # Exit codes
//
//	0    done
//	1    failed: a defect or the machine's trouble, or the question was answered with no
//	2    wrong usage or invalid input
//	3    not found
//	4    conflict: somebody changed it meanwhile, it exists already, or its state does not allow it
//	5    not signed in, or not allowed
//	6    unavailable, overloaded, or out of time: later it may work
//	7    gantry diff found differences
//	8    gantry migrate did not take everything
//	130  interrupted
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv))
}

// run executes one command line and returns its exit code. Answers go to out; questions, progress,
// warnings and errors to errOut. Ending ctx interrupts the command.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer, env func(string) string) int {
	return newCLI(in, out, errOut, env).run(ctx, args)
}
