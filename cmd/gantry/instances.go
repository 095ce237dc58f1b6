package main

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gantry-platform/gantry/internal/fault"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

func (c *cli) instancesCommand() *cobra.Command {
	var inGroup string
	var labels []string
	var available bool
	cmd := &cobra.Command{
		Use:   "instances [SERVICE]",
		Short: "List the instances of a service, or of the whole namespace",
		Example: `  gantry instances loan
  gantry instances loan --label zone=north --available
  gantry instances -o wide`,
		Args:              arguments(0, 1),
		ValidArgsFunction: c.completeServices,
		RunE: action(func(ctx context.Context, args []string) error {
			selector, err := parsePairs("label", labels)
			if err != nil {
				return err
			}
			ref, err := c.serviceRef("", "")
			if err != nil {
				return err
			}
			if len(args) == 1 {
				ref.Group, ref.Service = inGroup, args[0]
			}
			instances, err := c.listInstances(ctx, ref, selector)
			if err != nil {
				return err
			}
			if available {
				instances = keepAvailable(instances)
			}
			return answerList(c, instances, func() *table { return c.instancesTable(instances, len(args) == 0) })
		}),
	}
	groupFlag(cmd, &inGroup)
	cmd.Flags().StringArrayVarP(&labels, "label", "l", nil, "only those with this label, `key=value`; may be repeated")
	cmd.Flags().BoolVar(&available, "available", false, "only those that take traffic: up and healthy")
	return cmd
}

func (c *cli) listInstances(ctx context.Context, ref *gantryv1.ServiceRef, labels map[string]string) ([]*gantryv1.Instance, error) {
	r, err := c.connect()
	if err != nil {
		return nil, err
	}
	var instances []*gantryv1.Instance
	stale := false
	for token := ""; ; {
		page, err := r.instances.ListInstances(ctx, &gantryv1.ListInstancesRequest{Service: ref, Labels: labels, PageSize: pageSize, PageToken: token})
		if err != nil {
			return nil, err
		}
		instances = append(instances, page.GetInstances()...)
		stale = stale || page.GetStale()
		if token = page.GetNextPageToken(); token == "" {
			break
		}
	}
	if stale {
		c.warn("the cluster has no quorum: the answer may be behind")
	}
	return instances, nil
}

func keepAvailable(instances []*gantryv1.Instance) []*gantryv1.Instance {
	var kept []*gantryv1.Instance
	for _, i := range instances {
		if effectiveStatus(i) == gantryv1.Status_STATUS_UP && i.GetHealth() != gantryv1.Health_HEALTH_UNHEALTHY {
			kept = append(kept, i)
		}
	}
	return kept
}

// effectiveStatus is what holds: the operator's word over the instance's own.
func effectiveStatus(i *gantryv1.Instance) gantryv1.Status {
	if status := i.GetOverride().GetStatus(); status != gantryv1.Status_STATUS_UNSPECIFIED {
		return status
	}
	return i.GetStatus()
}

func effectiveWeight(i *gantryv1.Instance) float64 {
	switch {
	case i.GetOverride() != nil && i.GetOverride().Weight != nil:
		return i.GetOverride().GetWeight()
	case i.Weight != nil:
		return i.GetWeight()
	default:
		return 1
	}
}

func (c *cli) instancesTable(instances []*gantryv1.Instance, withService bool) *table {
	service := wide("SERVICE")
	service.wide = !withService
	t := newTable("There are no such instances.", service, col("ID"), col("ADDRESS"), col("STATUS"), col("HEALTH"), number("WEIGHT"),
		col("AGE"), col("LABELS"), wide("PROTOCOL"), wide("OWNER"), wide("SET BY"), wide("REASON"))
	for _, i := range instances {
		t.add(i.GetService().GetService(), i.GetId(), hostPort(i), c.statusCell(i), c.healthCell(i), decimal(effectiveWeight(i)),
			c.age(i.GetRegisteredAt()), dash(pairs(i.GetLabels())), dash(i.GetProtocol()), dash(i.GetOwner()),
			dash(i.GetOverride().GetAuthor()), dash(i.GetHealthReason()))
	}
	return t
}

func hostPort(i *gantryv1.Instance) string {
	return net.JoinHostPort(i.GetAddress(), strconv.Itoa(int(i.GetPort())))
}

