// Lending is a small lender: the sample fleet of Gantry, as one program that runs as any of its services.
//
//	lending portal|loan|risk|bureau|fund|load [flags]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/gantry-platform/gantry/examples/lending/bureau"
	"github.com/gantry-platform/gantry/examples/lending/fund"
	"github.com/gantry-platform/gantry/examples/lending/load"
	"github.com/gantry-platform/gantry/examples/lending/loan"
	"github.com/gantry-platform/gantry/examples/lending/portal"
	"github.com/gantry-platform/gantry/examples/lending/risk"
	"github.com/gantry-platform/gantry/examples/lending/service"
	"github.com/gantry-platform/gantry/examples/lending/telemetry"
)

const usage = `Usage: lending SERVICE [flags]

Runs a service of the sample fleet until Ctrl-C or SIGTERM. SERVICE is one of:

  portal   takes applications (HTTP)
  loan     decides on them (gRPC)
  risk     judges customers (gRPC)
  bureau   a slow third party that knows customers (HTTP)
  fund     pays loans out (HTTP)
  load     applies for loans at a steady rate; exits with 1 if any failed or none was granted

Gantry is found at GANTRY_GRPC_ADDRESS (host:port of its gRPC port, default localhost:9848). Traces and metrics go
to OTEL_EXPORTER_OTLP_ENDPOINT (a URL such as http://localhost:4317), or nowhere when it is not set.

Flags:
`

func main() {
	// Signals stay caught: supervisors such as timeout(1) send more than one, and the stop takes 20 s at the most.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program: 0 for done, 1 for failed, 2 for wrong usage.
func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	var options service.Options
	every := 3 * time.Second
	flags := flag.NewFlagSet("lending", flag.ContinueOnError)
	flags.SetOutput(errOut)
	flags.StringVar(&options.Instance, "instance", "", "`id` of this instance, unique in its service (default: host, process and chance)")
	flags.StringVar(&options.Version, "version", "v1", "the label `version`")
	flags.StringVar(&options.Zone, "zone", "", "the label `zone`")
	flags.StringVar(&options.Lane, "lane", "", "the label `lane`")
	flags.StringVar(&options.Release, "release", "", "the `release` that this instance runs, for its telemetry (default: the version)")
	flags.StringVar(&options.Listen, "listen", "127.0.0.1:0", "`address` to serve on; port 0 is any free one")
	flags.StringVar(&options.MetricsListen, "metrics-listen", "127.0.0.1:0", "`address` to serve /metrics on")
	flags.DurationVar(&every, "every", every, "load: `time` between two lines")
	flags.Usage = func() {
		fmt.Fprint(errOut, usage)
		flags.PrintDefaults()
	}
	if len(args) > 0 {
		options.Name, args = args[0], args[1:]
	}
	services := map[string]func(context.Context, *service.Service) error{
		portal.Name: portal.Run, loan.Name: loan.Run, risk.Name: risk.Run, bureau.Name: bureau.Run, fund.Name: fund.Run,
		load.Name: func(ctx context.Context, s *service.Service) error { return load.Run(ctx, s, out, every) },
	}
	serve := services[options.Name]
	if serve == nil {
		flags.Usage()
		if options.Name == "-h" || options.Name == "-help" || options.Name == "--help" || options.Name == "help" {
			return 0
		}
		fmt.Fprintf(errOut, "\nlending: %q is not a service of the fleet\n", options.Name)
		return 2
	}
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case flags.NArg() > 0 || every <= 0:
		flags.Usage()
		return 2
	}
	options.Telemetry = telemetry.FromEnvironment()
	options.Logger = slog.New(slog.NewTextHandler(errOut, nil)).With("service", options.Name)
	if err := open(ctx, options, serve); err != nil {
		fmt.Fprintf(errOut, "lending %s: %v\n", options.Name, err)
		return 1
	}
	return 0
}

func open(ctx context.Context, options service.Options, serve func(context.Context, *service.Service) error) (err error) {
	s, err := service.Open(ctx, options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return serve(ctx, s)
}
