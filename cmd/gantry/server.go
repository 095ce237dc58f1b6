package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gantry-platform/gantry/internal/server"
)

// serverCommand is "gantry server".
func (c *cli) serverCommand() *cobra.Command {
	var file string
	var printed bool
	defaults := &server.Settings{}
	settings := defaults.Bind()
	cmd := &cobra.Command{
		Use:   "server",
		Short: "Run the server",
		Long: `Run the server until it is told to stop (Ctrl-C or SIGTERM).

Every setting can be a flag, an environment variable (GANTRY_ and its name in capitals), or a line of a
YAML file (--config); flags win over the environment, which wins over the file.`,
		Example: `  gantry server --dev
  gantry server --data /var/lib/gantry --tls-certificate gantry.pem --tls-key gantry.key
  gantry server --name n1 --cluster n1=10.0.0.1,n2=10.0.0.2,n3=10.0.0.3 --cluster-secret-file cluster.secret
  gantry server --name n4 --join 10.0.0.1 --cluster-secret-file cluster.secret
  gantry server --etcd-endpoints https://etcd1:2379,https://etcd2:2379`,
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			loaded, err := server.Load(file, c.env, cmd.Flags())
			if err != nil {
				return err
			}
			if printed {
				return c.printSettings(loaded)
			}
			return c.serve(cmd.Context(), loaded)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&file, "config", "", "`file` with settings in YAML (GANTRY_CONFIG)")
	flags.BoolVar(&printed, "print-settings", false, "print the settings that would be in force, without secrets, and stop")
	for _, setting := range settings {
		setting.AddFlag(flags)
	}
	return cmd
}

// serve runs a server until ctx ends or the server cannot go on.
func (c *cli) serve(ctx context.Context, settings *server.Settings) error {
	server.LimitMemory(settings)
	s, err := server.Start(ctx, settings, server.Options{Version: version, Log: c.errOut})
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, "gantry %s is ready\n  HTTP  %s\n  gRPC  %s\n  data  %s\n", version, s.HTTPAddress(), s.GRPCAddress(), s.DataDir())
	if grpcAddress, httpAddress := s.OTLPAddresses(); grpcAddress != "" || httpAddress != "" {
		fmt.Fprintf(c.out, "  OTLP  %s (gRPC), %s (HTTP)\n", orClosed(grpcAddress), orClosed(httpAddress))
	}
	if settings.Dev {
		fmt.Fprintln(c.out, "  development mode: loopback only, no authentication")
	}
	go server.KeepMemory(ctx)
	select {
	case <-ctx.Done():
		fmt.Fprintln(c.errOut, "stopping")
	case err = <-s.Failed():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), settings.ShutdownTimeout)
	defer cancel()
	s.Shutdown(end)
	if err == nil {
		return errStopped
	}
	return err
}

// errStopped ends a server that was told to stop: that is success, although its context has ended.
const errStopped = exitStatus(exitDone)

func (c *cli) printSettings(settings *server.Settings) error {
	for _, line := range settings.Describe() {
		if _, err := fmt.Fprintln(c.out, strings.TrimRight(line, " ")); err != nil {
			return err
		}
	}
	return nil
}

func orClosed(address string) string {
	if address == "" {
		return "closed"
	}
	return address
}
