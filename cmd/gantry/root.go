package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gantry-platform/gantry/internal/fault"
)

// defaultTimeout is for one request. A request waits for a commit at most, and a cluster that elects a
// leader needs a few seconds.
const defaultTimeout = 15 * time.Second

// Groups of commands in the help of the root.
const (
	groupFleet    = "fleet"
	groupRelease  = "release"
	groupSignal   = "signal"
	groupAccess   = "access"
	groupOperate  = "operate"
	groupSettings = "settings"
)

// newRoot builds all commands of one invocation.
func newRoot(c *cli) *cobra.Command {
	root := &cobra.Command{
		Use:   "gantry",
		Short: "A microservices platform in one binary",
		Long: `Gantry is a microservices platform in one binary: service registry, configuration, staged
releases. This program is the server and the commands to operate it.`,
		Example: `  gantry server --dev
  gantry services
  gantry apply -f loan.yaml
  gantry release Config loan.yaml --percent 10 --preview`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noSuchCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return c.checkFormat(cmd)
		},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usage(cmd, "%v", err) })
	root.AddGroup(
		&cobra.Group{ID: groupFleet, Title: "Who is running:"},
		&cobra.Group{ID: groupRelease, Title: "What they should do:"},
		&cobra.Group{ID: groupSignal, Title: "What they are doing:"},
		&cobra.Group{ID: groupAccess, Title: "Who may what:"},
		&cobra.Group{ID: groupOperate, Title: "The server:"},
		&cobra.Group{ID: groupSettings, Title: "This program:"},
	)
	root.SetHelpCommandGroupID(groupSettings)
	c.addGlobalFlags(root)
	add := func(group string, commands ...*cobra.Command) {
		for _, command := range commands {
			command.GroupID = group
			root.AddCommand(command)
		}
	}
	add(groupFleet, c.servicesCommand(), c.serviceCommand(), c.instancesCommand(), c.instanceCommand(), c.subscribersCommand(), c.namespaceCommand(), c.watchCommand())
	add(groupRelease, c.applyCommand(), c.validateCommand(), c.diffCommand(), c.getCommand(), c.historyCommand(), c.releaseCommand(),
		c.promoteCommand(), c.abortCommand(), c.rollbackCommand(), c.deleteCommand(), c.previewCommand(), c.appliedCommand(),
		c.exportCommand(), c.importCommand())
	add(groupSignal, c.traceCommand(), c.topologyCommand(), c.redCommand(), c.endpointsCommand(), c.errorsCommand(), c.sendersCommand(), c.alertCommand(),
		c.eventCommand(), c.changesCommand())
	add(groupAccess, c.loginCommand(), c.logoutCommand(), c.whoamiCommand(), c.userCommand(), c.tokenCommand(), c.auditCommand())
	add(groupOperate, c.serverCommand(), c.statusCommand(), c.clusterCommand(), c.keysCommand(), c.backupCommand(), c.restoreCommand(), c.migrateCommand())
	add(groupSettings, c.completionCommand(), c.versionCommand())
	root.AddCommand(exitCodesTopic(), c.markdownCommand(), c.settingsMarkdownCommand())
	root.InitDefaultHelpCmd()
	return root
}

func (c *cli) addGlobalFlags(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVar(&c.flags.address, "address", "", "HTTP `address` of a server (GANTRY_ADDRESS; default "+defaultAddress+")")
	f.StringVar(&c.flags.tokenFile, "token-file", "", "`file` that holds the token (GANTRY_TOKEN_FILE)")
	f.StringVar(&c.flags.token, "token", "", "the `token` itself, which other users of this machine can see: prefer GANTRY_TOKEN or --token-file")
	f.StringVarP(&c.flags.namespace, "namespace", "n", "", "`namespace` to work in (GANTRY_NAMESPACE; default \"default\")")
	f.StringVar(&c.flags.ca, "ca", "", "`file` with the certificates to trust (GANTRY_CA; default: the system's)")
	f.DurationVar(&c.flags.timeout, "timeout", defaultTimeout, "`time` that one request may take")
	f.VarP(&c.flags.output, "output", "o", "`format` of the answer: table, wide, json or yaml")
	f.BoolVar(&c.flags.noHeaders, "no-headers", false, "leave out the headers of tables")
	complete(root, "namespace", c.completeNamespaces)
	complete(root, "output", cobra.FixedCompletions([]string{"table", "wide", "json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))
}

// group is a command that only holds others.
func group(command *cobra.Command, subcommands ...*cobra.Command) *cobra.Command {
	command.AddCommand(subcommands...)
	command.Args = noSuchCommand
	// A flag of a subcommand that is not there must not hide that it is not there.
	command.FParseErrWhitelist.UnknownFlags = true
	command.RunE = func(cmd *cobra.Command, _ []string) error {
		var names []string
		for _, sub := range cmd.Commands() {
			names = append(names, sub.Name())
		}
		return usage(cmd, "say what to do: %s", strings.Join(names, ", "))
	}
	return command
}

// noSuchCommand refuses arguments where only the name of a subcommand can stand.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	f := fault.New(fault.Invalid, "cli.unknown_command", "%s has no command %q", cmd.CommandPath(), args[0])
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return f.Hinted("did you mean %s?", strings.Join(near, " or "))
	}
	return f.Hinted("run %s --help", cmd.CommandPath())
}

// usage is an error in how a command was called.
func usage(cmd *cobra.Command, format string, args ...any) error {
	return fault.New(fault.Invalid, "cli.usage", "%s", fmt.Sprintf(format, args...)).Hinted("run %s --help", cmd.CommandPath())
}

// arguments wants between min and max arguments, which the command's Use line names.
func arguments(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return usage(cmd, "too few arguments: want %s", cmd.UseLine())
		case len(args) > most:
			return usage(cmd, "%q is one argument too many: want %s", args[most], cmd.UseLine())
		}
		return nil
	}
}

// complete registers the completion of a flag; a flag that is not there is a programmer's error.
func complete(cmd *cobra.Command, flag string, values cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, values); err != nil {
		panic(err)
	}
}