func (c *cli) statusCell(i *gantryv1.Instance) cell {
	status := effectiveStatus(i)
	text := word(status, "STATUS_")
	if i.GetOverride().GetStatus() != gantryv1.Status_STATUS_UNSPECIFIED {
		text += " (set)"
	}
	paint := c.painter()
	switch status {
	case gantryv1.Status_STATUS_UP:
		return cell{text, paint.green}
	case gantryv1.Status_STATUS_DOWN:
		return cell{text, paint.red}
	default:
		return cell{text, paint.yellow}
	}
}

func (c *cli) healthCell(i *gantryv1.Instance) cell {
	text := word(i.GetHealth(), "HEALTH_")
	switch {
	case i.GetProtected():
		text += " (protected)"
	case i.GetProvisional():
		text += " (provisional)"
	}
	if i.GetHealth() == gantryv1.Health_HEALTH_UNHEALTHY {
		return cell{text, c.painter().red}
	}
	return cell{text, nil}
}

func (c *cli) instanceCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "instance",
		Short: "Take an instance out of traffic, bring it back, or weigh it",
		Example: `  gantry instance drain loan 10.0.0.7:8080 --message "new kernel"
  gantry instance reset loan 10.0.0.7:8080`,
	}, c.drainCommand(), c.statusCommandOf("up", gantryv1.Status_STATUS_UP), c.statusCommandOf("down", gantryv1.Status_STATUS_DOWN),
		c.weightCommand(), c.resetCommand())
}

// operation is what the commands about one instance have in common.
type operation struct {
	group   string
	message string
}

func (c *cli) operationFlags(cmd *cobra.Command, o *operation) {
	groupFlag(cmd, &o.group)
	messageFlag(cmd, &o.message)
	cmd.ValidArgsFunction = c.completeInstances
}

func messageFlag(cmd *cobra.Command, message *string) {
	cmd.Flags().StringVarP(message, "message", "m", "", "`why`, for the history and the audit log")
}

func (c *cli) drainCommand() *cobra.Command {
	var o operation
	var wait time.Duration
	var deregister bool
	cmd := &cobra.Command{
		Use:   "drain SERVICE ID",
		Short: "Take an instance out of traffic and wait until its callers know",
		Long: `Take an instance out of traffic and wait until its callers know: those that hold the service have
acknowledged, or the wait is over. The instance stays draining until it registers anew or
"gantry instance reset".`,
		Example: `  gantry instance drain loan 10.0.0.7:8080
  gantry instance drain loan 10.0.0.7:8080 --wait 1m --deregister`,
		Args: arguments(2, 2),
		RunE: action(func(ctx context.Context, args []string) error {
			ref, err := c.serviceRef(o.group, args[0])
			if err != nil {
				return err
			}
			r, err := c.connect()
			if err != nil {
				return err
			}
			// The answer comes when the wait is over at the latest.
			ctx, cancel := context.WithTimeout(ctx, wait+c.flags.timeout)
			defer cancel()
			drained, err := r.instances.Drain(ctx, &gantryv1.DrainRequest{Service: ref, Id: args[1], Wait: durationpb.New(wait), Deregister: deregister, Message: o.message})
			if err != nil {
				return err
			}
			return c.answer(drained, func() error {
				if late := drained.GetSubscribers() - drained.GetAcknowledged(); late > 0 {
					c.warn("%d of %d subscribers did not acknowledge within %v: %s", late, drained.GetSubscribers(), wait, lateText(drained))
				}
				if missing := drained.GetMissingNodes(); len(missing) > 0 {
					c.warn("subscribers on nodes that did not answer are not counted: %s", strings.Join(missing, ", "))
				}
				done := "is draining"
				if deregister {
					done = "is drained and gone"
				}
				return c.say("%s of %s %s: %d of %d subscribers acknowledged", args[1], args[0], done, drained.GetAcknowledged(), drained.GetSubscribers())
			})
		}),
	}
	c.operationFlags(cmd, &o)
	cmd.Flags().DurationVar(&wait, "wait", 10*time.Second, "how `long` to wait for subscribers, at most 5m")
	cmd.Flags().BoolVar(&deregister, "deregister", false, "remove the instance afterwards")
	return cmd
}

