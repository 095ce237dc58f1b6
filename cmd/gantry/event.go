package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// tailEvery is between two questions of a tail.
const tailEvery = time.Second

func (c *cli) eventCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "event",
		Short: "Look at business events",
		Long:  `Look at business events: what services say that happened. The server that is asked asks the other nodes of its cluster too.`,
		Example: `  gantry event list loan.* --since 1h --field grade=A
  gantry event tail
  gantry event topics`,
	}, c.eventListCommand(), c.eventTailCommand(), c.eventTopicsCommand())
}

// eventFlags choose events.
type eventFlags struct {
	service, since, until, trace string
	outcomes, fields             []string
	limit                        int
}

func (f *eventFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.service, "service", "", "only events of this `service`")
	cmd.Flags().StringVar(&f.trace, "trace", "", "only events of this trace: its `id` in hexadecimal digits")
	cmd.Flags().StringSliceVar(&f.outcomes, "outcome", nil, "only events of this `outcome`: success, refused or failed; may be repeated")
	cmd.Flags().StringArrayVar(&f.fields, "field", nil, "only events with this field, `key=value`; may be repeated")
}

func (f *eventFlags) addTimes(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.since, "since", "", "not before this `time`: how long ago (90m), a date, or RFC 3339")
	cmd.Flags().StringVar(&f.until, "until", "", "before this `time`")
	cmd.Flags().IntVar(&f.limit, "limit", 100, "at most so many `events`, up to 1000")
}

func (f *eventFlags) request(c *cli, cmd *cobra.Command, args []string) (*gantryv1.QueryEventsRequest, error) {
	namespace, err := c.scope(false)
	if err != nil {
		return nil, err
	}
	request := &gantryv1.QueryEventsRequest{Namespace: namespace, Service: f.service, TraceId: f.trace}
	if len(args) > 0 {
		request.Topic = args[0]
	}
	if request.Since, err = c.parseMoment("since", f.since); err != nil {
		return nil, err
	}
	if request.Until, err = c.parseMoment("until", f.until); err != nil {
		return nil, err
	}
	if request.Fields, err = parsePairs("field", f.fields); err != nil {
		return nil, err
	}
	for _, outcome := range f.outcomes {
		value, known := gantryv1.EventOutcome_value["EVENT_OUTCOME_"+strings.ToUpper(outcome)]
		if !known || value == 0 {
			return nil, usage(cmd, "an outcome of %q; it is success, refused or failed", outcome)
		}
		request.Outcomes = append(request.Outcomes, gantryv1.EventOutcome(value))
	}
	return request, nil
}

func limited(cmd *cobra.Command, limit int) (uint32, error) {
	if limit < 1 || limit > 1000 {
		return 0, usage(cmd, "a limit of %d; it is 1 to 1000", limit)
	}
	return uint32(limit), nil
}

func (c *cli) eventListCommand() *cobra.Command {
	var f eventFlags
	cmd := &cobra.Command{
		Use:   "list [TOPIC]",
		Short: "Show events, newest first",
		Long:  `Show events, newest first. TOPIC is exact, or the beginning of topics when it ends in "*".`,
		Example: `  gantry event list --since 1h
  gantry event list 'loan.*' --outcome refused --field grade=A
  gantry event list --trace 4bf92f3577b34da6a3ce929d0e0e4736 -o json`,
		Args: arguments(0, 1),
	}
	f.add(cmd)
	f.addTimes(cmd)
	cmd.RunE = action(func(ctx context.Context, args []string) error {
		request, err := f.request(c, cmd, args)
		if err != nil {
			return err
		}
		if request.Limit, err = limited(cmd, f.limit); err != nil {
			return err
		}
		r, err := c.connect()
		if err != nil {
			return err
		}
		answer, err := r.events.Query(ctx, request)
		if err != nil {
			return err
		}
		return c.answer(answer, func() error {
			c.tellMissing(answer.GetMissingNodes())
			c.tellPartial(answer.GetPartial(), answer.GetTruncated())
			t := newTable("There are no such events.", col("TIME"), col("TOPIC"), col("OUTCOME"), col("SERVICE"), wide("INSTANCE"), col("FIELDS"), col("TRACE"), wide("NODE"), wide("ID"))
			for _, e := range answer.GetEvents() {
				t.add(clock(e.GetTime()), e.GetTopic(), word(e.GetOutcome(), "EVENT_OUTCOME_"), dash(e.GetService()), dash(e.GetInstance()), dash(pairs(fieldTexts(e))),
					dash(e.GetTraceId()), dash(e.GetNode()), e.GetId())
			}
			return c.printTable(t)
		})
	})
	return cmd
}

