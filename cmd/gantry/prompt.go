package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/gantry-platform/gantry/internal/fault"
)

// maxPassword is the longest password that the server takes, with room for a line's end.
const maxPassword = 256*4 + 2

// yesFlag adds --yes to a command that asks before it acts.
func yesFlag(cmd *cobra.Command, yes *bool) {
	cmd.Flags().BoolVarP(yes, "yes", "y", false, "do not ask; needed where there is no terminal to ask on")
}

// confirm asks a person before something dangerous. Without a terminal nobody can answer: then --yes has to be
// given, so that a script says what it means.
func (c *cli) confirm(ctx context.Context, yes bool, format string, args ...any) error {
	if yes {
		return nil
	}
	question := printable(fmt.Sprintf(format, args...))
	if !c.interactive {
		return fault.New(fault.Invalid, "cli.confirmation_needed", "%s There is no terminal to ask on", question).Hinted("add --yes if you mean it")
	}
	fmt.Fprintf(c.errOut, "%s [y/N] ", question)
	answer, err := await(ctx, func() (string, error) { return readLine(c.in, 256) })
	if err != nil {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	default:
		fmt.Fprintln(c.errOut, "Nothing was changed.")
		return exitStatus(exitFailed)
	}
}

// await does what cannot be interrupted, such as reading from a terminal, and gives up waiting for it when ctx
// ends: the process ends soon after.
func await[T any](ctx context.Context, do func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := do()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// readLine reads a line byte by byte, so that nothing behind it is lost for the next reader.
func readLine(in io.Reader, limit int) (string, error) {
	var line []byte
	one := make([]byte, 1)
	for {
		n, err := in.Read(one)
		if n == 1 {
			if one[0] == '\n' {
				return strings.TrimSuffix(string(line), "\r"), nil
			}
			if line = append(line, one[0]); len(line) > limit {
				return "", fault.New(fault.Invalid, "cli.line_too_long", "the line has more than %d bytes", limit)
			}
		}
		if errors.Is(err, io.EOF) {
			return string(line), nil
		}
		if err != nil {
			return "", err
		}
	}
}

// passwords says where a command takes a password from.
type passwords struct {
	file string
	flag string
}

// passwordFlag adds the flag that names a file with a password.
func passwordFlag(cmd *cobra.Command, p *passwords, flag, whose string) {
	p.flag = flag
	cmd.Flags().StringVar(&p.file, flag, "", "`file` whose first line is "+whose+"; \"-\" for standard input")
}

// read takes a password from the file if one is named, from a terminal without echo, or else from the next line of standard
// input. With twice a person types it again.
func (c *cli) readPassword(ctx context.Context, p passwords, prompt string, twice bool) (string, error) {
	var password string
	var err error
	switch {
	case p.file != "" && p.file != "-":
		var f *os.File
		if f, err = os.Open(p.file); err != nil {
			return "", fileFault(err)
		}
		defer f.Close()
		password, err = readLine(bufio.NewReader(f), maxPassword)
	case p.file == "" && isTerminal(c.in):
		password, err = c.typePassword(ctx, prompt)
		if err == nil && twice {
			var again string
			again, err = c.typePassword(ctx, "Again: ")
			if err == nil && again != password {
				return "", fault.New(fault.Invalid, "cli.passwords_differ", "the two passwords are not the same").Hinted("run the command again")
			}
		}
	default:
		password, err = await(ctx, func() (string, error) { return readLine(c.in, maxPassword) })
	}
	if err != nil {
		return "", err
	}
	if password == "" {
		return "", fault.New(fault.Invalid, "cli.no_password", "no password was given").At(p.flag).
			Hinted("type it on a terminal, pipe it in, or name a file with --%s", p.flag)
	}
	return password, nil
}

// typePassword asks on the terminal that in is. The echo is off before the question is shown, so that nobody
// types faster than that.
func (c *cli) typePassword(ctx context.Context, prompt string) (string, error) {
	fd := int(c.in.(*os.File).Fd())
	before, err := term.MakeRaw(fd)
	if err != nil {
		return "", err
	}
	defer func() { _ = term.Restore(fd, before) }()
	if c.typist == nil {
		// One for all questions: it may have read on to the next answer.
		c.typist = term.NewTerminal(struct {
			io.Reader
			io.Writer
		}{c.in, c.errOut}, "")
	}
	typed, err := await(ctx, func() (string, error) { return c.typist.ReadPassword(printable(prompt)) })
	if errors.Is(err, io.EOF) {
		// Ctrl-C and Ctrl-D come as characters here.
		return "", exitStatus(exitInterrupted)
	}
	return typed, err
}

const (
	// progressLeast keeps short work silent.
	progressLeast = 20
	// progressEvery is as often as an eye wants to see a number change.
	progressEvery = 100 * time.Millisecond
)

// progress draws how far long work is over one line of a terminal, and nothing elsewhere. Total is 0 where it
// is not known.
func (c *cli) progress(what string, done, total int) {
	switch {
	case !c.live || total > 0 && total < progressLeast:
	case total > 0 && done >= total:
		c.clearProgress()
	case !c.drawn.IsZero() && c.now().Sub(c.drawn) < progressEvery:
	default:
		c.drawn = c.now()
		of := ""
		if total > 0 {
			of = fmt.Sprintf(" of %d", total)
		}
		fmt.Fprintf(c.errOut, "\r\x1b[K%s %d%s", what, done, of)
	}
}

// clearProgress makes room for what stays.
func (c *cli) clearProgress() {
	if !c.drawn.IsZero() {
		c.drawn = time.Time{}
		fmt.Fprint(c.errOut, "\r\x1b[K")
	}
}