func (c *cli) statusCommandOf(name string, status gantryv1.Status) *cobra.Command {
	var o operation
	var yes bool
	dangerous := status == gantryv1.Status_STATUS_DOWN
	cmd := &cobra.Command{
		Use:     name + " SERVICE ID",
		Short:   "Set an instance " + name + ", whatever it says of itself",
		Example: "  gantry instance " + name + " loan 10.0.0.7:8080 --message \"see incident 17\"",
		Args:    arguments(2, 2),
		RunE: action(func(ctx context.Context, args []string) error {
			if dangerous {
				if err := c.confirm(ctx, yes, "Set %s of %s down at once? Callers in flight are not waited for (see gantry instance drain).", args[1], args[0]); err != nil {
					return err
				}
			}
			return c.override(ctx, o, args[0], args[1], func(current *gantryv1.SetOverrideRequest) { current.Status = status })
		}),
	}
	c.operationFlags(cmd, &o)
	if dangerous {
		yesFlag(cmd, &yes)
	}
	return cmd
}

func (c *cli) weightCommand() *cobra.Command {
	var o operation
	cmd := &cobra.Command{
		Use:   "weight SERVICE ID WEIGHT",
		Short: "Set an instance's share of traffic against its siblings, 0 to 10000",
		Example: `  gantry instance weight loan 10.0.0.7:8080 0.5
  gantry instance weight loan 10.0.0.7:8080 100 --message "larger machine"`,
		Args: arguments(3, 3),
		RunE: action(func(ctx context.Context, args []string) error {
			weight, err := strconv.ParseFloat(args[2], 64)
			if err != nil || !(weight >= 0 && weight <= 10000) {
				return fault.New(fault.Invalid, "cli.usage", "%q is no weight", args[2]).At("weight").Hinted("give a number from 0 to 10000; 1 is the default")
			}
			return c.override(ctx, o, args[0], args[1], func(current *gantryv1.SetOverrideRequest) { current.Weight = &weight })
		}),
	}
	c.operationFlags(cmd, &o)
	return cmd
}

func (c *cli) resetCommand() *cobra.Command {
	var o operation
	cmd := &cobra.Command{
		Use:     "reset SERVICE ID",
		Short:   "Undo up, down, drain and weight: the instance's own word holds again",
		Example: `  gantry instance reset loan 10.0.0.7:8080`,
		Args:    arguments(2, 2),
		RunE: action(func(ctx context.Context, args []string) error {
			return c.override(ctx, o, args[0], args[1], func(current *gantryv1.SetOverrideRequest) {
				current.Status, current.Weight = gantryv1.Status_STATUS_UNSPECIFIED, nil
			})
		}),
	}
	c.operationFlags(cmd, &o)
	return cmd
}

// override changes one half of an operator's override and keeps the other: the server replaces both.
func (c *cli) override(ctx context.Context, o operation, service, id string, change func(*gantryv1.SetOverrideRequest)) error {
	ref, err := c.serviceRef(o.group, service)
	if err != nil {
		return err
	}
	r, err := c.connect()
	if err != nil {
		return err
	}
	request := &gantryv1.SetOverrideRequest{Service: ref, Id: id, Message: o.message}
	found, err := r.instances.Lookup(ctx, &gantryv1.LookupRequest{Service: ref})
	// An override outlives its instance; whether this one can be set is the server's to say.
	if err != nil && connect.CodeOf(err) != connect.CodeNotFound {
		return err
	}
	for _, i := range found.GetInstances() {
		if i.GetId() == id && i.GetOverride() != nil {
			request.Status, request.Weight = i.GetOverride().GetStatus(), i.GetOverride().Weight
		}
	}
	change(request)
	set, err := r.instances.SetOverride(ctx, request)
	if err != nil {
		return err
	}
	return c.answer(set, func() error {
		i := set.GetInstance()
		if i.GetId() == "" {
			return c.say("%s of %s: the override is cleared; the instance itself is gone", id, service)
		}
		return c.say("%s of %s is %s, weight %s", id, service, c.statusCell(i).text, decimal(effectiveWeight(i)))
	})
}

// say prints a line of an answer for people.
func (c *cli) say(format string, args ...any) error {
	c.clearProgress()
	_, err := fmt.Fprintln(c.out, printable(fmt.Sprintf(format, args...)))
	return err
}