// tellMissing says whose events an answer lacks.
func (c *cli) tellMissing(nodes []string) {
	if len(nodes) > 0 {
		c.warn("events that these nodes took are missing, because they do not answer: %s", printable(strings.Join(nodes, ", ")))
	}
}

// tellPartial says what else an answer lacks.
func (c *cli) tellPartial(partial []string, truncated bool) {
	for _, what := range partial {
		c.warn("the answer is not whole: %s cannot be read", what)
	}
	if truncated {
		c.warn("the search ended at its limit of work; narrow the time to see older ones")
	}
}

func fieldTexts(e *gantryv1.BusinessEvent) map[string]string {
	texts := make(map[string]string, len(e.GetFields()))
	for key, v := range e.GetFields() {
		switch v := v.GetValue().(type) {
		case *gantryv1.FieldValue_Text:
			texts[key] = v.Text
		case *gantryv1.FieldValue_Boolean:
			texts[key] = fmt.Sprint(v.Boolean)
		case *gantryv1.FieldValue_Integer:
			texts[key] = fmt.Sprint(v.Integer)
		case *gantryv1.FieldValue_Number:
			texts[key] = fmt.Sprint(v.Number)
		}
	}
	return texts
}

func (c *cli) eventTailCommand() *cobra.Command {
	var f eventFlags
	cmd := &cobra.Command{
		Use:   "tail [TOPIC]",
		Short: "Follow events as they come, until interrupted",
		Example: `  gantry event tail
  gantry event tail 'loan.*' --outcome failed -o json`,
		Args: arguments(0, 1),
	}
	f.add(cmd)
	cmd.RunE = action(func(ctx context.Context, args []string) error {
		request, err := f.request(c, cmd, args)
		if err != nil {
			return err
		}
		r, err := c.connect()
		if err != nil {
			return err
		}
		w := &eventTail{cli: c, remote: r, request: request}
		return c.follow(ctx, w.once)
	})
	return cmd
}

// eventTail asks again and again for what is new.
type eventTail struct {
	*cli
	remote  *remote
	request *gantryv1.QueryEventsRequest
	// missing are the nodes that did not answer last; what they take comes when they do again.
	missing []string
}

func (t *eventTail) once(ctx context.Context) (events int, err error) {
	ticker := time.NewTicker(tailEvery)
	defer ticker.Stop()
	for {
		if t.request.After == nil {
			// The first answer only says where the logs end.
			t.request.Limit = 1
		}
		answer, err := t.remote.events.Query(ctx, t.request)
		if err != nil {
			return events, err
		}
		events++
		if !slices.Equal(t.missing, answer.GetMissingNodes()) {
			t.missing = answer.GetMissingNodes()
			t.tellMissing(t.missing)
		}
		if t.request.After != nil {
			for _, e := range answer.GetEvents() {
				if err := t.tell(e); err != nil {
					return events, err
				}
			}
		}
		next := answer.GetNext()
		t.request.After, t.request.Limit = &next, 1000
		if len(answer.GetEvents()) == 1000 || answer.GetTruncated() {
			continue
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return events, ctx.Err()
		}
	}
}

