package main

import (
	"context"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gantry-platform/gantry/internal/fault"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

func (c *cli) traceCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "trace",
		Short: "Find traces, and show one",
		Example: `  gantry trace find --service loan --outcome failed
  gantry trace show 0af7651916cd43dd8448eb211c80319c`,
	}, c.traceFindCommand(), c.traceShowCommand(), c.traceAttributesCommand())
}

func (c *cli) traceFindCommand() *cobra.Command {
	var at timeFlags
	var r gantryv1.SearchTracesRequest
	var least, most time.Duration
	var attributes []string
	cmd := &cobra.Command{
		Use:   "find",
		Short: "List traces with a span that meets all conditions, newest first",
		Long: `List traces in which at least one span meets all conditions, newest first. Attributes are those of the span and of its resource; numbers are
written in decimal, booleans as true and false.`,
		Example: `  gantry trace find --service loan --since 1h
  gantry trace find --attribute order.no=L20260301-17
  gantry trace find --service risk --min 500ms --outcome failed --outcome refused
  gantry trace find --lane blue -o json`,
		Args: arguments(0, 0),
		RunE: action(func(ctx context.Context, _ []string) error {
			remote, namespace, span, err := c.question(&at)
			if err != nil {
				return err
			}
			r.Namespace, r.Within, r.Attributes = namespace, span, map[string]string{}
			for _, text := range attributes {
				key, value, ok := strings.Cut(text, "=")
				if !ok || key == "" {
					return fault.New(fault.Invalid, "cli.attribute", "%q is no attribute", text).At("attribute").Hinted("write KEY=VALUE")
				}
				r.Attributes[key] = value
			}
			if least > 0 {
				r.MinDuration = durationpb.New(least)
			}
			if most > 0 {
				r.MaxDuration = durationpb.New(most)
			}
			answer, err := remote.traces.SearchTraces(ctx, &r)
			if err != nil {
				return err
			}
			return c.answer(answer, func() error { return c.printTraces(answer) })
		}),
	}
	addTimeFlags(cmd, &at)
	cmd.Flags().Lookup("since").DefValue, at.since = "1h", "1h"
	f := cmd.Flags()
	f.StringVar(&r.Service, "service", "", "the span's `service`")
	f.StringVar(&r.Endpoint, "endpoint", "", "the span's `name`")
	f.StringVar(&r.Kind, "kind", "", "server, client, producer, consumer or internal")
	f.DurationVar(&least, "min", 0, "the span took this `time` or more")
	f.DurationVar(&most, "max", 0, "the span took this `time` or less")
	f.StringSliceVar(&r.Outcomes, "outcome", nil, "success, refused or failed; several mean any of them")
	f.StringArrayVar(&attributes, "attribute", nil, "`KEY=VALUE` of the span or its resource; several must all be there")
	f.StringVar(&r.Instance, "instance", "", "the `instance`")
	f.StringVar(&r.Version, "version", "", "the `version` of the instance")
	f.StringVar(&r.Lane, "lane", "", "the `lane` of the instance")
	f.StringVar(&r.Release, "release", "", "the `release` that the instance ran")
	f.Uint32Var(&r.Limit, "limit", 20, "show at most so `many`, up to 1000")
	complete(cmd, "service", c.completeServices)
	complete(cmd, "kind", cobra.FixedCompletions([]string{"server", "client", "producer", "consumer", "internal"}, cobra.ShellCompDirectiveNoFileComp))
	complete(cmd, "outcome", cobra.FixedCompletions([]string{"success", "refused", "failed"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (c *cli) printTraces(answer *gantryv1.SearchTracesResponse) error {
	c.sayPartial(answer.Partial)
	if answer.Truncated {
		fmt.Fprintln(c.errOut, "The search ended at its limit of time: there may be older ones. Narrow the time or the conditions.")
	}
	t := newTable("No trace meets these conditions within this time.", col("TRACE"), col("START"), number("DURATION"), col("ROOT"), number("SPANS"), number("FAILED"), wide("SERVICES"))
	for _, trace := range answer.Traces {
		failed := cell{text: strconv.Itoa(int(trace.Failed))}
		if trace.Failed > 0 {
			failed.paint = c.painter().red
		}
		root := trace.RootService + ": " + trace.RootName
		if !trace.Complete {
			root += " (the root has not come)"
		}
		t.add(trace.TraceId, clock(trace.Start), short(trace.Duration), root, trace.Spans, failed, strings.Join(sortedKeys(trace.Services), " "))
	}
	return c.printTable(t)
}

func sortedKeys(of map[string]uint32) []string {
	keys := make([]string, 0, len(of))
	for key := range of {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}

// sayPartial says, beside the answer, what could not be asked.
func (c *cli) sayPartial(partial []string) {
	if len(partial) > 0 {
		fmt.Fprintf(c.errOut, "The answer may lack something: %s could not be asked.\n", strings.Join(partial, ", "))
	}
}

func (c *cli) traceShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show TRACE",
		Short: "Show the spans of one trace as a tree",
		Long: `Show the spans of one trace, each below the one that it was called by, with when it began after the first, how long it took, and what went
wrong. -o wide shows attributes too.`,
		Example: `  gantry trace show 0af7651916cd43dd8448eb211c80319c
  gantry trace show 0af7651916cd43dd8448eb211c80319c -o wide`,
		Args: arguments(1, 1),
		RunE: action(func(ctx context.Context, args []string) error {
			namespace, err := c.namespace()
			if err != nil {
				return err
			}
			r, err := c.connect()
			if err != nil {
				return err
			}
			answer, err := r.traces.GetTrace(ctx, &gantryv1.GetTraceRequest{Namespace: namespace, TraceId: args[0]})
			if err != nil {
				return err
			}
			return c.answer(answer, func() error { return c.printTrace(answer) })
		}),
	}
}

func (c *cli) printTrace(answer *gantryv1.GetTraceResponse) error {
	c.sayPartial(answer.Partial)
	known := map[string]bool{}
	for _, s := range answer.Spans {
		known[s.SpanId] = true
	}
	children := map[string][]*gantryv1.Span{}
	for _, s := range answer.Spans {
		parent := s.ParentSpanId
		if !known[parent] || parent == s.SpanId {
			parent = "" // the root, or one whose caller has not come
		}
		children[parent] = append(children[parent], s)
	}
	t := newTable("The trace has no spans.", col("SPAN"), col("SERVICE"), col("KIND"), number("AFTER"), number("DURATION"), col("OUTCOME"), wide("INSTANCE"), wide("SAYS"), wide("ATTRIBUTES"))
	shown := map[string]bool{}
	var add func(parent string, depth int)
	add = func(parent string, depth int) {
		for _, s := range children[parent] {
			if shown[s.SpanId] { // callers in a circle, or an id that came twice
				continue
			}
			shown[s.SpanId] = true
			outcome := cell{text: s.Outcome}
			if s.Outcome == "failed" {
				outcome.paint = c.painter().red
			}
			after := durationpb.New(s.Start.AsTime().Sub(answer.Spans[0].Start.AsTime()))
			t.add(strings.Repeat("  ", min(depth, 40))+s.Name, s.Service, s.Kind, short(after), short(s.Duration), outcome, s.Instance, says(s), attributeText(s.Attributes))
			add(s.SpanId, depth+1)
		}
	}
	add("", 0)
	for _, s := range answer.Spans { // those in a circle have no beginning
		if !shown[s.SpanId] {
			children[""] = []*gantryv1.Span{s}
			add("", 0)
		}
	}
	return c.printTable(t)
}

// says is what a span tells in words: its status and its exceptions.
func says(s *gantryv1.Span) string {
	words := []string{}
	if s.StatusMessage != "" {
		words = append(words, s.StatusMessage)
	}
	for _, e := range s.Events {
		for _, a := range e.Attributes {
			if a.Key == "exception.type" || a.Key == "exception.message" {
				words = append(words, valueText(a))
			}
		}
	}
	return strings.Join(words, ": ")
}

func attributeText(attributes []*gantryv1.SpanAttribute) string {
	words := make([]string, 0, len(attributes))
	for _, a := range attributes {
		words = append(words, a.Key+"="+valueText(a))
	}
	sort.Strings(words)
	return strings.Join(words, " ")
}

func valueText(a *gantryv1.SpanAttribute) string {
	switch v := a.Value.(type) {
	case *gantryv1.SpanAttribute_Text:
		return v.Text
	case *gantryv1.SpanAttribute_Integer:
		return strconv.FormatInt(v.Integer, 10)
	case *gantryv1.SpanAttribute_Number:
		return strconv.FormatFloat(v.Number, 'g', -1, 64)
	case *gantryv1.SpanAttribute_Boolean:
		return strconv.FormatBool(v.Boolean)
	case *gantryv1.SpanAttribute_Binary:
		return fmt.Sprintf("%d bytes", len(v.Binary))
	case *gantryv1.SpanAttribute_Json:
		return v.Json
	default:
		return ""
	}
}
