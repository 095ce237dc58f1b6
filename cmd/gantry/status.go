package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

func (c *cli) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show how the server and its cluster are",
		Long: `Show how the server and its cluster are. The exit code is 0 when changes can be written, and 6 when not: no
quorum, a full disk.`,
		Example: `  gantry status
  gantry status -o json | jq .quorum`,
		Args: arguments(0, 0),
		RunE: action(func(ctx context.Context, _ []string) error {
			r, err := c.connect()
			if err != nil {
				return err
			}
			status, err := r.cluster.Status(ctx, &gantryv1.StatusRequest{})
			if err != nil {
				return err
			}
			if err := c.answer(status, func() error { return c.printStatus(status) }); err != nil {
				return err
			}
			if !status.GetQuorum() || status.GetUnwritable() != "" {
				return exitStatus(exitUnavailable)
			}
			return nil
		}),
	}
}

func (c *cli) printStatus(s *gantryv1.StatusResponse) error {
	health := "well"
	switch {
	case s.GetUnwritable() != "":
		health = "nothing can be written: " + s.GetUnwritable()
	case !s.GetQuorum():
		health = "no quorum: answers come from memory, nothing can be written"
	}
	if err := c.printPairs(
		"State", health,
		"Answered by", fmt.Sprintf("%s, version %s", first(s.GetNode().GetName(), s.GetNode().GetId()), dash(s.GetNode().GetVersion())),
		"Cluster", fmt.Sprintf("%s, etcd %s, format %d", dash(s.GetClusterId()), dash(s.GetStateMode()), s.GetFormatVersion()),
		"Revision", fmt.Sprintf("%d, mirrored %d", s.GetRevision(), s.GetMirroredRevision()),
		"Database", fmt.Sprintf("%s of %s, disk free %s", bytesText(s.GetDatabaseBytes()), bytesText(s.GetDatabaseQuotaBytes()), bytesText(s.GetDiskFreeBytes())),
		"Holds", fmt.Sprintf("%d services, %d instances (%d provisional), %d documents", s.GetServices(), s.GetInstances(), s.GetProvisional(), s.GetDocuments()),
	); err != nil {
		return err
	}
	for _, warning := range s.GetWarnings() {
		c.warn("%s", warning)
	}
	if err := c.printSection(c.nodesTable(s.GetNodes())); err != nil {
		return err
	}
	return c.printSection(membersTable(s.GetMembers()))
}

// printSection sets a table apart from what stands above it.
func (c *cli) printSection(t *table) error {
	if len(t.rows) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(c.out); err != nil {
		return err
	}
	return c.printTable(t)
}

// diskText is what a node's disk has left; a node that does not answer tells nothing.
func diskText(n *gantryv1.Node) string {
	if n.GetDiskBytes() == 0 {
		return "-"
	}
	return bytesText(n.GetDiskFreeBytes()) + " of " + bytesText(n.GetDiskBytes())
}

func (c *cli) nodesTable(nodes []*gantryv1.Node) *table {
	t := newTable("", col("NODE"), col("HTTP"), col("GRPC"), col("VERSION"), col("AGE"), col("DISK FREE"), wide("ID"), wide("PEERS"))
	for _, n := range nodes {
		t.add(first(n.GetName(), n.GetId()), dash(n.GetHttpAddress()), dash(n.GetGrpcAddress()), dash(n.GetVersion()), c.age(n.GetStartedAt()),
			diskText(n), n.GetId(), dash(n.GetPeerAddress()))
	}
	return t
}
