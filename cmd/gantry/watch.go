package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// Waits between attempts to watch again: short at first, for a server that restarts.
const (
	firstRetry = 250 * time.Millisecond
	lastRetry  = 5 * time.Second
)

func (c *cli) watchCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "watch",
		Short: "Follow services or documents as they change",
		Long: `Follow services or documents as they change, until interrupted. When the connection is lost the watch
says so and goes on where it was, as soon as a server answers again.`,
		Example: `  gantry watch services loan risk
  gantry watch documents Config/loan.yaml -o json`,
	}, c.watchServicesCommand(), c.watchDocumentsCommand())
}

func (c *cli) watchServicesCommand() *cobra.Command {
	var inGroup string
	cmd := &cobra.Command{
		Use:   "services SERVICE...",
		Short: "Follow the instances of services: who comes, goes and changes",
		Example: `  gantry watch services loan
  gantry watch services loan risk -o json | jq .instances`,
		Args:              arguments(1, maxWatched),
		ValidArgsFunction: c.completeServices,
		RunE: action(func(ctx context.Context, args []string) error {
			r, err := c.connect()
			if err != nil {
				return err
			}
			w := &serviceWatch{cli: c, remote: r, known: map[string]map[string]*gantryv1.Instance{}}
			for _, name := range args {
				ref, err := c.serviceRef(inGroup, name)
				if err != nil {
					return err
				}
				w.subscriptions = append(w.subscriptions, &gantryv1.Subscription{Service: ref})
			}
			return c.follow(ctx, w.once)
		}),
	}
	groupFlag(cmd, &inGroup)
	return cmd
}

// maxWatched is how many services or documents one watch of the API takes.
const maxWatched = 1000

// follow watches until ctx ends or the server refuses. A watch that was once established is taken up again
// when the connection or the server is lost.
func (c *cli) follow(ctx context.Context, once func(ctx context.Context) (events int, err error)) error {
	established := false
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		events, err := once(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if events > 0 {
			established, wait = true, firstRetry
		}
		if err != nil && !(established && lost(err)) {
			return err
		}
		reason := "the server ended the watch"
		if err != nil {
			reason = c.explain(err).Message
		}
		c.warn("%s; watching again in %v", reason, wait)
		if err := c.pause(ctx, wait); err != nil {
			return err
		}
	}
}

// lost reports whether it was the connection or the server that went away. What a server refuses stays refused.
func lost(err error) bool {
	if !errors.As(err, new(*connect.Error)) {
		return false
	}
	switch code := connect.CodeOf(err); code {
	case connect.CodeUnavailable:
		return true
	case connect.CodeResourceExhausted, connect.CodeAborted:
		return connect.IsWireError(err)
	default:
		// Without a word of the server it is a connection that was cut in the midst of a message.
		return !connect.IsWireError(err) && code != connect.CodeUnimplemented && code != connect.CodeCanceled
	}
}

// serviceWatch is a watch of services across connections.
type serviceWatch struct {
	cli           *cli
	remote        *remote
	subscriptions []*gantryv1.Subscription
	// known are the instances by service and id, to tell what changed.
	known map[string]map[string]*gantryv1.Instance
}

func (w *serviceWatch) once(ctx context.Context) (events int, err error) {
	stream, err := w.remote.instances.Watch(ctx, &gantryv1.WatchRequest{Subscriptions: w.subscriptions})
	if err != nil {
		return 0, err
	}
	defer stream.Close()
	for stream.Receive() {
		event := stream.Msg()
		for _, s := range w.subscriptions {
			if proto.Equal(s.GetService(), event.GetService()) {
				s.Revision = event.GetRevision()
			}
		}
		events++
		if w.cli.flags.output.machine() {
			err = w.cli.streamItem(event)
		} else {
			err = w.tell(event)
		}
		if err != nil {
			return events, err
		}
	}
	return events, stream.Err()
}

