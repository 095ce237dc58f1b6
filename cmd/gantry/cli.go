package main

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// cli is one invocation: its streams, its environment and what was set by global flags. It is used by one
// goroutine, except where a method says otherwise.
type cli struct {
	in          io.Reader
	out, errOut io.Writer
	env         func(string) string
	now         func() time.Time
	// pause waits, or returns ctx's error when that ends first.
	pause func(ctx context.Context, d time.Duration) error

	// interactive: there is a person to ask, at both ends of a terminal.
	interactive bool
	// live: errOut is a terminal, so that a line of progress can be drawn over.
	live bool
	// width of the terminal that out is, in columns; 0 when it is none.
	width  int
	colour bool
	// drawn is when a line of progress was drawn that still stands; zero for none.
	drawn time.Time

	flags  globalFlags
	saved  *savedConfig
	typist *term.Terminal
	remote *remote
}

// globalFlags are the flags that every command takes. Empty means not given.
type globalFlags struct {
	address   string
	token     string
	tokenFile string
	namespace string
	ca        string
	timeout   time.Duration
	output    outputFormat
	noHeaders bool
}

func newCLI(in io.Reader, out, errOut io.Writer, env func(string) string) *cli {
	c := &cli{in: in, out: out, errOut: errOut, env: env, now: time.Now, pause: sleep}
	c.live = isTerminal(errOut)
	c.interactive = c.live && isTerminal(in)
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		// A terminal that does not tell its width is taken for the narrowest in use.
		c.width = 80
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			c.width = width
		}
		c.colour = env("NO_COLOR") == "" && env("TERM") != "dumb"
	}
	return c
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *cli) run(ctx context.Context, args []string) int {
	root := newRoot(c)
	root.SetArgs(append([]string{}, args...)) // nil would be the arguments of the process
	root.SetIn(c.in)
	root.SetOut(c.out)
	root.SetErr(c.errOut)
	err := root.ExecuteContext(ctx)
	if c.remote != nil {
		c.remote.close()
	}
	if err == nil {
		return exitDone
	}
	if ctx.Err() != nil && !errors.As(err, new(exitStatus)) {
		c.clearProgress()
		return exitInterrupted
	}
	return c.report(err)
}

// action makes a RunE of a function that needs neither the command nor cobra's context rules.
func action(do func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error { return do(cmd.Context(), args) }
}
