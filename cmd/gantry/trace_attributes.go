package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

func (c *cli) traceAttributesCommand() *cobra.Command {
	var at timeFlags
	var r gantryv1.ListTraceAttributesRequest
	cmd := &cobra.Command{
		Use:   "attributes [KEY]",
		Short: "List the attributes that spans have, or the values of one, the most frequent first",
		Long: `List the attributes that spans and their resources have, or the values of one, the most frequent first. The newest spans are looked at, a bounded number on each node:
what is rare may be missing.`,
		Example: `  gantry trace attributes --service loan
  gantry trace attributes order.no --prefix L2026`,
		Args: arguments(0, 1),
		RunE: action(func(ctx context.Context, args []string) error {
			remote, namespace, span, err := c.question(&at)
			if err != nil {
				return err
			}
			r.Namespace, r.Since, r.Until = namespace, span.GetSince(), span.GetUntil()
			if len(args) == 1 {
				r.Key = args[0]
			}
			answer, err := remote.traces.ListTraceAttributes(ctx, &r)
			if err != nil {
				return err
			}
			return c.answer(answer, func() error {
				c.sayPartial(answer.Partial)
				if answer.Truncated {
					fmt.Fprintf(c.errOut, "There may be more: %d spans were looked at.\n", answer.Spans)
				}
				head := "KEY"
				if r.Key != "" {
					head = "VALUE"
				}
				t := newTable("No span within this time has such an attribute.", col(head), number("SPANS"))
				for _, a := range answer.Attributes {
					t.add(a.Text, a.Spans)
				}
				return c.printTable(t)
			})
		}),
	}
	addTimeFlags(cmd, &at)
	cmd.Flags().Lookup("since").DefValue, at.since = "1h", "1h"
	f := cmd.Flags()
	f.StringVar(&r.Service, "service", "", "of spans of this `service` alone")
	f.StringVar(&r.Prefix, "prefix", "", "that begin with this `text`")
	f.Uint32Var(&r.Limit, "limit", 50, "show at most so `many`, up to 500")
	complete(cmd, "service", c.completeServices)
	return cmd
}
