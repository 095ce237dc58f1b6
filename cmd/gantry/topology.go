package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gantry-platform/gantry/internal/fault"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// timeFlags are the flags of commands that ask about a time.
type timeFlags struct{ since, until string }

func addTimeFlags(cmd *cobra.Command, t *timeFlags) {
	cmd.Flags().StringVar(&t.since, "since", "5m", "begin at this `time`: how long ago (30m), a date, or RFC 3339")
	cmd.Flags().StringVar(&t.until, "until", "", "end at this `time` (default: now)")
}

func (c *cli) timeSpan(t *timeFlags) (*gantryv1.TimeSpan, error) {
	since, err := c.parseMoment("since", t.since)
	if err != nil {
		return nil, err
	}
	until, err := c.parseMoment("until", t.until)
	if err != nil {
		return nil, err
	}
	return &gantryv1.TimeSpan{Since: since, Until: until}, nil
}

// question is what all commands of this file ask with.
func (c *cli) question(t *timeFlags) (*remote, string, *gantryv1.TimeSpan, error) {
	namespace, err := c.namespace()
	if err != nil {
		return nil, "", nil, err
	}
	span, err := c.timeSpan(t)
	if err != nil {
		return nil, "", nil, err
	}
	r, err := c.connect()
	return r, namespace, span, err
}

// sayAnswered says, beside the answer, when it is about less than was asked for.
func (c *cli) sayAnswered(a *gantryv1.Answered, asked *gantryv1.TimeSpan) {
	missing := a.GetMissingNodes()
	if len(missing) > 0 {
		fmt.Fprintf(c.errOut, "What these nodes counted is missing, because they do not answer: %s\n", printable(strings.Join(missing, ", ")))
	}
	switch {
	case !a.GetPartial():
	// Whole minutes are answered, so that an answer may well begin earlier.
	case asked.GetSince() != nil && a.GetSince().AsTime().After(asked.Since.AsTime()):
		fmt.Fprintf(c.errOut, "Nothing older than %s is known.\n", clock(a.GetSince()))
	case len(missing) == 0:
		fmt.Fprintln(c.errOut, "Some nodes know only a part of this time.")
	}
}

// figureColumns and figureCells show figures in all tables alike.
func figureColumns(before ...column) []column {
	return append(before, number("CALLS"), number("RATE/S"), number("REFUSED"), number("FAILED"), wide("MEAN"), number("P50"), number("P95"), number("P99"), wide("MAX"))
}

func (c *cli) figureCells(f *gantryv1.Figures, before ...any) []any {
	failed := cell{text: share(f.GetFailed(), f.GetCalls())}
	if f.GetFailed() > 0 {
		failed.paint = c.painter().red
	}
	return append(before, f.GetCalls(), strconv.FormatFloat(f.GetRate(), 'f', 2, 64), share(f.GetRefused(), f.GetCalls()), failed,
		short(f.GetMean()), short(f.GetP50()), short(f.GetP95()), short(f.GetP99()), short(f.GetMax()))
}

// share is a part in percent; "-" for none.
func share(part, whole uint64) string {
	if part == 0 || whole == 0 {
		return "-"
	}
	return strconv.FormatFloat(100*float64(part)/float64(whole), 'f', 1, 64) + "%"
}

// short is a duration with three digits; "-" for none.
func short(d *durationpb.Duration) string {
	t := d.AsDuration()
	switch {
	case t == 0:
		return "-"
	case t < time.Millisecond:
		return t.Round(time.Microsecond).String()
	case t < time.Second:
		return t.Round(10 * time.Microsecond).String()
	default:
		return t.Round(10 * time.Millisecond).String()
	}
}

