package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gantry-platform/gantry/internal/access/trust"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// clusterCommand is "gantry cluster".
func (c *cli) clusterCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "cluster",
		Short: "The nodes of a cluster",
		Long:  "The secret that nodes have in common, and the members of the embedded state.",
		Example: `  gantry cluster secret > cluster.secret
  gantry cluster members`,
	}, c.clusterSecretCommand(), c.clusterMembersCommand(), c.clusterRemoveCommand())
}

func (c *cli) clusterSecretCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "secret",
		Short: "Make a secret for a new cluster",
		Long: `Make a secret for a new cluster and print it. Every node is given the same (--cluster-secret-file): from it
they derive the certificates by which they know each other. Whoever has it can be a node.`,
		Example: `  umask 077; gantry cluster secret > cluster.secret`,
		Args:    arguments(0, 0),
		RunE: action(func(context.Context, []string) error {
			_, err := fmt.Fprintln(c.out, trust.NewSecret())
			return err
		}),
	}
}

func (c *cli) clusterMembersCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "members",
		Short:   "List the members of the embedded state",
		Example: `  gantry cluster members`,
		Args:    arguments(0, 0),
		RunE: action(func(ctx context.Context, _ []string) error {
			to, err := c.connect()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(ctx, c.flags.timeout)
			defer cancel()
			status, err := to.cluster.Status(ctx, &gantryv1.StatusRequest{})
			if err != nil {
				return err
			}
			return c.answer(&gantryv1.StatusResponse{Members: status.Members, Quorum: status.Quorum}, func() error {
				return c.printTable(membersTable(status.Members))
			})
		}),
	}
}

func membersTable(members []*gantryv1.Member) *table {
	t := newTable("There are no members: the state is kept in an external etcd.", col("MEMBER"), col("ID"), col("ROLE"), col("PEER URLS"))
	for _, member := range members {
		role := "voter"
		switch {
		case member.Leader:
			role = "leader"
		case member.Learner:
			role = "learner"
		}
		name := member.Name
		if name == "" {
			name = "(not started)"
		}
		t.add(name, member.Id, role, strings.Join(member.PeerUrls, ","))
	}
	return t
}

func (c *cli) clusterRemoveCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "remove MEMBER",
		Short: "Take a member out of the embedded state",
		Long: `Take a member out, by name or id: a node that is gone for good, or that will be replaced. It stops by itself if it
still runs, and its data folder is of no use afterwards. To replace it, start a node with an empty data folder and --join.`,
		Example: `  gantry cluster remove n2`,
		Args:    arguments(1, 1),
		RunE: action(func(ctx context.Context, args []string) error {
			if err := c.confirm(ctx, yes, "Take %s out of the cluster?", args[0]); err != nil {
				return err
			}
			to, err := c.connect()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(ctx, c.flags.timeout)
			defer cancel()
			if _, err := to.cluster.RemoveMember(ctx, &gantryv1.RemoveMemberRequest{Member: args[0]}); err != nil {
				return err
			}
			return c.say("%s is no member any more", args[0])
		}),
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}
