package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

func (c *cli) subscribersCommand() *cobra.Command {
	var group string
	var r gantryv1.ListSubscribersRequest
	cmd := &cobra.Command{
		Use:   "subscribers SERVICE",
		Short: "Show who follows a service in order to call it, and who knows its newest state",
		Long: `Show who follows a service in order to call it, on all nodes: those first that have not acknowledged its newest state, or with
--instance the last change of that instance, such as a drain. Clients that only poll follow nothing.`,
		Example: `  gantry subscribers risk
  gantry subscribers risk --instance 10.0.0.7:8080`,
		Args:              arguments(1, 1),
		ValidArgsFunction: c.completeServices,
		RunE: action(func(ctx context.Context, args []string) error {
			ref, err := c.serviceRef(group, args[0])
			if err != nil {
				return err
			}
			remote, err := c.connect()
			if err != nil {
				return err
			}
			r.Service = ref
			answer, err := remote.instances.ListSubscribers(ctx, &r)
			if err != nil {
				return err
			}
			return c.answer(answer, func() error { return c.printSubscribers(answer) })
		}),
	}
	groupFlag(cmd, &group)
	cmd.Flags().StringVar(&r.Instance, "instance", "", "compare with the last change of this `instance`")
	cmd.Flags().Uint32Var(&r.Limit, "limit", 100, "show at most so `many`, up to 1000")
	return cmd
}

func (c *cli) printSubscribers(answer *gantryv1.ListSubscribersResponse) error {
	if missing := answer.GetMissingNodes(); len(missing) > 0 {
		c.warn("subscribers on nodes that did not answer are missing: %s", strings.Join(missing, ", "))
	}
	t := newTable("Nobody follows it.", col("SERVICE"), col("INSTANCE"), col("ADDRESS"), col("SINCE"), col("KNOWS"), wide("REVISION"), wide("PROTOCOL"), wide("NODE"))
	for _, s := range answer.Subscribers {
		knows := cell{text: "yes"}
		if s.Revision < answer.Revision {
			knows = cell{"not yet", c.painter().yellow}
		}
		t.add(dash(s.GetService().GetService()), dash(s.Instance), dash(s.Address), c.age(s.Since), knows, s.Revision, dash(s.Protocol), dash(s.Node))
	}
	if err := c.printTable(t); err != nil {
		return err
	}
	if more := int(answer.Total) - len(answer.Subscribers); more > 0 && len(answer.Subscribers) > 0 {
		return c.say("and %d more; %d of %d have acknowledged", more, answer.Acknowledged, answer.Total)
	}
	return nil
}

// namedLate is how many of those that are late a line names.
const namedLate = 5

// lateText names some of those that have not acknowledged a drain.
func lateText(drained *gantryv1.DrainResponse) string {
	var names []string
	late := int(drained.GetSubscribers() - drained.GetAcknowledged())
	for _, s := range drained.Who {
		if s.Revision >= drained.Revision || len(names) == namedLate {
			break
		}
		names = append(names, strings.TrimSpace(s.GetService().GetService()+" "+first(s.Instance, s.Address)))
	}
	if more := late - len(names); more > 0 && len(names) > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return dash(strings.Join(names, ", "))
}