func (c *cli) topologyCommand() *cobra.Command {
	var at timeFlags
	var lane string
	cmd := &cobra.Command{
		Use:   "topology [SERVICE]",
		Short: "Show who calls whom, and how that goes",
		Long: `Show who calls whom: services, and the databases, caches, queues and third parties that they call, with rate, refusals, failures and
durations as the caller saw them. A caller outside the fleet is "user"; one that sends no spans is "unknown". With SERVICE only its callers and callees. With
--lane only what instances in this lane of traffic served, and what they called of that which is in no lane.`,
		Example: `  gantry topology
  gantry topology loan --since 30m
  gantry topology --lane blue
  gantry topology --since 2026-03-01T12:00:00Z --until 2026-03-01T13:00:00Z -o json`,
		Args: arguments(0, 1), ValidArgsFunction: c.completeServices,
		RunE: action(func(ctx context.Context, args []string) error {
			r, namespace, span, err := c.question(&at)
			if err != nil {
				return err
			}
			answer, err := r.topology.Topology(ctx, &gantryv1.TopologyRequest{Namespace: namespace, Time: span, Service: optional(args), Lane: lane})
			if err != nil {
				return err
			}
			return c.answer(answer, func() error {
				c.sayAnswered(answer.GetAnswered(), span)
				nothing := "Nothing called anything within this time."
				if lane != "" {
					nothing = "Nothing was called in this lane within this time."
					if len(answer.GetLanes()) > 0 {
						nothing += " Lanes with calls: " + printable(strings.Join(answer.GetLanes(), ", ")) + "."
					}
				}
				t := newTable(nothing, figureColumns(col("CALLER"), col("CALLEE"), col("TYPE"), col("PROTOCOL"))...)
				for _, e := range answer.GetEdges() {
					t.add(c.figureCells(e.GetFigures(), e.GetCaller(), e.GetCallee(), e.GetCalleeType(), e.GetProtocol())...)
				}
				return c.printTable(t)
			})
		}),
	}
	addTimeFlags(cmd, &at)
	cmd.Flags().StringVar(&lane, "lane", "", "only calls in this `lane` of traffic")
	return cmd
}

// optional is the one argument, or empty.
func optional(args []string) string {
	if len(args) == 1 {
		return args[0]
	}
	return ""
}

func (c *cli) redCommand() *cobra.Command {
	var at timeFlags
	cmd := &cobra.Command{
		Use:   "red",
		Short: "Show rate, errors and durations of services",
		Example: `  gantry red
  gantry red --since 1h -o wide
  gantry red -n production -o json`,
		Args: arguments(0, 0),
		RunE: action(func(ctx context.Context, _ []string) error {
			r, namespace, span, err := c.question(&at)
			if err != nil {
				return err
			}
			answer, err := r.topology.ServiceFigures(ctx, &gantryv1.ServiceFiguresRequest{Namespace: namespace, Time: span})
			if err != nil {
				return err
			}
			return c.answer(answer, func() error {
				c.sayAnswered(answer.GetAnswered(), span)
				for _, e := range answer.GetExceeded() {
					fmt.Fprintf(c.errOut, "%s has more than %d %s, such as %s: the rest is counted as (other).\n",
						printable(first(e.GetService(), "The namespace")), e.GetLimit(), e.GetWhat(), printable(strconv.Quote(e.GetExample())))
				}
				t := newTable("No service has sent spans.", append(figureColumns(col("SERVICE")), number("INSTANCES"), wide("ENDPOINTS"), col("LAST"))...)
				for _, s := range answer.GetServices() {
					t.add(append(c.figureCells(s.GetFigures(), s.GetService()), s.GetInstances(), s.GetEndpoints(), c.age(s.GetLast()))...)
				}
				return c.printTable(t)
			})
		}),
	}
	addTimeFlags(cmd, &at)
	return cmd
}

var endpointOrders = map[string]gantryv1.EndpointOrder{"slowest": gantryv1.EndpointOrder_ENDPOINT_ORDER_SLOWEST,
	"busiest": gantryv1.EndpointOrder_ENDPOINT_ORDER_BUSIEST, "failing": gantryv1.EndpointOrder_ENDPOINT_ORDER_FAILING}

