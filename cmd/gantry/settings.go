package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gantry-platform/gantry/internal/server"
)

// settingsMarkdownCommand writes docs/configuration.md:
//
//	go run ./cmd/gantry settings-markdown > docs/configuration.md
func (c *cli) settingsMarkdownCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "settings-markdown",
		Short:  "Print the reference of the server's settings",
		Hidden: true,
		Args:   arguments(0, 0),
		RunE: action(func(context.Context, []string) error {
			_, err := fmt.Fprint(c.out, server.Reference())
			return err
		}),
	}
}