func (t *eventTail) tell(e *gantryv1.BusinessEvent) error {
	if t.flags.output.machine() {
		return t.streamItem(e)
	}
	texts := fieldTexts(e)
	parts := []string{clock(e.GetTime()), e.GetTopic(), word(e.GetOutcome(), "EVENT_OUTCOME_")}
	if e.GetService() != "" {
		parts = append(parts, e.GetService())
	}
	for _, key := range slices.Sorted(maps.Keys(texts)) {
		parts = append(parts, key+"="+texts[key])
	}
	_, err := fmt.Fprintln(t.out, printable(strings.Join(parts, "  ")))
	return err
}

func (c *cli) eventTopicsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "topics",
		Short: "List topics, with the types of their fields",
		Example: `  gantry event topics
  gantry event topics -n prod -o json`,
		Args: arguments(0, 0),
		RunE: action(func(ctx context.Context, _ []string) error {
			namespace, err := c.scope(false)
			if err != nil {
				return err
			}
			r, err := c.connect()
			if err != nil {
				return err
			}
			answer, err := r.events.Topics(ctx, &gantryv1.TopicsRequest{Namespace: namespace})
			if err != nil {
				return err
			}
			return c.answer(answer, func() error {
				c.tellMissing(answer.GetMissingNodes())
				t := newTable("There are no topics.", col("TOPIC"), number("EVENTS"), col("LAST"), col("FIELDS"))
				for _, topic := range answer.GetTopics() {
					t.add(topic.GetName(), fmt.Sprint(topic.GetEvents()), clock(topic.GetLast()), dash(pairs(topic.GetFields())))
				}
				return c.printTable(t)
			})
		}),
	}
}

func (c *cli) changesCommand() *cobra.Command {
	var service, since, until, kind string
	var limit int
	cmd := &cobra.Command{
		Use:   "changes",
		Short: "Show what was changed: releases, registrations, drains, statuses; newest first",
		Example: `  gantry changes --since 30m
  gantry changes --kind release
  gantry changes --service loan -o json`,
		Args: arguments(0, 0),
	}
	cmd.Flags().StringVar(&service, "service", "", "only changes of this `service`'s instances")
	cmd.Flags().StringVar(&kind, "kind", "", "only changes whose kind starts with this `word`, such as release or instance.registered")
	cmd.Flags().StringVar(&since, "since", "", "not before this `time`: how long ago (90m), a date, or RFC 3339")
	cmd.Flags().StringVar(&until, "until", "", "before this `time`")
	cmd.Flags().IntVar(&limit, "limit", 100, "at most so many `changes`, up to 1000")
	cmd.RunE = action(func(ctx context.Context, _ []string) error {
		namespace, err := c.scope(false)
		if err != nil {
			return err
		}
		request := &gantryv1.ChangesRequest{Namespace: namespace, Service: service, Kind: kind}
		if request.Limit, err = limited(cmd, limit); err != nil {
			return err
		}
		if request.Since, err = c.parseMoment("since", since); err != nil {
			return err
		}
		if request.Until, err = c.parseMoment("until", until); err != nil {
			return err
		}
		r, err := c.connect()
		if err != nil {
			return err
		}
		answer, err := r.events.Changes(ctx, request)
		if err != nil {
			return err
		}
		c.tellPartial(answer.GetPartial(), answer.GetTruncated())
		return answerList(c, answer.GetChanges(), func() *table {
			t := newTable("Nothing was changed.", col("TIME"), col("KIND"), col("TARGET"), col("ACTOR"), col("MESSAGE"), col("DETAILS"), wide("ID"))
			for _, change := range answer.GetChanges() {
				t.add(clock(change.GetTime()), change.GetKind(), dash(change.GetTarget()), dash(change.GetActor()), dash(change.GetMessage()), dash(pairs(change.GetDetails())), change.GetId())
			}
			return t
		})
	})
	return cmd
}
