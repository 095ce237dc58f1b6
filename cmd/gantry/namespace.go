package main

import (
	"context"

	"github.com/spf13/cobra"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

func (c *cli) namespaceCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "namespace",
		Short: "List, create and delete namespaces",
		Example: `  gantry namespace list
  gantry namespace create staging --description "before production"`,
	}, c.namespaceListCommand(), c.namespaceCreateCommand(), c.namespaceDeleteCommand())
}

func (c *cli) namespaceListCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the namespaces that you may see",
		Example: `  gantry namespace list -o json`,
		Args:    arguments(0, 0),
		RunE: action(func(ctx context.Context, _ []string) error {
			r, err := c.connect()
			if err != nil {
				return err
			}
			listed, err := r.instances.ListNamespaces(ctx, &gantryv1.ListNamespacesRequest{})
			if err != nil {
				return err
			}
			return answerList(c, listed.GetNamespaces(), func() *table {
				t := newTable("There are no namespaces that you may see.", col("NAME"), col("AGE"), col("DESCRIPTION"))
				for _, n := range listed.GetNamespaces() {
					t.add(n.GetName(), c.age(n.GetCreatedAt()), n.GetDescription())
				}
				return t
			})
		}),
	}
}

func (c *cli) namespaceCreateCommand() *cobra.Command {
	var description string
	cmd := &cobra.Command{
		Use:     "create NAME",
		Short:   "Create a namespace",
		Example: `  gantry namespace create staging --description "before production"`,
		Args:    arguments(1, 1),
		RunE: action(func(ctx context.Context, args []string) error {
			r, err := c.connect()
			if err != nil {
				return err
			}
			created := &gantryv1.Namespace{Name: args[0], Description: description}
			if _, err := r.instances.CreateNamespace(ctx, &gantryv1.CreateNamespaceRequest{Namespace: created}); err != nil {
				return err
			}
			return c.answer(created, func() error { return c.say("namespace %s is created", args[0]) })
		}),
	}
	cmd.Flags().StringVar(&description, "description", "", "`what` it is for")
	return cmd
}

func (c *cli) namespaceDeleteCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:               "delete NAME",
		Short:             "Delete a namespace in which nothing lives any more",
		Example:           `  gantry namespace delete staging`,
		Args:              arguments(1, 1),
		ValidArgsFunction: c.completeNamespaces,
		RunE: action(func(ctx context.Context, args []string) error {
			if err := c.confirm(ctx, yes, "Delete namespace %s?", args[0]); err != nil {
				return err
			}
			r, err := c.connect()
			if err != nil {
				return err
			}
			deleted, err := r.instances.DeleteNamespace(ctx, &gantryv1.DeleteNamespaceRequest{Name: args[0]})
			if err != nil {
				return err
			}
			return c.answer(deleted, func() error { return c.say("namespace %s is deleted", args[0]) })
		}),
	}
	yesFlag(cmd, &yes)
	return cmd
}