// tell prints what an event changes, a line an instance.
func (w *serviceWatch) tell(event *gantryv1.ServiceEvent) error {
	name := event.GetService().GetService()
	before := w.known[name]
	after := map[string]*gantryv1.Instance{}
	if !event.GetFull() {
		maps.Copy(after, before)
	}
	for _, i := range event.GetInstances() {
		after[i.GetId()] = i
	}
	for _, id := range event.GetRemoved() {
		delete(after, id)
	}
	w.known[name] = after
	if event.GetFull() && len(after) == 0 && len(before) == 0 {
		return w.line(name, "has no instances")
	}
	for _, id := range slices.Sorted(maps.Keys(before)) {
		if after[id] == nil {
			if err := w.line(name, "- "+id); err != nil {
				return err
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(after)) {
		mark := "+ "
		if before[id] != nil {
			if mark = "~ "; proto.Equal(before[id], after[id]) {
				continue
			}
		}
		if err := w.line(name, mark+w.describe(after[id])); err != nil {
			return err
		}
	}
	return nil
}

func (w *serviceWatch) describe(i *gantryv1.Instance) string {
	text := fmt.Sprintf("%s %s %s %s weight %s", i.GetId(), hostPort(i), w.cli.statusCell(i).text, w.cli.healthCell(i).text, decimal(effectiveWeight(i)))
	if labels := pairs(i.GetLabels()); labels != "" {
		text += " " + labels
	}
	return text
}

func (w *serviceWatch) line(service, text string) error {
	return w.cli.say("%s %s %s", w.cli.now().Local().Format(time.TimeOnly), service, text)
}

func (c *cli) watchDocumentsCommand() *cobra.Command {
	var subject gantryv1.Subject
	var labels []string
	cmd := &cobra.Command{
		Use:   "documents KIND/NAME...",
		Short: "Follow which version of documents is in force",
		Long: `Follow which version of documents is in force. What a staged release gives to its cohort depends on who
asks: --instance, --instance-address and --label ask as an instance would.`,
		Example: `  gantry watch documents Config/loan.yaml Config/risk.yaml
  gantry watch documents Config/loan.yaml --label zone=north`,
		Args:              arguments(1, maxWatched),
		ValidArgsFunction: c.completeDocumentPaths,
		RunE: action(func(ctx context.Context, args []string) error {
			r, err := c.connect()
			if err != nil {
				return err
			}
			request := &gantryv1.WatchDocumentsRequest{Subject: &subject}
			if subject.Labels, err = parsePairs("label", labels); err != nil {
				return err
			}
			for _, path := range args {
				ref, err := c.documentRef([]string{path})
				if err != nil {
					return err
				}
				request.Refs = append(request.Refs, ref)
			}
			w := &documentWatch{cli: c, remote: r, request: request, last: map[string]*gantryv1.DocumentEvent{}}
			return c.follow(ctx, w.once)
		}),
	}
	cmd.Flags().StringVar(&subject.InstanceId, "instance", "", "`id` of the instance to ask as")
	cmd.Flags().StringVar(&subject.Address, "instance-address", "", "`address` of the instance to ask as")
	cmd.Flags().StringArrayVarP(&labels, "label", "l", nil, "label of the instance to ask as, `key=value`; may be repeated")
	return cmd
}

// documentWatch is a watch of documents across connections.
type documentWatch struct {
	cli     *cli
	remote  *remote
	request *gantryv1.WatchDocumentsRequest
	// last is what was told of each document, so that a new connection does not tell it again.
	last map[string]*gantryv1.DocumentEvent
}

func (w *documentWatch) once(ctx context.Context) (events int, err error) {
	stream, err := w.remote.releases.Watch(ctx, w.request)
	if err != nil {
		return 0, err
	}
	defer stream.Close()
	for stream.Receive() {
		event := stream.Msg()
		events++
		name := documentName(event.GetRef())
		last := w.last[name]
		w.last[name] = event
		if last != nil && proto.Equal(last, event) {
			continue
		}
		if w.cli.flags.output.machine() {
			err = w.cli.streamItem(event)
		} else {
			err = w.tell(name, event)
		}
		if err != nil {
			return events, err
		}
	}
	return events, stream.Err()
}

func (w *documentWatch) tell(name string, event *gantryv1.DocumentEvent) error {
	at := w.cli.now().Local().Format(time.TimeOnly)
	switch v := event.GetVersion(); {
	case event.GetAbsent():
		return w.cli.say("%s %s nothing is released", at, name)
	case event.GetRolloutId() != "":
		return w.cli.say("%s %s version %d by rollout %s (%s, %s)", at, name, v.GetVersion(), event.GetRolloutId(), v.GetAuthor(), dash(v.GetMessage()))
	default:
		return w.cli.say("%s %s version %d (%s, %s)", at, name, v.GetVersion(), v.GetAuthor(), dash(v.GetMessage()))
	}
}
