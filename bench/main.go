// Command bench measures a Gantry server and prints a table: docs/benchmarks.md explains each row.
//
// The server is the real program as a child process, with its data on a real disk, and the clients are in this process, so both
// share the machine. A scenario starts servers of its own and gives the figures of one or more rows; every run of it begins from an
// empty folder. What is measured inside a process (discovery from memory, the SDK) runs here.
//
// The exit code is 0 when every row could be measured, whether or not it met its target; 1 when not; 2 for wrong usage.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"syscall"
	"time"
)

func main() {
	// The clients are to need little: their memory is not measured, so they collect garbage rarely.
	debug.SetGCPercent(400)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:]))
}

// settings are what the command line says.
type settings struct {
	rows           *regexp.Regexp
	runs           int
	seconds        int
	json           string
	server         string
	data           string
	profiles       string
	authentication bool
	// rnacos is the path of a rival's server, or empty.
	rnacos string
}

func parse(arguments []string) (*settings, error) {
	s := &settings{}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	rows := flags.String("run", "", "measure only the rows whose name matches this `regexp`")
	flags.IntVar(&s.runs, "runs", 3, "how often each row is measured, `n` times from 1 to 100")
	flags.IntVar(&s.seconds, "seconds", 5, "how long throughput is measured in each run, after a warm-up of a quarter of it; from 1 to 10")
	flags.StringVar(&s.json, "json", "", "write the figures of every run into this `file` too")
	flags.StringVar(&s.server, "server", "", "`path` of the gantry program; default: built from ../cmd/gantry")
	flags.StringVar(&s.data, "data", os.TempDir(), "`folder` on the disk that servers are to write to")
	flags.StringVar(&s.profiles, "profile", "", "`folder` for profiles of server and clients, taken in each row's first run")
	flags.StringVar(&s.rnacos, "rnacos", "", "`path` of the rnacos program (cargo install rnacos), to measure it beside Gantry in the same run; default: the one on the PATH, if any")
	flags.BoolVar(&s.authentication, "authentication", true, "run servers with authentication, and clients with a token")
	if err := flags.Parse(arguments); err != nil {
		return nil, err
	}
	var err error
	if s.rnacos == "" {
		s.rnacos, _ = exec.LookPath("rnacos") // it need not be there
	}
	if s.rows, err = regexp.Compile(*rows); err != nil {
		return nil, err
	}
	// A throughput row registers so many instances in 10 s that a longer one would meet the limits of a namespace.
	if flags.NArg() > 0 || s.runs < 1 || s.runs > 100 || s.seconds < 1 || s.seconds > 10 {
		flags.Usage()
		return nil, fmt.Errorf("wrong usage")
	}
	return s, nil
}

func run(ctx context.Context, arguments []string) int {
	s, err := parse(arguments)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	if err := measure(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	return 0
}

func measure(ctx context.Context, s *settings) (err error) {
	folder, err := os.MkdirTemp(s.data, "gantry-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	if s.profiles != "" {
		if err := os.MkdirAll(s.profiles, 0o755); err != nil {
			return err
		}
	}
	if s.server, err = binary(ctx, s.server, folder); err != nil {
		return err
	}
	host, err := describeHost(ctx, s.server, folder)
	if err != nil {
		return err
	}
	report := newReport(host, s)
	host.print(os.Stdout)
	failed := 0
	for _, scenario := range scenarios(s) {
		rows := scenario.selected(s.rows)
		if len(rows) == 0 {
			continue
		}
		results, err := repeat(ctx, scenario, s, folder)
		if ctx.Err() != nil {
			break // what was measured so far is worth seeing
		}
		if err != nil {
			failed++
			fmt.Fprintf(os.Stderr, "bench: %s: %v\n", scenario.rows[0].name, err)
		}
		report.add(rows, results, err)
	}
	report.print(os.Stdout)
	if s.json != "" {
		if err := report.save(s.json); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	if failed > 0 {
		return fmt.Errorf("%d scenarios could not be measured", failed)
	}
	return nil
}

// repeat measures a scenario as often as it is asked for. What the runs before a failure gave is not kept: a figure stands for all runs or for none.
func repeat(ctx context.Context, scenario scenario, s *settings, folder string) ([]outcome, error) {
	var results []outcome
	for n := range s.runs {
		fmt.Fprintf(os.Stderr, "%s  %s, run %d of %d\n", time.Now().Format(time.TimeOnly), scenario.rows[0].name, n+1, s.runs)
		l := &lab{settings: s, run: n, window: time.Duration(s.seconds) * time.Second}
		result, err := l.execute(ctx, scenario, folder)
		if err != nil {
			return nil, err
		}
		results = append(results, result)
	}
	return results, nil
}

// binary returns the absolute path of the program to measure, and builds it when none is named.
func binary(ctx context.Context, path, folder string) (string, error) {
	if path != "" {
		return filepath.Abs(path)
	}
	path = filepath.Join(folder, "gantry")
	fmt.Fprintln(os.Stderr, "building the server")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", path, "./cmd/gantry")
	build.Dir = ".."
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		return "", fmt.Errorf("build the server (run this in the folder bench, or name a program with -server): %w", err)
	}
	return path, nil
}
