// Command signals measures how a Gantry server takes traces in and finds them again, beside other tracing servers in the same run.
//
//	signals -corpus FILE -server PATH [-spans N] [-jaeger PATH] [-zipkin JAR]
//
// The corpus is a recording of the sample fleet (examples/lending/record). It is replayed with other ids, times and values, in batches of 512 spans of one
// instance, by OTLP over gRPC, until so many spans have been acknowledged. Then traces are looked up by id, and searched for. Servers are the real
// programs as child processes with their data on a real disk, one after the other; each shares the machine with the senders, so its throughput is given
// per second of its own processor time ("a core") beside the wall clock's.
//
// Jaeger takes the same OTLP. Zipkin's server knows its own JSON alone, and keeps spans in memory alone, so it is sent fewer of them, and Gantry is sent as
// many in the same JSON. These requests are all made before the clock starts; those of OTLP are made while it runs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
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
	corpus, server, data, profiles, memory string
	jaeger, zipkin                         string
	spans, zipkinSpans, senders            int
	zipkinJSON, keep                       bool
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
	flags.StringVar(&s.zipkin, "zipkin", "", "the `jar` of Zipkin's server (io.zipkin:zipkin-server, classifier exec), to measure it in the same run, and Gantry with Zipkin's JSON too; needs java")
	flags.BoolVar(&s.zipkinJSON, "zipkin-json", false, "send Gantry Zipkin's JSON too, without Zipkin's server beside it")
	flags.IntVar(&s.zipkinSpans, "zipkin-spans", 1_000_000, "how many spans are sent in Zipkin's JSON, at most -spans; a million take 1 GB of memory here, and Zipkin's server 8 GB")
	flags.BoolVar(&s.keep, "keep", false, "leave the server's folder, and say where it is")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	s.zipkinSpans = min(s.zipkinSpans, s.spans)
	if s.corpus == "" || s.server == "" || s.zipkinSpans < batchSpans || s.senders < 1 || s.senders > 256 {
		flags.Usage()
		return flag.ErrHelp
	}
	var err error
	if s.server, err = exec.LookPath(s.server); err != nil {
		return err
	}
	c, err := load(s.corpus)
	if err != nil {
		return err
	}
	fmt.Printf("corpus: %d spans in %d requests; attributes that vary: %d of %d\n", c.spans, len(c.requests), count(c.varied), len(c.varied))
	if err := measureGantry(ctx, &s, c, false); err != nil {
		return err
	}
	if s.jaeger != "" {
		if err := measureJaeger(ctx, &s, c); err != nil {
			return err
		}
	}
	if s.zipkin != "" || s.zipkinJSON {
		if err := measureGantry(ctx, &s, c, true); err != nil {
			return err
		}
	}
	if s.zipkin == "" {
		return nil
	}
	return measureZipkin(ctx, &s, c)
}

func count(of map[string]bool) (n int) {
	for _, yes := range of {
		if yes {
			n++
		}
	}
	return n
}