func (c *cli) endpointsCommand() *cobra.Command {
	var at timeFlags
	var sort string
	var limit uint32
	cmd := &cobra.Command{
		Use:   "endpoints [SERVICE]",
		Short: "List endpoints: the slowest, the busiest, or those that fail most",
		Example: `  gantry endpoints
  gantry endpoints loan --sort busiest
  gantry endpoints --sort failing --since 1h --limit 5`,
		Args: arguments(0, 1), ValidArgsFunction: c.completeServices,
		RunE: action(func(ctx context.Context, args []string) error {
			order, ok := endpointOrders[sort]
			if !ok {
				return fault.New(fault.Invalid, "cli.usage", "endpoints are not sorted by %q", sort).At("sort").Hinted("use slowest, busiest or failing")
			}
			r, namespace, span, err := c.question(&at)
			if err != nil {
				return err
			}
			answer, err := r.topology.EndpointFigures(ctx, &gantryv1.EndpointFiguresRequest{Namespace: namespace, Service: optional(args), Time: span, Order: order, Limit: limit})
			if err != nil {
				return err
			}
			return c.answer(answer, func() error {
				c.sayAnswered(answer.GetAnswered(), span)
				t := newTable("No endpoint was called within this time.", figureColumns(col("SERVICE"), col("ENDPOINT"), wide("KIND"))...)
				for _, e := range answer.GetEndpoints() {
					t.add(c.figureCells(e.GetFigures(), e.GetService(), e.GetEndpoint(), e.GetKind())...)
				}
				return c.printTable(t)
			})
		}),
	}
	addTimeFlags(cmd, &at)
	cmd.Flags().StringVar(&sort, "sort", "slowest", "`order`: slowest (95th percentile), busiest or failing")
	cmd.Flags().Uint32Var(&limit, "limit", 20, "show at most this `number`")
	complete(cmd, "sort", cobra.FixedCompletions([]string{"slowest", "busiest", "failing"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (c *cli) errorsCommand() *cobra.Command {
	var limit uint32
	cmd := &cobra.Command{
		Use:   "errors [SERVICE]",
		Short: "Rank the errors of the recent hour by code and by where they come from",
		Example: `  gantry errors
  gantry errors loan --limit 5
  gantry errors loan -o json`,
		Args: arguments(0, 1), ValidArgsFunction: c.completeServices,
		RunE: action(func(ctx context.Context, args []string) error {
			r, namespace, _, err := c.question(&timeFlags{})
			if err != nil {
				return err
			}
			answer, err := r.topology.RankErrors(ctx, &gantryv1.RankErrorsRequest{Namespace: namespace, Service: optional(args), Limit: limit})
			if err != nil {
				return err
			}
			return c.answer(answer, func() error {
				c.sayAnswered(answer.GetAnswered(), nil)
				t := newTable("There was no error in the recent hour.", number("COUNT"), col("SERVICE"), col("CODE"), col("FROM"), wide("FINGERPRINT"), wide("FIRST"), col("LAST"), col("TRACE"), col("MESSAGE"))
				for _, e := range answer.GetErrors() {
					count := strconv.FormatUint(e.GetCount(), 10)
					if e.GetUncertain() > 0 {
						count = strconv.FormatUint(e.GetCount()-e.GetUncertain(), 10) + "-" + count
					}
					fingerprint := "-"
					if e.GetFingerprint() != 0 {
						fingerprint = fmt.Sprintf("%016x", e.GetFingerprint())
					}
					t.add(count, e.GetService(), e.GetCode(), dash(first(e.GetFrame(), e.GetEndpoint())), fingerprint, c.age(e.GetFirst()), c.age(e.GetLast()),
						dash(e.GetTraceId()), dash(strings.TrimSpace(e.GetMessage())))
				}
				return c.printTable(t)
			})
		}),
	}
	cmd.Flags().Uint32Var(&limit, "limit", 50, "show at most this `number`")
	return cmd
}

func (c *cli) sendersCommand() *cobra.Command {
	var at timeFlags
	cmd := &cobra.Command{
		Use:   "senders [SERVICE]",
		Short: "List the instances that send signals, and when each did last",
		Long: `List the instances that sent signals in the recent hour, whether they are registered here or not, with what they served. BEHIND is how long before
its arrival the latest span ended: some seconds are healthy; more, or less than nothing, is a clock that is wrong or an exporter that cannot keep up.`,
		Example: `  gantry senders
  gantry senders loan -o wide`,
		Args: arguments(0, 1), ValidArgsFunction: c.completeServices,
		RunE: action(func(ctx context.Context, args []string) error {
			r, namespace, span, err := c.question(&at)
			if err != nil {
				return err
			}
			answer, err := r.topology.InstanceFigures(ctx, &gantryv1.InstanceFiguresRequest{Namespace: namespace, Service: optional(args), Time: span})
			if err != nil {
				return err
			}
			return c.answer(answer, func() error {
				c.sayAnswered(answer.GetAnswered(), span)
				t := newTable("No instance has sent signals in the recent hour.", append(figureColumns(col("SERVICE"), col("INSTANCE"), col("VERSION"), col("LANE"), wide("RELEASE"), wide("ZONE")),
					wide("SPANS"), wide("LATE"), col("BEHIND"), col("LAST"))...)
				for _, i := range answer.GetInstances() {
					t.add(append(c.figureCells(i.GetFigures(), i.GetService(), dash(i.GetInstance()), dash(i.GetVersion()), dash(i.GetLane()), dash(i.GetRelease()), dash(i.GetZone())),
						i.GetSpans(), i.GetLate(), i.GetBehind().AsDuration().Round(time.Millisecond).String(), c.age(i.GetLast()))...)
				}
				return c.printTable(t)
			})
		}),
	}
	addTimeFlags(cmd, &at)
	return cmd
}
