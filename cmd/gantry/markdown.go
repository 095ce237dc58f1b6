package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// markdownCommand writes docs/commands.md:
//
//	go run ./cmd/gantry help-markdown > docs/commands.md
func (c *cli) markdownCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "help-markdown",
		Short:  "Print the reference of all commands",
		Hidden: true,
		Args:   arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(c.out, markdown(cmd.Root()))
			return err
		},
	}
}

func markdown(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString("# Commands\n\n<!-- Written by: go run ./cmd/gantry help-markdown > docs/commands.md -->\n\n")
	b.WriteString(root.Long + "\n\n")
	writeContents(&b, root)
	b.WriteString("## For every command\n\n")
	writeFlags(&b, root.PersistentFlags())
	b.WriteString("A flag wins over its environment variable, and that over what `gantry login` saved.\n\n")
	for _, topic := range root.Commands() {
		if topic.IsAdditionalHelpTopicCommand() {
			fmt.Fprintf(&b, "## %s\n\n```text\n%s\n```\n\n", topic.Short, topic.Long)
		}
	}
	for _, command := range root.Commands() {
		writeCommand(&b, command)
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

func documented(command *cobra.Command) bool {
	return command.IsAvailableCommand() && command.Name() != "help"
}

func writeContents(b *strings.Builder, root *cobra.Command) {
	for _, group := range root.Groups() {
		fmt.Fprintf(b, "**%s**\n\n", strings.TrimSuffix(group.Title, ":"))
		for _, command := range root.Commands() {
			if command.GroupID == group.ID && documented(command) {
				fmt.Fprintf(b, "- [`%s`](#%s): %s\n", command.Name(), anchor(command), command.Short)
			}
		}
		b.WriteString("\n")
	}
}

func anchor(command *cobra.Command) string {
	return strings.ReplaceAll(command.CommandPath(), " ", "-")
}

func writeCommand(b *strings.Builder, command *cobra.Command) {
	if !documented(command) {
		return
	}
	fmt.Fprintf(b, "## %s\n\n", command.CommandPath())
	text := command.Long
	if text == "" {
		text = command.Short + "."
	}
	fmt.Fprintf(b, "%s\n\n", text)
	if !command.HasSubCommands() {
		fmt.Fprintf(b, "```text\n%s\n```\n\n", command.UseLine())
	}
	if command.Example != "" {
		var lines []string
		for line := range strings.SplitSeq(command.Example, "\n") {
			lines = append(lines, strings.TrimPrefix(line, "  "))
		}
		fmt.Fprintf(b, "```sh\n%s\n```\n\n", strings.Join(lines, "\n"))
	}
	writeFlags(b, command.NonInheritedFlags())
	for _, sub := range command.Commands() {
		writeCommand(b, sub)
	}
}

func writeFlags(b *strings.Builder, flags *pflag.FlagSet) {
	var rows []string
	flags.VisitAll(func(flag *pflag.Flag) {
		if flag.Hidden || flag.Name == "help" {
			return
		}
		value, usage := pflag.UnquoteUsage(flag)
		name := "--" + flag.Name
		if flag.Shorthand != "" {
			name = "-" + flag.Shorthand + ", " + name
		}
		if value != "" {
			name += " " + value
		}
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s |", name, escapeCell(usage), defaultCell(flag)))
	})
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(b, "| flag | what it does | default |\n|---|---|---|\n%s\n\n", strings.Join(rows, "\n"))
}

func defaultCell(flag *pflag.Flag) string {
	switch flag.DefValue {
	case "", "[]", "false", "0", "0s":
		return ""
	default:
		return "`" + flag.DefValue + "`"
	}
}

func escapeCell(text string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", "*", `\*`).Replace(text)
}
