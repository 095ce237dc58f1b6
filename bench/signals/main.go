// Command signals measures how a Gantry server takes traces in and finds them again, beside other tracing servers in the same run.
//
//	signals -corpus FILE [-server PATH] [-spans N]
//
// The corpus is a recording of the sample fleet (examples/lending/record). It is replayed with other ids, times and values, in batches of 512 spans of one
// instance, by OTLP over gRPC, until so many spans have been acknowledged. Then traces are looked up by id, and searched for. The server is the real
// program as a child process with its data on a real disk; it and the senders share the machine, so its throughput is given per second of its own
// processor time ("a core") beside the wall clock's.
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
	"syscall"
	"time"

	"github.com/gantry-platform/gantry/bench/internal/process"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "signals:", err)
		os.Exit(1)
	}
}

type settings struct {
	corpus, server, data, profiles, memory, jaeger string
	spans, senders                                 int
	keep                                           bool
}

func run(ctx context.Context, arguments []string) error {
	var s settings
	flags := flag.NewFlagSet("signals", flag.ContinueOnError)
	flags.StringVar(&s.corpus, "corpus", "", "the `file` that examples/lending/record wrote")
	flags.StringVar(&s.server, "server", "", "`path` of the gantry program")
	flags.StringVar(&s.data, "data", os.TempDir(), "`folder` on the disk that servers are to write to")
	flags.StringVar(&s.profiles, "profile", "", "`folder` for a profile of the server while it takes spans in")
	flags.IntVar(&s.spans, "spans", 10_000_000, "how many spans are sent")
	flags.StringVar(&s.memory, "memory", "", "the server's --traces-memory; default: its own")
	flags.IntVar(&s.senders, "senders", 16, "requests under way at once")
	flags.StringVar(&s.jaeger, "jaeger", "", "`path` of Jaeger's all-in-one program (go build github.com/jaegertracing/jaeger/cmd/all-in-one), to measure it with Badger in the same run")
	flags.BoolVar(&s.keep, "keep", false, "leave the server's folder, and say where it is")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if s.corpus == "" || s.server == "" || s.spans < batchSpans || s.senders < 1 || s.senders > 256 {
		flags.Usage()
		return flag.ErrHelp
	}
	c, err := load(s.corpus)
	if err != nil {
		return err
	}
	fmt.Printf("corpus: %d spans in %d requests; attributes that vary: %d of %d\n", c.spans, len(c.requests), count(c.varied), len(c.varied))
	if err := measure(ctx, &s, c); err != nil || s.jaeger == "" {
		return err
	}
	return measureJaeger(ctx, &s, c)
}

func count(of map[string]bool) (n int) {
	for _, yes := range of {
		if yes {
			n++
		}
	}
	return n
}

func measure(ctx context.Context, s *settings, c *corpus) error {
	folder, err := os.MkdirTemp(s.data, "bench-signals-")
	if err != nil {
		return err
	}
	if s.keep {
		fmt.Println("folder:", folder)
	} else {
		defer os.RemoveAll(folder)
	}
	if s.server, err = exec.LookPath(s.server); err != nil {
		return err
	}
	var arguments []string
	if s.keep {
		arguments = append(arguments, "--log-level", "debug")
	}
	if s.memory != "" {
		arguments = append(arguments, "--traces-memory", s.memory)
	}
	server, err := process.Start(ctx, process.Options{Binary: s.server, Data: filepath.Join(folder, "data"), Log: filepath.Join(folder, "log"), Profiled: s.profiles != "", Arguments: arguments})
	if err != nil {
		return err
	}
	defer server.Kill()
	watch := watchMemory(server)
	if s.profiles != "" {
		go func() {
			time.Sleep(5 * time.Second) // into the middle
			if err := server.SaveProfile(ctx, "profile?seconds=10", filepath.Join(s.profiles, "signals-cpu.pprof")); err != nil {
				fmt.Fprintln(os.Stderr, "profile:", err)
			}
		}()
	}
	sent, err := send(ctx, target{Measured: server, otlp: server.OTLP, settled: func(ctx context.Context, spans int64) error { return awaitBlocks(ctx, server, spans) }}, s, c)
	if err != nil {
		return err
	}
	peak := watch()
	sent.print(server, peak)
	return ask(ctx, server, sent)
}
